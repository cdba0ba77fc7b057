"""The NumPy body of the gaussian, same name and bits. Knows: NumPy, cache sizes. Does not know: what the taps mean.

A tile of pixels, a few MiB, is brought to the dtype of the accumulation with its halo, border pixels repeated, and filtered along one
axis after the other in three buffers that all tiles share.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from omexp.backend import native_for
from omexp.geometry import Region, Shape, blocks, ceil_div
from omexp.kernels.gaussian import rounded, taps_in, taps_span

# Of one of three buffers. uint16 by (2, 2, 2) with one and two threads: 1.4 and 1.6 GB/s at 3 MiB, 1.5 and 2.1 at 6, 1.3 and 1.8 at 12.
TILE_BYTES = 6 * 2**20
LEAST_PX = 8  # a filtered axis is not cut finer than this while another one can be: the halo is computed again in each tile
LONG_PX = 4096  # runs of pixels from which on strided views are as fast as phases side by side


@native_for("numpy")
def filter_box(pixels: np.ndarray, box: Region, target: Region, factors: Shape, wide: np.dtype[Any]) -> np.ndarray:
    """`omexp.kernels.gaussian.filter_box` on NumPy."""
    out = np.empty(target.shape, pixels.dtype)
    tile_shape = _tile_shape(target.shape, factors, wide)
    buffers = np.empty((3, math.prod(_padded_shape(tile_shape, factors))), wide)
    with np.errstate(over="ignore", invalid="ignore"):
        for tile in blocks(Region.whole(target.shape), tile_shape):
            values = _loaded(pixels, box, tile.shift(target.start), factors, buffers[0])
            values = _filtered(values, buffers, tile.shape, factors)
            out[tile.slices] = rounded(xp, values, pixels.dtype, pixels.dtype)
    return out


def _padded_shape(tile: Shape, factors: Shape) -> Shape:
    """Pixels under a tile with its halo, in whole steps of the factors."""
    spans = [taps_span(0, n, f) for n, f in zip(tile, factors, strict=True)]
    return tuple(ceil_div(span.stop - span.start, f) * f for span, f in zip(spans, factors, strict=True))


def _tile_shape(shape: Shape, factors: Shape, wide: np.dtype[Any]) -> Shape:
    """`shape` halved until it fits: axes that are not filtered first, then the longest one, the last one last."""
    tile, last = list(shape), len(shape) - 1
    least = [1 if f == 1 else LEAST_PX for f in factors]
    while max(tile) > 1 and math.prod(_padded_shape(tuple(tile), factors)) * wide.itemsize > TILE_BYTES:
        axis = max(range(len(tile)), key=lambda a: (tile[a] > 1, a != last and tile[a] > least[a], factors[a] == 1, tile[a]))
        tile[axis] = ceil_div(tile[axis], 2)
    return tuple(tile)


def _loaded(pixels: np.ndarray, box: Region, tile: Region, factors: Shape, buffer: np.ndarray) -> np.ndarray:
    """The pixels under a tile of the target with its halo; beyond the box, which only ends at the array's border, its last pixels."""
    shape = _padded_shape(tile.shape, factors)
    values = buffer[: math.prod(shape)].reshape(shape)
    start = tuple(taps_span(a, a, f).start for a, f in zip(tile.start, factors, strict=True))
    region = Region(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
    there = region.intersect(box)
    inside = there.relative_to(region)
    values[inside.slices] = pixels[there.relative_to(box).slices]
    for axis, (a, b) in enumerate(zip(inside.start, inside.stop, strict=True)):
        along = np.moveaxis(values, axis, 0)
        along[:a], along[b:] = along[a], along[b - 1]
    return values


def _filtered(values: np.ndarray, buffers: np.ndarray, tile: Shape, factors: Shape) -> np.ndarray:
    """One axis after the other; `values` lies in the first buffer, each step leaves its result in another one or that one."""
    here, other, spare = buffers
    for axis, (f, count) in enumerate(zip(factors, tile, strict=True)):
        if f == 1:
            continue
        taps, before, inner = taps_in(values.dtype, f), (slice(None),) * axis, math.prod(values.shape[axis + 1 :])
        if inner >= LONG_PX:
            views = [values[(*before, slice(k, k + (count - 1) * f + 1, f))] for k in range(len(taps))]
            here, other = other, here
            values = _weigh(views, taps, here, spare)
            continue
        # each phase of the axis in a block of its own: then a tap is the block shifted, one long run; the sums past the end are not kept
        phases = other[: values.size].reshape(f, *values.shape[:axis], values.shape[axis] // f, *values.shape[axis + 1 :])
        for k in range(f):
            np.copyto(phases[k], values[(*before, slice(k, None, f))])
        shape, flat = phases.shape[1:], phases.reshape(f, -1)
        size = flat.shape[1] - (len(taps) - 1) // f * inner
        _weigh([flat[k % f, k // f * inner :][:size] for k in range(len(taps))], taps, here, spare)
        values = here[: flat.shape[1]].reshape(shape)[(*before, slice(0, count))]
    return values


def _weigh(views: list[np.ndarray], taps: tuple[float, ...], out: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """The views weighed, in the order that `omexp.kernels.gaussian` defines, at the start of `out`."""
    shape, half = views[0].shape, len(taps) // 2
    total, term = (buffer[: views[0].size].reshape(shape) for buffer in (out, spare))
    for k in range(half):
        into = term if k else total
        np.add(views[k], views[-1 - k], out=into)
        into *= taps[k]
        if k:
            total += term
    if len(taps) % 2:
        np.multiply(views[half], taps[half], out=term)
        total += term
    return total
