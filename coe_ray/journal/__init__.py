"""Every call that was made, kept: what a run resumes from and what its bill is counted from."""
