"""`bridgelab train`: train a bridge, or all runs of a study."""

import os
import textwrap

from bridgelab.cli.hydra_app import check_choices, check_keys, conf_folder, hydra_app


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    if {"-h", "--help"} & set(args):
        print(_train_help(), end="")
        return
    check_choices(args, conf_folder())
    check_keys(args)
    # For processes that Lightning or Slurm start: otherwise a file in the working folder would be imported as a module.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "SLURM_JOB_ID" in os.environ:
        from bridgelab.launch.slurm import requeue_when_warned

        requeue_when_warned()
    hydra_app("bridgelab train", "bridgelab.training.main", args)


def _train_help() -> str:
    """Return the help: groups with their options, studies, launchers, and every key with its meaning."""
    conf = conf_folder()
    folders = {path.name: path for path in sorted(conf.iterdir()) if path.is_dir()}
    groups = {name: path for name, path in folders.items() if name not in ("hydra", "pretrain")}
    groups |= {"experiments": conf.parent / "experiments", "hydra/launcher": conf / "hydra" / "launcher"}
    lines = [
        "usage: bridgelab train [-m] [GROUP=OPTION ...] [KEY=VALUE ...]", "",
        "Train one run; with -m one run per combination of values given as A,B,C. The same command continues an interrupted run.",
        "--cfg job prints the config without training; --hydra-help lists Hydra's own options.", "",
        "groups:",
    ]  # fmt: skip
    for group, folder in groups.items():
        options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        lines += textwrap.wrap(f"{group}={options}", 120, initial_indent="  ", subsequent_indent="      ")
    keys = (conf / "train.yaml").read_text().split("\n\n", 1)[1].split("\nhydra:")[0]
    lines += [
        "",
        f"{conf}/GROUP/OPTION.yaml describes an option's own keys, experiments/STUDY.yaml a study.",
        "",
        "keys:",
    ]
    return "\n".join([*lines, *(f"  {line}".rstrip() for line in keys.splitlines())]) + "\n"
