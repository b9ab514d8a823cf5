"""The page in a real browser, where there is one."""

import json
import os
import re
import shlex
import struct
import zlib
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from bridgelab.report.contents import analyze, short_tables
from bridgelab.report.diagnosis.record import read_diagnoses
from bridgelab.report.diagnosis.section import question_maps, section_html
from bridgelab.report.examples import select_examples
from bridgelab.report.formats.html import emphasize_outcomes, table_to_html
from bridgelab.report.provenance import provenance, reproduction
from bridgelab.report.thumbnails import _folders, png_data_url, read_thumbnails
from bridgelab.report.write import report
from bridgelab.runs.study import read_study


@pytest.fixture
def study(simulated, change, tmp_path):
    """A study with images, hops and a question of its own."""
    path = simulated.write(images=30)
    (tmp_path / "world" / "images").mkdir(parents=True)
    for k in range(30):
        pixels = np.random.default_rng(k).integers(0, 255, (300, 200, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "world" / "images" / f"{k}.png")
    for run in path.iterdir():
        change(
            run,
            question="Where does linear break?",
            hypothesis="Where it <must> select.",
            versions={"torch": "2.9"},
        )
        table = pd.read_parquet(run / "predictions.parquet")
        table["image"] = "images/" + table["image"]
        table["prompt"] = "is it " + table["id"]
        table["tag_hops"] = [k % 4 for k in range(len(table))]
        table["tag_objects"] = [k % 17 for k in range(len(table))]
        table.to_parquet(run / "predictions.parquet")
        (run / "config.yaml").write_text(f"benchmark: {{root: {tmp_path}/world}}")
    (path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['experiments=first_look', 'seed=0,1,2']}}"
    )
    return path


def made(study):
    return report(study, console=Console(file=StringIO()))["page"]


def opened(browser, page, width, scheme="light"):
    """The page in a window, and what the browser had to complain of."""
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on(
        "request",
        lambda request: (
            complaints.append(request.url) if not request.url.startswith(("file:", "data:")) else None
        ),
    )
    shown.goto(page.as_uri())
    return shown, complaints


@pytest.fixture(scope="module")
def axe():
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core").Axe()


def serious(axe, shown):
    """What axe-core finds serious or critical, by rule."""
    found = axe.run(shown).response["violations"]
    return {
        one["id"]: [node["html"][:200] for node in one["nodes"][:3]]
        for one in found
        if one["impact"] in ("serious", "critical")
    }


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_a_desk_and_a_phone_without_complaint(browser, axe, study, width, scheme, tmp_path):
    shown, complaints = opened(browser, made(study), width, scheme)
    shown.wait_for_selector(f"html[data-charts={scheme}]")
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert shown.get_by_role("heading", level=1).inner_text() == "Where does linear break?"
    box = shown.locator(".matrix").bounding_box()
    assert box["y"] + box["height"] < 900  # on the first screen
    for part in ("Accuracy by kind of question", "Questions and answers", "About these runs"):
        assert shown.get_by_role("heading", name=part).is_visible()
    light = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")
    shown.screenshot(path=tmp_path / "page.png", full_page=True)
    assert np.asarray(Image.open(tmp_path / "page.png").convert("L")).std() > 5
    assert serious(axe, shown) == {}
    shown.locator(".matrix td a").first.click()
    assert serious(axe, shown) == {}
    assert complaints == []


def test_a_cell_of_the_matrix_opens_its_evidence_and_leads_to_questions(browser, study):
    shown, complaints = opened(browser, made(study), 1280)
    shown.get_by_role("link", name="linear against qformer on count").focus()
    shown.keyboard.press("Enter")
    dialog = shown.locator("dialog[open]")
    assert dialog.get_by_role("heading", level=2).inner_text() == "linear against qformer"
    dialog.locator(".panel svg").wait_for()
    asked = dialog.locator(".case.asked")
    assert asked.get_by_role("heading").inner_text().split()[1] == "count"
    assert re.search(r"linear: [\d.]+ % \(seeds ([\d.]+, ){2}[\d.]+\)", asked.inner_text())
    asked.get_by_role("button").click()
    assert dialog.count() == 0
    expected = wrong_and_right(study, "linear", "qformer", kind="count")
    assert shown.locator("output").inner_text() == f"{len(expected)} of 150 questions"
    assert complaints == []


