"""Reading a study: what is there, what is missing, what may not be compared."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgelab.launch.status import study_status
from bridgelab.report.dashboard import metrics_of
from bridgelab.report.provenance import provenance
from bridgelab.runs.predictions import COLUMNS
from bridgelab.runs.record_schema import Malformed, Record, read_config
from bridgelab.runs.repeat_command import what_is_missing
from bridgelab.runs.study import Study, read_runs, read_study
from bridgelab.statistics.convergence import convergence_from_records
from bridgelab.statistics.verdict import verdict

SMALL = {"linear": {"exist": 0.7}, "mlp": {"exist": 0.7}, "words": {"exist": 0.9}}


def sweep(study, bridges, seeds):
    (study / "multirun.yaml").write_text(
        f"hydra: {{sweeper: {{params: {{bridge: '{bridges}'}}}}, overrides: {{task: ['seed={seeds}']}}}}"
    )


def test_reads_every_run(simulated):
    study = read_study(simulated.write(bridges=SMALL, images=4))
    assert [(run.bridge, run.seed) for run in study.runs] == [
        *[("linear", seed) for seed in range(3)], *[("mlp", seed) for seed in range(3)], ("words", 0)
    ]  # fmt: skip
    assert study.missing == ()  # words trains nothing, so one run is all there is
    assert len(study.of("linear")[0].predictions) == 12


def test_rows_stand_in_the_order_of_the_sweep(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    sweep(path, "words,mlp,linear", "0,1,2")
    assert read_study(path).bridges == ("words", "mlp", "linear")


def test_missing_cells_are_named(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    sweep(path, "linear,mlp,qformer,words", "0,1,2")
    (path / "bridge=mlp,seed=1" / "metrics.json").unlink()
    (path / "bridge=mlp,seed=1" / "metrics.csv").write_text("step,lr\n100,0.1\n400,0.1\n,\n5")
    (path / "bridge=mlp,seed=2" / "predictions.parquet").unlink()
    missing = [str(cell) for cell in read_study(path).missing]
    assert missing == [
        "bridge=mlp,seed=1: unfinished, last logged at step 400",
        "bridge=mlp,seed=2: metrics.json without predictions.parquet: delete the folder and run it again",
        *[f"bridge=qformer,seed={seed}: not started" for seed in range(3)],
    ]


def test_runs_of_a_range_that_never_began_are_missing(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    sweep(path, "linear,mlp", "range(4)")
    names = ["bridge=linear,seed=3", "bridge=mlp,seed=3"]
    assert [one.name for one in read_study(path).missing] == names
    assert [run.name for run in study_status(path).runs if run.name in names] == names


OWN = "bridge=linear,bridge._target_=my.{},seed={}"


@pytest.mark.parametrize("classes", ["A", "AB"])
def test_a_class_of_ones_own_is_the_bridge_of_its_runs(simulated, change, classes):
    """`train -m bridge=linear bridge._target_=my.A,my.B seed=0,1,2`: linear is only the yaml that they start from."""
    path = simulated.write(bridges={f"my.{one}": {"exist": 0.7} for one in classes}, images=4)
    for one in classes:
        for seed in range(3):
            run = (path / f"bridge=my.{one},seed={seed}").rename(path / OWN.format(one, seed))
            change(run, overrides=run.name, verdict={"baseline": "my.A", "delta": 0.02})
    task = [
        "study=first_look",
        "bridge=linear",
        f"bridge._target_={','.join(f'my.{one}' for one in classes)}",
        "seed=0,1,2,3",
    ]
    (path / "multirun.yaml").write_text(json.dumps({"hydra": {"overrides": {"task": task}}}))
    (path / OWN.format("A", 2) / "metrics.json").unlink()
    (path / OWN.format("A", 2) / "metrics.csv").write_text("step,lr\n10,0.1\n")
    study = read_study(path)
    assert study.bridges == tuple(f"my.{one}" for one in classes)
    missing = [one.name for one in study.missing]
    assert missing == [OWN.format("A", 2), *(f"bridge=my.{one},seed=3" for one in classes)]
    assert (verdict(study) is not None) == (classes == "AB")
    assert (
        what_is_missing(path, missing)
        == what_is_missing(path, missing[1:])
        == f"bridgelab train -m {' '.join(task)}"
    )
    assert {one.name for one in study_status(path).runs} == {*missing, *(run.path.name for run in study.runs)}
    (path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['bridge=mlp', 'seed=0,1,2']}}"
    )  # the class was added
    added = "bridge._target_=my.A"
    assert what_is_missing(path, missing[:1]) == f"bridgelab study {path} --add {added}"
    assert what_is_missing(path, missing[1:2]) == f"bridgelab study {path} --add {added}"


@pytest.mark.parametrize("last", ["bridge=qformer bridge.width=64,128", "bridge=linear"])
def test_a_bridges_own_key_is_swept_beside_a_baseline_that_lacks_it(simulated, change, last):
    """`train -m bridge=qformer bridge.width=64,128`, then linear by `study --add`, which keeps multirun.yaml, or by a sweep of its own."""
    bridges = {"linear": {"exist": 0.7}, "qformer": {"exist": 0.6}, "mlp": {"exist": 0.8}}
    path = simulated.write(bridges=bridges, images=4)
    for seed in range(3):
        for bridge, width in (("mlp", 128), ("qformer", 64)):
            run = path / f"bridge={bridge},seed={seed}"
            run = run.rename(path / f"bridge=qformer,bridge.width={width},seed={seed}")
            change(run, overrides=run.name, bridge="qformer")
    task = json.dumps([*last.split(), "seed=0,1,2"])
    (path / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: {task}}}}}")
    study = read_study(path)
    rows = {"linear", "qformer, bridge.width=64", "qformer, bridge.width=128"}
    assert (set(study.bridges), study.missing) == (rows, ())
    assert {row for row, _ in verdict(study).cells} == rows - {"linear"}
    shutil.rmtree(path / "bridge=qformer,bridge.width=128,seed=1")
    absent = [one.name for one in read_study(path).missing]
    assert absent == ["bridge=qformer,seed=1,bridge.width=128"]


def test_a_seed_that_only_one_bridge_has_is_missing_for_the_others(simulated):
    path = simulated.write(bridges=SMALL, images=4, seeds=(0, 1))
    for part in (path / "bridge=mlp,seed=1").iterdir():
        part.unlink()
    assert [str(cell) for cell in read_study(path).missing] == ["bridge=mlp,seed=1: not started"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"fingerprints": {"vision": "zz", "text": "bb"}},
            "fingerprints.vision='zz' in bridge=mlp,seed=1, but 'aa'",
        ),
        (
            {"benchmark": "clevr"},
            "benchmark='clevr' in bridge=mlp,seed=1, but 'world' in bridge=linear,seed=0",
        ),
        ({"examples_seen": 5}, "examples_seen=5 in bridge=mlp,seed=1, but 64000"),
        ({"mixture": {"answer": 1.0}}, r"mixture.answer=1.0 in bridge=mlp,seed=1, but 0.8"),
        ({"features_dtype": "float32"}, "features_dtype=.float32. in bridge=mlp,seed=1, but .bfloat16."),
        ({"tuned_over": [0.1]}, r"tuned_over=\[0.1\] in bridge=mlp,seed=1, but \[0.0003, 0.001, 0.003\]"),
    ],
)
def test_runs_that_differ_are_refused(simulated, change, values, message):
    path = simulated.write(bridges=SMALL, images=4)
    change(path / "bridge=mlp,seed=1", **values)
    with pytest.raises(ValueError, match=message) as error:
        read_study(path)
    assert "run the study again from one configuration" in str(error.value)


def test_rows_without_image_need_not_share_the_vision_model(simulated, change):
    path = simulated.write(bridges={"blind": {"exist": 0.5}, "words": {"exist": 0.9}}, images=4)
    change(path / "bridge=words,seed=0", fingerprints={"text": "bb"})
    assert len(read_study(path).runs) == 4
    change(path / "bridge=words,seed=0", fingerprints={"text": "other"})
    with pytest.raises(ValueError, match=r"fingerprints.text='other'"):
        read_study(path)


def test_the_vision_model_of_bridges_is_compared_beyond_rows_without_image(simulated, change):
    # 'blind' comes first and names another vision model: the two bridges are still compared with each other.
    path = simulated.write(bridges={"blind": {"exist": 0.5}, "linear": {"exist": 0.6}}, images=4)
    for seed in range(3):
        change(path / f"bridge=blind,seed={seed}", fingerprints={"text": "bb"})
    change(path / "bridge=linear,seed=2", fingerprints={"vision": "zz", "text": "bb"})
    with pytest.raises(ValueError, match=r"fingerprints.vision='zz' in bridge=linear,seed=2"):
        read_study(path)


def test_a_cell_has_one_run(simulated, change):
    path = simulated.write(bridges=SMALL, images=4)
    change(path / "bridge=mlp,seed=1", seed=0)
    with pytest.raises(ValueError, match="A cell has one run"):
        read_study(path)


def test_all_runs_answer_the_same_examples(simulated):
    path = simulated.write(bridges=SMALL, images=4)
    file = path / "bridge=mlp,seed=1" / "predictions.parquet"
    pd.read_parquet(file).iloc[1:].to_parquet(file)
    with pytest.raises(
        ValueError, match="1 examples were answered by only one of bridge=linear,seed=0 and bridge=mlp"
    ):
        read_study(path)


def test_a_study_has_one_benchmark(simulated, change):
    path = simulated.write(bridges=SMALL, images=4)
    for run in sorted(simulated.write("other", bridges={"mlp": SMALL["mlp"]}, images=6).iterdir()):
        moved = run.rename(path / f"benchmark=gqa,{run.name}")
        change(moved, benchmark="gqa", overrides=moved.name)
    told = "examples of world, and .* others of gqa. .* one benchmark, .*: move the 3 runs of gqa to a folder of their own"
    for allow in ((), ("benchmark",)):
        with pytest.raises(ValueError, match=told):
            read_study(path, allow=allow)
    for run in path.glob("benchmark=gqa,*"):  # in one cell with another
        change(run, overrides=run.name.partition(",")[2])
    with pytest.raises(ValueError, match=told):
        read_study(path)


def _deep(levels):
    return "[" * levels + "]" * levels


def _pipe(file):
    file.unlink()
    os.mkfifo(file)


def _link(file):
    """Put a link to the same content in the file's place: where it leads is not known."""
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def _columns(**changed):
    def write(file):
        pd.read_parquet(file).assign(**changed).to_parquet(file)

    return write


