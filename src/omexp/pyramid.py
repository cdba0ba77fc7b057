"""Pyramids. Knows: level shapes, tiles that nest, one pass from the finest level to the coarsest. Does not know: axes, metadata, files.

A plan is data: `plan_levels` gives shapes, `plan_passes` tiles. Running it walks the tree of tiles depth first: a tile of the source is
read once, stored if wanted, reduced, and handed to its parent; a parent whose children are all there is stored and reduced in turn.
Every write unit (shard, else chunk) lies in one tile, so it is written once, whole, by one worker; nothing is read back.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

from omexp.backend import Backend, DeviceLike, numpy_backend, resolve_backend
from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape, blocks, grow_block, level_shape, windows_source, windows_target
from omexp.kernels.windows import METHODS, reduce_windows
from omexp.storage.arrays import StoredArray
from omexp.storage.writing import default_workers, run_in_order, write_box

__all__ = ["TILE_BYTES", "Built", "Pass", "Source", "build", "choose_backend", "plan_levels", "plan_passes", "require_method"]

TILE_BYTES = 16 << 20  # large enough that the codec pipeline has work for every core, small enough to stay bounded
MEMORY_BYTES = 512 << 20  # of tiles in flight; a pass that would need more is cut in two


class Source(Protocol):
    """What a pyramid is built from: `read` gives the pixels of a box, on `backend`."""

    shape: Shape
    dtype: Any
    backend: Backend

    def read(self, region: Region) -> Any: ...


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over the levels `first` ... `last`: level `first` is the source; `tiles` has one tile shape per level of the pass.

    `split` is the level whose tiles are the tasks of the workers. `bytes` is the projected memory of the pixels in flight.
    """

    first: int
    last: int
    tiles: tuple[Shape, ...]
    split: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did: pixels read from the source and stored, in bytes before compression; seconds; where, and why there."""

    bytes_read: int
    bytes_written: int
    seconds: float
    device: str
    reason: str


# ----------------------------------------------------------------------------------------------------------- plans
def plan_levels(shape: Sequence[int], factors: Sequence[int], levels: int) -> list[Shape]:
    """Shapes of `levels` levels: each ``ceil(n / f)`` of the one before; fewer where a level would equal the one before.

    Examples
    --------
    >>> plan_levels((3, 501, 333), (1, 2, 2), 3)
    [(3, 501, 333), (3, 251, 167), (3, 126, 84)]

    Raises
    ------
    ArgumentError
        `levels` below 1, or factors that are not ints of at least 1, one per axis.
    """
    if not isinstance(levels, Integral) or levels < 1:
        raise ArgumentError("levels must be an int of at least 1", got=repr(levels), allowed="1 for no pyramid")
    if len(factors) != len(shape) or any(not isinstance(f, Integral) or f < 1 for f in factors):
        raise ArgumentError("scaling factors must be ints of at least 1, one per axis", got=tuple(factors), allowed=f"{len(shape)} ints")
    shapes = [tuple(shape)]
    while len(shapes) < levels and (smaller := level_shape(shapes[-1], factors)) != shapes[-1]:
        shapes.append(smaller)
    return shapes


def plan_passes(
    shapes: Sequence[Shape],
    factors: Sequence[Shape],
    units: Sequence[Shape],
    *,
    itemsize: int,
    store_first: bool,
    workers: int = 1,
    tile_bytes: int = TILE_BYTES,
    memory_bytes: int = MEMORY_BYTES,
) -> list[Pass]:
    """The passes that build all levels: usually one; more where the write units of the levels do not nest in bounded memory.

    Parameters
    ----------
    shapes, units
        Level shapes and write units, finest first.
    factors
        ``factors[k]`` leads from level k to level k + 1.
    store_first
        Whether level 0 is written, too.
    """
    passes: list[Pass] = []
    first, last = 0, len(shapes) - 1
    while first < last or (not passes and store_first):
        best = None
        for end in range(min(first + 1, last), last + 1):
            candidate = _plan_pass(shapes, factors, units, first, end, itemsize, workers, tile_bytes)
            if best is not None and candidate.bytes > memory_bytes:
                break
            best = candidate
        assert best is not None
        passes.append(best)
        first = best.last
    return passes


def _plan_pass(
    shapes: Sequence[Shape],
    factors: Sequence[Shape],
    units: Sequence[Shape],
    first: int,
    last: int,
    itemsize: int,
    workers: int,
    tile_bytes: int,
) -> Pass:
    ndim = len(shapes[0])
    below = factors[first] if first < last else (1,) * ndim
    # no tile cuts a window or a write unit, so that each is read once and written once
    least = [math.lcm(below[i], units[first][i]) for i in range(ndim)]
    tiles = [grow_block(least, shapes[first], tile_bytes // itemsize)]
    for level in range(first + 1, last + 1):
        below = factors[level] if level < last else (1,) * ndim
        tiles.append(tuple(math.lcm(units[level][i], below[i], tiles[-1][i] // factors[level - 1][i]) for i in range(ndim)))
    counts = [math.prod(-(-n // t) for n, t in zip(shapes[first + k], tile, strict=True)) for k, tile in enumerate(tiles)]
    split = next((k for k in reversed(range(len(tiles))) if counts[k] >= 4 * workers), 0)
    sizes = [itemsize * math.prod(min(n, t) for n, t in zip(shapes[first + k], tile, strict=True)) for k, tile in enumerate(tiles)]
    # a worker holds one tile of each level up to `split` and one being reduced; twice as many results may wait; then the levels above
    at_work = 2 * max(sizes[: split + 1]) + sum(sizes[1 : split + 1])
    above = 2 * max(sizes[split:]) + sum(sizes[split + 1 :])
    return Pass(first, last, tuple(tiles), first + split, workers * (at_work + 2 * sizes[split]) + above)


def require_method(method: str) -> str:
    """The method, if it is one of `omexp.downsample`. Raises `ArgumentError`."""
    if method not in METHODS:
        raise ArgumentError("there is no such downsampling method", got=repr(method), allowed=", ".join(METHODS))
    return method


def choose_backend(device: DeviceLike, method: str, nbytes: int) -> tuple[Backend, str]:
    """Where disk-to-disk work runs, and why. "auto" takes a GPU only where the host's reduction, not the codec, is the limit."""
    if device != "auto":
        backend = resolve_backend(device)
        return backend, f"device={device!r} was asked for" if device is not None else "the default device"
    backend = resolve_backend("auto")
    if backend.is_host:
        return backend, "there is no usable GPU"
    if method in ("mode", "median") and nbytes >= 64 << 20:
        return backend, f"{method} over {nbytes >> 20} MiB is compute-bound on the host"
    return numpy_backend, f"{method} on the host is faster than the codec, so a GPU would only add transfers"


