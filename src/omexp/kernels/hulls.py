"""Convex hulls of objects from the ends of their rows. Knows: rows of pixels on the host, integers. Does not know: blocks, files.

A pixel stands for the four middles of its sides, as in scikit-image's `convex_hull_image`; a hull holds the pixels whose centre is in it or
on its edge. In two dimensions all is exact, in doubled coordinates, and done for all objects at once.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Rows", "convex_counts", "convex_rows", "feret_diameters", "hull_columns", "joined_rows", "solid_counts"]

_PAIRS = 1 << 22  # distances in hand at a time


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The first and the last pixel of each object in each of its rows along the last axis, by object, then by row.

    Parameters
    ----------
    number
        (r,) the object's place in the table, ascending.
    places
        (r, ndim - 1) the row's place along the other axes.
    first, last
        (r,) pixels along the last axis, both inside.
    """

    number: np.ndarray
    places: np.ndarray
    first: np.ndarray
    last: np.ndarray


def hull_columns(
    ids: np.ndarray, owners: np.ndarray, places: Sequence[np.ndarray], first: np.ndarray, last: np.ndarray, *, feret: Sequence[float] | None
) -> dict[str, np.ndarray]:
    """``convex``: pixels in the hull of each object; ``feret``: the largest distance across it, in units of the spacing that is given.

    Parameters
    ----------
    ids
        (n,) all objects, ascending.
    owners, places, first, last
        (r,) stretches of pixels in any order: the id, the place along each axis but the last, and the two ends along the last.
    """
    rows = joined_rows(np.searchsorted(ids, owners), np.stack(places, axis=-1), first, last)
    if len(places) == 2:
        return {"convex": solid_counts(rows, ids.size)}
    columns = {"convex": convex_counts(rows, ids.size)}
    return columns if feret is None else columns | {"feret": feret_diameters(rows, ids.size, feret)}


def joined_rows(number: np.ndarray, places: np.ndarray, first: np.ndarray, last: np.ndarray) -> Rows:
    """Rows in order; several stretches of one object in one row become one."""
    order = np.lexsort((*places.T[::-1], number))
    number, places, first, last = number[order], places[order], first[order], last[order]
    heads = np.ones(number.size, bool)
    heads[1:] = (number[1:] != number[:-1]) | (places[1:] != places[:-1]).any(axis=1)
    starts = np.flatnonzero(heads)
    if not starts.size:
        return Rows(number, places, first, last)
    return Rows(number[starts], places[starts], np.minimum.reduceat(first, starts), np.maximum.reduceat(last, starts))


def convex_counts(rows: Rows, count: int) -> np.ndarray:
    """(count,) pixels in the convex hull of each object; rows of two axes.

    Examples
    --------
    >>> import numpy
    >>> ends = joined_rows(numpy.zeros(3, int), numpy.array([[0], [1], [2]]), numpy.array([0, 0, 0]), numpy.array([2, 0, 2]))
    >>> convex_counts(ends, 1).tolist()
    [9]
    """
    hull = convex_rows(rows, count)
    return np.bincount(hull.number, weights=hull.last - hull.first + 1, minlength=count).astype(np.int64)


def convex_rows(rows: Rows, count: int) -> Rows:
    """The rows of the hulls' pixels, in order; of objects with rows of two axes."""
    y = rows.places[:, 0]
    starts = np.flatnonzero(np.diff(rows.number, prepend=-1))
    number = rows.number[starts]
    top, bottom = y[starts], y[np.append(starts[1:], y.size) - 1] if starts.size else y
    height = bottom - top + 1
    each = np.repeat(number, height)
    all_y = np.arange(each.size) - np.repeat(np.cumsum(height) - height, height) + np.repeat(top, height)
    first = _bounds(rows.number, y, rows.first, each, all_y)
    last = -_bounds(rows.number, y, -rows.last, each, all_y)
    some = first <= last
    return Rows(each[some], all_y[some][:, None], first[some], last[some])


def feret_diameters(rows: Rows, count: int, spacing: Sequence[float]) -> np.ndarray:
    """(count,) the largest distance between two middles of sides of the hull's pixels; rows of two axes."""
    hull = convex_rows(rows, count)
    chains = [(*_vertices(hull.number, hull.places[:, 0], side * end), side) for side, end in ((1, hull.first), (-1, hull.last))]
    number = np.concatenate([chain[0] for chain in chains])
    y = np.concatenate([chain[1] for chain in chains]) * (spacing[0] / 2)
    x = np.concatenate([chain[2] * side for *chain, side in chains]) * (spacing[1] / 2)
    order = np.argsort(number, kind="stable")
    number, y, x = number[order], y[order], x[order]
    sizes = np.bincount(number, minlength=count)
    longest = np.zeros(count)
    for begin, end in _batches(sizes):
        start, stop = sizes[:begin].sum(), sizes[:end].sum()
        mates = np.repeat(sizes[begin:end], sizes[begin:end])  # of each vertex
        a = np.repeat(np.arange(start, stop), mates)
        b = (
            np.arange(a.size)
            - np.repeat(np.cumsum(mates) - mates, mates)
            + np.repeat(start + np.repeat(np.cumsum(sizes[begin:end]) - sizes[begin:end], sizes[begin:end]), mates)
        )
        np.maximum.at(longest, number[a], (y[a] - y[b]) ** 2 + (x[a] - x[b]) ** 2)
    return np.sqrt(longest)


