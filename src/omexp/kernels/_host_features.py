"""NumPy bodies of feature kernels, same names and values as in `neighbours`, `ranks`, `reductions`. Knows: NumPy. Does not know: files."""

from __future__ import annotations

import numpy as np

from omexp.backend import native_for
from omexp.kernels.reductions import Objects
from omexp.kernels.segments import Columns, Segments, fold_segments, group_equal

_SPREAD = 4  # times as many counters as rows: beyond, sorting the ids is cheaper


@native_for("numpy")
def sum_by_id(ids: np.ndarray, columns: Columns) -> tuple[np.ndarray, Columns]:
    """`omexp.kernels.neighbours.sum_by_id` on NumPy: one counter per possible id where the ids lie close together; 5 times as fast.

    Counters are float64: exact up to 2**53.
    """
    low = int(ids.min()) if ids.size else 0
    span = int(ids.max()) - low + 1 if ids.size else 0
    if not 0 < span <= _SPREAD * ids.size:
        order, segments, distinct = group_equal(ids)
        return distinct, {name: fold_segments(column[order], segments, "add") for name, column in columns.items()}
    index = (ids - ids.dtype.type(low)).astype(np.int64)
    present = np.flatnonzero(np.bincount(index, minlength=span))
    summed = {name: np.bincount(index, weights=column, minlength=span)[present].astype(np.int64) for name, column in columns.items()}
    return (present.astype(ids.dtype) + ids.dtype.type(low)).astype(ids.dtype), summed


@native_for("numpy")
def pixel_order(objects: Objects) -> tuple[np.ndarray, Segments]:
    """`Objects.pixel_order` on NumPy: runs are moved, pixels are not sorted."""
    length = objects.runs.length
    begin = (np.cumsum(length) - length)[objects.order]
    length = length[objects.order]
    stop = np.cumsum(length)
    size = objects.runs.segments.size
    heads = np.zeros(size, bool)
    heads[(stop - length)[objects.segments.starts]] = True
    return np.arange(size) + np.repeat(begin - (stop - length), length), Segments(heads)


@native_for("numpy")
def sort_segments(values: np.ndarray, segments: Segments) -> np.ndarray:
    """`omexp.kernels.ranks.sort_segments` on NumPy: each where it lies; 5 us per object of 600 pixels."""
    values = values.copy()
    starts = segments.starts.tolist()
    for start, stop in zip(starts, [*starts[1:], values.size], strict=True):
        values[start:stop].sort()
    return values
