"""The page beside the miniature pair's weights: how they were made and how good they are, from the measured cards."""

import json
from pathlib import Path

from bridgelab.world.questions.families import FAMILIES
from bridgelab.world.scene import ATTRIBUTES

# By folder: the reader's name, and what its lessons were.
READERS = {
    "text": (
        "schooled (`text=miniature`)",
        "It was taught to read what bridges hand over: objects at one position, objects in pieces, raster order with filler "
        "and repeats, scenes behind noise. This favours a bridge with one token a patch; no published T5 had such lessons.",
    ),
    "text_dense": (
        "dense (`text=miniature_dense`)",
        "It has read prose, and then prose where a position holds any number of an object's words, up to all of them. It "
        "was never taught raster order, repeats or noise.",
    ),
    "text_prose": (
        "prose (`text=miniature_prose`)",
        "It has read prose alone: each word at a position of its own, objects in any order, filler between them. Columns "
        "other than *compact* ask for what it was never taught.",
    ),
}


def write_page(assets: Path) -> Path:
    """Write `README.md` in `assets` from the cards of T5s and ViT that are there."""
    parts = [
        "# The miniature pair\n\n"
        "A ViT (open_clip's own class) and a T5 (transformers' own), made from nothing by `make pretrain` and then frozen: "
        "the ViT has seen rendered scenes with captions and never a question, the T5 has read text and never seen an "
        "image. This page is written by `bridgelab.pretraining.page` from the cards beside it; every figure is from "
        "scenes that no pre-training drew.\n"
    ]
    readers = {path.name.removesuffix("_card.json"): path for path in sorted(assets.glob("text*_card.json"))}
    parts += [_text(READERS[name], json.loads(path.read_text())) for name, path in readers.items()]
    if (vision := assets / "vision_card.json").exists():
        parts.append(_vision(json.loads(vision.read_text())))
    sizes = {str(p.relative_to(assets)): p.stat().st_size for p in sorted(assets.rglob("*.safetensors"))}
    listed = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items())
    parts.append(f"## Size\n\n{listed}; {sum(sizes.values()) / 1e6:.1f} MB in all.\n")
    page = assets / "README.md"
    page.write_text("\n".join(parts))
    return page


def _text(reader: tuple[str, str], card: dict) -> str:
    forms = card["words"]
    name, lessons = reader
    blurred = any(phase["blur"] for phase in card["recipe"]["phases"])
    lines = [
        f"## T5: {name}\n",
        f"{lessons}\n",
        f"Fingerprint `{card['fingerprint']}`. "
        f"{card['parameters'] / 1e6:.2f} M parameters, seed {card['seed']}, {card['minutes']} minutes on "
        f"{_threads(card)} (wall clock), "
        f"{card['lessons']:,} lessons (questions, captions, look-ups) in {card['steps']:,} steps{_before(card)}.\n",
        "A lesson's target is the answer (or caption) alone, and what ships is a plain T5. While it was made, linear heads "
        "on the encoder's blocks also had to tell, for each word of the question, which set of objects it "
        "describes, for each word of the scene, all words of its object, and in which of the program's sets that is "
        "(`pretraining/traces.py`): deep supervision, from text and programs. The heads are thrown away."
        + blurred
        * (
            " A share of the scenes stood behind noise of any strength (`blurred` in `pretraining/text.py`), so that vague "
            "vectors, a bridge's first, are read as vague."
        )
        + "\n",
        *([f"{card['history'][0].upper()}{card['history'][1:]}\n"] if "history" in card else []),
        "The scene in words is written in two forms, *compact* (each object once, in any order) and *patch-like* (raster "
        "order on 64 positions, with filler and repeats), and each of them in two ways: in ordinary phrases, six words "
        "an object (size, colour, material, shape, column, row), each at a position of its own; and, in the columns "
        "*objects*, with one position an object, the sum of its words' embeddings, as a bridge with few tokens may hand it "
        "over.\n",
        f"Share of test questions{_generator(card)} answered right from the scene in words (greedy), with 95 % interval "
        "(normal approximation over questions):\n",
        "| family | questions | " + " | ".join(form.replace("_", " ") for form in forms) + " |",
        "|---" * (2 + len(forms)) + "|",
    ]
    first = next(iter(forms.values()))["families"]
    for family, (_, n) in first.items():
        cells = [_share(*forms[form]["families"][family]) for form in forms]
        lines.append(f"| {family} | {n} | " + " | ".join(cells) + " |")
    means = [f"**{forms[form]['mean']:.3f}**" for form in forms]
    lines.append(f"| mean over the question families | {_questions(first)} | " + " | ".join(means) + " |")
    if crowded := card.get("words_with_most_objects"):
        asked = _questions(crowded[next(iter(forms))]["families"])
        means = [f"**{crowded[form]['mean']:.3f}**" for form in forms]
        lines.append(
            f"| the same, {crowded['objects']} objects in every scene | {asked} | {' | '.join(means)} |"
        )
    lines.append("")
    return "\n".join(lines + _curve(card.get("curve", [])))


