"""Intervals along one axis. Knows: open ends, world units and pixels of one axis. Does not know: boxes, arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from omexp.errors import ArgumentError
from omexp.world import PixelSize, is_positive, pixel_span

__all__ = ["RoiSlice"]


@dataclass(frozen=True, slots=True)
class RoiSlice:
    """An interval along one axis: `start` (None: from the beginning) and `length` (None: to the end)."""

    axis_name: str
    start: float | None = None
    length: float | None = None

    def __post_init__(self) -> None:
        start, length = self.start, self.length
        if type(start) is float is type(length) and math.isfinite(start) and 0 <= length < math.inf:
            return  # as a table's rows are: what follows takes four times as long
        for what in ("start", "length"):
            value = getattr(self, what)
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                raise ArgumentError(
                    f"a {what} must be a number", where=f"Roi axis {self.axis_name!r}", got=repr(value), allowed="a finite number or None"
                )
        if self.length is not None and self.length < 0:
            raise ArgumentError(
                "a length must not be negative",
                where=f"Roi axis {self.axis_name!r}",
                got=self.length,
                hint="(start, length), not (start, stop).",
            )

    @property
    def end(self) -> float | None:
        """start + length; None when the interval is open."""
        return None if self.length is None else (self.start or 0) + self.length

    def scaled(self, factor: float) -> RoiSlice:
        """Both numbers times `factor`."""
        return replace(
            self, start=None if self.start is None else self.start * factor, length=None if self.length is None else self.length * factor
        )

    @classmethod
    def from_value(cls, axis_name: str, value: Any) -> RoiSlice:
        """From (start, length), a slice (start, stop; no step), a number (start, length 1) or a `RoiSlice`.

        Raises
        ------
        ArgumentError
            Anything else, or a bound that is not finite.
        """
        if isinstance(value, RoiSlice):
            return value
        if isinstance(value, slice) and value.step is None and all(isinstance(v, Real | None) for v in (value.start, value.stop)):
            start = 0 if value.start is None else value.start
            return cls(axis_name, value.start, None if value.stop is None else value.stop - start)
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
            return cls(axis_name, value[0], value[1])
        if isinstance(value, Real):
            return cls(axis_name, float(value), 1)
        raise ArgumentError(
            "this is no interval", where=f"Roi axis {axis_name!r}", got=repr(value), allowed="(start, length), slice, number, RoiSlice"
        )

    def to_slice(self) -> slice:
        """The same as ``slice(start, end)``, not clipped."""
        return slice(self.start, self.end)

    def to_pixel(self, pixel_size: PixelSize | float) -> RoiSlice:
        """World units as whole pixels, after the snapping rule of `omexp.world.pixel_span`. Not clipped.

        Examples
        --------
        >>> RoiSlice("x", 3.2, 3.25).to_pixel(0.325)
        RoiSlice(axis_name='x', start=9, length=11)
        """
        size = self._size(pixel_size)
        if self.length is None:
            return replace(self, start=None if self.start is None else pixel_span(self.start, 0, size)[0])
        start, stop = pixel_span(self.start or 0, self.length, size)
        return replace(self, start=None if self.start is None else start, length=stop - start)

    def to_world(self, pixel_size: PixelSize | float) -> RoiSlice:
        """Pixels in world units."""
        return self.scaled(self._size(pixel_size))

    def _size(self, pixel_size: PixelSize | float) -> float:
        return pixel_size.get(self.axis_name) if isinstance(pixel_size, PixelSize) else pixel_size

    def zoom(self, zoom_factor: float) -> RoiSlice:
        """Scaled about its own centre, which never moves (a start may become negative). Open intervals stay as they are."""
        if not is_positive(zoom_factor):
            raise ArgumentError(
                "zoom_factor must be a positive number",
                where=f"Roi axis {self.axis_name!r}",
                got=repr(zoom_factor),
                allowed="finite, above 0",
            )
        if self.length is None:
            return self
        return replace(self, start=(self.start or 0) - (zoom_factor - 1) * self.length / 2, length=self.length * zoom_factor)

    def union(self, other: RoiSlice) -> RoiSlice:
        """The smallest interval around both; an open end stays open."""
        start = min(self.start or 0, other.start or 0)
        end = None if self.end is None or other.end is None else max(self.end, other.end)
        return RoiSlice(self.axis_name, start, None if end is None else end - start)

    def intersection(self, other: RoiSlice) -> RoiSlice | None:
        """What both hold; None where they hold nothing in common, as intervals that only touch."""
        start = max(self.start or 0, other.start or 0)
        ends = [s.end for s in (self, other) if s.end is not None]
        if not ends:
            return RoiSlice(self.axis_name, start, None)
        return RoiSlice(self.axis_name, start, min(ends) - start) if min(ends) > start else None
