"""Commands of a checkout: entrypoints of Ray jobs (the same as `coe-ray …`), load, the sample's generator."""
