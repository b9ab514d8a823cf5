"""What a reader must know about the runs of one study in particular, as sentences."""

from collections.abc import Mapping, Sequence

from bridgelab.report.row import ALL, Row
from bridgelab.runs.rate_choice import RateChoice
from bridgelab.runs.study import Run, Study


def at_the_floor(rows: Sequence[Row], blind: Mapping[str, Row | None]) -> list[str]:
    """Name the bridges whose accuracy over all questions is not shown to exceed that of the blind floor.

    Args:
        rows: of the study.
        blind: the floor of each bridge; None without one.
    """
    near = [
        row.name
        for row in rows
        if row.role == "bridge"
        and row.accuracy
        and (floor := blind[row.name])
        and (row.accuracy[ALL] - floor.accuracy[ALL]).interval[0] <= 0
    ]
    if not near:
        return []
    return [
        "Not shown to be better than the blind floor over all questions (the 95 % interval of the difference includes 0): "
        f"{', '.join(near)}. If such a bridge counts as converged, it may not have begun to learn."
    ]


def caveats(study: Study) -> list[str]:
    """Return sentences on allowed differences, conditioning, sizes, inserts, adapters, scope, single seeds, rates and commits."""
    first = {bridge: study.of(bridge)[0] for bridge in study.bridges}
    return [
        *allowed_differences(study),
        *_on_conditioning(first),
        *_on_sizes(first),
        *_on_inserts(first),
        *_on_adapters(study, first),
        *_on_scope(study),
        *_on_single_seeds(study, first),
        *_on_learning_rates(study, first),
        *_on_commits(study),
    ]


def allowed_differences(study: Study) -> list[str]:
    """Return a sentence for each key in which the runs differ and were allowed to."""
    return [f"Differs between the runs above, and was allowed to: {one}." for one in study.allowed]


def _on_conditioning(first: Mapping[str, Run]) -> list[str]:
    conditioning = {run.record.get("conditioning", "none") for run in first.values() if run.sees == "image"}
    if "question" not in conditioning:
        return ["No bridge is conditioned on the question: each sees the image alone."]
    if "mismatched" not in conditioning:
        return [
            "Bridges that are conditioned on the question have further parameters to read it. Whether a gain comes from the question or "
            "from these parameters is not shown: the control, which is conditioned on another example's question, is not in this study."
        ]
    return []


def _on_sizes(first: Mapping[str, Run]) -> list[str]:
    sizes = {
        (run.record["costs"].get("visual_tokens"), run.bridge_parameters)
        for run in first.values()
        if run.sees == "image"
    }
    if len(sizes) <= 1:
        return []
    return [
        "The bridges differ in visual tokens and parameters, so a difference between them is not one of "
        "architecture alone."
    ]


def _on_inserts(first: Mapping[str, Run]) -> list[str]:
    """Say which rows' tokens enter the T5 elsewhere than those of others, unless the study varies that as a factor."""
    rows: dict[str, list[str]] = {}
    for row, run in first.items():
        if run.sees == "image" and "model.insert" not in run.levels:
            rows.setdefault(str(run.record.get("insert", "")), []).append(row)
    if len(rows) < 2:
        return []
    places = "; ".join(f"{insert} in {', '.join(names)}" for insert, names in rows.items())
    return [
        f"Tokens enter the T5 in different places: {places}. A difference between such rows is one of bridge and place together, and "
        "blocks of cross-attention count among the row's parameters."
    ]


def _on_adapters(study: Study, first: Mapping[str, Run]) -> list[str]:
    """Say which rows train an adapter of the T5, and which bridges have no floor with the same one."""
    adapted: dict[tuple[str, int], list[str]] = {}
    for row, run in first.items():
        if (kind := str(run.record.get("adapt", "none"))) != "none":
            adapted.setdefault((kind, run.adapter_parameters), []).append(row)
    if not adapted:
        return []
    names = {"prompt": "a soft prompt", "lora": "LoRA"}
    sentences = [
        f"Beside the bridge, {names.get(kind, kind)} with {parameters:,} parameters is trained in {'; '.join(rows)}. The row's parameters "
        "include them. The T5's own weights stay frozen."
        for (kind, parameters), rows in adapted.items()
    ]
    lacking = [
        row for row, run in first.items() if run.sees == "image" and not study.counterpart(row, "blind")
    ]
    if lacking:
        sentences.append(
            f"No blind floor with the same text.adapt: {'; '.join(lacking)}. What such a T5 answers without the image is not known, so "
            "their gap closed is not given. Train bridge=blind with the same text.adapt."
        )
    return sentences


