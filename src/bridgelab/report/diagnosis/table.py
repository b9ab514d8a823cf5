"""A study's diagnoses as tables: bridges beside each other, over their seeds and images."""

from collections.abc import Mapping, Sequence

from bridgelab.report.diagnosis.record import READ, Diagnosis, number
from bridgelab.report.table import NONE, Cell, Table, decimal, percent
from bridgelab.statistics.estimate import Estimate
from bridgelab.world.scene import ATTRIBUTES

Diagnoses = Mapping[str, Sequence[Diagnosis]]
WORDS = 6  # nearest words of a bridge that are printed

# Columns by number; "%" is a share, "" a number with two decimals.
SELECTION = (
    ("visited objects", "selection/visited", ""),
    ("as many of other objects", "selection/others", ""),
    ("as many of background", "selection/background", ""),
    ("as many at random", "selection/random", ""),
    ("selection, %", "selection/selection", "%"),
    ("at random it would be, %", "selection/base", "%"),
)
ATTENTION = (
    ("visited objects", "attention/visited", "%"),
    ("other objects", "attention/others", "%"),
    ("background", "attention/background", "%"),
)
CLUTTER = (
    ("accuracy without, %", "clutter/plain", "%"),
    ("accuracy with, %", "clutter/cluttered", "%"),
    ("cost, points", "clutter/cost", "%"),
    ("cost, nats", "clutter/likelihood_cost", ""),
)
RANK = (
    ("within an image", "rank/within_image", ""),
    ("over all images", "rank/over_images", ""),
)
BESIDE = (
    ("cosine with the nearest word", "words/cosine", ""),
    ("of a word with its nearest", "words/cosine_of_words", ""),
    ("gap of the means", "words/gap", ""),
    ("nearest word in the scene, %", "words/named", "%"),
    ("in another scene, %", "words/named_elsewhere", "%"),
)
SEEN = {
    "own": "its own patch",
    "beside": "nearest background",
    "apart": "farthest background",
    "guessed": "no patch: a guess",
}


def diagnosis_tables(found: Diagnoses) -> list[Table]:
    """The tables, those that there are numbers for."""
    grids = [
        _grid(
            found,
            "Selection (causal): fall of the right answer's log-probability without the patches of …, nats",
            SELECTION,
        ),
        _grid(found, "Attention (a description, no cause): its share on the patches of …, %", ATTENTION),
        _grid(found, "Noise: the same questions with and without clutter", CLUTTER),
        _background(found),
        _probes(found),
        _grid(found, "Bottleneck: effective rank of the tokens", RANK),
        _words(found),
    ]
    return [grid for grid in grids if grid]


def _cell(estimate: Estimate | None, unit: str) -> Cell:
    if estimate is None:
        return Cell(NONE)
    return percent(estimate) if unit == "%" else decimal(estimate)


def _grid(found: Diagnoses, title: str, columns: Sequence[tuple[str, str, str]]) -> Table | None:
    rows = []
    for bridge, runs in found.items():
        cells = [_cell(number(runs, name), unit) for _, name, unit in columns]
        if any(cell.text != NONE for cell in cells):
            rows.append(("bridge", (Cell(bridge), *cells)))
    return Table(title, ("bridge", *(head for head, _, _ in columns)), tuple(rows)) if rows else None


def _background(found: Diagnoses) -> Table | None:
    """Of the frozen encoder, so the same for all bridges of a study: the first one's."""
    rows = []
    for runs in list(found.values())[:1]:
        for name in SEEN:
            cells = [_cell(number(runs[:1], f"background/{name}/{one}"), "%") for one in ATTRIBUTES]
            if any(cell.text != NONE for cell in cells):
                rows.append(("patch", (Cell(SEEN[name]), *cells)))
    title = "Noise: what a linear probe reads of an object off one patch of the encoder, % right"
    return Table(title, ("patch", *ATTRIBUTES), tuple(rows)) if rows else None


def _probes(found: Diagnoses) -> Table | None:
    def row(role: str, label: str, runs: Sequence[Diagnosis], of: str) -> tuple[str, tuple[Cell, ...]]:
        cells = [_cell(number(runs, f"probe/{of}/{one}"), "" if one == "place" else "%") for one in READ]
        return role, (Cell(label), *cells)

    bridges = {
        name: runs for name, runs in found.items() if all("probe/tokens/occupied" in r.numbers for r in runs)
    }
    if not bridges:
        return None
    first = next(iter(bridges.values()))[:1]
    rows = [
        row("floor", "no features: a guess", first, "guessed"),
        row("ceiling", "patches, before the bridge", first, "patches"),
        *(row("bridge", name, runs, "tokens") for name, runs in bridges.items()),
    ]
    heads = ("read from", *("place, R²" if name == "place" else name for name in READ))
    return Table("Bottleneck: what linear probes read of the objects, % right", heads, tuple(rows))


def _words(found: Diagnoses) -> Table | None:
    grid = _grid(found, "Modality gap: tokens beside the T5's word embeddings", BESIDE)
    if grid is None:
        return None
    rows = []
    for role, cells in grid.rows:
        said = ", ".join(word for word, _ in found[cells[0].text][0].words[:WORDS])
        rows.append((role, (*cells, Cell(said))))
    return Table(grid.title, (*grid.heads, "nearest words, the most frequent first"), tuple(rows))


def diagnosis_notes(found: Diagnoses) -> list[str]:
    """What the tables' numbers are, how many examples stand behind them, and what could not be told."""
    if not found:
        return []
    one = next(iter(found.values()))[0]
    notes = []
    if "questions" in one.counts:
        notes.append(
            f"Selection: {one.counts['questions']} questions that visit an object. Patches are replaced by the mean patch before "
            "the bridge. Selection is the share of the fall that patches of visited objects make, when they, those of other "
            "objects and the background are each replaced whole; – where there is no fall to share out. Attention is no "
            "cause: what is attended to need not be used."
        )
    if "fields" in one.counts:
        notes.append(
            f"Probes: fitted on {one.counts['fit']} training images, judged on {one.counts['images']} test images "
            f"({one.counts['fields']} objects that are alone in one of 16 fields). A bridge that is told the question is told to "
            "describe the image here."
        )
    if "objects" in one.counts:
        notes.append(
            f"One patch of the encoder: {one.counts['objects']} objects. Where an object can be read off the background, that "
            "background is no mere noise."
        )
    reasons = dict.fromkeys(
        f"{name}: {reason}"
        for runs in found.values()
        for run in runs
        for name, reason in run.left_out.items()
    )
    notes += [f"Not told of {reason}." for reason in reasons]
    seeds = {name: len(runs) for name, runs in found.items()}
    notes.append(
        "Inside the bridges: ranges are 95 % intervals over "
        + ("seeds and images" if max(seeds.values()) > 1 else "images")
        + f"; runs: {', '.join(f'{name} {count}' for name, count in seeds.items())}."
    )
    return notes
