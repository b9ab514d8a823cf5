"""How much memory this process holds. Free of torch."""

import re
from pathlib import Path


def resident(what: str = "VmRSS") -> int:
    """Bytes of memory that this process holds, or held at most (`VmHWM`)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])
