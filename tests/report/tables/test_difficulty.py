import itertools

import numpy as np
import pandas as pd
import pytest

from bridgelab.report.tables.difficulty import by_difficulty, difficulty_table
from bridgelab.runs.study import read_study
from bridgelab.statistics.difficulty_levels import difficulty_levels


def planted(path):
    """Accuracy that falls with the number of objects for one bridge alone."""
    rng = np.random.default_rng(0)
    for file in sorted(path.glob("*/predictions.parquet")):
        table = pd.read_parquet(file)
        objects = np.array([int(name.split(".")[0]) % 4 + 3 for name in table["image"]])
        falls = 0.15 * (objects - 3) if "bridge=linear" in str(file) else 0.0
        table["tag_objects"] = objects
        table["tag_pair"] = objects.astype(str)  # a name
        table["score"] = (rng.random(len(table)) < 0.9 - falls).astype(float)
        table.to_parquet(file)


def test_a_planted_fall_is_found(simulated):
    path = simulated.write(bridges={"linear": {"exist": 0.5}, "mlp": {"exist": 0.5}}, images=2000)
    planted(path)
    (found,) = [one for one in by_difficulty(read_study(path)) if one.tag == "objects"]
    assert found.levels == ("3", "4", "5", "6")
    assert found.questions == (500,) * 4
    assert [one.value for one in found.accuracy["linear"]] == pytest.approx([0.9, 0.75, 0.6, 0.45], abs=0.03)
    assert [one.value for one in found.accuracy["mlp"]] == pytest.approx([0.9] * 4, abs=0.03)
    low, high = found.accuracy["linear"][2].interval
    assert low < 0.6 < high
    grid = difficulty_table(found)
    assert grid.columns == ("bridge", "3 (500)", "4 (500)", "5 (500)", "6 (500)")
    assert [cells[0].text for _, cells in grid.rows] == ["linear", "mlp"]


def test_many_numbers_are_put_together_and_rare_ones_left_out():
    few = pd.Series([1] * 50 + [2] * 30 + [3] * 5)
    assert difficulty_levels(few) == [(1, 1), (2, 2)]
    many = pd.Series(np.repeat(np.arange(3, 23), 30))
    found = difficulty_levels(many)
    assert len(found) == 6
    assert found[0][0] == 3
    assert found[-1][1] == 22
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(found))


def test_tags_that_are_no_numbers_or_say_nothing_are_left_out(simulated):
    path = simulated.write(images=10)  # one hop in all questions, types in words
    assert by_difficulty(read_study(path)) == []
