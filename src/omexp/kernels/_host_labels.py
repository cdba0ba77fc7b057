"""NumPy bodies of the segment folds, same names and values as in `segments`. Knows: NumPy. Does not know: why something is folded."""

from __future__ import annotations

import numpy as np

from omexp.backend import native_for
from omexp.kernels.segments import Fold, Segments

_STRIDE = 8  # elements folded between two paddings: 4 and 16 cost 1.2 and 1.0 times as much at 46 pixels per segment


@native_for("numpy")
def fold_segments(values: np.ndarray, segments: Segments, op: Fold) -> np.ndarray:
    """`omexp.kernels.segments.fold_segments` on NumPy: 20 times as fast for integers and extremes, 3 times for float sums; measuring
    the shapes and one channel of objects takes 1.5 (float32) to 1.8 times (uint16) less.

    Integers and extremes do not depend on the order, so ``reduceat`` may choose its own. Float sums keep the order of the portable
    body: segments are padded with -0.0 (``x + -0.0`` is ``x``, bit for bit) to a multiple of 8, and neighbours are added by stride.
    """
    if segments.size == 0:
        return values
    if op != "add" or values.dtype.kind != "f":
        return getattr(np, op).reduceat(values, segments.starts, dtype=values.dtype.type)
    lengths = segments.lengths
    while values.size > lengths.size:
        groups = -(-lengths // _STRIDE)
        shift = (np.cumsum(groups) - groups) * _STRIDE - (np.cumsum(lengths) - lengths)
        padded = np.full(int(groups.sum()) * _STRIDE, -0.0, values.dtype)
        padded[np.arange(values.size) + np.repeat(shift, lengths)] = values
        while padded.size > groups.sum():
            padded = padded[0::2] + padded[1::2]
        values, lengths = padded, groups
    return values


@native_for("numpy")
def spread_segments(values: np.ndarray, segments: Segments) -> np.ndarray:
    """`omexp.kernels.segments.spread_segments` on NumPy: no index per element."""
    return np.repeat(values, segments.lengths)
