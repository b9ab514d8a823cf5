"""The recorded study gives the numbers that the README prints."""

import tarfile
from pathlib import Path

from bridgelab.analysis.difficulty import by_difficulty
from bridgelab.analysis.records import read_study
from bridgelab.analysis.report import tables
from bridgelab.analysis.summary import summarise
from bridgelab.analysis.table import to_markdown

ROOT = Path(__file__).parents[2]


def test_the_readme_prints_what_the_records_give(tmp_path):
    with tarfile.open(ROOT / "experiments" / "records" / "first_look_full.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    study = read_study(tmp_path / "first_look_full")
    readme = (ROOT / "README.md").read_text().splitlines()
    _, whole = tables(study, summarise(study), by_difficulty(study), {})
    printed = to_markdown(whole).splitlines()
    longer = next(
        k for k, line in enumerate(printed) if "Accuracy by program length" in line
    )  # not in the README
    lines = printed[1:longer] + [line for line in printed if line.startswith("- ")]
    assert len(lines) > 50
    assert [line for line in lines if line not in readme] == []
