"""What every room may know: types, errors, questions, files; it imports no other room."""