def wrong_and_right(study, wrong, right, kind=None):
    """The ids of questions that one bridge gets wrong and another right, from the predictions."""
    found = read_study(study)
    sums = {
        name: pd.concat([run.predictions.query("view == 'image' and kind == 'answer'") for run in found.of(name)])
        .groupby(["id", "tag_type"])["score"].sum().reset_index() for name in (wrong, right)
    }  # fmt: skip
    both = sums[wrong].merge(sums[right], on=["id", "tag_type"])
    both = both[(both["score_x"] < 1.5) & (both["score_y"] > 1.5)]
    return list(both["id"] if kind is None else both[both["tag_type"] == kind]["id"])


def test_a_table_is_sorted_by_keyboard_and_put_back(browser, study):
    shown, complaints = opened(browser, made(study), 1200)
    shown.locator("#accuracy").get_by_text("Numbers, as tables to sort").click()
    table = shown.locator("#accuracy table").first
    head = table.get_by_role("button", name="all")
    body = table.locator("tbody").first

    def column():
        texts = body.locator("tr td:nth-child(2)").all_inner_texts()
        return [float(text.split()[0]) for text in texts]

    before = column()
    head.focus()
    for expected in (sorted(before, reverse=True), sorted(before), before):
        shown.keyboard.press("Enter")
        assert column() == expected
    assert shown.locator("th[aria-sort]").count() == 0
    assert complaints == []


def test_all_questions_are_paged_and_filtered(browser, study):
    shown, complaints = opened(browser, made(study), 1200)
    cards, output = shown.locator("article"), shown.locator("output")
    assert output.inner_text() == "150 of 150 questions"
    assert cards.count() == 24
    first = cards.first.inner_text()
    shown.get_by_role("button", name="Next").click()
    assert shown.locator("#place").inner_text() == "page 2 of 7"
    assert cards.first.inner_text() != first
    shown.locator("select[name=wrong]").select_option("linear")
    shown.locator("select[name=right]").select_option("qformer")
    expected = wrong_and_right(study, "linear", "qformer")
    assert 0 < len(expected) < 150
    assert output.inner_text() == f"{len(expected)} of 150 questions"
    for text in cards.all_inner_texts():
        assert re.search(r"linear\s+✗", text)
        assert re.search(r"qformer\s+✓", text)
    shown.locator("select[data-tag=hops]").select_option("2")
    shown.locator("select[name=kind]").select_option("exist")
    assert all("exist" in text and "hops 2" in text for text in cards.all_inner_texts())
    assert shown.locator("article img").first.evaluate("one => one.naturalHeight") == 256
    assert complaints == []


def test_answers_that_stay_with_another_image_are_found(browser, study):
    """Against the mode of the predictions in either view."""
    shown, complaints = opened(browser, made(study), 1200)
    runs = [run.predictions.query("kind == 'answer'") for run in read_study(study).of("linear")]
    table = pd.concat(runs).pivot_table(
        index="id",
        columns="view",
        values="prediction",
        aggfunc=lambda said: Counter(said).most_common(1)[0][0],
    )
    stays = set(table.index[table["image"] == table["shuffled"]])
    assert 0 < len(stays) < len(table)
    shown.locator("select[name=same]").select_option("linear")
    assert shown.locator("output").inner_text() == f"{len(stays)} of {len(table)} questions"
    for text in shown.locator("article").all_inner_texts():
        assert text.split("is it ", 1)[1].split()[0] in stays
        assert re.search(r"linear\s+. .*the same", text)
    assert "floor: blind" not in shown.locator("select[name=same]").inner_text()
    assert complaints == []


def test_the_printed_page_has_no_controls_and_charts_as_wide_as_the_paper(browser, study):
    shown, complaints = opened(browser, made(study), 1280)
    shown.wait_for_selector("html[data-charts=light]")
    shown.locator("#accuracy").get_by_text("Numbers, as tables to sort").click()
    shown.emulate_media(media="print")
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert "last doubling" in shown.locator("#accuracy thead").first.inner_text()
    for hidden in ("nav", "#filter", "#accuracy .fold", ".pages"):
        assert not shown.locator(hidden).first.is_visible(), hidden
    assert shown.locator("#runs details[open]").count() == shown.locator("#runs details").count() > 1
    panel = shown.locator("#accuracy .panel").first
    width = panel.bounding_box()["width"]
    drawn = panel.locator("svg").bounding_box()["width"]
    assert 500 < width < 800
    assert drawn == pytest.approx(width, abs=40)
    colour = "getComputedStyle(document.querySelector('.matrix td')).printColorAdjust"
    assert shown.evaluate(colour) == "exact"
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    shown.emulate_media(media="screen")
    assert shown.locator("#runs details[open]").count() == 0
    assert shown.locator("#accuracy .panel").first.bounding_box()["width"] > 1000
    assert complaints == []