def _on_scope(study: Study) -> list[str]:
    """Say over what the intervals and the verdict generalize: what varied between runs, and what did not."""
    trained = [run for run in study.runs if run.trains]
    if not trained:
        return []
    inits, orders = {run.seed for run in trained}, {run.data_seed for run in trained}
    if len(inits) == len(orders) == 1:
        return [
            "These results are of one init and one order of examples of each bridge: they generalize to other images of this kind alone. "
            "Train more seeds to compare bridges."
        ]
    if len(orders) == 1:
        varied = "other inits, with the same order of examples in every run,"
    elif len({(run.seed, run.data_seed) for run in trained}) == len(inits):
        varied = "other inits and orders of examples, which vary together,"
    else:  # runs of one order are averaged, so what the inits add to the spread is in no interval
        same = "init in every run" if len(inits) == 1 else "inits in several orders"
        varied = f"other orders of examples, with the same {same},"
    return [
        f"These results generalize to {varied} and to other images of this kind. They do not generalize to another training set, "
        "another search for the learning rates, or other frozen models: each of these is one."
    ]


def _on_single_seeds(study: Study, first: Mapping[str, Run]) -> list[str]:
    single = [bridge for bridge, run in first.items() if len(study.of(bridge)) == 1 and run.trains]
    return [f"One seed only, so the interval covers images alone: {', '.join(single)}."] if single else []


def _on_learning_rates(study: Study, first: Mapping[str, Run]) -> list[str]:
    """Return a sentence on the rates that were given, and one for each grid that was searched."""
    # The rates of each row, by the grid that was searched; the grid of given rates is empty.
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for bridge, run in first.items():
        rates = sorted({f"{one.record['lr']:g}" for one in study.of(bridge) if one.record.get("lr")})
        if rates and run.trains and run.record["tuned_over"]:
            groups.setdefault(_grid(run), {})[bridge] = f"{bridge} {'/'.join(rates)}"
    if not groups:
        return []
    if study.rates:
        return [_on_swept_rates(study.rates, study.runs[0].curve_of)]
    rate = "Learning rate of each bridge" if len(groups) == 1 else "Learning rate"
    return [
        f"{rate}, searched over {', '.join(grid)}, and beyond while the best was at an end: "
        f"{', '.join(chosen.values())}.{_on_half_of_the_search({row: first[row] for row in chosen})}"
        if grid
        else f"{rate}, given and not searched for: {', '.join(chosen.values())}."
        for grid, chosen in groups.items()
    ]


def _grid(run: Run) -> tuple[str, ...]:
    """Return the rates that a run's search began with; none if its rate was given."""
    rates = run.record["tuned_over"]
    if len(rates) == 1 and not (run.record.get("tuning") or {}).get("trials"):
        return ()
    return tuple(f"{rate:g}" if isinstance(rate, float) else str(rate) for rate in rates)


def _on_swept_rates(choices: Sequence[RateChoice], curve_of: str) -> str:
    """Say which rates were chosen among which, and whether some bridges had more rates than others to choose from."""
    chosen = [f"{one.row} {one.chosen} of {', '.join(one.accuracies)}" for one in choices]
    uneven = len({len(one.accuracies) for one in choices}) > 1
    more = " A bridge with more rates was searched more thoroughly than the others." if uneven else ""
    return (
        f"Learning rate of each bridge, chosen among whole runs by the mean validation {curve_of} of their seeds: "
        f"{'; '.join(chosen)}.{more}"
    )


def _on_half_of_the_search(first: Mapping[str, Run]) -> str:
    """Say whether half of the search's steps would have chosen the same rates; empty if that was not recorded."""
    searched, other = False, []
    for bridge, run in first.items():
        search = run.record.get("tuning") or {}
        losses, half_losses = (dict(search.get(key) or {}) for key in ("trials", "at_half"))
        if not (half_losses and losses):
            continue
        searched = True
        if min(half_losses, key=half_losses.__getitem__) != min(losses, key=losses.__getitem__):
            other.append(bridge)
    if not searched:
        return ""
    rates = f"another rate for {', '.join(other)}" if other else "the same rate for each"
    return f" With half of its steps the search would have chosen {rates}: a hint at how well the choice carries over to longer runs."


def _on_commits(study: Study) -> list[str]:
    attempts = (one for run in study.runs for one in (run.record, *run.record.get("attempts", ())))
    commits = sorted({str(one["git_sha"]) for one in attempts if one.get("git_sha")})
    if len(commits) <= 1:
        return []
    return [f"The records come from {len(commits)} commits: {', '.join(commit[:8] for commit in commits)}."]
