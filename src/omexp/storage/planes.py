"""Planes that come one after the other: a camera, a file format without random access, a generator. Knows: which planes are still
needed."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from omexp.backend import Backend, backend_of, dtype_of, numpy_backend
from omexp.errors import ArgumentError, BackendMismatchError, StoredDataError
from omexp.geometry import Region, Shape, blocks

__all__ = ["Planes"]


class Planes:
    """An image given plane by plane, in C order of all axes but the last two; a writer takes it as it takes an array.

    Parameters
    ----------
    planes
        Arrays of shape ``shape[-2:]`` and dtype `dtype`, on one device; each is asked for once, in order, copied, and let go of as soon
        as all of its pixels are written. One worker holds one plane at a time, where chunks and factors are 1 along the other axes;
        deeper ones hold as many planes as a tile of the writer (16 MiB) spans, and each further worker another tile's.
    shape, dtype
        Of the whole image.

    Raises
    ------
    ArgumentError
        Fewer than two axes.
    StoredDataError
        While it is written: planes of another shape or dtype, or too few of them. Further ones are never asked for.

    Examples
    --------
    >>> import numpy, omexp
    >>> planes = (numpy.full((64, 64), z, "uint8") for z in range(10))
    >>> source = omexp.Planes(planes, shape=(10, 64, 64), dtype="uint8")
    >>> image = omexp.create_ome_zarr_from_array("planes.zarr", source, xy_pixelsize=0.5, overwrite=True).get_image()
    >>> int(image.get_as_numpy(z=7).max())
    7
    """

    name = "planes"
    reason = "planes come one after the other"
    in_order = True  # each pixel can be read once

    def __init__(self, planes: Iterable[Any], shape: Sequence[int], dtype: Any, backend: Backend = numpy_backend) -> None:
        self.shape: Shape = tuple(int(n) for n in shape)
        if len(self.shape) < 2:
            raise ArgumentError("an image of planes has two axes at least", where="Planes", got=f"shape {self.shape}")
        self.dtype, self.backend = np.dtype(dtype), backend
        self._planes: Iterator[Any] = iter(planes)
        self._held: dict[Shape, Any] = {}
        self._left: dict[Shape, int] = {}  # pixels of held planes that were not handed out yet
        self._failure: BaseException | None = None  # of the planes: whoever waits for later ones is told the same
        self._next = blocks(self.shape[:-2], (1,) * (len(self.shape) - 2)) if len(self.shape) > 2 else iter([Region((), ())])
        self._lock = threading.Lock()

    def read(self, region: Region) -> Any:
        """The pixels of a box. Every pixel can be read once."""
        outer, inner = Region(region.start[:-2], region.stop[:-2]), Region(region.start[-2:], region.stop[-2:])
        pixels = self.backend.empty(region.shape, self.dtype)
        cells = blocks(outer, (1,) * len(outer.start)) if outer.start else [Region((), ())]
        for cell in cells:
            place = tuple(slice(i - a, i - a + 1) for i, a in zip(cell.start, outer.start, strict=True))
            pixels[(*place, ...)] = self._plane(cell.start)[inner.slices]  # no name for it here: it must not outlive the next one's making
            self._let_go(cell.start, inner.size)
        return pixels

    def _plane(self, index: Shape) -> Any:
        with self._lock:
            while index not in self._held:
                if self._failure is not None:
                    raise self._failure
                try:
                    cell = next(self._next, None)
                    if cell is None:
                        raise StoredDataError("a plane is read again that was let go of", where="Planes", got=f"plane {index}")
                    self._held[cell.start] = self._copied(cell.start)
                except BaseException as error:
                    self._failure = error
                    raise
                self._left[cell.start] = math.prod(self.shape[-2:])
            return self._held[index]

    def _copied(self, index: Shape) -> Any:
        """The next plane, as an array of its own: what gives the planes may fill the same buffer again and again."""
        try:
            plane = next(self._planes)
        except StopIteration:
            raise StoredDataError(
                "there are too few planes", where="Planes", got=f"none for {index}", allowed=f"{math.prod(self.shape[:-2])} in all"
            ) from None
        try:
            found: tuple[Any, ...] = (tuple(plane.shape), dtype_of(plane), "on", backend_of(plane))
        except (AttributeError, BackendMismatchError):
            found = (type(plane).__name__,)
        if found != (self.shape[-2:], self.dtype, "on", self.backend):
            raise StoredDataError(
                "a plane does not fit the image",
                where=f"Planes, plane {index}",
                got=" ".join(str(getattr(part, "name", part)) for part in found),
                allowed=f"{self.shape[-2:]} {self.dtype} {self.backend.name}",
            )
        with self.backend.active():
            return self.backend.xp.asarray(plane, copy=True)

    def _let_go(self, index: Shape, size: int) -> None:
        with self._lock:
            self._left[index] -= size
            if self._left[index] <= 0:
                del self._held[index], self._left[index]
