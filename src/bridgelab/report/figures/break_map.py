"""The picture of a break map: one panel per comparator, one row per level, one column per kind of question."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from bridgelab.report.figures.style import OUTCOMES, escape_mathtext
from bridgelab.report.table import format_signed
from bridgelab.statistics.break_map import BreakMap
from bridgelab.statistics.verdict import AT_BUDGET, CANNOT_TELL, Finding


def draw_break_map(cells: BreakMap) -> Figure:
    """Draw each cell with the difference in points and its outcome's colour and sign; a row without cells says why."""
    names, levels, kinds = cells.comparators, cells.levels, cells.kinds
    width = 1.35 * len(kinds) + 0.085 * max(map(len, levels)) + 0.6
    height = (0.62 * len(levels) + 0.75) * len(names) + 0.7
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        for row, level in enumerate(levels):
            if reason := cells.empty.get((name, level)):
                _draw_reason(axes, row, len(kinds), reason)
            else:
                _draw_row(axes, row, [cells.cells.get((name, level, kind)) for kind in kinds])
        axes.set_xlim(0, len(kinds))
        axes.set_ylim(len(levels), 0)
        columns = [escape_mathtext(kind.replace("_", " ")) for kind in kinds]
        axes.set_xticks([k + 0.5 for k in range(len(kinds))], columns)
        axes.set_yticks([k + 0.5 for k in range(len(levels))], [escape_mathtext(level) for level in levels])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        title = escape_mathtext(f"{cells.baseline} − {name}, points")
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    outcomes = [
        Patch(facecolor=colour, edgecolor="#555555", label=f"{sign} {outcome}")
        for outcome, (colour, sign) in OUTCOMES.items()
    ]
    dashed = Patch(facecolor="white", edgecolor="#333333", linestyle="--", label=AT_BUDGET)
    figure.legend(handles=[*outcomes, dashed], loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    return figure


def _draw_reason(axes: Axes, row: int, columns: int, reason: str) -> None:
    axes.text(
        columns / 2, row + 0.5, f"empty: {reason}", ha="center", va="center", fontsize=8, color="#555555"
    )


def _draw_row(axes: Axes, row: int, findings: Sequence[Finding | None]) -> None:
    for column, finding in enumerate(findings):
        if finding is None:
            continue
        colour, sign = OUTCOMES[finding.outcome]
        dashed = finding.at_budget and finding.outcome != CANNOT_TELL
        axes.add_patch(
            Rectangle(
                (column + 0.03, row + 0.06),
                0.94,
                0.88,
                facecolor=colour,
                edgecolor="#333333" if dashed else "#BBBBBB",
                linestyle="--" if dashed else "-",
                linewidth=1.2 if dashed else 0.8,
            )
        )
        text = f"{sign} {format_signed(100 * float(finding.contrast.value), 1)}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=10)
