"""Which objects of two label arrays lie on each other. Knows: pairs of ids, pixel counts. Does not know: files, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omexp.backend import Array, backend_of
from omexp.kernels.label_maps import numbers_of_ids
from omexp.kernels.segments import Segments, distances, fold_segments, group_equal, heads_of, spread_segments

__all__ = ["Overlaps", "Pairs", "count_pairs", "merge_pairs", "overlaps_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """How many pixels have which two ids: (n,) ids of either array, 0 included, ascending by `a`, then `b`, and (n,) int64 counts."""

    a: Array
    b: Array
    pixels: Array


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """Pairs of objects that share pixels, ascending by `a`, then `b`: equally long columns on the device of the labels.

    Parameters
    ----------
    a, b
        The ids, in the dtypes of the two labels; never 0.
    pixels
        int64: pixels that both have.
    area_a, area_b
        int64: all pixels of either object.
    iou
        Shared pixels over pixels of either: 1 for equal objects. float64, or the device's own floats.
    """

    a: Array
    b: Array
    pixels: Array
    area_a: Array
    area_b: Array
    iou: Array

    def columns(self) -> dict[str, Array]:
        """Name -> column, as a table takes them."""
        return {name: getattr(self, name) for name in ("a", "b", "pixels", "area_a", "area_b", "iou")}


def count_pairs(a: Array, b: Array) -> Pairs:
    """Count the pairs of ids of two label arrays of one shape.

    Examples
    --------
    >>> import numpy
    >>> pairs = count_pairs(numpy.array([1, 1, 0, 2]), numpy.array([7, 7, 7, 0]))
    >>> pairs.a.tolist(), pairs.b.tolist(), pairs.pixels.tolist()
    ([0, 1, 2], [7, 7, 0], [1, 2, 1])
    """
    xp = backend_of(a, b).xp
    flat_a, flat_b = (numbers_of_ids(xp.reshape(labels, (-1,))) for labels in (a, b))
    begin = xp.nonzero(heads_of(flat_a) | heads_of(flat_b))[0]
    runs = Pairs(xp.take(flat_a, begin), xp.take(flat_b, begin), distances(begin, flat_a.shape[0]))
    kept = xp.nonzero((runs.a != 0) | (runs.b != 0))[0]
    return _folded(_taken(runs, kept))


def merge_pairs(parts: Sequence[Pairs]) -> Pairs:
    """The counts of several parts, added."""
    if len(parts) == 1:
        return parts[0]
    xp = backend_of(*(part.a for part in parts)).xp
    return _folded(Pairs(*(xp.concat([getattr(part, name) for part in parts]) for name in ("a", "b", "pixels"))))


def overlaps_of(pairs: Pairs) -> Overlaps:
    """The pairs of objects, without background, with the areas that the background pairs complete."""
    backend = backend_of(pairs.a)
    xp = backend.xp
    area_a, area_b = _sums_by(pairs.a, pairs.pixels), _sums_by(pairs.b, pairs.pixels)
    both = xp.nonzero((pairs.a != 0) & (pairs.b != 0))[0]
    found, area_a, area_b = _taken(pairs, both), xp.take(area_a, both), xp.take(area_b, both)
    floats = xp.__array_namespace_info__().default_dtypes(device=backend.device)["real floating"]
    iou = xp.astype(found.pixels, floats) / xp.astype(area_a + area_b - found.pixels, floats)
    return Overlaps(found.a, found.b, found.pixels, area_a, area_b, iou)


def _sums_by(ids: Array, pixels: Array) -> Array:
    """For each row, the pixels of all rows of its id."""
    xp = backend_of(ids, pixels).xp
    order, segments, _ = group_equal(ids)
    sums = spread_segments(fold_segments(xp.take(pixels, order), segments, "add"), segments)
    return xp.take(sums, xp.argsort(order, stable=True))


def _folded(rows: Pairs) -> Pairs:
    xp = backend_of(rows.a).xp
    by_b = _taken(rows, xp.argsort(rows.b, stable=True))
    ordered = _taken(by_b, xp.argsort(by_b.a, stable=True))
    segments = Segments(heads_of(ordered.a) | heads_of(ordered.b))
    sums = fold_segments(ordered.pixels, segments, "add")
    return Pairs(xp.take(ordered.a, segments.starts), xp.take(ordered.b, segments.starts), sums)


def _taken(rows: Pairs, places: Array) -> Pairs:
    xp = backend_of(rows.a, places).xp
    return Pairs(xp.take(rows.a, places), xp.take(rows.b, places), xp.take(rows.pixels, places))
