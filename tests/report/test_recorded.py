"""The recorded studies give the numbers that the README and the findings print."""

import importlib.util
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import ttest_rel

from bridgelab.report.contents import analyze, long_tables, short_tables
from bridgelab.report.formats.markdown import to_markdown
from bridgelab.report.formats.terminal import matrix_table
from bridgelab.report.matrix import matrix
from bridgelab.report.row import ALL
from bridgelab.report.summary import summarize
from bridgelab.report.table import StudyTables, percent_cell
from bridgelab.report.tables.lr_search import lr_search_table
from bridgelab.report.tables.shift import shift_of, shift_table
from bridgelab.runs.study import read_study
from bridgelab.statistics.outcome import BREAKS, CANNOT_TELL, LEADS
from bridgelab.statistics.verdict import verdict

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def script(name):
    """Import a script of `experiments/`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


patch_slopes, beside_published, equal_captions = map(
    script, ("patch_slopes", "beside_published", "equal_captions")
)


def unpacked(folder, *names):
    for name in names:
        with tarfile.open(ROOT / "experiments" / "records" / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


def percent(share):
    """Return a share in percent with one decimal, halves rounded up: 70.55 is not exact in binary."""
    return f"{100 * share + 1e-9:.1f}"


def all_tables(study):
    analysis = analyze(study)
    return to_markdown(long_tables(analysis, short_tables(analysis)))


def test_the_readme_and_the_finding_print_what_the_records_give(tmp_path):
    unpacked(
        tmp_path, "reader_24000", "published", "pooling", "first_look_warm", "first_look_full", "first_look"
    )
    for name in (
        "reader",
        "published",
        "pooling",
        "first_look_warm",
        "first_look_full",
        "first_look",
    ):  # the last is the README's
        study = read_study(tmp_path / name, allow=("train.lr",) if name in ("reader", "pooling") else ())
        printed = all_tables(study).splitlines()
        page = (ROOT / "experiments" / f"{name}.md").read_text().splitlines()
        assert len(printed) > 100
        assert [line for line in printed[1:] if line not in page] == []  # [0] is its title
    console = Console(file=io.StringIO(), width=100)
    console.print(matrix_table(matrix(verdict(study))))
    (shown,) = re.findall(r"^```\n( +compare .*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == re.sub(r" +$", "", console.file.getvalue(), flags=re.MULTILINE)


def test_the_readme_gives_the_accuracies_of_the_first_study():
    page = (ROOT / "experiments" / "first_look.md").read_text()
    accuracy = page.partition("**Accuracy, %**")[2].partition("\n**")[0]
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|", accuracy.replace("\\", ""), re.MULTILINE))
    (told,) = re.findall(r"^Of all questions .*?\n\n", README.read_text(), re.MULTILINE | re.DOTALL)
    expected = [rows[bridge] for bridge in ("linear", "mlp", "qformer", "perceiver", "linear_pooled")]
    expected += [rows[label].partition(" ")[0] for label in ("floor: blind", "ceiling: words")]
    assert re.findall(r"\d+\.\d(?: \(.*?\))?", told.replace(" %", "").replace("\n", " ")) == expected
    assert re.findall(r"^\| (.+?) \|.*; converged\)", accuracy, re.MULTILINE) == ["mlp"]


def test_the_readme_sums_up_what_the_findings_print():
    """Each number of its section, in order, from the page that it links; other tests compare the pages with the records."""
    (told,) = re.findall(r"^## Does a linear bridge break(.*?)^## ", README.read_text(), re.M | re.S)

    def cells(name, bridge, table=0):
        """The numbers with which the cells of a bridge begin, in one of its tables."""
        page = (ROOT / "experiments" / f"{name}.md").read_text()
        row = re.findall(rf"^\| {bridge} \| .*", page, re.MULTILINE)[table]
        return re.findall(r"\| [−+]?([\d.]+)", row)

    test, cost = (
        {name: cells("clutter_trained", name)[k] for name in ("linear", "perceiver", "qformer")}
        for k in (1, 2)
    )
    assert max(test.values(), key=float) == test["linear"]  # which still answers most
    first, last = ([cells("vit_layer", name)[k] for name in ("linear", "mlp")] for k in (1, 0))
    (both,) = {f"{float(one):.0f}" for one in last}
    page = (ROOT / "experiments" / "vit_layer.md").read_text()
    (matched,) = re.findall(r"the MLP has [\d,]+, and answers ([\d.]+) % of test", page)
    (cider,) = {f"{float(cells('captions_first', name, 1)[0]):.1f}" for name in ("linear", "qformer")}
    captioned = [cells("captions_first", name)[0] for name in ("linear", "qformer")]
    page = (ROOT / "experiments" / "reader.md").read_text()
    prose = [
        re.search(rf"\| {name} \| ([\d.]+) \(([\d.]+)–([\d.]+)\)", page).groups()
        for name in ("linear", "qformer")
    ]
    page = " ".join((ROOT / "docs" / "findings.md").read_text().split())
    (longer,) = re.findall(r"bring the Q-Former ([\d.]+), ([\d.]+) and ([\d.]+) points", page)
    expected = [
        *longer,
        *(f"{float(one):.0f}" for one in cost.values()),
        *first,
        both,
        matched,
        *("16", "2", "10"),
        *("36", "64", "144"),
        *cells("patches", "linear"),
        *cells("patches", "qformer"),
        cider,
        *captioned,
        "64",
        *prose[0],
        *prose[1],
    ]
    assert re.findall(r"(?<!\w)\d+(?:\.\d+)?", told) == expected


def test_the_finding_on_the_first_stage_is_of_the_records(tmp_path):
    """Validation accuracy at each number of steps, and paired differences by Student's t over the seeds."""
    runs = unpacked(tmp_path, "published")

    def values(run, steps):
        folders = [runs / run.format(seed) for seed in range(3)]
        budgets = [json.loads((folder / "metrics.json").read_text())["budgets"] for folder in folders]
        return np.array([100 * point["value"] for run in budgets for point in run if point["steps"] == steps])

    lines = (ROOT / "experiments" / "published.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| equal ", "| about equal "))]
    assert len(rows) == 5
    for row, (aligned, scratch) in zip(
        rows, [(1000, 1000), (2000, 2000), (4000, 4000), (1000, 2000), (2000, 4000)], strict=True
    ):
        second = values("published/bridge=qformer,seed={}", scratch)
        cells = [f"{second.mean():.1f}"]
        for run in (
            "published/bridge=qformer_aligned,seed={}",
            "published_rates/bridge=qformer_aligned,seed={},train.lr=0.0025",
        ):
            first = values(run, aligned)
            low, high = ttest_rel(first, second).confidence_interval()
            cells += [
                f"{first.mean():.1f}",
                f"{(first - second).mean():+.1f} ({low:.1f} to {high:.1f})".replace("-", "−"),
            ]
        assert row.endswith(f"| {' | '.join(cells)} |"), cells
    seconds = [
        json.loads(file.read_text())["costs"]["train_seconds"] for file in runs.glob("aligned/*/metrics.json")
    ]
    page = " ".join(lines)
    assert f"took {min(seconds):.0f} to {max(seconds):.0f} s" in page

    def test_accuracy(run):
        records = [json.loads((runs / run.format(seed) / "metrics.json").read_text()) for seed in range(3)]
        return np.array([100 * one["metrics"]["test/accuracy"] for one in records])

    halved = "published_rates/bridge=qformer_aligned,seed={},train.lr=0.0025"
    linear, aligned = test_accuracy("published/bridge=linear,seed={}"), test_accuracy(halved)
    low, high = ttest_rel(linear, aligned).confidence_interval()
    told = f"linear is {(linear - aligned).mean():.1f} points ahead of it over all questions ({low:.1f} to {high:.1f})"
    assert told in page
    assert f"with .005 and {aligned.mean():.2f} with .0025, and the one from scratch" in page
    assert (
        f"still rising (+{(values(halved, 4000) - values(halved, 2000)).mean():.1f} in the last doubling)"
        in page
    )
    assert f"which reach {values(halved, 4000).mean():.1f} %" in page


