"""Boxes, areas and runs of labelled objects. Knows: label arrays, object ids. Does not know: files, metadata, what an object is.

A run is a stretch of one id along the last axis. Sorting and folding act on runs, so the cost is one comparison per pixel and the
rest per run, whatever the largest id is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from omexp.backend import Array, backend_of, dtype_of, native
from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Region, blocks
from omexp.kernels.segments import Fold, Segments, distances, fold_segments, group_equal, heads_of

_TILE = 1 << 20  # pixels in hand at a time: 2**19 to 2**22 are as fast, 2**26 takes 1.5 times as long; bounds what noise can cost
_ROWS = 1 << 16  # rows that wait at least before a merge
_Part = TypeVar("_Part")

__all__ = ["LabelBoxes", "LabelRuns", "check_label_dtype", "label_boxes", "label_runs", "merge_boxes", "merge_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelBoxes:
    """The smallest box around each object, and how many pixels it has where.

    Parameters
    ----------
    ids
        (n,) ids in ascending order, in the dtype of the labels.
    start, stop
        (n, ndim) int64 pixels: the first inside and the first outside, per axis.
    area
        (n,) int64: pixels.
    total
        (n, ndim) int64: the sum of the pixels' indices per axis, so that parts of an object add up without rounding.
    """

    ids: Array
    start: Array
    stop: Array
    area: Array
    total: Array

    @property
    def centroid(self) -> Array:
        """(n, ndim) the mean pixel index, in float64 (the device's own floats where it has none)."""
        backend = backend_of(self.area)
        floats = backend.xp.__array_namespace_info__().default_dtypes(device=backend.device)["real floating"]
        return backend.xp.astype(self.total, floats) / backend.xp.astype(self.area, floats)[:, None]


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """The stretches of equal id along the last axis of a label array, in the order of its pixels; no background.

    Parameters
    ----------
    ids
        (r,) the id of each run, in the dtype of the labels.
    start
        Per axis an (r,) int64 array: the first pixel of each run, origin added.
    length
        (r,) int64: pixels along the last axis.
    flat, edges
        The label pixels as one row, and True where a run, or background, begins in it.
    """

    ids: Array
    start: tuple[Array, ...]
    length: Array
    flat: Array
    edges: Array

    @cached_property
    def foreground(self) -> Array:
        """(pixels,) bool: where an object is."""
        return self.flat != 0

    @cached_property
    def segments(self) -> Segments:
        """The runs as segments of the foreground pixels."""
        return Segments(self.edges[self.foreground])

    def pixels(self, image: Array) -> Array:
        """The foreground pixels of an image of the labels' shape, run after run."""
        return backend_of(image, self.flat).xp.reshape(image, (-1,))[self.foreground]


def check_label_dtype(dtype: Any, where: str = "labels") -> None:
    """Raise `DTypeError` unless a NumPy dtype can hold object ids: integers and bool."""
    if dtype.kind not in "biu":
        raise DTypeError(
            "labels must be integers", where=where, got=dtype.name, allowed="integers or bool", hint="Convert with astype('uint32')."
        )


def label_boxes(labels: Array, *, origin: Sequence[int] | None = None) -> LabelBoxes:
    """The box, area and centroid of each object of a label array, in one pass. Background (0, False) is no object.

    Time is one look at each pixel and a sort of the runs. Memory beside the result is a few MiB for real objects and at most some
    hundred MiB for noise, whatever the size of the array and its largest id.

    Parameters
    ----------
    labels
        Integers or bool, one axis or more; uint64 ids above 2**53 and negative ids are exact.
    origin
        The place of the first pixel, added to starts and stops; one integer per axis.

    Returns
    -------
    LabelBoxes on the device of `labels`; n = 0 where there is no object.

    Raises
    ------
    DTypeError
        The labels are not integers.
    ArgumentError
        The labels have no axis, or `origin` has not one entry per axis.

    Examples
    --------
    >>> import numpy
    >>> boxes = label_boxes(numpy.array([[0, 7, 7], [0, 0, 7]]), origin=(10, 0))
    >>> boxes.ids.tolist(), boxes.start.tolist(), boxes.stop.tolist(), boxes.area.tolist()
    ([7], [[10, 1]], [[12, 3]], [3])
    """
    origin = _checked_origin(labels, origin)
    tiles = blocks(labels.shape, _tile_shape(labels.shape)) if 0 not in labels.shape else [Region.whole(labels.shape)]
    return merge_parts((_tile_boxes(labels[tile.slices], tile.shift(origin).start) for tile in tiles), merge_boxes, _rows)


def _tile_boxes(labels: Array, origin: Sequence[int]) -> LabelBoxes:
    if fast := native("tile_boxes", backend_of(labels)):
        return fast(labels, origin)
    runs = label_runs(labels, origin=origin)
    *slow, first = runs.start
    stop = [*(start + 1 for start in slow), first + runs.length]
    total = [*(start * runs.length for start in slow), first * runs.length + runs.length * (runs.length - 1) // 2]
    return _folded(runs.ids, runs.start, stop, runs.length, total)


def label_runs(labels: Array, *, origin: Sequence[int] | None = None) -> LabelRuns:
    """The runs of a label array, all at once: temporaries of one byte per pixel and some words per run.

    Takes and refuses what `label_boxes` does.

    Examples
    --------
    >>> import numpy
    >>> runs = label_runs(numpy.array([[0, 7, 7], [9, 9, 7]]))
    >>> runs.ids.tolist(), runs.length.tolist(), [start.tolist() for start in runs.start]
    ([7, 9, 7], [2, 2, 1], [[0, 1, 1], [1, 0, 2]])
    """
    origin = _checked_origin(labels, origin)
    backend = backend_of(labels)
    xp = backend.xp
    flat = xp.reshape(labels, (-1,))
    if dtype_of(labels).kind == "b":
        flat = xp.astype(flat, backend.dtype("uint8"))
    edges = heads_of(flat)
    edges[:: max(labels.shape[-1], 1)] = True  # a run ends with its row
    begin = xp.nonzero(edges)[0]
    length = distances(begin, flat.shape[0])
    ids = xp.take(flat, begin)
    objects = xp.nonzero(ids != 0)[0]
    begin = xp.take(begin, objects)
    start: list[Array] = []
    for n, offset in zip(labels.shape[:0:-1], origin[:0:-1], strict=True):
        start.insert(0, begin % n + offset)
        begin = begin // n
    return LabelRuns(
        ids=xp.astype(xp.take(ids, objects), labels.dtype, copy=False),
        start=(begin + origin[0], *start),
        length=xp.take(length, objects),
        flat=flat,
        edges=edges,
    )


def merge_boxes(parts: Sequence[LabelBoxes]) -> LabelBoxes:
    """One box per id around its boxes in all parts.

    Raises
    ------
    ArgumentError
        There is no part, or they have different numbers of axes or dtypes of ids.
    BackendMismatchError
        The parts live in different places.

    Examples
    --------
    >>> import numpy
    >>> left, right = label_boxes(numpy.array([3, 3])), label_boxes(numpy.array([3, 0]), origin=(2,))
    >>> merge_boxes([left, right]).stop.tolist()
    [[3]]
    """
    kinds = sorted({(dtype_of(part.ids).name, part.start.shape[1]) for part in parts})
    if len(kinds) != 1:
        raise ArgumentError(
            "boxes can be merged where ids and axes agree", where="parts", got=kinds, allowed="one dtype of ids, one number of axes"
        )
    backend_of(*(part.ids for part in parts))
    if len(parts) == 1:
        return parts[0]
    start, stop, total = ([column[:, k] for k in range(kinds[0][1])] for column in _joined(parts, "start", "stop", "total"))
    ids, area = _joined(parts, "ids", "area")
    return _folded(ids, start, stop, area, total)


def _joined(parts: Sequence[LabelBoxes], *names: str) -> list[Array]:
    xp = backend_of(parts[0].ids).xp
    return [xp.concat([getattr(part, name) for part in parts]) for name in names]


def merge_parts(parts: Iterable[_Part], merge: Callable[[list[_Part]], _Part], rows: Callable[[_Part], int]) -> _Part:
    """Merge parts as they come, so that never more rows wait than 65 536 or twice the rows of the merged table."""
    held: list[_Part] = []
    count, limit = 0, _ROWS
    for part in parts:
        held.append(part)
        count += rows(part)
        if count > limit:
            held = [merge(held)]
            count = rows(held[0])
            limit = max(_ROWS, 2 * count)
    return merge(held)


def _rows(boxes: LabelBoxes) -> int:
    return boxes.ids.shape[0]


def _folded(ids: Array, start: Sequence[Array], stop: Sequence[Array], area: Array, total: Sequence[Array]) -> LabelBoxes:
    xp = backend_of(ids).xp
    order, segments, distinct = group_equal(ids)

    def folded(columns: Sequence[Array], op: Fold) -> list[Array]:
        return [fold_segments(xp.take(column, order), segments, op) for column in columns]

    lowest, highest, sums = folded(start, "minimum"), folded(stop, "maximum"), folded([area, *total], "add")
    return LabelBoxes(distinct, xp.stack(lowest, axis=1), xp.stack(highest, axis=1), sums[0], xp.stack(sums[1:], axis=1))


def _tile_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """At most `_TILE` pixels, whole along the fast axes."""
    tile: list[int] = []
    left = _TILE
    for n in reversed(shape):
        tile.insert(0, min(n, left))
        left //= tile[0]
    return tuple(tile)


def _checked_origin(labels: Array, origin: Sequence[int] | None) -> tuple[int, ...]:
    backend_of(labels)
    check_label_dtype(dtype_of(labels))
    if labels.ndim == 0:
        raise ArgumentError("labels must have an axis", where="labels", got="shape ()")
    origin = (0,) * labels.ndim if origin is None else tuple(origin)
    if len(origin) != labels.ndim:
        raise ArgumentError("origin must have one entry per axis", where="origin", got=origin, allowed=f"{labels.ndim} integers")
    return origin
