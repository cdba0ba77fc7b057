"""Running a plan. Knows: the walk over the tree of tiles, workers, what is on disk already. Does not know: axes, metadata, files.

A tile of the source is read once, stored if wanted, reduced, and handed to its parent; a parent whose children are all there is stored and
reduced in turn. Nothing is read back, but for tiles that an earlier, broken-off run left on disk.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

from omexp.backend import Backend, DeviceLike, from_host, numpy_backend, resolve_backend, to_host
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, warn_caller
from omexp.geometry import Region, Shape, blocks, windows_target
from omexp.kernels.methods import resolve_method
from omexp.kernels.regions import reduce_box
from omexp.kernels.windows import reduce_windows
from omexp.pyramid.plans import Pass, children, cone, default_memory, plan_passes
from omexp.storage.arrays import StoredArray
from omexp.storage.reading import default_workers
from omexp.storage.workers import run_in_order
from omexp.storage.writing import write_box

__all__ = ["Built", "Marks", "Progress", "build", "choose_backend", "planned", "require_limits", "require_same"]

Progress = Callable[[int, int], None]  # (bytes done, bytes in all), from one thread at a time, rising


class Marks(Protocol):
    """Which tiles are on disk, kept so that a run that breaks off can go on. `resumed`: an earlier one has."""

    @property
    def resumed(self) -> bool: ...

    def has(self, level: int, tile: Region) -> bool: ...

    def add(self, level: int, tile: Region) -> None: ...


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: pixels read from the source and stored, in bytes before compression; seconds; where, and why there."""

    bytes_read: int
    bytes_written: int
    seconds: float
    device: str
    reason: str


def choose_backend(device: DeviceLike, method: str, nbytes: int) -> tuple[Backend, str]:
    """Where disk-to-disk work runs, and why. "auto" takes a GPU only where the host's reduction, not the codec, is the limit."""
    if device != "auto":
        backend = resolve_backend(device)
        return backend, f"device={device!r} was asked for" if device is not None else "the default device"
    backend = resolve_backend("auto")
    if backend.is_host:
        return backend, "there is no usable GPU"
    if resolve_method(method).kernel in ("mode", "median", "gaussian", "label_image") and nbytes >= 64 << 20:
        return backend, f"{method} over {nbytes >> 20} MiB is compute-bound on the host"
    return numpy_backend, f"{method} on the host is faster than the codec, so a GPU would only add transfers"


def build(
    levels: Sequence[StoredArray],
    source: BoxReader,
    method: str,
    *,
    factors: Sequence[Shape],
    store_first: bool,
    reopen: Callable[[StoredArray, Backend], BoxReader],
    workers: int | None = None,
    max_memory: int | None = None,
    progress: Progress | None = None,
    marks: Marks | None = None,
    plan: tuple[int, list[Pass]] | None = None,
    reason: str = "",
) -> Built:
    """Fill a pyramid from its source.

    Parameters
    ----------
    levels
        The stored arrays, finest first.
    source
        Gives the pixels of the finest level.
    method
        A method of `omexp.downsample`.
    factors
        ``factors[k]`` leads from level k to level k + 1.
    store_first
        Write the finest level, too (False when it is the source): the arrays are new then, and nothing reads them yet.
    reopen
        Makes a source of a stored level, for plans of several passes.
    workers
        Threads; None for all CPUs of this process.
    max_memory
        Bytes of pixels in flight, projected before anything is read. None: 256 MiB, or 64 MiB for each worker.
    progress
        Called with (bytes done, bytes in all) of the source each time some are done.
    marks
        Which tiles are there already.
    plan
        What `planned` gave for the same levels and limits, where it had to be known before.

    Raises
    ------
    ArgumentError
        `workers` or `max_memory` cannot be: the message says how much memory the smallest plan takes.
    """
    kernel = resolve_method(method).kernel
    start = time.perf_counter()
    shapes = [level.shape for level in levels]
    itemsize = levels[0].dtype.itemsize
    limits: dict[str, Any] = {"workers": workers, "max_memory": max_memory, "once": store_first and getattr(source, "in_order", False)}
    workers, passes = plan or planned(levels, kernel, factors=factors, store_first=store_first, **limits)
    heard = _Heard(progress, itemsize * math.prod(shapes[0]) if passes else 0)
    for number, step in enumerate(passes):
        feed = source if number == 0 else reopen(levels[step.first], source.backend)
        _Walk(levels, feed, kernel, factors, step, store_first, number == 0, heard if number == 0 else None, marks).run(workers)
    heard.finish()
    read = sum(math.prod(shapes[step.first]) for step in passes) * itemsize
    written = sum(math.prod(s) for s in shapes[0 if store_first else 1 :]) * itemsize
    return Built(read, written, time.perf_counter() - start, source.backend.name, reason)


