"""The command line. Nothing heavy is imported before a command is known, so help comes at once."""

import argparse
import difflib
import importlib.util
import os
import re
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bridgelab import __version__
from bridgelab.interrupt import take
from bridgelab.printable import plain

ROOT = Path(__file__).resolve().parents[3]

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


# What `evaluate` takes as `train` does; all else is the run's own.
EVALUATED = ("benchmark", "evaluate", "data", "paths", "experiments", "question", "hypothesis")


class UsageError(Exception):
    """The command line asks for something that is not there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    os.environ.setdefault("BRIDGELAB_ROOT", str(ROOT))
    args = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # else another program's process, whose Ctrl-C is its own
        take()
    try:
        if not args or args[0] in ("-h", "--help", "help"):
            print(HELP, end="")
        elif args[0] == "--version":
            print(f"bridgelab {__version__}")
        else:
            _choose("command", args[0], COMMANDS)
            COMMANDS[args[0]](args[1:])
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
        told = "\n".join(map(plain, str(error).split("\n")))  # it may name what another's file holds
        print(f"bridgelab {args[0]}: {told}", file=sys.stderr)
        return 2
    return 0


def _world(args: list[str]) -> None:
    from bridgelab.world.bend import BENDS

    parser = argparse.ArgumentParser("bridgelab world", description="Write a split in CLEVR's layout.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--split", required=True, help=f"train, val, test; or bent, as in test-many: {', '.join(BENDS)}"
    )
    parser.add_argument("--images", type=int, required=True, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same files, whatever --processes (0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="one a core by default")
    given = parser.parse_args(args)
    for name in ("images", "processes"):
        if getattr(given, name) < 1:
            raise UsageError(f"--{name} {getattr(given, name)} is not positive. Give at least 1.")
    write_world = importlib.import_module("bridgelab.world.write").write_world
    write_world(given.out, given.split, given.images, given.seed, given.processes)


def _report(args: list[str]) -> None:
    parser = argparse.ArgumentParser("bridgelab report", description="Table and picture of a finished study.")
    parser.add_argument("study", type=Path, metavar="STUDY_DIR", help="for example runs/first_look")
    parser.add_argument(
        "--format", choices=("md", "csv", "latex"), help="print the tables as this, and write no file"
    )
    _allowing(parser)
    given = parser.parse_args(args)
    study, module = _folder(given.study), importlib.import_module("bridgelab.report.write")
    if given.format:
        module.print_as(study, given.format, allow=given.allow)
    else:
        module.report(study, allow=given.allow)


def _map(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab map",
        description="The break map: each level of what studies vary, by kind of question, with difference and outcome. All cells are "
        "one family. A bridge that was not trained as long as the first study's baseline gives an empty row.",
    )
    parser.add_argument(
        "studies", type=Path, nargs="+", metavar="STUDY_DIR", help="the first holds the centre"
    )
    parser.add_argument(
        "--out", type=Path, metavar="PNG", help="the picture (STUDY_DIR/map.png of the first)"
    )
    given = parser.parse_args(args)
    studies = [_folder(study) for study in given.studies]
    out = given.out or studies[0] / "map.png"
    importlib.import_module("bridgelab.report.write").report_map(studies, out)


def _allowing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow", action="append", default=[], metavar="KEY",
        help="compare runs that differ in this, such as train.steps; said under the table (may be given again)",
    )  # fmt: skip


def _trusting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust", action="store_true",
        help="import what a run's config names from outside of bridgelab, such as a bridge of one's own: its code is executed",
    )  # fmt: skip


def _dashboard(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab dashboard",
        description="The W&B workspace of a study's runs (made with logger=wandb), as code.",
    )
    parser.add_argument(
        "study",
        nargs="?",
        type=Path,
        metavar="STUDY_DIR",
        help="whose runs it shows; the built-in world's charts without",
    )
    parser.add_argument("--entity", default=os.environ.get("WANDB_ENTITY", ""), help="user or team at W&B")
    parser.add_argument("--project", default="bridgelab", help="as in logger.wandb.project (bridgelab)")
    parser.add_argument(
        "--save", action="store_true", help="send it to W&B; without, its JSON is printed, offline"
    )
    given = parser.parse_args(args)
    importlib.import_module("bridgelab.report.dashboard").dashboard(
        _folder(given.study) if given.study else None,
        entity=given.entity,
        project=given.project,
        save=given.save,
    )


def _plan(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab plan",
        description="The smallest difference between the baseline and each bridge that a study like this one would find, with "
        "80 % power.",
    )
    parser.add_argument(
        "study",
        type=Path,
        metavar="STUDY_DIR",
        help="a finished study, whose spread over seeds and images is taken",
    )
    _allowing(parser)
    given = parser.parse_args(args)
    study = _folder(given.study)
    importlib.import_module("bridgelab.statistics.power_plan").plan(study, allow=given.allow)


def _evaluate(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab evaluate",
        description="Trained runs on another benchmark or split, as a study of its own: runs/<study>_on_<benchmark>.",
    )
    parser.add_argument(
        "named", nargs="+", metavar="RUN | key=value",
        help="finished runs' folders, and choices as for training: benchmark=pope evaluate.beams=5",
    )  # fmt: skip
    parser.add_argument(
        "--split", default="test", help="of the benchmark (test); the world's bends: test-clutter"
    )
    _trusting(parser)
    given = parser.parse_intermixed_args(args)
    choices = [one for one in given.named if _is_choice(one)]
    runs = [_folder(Path(one)) for one in given.named if one not in choices]  # all, before hours are spent
    if not runs:
        raise UsageError(f"none of {', '.join(choices)} is a folder. Give runs, such as runs/first_look/*.")
    for one in choices:
        if re.split(r"[=.@/]", one.lstrip("+~"))[0] not in EVALUATED:
            raise UsageError(
                f"{one} changes nothing here: it is the run's own, and an evaluation takes {', '.join(EVALUATED)}. Leave it out."
            )
    asked = _composed(choices)
    from bridgelab.evaluation.load import trains_nothing
    from bridgelab.training.run import every_tenth

    elsewhere = importlib.import_module("bridgelab.evaluation.other_benchmark")
    for run in runs:
        if (run / "last.ckpt").exists() or trains_nothing(run):
            out = elsewhere.evaluate_elsewhere(
                run, asked, ROOT, split=given.split, progress=every_tenth(run.name), trust=given.trust
            )
            print(out, flush=True)
        else:  # a run that is not finished, or a folder of trials
            print(f"{run} has no last.ckpt: left out", file=sys.stderr)


def _is_choice(given: str) -> bool:
    """Whether this is `key=value` and no run's folder, whose name has a `=` too: a key has no `/` but in a group's name."""
    key, equals, _ = given.partition("=")
    return bool(equals) and not Path(given).is_dir() and ("/" not in key or key.startswith("hydra/"))


def _answer(args: list[str]) -> None:
    parser = argparse.ArgumentParser("bridgelab answer", description="Ask a trained bridge about an image.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder, in runs/<study>/")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="one, or two where its benchmark shows two"
    )
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument(
        "--explain", type=Path, metavar="PNG", help="save a picture of the patches that the answer rests on"
    )
    _trusting(parser)
    given = parser.parse_args(args)
    importlib.import_module("bridgelab.explain.answer").answer(
        given.run, given.images, given.question, given.explain, trust=given.trust
    )


def _diagnose(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab diagnose",
        description="Look inside trained bridges. Causal and alike for all: the fall of the right answer's likelihood where patches of "
        "visited objects, of others, of background, or as many random ones are replaced. With and without clutter. What linear "
        "probes read of the objects behind the bridge; effective rank; nearest words. As description alone: attention.",
        epilog="Where objects are and which of them a question visits is known of benchmark=world and clevr; of others, only what needs "
        "no scene. Leaves diagnosis.json in each run's folder and diagnosis.png in the study's; `bridgelab report` takes them up.",
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="RUN | STUDY_DIR", help="finished runs, or all of a study"
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=400,
        metavar="N",
        help="test questions, for what answers rest on (400)",
    )
    parser.add_argument(
        "--images", type=int, default=400, metavar="N", help="test images, for what tokens hold (400)"
    )
    parser.add_argument(
        "--fit", type=int, default=1500, metavar="N", help="training images that probes are fitted on (1500)"
    )
    parser.add_argument("--again", action="store_true", help="also where the same was found before")
    _trusting(parser)
    given = parser.parse_args(args)
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    importlib.import_module("bridgelab.training.main")  # registers what configs call
    amounts = importlib.import_module("bridgelab.explain.look").Amounts
    module = importlib.import_module("bridgelab.explain.diagnose")
    module.diagnose(
        given.paths, amounts(given.questions, given.images, given.fit), again=given.again, trust=given.trust
    )


def _doctor(args: list[str]) -> None:
    importlib.import_module("bridgelab.doctor.main").doctor(args)


def _train(args: list[str]) -> None:
    if {"-h", "--help"} & set(args):
        print(_train_help(), end="")
        return
    check_choices(args, _conf())
    _check_keys(args)
    # Of further processes, by Lightning or Slurm: else a file in the working folder is taken for a module of the same name.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        importlib.import_module("bridgelab.launch.slurm").requeue_when_warned()
    _hydra_app("bridgelab train", "bridgelab.training.main", args)


def _train_help() -> str:
    """What `bridgelab train` takes: groups with their options, studies, launchers, and every key with what it means."""
    conf = _conf()
    folders = {path.name: path for path in sorted(conf.iterdir()) if path.is_dir()}
    groups = {name: path for name, path in folders.items() if name not in ("hydra", "pretrain")}
    groups |= {"experiments": conf.parent / "experiments", "hydra/launcher": conf / "hydra" / "launcher"}
    lines = [
        "usage: bridgelab train [-m] [GROUP=OPTION ...] [KEY=VALUE ...]", "",
        "One run; with -m one for each combination of values that are given as A,B,C. The same command goes on from where it was.",
        "--cfg job prints the config and does nothing; --hydra-help has Hydra's own options.", "",
        "groups:",
    ]  # fmt: skip
    for group, folder in groups.items():
        options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        lines += textwrap.wrap(f"{group}={options}", 120, initial_indent="  ", subsequent_indent="      ")
    keys = (conf / "train.yaml").read_text().split("\n\n", 1)[1].split("\nhydra:")[0]
    lines += [
        "",
        f"An option's own keys are told in {conf}/GROUP/OPTION.yaml, a study's question in its file.",
        "",
        "keys:",
    ]
    return "\n".join([*lines, *(f"  {line}".rstrip() for line in keys.splitlines())]) + "\n"


def _features(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab features", description="The features that a frozen encoder gave, each image once."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{build,verify,info,prune}")
    root = Path(os.environ.get("BRIDGELAB_DATA", "data")) / "features"
    for action, what in {
        "build": "encode the images of a benchmark that are not there yet",
        "verify": "read every byte, and name what is damaged",
        "info": "what there is",
        "prune": "remove what killed writers left, what is damaged, and rows that stand twice",
    }.items():
        made = actions.add_parser(action, help=what, description=f"{what[0].upper()}{what[1:]}.")
        if action == "build":
            made.add_argument(
                "choices", nargs="*", metavar="key=value",
                help="as for training: benchmark=nlvr vision=miniature data.dtype=float16 data.on_error=skip paths.features=DIR",
            )  # fmt: skip
            made.add_argument(
                "--shard", metavar="I/N", help="the part to begin with, of N processes; on Slurm its task's"
            )
            made.add_argument(
                "--splits", metavar="A,B", help="of the benchmark; those that training reads by default"
            )
        else:
            made.add_argument(
                "--root", type=Path, default=root, metavar="DIR", help=f"of all stores ({root})"
            )
        if action == "prune":
            made.add_argument(
                "--store", action="append", default=[], metavar="NAME", help="one that goes whole"
            )
    given = parser.parse_args(args)
    if given.action == "build":
        _build_features(given.choices, given.shard, given.splits)
        return
    upkeep = importlib.import_module("bridgelab.data.upkeep")
    if given.action == "info":
        there = upkeep.info(given.root)
        if not there:
            print(f"no features in {given.root}")
        for one in there:
            row = "no rows" if one.row is None else f"{one.row[0]} patches of {one.row[1]}"
            left = f", {one.left} files to prune" if one.left else ""
            left += f", {one.foreign} files that do not belong there" if one.foreign else ""
            print(
                f"{one.name}: {one.images:,} images, {row}, {one.shards} files, {one.size / 1e6:,.1f} MB{left}"
            )
    elif given.action == "verify":
        rows, lines, foreign = upkeep.verify(given.root)
        print("\n".join([*lines, *foreign, f"{rows:,} rows read"]))
        if lines:
            raise UsageError(
                f"{len(lines)} of them are damaged. Run `bridgelab features prune`; whatever asks for these images next, a run "
                "or `bridgelab features build`, encodes them again."
            )
        if foreign:
            raise UsageError(
                f"{len(foreign)} files do not belong where they lie. They are never read; move them where they belong, or remove "
                "them."
            )
    else:
        print("\n".join(upkeep.prune(given.root, given.store) or ["nothing to prune"]))


def _build_features(choices: list[str], shard: str | None, splits: str | None) -> None:
    features = importlib.import_module("bridgelab.data.feature_source")
    part = features.part_of(shard, os.environ)
    config = _composed(choices)
    print(features.build_features(config, splits.split(",") if splits else None, part))


def _composed(choices: list[str]) -> Any:
    """The config of a training with these choices; the program's log goes to the terminal from here on."""
    import logging

    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    conf = _conf()
    check_choices(choices, conf)
    _check_keys(choices)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    importlib.import_module("bridgelab.training.main")  # registers what configs call
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = compose("train", choices)
    except HydraException as error:
        raise UsageError(str(error)) from error
    importlib.import_module("bridgelab.config.schema").check_config(config)
    return config


