"""`bridgelab answer`: print a trained bridge's answer to a question, and draw what the answer rests on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridgelab.evaluation.question_file import answer_line, batches, read_questions
from bridgelab.evaluation.trained_bridge import Answer, TrainedBridge, as_pixels, load_bridge
from bridgelab.explain.occlusion import occlusion_maps
from bridgelab.printable import printable
from bridgelab.progress import Progress
from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.render import to_png
from bridgelab.report.charts.saliency import saliency_figure


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
        explain.write_bytes(to_png(answer_figure(bridge, pixels, result)))
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


def answer_figure(bridge: TrainedBridge, pixels: Sequence[np.ndarray], answer: Answer) -> Figure:
    """Return each image, and beside it how much the answer's log-probability falls where patches are replaced.

    Args:
        bridge: the bridge that answered.
        pixels: the images that it was asked about, uint8 [height, width, 3].
        answer: what it answered.
    """
    vision = bridge.backbones.vision
    falls = occlusion_maps(bridge.model, answer.batch, vision.grid, vision.cls)
    return saliency_figure(pixels, list(falls), question=answer.question, answer=answer.text)