def test_the_finding_on_half_of_the_rate_is_of_the_records(tmp_path):
    runs = unpacked(tmp_path, "published")

    def records(name):
        return [json.loads((runs / name.format(seed) / "metrics.json").read_text()) for seed in range(3)]

    halved, chosen, linear = map(
        records,
        (
            "published_rates/bridge=mlp,seed={},train.lr=0.0025",
            "published/bridge=mlp,seed={}",
            "published/bridge=linear,seed={}",
        ),
    )
    validation = [100 * np.mean([one["budgets"][-1]["value"] for one in own]) for own in (halved, chosen)]
    test = [
        np.array([100 * one["metrics"]["test/accuracy"] for one in own]) for own in (halved, chosen, linear)
    ]
    low, high = ttest_rel(test[2], test[0]).confidence_interval()
    told = (
        f"With half of that three seeds reach {validation[0]:.1f} % of validation in place of {validation[1]:.1f}, and answer "
        f"{test[0].mean():.2f} % of test in place of {test[1].mean():.2f}. So with .0025 linear and the MLP are level over all "
        f"questions, {(test[2] - test[0]).mean():.1f} points apart ({low:.1f} to {high:.1f}, paired by seed)"
    ).replace("-", "−")
    page = " ".join((ROOT / "experiments" / "published.md").read_text().split())
    assert told in page, told
    # The other tries of half of the rate: one seed each.
    for label, bridge, lr in (
        ("linear", "linear", 0.0025),
        ("linear_pooled", "linear_pooled", 0.005),
        ("Q-Former", "qformer", 0.0025),
        ("The aligned Q-Former does:", "qformer_aligned", 0.0025),
    ):
        folders = (
            f"published_rates/bridge={bridge},seed=0,train.lr={lr}",
            f"published/bridge={bridge},seed=0",
        )
        reached = [
            json.loads((runs / one / "metrics.json").read_text())["budgets"][-1]["value"] for one in folders
        ]
        assert f"{label} {100 * reached[0]:.1f} ({100 * reached[1]:.1f})" in page


