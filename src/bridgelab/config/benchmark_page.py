"""`bridgelab benchmarks`: the benchmarks as Markdown, from the head comments of `conf/benchmark/` and the docstrings of their modules."""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

from bridgelab.config.root import config_root

COLUMNS = ("benchmark", "what it is", "metric", "licence")
# The labels that a docstring's sentences begin with.
FACTS = ("Sources?", "Metric", "Prompts?", "Tags", "Licence", "Size")
FACT = re.compile(rf"(?:(?<=^)|(?<=\s))((?:{'|'.join(FACTS)})(?: in [\w ]+|, if published)?): ")
# The labels in a yaml's head.
LABEL = re.compile(r"(?:^| )((?:Data|Metric|Chance|Majority|Shift)(?: on \w+)?): ")
TARGET = re.compile(r"^_target_: (bridgelab\.benchmark\.\w+)\.\w+$", re.MULTILINE)


@dataclass(frozen=True)
class Described:
    """What the files of a benchmark say of it.

    Args:
        name: the name of its yaml.
        module: the module of its class.
        title: the first line of its yaml.
        comment: the other lines of its yaml's head.
        facts: text by label, such as Metric, of its module's docstring.
        layout: the rest of the docstring, from its layout on.
    """

    name: str
    module: str
    title: str
    comment: str
    facts: dict[str, str]
    layout: str


def described() -> list[Described]:
    """Return all benchmarks in alphabetical order.

    Raises:
        ValueError: if a yaml names no class of `bridgelab.benchmark`, or a docstring lacks a layout, a metric or a licence.
    """
    return [_read(path) for path in sorted((config_root() / "conf" / "benchmark").glob("*.yaml"))]


def table() -> str:
    """Return a row for each benchmark, as a Markdown table. Of a metric's description it has the first sentence."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for one in described():
        title = f"{one.title} Layout unverified." if "unverified" in one.layout else one.title
        rows.append((f"`{one.name}`", title, one.facts["Metric"].partition(". ")[0], one.facts["Licence"]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def sections(names: list[str], *, below_table: bool = False) -> str:
    """Return a section for each of the benchmarks. Those of one module, which are read and scored alike, share a section.

    Args:
        names: the benchmarks.
        below_table: leave out what the table says.
    """
    modules: dict[str, list[Described]] = {}
    for one in described():
        if one.name in names:
            modules.setdefault(one.module, []).append(one)
    return "\n\n".join(_section(group, below_table) for group in modules.values())


def _section(group: list[Described], below_table: bool) -> str:
    said = [one.comment if below_table else f"{one.title} {one.comment}".strip() for one in group]
    if len(group) == 1:
        intro, *labelled = LABEL.split(said[0])
        bullets = [
            f"- **{label}**: {text}" for label, text in zip(labelled[::2], labelled[1::2], strict=True)
        ]
    else:
        intro = ""
        bullets = [
            f"- `{one.name}`: {text.removeprefix('Data: ')}" for one, text in zip(group, said, strict=True)
        ]
    for label, text in group[0].facts.items():
        more = text
        if below_table:
            more = {"Metric": text.partition(". ")[2], "Licence": ""}.get(label, text)
        if more:
            bullets.append(f"- **{label}**: {more}.")
    heading = f"### {', '.join(one.name for one in group)}"
    return "\n\n".join(filter(None, [heading, intro, "\n".join(bullets), group[0].layout]))


def _read(path: Path) -> Described:
    text = path.read_text()
    match = TARGET.search(text)
    if not match:
        raise ValueError(f"{path} names no class of bridgelab.benchmark. Set its _target_.")
    head = [
        line.removeprefix("#").strip()
        for line in re.match(r"(?:#.*\n)*", text)[0].splitlines()  # type: ignore[index]
    ]
    if not head:
        raise ValueError(f"{path} has no head comment. Say in its first line what the benchmark is.")
    comment = " ".join(head[1:])
    doc = importlib.import_module(match[1]).__doc__ or ""
    before, found, layout = doc.strip().partition("\n\nLayout")
    said = before.partition("\n\n")[2]
    parts = FACT.split(" ".join(said.split()))
    facts = {label: fact.strip().rstrip(".") for label, fact in zip(parts[1::2], parts[2::2], strict=True)}
    absent = [label for label in ("Metric", "Licence") if label not in facts] + ["Layout"] * (not found)
    if absent:
        raise ValueError(
            f"{match[1]}: its docstring has no {', '.join(absent)}. Begin a sentence with 'Metric: ' and one with 'Licence: ', and a "
            "paragraph after them with 'Layout'."
        )
    return Described(path.stem, match[1], head[0], comment, facts, f"Layout{layout}")
