"""The table, the picture and the page of studies whose truth is known."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from rich.console import Console
from simulated_study import TRUTH

from bridgelab.report.formats.html import table_to_html
from bridgelab.report.formats.markdown import to_markdown
from bridgelab.report.formats.terminal import to_rich
from bridgelab.report.row import short_label
from bridgelab.report.summary import summarize
from bridgelab.report.table import Cell
from bridgelab.report.tables.study import study_tables
from bridgelab.report.write import report
from bridgelab.runs.study import read_study
from bridgelab.statistics.question_kinds import reasoning_type

TWO = {"linear": {"exist": 0.7, "count": 0.5}, "blind": {"exist": 0.5, "count": 0.3}}
VOID = ("meta", "img", "input", "wbr")


class WellFormed(HTMLParser):
    """Fails on a tag that is closed out of order, and gathers tags and attributes."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page: str) -> WellFormed:
    parser = WellFormed()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def printed(table) -> str:
    out = StringIO()
    Console(file=out, width=120).print(to_rich(table))
    return out.getvalue()


def tables(study, **choices):
    return study_tables(summarize(read_study(study), **choices))


def rows(table, grid=0):
    return {cells[0].text: cells[1:] for _, cells in table.tables[grid].rows}


def test_planted_accuracies_are_found(simulated):
    path = simulated.write(images=150)
    summary = summarize(read_study(path))
    from_rows = pd.read_parquet(path / "bridge=linear,seed=0" / "predictions.parquet")
    runs = [
        pd.read_parquet(path / f"bridge=linear,seed={seed}" / "predictions.parquet").query("view == 'image'")
        for seed in range(3)
    ]
    linear = next(row for row in summary.rows if row.name == "linear")
    for tag, name in [("query_color", "query"), ("greater_than", "compare_integer"), ("exist", "exist")]:
        mean = np.mean([run.loc[run["tag_type"] == tag, "score"].mean() for run in runs])
        assert linear.accuracy[name].value == pytest.approx(mean)
        low, high = linear.accuracy[name].interval
        assert low < mean < high
    assert linear.accuracy["query"].value == pytest.approx(0.60, abs=0.08)  # 450 answers: 3 standard errors
    assert len(from_rows) == 150 * 11


def test_one_row_a_bridge_then_floors_then_ceilings(simulated):
    table = tables(simulated.write(images=6))
    assert list(rows(table)) == [
        "linear", "mlp", "perceiver", "qformer",
        "floor: blind", "floor: shuffled", "floor: majority",
        "ceiling: words", "ceiling: words, prompted",
    ]  # fmt: skip
    assert table.tables[0].columns == (
        "bridge", "all", "exist", "count", "query", "compare attribute", "compare integer", "last doubling",
    )  # fmt: skip


def test_rows_are_never_sorted_by_a_result(simulated):
    best_last = {name: {"exist": right} for name, right in [("a", 0.2), ("b", 0.9), ("c", 0.5)]}
    path = simulated.write(bridges=best_last, images=30)
    (path / "multirun.yaml").write_text("hydra: {sweeper: {params: {bridge: 'c,a,b'}}}")
    assert list(rows(tables(path)))[:3] == ["c", "a", "b"]


@pytest.mark.parametrize("converged", [True, False])
def test_each_row_tells_what_its_last_doubling_brought(simulated, converged):
    table = tables(simulated.write(images=6, converged=converged))
    cell = rows(table)["linear"][-1]
    assert cell.text == ("+0.0" if converged else "+5.0")
    assert cell.interval == ("at most +0.0; converged" if converged else "at most +5.0; not converged")
    for text in (printed(table), to_markdown(table)):
        assert ("No ranking is drawn" in text.replace("\n", " ")) is not converged
    assert not any("<b>" in table_to_html(one) for one in table.tables)
    assert not any("**" in line for line in to_markdown(table).splitlines() if line.startswith("|"))


