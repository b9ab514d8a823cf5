"""The commit, the versions and the machine of a run."""

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
    """Return the code's commit (None outside a checkout), the versions of packages, and the machine."""
    versions = {"python": platform.python_version(), "bridgelab": __version__}
    for name in VERSIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"git_sha": _commit(root), "versions": versions, "machine": _machine(device)}


def _commit(root: Path) -> str | None:
    """Return the commit of a checkout; None for an installed package, even inside another project's repository."""
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
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f"{model[1] if model else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
