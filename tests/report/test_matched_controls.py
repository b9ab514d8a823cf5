"""Which controls of architecture a study has, from planted tokens and parameters."""

import pytest

from bridgelab.report.contents import analyze, long_tables, short_tables
from bridgelab.report.matched_controls import controls
from bridgelab.runs.study import read_study

SIZES = {
    "linear": (64, 20_608),
    "qformer": (16, 490_176),
    "linear_pooled": (16, 20_608),
    "mlp": (64, 485_000),  # 1.1 % off the Q-Former's
    "mlp_pooled": (16, 520_000),  # 6 % off
    "perceiver": (16, 490_000),  # its tokens and parameters, but no plain bridge
}


@pytest.fixture
def sized(simulated, change):
    def make(*names):
        path = simulated.write("_".join(names), bridges={name: {"exist": 0.5} for name in names}, images=4)
        for run in path.iterdir():
            tokens, parameters = SIZES[run.name[7:].split(",")[0]]
            change(run, costs={"visual_tokens": tokens, "trainable_parameters": parameters})
        return read_study(path)

    return make


def said(study, name):
    (found,) = [line for line in controls(study, "linear") if line.startswith(f"Architecture, linear against {name}:")]  # fmt: skip
    return found.split(": ", 1)[1]


def test_both_controls_are_named(sized):
    assert said(sized(*SIZES), "qformer") == (
        "visual tokens 64 and 16, token-matched control: linear_pooled, mlp_pooled; parameters 20,608 and 490,176, "
        "parameter-matched control: mlp."
    )


def test_a_control_that_is_not_there_is_said_to_be_missing(sized):
    assert said(sized("linear", "qformer", "perceiver"), "qformer") == (
        "visual tokens 64 and 16, token-matched control: none in this study; parameters 20,608 and 490,176, parameter-matched "
        "control: none in this study."
    )


def test_a_control_has_no_level_of_a_key_that_its_comparator_alone_has(sized, change):
    path = sized("linear", "linear_pooled", "qformer").path
    for run in path.glob("bridge=qformer,*"):
        change(run, overrides=f"bridge.width=64,{run.name}")
    (path / "multirun.yaml").write_text("hydra: {overrides: {task: ['bridge.width=64,128']}}")
    assert "token-matched control: linear_pooled;" in said(read_study(path), "qformer")


def test_what_is_alike_needs_no_control(sized):
    found = sized("linear", "mlp", "linear_pooled")
    assert said(found, "linear_pooled").endswith("parameters alike (20,608).")
    assert said(found, "mlp").startswith("visual tokens alike (64); parameters 20,608 and 485,000, parameter")


def test_the_report_says_it(sized):
    study = sized("linear", "qformer")
    analysis = analyze(study)
    short = short_tables(analysis)
    long = long_tables(analysis, short)
    assert short.verdict[-1] == long.verdict[-1] == controls(study, "linear")[0]