def _record(**changed):
    return lambda file: file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def _text(text):
    return lambda file: file.write_bytes(text.encode() if isinstance(text, str) else text)


METRICS, CONFIG, ROWS, STEPS = "metrics.json", "config.yaml", "predictions.parquet", "metrics.csv"
MALFORMED = [
    (METRICS, _text("5"), "metrics.json is 5: input should be a valid dictionary"),
    (METRICS, _text("null"), "metrics.json is None: input should be"),
    (METRICS, _text('{"bridge": "mlp"}'), "metrics.json lacks benchmark, fingerprints"),
    (METRICS, _text('{"bridge"'), "metrics.json is not JSON"),
    (METRICS, _text(_deep(100_000)), "is not JSON (recursion limit exceeded"),
    (METRICS, _text('{"bridge": "\\ud800"}'), "is not JSON ("),
    (METRICS, _record(costs=None), "holds costs=None"),
    (METRICS, _record(costs={"trainable_parameters": None}), "holds costs.trainable_parameters=None: input should be a valid integer"),
    (METRICS, _record(metrics={"test/accuracy": "0.9"}), "holds metrics.test/accuracy='0.9': input should be a valid number"),
    (METRICS, _record(seed="1"), "holds seed='1'"),
    (METRICS, _record(tuning={"trials": {"x": 1.0}}), "holds tuning.trials.x.[key]='x'"),
    (METRICS, _record(curve=[[0, 0.1, 5]]), "holds curve.0=[0, 0.1, 5]"),
    (METRICS, _pipe, "metrics.json is not a regular file"),
    (METRICS, _link, "metrics.json is a link, which may lead anywhere. Put the file itself in its place"),
    (CONFIG, _text("a: [b"), "config.yaml can't be read (while parsing"),
    (CONFIG, _text("- 5"), "config.yaml can't be read (it is [5], and no mapping)"),
    (CONFIG, _text("a: &a [x]\nb: [*a, *a]"), "config.yaml can't be read (it holds an alias)"),
    (CONFIG, _text(f"a: {_deep(100)}"), "nested more than 64 levels deep"),
    (CONFIG, _text(f"a: {_deep(5000)}"), "config.yaml can't be read ("),  # PyYAML 6.0.4 has a limit of its own
    (CONFIG, _text("a: !!python/object/apply:os.getcwd []"), "it holds the tag"),
    (CONFIG, _pipe, "config.yaml is not a regular file"),
    (CONFIG, _link, "config.yaml is a link"),
    (ROWS, _text("PAR1 torn PAR1"), "predictions.parquet can't be read"),
    (ROWS, _pipe, "predictions.parquet is not a regular file"),
    (ROWS, _link, "predictions.parquet is a link"),
    (ROWS, _columns(score=2.0), "holds score=2.0. A score lies between 0 and 1"),
    (ROWS, _columns(score=float("nan")), "has rows without score"),
    (ROWS, _columns(score="0.5"), "string, where a run writes a number"),
    (ROWS, _columns(prediction=5), "holds prediction as int64, where a run writes text"),
    (ROWS, _columns(kind=None), "has rows without kind"),
    (ROWS, _columns(id="same"), "holds id 'same' twice"),
    (ROWS, lambda file: pd.read_parquet(file).drop(columns="image").to_parquet(file), "lacks the columns image"),
]  # fmt: skip


