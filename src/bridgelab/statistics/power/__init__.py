"""Power: the difference that a study of a given size finds, and the size that finds a given difference."""
