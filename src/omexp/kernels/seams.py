"""Pixels with their neighbours from blocks that are read once. Knows: blocks, strips along their borders. Does not know: files.

Along each axis the image is cut into inner parts, which need one block, and seams around the borders of the blocks, which need two. A block
leaves copies of its strips along its borders; a seam is handed out as soon as the last block that it needs has come.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Sequence

from omexp.backend import Array, Backend
from omexp.geometry import Region, Shape, ceil_div

__all__ = ["Seams", "seam_blocks"]

Index = tuple[int, ...]


def seam_blocks(block: Sequence[int], halo: int) -> Shape:
    """The block, multiplied where it is too thin for seams: at least ``2 * halo`` pixels along each axis.

    Examples
    --------
    >>> seam_blocks((1, 3, 512), 2)
    (4, 6, 512)
    """
    return tuple(n * max(1, ceil_div(2 * halo, n)) for n in block)


class Seams:
    """The parts of an array, each with a halo, from blocks that come in any order and from any thread.

    Parameters
    ----------
    shape, block
        Of the array, and of the blocks of a grid anchored at 0; `seam_blocks` says which are possible.
    halo
        Pixels around each part on every side; 0 beyond the array. The parts cover one pixel more than the array along every axis, so that
        windows which begin in its last pixel have a place.
    """

    def __init__(self, shape: Sequence[int], block: Sequence[int], halo: int, backend: Backend, dtype: object) -> None:
        self.shape, self.block, self.halo, self.backend, self.dtype = tuple(shape), tuple(block), halo, backend, dtype
        self._strips: dict[Index, list[tuple[Region, Array]]] = {}
        self._open: dict[Index, int] = {}  # seams that still need the strips of a block
        self._lock = threading.Lock()

    def add(self, region: Region, pixels: Array) -> Iterator[Array]:
        """Take a block; gives the arrays of all parts that it completes, halo included."""
        index = tuple(a // b for a, b in zip(region.start, self.block, strict=True))
        inner = self._part(index, (0,) * len(index))
        if inner is not None:
            yield self._assembled(inner, [(region, pixels)])
        strips = [(strip, self._copied(pixels[strip.relative_to(region).slices])) for strip in self._strips_of(region)]
        for part, pieces in self._ready(index, strips):
            yield self._assembled(part, pieces)

    def _ready(self, index: Index, strips: list[tuple[Region, Array]]) -> list[tuple[Region, list[tuple[Region, Array]]]]:
        """The seams whose blocks are all there now, with their strips; those that no seam needs any more are forgotten."""
        around = list(self._seams_of(index))
        ready = []
        with self._lock:
            self._strips[index] = strips
            self._open[index] = len(around)
            for part, needed in around:
                if not all(block in self._strips for block in needed):
                    continue
                ready.append((part, [piece for block in needed for piece in self._strips[block]]))
                for block in needed:
                    self._open[block] -= 1
            for block in [block for block, count in self._open.items() if count == 0]:
                del self._open[block]
                self._strips[block] = []
        return ready

    def _seams_of(self, index: Index) -> Iterator[tuple[Region, list[Index]]]:
        """The seams that touch a block, and the blocks that each needs."""
        n = len(index)
        for low, sides in itertools.product(itertools.product((0, -1), repeat=n), itertools.product((0, 1), repeat=n)):
            # sides: the axes along which it is a seam; low: along those, whether it lies before the block or after it
            if not any(sides) or any(step and not side for step, side in zip(low, sides, strict=True)):
                continue
            first = tuple(i + step for i, step in zip(index, low, strict=True))
            part = self._part(first, sides)
            if part is not None:
                yield part, [tuple(map(sum, zip(first, step, strict=True))) for step in itertools.product(*(range(s + 1) for s in sides))]

    def _part(self, index: Index, sides: Index) -> Region | None:
        """The inner part of a block, or the seam between it and the next ones along the axes where `sides` is 1; None if it is empty."""
        spans = []
        for i, side, block, n in zip(index, sides, self.block, self.shape, strict=True):
            begin, end = i * block, (i + 1) * block
            if side:
                span = (end - self.halo, min(end + self.halo, n + 1)) if begin >= 0 and end < n else (0, 0)
            else:
                span = (begin + (self.halo if i else 0), end - self.halo if end < n else n + 1)
            spans.append(span)
        part = Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))
        return part if part.size else None

    def _strips_of(self, region: Region) -> Iterator[Region]:
        width = 2 * self.halo
        for axis, (a, b, n) in enumerate(zip(region.start, region.stop, self.shape, strict=True)):
            spans = ([(a, min(a + width, b))] if a > 0 else []) + ([(max(b - width, a), b)] if b < n else [])
            for start, stop in spans:
                before, after = slice(0, axis), slice(axis + 1, None)
                yield Region(
                    (*region.start[before], start, *region.start[after]),
                    (*region.stop[before], stop, *region.stop[after]),
                )

    def _assembled(self, part: Region, pieces: Sequence[tuple[Region, Array]]) -> Array:
        box = Region(tuple(a - self.halo for a in part.start), tuple(b + self.halo for b in part.stop))
        whole = self.backend.full(box.shape, 0, self.dtype)
        for region, pixels in pieces:
            shared = box.intersect(region)
            if math.prod(shared.shape):
                whole[shared.relative_to(box).slices] = pixels[shared.relative_to(region).slices]
        return whole

    def _copied(self, pixels: Array) -> Array:
        copy = self.backend.empty(tuple(pixels.shape), self.dtype)
        copy[...] = pixels
        return copy
