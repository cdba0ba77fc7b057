"""Rebuilding what was touched. Knows: which write units of each level depend on a region. Does not know: axes, metadata, files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

from omexp.backend import Backend
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape, ceil_div, windows_target
from omexp.kernels.methods import resolve_method
from omexp.kernels.regions import halo, reduce_box, source_box
from omexp.pyramid.plans import default_memory, touched_units
from omexp.pyramid.walk import Built, require_limits
from omexp.storage.arrays import StoredArray
from omexp.storage.reading import default_workers
from omexp.storage.workers import run_in_order
from omexp.storage.writing import write_box

__all__ = ["affordable_workers", "mostly_touched", "rebuild", "units_to_rebuild"]


def units_to_rebuild(
    regions: Iterable[Region], shapes: Sequence[Shape], factors: Sequence[Shape], units: Sequence[Shape], method: str
) -> list[set[Shape]]:
    """For each level above the first, the indices of the write units that depend on the regions of the first."""
    found: list[set[Shape]] = [set() for _ in factors]
    touched = {region for region in regions if region.size}
    for k, factor in enumerate(factors):
        margin = halo(resolve_method(method).kernel, factor)
        reached = {_reached(region, factor, margin, shapes[k], shapes[k + 1]) for region in touched}
        touched = {region for region in reached if region.size}  # the last pixels of a level may be in no window
        for region in touched:
            found[k].update(touched_units(region, units[k + 1]))
    return found


def _reached(region: Region, factor: Shape, margin: Shape, fine: Shape, coarse: Shape) -> Region:
    """The pixels of the next level that any pixel of a region is part of, through its window or around it."""
    start = tuple(max(a - h, 0) for a, h in zip(region.start, margin, strict=True))
    stop = tuple(min(b + h, n) for b, h, n in zip(region.stop, margin, fine, strict=True))
    return windows_target(Region(start, stop), factor, coarse)


def rebuild(
    levels: Sequence[StoredArray],
    regions: Iterable[Region],
    method: str,
    *,
    factors: Sequence[Shape],
    backend: Backend,
    reopen: Callable[[StoredArray, Backend], BoxReader],
    workers: int | None = None,
    max_memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    reason: str = "",
) -> Built:
    """Make those write units of the coarser levels anew that depend on `regions` of the finest one; all others stay untouched.

    A unit is made whole from the pixels below it, so a pyramid that was right before is exactly what a full build gives. Each worker holds
    one unit and the pixels that it is made from; `max_memory` may mean fewer workers.

    Raises
    ------
    ArgumentError
        `workers` or `max_memory` cannot be.
    """
    start, kernel = time.perf_counter(), resolve_method(method).kernel
    shapes = [level.shape for level in levels]
    units = [level.write_unit for level in levels]
    work = units_to_rebuild(regions, shapes, factors, units, method)
    itemsize = levels[0].dtype.itemsize
    workers = affordable_workers(levels, factors, method, workers, max_memory)
    total = sum(len(w) * math.prod(units[k + 1]) * math.prod(factors[k]) for k, w in enumerate(work)) * itemsize
    read = written = 0
    for k, indices in enumerate(work):
        source = reopen(levels[k], backend)

        def make(index: Shape, k: int = k, source: BoxReader = source) -> tuple[int, int]:
            with backend.active():
                unit, shape = units[k + 1], shapes[k + 1]
                begin = tuple(i * u for i, u in zip(index, unit, strict=True))
                target = Region(begin, tuple(min(a + u, n) for a, u, n in zip(begin, unit, shape, strict=True)))
                box = source_box(target, factors[k], shapes[k], kernel)
                write_box(levels[k + 1], target, reduce_box(source.read(box), box, target, factors[k], shapes[k], kernel))
                return box.size, target.size

        for box_px, target_px in run_in_order(make, sorted(indices), workers):
            read, written = read + box_px * itemsize, written + target_px * itemsize
            if progress:
                progress(min(read, total), total)
    if progress and total > read:
        progress(total, total)
    return Built(read, written, time.perf_counter() - start, backend.name, reason)


def _pixels(unit: Shape, factor: Shape, kernel: str) -> int:
    """Of a write unit, and of what it is made from, twice: while it is read, it may be decoded beside."""
    source = [u * f + 2 * h for u, f, h in zip(unit, factor, halo(kernel, factor), strict=True)]
    return math.prod(unit) + 2 * math.prod(source)


def affordable_workers(
    levels: Sequence[StoredArray], factors: Sequence[Shape], method: str, workers: int | None, max_memory: int | None
) -> int:
    """As many workers as the budget has room for; one at least, where no budget is given.

    Raises
    ------
    ArgumentError
        As `rebuild`, which calls it; call it before where something must be on disk when a rebuild begins.
    """
    require_limits(workers, max_memory)
    wanted, kernel = workers or default_workers(), resolve_method(method).kernel
    each = [levels[0].dtype.itemsize * _pixels(level.write_unit, f, kernel) for level, f in zip(levels[1:], factors, strict=True)]
    most, allowed = max(each, default=0), max_memory or default_memory(wanted)
    if max_memory is not None and most > max_memory:
        raise ArgumentError(
            "the levels cannot be rebuilt in so little memory",
            where="max_memory",
            got=f"{max_memory} bytes",
            allowed=f"at least {most} bytes",
            hint="Allow more, or store smaller chunks or shards.",
        )
    return max(1, min(wanted, allowed // max(1, most)))


def mostly_touched(levels: Sequence[StoredArray], regions: Iterable[Region], factors: Sequence[Shape], method: str) -> bool:
    """Whether more than half of the second level's write units are to be made anew: then a full build is less work."""
    shapes, units = [level.shape for level in levels], [level.write_unit for level in levels]
    if len(levels) < 2:
        return False
    touched = units_to_rebuild(regions, shapes[:2], factors[:1], units[:2], method)[0]
    return 2 * len(touched) > math.prod(ceil_div(n, u) for n, u in zip(shapes[1], units[1], strict=True))