def planned(
    levels: Sequence[StoredArray],
    method: str,
    *,
    factors: Sequence[Shape],
    store_first: bool,
    workers: int | None,
    max_memory: int | None,
    once: bool = False,
) -> tuple[int, list[Pass]]:
    """Workers and passes that keep the budget: fewer workers before more memory. `once`: each pixel of the source can be had only once.

    Raises
    ------
    ArgumentError
        As `build`, which calls it; call it before, and pass on what it gives, where something must be on disk when a build begins.
    """
    require_limits(workers, max_memory)
    workers = workers or default_workers()
    shapes, units = [level.shape for level in levels], [level.write_unit for level in levels]
    while True:
        shared: dict[str, Any] = {
            "itemsize": levels[0].dtype.itemsize,
            "workers": workers,
            "memory_bytes": max_memory or default_memory(workers),
        }
        passes = plan_passes(shapes, factors, units, store_first=store_first, method=resolve_method(method).kernel, **shared)
        if once and (len(passes) > 1 or any(step.looks_around for step in passes)):  # what is needed again is stored, then read back
            rest = plan_passes(shapes, factors, units, store_first=False, method=resolve_method(method).kernel, **shared)
            passes = plan_passes(shapes[:1], [], units[:1], store_first=True, **shared) + rest
        most, allowed = max((step.bytes for step in passes), default=0), int(shared["memory_bytes"])
        if most <= allowed:
            return workers, passes
        if workers == 1 and max_memory is None:
            kinds = ", ".join(map(str, dict.fromkeys(units)))
            warn_caller(
                f"the pyramid takes about {most >> 20} MiB of memory: write units of {kinds} do not nest in less. "
                "Smaller ones, or the same ones on every level, take less"
            )
            return workers, passes
        if workers == 1:
            raise ArgumentError(
                "the pyramid cannot be built in so little memory",
                where="max_memory",
                got=f"{max_memory} bytes",
                allowed=f"at least {most} bytes for write units of {units[0]}",
                hint="Allow more, or store smaller chunks or shards.",
            )
        workers //= 2


def require_limits(workers: Any, max_memory: Any) -> None:
    """Raise `ArgumentError` for what is no number of threads or bytes."""
    if workers is not None and (not isinstance(workers, Integral) or workers < 1):
        raise ArgumentError("workers must be an int of at least 1", where="workers", got=repr(workers), allowed="or None for all CPUs")
    if max_memory is not None and (not isinstance(max_memory, Integral) or max_memory < 1):
        raise ArgumentError("max_memory must be a number of bytes", where="max_memory", got=repr(max_memory), allowed="an int, or None")


def require_same(level: StoredArray, region: Region, pixels: Any) -> None:
    """Raise `ArgumentError` if an earlier run has stored other pixels there than these."""
    if level.read(region).tobytes() != to_host(pixels).tobytes():
        raise ArgumentError(
            "the unfinished image was made from other pixels",
            where=level.where,
            got=f"box {region.start} to {region.stop} differs",
            hint="Write it anew, without resume=True.",
        )


