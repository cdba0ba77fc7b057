"""Coarser levels read on demand. Knows: readers made of a reader, reduced or with axes in another order. Does not know: files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from omexp.backend import Array
from omexp.geometry import Region, Shape, blocks
from omexp.kernels.methods import resolve_method
from omexp.kernels.regions import reduce_box, source_box
from omexp.storage.reading import Reader

__all__ = ["PART_BYTES", "PermutedReader", "ReducedReader"]

PART_BYTES = 64 << 20  # of the finer level held at a time


class ReducedReader:
    """The next level of a pyramid over a reader of the level before; each read makes the pixels it is asked for.

    Parameters
    ----------
    inner
        The finer level.
    shape
        Of this level: ``ceil(n / f)`` per axis; a stored level may be smaller.
    factors
        The window, one int per axis.
    method
        What `resolve_method` takes.

    Examples
    --------
    >>> import numpy
    >>> from omexp.storage.sources import source_of
    >>> reader = ReducedReader(source_of(numpy.arange(6, dtype="uint8")), (3,), (2,), "max")
    >>> reader.read(Region((1,), (3,)))
    array([3, 5], dtype=uint8)
    """

    name = "reduced"

    def __init__(self, inner: Reader, shape: Shape, factors: Shape, method: str) -> None:
        self.inner, self.shape, self.factors = inner, tuple(shape), tuple(factors)
        self.method = resolve_method(method)
        self.dtype, self.backend = inner.dtype, inner.backend
        self.reason = f"{self.method.kernel} over windows of {self.factors}, from {inner.name}: {inner.reason}"

    def read(self, region: Region) -> Array:
        """The pixels of a box; at most about `PART_BYTES` of the level before are held at a time."""
        with self.backend.active():
            part = self._part(region.shape)
            if region.size and part == region.shape:
                return self._reduced(region)
            pixels = self.backend.empty(region.shape, self.dtype)
            for box in blocks(region, part):
                pixels[box.relative_to(region).slices] = self._reduced(box)
            return pixels

    def _part(self, shape: Shape) -> Shape:
        """The shape of the parts to read: `shape`, halved along its longest axis until its source is small."""
        part = list(shape)
        while math.prod(p * f for p, f in zip(part, self.factors, strict=True)) * self.dtype.itemsize > PART_BYTES and max(part) > 1:
            longest = max(range(len(part)), key=lambda i: part[i])
            part[longest] = -(-part[longest] // 2)
        return tuple(part)

    def _reduced(self, target: Region) -> Array:
        kernel = self.method.kernel
        box = source_box(target, self.factors, self.inner.shape, kernel)
        return reduce_box(self.inner.read(box), box, target, self.factors, self.inner.shape, kernel)


class PermutedReader:
    """A reader whose axis i is axis ``order[i]`` of another one."""

    def __init__(self, inner: Reader, order: Sequence[int]) -> None:
        self.inner, self.order = inner, tuple(order)
        self.shape = tuple(inner.shape[i] for i in self.order)
        self.name, self.reason, self.dtype, self.backend = inner.name, inner.reason, inner.dtype, inner.backend

    def read(self, region: Region) -> Array:
        """The pixels of a box."""
        back = [self.order.index(i) for i in range(len(self.order))]
        box = Region(tuple(region.start[i] for i in back), tuple(region.stop[i] for i in back))
        return self.backend.xp.permute_dims(self.inner.read(box), self.order)