def _batches(sizes: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of objects with about `_PAIRS` pairs of vertices."""
    number = np.cumsum(sizes.astype(np.int64) ** 2) // _PAIRS
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), sizes.size]
    return list(itertools.pairwise(cuts))


def _bounds(number: np.ndarray, y: np.ndarray, x: np.ndarray, each: np.ndarray, all_y: np.ndarray) -> np.ndarray:
    """The first pixel of the hull in each row asked for: the hull's edge towards small x, rounded up."""
    if not number.size:
        return all_y
    owner, along, across = _vertices(number, y, x)
    low = along.min()
    span = along.max() - low + 1
    at = np.searchsorted(owner * span + along - low, each * span + 2 * all_y - low, side="right") - 1
    rise = along[at + 1] - along[at]
    return -(-(across[at] * rise + (across[at + 1] - across[at]) * (2 * all_y - along[at])) // (2 * rise))


def _vertices(number: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The corners of the hulls' edges towards small x, in doubled coordinates, by object, then by y.

    A point that is not left of the line between its neighbours is no corner, whoever else goes: all such go at once, until none is left.
    """
    number = np.repeat(number, 3)
    along = (2 * y[:, None] + np.array([-1, 0, 1])).reshape(-1)
    across = (2 * x[:, None] + np.array([0, -1, 0])).reshape(-1)
    twice = (number[1:] == number[:-1]) & (along[1:] == along[:-1])  # below one row and above the next
    across[:-1][twice] = np.minimum(across[:-1][twice], across[1:][twice])
    keep = np.append(True, ~twice) if number.size else np.ones(0, bool)
    active = number[keep], along[keep], across[keep]
    done: list[tuple[np.ndarray, ...]] = []
    while active[0].size:
        number, along, across = active
        inner = (number[1:-1] == number[:-2]) & (number[1:-1] == number[2:])
        before = (across[1:-1] - across[:-2]) * (along[2:] - along[1:-1])
        after = (across[2:] - across[1:-1]) * (along[1:-1] - along[:-2])
        keep = np.ones(number.size, bool)
        keep[1:-1] = ~inner | (before < after)
        changing = np.zeros(number[-1] + 1, bool)
        changing[number[~keep]] = True
        again = changing[number]
        done.append(tuple(column[~again] for column in active))
        active = tuple(column[again & keep] for column in active)
    if not done:
        return number, along, across
    number, along, across = (np.concatenate([part[k] for part in done]) for k in range(3))
    order = np.argsort(number, kind="stable")
    return number[order], along[order], across[order]


def solid_counts(rows: Rows, count: int) -> np.ndarray:
    """(count,) float64: voxels in the convex hull of each object, rows of three axes; NaN where it has no volume (all voxels in one plane).

    By scipy, object by object, as scikit-image does it: the hull of the middles of the faces of the voxels at the corners of a first hull.
    """
    spatial = importlib.import_module("scipy.spatial")
    middles = np.concatenate([0.5 * np.eye(3), -0.5 * np.eye(3)])
    found = np.full(count, np.nan)
    starts = np.flatnonzero(np.diff(rows.number, prepend=-1))
    for begin, end in itertools.pairwise([*starts.tolist(), rows.number.size]):
        places = rows.places[begin:end]
        ends = [np.column_stack([places, column[begin:end]]) for column in (rows.first, rows.last)]
        points = np.unique(np.concatenate(ends), axis=0)
        low = points.min(axis=0)
        points = points - low
        if np.linalg.matrix_rank(points - points[0]) < 3:
            continue
        corners = points[spatial.ConvexHull(points).vertices]
        hull = spatial.ConvexHull(np.unique((corners[:, None] + middles).reshape(-1, 3), axis=0))
        shape = points.max(axis=0) + 1
        grid = np.indices(shape).reshape(3, -1)
        inside = np.ones(math.prod(shape.tolist()), bool)
        for *normal, offset in np.unique(hull.equations, axis=0):
            inside &= normal @ grid + offset < 1e-10
        found[rows.number[begin]] = inside.sum()
    return found
