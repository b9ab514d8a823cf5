"""The command line. Each command imports its modules when it runs, so that help is quick."""

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence

from bridgelab import __version__, ctrl_c
from bridgelab.cli.arguments import UsageError, choose
from bridgelab.config.root import config_root
from bridgelab.printable import printable

COMMANDS = (
    "world",
    "train",
    "align",
    "status",
    "dashboard",
    "features",
    "report",
    "study",
    "export",
    "map",
    "plan",
    "evaluate",
    "answer",
    "push",
    "diagnose",
    "convert",
    "bridges",
    "benchmarks",
    "check-bridge",
    "check-data",
    "pretrain",
    "warm-starts",
    "doctor",
    "bench",
    "calibrate",
    "completion",
)

FIRST = """\
bridgelab compares bridges between a frozen vision encoder and a frozen language model. What people do with it:

  How long would a study take on this machine?   bridgelab doctor experiments=first_look
  Train its runs, then continue where they are.  bridgelab train experiments=first_look
  How far is it? What came out?                  bridgelab status runs/first_look
                                                 bridgelab report runs/first_look
  Ask a trained bridge about a picture.          bridgelab answer --bridge warm IMAGE "QUESTION"
                                                 bridgelab answer RUN IMAGE "QUESTION"
  Train a bridge of your own beside the others.  bridgelab check-bridge mine.MyBridge
                                                 bridgelab study --add bridge._target_=mine.MyBridge
  Compare bridges on your own pictures.          bridgelab check-data FOLDER
                                                 bridgelab train -m benchmark=own \\
                                                   benchmark.root=FOLDER study=mine \\
                                                   bridge=linear,perceiver seed=0,1,2

bridgelab --help lists every command, bridgelab COMMAND --help describes one.
"""

HELP = """\
usage: bridgelab COMMAND ...

Train bridges and compare them:
  train         train a bridge, or all runs of a study
                bridgelab train bridge=qformer seed=1
                bridgelab train -m bridge=linear,qformer seed=0,1,2
                bridgelab train experiments=first_look
  align         train a Q-Former on captions first, without a language model (BLIP-2's first stage)
                bridgelab align benchmark=world seed=1
  status        show which runs of a study are done, running, failed or waiting
                bridgelab status runs/first_look
  report        print a study's tables and draw its figures
                bridgelab report runs/first_look
  study         train one more row of a finished study, and set it beside the others
                bridgelab study --add bridge=c_abstractor
  export        write the answers of a run or a study for lmms-eval, Inspect, rliable or a spreadsheet
                bridgelab export runs/first_look --format lmms-eval
  map           show at which levels and on which questions the linear bridge breaks
                bridgelab map runs/tokens
  plan          compute how small a difference a study would find, and with more seeds
                bridgelab plan runs/first_look

Use trained bridges:
  evaluate      evaluate trained runs on another benchmark or split
                bridgelab evaluate runs/first_look/* benchmark=pope
  answer        ask a trained bridge about an image
                bridgelab answer runs/first_look/bridge=linear,seed=0 IMAGE "what color is the cube ?"
                bridgelab answer runs/first_look/bridge=linear,seed=0 --questions FILE.jsonl
  push          publish a trained bridge on the Hugging Face hub
                bridgelab push runs/first_look/bridge=linear,seed=0 ORG/NAME
  diagnose      measure what a bridge's answers depend on and what its tokens hold
                bridgelab diagnose runs/first_look
  dashboard     build a study's W&B workspace
                bridgelab dashboard runs/first_look --save

Choose, check and convert bridges:
  bridges       list the bridges, with their sizes and sources
  benchmarks    list the benchmarks, with their metrics and licences; describe one
                bridgelab benchmarks gqa
  check-bridge  check that a bridge keeps the contract
                bridgelab check-bridge my_module.MyBridge num_queries=8
  convert       convert weights from or to BLIP-2, LLaVA, OpenFlamingo and Idefics2

Prepare data and models:
  check-data    say what data hold and what is wrong with them, and draw six examples
                bridgelab check-data FOLDER
  doctor        check what is installed, and estimate the time, memory and disk of a run
                bridgelab doctor experiments=first_look
  features      encode images before training; list, verify and prune the features
                bridgelab features build benchmark=nlvr vision=miniature
  world         write a split of the built-in world: images, scenes, questions and captions
  pretrain      train the miniature T5 or ViT again
                bridgelab pretrain text
  warm-starts   make the trained bridges that bridge.init_from=warm starts from
                bridgelab warm-starts runs/reader

Test bridgelab itself:
  bench         measure the speed of each component on this machine
  calibrate     measure how often the verdict is wrong on simulated studies

Complete commands with the Tab key:
  completion    print what a shell needs for it
                eval "$(bridgelab completion bash)"

bridgelab COMMAND --help describes a command, bridgelab --version prints the version.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: the arguments after the program's name; by default those of this process.
    """
    config_root()
    args = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # otherwise another program handles Ctrl-C in this process
        ctrl_c.handle()
        _replace_what_cannot_be_encoded()
    try:
        if not args:
            print(FIRST, end="")
        elif args[0] in ("-h", "--help", "help"):
            print(HELP, end="")
        elif args[0] == "--version":
            print(f"bridgelab {__version__}")
        else:
            choose("command", args[0], COMMANDS)
            module = args[0].replace("-", "_")
            importlib.import_module(f"bridgelab.cli.{module}").run(args[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"bridgelab {args[0]}: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except (UsageError, ValueError, OSError) as error:
        # Print one line. As in Hydra, HYDRA_FULL_ERROR=1 gives the traceback.
        if os.environ.get("HYDRA_FULL_ERROR"):
            raise
        message = "\n".join(map(printable, str(error).split("\n")))  # it may quote a foreign file
        print(f"bridgelab {args[0]}: {message}", file=sys.stderr)
        return 2
    return 0


def _replace_what_cannot_be_encoded() -> None:
    """Let standard output print '?' for a sign that its encoding lacks: a curve in a log in Latin-1 must not end a sweep.

    Standard error does so by itself. File names that Python passes on as bytes (surrogateescape) stay as they are.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")