# --------------------------------------------------------------------------------------------------------- running
def build(
    levels: Sequence[StoredArray],
    source: Source,
    method: str,
    *,
    factors: Sequence[Shape],
    store_first: bool,
    reopen: Callable[[StoredArray, Backend], Source],
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
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
        Write the finest level, too (False when it is the source).
    reopen
        Makes a source of a stored level, for plans of several passes.
    workers
        Threads; None for all CPUs of this process.
    progress
        Called with the number of source bytes each time some are done.
    """
    if workers is not None and (not isinstance(workers, Integral) or workers < 1):
        raise ArgumentError("workers must be an int of at least 1", where="workers", got=repr(workers), allowed="or None for all CPUs")
    workers = workers or default_workers()
    start = time.perf_counter()
    shapes = [level.shape for level in levels]
    itemsize = levels[0].dtype.itemsize
    passes = plan_passes(
        shapes,
        factors,
        [level.write_unit for level in levels],
        itemsize=itemsize,
        store_first=store_first,
        workers=workers,
        tile_bytes=min(TILE_BYTES, max(1 << 20, MEMORY_BYTES // (8 * workers))),  # many workers: smaller tiles, not more passes
    )
    for step in passes:
        feed = source if step.first == 0 else reopen(levels[step.first], source.backend)
        _Walk(levels, feed, method, factors, step, store_first and step.first == 0, progress if step.first == 0 else None).run(workers)
    read = sum(math.prod(shapes[step.first]) for step in passes) * itemsize
    written = sum(math.prod(s) for s in shapes[0 if store_first else 1 :]) * itemsize
    return Built(read, written, time.perf_counter() - start, source.backend.name, reason)


class _Walk:
    """One pass, run."""

    def __init__(
        self,
        levels: Sequence[StoredArray],
        source: Source,
        method: str,
        factors: Sequence[Shape],
        step: Pass,
        store_first: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.levels, self.source, self.method, self.factors, self.step = levels, source, method, factors, step
        self.store_first, self.progress = store_first, progress
        self.dtype = levels[0].dtype

    def run(self, workers: int) -> None:
        tops = list(blocks(self.levels[self.step.last].shape, self._tile(self.step.last)))
        tasks = (tile for top in tops for tile in self._tasks(self.step.last, top))
        with contextlib.closing(run_in_order(self._worker, tasks, workers)) as done:  # no worker writes on when a write here fails
            for top in tops:
                self._assemble(self.step.last, top, self.step.split, lambda _: next(done))

    def _worker(self, tile: Region) -> Any:
        with self.source.backend.active():
            return self._assemble(self.step.split, tile, self.step.first, self._read)

    def _tile(self, level: int) -> Shape:
        return self.step.tiles[level - self.step.first]

    def _tasks(self, level: int, region: Region) -> Iterator[Region]:
        """Tiles of the split level, in the order in which `_assemble` asks for them."""
        if level == self.step.split:
            yield region
            return
        for child in self._children(level, region):
            yield from self._tasks(level - 1, child)

    def _children(self, level: int, region: Region) -> Iterator[Region]:
        """Tiles of the level below that a region is made of; the last one reaches to the far edge, whose pixels may be in no window."""
        fine, coarse = self.levels[level - 1].shape, self.levels[level].shape
        box = windows_source(region, self.factors[level - 1], fine)
        stop = tuple(n if r == m else b for b, n, r, m in zip(box.stop, fine, region.stop, coarse, strict=True))
        yield from blocks(Region(box.start, stop), self._tile(level - 1))

    def _read(self, region: Region) -> Any:
        pixels = self.source.read(region)
        if self.store_first:
            write_box(self.levels[0], region, pixels, fast=True)
        if self.progress:
            self.progress(region.size * self.dtype.itemsize)
        return pixels

    def _assemble(self, level: int, region: Region, leaf: int, fetch: Callable[[Region], Any]) -> Any:
        """The pixels of a region of a level, stored, made from its children down to level `leaf`, which `fetch` gives."""
        if level == leaf:
            return fetch(region)
        pixels = None
        for child in self._children(level, region):
            pixels = self._joined(pixels, level, region, child, self._assemble(level - 1, child, leaf, fetch))
        write_box(self.levels[level], region, pixels, fast=True)
        return pixels

    def _joined(self, pixels: Any, level: int, region: Region, child: Region, below: Any) -> Any:
        """The pixels of a region with those that a child gives; a child that covers the region is all of them."""
        factors = self.factors[level - 1]
        target = windows_target(child, factors, self.levels[level].shape).intersect(region)
        if target.size == 0:
            return pixels
        part = reduce_windows(below, factors, self.method)
        part = part[tuple(slice(0, n) for n in target.shape)]
        if target == region:
            return part
        if pixels is None:
            pixels = self.source.backend.empty(region.shape, self.dtype)
        pixels[target.relative_to(region).slices] = part
        return pixels
