"""When test questions are too few to tell bridges apart."""

FEWEST = 30  # questions of a kind, and images that they are on, below which intervals span nearly everything


def too_few(questions: int, images: int) -> bool:
    """Return whether this many questions on this many images are too few to estimate how answers vary between them."""
    return min(questions, images) < FEWEST
