"""The page beside the miniature pair's weights: how they were trained and how good they are, from the measured cards."""

import json
from pathlib import Path
from typing import Any

from bridgelab.report.formats.markdown import render_markdown
from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.scene import ATTRIBUTES

TEMPLATES = Path(__file__).with_name("templates")
CURVE_ROWS = 10
# By folder: the reader's title, and what its lessons were.
READERS = {
    "text": (
        "schooled (`text=miniature`)",
        "It was taught to read what bridges output: objects at one position, objects in pieces, raster order with filler "
        "and repeats, scenes behind noise. This favours a bridge with one token per patch; no published T5 had such "
        "lessons.",
    ),
    "text_dense": (
        "dense (`text=miniature_dense`)",
        "It has read prose, and then prose where a position holds any number of an object's words, up to all of them. It "
        "was never taught raster order, repeats or noise.",
    ),
    "text_grids": (
        "grids (`bridgelab pretrain text reader=grids`)",
        "The schooled one, after lessons in raster order on 36, 64 and 144 positions.",
    ),
    "text_prose": (
        "prose (`text=miniature_prose`)",
        "It has read prose alone: each word at a position of its own, objects in any order, filler between them. Columns "
        "other than *compact* test what it was never taught.",
    ),
}


def write_page(assets: Path) -> Path:
    """Write `README.md` in `assets` from the cards of the T5s and the ViT there, and return its path."""
    cards = {path.name.removesuffix("_card.json"): path for path in sorted(assets.glob("*_card.json"))}
    content = {name: json.loads(path.read_text()) for name, path in cards.items()}
    vision = content.pop("vision", None)
    page = render_markdown(
        TEMPLATES / "README.md.jinja",
        readers=[_reader(name, card) for name, card in content.items()],
        vision=_vision(vision) if vision else None,
        files=[
            {"name": str(path.relative_to(assets)), "bytes": path.stat().st_size}
            for path in sorted(assets.rglob("*.safetensors"))
            if "warm" not in path.relative_to(assets).parts  # warm starts have a page of their own
        ],
    )
    path = assets / "README.md"
    path.write_text(page)
    return path


def _reader(name: str, card: dict[str, Any]) -> dict[str, Any]:
    """Return what the template prints of a T5."""
    title, lessons = READERS.get(name, (f"`{name}`", "Its card says what its lessons were."))
    forms = card["words"]
    first = next(iter(forms.values()))["families"]
    crowded = card.get("words_with_most_objects")
    curve = _thin(card.get("curve", []))
    curve_columns = [column for column in curve[0] if column not in ("lessons", "loss")] if curve else []
    return {
        "card": {"history": None, "went_on_from": None, "measured_on_generator": None} | card,
        "title": title,
        "lessons": lessons,
        "blurred": any(phase["blur"] for phase in card["recipe"]["phases"]),
        "forms": list(forms),
        "families": [
            {
                "name": family,
                "questions": questions,
                "cells": [_share(*forms[form]["families"][family]) for form in forms],
            }
            for family, (_, questions) in first.items()
        ],
        "questions": _questions(first),
        "means": [f"**{forms[form]['mean']:.3f}**" for form in forms],
        "crowded": crowded
        and {
            "questions": _questions(crowded[next(iter(forms))]["families"]),
            "means": [f"**{crowded[form]['mean']:.3f}**" for form in forms],
        },
        "curve_columns": [
            column.replace("trace/asked", "objects asked about").replace("_", " ") for column in curve_columns
        ],
        "curve": [
            {
                "lessons": row["lessons"],
                "values": [f"{row[column]:.3f}" for column in ("loss", *curve_columns)],
            }
            for row in curve
        ],
    }


def _thin(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return at most CURVE_ROWS validations, evenly spaced, the last among them."""
    rows = min(len(curve), CURVE_ROWS)
    return [curve[round((k + 1) * len(curve) / rows) - 1] for k in range(rows)]


def _questions(families: dict[str, list[float]]) -> int:
    return sum(int(n) for family, (_, n) in families.items() if family in FAMILIES)


def _share(right: int, n: int) -> str:
    p = right / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return f"{p:.3f} ± {half:.3f}"


def _vision(card: dict[str, Any]) -> dict[str, Any]:
    """Return what the template prints of the ViT."""
    probes = []
    for pooling in (name for name in card["probe"] if name != "scenes"):
        figures = card["probe"][pooling]
        for part in ("all", "small", "half_hidden"):
            cells = [_interval(figures[attribute][part]) for attribute in ATTRIBUTES]
            cells += [_interval(figures[axis]) if part == "all" else "" for axis in ("x", "y")]
            probes.append({"pooling": pooling, "part": part.replace("_", " "), "cells": cells})
    return {
        "card": {"history": None, "went_on_from": None, "retrieval": None} | card,
        "attributes": list(ATTRIBUTES),
        "probes": probes,
    }


def _interval(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return ""
    low, high = figure["interval"]
    return f"{figure['value']:.3f} [{low:.3f}, {high:.3f}]"
