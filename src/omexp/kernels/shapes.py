"""Features by the names of scikit-image. Knows: what each needs, its columns, unit and meaning. Does not know: blocks, files.

A feature turns the counted columns of a table (areas, boxes, sums, moments, patterns, hulls; all on the host) into what `regionprops_table`
shows, with ``-0``, ``-1`` for its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["FEATURES", "Counted", "Feature"]

Parts = dict[str, np.ndarray]  # what follows the name -> column


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """The counted columns of all objects, over the axes "0", "1", ...; `spacing` is the size of a pixel along each."""

    columns: Mapping[str, np.ndarray]
    spacing: tuple[float, ...]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def ndim(self) -> int:
        return len(self.spacing)

    @property
    def pixel(self) -> float:
        """The size of a pixel."""
        return math.prod(self.spacing)

    @property
    def area(self) -> np.ndarray:
        return self["area"] * self.pixel

    def low(self, axis: int) -> np.ndarray:
        return self[f"bbox_min_{axis}"]

    def high(self, axis: int) -> np.ndarray:
        return self[f"bbox_max_{axis}"]

    @property
    def area_bbox(self) -> np.ndarray:
        return math.prod((self.high(k) - self.low(k)) * self.spacing[k] for k in range(self.ndim))

    def moment(self, i: int, j: int) -> np.ndarray:
        """The central second moment along two axes, in units of the spacing."""
        i, j = sorted((i, j))
        return self[f"moment_{i}_{j}"] * (self.spacing[i] * self.spacing[j])

    @property
    def inertia(self) -> np.ndarray:
        """(n, ndim, ndim)"""
        moments = np.stack([np.stack([self.moment(i, j) for j in range(self.ndim)], -1) for i in range(self.ndim)], -2)
        trace = np.trace(moments, axis1=-2, axis2=-1)
        return trace[:, None, None] * np.eye(self.ndim) - moments

    @property
    def eigenvalues(self) -> np.ndarray:
        """(n, ndim), descending, of the inertia tensor."""
        if not self["area"].size:
            return np.zeros((0, self.ndim))
        return np.clip(np.linalg.eigvalsh(self.inertia), 0, None)[:, ::-1]


@dataclass(frozen=True, slots=True)
class Feature:
    """One name: what must have been counted, what its columns are, and what stands in the table of the documentation."""

    needs: tuple[str, ...]
    columns: Callable[[Counted], Parts | np.ndarray]
    unit: str
    meaning: str
    flat: bool = False  # for two axes only
    square: bool = False  # for pixels of one size along both axes only

    def of(self, name: str, counted: Counted) -> Parts:
        """The columns by their whole names."""
        found = self.columns(counted)
        return {f"{name}{part}": column for part, column in (found if isinstance(found, dict) else {"": found}).items()}


def _parts(columns: np.ndarray) -> Parts:
    """(n, a) or (n, a, b) as columns."""
    return {"".join(f"-{k}" for k in index): columns[:, *index] for index in np.ndindex(columns.shape[1:])}


def _bbox(of: Counted) -> Parts:
    return _parts(np.stack([side(k) for side in (of.low, of.high) for k in range(of.ndim)], -1))


def _centroid(of: Counted) -> Parts:
    return _parts(np.stack([of[f"centroid_{k}"] * of.spacing[k] for k in range(of.ndim)], -1))


def _local(of: Counted) -> Parts:
    return _parts(np.stack([(of[f"total_{k}"] - of.low(k) * of["area"]) / of["area"] * of.spacing[k] for k in range(of.ndim)], -1))


def _major(of: Counted) -> np.ndarray:
    values = of.eigenvalues.T
    return 4 * np.sqrt(values[0]) if of.ndim == 2 else np.sqrt(np.maximum(10 * (values[0] + values[1] - values[2]), 0))


def _minor(of: Counted) -> np.ndarray:
    values = of.eigenvalues.T
    return 4 * np.sqrt(values[1]) if of.ndim == 2 else np.sqrt(np.maximum(10 * (values[1] + values[2] - values[0]), 0))


def _eccentricity(of: Counted) -> np.ndarray:
    large, small = of.eigenvalues.T
    return np.sqrt(1 - np.divide(small, large, out=np.ones_like(large), where=large > 0))


def _orientation(of: Counted) -> np.ndarray:
    a, b, c = of.moment(1, 1), -of.moment(0, 1), of.moment(0, 0)
    level = np.where(b < 0, math.pi / 4, -math.pi / 4)  # as long along both diagonals, or along all directions
    return np.where(a == c, level, 0.5 * np.arctan2(-2 * b, c - a))


def _perimeter(of: Counted) -> np.ndarray:
    return (of["sides"] + of["diagonals"] * math.sqrt(2)) / 2 * of.spacing[0]


def _crofton(of: Counted) -> np.ndarray:
    return math.pi / 4 * (of["straight"] + of["slanted"] / math.sqrt(2)) * of.spacing[0]


def _convex(of: Counted) -> np.ndarray:
    return of["convex"] * of.pixel


_MOMENTS = ("moments",)
FEATURES: dict[str, Feature] = {
    "num_pixels": Feature((), lambda of: of["area"], "pixels", "How many pixels the object has."),
    "area": Feature((), lambda of: of.area, "size of a pixel", "`num_pixels` times the size of a pixel (1 without `spacing`)."),
    "bbox": Feature((), _bbox, "pixels", "First pixel along each axis, then the first pixel after the object along each."),
    "area_bbox": Feature((), lambda of: of.area_bbox, "size of a pixel", "Pixels of the bounding box times the size of a pixel."),
    "extent": Feature((), lambda of: of.area / of.area_bbox, "1", "`area` / `area_bbox`."),
    "equivalent_diameter_area": Feature(
        (), lambda of: (2 * of.ndim * of.area / math.pi) ** (1 / of.ndim), "length", "Diameter of the disc (ball) of the same area."
    ),
    "centroid": Feature((), _centroid, "length", "Mean place of the pixels; the centre of the first pixel is at 0."),
    "centroid_local": Feature((), _local, "length", "The same, from the first pixel of the bounding box."),
    "inertia_tensor": Feature(_MOMENTS, lambda of: _parts(of.inertia), "length^2", "Second moments about the centroid, trace minus each."),
    "inertia_tensor_eigvals": Feature(_MOMENTS, lambda of: _parts(of.eigenvalues), "length^2", "Its eigenvalues, descending."),
    "axis_major_length": Feature(_MOMENTS, _major, "length", "Longest axis of the ellipse (ellipsoid) with the same second moments."),
    "axis_minor_length": Feature(_MOMENTS, _minor, "length", "Shortest axis of that ellipse (ellipsoid)."),
    "eccentricity": Feature(_MOMENTS, _eccentricity, "1", "Of that ellipse: 0 for a circle, towards 1 for a line.", flat=True),
    "orientation": Feature(
        _MOMENTS, _orientation, "radians", "Angle of the longest axis to the first axis (y), -pi/2 to pi/2, counter-clockwise.", flat=True
    ),
    "perimeter": Feature(
        ("perimeter",), _perimeter, "length", "Length of the line through the border pixels (4 neighbours).", flat=True, square=True
    ),
    "perimeter_crofton": Feature(("crofton",), _crofton, "length", "By Crofton's formula in 4 directions.", flat=True, square=True),
    "euler_number": Feature(
        ("euler",),
        lambda of: of["euler"] // 2**of.ndim,
        "1",
        "Parts minus holes (plus cavities in 3-D); pixels that share a corner are joined.",
    ),
    "area_convex": Feature(("hull",), _convex, "size of a pixel", "Pixels in the convex hull times the size of a pixel."),
    "solidity": Feature(("hull",), lambda of: of.area / _convex(of), "1", "`area` / `area_convex`."),
    "feret_diameter_max": Feature(("feret",), lambda of: of["feret"], "length", "Largest distance across the convex hull.", flat=True),
}
