"""Rows of parquet, as the hub has them: images become files once, and everything else stays as it was."""

import hashlib
import io
import os

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bridgelab.benchmark import hub
from bridgelab.benchmark.hub import hub_rows


def png(color, form="PNG"):
    held = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(held, form)
    return held.getvalue()


RED, BLUE = png("red"), png("blue", "JPEG")
ROWS = [
    {"id": 7, "image": {"bytes": RED, "path": "a.png"}, "answers": [{"answer": "ja", "answer_id": 1}], "ok": True},
    {"id": 8, "image": {"bytes": BLUE, "path": None}, "answers": [], "ok": None},
    {"id": 9, "image": {"bytes": RED, "path": None}, "answers": [{"answer": "é", "answer_id": 2}], "ok": False},
    {"id": 10, "image": None, "answers": [], "ok": False},
]  # fmt: skip


@pytest.fixture
def source(tmp_path):
    """Two files of one split, and one of another, in the hub's layout."""
    folder = tmp_path / "source"
    for name, rows in (
        ("data/validation-00000-of-00002", ROWS[:2]),
        ("data/validation-00001-of-00002", ROWS[2:]),
        ("small/train", ROWS[:1]),
    ):
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.Table.from_pylist(ROWS).schema), path)
    return folder


def test_rows_and_images(source, tmp_path):
    rows = hub_rows(source, "validation", tmp_path / "kept")
    assert [{**row, "image": None} for row in rows] == [{**row, "image": None} for row in ROWS]
    names = [f"{hashlib.sha256(RED).hexdigest()}.png", f"{hashlib.sha256(BLUE).hexdigest()}.jpeg"]
    assert [row["image"] and os.path.basename(row["image"]) for row in rows] == [*names, names[0], None]
    assert all(os.path.isabs(row["image"]) for row in rows[:3])
    with open(rows[2]["image"], "rb") as file:
        assert file.read() == RED
    assert sorted(os.listdir(tmp_path / "kept" / "images")) == sorted(names)
    assert len(hub_rows(str(source), "train", tmp_path / "kept", config="small")) == 1


def test_later_calls_read_the_folder_alone(source, tmp_path, monkeypatch):
    rows = hub_rows(source, "validation", tmp_path / "kept")
    monkeypatch.setattr(hub, "_stream", lambda *_: pytest.fail("read again"))
    assert hub_rows(source, "validation", tmp_path / "kept") == rows
    (tmp_path / "kept").rename(tmp_path / "moved")
    moved = hub_rows(source, "validation", tmp_path / "moved")
    assert moved[0]["image"] == rows[0]["image"].replace("kept", "moved")
    os.utime(source / "data" / "validation-00000-of-00002.parquet")
    with pytest.raises(pytest.fail.Exception, match="read again"):
        hub_rows(source, "validation", tmp_path / "moved")  # a file that changed is another one


def test_cut_short_nothing_stands(source, tmp_path, monkeypatch):
    def breaks(*args):
        yield ROWS[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "_stream", breaks)
    with pytest.raises(KeyboardInterrupt):
        hub_rows(source, "validation", tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*.jsonl"))
    monkeypatch.undo()
    assert len(hub_rows(source, "validation", tmp_path / "kept")) == 4


def test_bytes_without_a_path_and_several_columns(tmp_path):
    pq.write_table(pa.table({"left": [RED], "right": [BLUE]}), tmp_path / "test.parquet")
    (row,) = hub_rows(tmp_path, "test", tmp_path / "kept", images=("left", "right"))
    assert [row[side].rpartition(".")[2] for side in ("left", "right")] == ["png", "jpeg"]


def test_bad_input(source, tmp_path):
    kept = tmp_path / "kept"
    with pytest.raises(
        FileNotFoundError,
        match=r"no parquet file of split 'test', but .*Expected layout: data/test-\*\.parquet",
    ):
        hub_rows(source, "test", kept)
    with pytest.raises(FileNotFoundError, match="split 'train' and config 'large'"):
        hub_rows(source, "train", kept, config="large")
    with pytest.raises(ValueError, match="has no column picture, but id, image, answers, ok"):
        hub_rows(source, "validation", kept, images=("picture",))
    with pytest.raises(
        ValueError, match=r"column ok, holds a value that is not an image .*bool instead of bytes"
    ):
        hub_rows(source, "validation", kept, images=("ok",))
    with pytest.raises(
        ValueError, match=r"holds a value that is not JSON .*Name that column among the images"
    ):
        hub_rows(source, "validation", kept, images=())
    pq.write_table(pa.table({"image": [RED[:20]]}), tmp_path / "test.parquet")
    with pytest.raises(ValueError, match="column image, holds a value that is not an image"):
        hub_rows(tmp_path, "test", kept)


def test_the_hub_out_of_reach(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"nobody/nothing can't be read .*where there is a network"):
        hub_rows("nobody/nothing", "test", tmp_path)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch, tmp_path):
    """On a port of this machine where nobody listens. The libraries would try six times in 25 seconds."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        "datasets.load_dataset_builder", lambda *_, **__: pytest.fail("the libraries were asked")
    )
    with pytest.raises(ConnectionError) as caught:
        hub_rows("nobody/nothing", "test", tmp_path)
    message = str(caught.value)
    assert message.startswith("nobody/nothing can't be read (http://127.0.0.1:9 does not answer: ")
    assert "\n" not in message


def test_lmms_evals_former_names_are_still_read(monkeypatch, tmp_path, source):
    """As the hub answers for a data set that has moved from lmms-lab to lmms-lab-encoder."""
    asked, load = [], datasets.load_dataset_builder

    def moved(name, *args, **kwargs):
        asked.append(name)
        if name != "lmms-lab-encoder/GQA":
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset {name!r} doesn't exist on the Hub")
        return load(
            "parquet", data_files={"train": str(source / "small" / "train.parquet")}, cache_dir=str(tmp_path)
        )

    monkeypatch.setattr(hub, "_require_hub", lambda: None)
    monkeypatch.setattr("datasets.load_dataset_builder", moved)
    assert [row["id"] for row in hub_rows("lmms-lab/GQA", "train", tmp_path / "kept")] == [7]
    assert asked == ["lmms-lab/GQA", "lmms-lab-encoder/GQA"]
    with pytest.raises(FileNotFoundError, match="nobody/GQA"):
        hub_rows("nobody/GQA", "train", tmp_path / "kept")


def test_code_and_other_formats_are_refused(monkeypatch, tmp_path):
    """As the library answers for a data set with a script, and for one of CSV files."""

    monkeypatch.setattr(hub, "_require_hub", lambda: None)

    def scripted(*args, **kwargs):
        raise RuntimeError("Dataset scripts are no longer supported, but found clevr.py")

    monkeypatch.setattr("datasets.load_dataset_builder", scripted)
    with pytest.raises(ValueError, match=r"some/clevr can't be read \(.*clevr\.py\): only parquet is"):
        hub_rows("some/clevr", "test", tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(hub, "_require_hub", lambda: None)
    (tmp_path / "a.csv").write_text("a\n1\n")
    csv = datasets.load_dataset_builder("csv", data_files=str(tmp_path / "a.csv"), cache_dir=str(tmp_path))
    monkeypatch.setattr("datasets.load_dataset_builder", lambda *args, **kwargs: csv)
    with pytest.raises(ValueError, match="some/table is published as csv: only parquet is read"):
        hub_rows("some/table", "test", tmp_path)
