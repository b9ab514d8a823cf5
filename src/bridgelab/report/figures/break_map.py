"""The picture of a break map: one panel a comparator, a row a level, a column a kind of question."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from bridgelab.report.figures.style import LOOKS, plain
from bridgelab.report.table import signed
from bridgelab.statistics.break_map import BreakMap
from bridgelab.statistics.verdict import AT_BUDGET, CANNOT_TELL, Finding


def draw_map(found: BreakMap) -> Figure:
    """Each cell has the difference in points, its outcome's colour and its sign; a row that is empty says why."""
    names, levels, kinds = found.comparators, found.levels, found.kinds
    longest = max(map(len, levels))
    width = 1.35 * len(kinds) + 0.085 * longest + 0.6
    figure = Figure(figsize=(width, (0.62 * len(levels) + 0.75) * len(names) + 0.7), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        for row, level in enumerate(levels):
            why = found.empty.get((name, level))
            _row(axes, row, [None if why else found.cells.get((name, level, kind)) for kind in kinds], why)
        axes.set_xlim(0, len(kinds))
        axes.set_ylim(len(levels), 0)
        axes.set_xticks(
            [k + 0.5 for k in range(len(kinds))], [plain(kind.replace("_", " ")) for kind in kinds]
        )
        axes.set_yticks([k + 0.5 for k in range(len(levels))], [plain(level) for level in levels])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(
            plain(f"{found.baseline} − {name}, points"), loc="left", fontsize=11, fontweight="bold"
        )
    looks = [
        Patch(facecolor=colour, edgecolor="#555555", label=f"{sign} {outcome}")
        for outcome, (colour, sign) in LOOKS.items()
    ]
    dashed = Patch(facecolor="white", edgecolor="#333333", linestyle="--", label=AT_BUDGET)
    figure.legend(handles=[*looks, dashed], loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    return figure


def _row(axes: Axes, row: int, findings: Sequence[Finding | None], why: str | None) -> None:
    if why:
        axes.text(
            len(findings) / 2,
            row + 0.5,
            f"empty: {why}",
            ha="center",
            va="center",
            fontsize=8,
            color="#555555",
        )
        return
    for column, finding in enumerate(findings):
        if finding is None:
            continue
        colour, sign = LOOKS[finding.outcome]
        dashed = finding.at_budget and finding.outcome != CANNOT_TELL
        axes.add_patch(
            Rectangle(
                (column + 0.03, row + 0.06), 0.94, 0.88, facecolor=colour, edgecolor="#333333" if dashed else "#BBBBBB",
                linestyle="--" if dashed else "-", linewidth=1.2 if dashed else 0.8,
            )
        )  # fmt: skip
        text = f"{sign} {signed(100 * float(finding.contrast.value), 1)}"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=10)
