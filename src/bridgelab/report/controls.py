"""The controls that a claim about architecture needs: the same tokens, or the same parameters, without the architecture.

Two bridges differ in how many tokens they hand over and in how many parameters they train, by nature. That the one leads may be
owed to either. A control is a plain bridge (`PLAIN`: a layer or two on each patch, pooled or not) with the comparator's tokens, or
with its parameters: what leads of it too is not owed to that number.
"""

from bridgelab.runs.finished_run import Run
from bridgelab.runs.study import Study
from bridgelab.statistics.comparison import rows_to_compare

PLAIN = ("linear", "linear_pooled", "mlp", "mlp_pooled")
WITHIN = 0.02  # of the parameters, as `budget.params` gives them


def controls(study: Study, baseline: str) -> list[str]:
    """For each row that the baseline is compared with, a sentence that names its controls in this study, or says that it has none."""
    beside = rows_to_compare(study, baseline)
    first_of = {row: study.of(row)[0] for row in study.bridges}
    numbers = {row: _numbers(run) for row, run in first_of.items()}
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, first in beside.items():
        if None in (*numbers[name], *numbers[first]):
            continue
        plain = {
            run.bridge: row
            for row, run in first_of.items()
            if run.bridge in PLAIN and row not in (name, first) and run.levels == first_of[name].levels
        }
        told = "; ".join(
            _told(
                what,
                kind,
                numbers[first][k],
                numbers[name][k],
                {bridge: numbers[row][k] for bridge, row in plain.items()},
                near,
            )
            for k, (what, kind, near) in enumerate(
                (("visual tokens", "token-matched", 0.0), ("parameters", "parameter-matched", WITHIN))
            )
        )
        found.setdefault((first_of[first].bridge, first_of[name].bridge, told), []).append(name)
    said = []
    for (first, bridge, told), rows in found.items():
        # Where all levels of what is swept beside bridges say the same, it is said once.
        every = [name for name in beside if first_of[name].bridge == bridge]
        against = bridge if rows == every else " and ".join(rows)
        said.append(f"Architecture, {first} against {against}: {told}.")
    return said


def _numbers(run: Run) -> tuple[int | None, int | None]:
    """Visual tokens and trainable parameters; None where a record does not have them."""
    costs = run.record["costs"]
    tokens, parameters = costs.get("visual_tokens"), costs.get("trainable_parameters")
    return (None if tokens is None else int(tokens), None if parameters is None else int(parameters))


def _told(
    what: str, kind: str, one: int | None, other: int | None, plain: dict[str, int | None], within: float
) -> str:
    """One number of both, with the plain bridges that match the comparator's where the two differ."""
    assert one is not None
    assert other is not None

    def alike(number: int | None) -> bool:
        return number is not None and abs(number - other) <= within * other

    if alike(one):
        near = "" if one == other else f" and {other:,}, within {100 * within:g} %"
        return f"{what} alike ({one:,}{near})"
    found = [bridge for bridge, number in plain.items() if alike(number)]
    return f"{what} {one:,} and {other:,}, {kind} control: {', '.join(found) or 'none in this study'}"
