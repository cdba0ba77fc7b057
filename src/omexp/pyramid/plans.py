"""Plans of pyramids: level shapes, tiles that nest, passes, projected memory. Knows: integers. Does not know: arrays, axes, files.

A pass walks a tree of tiles depth first. Every write unit (shard, else chunk) lies in one tile, so it is written once, whole, by one
worker. A method that looks beyond its windows (a halo) makes all levels of a pass from each tile of the first level and the pixels around
it; the tiles of such a pass are whole windows of all its levels at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape, ceil_div, grow_block, level_shape, windows_target
from omexp.kernels.regions import halo, source_box

__all__ = ["TILE_BYTES", "Pass", "children", "cone", "default_memory", "plan_levels", "plan_passes", "tile_bytes_for", "touched_units"]

TILE_BYTES = 16 << 20  # large enough that every core has work, small enough to stay bounded
MEMORY_BYTES = 256 << 20  # of pixels in flight, or 64 MiB for each worker; a pass that would need more is cut in two


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over the levels `first` ... `last`: level `first` is the source; `tiles` has one tile shape per level of the pass.

    `split` is the level whose tiles are the tasks of the workers. `bytes` is the projected memory of the pixels in flight. `looks_around`:
    the method needs pixels beyond its windows, so each tile of the first level makes its part of all levels.
    """

    first: int
    last: int
    tiles: tuple[Shape, ...]
    split: int
    bytes: int
    looks_around: bool = False


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


def default_memory(workers: int) -> int:
    """Bytes of pixels in flight that a build plans with when nothing else is said."""
    return max(MEMORY_BYTES, workers * (64 << 20))


def tile_bytes_for(memory_bytes: int, workers: int) -> int:
    """Bytes of a tile of the first level, in a budget: a worker holds about two, and as much again waits to be joined."""
    return min(TILE_BYTES, max(1 << 18, memory_bytes // (8 * workers)))


def plan_passes(
    shapes: Sequence[Shape],
    factors: Sequence[Shape],
    units: Sequence[Shape],
    *,
    itemsize: int,
    store_first: bool,
    method: str = "mean",
    workers: int = 1,
    tile_bytes: int | None = None,
    memory_bytes: int | None = None,
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
    method
        A kernel's name.
    tile_bytes, memory_bytes
        Of a tile of the first level, at most (one write unit and window at least), and of all pixels in flight. None: `default_memory`.
    """
    memory_bytes = memory_bytes or default_memory(workers)
    tile_bytes = tile_bytes or tile_bytes_for(memory_bytes, workers)
    passes: list[Pass] = []
    first, last = 0, len(shapes) - 1
    while first < last or (not passes and store_first):
        best = None
        for end in range(min(first + 1, last), last + 1):
            candidate = _plan_pass(shapes, factors, units, first, end, itemsize, method, workers, tile_bytes)
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
    method: str,
    workers: int,
    tile_bytes: int,
) -> Pass:
    ndim = len(shapes[0])
    steps = list(factors[first:last])
    around = any(any(halo(method, step)) for step in steps)
    # no tile cuts a window or a write unit, so that each is read once and written once
    whole = [math.prod(step[i] for step in (steps if around else steps[:1])) for i in range(ndim)]
    least = [math.lcm(whole[i], units[first][i]) for i in range(ndim)]
    tiles = [grow_block(least, shapes[first], tile_bytes // itemsize)]
    for level in range(first + 1, last + 1):
        below = factors[level] if level < last else (1,) * ndim
        tiles.append(tuple(math.lcm(units[level][i], below[i], tiles[-1][i] // factors[level - 1][i]) for i in range(ndim)))
    counts = [math.prod(-(-n // t) for n, t in zip(shapes[first + k], tile, strict=True)) for k, tile in enumerate(tiles)]
    split = next((k for k in reversed(range(len(tiles))) if counts[k] >= 4 * workers), 0)
    sizes = [itemsize * math.prod(min(n, t) for n, t in zip(shapes[first + k], tile, strict=True)) for k, tile in enumerate(tiles)]
    # a worker holds one tile of each level up to `split` and one being reduced; twice as many results may wait; then the levels above
    at_work = 2 * max(sizes[: split + 1]) + sum(sizes[1 : split + 1])
    if around:  # the pixels around the tile, and its parts of all levels above
        leaf = Region.whole(tuple(min(n, t) for n, t in zip(shapes[first], tiles[0], strict=True)))
        needed, _ = cone(leaf, shapes[first : last + 1], steps, method, anywhere=True)
        at_work += sum(itemsize * box.size for box in needed)
    above = 2 * max(sizes[split:]) + sum(sizes[split + 1 :])
    return Pass(first, last, tuple(tiles), first + split, workers * (at_work + 2 * sizes[split]) + above, around)


def cone(
    tile: Region, shapes: Sequence[Shape], factors: Sequence[Shape], method: str, *, anywhere: bool = False
) -> tuple[list[Region], list[Region]]:
    """What a tile of the first level makes of every level, and the pixels that takes: (needed, made), one box per level each.

    ``made[k]`` is the tile's part of level k; ``needed[k]`` holds it and what ``needed[k + 1]`` is computed from. `anywhere`: sizes for a
    tile that lies inside the image, whose boxes no border clips.
    """
    made = [tile]
    for k, factor in enumerate(factors):
        made.append(windows_target(made[-1], factor, shapes[k + 1]))
    needed = [made[-1]]
    for k in reversed(range(len(factors))):
        if anywhere:
            margin = halo(method, factors[k])
            whole = tuple((b - a) * f + 2 * h for a, b, f, h in zip(needed[0].start, needed[0].stop, factors[k], margin, strict=True))
            needed.insert(0, Region.whole(tuple(max(w, n) for w, n in zip(whole, made[k].shape, strict=True))))
        else:
            below = source_box(needed[0], factors[k], shapes[k], method)
            needed.insert(0, below.union(made[k]) if below.size else made[k])
    return needed, made


def children(level: int, region: Region, shapes: Sequence[Shape], factors: Sequence[Shape]) -> Region:
    """The pixels of the level below that a region is made of; the last region reaches to the far edge, whose pixels may be in no window."""
    fine, coarse, factor = shapes[level - 1], shapes[level], factors[level - 1]
    start = tuple(min(a * f, n) for a, f, n in zip(region.start, factor, fine, strict=True))
    stop = tuple(n if b == m else min(b * f, n) for b, m, f, n in zip(region.stop, coarse, factor, fine, strict=True))
    return Region(start, stop)


def touched_units(region: Region, unit: Sequence[int]) -> Iterator[Shape]:
    """Indices of the write units that a region meets, last axis fastest."""
    if region.size:
        yield from itertools.product(*(range(a // u, ceil_div(b, u)) for a, b, u in zip(region.start, region.stop, unit, strict=True)))
