"""The controls that a claim about architecture needs: the same tokens, or the same parameters, without the architecture.

Two bridges differ in how many tokens they hand over and in how many parameters they train, by nature. That the one leads may be
owed to either. A control is a plain bridge (`PLAIN`: a layer or two on each patch, pooled or not) with the comparator's tokens, or
with its parameters: what leads of it too is not owed to that number.
"""

from bridgelab.analysis.comparison import pairs
from bridgelab.analysis.records import Study

PLAIN = ("linear", "linear_pooled", "mlp", "mlp_pooled")
WITHIN = 0.02  # of the parameters, as `budget.params` gives them


def controls(study: Study, baseline: str) -> list[str]:
    """For each row that the baseline is compared with, a sentence that names its controls in this study, or says that it has none."""
    said = []
    for name, first in pairs(study, baseline).items():
        numbers = {row: _numbers(study, row) for row in study.bridges}
        if None in (*numbers[name], *numbers[first]):
            continue
        plain = [
            row
            for row in study.bridges
            if study.of(row)[0].bridge in PLAIN
            and row not in (name, first)
            and study.of(row)[0].levels == study.of(name)[0].levels
        ]
        tokens = _told(
            "visual tokens", "token-matched", first, name, {row: numbers[row][0] for row in (first, name, *plain)}, 0.0
        )  # fmt: skip
        parameters = _told(
            "parameters", "parameter-matched", first, name, {row: numbers[row][1] for row in (first, name, *plain)}, WITHIN
        )  # fmt: skip
        said.append(f"Architecture, {first} against {name}: {tokens}; {parameters}.")
    return said


def _numbers(study: Study, row: str) -> tuple[int | None, int | None]:
    """Visual tokens and trainable parameters; None where a record does not have them."""
    costs = study.of(row)[0].record["costs"]
    tokens, parameters = costs.get("visual_tokens"), costs.get("trainable_parameters")
    return (None if tokens is None else int(tokens), None if parameters is None else int(parameters))


def _told(what: str, kind: str, first: str, name: str, numbers: dict[str, int | None], within: float) -> str:
    """One number of both, with the rows that match the comparator's where the two differ."""
    one, other = numbers[first], numbers[name]
    assert one is not None
    assert other is not None

    def alike(number: int | None) -> bool:
        return number is not None and abs(number - other) <= within * other

    if alike(one):
        near = "" if one == other else f" and {other:,}, within {100 * within:g} %"
        return f"{what} alike ({one:,}{near})"
    found = [row for row, number in numbers.items() if row not in (first, name) and alike(number)]
    return f"{what} {one:,} and {other:,}, {kind} control: {', '.join(found) or 'none in this study'}"
