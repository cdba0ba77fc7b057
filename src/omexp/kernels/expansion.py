"""Objects grown into the background around them. Knows: exact squared distances, ties. Does not know: blocks, files, units.

The nearest object of a pixel is the minimum of (squared distance, id) over all object pixels. That minimum is taken axis by axis: adding
the same square to all candidates of a line keeps their order, ties included. Squares are integers, so nothing is rounded on the way, and
what lies further away than the distance never matters: any block with a border as wide as the reach gives the pixels of the whole array.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from omexp.backend import Array, backend_of, dtype_of, native

__all__ = ["Metric", "expand", "metric_of", "shifts"]

_FINE = 1 << 16  # parts of the smallest pixel's square, where pixel sizes are no multiples of each other


@dataclass(frozen=True, slots=True)
class Metric:
    """How far is how far: per axis the squares of 0, 1, 2, ... pixels, as integers, up to `limit`, the largest square that counts."""

    squares: tuple[tuple[int, ...], ...]
    limit: int

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels per axis that the distance covers."""
        return tuple(len(steps) - 1 for steps in self.squares)


def metric_of(distance: float, spacing: Sequence[float | None]) -> Metric:
    """The metric of a distance in the units of `spacing`, the size of a pixel per axis (None: the distance covers nothing along it).

    Where all sizes are multiples of the smallest, squares are exact; else to 1/65536 of the smallest pixel's square.

    Examples
    --------
    >>> metric_of(2.5, (None, 1.0, 0.5))
    Metric(squares=((0,), (0, 4, 16), (0, 1, 4, 9, 16, 25)), limit=25)
    """
    unit = min((size for size in spacing if size is not None), default=1.0)
    ratios = [None if size is None else size / unit for size in spacing]
    exact = all(ratio is None or abs(ratio - round(ratio)) < 1e-9 * ratio for ratio in ratios)
    scale = 1 if exact else _FINE
    # 0.3 / 0.1 is 2.9999999999999996, and a pixel at 3 * 0.1 is meant to be within 0.3
    limit = math.floor((distance / unit) ** 2 * scale * (1 + 1e-9)) + (not exact)

    def squares(ratio: float | None) -> tuple[int, ...]:
        if ratio is None:
            return (0,)
        steps = (round((step * (round(ratio) if exact else ratio)) ** 2 * scale) for step in itertools.count())
        return tuple(itertools.takewhile(lambda square: square <= limit, steps))

    return Metric(tuple(map(squares, ratios)), limit)


def expand(labels: Array, metric: Metric) -> Array:
    """Give each background pixel the id of the nearest object within the metric's limit; of two equally near, the smaller id.

    Time is proportional to the metric's reach, memory some words per pixel.

    Parameters
    ----------
    labels
        Integers or bool; 0 (False) is background.
    metric
        From `metric_of`, with one entry per axis.

    Examples
    --------
    >>> import numpy
    >>> expand(numpy.array([0, 0, 9, 0, 7, 0, 0, 0]), metric_of(2, (1.0,))).tolist()
    [9, 9, 9, 7, 7, 7, 7, 0]
    """
    backend = backend_of(labels)
    if fast := native("expand", backend):
        return fast(labels, metric)
    xp = backend.xp
    if dtype_of(labels).kind == "b":
        return xp.astype(expand(xp.astype(labels, backend.dtype("uint8")), metric), labels.dtype)
    ids, nothing = labels, backend.full((), metric.limit + 1, "int64")
    square = xp.where(labels != 0, backend.full((), 0, "int64"), nothing)
    for axis in reversed(range(labels.ndim)):
        old_square, old_ids = square, ids
        square, ids = xp.asarray(square, copy=True), xp.asarray(ids, copy=True)
        for step, added in enumerate(metric.squares[axis][1 : labels.shape[axis]], 1):
            for here, there in shifts(axis, step, labels.ndim):
                candidate, other = old_square[there] + added, old_ids[there]
                nearer = (candidate < square[here]) | ((candidate == square[here]) & (other < ids[here]))
                square[here], ids[here] = xp.where(nearer, candidate, square[here]), xp.where(nearer, other, ids[here])
    return xp.where(square <= metric.limit, ids, xp.zeros_like(ids))


def shifts(axis: int, step: int, ndim: int) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """(pixels, pixels a step away), both ways."""
    before, behind = (slice(None),) * axis, (slice(None),) * (ndim - axis - 1)
    low, high = (*before, slice(step, None), *behind), (*before, slice(None, -step), *behind)
    return [(low, high), (high, low)]
