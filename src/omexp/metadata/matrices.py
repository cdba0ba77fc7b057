"""Affine maps as rows of numbers. Knows: composing, inverting, applying them to points. Does not know: documents, arrays.

A map from m to n coordinates is n rows of m factors and an offset: ``out[i] = sum(row[j] * point[j]) + row[m]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

__all__ = ["Matrix", "Point", "applied", "composed", "diagonal", "identity_matrix", "inverted"]

Matrix = tuple[tuple[float, ...], ...]
Point = tuple[float, ...]


def identity_matrix(ndim: int) -> Matrix:
    """The map that changes nothing."""
    return diagonal((1.0,) * ndim, (0.0,) * ndim)


def diagonal(scale: Sequence[float], translation: Sequence[float]) -> Matrix:
    """``out = scale * point + translation``, axis by axis."""
    ndim = len(scale)
    return tuple((*(scale[i] if i == j else 0.0 for j in range(ndim)), translation[i]) for i in range(ndim))


def applied(matrix: Matrix, points: Iterable[Sequence[float]]) -> list[Point]:
    """The map of every point.

    Examples
    --------
    >>> applied(diagonal((2.0, 3.0), (1.0, 0.0)), [(1, 1)])
    [(3.0, 3.0)]
    """
    return [tuple(_at(row, point) for row in matrix) for point in points]


def _at(row: Sequence[float], point: Sequence[float]) -> float:
    """One coordinate; factors of 0 are left out, so that an axis that does not count may be infinite."""
    return sum(a * p for a, p in zip(row[:-1], point, strict=True) if a != 0) + row[-1]


def composed(first: Matrix, then: Matrix) -> Matrix:
    """The one map that does `first`, then `then`."""
    width = len(first[0]) if first else 1
    rows = []
    for row in then:
        columns = (sum(a * f[j] for a, f in zip(row[:-1], first, strict=True) if a != 0) for j in range(width - 1))
        rows.append((*columns, _at(row, [f[-1] for f in first])))
    return tuple(rows)


def inverted(matrix: Matrix) -> Matrix | None:
    """The map back, by elimination with pivots; None where there is none: another number of coordinates, or no unique answer.

    Examples
    --------
    >>> inverted(diagonal((2.0, 4.0), (1.0, 0.0)))
    ((0.5, 0.0, -0.5), (0.0, 0.25, 0.0))
    """
    ndim = len(matrix)
    if any(len(row) != ndim + 1 for row in matrix):
        return None
    rows = [[*row[:-1], *(1.0 if i == j else 0.0 for j in range(ndim))] for i, row in enumerate(matrix)]
    for column in range(ndim):
        pivot = max(range(column, ndim), key=lambda i: abs(rows[i][column]))
        if not 0 < abs(rows[pivot][column]) < math.inf:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [v / rows[column][column] for v in rows[column]]
        for i in range(ndim):
            if i != column and rows[i][column] != 0:
                rows[i] = [a - rows[i][column] * b for a, b in zip(rows[i], rows[column], strict=True)]
    offset = [row[-1] for row in matrix]
    back = [row[ndim:] for row in rows]
    found = tuple((*row, 0.0 - sum(a * o for a, o in zip(row, offset, strict=True))) for row in back)
    return found if all(math.isfinite(v) for row in found for v in row) else None