class _Heard:
    """A progress callback that is called from one thread at a time, with rising numbers."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0
        self.lock = threading.Lock()

    def add(self, nbytes: int) -> None:
        if self.progress:
            with self.lock:
                self.done += nbytes
                self.progress(self.done, self.total)

    def finish(self) -> None:
        """All is done, also what an earlier run did, which was not heard of."""
        if self.done < self.total:
            self.add(self.total - self.done)


class _Stopped(Exception):
    """In a worker: another part of the work has failed."""


class _Walk:
    """One pass, run."""

    def __init__(
        self,
        levels: Sequence[StoredArray],
        source: BoxReader,
        kernel: str,
        factors: Sequence[Shape],
        step: Pass,
        fresh: bool,
        from_source: bool,
        heard: _Heard | None,
        marks: Marks | None,
    ) -> None:
        self.levels, self.source, self.kernel, self.factors, self.step = levels, source, kernel, factors, step
        self.store_first, self.heard, self.marks = fresh and from_source and step.first == 0, heard, marks
        self.shapes = [level.shape for level in levels]
        self.dtype = levels[0].dtype
        self.stopped = threading.Event()
        self.once = getattr(source, "in_order", False)  # each pixel must be read, and can be once
        self.fast = fresh and not (marks is not None and marks.resumed)  # what a resumed run writes again must stay whole if it is killed

    def run(self, workers: int) -> None:
        tops = list(blocks(self.shapes[self.step.last], self._tile(self.step.last)))
        tasks = (tile for top in tops for tile in self._tasks(self.step.last, top))
        with contextlib.closing(run_in_order(self._worker, tasks, workers, stop=self.stopped)) as done:
            for top in tops:
                self._assemble(self.step.last, top, self.step.split, lambda _: next(done))

    def _worker(self, tile: Region) -> list[Any]:
        with self.source.backend.active():
            return self._assemble(self.step.split, tile, self.step.first, self._make)

    def _tile(self, level: int) -> Shape:
        return self.step.tiles[level - self.step.first]

    def _tasks(self, level: int, region: Region) -> Iterator[Region]:
        """Tiles of the split level, in the order in which `_assemble` asks for them."""
        if level == self.step.split:
            yield region
        elif not self._is_there(level, region):
            for child in self._children(level, region):
                yield from self._tasks(level - 1, child)

    def _children(self, level: int, region: Region) -> Iterator[Region]:
        yield from blocks(children(level, region, self.shapes, self.factors), self._tile(level - 1))

    def _assemble(self, level: int, region: Region, leaf: int, fetch: Callable[[Region], list[Any]]) -> list[Any]:
        """A region's pixels, stored, and what is known already of the levels above it; made from its children down to `leaf`, by
        `fetch`."""
        if level == leaf:
            return fetch(region)
        if self._is_there(level, region):
            return [from_host(self.levels[level].read(region), self.source.backend)]
        parts: list[Any] = []
        for child in self._children(level, region):
            target = windows_target(child, self.factors[level - 1], self.shapes[level])
            parts = self._joined(parts, self._above(level, child, target.intersect(region), leaf, fetch), level, region, target)
        self._store(level, region, parts[0])
        return parts

    def _above(self, level: int, child: Region, target: Region, leaf: int, fetch: Callable[[Region], list[Any]]) -> list[Any]:
        """What a tile of the level below gives to this level, and to those above where that is known. Its own pixels are let go of."""
        parts = self._assemble(level - 1, child, leaf, fetch)
        return parts[1:] if self.step.looks_around else [self._reduced(parts[0], level, target)]

    def _make(self, region: Region) -> list[Any]:
        """A tile of the pass's first level, read from the source and stored if wanted; where the method looks around, its parts above,
        too."""
        if self.stopped.is_set():
            raise _Stopped
        first = self.step.first
        if not self.step.looks_around:
            there = self.store_first and self._is_there(first, region)
            pixels = from_host(self.levels[first].read(region), self.source.backend) if there else self.source.read(region)
            parts = [pixels]
        else:
            levels = slice(first, self.step.last + 1)
            needed, made = cone(region, self.shapes[levels], self.factors[first : self.step.last], self.kernel)
            around, parts = self.source.read(needed[0]), []
            pixels = around[region.relative_to(needed[0]).slices]
            for k, factor in enumerate(self.factors[first : self.step.last]):
                around = reduce_box(around, needed[k], needed[k + 1], factor, self.shapes[first + k], self.kernel)
                parts.append(around[made[k + 1].relative_to(needed[k + 1]).slices])
            parts.insert(0, pixels)
        if self.store_first:
            self._store(first, region, pixels)
        if self.heard:
            self.heard.add(region.size * self.dtype.itemsize)
        return parts

    def _reduced(self, pixels: Any, level: int, target: Region) -> Any:
        """The part of a region that a child of it gives."""
        if target.size == 0:
            return None
        part = reduce_windows(pixels, self.factors[level - 1], self.kernel)
        return part[tuple(slice(0, n) for n in target.shape)]

    def _joined(self, parts: list[Any], found: list[Any], level: int, region: Region, target: Region) -> list[Any]:
        """The pixels of a region and of what lies above it, with those that one child gives: `found` is over `target` and upwards."""
        joined = list(parts) or [None] * len(found)
        for k, part in enumerate(found):
            if k:
                region = windows_target(region, self.factors[level + k - 1], self.shapes[level + k])
                target = windows_target(target, self.factors[level + k - 1], self.shapes[level + k])
            inner = target.intersect(region)
            if part is None or inner.size == 0:
                continue
            if inner == region:
                joined[k] = part
                continue
            if joined[k] is None:
                joined[k] = self.source.backend.empty(region.shape, self.dtype)
            joined[k][inner.relative_to(region).slices] = part
        return joined

    # ---------------------------------------------------------------------------------------------- what is there
    def _is_there(self, level: int, region: Region) -> bool:
        """Whether an earlier run has left this tile and all below it on disk. Parts of the levels above cannot be read back, so a method
        that looks around makes them again, and stores only what is missing. So does a source that has to be read in order."""
        return not self.step.looks_around and not self.once and self.marks is not None and self.marks.has(level, region)

    def _store(self, level: int, region: Region, pixels: Any) -> None:
        if self.marks is not None and self.marks.has(level, region):
            if self.store_first and level == self.step.first:
                require_same(self.levels[level], region, pixels)
            return
        write_box(self.levels[level], region, pixels, fast=self.fast)
        if self.marks is not None:
            self.marks.add(level, region)
