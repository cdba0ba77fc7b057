"""Labels made of labels: renumbered, cleaned, grown, joined. Knows: what each operation asks for. Does not know: how pixels are made.

Each function takes an array (NumPy, CuPy, any array-API library; dask and zarr arrays, too) and gives one, or takes a `Label` and writes
another one beside it, block by block, its pyramid included, in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from omexp.backend import Array
from omexp.containers.labelling.work import Axes, LabelOutput, LabelWork, Spacing, block_of, reader_of
from omexp.errors import ArgumentError
from omexp.kernels.overlaps import Overlaps
from omexp.label_operations import (
    ExpandedReader,
    MappedReader,
    find_overlaps,
    inner_ids,
    join_components,
    join_tiles,
    large_ids,
    sequential_ids,
)
from omexp.storage.reading import default_workers

__all__ = [
    "expand_labels",
    "keep_objects",
    "label_components",
    "overlap_table",
    "relabel_sequential",
    "remove_border_objects",
    "remove_objects",
    "remove_small_objects",
    "stitch",
]


def relabel_sequential(labels: Any, offset: int = 1, *, dtype: Any = None, **output: Unpack[LabelOutput]) -> tuple[Any, Array]:
    """Ids renumbered ``offset, offset + 1, ...`` in ascending order of the old ids.

    Parameters
    ----------
    labels
        A `Label` (its finest level) or an array of integers or bool; 0 is background.
    offset
        The first new id.
    dtype
        Of the result; None: the smallest unsigned one that holds the last id.
    **output
        For a `Label`: `output` (a name), `overwrite`, `workers`, `progress`.

    Returns
    -------
    (labels, ids)
        The new label or array, and the old ids ascending, on its device: object ``offset + k`` was ``ids[k]``.

    Raises
    ------
    ArgumentError, DTypeError
        An offset below 1, labels that are no integers, or a dtype that does not hold the ids; nothing is written.

    Examples
    --------
    >>> import numpy, omexp
    >>> new, ids = omexp.relabel_sequential(numpy.array([[0, 2**40], [7, 7]]))
    >>> new.tolist(), new.dtype.name, ids.tolist()
    ([[0, 2], [1, 1]], 'uint8', [7, 1099511627776])
    """
    work = LabelWork.of(labels, output)
    boxes = work.boxes()
    return work.result(MappedReader(work.reader, boxes.ids, sequential_ids(boxes.ids, offset, dtype)), same_ids=False), boxes.ids


def remove_small_objects(labels: Any, min_size: float, *, spacing: Spacing = None, **output: Unpack[LabelOutput]) -> Any:
    """Objects smaller than `min_size` become background. An object is all pixels of its id, connected or not.

    Parameters
    ----------
    labels, **output
        As in `relabel_sequential`.
    min_size
        In pixels, or in the units of `spacing` (area or volume); an object of exactly this size stays.
    spacing
        Size of a pixel per axis; "world": that of the `Label`. None: pixels are counted.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.remove_small_objects(numpy.array([[1, 1, 0, 2]]), 2).tolist()
    [[1, 1, 0, 0]]
    """
    work = LabelWork.of(labels, output)
    pixel = 1.0 if spacing is None else math.prod(size for size in work.sizes(spacing, None) if size is not None)
    return work.kept(large_ids(work.boxes(), min_size, pixel))


def remove_border_objects(labels: Any, buffer: int = 0, *, axes: Axes = None, **output: Unpack[LabelOutput]) -> Any:
    """Objects with a pixel among the first or last ``buffer + 1`` along an axis become background.

    Parameters
    ----------
    labels, **output
        As in `relabel_sequential`.
    buffer
        Pixels beside the border that count as it.
    axes
        The axes whose borders count, by name (a `Label`) or number (an array): "yx" keeps what touches the first plane of a stack. None:
        z, y, x of a label, all of an array. An axis of size 1 has no border.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.remove_border_objects(numpy.array([[0, 0, 0], [1, 2, 0], [0, 0, 0]])).tolist()
    [[0, 0, 0], [0, 2, 0], [0, 0, 0]]
    """
    work = LabelWork.of(labels, output)
    if not isinstance(buffer, int) or buffer < 0:
        raise ArgumentError("a buffer is a number of pixels", where="buffer", got=buffer, allowed="0 or more")
    return work.kept(inner_ids(work.boxes(), work.reader.shape, work.axes(axes), buffer))


def keep_objects(labels: Any, ids: Any, **output: Unpack[LabelOutput]) -> Any:
    """All objects but those of the ids become background. `ids`: an array on the labels' device, or ints; those that do not occur are
    ignored. Else as `relabel_sequential`.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.keep_objects(numpy.array([1, 2, 3]), [3, 1]).tolist()
    [1, 0, 3]
    """
    work = LabelWork.of(labels, output)
    return work.kept(work.ids(ids))


def remove_objects(labels: Any, ids: Any, **output: Unpack[LabelOutput]) -> Any:
    """The objects of the ids become background. See `keep_objects`.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.remove_objects(numpy.array([1, 2, 3]), [3, 1]).tolist()
    [0, 2, 0]
    """
    work = LabelWork.of(labels, output)
    gone = work.ids(ids)
    return work.result(MappedReader(work.reader, gone, work.zeros(gone), others_stay=True))


def expand_labels(labels: Any, distance: float = 1.0, *, spacing: Spacing = None, axes: Axes = None, **output: Unpack[LabelOutput]) -> Any:
    """Objects grown by up to `distance` into the background, without meeting: each background pixel takes the id of the nearest object.

    Distances are exact and Euclidean, between the centres of pixels. **Of two objects at the same distance the smaller id wins**, so that
    the result does not depend on how the image is cut.

    Parameters
    ----------
    labels, **output
        As in `relabel_sequential`.
    distance
        In pixels, or in the units of `spacing`. Time grows with it.
    spacing
        Size of a pixel per axis; "world": that of the `Label`.
    axes
        The axes along which objects grow, by name (a `Label`) or number (an array): "yx" grows plane by plane. None: z, y, x of a label,
        all of an array.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.expand_labels(numpy.array([0, 0, 9, 0, 7, 0, 0, 0]), 2).tolist()
    [9, 9, 9, 7, 7, 7, 7, 0]
    """
    work = LabelWork.of(labels, output)
    return work.result(ExpandedReader(work.reader, distance, work.sizes(spacing, axes)))


def label_components(labels: Any, connectivity: int = 1, *, axes: Axes = None, dtype: Any = None, **output: Unpack[LabelOutput]) -> Any:
    """The connected components of a mask or label, numbered 1, 2, ... in the order of their first pixels.

    The pixels of a mask (bool) are joined where they touch; those of a label where they touch and have the same id, so that an object in
    two parts becomes two.

    Parameters
    ----------
    labels, **output
        As in `relabel_sequential`.
    connectivity
        Axes along which two pixels that touch may differ: 1 (faces) to the number of axes (corners).
    axes
        The axes along which pixels are joined, by name or number, the last one among them. None: z, y, x of a label, all of an array.
    dtype
        Of the result; None: the smallest unsigned one that holds the last number.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.label_components(numpy.array([[True, False, True], [True, False, False], [False, True, False]])).tolist()
    [[1, 0, 2], [1, 0, 0], [0, 3, 0]]
    """
    work = LabelWork.of(labels, output)
    joined = join_components(work.reader, work.block, connectivity, apart=work.apart(axes), dtype=dtype, workers=work.workers)
    return work.result(joined, same_ids=False)


def stitch(
    labels: Any, tile: Sequence[int], threshold: float = 0.0, *, axes: Axes = None, dtype: Any = None, **output: Unpack[LabelOutput]
) -> Any:
    """Objects that were segmented tile by tile, joined across the seams and numbered 1, 2, ... in the order of their first pixels.

    Two objects are one where pixels of theirs face each other across a seam and those that do are at least `threshold` of all that the two
    have at that seam (intersection over union). Ids mean something within their own tile only: each tile may count from 1.

    Parameters
    ----------
    labels, **output
        As in `relabel_sequential`.
    tile
        Pixels per axis of the tiles, which begin at 0; one is in memory at a time for each worker. ``(1, height, width)`` stitches planes
        that were segmented one by one.
    threshold
        0 joins whatever touches; 0.25 is usual for planes.
    axes
        The axes across whose seams objects are joined, by name or number. None: z, y, x of a label, all of an array.
    dtype
        Of the result; None: the smallest unsigned one that holds the last number.

    Examples
    --------
    >>> import numpy, omexp
    >>> omexp.stitch(numpy.array([[0, 1, 1, 0], [2, 0, 0, 2]]), tile=(2, 2)).tolist()
    [[0, 1, 1, 0], [2, 0, 0, 3]]
    """
    work = LabelWork.of(labels, output)
    joined = join_tiles(work.reader, tuple(tile), threshold, apart=work.apart(axes), dtype=dtype, workers=work.workers)
    return work.result(joined, same_ids=False)


def overlap_table(a: Any, b: Any, *, workers: int | None = None) -> Overlaps:
    """The pairs of objects of two labels that share pixels: pixel counts, areas, intersection over union.

    Parameters
    ----------
    a, b
        Two levels of labels, or two arrays, of one shape and on one device.
    workers
        Threads; None for all CPUs.

    Returns
    -------
    Overlaps
        Columns ascending by `a`, then `b`: `a`, `b`, `pixels`, `area_a`, `area_b`, `iou`. ``overlaps.columns()`` is what `add_table` takes.

    Raises
    ------
    ArgumentError, DTypeError, BackendMismatchError
        Other shapes, no integers, two devices.

    Examples
    --------
    >>> import numpy, omexp
    >>> found = omexp.overlap_table(numpy.array([1, 1, 0, 2]), numpy.array([7, 7, 7, 0]))
    >>> found.a.tolist(), found.b.tolist(), found.pixels.tolist(), found.area_b.tolist()
    ([1], [7], [2], [3])
    """
    first, second = reader_of(a), reader_of(b)
    return find_overlaps(first, second, block_of(a, first), workers=workers or default_workers())
