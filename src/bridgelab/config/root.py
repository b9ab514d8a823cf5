"""Where `conf/` and `experiments/` lie. Free of torch."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
VARIABLE = "BRIDGELAB_ROOT"  # which conf/train.yaml reads


def config_root() -> Path:
    """Return the folder that holds `conf/` and `experiments/` by its absolute path, and set `BRIDGELAB_ROOT` to it.

    That is `BRIDGELAB_ROOT` if it is set. Otherwise it is the checkout, so that an editable install reads what is edited, or,
    installed from a wheel, the package, which carries copies.
    """
    checkout = PACKAGE.parents[1]
    root = checkout if (checkout / "conf" / "train.yaml").is_file() else PACKAGE
    os.environ[VARIABLE] = os.path.abspath(os.environ.get(VARIABLE) or root)  # Hydra takes no relative one
    return Path(os.environ[VARIABLE])