def test_the_finding_on_pooling_is_of_the_records(tmp_path):
    """Differences over all questions, and the runs by which the rate was chosen."""
    runs = unpacked(tmp_path, "pooling")
    page = " ".join((ROOT / "experiments" / "pooling.md").read_text().split())
    rows = {
        row.name: row.accuracy[ALL]
        for row in summarize(read_study(runs / "pooling", allow=("train.lr",))).rows
        if row.role == "bridge"
    }
    for bridge, told in (
        ("linear_pooled", "{} points behind `linear_pooled` ({} to {})"),
        ("qformer", "{} points behind the Q-Former ({} to {})"),
        ("perceiver", "{} behind the Resampler ({} to {})"),
    ):
        behind = rows[bridge] - rows["pixel_shuffle"]
        low, high = behind.interval
        numbers = (f"{100 * one + 1e-9:.1f}".replace("-", "−") for one in (behind.value, low, high))
        assert told.format(*numbers) in page
    halved, searched = (
        json.loads((runs / name / "metrics.json").read_text())
        for name in (
            "pooling/bridge=pixel_shuffle,seed=0,train.lr=0.005",
            "pooling_rates/bridge=pixel_shuffle,seed=0",
        )
    )
    validation, test = (
        [100 * one["budgets"][-1]["value"] for one in (halved, searched)],
        [100 * one["metrics"]["test/accuracy"] for one in (halved, searched)],
    )
    assert "reached {:.1f} % of validation in place of {:.1f}".format(*validation) in page
    assert "and {:.2f} % of test in place of {:.2f}".format(*test) in page


def test_the_finding_on_prose_is_of_the_records(tmp_path):
    runs = unpacked(tmp_path, "reader_24000") / "reader"
    page = (ROOT / "experiments" / "reader.md").read_text()
    found = 0
    for run in sorted(runs.glob("bridge=*")):
        record = json.loads((run / "metrics.json").read_text())
        values = [*(one["value"] for one in record["budgets"]), record["metrics"]["test/accuracy"]]
        bridge, seed = re.match(r"bridge=(\w+),seed=(\d)", run.name).groups()
        assert f"| {bridge}, {seed} | {' | '.join(percent(value) for value in values)} |" in page
        found += 1
    assert found == 6


