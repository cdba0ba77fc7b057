"""Statistics of objects as records: block, combine, finalize. Knows: the objects of a block, columns. Does not know: readers, files.

A reduction turns a block into one row per object in it, combines two rows of one object (of two blocks), and turns the rows into the
columns that a table shows. Whoever folds the rows needs to know nothing else about it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from omexp.backend import Array, backend_of, dtype_of, native, to_host
from omexp.errors import DTypeError
from omexp.kernels.labels import LabelRuns
from omexp.kernels.segments import Columns, Fold, Segments, fold_columns, fold_segments, group_equal, heads_of, spread_segments

__all__ = ["INTENSITIES", "Extent", "Intensity", "Moments", "Objects", "Reduction", "Sums"]

INTENSITIES = ("mean", "std", "min", "max", "sum")


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a block: its runs, brought together by id."""

    runs: LabelRuns

    @cached_property
    def _groups(self) -> tuple[Array, Segments, Array]:
        return group_equal(self.runs.ids)

    @property
    def order(self) -> Array:
        """(r,) the runs by ascending id, in the order of their pixels within an id."""
        return self._groups[0]

    @property
    def segments(self) -> Segments:
        """The objects as segments of the ordered runs."""
        return self._groups[1]

    @property
    def ids(self) -> Array:
        """(n,) ascending."""
        return self._groups[2]

    def fold(self, column: Array, op: Fold) -> Array:
        """One value per run -> one per object."""
        return fold_segments(backend_of(column).xp.take(column, self.order), self.segments, op)

    def fold_pixels(self, pixels: Array, op: Fold) -> Array:
        """One value per foreground pixel, in the order of the runs -> one per object."""
        return self.fold(fold_segments(pixels, self.runs.segments, op), op)

    @cached_property
    def pixel_order(self) -> tuple[Array, Segments]:
        """The foreground pixels object by object, and the objects as segments of them."""
        backend = backend_of(self.runs.length)
        if fast := native("pixel_order", backend):
            return fast(self)
        xp = backend.xp
        number = xp.take(self.segments.index, xp.argsort(self.order))  # the object of each run
        each = spread_segments(number, self.runs.segments)
        order = xp.argsort(each, stable=True)
        return order, Segments(heads_of(xp.take(each, order)))


class Reduction(Protocol):
    """A family of columns: what a block gives, how two rows of one object combine, what the table shows."""

    def block(self, objects: Objects, image: Array | None) -> Columns:
        """One row per object of the block; `image` holds the pixels of the channel that is measured, if one is."""

    def combine(self, a: Columns, b: Columns) -> Columns:
        """The rows of the same objects over the pixels of both. Sees all columns, returns its own."""

    def finalize(self, rows: Columns) -> Columns:
        """The columns of the finished table, one row per object."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Integer columns that others have counted: they add up."""

    names: tuple[str, ...]

    def block(self, objects: Objects, image: Array | None) -> Columns:
        return {}

    def combine(self, a: Columns, b: Columns) -> Columns:
        return {name: a[name] + b[name] for name in self.names}

    def finalize(self, rows: Columns) -> Columns:
        return {name: rows[name] for name in self.names}