def test_a_row_from_warm_starts_shows_the_bound_that_decides(simulated, change):
    path = simulated.write(images=6, converged=True)
    for seed, end in enumerate((0.58, 0.6, 0.62)):
        change(
            path / f"bridge=mlp,seed={seed}",
            init_budgets=[{"steps": 500, "value": 0.5}, {"steps": 1000, "value": end}],
        )
        change(path / f"bridge=linear,seed={seed}", init_budgets=[{"steps": 1000, "value": end}])
    cells = {label: cells[-1].interval for label, cells in rows(tables(path)).items()}
    assert cells["mlp"] == "at most +0.0; its warm start +10.0, at most +13.4; not converged"
    assert cells["linear"] == "at most +0.0; its warm start one budget; not converged"


def test_one_row_that_has_not_converged_touches_no_other(simulated, change):
    path = simulated.write(images=6)
    for seed, end in enumerate((0.58, 0.6, 0.62)):
        budgets = [{"steps": 500, "value": 0.5}, {"steps": 1000, "value": end}]
        change(path / f"bridge=mlp,seed={seed}", budgets=budgets)
    table = tables(path)
    # By hand: 10 points, standard deviation 2, t(2) = 2.920.
    assert rows(table)["mlp"][-1].interval == "at most +13.4; not converged"
    assert rows(table)["linear"][-1].interval.endswith("; converged")
    assert "not shown for mlp. No ranking" in table.notes[0]


def test_one_budget_or_one_seed_shows_no_convergence(simulated, change):
    path = simulated.write(images=6)
    change(path / "bridge=mlp,seed=0", budgets=[{"steps": 1000, "value": 0.6}])
    assert rows(tables(path))["mlp"][-1] == Cell("–", "one budget")
    alone = simulated.write("alone", images=6, seeds=(0,))
    assert rows(tables(alone))["mlp"][-1] == Cell("+0.0", "one seed")


def test_gap_closed_stands_only_where_there_is_a_gap(simulated):
    # compare_integer: words 0.69, blind 0.62; by construction under ten points.
    table = tables(simulated.write(images=400, seed_effect=0))
    gaps = rows(table, grid=1)
    assert list(gaps) == ["linear", "mlp", "perceiver", "qformer"]
    assert all(cells[-1] == Cell("–") for cells in gaps.values())
    assert float(gaps["linear"][3].text) == pytest.approx(100 * (0.60 - 0.20) / (0.97 - 0.20), abs=5)
    assert any("not clipped" in note and "under 10 points" in note for note in table.notes)


def test_a_bridge_worse_than_blind_closes_less_than_nothing(simulated):
    worse = {
        "linear": {"exist": 0.35}, "mlp": {"exist": 0.99}, "blind": {"exist": 0.6}, "words_prompted":
        {"exist": 0.85}
    }  # fmt: skip
    gaps = rows(tables(simulated.write(bridges=worse, images=300)), grid=1)
    assert float(gaps["linear"][0].text.replace("−", "-")) == pytest.approx(-100, abs=20)
    assert float(gaps["mlp"][0].text) > 130
    assert " to −" in gaps["linear"][0].interval


def test_without_blind_or_words_the_gap_is_missing_and_named(simulated, change):
    path = simulated.write(bridges=TWO, images=6)
    table = tables(path)
    assert [grid.title for grid in table.tables] == ["Accuracy, %", "Captions and costs"]
    assert any("no finished run of words_prompted" in note for note in table.notes)
    for run in sorted(path.iterdir()):  # blind is still there where its name has a level
        for steps in (400, 800):
            copy = shutil.copytree(run, run.with_name(f"{run.name},train.steps={steps}"))
            change(copy, overrides=copy.name)
        shutil.rmtree(run)
    assert any("no finished run of words_prompted." in note for note in tables(path).notes)


def test_words_in_both_forms_are_set_against_each_other(simulated):
    planted = {
        "linear": {"exist": 0.7, "count": 0.7}, "words": {"exist": 0.9, "count": 0.9},
        "words_patch_like": {"exist": 0.8, "count": 0.8},
    }  # fmt: skip
    found = [n for n in tables(simulated.write(bridges=planted, images=400)).notes if "raster order" in n]
    assert len(found) == 1
    told = re.search(r"The T5 answers (\S+) points \((\S+) to (\S+)\) better", found[0]).groups()
    points, low, high = map(float, told)
    assert low < 10 < high
    assert points == pytest.approx(10, abs=4)
    del planted["words_patch_like"]
    assert not any("raster" in n for n in tables(simulated.write("other", bridges=planted, images=6)).notes)


