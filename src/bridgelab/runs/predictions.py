"""Predictions of a study's runs: the examples once, and the scores of each run.

A study of 10,000 runs holds 10 million predictions, whose text is nearly the same in every run. Of each run only six
columns are read, dictionary-encoded, and matched with the first run's examples. Runs with the same order of rows are
matched once.

Only pyarrow is used. On the same 1,000 files DuckDB took 0.59 processor seconds to fill a table and 0.52 to sum without one,
against 0.51 here, used more memory, and its rows would have to be matched as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bridgelab.runs.record_schema import FIX, Malformed, regular

FILE = "predictions.parquet"
IMAGE_VIEW = "image"  # the example with its own image, or without an image for a bridge that sees none
KEYS = ["id", "image", "kind", "view"]
TARGET = "target"  # the right answer, or the first of several
COLUMNS = (*KEYS, TARGET, "prediction", "score")
NUMBERS = ("score", "likelihood")
LISTS = ("likelihoods",)  # one number per option of a multiple-choice question
# Columns of a file that have another name in a frame.
LOGARITHMS = {"likelihood": "log_likelihood", "likelihoods": "log_likelihoods"}
MAX_ROWS = 10**8


@dataclass(frozen=True)
class _Layout:
    """The order of rows in a file: for each view, indices of rows in the file and of the same examples in the study."""

    rows: pa.Table
    indices: dict[str, tuple[np.ndarray, np.ndarray]]


class Answers:
    """Scores of runs that answered the same examples.

    Args:
        first: the folder of the run whose examples are the study's.
    Raises:
        Malformed: if its predictions are malformed.
    """

    def __init__(self, first: Path):
        self.first = first
        rows = _read(first)
        _check_once(rows, first)
        table = read_rows(first)
        table = table[table["view"] == IMAGE_VIEW].assign(
            id=lambda of: of["id"].astype(str), image=lambda of: of["image"].astype(str)
        )
        self.examples = table.sort_values(["kind", "id"], ignore_index=True)
        self._index = pd.MultiIndex.from_frame(self.examples[["kind", "id"]])
        frame = _as_text(rows)
        frame = frame[frame["view"] == IMAGE_VIEW]
        self._targets = frame.set_index(["kind", "id"])[TARGET].reindex(self._index).to_numpy()
        self._layouts: list[_Layout] = []

    def scores(self, folder: Path) -> dict[str, np.ndarray]:
        """Return a run's scores by view [example]; nan for an example that the run did not answer in that view.

        Raises:
            Malformed: if its predictions are malformed.
            ValueError: if the run answered other examples, or was scored by other right answers.
        """
        table = _read(folder)
        rows = table.select([*KEYS, TARGET])
        layout = next((one for one in self._layouts if one.rows.equals(rows)), None)
        if layout is None:
            layout = self._match(rows, folder)
            self._layouts.append(layout)
        score = table["score"].to_numpy()
        outside = ~((score >= 0) & (score <= 1))
        if outside.any():
            raise Malformed(
                f"{folder / FILE} holds score={score[outside][0]}. A score lies between 0 and 1. {FIX}"
            )
        scores = {}
        for view, (of_file, of_study) in layout.indices.items():
            scores[view] = np.full(len(self.examples), np.nan)
            scores[view][of_study] = score[of_file]
        return scores

    def _match(self, rows: pa.Table, folder: Path) -> _Layout:
        _check_once(rows, folder)
        frame = _as_text(rows)
        indices = {}
        for view in frame["view"].unique():
            of_file = np.flatnonzero(frame["view"] == view)
            part = frame.iloc[of_file]
            of_study = self._index.get_indexer(pd.MultiIndex.from_frame(part[["kind", "id"]]))
            if view == IMAGE_VIEW:
                self._check_paired(part, folder)
                self._check_targets(part, of_study, folder)
            elif (of_study < 0).any():
                raise Malformed(
                    f"{folder / FILE} holds id {part['id'].iloc[int(np.argmax(of_study < 0))]!r} in view {view!r} alone. What is "
                    f"answered in another view is answered in view {IMAGE_VIEW!r} too. {FIX}"
                )
            indices[str(view)] = (of_file, of_study)
        if IMAGE_VIEW not in indices:
            self._check_paired(frame.iloc[:0], folder)
        return _Layout(rows, indices)

    def _check_paired(self, part: pd.DataFrame, folder: Path) -> None:
        """Check that a run answered the same examples as the first, as a paired comparison needs."""
        answered = [
            set(zip(one["id"], one["kind"], one["image"], strict=True)) for one in (self.examples, part)
        ]
        if differing := answered[0] ^ answered[1]:
            raise ValueError(
                f"{len(differing)} examples were answered by only one of {self.first.name} and {folder.name}, such as "
                f"{min(differing)[0]!r}. Comparison is paired, so all runs answer the same examples: delete the run that is out of "
                "date and run the study again."
            )

    def _check_targets(self, part: pd.DataFrame, of_study: np.ndarray, folder: Path) -> None:
        """Check that a run was scored by the same right answers as the first: its table may have been corrected in between."""
        other = np.flatnonzero(part[TARGET].to_numpy() != self._targets[of_study])
        if len(other):
            one = part.iloc[other[0]]
            raise ValueError(
                f"{len(other)} examples have another right answer in {folder.name} than in {self.first.name}, such as {one['id']!r}: "
                f"{one[TARGET]!r} and {self._targets[of_study[other[0]]]!r}. Comparison is paired, so all runs are scored by the same "
                "answers: evaluate all of them again by bridgelab evaluate RUN ... study=NAME."
            )


def answered(folder: Path) -> set[tuple[str, str, str]]:
    """Return the examples that a run answered, each by its id, kind and image.

    Raises:
        Malformed: if its predictions are malformed.
    """
    rows = _as_text(_read(folder))
    rows = rows[rows["view"] == IMAGE_VIEW]
    return set(zip(rows["id"], rows["kind"], rows["image"], strict=True))


def _as_text(rows: pa.Table) -> pd.DataFrame:
    """Return the columns that tell examples and their right answers, an empty text where an answer is missing."""
    return rows.select([*KEYS, TARGET]).to_pandas().astype(object).fillna("").astype(str)


def _read(folder: Path, columns: Sequence[str] | None = (*KEYS, TARGET, "score")) -> pa.Table:
    """Return columns of a run's rows; for None all of them.

    Raises:
        Malformed: if they are not what a run writes.
    """
    path = regular(folder / FILE)
    try:
        # pyarrow must be told the dictionary columns before it can tell which columns there are.
        metadata = pq.read_metadata(path)
        _check_columns(path, metadata)
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=[*KEYS, TARGET]) as file:
            # One thread, as for small files threads cost more than they gain.
            rows = file.read(columns=columns, use_threads=False).combine_chunks()
        # Otherwise bytes that are not UTF-8 would only be found when they are printed.
        rows.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeError) as error:  # of a folder's name, for one
        raise Malformed(f"{path} can't be read ({' '.join(str(error).split())}). {FIX}") from error
    if empty := [name for name in (*KEYS, "score") if rows[name].null_count]:
        raise Malformed(f"{path} has rows without {', '.join(empty)}. {FIX}")
    return rows


def _check_columns(path: Path, metadata: pq.FileMetaData) -> None:
    """Check that a file has the columns that a run writes, with their types."""
    schema = metadata.schema.to_arrow_schema()
    if lacking := [column for column in COLUMNS if column not in schema.names]:
        raise Malformed(
            f"{path} lacks the columns {', '.join(lacking)}. Its rows need {', '.join(COLUMNS)}. {FIX}"
        )
    if metadata.num_rows > MAX_ROWS:
        raise Malformed(f"{path} has {metadata.num_rows:,} rows, and at most {MAX_ROWS:,} are read. {FIX}")
    for column in schema:
        text = column.name in COLUMNS and column.name != "score"
        number = column.name in NUMBERS
        kinds = (_is_text,) if text else (_is_number,) if number else (_is_text, _is_number)
        wanted = "text" if text else "a number"
        if column.name in LISTS:
            kinds, wanted = (_is_list_of_numbers,), "a list of numbers"
        if not any(is_kind(column.type) for is_kind in kinds):
            raise Malformed(
                f"{path} holds {column.name} as {column.type}, where a run writes {wanted}. {FIX}"
            )
    if len(set(schema.names)) < len(schema.names):
        raise Malformed(f"{path} has two columns of one name. {FIX}")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return pa.types.is_null(kind) or (listed and _is_number(kind.value_type))


def read_rows(folder: Path) -> pd.DataFrame:
    """Return a run's predictions with all columns, one row per example and view.

    The file's `likelihood` and `likelihoods` are logarithms, and are named so here.

    Raises:
        Malformed: if they are not what a run writes.
    """
    rows = _read(folder, None)
    plain = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in rows.columns
    ]
    # Ignore an index that pandas may have stored.
    names = [LOGARITHMS.get(name, name) for name in rows.column_names]
    return pa.table(plain, names=names).to_pandas(ignore_metadata=True)


def _check_once(rows: pa.Table, folder: Path) -> None:
    frame = rows.select(["id", "kind", "view"]).to_pandas()
    twice = frame.duplicated()
    if twice.any():
        raise Malformed(
            f"{folder / FILE} holds id {frame.loc[twice, 'id'].iloc[0]!r} twice. An example has one row in each view. {FIX}"
        )


def clusters(examples: pd.DataFrame) -> np.ndarray:
    """Return the index of each example's cluster, which is resampled as a unit: examples that share an image or a group.

    Args:
        examples: a table with the columns `id` and `image`, in which `|` separates several images, and optionally `tag_group`, and
            `tag_picture`: "no" where a question without a picture was asked with a blank one. Such questions share nothing.
    Returns:
        Indices from 0 without gaps [example].
    """
    pictures = examples["image"].astype(str)
    if "tag_picture" in examples:
        blank = examples["tag_picture"].astype(str) == "no"
        pictures = pictures.mask(blank, "question " + examples["id"].astype(str))
    grouped = "tag_group" in examples and examples["tag_group"].notna().any()
    if not grouped and not pictures.str.contains("|", regex=False).any():
        return np.unique(pictures, return_inverse=True)[1]
    names = pictures.str.split("|").explode()
    row, name = np.repeat(np.arange(len(examples)), pictures.str.count(r"\|") + 1), "picture " + names
    if grouped:
        of_group = np.flatnonzero(examples["tag_group"].notna())
        row = np.concatenate([row, of_group])
        name = pd.concat([name, "group " + examples["tag_group"].iloc[of_group].astype(str)])
    column = pd.factorize(name)[0]
    links = coo_array(
        (np.ones(len(row)), (row, len(examples) + column)), shape=(len(examples) + column.max() + 1,) * 2
    )
    return np.unique(connected_components(links, directed=False)[1][: len(examples)], return_inverse=True)[1]