def _pretrain(args: list[str]) -> None:
    models = ("text", "vision")
    if not args or args[0] in ("-h", "--help"):
        print("usage: bridgelab pretrain {text,vision} [key=value ...]")
        print("`bridgelab pretrain text --help` lists the keys.")
        return
    _choose("model to pretrain", args[0], models)
    _hydra_app(f"bridgelab pretrain {args[0]}", f"bridgelab.pretraining.{args[0]}", args[1:])


def _bench(args: list[str]) -> None:
    argparse.ArgumentParser(
        "bridgelab bench", description="How fast the parts are on this machine."
    ).parse_args(args)
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # read as torch is loaded: else its profiler talks between the tables
    importlib.import_module("bridgelab.bench.main").bench()


def _calibrate(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab calibrate",
        description="How often the verdict is wrong: on simulated studies whose truth is known, or on real runs of one bridge, "
        "parted in two (A/A).",
    )
    parser.add_argument(
        "study", type=Path, nargs="?", metavar="STUDY_DIR", help="A/A: for example runs/aa; else simulated"
    )
    given = parser.parse_args(args)
    if given.study:
        importlib.import_module("bridgelab.statistics.aa").aa(_folder(given.study))
    else:
        importlib.import_module("bridgelab.statistics.calibration").calibrate()


