"""Scenes in words, which the ceiling `words` reads instead of images."""

from collections.abc import Iterable, Sequence

from bridgelab.benchmark.example import Example
from bridgelab.world.layout import write_patch_like


class NoSceneWords(ValueError):
    """A benchmark's images have no scene in words."""


def scene_words(
    examples: Iterable[Example], images: Sequence[str], benchmark: str, *, patch_like: bool
) -> list[str]:
    """Return the scene of each image in words.

    Args:
        examples: of these images.
        images: paths.
        benchmark: its name, for messages.
        patch_like: reorder the words as patches would give them.
    Raises:
        NoSceneWords: if an image has no scene in words.
        TooManyWords: if a scene has more words than patches.
    """
    scenes = {e.images[0]: e.words for e in examples if e.words is not None}
    if len(scenes) < len(images):
        raise NoSceneWords(
            f"benchmark {benchmark} has images without their scene in words, which "
            "bridge=words reads. Choose a benchmark with annotated scenes, such as benchmark=world."
        )
    return [write_patch_like(scenes[path]) if patch_like else scenes[path] for path in images]
