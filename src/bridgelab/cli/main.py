"""The command line. Nothing heavy is imported before a command is known, so help comes at once."""

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from bridgelab import __version__
from bridgelab.cli.arguments import UsageError, choose
from bridgelab.config.root import config_root
from bridgelab.ctrl_c import take
from bridgelab.printable import printable

COMMANDS = (
    "world",
    "train",
    "dashboard",
    "features",
    "report",
    "map",
    "plan",
    "evaluate",
    "answer",
    "diagnose",
    "convert",
    "bridges",
    "check-bridge",
    "pretrain",
    "doctor",
    "bench",
    "calibrate",
)

HELP = """\
usage: bridgelab COMMAND ...

  world         make images, scenes, questions and captions of the built-in world
  train         train a bridge, or sweep many: bridgelab train bridge=qformer seed=1
                bridgelab train -m bridge=linear,qformer seed=0,1,2
                bridgelab train experiments=first_look
  features      the frozen encoder's features: make them before any run, check them, list them, clear up
                bridgelab features build benchmark=nlvr vision=miniature
  report        table and picture of a study: bridgelab report runs/first_look
  map           where linear breaks, over levels and kinds of questions: bridgelab map runs/reader runs/tokens
  plan          the smallest difference that a study would find, and with more seeds: bridgelab plan runs/first_look
  dashboard     a study's charts at W&B, as code: bridgelab dashboard runs/first_look --save
  evaluate      trained runs on another benchmark: bridgelab evaluate runs/first_look/* benchmark=pope
  answer        ask a trained bridge: bridgelab answer runs/first_look/bridge=linear,seed=0 IMAGE "what color is the cube ?"
  diagnose      look inside trained bridges: what answers rest on, what tokens hold: bridgelab diagnose runs/first_look
  convert       carry a bridge's weights from or to BLIP-2, LLaVA, OpenFlamingo, Idefics2
  bridges       what bridges there are, how large and from where
  check-bridge  whether a bridge keeps the contract: bridgelab check-bridge my_module.MyBridge num_queries=8
  pretrain      make the miniature pair anew: bridgelab pretrain text, bridgelab pretrain vision
  doctor        what is installed and reachable, and how big a run is going to be
  bench         how fast the parts are on this machine
  calibrate     how often the verdict is wrong, on simulated studies whose truth is known

`bridgelab COMMAND --help` tells more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    config_root()
    args = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # else another program's process, whose Ctrl-C is its own
        take()
    try:
        if not args or args[0] in ("-h", "--help", "help"):
            print(HELP, end="")
        elif args[0] == "--version":
            print(f"bridgelab {__version__}")
        else:
            choose("command", args[0], COMMANDS)
            module = args[0].replace("-", "_")
            importlib.import_module(f"bridgelab.cli.{module}").run(args[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"bridgelab {args[0]}: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UsageError, ValueError, OSError) as error:
        # One line for the person at the terminal; HYDRA_FULL_ERROR=1 gives the traceback here as in Hydra.
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        told = "\n".join(map(printable, str(error).split("\n")))  # it may name what another's file holds
        print(f"bridgelab {args[0]}: {told}", file=sys.stderr)
        return 2
    return 0
