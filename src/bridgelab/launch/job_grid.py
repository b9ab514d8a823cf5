"""The rows and seeds of a sweep, from the names of its jobs. Free of torch."""

from collections.abc import Sequence

from bridgelab.runs.sweep import overrides

SEEDS = ("seed", "data_seed")


def rows_and_seeds(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the row and the seed of each job: {'bridge=mlp,seed=1': ('mlp', '1')}.

    A row is named by its bridge and by whatever else differs between the jobs.

    Args:
        names: of all jobs of a sweep.
    """
    given = {name: overrides(name) for name in names}
    same = {key for key in set().union(*given.values()) if len({one.get(key) for one in given.values()}) == 1}
    places = {}
    for name, values in given.items():
        levels = [
            value if key == "bridge" else f"{key}={value}"
            for key, value in values.items()
            if key == "bridge" or key not in (*SEEDS, *same)
        ]
        places[name] = ", ".join(levels) or name, " ".join(values[key] for key in SEEDS if key in values)
    return places
