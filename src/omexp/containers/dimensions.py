"""Sizes of an image by axis name. Knows: axes, shape, pixel size. Does not know: arrays, files."""

from __future__ import annotations

from dataclasses import dataclass

from omexp.metadata.axes import Axes
from omexp.world import PixelSize

__all__ = ["Dimensions"]


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The dimensions of one level. Axes are found by their stored or canonical names (t, c, z, y, x)."""

    axes_meta: Axes
    shape: tuple[int, ...]
    pixel_size: PixelSize

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names in stored order."""
        return self.axes_meta.names

    def get(self, axis: str, default: int | None = None) -> int | None:
        """The size along an axis; `default` if the image has no such axis."""
        position = self.axes_meta.index(axis)
        return default if position is None else self.shape[position]

    def has(self, axis: str) -> bool:
        return self.axes_meta.index(axis) is not None

    def _size(self, axis: str) -> int:
        return self.get(axis, 1) or 0

    @property
    def is_time_series(self) -> bool:
        """More than one time point."""
        return self._size("t") > 1

    @property
    def is_3d(self) -> bool:
        """More than one z plane."""
        return self._size("z") > 1

    @property
    def is_2d(self) -> bool:
        """Not `is_3d`."""
        return not self.is_3d

    @property
    def is_multi_channels(self) -> bool:
        """More than one channel."""
        return self._size("c") > 1

    def __str__(self) -> str:
        return ", ".join(f"{a}: {n}" for a, n in zip(self.axes, self.shape, strict=True))

    def __repr__(self) -> str:
        return f"Dimensions({self})"
