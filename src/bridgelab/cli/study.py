"""`bridgelab study --add`: train one more row of a finished or recorded study, and set it beside the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridgelab.atomic import write_bytes
from bridgelab.cli import train
from bridgelab.cli.added_row import added_row
from bridgelab.cli.arguments import Parser, UsageError, folder
from bridgelab.cli.row_checks import check_name, check_own_class, check_start
from bridgelab.config.root import config_root
from bridgelab.launch.sweep_plan import REPORT_FOLLOWS
from bridgelab.printable import shown
from bridgelab.runs.locks import locked
from bridgelab.runs.recorded_study import FROM_SCRATCH, unpack
from bridgelab.runs.repeat_command import RUNS
from bridgelab.runs.sweep import ADDING, KEPT, MULTIRUN


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab study",
        description="Train one more bridge as the bridges of a finished study were trained, for all of the study's seeds, and print the "
        "study's report with it. Runs that are recorded are not trained again.",
        epilog="Example: bridgelab study --add bridge=c_abstractor; your own: --add bridge._target_=my_module.MyBridge",
    )
    parser.add_argument(
        "study", type=Path, nargs="?", default=Path(RUNS) / FROM_SCRATCH, metavar="STUDY_DIR",
        help="the study's folder (default: runs/published, whose bridges are trained from scratch); if it does not exist, its recorded "
        "runs are unpacked from experiments/records",
    )  # fmt: skip
    parser.add_argument(
        "--add", nargs="+", required=True, metavar="KEY=VALUE", help="the bridge: bridge=NAME, further keys of bridge and budget, "
        "and where it is trained, as in hydra/launcher=slurm",
    )  # fmt: skip
    options = parser.parse_args(args)
    if archive := unpack(options.study, config_root()):
        print(f"{options.study} did not exist: its recorded runs were unpacked from {shown(archive)}.")
    study = folder(options.study)
    command = added_row(study, options.add)
    check_name(study, command)
    check_own_class(command)
    if warning := check_start(study, command):
        print(warning)
    os.environ[REPORT_FOLLOWS] = "1"
    with _sweep_kept(study):
        train.run(command)
    from bridgelab.report.write import report

    report(study)


@contextmanager
def _sweep_kept(study: Path) -> Iterator[None]:
    """Copy multirun.yaml to `KEPT`, which readers prefer, because Hydra overwrites it with the added row's sweep; restore it afterwards.

    Raises:
        UsageError: if another process adds a row to the study.
    """
    with locked(study / ADDING, wait=False) as alone:
        if not alone:
            raise UsageError(
                f"{shown(study)} gets a row already, from another bridgelab study --add. Repeat this command when that one is done."
            )
        if not (study / KEPT).exists():  # else one that was killed left it
            write_bytes(study / KEPT, (study / MULTIRUN).read_bytes())
        try:
            yield
        finally:
            write_bytes(study / MULTIRUN, (study / KEPT).read_bytes())
            (study / KEPT).unlink()