def test_the_finding_at_equal_captions_is_of_the_records(tmp_path):
    runs = unpacked(tmp_path, "captions_first") / "captions_first"
    page = (ROOT / "experiments" / "captions_first.md").read_text()
    name = "benchmark.images.train={},bridge={},seed={},train.lr=0.005,train.steps={}"
    rows = re.findall(r"^\| (linear|qformer), ([\d,]+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert len(rows) == 5 + 8
    for (bridge, steps, captions, answers), images in zip(rows, [6000] * 5 + [100] * 8, strict=True):
        folders = [runs / name.format(images, bridge, seed, steps.replace(",", "")) for seed in range(3)]
        metrics = [
            json.loads((one / "metrics.json").read_text())["metrics"] for one in folders if one.is_dir()
        ]
        assert captions == ", ".join(f"{one['test/cider']:.2f}" for one in metrics)
        assert answers == ", ".join(f"{100 * one['test/accuracy']:.1f}" for one in metrics)

    def at_equal_captions(images):
        """Choose the runs, and tell the difference of what they answer."""
        level, _ = equal_captions.choose(runs, images)
        equal_captions.main(str(runs), str(images), str(tmp_path / f"equal_{images}"))
        study = read_study(tmp_path / f"equal_{images}", allow=["train.steps"])
        linear, qformer = (row.accuracy[ALL] for row in summarize(study).rows if row.role == "bridge")
        low, high = (100 * end for end in (linear - qformer).interval)
        return level, study, f"{100 * (linear - qformer).value:+.1f} points ({low:.1f} to {high:.1f})"

    page_in_one = " ".join(page.split())
    for images in (6000, 100):
        level, study, told = at_equal_captions(images)
        assert f"The level was {level:.2f}, " in page_in_one
        assert f"difference is {told}" in page_in_one
        assert BREAKS not in {finding.outcome for finding in verdict(study).cells.values()}
        if images == 100:
            answered = [
                percent(row.accuracy[ALL].value) for row in summarize(study).rows if row.role == "bridge"
            ]
            assert "Linear answers {} % and the Q-Former {},".format(*answered) in page_in_one
        else:
            printed = all_tables(study).splitlines()
    tables = page[page.index("## At equal captions") :].splitlines()
    assert len([line for line in tables if line.startswith("| ")]) > 10
    assert [line for line in tables[1:] if line.startswith("| ") and line not in printed] == []


def test_the_finding_on_conditioning_is_of_the_records(tmp_path):
    """Each row with its interval, which hangs on its own runs alone."""
    study = read_study(unpacked(tmp_path, "first_look_full", "conditioning") / "first_look_full")
    accuracy = {row.name: percent_cell(row.accuracy[ALL]) for row in summarize(study).rows if row.accuracy}
    told = {"nothing": "", "the question": "_question", "another example's question": "_mismatched"}
    named = {"Q-Former": "qformer", "Perceiver Resampler": "perceiver"}
    lines = (ROOT / "experiments" / "conditioning.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][2:]
    assert len(rows) == 6
    for bridge, by, _, found in rows:
        cell = accuracy[named[bridge] + told[by]]
        assert found == f"{cell.text} ({cell.interval})"


def test_the_findings_on_other_splits_are_of_the_records(tmp_path):
    runs = unpacked(tmp_path, "shifts_and_aa") / "shifts"
    for name, split, outcome in (
        ("clutter", "clutter", BREAKS),
        ("objects", "many", LEADS),
        ("depth", "longer", CANNOT_TELL),
    ):
        found = shift_of(read_study(runs / f"first_look_full_on_world_test-{split}"))
        said = " ".join((ROOT / "experiments" / f"{name}.md").read_text().split())
        judged, other = found.change["perceiver"], found.change["qformer"]
        assert judged.outcome == outcome
        assert f"*{outcome}*" in said
        assert other.at_budget  # of these runs one budget alone is recorded
        ends = sorted(abs(100 * end) for end in judged.holm_interval)
        assert f"by {abs(100 * judged.contrast.value):.1f} points ({ends[0]:.1f} to {ends[1]:.1f}" in said
        for row in ("linear", "perceiver"):
            kept = found.kept[row]
            low, high = kept.interval
            assert f"{100 * kept.value:.0f} % ({100 * low:.0f} to {100 * high:.0f})" in said


def test_the_finding_on_the_first_block_is_of_the_records(tmp_path):
    """The study's tables, and what it changes from published's runs at the same rates, which see the last block."""
    runs = unpacked(tmp_path, "published", "vit_layer")
    study = read_study(tmp_path / "vit_layer", allow=("train.lr",))
    change = shift_table(beside_published.shift(runs, "vit_layer"))
    printed = (to_markdown(StudyTables("", (change,), ())) + all_tables(study)).splitlines()
    page = (ROOT / "experiments" / "vit_layer.md").read_text()
    assert [line for line in printed if line.startswith("| ") and line not in page.splitlines()] == []
    reached = {
        bridge: np.mean([[one["value"] for one in run.record["budgets"]] for run in study.of(bridge)], 0)
        for bridge in ("linear", "mlp")
    }
    gap = [f"{one:.1f}" for one in 100 * (reached["mlp"] - reached["linear"])]
    told = f"{gap[0]} points ahead after 1,000 steps, {gap[1]} after 2,000 and {gap[2]} after 4,000"
    assert told in page, told


def test_the_controls_on_the_first_block_are_of_the_records(tmp_path):
    """Linear with half and twice its rate, and beside an MLP with as many parameters."""
    runs = unpacked(tmp_path, "vit_layer")
    page = " ".join((ROOT / "experiments" / "vit_layer.md").read_text().split())
    reached, answered = [], []
    for folder in (
        "vit_layer_rates/bridge=linear,seed=0,train.lr=0.0025",
        "vit_layer_rates/bridge=linear,seed=0,train.lr=0.01",
        "vit_layer/bridge=linear,seed=0,train.lr=0.005",
    ):
        record = json.loads((runs / folder / "metrics.json").read_text())
        reached.append(f"{100 * record['budgets'][-1]['value']:.1f}")
        answered.append(f"{100 * record['metrics']['test/accuracy']:.2f}")
    assert (
        f"reaches {reached[0]} and {reached[1]} % of validation in place of {reached[2]}, and answers "
        f"{answered[0]} and {answered[1]} % of test in place of {answered[2]}" in page
    )
    sources = {
        "linear": "vit_layer/bridge=linear,seed={},train.lr=0.005",
        "mlp": "vit_layer_matched/bridge.hidden_dim=71,bridge=mlp,seed={},train.lr=0.0025",
    }
    study = beside_published.gather(tmp_path / "matched", runs, sources)
    linear, mlp = (
        next(row.accuracy[ALL] for row in summarize(study).rows if row.name == name)
        for name in ("linear", "mlp")
    )
    low, high = (100 * end for end in (mlp - linear).interval)
    told = f"answers {percent(mlp.value)} % of test, {100 * (mlp - linear).value:.1f} points more than linear ({low:.1f} to {high:.1f})"
    assert told in page, told
    found = {kind: finding for (_, kind), finding in verdict(study).cells.items()}
    for kind, finding in found.items():
        ends = " to ".join(f"{100 * end:.1f}".replace("-", "−") for end in finding.holm_interval)
        said = f"{kind.replace('_', ' ')} (−{abs(100 * finding.contrast.value):.1f} points, {ends})"
        assert (said in page) == (finding.outcome == BREAKS), said


def test_what_is_said_of_unfinished_studies_is_of_the_records(tmp_path):
    unpacked(tmp_path, "longer_begun", "published")
    page = " ".join((ROOT / "docs" / "findings.md").read_text().split())

    def records(name):
        return [json.loads((tmp_path / name.format(seed) / "metrics.json").read_text()) for seed in range(3)]

    def answered(runs):
        return np.array([100 * one["metrics"]["test/accuracy"] for one in runs])

    def told(values, digits=1):
        first, second, third = (f"{one + 1e-9:.{digits}f}".replace("-", "−") for one in values)
        return f"{first}, {second} and {third}"

    longer = records("longer/bridge=qformer,seed={},train.lr=0.005")
    gains = [100 * (one["budgets"][-1]["value"] - one["budgets"][-2]["value"]) for one in longer]
    ends = answered(longer)
    assert f"answers {told(ends, 2)} %, and gained {told(gains)}" in page
    more = ends - answered(records("published/bridge=qformer,seed={}"))
    assert f"bring the Q-Former {told(more)} points" in page
    prose = [
        json.loads((path / "metrics.json").read_text())["metrics"]
        for bridge in ("linear_pooled", "qformer", "qformer_question", "qformer_mismatched")
        for path in unpacked(tmp_path, "prose_tokens_begun").glob(
            f"prose_tokens/bridge={bridge},*miniature_prose,*"
        )
    ]
    first, second, third, fourth = (f"{100 * one['test/accuracy']:.2f}" for one in prose)
    other = [100 * one["test_shuffled/accuracy"] for one in prose]
    assert (
        f"answer {first}, {second}, {third} and {fourth} % of test, and {min(other):.2f} to {max(other):.2f} with"
        in page
    )
    assert f"CIDEr-D is {told([one['test/cider'] for one in prose[1:]], 2)}, and linear with" in page
    dense = [
        f"{100 * json.loads((path / 'metrics.json').read_text())['metrics']['test/accuracy']:.2f}"
        for bridge in ("qformer", "qformer_question")
        for path in (tmp_path / "prose_tokens").glob(f"bridge={bridge},*miniature_dense,*")
    ]
    assert (
        f"the Q-Former answers {dense[0]} % and the one that is told the question {dense[1]}, one seed each"
        in page
    )
    cards = unpacked(tmp_path, "patches_models") / "pretrain"
    read = json.loads((cards / "grids" / "text_grids_card.json").read_text())["words"]
    words = [100 * read[form]["mean"] for form in ("patch_like_36", "patch_like", "patch_like_144")]
    page = " ".join((ROOT / "experiments" / "patches.md").read_text().split())
    assert "answers {:.1f}, {:.1f} and {:.1f} %".format(*words) in page
    probes = [
        json.loads((cards / f"patch_{size}" / "vision_card.json").read_text())["probe"]
        for size in (16, 12, 8)
    ]
    named = [100 * probe["centre"]["shape"]["all"]["value"] for probe in probes]
    assert "names {:.1f}, {:.1f} and {:.1f} % of the shapes".format(*named) in page


def test_the_finding_on_clutter_in_training_is_of_the_records(tmp_path):
    """The study's tables, and what clutter costs beside the runs of published with the same bridge, seed and rate."""
    runs = unpacked(tmp_path, "published", "clutter_trained")
    study = read_study(tmp_path / "clutter_trained", allow=("train.lr",))
    change = shift_table(beside_published.shift(runs, "clutter_trained"))
    printed = (to_markdown(StudyTables("", (change,), ())) + all_tables(study)).splitlines()
    page = (ROOT / "experiments" / "clutter_trained.md").read_text().splitlines()
    assert len(printed) > 80
    assert [line for line in printed if line.startswith(("| ", "- ")) and line not in page] == []


def test_the_finding_on_patches_is_of_the_records(tmp_path, capsys):
    """The study's tables, and the slopes over the number of patches, whose variance is written out here from the answers."""
    study = read_study(unpacked(tmp_path, "patches") / "patches")
    patch_slopes.main(str(study.path))
    printed = (capsys.readouterr().out + all_tables(study)).splitlines()
    page = (ROOT / "experiments" / "patches.md").read_text().splitlines()
    assert len(printed) > 80
    assert [line for line in printed if line.startswith(("| ", "- ")) and line not in page] == []
    doublings = np.log2([36, 64, 144])
    weights = (doublings - doublings.mean()) / ((doublings - doublings.mean()) ** 2).sum()

    def slopes(bridge):
        """Return a slope for each seed and question [seed, question], and the image of each question."""
        total = 0
        for weight, size in zip(weights, (16, 12, 8), strict=True):
            name = f"bridge={bridge},seed={{}},vision.weights=runs_pretrain_patch_{size}_vision.safetensors"
            answers = [
                pd.read_parquet(study.path / name.format(seed) / "predictions.parquet").query(
                    "view == 'image' and kind == 'answer'"
                )
                for seed in range(3)
            ]
            answers = [one.sort_values("id") for one in answers]
            total = total + weight * np.stack([one["score"] for one in answers])
        return total, answers[0]["image"].to_numpy()

    for bridge, finding in patch_slopes.slopes(study).items():
        (linear, images), (other, _) = slopes("linear"), slopes(bridge)
        ids = np.unique(images)
        share = (images[:, None] == ids) / len(images) * np.sqrt(len(ids) / (len(ids) - 1))
        influence = [(one - one.mean(axis=1, keepdims=True)) @ share for one in (linear, other)]
        of_seeds = [one.mean(axis=1).var(ddof=1) / 3 for one in (linear, other)]
        of_both = [one.var(axis=0, ddof=1).sum() / 3 for one in influence]
        of_images = ((influence[0].mean(axis=0) - influence[1].mean(axis=0)) ** 2).sum()
        variance = sum(max(0, a - b) for a, b in zip(of_seeds, of_both, strict=True)) + of_images
        assert float(finding.contrast.value) == pytest.approx(linear.mean() - other.mean())
        assert float(finding.contrast.variance) == pytest.approx(variance)
    shutil.rmtree(next(study.path.glob("bridge=perceiver,seed=2,*")))
    with pytest.raises(ValueError, match="finish the study first"):
        patch_slopes.slopes(read_study(study.path))


def test_the_finding_on_tokens_is_of_the_records(tmp_path):
    unpacked(tmp_path, "tokens")
    printed = {}
    for name in ("tokens", "tokens_64"):
        study = read_study(tmp_path / name)
        printed[name] = all_tables(study)
    finding = (ROOT / "experiments" / "tokens.md").read_text()
    rows = re.findall(
        r"^\| (linear_pooled|qformer|perceiver)[^|]* \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$",
        finding,
        re.MULTILINE,
    )
    assert len(rows) == 3
    for bridge, *found in rows:
        for tokens, cell in zip((4, 16, 64), found, strict=True):
            name = bridge.replace("_", r"\_") + f", budget.tokens={tokens}"
            by = "tokens"
            if (bridge, tokens) == ("linear_pooled", 64):
                name, by = "linear", "tokens_64"
            (line,) = [line for line in accuracy(printed[by]) if line.startswith(f"| {name} |")]
            assert f"| {cell} |" in line
    said = " ".join(finding.split())
    for by, difference, interval, outcome in (
        ("tokens", "−12.0", "−21.8 to −2.3", "breaks"),
        ("tokens", "−8.0", "−12.9 to −3.1", "breaks"),
        ("tokens_64", "+8.5", "1.6 to 15.5", "cannot tell"),
    ):
        assert f"({difference} points, {interval})" in said
        assert re.search(
            rf"{re.escape(difference)} \({interval}; 90 %: [^;]*; {outcome}( at this budget)?\)", printed[by]
        )


def test_the_finding_on_rates_is_of_the_records(tmp_path):
    runs = unpacked(tmp_path, "tune", "first_look_full", "conditioning")
    grid = lr_search_table(read_study(runs / "tune"))
    lines = (ROOT / "experiments" / "tune.md").read_text().splitlines()
    printed = to_markdown(StudyTables("", (grid,), ())).splitlines()
    assert len(grid.rows) == 17
    assert [line for line in printed if line.startswith("|") and line not in lines] == []
    chosen = re.findall(
        r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+|–) \|$", "\n".join(lines), re.MULTILINE
    )
    assert len(chosen) == 17
    for bridge, rate, warmup, longer in chosen:
        record = json.loads((runs / "tune" / f"bridge={bridge},seed=0" / "metrics.json").read_text())
        assert (record["lr"], record["warmup"]) == (float(rate), float(warmup))
        other = runs / "first_look_full" / f"bridge={bridge},seed=0" / "metrics.json"
        assert other.exists() == (longer != "–")
        if other.exists():
            assert json.loads(other.read_text())["lr"] == float(longer)


def accuracy(printed):
    """The lines of the first table."""
    return printed.split("**")[2].splitlines()
