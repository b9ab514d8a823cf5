"""One table of a study a file."""