def test_answers_are_shown_beside_what_they_rest_on(browser, study, diagnosed):
    ids = [one.id for one in select_examples(read_study(study), most=3)]
    diagnosed(study, ids)
    shown, complaints = opened(browser, made(study), 1200)
    assert shown.get_by_role("heading", name="What answers depend on").is_visible()
    strips = shown.locator(".strip")
    assert strips.count() == 3
    captions = strips.first.locator("figcaption").all_inner_texts()
    assert captions[0] == "the image"
    bridges = {text.split(",")[0] for text in captions if "seed" in text}
    assert bridges == {"linear", "mlp", "qformer", "perceiver"}
    assert captions.count("its attention (description)") == 2  # a linear bridge and an MLP have none
    assert "<b>yes" in captions[1]  # shown as it is said
    assert strips.first.locator("img").evaluate_all("all => all.every(one => one.naturalHeight > 0)")
    link = shown.get_by_role("link", name="The patches that these answers depend on")
    assert {link.nth(k).get_attribute("href") for k in range(link.count())} <= {"#map-0", "#map-1", "#map-2"}
    assert link.count() > 0
    assert shown.locator("#map-0, #map-1, #map-2").count() == 3
    assert shown.locator("#inside .panel svg").count() == 5
    assert shown.get_by_text("Selection (causal)").count()
    for width in (1200, 390):
        shown.set_viewport_size({"width": width, "height": 900})
        assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []


def test_a_page_without_a_diagnosis_has_no_such_part(browser, study):
    shown, complaints = opened(browser, made(study), 1200)
    assert shown.locator("#rests, .strip").count() == 0
    assert "Selection (causal)" not in shown.content()
    assert shown.locator("#inside").count() == 0
    assert complaints == []


def test_names_run_no_script(browser, study, change):
    evil = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'
    for run in study.iterdir():
        if run.is_dir():
            change(run, bridge='"><i onclick=x>' + run.name[7:].split(",")[0], question=evil)
            table = pd.read_parquet(run / "predictions.parquet")
            table.assign(prompt=evil, prediction=evil).to_parquet(run / "predictions.parquet")
    shown, complaints = opened(browser, made(study), 1200)
    assert shown.title().startswith("first_look")
    assert complaints == []


def test_examples_show_every_pattern_and_the_majority_of_seeds(study):
    found = read_study(study)
    shown = select_examples(found, most=40)
    assert len({one.id for one in shown}) == 40
    seeing = ("linear", "mlp", "qformer", "perceiver")
    patterns = {tuple(one.answers[name].is_right for name in seeing) for one in shown}
    tables = {
        name: pd.concat([run.predictions.query("view == 'image' and kind == 'answer'") for run in found.of(name)])
        .groupby("id")["score"].sum() for name in seeing
    }  # fmt: skip
    every = {tuple(tables[name][id] > 1.5 for name in seeing) for id in tables["linear"].index}
    assert patterns == every
    one = shown[0]
    assert one.answers["linear"].right == tables["linear"][one.id]
    assert (one.answers["linear"].text == "yes") == one.answers["linear"].is_right
    assert list(one.answers)[-2:] == ["words", "words_prompted"]
    assert all(picture.startswith("data:image/webp;base64,") for each in shown for picture in each.pictures)
    assert select_examples(found, most=40) == shown


def test_questions_of_two_kinds_may_share_their_ids(simulated, diagnosed):
    """As in A-OKVQA, where most questions are asked for an answer and with choices."""
    study = simulated.write(images=6, bridges={name: {"exist": 0.6} for name in ("linear", "mlp")})
    for path in study.glob("*/predictions.parquet"):
        rows = pd.read_parquet(path)
        twins = rows[rows["kind"] == "answer"].assign(kind="choice", target="b", prediction="b", score=1.0)
        pd.concat([rows, twins]).to_parquet(path)
    found = read_study(study)
    shown = select_examples(found)
    assert len({one.id for one in shown}) == len(shown) == 12
    for one in shown:
        said = {answer.text for answer in one.answers.values()}
        assert said == {"b"} if one.target == "b" else said <= {"yes", "no"}
    assert [one.answers["linear"].right for one in shown if one.target == "b"] == [3] * 6
    asked = next(one for one in shown if one.target == "b")
    pixels = png_data_url(Image.new("RGB", (9, 9)))
    pictured = [replace(one, pictures=(pixels,)) for one in shown]
    diagnosed(study, [asked.id])
    (maps,) = question_maps(found, pictured, read_diagnoses(study, found.runs))
    assert (maps.target, [answer.is_right for answer in maps.answers]) == ("b", [True, True])


