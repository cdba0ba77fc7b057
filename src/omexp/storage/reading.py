"""Readers: boxes of a stored array on a backend. Knows: how bytes become arrays on a device. Does not know: axes, images."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Protocol

from omexp.backend import Backend, from_host
from omexp.boxes import BoxReader
from omexp.geometry import Region
from omexp.kernels.masks import take_nearest
from omexp.selection import Selection
from omexp.storage.arrays import StoredArray

__all__ = ["FixedAxesReader", "HostReader", "Reader", "choose_reader", "default_workers", "is_dense", "read_selection", "worker_reader"]


class Reader(BoxReader, Protocol):
    """Reads boxes of one array. `name` and `reason` say which way the bytes go, and why that way."""

    name: str
    reason: str


class HostReader:
    """Decodes on host threads into host memory; one upload where the backend is a device."""

    name = "host"

    def __init__(self, stored: StoredArray, backend: Backend, workers: int | None = None, cached: bool = False) -> None:
        self.stored, self.backend, self.workers, self.cached = stored, backend, workers or default_workers(), cached
        self.shape, self.dtype = stored.shape, stored.dtype
        upload = "" if backend.is_host else f", one upload to {backend.name}"
        self.reason = f"host decode of {stored.codec} by {stored.pipeline} ({stored.pipeline_reason}){upload}"

    def read(self, region: Region) -> Any:
        """The pixels of a box, as an array on the backend."""
        return from_host(self.stored.read(region, workers=self.workers, cached=self.cached), self.backend)

    def __repr__(self) -> str:
        return f"{self.name}: {self.reason}"


def choose_reader(stored: StoredArray, backend: Backend, *, workers: int | None = None, cached: bool = False) -> Reader:
    """The reader for an array and a backend, chosen once at open.

    `workers` threads decode a box; None: all CPUs. `cached` is for boxes here and there that come back to the same chunks (see
    `omexp.chunk_cache`), not for going through an array.
    """
    return HostReader(stored, backend, workers, cached)


def worker_reader(stored: StoredArray, backend: Backend) -> Reader:
    """A reader for one of several workers: each box is decoded by the thread that asks for it."""
    return choose_reader(stored, backend, workers=1)


def default_workers() -> int:
    """Threads for work that releases the GIL: the CPUs this process may use, at most 16."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, 16)


class FixedAxesReader:
    """A reader with some axes fixed at an index and left out: one channel of an image, say."""

    def __init__(self, reader: Reader, fixed: Mapping[int, int]) -> None:
        self.inner, self.fixed = reader, dict(fixed)
        self.name, self.reason, self.backend, self.dtype = reader.name, reader.reason, reader.backend, reader.dtype
        self.kept = tuple(i for i in range(len(reader.shape)) if i not in self.fixed)
        self.shape = tuple(reader.shape[i] for i in self.kept)

    def read(self, region: Region) -> Any:
        """The pixels of a box over the kept axes."""
        spans = dict(zip(self.kept, zip(region.start, region.stop, strict=True), strict=True))
        whole = [spans.get(i) or (self.fixed[i], self.fixed[i] + 1) for i in range(len(self.inner.shape))]
        pixels = self.inner.read(Region(tuple(a for a, _ in whole), tuple(b for _, b in whole)))
        return self.backend.xp.reshape(pixels, region.shape)


SPARSE = 16  # times as many pixels in the bounds as are picked: from there on each stretch is read or written by itself


def read_selection(reader: Reader, selection: Selection) -> Any:
    """The selected pixels over all stored axes: one contiguous read, unless the picked ones lie far apart."""
    if selection.is_box:
        return reader.read(selection.bounds)
    widened, steps = selection.widened()
    if is_dense(widened):
        low = widened.bounds.start
        pixels = reader.read(widened.bounds)
        places = [None if isinstance(p, range) else [i - a for i in p] for p, a in zip(widened.picks, low, strict=True)]
        return take_nearest(pixels, places)[steps]
    pixels = reader.backend.empty(widened.shape, reader.dtype)
    for region, place in widened.pieces():
        pixels[place] = reader.read(region)
    return pixels[steps]


def is_dense(selection: Selection) -> bool:
    """Whether the smallest box around the picked pixels is worth reading at once."""
    return selection.bounds.size <= SPARSE * math.prod(selection.shape)
