"""`bridgelab completion`: complete commands, groups, options, keys and folders with the Tab key. Imports nothing heavy."""

import os
from pathlib import Path

from bridgelab.cli.arguments import Parser
from bridgelab.cli.key_comments import explained_keys
from bridgelab.config.root import config_root

# Commands that take overrides of a training.
OVERRIDDEN = ("train", "doctor", "evaluate", "features", "check-data")
# bash splits words at `=`, which overrides hold, so the words are taken from the line, and of an answer only what follows the last
# `=` is handed over.
BASH = """\
_bridgelab() {
    local line=${COMP_LINE:0:$COMP_POINT} IFS=$'\\n' found
    COMPREPLY=()
    for found in $(bridgelab completion --words "$line" 2>/dev/null); do
        COMPREPLY+=("$found")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
}
complete -o default -F _bridgelab bridgelab
"""


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab completion",
        description="Print what a shell needs to complete bridgelab's commands with the Tab key.",
        epilog='For this shell: eval "$(bridgelab completion bash)". For every shell: put that line into ~/.bashrc.',
    )
    parser.add_argument("shell", nargs="?", choices=("bash",), default="bash", help="the shell (bash)")
    parser.add_argument(
        "--words", metavar="LINE", help="print the words that could end this line, one per line"
    )
    options = parser.parse_args(args)
    if options.words is None:
        print(BASH, end="")
    else:
        print("\n".join(completions(options.words)))


def completions(line: str) -> list[str]:
    """Return the words that could end a command line, as bash takes them: without what stands before the last `=`.

    Args:
        line: up to the cursor, from the program's name on.
    """
    from bridgelab.cli.main import COMMANDS

    words = line.split()
    last = "" if line[-1:].isspace() or not words else words.pop()
    if len(words) <= 1:
        return [name for name in sorted(COMMANDS) if name.startswith(last)]
    command = words[1]
    found = []
    if "=" in last and command in OVERRIDDEN:
        key, _, value = last.partition("=")
        earlier, comma, part = value.rpartition(",")
        if options := [f"{earlier}{comma}{name}" for name in _options(key) if name.startswith(part)]:
            return options
    elif command in OVERRIDDEN:
        found = [word for word in _overrides() if word.startswith(last)]
    return [*found, *(folder[last.rfind("=") + 1 :] for folder in _folders(last))]


def _options(key: str) -> list[str]:
    """Return the options of a group, or the values that a key can have."""
    conf = config_root() / "conf"
    folder = conf.parent / "experiments" if key == "experiments" else conf / key
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []


def _overrides() -> list[str]:
    """Return the groups and the keys of a training, each with its `=`."""
    conf = config_root() / "conf"
    groups = [
        path.name for path in conf.iterdir() if path.is_dir() and path.name not in ("hydra", "pretrain")
    ]
    keys = [key.name for key in explained_keys((conf / "train.yaml").read_text()) if key.default]
    return sorted(f"{name}=" for name in {*groups, "experiments", "hydra/launcher", *keys})


def _folders(last: str) -> list[str]:
    """Return the folders whose path begins so: studies and runs."""
    parent = Path(os.path.dirname(last) or ".")
    if not parent.is_dir():
        return []
    base = os.path.dirname(last)
    names = sorted(path.name for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    paths = (os.path.join(base, name) for name in names)
    return [f"{path}/" for path in paths if path.startswith(last)]
