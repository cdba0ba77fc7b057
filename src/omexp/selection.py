"""Selecting by axis name. Knows: NumPy's slice rules, axis names and order. Does not know: arrays, files.

A `Selection` says which pixels of an array are meant, as contiguous boxes to read or write and where each lies in the result.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omexp.errors import ArgumentError, SelectionError
from omexp.geometry import Region

__all__ = ["Arrangement", "Selection", "arrange", "arranged_shape", "inverse", "select"]

_VIRTUAL = ("t", "c", "z", "y", "x")  # axes that every image has, of size 1 where it does not store them


@dataclass(frozen=True, slots=True)
class Selection:
    """Pixels of an array, picked along each axis.

    `picks` holds one sequence of indices per stored axis; `dropped` the axes that an integer removed from the result.
    """

    axes: tuple[str, ...]
    picks: tuple[Sequence[int], ...]
    dropped: frozenset[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape over all stored axes, an integer's axis counting 1."""
        return tuple(len(p) for p in self.picks)

    @property
    def kept(self) -> tuple[str, ...]:
        """The axes of the result, in stored order."""
        return tuple(a for a in self.axes if a not in self.dropped)

    @property
    def kept_shape(self) -> tuple[int, ...]:
        return tuple(len(p) for a, p in zip(self.axes, self.picks, strict=True) if a not in self.dropped)

    @property
    def bounds(self) -> Region:
        """The smallest box that holds every picked pixel."""
        ends = [(p[0], p[-1]) if isinstance(p, range) and p else p for p in self.picks]
        return Region(tuple(min(e, default=0) for e in ends), tuple(max(e, default=-1) + 1 for e in ends))

    @property
    def is_box(self) -> bool:
        """True when the picked pixels are one contiguous box in ascending order."""
        return all(isinstance(p, range) and p.step == 1 for p in self.picks)

    def pieces(self) -> Iterator[tuple[Region, tuple[slice, ...]]]:
        """Contiguous boxes in the array, each with its place in the result (over all stored axes)."""
        if 0 in self.shape:
            return
        for combination in itertools.product(*[list(_runs(p)) for p in self.picks]):
            yield Region(tuple(r[0] for r in combination), tuple(r[1] for r in combination)), tuple(r[2] for r in combination)

    def widened(self) -> tuple[Selection, tuple[slice, ...]]:
        """The selection with steps filled in, and the slices that take the steps again: one read of the span beats one per index."""
        spans = [_span(p) for p in self.picks]
        return Selection(self.axes, tuple(s[0] for s in spans), self.dropped), tuple(s[1] for s in spans)

    def require_distinct(self, where: str) -> None:
        """Raise `SelectionError` if a pixel is picked twice (a write would be ambiguous)."""
        for axis, picked in zip(self.axes, self.picks, strict=True):
            if len(set(picked)) != len(picked):
                raise SelectionError(f"axis {axis!r} names an index twice", where=where, got=list(picked), hint="Write each index once.")


def _span(picked: Sequence[int]) -> tuple[Sequence[int], slice]:
    if not isinstance(picked, range) or picked.step == 1:
        return picked, slice(None)
    if len(picked) == 0:
        return range(0), slice(None)
    return range(min(picked), max(picked) + 1), slice(None, None, picked.step)


def _runs(picked: Sequence[int]) -> Iterator[tuple[int, int, slice]]:
    """(start, stop, place) of each stretch of consecutive indices."""
    if isinstance(picked, range) and picked.step == 1:
        yield picked.start, picked.stop, slice(0, len(picked))
        return
    begin = 0
    for i in range(1, len(picked) + 1):
        if i == len(picked) or picked[i] != picked[i - 1] + 1:
            yield picked[begin], picked[i - 1] + 1, slice(begin, i)
            begin = i


def select(axes: Sequence[str], shape: Sequence[int], slicing: Mapping[str, Any], *, where: str = "array") -> Selection:
    """The selection that axis keywords mean.

    Parameters
    ----------
    axes, shape
        Names and sizes of the stored axes.
    slicing
        Axis name -> None (all), an int (drops the axis; negative counts from the end), a slice (NumPy's rules, negative bounds and
        steps included), or a sequence or 1-D array of ints (keeps the axis, in that order). NumPy integers are ints. An axis of
        t, c, z, y, x that the array does not have is a virtual axis of size 1: None, 0, [0] and slices that hold 0 are allowed.
    where
        Named in error messages.

    Raises
    ------
    SelectionError
        An index out of range, a value of another kind, or an axis that the array has not.
    """
    axes = tuple(axes)
    picks: dict[str, Sequence[int]] = {}
    dropped = set()
    for axis, value in slicing.items():
        if axis in axes:
            picks[axis], is_int = _pick(value, shape[axes.index(axis)], axis, where)
            if is_int:
                dropped.add(axis)
        elif axis in _VIRTUAL:
            if list(_pick(value, 1, axis, f"{where} (no axis {axis!r}, so its size is 1)")[0]) != [0]:
                raise SelectionError(f"there is no axis {axis!r}", where=where, got=f"{axis}={value!r}", allowed=f"axes {', '.join(axes)}")
        else:
            raise SelectionError(f"there is no axis {axis!r}", where=where, got=f"{axis}={value!r}", allowed=f"axes {', '.join(axes)}")
    return Selection(axes, tuple(picks.get(a, range(n)) for a, n in zip(axes, shape, strict=True)), frozenset(dropped))


