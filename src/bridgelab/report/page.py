"""A study as one page that needs no other file: pictures, style and script are inside."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bridgelab.report.diagnosis.section import QuestionMaps
from bridgelab.report.examples import QuestionCard
from bridgelab.report.formats.html import asset, render
from bridgelab.report.table import StudyTables


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Args:
        description: what it shows, for those who cannot see it.
        png: its content.
    """

    description: str
    png: bytes

    @property
    def src(self) -> str:
        """Return the picture as a `data:` URL."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def render_page(
    study: StudyTables,
    pictures: Sequence[Picture],
    *,
    questions: Sequence[QuestionCard] = (),
    diagnosis: Sequence[QuestionMaps] = (),
    purpose: Sequence[tuple[str, str]] = (),
    origin: Sequence[tuple[str, str]] = (),
    command: str = "",
) -> str:
    """Return the page as HTML.

    Args:
        study: heading, verdict, tables and notes.
        pictures: the study's figure, which stands above the tables, and others, which stand between them.
        questions: questions with all answers, to look at.
        diagnosis: what some answers depend on; empty if no run was diagnosed.
        purpose: names and texts of the study's question and hypothesis, if it has them.
        origin: names and values of the study's provenance.
        command: the command that made the study.
    """
    sections = {
        "verdict": ("Verdict", study.verdict),
        "numbers": ("Numbers", True),
        "questions": ("Questions and answers", questions),
        "rests": ("What answers depend on", diagnosis),
        "origin": ("Where it comes from", True),
    }
    kinds = sorted({question.kind for question in questions if question.kind})
    return render(
        "page.html.jinja",
        study=study,
        pictures=pictures,
        questions=questions,
        kinds=[(kind, kind.replace("_", " ")) for kind in kinds],
        diagnosis=diagnosis,
        purpose=purpose,
        origin=origin,
        command=command,
        sections={anchor: title for anchor, (title, content) in sections.items() if content},
        script_hash=base64.b64encode(hashlib.sha256(asset("page.js").encode()).digest()).decode(),
    )
