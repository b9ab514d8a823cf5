"""Studies that are unfinished, lopsided or odd: each gives a report that says what is wrong, and no number that is none."""

import re
import shutil
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from bridgelab.cli import main as cli
from bridgelab.report.write import numbers, report
from bridgelab.runs.study import read_study

PAIR = {"linear": {"exist": 0.7, "count": 0.5}, "qformer": {"exist": 0.8, "count": 0.6}}
FLOORED = PAIR | {"blind": {"exist": 0.5, "count": 0.3}, "words": {"exist": 0.9, "count": 0.9}}


def edit(run, **columns):
    file = run / "predictions.parquet"
    pd.read_parquet(file).assign(**columns).to_parquet(file)


def told(study):
    """The report's page as text, its terminal's, and its table, none of which may hold a number that is none."""
    out = StringIO()
    paths = report(study, console=Console(file=out, width=200))
    page = re.sub(
        r"<(style|script)>.*?</\1>|data:image/png;base64,[^\"]*", "", paths["page"].read_text(), flags=re.S
    )
    for text in (page, out.getvalue(), paths["table"].read_text()):
        assert [line for line in text.splitlines() if re.search(r"\b(?:nan|NaN|inf|None)\b", line)] == []
    return re.sub(r"\s+", " ", page)


def sweep(study, text):
    (study / "multirun.yaml").write_text(f"hydra: {{sweeper: {{params: {{{text}}}}}}}")


def levels(run, change, key):
    """Put two runs in the place of one, at two levels of a key."""
    for level in (4, 16):
        copy = shutil.copytree(run, run.with_name(f"{run.name},{key}={level}"))
        change(copy, overrides=copy.name)
    shutil.rmtree(run)


def test_three_of_twelve_runs_that_are_missing_are_listed_each_with_what_became_of_it(simulated):
    study = simulated.write(bridges=FLOORED, images=12)
    sweep(study, "bridge: 'linear,qformer,blind,words', seed: '0,1,2'")
    stopped, failed, absent = (study / f"bridge=qformer,seed={seed}" for seed in range(3))
    for run in (stopped, failed, absent):
        (run / "metrics.json").unlink()
        (run / "predictions.parquet").unlink()
    absent.rmdir()
    (stopped / "metrics.csv").write_text("step,lr\n100,0.1\n")
    (failed / "log.txt").write_text(
        "step 30\nTraceback (most recent call last):\n  here\nValueError: too <few>\n"
    )
    (failed / "config.yaml").write_text("{}")
    page = told(study)
    assert "Missing from this table, 3: " in page
    assert "bridge=qformer,seed=0: unfinished, last logged at step 100" in page
    assert "bridge=qformer,seed=1: failed: ValueError: too &lt;few&gt;" in page
    assert "bridge=qformer,seed=2: not started" in page


def test_a_run_that_stopped_on_a_loss_that_was_not_finite_is_told(simulated):
    study = simulated.write(bridges=PAIR, images=6)
    run = study / "bridge=qformer,seed=1"
    (run / "metrics.json").unlink()
    (run / "not_finite.json").write_text("{}")
    (run / "metrics.csv").write_text("step,lr\n40,0.1\n")
    (missing,) = read_study(study).missing
    assert missing.reason == (
        "failed, last logged at step 40: a loss or a gradient was not finite, see not_finite.json"
    )


def test_a_log_that_does_not_end_with_an_error_is_of_a_run_that_may_still_go_on(simulated):
    study = simulated.write(bridges=PAIR, images=6)
    run = study / "bridge=qformer,seed=1"
    (run / "metrics.json").unlink()
    (run / "log.txt").write_text("ValueError: of the first attempt\nstep 10\n")
    assert [str(one) for one in read_study(study).missing] == ["bridge=qformer,seed=1: unfinished"]


def test_what_libraries_say_at_the_end_does_not_hide_why_a_run_failed(simulated):
    study = simulated.write(bridges=PAIR, images=6)
    run = study / "bridge=qformer,seed=1"
    (run / "metrics.json").unlink()
    raised = "Traceback (most recent call last):\n  here\nValueError: num_heads=5 does not divide\x1b[2J 6\nsecond line\n"
    noise = "nanobind: leaked 3 instances!\n - leaked instance of Own\n" * 7
    (run / "log.txt").write_text(raised + noise)
    (missing,) = read_study(study).missing
    assert missing.reason == "failed: ValueError: num_heads=5 does not divide\ufffd[2J 6"
    for line in ("[2026-11-28 15:04:05,000][bridgelab][INFO] - again", "[15:04:05] again"):
        (run / "log.txt").write_text(f"{raised}{noise}{line}\n")
        assert read_study(study).missing[0].reason == "unfinished"
    (run / "log.txt").rename(run / "train.log")
    (run / "train.log").write_text(f"[2026-11-28 15:04:05,000][bridgelab][ERROR] - failed\n{raised}")
    assert read_study(study).missing == (missing,)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_cells_that_are_all_right_or_all_wrong(simulated, score):
    study = simulated.write(bridges=FLOORED, images=12)
    for run in study.glob("bridge=*"):
        edit(run, score=score)
    page = told(study)
    # 36 questions on 12 images can't be certain, nor pass what an accuracy can be.
    low, high = re.search(rf"<td>{100 * score:.1f} <small>([\d.]+)–([\d.]+)</small>", page).groups()
    assert (low, high) == (("0.0", "18.3") if score == 0 else ("81.7", "100.0"))
    assert "Not shown to be better than the blind floor" in page