@pytest.fixture
def three(simulated):
    """A study of three runs."""
    return simulated.write(bridges={"mlp": {"exist": 0.7}}, images=3)


@pytest.fixture
def broken(three):
    """The run of it that a test breaks."""
    run = three / "bridge=mlp,seed=1"
    (run / CONFIG).write_text("seed: 1\n")
    return run


@pytest.mark.parametrize(("file", "spoil", "told"), MALFORMED)
def test_a_malformed_record_is_one_line_and_the_others_are_read(three, broken, capsys, file, spoil, told):
    spoil(broken / file)
    study = read_study(three)
    assert [run.seed for run in study.runs] == [0, 2]
    (missing,) = study.missing
    line = str(missing)
    assert line.startswith("bridge=mlp,seed=1: can't be read: ")
    assert told in line
    assert "\n" not in line
    if file != ROWS:  # which it does not read
        assert metrics_of(three)
        assert capsys.readouterr().err == f"{line}\n"


def test_a_log_that_is_none_does_not_end_the_reading(three, broken):
    (broken / METRICS).unlink()
    (broken / STEPS).write_text(f"step\n{'9' * 5000}\n7\n")
    assert str(read_study(three).missing[0]) == "bridge=mlp,seed=1: unfinished, last logged at step 7"
    (broken / STEPS).write_text(f"step\n{'x' * 200_000}\n")
    assert "metrics.csv is not a table (field larger than field limit" in str(read_study(three).missing[0])
    _pipe(broken / STEPS)
    assert "metrics.csv is not a regular file" in str(read_study(three).missing[0])


