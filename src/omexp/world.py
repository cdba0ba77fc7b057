"""From physical units to pixels and back. Knows: pixel sizes, units, the snapping rule. Does not know: arrays, files.

World coordinates are measured from the image's corner in the image's own unit (the Fractal convention): a level's half-pixel
translation does not shift them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from omexp.errors import ArgumentError

__all__ = ["SNAP_PX", "PixelSize", "convert", "is_positive", "pixel_span", "pixel_spans"]

SNAP_PX = 0.01  # a bound this close to a pixel border is that border: 0.325 * 40 is not 13.0 in binary

_POWERS = {
    "yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2, "deca": 1, "": 0,
    "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15, "atto": -18, "zepto": -21, "yocto": -24,
}  # fmt: skip
_TEN = Fraction(10)
_METRES = {f"{prefix}meter": _TEN**power for prefix, power in _POWERS.items()} | {
    "angstrom": _TEN**-10,
    "inch": Fraction(254, 10**4),
    "foot": Fraction(3048, 10**4),
    "yard": Fraction(9144, 10**4),
    "mile": Fraction(1609344, 1000),
    "parsec": Fraction(30856775814913673),
}
_SECONDS = {f"{prefix}second": _TEN**power for prefix, power in _POWERS.items()} | {
    "minute": Fraction(60),
    "hour": Fraction(3600),
    "day": Fraction(86400),
}


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
        ratio = convert(1.0, other.space_unit, self.space_unit)
        return math.dist(self.zyx, [ratio * v for v in other.zyx])

    def is_close(self, other: PixelSize, rel_tol: float = 1e-4) -> bool:
        """Equal along x, y and z up to `rel_tol`, in one unit; t and its unit do not count."""
        ratio = convert(1.0, other.space_unit, self.space_unit)
        return all(math.isclose(a, ratio * b, rel_tol=rel_tol) for a, b in zip(self.zyx, other.zyx, strict=True))

    def __lt__(self, other: PixelSize) -> bool:
        """Finer, by the norm over z, y, x in one unit: lists of pixel sizes can be sorted."""
        return math.hypot(*self.zyx) < convert(math.hypot(*other.zyx), other.space_unit, self.space_unit)

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


def convert(value: Any, source: str | None, target: str | None) -> Any:
    """A length or a time, or an array of them, in another unit; as it is where one of the two is no unit of the other's kind.

    Examples
    --------
    >>> convert(325.0, "nanometer", "micrometer")
    0.325
    >>> convert(2.0, "minute", "second"), convert(2.0, "pixel", "micrometer")
    (120.0, 2.0)
    """
    known = next((units for units in (_METRES, _SECONDS) if source in units and target in units), None)
    if known is None or source == target:
        return value
    ratio = known[str(source)] / known[str(target)]
    return value * float(ratio.numerator) / float(ratio.denominator)  # 0.325, where a factor of 0.001 may give 0.32500000000000001


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


def pixel_spans(
    starts: Sequence[float], lengths: Sequence[float], pixel_size: float, *, size: int, margin: int = 0
) -> tuple[list[int], list[int]]:
    """`pixel_span` of many intervals, as starts and stops, wider by a margin on either side and clipped to the `size` of an axis.

    Examples
    --------
    >>> pixel_spans([3.25, 3.2], [3.25, 3.25], 0.325, size=15, margin=1)
    ([9, 8], [15, 15])
    """
    begin = np.array(starts, "float64")
    low, high = begin / pixel_size, (begin + np.array(lengths, "float64")) / pixel_size
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ArgumentError("an interval must have finite bounds", got=f"starts {starts}, lengths {lengths}, pixel size {pixel_size}")
    start = np.clip(_all_snapped(low, np.floor) - margin, 0, size)
    stop = np.clip(_all_snapped(high, np.ceil) + margin, start, size)
    return start.astype("int64").tolist(), stop.astype("int64").tolist()


def _all_snapped(values: np.ndarray, otherwise: np.ufunc) -> np.ndarray:
    nearest = np.rint(values)
    return np.where(np.abs(values - nearest) <= SNAP_PX, nearest, otherwise(values))


def _snapped(value: float, otherwise: Callable[[float], int]) -> int:
    nearest = round(value)
    return nearest if abs(value - nearest) <= SNAP_PX else otherwise(value)
