"""Bytes and seconds as people say them."""


def size(count: float) -> str:
    """Bytes, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 9.95 or unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds, in the largest unit of which there are two or more."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.{1 if seconds < 10 * length else 0}f} {unit}"
    return (
        f"{seconds:.0f} s"
        if seconds >= 9.95
        else f"{seconds:.1f} s"
        if seconds >= 0.95
        else f"{seconds:.2g} s"
    )
