"""The rows and seeds of a sweep, and its jobs' short names, from the names of its jobs. Free of torch."""

from collections.abc import Mapping, Sequence

from bridgelab.runs.run_name import OWN, bridge_of, overrides

SEEDS = ("seed", "data_seed")
CHOSEN = ("bridge", OWN)


def rows_and_seeds(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the row and the seed of each job: {'bridge=mlp,seed=1': ('mlp', '1')}.

    A row is named as in the report: by its bridge, or the user-defined class, and by whatever else differs between the bridge's jobs.

    Args:
        names: of all jobs of a sweep.
    """
    places = {}
    for name, values in _distinct(names).items():
        levels = [f"{key}={value}" for key, value in values.items() if key not in (*CHOSEN, *SEEDS)]
        row = ", ".join([*filter(None, [bridge_of(name)]), *levels])
        places[name] = row or name, " ".join(values[key] for key in SEEDS if key in values)
    return places


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return what to print for each job: its name, but 'bridge=mine.Bridge,seed=0' for a user-defined class with its arguments.

    Args:
        names: of all jobs of a sweep.
    """
    short = {}
    for name, values in _distinct(names).items():
        rest = [f"{key}={value}" for key, value in values.items() if key not in CHOSEN]
        short[name] = ",".join([f"bridge={bridge_of(name)}", *rest]) if OWN in values else name
    return short if len(set(short.values())) == len(short) else dict(zip(names, names, strict=True))


def _distinct(names: Sequence[str]) -> Mapping[str, dict[str, str]]:
    """Return the keys and values of each job: the bridge, the seeds, and those that differ between the jobs of its bridge."""
    given = {name: overrides(name) for name in names}
    alike: dict[str, list[dict[str, str]]] = {}
    for name, values in given.items():
        alike.setdefault(bridge_of(name), []).append(values)
    return {
        name: {
            key: value
            for key, value in values.items()
            if key in (*CHOSEN, *SEEDS) or len({other.get(key) for other in alike[bridge_of(name)]}) > 1
        }
        for name, values in given.items()
    }
