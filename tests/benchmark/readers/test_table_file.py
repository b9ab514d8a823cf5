"""Tables that anybody may have written: what is no table is refused, and a long line is not read to its end."""

import os
import pickle
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgelab.benchmark.readers import table_file
from bridgelab.benchmark.readers.table_file import read_table


def test_places_and_columns(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"b": [2]}')
    table = read_table(tmp_path / "a.jsonl")
    assert table.rows == [("line 1", {"a": 1}), ("line 3", {"b": [2]})]
    assert table.columns == ("a", "b")
    (tmp_path / "a.csv").write_text('a,b\n1,"x,\n""y"""\n,2\n')
    table = read_table(tmp_path / "a.csv")
    assert table.rows == [("line 3", {"a": "1", "b": 'x,\n"y"'}), ("line 4", {"a": "", "b": "2"})]
    held = pa.table({"a": [1, None], "b": [b"x", b"y"], "c": [{"d": ["e"]}, None]})
    pq.write_table(held, tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.rows == [("row 0", {"a": 1, "c": {"d": ["e"]}}), ("row 1", {"a": None, "c": None})]
    assert table.unreadable == {"b": "binary"}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_line_of_a_gigabyte_is_not_read_to_its_end(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"image,question\n" if suffix == ".csv" else b'{"image": "a"}\n')
    os.truncate(path, 2**30)  # zeros that take no place on the disk
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"line 2 has more than 1,048,576 bytes.*one row a line"):
        read_table(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": NaN}', r"a\.jsonl, line 1 is malformed .*NaN is not JSON"),
        ("a.jsonl", b"[1]", r"line 1 is malformed \(it is a list\): each line is one JSON object in UTF-8"),
        ("a.jsonl", b'{"a": "\xff"}', r"line 1 is malformed"),
        ("a.jsonl", b"[\n" * 3, r"line 1 is malformed"),
        ("a.jsonl", b'{"a": ' + b"[" * 1010 + b"]" * 1010 + b"}", r"line 1 is malformed \(it is nested more than 254"),
        ("a.jsonl", table_file.LFS_HEADER + b"v1\n", r"a\.jsonl is a Git LFS pointer .*run: git lfs pull"),
        ("a.csv", b"a,b\n1\n", r"a\.csv, line 2 has 1 cells, and the header 2: .*between double quotes"),
        ("a.csv", b"a,a\n1,2\n", r"has the header \['a', 'a'\]: a name of its own is needed for each column"),
        ("a.csv", b"", r"has the header \[\]"),
        ("a.csv", b"a,b\n1,\xff\n", r"a\.csv can't be read .*must be CSV in UTF-8"),
        ("a.csv", b'a,b\n1,"2\n', r"a\.csv can't be read \(unexpected end of data\)"),
        ("a.csv", b'a,b\n1,"' + b"x\n" * 70_000 + b'"\n', r"a\.csv can't be read \(field larger than field limit"),
        ("a.parquet", b"PAR1", r"a\.parquet can't be read .*a complete Parquet file"),
        ("a.pkl", pickle.dumps(1), r"a\.pkl can't be read: .*a pickle runs code when it is opened\. Write it as JSON lines"),
        ("a.PKL", pickle.dumps(1), r"a\.PKL can't be read: .*a pickle runs code"),
        ("a.tsv", b"a\tb\n", r"a\.tsv can't be read: a table is a \.jsonl, \.csv or \.parquet file\. Write"),
    ],
)  # fmt: skip
def test_bad_input(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / name)


def test_text_of_a_parquet_file_that_is_no_utf8_is_refused(tmp_path):
    """Parquet stores bytes and calls them text; nobody checks when they are written."""
    ends, text = pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")
    pq.write_table(
        pa.table({"a": pa.Array.from_buffers(pa.string(), 2, [None, ends, text])}), tmp_path / "a.parquet"
    )
    with pytest.raises(
        ValueError, match=r"a\.parquet can't be read \('utf-8' codec .* with text in UTF-8\. Write it again"
    ):
        read_table(tmp_path / "a.parquet")


def test_a_row_group_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    pq.write_table(pa.table({"a": ["x" * 1000] * 1000}), tmp_path / "a.parquet", use_dictionary=False)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    monkeypatch.setattr(table_file, "MAX_ROW_GROUP", 500_000)
    with pytest.raises(ValueError, match=r"row group 0 holds 0\.0 GB: at most .*Write smaller row groups"):
        read_table(tmp_path / "a.parquet")
