"""Labels with other ids, or with fewer objects. Knows: tables of ids, boxes. Does not know: pixels of neighbours, files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omexp.backend import Array, backend_of, dtype_of
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Region
from omexp.kernels.label_maps import largest_id, map_ids, smallest_dtype
from omexp.kernels.labels import LabelBoxes

__all__ = ["MappedReader", "inner_ids", "large_ids", "sequential_ids"]


class MappedReader:
    """A label whose ids are exchanged as they are read. See `omexp.kernels.label_maps.map_ids`."""

    name, reason, lazy = "mapped", "ids are exchanged as they are read", True

    def __init__(self, inner: BoxReader, ids: Array, values: Array, *, others_stay: bool = False) -> None:
        self.inner, self.ids, self.values, self.others_stay = inner, ids, values, others_stay
        self.shape, self.dtype, self.backend = inner.shape, dtype_of(values), inner.backend

    def read(self, region: Region) -> Array:
        """The pixels of a box."""
        return map_ids(self.inner.read(region), self.ids, self.values, others_stay=self.others_stay)


def sequential_ids(ids: Array, offset: int, dtype: Any | None) -> Array:
    """``offset, offset + 1, ...``, one for each of (n,) ids, in `dtype` or the smallest unsigned one that holds them.

    Raises
    ------
    ArgumentError
        `offset` is below 1: 0 is background.
    DTypeError
        `dtype` does not hold the last id.
    """
    backend, count = backend_of(ids), ids.shape[0]
    if offset < 1:
        raise ArgumentError("new ids must be positive", where="offset", got=offset, allowed="1 or more", hint="0 is background.")
    last = offset + count - 1
    name = smallest_dtype(max(last, 0)) if dtype is None else dtype
    if last > largest_id(name):
        raise DTypeError("the dtype does not hold the last id", where="dtype", got=str(name), allowed=smallest_dtype(last))
    return backend.xp.astype(backend.arange(offset, offset + count), backend.dtype(name))


def large_ids(boxes: LabelBoxes, min_size: float, pixel: float = 1.0) -> Array:
    """The ids of objects that are not smaller than `min_size`; `pixel` is the size of one pixel in the same unit."""
    return boxes.ids[boxes.area >= _whole(min_size / pixel)]  # whole pixels are compared, so that 12 pixels of 0.1 are 1.2


def _whole(pixels: float) -> int:
    """Rounded up, but for what is above a whole number by rounding errors alone."""
    nearest = round(pixels)
    return nearest if abs(pixels - nearest) <= 1e-9 * max(1.0, abs(pixels)) else int(-(-pixels // 1))


def inner_ids(boxes: LabelBoxes, shape: Sequence[int], axes: Sequence[int], buffer: int) -> Array:
    """The ids of objects without a pixel among the first or last ``buffer + 1`` along the axes; an axis of size 1 has no border."""
    backend = backend_of(boxes.ids)
    inside = backend.full(boxes.ids.shape, True, "bool")
    for axis in axes:
        if shape[axis] > 1:
            inside = inside & (boxes.start[:, axis] > buffer) & (boxes.stop[:, axis] < shape[axis] - buffer)
    return boxes.ids[inside]
