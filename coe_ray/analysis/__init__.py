"""What follows from answers, pure: metrics, every system out of one matrix, statistics, losses, leaks. No calls."""
