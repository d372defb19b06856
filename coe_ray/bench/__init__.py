"""Whole benchmarks on Ray Data: reading them, running them, scoring and reporting what came out."""
