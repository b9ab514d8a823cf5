"""Tables of a study: one statistic a file."""
