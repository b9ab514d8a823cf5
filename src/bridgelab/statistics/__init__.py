"""Differences between bridges with what is known of them: contrast, verdict, breakpoint, power."""
