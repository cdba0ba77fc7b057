"""Stretches of 1-D arrays folded in one fixed order. Knows: segments, folds, groups of equal ids. Does not know: images, boxes.

A fold pairs neighbours by their position in their own segment, (0, 1), (2, 3), ..., then pairs the results, until one is left:
log2(longest) passes. The order depends on nothing but the segment's own length, so a float sum has the same bits on every backend,
whichever segments stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Literal

from omexp.backend import Array, Backend, backend_of, dtype_of, native

Columns = dict[str, Array]  # equally long 1-D arrays: a table
Fold = Literal["add", "minimum", "maximum"]

__all__ = ["Columns", "Fold", "Segments", "distances", "fold_columns", "fold_segments", "group_equal", "heads_of", "spread_segments"]


class Segments:
    """Consecutive stretches of a 1-D array, each at least one element long.

    Parameters
    ----------
    heads
        (n,) bool: True at the first element of each segment; ``heads[0]`` is True.

    Examples
    --------
    >>> import numpy
    >>> segments = Segments(numpy.array([True, False, True]))
    >>> segments.starts.tolist(), segments.lengths.tolist(), segments.index.tolist()
    ([0, 2], [2, 1], [0, 0, 1])
    """

    def __init__(self, heads: Array) -> None:
        self.heads = heads
        self.backend: Backend = backend_of(heads)
        self.size: int = heads.shape[0]

    @cached_property
    def starts(self) -> Array:
        """(m,) int64: the first element of each segment."""
        return self.backend.xp.nonzero(self.heads)[0]

    @cached_property
    def lengths(self) -> Array:
        """(m,) int64: the number of elements of each segment."""
        return distances(self.starts, self.size)

    @cached_property
    def index(self) -> Array:
        """(n,) int64: the segment of each element."""
        xp = self.backend.xp
        return xp.cumulative_sum(xp.astype(self.heads, self.backend.dtype("int64"))) - 1

    @cached_property
    def passes(self) -> tuple[tuple[Array, Array], ...]:
        """For each pass of a fold: the elements that stay, and which of them take in their right neighbour."""
        return tuple(self._passes())

    def _passes(self) -> Iterator[tuple[Array, Array]]:
        xp = self.backend.xp
        position = self.backend.arange(self.size) - xp.take(self.starts, self.index)
        no_neighbour = self.backend.full((1,), False, "bool")
        while position.shape[0] > self.starts.shape[0]:
            odd = (position & 1) == 1
            left = xp.nonzero(xp.logical_not(odd))[0]
            yield left, xp.take(xp.concat([odd[1:], no_neighbour]), left)
            position = xp.take(position, left) >> 1


def heads_of(values: Array) -> Array:
    """(n,) bool: where an element differs from the one before; True at the first.

    Examples
    --------
    >>> import numpy
    >>> heads_of(numpy.array([4, 4, 0])).tolist()
    [True, False, True]
    """
    heads = backend_of(values).full(values.shape, True, "bool")
    if values.shape[0] > 1:
        heads[1:] = values[1:] != values[:-1]
    return heads


def distances(starts: Array, size: int) -> Array:
    """From each start to the next one, and from the last to `size`.

    Examples
    --------
    >>> import numpy
    >>> distances(numpy.array([0, 2]), 5).tolist()
    [2, 3]
    """
    backend = backend_of(starts)
    if starts.shape[0] == 0:
        return starts
    return backend.xp.concat([starts[1:], backend.full((1,), size, "int64")]) - starts


def fold_columns(columns: Columns, segments: Segments, combine: Callable[[Columns, Columns], Columns]) -> Columns:
    """One row per segment: its rows combined pairwise, in the fixed order that the module describes.

    Parameters
    ----------
    columns
        Equally long (n,) arrays.
    segments
        Stretches of those n rows.
    combine
        Takes two tables of equal length, left and right neighbours, and returns their combination with the same names and dtypes.

    Examples
    --------
    >>> import numpy
    >>> segments = Segments(numpy.array([True, False, True]))
    >>> fold_columns({"n": numpy.array([1, 2, 5])}, segments, lambda a, b: {"n": a["n"] + b["n"]})["n"].tolist()
    [3, 5]
    """
    xp = segments.backend.xp
    for left, paired in segments.passes:
        right = left + xp.astype(paired, left.dtype)  # an element without a neighbour meets itself, and stays as it is
        kept = {name: xp.take(column, left) for name, column in columns.items()}
        combined = combine(kept, {name: xp.take(column, right) for name, column in columns.items()})
        columns = {name: xp.where(paired, combined[name], column) for name, column in kept.items()}
    return columns


def fold_segments(values: Array, segments: Segments, op: Fold) -> Array:
    """The sum, minimum or maximum of each segment.

    Parameters
    ----------
    values
        (n,) integers or floats. Integer sums wrap; widen before adding. NaN makes its segment's result NaN.
    segments
        Stretches of those n values.
    op
        ``"add"``, ``"minimum"`` or ``"maximum"``.

    Returns
    -------
    (m,) array of the dtype of `values`.

    Examples
    --------
    >>> import numpy
    >>> fold_segments(numpy.array([1, 2, 5]), Segments(numpy.array([True, False, True])), "add").tolist()
    [3, 5]
    """
    if fast := native("fold_segments", segments.backend):
        return fast(values, segments, op)
    function = getattr(segments.backend.xp, op)
    return fold_columns({"value": values}, segments, lambda a, b: {"value": function(a["value"], b["value"])})["value"]


def spread_segments(values: Array, segments: Segments) -> Array:
    """Each segment's value for each of its elements: (m,) -> (n,).

    Examples
    --------
    >>> import numpy
    >>> spread_segments(numpy.array([7, 8]), Segments(numpy.array([True, False, True]))).tolist()
    [7, 7, 8]
    """
    if fast := native("spread_segments", segments.backend):
        return fast(values, segments)
    return segments.backend.xp.take(values, segments.index)


def group_equal(ids: Array) -> tuple[Array, Segments, Array]:
    """Rows brought together by id: the stable ascending order, the segments of equal ids in it, and the (m,) distinct ids.

    `ids` is (n,) integers or bool.

    Examples
    --------
    >>> import numpy
    >>> order, segments, distinct = group_equal(numpy.array([5, 2, 5]))
    >>> order.tolist(), segments.starts.tolist(), distinct.tolist()
    ([1, 0, 2], [0, 1], [2, 5])
    """
    backend = backend_of(ids)
    xp = backend.xp
    numbers = xp.astype(ids, backend.dtype("uint8")) if dtype_of(ids).kind == "b" else ids  # the standard does not sort bool
    order = xp.argsort(numbers, stable=True)
    ordered = xp.take(ids, order)
    segments = Segments(heads_of(ordered))
    return order, segments, xp.take(ordered, segments.starts)
