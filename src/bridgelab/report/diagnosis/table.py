"""A study's diagnoses as tables: bridges side by side, pooled over their seeds and images."""

from collections.abc import Iterable, Mapping, Sequence, Sized

from bridgelab.report.diagnosis.record import PROBE_TARGETS, Diagnosis, pooled_number
from bridgelab.report.table import NONE, Cell, Cells, Table, decimal_cell, percent_cell
from bridgelab.statistics.estimate import Estimate
from bridgelab.world.scene import ATTRIBUTES

Diagnoses = Mapping[str, Sequence[Diagnosis]]  # by row, one per run
MOST_WORDS = 6  # nearest words that are printed per bridge

# (column, name of the number, unit): "%" for a share, "" for a number with two decimals.
Columns = Sequence[tuple[str, str, str]]
SELECTION: Columns = (
    ("visited objects", "selection/visited", ""),
    ("as many of other objects", "selection/others", ""),
    ("as many of background", "selection/background", ""),
    ("as many at random", "selection/random", ""),
    ("selection, %", "selection/selection", "%"),
    ("at random it would be, %", "selection/base", "%"),
)
ATTENTION: Columns = (
    ("visited objects", "attention/visited", "%"),
    ("other objects", "attention/others", "%"),
    ("background", "attention/background", "%"),
)
QUESTION: Columns = (
    ("accuracy told the question, %", "question/own", "%"),
    ("told another example's, %", "question/another", "%"),
    ("loss, points", "question/loss", "%"),
    ("loss, nats", "question/likelihood_loss", ""),
)
CLUTTER: Columns = (
    ("accuracy without, %", "clutter/plain", "%"),
    ("accuracy with, %", "clutter/cluttered", "%"),
    ("cost, points", "clutter/cost", "%"),
    ("cost, nats", "clutter/likelihood_cost", ""),
)
RANK: Columns = (
    ("within an image", "rank/within_image", ""),
    ("over all images", "rank/over_images", ""),
)
WORDS: Columns = (
    ("cosine with the nearest word", "words/cosine", ""),
    ("cosine of a word with its nearest", "words/cosine_of_words", ""),
    ("gap of the means", "words/gap", ""),
    ("nearest word in the scene, %", "words/named", "%"),
    ("in another scene, %", "words/named_elsewhere", "%"),
)
PATCHES = {
    "own": "its own patch",
    "beside": "nearest background",
    "apart": "farthest background",
    "guessed": "no patch: a guess",
}


def diagnosis_tables(diagnoses: Diagnoses) -> list[Table]:
    """Return the tables that there are numbers for."""
    tables = [
        _table(
            diagnoses,
            "Selection (causal): drop of the right answer's log-probability without the patches of …, nats",
            SELECTION,
        ),
        _table(diagnoses, "Attention (a description, no cause): its share on the patches of …, %", ATTENTION),
        _table(
            diagnoses,
            "Question (causal): the bridge is told another example's question, the T5 reads the right one",
            QUESTION,
        ),
        _table(diagnoses, "Noise: the same questions with and without clutter", CLUTTER),
        _background_table(diagnoses),
        _probe_table(diagnoses),
        _table(diagnoses, "Bottleneck: effective rank of the tokens", RANK),
        _word_table(diagnoses),
    ]
    return [table for table in tables if table]


def _cell(estimate: Estimate | None, unit: str) -> Cell:
    return percent_cell(estimate) if unit == "%" else decimal_cell(estimate)


def _is_empty(cells: Sequence[Cell]) -> bool:
    return all(cell.text == NONE for cell in cells)


def _table(diagnoses: Diagnoses, title: str, columns: Columns) -> Table | None:
    rows = []
    for bridge, runs in diagnoses.items():
        cells = [_cell(pooled_number(runs, name), unit) for _, name, unit in columns]
        if not _is_empty(cells):
            rows.append(("bridge", (Cell(bridge), *cells)))
    return Table(title, ("bridge", *(column for column, _, _ in columns)), tuple(rows)) if rows else None


def _background_table(diagnoses: Diagnoses) -> Table | None:
    """Return what single patches tell of an object. The encoder is frozen, so the first run with it speaks for all bridges."""
    rows = []
    encoders = _by_encoder(diagnoses)
    for encoder, (first, *_) in encoders.items():
        for patch, text in PATCHES.items():
            cells = [
                _cell(pooled_number(first[:1], f"background/{patch}/{name}"), "%") for name in ATTRIBUTES
            ]
            if not _is_empty(cells):
                rows.append(("patch", (Cell(_of_encoder(text, encoder, encoders)), *cells)))
    title = "Noise: what a linear probe reads of an object from one patch of the encoder, % right"
    return Table(title, ("patch", *ATTRIBUTES), tuple(rows)) if rows else None


def _by_encoder(diagnoses: Diagnoses) -> dict[str, list[Sequence[Diagnosis]]]:
    """Return the runs of each row, by the name of the ViT."""
    encoders: dict[str, list[Sequence[Diagnosis]]] = {}
    for runs in diagnoses.values():
        encoders.setdefault(runs[0].encoder, []).append(runs)
    return encoders


