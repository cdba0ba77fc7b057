"""Statistics of objects as records: block, combine, finalize. Knows: runs of pixels, columns. Does not know: blocks, readers, files.

A reduction turns a block into one row per run of pixels, combines two rows of one object (runs of a block, or blocks), and turns
the rows into the columns that a table shows. Whoever folds the rows needs to know nothing else about it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from omexp.backend import Array, backend_of, dtype_of, to_host
from omexp.errors import DTypeError
from omexp.kernels.labels import LabelRuns
from omexp.kernels.segments import Columns, fold_segments, spread_segments

__all__ = ["Extent", "Intensity", "Reduction"]


class Reduction(Protocol):
    """A family of columns: what a block gives, how two rows of one object combine, what the table shows."""

    def block(self, runs: LabelRuns, image: Array | None) -> Columns:
        """One row per run of the block; `image` holds the pixels of the channel that is measured, if one is."""

    def combine(self, a: Columns, b: Columns) -> Columns:
        """The rows of the same objects over the pixels of both. Sees all columns, returns its own."""

    def finalize(self, rows: Columns) -> Columns:
        """The columns of the finished table, one row per object."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Area, volume, bounding box and centroid. `axes` and `spacing` have one entry per axis; needs no image."""

    axes: tuple[str, ...]
    spacing: tuple[float, ...]

    def block(self, runs: LabelRuns, image: Array | None) -> Columns:
        *slow, fast = runs.start
        stops = [*(start + 1 for start in slow), fast + runs.length]
        # the sum of the coordinates of a run, in integers: centroids are equal for every cut
        sums = [*(start * runs.length for start in slow), fast * runs.length + runs.length * (runs.length - 1) // 2]
        return {
            "area": runs.length,
            **{f"bbox_min_{axis}": start for axis, start in zip(self.axes, runs.start, strict=True)},
            **{f"bbox_max_{axis}": stop for axis, stop in zip(self.axes, stops, strict=True)},
            **{f"total_{axis}": total for axis, total in zip(self.axes, sums, strict=True)},
        }

    def combine(self, a: Columns, b: Columns) -> Columns:
        xp = backend_of(a["area"]).xp
        return {
            "area": a["area"] + b["area"],
            **{name: xp.minimum(a[name], b[name]) for name in self._names("bbox_min")},
            **{name: xp.maximum(a[name], b[name]) for name in self._names("bbox_max")},
            **{name: a[name] + b[name] for name in self._names("total")},
        }

    def finalize(self, rows: Columns) -> Columns:
        area = _float64(rows["area"])
        return {
            "area": rows["area"],
            "volume": area * math.prod(self.spacing),
            **{name: rows[name] for name in (*self._names("bbox_min"), *self._names("bbox_max"))},
            **{f"centroid_{axis}": _float64(rows[f"total_{axis}"]) / area for axis in self.axes},
        }

    def _names(self, what: str) -> tuple[str, ...]:
        return tuple(f"{what}_{axis}" for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Intensity:
    """Mean, population standard deviation, minimum, maximum and sum of one channel. Needs the areas of `Extent` beside it.

    Integer sums are exact in int64 or uint64; float sums are float64, added in a fixed order within a block. Deviations are taken
    from each run's own mean, means are kept as a rise above one of the pixels (`base`), and rows combine by Chan's update: a spread
    of 1 on an offset of 1e9 keeps 12 digits. NaN makes its object NaN; bool counts as 0 and 1.
    """

    channel: str

    def block(self, runs: LabelRuns, image: Array | None) -> Columns:
        backend = backend_of(image, runs.flat)
        xp = backend.xp
        kind = dtype_of(image).kind
        pixels = xp.astype(runs.pixels(image), backend.dtype("uint8")) if kind == "b" else runs.pixels(image)
        wide = backend.dtype({"i": "int64", "f": "float64"}.get(kind, "uint64"))
        low = fold_segments(pixels, runs.segments, "minimum")
        base = _finite(_float64(low))
        above = _float64(pixels) - spread_segments(base, runs.segments)
        rise = _finite(fold_segments(above, runs.segments, "add") / _float64(runs.length))
        away = above - spread_segments(rise, runs.segments)
        values = {
            "sum": fold_segments(xp.astype(pixels, wide), runs.segments, "add"),
            "base": base,
            "rise": rise,
            "m2": fold_segments(away * away, runs.segments, "add"),
            "min": low,
            "max": fold_segments(pixels, runs.segments, "maximum"),
        }
        return {f"{name}_{self.channel}": value for name, value in values.items()}

    def combine(self, a: Columns, b: Columns) -> Columns:
        sum_, base, rise, m2, low, high = self._names("sum", "base", "rise", "m2", "min", "max")
        xp = backend_of(a[sum_]).xp
        count, more = _float64(a["area"]), _float64(b["area"])
        share = more / (count + more)
        step = (b[base] - a[base]) + (b[rise] - a[rise])
        return {
            sum_: a[sum_] + b[sum_],
            base: a[base],
            rise: a[rise] + step * share,
            m2: a[m2] + b[m2] + step * step * (count * share),
            low: xp.minimum(a[low], b[low]),
            high: xp.maximum(a[high], b[high]),
        }

    def finalize(self, rows: Columns) -> Columns:
        sum_, mean, m2, low, high, std = self._names("sum", "mean", "m2", "min", "max", "std")
        xp = backend_of(rows[sum_]).xp
        self._check_sums(rows["area"], rows[low], rows[high])
        area = _float64(rows["area"])
        return {
            mean: _float64(rows[sum_]) / area,
            std: xp.sqrt(rows[m2] / area),
            low: rows[low],
            high: rows[high],
            sum_: rows[sum_],
        }

    def _check_sums(self, area: Array, low: Array, high: Array) -> None:
        """Only 64-bit integers can add up to more than 64 bits."""
        dtype = dtype_of(low)
        if dtype.kind not in "iu" or dtype.itemsize < 8:
            return
        xp = backend_of(low).xp
        most = xp.maximum(xp.abs(_float64(low)), xp.abs(_float64(high))) * _float64(area)
        if to_host(xp.any(most >= 2.0 ** (64 if dtype.kind == "u" else 63))).item():
            raise DTypeError(
                f"sums of {dtype.name} pixels may pass 64 bits",
                where=f"channel {self.channel!r}",
                hint="Measure the image as float64, or smaller integers.",
            )

    def _names(self, *what: str) -> tuple[str, ...]:
        return tuple(f"{name}_{self.channel}" for name in what)


def _float64(column: Array) -> Array:
    backend = backend_of(column)
    return backend.xp.astype(column, backend.dtype("float64"), copy=False)


def _finite(column: Array) -> Array:
    """Infinities as NaN: ``inf - inf`` would come to the same, with a warning."""
    xp = backend_of(column).xp
    return xp.where(xp.isfinite(column), column, xp.nan)
