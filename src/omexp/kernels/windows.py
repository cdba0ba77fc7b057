"""One value per window of pixels. Knows: windows, their edges, ties, rounding. Does not know: scales, files.

Output pixel ``p`` comes from the input pixels ``[p * f, (p + 1) * f)`` of each axis, anchored at 0 and clipped to the array.
A window is the list of its strided views: for ``(2, 2)`` the views ``x[0::2, 0::2]`` ... ``x[1::2, 1::2]``. Windows cut by the far
edge have a smaller list, so an array is a few pieces, each with windows of one size; every body below reduces one such piece.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from omexp.backend import Array, backend_of, dtype_of, native
from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Region, Shape, ceil_div, level_shape, windows_source
from omexp.kernels.gaussian import window_gaussian
from omexp.kernels.methods import resolve_method

__all__ = [
    "METHODS",
    "downsample",
    "reduce_windows",
    "window_central",
    "window_label_image",
    "window_max",
    "window_mean",
    "window_median",
    "window_min",
    "window_mode",
    "window_nearest",
]

MAX_WINDOW_PX = 2**30  # the remainder of an int64 mean is below n * 2**33 and must fit 63 bits
NETWORK_PX = 64  # median of uint16, network of min/max against sort(): 1.5 to 0.7 GB/s at 16 pixels, 0.8 to 1.0 at 64, 0.4 to 0.9 at 125

Reduce = Callable[[Any, Array, Shape], Array]  # (namespace, pixels, window) -> one value per window


def downsample(array: Array, factors: int | Sequence[int], *, method: str = "mean") -> Array:
    """One pixel for each window of pixels: a level of a pyramid from the one before.

    Parameters
    ----------
    array
        Any array of any shape, with a bool, integer or floating dtype; it is never changed.
    factors
        The window's size in pixels: one int for all axes or one per axis, each at least 1.
    method
        A member of `omexp.Methods`, its value or name in any case, ngff-zarr's included, or a member of ngff-zarr's enum.

        ``"mean"``: of integers exact, rounded half to even; of floats the pixels are added to 0.0 in C order, in their own dtype
        (float32 for float16), and divided once. ``"median"``: the lower middle value. ``"mode"``: the most frequent value, ties
        to the lowest. ``"min"``, ``"max"``. ``"nearest"`` (or ``"stride"``): the first pixel. The mean, median and mode of bools
        are the value of more than half of the pixels, ties to False. All these are TensorStore's ``downsample`` driver's.

        ``"gaussian"``: per axis the discrete Gaussian of variance ``(f * f - 1) / (8 ln 2)``, cut where it keeps 0.99 and normalised
        (`omexp.kernels.gaussian.gaussian_taps`), at the window's centre ``p * f + (f - 1) / 2``. It reaches beyond the window; beyond
        the array its border pixels are repeated. Axes with factor 1, or of one pixel, are not filtered. Computed in float32 for bools,
        integers of up to 16 bits, float16 and float32, else in float64, in one fixed order of operations; integers are rounded once,
        half to even, and clipped; bools are 0 and 1 and true above 0.5. ngff-zarr's ITKWASM_GAUSSIAN, which rounds as single steps may,
        differs by at most one grey value.

        ``"label_image"``: the mode of the window's central pixels only, per axis the central one of an odd factor and the central two
        of an even one, clamped to the array's last pixel; ngff-zarr's ITKWASM_LABEL_IMAGE. ``"central"``: the lower one of these,
        pixel ``p * f + (f - 1) // 2``.

    Returns
    -------
    array
        Same library, device and dtype, shape ``ceil(n / factor)`` per axis, never a view of the input. A pixel stands for the
        centre of its window; ``"nearest"``, and ``"central"`` with an even factor, take a pixel beside it.

    Notes
    -----
    At the far edge a window holds the pixels that exist; a factor may exceed its axis; empty axes stay empty. With every factor
    1 the result is a copy. Values do not depend on how an array was cut, as long as cuts fall between windows; a gaussian needs
    the pixels around a piece, too, which `omexp.kernels.regions` names.

    NaN: a mean with one is NaN; min and max skip NaNs and give +inf and -inf for a window of nothing else; median counts NaN as
    the largest; to mode each NaN is a value of its own, above all others, so only a window of NaNs gives NaN; a gaussian is NaN
    wherever one has a weight and where inf meets -inf, and inf where two pixels add up to more than its dtype holds. Zeros: -0.0
    equals 0.0; a mean of -0.0 is 0.0, min and max keep the first zero they meet, and where a window holds both zeros the sign of a
    zero median or mode is not defined. TensorStore leaves median and mode of NaN to its sort, adds floats in the order of memory
    (here C order, whatever the memory is), and copies where all axes with a factor have one pixel, so that there a mean keeps -0.0,
    and min and max keep NaN. All else is equal bit for bit (NaN to NaN).

    Raises
    ------
    ArgumentError
        A wrong number of factors, one that is not an int >= 1, a window above 2**30 pixels, a gaussian's factor above 1024, or an
        unknown method.
    DTypeError
        A complex, string, object, date or structured dtype; a gaussian of a dtype that needs float64 on a device without it.
    BackendMismatchError
        Not an array.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.downsample(numpy.asarray([[0, 2, 9], [1, 3, 9], [7, 8, 6]], "uint8"), 2)
    array([[2, 9],
           [8, 6]], dtype=uint8)
    """
    backend_of(array)
    kernel = resolve_method(method).kernel
    dtype = _real_dtype(array)
    checked = _checked_factors(factors, array.ndim)
    window = tuple(min(f, n) for f, n in zip(checked, array.shape, strict=True))
    if math.prod(window) > MAX_WINDOW_PX:
        raise ArgumentError(
            "the windows are too large", where="downsample", got=f"{window} pixels of {dtype}", allowed="at most 2**30 pixels"
        )
    return reduce_windows(array, checked, kernel)


def _real_dtype(array: Array) -> np.dtype[Any]:
    try:
        dtype = dtype_of(array)
    except TypeError:
        dtype = None  # a dtype that NumPy has no name for
    if dtype is None or dtype.kind not in "biuf":
        raise DTypeError(
            "pixels of this dtype cannot be downsampled", where="downsample", got=str(array.dtype), allowed="bool, integers, floats"
        )
    return dtype


def _checked_factors(factors: Any, ndim: int) -> Shape:
    one = hasattr(factors, "__index__") and not getattr(factors, "shape", ())
    try:
        checked = tuple(0 if isinstance(f, bool) else operator.index(f) for f in ((factors,) if one else factors))
    except TypeError:
        checked = (0,)
    if min(checked, default=1) < 1 or not (one or len(checked) == ndim):
        raise ArgumentError(
            "factors do not fit the array", where="downsample", got=repr(factors), allowed=f"one int >= 1, or {ndim} of them, one per axis"
        )
    return checked * ndim if one else checked


def reduce_windows(array: Array, factors: Shape, method: str) -> Array:
    """`downsample` of a whole array without its checks: `factors` are ints >= 1, `method` is in `METHODS`, the dtype is real."""
    backend = backend_of(array)
    body = METHODS["nearest" if all(f == 1 for f in factors) else method]
    with backend.active():
        return (native(body.__name__, backend) or body)(array, factors)


# ------------------------------------------------------------------------------------------- the portable bodies
def window_mean(array: Array, factors: Shape) -> Array:
    """Mean of each window; see `downsample`."""
    return _by_pieces(array, factors, mean_of)


def window_median(array: Array, factors: Shape) -> Array:
    """Lower middle value of each window; see `downsample`."""
    return _by_pieces(array, factors, median_of)


def window_mode(array: Array, factors: Shape) -> Array:
    """Most frequent value of each window, ties to the lowest; see `downsample`."""
    return _by_pieces(array, factors, mode_of)


def window_min(array: Array, factors: Shape) -> Array:
    """Smallest value of each window; see `downsample`."""
    return _by_pieces(array, factors, min_of)


def window_max(array: Array, factors: Shape) -> Array:
    """Largest value of each window; see `downsample`."""
    return _by_pieces(array, factors, max_of)


def window_nearest(array: Array, factors: Shape) -> Array:
    """First pixel of each window, as a copy; see `downsample`."""
    return backend_of(array).xp.asarray(array[(*(slice(None, None, f) for f in factors), ...)], copy=True)


def window_central(array: Array, factors: Shape) -> Array:
    """Lower central pixel of each window, as a copy; see `downsample`."""
    return _taken(array, factors, (1,) * len(factors))


def window_label_image(array: Array, factors: Shape) -> Array:
    """Most frequent value of the central pixels of each window, ties to the lowest; see `downsample`."""
    central = tuple(1 if f % 2 else 2 for f in factors)
    return reduce_windows(_taken(array, factors, central), central, "mode")


def _taken(array: Array, factors: Shape, kept: Shape) -> Array:
    """The central pixels of each window, one or two per axis; where the far edge cuts a window, clamped to the last pixel."""
    backend = backend_of(array)
    for axis, (n, f, k) in enumerate(zip(array.shape, factors, kept, strict=True)):
        if f > k:
            count = n // f * k + min(k, max(1, n % f - (f - 1) // 2) if n % f else 0)  # a pixel is not taken twice
            places = backend.arange(count)
            places = places // k * f + (f - 1) // 2 + places % k
            array = backend.xp.take(array, backend.xp.minimum(places, backend.full(count, n - 1, "int64")), axis=axis)
    return array


METHODS: dict[str, Callable[[Array, Shape], Array]] = {
    "mean": window_mean,
    "gaussian": window_gaussian,
    "median": window_median,
    "mode": window_mode,
    "min": window_min,
    "max": window_max,
    "nearest": window_nearest,
    "stride": window_nearest,
    "label_image": window_label_image,
    "central": window_central,
}


def uniform_pieces(shape: Shape, factors: Shape) -> Iterator[tuple[Region, Region, Shape]]:
    """``(source, target, window)`` of each part of an array whose windows all have one size: the interior and its far edges."""
    cuts = [((0, n // f, f), (n // f, ceil_div(n, f), n % f)) for n, f in zip(shape, factors, strict=True)]
    for parts in itertools.product(*cuts):
        target = Region(tuple(part[0] for part in parts), tuple(part[1] for part in parts))
        if target.size:
            yield windows_source(target, factors, shape), target, tuple(part[2] for part in parts)


def _by_pieces(array: Array, factors: Shape, reduce_piece: Reduce) -> Array:
    backend = backend_of(array)
    xp, is_bool = backend.xp, dtype_of(array).kind == "b"
    out = backend.empty(level_shape(array.shape, factors), dtype_of(array))
    for source, target, window in uniform_pieces(array.shape, factors):
        pixels = array[(*source.slices, ...)]
        values = reduce_piece(xp, xp.astype(pixels, xp.uint8) if is_bool else pixels, window)
        out[(*target.slices, ...)] = xp.astype(values, array.dtype)
    return out


# ------------------------------------------------------------------- one piece: (namespace, pixels, window) -> values
def views_of(pixels: Array, window: Shape) -> list[Array]:
    """The strided views that hold one pixel of each window, in C order of the offsets."""
    offsets = itertools.product(*map(range, window))
    return [pixels[(*(slice(k, None, w) for k, w in zip(offset, window, strict=True)), ...)] for offset in offsets]


def fold(step: Callable[[Array, Array], Array], pixels: Array, window: Shape) -> Array:
    """``step(step(a, b), c)`` along one axis after the other, slowest first: few passes, for steps that may come in any order."""
    for axis, size in enumerate(window):
        before = (slice(None),) * axis
        pixels = reduce(step, [pixels[(*before, slice(k, None, size), ...)] for k in range(size)])
    return pixels


def mean_of(xp: Any, pixels: Array, window: Shape) -> Array:
    """Mean of each window of one piece, in the dtype of the sums; bools are 0 and 1."""
    dtype, n = dtype_of(pixels), math.prod(window)
    if dtype.kind == "f":
        first, *others = views_of(pixels, window)
        wide = xp.float32 if dtype.itemsize == 2 else pixels.dtype
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf is NaN on every library, nowhere a warning
            return (reduce(operator.add, others, xp.astype(first, wide)) + 0.0) / n  # + 0.0: a sum from 0.0 is never -0.0
    if wide := sum_dtype(dtype, n):
        return divide_half_even(xp, fold(operator.add, xp.astype(pixels, getattr(xp, wide)), window), n)
    high, low = fold(operator.add, pixels >> 32, window), fold(operator.add, pixels & 0xFFFFFFFF, window)
    whole = high // n
    return whole * 2**32 + divide_half_even(xp, (high - whole * n) * 2**32 + low, n)


def sum_dtype(dtype: np.dtype[Any], n: int) -> str | None:
    """Name of the narrowest integer dtype of the same kind that holds a sum of `n` pixels and its rounding; None above 64 bits."""
    bits = next((b for b in (8, 16, 32, 64) if n * 2 ** (8 * dtype.itemsize) <= 2**b), None)
    return f"{'u' * (dtype.kind == 'u')}int{bits}" if bits else None


def divide_half_even(xp: Any, total: Array, n: int) -> Array:
    """``total / n`` of integers, rounded half to even."""
    quotient = total // n
    up = (total - quotient * n) * 2 + (quotient & 1) > n
    return quotient + xp.astype(up, quotient.dtype)


def min_of(xp: Any, pixels: Array, window: Shape, plain: bool = False) -> Array:
    """Smallest value of each window of one piece; a float that is not below what came before is skipped, as every NaN is.

    `plain` promises here and below that no float is NaN or -0.0, so that the library's own minimum and maximum are exact.
    """
    if plain or dtype_of(pixels).kind != "f":
        return fold(xp.minimum, pixels, window)
    views = views_of(pixels, window)
    return reduce(lambda least, view: xp.where(view < least, view, least), views, xp.full_like(views[0], xp.inf))


def max_of(xp: Any, pixels: Array, window: Shape, plain: bool = False) -> Array:
    """Largest value of each window of one piece; a float that is not above what came before is skipped, as every NaN is."""
    if plain or dtype_of(pixels).kind != "f":
        return fold(xp.maximum, pixels, window)
    views = views_of(pixels, window)
    return reduce(lambda most, view: xp.where(view > most, view, most), views, xp.full_like(views[0], -xp.inf))


def median_of(xp: Any, pixels: Array, window: Shape, plain: bool = False) -> Array:
    """Lower middle value of each window of one piece."""
    middle = (math.prod(window) - 1) // 2
    return sorted_views(xp, pixels, window, plain, middle)[middle]


def mode_of(xp: Any, pixels: Array, window: Shape, plain: bool = False) -> Array:
    """Most frequent value of each window of one piece: the first of the longest runs of its sorted views."""
    ordered = sorted_views(xp, pixels, window, plain)
    mode, count = ordered[0], xp.uint8 if len(ordered) < 2**8 else xp.uint32
    run = longest = xp.ones_like(mode, dtype=count)
    for last, view in itertools.pairwise(ordered):
        run = run * xp.astype(view == last, count) + 1
        mode = xp.where(run > longest, view, mode)
        longest = xp.maximum(run, longest)
    return mode


def sorted_views(xp: Any, pixels: Array, window: Shape, plain: bool = False, wanted: int | None = None) -> list[Array]:
    """`views_of` with the values of each window in order, NaN last; only position `wanted` is right where one is given."""
    views = views_of(pixels, window)
    if len(views) > NETWORK_PX:
        ordered = xp.sort(xp.stack(views, axis=-1), axis=-1, stable=False)
        return [ordered[..., k] for k in range(len(views))]
    plain = plain or dtype_of(pixels).kind != "f"
    for i, j in comparators(len(views), wanted):
        a, b = views[i], views[j]
        if plain:
            views[i], views[j] = xp.minimum(a, b), xp.maximum(a, b)
        else:
            swap = (b < a) | xp.isnan(a)
            views[i], views[j] = xp.where(swap, b, a), xp.where(swap, a, b)
    return views


@lru_cache(maxsize=128)
def comparators(n: int, wanted: int | None = None) -> tuple[tuple[int, int], ...]:
    """Pairs to put in order, one after the other, so that `n` values are sorted (or `wanted` is in place): Batcher's network.

    K. E. Batcher, Sorting networks and their applications, 1968 (odd-even merge sort).
    """
    pairs = []
    powers = [2**k for k in range((n - 1).bit_length())]
    for half, step in ((half, step) for half in powers for step in reversed(powers) if step <= half):
        starts = range(step % half, n - step, 2 * step)
        lower = (i for start in starts for i in range(start, min(start + step, n - step)))
        pairs += [(i, i + step) for i in lower if i // (2 * half) == (i + step) // (2 * half)]
    if wanted is None:
        return tuple(pairs)
    needed, kept = {wanted}, []
    for pair in reversed(pairs):
        if needed.intersection(pair):
            needed.update(pair)
            kept.append(pair)
    return tuple(reversed(kept))
