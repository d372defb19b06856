"""How many calls a provider's key carries: turns in a process, and one rate for a key in a cluster."""
