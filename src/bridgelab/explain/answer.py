"""`bridgelab answer`: one question about one image, to a trained bridge, and a picture of what the answer rests on."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from bridgelab.benchmark.example import Example
from bridgelab.config.instantiate import build
from bridgelab.data.batches import TokenizedExamples
from bridgelab.data.images import read_image
from bridgelab.evaluation.load import load_trained
from bridgelab.evaluation.predict import on_device, predict
from bridgelab.explain.occlusion import fall_maps, with_target
from bridgelab.model import BridgedModel
from bridgelab.printable import printable
from bridgelab.report.figures.style import save

LONGEST = 64  # tokens of an answer


def answer(
    run: Path, images: Sequence[Path], question: str, explain: Path | None = None, *, trust: bool = False
) -> str:
    """Ask, print the answer with its probability, and return it.

    Args:
        run: a finished run's folder.
        images: as many as an example of its benchmark has.
        question: as a person writes it.
        explain: where a picture of the patches that the answer rests on is saved (PNG); None for none.
        trust: as `load_trained` takes it.
    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an image is broken, or the bridge looks at none.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config, backbones, model = load_trained(run, device, trust=trust)
    if backbones.sees != "image":
        raise ValueError(
            f"{run} is of a bridge that sees {backbones.sees}, and no image. Give a run of another bridge."
        )
    pixels = [read_image(path) for path in images]
    backbones.vision.to(device)
    with torch.inference_mode():
        patches = torch.cat(
            [backbones.vision.patches(torch.from_numpy(image)[None]).cpu() for image in pixels], 1
        )
    asked = in_its_words(question, backbones.text)
    kinds = build(config.benchmark, "benchmark").kinds
    decides = "true_false" in kinds and "answer" not in kinds
    room = "true" if decides else " ".join(["."] * LONGEST)
    one = Example(
        "asked",
        ("/asked",),
        in_template(config.benchmark, asked),
        (room,),
        "true_false" if decides else "answer",
    )
    prepared = TokenizedExamples(
        [one], backbones.text, {"/asked": 0}, lambda rows: patches, model.conditioning
    )
    said = predict(model, prepared, [0], batch_size=1)[0].text
    batch = with_target(model, on_device(prepared.batch([0]), model), said)
    strange = [repr(word) for word in backbones.text.unknown(asked.split())]
    without = f"; asked without {', '.join(strange)}, which the T5 does not know" if strange else ""
    print(
        f"{printable(said) or '(nothing)'}   (probability {model.likelihood(batch).exp().item():.2f}{without})"
    )
    if explain is not None:
        save(picture(model, batch, pixels, backbones.vision.grid, backbones.vision.cls, asked, said), explain)
        print(f"{explain}: where the answer's probability falls when patches are replaced by the mean patch")
    return said


def in_template(benchmark: Any, question: str) -> str:
    """The question in the prompt that the benchmark's questions were trained with."""
    template = benchmark.get("question_prompt") or benchmark.get("prompt") or "{question}"
    return re.sub(r"\{\w+\}", lambda _: question, template, count=1)


def in_its_words(question: str, text: Any) -> str:
    """The question, in lower case and with its punctuation apart if the T5 knows more words so."""
    apart = " ".join(re.sub(r"([?,.;:!])", r" \1 ", question.lower()).split())
    strange = text.unknown(question.split())
    return apart if strange and len(text.unknown(apart.split())) <= len(strange) else question


def picture(
    model: BridgedModel,
    batch: dict[str, torch.Tensor],
    pixels: Sequence[np.ndarray],
    grid: tuple[int, int],
    cls: bool,
    question: str,
    said: str,
) -> Figure:
    """Each image, and over it how much the answer's log-probability falls where patches are replaced."""
    falls = fall_maps(model, batch, grid, cls)
    most = float(np.abs(falls).max()) or 1.0
    figure = Figure(figsize=(8.4, 4.1 * len(pixels)), layout="constrained")
    panels = figure.subplots(len(pixels), 2, squeeze=False)
    for (bare, over), image, fall in zip(panels, pixels, falls, strict=True):
        height, width = image.shape[:2]
        for axes in (bare, over):
            axes.imshow(image)
            axes.set_axis_off()
        # Blue and red are told apart by colour-blind readers; white is no effect.
        shown = over.imshow(
            fall,
            extent=(0, width, height, 0),
            cmap="RdBu_r",
            vmin=-most,
            vmax=most,
            alpha=0.6,
            interpolation="nearest",
        )
        figure.colorbar(shown, ax=over, label="fall of log-probability without the patches", shrink=0.85)
    figure.suptitle(f"{question}  →  {said}".replace("$", r"\$"), fontsize=12)
    return figure
