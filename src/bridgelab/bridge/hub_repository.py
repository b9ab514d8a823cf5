"""A repository of the Hugging Face hub that holds a bridge: its name, its commit, and its files in the cache. Free of torch."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

SCHEME = "hf://"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
TIMEOUT = 10  # seconds that the hub has to answer a first request
# httpx's base class, under whichever name huggingface_hub depends on it: no connection, or no answer in time.
TRANSPORT_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
HUB_ERRORS = (HfHubHTTPError, TRANSPORT_ERROR, ConnectionError, LocalEntryNotFoundError)
# The HTTP library logs each request otherwise.
logging.getLogger(TRANSPORT_ERROR.__module__.partition(".")[0]).setLevel(logging.WARNING)


def is_hub(source: object) -> bool:
    """Return whether a source of weights is a repository of the hub."""
    return str(source).startswith(SCHEME)


def repository(source: str) -> tuple[str, str | None]:
    """Return the name and the revision of `hf://ORG/NAME@REVISION`; None for a revision that is not given.

    Raises:
        ValueError: if it is no such name.
    """
    name, at, revision = source.removeprefix(SCHEME).partition("@")
    try:
        validate_repo_id(name)
        valid = "/" in name and not (at and not revision)
    except HFValidationError:
        valid = False
    if not valid:
        raise ValueError(
            f"{source} names no repository of the hub: it must be {SCHEME}ORG/NAME or {SCHEME}ORG/NAME@REVISION. Correct it."
        )
    return name, revision or None


def check_repository(source: str) -> None:
    """Check that a repository is there and holds a bridge, by one request. A commit that is in the cache needs none.

    Raises:
        ConnectionError, OSError, ValueError: as `repository_files`.
    """
    name, revision = repository(source)
    api = HfApi()
    if not (_is_commit(revision) and _cached(api, name, revision)):
        _commit_with_bridge(api, name, revision)


def repository_files(name: str, revision: str | None) -> tuple[Path, Path]:
    """Return the paths of a repository's `config.json` and `model.safetensors`, downloaded or in the hub's cache.

    A commit that is in the cache is read without the network.

    Raises:
        ConnectionError: if the hub can't be reached.
        OSError: if there is no such repository or revision, or it may not be read.
        ValueError: if it holds no bridge of bridgelab's.
    """
    api = HfApi()
    files = _cached(api, name, revision) if _is_commit(revision) else None
    return files or _download(api, name, _commit_with_bridge(api, name, revision))


def _is_commit(revision: str | None) -> bool:
    return bool(revision and re.fullmatch("[0-9a-f]{40}", revision))


def _commit_with_bridge(api: HfApi, name: str, revision: str | None) -> str:
    """Return the commit of a revision, after checking that it holds a bridge. There is one request, and no retry."""
    try:
        info = api.model_info(name, revision=revision, timeout=TIMEOUT)
    except HUB_ERRORS as error:
        raise _explained(error, name, revision) from error
    files = [sibling.rfilename for sibling in info.siblings or ()]
    if absent := [file for file in (CONFIG, WEIGHTS) if file not in files]:
        raise ValueError(f"{SCHEME}{name} has no {absent[0]}. {_why_no_bridge(files)}")
    return str(info.sha)


def _why_no_bridge(files: Sequence[str]) -> str:
    if pickles := [file for file in files if file.endswith(PICKLES)]:
        return (
            f"Its weights are in {pickles[0]}, a pickle, which can run code when it is read: only safetensors is. Download it, and "
            "convert it by 'bridgelab convert --from FORMAT'."
        )
    return (
        f"It holds {', '.join(sorted(files)[:4]) or 'no file'}: a bridge has {CONFIG} and {WEIGHTS}. Choose a repository that "
        "'bridgelab push' wrote, or convert a published checkpoint by 'bridgelab convert --from FORMAT'."
    )


def _download(api: HfApi, name: str, commit: str) -> tuple[Path, Path]:
    try:
        first, second = (
            Path(str(api.hf_hub_download(name, file, revision=commit, etag_timeout=TIMEOUT)))
            for file in (CONFIG, WEIGHTS)
        )
    except HUB_ERRORS as error:
        raise _explained(error, name, commit) from error
    return first, second


def _cached(api: HfApi, name: str, revision: str | None) -> tuple[Path, Path] | None:
    try:
        first, second = (
            Path(str(api.hf_hub_download(name, file, revision=revision, local_files_only=True)))
            for file in (CONFIG, WEIGHTS)
        )
    except LocalEntryNotFoundError:
        return None
    return first, second


def _explained(error: Exception, name: str, revision: str | None) -> Exception:
    """Return an error of the hub as one that names the repository, the reason and the remedy."""
    source = f"{SCHEME}{name}"
    if isinstance(error, GatedRepoError):
        return OSError(
            f"{source} is gated: its authors grant access. Ask on its page, then run 'hf auth login'."
        )
    if isinstance(error, RepositoryNotFoundError):
        return OSError(
            f"{source}: the hub has no model of this name, or keeps it private from you. Correct the name, or run 'hf auth login'."
        )
    if isinstance(error, RevisionNotFoundError):
        return OSError(
            f"{source} has no revision {revision}. Name a commit, tag or branch that its page lists."
        )
    message = " ".join(str(error).split())[:200]
    if isinstance(error, HfHubHTTPError):
        return OSError(f"{source}: the hub refuses to answer ({message}). Try again later.")
    return ConnectionError(
        f"{source}: the hub can't be reached ({message}). Download it where there is a network, and name its commit: "
        f"{source}@COMMIT is read from the cache of HF_HOME."
    )
