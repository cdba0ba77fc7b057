"""Display ranges. Knows: quantiles of pixels. Does not know: channels, metadata."""

from __future__ import annotations

from typing import Any

from omexp.backend import backend_of, dtype_of

__all__ = ["display_range"]


def display_range(pixels: Any, low: float, high: float) -> Any:
    """The pixels at quantiles `low` and `high` (nearest rank, 0 to 1) among those that are finite and not 0; zeros if there is none.

    Parameters
    ----------
    pixels
        An array of any shape with a bool, integer or floating dtype.
    low, high
        From 0 to 1.

    Returns
    -------
    An array of shape (2,), dtype and device of `pixels`.

    Examples
    --------
    >>> import numpy
    >>> display_range(numpy.arange(101), 0.1, 0.9).tolist()
    [11, 90]
    """
    backend = backend_of(pixels)
    xp = backend.xp
    flat = xp.reshape(pixels, (-1,))
    if dtype_of(pixels).kind == "b":
        flat = xp.astype(flat, xp.uint8)  # the standard sorts numbers only
    kept = flat[(flat != 0) & xp.isfinite(flat)]
    count = kept.shape[0]
    if count == 0:
        return xp.zeros((2,), dtype=pixels.dtype, device=backend.device)
    ordered = xp.sort(kept)
    return xp.astype(xp.stack([ordered[round(q * (count - 1))] for q in (low, high)]), pixels.dtype)
