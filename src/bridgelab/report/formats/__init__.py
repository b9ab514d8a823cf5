"""Tables of a study as text: one format a file."""
