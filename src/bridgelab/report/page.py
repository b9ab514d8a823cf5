"""A study as one page that needs no other file: charts, pictures, style and scripts are inside."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bridgelab.report.answer import answer, compared, missing_runs, without_baseline
from bridgelab.report.caveats import allowed_differences
from bridgelab.report.charts.figure import Figure
from bridgelab.report.charts.palette import row_styles
from bridgelab.report.charts.render import fragment, script
from bridgelab.report.contents import Analysis
from bridgelab.report.diagnosis.section import QuestionMaps, question_maps
from bridgelab.report.evidence import Comparison, evidence
from bridgelab.report.examples import MOST_ON_PAGE, SHOWN, QuestionCard, examples_json, select_examples
from bridgelab.report.formats.html import asset, render
from bridgelab.report.matrix import Matrix
from bridgelab.report.notes import on_missing_runs, on_the_gap
from bridgelab.report.provenance import provenance, purpose, reproduction
from bridgelab.report.sections import Section, sections
from bridgelab.report.table import Table
from bridgelab.report.tables.verdict import outlier_seeds, verdict_sentences, verdict_table


@dataclass(frozen=True)
class Page:
    """What a study's page shows.

    Args:
        heading: the study and its benchmark.
        question: what the study asks.
        hypothesis: what was expected, if the study says so.
        answer: one or two sentences; empty without a verdict.
        compared: one sentence on what was compared.
        warnings: what stands against trusting the answer, each as a sentence and more about it.
        matrix: the verdict; None without one.
        evidence: of each row of the matrix.
        verdict: every outcome in a sentence, and how outcomes are decided.
        differences: the numbers of the matrix.
        sections: figures with their numbers.
        maps: what some answers depend on; empty if no run was diagnosed.
        questions: questions with all answers as JSON; empty if there are none.
        examples_note: how many of the study's questions these are.
        caveats: what the results hold for.
        origin: names and values of the study's provenance.
        command: what made the study.
    """

    heading: str
    question: str
    hypothesis: tuple[str, ...]
    answer: tuple[str, ...]
    compared: str
    warnings: tuple[tuple[str, str], ...]
    matrix: Matrix | None
    evidence: tuple[Comparison, ...]
    verdict: tuple[str, ...]
    differences: tuple[Table, ...]
    sections: tuple[Section, ...]
    maps: tuple[QuestionMaps, ...]
    questions: str
    examples_note: str
    caveats: tuple[str, ...]
    origin: tuple[tuple[str, str], ...]
    command: str

    @property
    def figure(self) -> Figure | None:
        """The study's own picture: the first figure."""
        return next((section.figure for section in self.sections if section.figure), None)

    @property
    def delta(self) -> str:
        """The least difference that matters, in points."""
        return f"{self.matrix.delta:g}" if self.matrix else ""

    @property
    def limited(self) -> bool:
        """Whether an outcome holds at this budget only."""
        return self.matrix is not None and any(cell.limited for cell in self.matrix.cells.values())


def study_page(analysis: Analysis) -> Page:
    """Gather what the page of a study shows."""
    study, summary, judged = analysis.study, analysis.summary, analysis.verdict
    asked = dict(purpose(study))
    table, comparisons = evidence(analysis)
    cards = select_examples(study, most=MOST_ON_PAGE)
    maps = question_maps(study, cards[:SHOWN], analysis.diagnoses)
    default = (
        f"Where does {judged.baseline} break?"
        if judged
        else f"What do these bridges answer on {summary.benchmark}?"
    )
    return Page(
        heading=summary.heading,
        question=asked.get("question") or default,
        hypothesis=(asked["hypothesis"],) if "hypothesis" in asked else (),
        answer=answer(table) if table else without_baseline(study),
        compared=compared(summary),
        warnings=tuple(_warnings(analysis)),
        matrix=table,
        evidence=tuple(comparisons),
        verdict=tuple(verdict_sentences(judged)) if judged else (),
        differences=(verdict_table(judged),) if judged else (),
        sections=tuple(sections(analysis)),
        maps=tuple(maps),
        questions=examples_json(study, cards, [one.id for one in maps]) if cards else "",
        examples_note=_examples_note(cards, summary.questions["all"] if cards else 0),
        caveats=(*summary.caveats, *([] if any(row.gap for row in summary.rows) else [on_the_gap(summary)])),
        origin=tuple(provenance(study)),
        command=reproduction(study),
    )


def render_page(page: Page) -> str:
    """Return the page as HTML. The texts of a record are escaped; scripts are allowed by their hashes alone."""
    scripts = [Markup(script()), asset("page.js")] if page.sections or page.evidence else [asset("page.js")]
    styles = row_styles([comparison.comparator for comparison in page.evidence])
    return render(
        "page.html.jinja",
        page=page,
        fragment=fragment,
        colour=lambda name: styles[name].colour,
        scripts=scripts,
        script_hashes=[base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts],
    )


def _warnings(analysis: Analysis) -> list[tuple[str, str]]:
    found = []
    for text in (*allowed_differences(analysis.study), *outlier_seeds(analysis.study)):
        first, _, more = text.partition(". ")
        found.append((f"{first.rstrip('.')}.", more))
    if said := missing_runs(analysis.summary):
        found.append((said, " ".join(on_missing_runs(analysis.summary))))
    return found


def _examples_note(cards: Sequence[QuestionCard], questions: int) -> str:
    if len(cards) < questions:
        return f"{len(cards):,} of {questions:,} questions, chosen so that every pattern of right and wrong answers is among them."
    return f"All {questions:,} questions."