def _of_encoder(text: str, encoder: str, encoders: Sized) -> str:
    """Return a row's name, with the ViT's if there are several."""
    return f"{text}, {encoder}" if len(encoders) > 1 else text


def _probe_table(diagnoses: Diagnoses) -> Table | None:
    def row(role: str, text: str, runs: Sequence[Diagnosis], source: str) -> tuple[str, Cells]:
        cells = [
            _cell(pooled_number(runs, f"probe/{source}/{target}"), "" if target == "place" else "%")
            for target in PROBE_TARGETS
        ]
        return role, (Cell(text), *cells)

    bridges = {
        name: runs
        for name, runs in diagnoses.items()
        if all("probe/tokens/occupied" in run.numbers for run in runs)
    }
    if not bridges:
        return None

    def fitted_on_most(rows: Iterable[Sequence[Diagnosis]]) -> Sequence[Diagnosis]:
        return max(rows, key=lambda runs: runs[0].counts.get("fit", 0))[:1]

    encoders = _by_encoder(bridges)
    rows = [
        row("floor", "no features: a guess", fitted_on_most(bridges.values()), "guessed"),
        *(
            row(
                "ceiling",
                _of_encoder("patches, before the bridge", encoder, encoders),
                fitted_on_most(of_encoder),
                "patches",
            )
            for encoder, of_encoder in encoders.items()
        ),
        *(row("bridge", name, runs, "tokens") for name, runs in bridges.items()),
    ]
    columns = ("read from", *("place, R²" if target == "place" else target for target in PROBE_TARGETS))
    return Table("Bottleneck: what linear probes read of the objects, % right", columns, tuple(rows))


def _word_table(diagnoses: Diagnoses) -> Table | None:
    table = _table(diagnoses, "Modality gap: tokens beside the T5's word embeddings", WORDS)
    if table is None:
        return None
    rows = []
    for role, cells in table.rows:
        words = ", ".join(word for word, _ in diagnoses[cells[0].text][0].words[:MOST_WORDS])
        rows.append((role, (*cells, Cell(words))))
    return Table(table.title, (*table.columns, "nearest words, the most frequent first"), tuple(rows))


def diagnosis_notes(diagnoses: Diagnoses) -> list[str]:
    """Explain the tables' numbers, give the number of examples behind them, and list what could not be measured."""
    if not diagnoses:
        return []
    counts = next(iter(diagnoses.values()))[0].counts
    reasons = dict.fromkeys(
        f"{name}: {reason}"
        for runs in diagnoses.values()
        for run in runs
        for name, reason in run.left_out.items()
    )
    seeds = {name: len(runs) for name, runs in diagnoses.items()}
    drawn = "seeds and images" if max(seeds.values()) > 1 else "images"
    return [
        *_on_examples(counts, _fitted(diagnoses)),
        *_on_told_questions(diagnoses),
        *(f"Not measured: {reason}." for reason in reasons),
        f"Inside the bridges: ranges are 95 % intervals over {drawn}; runs: "
        f"{', '.join(f'{name} {count}' for name, count in seeds.items())}.",
    ]


def _on_told_questions(diagnoses: Diagnoses) -> list[str]:
    told = [
        runs[0].counts["told_questions"] for runs in diagnoses.values() if "told_questions" in runs[0].counts
    ]
    return [
        f"Question: {number} questions, to the bridges that are told them. A bridge whose loss is near 0 does not use the question."
        for number in sorted(set(told))
    ]


def _fitted(diagnoses: Diagnoses) -> str:
    """Return the number of images that probes were fitted on, and of which bridges it was less."""
    numbers = {name: runs[0].counts["fit"] for name, runs in diagnoses.items() if "fit" in runs[0].counts}
    most = max(numbers.values(), default=0)
    fewer = ", ".join(f"{name} on {number}" for name, number in numbers.items() if number < most)
    because = "as its tokens fill the memory; a probe of fewer images reads less"
    return f"{most} training images" + (f" ({fewer}, {because})" if fewer else "")


def _on_examples(counts: Mapping[str, int], fitted: str) -> list[str]:
    notes = []
    if "questions" in counts:
        notes.append(
            f"Selection: {counts['questions']} questions that visit an object. Patches are replaced by the mean patch before the "
            "bridge. The patches of visited objects, of other objects and of the background are each replaced as a whole; selection is "
            "the share of visited objects in the sum of the three drops; – where there is no drop to share. Attention is no cause: "
            "what is attended to need not be used."
        )
    if "fields" in counts:
        given = (
            "each image's first question, so that its tokens also differ between images by the question"
            if "first_questions" in counts
            else "the request to describe the image"
        )
        notes.append(
            f"Probes: fitted on {fitted}, tested on {counts['images']} test images "
            f"({counts['fields']} objects, each alone in one of 16 fields). A bridge that reads the question is given "
            f"{given}."
        )
    if "objects" in counts:
        notes.append(
            f"One patch of the encoder: {counts['objects']} objects. Background from which an object can be read is not mere noise."
        )
    return notes
