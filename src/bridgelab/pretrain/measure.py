"""Measure the shipped T5 again where the world's questions have changed since: `python -m bridgelab.pretrain.measure`.

The weights stay as they are; the card's figures on words, and the page, are written anew.
"""

import json
from pathlib import Path

from transformers import T5ForConditionalGeneration

from bridgelab.pretrain.page import write_page
from bridgelab.pretrain.text import ASSETS, MOST, by_form, evaluate, make_tokenizer
from bridgelab.world.write import GENERATOR


def measure(assets: Path = ASSETS, *, scenes: int = 400) -> dict:
    """Answer the questions of scenes that no training drew, and those of crowded ones.

    Args:
        assets: holds the T5's folder `text` and its card.
        scenes: how many, 23 lessons each.
    Returns:
        The card.
    """
    path = assets / "text_card.json"
    card = json.loads(path.read_text())
    model = T5ForConditionalGeneration.from_pretrained(assets / "text", local_files_only=True)
    vocabulary = make_tokenizer().get_vocab()
    found = evaluate(model, vocabulary, scenes=scenes, split="test")
    crowded = evaluate(model, vocabulary, scenes=scenes, split="test", objects=(MOST, MOST))
    card["words"] = by_form(found)
    card["words_with_most_objects"] = {"objects": MOST, **by_form(crowded)}
    card["measured_on_generator"] = GENERATOR
    path.write_text(json.dumps(card, indent=1) + "\n")
    write_page(assets)
    return card


if __name__ == "__main__":
    measure()
