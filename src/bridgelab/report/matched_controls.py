"""Controls for claims about architecture: a plain bridge with the same number of tokens, or of parameters.

Bridges differ in how many tokens they output and how many parameters they train. Either number may explain why one of them leads. A
control is a plain bridge (`PLAIN`: one or two layers on each patch, pooled or not) with the comparator's tokens or with its
parameters: a lead over the control as well is not explained by that number.
"""

from bridgelab.runs.run import Run
from bridgelab.runs.study import Study
from bridgelab.statistics.verdict import rows_to_compare

PLAIN = ("linear", "linear_pooled", "mlp", "mlp_pooled")
TOLERANCE = 0.02  # of the parameters, as `budget.params` matches them
QUANTITIES = (("visual tokens", "token-matched", 0.0), ("parameters", "parameter-matched", TOLERANCE))


def controls(study: Study, baseline: str) -> list[str]:
    """Return a sentence per comparator that names its controls in this study, or says that there is none."""
    compared = rows_to_compare(study, baseline)
    first_run = {row: study.of(row)[0] for row in study.bridges}
    sizes = {row: _sizes(run) for row, run in first_run.items()}
    bridges = dict.fromkeys(run.bridge for run in first_run.values())
    rows_of: dict[tuple[str, str, str], list[str]] = {}  # by baseline, comparator and sentence
    for name, first in compared.items():
        if None in (*sizes[name], *sizes[first]):
            continue
        plain = {
            bridge: sizes[row]
            for bridge in bridges
            if bridge in PLAIN and (row := study.counterpart(name, bridge)) and row not in (name, first)
        }
        text = "; ".join(
            _sentence(
                what,
                kind,
                sizes[first][k],
                sizes[name][k],
                {b: size[k] for b, size in plain.items()},
                tolerance,
            )
            for k, (what, kind, tolerance) in enumerate(QUANTITIES)
        )
        rows_of.setdefault((first_run[first].bridge, first_run[name].bridge, text), []).append(name)
    sentences = []
    for (first, bridge, text), rows in rows_of.items():
        # Name the bridge once if the same holds at all levels of what else is swept.
        all_levels = [name for name in compared if first_run[name].bridge == bridge]
        comparator = bridge if rows == all_levels else " and ".join(rows)
        sentences.append(f"Architecture, {first} against {comparator}: {text}.")
    return sentences


def _sizes(run: Run) -> tuple[int | None, int | None]:
    """Return visual tokens and the bridge's trainable parameters; None where the record lacks them."""
    tokens = run.record["costs"].get("visual_tokens")
    return (None if tokens is None else int(tokens), run.bridge_parameters)


def _sentence(
    what: str,
    kind: str,
    baseline: int | None,
    comparator: int | None,
    plain: dict[str, int | None],
    tolerance: float,
) -> str:
    """Compare one size of two bridges, and name the plain bridges that match the comparator's if it differs."""
    assert baseline is not None
    assert comparator is not None

    def matches(size: int | None) -> bool:
        return size is not None and abs(size - comparator) <= tolerance * comparator

    if matches(baseline):
        other = "" if baseline == comparator else f" and {comparator:,}, within {100 * tolerance:g} %"
        return f"{what} alike ({baseline:,}{other})"
    matching = [bridge for bridge, size in plain.items() if matches(size)]
    return f"{what} {baseline:,} and {comparator:,}, {kind} control: {', '.join(matching) or 'none in this study'}"