def test_a_kind_and_a_level_with_one_example(simulated):
    study = simulated.write(bridges=PAIR, images=12)
    for run in study.glob("bridge=*"):
        table = pd.read_parquet(run / "predictions.parquet")
        first = table["id"] == "0-exist"
        edit(
            run,
            tag_type=table["tag_type"].mask(first, "rare"),
            tag_hops=table["tag_hops"].mask(first, 9),
        )
    page = told(study)
    assert "rare 1" in page  # questions of that kind
    assert 'scope="col">rare' in page


def test_one_seed(simulated):
    page = told(simulated.write(bridges=FLOORED, images=12, seeds=(0,)))
    assert "One seed only, so the interval covers images alone: " in page
    assert "1 of at least 3 seeds" in page


def test_one_bridge(simulated):
    page = told(simulated.write(bridges={"linear": PAIR["linear"]}, images=12))
    assert "The gap closed is not given" in page
    assert 'id="verdict"' not in page


def test_one_image(simulated):
    page = told(simulated.write(bridges=PAIR, images=1))
    assert "2 questions on 1 images" in page
    assert 'id="verdict"' not in page


@pytest.mark.parametrize("bridges", [1, 2])
@pytest.mark.parametrize("swept", [None, "budget.tokens", "train.lr"])
def test_captions_alone(simulated, change, capsys, bridges, swept):
    study = simulated.write(bridges=dict([*PAIR.items()][:bridges]), images=12)
    for run in sorted(study.iterdir()):
        pd.read_parquet(run / "predictions.parquet").query("kind == 'caption'").to_parquet(
            run / "predictions.parquet"
        )
        change(run, curve_of="token probability", init_from="theirs.safetensors")
        if swept:
            levels(run, change, swept)
    page = told(study)
    assert "12 captions on 12 images. Ranges are 95 % intervals" in page
    assert "No interval is given" not in page
    page += (study / "table.md").read_text() + " ".join(numbers(study)["answer"])
    assert "alidation accuracy" not in page
    for sentence in (
        "Started from trained weights; validation token probability before the first step and at the end",
        "Validation token probability before and after training, %",
        "the gain in validation token probability from half of the steps",
        "Token probability against training budget",
        *(["Validation token probability at the end of training, mean of the seeds", "by the mean validation token probability"] * (swept == "train.lr")),
    ):  # fmt: skip
        assert sentence in page
    read = numbers(study)
    assert {one["measure"]: one["value"] for one in read["cells"]} == {"cider": 1.25, "attributes": 0.75}
    assert "12 captions on 12 images." in read["answer"][0]
    capsys.readouterr()
    assert cli.main(["report", str(study)]) == 0
    assert re.search(
        r"(?ms)^Captions.* CIDEr-D .* doubling *\n[ ─]*\n linear[^\n]* 1\.25 ", capsys.readouterr().out
    )
    assert cli.main(["map", str(study)]) == 2
    assert "a map is over kinds of questions, and no study has any: first_look." in capsys.readouterr().err


def test_tags_that_no_example_has(simulated):
    study = simulated.write(bridges=PAIR, images=12)
    for run in study.glob("bridge=*"):
        edit(run, tag_hops=float("nan"), tag_type=None)
    assert "24 questions on 12 images" in told(study)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (
            "['experiments=theirs', 'text.path=a b']",
            "does what is missing: bridgelab train experiments=theirs 'text.path=a b'",
        ),
        ("['bridge=linear,mlp']", "does what is missing: bridgelab train -m bridge=linear,mlp"),
        (None, "does what is missing: bridgelab train bridge=mlp seed=0"),
    ],
)
def test_what_is_to_be_run_again_is_what_was_run(tmp_path, task, told):
    (tmp_path / "bridge=mlp,seed=0").mkdir()
    (tmp_path / "bridge=mlp,seed=0" / "log.txt").write_text("ValueError: x\n")
    (tmp_path / "bridge=mlp,seed=0" / "config.yaml").write_text("{}")
    if task:
        (tmp_path / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: {task}}}}}")
    with pytest.raises(FileNotFoundError) as error:
        read_study(tmp_path)
    assert "bridge=mlp,seed=0: failed: ValueError: x" in str(error.value)
    assert told in str(error.value)


@pytest.mark.parametrize("runs", ["none", "unfinished"])
def test_nothing_finished_is_one_line_and_no_traceback(tmp_path, capsys, runs):
    study = tmp_path / "empty"
    study.mkdir()
    if runs == "unfinished":
        (study / "bridge=mlp,seed=0").mkdir()
        (study / "bridge=mlp,seed=0" / "metrics.csv").write_text("step,lr\n10,0.1\n")
    assert cli.main(["report", str(study)]) == 2
    said = capsys.readouterr().err
    assert "holds 0 finished runs" in said
    assert ("bridge=mlp,seed=0: unfinished, last logged at step 10" in said) == (runs == "unfinished")
    assert said.count("\n") == 1
