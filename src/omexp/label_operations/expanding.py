"""A label whose objects are grown as it is read. Knows: boxes and the pixels around them. Does not know: files, axis names."""

from __future__ import annotations

from collections.abc import Sequence

from omexp.backend import Array
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError
from omexp.geometry import Region
from omexp.kernels.expansion import expand, metric_of
from omexp.kernels.labels import check_label_dtype

__all__ = ["ExpandedReader"]


class ExpandedReader:
    """Each read takes the pixels around its box, too: what it gives does not depend on the cut. See `omexp.kernels.expansion.expand`.

    Raises
    ------
    ArgumentError
        The distance is negative, or there is not one positive size (or None) per axis.
    DTypeError
        The labels are not integers.
    """

    name, reason, lazy = "expanded", "objects are grown as they are read", True

    def __init__(self, inner: BoxReader, distance: float, spacing: Sequence[float | None]) -> None:
        check_label_dtype(inner.dtype)
        if not 0 <= distance < float("inf"):
            raise ArgumentError("a distance must be a finite number, not negative", where="distance", got=distance)
        if len(spacing) != len(inner.shape) or not all(size is None or 0 < size < float("inf") for size in spacing):
            raise ArgumentError("spacing must have one positive entry per axis", where="spacing", got=tuple(spacing))
        self.inner, self.metric = inner, metric_of(distance, spacing)
        self.shape, self.dtype, self.backend = inner.shape, inner.dtype, inner.backend

    def read(self, region: Region) -> Array:
        """The pixels of a box."""
        box = Region(
            tuple(max(a - n, 0) for a, n in zip(region.start, self.metric.reach, strict=True)),
            tuple(min(b + n, size) for b, n, size in zip(region.stop, self.metric.reach, self.shape, strict=True)),
        )
        return expand(self.inner.read(box), self.metric)[region.relative_to(box).slices]
