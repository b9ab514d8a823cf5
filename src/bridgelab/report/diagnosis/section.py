"""The page's section on what answers depend on: a question, and each bridge's answer with its maps, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridgelab.report.diagnosis.overlay import overlay_data_url
from bridgelab.report.diagnosis.record import Diagnosis, Map
from bridgelab.report.diagnosis.table import Diagnoses
from bridgelab.report.examples import QuestionCard
from bridgelab.report.formats.html import asset, render
from bridgelab.report.view import read_view
from bridgelab.runs.study import Study


@dataclass(frozen=True)
class AnswerMaps:
    """One run's answer, with maps laid over the question's image as `data:` URLs.

    Args:
        name: the bridge and its seed.
        text: its answer.
        is_right: whether the answer is right.
        occlusion: how much each patch supports the answer.
        attention: where the bridge attends to; None for a bridge without attention.
    """

    name: str
    text: str
    is_right: bool
    occlusion: str
    attention: str | None


@dataclass(frozen=True)
class QuestionMaps:
    """A question by its id, its image as a `data:` URL, and the maps of all bridges."""

    id: str
    prompt: str
    target: str
    picture: str
    answers: tuple[AnswerMaps, ...]


@dataclass(frozen=True)
class _DiagnosedRun:
    name: str
    maps: Mapping[str, Map]  # by question
    is_right: Mapping[str, bool]  # by question


def question_maps(
    study: Study, questions: Sequence[QuestionCard], diagnoses: Diagnoses
) -> list[QuestionMaps]:
    """Collect the maps of those questions that have one image and were diagnosed.

    Args:
        study: says which answers are right.
        questions: the questions on the page.
        diagnoses: of the study; of each bridge the first run with maps is shown.
    """
    runs = [run for bridge in diagnoses if (run := _diagnosed_run(study, bridge, diagnoses[bridge]))]
    return [
        QuestionMaps(question.id, question.prompt, question.target, question.pictures[0], tuple(answers))
        for question in questions
        if len(question.pictures) == 1
        and (answers := [_answer_maps(question, run) for run in runs if question.id in run.maps])
    ]


def section_html(diagnosis: Sequence[QuestionMaps]) -> str:
    """Return the section with its style, for a notebook; empty if there are no maps."""
    if not diagnosis:
        return ""
    return f"<style>{asset('diagnosis.css')}</style>{render('diagnosis.html.jinja', diagnosis=diagnosis)}"


def _diagnosed_run(study: Study, bridge: str, diagnoses: Sequence[Diagnosis]) -> _DiagnosedRun | None:
    """Return the first run of a bridge that has maps, if the study has its record."""
    diagnosis = next((one for one in diagnoses if one.maps), None)
    if diagnosis is None:
        return None
    for run in study.of(bridge):
        if (run.seed, run.data_seed) == (diagnosis.seed, diagnosis.data_seed):
            scores = read_view(run, "image", captions=False)["score"]
            return _DiagnosedRun(
                name=f"{bridge}, seed {run.seed}",
                maps={one.id: one for one in diagnosis.maps},
                is_right={str(id): bool(score >= 0.5) for id, score in scores.items()},
            )
    return None


def _answer_maps(question: QuestionCard, run: _DiagnosedRun) -> AnswerMaps:
    picture, one = question.pictures[0], run.maps[question.id]
    attention = None if one.attention is None else overlay_data_url(picture, one.attention, signed=False)
    return AnswerMaps(
        name=run.name,
        text=one.said,
        is_right=run.is_right.get(question.id, False),
        occlusion=overlay_data_url(picture, one.fall, signed=True),
        attention=attention,
    )
