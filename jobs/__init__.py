"""What people start: thin scripts that parse arguments, call and print."""