def _pick(value: Any, size: int, axis: str, where: str) -> tuple[Sequence[int], bool]:
    if value is None:
        return range(size), False
    if isinstance(value, slice):
        return _sliced(value, size, axis, where), False
    if isinstance(value, str) or type(value).__name__ in ("bool", "bool_"):
        raise SelectionError(
            f"axis {axis!r} cannot be indexed with that", where=where, got=repr(value), allowed="int, slice, list of ints, None"
        )
    index = _as_int(value)
    if index is not None:
        checked = _in_range(index, size, axis, where)
        return range(checked, checked + 1), True
    try:
        indices = [_as_int(v) for v in value]
    except TypeError:
        indices = [None]
    if any(i is None for i in indices) or any(type(v).__name__ in ("bool", "bool_") for v in value):
        raise SelectionError(
            f"axis {axis!r} cannot be indexed with that", where=where, got=repr(value), allowed="int, slice, list of ints, None"
        )
    checked_all = [_in_range(i, size, axis, where) for i in indices if i is not None]
    if checked_all and checked_all == list(range(checked_all[0], checked_all[0] + len(checked_all))):
        return range(checked_all[0], checked_all[0] + len(checked_all)), False
    return checked_all, False


def _sliced(value: slice, size: int, axis: str, where: str) -> range:
    try:
        return range(*value.indices(size))
    except (TypeError, ValueError) as error:
        raise SelectionError(
            f"axis {axis!r} cannot be sliced with that ({error})",
            where=where,
            got=repr(value),
            allowed="integer bounds",
            hint="Physical coordinates go into a Roi.",
        ) from None


def _as_int(value: Any) -> int | None:
    try:
        return operator.index(value)
    except TypeError:
        return None


def _in_range(index: int, size: int, axis: str, where: str) -> int:
    if not -size <= index < size:
        raise SelectionError(f"index {index} is outside axis {axis!r}", where=where, got=index, allowed=f"{-size} to {size - 1}")
    return index % size


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How stored axes become the caller's: permutation of the kept axes and where size-1 axes go in.

    `order` permutes all stored axes (listed ones first, then the size-1 rest); `names` are the axes of the result.
    """

    order: tuple[int, ...]
    names: tuple[str, ...]


def arrange(selection: Selection, axes_order: Sequence[str] | None, *, where: str = "array") -> Arrangement:
    """The arrangement that `axes_order` means for a selection.

    None: the kept axes in stored order. Else any sequence of names: listed axes in that order; those of t, c, z, y, x that the array has
    not, and those that an integer dropped, come in with size 1; axes not listed must have size 1 in the selection.

    Raises
    ------
    ArgumentError
        A name twice, a name that is no axis, or an axis left out whose size is not 1.
    """
    if not isinstance(axes_order, Iterable | None):
        raise ArgumentError("axes_order is not understood", where=where, got=repr(axes_order), allowed="axis names, such as 'zyx'")
    names = tuple(selection.kept if axes_order is None else axes_order)
    if len(set(names)) != len(names):
        raise ArgumentError(
            "axes_order names an axis twice",
            where=where,
            got=", ".join(map(str, names)),
            allowed=f"each of {', '.join(selection.axes)} once",
        )
    unknown = [n for n in names if n not in selection.axes and n not in _VIRTUAL]
    if unknown:
        raise ArgumentError(
            "axes_order names an axis that is not there",
            where=where,
            got=", ".join(map(str, unknown)),
            allowed=", ".join(dict.fromkeys((*selection.axes, *_VIRTUAL))),
        )
    left_out = [a for a, p in zip(selection.axes, selection.picks, strict=True) if a not in names and len(p) != 1]
    if left_out:
        raise ArgumentError(
            "axes_order leaves out an axis that is not of size 1",
            where=where,
            got=f"axes_order {', '.join(names)}; left out {', '.join(left_out)}",
            allowed=f"all of {', '.join(selection.kept)}",
            hint="Select one index along it, for example c=0.",
        )
    present = tuple(selection.axes.index(n) for n in names if n in selection.axes)
    rest = tuple(i for i in range(len(selection.axes)) if i not in present)
    return Arrangement(present + rest, names)


def arranged_shape(selection: Selection, arrangement: Arrangement) -> tuple[int, ...]:
    """The shape that the caller sees."""
    sizes = dict(zip(selection.axes, selection.shape, strict=True))
    return tuple(sizes.get(n, 1) for n in arrangement.names)


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `order`."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))
