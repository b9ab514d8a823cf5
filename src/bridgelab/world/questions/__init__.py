"""Questions about a scene: families, functional programs, wording, and the balance of answers."""
