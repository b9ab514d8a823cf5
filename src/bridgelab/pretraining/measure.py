"""Measure the shipped T5s again where the world's questions have changed since: `python -m bridgelab.pretraining.measure`.

The weights stay as they are; the cards' figures on words, and the page, are written anew.
"""

import json
from pathlib import Path

from transformers import T5ForConditionalGeneration

from bridgelab.pretraining.page import write_page
from bridgelab.pretraining.text import ASSETS, MOST, by_form, evaluate, make_tokenizer
from bridgelab.world.write import GENERATOR


def measure(assets: Path = ASSETS, *, scenes: int = 400) -> list[dict]:
    """Answer the questions of scenes that no training drew, and those of crowded ones.

    Args:
        assets: holds T5s, each in a folder with its card beside it.
        scenes: how many, 23 lessons each.
    Returns:
        The cards.
    """
    cards = []
    for path in sorted(assets.glob("text*_card.json")):
        card = json.loads(path.read_text())
        folder = path.with_name(path.name.removesuffix("_card.json"))
        model = T5ForConditionalGeneration.from_pretrained(folder, local_files_only=True)
        vocabulary = make_tokenizer().get_vocab()
        found = evaluate(model, vocabulary, scenes=scenes, split="test")
        crowded = evaluate(model, vocabulary, scenes=scenes, split="test", objects=(MOST, MOST))
        card["words"] = by_form(found)
        card["words_with_most_objects"] = {"objects": MOST, **by_form(crowded)}
        card["measured_on_generator"] = GENERATOR
        path.write_text(json.dumps(card, indent=1) + "\n")
        cards.append(card)
    write_page(assets)
    return cards


if __name__ == "__main__":
    measure()
