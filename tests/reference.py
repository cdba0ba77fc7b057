"""Slow, obvious NumPy answers that the fast code must equal. Knows: what a result means. Does not know: how omexp computes it."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np


def downsample_reference(array: np.ndarray, factors: tuple[int, ...], method: str) -> np.ndarray:
    """One Python value per window, window by window; all factors 1 mean a copy."""
    if all(f == 1 for f in factors):
        return array.copy()
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], array.dtype)
    for place in np.ndindex(out.shape):
        window = array[tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factors, strict=True))]
        reduce_window = _float_value if array.dtype.kind == "f" else _integer_value
        out[place] = reduce_window(list(window.ravel()), method)
    return out


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
