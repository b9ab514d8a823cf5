"""One picture of a study a file."""
