"""Measure the shipped T5s again after the world's questions changed: `python -m bridgelab.pretraining.measure`.

The weights stay as they are. The accuracies in the cards, and the page, are written again.
"""

import json
from pathlib import Path

import torch
from transformers import T5ForConditionalGeneration

from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.t5.evaluate import MOST_OBJECTS, card_figures, evaluate
from bridgelab.pretraining.t5.model import make_tokenizer
from bridgelab.text.t5 import ASSETS
from bridgelab.world.write import GENERATOR


def measure(assets: Path = ASSETS, *, scenes: int = 400) -> list[dict]:
    """Answer the questions of scenes that no training drew, and those of scenes with the most objects.

    Args:
        assets: folder with T5s, each in a folder with its card beside it.
        scenes: number of scenes, with 23 lessons each.
    Returns:
        The cards.
    """
    vocabulary = make_tokenizer().get_vocab()
    cards = []
    for path in sorted(assets.glob("text*_card.json")):
        card = json.loads(path.read_text())
        folder = path.with_name(path.name.removesuffix("_card.json"))
        # As runs and trainings have it. The file is in bfloat16, which transformers would keep.
        model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        results = evaluate(model, vocabulary, scenes=scenes, split="test")
        crowded = evaluate(
            model, vocabulary, scenes=scenes, split="test", objects=(MOST_OBJECTS, MOST_OBJECTS)
        )
        card["words"] = card_figures(results)
        card["words_with_most_objects"] = {"objects": MOST_OBJECTS, **card_figures(crowded)}
        card["measured_on_generator"] = GENERATOR
        path.write_text(json.dumps(card, indent=1) + "\n")
        cards.append(card)
    write_page(assets)
    return cards


if __name__ == "__main__":
    measure()
