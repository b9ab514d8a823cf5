"""Convert a bridge's weights between this package and published implementations, by tensor name.

The first template of a format that matches renames a tensor, in either direction. A checkpoint's other tensors (the ViT, the
language model) are ignored.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from bridgelab.bridge.fold_moments import WAYS, fold_moments
from bridgelab.bridge.published_formats import FORMATS, Format
from bridgelab.bridge.weights import OPTIONAL, join_names


def from_published(tensors: Mapping[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Rename a published checkpoint's bridge to our names.

    Args:
        tensors: all tensors of the checkpoint, by their names.
        name: name of the format, one of `FORMATS`.
    Returns:
        The bridge's tensors by our names, and the dropped tensors by their names with the reason.
    Raises:
        ValueError: if there is no such format, no bridge, or a tensor of the bridge that the format does not know.
    """
    form = _format(name)
    copies = dict(form.copies)
    converted: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    unknown = []
    for theirs, value in tensors.items():
        reason = next((why for pattern, why in form.dropped if re.fullmatch(pattern, theirs)), None)
        ours = _renamed(theirs, form.templates)
        if reason:
            dropped[theirs] = reason
        elif theirs in copies:
            if copies[theirs] in tensors and not torch.equal(value, tensors[copies[theirs]]):
                raise ValueError(
                    f"{theirs} is not equal to {copies[theirs]}, and this package has one tensor for both. Convert a checkpoint that "
                    "ties them, as the authors' code does."
                )
            dropped[theirs] = f"a copy of {copies[theirs]}"
        elif ours is not None:
            converted[ours] = value
        elif theirs.startswith(form.prefixes):
            unknown.append(theirs)
    if unknown:
        raise ValueError(
            f"{join_names(unknown)} of the checkpoint's bridge are unknown to the format {name!r}. Choose the format that "
            f"names them: {', '.join(FORMATS)}."
        )
    if not converted:
        raise ValueError(
            f"no tensor is named as {name!r} names a bridge's ({', '.join(form.prefixes)}…); the first is "
            f"{next(iter(tensors), 'none')!r}. Choose another format: {', '.join(FORMATS)}."
        )
    if form.text_side:
        return converted, dropped
    last = max((int(n.split(".")[1]) for n in converted if n.startswith("layer.")), default=-1)
    for ours in [n for n in converted if n.startswith(f"layer.{last}.ffn_text.")]:
        dropped[to_published({ours: converted.pop(ours)}, name).popitem()[0]] = "nothing reads its output"
    return converted, dropped


def to_published(
    tensors: Mapping[str, Tensor], name: str, extras: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Rename a bridge of ours to a published format's names.

    A tensor that may keep its initial value (`OPTIONAL`) is left out if the format has no name for it. A run has trained it, so
    the run is refused.

    Args:
        tensors: the bridge's, by our names.
        name: name of the format, one of `FORMATS`.
        extras: what the run that trained it holds besides, see `fold_moments`; None for a bridge that reads patches as they are.
    Raises:
        ValueError: if there is no such format, it has no name for a tensor, or no place for what the run holds besides.
    """
    form = _format(name)
    templates = tuple((ours, theirs) for theirs, ours in form.templates)
    renamed = {ours: _renamed(ours, templates) for ours in tensors if not ours.startswith("text_projection.")}
    absent = (*OPTIONAL, *form.absent)
    unnamed = [ours for ours, theirs in renamed.items() if theirs is None and not ours.startswith(absent)]
    if unnamed:
        raise ValueError(
            f"{join_names(unnamed)} have no name in the format {name!r}: it belongs to another bridge. "
            f"Choose this bridge's format: {', '.join(FORMATS)}."
        )
    if extras is not None:
        if trained := [ours for ours in tensors if renamed.get(ours) is None]:
            raise ValueError(
                f"{join_names(trained)} of the run have no name in the format {name!r}: without them the bridge would be another "
                f"function. {WAYS}"
            )
        tensors = fold_moments(tensors, extras, name)
    published = {theirs: tensors[ours] for ours, theirs in renamed.items() if theirs is not None}
    copied = {copy: published[theirs].clone() for copy, theirs in form.copies if theirs in published}
    return published | copied


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ValueError(f"format={name!r}: must be one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def _renamed(name: str, templates: tuple[tuple[str, str], ...]) -> str | None:
    """Return the name by the first template that matches, or None."""
    for source, target in templates:
        pattern = re.escape(source).replace(r"\{rest\}", "(?P<rest>.+)")
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", pattern)
        match = re.fullmatch(pattern, name)
        if match:
            return target.format(**match.groupdict())
    return None
