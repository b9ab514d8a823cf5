"""A line of the doctor's report, and how it writes bytes and seconds."""

from dataclasses import dataclass

OK, MISSING, NOTE = "ok", "missing", "–"


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Args:
        status: `OK`; `MISSING` if a run needs it; `NOTE` if a run can do without it.
        subject: what was checked, in a few words.
        detail: a value, a version or a size.
        fix: a command to run or a key to set.
    """

    status: str
    subject: str
    detail: str
    fix: str = ""


def size(count: float) -> str:
    """Format bytes in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 9.95 or unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """Format seconds in the largest unit of which there are two or more."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.{1 if seconds < 10 * length else 0}f} {unit}"
    if seconds >= 9.95:
        return f"{seconds:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds:.2g} s"
