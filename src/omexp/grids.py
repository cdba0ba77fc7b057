"""From the pixels of one grid to the pixels of another. Knows: indices, ratios of pixel sizes. Does not know: arrays, files, axes."""

from __future__ import annotations

import math

from omexp.errors import ArgumentError

_TOLERANCE = 1e-3  # relative; stored scales such as 0.6499 / 0.325 mean a whole factor

__all__ = ["nearest_indices"]


def nearest_indices(start: int, stop: int, ratio: float, size: int) -> range | list[int]:
    """For pixels ``start ... stop - 1`` of the data grid, the index of the nearest pixel of another grid with the same corner.

    A whole ratio r takes the first pixel of the window, ``i * r``: what a nearest pyramid of the other array holds. A whole inverse
    q takes the pixel that was enlarged, ``i // q``. Any other ratio takes the pixel whose extent holds the centre of pixel i,
    ``floor((i + 0.5) * ratio)``. "Whole" means within 0.1 %.

    Parameters
    ----------
    start, stop
        Pixels of the data grid.
    ratio
        Data pixel size / other pixel size.
    size
        Pixels of the other grid; indices are clipped to ``[0, size)``.

    Returns
    -------
    A range where the indices are evenly spaced without clipping, else a list.

    Raises
    ------
    ArgumentError
        The ratio is not positive and finite, or there are pixels to find and the other grid has none.

    Examples
    --------
    >>> nearest_indices(2, 5, 2.0, 100), nearest_indices(2, 6, 0.5, 100), nearest_indices(0, 4, 1.5, 5)
    (range(4, 10, 2), [1, 1, 2, 2], [0, 2, 3, 4])
    """
    if not (ratio > 0 and math.isfinite(ratio) and math.isfinite(1 / ratio)):
        raise ArgumentError("the ratio of two pixel sizes must be positive and finite", where="ratio", got=ratio)
    if stop <= start:
        return range(0)
    if size <= 0:
        raise ArgumentError("a grid without pixels has no nearest one", where="size", got=size, allowed="at least 1")
    factor, inverse = round(ratio), round(1 / ratio)
    if abs(ratio - factor) <= _TOLERANCE * factor:
        return _inside(range(start * factor, stop * factor, factor), size)
    if abs(1 / ratio - inverse) <= _TOLERANCE * inverse:
        return _inside([i // inverse for i in range(start, stop)], size)
    return _inside([math.floor((i + 0.5) * ratio) for i in range(start, stop)], size)


def _inside(indices: range | list[int], size: int) -> range | list[int]:
    """Rising indices clipped to the grid; a range where they needed no clipping and are evenly spaced."""
    first, last = indices[0], indices[-1]
    if first < 0 or last >= size:
        return [min(max(i, 0), size - 1) for i in indices]
    if isinstance(indices, range):
        return indices
    even = range(first, last + 1, max(1, (last - first) // max(1, len(indices) - 1)))
    return even if list(even) == indices else indices
