"""The marked blocks of the documents hold what their commands print."""

import importlib.util
import re
from pathlib import Path

import pytest

from bridgelab.cli.main import main
from bridgelab.config import benchmark_page

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("fill_blocks", ROOT / "docs" / "fill_blocks.py")
fill_blocks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fill_blocks)

BLOCKS = [
    (path, command, shown)
    for path in fill_blocks.documents()
    for command, shown in fill_blocks.BLOCK.findall(path.read_text())
]


@pytest.mark.parametrize(
    ("path", "command", "shown"), BLOCKS, ids=[f"{path.name}, {command}" for path, command, _ in BLOCKS]
)
def test_a_block_holds_what_its_command_prints(path, command, shown):
    assert shown == fill_blocks.printed(command), "run make blocks"


def test_every_mark_belongs_to_a_block():
    for path in fill_blocks.documents():
        text = path.read_text()
        blocks = len(fill_blocks.BLOCK.findall(text))
        assert len(re.findall("^<!-- bridgelab ", text, re.MULTILINE)) == blocks
        assert text.count("<!-- end -->") == blocks
    assert {"bridges", "benchmarks", "benchmarks --all"} <= {command for _, command, _ in BLOCKS}


def test_a_block_is_filled_anew():
    text = "a\n<!-- bridgelab --version -->\nold\n<!-- end -->\nb\n"
    version = fill_blocks.printed("--version")
    assert fill_blocks.filled(text) == f"a\n<!-- bridgelab --version -->\n{version}<!-- end -->\nb\n"
    assert fill_blocks.filled(fill_blocks.filled(text)) == fill_blocks.filled(text)


def test_every_benchmark_is_described(capsys):
    names = {path.stem for path in (ROOT / "conf" / "benchmark").glob("*.yaml")}
    assert {one.name for one in benchmark_page.described()} == names
    assert main(["benchmarks"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == sorted(names)
    assert all(row.count(" | ") == len(benchmark_page.COLUMNS) - 1 for row in rows)


def test_one_benchmark_is_described_with_what_it_shares(capsys):
    assert main(["benchmarks", "ok_vqa"]) == 0
    alone = capsys.readouterr().out
    assert "**Licence**" in alone and "Layout" in alone  # noqa: PT018
    assert main(["benchmarks", "ok_vqa", "vqav2"]) == 0
    together = capsys.readouterr().out
    assert together.startswith("### ok_vqa, vqav2\n")
    assert together.count("**Metric**") == together.count("**Licence**") == 1
    assert main(["benchmarks", "gqb"]) == 2
    assert "Did you mean 'gqa'?" in capsys.readouterr().err


def test_below_the_table_its_texts_are_not_repeated():
    (gqa,) = (one for one in benchmark_page.described() if one.name == "gqa")
    alone, below = benchmark_page.sections(["gqa"]), benchmark_page.sections(["gqa"], below_table=True)
    for text in (gqa.title, gqa.facts["Licence"], gqa.facts["Metric"].partition(". ")[0]):
        assert text in alone
        assert text not in below
        assert text in benchmark_page.table()
    assert gqa.facts["Metric"].partition(". ")[2] in below


def test_a_docstring_that_says_too_little_is_refused(tmp_path, monkeypatch):
    (tmp_path / "conf" / "benchmark").mkdir(parents=True)
    yaml = tmp_path / "conf" / "benchmark" / "bare.yaml"
    monkeypatch.setattr(benchmark_page, "config_root", lambda: tmp_path)
    yaml.write_text("# Bare.\n_target_: bridgelab.benchmark.majority.Majority\n")
    with pytest.raises(
        ValueError, match=r"benchmark\.majority: its docstring has no Metric, Licence, Layout"
    ):
        benchmark_page.described()
    yaml.write_text("_target_: bridgelab.benchmark.gqa.Gqa\n")
    with pytest.raises(ValueError, match=r"bare\.yaml has no head comment"):
        benchmark_page.described()
    yaml.write_text("# Mine.\n_target_: my_module.Mine\n")
    with pytest.raises(ValueError, match=r"bare\.yaml names no class of bridgelab\.benchmark"):
        benchmark_page.described()


def test_no_placeholder_looks_like_html():
    """`<part>` outside code would be a tag, and vanish from the page."""
    text = benchmark_page.sections([one.name for one in benchmark_page.described()])
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    assert [line for line in lines if re.search(r"<\w", re.sub(r"`[^`]*`", "", line))] == []
