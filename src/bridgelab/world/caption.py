"""Captions: every object of a scene, named in an order that the prompt gives."""

from bridgelab.world.scene import Scene
from bridgelab.world.words import attribute_words

ORDERS = {
    "left to right": lambda o: o.x,
    "right to left": lambda o: -o.x,
    "front to back": lambda o: o.y,
    "back to front": lambda o: -o.y,
}


def caption(scene: Scene, order: str = "left to right") -> str:
    """Name all objects in one of `ORDERS`: 'a large red metal cube , a small blue rubber sphere .'

    Raises:
        ValueError: if `order` is not one of `ORDERS`.
    """
    if order not in ORDERS:
        raise ValueError(f"order={order!r}: must be one of {', '.join(ORDERS)}.")
    things = sorted(scene.objects, key=ORDERS[order])
    return " , ".join("a " + " ".join(attribute_words(o)) for o in things) + " ."


def caption_prompt(order: str) -> str:
    """Return the prompt that requests a caption in that order."""
    return f"describe {order}"
