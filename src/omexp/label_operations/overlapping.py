"""Overlaps of two stored labels. Knows: readers, blocks, threads. Does not know: files, tables."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, BackendMismatchError
from omexp.finding import check_blocks, read_box
from omexp.geometry import Region, blocks
from omexp.kernels.labels import merge_parts
from omexp.kernels.overlaps import Overlaps, Pairs, count_pairs, merge_pairs, overlaps_of
from omexp.storage.workers import run_in_order

__all__ = ["find_overlaps"]


def find_overlaps(a: BoxReader, b: BoxReader, block_shape: Sequence[int], *, workers: int = 1) -> Overlaps:
    """The pairs of objects of two labels that share pixels, in one pass over both; memory is some blocks and the pairs.

    Raises
    ------
    ArgumentError
        The labels differ in shape, or `block_shape` does not fit.
    BackendMismatchError
        They live in different places.
    DTypeError
        They are not integers.

    Examples
    --------
    >>> import numpy
    >>> from omexp.storage.sources import source_of
    >>> a, b = (source_of(numpy.array(row)) for row in ([1, 1, 0, 2], [7, 7, 7, 0]))
    >>> find_overlaps(a, b, (3,)).iou.tolist()
    [0.6666666666666666]
    """
    check_blocks(a, block_shape, "a")
    check_blocks(b, (1,) * len(b.shape), "b")
    if tuple(a.shape) != tuple(b.shape):
        raise ArgumentError("the two labels must have the same shape", got=f"{a.shape} and {b.shape}")
    if a.backend != b.backend:
        raise BackendMismatchError("the two labels live in different places", got=f"{a.backend.name} and {b.backend.name}")

    def counted(region: Region) -> Pairs:
        with a.backend.active():
            return count_pairs(read_box(a, region), read_box(b, region))

    empty = counted(Region.whole((0,) * len(a.shape)))
    parts = run_in_order(counted, blocks(a.shape, block_shape), workers)
    with a.backend.active():
        return overlaps_of(merge_parts(itertools.chain([empty], parts), merge_pairs, lambda pairs: pairs.a.shape[0]))
