"""Gaussian pyramids: an anti-aliasing filter that makes only the pixels kept. Knows: taps, borders, rounding. Does not know: files.

Output pixel ``p`` of an axis with factor f stands at the centre of its window, ``p * f + (f - 1) / 2``, and weighs the pixels around it
with the discrete Gaussian of variance v = (f^2 - 1) / (8 ln 2): the filter of ITK's and ngff-zarr's ITKWASM_GAUSSIAN. Pixels beyond the
array are its border pixels, repeated.

The order of operations is part of the meaning, so that every cut, tile and library gives the same bits: axes from the first to the last;
of each axis ``(x[0] + x[-1]) * h[0]``, then ``+ (x[1] + x[-2]) * h[1]`` and so on inwards, the middle tap of an odd number last; every
operation rounded by itself to float32 (float64 for wider pixels), no fused multiply-add; integers are rounded once, at the end.
"""

from __future__ import annotations

import itertools
import math
import operator
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from omexp.backend import Array, Backend, backend_of, dtype_of, native
from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Region, Shape, level_shape

__all__ = ["MAX_FACTOR", "gaussian_box", "gaussian_halo", "gaussian_taps", "window_gaussian"]

KEPT_MASS = 0.99  # ITK's DiscreteGaussianImageFilter with its default maximum error of 0.01
MAX_FACTOR = 1024  # 2243 taps; larger steps are better taken in two levels


def window_gaussian(array: Array, factors: Shape) -> Array:
    """A whole array; see `omexp.downsample`."""
    shape = tuple(array.shape)
    return gaussian_box(array, Region.whole(shape), Region.whole(level_shape(shape, factors)), factors, shape)


def gaussian_box(pixels: Array, box: Region, target: Region, factors: Shape, shape: Shape) -> Array:
    """Pixels of a region of the reduced array.

    Parameters
    ----------
    pixels, box
        Pixels of the array, and which: they hold all that `target` needs, its halo included (`omexp.kernels.regions.source_box`).
    target
        The wanted pixels of the reduced array.
    factors, shape
        Of the whole array: its border, never the box's, is repeated.

    Returns
    -------
    array
        Same library, device and dtype, shape ``target.shape``.
    """
    backend = backend_of(pixels)
    wide = accumulator(backend, dtype_of(pixels))
    steps = tuple(f if n > 1 else 1 for f, n in zip(factors, shape, strict=True))  # an axis of one pixel is its own mean
    with backend.active():
        if target.size == 0:
            return backend.empty(target.shape, dtype_of(pixels))
        return (native("filter_box", backend) or filter_box)(pixels, box, target, steps, wide)


def filter_box(pixels: Array, box: Region, target: Region, factors: Shape, wide: np.dtype[Any]) -> Array:
    """`gaussian_box` of a target that is not empty: filters the axes with a factor above 1, in the dtype `wide`."""
    backend, dtype = backend_of(pixels), dtype_of(pixels)
    xp = backend.xp
    values = xp.astype(pixels, xp.uint8) if dtype.kind == "b" else pixels
    values = xp.astype(values, backend.dtype(wide))
    with np.errstate(over="ignore", invalid="ignore"):  # inf - inf is NaN on every library, nowhere a warning
        for axis, f in enumerate(factors):
            taps = taps_in(wide, f)
            needed = taps_span(target.start[axis], target.stop[axis], f)
            values = _covering(xp, values, axis, needed.start - box.start[axis], needed.stop - box.start[axis])
            if f > 1:
                values = _weighted(_tap_views(values, axis, f, len(taps), target.shape[axis]), taps)
        return rounded(xp, values, pixels.dtype, dtype)


def taps_span(start: int, stop: int, factor: int) -> slice:
    """Positions that the output pixels ``start ... stop - 1`` weigh; some may lie before or beyond the array."""
    halo = gaussian_halo(factor)
    return slice(start * factor - halo, stop * factor + halo)


def _covering(xp: Any, values: Array, axis: int, start: int, stop: int) -> Array:
    """``values[start:stop]`` along an axis, the pixels beyond either end being the outermost ones, repeated."""
    size, before = values.shape[axis], (slice(None),) * axis
    inside = values[(*before, slice(max(start, 0), min(stop, size)), ...)]
    parts = [inside]
    if start < 0:
        edge = values[(*before, slice(0, 1), ...)]
        parts.insert(0, xp.broadcast_to(edge, _with(values.shape, axis, -start)))
    if stop > size:
        edge = values[(*before, slice(size - 1, size), ...)]
        parts.append(xp.broadcast_to(edge, _with(values.shape, axis, stop - size)))
    return xp.concat(parts, axis=axis) if len(parts) > 1 else inside


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _tap_views(values: Array, axis: int, factor: int, taps: int, count: int) -> list[Array]:
    """The strided views that hold one tap of each output pixel."""
    before, span = (slice(None),) * axis, (count - 1) * factor + 1
    return [values[(*before, slice(k, k + span, factor), ...)] for k in range(taps)]


