import json

import pytest
from PIL import Image

from bridgelab.evaluation.question_file import answer_line, batches, read_questions


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def written(folder, *lines):
    path = folder / "q.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n\n",
        errors="surrogateescape",
    )
    return path


def test_questions_are_read_relative_to_their_file_and_keep_their_keys(folder):
    absolute = str(folder / "b.png")
    path = written(
        folder, {"id": 7, "image": "a.png", "question": "what ?"}, {"images": [absolute], "question": "why ?"}
    )
    first, second = read_questions(path)
    assert first.images == (folder / "a.png",)
    assert second.images == (folder / "b.png",)
    printed = answer_line(first, "größe\x9b2J", 0.25, ["why"])
    assert "größe\\u009b2J" in printed  # which a terminal would obey
    assert json.loads(printed) == {
        "id": 7, "image": "a.png", "question": "what ?", "answer": "größe\x9b2J", "probability": 0.25, "unknown_words": ["why"]
    }  # fmt: skip
    assert [len(batch) for batch in batches([first] * 5, 2)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "not json",
            r"line 2: it is malformed \(.*\): each line is one JSON object in UTF-8\. Write it again",
        ),
        ('{"question": ' + "[" * 100_000, "line 2: it is malformed"),
        ("[" * 1010 + "]" * 1010, r"line 2: it is malformed \(it is nested more than 254 levels deep\)"),
        ('{"question": "\\ud800"}', "line 2: it is malformed"),  # half of a pair, which could not be printed
        ("\udcff", "line 2: it is malformed"),  # a byte that is no UTF-8
        ("[1]", r"line 2: '\[1\]' must be an object with the keys image and question"),
        ({"question": "what ?"}, r'line 2: it needs "image", a path, or "images"'),
        ({"image": 3, "question": "what ?"}, r'line 2: it needs "image"'),
        ({"image": "a.png", "question": " "}, r'line 2: it needs "question", a text that is not empty'),
        (
            {"image": "c.png", "question": "what ?"},
            "line 2: there is no image .*c.png. Relative paths start at",
        ),
        (
            {"images": ["a.png", "b.png"], "question": "what ?"},
            "line 2: it has 2 images, and the first line 1",
        ),
    ],
)
def test_a_wrong_line_is_named(folder, line, message):
    with pytest.raises(ValueError, match=message):
        read_questions(written(folder, {"image": "a.png", "question": "what ?"}, line))


def test_files_of_other_programs_are_read(folder):
    """Windows begins a file with a byte order mark; JSON may hold characters that end a line of text elsewhere."""
    path = folder / "q.jsonl"
    path.write_bytes('\ufeff{"image": "a.png", "question": "what\u2028is it ?"}\r\n'.encode())
    assert [one.question for one in read_questions(path)] == ["what\u2028is it ?"]


def test_a_file_without_questions_is_refused(folder):
    with pytest.raises(ValueError, match=r"q\.jsonl holds no question\. Write one per line"):
        read_questions(written(folder, ""))
