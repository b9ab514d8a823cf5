"""One line of what the doctor says."""

from dataclasses import dataclass

OK, MISSING, NOTE = "ok", "missing", "–"


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and where something is missing, what to do.

    Args:
        mark: `OK`; `MISSING`, if a run needs it; `NOTE`, if a run goes without it.
        what: a few words.
        found: a value, a version, a size.
        fix: a command, or what to set.
    """

    mark: str
    what: str
    found: str
    fix: str = ""