def _weighted(views: list[Array], taps: tuple[float, ...]) -> Array:
    """The views weighed with symmetric taps, in the order of the module's docstring."""
    half = len(views) // 2
    terms = ((views[k] + views[-1 - k]) * taps[k] for k in range(half))
    middle = [views[half] * taps[half]] if len(views) % 2 else []
    return reduce(operator.add, itertools.chain(terms, middle))


def rounded(xp: Any, values: Array, like: Any, dtype: np.dtype[Any]) -> Array:
    """Accumulated values as pixels: floats as they are, integers rounded half to even and clipped."""
    if dtype.kind == "f":
        return xp.astype(values, like)
    if dtype.kind == "b":
        return values > 0.5
    limits = np.iinfo(dtype)
    if dtype.itemsize <= 4:
        return xp.astype(xp.clip(xp.round(values), float(limits.min), float(limits.max)), like)
    values = xp.clip(xp.round(values), float(limits.min), None)
    above = values >= float(limits.max)  # 2**63 - 1 is no float64: its nearest, 2**63, would wrap
    pixels = xp.astype(xp.where(above, xp.zeros_like(values), values), like)
    return xp.where(above, xp.full_like(pixels, int(limits.max)), pixels)


def accumulator(backend: Backend, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 for bool, integers up to 16 bits, float16 and float32; else float64 (long doubles stay). `DTypeError` if there is none."""
    if dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4):
        return np.dtype("float32")
    wide = np.dtype("float64") if dtype.kind != "f" or dtype.itemsize == 8 else dtype.newbyteorder("=")
    try:
        backend.dtype(wide)
    except DTypeError:
        raise DTypeError(
            f"the gaussian of {dtype} pixels is computed in {wide}, which this device lacks",
            where=backend.name,
            got=str(dtype),
            allowed="bool, integers of up to 16 bits, float32",
            hint="Convert the pixels, or choose another method.",
        ) from None
    return wide


def gaussian_halo(factor: int) -> int:
    """Pixels that the filter needs beyond a window, on either side."""
    return (len(gaussian_taps(factor)) - factor) // 2


@lru_cache(maxsize=256)
def taps_in(dtype: np.dtype[Any], factor: int) -> tuple[float, ...]:
    """`gaussian_taps`, each rounded to the dtype of the accumulation."""
    return tuple(np.float32(tap).item() if dtype.itemsize == 4 else tap for tap in gaussian_taps(factor))


@lru_cache(maxsize=256)
def gaussian_taps(factor: int) -> tuple[float, ...]:
    """The weights of the pixels around the centre of a window; symmetric, of sum 1.

    The discrete Gaussian ``exp(-v) I_n(v)`` (T. Lindeberg, Scale-space for discrete signals, 1990), cut at the first radius r that keeps
    0.99 of it and divided by what it keeps. Odd factors: ``2 r + 1`` taps around the centre pixel. Even factors: ``2 r + 2`` taps, the
    mean of two copies around the central two pixels. Factor 1: one tap, 1.0.

    Raises
    ------
    ArgumentError
        A factor above 1024.

    Examples
    --------
    >>> [round(tap, 4) for tap in gaussian_taps(2)]
    [0.011, 0.093, 0.3961, 0.3961, 0.093, 0.011]
    """
    if factor == 1:
        return (1.0,)
    if factor > MAX_FACTOR:
        raise ArgumentError(
            "the factor is too large", where="gaussian", got=str(factor), allowed=f"1 to {MAX_FACTOR}", hint="Take the step in two levels."
        )
    one_side = _discrete_gaussian((factor * factor - 1) / (8 * math.log(2)))
    kept, radius = one_side[0], 0
    while kept < KEPT_MASS:
        radius += 1
        kept += 2 * one_side[radius]
    kernel = [one_side[abs(n)] / kept for n in range(-radius, radius + 1)]
    if factor % 2:
        return tuple(kernel)
    return tuple((a + b) / 2 for a, b in zip([*kernel, 0.0], [0.0, *kernel], strict=True))


def _discrete_gaussian(variance: float) -> list[float]:
    """``exp(-v) I_n(v)`` for n = 0, 1, ...: the recurrence of the Bessel functions run downwards, scaled to mass 1 (J. C. P. Miller)."""
    last = 20 + math.ceil(10 * math.sqrt(variance))  # what lies beyond weighs less than 1e-20
    values = [0.0, 1.0]
    for n in range(last, 0, -1):
        values.append(values[-2] + 2 * n / variance * values[-1])
    mass = values[-1] + 2 * math.fsum(values[:-1])
    return [value / mass for value in reversed(values)]
