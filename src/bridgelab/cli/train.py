"""`bridgelab train`: train a bridge, or sweep many."""

import os
import textwrap

from bridgelab.cli.hydra_app import check_choices, check_keys, conf_folder, hydra_app


def run(args: list[str]) -> None:
    """Run the command with what follows its name."""
    if {"-h", "--help"} & set(args):
        print(_train_help(), end="")
        return
    check_choices(args, conf_folder())
    check_keys(args)
    # Of further processes, by Lightning or Slurm: else a file in the working folder is taken for a module of the same name.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app("bridgelab train", "bridgelab.training.main", args)


def _train_help() -> str:
    """What `bridgelab train` takes: groups with their options, studies, launchers, and every key with what it means."""
    conf = conf_folder()
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
