"""Connected components of pixels and of graphs. Knows: runs, neighbours, unions. Does not know: blocks, files.

Runs of equal id are the nodes; two runs of neighbouring rows that touch are an edge. The cost is one look at each pixel, the rest per run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omexp.backend import Array, backend_of, dtype_of, native, to_host
from omexp.kernels.label_maps import look_up
from omexp.kernels.segments import Segments, distances, fold_segments, group_equal, heads_of, spread_segments

__all__ = ["Numbered", "connect", "number_components", "number_ids"]


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Runs of objects in C order: `ids`, first pixel `begin`, pixel after the last `end`; and how to paint them."""

    ids: Array
    begin: Array
    end: Array
    stretches: Segments  # of all pixels, background included
    number: Array  # per stretch: 0 for background, else 1 + its run
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """Objects of an array, numbered 0 ... n - 1.

    Parameters
    ----------
    runs
        Their runs.
    object_of
        (runs,) int64: the object of each run.
    first
        (n,) int64: the first pixel of each object, counted in C order.
    """

    runs: _Runs
    object_of: Array
    first: Array

    def painted(self, values: Array) -> Array:
        """An array of the labels' shape: each object's pixels have its one of (n,) values, the others 0."""
        backend = backend_of(values)
        table = backend.xp.concat([backend.full((1,), 0, dtype_of(values)), backend.xp.take(values, self.object_of)])
        return backend.xp.reshape(spread_segments(backend.xp.take(table, self.runs.number), self.runs.stretches), self.runs.shape)

    @property
    def numbers(self) -> Array:
        """int64 of the labels' shape: 0 for background, 1 ... n for the objects."""
        return self.painted(backend_of(self.first).arange(1, self.first.shape[0] + 1))


def number_components(labels: Array, connectivity: int = 1, apart: Sequence[int] = ()) -> Numbered:
    """Number the connected components in the order of their first pixels; pixels are joined where they touch and have the same id.

    Parameters
    ----------
    labels
        Integers or bool; 0 (False) is background.
    connectivity
        Axes along which two pixels that touch may differ: 1 (faces) to the number of axes (corners).
    apart
        Axes (not the last one) along which pixels are never joined: time.

    Examples
    --------
    >>> import numpy
    >>> number_components(numpy.array([[1, 0, 1], [1, 0, 0], [0, 1, 2]])).numbers.tolist()
    [[1, 0, 2], [1, 0, 0], [0, 3, 4]]
    """
    backend = backend_of(labels)
    xp = backend.xp
    runs = _runs(labels)
    pairs = list(_touching(runs, connectivity, apart))
    a, b = (xp.concat([pair[side] for pair in pairs]) if pairs else backend.arange(0) for side in (0, 1))
    root = connect(runs.ids.shape[0], a, b)
    is_root = root == backend.arange(root.shape[0])
    number = xp.take(xp.cumulative_sum(xp.astype(is_root, backend.dtype("int64"))) - 1, root) if root.shape[0] else root
    return Numbered(runs, number, runs.begin[is_root])


def number_ids(labels: Array) -> Numbered:
    """Number the ids that occur, ascending; an id is one object wherever its pixels lie.

    Examples
    --------
    >>> import numpy
    >>> numbered = number_ids(numpy.array([[9, 0, 7], [9, 0, 9]]))
    >>> numbered.numbers.tolist(), numbered.first.tolist()
    ([[2, 0, 1], [2, 0, 2]], [2, 0])
    """
    backend = backend_of(labels)
    runs = _runs(labels)
    order, segments, distinct = group_equal(runs.ids)
    first = fold_segments(backend.xp.take(runs.begin, order), segments, "minimum")
    return Numbered(runs, look_up(runs.ids, distinct, backend.arange(distinct.shape[0])), first)


