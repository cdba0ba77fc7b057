"""Colours of label values. Knows: a palette, which colours are its own, where they are kept. Does not know: how objects are found.

Viewers show the objects that are in the list, and some hide all others, so a list is written for all objects of a label or for none.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omexp.containers.multiscale import read_meta
from omexp.errors import ArgumentError
from omexp.metadata.versions import revise_image_label
from omexp.storage.groups import Group
from omexp.storage.locks import exclusive

__all__ = ["MOST", "add_colors", "are_ours", "checked", "color_of", "put_colors"]

MOST = 1000  # objects that get colours by themselves: a document of 60 KB
_GOLDEN = 0.6180339887498949


def color_of(label: int) -> tuple[int, int, int, int]:
    """The colour of an object: always the same for an id, far from those of its neighbours in number."""
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1.0, 0.65 + 0.35 * (label * _GOLDEN**2 % 1.0), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue), 255


def are_ours(colors: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every entry is what this module writes: then they may be written anew."""
    known = {"label-value", "rgba"}
    values = [(entry["label-value"], entry["rgba"]) for entry in colors if entry.keys() == known]
    return len(values) == len(colors) and all(type(label) is int and rgba == list(color_of(label)) for label, rgba in values)


def checked(colors: Mapping[int, Sequence[int]], where: str) -> dict[int, tuple[int, ...]]:
    """Colours of three or four integers from 0 to 255 by id, with alpha. Raises `ArgumentError`."""
    found = {}
    for label, color in colors.items():
        values = tuple(color)
        sound = len(values) in (3, 4) and all(isinstance(v, int) and 0 <= v <= 255 for v in values)
        if not sound or not isinstance(label, int):
            raise ArgumentError(
                "a colour cannot be used", where=where, got=f"{label!r}: {color!r}", allowed="id: three or four integers from 0 to 255"
            )
        found[label] = (*values, 255)[:4]
    return found


def add_colors(group: Group, found: Iterable[int]) -> None:
    """Colours for objects that a list of this module's own lacks; nothing is dropped. No list where there would be too many."""
    with exclusive(group):
        block = read_meta(group)[0].image_label
        if block is None or not block.colors or not are_ours(block.colors):
            return
        known = {entry["label-value"] for entry in block.colors}
        ids = known.union(found)
        if ids != known:
            put_colors(group, {i: color_of(i) for i in ids} if len(ids) <= MOST else {})


def put_colors(group: Group, colors: Mapping[int, Sequence[int]]) -> None:
    """Set the colours in a label's document; everything else in it stays. Without any the key goes: an empty list is not allowed."""
    entries = [{"label-value": int(label), "rgba": list(color)} for label, color in sorted(colors.items())]
    with exclusive(group):
        document = group.attributes
        new = revise_image_label(document, group.zarr_format, group.where, colors=entries or None)
        if new != document:
            group.put_attributes(new)