def _convert(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab convert",
        description="Carry a bridge's weights between this package and published checkpoints.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="a file: .safetensors, or PyTorch's own")
    parser.add_argument("out", type=Path, metavar="OUT", help="the safetensors file to write")
    way = parser.add_mutually_exclusive_group(required=True)
    formats = "llava, llava_hf, blip2, blip2_hf, instructblip_hf, openflamingo, idefics2"
    way.add_argument("--from", dest="origin", metavar="FORMAT", help=f"IN is published: {formats}")
    way.add_argument(
        "--to", dest="goal", metavar="FORMAT", help="IN is of this package, OUT is to be published's"
    )
    given = parser.parse_args(args)
    convert = importlib.import_module("bridgelab.bridge.convert")
    tensors = convert.read_weights(given.source)
    if given.origin:
        found, dropped = convert.from_published(tensors, given.origin)
        for name, reason in dropped.items():
            print(f"not carried: {name} ({reason})")
    else:
        found = convert.to_published(tensors, given.goal)
    convert.write_weights(found, given.out)
    print(f"{given.out}: {len(found)} tensors, {sum(t.numel() for t in found.values()):,} weights")
    if given.origin:
        print(
            f"Next: bridgelab train bridge=NAME bridge.init_from={given.out}, with train.steps=0 to evaluate it as it is"
        )


def _bridges(args: list[str]) -> None:
    argparse.ArgumentParser(
        "bridgelab bridges", description="The bridges at their sizes for the miniature, as a markdown table."
    ).parse_args(args)
    print(importlib.import_module("bridgelab.training.bridge_table").table())


def _check_bridge(args: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "bridgelab check-bridge", description="Hold a bridge to the contract that every bridge keeps."
    )
    parser.add_argument("bridge", help="my_module.MyBridge, or a name in conf/bridge")
    parser.add_argument(
        "choices", nargs="*", metavar="key=value", help="its keyword arguments, such as num_queries=8"
    )
    given = parser.parse_args(args)
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    conf = Path(os.environ["BRIDGELAB_ROOT"]) / "conf"
    choices = OmegaConf.from_dotlist(given.choices)
    if "." in given.bridge:
        config = OmegaConf.create({"_target_": given.bridge})
    else:
        _choose("bridge", given.bridge, sorted(path.stem for path in (conf / "bridge").glob("*.yaml")))
        with initialize_config_dir(str(conf), version_base="1.3"):
            config = OmegaConf.create(compose(f"bridge/{given.bridge}").bridge)
    kind = importlib.import_module("bridgelab.config.instantiate").target(config, "bridge")
    OmegaConf.set_struct(config, False)
    config.merge_with(choices)
    chosen = {str(key): value for key, value in config.items() if key != "_target_"}
    importlib.import_module("bridgelab.config.instantiate").check_arguments(kind, chosen)
    broken = 0
    for result in importlib.import_module("bridgelab.bridge.check").check(kind, chosen):
        broken += result.problem is not None
        print(f"{'holds ' if result.problem is None else 'BROKEN'}  {result.demand}", flush=True)
        if result.problem:
            print(f"        {result.problem}")
    if broken:
        raise UsageError(f"{given.bridge} breaks {broken} of the contract's demands.")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "world": _world,
    "train": _train,
    "dashboard": _dashboard,
    "features": _features,
    "report": _report,
    "map": _map,
    "plan": _plan,
    "evaluate": _evaluate,
    "answer": _answer,
    "diagnose": _diagnose,
    "convert": _convert,
    "bridges": _bridges,
    "check-bridge": _check_bridge,
    "pretrain": _pretrain,
    "doctor": _doctor,
    "bench": _bench,
    "calibrate": _calibrate,
}


