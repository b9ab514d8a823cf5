"""Scores of many runs beside one another: whatever the order of their rows, and of nothing but the same examples."""

import numpy as np
import pandas as pd
import pytest

from bridgelab.runs.predictions import Answers, clusters, read_rows
from bridgelab.runs.record import write_predictions
from bridgelab.runs.record_schema import Malformed
from bridgelab.runs.study import read_study

PAIR = {"linear": {"exist": 0.7, "count": 0.5}, "qformer": {"exist": 0.8, "count": 0.6}}


def edit(run, **columns):
    file = run / "predictions.parquet"
    pd.read_parquet(file).assign(**columns).to_parquet(file)


def test_scores_are_those_of_the_file_by_id_kind_and_view(simulated):
    study = simulated.write(bridges=PAIR, images=5)
    answers = Answers(study / "bridge=linear,seed=0")
    run = study / "bridge=qformer,seed=2"
    scores = answers.scores(run)
    rows = pd.read_parquet(run / "predictions.parquet").set_index(["view", "kind", "id"])["score"]
    for view in ("image", "shuffled"):
        for place, example in answers.examples.iterrows():
            expected = rows.get((view, example["kind"], example["id"]), np.nan)
            np.testing.assert_equal(scores[view][place], expected)  # captions have no row with another image
    assert np.isnan(scores["shuffled"]).sum() == 5


def test_an_id_that_was_never_asked_with_its_own_image_is_refused(simulated):
    study = simulated.write(bridges=PAIR, images=4)
    run = study / "bridge=qformer,seed=1"
    table = pd.read_parquet(run / "predictions.parquet")
    strange = (table["view"] == "shuffled") & (table["id"] == "0-exist")
    edit(run, id=table["id"].mask(strange, "other"))
    (missing,) = read_study(study).missing
    assert "holds id 'other' in view 'shuffled' alone" in missing.reason


def test_a_run_without_any_row_of_its_own_image_is_refused(simulated):
    study = simulated.write(bridges=PAIR, images=4)
    run = study / "bridge=qformer,seed=1"
    pd.read_parquet(run / "predictions.parquet").iloc[:0].to_parquet(run / "predictions.parquet")
    with pytest.raises(
        ValueError, match="12 examples were answered by only one of bridge=linear,seed=0 and bridge=qf"
    ):
        read_study(study)


def test_a_run_that_was_scored_by_other_right_answers_is_refused(simulated):
    """As one that was trained after an answer of the test split was corrected."""
    study = simulated.write(bridges=PAIR, images=4)
    runs = [study / f"bridge=qformer,seed={seed}" for seed in (0, 1)]
    targets = pd.read_parquet(runs[0] / "predictions.parquet")["target"]
    edit(runs[0], target=targets.where(targets.index != 3, "no").astype("category"))
    message = "1 examples have another right answer in bridge=qformer,seed=0 than in bridge=linear,seed=0, such as '.*: 'no' and '.*study="
    with pytest.raises(ValueError, match=message):
        read_study(study)
    for run in study.glob("bridge=*"):
        edit(run, target=None)  # equal again, though there are none
    assert len(read_study(study).runs) == 6


def test_a_torn_file_is_told_and_the_first_that_is_whole_gives_the_examples(simulated):
    study = simulated.write(bridges=PAIR, images=4)
    file = study / "bridge=linear,seed=0" / "predictions.parquet"  # that would have given them
    file.write_bytes(file.read_bytes()[:-20])
    found = read_study(study)
    assert len(found.runs) == 5
    assert "predictions.parquet can't be read (" in found.missing[0].reason
    for other in study.glob("*/predictions.parquet"):
        other.write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"0 finished runs and 6 unfinished ones: .*can't be read"):
        read_study(study)


def test_rows_in_another_order_are_the_same_answers(simulated):
    study = simulated.write(bridges=PAIR, images=4)
    before = {run.name: run.scores["image"] for run in read_study(study).runs}
    file = study / "bridge=qformer,seed=1" / "predictions.parquet"
    pd.read_parquet(file).sample(frac=1, random_state=0).to_parquet(file)
    after = {run.name: run.scores["image"] for run in read_study(study).runs}
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(
    ("images", "groups", "expected"),
    [
        (["b", "a", "b"], None, [[0, 2], [1]]),
        (["a|b", "c", "b|d", "e"], None, [[0, 2], [1], [3]]),  # by a picture of two that they share
        (["a", "b", "c", "a", "d"], ["g", "g", "h", None, None], [[0, 1, 3], [2], [4]]),
        (["a", "b", "c", "d"], ["a", "g", "h", "g"], [[0], [1, 3], [2]]),  # a group is not a picture of its name
    ],
)  # fmt: skip
def test_examples_that_share_a_picture_or_a_group_are_one_cluster(images, groups, expected):
    found = clusters(pd.DataFrame({"image": images} | ({"tag_group": groups} if groups else {})))
    together = [np.flatnonzero(found == number).tolist() for number in range(found.max() + 1)]
    assert sorted(together) == expected


def test_questions_without_a_picture_share_nothing_by_the_blank_one():
    examples = {
        "id": ["1", "2", "3", "4"],
        "image": ["blank", "a", "blank", "a"],
        "tag_picture": ["no", "yes"] * 2,
    }
    assert clusters(pd.DataFrame(examples)).tolist() == [1, 0, 2, 0]


def test_the_likelihoods_of_a_choice_are_read(tmp_path):
    """As training writes them: a list where options are scored, nothing where an answer is written."""
    row = {
        "image": "a.png",
        "kind": "answer",
        "view": "image",
        "target": "x",
        "prediction": "x",
        "score": 1.0,
    }
    chosen = {"id": "2", **row, "kind": "choice", "likelihoods": [-0.5, -2.0]}
    write_predictions(tmp_path / "predictions.parquet", [{"id": "1", **row}, chosen])
    first, second = read_rows(tmp_path)["log_likelihoods"]
    assert first is None
    assert list(second) == [-0.5, -2.0]
    write_predictions(tmp_path / "predictions.parquet", [chosen | {"likelihoods": ["x"]}])
    with pytest.raises(
        Malformed, match=r"likelihoods as list<.*string>, where a run writes a list of numbers"
    ):
        read_rows(tmp_path)
