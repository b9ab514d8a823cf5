"""`bridgelab calibrate`: measure how often the verdict is wrong."""

from pathlib import Path

from bridgelab.cli.arguments import Parser, folder


def run(args: list[str]) -> None:
    """Run the command with the arguments that follow its name."""
    parser = Parser(
        "bridgelab calibrate",
        description="Measure how often the verdict is wrong: on simulated studies with known truth, or, given a study, between two "
        "halves of each bridge's runs, which do not differ (A/A test).",
    )
    parser.add_argument(
        "study",
        type=Path,
        nargs="?",
        metavar="STUDY_DIR",
        help="a finished study, such as runs/aa, for the A/A test",
    )
    options = parser.parse_args(args)
    if options.study:
        split_seeds(folder(options.study))
    else:
        simulate()


def split_seeds(study_dir: Path) -> None:
    """Print the A/A splits of each trained bridge of a study."""
    from bridgelab.report.tables.calibration import splits_table
    from bridgelab.runs.study import read_study
    from bridgelab.statistics.calibration.aa import judge_all_splits
    from bridgelab.statistics.declaration import declaration

    study = read_study(study_dir)
    _print(splits_table(study.name, declaration(study).delta, judge_all_splits(study)))


def simulate() -> None:
    """Simulate studies, and print error rates and how far promises are kept."""
    from rich.progress import track

    from bridgelab.report.tables.calibration import (
        error_rate_tables,
        promised_power_table,
        promised_seeds_table,
    )
    from bridgelab.statistics.calibration import error_rates, promised_power, promised_seeds
    from bridgelab.statistics.calibration.simulation import SEEDS, STUDIES

    rates = [
        (case, error_rates.error_rates(case, studies=STUDIES))
        for case in track(error_rates.cases(), description="simulating", transient=True)
    ]
    planned = [(scenario, seeds) for scenario in promised_power.PLANNED for seeds in SEEDS]
    powers = [
        (
            scenario.name,
            seeds,
            promised_power.promised_power(scenario, seeds=seeds, studies=STUDIES),
        )
        for scenario, seeds in track(planned, description="simulating plans", transient=True)
    ]
    settled = [
        (scenario.name, difference, promised_seeds.promised_seeds(scenario, difference=difference))
        for scenario, difference in track(
            promised_seeds.ADVISED, description="simulating what would settle", transient=True
        )
    ]
    _print(
        *error_rate_tables(rates, STUDIES),
        promised_power_table(powers, STUDIES),
        promised_seeds_table(settled),
    )


def _print(*tables: object) -> None:
    from bridgelab.console import get_console

    console = get_console()
    for table in tables:
        console.print(table)
