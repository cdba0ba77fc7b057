"""From physical units to pixels and back. Knows: pixel sizes, units, the snapping rule. Does not know: arrays, files.

World coordinates are measured from the image's corner in the image's own unit (the Fractal convention): a level's half-pixel
translation does not shift them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

from omexp.errors import ArgumentError

__all__ = ["SNAP_PX", "PixelSize", "is_positive", "pixel_span"]

SNAP_PX = 0.01  # a bound this close to a pixel border is that border: 0.325 * 40 is not 13.0 in binary

_METRES = {"angstrom": 1e-10, "nanometer": 1e-9, "micrometer": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "meter": 1.0}


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The extent of one pixel along x, y, z and t.

    Parameters
    ----------
    x, y, z
        In `space_unit`. Axes that an image lacks are 1.
    t
        In `time_unit`.

    Raises
    ------
    ArgumentError
        A size is not a positive, finite number.

    Examples
    --------
    >>> PixelSize(x=0.65, y=0.65, z=2.0).zyx
    (2.0, 0.65, 0.65)
    """

    x: float
    y: float
    z: float = 1.0
    t: float = 1.0
    space_unit: str | None = "micrometer"
    time_unit: str | None = "second"

    def __post_init__(self) -> None:
        for axis in "xyzt":
            value = getattr(self, axis)
            if not is_positive(value):
                raise ArgumentError(
                    f"pixel size along {axis} must be a positive number", where="PixelSize", got=repr(value), allowed="finite, above 0"
                )
            object.__setattr__(self, axis, float(value))

    def get(self, axis: str, default: float | None = None) -> float:
        """The size along an axis by name; `default` (else 1.0) for axes that have none, such as c."""
        return getattr(self, axis) if axis in ("x", "y", "z", "t") else (1.0 if default is None else default)

    def as_dict(self) -> dict[str, float]:
        """``{"t": ..., "z": ..., "y": ..., "x": ...}``."""
        return {axis: getattr(self, axis) for axis in "tzyx"}

    @property
    def tzyx(self) -> tuple[float, float, float, float]:
        return (self.t, self.z, self.y, self.x)

    @property
    def zyx(self) -> tuple[float, float, float]:
        return (self.z, self.y, self.x)

    @property
    def yx(self) -> tuple[float, float]:
        return (self.y, self.x)

    @property
    def voxel_volume(self) -> float:
        """``z * y * x`` in the cube of `space_unit`."""
        return self.z * self.y * self.x

    @property
    def xy_plane_area(self) -> float:
        """``y * x`` in the square of `space_unit`."""
        return self.y * self.x

    @property
    def time_spacing(self) -> float:
        return self.t

    def distance(self, other: PixelSize) -> float:
        """Euclidean distance over z, y, x in this one's unit (the other is converted where both units are lengths)."""
        ratio = _unit_ratio(other.space_unit, self.space_unit)
        return math.dist(self.zyx, [ratio * v for v in other.zyx])

    def is_close(self, other: PixelSize, rel_tol: float = 1e-4) -> bool:
        """Equal along x, y and z up to `rel_tol`, in one unit; t and its unit do not count."""
        ratio = _unit_ratio(other.space_unit, self.space_unit)
        return all(math.isclose(a, ratio * b, rel_tol=rel_tol) for a, b in zip(self.zyx, other.zyx, strict=True))

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(self.as_dict().items())

    def __str__(self) -> str:
        sizes = ", ".join(f"{axis}={getattr(self, axis):g}" for axis in "xyzt")
        return f"PixelSize({sizes}, {self.space_unit or 'no unit'}, {self.time_unit or 'no unit'})"


def is_positive(value: Any) -> bool:
    """True for a finite number above 0, NumPy's included."""
    try:
        return isinstance(value, Real) and 0 < float(value) < math.inf
    except OverflowError:  # an int beyond all floats
        return False


def _unit_ratio(source: str | None, target: str | None) -> float:
    if source == target or source not in _METRES or target not in _METRES:
        return 1.0
    return _METRES[source] / _METRES[target]


def pixel_span(start: float, length: float, pixel_size: float) -> tuple[int, int]:
    """The pixels (start, stop) that a world interval covers, not yet clipped.

    Each bound is divided by the pixel size and snapped to the nearest integer within `SNAP_PX`; else the start is floored and the
    stop is ceiled, so that every touched pixel is inside.

    Raises
    ------
    ArgumentError
        A bound is not a finite number of pixels.

    Examples
    --------
    >>> pixel_span(3.25, 3.25, 0.325)
    (10, 20)
    >>> pixel_span(3.2, 3.25, 0.325)
    (9, 20)
    """
    low, high = start / pixel_size, (start + length) / pixel_size
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError("an interval must have finite bounds", got=f"start {start}, length {length}, pixel size {pixel_size}")
    return _snapped(low, math.floor), _snapped(high, math.ceil)


def _snapped(value: float, otherwise: Callable[[float], int]) -> int:
    nearest = round(value)
    return nearest if abs(value - nearest) <= SNAP_PX else otherwise(value)
