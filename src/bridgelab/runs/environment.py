"""The commit, the versions and the machine that a run was made with."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from bridgelab import __version__

VERSIONS = (
    "torch",
    "transformers",
    "pytorch-lightning",
    "open_clip_torch",
    "hydra-core",
    "numpy",
)


def provenance(root: Path, device: Any) -> dict[str, Any]:
    """The code's commit (None outside of git), the versions that ran, and what they ran on."""
    versions = {"python": platform.python_version(), "bridgelab": __version__}
    for name in VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"git_sha": _commit(root), "versions": versions, "machine": _machine(device)}


def _commit(root: Path) -> str | None:
    """Return the commit of a checkout; None for an installed package, even inside of another project's repository."""
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _machine(device: Any) -> str:
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    told = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", told.read_text() if told.exists() else "", re.MULTILINE)
    return f"{named[1] if named else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
