"""Pixels that lie in a file as they are. Knows: offsets, byte order, memory maps. Does not know: formats.

Each read maps the bytes between the first and the last pixel of its box and lets them go again. A map of the whole file would count
every page that was ever touched as this process's memory: 1 GB for a file of 1 GB; so it stays at the size of the box.
"""

from __future__ import annotations

import math
import mmap
import os
from typing import Any

import numpy as np

from omexp.backend import numpy_backend
from omexp.errors import StoredDataError
from omexp.geometry import Region, Shape

__all__ = ["MappedReader", "read_mapped"]


def read_mapped(path: str, offset: int, shape: Shape, dtype: np.dtype[Any], region: Region, out: np.ndarray) -> None:
    """Copy a box of a C-ordered array of `shape` and `dtype`, which starts at byte `offset` of a file, into `out`.

    Raises
    ------
    StoredDataError
        The file ends before the box does.
    """
    if not region.size:
        return
    strides = [dtype.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape))]
    low = offset + sum(a * s for a, s in zip(region.start, strides, strict=True))
    high = offset + sum((b - 1) * s for b, s in zip(region.stop, strides, strict=True)) + dtype.itemsize
    begin = low - low % mmap.ALLOCATIONGRANULARITY
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < high:
            raise StoredDataError("the file ends before its pixels do", where=path, got=f"{size} bytes", allowed=f"at least {high}")
        mapped = mmap.mmap(file.fileno(), high - begin, access=mmap.ACCESS_READ, offset=begin)
    out[...] = np.ndarray(region.shape, dtype, mapped, low - begin, strides)


class MappedReader:
    """Boxes of an array that lies uncompressed in a file."""

    name, backend = "mapped", numpy_backend

    def __init__(self, path: str, offset: int, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.path, self.offset, self.shape, self.stored = path, offset, tuple(shape), np.dtype(dtype)
        self.dtype = self.stored.newbyteorder("=")
        self.reason = "the pixels lie uncompressed in the file, so each box is mapped"

    def read(self, region: Region) -> np.ndarray:
        """The pixels of a box, in native byte order."""
        out = np.empty(region.shape, self.dtype)
        read_mapped(self.path, self.offset, self.shape, self.stored, region, out)
        return out
