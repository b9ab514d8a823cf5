"""`bridgelab answer`: print a trained bridge's answer to a question, and draw what the answer rests on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bridgelab.evaluation.question_file import answer_line, batches, read_questions
from bridgelab.evaluation.trained_bridge import Answer, TrainedBridge, as_pixels, load_bridge
from bridgelab.explain.occlusion import occlusion_maps
from bridgelab.printable import printable
from bridgelab.progress import Progress


def answer(
    run: Path | TrainedBridge,
    images: Sequence[Path],
    question: str,
    explain: Path | None = None,
    *,
    trust: bool = False,
) -> str:
    """Ask a bridge, print its answer with the answer's probability, and return the answer.

    Args:
        run: a finished run's folder, or a bridge that is loaded.
        images: as many as an example of its benchmark has.
        question: in plain words.
        explain: PNG to write with the patches that the answer rests on; None for none.
        trust: see `load_bridge`.
    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an image is broken, or the bridge reads no image.
    """
    pixels = [as_pixels(path) for path in images]  # before a model is loaded
    bridge = run if isinstance(run, TrainedBridge) else load_bridge(run, trust=trust)
    result = bridge.answer(pixels, question)
    without = f"; {result.unread}" if result.unread else ""
    print(f"{printable(result.text) or '(nothing)'}   (probability {result.probability:.2f}{without})")
    if explain is not None:
        draw_evidence(bridge, pixels, result).savefig(explain, dpi=150, format="png", facecolor="white")
        print(f"{explain}: where the answer's probability falls when patches are replaced by the mean patch")
    return result.text


def answer_file(run: Path | TrainedBridge, questions: Path, *, batch_size: int, trust: bool = False) -> None:
    """Answer each question of a JSONL file, and print the answers as JSONL, in its order.

    Args:
        run: a finished run's folder, or a bridge that is loaded already.
        questions: a file as `evaluation.question_file.read_questions` reads it.
        batch_size: questions that are answered together.
        trust: see `load_bridge`.
    Raises:
        ValueError: if a line of the file is wrong, before a model is loaded; or an image is broken.
    """
    asked = read_questions(questions)
    bridge = run if isinstance(run, TrainedBridge) else load_bridge(run, trust=trust)
    with Progress("answering", len(asked), "questions") as progress:
        for batch in batches(asked, batch_size):
            answers = bridge.answer_all([(one.images, one.question) for one in batch])
            for one, answer in zip(batch, answers, strict=True):
                print(answer_line(one, answer.text, answer.probability, answer.unknown_words), flush=True)
            progress.to(progress.done + len(batch))


def draw_evidence(bridge: TrainedBridge, pixels: Sequence[np.ndarray], answer: Answer) -> Figure:
    """Draw each image, and beside it how much the answer's log-probability falls where patches are replaced.

    Args:
        bridge: the bridge that answered.
        pixels: the images that it was asked about, uint8 [height, width, 3].
        answer: what it answered.
    """
    vision = bridge.backbones.vision
    falls = occlusion_maps(bridge.model, answer.batch, vision.grid, vision.cls)
    most = float(np.abs(falls).max()) or 1.0
    figure = Figure(figsize=(8.4, 4.1 * len(pixels)), layout="constrained")
    panels = figure.subplots(len(pixels), 2, squeeze=False)
    for (bare, over), image, fall in zip(panels, pixels, falls, strict=True):
        height, width = image.shape[:2]
        for axes in (bare, over):
            axes.imshow(image)
            axes.set_axis_off()
        # Blue and red are told apart by colour-blind readers; white is no effect.
        heatmap = over.imshow(
            fall,
            extent=(0, width, height, 0),
            cmap="RdBu_r",
            vmin=-most,
            vmax=most,
            alpha=0.6,
            interpolation="nearest",
        )
        figure.colorbar(heatmap, ax=over, label="fall of log-probability without the patches", shrink=0.85)
    figure.suptitle(f"{answer.question}  →  {answer.text}".replace("$", r"\$"), fontsize=12)
    return figure