def test_what_bridges_are_told_of_the_question_is_noted(simulated, change):
    path = simulated.write(images=4)
    assert any("No bridge is conditioned on the question" in note for note in tables(path).notes)
    for seed in range(3):
        change(path / f"bridge=qformer,seed={seed}", conditioning="question")
    assert any("another example's question, is not in this study" in note for note in tables(path).notes)
    for seed in range(3):
        change(path / f"bridge=mlp,seed={seed}", conditioning="mismatched")
    assert not any("is not in this study" in note or "conditioned" in note for note in tables(path).notes)


def test_missing_cells_stand_under_the_table(simulated):
    path = simulated.write(bridges=TWO, images=6)
    (path / "bridge=blind,seed=2" / "metrics.json").unlink()
    note = tables(path).notes[-1]
    assert note == "Missing from this table, 1: bridge=blind,seed=2: unfinished."


def test_a_bridge_at_the_blind_floor_is_named(simulated):
    seen = {"linear": {"exist": 0.49, "count": 0.29}, "qformer": {"exist": 0.9, "count": 0.8}}
    notes = tables(simulated.write(bridges=seen | {"blind": TWO["blind"]})).notes
    (said,) = [note for note in notes if "blind floor" in note]
    assert "includes 0): linear. If such a bridge counts as converged" in said
    assert not any("blind floor" in note for note in tables(simulated.write("other")).notes)


def test_one_seed_is_said(simulated):
    notes = tables(simulated.write(bridges=TWO, images=6, seeds=(0,))).notes
    assert any("One seed only" in note and "blind, linear" in note for note in notes)


def test_floors_from_rows(simulated):
    found = rows(tables(simulated.write(images=40)))
    assert (
        found["floor: majority"][0].text == "50.0"
    )  # 'yes' for every other image, and all targets are 'yes'
    # Other images' patches are answered as blindly as none: planted at blind's truth.
    blind, shuffled = float(found["floor: blind"][0].text), float(found["floor: shuffled"][0].text)
    assert blind == pytest.approx(shuffled, abs=6)


def test_the_majority_floor_is_what_the_metric_says_of_it(simulated, change):
    path = simulated.write(bridges=TWO, images=20)
    for run in path.iterdir():  # half of a point where the first answer is missed, as by VQA accuracy
        change(run, metrics={"test/accuracy": 0.5, "test/majority": 0.75})
    printed = rows(tables(path))["floor: majority"]
    assert [cell.text for cell in printed[:3]] == ["75.0", "–", "–"]
    assert printed[0].interval == ""
    for file in path.glob("*/predictions.parquet"):  # a benchmark without a train split
        pd.read_parquet(file).assign(majority=None).to_parquet(file)
    assert "floor: majority" not in rows(tables(path))


def test_captions_have_intervals_where_rows_give_back_the_record(simulated, change):
    path = simulated.write(bridges=TWO, images=20)
    cider, attributes = rows(tables(path), grid=1)["linear"][:2]
    assert (cider.text, cider.interval) == (
        "1.25",
        "",
    )  # planted, not what the rows give: the record stands, without interval
    # All alike: half an answer of 20 images to either side, with Student's t of 19 degrees of freedom, 2.093.
    assert attributes == Cell("75.0", "64.5–85.5")
    from bridgelab.benchmark.metrics.cider import cider_d

    for seed in range(3):
        run = path / f"bridge=linear,seed={seed}"
        table = pd.read_parquet(run / "predictions.parquet").query("kind == 'caption'")
        mean, _ = cider_d(table["prediction"].tolist(), [[target] for target in table["target"]])
        change(run, metrics={"test/cider": mean, "test/caption_attributes": 0.75})
    number = rows(tables(path), grid=1)["linear"][0].number
    assert 0 <= number.low < number.high <= 10


