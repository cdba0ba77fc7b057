"""Sources: whatever can be read box by box, for writers. Knows: arrays of any library, dask, zarr. Does not know: axes, images."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

from omexp.backend import backend_of, dtype_of, numpy_backend
from omexp.errors import ArgumentError, BackendMismatchError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.reading import HostReader, Reader

__all__ = ["source_of"]


class _Boxes:
    """An array that slices: in memory (any array-API library, memory maps) or dask, whose slices are computed."""

    name = "memory"

    def __init__(self, array: Any, *, lazy: bool) -> None:
        self.array, self.lazy = array, lazy
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = dtype_of(array).newbyteorder("=")
        self.backend = backend_of(self._box(Region.whole((0,) * len(self.shape))))
        self.reason = "dask computes each block" if lazy else "the array is in memory"

    def _box(self, region: Region) -> Any:
        part = self.array[region.slices]
        return part.compute() if self.lazy else part

    def read(self, region: Region) -> Any:
        """The pixels of a box, in native byte order."""
        pixels = self._box(region)
        return pixels.astype(self.dtype) if isinstance(pixels, np.ndarray) and pixels.dtype != self.dtype else pixels


def source_of(array: Any) -> Reader:
    """A source for NumPy, CuPy or other array-API arrays, memory maps, dask arrays and zarr arrays.

    Raises
    ------
    ArgumentError
        Something else.
    """
    if isinstance(array, zarr.Array):
        return HostReader(StoredArray(array), numpy_backend)
    try:
        return _Boxes(array, lazy=type(array).__module__.startswith("dask.array"))
    except (
        BackendMismatchError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:  # ValueError: a size that dask does not know
        raise ArgumentError(
            f"this is no array that can be written ({error})",
            where="array",
            got=type(array).__name__,
            allowed="NumPy, CuPy, another array-API array, dask, zarr",
            hint="Convert it first, for example with numpy.asarray.",
        ) from None
