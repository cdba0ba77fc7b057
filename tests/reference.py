"""Slow, obvious NumPy answers that the fast code must equal. Knows: what a result means. Does not know: how omexp computes it."""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.special import ive

from omexp.kernels.gaussian import gaussian_taps


def downsample_reference(array: np.ndarray, factors: tuple[int, ...], method: str) -> np.ndarray:
    """One Python value per window, window by window; all factors 1 mean a copy."""
    if all(f == 1 for f in factors):
        return array.copy()
    if method == "gaussian":
        return gaussian_reference(array, factors)
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], array.dtype)
    for place in np.ndindex(out.shape):
        if method in ("label_image", "central"):
            pixels = _central_pixels(array, place, factors, both=method == "label_image")
        else:
            pixels = list(array[tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factors, strict=True))].ravel())
        reduce_window = _float_value if array.dtype.kind == "f" else _integer_value
        out[place] = reduce_window(pixels, {"label_image": "mode", "central": "nearest"}.get(method, method))
    return out


def _central_pixels(array: np.ndarray, place: tuple[int, ...], factors: tuple[int, ...], *, both: bool) -> list[Any]:
    """The pixel at the lower and, if `both`, at the upper centre of a window's axis (one place twice for odd factors), clamped."""
    centres = [[p * f + (f - 1) // 2, *([p * f + f // 2] if both else [])] for p, f in zip(place, factors, strict=True)]
    return [array[tuple(min(i, n - 1) for i, n in zip(index, array.shape, strict=True))] for index in itertools.product(*centres)]


def gaussian_reference(array: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Pixel by pixel, in the dtype and order of operations that `omexp.kernels.gaussian` promises."""
    shape = [-(-n // f) for n, f in zip(array.shape, factors, strict=True)]
    if 0 in shape:
        return np.empty(shape, array.dtype)
    values = array.astype(np.float32 if array.dtype.itemsize <= 2 or array.dtype == np.float32 else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, f in enumerate(factors):
            if f > 1 and array.shape[axis] > 1:
                values = np.apply_along_axis(_gaussian_line, axis, values, f)
        if array.dtype.kind == "f":
            return values.astype(array.dtype)
    low, high = (0, 1) if array.dtype.kind == "b" else (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
    pixels = [min(max(round(value), low), high) for value in values.ravel().tolist()]  # round() is half to even
    return np.array(pixels, array.dtype).reshape(shape)


def _gaussian_line(line: np.ndarray, factor: int) -> np.ndarray:
    taps = [line.dtype.type(tap) for tap in gaussian_taps(factor)]  # test_gaussian.py holds them against SciPy's
    out = []
    for p in range(-(-len(line) // factor)):
        first = (2 * p * factor + factor - len(taps)) // 2  # the taps and the window have one centre
        pixels = [line[min(max(first + k, 0), len(line) - 1)] for k in range(len(taps))]
        terms = [(pixels[k] + pixels[-1 - k]) * taps[k] for k in range(len(taps) // 2)]
        if len(taps) % 2:
            terms.append(pixels[len(taps) // 2] * taps[len(taps) // 2])
        out.append(list(itertools.accumulate(terms))[-1])
    return np.array(out, line.dtype)


@functools.cache
def gaussian_taps_reference(factor: int) -> np.ndarray:
    """The discrete Gaussian by SciPy's Bessel functions, cut at 0.99 and normalised; even factors: the mean of two, one pixel apart."""
    variance = (factor**2 - 1) / (8 * np.log(2))
    for radius in itertools.count():
        kernel = ive(np.abs(np.arange(-radius, radius + 1)), variance)
        if kernel.sum() >= 0.99:
            kernel /= kernel.sum()
            return kernel if factor % 2 else (np.append(kernel, 0) + np.append(0, kernel)) / 2


def _integer_value(pixels: list[Any], method: str) -> int:
    values = [int(pixel) for pixel in pixels]  # Python's integers have no end
    return {
        "mean": lambda: round(Fraction(sum(values), len(values))),  # round() of a Fraction is half to even
        "median": lambda: sorted(values)[(len(values) - 1) // 2],
        "mode": lambda: min(values, key=lambda value: (-values.count(value), value)),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "nearest": lambda: values[0],
    }[method]()


def _float_value(pixels: list[Any], method: str) -> Any:
    numbers = [pixel for pixel in pixels if not np.isnan(pixel)]
    wide = np.float32 if pixels[0].dtype == np.float16 else pixels[0].dtype.type
    if method == "nearest":
        return pixels[0]
    if method == "mean":
        with np.errstate(over="ignore", invalid="ignore"):
            return list(itertools.accumulate(map(wide, pixels), initial=wide(0)))[-1] / wide(len(pixels))
    if method in ("min", "max"):  # Python's min and max keep the first of equal values, as -0.0 and 0.0 are
        return min(numbers, default=np.inf) if method == "min" else max(numbers, default=-np.inf)
    if method == "median":
        return (sorted(numbers) + [np.nan] * len(pixels))[(len(pixels) - 1) // 2]
    return min(numbers, key=lambda value: (-numbers.count(value), value), default=np.nan)
