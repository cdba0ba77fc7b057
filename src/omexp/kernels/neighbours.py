"""Counts of small pixel patterns per object. Knows: windows of 2 pixels, border pixels. Does not know: blocks, files.

All counts are integers, so that they are equal for every cut of the image. An object is told from what is around it by its id alone.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from typing import Any

from omexp.backend import Array, backend_of, native
from omexp.geometry import Region
from omexp.kernels.segments import Columns, fold_segments, group_equal

__all__ = ["HALO", "PATTERNS", "crofton_weights", "euler_weights", "pattern_counts", "sum_by_id"]

HALO = 2  # pixels around the core: whether a neighbour is a border pixel depends on its own neighbours
PATTERNS = {"perimeter": ("sides", "diagonals"), "crofton": ("straight", "slanted"), "euler": ("euler",)}

# Benkrid and Crookes: what a border pixel adds, by 1 + 2 x (border pixels beside it) + 10 x (border pixels at its corners);
# perimeter = (sides + diagonals x sqrt(2)) / 2
_SIDES = {5: 2, 7: 2, 15: 2, 17: 2, 25: 2, 27: 2, 13: 1, 23: 1}
_DIAGONALS = {21: 2, 33: 2, 13: 1, 23: 1}


def pattern_counts(labels: Array, patterns: Collection[str]) -> tuple[Array, Columns]:
    """The patterns of the objects in a part of a label array.

    Parameters
    ----------
    labels
        Integers, 2-D (or 3-D: "euler" only): the part and `HALO` pixels around it on every side, 0 beyond the image.
    patterns
        Keys of `PATTERNS`: "perimeter" looks at the border pixels in the part, the others at windows whose last pixel is in it.

    Returns
    -------
    (n,) ids, ascending, and their (n,) int64 columns, those that `PATTERNS` names.

    Examples
    --------
    >>> import numpy
    >>> ids, counts = pattern_counts(numpy.pad([[7, 7, 0], [7, 0, 0], [0, 0, 0]], 2), ["euler"])
    >>> ids.tolist(), (counts["euler"] // 4).tolist()
    ([7], [1])
    """
    backend = backend_of(labels)
    xp = backend.xp
    found: list[tuple[Array, Columns]] = []
    if "perimeter" in patterns:
        found.append(_border(labels))
    windows = ({"euler": euler_weights(labels.ndim)} if "euler" in patterns else {}) | (crofton_weights() if "crofton" in patterns else {})
    if windows:
        found.append(_windows(labels, windows))
    names = [name for pattern in patterns for name in PATTERNS[pattern]]
    columns = {
        name: xp.concat([rows.get(name, xp.zeros(ids.shape, dtype=xp.int64, device=backend.device)) for ids, rows in found])
        for name in names
    }
    return sum_by_id(xp.concat([ids for ids, _ in found]), columns)


@functools.cache
def euler_weights(ndim: int) -> tuple[int, ...]:
    """2**ndim times what a window of 2 pixels per axis adds to the Euler number, by its pattern; pixels that share a corner are joined.

    The object is the union of its closed pixels: its cells (corners, edges, ...) are counted, the odd dimensions negative. A window
    surrounds one corner of the pixel grid; a cell of dimension k that begins there is seen from 2**k windows.
    """
    places = list(itertools.product((0, 1), repeat=ndim))
    cells = list(itertools.product((None, 0, 1), repeat=ndim))  # per axis: flat, or towards one side
    weights = [0] * 2 ** len(places)
    for pattern, cell in itertools.product(range(len(weights)), cells):
        inside = (place for bit, place in enumerate(places) if pattern >> bit & 1)
        if any(all(side in (None, p) for side, p in zip(cell, place, strict=True)) for place in inside):
            dimension = sum(side is not None for side in cell)
            weights[pattern] += (-1) ** dimension * 2 ** (ndim - dimension)
    return tuple(weights)


def crofton_weights() -> dict[str, tuple[int, ...]]:
    """Ends of the object along rows and columns, and along both diagonals, that a 2 x 2 window sees, by its pattern.

    Crofton's formula in four directions: perimeter = pi / 4 x (straight + slanted / sqrt(2)).
    """
    bits = [[bool(pattern >> bit & 1) for bit in range(4)] for pattern in range(16)]  # here, left, above, above left
    straight = tuple((here and not left) + (here and not above) for here, left, above, _ in bits)
    slanted = tuple((here and not corner) + (left and not above) for here, left, above, corner in bits)
    return {"straight": straight, "slanted": slanted}


def _border(labels: Array) -> tuple[Array, Columns]:
    """The border pixels of the part: an object's pixels with another value beside them."""
    backend = backend_of(labels)
    xp = backend.xp
    inner = labels[1:-1, 1:-1]
    edge = (inner != labels[:-2, 1:-1]) | (inner != labels[2:, 1:-1]) | (inner != labels[1:-1, :-2]) | (inner != labels[1:-1, 2:])
    edge &= inner != 0
    row, column = xp.nonzero(edge[1:-1, 1:-1])
    width = inner.shape[1]
    place = (row + 1) * width + column + 1
    values, edges = xp.reshape(inner, (-1,)), xp.reshape(edge, (-1,))
    ids = xp.take(values, place)
    code = xp.ones(ids.shape, dtype=xp.int64, device=backend.device)
    for step, weight in ((1, 2), (width, 2), (width - 1, 10), (width + 1, 10)):
        for beside in (place + step, place - step):
            code = code + weight * xp.astype(xp.take(edges, beside) & (xp.take(values, beside) == ids), xp.int64)
    tables = {"sides": _SIDES, "diagonals": _DIAGONALS}
    return ids, {name: xp.take(_table(backend, [of.get(i, 0) for i in range(50)]), code) for name, of in tables.items()}


def _windows(labels: Array, tables: dict[str, tuple[int, ...]]) -> tuple[Array, Columns]:
    """The windows with more than one value, once for each object in them; those of one value weigh nothing."""
    backend = backend_of(labels)
    xp = backend.xp
    inside = Region((HALO,) * labels.ndim, tuple(n - HALO for n in labels.shape))
    offsets = list(itertools.product((0, 1), repeat=labels.ndim))
    here = labels[inside.slices]
    mixed = functools.reduce(lambda a, b: a | b, (here != labels[inside.shift([-o for o in offset]).slices] for offset in offsets[1:]))
    place, stride = 0, 1
    steps: list[int] = []
    for found, n in zip(reversed(xp.nonzero(mixed)), reversed(labels.shape), strict=True):
        place = place + (found + HALO) * stride
        steps.insert(0, stride)
        stride *= n
    flat = xp.reshape(labels, (-1,))
    values = [xp.take(flat, place - sum(o * s for o, s in zip(offset, steps, strict=True))) for offset in offsets]
    rows = [_members(values, k) for k in range(len(values))]
    ids, patterns = (xp.concat([row[part] for row in rows]) for part in (0, 1))
    return ids, {name: xp.take(_table(backend, table), patterns) for name, table in tables.items()}


def _members(values: Sequence[Array], k: int) -> tuple[Array, Array]:
    """The windows in which an object is met at place k first: its id, and the pattern of its pixels."""
    xp = backend_of(values[k]).xp
    first = functools.reduce(lambda mask, other: mask & (values[k] != other), values[:k], values[k] != 0)
    ids = values[k][first]
    pattern = xp.zeros_like(ids, dtype=xp.int64)
    for bit, other in enumerate(values[k:], k):
        pattern = pattern + (xp.astype(other[first] == ids, xp.int64) << bit)
    return ids, pattern


def _table(backend: Any, values: Sequence[int]) -> Array:
    return backend.xp.asarray(list(values), dtype=backend.xp.int64, device=backend.device)


def sum_by_id(ids: Array, columns: Columns) -> tuple[Array, Columns]:
    """Integer columns added up by id: (n,) rows to (m,), ids ascending.

    Examples
    --------
    >>> import numpy
    >>> ids, columns = sum_by_id(numpy.array([9, 4, 9]), {"n": numpy.array([1, 2, 3])})
    >>> ids.tolist(), columns["n"].tolist()
    ([4, 9], [2, 4])
    """
    if fast := native("sum_by_id", backend_of(ids)):
        return fast(ids, columns)
    xp = backend_of(ids).xp
    order, segments, distinct = group_equal(ids)
    return distinct, {name: fold_segments(xp.take(column, order), segments, "add") for name, column in columns.items()}