def connect(count: int, a: Array, b: Array) -> Array:
    """The smallest node of each node's component in an undirected graph.

    Parameters
    ----------
    count
        The number of nodes.
    a, b
        (m,) int64: edges, in any order; repeats and loops are allowed.

    Returns
    -------
    (count,) int64, on the device of the edges.

    Examples
    --------
    >>> import numpy
    >>> connect(5, numpy.array([4, 3]), numpy.array([3, 1])).tolist()
    [0, 1, 2, 1, 1]
    """
    backend = backend_of(a, b)
    if fast := native("connect", backend):
        return fast(count, a, b)
    xp = backend.xp
    root = backend.arange(count)
    while a.shape[0]:
        a, b = xp.take(root, a), xp.take(root, b)
        low, high = xp.minimum(a, b), xp.maximum(a, b)
        order, segments, hooked = group_equal(high)
        lowest = fold_segments(xp.take(low, order), segments, "minimum")
        root = look_up(root, hooked, lowest, others_stay=True)
        root = _flattened(root)
        apart = low != high
        a, b = low[apart], high[apart]
    return root


def _flattened(root: Array) -> Array:
    """Every node points at the end of its chain. A hooked root has a lower one above it, so there are no circles."""
    xp = backend_of(root).xp
    while True:
        above = xp.take(root, root)
        if not to_host(xp.any(above != root)).item():
            return root
        root = above


def _runs(labels: Array) -> _Runs:
    backend = backend_of(labels)
    xp = backend.xp
    flat = xp.reshape(labels, (-1,))
    if dtype_of(labels).kind == "b":
        flat = xp.astype(flat, backend.dtype("uint8"))
    heads = heads_of(flat)
    heads[:: max(labels.shape[-1], 1)] = True
    stretches = Segments(heads)
    ids = xp.take(flat, stretches.starts)
    is_object = ids != 0
    count = xp.cumulative_sum(xp.astype(is_object, backend.dtype("int64"))) if ids.shape[0] else stretches.starts
    number = xp.where(is_object, count, backend.full((), 0, "int64"))
    begin = stretches.starts[is_object]
    end = begin + distances(stretches.starts, flat.shape[0])[is_object]
    return _Runs(ids[is_object], begin, end, stretches, number, tuple(labels.shape))


def _touching(runs: _Runs, connectivity: int, apart: Sequence[int]) -> Iterator[tuple[Array, Array]]:
    """Pairs of runs, the later one first: of each row with the rows before it that its pixels touch."""
    backend = backend_of(runs.begin)
    xp = backend.xp
    shape = runs.shape
    *slow, width = shape
    if runs.begin.shape[0] == 0:
        return
    row = runs.begin // width
    places: list[Array] = []
    for size in reversed(slow):
        row, place = row // size, row % size
        places.insert(0, place)
    row_start = runs.begin - runs.begin % width
    for step in itertools.product((-1, 0, 1), repeat=len(slow)):
        moved = sum(abs(s) for s in step)
        if step >= (0,) * len(slow) or moved > connectivity or any(step[axis] for axis in apart):
            continue
        reach = 1 if moved < connectivity else 0
        offset = sum(s * math.prod(shape[axis + 1 :]) for axis, s in enumerate(step))
        inside = backend.full(runs.begin.shape, True, "bool")
        for place, size, s in zip(places, slow, step, strict=True):
            inside = inside & (place + s >= 0) & (place + s < size)
        here = xp.nonzero(inside)[0]
        edge = xp.take(row_start, here)
        low = xp.maximum(xp.take(runs.begin, here) - reach, edge) + offset
        high = xp.minimum(xp.take(runs.end, here) + reach, edge + width) + offset
        first, last = xp.searchsorted(runs.end, low, side="right"), xp.searchsorted(runs.begin, high, side="left")
        later, earlier = _ranges(here, first, last)
        same = xp.take(runs.ids, later) == xp.take(runs.ids, earlier)
        yield later[same], earlier[same]


def _ranges(keys: Array, first: Array, last: Array) -> tuple[Array, Array]:
    """Each key beside each number of its range [first, last)."""
    backend = backend_of(keys)
    xp = backend.xp
    some = xp.nonzero(last > first)[0]
    if some.shape[0] == 0:
        return some, some
    keys, first, count = (xp.take(column, some) for column in (keys, first, last - first))
    stop = xp.cumulative_sum(count)
    places = backend.arange(to_host(stop[-1]).item())
    range_of = xp.searchsorted(stop, places, side="right")
    return xp.take(keys, range_of), xp.take(first - (stop - count), range_of) + places
