"""Checks of a run's models: in the package, in a folder, in the hub's cache, or to be downloaded."""

import json
import os
import queue
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open

from bridgelab.doctor.check import MISSING, NOTE, OK, Check, size
from bridgelab.text.t5 import ASSETS, SHIPPED, resolve_path

DEADLINE = 4.0  # seconds to wait for a server, the look-up of its name included
T5_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
RESTORE = "restore src/bridgelab/assets from git, or make pretrain"


def miniature() -> Check:
    """Check that the files of the ViT and of the T5s that come with the package are complete."""
    readers = [ASSETS / folder for folder in SHIPPED.values()]
    weights = [ASSETS / "vision.safetensors", *(folder / "model.safetensors" for folder in readers)]
    others = [ASSETS / "vision.json"]
    others += [folder / name for folder in readers for name in ("config.json", "tokenizer.json")]
    problems = [f"{path.parent.name}/{path.name} is missing" for path in others if not path.is_file()]
    problems += [f"{path.parent.name}/{path.name}: {why}" for path in weights if (why := broken(path))]
    if problems:
        return Check(MISSING, "miniature", "; ".join(problems), RESTORE)
    return Check(OK, "miniature", f"weights whole, {_total(weights)}")


def broken(path: Path) -> str | None:
    """Return what is wrong with a safetensors file by its own header, or None; weights are not read."""
    if not path.is_file():
        return "is missing"
    try:
        with safe_open(path, "np"):
            return None
    except SafetensorError as error:
        return f"is no complete safetensors file ({error})"


def text_check(config: DictConfig) -> Check:
    """Check a run's T5."""
    path = str(config.path)
    if path in SHIPPED:
        return _shipped("text")
    if Path(path).is_dir():
        return _t5_folder(Path(path))
    try:
        resolve_path(path)
    except FileNotFoundError as error:
        what, _, fix = str(error).partition(". ")
        return Check(MISSING, "text", what, fix)
    return _hub("text", path, T5_WEIGHTS, f"hf download {path}, or set text.path to a folder that holds it")


def _t5_folder(folder: Path) -> Check:
    index = folder / T5_WEIGHTS[1]
    weights = sorted(folder.glob("*.safetensors"))
    if index.is_file():
        weights = [folder / name for name in _shards(index)]
    problems = [] if (folder / "config.json").is_file() else ["config.json is missing"]
    problems += [] if weights else [f"{T5_WEIGHTS[0]} is missing"]
    problems += [f"{path.name} {why}" for path in weights if (why := broken(path))]
    if not any(folder.glob("tokenizer*")) and not (folder / "spiece.model").is_file():
        problems.append("the tokenizer is missing")
    if problems:
        fix = "copy the model's whole folder there"
        return Check(MISSING, "text", f"{folder}: {'; '.join(problems)}", fix)
    return Check(OK, "text", f"{folder}, {_total(weights)}")


def vision_check(config: DictConfig) -> Check:
    """Check a run's ViT."""
    weights, tag = str(config.weights), config.get("pretrained")
    if weights == "miniature":
        return _shipped("vision")
    if weights.endswith(".safetensors"):
        return _clip_file(Path(weights))
    if weights.startswith("local-dir:"):
        return _clip_folder(Path(weights.removeprefix("local-dir:")))
    fix = "vision.weights=local-dir:FOLDER vision.pretrained=null, with the model's folder copied there"
    if weights.startswith("hf-hub:"):
        return _hub("vision", weights.removeprefix("hf-hub:"), CLIP_WEIGHTS, fix)
    if tag and Path(tag).is_file():
        return Check(OK, "vision", f"{weights}, {tag}")
    return _open_clip(weights, tag, fix)


def _clip_file(path: Path) -> Check:
    problem = broken(path)
    if problem is None and not path.with_suffix(".json").is_file():
        problem = "has no configuration beside it"
    if problem is None:
        return Check(OK, "vision", str(path))
    fix = "copy the weights and open_clip's configuration, under one name"
    return Check(MISSING, "vision", f"{path} {problem}", fix)


