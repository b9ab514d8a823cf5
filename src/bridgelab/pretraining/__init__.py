"""How the miniature pair is made."""
