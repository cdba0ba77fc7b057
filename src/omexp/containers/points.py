"""Points through the transforms of an image. Knows: a map of numbers, lists and arrays of points. Does not know: levels, documents."""

from __future__ import annotations

from typing import Any

from omexp.backend import backend_of, from_host, numpy_backend, to_host
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.metadata.matrices import Matrix

__all__ = ["mapped"]


def mapped(points: Any, matrix: Matrix, where: str) -> Any:
    """The map of points, (n, axes) or a single (axes,): an array of float64 where an array came in, on its device; else a NumPy array.

    float32 on a device that has no float64. The numbers are computed on the host, whatever the device: points are few.

    Raises
    ------
    ArgumentError
        They are no numbers, or not one per axis.

    Examples
    --------
    >>> mapped([(0, 2)], ((0.5, 0.0, 1.0), (0.0, 2.0, 0.0)), "here").tolist()
    [[1.0, 4.0]]
    """
    xp, ndim = numpy_backend.xp, len(matrix[0]) - 1
    try:
        backend = backend_of(points)
        host = to_host(points)
    except BackendMismatchError:
        backend, host = numpy_backend, _array(points, where)
    if host.ndim not in (1, 2) or host.shape[-1] != ndim or host.dtype.kind not in "iuf":
        raise ArgumentError(
            "points need one number per axis",
            where=where,
            got=f"{host.dtype.name} of shape {host.shape}",
            allowed=f"shape (n, {ndim}) or ({ndim},)",
        )
    factors, offset = xp.array([row[:-1] for row in matrix], dtype="float64"), xp.array([row[-1] for row in matrix], dtype="float64")
    found = host.astype("float64") @ factors.T + offset
    try:
        backend.dtype("float64")
    except DTypeError:
        found = found.astype("float32")
    return from_host(found, backend)


def _array(points: Any, where: str) -> Any:
    try:
        return numpy_backend.xp.array(points)
    except (TypeError, ValueError) as error:
        raise ArgumentError("points need one number per axis", where=where, got=type(points).__name__) from error
