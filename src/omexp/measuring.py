"""Per-object statistics of stored arrays, block by block. Knows: readers, blocks, reductions. Does not know: files, metadata, tables.

Each block becomes one row per run of pixels, runs are combined into objects, blocks are combined into
the whole: the same `combine` every time, so that the cut of the blocks does not show. A statistic is a record of `kernels.reductions`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omexp.backend import Array, backend_of, to_host
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.geometry import Region, blocks
from omexp.kernels.labels import LabelBoxes, check_label_dtype, label_boxes, label_runs, merge_boxes, merge_parts
from omexp.kernels.reductions import Extent, Intensity, Reduction
from omexp.kernels.segments import Columns, fold_columns, group_equal

__all__ = ["find_boxes", "measure_objects"]


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of a block or of several: `ids` and equally long columns."""

    ids: Array
    rows: Columns


def find_boxes(reader: BoxReader, block_shape: Sequence[int]) -> LabelBoxes:
    """The box around each object of a stored label array, block by block.

    Memory is one block and the boxes, whatever the size of the array and its largest id.

    Parameters
    ----------
    reader
        Integer or bool labels; 0 is background.
    block_shape
        Pixels per axis that are read together; a multiple of the chunks reads each chunk once.

    Returns
    -------
    LabelBoxes in the pixels of the whole array, on the reader's device.

    Raises
    ------
    DTypeError
        The labels are not integers.
    ArgumentError
        `block_shape` has not one positive entry per axis.

    Examples
    --------
    >>> import numpy
    >>> from types import SimpleNamespace
    >>> from omexp.backend import numpy_backend
    >>> pixels = numpy.array([[0, 7, 7, 0], [0, 0, 7, 0]])
    >>> labels = SimpleNamespace(shape=(2, 4), dtype=pixels.dtype, backend=numpy_backend, read=lambda region: pixels[region.slices])
    >>> boxes = find_boxes(labels, (1, 2))
    >>> boxes.ids.tolist(), boxes.start.tolist(), boxes.stop.tolist()
    ([7], [[0, 1]], [[2, 3]])
    """
    _check_readers(reader, {}, block_shape)
    return merge_parts(_box_parts(reader, block_shape), merge_boxes, lambda boxes: boxes.ids.shape[0])


def _box_parts(reader: BoxReader, block_shape: Sequence[int]) -> Iterator[LabelBoxes]:
    for region in _plan(reader, block_shape):
        yield label_boxes(_read(reader, region), origin=region.start)


def measure_objects(
    labels: BoxReader,
    images: Mapping[str, BoxReader],
    block_shape: Sequence[int],
    *,
    axes: Sequence[str],
    spacing: Sequence[float] | None = None,
) -> dict[str, Any]:
    """One row per object: its shape, and its intensity in each channel.

    Memory is one block of labels, one of one channel, and the table. Image blocks without objects are not read.
    Counts, boxes, centroids, minima, maxima, sums and means of integers are equal for every cut into blocks; standard deviations,
    and means of floats, agree to about 1e-12.

    Parameters
    ----------
    labels
        Integer or bool labels over the spatial axes; 0 is background.
    images
        Channel name -> reader of the same shape on the same backend; may be empty.
    block_shape
        Pixels per axis that are read together; a multiple of the chunks reads each chunk once.
    axes
        The names of the axes, for example ``"zyx"``.
    spacing
        Physical size of a pixel per axis; 1 unless told.

    Returns
    -------
    Host columns, objects by ascending id: ``label`` (dtype of the labels), ``area`` (pixels, int64), ``volume`` (physical), per
    axis ``bbox_min_x``, ``bbox_max_x`` (pixels, int64, maximum exclusive) and ``centroid_x`` (pixels; pixel 0 has its centre at 0),
    per channel ``mean_c``, ``std_c`` (population), ``min_c``, ``max_c`` (dtype of the image) and ``sum_c`` (int64, uint64, float64).

    Raises
    ------
    ArgumentError
        The readers differ in shape, or blocks, axes or spacing have not one fitting entry per axis.
    DTypeError
        The labels are not integers, an image is complex, or sums of 64-bit integers would pass 64 bits.
    BackendMismatchError
        The readers give arrays of different backends.

    Examples
    --------
    >>> import numpy
    >>> from types import SimpleNamespace
    >>> from omexp.backend import numpy_backend
    >>> pixels = numpy.array([[0, 7, 7, 0], [0, 0, 7, 0]])
    >>> labels = SimpleNamespace(shape=(2, 4), dtype=pixels.dtype, backend=numpy_backend, read=lambda region: pixels[region.slices])
    >>> table = measure_objects(labels, {"itself": labels}, (1, 2), axes="yx", spacing=(0.5, 0.5))
    >>> table["label"].tolist(), table["area"].tolist(), table["volume"].tolist(), table["sum_itself"].tolist()
    ([7], [3], [0.75], [21])
    """
    _check_readers(labels, images, block_shape)
    n = len(labels.shape)
    spacing = (1.0,) * n if spacing is None else tuple(spacing)
    if len(axes) != n or len(set(axes)) != n:
        raise ArgumentError("axes must name each axis of the labels once", where="axes", got=tuple(axes), allowed=f"{n} names")
    if len(spacing) != n or not all(size > 0 and math.isfinite(size) for size in spacing):
        raise ArgumentError("spacing must have one positive entry per axis", where="spacing", got=spacing, allowed=f"{n} numbers")
    reductions: list[tuple[Reduction, BoxReader | None]] = [(Extent(tuple(axes), spacing), None)]
    reductions += [(Intensity(channel), image) for channel, image in images.items()]
    kinds = [reduction for reduction, _ in reductions]

    with labels.backend.active():
        parts = _tables(labels, reductions, block_shape)
        table = merge_parts(parts, lambda tables: _merge(tables, kinds), lambda table: table.ids.shape[0])
        finished = [reduction.finalize(table.rows) for reduction in kinds]
        return {name: to_host(column) for columns in ({"label": table.ids}, *finished) for name, column in columns.items()}