def test_costs(simulated):
    costs = rows(tables(simulated.write(bridges=TWO, images=6)), grid=1)["linear"][2:]
    assert [cell.text for cell in costs] == ["16,512", "64", "903 M", "3"]


def test_a_benchmark_without_types_or_captions(simulated):
    path = simulated.write(bridges=TWO, images=6)
    for file in path.glob("*/predictions.parquet"):
        table = pd.read_parquet(file).query("kind != 'caption'").assign(kind="true_false")
        other = (table["image"].str[0].astype(int) + table["tag_type"].map({"exist": 1, "count": 2})) % 6
        table["image"] += "|" + other.astype(str) + ".png"
        table.drop(columns=["tag_type", "majority"]).to_parquet(file)
    assert summarize(read_study(path)).images == 6  # a picture counts once, whichever pairs it is in
    table = tables(path)
    assert table.tables[0].columns == ("bridge", "all", "last doubling")
    assert list(rows(table)) == ["linear", "floor: blind", "floor: shuffled"]


def test_groups_give_consistency_and_are_drawn_whole(simulated):
    path = simulated.write()
    expected = {}
    for file in path.glob("*/predictions.parquet"):
        rows = pd.read_parquet(file)
        rows = rows[rows["kind"] == "answer"].assign(tag_type="true_false")
        rows["tag_group"] = rows["image"]
        rows["image"] = rows["id"]  # every example a picture of its own, as in NLVR
        rows.to_parquet(file)
        right = rows[rows["view"] == "image"].groupby("tag_group")["score"].min().mean()
        expected.setdefault(file.parent.name.split(",")[0].removeprefix("bridge="), []).append(right)
    summary = summarize(read_study(path))
    assert summary.questions == {"all": 200, "consistency": 40}
    assert summary.images == 200
    for row in summary.rows:
        if row.name in expected:
            assert row.accuracy["consistency"].value == pytest.approx(np.mean(expected[row.name]))
    linear = summary.rows[0].accuracy
    low, high = linear["all"].interval
    assert high - low > 0.05  # 40 groups, not 200 pictures
    notes = " ".join(study_tables(summary).notes)
    assert "the 40 groups in which every answer is right" in notes
    assert "200 questions on 200 images. Ranges are 95 % intervals over seeds and groups of images" in notes


@pytest.mark.parametrize(
    ("tag", "group"),
    [
        ("query_color", "query"), ("equal_shape", "compare_attribute"),
        ("compare_attribute", "compare_attribute"),
        ("equal_integer", "compare_integer"), ("less_than", "compare_integer"), ("count", "count"),
        ("compare_integer", "compare_integer"), ("spatial", "spatial"), ("compare_shape", "compare_attribute"),
        *((name, name) for name in ("query", "query_text", "compare_price", "equal_pay", "query_colors")),  # one's own
    ],
)  # fmt: skip
def test_reasoning_types_are_grouped(tag, group):
    assert reasoning_type(tag) == group


def test_a_report_is_three_files_and_the_same_each_time(simulated):
    path = simulated.write(images=10, converged=False)
    out = StringIO()
    paths = report(path, console=Console(file=out, width=130))
    assert {name: file.name for name, file in paths.items()} == {
        "figure": "figure.png", "table": "table.md", "page": "index.html"
    }  # fmt: skip
    assert "first_look on world" in out.getvalue()
    picture = imread(paths["figure"])
    assert picture.shape[1] > 1000
    assert picture[..., :3].std() > 0.05  # something is drawn
    first = {file: file.read_bytes() for file in paths.values()}
    report(path, console=Console(file=StringIO()))
    assert first == {file: file.read_bytes() for file in paths.values()}
    assert not list(path.glob("*.part"))


def test_a_study_of_floors_and_ceilings_alone_has_a_page(simulated):
    path = simulated.write(bridges={"blind": {"exist": 0.5}, "words": {"exist": 0.9}}, images=6)
    out = StringIO()
    page = report(path, console=Console(file=out, width=200))["page"].read_text()
    assert "Compared: 6 questions on 6 images." in out.getvalue()
    assert 'class="scroll matrix"' not in page
    assert "ceiling: words" in page


