"""Check that a run can be pushed to a repository of the hub, before models are loaded. Free of torch."""

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from bridgelab.bridge.hub_repository import SCHEME, TRANSPORT_ERROR, repository
from bridgelab.runs.record_schema import read_record

NEEDED = (
    "bridge", "sees", "benchmark", "seed", "steps", "fingerprints", "costs", "metrics",
    # The model card says these too.
    "data_seed", "conditioning", "mixture", "examples_seen", "lr", "tuned_over", "warmup", "precision", "budgets",
)  # fmt: skip


def check_push(run: Path, repo: str) -> str:
    """Check a run and an account, and return the repository's name.

    Args:
        run: a finished run's folder.
        repo: `ORG/NAME`.
    Raises:
        ConnectionError: if the hub can't be reached.
        OSError: if there is no login, or the hub refuses the account.
        ValueError: if it is no such name, or the run's bridge reads no images.
    """
    name, revision = repository(SCHEME + repo.removeprefix(SCHEME))
    if revision is not None:
        raise ValueError(
            f"{repo} names a revision, and a push makes a new one. Give {name} without @{revision}."
        )
    record = read_record(run, NEEDED)
    if record["sees"] != "image":
        raise ValueError(
            f"{run} is of bridge={record['bridge']}, which sees {record['sees']}: only a bridge that reads images is published. Give "
            "another run."
        )
    _check_login(name)
    return name


def _check_login(repo: str) -> None:
    try:
        HfApi().whoami()
    except LocalTokenNotFoundError as error:
        raise OSError(
            f"{SCHEME}{repo}: you are not logged in, and a push needs a token with write access. Run 'hf auth login', or "
            "set HF_TOKEN."
        ) from error
    except (HfHubHTTPError, TRANSPORT_ERROR, ConnectionError) as error:
        raise explained(error, repo) from error


def explained(error: Exception, repo: str) -> Exception:
    """Return an error of the hub as one that names the repository, the reason and the remedy."""
    message = " ".join(str(error).split())[:200]
    if not isinstance(error, HfHubHTTPError):
        return ConnectionError(
            f"{SCHEME}{repo}: the hub can't be reached ({message}). Push from where there is a network."
        )
    status = error.response.status_code
    if status in (401, 403):
        return OSError(
            f"{SCHEME}{repo}: the hub refuses this account ({message}). Give a repository of your own account or organization, and a "
            "token with write access: 'hf auth login'."
        )
    return OSError(f"{SCHEME}{repo}: the hub refuses ({message}). Try again later.")
