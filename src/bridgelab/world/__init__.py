"""The built-in world: scenes, questions and captions about them, and the renderer."""
