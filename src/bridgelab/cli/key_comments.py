"""The keys of a yaml of `conf/` with their defaults and the comments that explain them, read from its text.

Hydra and OmegaConf keep no comments, and are slow to import.
"""

import itertools
import re
from dataclasses import dataclass

KEY = re.compile(r"^( *)([A-Za-z_]\w*):(?: +(.*))?$")

FOLDED = (">", ">-", "|", "|-")  # before a text that takes several lines


@dataclass(frozen=True)
class ExplainedKey:
    """A key of a config.

    Args:
        name: with those above it, such as `train.steps`.
        default: as written; empty for a group of keys.
        comment: beside it and above it; empty without any.
    """

    name: str
    default: str
    comment: str


def head_comment(text: str) -> list[str]:
    """Return the lines of the comment that a yaml begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").replace("`", ""))
    return [line for line in lines if not line.startswith("@package")]


def explained_keys(text: str) -> list[ExplainedKey]:
    """Return the keys of a yaml in its order, without Hydra's and those of lists."""
    keys: list[ExplainedKey] = []
    above: list[str] = []  # comment lines since the last key
    parents: list[tuple[int, str]] = []  # (indent, name) of the keys that this line lies below
    folded: int | None = None  # the indent of a key whose value is a text over the next lines
    body = itertools.dropwhile(lambda line: line.startswith("#"), text.splitlines())
    for line in body:
        stripped = line.strip()
        if folded is not None and (not stripped or len(line) - len(line.lstrip()) > folded):
            continue
        folded = None
        if stripped.startswith("#"):
            above.append(stripped.lstrip("# ").replace("`", ""))
        elif match := KEY.match(line):
            indent, name = len(match[1]), match[2]
            parents = [parent for parent in parents if parent[0] < indent]
            default, comment = _split(match[3] or "")
            if default in FOLDED:
                folded, default = indent, "…"
            full = ".".join([*(parent for _, parent in parents), name])
            keys.append(ExplainedKey(full, default, " ".join(filter(None, [*above, comment]))))
            parents.append((indent, name))
            above = []
        elif stripped.startswith("- ") and keys and not keys[-1].default:
            keys[-1] = ExplainedKey(keys[-1].name, f"[{_split(stripped[2:])[0]}]", keys[-1].comment)
        elif not stripped:
            above = []
    hidden = ("defaults", "hydra", "_target_", "_partial_")
    return [key for key in keys if key.name.split(".")[0] not in hidden]


def _split(value: str) -> tuple[str, str]:
    """Return a value and the comment behind it."""
    written, _, comment = f" {value}".partition(" #")
    return written.strip(), comment.strip().replace("`", "")
