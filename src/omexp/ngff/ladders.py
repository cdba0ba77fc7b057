"""Ladders of levels. Knows: scale factors of every form, chunks, which level is made from which. Does not know: arrays, metadata."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from omexp.errors import ArgumentError
from omexp.geometry import Shape, level_shape
from omexp.ngff.model import Step

__all__ = ["CHUNK_BYTES", "absolute_factors", "default_chunks", "halvings", "level_shapes", "require_chunks", "steps_of"]

SPATIAL = ("z", "y", "x")
CHUNK_BYTES = 16 << 20  # a default chunk holds all channels up to here: interleaved colours are read together


def default_chunks(dims: Sequence[str], shape: Shape, tiles: Sequence[Sequence[int]] | None, itemsize: int) -> dict[str, int]:
    """128 along each spatial dim of an image with z, else 256; all of c while that is small, 1 along t.

    `tiles` are the array's own chunks, if it has some: where they look like tiles (at least three equal ones, larger than the default) they
    are kept, so that no tile is read twice; along c they are the upper bound.
    """
    side = 128 if "z" in dims else 256
    chunks: dict[str, int] = {}
    for i, (dim, n) in enumerate(zip(dims, shape, strict=True)):
        own = tiles[i] if tiles else (n,)
        if dim in SPATIAL:
            tiled = len(own) >= 3 and len(set(own[:-1])) == 1 and own[0] > side
            chunks[dim] = own[0] if tiled else side
        else:
            chunks[dim] = 1 if dim == "t" else max(own, default=1)
    while chunks.get("c", 1) > 1 and math.prod(min(c, n) for c, n in zip(chunks.values(), shape, strict=True)) * itemsize > CHUNK_BYTES:
        chunks["c"] = -(-chunks["c"] // 2)
    return {dim: max(1, size) for dim, size in chunks.items()}


def require_chunks(chunks: Any, dims: Sequence[str], defaults: Mapping[str, int]) -> dict[str, int]:
    """What a ``chunks=`` argument means per dim: one int for spatial dims, one per dim, or dim -> int; else the default."""
    if chunks is None:
        return dict(defaults)
    if isinstance(chunks, Mapping):
        unknown = [str(dim) for dim in chunks if dim not in dims]
        if unknown:
            raise ArgumentError(
                "chunks names a dim that the image has not", where="chunks", got=", ".join(unknown), allowed=", ".join(dims)
            )
        sizes = [chunks.get(dim, defaults[dim]) for dim in dims]
    else:
        sizes = list(chunks) if isinstance(chunks, Sequence) else [chunks if dim in SPATIAL else defaults[dim] for dim in dims]
    if len(sizes) != len(dims) or not all(_is_count(size) for size in sizes):
        raise ArgumentError(
            "chunks must be positive ints",
            where="chunks",
            got=repr(chunks),
            allowed=f"one, one for each of {', '.join(dims)}, or dim -> int",
        )
    return {dim: int(size) for dim, size in zip(dims, sizes, strict=True)}


def halvings(dims: Sequence[str], shape: Shape, chunks: Mapping[str, int], least_px: int) -> list[dict[str, int]]:
    """Absolute factors of levels that end near one chunk, none of fewer than twice `least_px` pixels.

    Each level halves the spatial dims that are more than half as large as the largest, and at least two chunks.

    Examples
    --------
    >>> halvings("zyx", (64, 1024, 512), {"z": 32, "y": 64, "x": 64}, 128)[1:4]
    [{'z': 1, 'y': 4, 'x': 2}, {'z': 1, 'y': 8, 'x': 4}, {'z': 1, 'y': 16, 'x': 8}]
    """
    factors = {dim: 1 for dim in dims if dim in SPATIAL}
    sizes = {dim: n for dim, n in zip(dims, shape, strict=True) if dim in SPATIAL}
    levels: list[dict[str, int]] = []
    while True:
        largest = max(sizes.values(), default=0)
        halved = [dim for dim, n in sizes.items() if 2 * n > largest and n >= 2 * chunks[dim]]
        sizes |= {dim: sizes[dim] // 2 for dim in halved}
        if not halved or math.prod(sizes.values()) < 2 * least_px:
            return levels
        factors = factors | {dim: 2 * factors[dim] for dim in halved}
        levels.append(factors)


def absolute_factors(scale_factors: Any, dims: Sequence[str]) -> list[Shape]:
    """One factor per dim and level, relative to the original; dims that a mapping does not name have factor 1."""
    if not isinstance(scale_factors, Sequence) or isinstance(scale_factors, str):
        raise ArgumentError(
            "scale_factors is not understood",
            where="scale_factors",
            got=repr(scale_factors),
            allowed="an int, or a list of ints or dim -> int",
        )
    levels = [_level_factors(entry, dims) for entry in scale_factors]
    for before, level in itertools.pairwise([(1,) * len(dims), *levels]):
        if all(f <= b for f, b in zip(level, before, strict=True)):
            raise ArgumentError(
                "each level must be coarser than the one before it",
                where="scale_factors",
                got=repr(scale_factors),
                allowed="rising factors, relative to the original, such as [2, 4, 8]",
            )
    return levels


def _level_factors(entry: Any, dims: Sequence[str]) -> Shape:
    by_dim = entry if isinstance(entry, Mapping) else {dim: entry for dim in dims if dim in SPATIAL}
    if not all(_is_count(f) for f in by_dim.values()):
        raise ArgumentError(
            "scale factors must be ints of at least 1", where="scale_factors", got=repr(entry), allowed="such as 2, {'y': 2}"
        )
    wrong = [str(dim) for dim, factor in by_dim.items() if dim not in dims or (dim not in SPATIAL and factor > 1)]
    if wrong:
        spatial = ", ".join(dim for dim in dims if dim in SPATIAL)
        raise ArgumentError(
            "a scale factor is for a spatial dim of the image", where="scale_factors", got=", ".join(wrong), allowed=spatial
        )
    return tuple(int(by_dim.get(dim, 1)) for dim in dims)


def steps_of(shape: Shape, factors: Sequence[Shape]) -> list[Step]:
    """How each level is made: from the level before it where that is a whole step, else from the original.

    An axis of one pixel is not reduced any further.

    Examples
    --------
    >>> [(step.parent, step.factors) for step in steps_of((121, 121), [(2, 2), (4, 4), (6, 6)])]
    [(0, (2, 2)), (1, (2, 2)), (0, (6, 6))]
    """
    shapes, reached = [shape], [(1,) * len(shape)]
    steps: list[Step] = []
    for wanted in factors:
        parent = len(steps) if all(w % r == 0 for w, r in zip(wanted, reached[-1], strict=True)) else 0
        whole = tuple(w // r for w, r in zip(wanted, reached[parent], strict=True))
        step = tuple(1 if n == 1 else f for n, f in zip(shapes[parent], whole, strict=True))
        steps.append(Step(len(steps) + 1, parent, step))
        shapes.append(level_shape(shapes[parent], step))
        reached.append(wanted)
    return steps


def level_shapes(shape: Shape, steps: Sequence[Step]) -> list[Shape]:
    """The shapes of all levels, the original first."""
    shapes = [shape]
    for step in steps:
        shapes.append(level_shape(shapes[step.parent], step.factors))
    return shapes


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