def _plan(reader: BoxReader, block_shape: Sequence[int]) -> Iterator[Region]:
    """The blocks, after an empty one: it gives the dtypes where no block has an object, or there is no block."""
    return itertools.chain([Region.whole((0,) * len(reader.shape))], blocks(reader.shape, block_shape))


def _read(reader: BoxReader, region: Region) -> Array:
    return reader.read(region) if region.size else reader.backend.empty(region.shape, reader.dtype)


def _tables(labels: BoxReader, reductions: Sequence[tuple[Reduction, BoxReader | None]], block_shape: Sequence[int]) -> Iterator[_Table]:
    for region in _plan(labels, block_shape):
        runs = label_runs(_read(labels, region), origin=region.start)
        if region.size and runs.ids.shape[0] == 0:
            continue
        rows: Columns = {}
        for reduction, image in reductions:
            rows |= reduction.block(runs, None if image is None else _read(image, region))
        yield _folded(runs.ids, rows, [reduction for reduction, _ in reductions])


def _merge(tables: Sequence[_Table], kinds: Sequence[Reduction]) -> _Table:
    if len(tables) == 1:
        return tables[0]
    xp = backend_of(tables[0].ids).xp
    rows = {name: xp.concat([table.rows[name] for table in tables]) for name in tables[0].rows}
    return _folded(xp.concat([table.ids for table in tables]), rows, kinds)


def _folded(ids: Array, rows: Columns, kinds: Sequence[Reduction]) -> _Table:
    xp = backend_of(ids).xp
    order, segments, distinct = group_equal(ids)
    ordered = {name: xp.take(column, order) for name, column in rows.items()}

    def combine(a: Columns, b: Columns) -> Columns:
        return {name: column for kind in kinds for name, column in kind.combine(a, b).items()}

    return _Table(distinct, fold_columns(ordered, segments, combine))


def _check_readers(labels: BoxReader, images: Mapping[str, BoxReader], block_shape: Sequence[int]) -> None:
    check_label_dtype(labels.dtype)
    if len(labels.shape) == 0 or len(block_shape) != len(labels.shape) or any(n < 1 for n in block_shape):
        raise ArgumentError(
            "a block must have one positive entry per axis",
            where="block_shape",
            got=tuple(block_shape),
            allowed=f"for labels of shape {labels.shape}",
        )
    for channel, image in images.items():
        where = f"channel {channel!r}"
        if tuple(image.shape) != tuple(labels.shape):
            raise ArgumentError(
                "image and labels must have the same shape",
                where=where,
                got=image.shape,
                allowed=labels.shape,
                hint="Bring the labels to the grid of the image.",
            )
        if image.dtype.kind not in "biuf":
            raise DTypeError("only real numbers can be measured", where=where, got=image.dtype.name, allowed="bool, integers, floats")
        if image.backend != labels.backend:
            raise BackendMismatchError(
                "image and labels must be read on one backend", where=where, got=image.backend.name, allowed=labels.backend.name
            )