def test_a_folder_of_a_run_may_be_a_link(three, broken, tmp_path):
    broken.rename(tmp_path / "moved")
    broken.symlink_to(tmp_path / "moved")
    assert [run.seed for run in read_study(three).runs] == [0, 1, 2]


def test_a_run_whose_name_is_no_text_is_named_nonetheless(three):
    folder = os.fsencode(three) + b"/seed=\xff"
    os.mkdir(folder)
    open(folder + b"/metrics.csv", "w").close()
    assert [one.name for one in read_study(three).missing] == ["seed=\ufffd"]
    os.rename(
        three / "bridge=mlp,seed=0", os.fsencode(three) + b"/\xff"
    )  # a finished one, which pyarrow can't open
    study = read_study(three)
    assert [run.seed for run in study.runs] == [1, 2]
    assert "can't be read ('utf-8' codec can't encode" in str(study.missing[-1])


def test_a_study_has_its_name_from_inside_its_folder_too(three, monkeypatch):
    monkeypatch.chdir(three)
    assert (read_study(".").name, study_status(Path(".")).name) == (three.name, three.name)


@pytest.mark.parametrize("text", ["a: ${oc.env:HOME}", 'a: "\\x24{oc.env:HOME}"', "'${a}': 1"])
def test_a_config_that_would_read_the_environment_is_refused(broken, text):
    (broken / CONFIG).write_text(text)
    with pytest.raises(Malformed, match=r"config\.yaml can't be read \(it holds an interpolation, \$\{…\}\)"):
        read_config(broken)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CHANGES = st.dictionaries(
    st.sampled_from(sorted(Record.model_fields)),
    ANYTHING | st.dictionaries(st.sampled_from(["trainable_parameters", "trials", "delta"]), ANYTHING),
    min_size=1,
    max_size=2,
)
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # fmt: skip


