"""Benchmarks read from files: DevOps-Eval, OpsEval, the sample."""
