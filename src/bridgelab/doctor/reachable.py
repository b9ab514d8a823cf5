"""Whether the models of a run are there: in the package, in a folder, in the hub's cache, or to be had from it."""

import json
import os
import queue
import struct
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from omegaconf import DictConfig

from bridgelab.doctor.check import MISSING, NOTE, OK, Check
from bridgelab.doctor.units import size
from bridgelab.text.t5 import ASSETS, SHIPPED

MINIATURE = "miniature"
DEADLINE = 4.0  # seconds that one question to a server may take, its name's look-up included
T5_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
RESTORE = "restore src/bridgelab/assets from git, or make pretrain"


def miniature() -> Check:
    """The ViT and the T5s that come with the package: their files are there, and whole."""
    readers = [ASSETS / folder for folder in SHIPPED.values()]
    files = [ASSETS / "vision.safetensors", *(folder / "model.safetensors" for folder in readers)]
    described = [ASSETS / "vision.json"]
    described += [folder / name for folder in readers for name in ("config.json", "tokenizer.json")]
    problems = [f"{path.parent.name}/{path.name} is missing" for path in described if not path.is_file()]
    problems += [f"{path.parent.name}/{path.name}: {told}" for path in files if (told := broken(path))]
    if problems:
        return Check(MISSING, "miniature", "; ".join(problems), RESTORE)
    return Check(OK, "miniature", f"weights whole, {size(sum(path.stat().st_size for path in files))}")


def broken(path: Path) -> str | None:
    """What is wrong with a safetensors file by its own header, None if nothing is; weights are not read."""
    if not path.is_file():
        return "is missing"
    length = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        header = struct.unpack("<Q", start)[0] if len(start) == 8 else length
        try:
            if header > length:
                raise ValueError(f"a header of {header} bytes in a file of {length}")
            tensors = json.loads(file.read(header))
            ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return f"is no safetensors file ({error})"
    expected = 8 + header + max(ends, default=0)
    return None if expected == length else f"has {length} bytes and must have {expected}"


def text_side(config: DictConfig) -> Check:
    """The T5 of a run."""
    path = str(config.path)
    if path in SHIPPED:
        return _named("text", miniature())
    if Path(path).is_dir():
        return _t5_folder(Path(path))
    return _hub("text", path, T5_WEIGHTS, f"hf download {path}, or set text.path to a folder that holds it")


def _t5_folder(folder: Path) -> Check:
    problems = [f"{name} is missing" for name in ("config.json",) if not (folder / name).is_file()]
    weights = sorted(folder.glob("*.safetensors"))
    index = folder / T5_WEIGHTS[1]
    if index.is_file():
        weights = [
            folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))
        ]
    problems += [] if weights else [f"{T5_WEIGHTS[0]} is missing"]
    problems += [f"{path.name} {told}" for path in weights if (told := broken(path))]
    problems += (
        []
        if any(folder.glob("tokenizer*")) or any(folder.glob("spiece.model"))
        else ["the tokenizer is missing"]
    )
    if problems:
        return Check(
            MISSING, "text", f"{folder}: {'; '.join(problems)}", "copy the model's whole folder there"
        )
    return Check(OK, "text", f"{folder}, {size(sum(path.stat().st_size for path in weights))}")


