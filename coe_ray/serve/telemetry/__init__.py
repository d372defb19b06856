"""What is seen of a request: log, metrics, traces."""
