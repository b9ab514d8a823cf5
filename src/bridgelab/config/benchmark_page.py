"""`bridgelab benchmarks`: the benchmarks as Markdown, from the head comments of `conf/benchmark/` and the docstrings of their modules."""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

from bridgelab.config.root import config_root

COLUMNS = ("benchmark", "what it is", "metric", "licence", "layout")
# The labels that a docstring's sentences begin with.
FACTS = ("Sources?", "Metric", "Prompts?", "Tags", "Licence", "Size")
FACT = re.compile(rf"(?:(?<=^)|(?<=\s))((?:{'|'.join(FACTS)})(?: in [\w ]+|, if published)?): ")
TARGET = re.compile(r"^_target_: (bridgelab\.benchmark\.\w+)\.\w+$", re.MULTILINE)


@dataclass(frozen=True)
class Described:
    """What the files of a benchmark say of it.

    Args:
        name: the name of its yaml.
        module: the module of its class.
        title: the first line of its yaml.
        comment: the other lines of its yaml's head, each sentence group that has a label in a line of its own.
        summary: the first paragraph of the module's docstring.
        facts: text by label, such as Metric.
        layout: the rest of the docstring, from its layout on.
    """

    name: str
    module: str
    title: str
    comment: str
    summary: str
    facts: dict[str, str]
    layout: str


def described() -> list[Described]:
    """Return all benchmarks in alphabetical order.

    Raises:
        ValueError: if a yaml names no class of `bridgelab.benchmark`, or a docstring lacks a layout, a metric or a licence.
    """
    return [_read(path) for path in sorted((config_root() / "conf" / "benchmark").glob("*.yaml"))]


def table() -> str:
    """Return a row for each benchmark, as a Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for one in described():
        layout = "unverified" if "unverified" in one.layout else "from its source"
        metric = one.facts["Metric"].partition(". ")[0]
        rows.append((f"`{one.name}`", one.title, metric, one.facts["Licence"], layout))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def sections(names: list[str]) -> str:
    """Return a section for each of the benchmarks. What several have in common stands in the section of one of them."""
    chosen = [one for one in described() if one.name in names]
    return "\n\n".join(_section(one, _home(one, chosen)) for one in chosen)


def _home(one: Described, chosen: list[Described]) -> str:
    """Return the benchmark in whose section its module's docstring stands: the module's namesake, else the first that it reads."""
    readers = [other.name for other in chosen if other.module == one.module]
    namesake = one.module.rpartition(".")[2]
    return namesake if namesake in readers else readers[0]


def _section(one: Described, home: str) -> str:
    paragraphs = [f"### {one.name}", one.title, one.comment]
    if home == one.name:
        facts = "\n".join(f"- **{label}**: {text}." for label, text in one.facts.items())
        paragraphs += [one.summary, facts, one.layout]
    else:
        paragraphs.append(f"Metric, tags and layout are described under [{home}](#{home}).")
    return "\n\n".join(filter(None, paragraphs))


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
    comment = re.sub(r" (?=(?:Data|Metric): )", "\n\n", " ".join(head[1:]))
    doc = importlib.import_module(match[1]).__doc__ or ""
    before, found, layout = doc.strip().partition("\n\nLayout")
    summary, _, said = before.partition("\n\n")
    parts = FACT.split(" ".join(said.split()))
    facts = {label: fact.strip().rstrip(".") for label, fact in zip(parts[1::2], parts[2::2], strict=True)}
    absent = [label for label in ("Metric", "Licence") if label not in facts] + ["Layout"] * (not found)
    if absent:
        raise ValueError(
            f"{match[1]}: its docstring has no {', '.join(absent)}. Begin a sentence with 'Metric: ' and one with 'Licence: ', and a "
            "paragraph after them with 'Layout'."
        )
    return Described(
        path.stem, match[1], head[0], comment, " ".join(summary.split()), facts, f"Layout{layout}"
    )
