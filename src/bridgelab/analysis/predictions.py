"""What the runs of a study answered: the examples once, and beside them each run's scores.

A study of 10,000 runs holds 10 million predictions, and nearly all of their text says the same again. So of each run five columns
are read, as dictionaries, and matched with the first run's examples; runs whose rows stand in the same order are matched once.

That is pyarrow alone. DuckDB was tried on the same 1,000 files: 0.59 processor seconds into a table and 0.52 for sums without one,
against 0.51 here, in more memory, and its rows would have to be matched all the same.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

FILE = "predictions.parquet"
SEEN = (
    "image"  # the view in which an example was put with its own image, or with none where a bridge sees none
)
KEYS = ["id", "image", "kind", "view"]
COLUMNS = (*KEYS, "target", "prediction", "score")


@dataclass(frozen=True)
class _Layout:
    """Rows of a file in their order, and for each view which of them are which examples."""

    rows: pa.Table
    places: dict[str, tuple[np.ndarray, np.ndarray]]


class Answers:
    """Scores of runs that answered the same examples.

    Args:
        first: folder of the run whose examples are the study's.
    Raises:
        ValueError: if its predictions are malformed.
    """

    def __init__(self, first: Path):
        self.first = first
        rows = _read(first)
        _check_once(rows, first)
        table = pd.read_parquet(first / FILE)
        table = table[table["view"] == SEEN].assign(
            id=lambda of: of["id"].astype(str), image=lambda of: of["image"].astype(str)
        )
        self.examples = table.sort_values(["kind", "id"], ignore_index=True)
        self._index = pd.MultiIndex.from_frame(self.examples[["kind", "id"]])
        self._layouts: list[_Layout] = []

    def scores(self, folder: Path) -> dict[str, np.ndarray]:
        """A run's scores by view [example], nan where an example was not put to it in that view.

        Raises:
            ValueError: if its predictions are malformed, or of other examples.
        """
        table = _read(folder)
        rows = table.select(KEYS)
        layout = next((known for known in self._layouts if known.rows.equals(rows)), None)
        if layout is None:
            layout = self._match(rows, folder)
            self._layouts.append(layout)
        score = table["score"].to_numpy()
        outside = ~((score >= 0) & (score <= 1))
        if outside.any():
            raise ValueError(
                f"{folder / FILE} holds score={score[outside][0]}. A score lies between 0 and 1: delete the folder and run the "
                "study again."
            )
        found = {}
        for view, (of_file, of_study) in layout.places.items():
            found[view] = np.full(len(self.examples), np.nan)
            found[view][of_study] = score[of_file]
        return found

    def _match(self, rows: pa.Table, folder: Path) -> _Layout:
        _check_once(rows, folder)
        frame = rows.to_pandas().astype(str)
        places = {}
        for view in frame["view"].unique():
            of_file = np.flatnonzero(frame["view"] == view)
            part = frame.iloc[of_file]
            of_study = self._index.get_indexer(pd.MultiIndex.from_frame(part[["kind", "id"]]))
            if view == SEEN:
                self._check_paired(part, folder)
            elif (of_study < 0).any():
                raise ValueError(
                    f"{folder / FILE} holds id {part['id'].iloc[int(np.argmax(of_study < 0))]!r} in view {view!r} alone. What is "
                    f"answered in another view is answered in view {SEEN!r} too: delete the folder and run the study again."
                )
            places[str(view)] = (of_file, of_study)
        if SEEN not in places:
            self._check_paired(frame.iloc[:0], folder)
        return _Layout(rows, places)

    def _check_paired(self, part: pd.DataFrame, folder: Path) -> None:
        """The same examples to all, or a paired comparison is none."""
        asked = [set(zip(one["id"], one["kind"], one["image"], strict=True)) for one in (self.examples, part)]
        if differing := asked[0] ^ asked[1]:
            raise ValueError(
                f"{len(differing)} examples were put to only one of {self.first.name} and {folder.name}, such as "
                f"{min(differing)[0]!r}. Comparison is paired, so all runs answer the same examples: delete the run that is out of "
                "date and run the study again."
            )


def _read(folder: Path) -> pa.Table:
    """The columns that are read of every run."""
    path = folder / FILE
    try:
        with pq.ParquetFile(path, read_dictionary=KEYS) as file:
            if set(COLUMNS) <= set(file.schema_arrow.names):
                # On one thread: files are small, and threads cost more than they read.
                return file.read(columns=[*KEYS, "score"], use_threads=False).combine_chunks()
    except KeyError:  # one of KEYS is no column of it
        pass
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}). Records are written whole: delete the folder and run the study again."
        ) from error
    lacking = [column for column in COLUMNS if column not in pq.read_schema(path).names]
    raise ValueError(
        f"{path} lacks the columns {', '.join(lacking)}. Its rows need {', '.join(COLUMNS)}: delete the folder and run the study "
        "again with this version."
    )


def _check_once(rows: pa.Table, folder: Path) -> None:
    frame = rows.select(["id", "kind", "view"]).to_pandas()
    twice = frame.duplicated()
    if twice.any():
        raise ValueError(
            f"{folder / FILE} holds id {frame.loc[twice, 'id'].iloc[0]!r} twice. An example has one row in each view: delete the "
            "folder and run the study again."
        )


def clusters(examples: pd.DataFrame) -> np.ndarray:
    """The number of each example's cluster, which is drawn as a whole: of all that share a picture, or a group of pictures.

    Args:
        examples: with the column `image`, several pictures of an example apart by `|`, and perhaps `tag_group`.
    Returns:
        from 0 on, without gaps [example].
    """
    pictures = examples["image"].astype(str)
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
