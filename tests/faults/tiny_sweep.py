"""A sweep of tiny runs, as a program: `python -m tiny_sweep -m key=value ...`, and each of its jobs."""

from tiny_run import build_tiny

from bridgelab import backbones as backbones
from bridgelab.training import main

if __name__ == "__main__":
    backbones.build = build_tiny
    main.main()
