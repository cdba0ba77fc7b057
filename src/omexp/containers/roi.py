"""Regions of interest. Knows: intervals per axis, in world units or pixels. Does not know: arrays, files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal

from omexp.errors import ArgumentError, NameNotFoundError
from omexp.world import PixelSize, is_positive, pixel_span

__all__ = ["Roi", "RoiSlice"]

Space = Literal["world", "pixel"]


@dataclass(frozen=True, slots=True)
class RoiSlice:
    """An interval along one axis: `start` (None: from the beginning) and `length` (None: to the end)."""

    axis_name: str
    start: float | None = None
    length: float | None = None

    def __post_init__(self) -> None:
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


@dataclass(frozen=True, slots=True)
class Roi:
    """A named box over some axes, in world units (measured from the image corner, in the image's unit) or in pixels.

    Parameters
    ----------
    name
        Shown in tables; may be None for regions of a label.
    slices
        One `RoiSlice` per axis.
    label
        The label id that this is the box of.
    space
        "world" or "pixel".
    extra
        Further columns of the table it came from.

    Raises
    ------
    ArgumentError
        An axis twice, a negative length, a bound that is not finite, or another space.

    Examples
    --------
    >>> roi = Roi.from_values({"y": (6.5, 13.0), "x": (0.0, 6.5)}, name="FOV_1")
    >>> roi.to_pixel(PixelSize(x=0.65, y=0.65))["y"]
    RoiSlice(axis_name='y', start=10, length=20)
    """

    name: str | None
    slices: tuple[RoiSlice, ...]
    label: int | None = None
    space: Space = "world"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        axes = [s.axis_name for s in self.slices]
        if len(set(axes)) != len(axes):
            raise ArgumentError("a Roi names an axis twice", where=self.get_name(), got=axes, hint="Give each axis one RoiSlice.")
        if self.space not in ("world", "pixel"):
            raise ArgumentError(
                "the space of a Roi is not understood", where=self.get_name(), got=repr(self.space), allowed="'world' or 'pixel'"
            )

    @classmethod
    def from_values(
        cls,
        slices: Mapping[str, Any],
        name: str | None = None,
        label: int | None = None,
        space: Space = "world",
        **extra: Any,
    ) -> Roi:
        """From axis -> (start, length), a slice (start, stop; no step), a number (start, length 1) or a `RoiSlice`."""
        return cls(name, tuple(_roi_slice(axis, value) for axis, value in slices.items()), label, space, extra)

    def get_name(self) -> str:
        """The name, else the label, else the axes."""
        return self.name or (f"label {self.label}" if self.label is not None else "Roi over " + "".join(s.axis_name for s in self.slices))

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(s.axis_name for s in self.slices)

    def get(self, axis: str) -> RoiSlice | None:
        """The interval along an axis; None if the Roi says nothing about it."""
        return next((s for s in self.slices if s.axis_name == axis), None)

    def __getitem__(self, axis: str) -> RoiSlice:
        found = self.get(axis)
        if found is None:
            raise NameNotFoundError("the Roi says nothing about that axis", where=self.get_name(), got=axis, allowed=", ".join(self.axes))
        return found

    def to_pixel(self, pixel_size: PixelSize) -> Roi:
        """The same box in pixels: whole pixels, after the snapping rule of `omexp.world.pixel_span`. Not clipped."""
        sizes = [1.0 if self.space == "pixel" else pixel_size.get(s.axis_name) for s in self.slices]  # zoomed pixels may be fractions
        return replace(self, slices=tuple(_to_pixel(s, size) for s, size in zip(self.slices, sizes, strict=True)), space="pixel")

    def to_world(self, pixel_size: PixelSize) -> Roi:
        """The same box in world units."""
        if self.space == "world":
            return self
        return replace(self, slices=tuple(s.scaled(pixel_size.get(s.axis_name)) for s in self.slices), space="world")

    def to_slicing(self, pixel_size: PixelSize, sizes: Mapping[str, int]) -> dict[str, slice]:
        """Axis -> slice for the axes in `sizes` (name -> pixels), clipped to them. Axes that the image has not are left out."""
        found = {}
        for interval in self.to_pixel(pixel_size).slices:
            size = sizes.get(interval.axis_name)
            if size is None:
                continue
            start = 0 if interval.start is None else min(max(int(interval.start), 0), size)
            stop = size if interval.end is None else min(max(int(interval.end), start), size)
            found[interval.axis_name] = slice(start, stop)
        return found

    def zoom(self, zoom_factor: float = 1.0, axes: Sequence[str] = ("x", "y")) -> Roi:
        """Scaled about its own centre along `axes`; the centre never moves (a start may become negative; reading clips)."""
        if not is_positive(zoom_factor):
            raise ArgumentError(
                "zoom_factor must be a positive number", where=self.get_name(), got=repr(zoom_factor), allowed="finite, above 0"
            )
        return replace(self, slices=tuple(_zoomed(s, zoom_factor) if s.axis_name in axes else s for s in self.slices))

    def union(self, other: Roi) -> Roi:
        """The smallest box around both; an open end stays open; axes in one only are kept."""
        return self._merged(other, {axis: _hull(self[axis], other[axis]) for axis in self._shared(other)})

    def intersection(self, other: Roi) -> Roi | None:
        """What both hold; None where they hold nothing in common, as boxes that only touch. Axes in one only are kept."""
        overlaps = {axis: _overlap(self[axis], other[axis]) for axis in self._shared(other)}
        return None if None in overlaps.values() else self._merged(other, overlaps)

    def _shared(self, other: Roi) -> list[str]:
        if self.space != other.space:
            raise ArgumentError(
                "two Rois in different spaces",
                where=self.get_name(),
                got=f"{self.space}, {other.space}",
                hint="Call to_world or to_pixel first.",
            )
        return [axis for axis in self.axes if axis in other.axes]

    def _merged(self, other: Roi, shared: Mapping[str, RoiSlice | None]) -> Roi:
        every: dict[str, RoiSlice | None] = {s.axis_name: s for s in (*self.slices, *other.slices)}
        every.update(shared)
        return replace(self, slices=tuple(s for s in every.values() if s is not None))


def _roi_slice(axis: str, value: Any) -> RoiSlice:
    if isinstance(value, RoiSlice):
        return value
    if isinstance(value, slice) and value.step is None and all(isinstance(v, Real | None) for v in (value.start, value.stop)):
        start = 0 if value.start is None else value.start
        return RoiSlice(axis, value.start, None if value.stop is None else value.stop - start)
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return RoiSlice(axis, value[0], value[1])
    if isinstance(value, Real):
        return RoiSlice(axis, float(value), 1)
    raise ArgumentError(
        "this is no interval", where=f"Roi axis {axis!r}", got=repr(value), allowed="(start, length), slice, number, RoiSlice"
    )


def _to_pixel(interval: RoiSlice, size: float) -> RoiSlice:
    if interval.length is None:
        return replace(interval, start=None if interval.start is None else pixel_span(interval.start, 0, size)[0])
    start, stop = pixel_span(interval.start or 0, interval.length, size)
    return replace(interval, start=None if interval.start is None else start, length=stop - start)


def _zoomed(interval: RoiSlice, factor: float) -> RoiSlice:
    if interval.length is None:
        return interval
    return replace(interval, start=(interval.start or 0) - (factor - 1) * interval.length / 2, length=interval.length * factor)


def _hull(a: RoiSlice, b: RoiSlice) -> RoiSlice:
    start = min(a.start or 0, b.start or 0)
    return RoiSlice(a.axis_name, start, None if a.end is None or b.end is None else max(a.end, b.end) - start)


def _overlap(a: RoiSlice, b: RoiSlice) -> RoiSlice | None:
    start = max(a.start or 0, b.start or 0)
    ends = [s.end for s in (a, b) if s.end is not None]
    if not ends:
        return RoiSlice(a.axis_name, start, None)
    return RoiSlice(a.axis_name, start, min(ends) - start) if min(ends) > start else None
