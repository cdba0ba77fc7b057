"""Sources: whatever can be read box by box, for writers. Knows: arrays of any library, dask, zarr. Does not know: axes, images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr

from omexp.backend import backend_of, dtype_of, numpy_backend
from omexp.errors import ArgumentError, BackendMismatchError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.kept import Kept
from omexp.storage.reading import HostReader, Reader

__all__ = ["source_of"]


BLOCKS_BYTES = 256 << 20  # of computed dask blocks that the boxes of a writer cut, so that each is computed once


class _Memory:
    """An array in memory that slices: any array-API library, memory maps."""

    name, reason, lazy = "memory", "the array is in memory", False

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = dtype_of(array).newbyteorder("=")
        self.backend = backend_of(array[Region.whole((0,) * len(self.shape)).slices])

    def read(self, region: Region) -> Any:
        """The pixels of a box, in native byte order."""
        return _native(self.array[region.slices], self.dtype)


class _Dask:
    """A dask array. Blocks inside a box are computed together; blocks that it cuts one by one, and kept for the boxes beside it.

    Blocks that many boxes cut (planes, under chunks that are deep) are computed once as long as those in use fit `BLOCKS_BYTES`.
    """

    name, reason, lazy = "dask", "dask computes each block", True

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = dtype_of(array).newbyteorder("=")
        self.backend = backend_of(array._meta)
        self._starts = [(0, *itertools.accumulate(int(n) for n in sizes)) for sizes in array.chunks]
        self._kept = Kept(BLOCKS_BYTES)

    def read(self, region: Region) -> Any:
        """The pixels of a box, in native byte order."""
        met = [
            [k for k, (lo, hi) in enumerate(itertools.pairwise(starts)) if lo < b and hi > a]
            for starts, a, b in zip(self._starts, region.start, region.stop, strict=True)
        ]
        whole = [
            [k for k in ks if starts[k] >= a and starts[k + 1] <= b]
            for ks, starts, a, b in zip(met, self._starts, region.start, region.stop, strict=True)
        ]
        inner = Region((0,) * len(met), (0,) * len(met))
        if all(whole) and whole:
            inner = self._box_of([ks[0] for ks in whole], [ks[-1] for ks in whole])
        if inner == region or region.size == 0:
            return _native(self._computed(region), self.dtype)
        pixels = self.backend.empty(region.shape, self.dtype)
        if inner.size:
            pixels[inner.relative_to(region).slices] = self._computed(inner)
        for index in itertools.product(*met):
            if inner.size and all(k in ks for k, ks in zip(index, whole, strict=True)):
                continue
            block = self._box_of(index, index)
            part = block.intersect(region)
            pixels[part.relative_to(region).slices] = self._block(index, block)[part.relative_to(block).slices]
        return pixels

    def _box_of(self, first: Sequence[int], last: Sequence[int]) -> Region:
        """The box from one block to another, both included."""
        start = tuple(starts[k] for starts, k in zip(self._starts, first, strict=True))
        return Region(start, tuple(starts[k + 1] for starts, k in zip(self._starts, last, strict=True)))

    def _block(self, index: tuple[int, ...], block: Region) -> Any:
        return self._kept.get(index, lambda: self._computed(block))

    def _computed(self, region: Region) -> Any:
        # this very thread computes it: the writer has threads of its own, and a pool in each would be too many
        return self.array[region.slices].compute(scheduler="synchronous")


def _native(pixels: Any, dtype: np.dtype[Any]) -> Any:
    return pixels.astype(dtype) if isinstance(pixels, np.ndarray) and pixels.dtype != dtype else pixels


def source_of(array: Any) -> Reader:
    """A source for NumPy, CuPy or other array-API arrays, memory maps, dask arrays and zarr arrays.

    Raises
    ------
    ArgumentError
        Something else.
    """
    if isinstance(array, zarr.Array):
        return HostReader(StoredArray(array), numpy_backend, workers=1)
    known = getattr(array, "_omexp_source", None)  # a dask array that stands for something that can be read directly
    if known is not None:
        return known
    if all(hasattr(array, name) for name in ("read", "shape", "dtype", "backend")):
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise ArgumentError("a masked array has no pixels under its mask", where="array", hint="Fill it first, with array.filled(0), say.")
    try:
        return _Dask(array) if type(array).__module__.startswith("dask.array") else _Memory(array)
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
