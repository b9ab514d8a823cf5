"""How a reader is made: lessons from the world's text, and the training of the T5."""
