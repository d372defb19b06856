"""Calls that leave the process: the HTTP client and what keeps its calls within bounds."""
