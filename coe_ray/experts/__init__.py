"""Experts that are not LLMs, behind the same protocol as those that are."""