def test_without_its_images_a_question_stands_by_itself(study):
    for run in study.iterdir():
        (run / "config.yaml").unlink(missing_ok=True) if run.is_dir() else None
    assert all(one.pictures == () for one in select_examples(read_study(study)))
    assert "data:image/" not in made(study).read_text()


def test_pictures_are_plain_files_in_their_folders_and_what_cannot_be_read_is_left_out(study, tmp_path):
    """A record says where they lie, and a record may be anybody's."""
    images, private = tmp_path / "world" / "images", tmp_path / "private.png"
    found = select_examples(read_study(study))
    shown = {one.id: one.pictures for one in found}
    assert all(map(len, shown.values()))
    first, second, third, fourth = list(dict.fromkeys(one.id.split("-")[0] for one in found))[:4]
    (images / f"{first}.png").rename(private)
    (images / f"{first}.png").symlink_to(private)
    (images / f"{second}.png").unlink()
    os.mkfifo(images / f"{second}.png")
    (images / f"{third}.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    bomb = bytearray((images / f"{fourth}.png").read_bytes())
    bomb[16:24] = struct.pack(">II", 20_000, 20_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    (images / f"{fourth}.png").write_bytes(bomb)
    for one in select_examples(read_study(study)):
        hidden = one.id.split("-")[0] in (first, second, third, fourth)
        assert one.pictures == (() if hidden else shown[one.id])


@pytest.mark.parametrize(
    "name",
    ["../private.png", "images/../../private.png", "private.png", "/private.png", "images/", "images/.."],
)
def test_a_name_that_leads_elsewhere_is_no_picture(tmp_path, name):
    (tmp_path / "world" / "images").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "private.png")
    assert read_thumbnails([name], tmp_path / "world" / "images") == {}


def test_a_longer_name_is_the_picture_of_its_own_folder(tmp_path, monkeypatch):
    for number, patient in enumerate("abc"):
        (tmp_path / patient / "cam").mkdir(parents=True)
        Image.new("L", (9, 9), 100 * number).save(tmp_path / patient / "cam" / "f.png")
    names = ["b/cam/f.png", "c/cam/f.png", f"{tmp_path.name}/a/cam/f.png"]
    pictures = read_thumbnails([*names, "d/cam/f.png"], tmp_path)
    assert sorted(pictures) == sorted(names)
    assert len(set(pictures.values())) == 3
    assert pictures["b/cam/f.png"] == read_thumbnails(["cam/f.png"], tmp_path / "b")["cam/f.png"]
    monkeypatch.chdir(tmp_path / "b" / "cam")
    assert read_thumbnails(["b/cam/f.png"], Path(".")).keys() == {"b/cam/f.png"}


def test_the_search_for_pictures_has_an_end(tmp_path, monkeypatch):
    for folder in ("a/b/c/d/e/f/g", "h"):
        (tmp_path / folder).mkdir(parents=True)
    assert [folder.name for folder in _folders(tmp_path)][1:] == ["a", "h", "b", "c", "d", "e"]
    monkeypatch.setattr("bridgelab.report.thumbnails.MAX_ENTRIES", 2)
    assert [folder.name for folder in _folders(tmp_path)][1:] == ["a", "h"]


def test_outcomes_are_bold():
    said = "linear against <x>: breaks on count (−3.0 points); the data cannot tell on query."
    assert emphasize_outcomes(said) == (
        "linear against &lt;x&gt;: <strong>breaks</strong> on count (−3.0 points); the data cannot tell on query."
    )


def test_a_long_study_shows_some_of_its_questions_and_says_so(study, monkeypatch):
    monkeypatch.setattr("bridgelab.report.page.MOST_ON_PAGE", 40)
    monkeypatch.setattr("bridgelab.report.examples.MOST_PICTURES", 3)
    page = made(study).read_text()
    assert "40 of 150 questions, chosen so that every pattern" in page
    assert page.count("data:image/webp") == 3


def test_what_was_asked_and_where_it_comes_from_are_told(study):
    page = made(study).read_text()
    assert "<h1>Where does linear break?</h1>" in page
    assert "Where it &lt;must&gt; select." in page
    assert "bridgelab train experiments=first_look seed=0,1,2" in page
    told = dict(provenance(read_study(study)))
    assert told["commit"] == "0123456789ab"
    assert told["versions"] == "torch 2.9"
    assert told["machine"] == "A processor with quite a long name for its kind, 2 cores"
    assert re.fullmatch(r"19, 0\.4 hours .*", told["runs"])
    assert "reused" not in told
    for path in sorted(study.glob("bridge=linear,seed=*/metrics.json")):
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"taken_from": f"other/{path.parent.name}"})
        )
    assert dict(provenance(read_study(study)))["reused"] == "3 from other"
    (study / "multirun.yaml").write_text("hydra: {overrides: {task: ['bridge=linear,mlp']}}")
    others = ("blind", "perceiver", "qformer", "words", "words_prompted")  # that the last sweep lacks
    added = [f"bridgelab study {study} --add bridge={name}" for name in others]
    assert reproduction(read_study(study)).splitlines() == ["bridgelab train -m bridge=linear,mlp", *added]
    (study / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['bridge=mlp; touch x', \"text.path='a b'\"]}}"
    )
    typed = reproduction(read_study(study)).splitlines()[0]
    assert shlex.split(typed) == ["bridgelab", "train", "-m", "bridge=mlp; touch x", "text.path='a b'"]
    (study / "multirun.yaml").unlink()
    assert reproduction(read_study(study)).splitlines()[0] == "bridgelab train bridge=blind seed=0"


def script(field):
    return f"<script>{field}</script>"


def test_a_script_in_any_foreign_field_is_text(study, change, diagnosed):
    """Every text that a record, a prediction, a log, a diagnosis or a folder's name brings to the page."""
    texts = ("question", "hypothesis", "git_sha", "machine", "precision", "benchmark", "curve_of")
    columns = ("prompt", "prediction", "target", "tag_type", "tag_family")
    runs = sorted(study.glob("bridge=*"))
    for run in runs:
        name = json.loads((run / "metrics.json").read_text())["bridge"]
        change(
            run,
            **{field: script(field) for field in texts},
            bridge=name if name == "blind" or name.startswith("words") else name + script("bridge"),
            versions={script("library"): script("version")},
            fingerprints={"vision": script("vision"), "text": "bb"},
            mixture={script("task"): 1.0},
            taken_from=script("taken_from").replace("/", "") + "/run",
            tuned_over=[0.001, script("tuned_over")],
        )
        table = pd.read_parquet(run / "predictions.parquet")
        hard = table["kind"] == "answer"
        table["tag_family"] = "family"
        for column in columns:
            table.loc[hard & (table.index % 2 == 0), column] = script(column)
        table[f"tag_{script('tag')}"] = table["tag_hops"]
        table["majority_of_family"] = table["target"]
        table.to_parquet(run / "predictions.parquet")
    (study / "multirun.yaml").write_text(json.dumps({"hydra": {"overrides": {"task": [script("override")]}}}))
    diagnosed(study, [one.id for one in select_examples(read_study(study), most=3)])
    for file in study.glob("*/diagnosis.json"):
        diagnosis = json.loads(file.read_text())
        diagnosis["words"] = [[script("word"), 0.5]]
        diagnosis["left_out"] = {script("measurement"): script("reason")}
        for one in diagnosis["maps"]:
            one["said"] = script("said")
        file.write_text(json.dumps(diagnosis))
    (study / "bridge=mlp,<script>folder").mkdir()
    failed = study / "bridge=mlp,seed=9"
    failed.mkdir()
    (failed / "log.txt").write_text(f"Traceback (most recent call last):\nValueError: {script('log')}\n")
    (failed / "config.yaml").write_text("{}")
    paths = report(study, console=Console(file=StringIO()))
    page = paths["page"].read_text()
    text = page.replace("_", " ")  # some names are printed without underscores
    tags = Tags()
    tags.feed(page)
    assert tags.scripts == 2  # the page's own
    planted = (*texts, *columns, "bridge", "library", "version", "vision", "task", "tuned_over", "tag")
    for field in (*planted, "override", "log", "word", "measurement", "reason", "said"):
        assert f"&lt;script&gt;{field}&lt;/script&gt;".replace("_", " ") in text, field
    assert "&lt;script&gt;taken_from" in page
    assert "<script" not in paths["table"].read_text()
    found = read_study(study)
    for html in (
        *map(table_to_html, short_tables(analyze(found)).tables),
        section_html(question_maps(found, select_examples(found), read_diagnoses(study, found.runs))),
    ):
        assert "&lt;script&gt;" in html
        assert "<script" not in html


class Tags(HTMLParser):
    """Counts scripts."""

    scripts = 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
