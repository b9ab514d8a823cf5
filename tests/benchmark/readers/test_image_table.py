"""VLMEvalKit's tables with images in base64, written by pandas as VLMEvalKit writes them."""

import base64
import contextlib
import io
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bridgelab.benchmark.readers import image_table as module
from bridgelab.benchmark.readers.image_table import image_table
from bridgelab.benchmark.readers.kept_rows import save_image


def picture(color):
    held = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


RED, BLUE = picture("red"), picture("blue")
# A header of 10,000 x 10,000 pixels, of which Pillow only warns, and too little of the content.
LARGE = base64.b64encode(b"P6 10000 10000 255\n" + bytes(99)).decode()


def test_a_header_with_bytes_at_random_is_read_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"):
        held = io.BytesIO()
        Image.new("RGB", (40, 30), "red").save(held, kind)
        for _ in range(60):
            content = bytearray(held.getvalue())
            for place in rng.integers(min(len(content), 80), size=6):
                content[place] = rng.integers(256)
            with contextlib.suppress(ValueError):  # the only error that a broken file may raise
                save_image(bytes(content), tmp_path, "row 1")


def write(path, *rows):
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    return path


def table(tmp_path, *images, **columns):
    rows = [{"index": k, "image": image, **columns} for k, image in enumerate(images)]
    return image_table(write(tmp_path / "t.tsv", *rows), tmp_path / "kept", (), "there")


def test_images_references_and_lists(tmp_path):
    rows = table(tmp_path, "1", RED, None, 1, str([BLUE, RED]), "4", question='a\n"quoted"\tquestion')
    assert [row["index"] for row in rows] == ["0", "1", "3", "4", "5"]  # the row without an image is left out
    names = [[os.path.basename(image) for image in row["image"]] for row in rows]
    assert names[0] == names[1] == names[2]
    assert names[3] == names[4]
    assert names[3][1:] == names[0]
    with open(rows[0]["image"][0], "rb") as file:
        assert file.read() == base64.b64decode(RED)
    assert len(os.listdir(tmp_path / "kept" / "images")) == 2
    assert rows[0]["question"] == 'a\n"quoted"\tquestion'


def test_later_calls_read_the_folder_alone(tmp_path, monkeypatch):
    rows = table(tmp_path, RED, "0")
    monkeypatch.setattr(module, "_read", lambda *_: pytest.fail("read again"))
    assert image_table(tmp_path / "t.tsv", tmp_path / "kept", (), "there") == rows
    os.utime(tmp_path / "t.tsv")
    with pytest.raises(pytest.fail.Exception, match="read again"):
        image_table(tmp_path / "t.tsv", tmp_path / "kept", (), "there")


def test_a_byte_order_mark_and_long_cells(tmp_path):
    held = io.BytesIO()
    Image.effect_noise((300, 300), 90).save(held, "PNG")
    content = base64.b64encode(held.getvalue()).decode()
    assert len(content) > 131_072 / 2  # csv's limit is 131,072 characters
    path = tmp_path / "t.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + f"index\timage\r\n7\t{content}\r\n8\t7\r\n".encode())
    assert [row["index"] for row in image_table(path, tmp_path, (), "there")] == ["7", "8"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((RED, "?" * 100), r"row with index 1: image='\?{24}'… is not base64"),
        ((RED, base64.b64encode(b"not an image " * 9).decode()), r"row with index 1, holds a value that is not an image \(of no known format\): each"),
        ((RED, RED[:90] + "é"), r"row with index 1: image='.*… is not base64"),
        ((RED, "7"), "row with index 1: image='7' must be an image in base64, or the index of a row that holds one"),
        ((RED, "0", "1"), "row with index 2: image='1' must be .* and no row with this index does"),
        ((RED, "1"), "row with index 1: image='1' must be"),
        ((RED, "[" + "'x', " * 20), r"row with index 1: image=.* is not base64"),
        ((RED, "[" + " " * 80 + "]"), r"row with index 1: image=.* is not base64 \(an empty list\)"),
        ((RED, "[" * 5000 + "]" * 5000), r"row with index 1: image='\[\[.* is not base64"),
        ((RED, "[" + "-" * 9000 + "1]"), r"row with index 1: image='\[--.* is not base64"),
        ((RED, f"[1, {RED!r}]"), r"row with index 1: image=.* is not base64"),
        ((RED, LARGE), r"row with index 1, holds an image that is too large to read"),
    ],
)  # fmt: skip
def test_bad_images(tmp_path, images, message):
    with pytest.raises(ValueError, match=message) as caught:
        table(tmp_path, *images)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not list((tmp_path / "kept").glob("*.jsonl"))


def test_bad_tables(tmp_path):
    path = tmp_path / "t.tsv"

    def read(*required):
        return image_table(path, tmp_path / "kept", required, "there")

    with pytest.raises(FileNotFoundError, match=r"t\.tsv is missing.*Get it from there"):
        read()
    write(path, {"index": 1, "image": RED})
    with pytest.raises(ValueError, match="has no column index, but image, answer"):
        image_table(write(tmp_path / "u.tsv", {"image": RED, "answer": "A"}), tmp_path, (), "there")
    with pytest.raises(ValueError, match="has no column question, answer, but index, image"):
        read("question", "answer")
    write(path, {"index": 1, "image": RED}, {"index": 2, "image": BLUE}, {"index": 1, "image": RED})
    with pytest.raises(ValueError, match="index '1' occurs twice"):
        read()
    path.write_text(f"index\timage\n1\t{RED}\tmore\n")
    with pytest.raises(ValueError, match="row 1 has another number of cells than the 2 columns"):
        read()
    path.write_bytes(b"index\timage\n\xff\xfe\t1\n")
    with pytest.raises(ValueError, match=r"can't be read \('utf-8' codec"):
        read()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="has no column index, image, but none at all"):
        read()