def _generator(card: dict) -> str:
    """Which version of the world's questions the figures are of, where the card says so."""
    found = card.get("measured_on_generator")
    return f" (generator {found} of `world/write.py`)" if found else ""


def _questions(families: dict[str, list[float]]) -> int:
    return sum(int(n) for family, (_, n) in families.items() if family in FAMILIES)


def _curve(points: list[dict[str, float]]) -> list[str]:
    """Some validations on the way, evenly spaced, the last among them."""
    if not points:
        return []
    most = min(len(points), 10)
    shown = [points[round((k + 1) * len(points) / most) - 1] for k in range(most)]
    names = [name for name in points[0] if name not in ("lessons", "loss")]
    heads = [name.replace("trace/asked", "objects asked about").replace("_", " ") for name in names]
    return [
        "On the way (validation scenes; the mean over families in each form; loss of the lessons since the last line; "
        "share of objects rightly told to be asked about, or not):\n",
        f"| lessons | loss | {' | '.join(heads)} |",
        "|---" * (2 + len(names)) + "|",
        *(
            f"| {p['lessons']:,} | {p['loss']:.3f} | {' | '.join(f'{p[name]:.3f}' for name in names)} |"
            for p in shown
        ),
        "",
    ]


def _threads(card: dict) -> str:
    return {None: "a GPU", 1: "one CPU thread"}.get(card["threads"], f"{card['threads']} CPU threads")


def _before(card: dict) -> str:
    earlier = card.get("went_on_from")
    if not earlier:
        return ", from nothing"
    return f", on top of {earlier['minutes']} minutes and {earlier['lessons']:,} lessons{_before(earlier)}"


def _share(right: int, n: int) -> str:
    p = right / n
    half = 1.96 * (p * (1 - p) / n) ** 0.5
    return f"{p:.3f} ± {half:.3f}"


def _vision(card: dict) -> str:
    lines = [
        "## ViT\n",
        f"Fingerprint `{card['fingerprint']}`. "
        f"{card['parameters'] / 1e6:.2f} M parameters, seed {card['seed']}, {card['training_minutes']} minutes on "
        f"{_threads(card)} (wall clock), "
        f"{card['images_seen']:,} images seen of {card['scenes']:,} rendered scenes, {card['steps']:,} steps{_images_before(card)}.\n",
        *([f"{card['history'][0].upper()}{card['history'][1:]}\n"] if "history" in card else []),
        "Ridge probes from patch features (95 % intervals over images): *centre* reads the one patch at the object's "
        "centre, *mask* the mean over the patches under its pixels, weighted by how many, *around* the centre's patch and its "
        "eight neighbours side by side, since an object lies on several and each tells a part.\n",
        "| patch | objects | " + " | ".join(ATTRIBUTES) + " | R² x | R² y |",
        "|---" * (4 + len(ATTRIBUTES)) + "|",
    ]
    for pooling in (name for name in card["probe"] if name != "scenes"):
        found = card["probe"][pooling]
        for part in ("all", "small", "half_hidden"):
            cells = [_interval(found[a][part]) for a in ATTRIBUTES]
            cells += [_interval(found[k]) if part == "all" else "" for k in ("x", "y")]
            lines.append(f"| {pooling} | {part.replace('_', ' ')} | " + " | ".join(cells) + " |")
    if "retrieval" in card:
        found = card["retrieval"]
        lines.append(
            f"\nZero-shot retrieval among {found['scenes']:,} scenes (a sanity figure; by chance {1 / found['scenes']:.4f}): an "
            f"image finds its caption first {found['image_to_caption']:.3f} of the time, a caption its image "
            f"{found['caption_to_image']:.3f}."
        )
    return "\n".join([*lines, ""])


def _images_before(card: dict) -> str:
    earlier = card.get("went_on_from")
    return (
        f", on top of {earlier['training_minutes']} minutes and {earlier['images_seen']:,} images"
        if earlier
        else ""
    )


def _interval(found: dict) -> str:
    if found["value"] is None:
        return ""
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"
