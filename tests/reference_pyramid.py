"""Pyramids the slow way, and levels in memory that remember how they were filled. Knows: what a build may do, not how."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from zarr.storage import LocalStore

from omexp.backend import Backend, from_host, numpy_backend
from omexp.geometry import Region, Shape
from tests.reference import downsample_reference


def pyramid_reference(finest: np.ndarray, shapes: list[Shape], factors: list[Shape], method: str) -> list[np.ndarray]:
    """Level by level, each as large as it is on disk: pixels in no window are left out."""
    levels = [finest]
    for shape, factor in zip(shapes[1:], factors, strict=True):
        levels.append(downsample_reference(levels[-1], factor, method)[tuple(map(slice, shape))])
    return levels


class MemoryLevel:
    """A stored array as the pyramid sees it, in memory: counts how often each pixel was written and refuses to cut a write unit."""

    def __init__(self, shape: Shape, dtype: Any, write_unit: Shape) -> None:
        self.shape, self.dtype, self.write_unit = shape, np.dtype(dtype), write_unit
        self.pixels, self.writes = np.zeros(shape, dtype), np.zeros(shape, int)
        self.before_write: Callable[[Region], None] = lambda region: None
        self._lock = threading.Lock()

    def write(self, region: Region, pixels: np.ndarray, *, fast: bool = False) -> None:
        self.before_write(region)
        assert pixels.shape == region.shape
        assert pixels.dtype == self.dtype
        for a, b, unit, size in zip(region.start, region.stop, self.write_unit, self.shape, strict=True):
            assert a % unit == 0
            assert b % unit == 0 or b == size
        with self._lock:
            self.pixels[region.slices] = pixels
            self.writes[region.slices] += 1


class CountingSource:
    """Pixels on a backend, box by box; counts how often each pixel was read."""

    def __init__(self, pixels: np.ndarray, backend: Backend = numpy_backend) -> None:
        self.pixels, self.backend = pixels, backend
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.reads = np.zeros(pixels.shape, int)
        self.before_read: Callable[[Region], None] = lambda region: None
        self._lock = threading.Lock()

    def read(self, region: Region) -> Any:
        self.before_read(region)
        with self._lock:
            self.reads[region.slices] += 1
        return from_host(self.pixels[region.slices].copy(), self.backend)


class CountingStore(LocalStore):
    """A local store that counts reads and writes of chunks; zarrs does not know it, so zarr's own pipeline serves."""

    gets: dict[tuple[str, str], int]  # of a key and a range of its bytes
    sets: dict[str, int]

    def count(self) -> CountingStore:
        self.gets, self.sets = {}, {}
        return self

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        found = await super().get(key, prototype, byte_range)
        if _is_chunk(key) and found is not None:  # zarr looks for a shard before it writes it
            self.gets[key, repr(byte_range)] = self.gets.get((key, repr(byte_range)), 0) + 1
        return found

    async def set(self, key: str, value: Any) -> None:
        if _is_chunk(key):
            self.sets[key] = self.sets.get(key, 0) + 1
        await super().set(key, value)


def _is_chunk(key: str) -> bool:
    return not key.endswith(("zarr.json", ".zgroup", ".zattrs", ".zarray"))
