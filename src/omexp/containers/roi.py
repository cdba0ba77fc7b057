"""Regions of interest. Knows: boxes over named axes, in world units or pixels. Does not know: arrays, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from omexp.containers.intervals import RoiSlice
from omexp.errors import ArgumentError, NameNotFoundError
from omexp.world import PixelSize, is_positive, pixel_span

__all__ = ["Roi", "RoiSlice"]

Space = Literal["world", "pixel"]


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
        return cls(name, tuple(RoiSlice.from_value(axis, value) for axis, value in slices.items()), label, space, extra)

    def get_name(self) -> str:
        """The name, else the label, else the axes."""
        return self.name or (f"label {self.label}" if self.label is not None else "Roi over " + "".join(s.axis_name for s in self.slices))

    def __getattr__(self, name: str) -> Any:
        """The further columns by name: ``roi.score`` is ``roi.extra["score"]``."""
        try:
            return object.__getattribute__(self, "extra")[name]
        except (KeyError, AttributeError):
            raise AttributeError(f"the Roi has no {name!r}, and no extra value of that name") from None

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
        return replace(self, slices=tuple(s.to_pixel(size) for s, size in zip(self.slices, sizes, strict=True)), space="pixel")

    def to_world(self, pixel_size: PixelSize) -> Roi:
        """The same box in world units."""
        if self.space == "world":
            return self
        return replace(self, slices=tuple(s.to_world(pixel_size) for s in self.slices), space="world")

    def to_slicing(self, pixel_size: PixelSize, sizes: Mapping[str, int]) -> dict[str, slice]:
        """Axis -> slice for the axes in `sizes` (name -> pixels), clipped to them. Axes that the image has not are left out."""
        found = {}
        for interval in self.slices:
            axis = interval.axis_name
            size = sizes.get(axis)
            if size is None:
                continue
            pixel = 1.0 if self.space == "pixel" else pixel_size.get(axis)
            start, stop = pixel_span(interval.start or 0, interval.length or 0, pixel)
            start = min(max(start, 0), size)
            found[axis] = slice(start, size if interval.length is None else min(max(stop, start), size))
        return found

    def to_slicing_dict(self, pixel_size: PixelSize) -> dict[str, slice]:
        """Axis -> slice in whole pixels, not clipped."""
        return {s.axis_name: s.to_slice() for s in self.to_pixel(pixel_size).slices}

    def update_slice(self, axis: str, value: Any) -> Roi:
        """The same with another interval along an axis, given as in `from_values`; an axis that it says nothing about is added."""
        new = RoiSlice.from_value(axis, value)
        kept = [new if s.axis_name == axis else s for s in self.slices]
        return replace(self, slices=tuple(kept if axis in self.axes else [*kept, new]))

    def remove_slice(self, axis: str) -> Roi:
        """The same without an axis: all of it. Raises `NameNotFoundError` for one that it says nothing about."""
        gone = self[axis]
        return replace(self, slices=tuple(s for s in self.slices if s is not gone))

    def anchor(self, local_roi: Roi, *, pixel_size: PixelSize) -> Roi:
        """A box in pixels of this region's patch as a box of the image, in world units; axes that it says nothing about are this one's.

        Examples
        --------
        >>> tile = Roi.from_values({"y": (6.5, 6.5), "x": (13.0, 6.5)}, name="tile")
        >>> found = Roi.from_values({"x": (2, 3)}, label=7, space="pixel")
        >>> tile.anchor(found, pixel_size=PixelSize(x=0.65, y=0.65))["x"]
        RoiSlice(axis_name='x', start=14.3, length=1.9500000000000002)
        """
        if local_roi.space != "pixel":
            raise ArgumentError("a patch is measured in pixels", where=local_roi.get_name(), got=local_roi.space, allowed="'pixel'")
        corner = {s.axis_name: s.start or 0 for s in self.to_pixel(pixel_size).slices}
        moved = {s.axis_name: replace(s, start=corner.get(s.axis_name, 0) + (s.start or 0)) for s in local_roi.slices}
        absolute = replace(local_roi, slices=tuple(moved.values())).to_world(pixel_size)
        rest = tuple(s for s in self.to_world(pixel_size).slices if s.axis_name not in moved)
        return replace(absolute, slices=(*rest, *absolute.slices))

    def zoom(self, zoom_factor: float = 1.0, axes: Sequence[str] = ("x", "y")) -> Roi:
        """Scaled about its own centre along `axes`; the centre never moves (a start may become negative; reading clips)."""
        if not is_positive(zoom_factor):
            raise ArgumentError(
                "zoom_factor must be a positive number", where=self.get_name(), got=repr(zoom_factor), allowed="finite, above 0"
            )
        return replace(self, slices=tuple(s.zoom(zoom_factor) if s.axis_name in axes else s for s in self.slices))

    def union(self, other: Roi) -> Roi:
        """The smallest box around both; an open end stays open; axes in one only are kept. Name, label and extra are those of the first.

        Raises
        ------
        ArgumentError
            The two are in different spaces or of different labels.
        """
        return self._merged(other, {axis: self[axis].union(other[axis]) for axis in self._shared(other)})

    def intersection(self, other: Roi) -> Roi | None:
        """What both hold; None where they hold nothing in common, as boxes that only touch. Else as `union`."""
        overlaps = {axis: self[axis].intersection(other[axis]) for axis in self._shared(other)}
        return None if None in overlaps.values() else self._merged(other, overlaps)

    def _shared(self, other: Roi) -> list[str]:
        if None not in (self.label, other.label) and self.label != other.label:
            raise ArgumentError(
                "two Rois of different labels",
                where=self.get_name(),
                got=f"labels {self.label}, {other.label}",
                hint="Take the label away first: dataclasses.replace(roi, label=None).",
            )
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
