"""NumPy bodies of the window kernels, same names and values. Knows: NumPy, cache sizes. Does not know: what windows mean.

Each works on tiles of about 1 MiB of input, so that the temporaries of a tile stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import array_api_compat.numpy as xp
import numpy as np

from omexp.backend import native_for
from omexp.geometry import Shape, blocks, level_shape, windows_source
from omexp.kernels import _host_crops, _host_features, _host_gaussian, _host_labels  # noqa: F401  they register their bodies
from omexp.kernels.windows import divide_half_even, fold, max_of, mean_of, median_of, min_of, mode_of, sum_dtype, uniform_pieces, views_of

TILE_BYTES = 2**20  # uint16 (2, 2) mean: 4.2 GB/s at 1 MiB, 2.1 at 128 KiB, 4.5 at 2 MiB
DENSE = 0.15  # share of differing windows above which sorting all costs no more than gathering them
# glibc gives each freed temporary back to the system, and page faults on the next, until a larger block than that was freed once:
# mode of 128 MiB of labels took 29,000 faults (0.97 GB/s), and 530 (1.6 GB/s) after this line.
np.empty(8 * TILE_BYTES, np.uint8)


@native_for("numpy")
def window_mean(array: np.ndarray, factors: Shape) -> np.ndarray:
    """`omexp.kernels.windows.window_mean` on NumPy."""
    return _by_tiles(array, factors, _mean)


@native_for("numpy")
def window_median(array: np.ndarray, factors: Shape) -> np.ndarray:
    """`omexp.kernels.windows.window_median` on NumPy."""
    return _by_tiles(array, factors, _mean if array.dtype.kind == "b" else _median)


@native_for("numpy")
def window_mode(array: np.ndarray, factors: Shape) -> np.ndarray:
    """`omexp.kernels.windows.window_mode` on NumPy."""
    return _by_tiles(array, factors, _mean if array.dtype.kind == "b" else _mode)


@native_for("numpy")
def window_min(array: np.ndarray, factors: Shape) -> np.ndarray:
    """`omexp.kernels.windows.window_min` on NumPy."""
    return _by_tiles(array, factors, _min)


@native_for("numpy")
def window_max(array: np.ndarray, factors: Shape) -> np.ndarray:
    """`omexp.kernels.windows.window_max` on NumPy."""
    return _by_tiles(array, factors, _max)


def _by_tiles(array: np.ndarray, factors: Shape, reduce_tile: Callable[[np.ndarray, Shape], np.ndarray]) -> np.ndarray:
    out = np.empty(level_shape(array.shape, factors), array.dtype)
    for _, target, window in uniform_pieces(array.shape, factors):
        for tile in blocks(target, _tile_shape(target.shape, window, array)):
            pixels = array[windows_source(tile, factors, array.shape).slices]
            native = pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))
            out[tile.slices] = reduce_tile(native, window)
    return out


def _tile_shape(shape: Shape, window: Shape, array: np.ndarray) -> Shape:
    """Windows per axis of a tile: whole axes in the order of memory, fastest first, up to `TILE_BYTES` of input."""
    left = TILE_BYTES // (math.prod(window) * array.itemsize)
    tile = [1] * len(shape)
    for axis in sorted(reversed(range(len(shape))), key=lambda axis: abs(array.strides[axis])):
        tile[axis] = max(1, min(shape[axis], left))
        left //= tile[axis]
    return tuple(tile)


def _is_plain(pixels: np.ndarray) -> bool:
    """True when no float is NaN or -0.0; two reductions without temporaries."""
    if pixels.dtype.kind != "f" or pixels.itemsize > 8:
        return pixels.dtype.kind != "f"
    bits = pixels.view(f"i{pixels.itemsize}")
    return not np.isnan(pixels.min()) and bits.min() != np.iinfo(bits.dtype).min


def _min(pixels: np.ndarray, window: Shape) -> np.ndarray:
    return min_of(xp, pixels, window, _is_plain(pixels))


def _max(pixels: np.ndarray, window: Shape) -> np.ndarray:
    return max_of(xp, pixels, window, _is_plain(pixels))


def _median(pixels: np.ndarray, window: Shape) -> np.ndarray:
    return median_of(xp, pixels, window, _is_plain(pixels))


def _mean(pixels: np.ndarray, window: Shape) -> np.ndarray:
    n = math.prod(window)
    wide = None if pixels.dtype.kind == "f" else sum_dtype(pixels.dtype, n)
    if n == 1 or wide is None:
        return mean_of(xp, pixels, window)
    if window[-1] % 2 == 0 and (words := _words(pixels, np.dtype(wide))) is not None:
        pixels, window = _halves_added(words), (*window[:-1], window[-1] // 2)
    total = fold(lambda a, b: np.add(a, b, dtype=wide), pixels, window)
    shift = n.bit_length() - 1
    if n != 1 << shift:
        return divide_half_even(xp, total, n)
    odd = total >> shift  # the parity of the quotient decides ties: (total + n / 2 - 1 + parity) >> shift
    odd &= 1
    total += odd
    total += n // 2 - 1
    total >>= shift
    return total


def _words(pixels: np.ndarray, wide: np.dtype) -> np.ndarray | None:
    """Two neighbours seen as one integer, where that is a view and not slower: 1.7 GB/s, against 3.5 without, if not aligned."""
    if wide.itemsize != 2 * pixels.itemsize or pixels.strides[-1] != pixels.itemsize:
        return None
    words = pixels.view(wide)
    return words if words.flags.aligned else None


def _halves_added(words: np.ndarray) -> np.ndarray:
    bits = 4 * words.itemsize
    if words.dtype.kind == "u":
        total = words & words.dtype.type(2**bits - 1)
    else:
        total = words << bits
        total >>= bits  # arithmetic: keeps the sign
    total += words >> bits
    return total


def _mode(pixels: np.ndarray, window: Shape) -> np.ndarray:
    """Labels are mostly constant: only windows whose pixels differ are counted."""
    if pixels.dtype.kind == "f":
        return mode_of(xp, pixels, window, _is_plain(pixels))
    mode = fold(np.minimum, pixels, window)
    mixed = mode != fold(np.maximum, pixels, window)
    flat = np.flatnonzero(mixed)
    if flat.size > DENSE * mixed.size:
        return mode_of(xp, pixels, window)
    if flat.size:
        where = np.unravel_index(flat, mixed.shape)
        differing = np.stack([view[where] for view in views_of(pixels, window)])
        np.put(mode, flat, mode_of(xp, differing, (len(differing), 1)))
    return mode
