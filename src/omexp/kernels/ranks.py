"""Medians and percentiles of objects, exact. Knows: sorted pixels, objects cut by blocks. Does not know: which blocks there are.

An object that lies in one block is finished with it. What a cut object has in a block is kept as values and how often they occur, on the
host, until the last of its blocks has come: memory is the distinct values of the objects that are cut and not yet whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from omexp.backend import Array, backend_of, dtype_of, from_host, native, to_host
from omexp.kernels.reductions import Objects
from omexp.kernels.segments import Segments

__all__ = ["Ranks", "sort_segments"]

Counted = tuple[np.ndarray, np.ndarray]  # distinct values, ascending, and how often each occurs


def sort_segments(values: Array, segments: Segments) -> Array:
    """The values ascending within each segment, NaN last.

    Examples
    --------
    >>> import numpy
    >>> sort_segments(numpy.array([3, 1, 0]), Segments(numpy.array([True, False, True]))).tolist()
    [1, 3, 0]
    """
    if fast := native("sort_segments", segments.backend):
        return fast(values, segments)
    xp = segments.backend.xp
    order = xp.argsort(values, stable=True)
    return xp.take(values, xp.take(order, xp.argsort(xp.take(segments.index, order), stable=True)))


class Ranks:
    """Percentiles of the objects of one channel, block by block, from any thread.

    Parameters
    ----------
    ids
        (n,) all objects, ascending, on the host.
    blocks
        (n,) how many blocks hold a part of each.
    percentiles
        From 0 to 100. Between two pixels the value is interpolated, as `numpy.percentile` does; NaN makes its object NaN.
    """

    def __init__(self, ids: np.ndarray, blocks: np.ndarray, percentiles: Sequence[float]) -> None:
        self.ids, self.blocks, self.percentiles = ids, blocks, tuple(percentiles)
        self.values = np.full((len(self.percentiles), ids.size), np.nan)
        self._kept: dict[int, list[Counted]] = {}  # of objects in several blocks
        self._lock = threading.Lock()

    def add(self, objects: Objects, image: Array) -> None:
        """Take in the objects of a block; `image` has its shape."""
        pixels = objects.runs.pixels(image)
        if dtype_of(pixels).kind == "b":
            pixels = backend_of(pixels).xp.astype(pixels, backend_of(pixels).dtype("uint8"))
        order, segments = objects.pixel_order
        ordered = sort_segments(backend_of(pixels).xp.take(pixels, order), segments)
        number = np.searchsorted(self.ids, to_host(objects.ids))
        starts, lengths = to_host(segments.starts), to_host(segments.lengths)
        alone = self.blocks[number] == 1
        self._finish(ordered, number[alone], starts[alone], lengths[alone])
        cut = np.flatnonzero(~alone)
        if cut.size:
            host = to_host(ordered)
            for k in cut.tolist():
                self._keep(number[k].item(), host[starts[k] : starts[k] + lengths[k]])

    def _finish(self, ordered: Array, number: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
        backend = backend_of(ordered)
        xp = backend.xp
        if not number.size:
            return
        last = to_host(xp.take(ordered, from_host(starts + lengths - 1, backend))).astype(np.float64)
        for k, q in enumerate(self.percentiles):
            rank = (lengths - 1) * (q / 100)
            below = np.floor(rank).astype(np.int64)
            above = np.minimum(below + 1, lengths - 1)
            low, high = (to_host(xp.take(ordered, from_host(starts + r, backend))).astype(np.float64) for r in (below, above))
            self.values[k, number] = np.where(np.isnan(last), np.nan, _between(low, high, rank - below))

    def _keep(self, number: int, ordered: np.ndarray) -> None:
        """A part of a cut object; the last one finishes it."""
        counted = np.unique(ordered, return_counts=True)
        with self._lock:
            parts = self._kept.setdefault(number, [])
            parts.append(counted)
            if len(parts) < self.blocks[number]:
                return
            del self._kept[number]
        values, counts = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        order = np.argsort(values, kind="stable")
        values, stop = values[order].astype(np.float64), np.cumsum(counts[order])
        for k, q in enumerate(self.percentiles):
            rank = (stop[-1] - 1) * (q / 100)
            below = np.floor(rank)
            low, high = (values[np.searchsorted(stop, r, side="right")] for r in (below, min(below + 1, stop[-1] - 1)))
            self.values[k, number] = np.nan if np.isnan(values[-1]) else _between(low, high, rank - below)


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Interpolated; two infinities of one sign stay what they are."""
    with np.errstate(invalid="ignore"):
        return np.where(low == high, low, low + (high - low) * share)
