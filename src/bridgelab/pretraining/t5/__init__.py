"""How the miniature T5s are made: lessons from the world's text, and their training."""
