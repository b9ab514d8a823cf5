"""`bridgelab plan`: what a study can find, by its seeds, from the spread that its runs so far show."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bridgelab.console import get_console
from bridgelab.runs.study import read_study
from bridgelab.statistics.comparison import HEADLINE, differences, pairs, seeing
from bridgelab.statistics.declaration import declaration
from bridgelab.statistics.power.smallest_difference import RANGE, smallest, smallest_range
from bridgelab.statistics.verdict import LEAST_SEEDS, planned

SEEDS = (3, 5, 10)
IMAGES = (1, 4)  # times as many


def plan(study_dir: Path, *, allow: Sequence[str] = (), console: Console | None = None) -> None:
    """Print, for each bridge and kind of question, the smallest difference to the baseline found with 80 % power, in points.

    Beside it stands the range of what that difference may be, these runs' spread being known from few seeds alone.

    Args:
        study_dir: `runs/<study>`, finished in part or whole, with two seeds or more.
        allow: as `read_study` takes it.
        console: where to print; the terminal if not given.
    Raises:
        FileNotFoundError: as `read_study`.
        ValueError: if the baseline or a second bridge is not there, or has one seed.
    """
    study = read_study(study_dir, allow=allow)
    baseline, delta, _ = declaration(study)
    runs_of = {name: len(study.of(name)) for name in seeing(study)}
    if not pairs(study, baseline):
        raise ValueError(
            f"{study.name} has runs of {', '.join(runs_of) or 'no bridge'}: a plan needs {baseline} and another bridge. Run both."
        )
    single = [name for name, runs in runs_of.items() if runs < 2]
    if single:
        raise ValueError(
            f"{', '.join(single)} in {study.name} has 1 seed, which says nothing of the spread over seeds. Run at least 2."
        )
    cells, headline = differences(study, baseline)
    found = cells | {(name, HEADLINE): beyond for name, beyond in headline.items()}
    kinds = list(dict.fromkeys(kind for _, kind in found))
    table = Table(
        title=f"{study.name}: the smallest difference to {baseline} found with 80 % power, points (δ = {100 * delta:g})"
    )
    for head in ("bridge", "seeds", "images"):
        table.add_column(head, justify="left" if head == "bridge" else "right")
    for kind in kinds:
        table.add_column(kind.replace("_", " "), justify="right")
    number = len(set(study.clusters))
    for name in dict.fromkeys(name for name, _ in found):
        for seeds, times in [(seeds, times) for times in IMAGES for seeds in SEEDS]:
            points = []
            for kind in kinds:
                family = len(headline) if kind == HEADLINE else len(cells)
                pilot = found[name, kind]
                # What fewer images find, more do: where seeds alone are left, with their few degrees of freedom, Satterthwaite's
                # number falls faster than the variance.
                least, fewer = min(
                    (float(smallest(planned(pilot, seeds, fewer), delta, family)), fewer)
                    for fewer in IMAGES
                    if fewer <= times
                )
                low, high = smallest_range(pilot, delta, family, seeds=seeds, images=fewer)
                points.append(f"{100 * least:.1f} ({100 * low:.1f}–{100 * high:.1f})")
            first = (seeds, times) == (SEEDS[0], IMAGES[0])
            table.add_row(name if first else "", str(seeds), f"{number * times:,}", *points)
        table.add_section()
    console = console or get_console()
    console.print(table)
    console.print(
        f"Corrected over all {len(cells)} cells (Holm), {len(headline)} of the headline by themselves; with fewer than {LEAST_SEEDS} seeds "
        f"nothing is told. Spread over seeds and images as these runs show it, which is itself uncertain: in brackets, the "
        f"{100 * RANGE:g} % range of what the difference is where other spreads, which may have shown as this one, are the true ones "
        "(`bridgelab calibrate` says how often it holds that)."
    )
