"""Recorded answers in the formats of other evaluation tools. Free of torch."""

FORMATS = ("lmms-eval", "inspect", "rliable", "csv")
