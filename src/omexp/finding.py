"""Where the objects of a stored label lie. Knows: readers, blocks, threads. Does not know: files, metadata, intensities."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from omexp.backend import Array
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError
from omexp.geometry import Region, blocks
from omexp.kernels.labels import LabelBoxes, check_label_dtype, label_boxes, merge_boxes, merge_parts
from omexp.storage.workers import run_in_order

__all__ = ["check_blocks", "find_boxes", "read_box"]


def find_boxes(reader: BoxReader, block_shape: Sequence[int], *, workers: int = 1) -> LabelBoxes:
    """The box, area and centroid of each object of a stored label array, in one pass, block by block.

    Time is one look at each pixel and a sort of the runs; memory is two blocks per worker and the boxes, whatever the size of the array
    and its largest id. The result does not depend on blocks and workers.

    Parameters
    ----------
    reader
        Integer or bool labels; only 0 (False) is background, negative ids are objects.
    block_shape
        Pixels per axis that are read together; a multiple of the chunks reads each chunk once.
    workers
        Threads.

    Returns
    -------
    LabelBoxes in the pixels of the whole array, ids ascending, on the reader's device.

    Raises
    ------
    DTypeError
        The labels are not integers.
    ArgumentError
        `block_shape` has not one positive entry per axis.

    Examples
    --------
    >>> import numpy
    >>> from omexp.storage.sources import source_of
    >>> boxes = find_boxes(source_of(numpy.array([[0, 7, 7, 0], [0, 0, 7, 0]])), (1, 2))
    >>> boxes.ids.tolist(), boxes.start.tolist(), boxes.stop.tolist(), boxes.area.tolist()
    ([7], [[0, 1]], [[2, 3]], [3])
    """
    check_blocks(reader, block_shape)

    def found(region: Region) -> LabelBoxes:
        with reader.backend.active():
            return label_boxes(read_box(reader, region), origin=region.start)

    empty = found(Region.whole((0,) * len(reader.shape)))  # gives the dtypes where there is no block
    parts = run_in_order(found, blocks(reader.shape, block_shape), workers)
    with reader.backend.active():
        return merge_parts(itertools.chain([empty], parts), merge_boxes, lambda boxes: boxes.ids.shape[0])


def read_box(reader: BoxReader, region: Region) -> Array:
    """The pixels of a box; an empty one is not asked of the reader."""
    return reader.read(region) if region.size else reader.backend.empty(region.shape, reader.dtype)


def check_blocks(reader: BoxReader, block_shape: Sequence[int], where: str = "labels") -> None:
    """Raise unless a reader gives labels and a block has one positive entry per axis."""
    check_label_dtype(reader.dtype, where)
    if len(reader.shape) == 0 or len(block_shape) != len(reader.shape) or any(n < 1 for n in block_shape):
        raise ArgumentError(
            "a block must have one positive entry per axis",
            where="block_shape",
            got=tuple(block_shape),
            allowed=f"for labels of shape {reader.shape}",
        )