def _hydra_app(program: str, module: str, args: list[str]) -> None:
    """Hand `args` to the Hydra app `module:main`, which reads them from `sys.argv`."""
    check_choices(args, _conf())
    for study in (arg.removeprefix("study=") for arg in args if arg.startswith("study=")):
        # What asks for the folder refuses too (`within_runs`), inside Hydra, which makes a traceback of it.
        if Path(study).is_absolute() or ".." in Path(study).parts:
            raise UsageError(
                f"study={study} leads out of paths.runs: give a name, without '..' and no leading '/'."
            )
    sys.argv = [program, *args]
    # Lightning's ddp starts its other ranks as `python -m <name of __main__'s spec> <sys.argv[1:]>`.
    script = sys.modules["__main__"]
    before, script.__spec__ = script.__spec__, importlib.util.find_spec(module)
    try:
        importlib.import_module(module).main()
    finally:
        script.__spec__ = before


def _conf() -> Path:
    conf = Path(os.environ["BRIDGELAB_ROOT"]) / "conf"
    if not conf.is_dir():
        raise UsageError(
            f"there is no folder {conf}. Configs are read from the checkout: "
            "install it with `pip install -e .`, or set BRIDGELAB_ROOT to it."
        )
    return conf


def _check_grammar(args: Sequence[str]) -> None:
    """Refuse what Hydra's grammar can't read, with the key and as it has to be quoted: its own message has neither.

    Raises:
        UsageError: with the line for a shell.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for arg in args:
        key, equals, value = arg.partition("=")
        if not equals or arg.startswith("-"):
            continue
        try:
            parser.parse_override(arg)
        except HydraException as error:
            whole = str(Path(value).expanduser()) if value.startswith("~") else value
            quoted = shlex.quote(key + '="' + whole.replace('"', '\\"') + '"')
            if value.startswith(("[", "{")):
                quoted = "each text inside so, as in " + shlex.quote(key + '=["A","B"]')
            raise UsageError(
                f"{key}={value} can't be read: text with signs or letters beyond ASCII is quoted, for the shell and for Hydra. "
                f"Write {quoted}"
            ) from error


def _check_keys(args: Sequence[str]) -> None:
    """Refuse a key of training that there is not, before Hydra does so without a suggestion.

    Keys of what a config names by its class, as of a bridge, are left to Hydra: a user's own has others.
    """
    from bridgelab.config.schema import CLASSES, declared, nearest

    known = declared()
    for arg in args:
        match = re.fullmatch(r"([a-z]\w*(?:\.\w+)+)=.*", arg, re.DOTALL)
        if match and match[1].split(".")[0] not in (*CLASSES, "hydra") and match[1] not in known:
            raise UsageError(f"there is no key {match[1]}{nearest(match[1], known)}")


def check_choices(args: Sequence[str], conf: Path) -> None:
    """Refuse `group=name` where `conf/group/` has no such name, before Hydra does so without a suggestion.

    Args:
        args: a Hydra command line. Only plain names and lists of them are looked at.
        conf: the folder of config groups; `experiments/` lies beside it.
    Raises:
        UsageError: with the choices and the nearest one.
    """
    if any(arg.startswith(("--config-dir", "-cd", "--config-path", "-cp")) for arg in args):
        return  # groups may then have options that are not on our disk
    _check_grammar(args)
    for arg in args:
        match = re.fullmatch(r"\+*([a-z][\w/]*)(?:@[\w.]+)?=([\w./-]+(?:,[\w./-]+)*)", arg)
        if not match or match[1].startswith("hydra/"):
            continue
        folder = conf.parent / "experiments" if match[1] == "experiments" else conf / match[1]
        if folder.is_dir():
            options = sorted(
                str(path.relative_to(folder))[: -len(".yaml")] for path in folder.rglob("*.yaml")
            )
            for name in match[2].split(","):
                if name != "null":
                    _choose(match[1], name.removesuffix(".yaml"), options)


def _choose(kind: str, name: str, options: Iterable[str]) -> None:
    options = list(options)
    if name not in options:
        raise UsageError(
            f"{kind} {name!r} is not one of {', '.join(options)}. {_nearest(name, options)}".strip()
        )


def _folder(study: Path) -> Path:
    """A study's folder that is there, or the nearest name."""
    if not study.is_dir():
        others = sorted(str(path) for path in study.parent.glob("*") if path.is_dir())
        raise UsageError(f"there is no folder {study}. {_nearest(str(study), others)}".strip())
    return study


def _nearest(name: str, options: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


if __name__ == "__main__":
    sys.exit(main())
