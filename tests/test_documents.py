"""Commands and files that documents name are there as written."""

import functools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from test_layers import LAYERS

from bridgelab.cli.main import COMMANDS
from bridgelab.cli.overrides import check_choices, check_keys
from bridgelab.config.compose import compose_config
from bridgelab.config.root import config_root
from bridgelab.doctor.main import SIZES
from bridgelab.training import main  # noqa: F401  registers what configs call
from bridgelab.world.distribution_shift import parse_split

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("experiments/*.md")),
    *sorted(ROOT.glob("experiments/*.yaml")),
]


def commands(path):
    """The command lines of a document: in backticks and code blocks, or in a yaml's comments."""
    text = path.read_text()
    if path.suffix == ".yaml":
        lines = re.findall(r"^# (?:.*?: )?(bridgelab .*?)(?: {3,}.*)?$", text, re.MULTILINE)
    else:
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        joined = "\n".join(blocks).replace("\\\n", " ")
        lines = re.findall(r"^(bridgelab .*)$", joined, re.MULTILINE)
        lines += re.findall(
            r"`(bridgelab [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        )
    return [
        shlex.split(part.rstrip("\\"), comments=True)[1:]
        for line in lines
        for part in " ".join(line.split()).split(" && ")
    ]


def choices(words):
    """The overrides of a command line, each value of a sweep for itself."""
    parser = OverridesParser.create()
    for word in words:
        if (
            "=" in word
            and not word.startswith(("-", "images=", "examples="))
            and not word.startswith("runs/")
        ):
            parsed = parser.parse_override(word)
            values = (
                parsed.sweep_string_iterator()
                if parsed.is_sweep_override()
                else [parsed.get_value_element_as_str()]
            )
            yield [f"{parsed.get_key_element()}={value}" for value in values]


@functools.cache
def compose_once(*overrides):
    with initialize_config_dir(str(config_root() / "conf"), version_base="1.3"):
        compose("train", list(overrides))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_can_be_given_as_written(path):
    conf = config_root() / "conf"
    for command, *words in commands(path):
        shown = shlex.join(["bridgelab", command, *words])
        assert command in (*COMMANDS, "--help"), shown
        for folder in (word for word in words if word.startswith("runs/")):
            study = folder.split("/")[1].partition("_on_")[0]
            named = (ROOT / "experiments" / f"{study}.yaml").exists() or f"study={study}" in path.read_text()
            assert named or study in ("STUDY", "scratch", "published"), shown
        if command not in ("train", "evaluate", "doctor"):
            continue
        check_choices(words, conf)
        check_keys([word for word in words if "=" in word and not SIZES.fullmatch(word)])
        options = list(choices(words))
        first = [values[0] for values in options]
        compose_once(*first)
        for place, values in enumerate(options):
            for value in values[1:]:  # beside the first value of each other
                compose_once(*first[:place], value, *first[place + 1 :])
        if command == "evaluate" and "--split" in words:
            parse_split(words[words.index("--split") + 1])


# Overrides in the text of a page are shown beside these.
SHOWN_BESIDE = {
    "clusters.md": ["logger=wandb"],
    "published_bridges.md": ["bridge=qformer", "benchmark=vqav2"],
    "real_models.md": ["text=flan_t5_xl"],  # and the default vision
}


@pytest.mark.parametrize("page", SHOWN_BESIDE)
def test_overrides_can_be_given_as_written(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    found = 0
    for shown in re.findall(r"`([^`]+)`", text):
        words = (
            shlex.split(shown) if re.match(r"'?\+?(bridge|vision|text|benchmark|logger)[.=]", shown) else []
        )
        if words and all("=" in word for word in words):
            compose_config(config_root() / "conf", "train", [*SHOWN_BESIDE[page], *words])
            found += 1
    assert found > 1


def test_commands_are_found():
    assert [
        "evaluate",
        "runs/first_look_full/*",
        "experiments=clutter",
        "--split",
        "test-clutter",
    ] in commands(ROOT / "experiments" / "clutter.yaml")
    assert ["report", "runs/tokens_64"] in commands(ROOT / "experiments" / "tokens.md")
    assert sum(len(commands(path)) for path in DOCUMENTS) > 60


def test_named_records_exist():
    named = [
        (path.name, name)
        for path in DOCUMENTS
        for name in re.findall(r"`(?:experiments/)?(records/[^`*]+)`", path.read_text())
    ]
    assert [(by, name) for by, name in named if not (ROOT / "experiments" / name).exists()] == []
    assert len({by for by, _ in named}) > 15


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/glossary.md"])
def test_named_files_exist(name):
    """A path in backticks, as seen from the checkout or from the package; or the bare name of one of its files."""
    text = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(), flags=re.MULTILINE | re.DOTALL)
    paths = set(re.findall(r"`([\w.-]+/[\w./-]*|[\w/-]+\.(?:py|yaml|md|toml|txt))`", text))
    paths = {
        path
        for path in paths
        if not path.startswith(("runs/first_look", "dist/", "site/", "train/", "val/", "test/"))
    }
    assert len(paths) > 10
    package = ROOT / "src" / "bridgelab"
    names = {file.name for folder in (package, ROOT / "tests") for file in folder.rglob("*.py")}
    assert [
        p for p in sorted(paths) if p not in names and not (ROOT / p).exists() and not (package / p).exists()
    ] == []


def test_each_size_of_make_study_is_a_study():
    makefile = (ROOT / "Makefile").read_text()
    studies = dict(re.findall(r"^STUDY_(\w+) *:= *(\w+)$", makefile, re.MULTILINE))
    (told,) = re.findall(r"^study: .* ## .*\((SIZE=.*)\)$", makefile, re.MULTILINE)
    assert sorted(studies) == sorted(re.findall(r"SIZE=(\w+)", told)) == ["full", "short", "tiny"]
    assert all((ROOT / "experiments" / f"{study}.yaml").exists() for study in studies.values())
    named = {size for path in DOCUMENTS for size in re.findall(r"make study SIZE=(\w+)", path.read_text())}
    assert named == {"tiny", "full"}  # short is the default


def test_the_table_of_extras_is_complete():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(extras)
    (own,) = (one for one in extras["dev"] if one.startswith("bridgelab["))  # "all of the above"
    assert sorted(re.findall(r"\w+", own)[1:]) == sorted(told[: told.index("dev")])


@pytest.mark.parametrize("group", ["optim", "trainer", "logger", "hydra/launcher"])
def test_all_choices_of_a_small_group_are_named(group):
    (told,) = re.findall(
        rf"^\| `{group}` \| (.*?) \|", (ROOT / "docs" / "first_study.md").read_text(), re.MULTILINE
    )
    there = [path.stem for path in (ROOT / "conf" / group).glob("*.yaml")]
    assert sorted(re.findall(r"`(\w+)`", told)) == sorted(there)


def test_the_table_of_layers_is_that_of_the_test():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", rooms)) for _, rooms, _ in rows] == LAYERS
    for place, (number, _, imports) in enumerate(rows, 1):
        assert int(number) == place
        assert imports.strip() == {1: "–", 2: "1"}.get(place, f"1–{place - 1}")