def test_a_study_whose_baseline_has_no_run_says_why_it_has_no_verdict(simulated, change):
    """Only where there is something to compare: two bridges that see images."""
    path = simulated.write("s", bridges={name: TRUTH[name] for name in ("mlp", "qformer", "blind")}, images=6)

    def told():
        out = StringIO()
        page = report(path, console=Console(file=out, width=400))["page"].read_text()
        said = html.unescape("".join(re.findall(r'<p class="lead">(.*?)</p>', page)))
        assert ("No verdict" in out.getvalue()) == bool(said)
        return said

    why = "No verdict: the baseline linear has no finished run. Add it: "
    assert told() == f"{why}bridgelab study {path} --add bridge=linear"
    task = ["experiments=s", "bridge=linear,mlp,qformer,blind"]
    (path / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: {json.dumps(task)}}}}}")
    assert told() == f"{why}bridgelab train experiments=s bridge=linear,mlp,qformer,blind"
    for run in path.glob("bridge=*"):
        change(run, verdict={"baseline": "my.Bridge", "delta": 0.02})
    assert told().endswith(
        "baseline my.Bridge has no finished run. Add it: "
        + f"bridgelab study {path} --add bridge._target_=my.Bridge"
    )
    for run in path.glob("bridge=mlp,*"):
        shutil.rmtree(run)
    assert told() == ""


def test_figures_are_written_for_a_paper(simulated):
    path = simulated.write(images=10)
    paths = report(path, figures="svg", console=Console(file=StringIO()))
    found = {file.name: file for file in (path / "figures").iterdir()}
    assert set(found) == {"accuracy.svg", "gap.svg", "budgets.svg", "costs.svg", "captions.svg"}
    assert {name: paths[name] for name in found} == found
    for file in found.values():
        texts = [one.text for one in ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}text")]
        assert "qformer" in texts


def test_the_page_is_whole_and_needs_nothing_else(simulated):
    path = simulated.write(images=6)
    page = report(path, console=Console(file=StringIO()))["page"].read_text()
    assert page.startswith("<!DOCTYPE html>")
    found = parsed(page)
    assert found.tags.count("table") == 7  # matrix, differences, accuracy, gap, two of training, costs
    assert "link" not in found.tags
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert len(hashes) == found.tags.count("script") == 2
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}\"" in page
    assert ("name", "viewport") in found.attributes
    assert "prefers-color-scheme: dark" in page
    assert not any(name == "src" for name, _ in found.attributes)
    assert all(value for name, value in found.attributes if name == "alt")
    assert all(value.startswith("#") for name, value in found.attributes if name == "href")


EVIL = "<script>alert(1)</script>"


def test_names_are_escaped_everywhere(simulated, change):
    path = simulated.write(
        "a|b*<script>x`[red]$_{2}$",
        bridges={"linear": {EVIL.replace("/", ""): 0.5, "exist": 0.5}},
        images=6,
    )
    for run in path.iterdir():
        change(run, benchmark=EVIL, bridge='"><img src=x onerror=alert(1)>', git_sha="<i>" + run.name)
    paths = report(path, console=Console(file=StringIO()))
    page = paths["page"].read_text()
    found = parsed(page)
    assert found.tags.count("script") == 2  # the page's own
    assert "i" not in found.tags
    assert "img" not in found.tags
    assert not any(name.startswith("on") for name, _ in found.attributes)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    markdown = paths["table"].read_text()
    assert "<script" not in markdown
    assert "<img" not in markdown
    heads = next(line for line in markdown.splitlines() if line.startswith("| bridge"))
    assert markdown.splitlines()[0].startswith("### a\\|b\\*&lt;script&gt;")
    assert len(heads.replace("\\|", "").split("|")) == 7  # bridge, all, two types, last doubling
    assert "[red]" in printed(tables(path))


def test_reading_a_study_needs_no_torch():
    code = "import sys, bridgelab.report.write; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_chart_names_what_is_swept_shortly():
    assert short_label("qformer, budget.tokens=4, benchmark.images.train=9") == "qformer, tokens=4, train=9"