def _clip_folder(folder: Path) -> Check:
    weights = [path for kind in ("*.safetensors", "*.bin", "*.pt") for path in folder.glob(kind)]
    if weights and (folder / "open_clip_config.json").is_file():
        return Check(OK, "vision", str(folder))
    fix = "copy the model's folder: open_clip_config.json and its weights"
    return Check(MISSING, "vision", f"{folder} is not whole", fix)


def _open_clip(name: str, tag: str | None, fix: str) -> Check:
    """Check a model of open_clip by its name and the tag of its weights."""
    import open_clip

    published = open_clip.get_pretrained_cfg(name, tag or "")
    if not published:
        tags = (
            ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none: it is not a model of open_clip"
        )
        return Check(MISSING, "vision", f"{name} has no weights {tag!r}", f"vision.pretrained=one of {tags}")
    if published.get("hf_hub"):
        repo, file = os.path.split(published["hf_hub"])
        names = (f"{file.rsplit('.', 1)[0]}.safetensors", file) if file else CLIP_WEIGHTS
        return _hub("vision", repo, names, fix)
    if (Path.home() / ".cache" / "clip" / os.path.basename(published["url"])).is_file():
        return Check(OK, "vision", f"{name} {tag}, in the cache")
    request = urllib.request.Request(published["url"], method="HEAD")

    def ask() -> str:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return f"not here; reachable, {size(int(answer.headers.get('Content-Length') or 0))}"

    return _remote("vision", f"{name} {tag}", within(ask), fix)


def _shipped(subject: str) -> Check:
    check = miniature()
    return Check(check.status, subject, f"{check.subject}: {check.detail}", check.fix)


def _remote(subject: str, name: str, answer: tuple[bool, str], fix: str) -> Check:
    reachable, message = answer
    return Check(NOTE if reachable else MISSING, subject, f"{name}: {message}", "" if reachable else fix)


def _hub(subject: str, repo: str, files: Sequence[str], fix: str) -> Check:
    """Check a repository's weights, which have one of these file names, in the cache or on the hub."""
    for name in files:
        if (path := cached(repo, name)) is not None:
            shards = _shards(path) if name.endswith(".index.json") else []
            if lacking := [shard for shard in shards if cached(repo, shard) is None]:
                detail = f"{repo}: {len(lacking)} of {len(shards)} files are not in the cache"
                return Check(NOTE, subject, detail, fix)
            return Check(OK, subject, f"{repo}, in the hub's cache")
    return _remote(subject, repo, hub_has(repo, files), fix)


def _shards(index: Path) -> list[str]:
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def _total(paths: Sequence[Path]) -> str:
    return size(sum(path.stat().st_size for path in paths))


def cached(repo: str, name: str) -> Path | None:
    """Return a repository's file in the hub's cache, or None if it is not there."""
    path = try_to_load_from_cache(repo, name)
    return Path(path) if isinstance(path, str) else None


def hub_has(repo: str, files: Sequence[str], repo_type: str = "model") -> tuple[bool, str]:
    """Return whether the hub has one of these files of a repository, and its answer in words."""
    if constants.HF_HUB_OFFLINE:
        return False, "not here, and HF_HUB_OFFLINE is set"

    def ask() -> str:
        refused: Exception | None = None
        for name in files:
            try:
                url = hf_hub_url(repo, name, repo_type=repo_type)
                metadata = get_hf_file_metadata(url, timeout=DEADLINE)
            except HfHubHTTPError as error:
                refused = error
                continue
            weights = name.endswith((".safetensors", ".bin"))
            return "not here; the hub has it" + (
                f", {size(metadata.size)}" if metadata.size and weights else ""
            )
        raise refused or FileNotFoundError(files)

    return within(ask)


def within(ask: Callable[[], str]) -> tuple[bool, str]:
    """Return whether a server answers in `DEADLINE` seconds, and its answer or the reason why not.

    It is asked in a thread that is left behind, since the look-up of a server's name knows no timeout.

    Args:
        ask: returns the answer, or raises.
    """
    answers: queue.Queue[tuple[bool, str]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((True, ask()))
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"the hub answers {status}" if status else f"not reachable ({type(error).__name__})"
            answers.put((False, f"not here, and {reason}"))

    threading.Thread(target=run, daemon=True).start()
    try:
        return answers.get(timeout=DEADLINE)
    except queue.Empty:
        return False, f"not here, and no answer from the network in {DEADLINE:g} s"
