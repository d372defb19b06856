"""Rate limits of provider keys: a queue of slots in a process, and one governor for a key in a cluster."""
