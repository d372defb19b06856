"""Pages of reference, made out of the code that they describe."""
