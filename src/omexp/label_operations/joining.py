"""Objects joined across the seams of blocks. Knows: blocks, their faces, unions. Does not know: files, axis names.

A first pass numbers the objects of each block and compares the faces of neighbouring blocks; what belongs together is united. A second
pass, the reader, numbers each block again and paints the numbers of the whole. Between the two only a few words per object and block are
kept; during the first the faces of one layer of blocks, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from omexp.backend import Array, Backend, backend_of, dtype_of
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError
from omexp.finding import check_blocks
from omexp.geometry import Region, Shape, blocks, ceil_div
from omexp.kernels.components import Numbered, connect, number_components, number_ids
from omexp.kernels.label_maps import look_up
from omexp.kernels.labels import merge_parts
from omexp.kernels.overlaps import Pairs, count_pairs, merge_pairs, overlaps_of
from omexp.kernels.segments import fold_segments, group_equal
from omexp.label_operations.mapping import sequential_ids
from omexp.storage.kept import Kept
from omexp.storage.workers import run_in_order

__all__ = ["JoinedReader", "join_components", "join_tiles"]

KEPT_BYTES = 128 << 20  # of numbered blocks that the boxes of a writer cut, so that each is numbered once

Number = Callable[[Array], Numbered]
Index = tuple[int, ...]
Seam = Callable[["_Face", "_Face", Index], Iterator[Pairs]]
_Faces = dict[tuple[int, int], "_Face"]  # by (axis, side): -1 is the low side, 1 the high one


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """Pixels of a block that lie at a seam: their ids, and the numbers of their objects among all blocks (1 ... , 0 for background)."""

    ids: Array
    numbers: Array

    def part(self, place: tuple[slice, ...]) -> _Face:
        return _Face(self.ids[place], self.numbers[place])


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """What the first pass keeps of a block: where its objects begin, in the whole array, and its faces by (axis, side)."""

    first: Array
    faces: _Faces


class JoinedReader:
    """A label whose objects are those of all blocks, joined, numbered 1 ... `count` in the order of their first pixels."""

    name, reason, lazy = "joined", "blocks are numbered as they are read", True

    def __init__(self, inner: BoxReader, block: Shape, number: Number, starts: dict[Index, int], final: Array) -> None:
        self.inner, self.block, self.number, self.starts, self.final = inner, block, number, starts, final
        self.shape, self.dtype, self.backend = inner.shape, dtype_of(final), inner.backend
        self._kept = Kept(KEPT_BYTES)

    def read(self, region: Region) -> Array:
        """The pixels of a box."""
        with self.backend.active():
            pixels = self.backend.empty(region.shape, self.dtype)
            for box in blocks(region, self.block):
                index = tuple(a // n for a, n in zip(box.start, self.block, strict=True))
                cell = _cell(index, self.block, self.shape)
                painted = self._kept.get(index, partial(self._painted, index, cell))
                pixels[box.relative_to(region).slices] = painted[box.relative_to(cell).slices]
            return pixels

    def _painted(self, index: Index, cell: Region) -> Array:
        numbered = self.number(self.inner.read(cell))
        start = self.starts[index]
        return numbered.painted(self.final[start : start + numbered.first.shape[0]])


def join_components(
    labels: BoxReader,
    block_shape: Sequence[int],
    connectivity: int,
    *,
    apart: Sequence[int] = (),
    dtype: Any | None = None,
    workers: int = 1,
) -> JoinedReader:
    """The connected components of a label or mask: equal for every cut, and numbered as `scipy.ndimage.label` numbers those of a mask.

    Parameters are those of `omexp.kernels.components.number_components`; `dtype` of the result, the smallest unsigned one unless told.

    Raises
    ------
    ArgumentError
        `connectivity` is not between 1 and the number of axes, or `block_shape` does not fit.
    DTypeError
        The labels are not integers.
    """
    check_blocks(labels, block_shape)
    if connectivity not in range(1, len(labels.shape) + 1):
        raise ArgumentError(
            "connectivity must be a number of axes", where="connectivity", got=connectivity, allowed=f"1 to {len(labels.shape)}"
        )
    _check_apart(apart, len(labels.shape))
    number = partial(number_components, connectivity=connectivity, apart=apart)
    how = _How(number, partial(_contacts, connectivity, frozenset(apart)), connectivity, frozenset(apart))
    return _joined(labels, tuple(block_shape), how, dtype, workers)


def join_tiles(
    labels: BoxReader,
    tile_shape: Sequence[int],
    threshold: float,
    *,
    apart: Sequence[int] = (),
    dtype: Any | None = None,
    workers: int = 1,
) -> JoinedReader:
    """Objects that were found tile by tile, joined across the seams: two are one where their pixels face each other across a seam and those
    that do are at least `threshold` of all their pixels at that seam (intersection over union); 0 joins whatever touches.

    Ids mean something within their own tile only.

    Raises
    ------
    ArgumentError
        `threshold` is not between 0 and 1, or `tile_shape` does not fit.
    DTypeError
        The labels are not integers.
    """
    check_blocks(labels, tile_shape)
    if not 0 <= threshold <= 1:
        raise ArgumentError("a threshold is a share", where="threshold", got=threshold, allowed="0 to 1")
    how = _How(number_ids, partial(_matches, threshold), 1, frozenset(apart))
    return _joined(labels, tuple(tile_shape), how, dtype, workers)


def _check_apart(apart: Sequence[int], ndim: int) -> None:
    if ndim - 1 in apart:
        raise ArgumentError("pixels are always joined along the last axis", where="axes", hint="Move another axis to the end.")


# ---------------------------------------------------------------------------------------------------------- plan
@dataclass(frozen=True, slots=True)
class _How:
    """How a block's objects are numbered, and which of two blocks' belong together: `reach` axes at most differ between blocks that meet,
    none of them in `apart`."""

    number: Number
    seam: Seam
    reach: int
    apart: frozenset[int]

    def steps(self, ndim: int) -> list[Index]:
        """From a block to its neighbours."""
        every = itertools.product(*((0,) if axis in self.apart else (-1, 0, 1) for axis in range(ndim)))
        return [step for step in every if 0 < sum(map(abs, step)) <= self.reach]


def _joined(labels: BoxReader, block: Shape, how: _How, dtype: Any | None, workers: int) -> JoinedReader:
    indices = list(itertools.product(*(range(ceil_div(n, b)) for n, b in zip(labels.shape, block, strict=True))))
    done = run_in_order(lambda index: _numbered(labels, _cell(index, block, labels.shape), how.number), indices, workers)
    with labels.backend.active():
        walk = _Walk(labels.backend, set(indices), how, len(labels.shape))
        pairs = merge_parts(walk.pairs(zip(indices, done, strict=True)), merge_pairs, lambda part: part.a.shape[0])
        final = _final_ids(labels.backend.xp.concat(walk.firsts), pairs, dtype)
    return JoinedReader(labels, block, how.number, walk.starts, final)


class _Walk:
    """The blocks in C order: how many objects come before each, where all begin, which belong together."""

    def __init__(self, backend: Backend, indices: set[Index], how: _How, ndim: int) -> None:
        self.backend, self.indices, self.seam, self.steps = backend, indices, how.seam, how.steps(ndim)
        self.starts: dict[Index, int] = {}
        self.firsts = [backend.arange(0)]
        self._count = 0
        self._held: dict[Index, _Faces] = {}
        self._waiting: dict[Index, int] = {}  # neighbours that are still to come

    def pairs(self, done: Iterable[tuple[Index, _Block]]) -> Iterator[Pairs]:
        """Pairs of numbers of objects that belong together, seam by seam. A block is let go of after its last neighbour."""
        yield Pairs(*(self.backend.arange(0) for _ in range(3)))
        for index, block in done:
            neighbours = {tuple(i + s for i, s in zip(index, step, strict=True)): step for step in self.steps}
            earlier = [other for other in neighbours if other in self._held]
            self._add(index, block)
            self._waiting[index] = sum(other in self.indices for other in neighbours)
            for other in earlier:
                yield from self.seam(*_facing(self._held[other], self._held[index], neighbours[other]), neighbours[other])
                self._waiting[index] -= 1
                self._waiting[other] -= 1
            for gone in [i for i in (index, *earlier) if self._waiting[i] == 0]:
                del self._held[gone]

    def _add(self, index: Index, block: _Block) -> None:
        xp, count = self.backend.xp, self._count
        self._held[index] = {
            key: _Face(face.ids, xp.where(face.numbers > 0, face.numbers + count, face.numbers)) for key, face in block.faces.items()
        }
        self.starts[index] = count
        self.firsts.append(block.first)
        self._count += block.first.shape[0]


def _numbered(labels: BoxReader, cell: Region, number: Number) -> _Block:
    backend = labels.backend
    with backend.active():
        pixels = labels.read(cell)
        numbered = number(pixels)
        numbers = numbered.numbers
        faces = {}
        for axis, size in enumerate(cell.shape):
            for side, place in ((-1, slice(0, 1)), (1, slice(size - 1, size))):
                where = (*[slice(None)] * axis, place, *[slice(None)] * (len(cell.shape) - axis - 1))
                faces[axis, side] = _Face(backend.xp.asarray(pixels[where], copy=True), backend.xp.asarray(numbers[where], copy=True))
        return _Block(_in_whole(numbered.first, cell, labels.shape), faces)


def _in_whole(first: Array, cell: Region, shape: Shape) -> Array:
    """Pixels counted in C order in a box, counted in the whole array."""
    found, stride = 0 * first, 1
    for size, begin, whole in zip(reversed(cell.shape), reversed(cell.start), reversed(shape), strict=True):
        found = found + (first % size + begin) * stride
        first, stride = first // size, stride * whole
    return found


def _final_ids(first: Array, pairs: Pairs, dtype: Any | None) -> Array:
    """For each object of each block, in the order of their numbers, the id of the joined one."""
    backend = backend_of(first)
    xp = backend.xp
    root = connect(first.shape[0], pairs.a - 1, pairs.b - 1)
    order, segments, roots = group_equal(root)
    begins = fold_segments(xp.take(first, order), segments, "minimum")
    rank = xp.argsort(xp.argsort(begins))
    return look_up(root, roots, xp.take(sequential_ids(roots, 1, dtype), rank))


def _cell(index: Index, block: Shape, shape: Shape) -> Region:
    start = tuple(i * n for i, n in zip(index, block, strict=True))
    return Region(start, tuple(min(a + b, n) for a, b, n in zip(start, block, shape, strict=True)))


# --------------------------------------------------------------------------------------------------------- seams
def _facing(before: _Faces, here: _Faces, step: Index) -> tuple[_Face, _Face]:
    """The pixels of an earlier block and of this one that lie at their seam, `step` away; both of one shape, size 1 across the seam."""
    first = next(axis for axis, s in enumerate(step) if s)
    far, near = ([_end(s * side) if s and axis != first else slice(None) for axis, s in enumerate(step)] for side in (-1, 1))
    return before[first, -step[first]].part(tuple(far)), here[first, step[first]].part(tuple(near))


def _end(side: int) -> slice:
    return slice(0, 1) if side < 0 else slice(-1, None)


def _contacts(connectivity: int, apart: frozenset[int], before: _Face, here: _Face, step: Index) -> Iterator[Pairs]:
    """Pairs of numbers whose pixels touch across a seam and have the same id."""
    for shift in itertools.product(*((0,) if s or axis in apart else (-1, 0, 1) for axis, s in enumerate(step))):
        if sum(map(abs, step)) + sum(map(abs, shift)) > connectivity:
            continue
        a, b = (face.part(_shifted(shift, face.ids.shape, side)) for face, side in ((before, 1), (here, -1)))
        same = (a.ids == b.ids) & (a.numbers > 0)
        if 0 not in a.ids.shape:
            yield count_pairs(a.numbers[same], b.numbers[same])


def _shifted(shift: Index, shape: Shape, side: int) -> tuple[slice, ...]:
    return tuple(slice(max(side * s, 0), n + min(side * s, 0)) for s, n in zip(shift, shape, strict=True))


def _matches(threshold: float, before: _Face, here: _Face, step: Index) -> Iterator[Pairs]:
    """Pairs of numbers whose pixels face each other across a seam, as far as the overlap is large enough."""
    xp = backend_of(before.ids).xp
    found = overlaps_of(count_pairs(before.numbers, here.numbers))
    kept = xp.nonzero(found.iou >= threshold)[0]
    yield Pairs(xp.take(found.a, kept), xp.take(found.b, kept), xp.take(found.pixels, kept))
