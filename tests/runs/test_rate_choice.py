"""A study that sweeps the learning rate: each row is its runs at the rate that validates best."""

import json

import pytest

from bridgelab.report.tables.lr_search import rate_choice_table
from bridgelab.report.write import report
from bridgelab.runs.rate_choice import choose_rates
from bridgelab.runs.run import Run
from bridgelab.runs.study import read_study

TWO = {"linear": {"exist": 0.7}, "blind": {"exist": 0.5}}


def at_rates(study, accuracies):
    """Rewrite a study's runs as runs at one rate each: {bridge: {rate: validation accuracy of each seed}}."""
    for path in sorted(study.glob("*/metrics.json")):
        record = json.loads(path.read_text())
        of_bridge = accuracies[record["bridge"]]
        for rate, of_seeds in of_bridge.items():
            if record["seed"] >= len(of_seeds):
                continue
            name = f"{path.parent.name},train.lr={rate}"
            folder = study / name
            folder.mkdir()
            for file in path.parent.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
            changed = {
                "overrides": name, "lr": float(rate), "tuned_over": [float(rate)], "curve": [[10, of_seeds[record["seed"]]]],
            }  # fmt: skip
            (folder / "metrics.json").write_text(json.dumps(record | changed))
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
    return study


def test_each_row_has_the_rate_whose_seeds_validate_best_on_average(simulated):
    study = at_rates(
        simulated.write(bridges=TWO, images=6, seeds=(0, 1, 2)),
        {
            "linear": {"0.01": (0.5, 0.9, 0.5), "0.02": (0.7, 0.6, 0.7)},  # one lucky seed does not decide
            "blind": {"0.005": (0.4, 0.4, 0.4), "0.01": (0.3, 0.3, 0.3)},  # with rates of its own
        },
    )
    read = read_study(study)
    assert set(read.bridges) == {"linear", "blind"}
    assert {(run.bridge, run.overrides["train.lr"]) for run in read.runs} == {
        ("linear", "0.02"),
        ("blind", "0.005"),
    }
    assert [run.seed for run in read.of("linear")] == [0, 1, 2]
    assert not read.missing
    table = rate_choice_table(read)
    assert table.columns == ("bridge", "lr 0.005", "lr 0.01", "lr 0.02")
    cells = {row[0].text: [(cell.text, cell.interval) for cell in row[1:]] for _, row in table.rows}
    assert cells == {
        "linear": [
            ("–", ""),
            ("63.3", "seeds: 50.0, 90.0, 50.0"),
            ("66.7", "chosen; seeds: 70.0, 60.0, 70.0"),
        ],
        "floor: blind": [
            ("40.0", "chosen; seeds: 40.0, 40.0, 40.0"),
            ("30.0", "seeds: 30.0, 30.0, 30.0"),
            ("–", ""),
        ],
    }
    written = report(study)
    text = written["table"].read_text()
    assert "mean of the seeds, by learning rate" in text
    assert "mean of the seeds, by learning rate" in written["page"].read_text()
    assert "linear 0.02 of 0.01, 0.02" in text
    assert "blind 0.005 of 0.005, 0.01" in text
    assert "given and not searched for" not in text
    assert "more thoroughly" not in text


def test_a_rate_with_fewer_seeds_is_not_chosen_and_its_seeds_are_missing(simulated):
    study = at_rates(
        simulated.write(bridges=TWO, images=6, seeds=(0, 1)),
        {"linear": {"0.01": (0.5, 0.5), "0.02": (0.9,)}, "blind": {"0.01": (0.4, 0.4)}},
    )
    read = read_study(study)
    assert [run.overrides["train.lr"] for run in read.of("linear")] == ["0.01", "0.01"]
    assert [missing.name for missing in read.missing] == ["bridge=linear,seed=1,train.lr=0.02"]


def test_a_bridge_with_more_rates_than_another_is_told(simulated):
    study = at_rates(
        simulated.write(bridges=TWO, images=6, seeds=(0, 1)),
        {"linear": {"0.01": (0.5, 0.5), "0.02": (0.6, 0.6)}, "blind": {"0.01": (0.4, 0.4)}},
    )
    assert "A bridge with more rates was searched more thoroughly" in report(study)["table"].read_text()


def test_a_choice_that_cannot_be_made_is_refused(tmp_path):
    def run(rate, **record):
        return Run(tmp_path / f"lr={rate}", {"bridge": "linear", "seed": 0, **record}, {"train.lr": rate})

    with pytest.raises(ValueError, match=r"no validation accuracy, by which train\.lr is chosen"):
        choose_rates([run("0.1", curve=[]), run("0.2", curve=[[1, 0.5]])])
    with pytest.raises(ValueError, match=r"has no train\.lr, but other runs of linear have"):
        choose_rates([run("null", curve=[[1, 0.5]]), run("0.2", curve=[[1, 0.5]])])


def test_one_rate_a_bridge_by_hand_is_still_refused(simulated):
    study = at_rates(
        simulated.write(bridges=TWO, images=6),
        {"linear": {"0.01": (0.5,) * 3}, "blind": {"0.02": (0.4,) * 3}},
    )
    with pytest.raises(ValueError, match="tuned_over"):
        read_study(study)


def test_rows_without_a_rate_stay_as_they_are(tmp_path):
    words = Run(tmp_path, {"bridge": "words", "seed": 0}, {"train.lr": "", "benchmark": "world"})
    kept, choices = choose_rates([words])
    assert [run.row for run in kept] == ["words, benchmark=world"]
    assert choices == ()
