"""Seeded generator of the AIOps half of the sample benchmark.

The questions are generated so that every answer is computed from a known process, never typed by hand, and so
that anyone can rebuild the shipped files byte for byte or draw a fresh set with another seed.
"""

from jobs.sample_generator.sheets import SEED, generate, write

__all__ = ["SEED", "generate", "write"]
