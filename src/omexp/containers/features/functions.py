"""A user's own functions of objects. Knows: boxes of objects, crops, columns. Does not know: tables, how boxes were found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from numbers import Real
from typing import Any

from omexp.backend import Array, backend_of, to_host
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, BackendMismatchError
from omexp.geometry import Region
from omexp.storage.workers import run_in_order

__all__ = ["ObjectFunction", "function_columns"]

ObjectFunction = Callable[[Array, Any], Any]
_WIDE = 4  # times the pixels of a block: objects of a block whose common box is larger are read one by one


@dataclass(frozen=True, slots=True)
class _Object:
    label: int
    box: Region


def function_columns(
    functions: Mapping[str, ObjectFunction],
    labels: BoxReader,
    images: Sequence[BoxReader],
    ids: Sequence[int],
    boxes: Sequence[Region],
    block: Sequence[int],
    workers: int,
) -> dict[str, list[Any]]:
    """The columns that the functions give, one row per id, in the order of the ids.

    Objects whose boxes begin in one block are read together: each pixel of label and image once, but for what juts out of the block. Memory
    is one such reading per worker.

    Parameters
    ----------
    functions
        Name -> ``function(mask, pixels)``: a bool array over the object's box, and the pixels of the box with the channels last, or None
        without images. It gives a number, or a mapping of names to numbers (columns ``name_key``). Called from `workers` threads.
    labels, images
        Readers over the same axes.

    Raises
    ------
    ArgumentError
        A function gives something else. What a function itself raises comes with a note that names the object.
    """
    objects = [_Object(label, box) for label, box in zip(ids, boxes, strict=True)]

    def of(group: list[_Object]) -> list[tuple[int, dict[str, Any]]]:
        with labels.backend.active():
            return [(found.label, _values(functions, found, *crops)) for found, crops in _crops(labels, images, group)]

    rows = dict(itertools.chain.from_iterable(run_in_order(of, _groups(objects, block), workers)))
    names = dict.fromkeys(name for label in ids for name in rows[label]) if ids else functions
    return {name: [rows[label].get(name, math.nan) for label in ids] for name in names}


def _groups(objects: Sequence[_Object], block: Sequence[int]) -> Iterator[list[_Object]]:
    """Objects that are read together, in the order of the blocks."""

    def index(found: _Object) -> tuple[int, ...]:
        return tuple(a // n for a, n in zip(found.box.start, block, strict=True))

    for _, group in itertools.groupby(sorted(objects, key=index), key=index):
        members = list(group)
        if _union(members).size > _WIDE * math.prod(block):
            yield from ([member] for member in members)
        else:
            yield members


def _union(group: Sequence[_Object]) -> Region:
    return reduce(Region.union, (member.box for member in group))


def _crops(labels: BoxReader, images: Sequence[BoxReader], group: list[_Object]) -> Iterator[tuple[_Object, tuple[Array, Any]]]:
    region = _union(group)
    ids = labels.read(region)
    xp = labels.backend.xp
    pixels = xp.stack([image.read(region) for image in images], axis=-1) if images else None
    for member in group:
        where = member.box.relative_to(region).slices
        yield member, (ids[where] == member.label, None if pixels is None else pixels[(*where, slice(None))])


def _values(functions: Mapping[str, ObjectFunction], found: _Object, mask: Array, pixels: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, function in functions.items():
        try:
            given = function(mask, pixels)
        except Exception as error:
            error.add_note(f"functions[{name!r}], object {found.label}")
            raise
        named = {f"{name}_{key}": value for key, value in given.items()} if isinstance(given, Mapping) else {name: given}
        values |= {key: _number(value, key, found.label) for key, value in named.items()}
    return values


def _number(value: Any, name: str, label: int) -> Any:
    if isinstance(value, Real):
        return value
    try:
        if backend_of(value) and math.prod(value.shape) == 1:
            return to_host(value).item()
    except BackendMismatchError:
        pass
    raise ArgumentError(
        "a function of an object must give a number, or names and numbers",
        where=f"functions[{name!r}], object {label}",
        got=type(value).__name__,
        hint="Reduce arrays to one number each.",
    )
