"""How the miniature ViT is made: rendered scenes with captions, the training of a CoCa, and its probes."""
