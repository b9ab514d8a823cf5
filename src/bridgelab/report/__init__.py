"""A study as text, figures and a page."""
