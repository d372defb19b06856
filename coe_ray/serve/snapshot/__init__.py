"""What is served now, and how it changes without a restart."""
