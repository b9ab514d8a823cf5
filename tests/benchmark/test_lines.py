"""JSON lines: what is read, and what is said of a line that is not one."""

import re

import pytest

from bridgelab.benchmark.lines import read_lines


def test_lines_keep_their_order_and_their_separators(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": 1, "b": "x\u2028y"}\r\n\n{"b": "z", "a": 2, "c": null}\n'.encode())
    assert read_lines(path, {"a": int, "b": str}) == [
        {"a": 1, "b": "x\u2028y"},
        {"a": 2, "b": "z", "c": None},
    ]
    path.write_text("")
    assert read_lines(path, {"a": int}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"b": "x"}', "line 2 is malformed (lacks a)"),
        ('{"a": "[1, 2]"}', "line 1 is malformed (a='[1, 2]')"),
        ('[{"a": 1}]', "line 1 is malformed (it is a list)"),
        ('{"a": 1', "line 1 is malformed (unexpected"),
        ('\n{"a": null}', "line 2 is malformed (a=None): each must be one JSON object with a (int). Get the file again."),
    ],
)  # fmt: skip
def test_a_malformed_line(tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_lines(tmp_path / "a.jsonl", {"a": int})


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1 is malformed .*Get the file again"):
        read_lines(tmp_path / "a.jsonl", {"a": int})