def vision_side(config: DictConfig) -> Check:
    """The ViT of a run."""
    weights, tag = str(config.weights), config.get("pretrained")
    if weights == MINIATURE:
        return _named("vision", miniature())
    if weights.endswith(".safetensors"):
        path = Path(weights)
        told = broken(path) or (
            None if path.with_suffix(".json").is_file() else "has no configuration beside it"
        )
        fix = "copy the weights and open_clip's configuration, under one name"
        return Check(MISSING, "vision", f"{path} {told}", fix) if told else Check(OK, "vision", str(path))
    if weights.startswith("local-dir:"):
        folder = Path(weights.removeprefix("local-dir:"))
        there = (folder / "open_clip_config.json").is_file() and any(
            file for kind in ("*.safetensors", "*.bin", "*.pt") for file in folder.glob(kind)
        )
        fix = "copy the model's folder: open_clip_config.json and its weights"
        return (
            Check(OK, "vision", str(folder))
            if there
            else Check(MISSING, "vision", f"{folder} is not whole", fix)
        )
    fix = "vision.weights=local-dir:FOLDER pretrained=null, with the model's folder copied there"
    if weights.startswith("hf-hub:"):
        return _hub("vision", weights.removeprefix("hf-hub:"), CLIP_WEIGHTS, fix)
    if tag and Path(tag).is_file():
        return Check(OK, "vision", f"{weights}, {tag}")
    import open_clip

    published = open_clip.get_pretrained_cfg(weights, tag or "")
    if not published:
        tags = (
            ", ".join(open_clip.list_pretrained_tags_by_model(weights)) or "none: it is no model of open_clip"
        )
        return Check(
            MISSING, "vision", f"{weights} has no weights {tag!r}", f"vision.pretrained=one of {tags}"
        )
    if published.get("hf_hub"):
        repo, file = os.path.split(published["hf_hub"])
        names = (f"{file.rsplit('.', 1)[0]}.safetensors", file) if file else CLIP_WEIGHTS
        return _hub("vision", repo, names, fix)
    there = Path.home() / ".cache" / "clip" / os.path.basename(published["url"])
    if there.is_file():
        return Check(OK, "vision", f"{weights} {tag}, in the cache")
    request = urllib.request.Request(published["url"], method="HEAD")
    answered, told = within(lambda: _asked(request))
    return Check(NOTE if answered else MISSING, "vision", f"{weights} {tag}: {told}", "" if answered else fix)


def _asked(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return f"not here; reachable, {size(int(answer.headers.get('Content-Length') or 0))}"


def _named(what: str, finding: Check) -> Check:
    return Check(finding.mark, what, f"{finding.what}: {finding.found}", finding.fix)


def _hub(what: str, repo: str, files: Sequence[str], fix: str) -> Check:
    """A repository's weights: in the cache, or reachable; `files` are the names that they may have."""
    for name in files:
        if (path := cached(repo, name)) is not None:
            if name.endswith(".index.json"):
                shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
                if lacking := [shard for shard in shards if cached(repo, shard) is None]:
                    told = f"{repo}: {len(lacking)} of {len(shards)} files are not in the cache"
                    return Check(NOTE, what, told, fix)
            return Check(OK, what, f"{repo}, in the hub's cache")
    answered, told = hub_has(repo, files)
    return Check(NOTE if answered else MISSING, what, f"{repo}: {told}", "" if answered else fix)


def cached(repo: str, name: str) -> Path | None:
    """A file of a repository in the hub's cache, None where it is not there."""
    found = try_to_load_from_cache(repo, name)
    return Path(found) if isinstance(found, str) else None


def hub_has(repo: str, files: Sequence[str], repo_type: str = "model") -> tuple[bool, str]:
    """Whether the hub answers for one of these files of a repository, and what it says, in `DEADLINE` seconds at most."""
    if constants.HF_HUB_OFFLINE:
        return False, "not here, and HF_HUB_OFFLINE is set"

    def ask() -> str:
        refused: Exception | None = None
        for name in files:
            try:
                url = hf_hub_url(repo, name, repo_type=repo_type)
                found = get_hf_file_metadata(url, timeout=DEADLINE)
            except HfHubHTTPError as error:
                refused = error
                continue
            sized = f", {size(found.size)}" if found.size and name.endswith((".safetensors", ".bin")) else ""
            return f"not here; the hub has it{sized}"
        raise refused or FileNotFoundError(files)

    return within(ask)


def within(ask: Callable[[], str], seconds: float | None = None) -> tuple[bool, str]:
    """What a server answers, or that it does not.

    In a thread of its own, that is left behind: looking up a server's name knows no timeout.

    Args:
        ask: gives the answer, or raises.
        seconds: to wait; `DEADLINE` by default.
    """
    answers: queue.Queue[tuple[bool, str]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((True, ask()))
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"the hub answers {status}" if status else f"not reachable ({type(error).__name__})"
            answers.put((False, f"not here, and {reason}"))

    seconds = DEADLINE if seconds is None else seconds
    threading.Thread(target=run, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return False, f"not here, and no answer from the network in {seconds:g} s"
