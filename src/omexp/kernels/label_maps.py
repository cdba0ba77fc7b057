"""Ids exchanged for others. Knows: label arrays, a table of ids. Does not know: which ids are wanted, files."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from omexp.backend import Array, Backend, backend_of, dtype_of, from_host
from omexp.errors import DTypeError
from omexp.kernels.labels import check_label_dtype
from omexp.kernels.segments import Segments, group_equal, heads_of, spread_segments

__all__ = ["ids_like", "largest_id", "look_up", "map_ids", "numbers_of_ids", "smallest_dtype"]


def map_ids(labels: Array, ids: Array, values: Array, *, others_stay: bool = False) -> Array:
    """Each id of a table replaced by the value beside it; 0 stays 0.

    The look-up is made once per run of equal pixels, not per pixel.

    Parameters
    ----------
    labels
        Integers or bool, any number of axes.
    ids
        (n,) ascending, of the labels' dtype.
    values
        (n,) the new ids; their dtype is the result's.
    others_stay
        Whether ids that are not in the table keep their value (then `values` has the labels' dtype); else they become 0.

    Returns
    -------
    Array of the shape of `labels`, on its device.

    Examples
    --------
    >>> import numpy
    >>> map_ids(numpy.array([[0, 7, 7], [9, 9, 0]]), numpy.array([7, 9]), numpy.array([1, 2], "uint8")).tolist()
    [[0, 1, 1], [2, 2, 0]]
    """
    backend = backend_of(labels, ids, values)
    xp = backend.xp
    flat = xp.reshape(labels, (-1,))
    runs = Segments(heads_of(flat))
    found = xp.take(flat, runs.starts)
    return xp.reshape(spread_segments(look_up(found, ids, values, others_stay=others_stay), runs), labels.shape)


def look_up(found: Array, ids: Array, values: Array, *, others_stay: bool = False) -> Array:
    """The value beside each of (m,) ids; ids that are not in the table: 0, or themselves."""
    backend = backend_of(found, ids, values)
    xp = backend.xp
    rest = found if others_stay else backend.full(found.shape, 0, dtype_of(values))
    if ids.shape[0] == 0:
        return rest
    keys, wanted = numbers_of_ids(ids), numbers_of_ids(found)
    place = xp.searchsorted(keys, wanted)
    place = xp.where(place < ids.shape[0], place, backend.full((), 0, "int64"))
    return xp.where(xp.take(keys, place) == wanted, xp.take(values, place), rest)


def numbers_of_ids(ids: Array) -> Array:
    """Ids as integers: the standard neither sorts nor searches bool."""
    backend = backend_of(ids)
    return backend.xp.astype(ids, backend.dtype("uint8")) if dtype_of(ids).kind == "b" else ids


def smallest_dtype(largest: int) -> str:
    """The smallest unsigned dtype that holds ids up to `largest`.

    Examples
    --------
    >>> smallest_dtype(255), smallest_dtype(256)
    ('uint8', 'uint16')
    """
    return next(name for name, bits in (("uint8", 8), ("uint16", 16), ("uint32", 32), ("uint64", 64)) if largest < 1 << bits)


def largest_id(dtype: Any) -> int:
    """The largest id that a dtype holds. Raises `DTypeError` for what is no dtype of labels.

    Examples
    --------
    >>> largest_id("int8"), largest_id(bool)
    (127, 1)
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError("dtype is not understood", where="dtype", got=repr(dtype), allowed="integers or bool") from None
    check_label_dtype(found, "dtype")
    return 1 if found.kind == "b" else int(np.iinfo(found).max)


def ids_like(ids: Any, dtype: Any, backend: Backend) -> Array:
    """Distinct ids ascending, in the labels' dtype and on their device; those that the dtype does not hold, and 0, are left out.

    `ids`: integers, or an array of them on the labels' device.
    """
    if isinstance(ids, Iterable) and not hasattr(ids, "dtype"):
        info = None if np.dtype(dtype).kind == "b" else np.iinfo(dtype)
        low, high = (0, 1) if info is None else (int(info.min), int(info.max))
        return from_host(np.array(sorted({i for i in map(operator.index, ids) if i != 0 and low <= i <= high}), dtype), backend)
    check_label_dtype(dtype_of(ids), "ids")
    wanted = backend.full((1,), 0, dtype)
    backend_of(ids, wanted)
    _, _, distinct = group_equal(backend.xp.reshape(ids, (-1,)))
    cast = backend.xp.astype(distinct, wanted.dtype)
    same = (cast != 0) & (backend.xp.astype(cast, distinct.dtype) == distinct) & ((cast > 0) == (distinct > 0))
    return group_equal(cast[same])[2]