@dataclass(frozen=True, slots=True)
class Extent:
    """Area, volume, bounding box and centroid. `axes` and `spacing` have one entry per axis; needs no image."""

    axes: tuple[str, ...]
    spacing: tuple[float, ...]

    def block(self, objects: Objects, image: Array | None) -> Columns:
        length = objects.runs.length
        *slow, fast = objects.runs.start
        stops = [*(start + 1 for start in slow), fast + length]
        # the sum of the coordinates of a run, in integers: centroids are equal for every cut
        sums = [*(start * length for start in slow), fast * length + length * (length - 1) // 2]
        return {
            "area": objects.fold(length, "add"),
            **{f"bbox_min_{axis}": objects.fold(start, "minimum") for axis, start in zip(self.axes, objects.runs.start, strict=True)},
            **{f"bbox_max_{axis}": objects.fold(stop, "maximum") for axis, stop in zip(self.axes, stops, strict=True)},
            **{f"total_{axis}": objects.fold(total, "add") for axis, total in zip(self.axes, sums, strict=True)},
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
class Moments:
    """Central second moments of the pixels' places, ``moment_y_x``: the mean of the product of the two distances to the centroid.

    Needs the columns of `Extent` beside it. Sums of places and of products are int64 modulo 2**64; they are shifted to the whole pixel
    below the centroid in integers, where they are small again. So they are exact and equal for every cut, at any distance from the origin.
    """

    axes: tuple[str, ...]

    def block(self, objects: Objects, image: Array | None) -> Columns:
        length = objects.runs.length
        *slow, fast = objects.runs.start
        steps = length * (length - 1) // 2  # of the pixels of a run, seen from its first
        along = fast * length + steps
        products = {}
        for i, j in self._pairs():
            if j < len(slow):
                product = slow[i] * slow[j] * length
            elif i < len(slow):
                product = slow[i] * along
            else:
                product = fast * (along + steps) + steps * (2 * length - 1) // 3
            products[self._name("product", i, j)] = objects.fold(product, "add")
        return products

    def combine(self, a: Columns, b: Columns) -> Columns:
        return {name: a[name] + b[name] for name in (self._name("product", i, j) for i, j in self._pairs())}

    def finalize(self, rows: Columns) -> Columns:
        area = rows["area"]
        totals = [rows[f"total_{axis}"] for axis in self.axes]
        lows = [total // area for total in totals]
        rests = [_float64(total - low * area) / _float64(area) for total, low in zip(totals, lows, strict=True)]
        moments = {}
        for i, j in self._pairs():
            shifted = rows[self._name("product", i, j)] - lows[i] * totals[j] - lows[j] * totals[i] + area * lows[i] * lows[j]
            moments[self._name("moment", i, j)] = _float64(shifted) / _float64(area) - rests[i] * rests[j]
        return moments

    def _pairs(self) -> list[tuple[int, int]]:
        n = len(self.axes)
        return [(i, j) for i in range(n) for j in range(i, n)]

    def _name(self, what: str, i: int, j: int) -> str:
        return f"{what}_{self.axes[i]}_{self.axes[j]}"


@dataclass(frozen=True, slots=True)
class Intensity:
    """Mean, population standard deviation, minimum, maximum and sum of one channel, or some of them. Needs the areas of `Extent`.

    Integer sums are exact in int64 or uint64; float sums are float64, added in a fixed order within a block. Deviations of integers of
    at most 16 bits come from sums of squares modulo 2**64, shifted to the whole number below the mean in integers: exact for every cut.
    Those of other numbers are taken from each run's own mean, means are kept as a rise above one of the pixels (`base`), and rows combine
    by Chan's update: a spread of 1 on an offset of 1e9 keeps 12 digits. NaN makes its object NaN; bool counts as 0 and 1.
    """

    channel: str
    wanted: Collection[str] = INTENSITIES

    def block(self, objects: Objects, image: Array | None) -> Columns:
        runs = objects.runs
        backend = backend_of(image, runs.flat)
        xp = backend.xp
        dtype = dtype_of(image)
        kind = dtype.kind
        pixels = xp.astype(runs.pixels(image), backend.dtype("uint8")) if kind == "b" else runs.pixels(image)
        wide = backend.dtype({"i": "int64", "f": "float64"}.get(kind, "uint64"))
        values: Columns = {}
        if self._adds:
            values["sum"] = objects.fold_pixels(xp.astype(pixels, wide), "add")
        if self._keeps("min", dtype):
            values["min"] = objects.fold_pixels(pixels, "minimum")
        if self._keeps("max", dtype):
            values["max"] = objects.fold_pixels(pixels, "maximum")
        if "std" in self.wanted and _is_small(dtype):
            values["squares"] = objects.fold_pixels(_square(pixels, wide), "add")
        elif "std" in self.wanted:
            values |= self._deviations(objects, pixels)
        return {f"{name}_{self.channel}": value for name, value in values.items()}

    @property
    def _adds(self) -> bool:
        return not {"mean", "sum", "std"}.isdisjoint(self.wanted)

    def _keeps(self, name: str, dtype: object) -> bool:
        """Extremes of 64-bit integers say whether sums could have passed 64 bits."""
        return name in self.wanted or (self._adds and dtype in ("int64", "uint64"))

    def _deviations(self, objects: Objects, pixels: Array) -> Columns:
        """base, rise and m2 of each object, from those of its runs."""
        runs = objects.runs
        xp = backend_of(pixels).xp
        base = _finite(_float64(fold_segments(pixels, runs.segments, "minimum")))
        above = _float64(pixels) - spread_segments(base, runs.segments)
        rise = _finite(fold_segments(above, runs.segments, "add") / _float64(runs.length))
        away = above - spread_segments(rise, runs.segments)
        rows = {"base": base, "rise": rise, "m2": fold_segments(away * away, runs.segments, "add"), "area": runs.length}
        ordered = {f"{name}_{self.channel}": xp.take(column, objects.order) for name, column in rows.items()}

        def combine(a: Columns, b: Columns) -> Columns:
            area = f"area_{self.channel}"
            return {area: a[area] + b[area], **self._chan(a, b, a[area], b[area])}

        folded = fold_columns(ordered, objects.segments, combine)
        return {name: folded[f"{name}_{self.channel}"] for name in ("base", "rise", "m2")}

    def combine(self, a: Columns, b: Columns) -> Columns:
        sum_, squares, base, low, high = self._names("sum", "squares", "base", "min", "max")
        xp = backend_of(a["area"]).xp
        combined = {name: a[name] + b[name] for name in (sum_, squares) if name in a}
        combined |= {low: xp.minimum(a[low], b[low])} if low in a else {}
        combined |= {high: xp.maximum(a[high], b[high])} if high in a else {}
        return combined | (self._chan(a, b, a["area"], b["area"]) if base in a else {})

    def _chan(self, a: Columns, b: Columns, pixels_a: Array, pixels_b: Array) -> Columns:
        base, rise, m2 = self._names("base", "rise", "m2")
        count, more = _float64(pixels_a), _float64(pixels_b)
        share = more / (count + more)
        step = (b[base] - a[base]) + (b[rise] - a[rise])
        return {base: a[base], rise: a[rise] + step * share, m2: a[m2] + b[m2] + step * step * (count * share)}

    def finalize(self, rows: Columns) -> Columns:
        sum_, squares, m2, low, high = self._names("sum", "squares", "m2", "min", "max")
        xp = backend_of(rows["area"]).xp
        if self._adds:
            self._check_sums(rows)
        area = _float64(rows["area"])
        found: Columns = {}
        if "mean" in self.wanted:
            found["mean"] = _float64(rows[sum_]) / area
        if "std" in self.wanted:
            spread = _shifted(rows["area"], rows[sum_], rows[squares]) if squares in rows else rows[m2]
            found["std"] = xp.sqrt(spread / area)
        found |= {name: rows[key] for name, key in (("min", low), ("max", high), ("sum", sum_)) if name in self.wanted}
        return {f"{name}_{self.channel}": column for name, column in found.items()}

    def _check_sums(self, rows: Columns) -> None:
        """Only 64-bit integers can add up to more than 64 bits."""
        sum_, low, high = self._names("sum", "min", "max")
        if low not in rows or high not in rows or (dtype := dtype_of(rows[low])) not in ("int64", "uint64"):
            return
        xp = backend_of(rows[sum_]).xp
        most = xp.maximum(xp.abs(_float64(rows[low])), xp.abs(_float64(rows[high]))) * _float64(rows["area"])
        if to_host(xp.any(most >= 2.0 ** (64 if dtype.kind == "u" else 63))).item():
            raise DTypeError(
                f"sums of {dtype.name} pixels may pass 64 bits",
                where=f"channel {self.channel!r}",
                hint="Measure the image as float64, or smaller integers.",
            )

    def _names(self, *what: str) -> tuple[str, ...]:
        return tuple(f"{name}_{self.channel}" for name in what)


def _is_small(dtype: object) -> bool:
    return dtype in ("bool", "int8", "uint8", "int16", "uint16")


def _square(pixels: Array, wide: object) -> Array:
    """The squares of integers of at most 16 bits, in 64."""
    backend = backend_of(pixels)
    xp = backend.xp
    narrow = xp.astype(pixels, backend.dtype("uint32" if dtype_of(pixels).kind == "u" else "int32"))  # 32768**2 and 65535**2 fit
    return xp.astype(narrow * narrow, wide)


def _shifted(area: Array, total: Array, squares: Array) -> Array:
    """The sum of squared distances to the mean, from exact sums modulo 2**64: see `Intensity`."""
    backend = backend_of(area)
    count = backend.xp.astype(area, total.dtype)
    low = total // count
    rest = _float64(total - low * count)
    return _float64(squares - 2 * low * total + count * low * low) - rest * rest / _float64(area)


def _float64(column: Array) -> Array:
    backend = backend_of(column)
    return backend.xp.astype(column, backend.dtype("float64"), copy=False)


def _finite(column: Array) -> Array:
    """Infinities as NaN: ``inf - inf`` would come to the same, with a warning."""
    xp = backend_of(column).xp
    return xp.where(xp.isfinite(column), column, xp.nan)
