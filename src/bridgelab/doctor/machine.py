"""What is installed, and what this machine has: nothing of it needs the network."""

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

from bridgelab.doctor.check import MISSING, NOTE, OK, Check
from bridgelab.doctor.units import size

PACKAGE = "bridgelab"
OPTIONAL = {
    "accelerate": "text.device_map, text.eight_bit",
    "bitsandbytes": "text.eight_bit",
    "datasets": "benchmarks read from the hub",
}
PROGRAMS = {
    "java": ("java", "the official caption scores", "install a Java runtime, such as openjdk"),
    "slurm": ("sbatch", "jobs on other nodes", "run this on a login node of the cluster"),
}
LEAST_DISK = 5e9  # bytes: a study's records, the world, and a miniature's features


def machine(root: Path, folders: Iterable[Path]) -> Iterator[Check]:
    """Everything that does not depend on a run.

    Args:
        root: the checkout, with `constraints.txt`.
        folders: where a run writes.
    """
    yield python()
    yield from packages(importlib.metadata.requires(PACKAGE) or [], pins(root / "constraints.txt"))
    yield from optional()
    yield cpu()
    yield memory()
    yield from gpus()
    yield from disk(folders)
    yield wandb_login()


def python() -> Check:
    """The interpreter, beside what the package asks for."""
    asked = importlib.metadata.metadata(PACKAGE)["Requires-Python"] or ""
    own = platform.python_version()
    if Requirement(f"python{asked}").specifier.contains(own, prereleases=True):
        return Check(OK, "Python", own)
    return Check(MISSING, "Python", f"{own}, must be {asked}", "make PYTHON=/path/to/another install")


def pins(path: Path) -> dict[str, str]:
    """name -> version, as `path` pins them; none where there is no such file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    found = (re.match(r"([\w.-]+)==([^\s;]+)", line) for line in lines)
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def packages(requirements: Iterable[str], pinned: dict[str, str]) -> Iterator[Check]:
    """What the package needs: a line for each that is missing or too old, one for those not tested, one for the rest.

    Args:
        requirements: as a package's metadata gives them; extras are passed over.
        pinned: the versions that were tested.
    """
    as_tested, others = [], []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, asked = requirement.name, str(requirement.specifier)
        tested = pinned.get(canonicalize_name(name))
        fix = f"pip install '{name}{asked}'" + (" -c constraints.txt" if tested else "")
        own = version(name)
        if own is None:
            yield Check(MISSING, name, f"not installed, must be {asked}", fix)
        elif not requirement.specifier.contains(own, prereleases=True):
            yield Check(MISSING, name, f"{own}, must be {asked}", fix)
        elif tested and Version(own).public != tested:
            others.append(f"{name} {own} ({tested})")
        else:
            as_tested.append(name)
    if others:
        told = f"not the tested version: {', '.join(others)}"
        yield Check(
            NOTE, "packages", told, "if something fails: make install, or pip install -c constraints.txt -e ."
        )
    yield Check(OK, "packages", f"{len(as_tested)} of the tested versions")


def version(name: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def optional() -> Iterator[Check]:
    """Packages and programs that only some settings need."""
    for name, use in OPTIONAL.items():
        own = version(name)
        yield (
            Check(OK, name, own)
            if own
            else Check(NOTE, name, f"not installed; for {use}", f"pip install {name}")
        )
    for name, (program, use, fix) in PROGRAMS.items():
        path = shutil.which(program)
        yield Check(OK, name, path) if path else Check(NOTE, name, f"not installed; for {use}", fix)


def cpu() -> Check:
    """Cores that this process may use, and whether bf16 is fast on them."""
    import torch

    from bridgelab.model import autocast_pays

    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    told = f"{cores} cores, {threads} of them used"
    if autocast_pays(torch.device("cpu")):
        return Check(OK, "CPU", f"{told}, bf16")
    return Check(
        NOTE, "CPU", f"{told}, no bf16 instructions", "on the CPU: text.dtype=float32 vision.dtype=float32"
    )


def memory() -> Check:
    """Memory of the machine, or what its control group allows."""
    whole, free = memory_bytes()
    return Check(OK, "memory", f"{size(free)} free of {size(whole)}")


def memory_bytes() -> tuple[int, int]:
    """How much memory there is for this process, and how much of it is free."""
    told = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    whole, free = (1024 * int(told[name]) for name in ("MemTotal", "MemAvailable"))
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and limit.read_text().strip().isdigit():
        most = int(limit.read_text())
        whole, free = min(whole, most), min(free, most - int(used.read_text()))
    return whole, free


def gpus() -> Iterator[Check]:
    """Each GPU with its memory, and whether it has bf16."""
    import torch

    if not torch.cuda.is_available():
        if _driver_sees_one():
            fix = "install the torch that fits the driver (nvidia-smi says which CUDA it has)"
            yield Check(MISSING, "GPU", "there, but torch can't use it", fix)
        else:
            yield Check(NOTE, "GPU", "none", "train on the CPU: trainer=cpu, the default")
        return
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            has = torch.cuda.is_bf16_supported(including_emulation=False)
        told = f"{found.name}, {size(found.total_memory)}, {'bf16' if has else 'no bf16'}"
        fix = "" if has else "train.precision=fp32 text.dtype=float32 vision.dtype=float32"
        yield Check(OK if has else NOTE, f"GPU {index}", told, fix)


def _driver_sees_one() -> bool:
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "GPU " in told


def disk(folders: Iterable[Path]) -> Iterator[Check]:
    """Room in the folders that a run writes to."""
    for folder in folders:
        free = disk_free(folder)
        if free >= LEAST_DISK:
            yield Check(OK, "disk", f"{size(free)} free in {folder}")
        else:
            fix = "set paths.runs, paths.features or BRIDGELAB_DATA to a folder with more room"
            yield Check(MISSING, "disk", f"{size(free)} free in {folder}, less than {size(LEAST_DISK)}", fix)


def disk_free(folder: Path) -> int:
    """Bytes free where the folder is or will be."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def wandb_login() -> Check:
    """Whether W&B has a key to log in with; nothing is asked of its server."""
    fix = "wandb login, for what `wandb sync` uploads; logger=wandb itself stays offline"
    if version("wandb") is None:
        return Check(NOTE, "W&B", "not installed", "pip install wandb")
    if os.environ.get("WANDB_API_KEY"):
        return Check(OK, "W&B", "a key in WANDB_API_KEY")
    import wandb

    host = urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url).netloc
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        known = netrc.netrc(path).authenticators(host)
    except FileNotFoundError:
        known = None
    except (netrc.NetrcParseError, OSError) as error:
        return Check(NOTE, "W&B", f"{path} can't be read ({error})", f"mend it, or {fix}")
    return Check(OK, "W&B", f"a key in {path}") if known else Check(NOTE, "W&B", "not logged in", fix)
