"""How many examples of a split are used: limits by kind, spread over all of the split."""

from collections.abc import Mapping, Sequence

from bridgelab.benchmark.example import Example
from bridgelab.data.sampler import stratified_indices


def limit_examples(
    examples: Mapping[str, Sequence[Example]], limit: Mapping[str, int | None], *, whole_groups: bool = False
) -> dict[str, list[Example]]:
    """Return at most `limit` examples of each kind, spread over all, without the kinds of which none are left.

    Args:
        examples: of one split, by kind.
        limit: most captions (`caption`) and most examples of any other kind (`answer`); None for all.
        whole_groups: keep or drop examples that share the tag `group` together, as metrics over groups need.
    """
    kept = {}
    for kind, of_kind in examples.items():
        most = limit.get("caption" if kind == "caption" else "answer")
        if most is None:
            chosen = list(of_kind)
        elif whole_groups and of_kind and all("group" in e.tags for e in of_kind):
            chosen = spread_groups(of_kind, most)
        else:
            chosen = [of_kind[k] for k in stratified_indices(len(of_kind), most)]
        if chosen:
            kept[kind] = chosen
    return kept


def spread_groups(examples: Sequence[Example], most: int) -> list[Example]:
    """Return at most `most` examples in whole groups (tag `group`), spread over all groups.

    Raises:
        ValueError: if not even one group fits.
    """
    groups: dict[str | int, list[Example]] = {}
    for e in examples:
        groups.setdefault(e.tags["group"], []).append(e)
    all_groups = list(groups.values())
    for number in range(min(len(all_groups), -(-most * len(all_groups) // len(examples))), 0, -1):
        chosen = {id(e) for k in stratified_indices(len(all_groups), number) for e in all_groups[k]}
        if len(chosen) <= most:
            return [e for e in examples if id(e) in chosen]
    if most:
        raise ValueError(
            f"evaluate.limit.answer={most} is less than a group, such as the {len(all_groups[0])} examples of "
            f"{next(iter(groups))!r}: groups are scored whole. Raise evaluate.limit.answer."
        )
    return []
