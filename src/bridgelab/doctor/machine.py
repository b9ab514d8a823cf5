"""Checks of what is installed and of what this machine has; none needs the network."""

import importlib.metadata
import netrc
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bridgelab.doctor.check import MISSING, NOTE, OK, Check, size
from bridgelab.launch.slots import available_cores

PACKAGE = "bridgelab"
OPTIONAL = {
    "accelerate": "text.device_map, text.eight_bit",
    "bitsandbytes": "text.eight_bit",
    "peft": "text.adapt=lora",
}
PROGRAMS = {
    "java": ("java", "the official caption scores", "install a Java runtime, such as openjdk"),
    "slurm": ("sbatch", "jobs on other nodes", "run this on a login node of the cluster"),
}
LEAST_DISK = 5e9  # bytes: a study's records, the world, and a miniature's features


def machine(root: Path, folders: Iterable[Path]) -> Iterator[Check]:
    """Yield all checks that do not depend on a run.

    Args:
        root: the checkout, with `constraints.txt`.
        folders: where a run writes.
    """
    yield python()
    yield from packages(importlib.metadata.requires(PACKAGE) or [], pins(root / "constraints.txt"))
    yield from optional()
    yield cpu()
    total, free = memory_bytes()
    yield Check(OK, "memory", f"{size(free)} free of {size(total)}")
    yield from gpus()
    yield from disk(folders)
    yield wandb_login()


def python() -> Check:
    """Compare the interpreter with the versions that the package supports."""
    supported = importlib.metadata.metadata(PACKAGE)["Requires-Python"] or ""
    installed = platform.python_version()
    if Requirement(f"python{supported}").specifier.contains(installed, prereleases=True):
        return Check(OK, "Python", installed)
    fix = "make PYTHON=/path/to/another install"
    return Check(MISSING, "Python", f"{installed}, must be {supported}", fix)


def pins(path: Path) -> dict[str, str]:
    """Return the versions by name that a constraints file pins; none if there is no such file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    matches = (re.match(r"([\w.-]+)==([^\s;]+)", line) for line in lines)
    return {canonicalize_name(match[1]): match[2] for match in matches if match}


def packages(requirements: Iterable[str], pinned: dict[str, str]) -> Iterator[Check]:
    """Yield a check for each requirement that is not met, one for all untested versions, and one for the rest.

    Args:
        requirements: from a package's metadata; those of extras are ignored.
        pinned: the tested versions.
    """
    tested, untested = [], []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, required = requirement.name, str(requirement.specifier)
        pin, installed = pinned.get(canonicalize_name(name)), version(name)
        fix = f"pip install '{name}{required}'" + (" -c constraints.txt" if pin else "")
        if installed is None:
            yield Check(MISSING, name, f"not installed, must be {required}", fix)
        elif not requirement.specifier.contains(installed, prereleases=True):
            yield Check(MISSING, name, f"{installed}, must be {required}", fix)
        elif pin and Version(installed).public != pin:
            untested.append(f"{name} {installed} ({pin})")
        else:
            tested.append(name)
    if untested:
        fix = "if something fails: make install, or pip install -c constraints.txt -e ."
        yield Check(NOTE, "packages", f"not the tested version: {', '.join(untested)}", fix)
    yield Check(OK, "packages", f"{len(tested)} of the tested versions")


def version(name: str) -> str | None:
    """Return the installed version of a package, or None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def optional() -> Iterator[Check]:
    """Yield a check for each package and program that only some features need."""
    for name, use in OPTIONAL.items():
        fix = f"pip install {name}"
        installed = version(name)
        yield Check(OK, name, installed) if installed else Check(NOTE, name, f"not installed; for {use}", fix)
    for name, (program, use, fix) in PROGRAMS.items():
        path = shutil.which(program)
        yield Check(OK, name, path) if path else Check(NOTE, name, f"not installed; for {use}", fix)


def cpu() -> Check:
    """Return the cores that this process may use, and whether bf16 is fast on them."""
    import torch

    from bridgelab.model import bf16_is_fast

    cores, threads = available_cores(), torch.get_num_threads()
    detail = f"{cores} cores, {threads} of them used"
    if bf16_is_fast(torch.device("cpu")):
        return Check(OK, "CPU", f"{detail}, bf16")
    fix = "on the CPU: text.dtype=float32 vision.dtype=float32"
    return Check(NOTE, "CPU", f"{detail}, no bf16 instructions", fix)


def memory_bytes() -> tuple[int, int]:
    """Return the memory of this machine, or of this process's control group, and how much of it is free."""
    sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    total, free = (1024 * int(sizes[name]) for name in ("MemTotal", "MemAvailable"))
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and limit.read_text().strip().isdigit():
        most = int(limit.read_text())
        total, free = min(total, most), min(free, most - int(used.read_text()))
    return total, free


def resident_bytes(field: str = "VmRSS") -> int:
    """Return the memory that this process holds (`VmRSS`), or the most that it ever held (`VmHWM`)."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def gpus() -> Iterator[Check]:
    """Yield each GPU with its memory, and whether it has bf16."""
    import torch

    if not torch.cuda.is_available():
        if _driver_lists_gpu():
            fix = "install the torch that fits the driver (nvidia-smi says which CUDA it has)"
            yield Check(MISSING, "GPU", "there, but torch can't use it", fix)
        else:
            yield Check(NOTE, "GPU", "none", "train on the CPU: trainer=cpu, the default")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        detail = f"{properties.name}, {size(properties.total_memory)}, {'bf16' if bf16 else 'no bf16'}"
        fix = "" if bf16 else "train.precision=fp32 text.dtype=float32 vision.dtype=float32"
        yield Check(OK if bf16 else NOTE, f"GPU {index}", detail, fix)


def _driver_lists_gpu() -> bool:
    try:
        run = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "GPU " in run.stdout


def disk(folders: Iterable[Path]) -> Iterator[Check]:
    """Yield the room in each folder that a run writes to."""
    fix = "set paths.runs, paths.features or BRIDGELAB_DATA to a folder with more room"
    for folder in folders:
        free = disk_free(folder)
        detail = f"{size(free)} free in {folder}"
        if free >= LEAST_DISK:
            yield Check(OK, "disk", detail)
        else:
            yield Check(MISSING, "disk", f"{detail}, less than {size(LEAST_DISK)}", fix)


def disk_free(folder: Path) -> int:
    """Return the free bytes where the folder is or will be."""
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())
    return shutil.disk_usage(existing).free


def wandb_login() -> Check:
    """Look for a key to log in to W&B with; its server is not contacted."""
    fix = "wandb login, for runs that are online and for 'wandb sync'"
    if version("wandb") is None:
        return Check(NOTE, "W&B", "not installed", "pip install wandb")
    if os.environ.get("WANDB_API_KEY"):
        return Check(OK, "W&B", "a key in WANDB_API_KEY")
    import wandb

    host = urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url).netloc
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        login = netrc.netrc(path).authenticators(host)
    except FileNotFoundError:
        login = None
    except (netrc.NetrcParseError, OSError) as error:
        return Check(NOTE, "W&B", f"{path} can't be read ({error})", f"mend it, or {fix}")
    return Check(OK, "W&B", f"a key in {path}") if login else Check(NOTE, "W&B", "not logged in", fix)