@QUICK
@given(ANYTHING, CHANGES, st.booleans())
def test_any_json_in_a_records_place_is_read_or_told_in_a_line(three, broken, anything, changes, whole):
    record = json.loads((three / "bridge=mlp,seed=0" / METRICS).read_text()) | {"seed": 1} | changes
    (broken / METRICS).write_text(json.dumps(record if whole else anything))
    runs, unfinished = read_runs(three)
    assert len(runs) + len(unfinished) == 3
    assert all("\n" not in str(one) for one in unfinished)
    for run in runs:  # what was let through can be worked with
        assert all((run.bridge, run.sees, run.name, run.row))
        assert (run.seed, run.data_seed) == (int(run.seed), int(run.data_seed))
        assert run.trains in (True, False)
    provenance(Study("x", three, tuple(runs), (), pd.DataFrame()))
    if runs:
        assert isinstance(convergence_from_records([run.record for run in runs], 0.02).upper_bound, float)


COLUMN = st.sampled_from(
    [pa.array(["a", "b"]), pa.array([0.0, 1.0]), pa.array([1, None]), pa.array([None, None]), pa.array([[1], []]), pa.array([b"\xff", b"a"]),
     pa.array([{"a": 1}, None]), pa.array(["yes", "no"]).dictionary_encode(), pa.array([True, False])]
)  # fmt: skip
NAMES = (*COLUMNS, "likelihood", "majority", "prompt", "tag_type")


@QUICK
@given(
    st.binary(max_size=40)
    | st.dictionaries(st.sampled_from(NAMES), COLUMN)
    | st.fixed_dictionaries(dict.fromkeys(COLUMNS, COLUMN))
)
def test_any_table_in_the_place_of_predictions_is_read_or_told_in_a_line(three, broken, content):
    if isinstance(content, bytes):
        (broken / ROWS).write_bytes(b"PAR1" + content + b"PAR1")
    else:
        pq.write_table(pa.table(content), broken / ROWS)
    (line,) = _told_of(three)
    assert "\n" not in line
    assert (
        "bridge=mlp,seed=1: can't be read: predictions.parquet" in line or "answered by only one of" in line
    )


def _told_of(study):
    try:
        return [str(one) for one in read_study(study).missing]
    except ValueError as error:  # well formed, of other examples
        return [str(error)]


def test_runs_that_cannot_be_compared_are_read_for_what_compares_nothing(simulated, change):
    study = simulated.write(images=2)
    change(study / "bridge=mlp,seed=1", examples_seen=5)
    with pytest.raises(ValueError, match="examples_seen=5"):
        read_study(study)
    runs, unfinished = read_runs(study)
    assert (len(runs), unfinished) == (19, [])


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a folder. A study is read from"):
        read_study(tmp_path / "none")
    (tmp_path / "bridge=mlp").mkdir()
    (tmp_path / "bridge=mlp" / "config.yaml").write_text("{}")
    with pytest.raises(FileNotFoundError, match="holds 0 finished runs and 1 unfinished"):
        read_study(tmp_path)
