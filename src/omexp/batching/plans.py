"""What to decode and keep to cut many boxes, as data. Knows: regions, chunk grids, bytes. Does not know: arrays, files, axes names."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from omexp.batching.sharing import shared_out
from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape

DEFAULT_BYTES = 512 << 20  # ten planes of 2160 x 2560 pixels in uint16 with their uint32 label are 332 MB

Key = tuple[int, Shape]  # a source and one of its chunks
_Cells = tuple[tuple[Shape, ...], ...]  # of an item: per source the chunks that it meets

__all__ = ["DEFAULT_BYTES", "CropPlan", "Grid", "Key", "Load", "plan_crops"]


@dataclass(frozen=True, slots=True)
class Grid:
    """An array that boxes are cut from: its shape, its chunks, the bytes of a pixel.

    `needed`: axis -> the chunk indices along it that anybody asks for, where some between a box's ends hold nothing that is wanted.
    """

    shape: Shape
    chunks: Shape
    itemsize: int
    needed: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @property
    def cut_axes(self) -> tuple[int, ...]:
        """The axes with more than one chunk."""
        return tuple(k for k, (n, c) in enumerate(zip(self.shape, self.chunks, strict=True)) if c < n)

    def cells(self, region: Region, cut_axes: Sequence[int]) -> tuple[Shape, ...]:
        """The indices of the chunks that a region meets; `cut_axes` are those of the grid."""
        if not cut_axes:
            return ((0,) * len(self.shape),)
        first, last = [0] * len(self.shape), [0] * len(self.shape)
        for k in cut_axes:
            first[k], last[k] = region.start[k] // self.chunks[k], (region.stop[k] - 1) // self.chunks[k]
        if first == last:
            return (tuple(first),)
        spans: list[Sequence[int]] = [range(a, b + 1) for a, b in zip(first, last, strict=True)]
        for axis, wanted in self.needed.items():
            spans[axis] = [i for i in spans[axis] if i in wanted]
        return tuple(itertools.product(*spans))

    def box(self, cell: Shape) -> Region:
        """The pixels of a chunk, clipped to the array."""
        start = tuple([i * c for i, c in zip(cell, self.chunks, strict=True)])
        return Region(start, tuple([min(a + c, n) for a, c, n in zip(start, self.chunks, self.shape, strict=True)]))

    def nbytes(self, cell: Shape) -> int:
        """The decoded bytes of a chunk."""
        return self.box(cell).size * self.itemsize

    @property
    def most_bytes(self) -> int:
        """The decoded bytes of the largest chunk."""
        return math.prod(map(min, self.chunks, self.shape)) * self.itemsize


@dataclass(frozen=True, slots=True)
class Load:
    """One chunk to decode, after these others were let go."""

    key: Key
    evicted: tuple[Key, ...] = ()


@dataclass(frozen=True, eq=False)
class CropPlan:
    """Which chunks to decode, when, and how long each is kept, so that boxes can be cut one after the other.

    Parameters
    ----------
    grids
        The arrays.
    regions
        Per item one region of each array.
    cells
        Per item the chunks of each array that it meets.
    order
        The items in the order in which they are cut.
    stops
        Where each run ends in `order`: items that lie, one after the other, in the same one chunk of each array; others are runs of one.
    loads
        The chunks in the order in which they are decoded; one that had to go and is needed again comes again.
    dropped
        Run -> chunks that nothing after it needs.
    workers
        Threads that decode ahead.
    peak_bytes
        Decoded chunks that are held at most, those ahead included, and crops that wait for more; the crop in hand beside them.
    takers
        Per load the items that take their part of it at once, each item being handed out when it has all of its parts; no chunk is kept.
        Empty: chunks are kept until nothing needs them.
    """

    grids: tuple[Grid, ...]
    regions: Sequence[tuple[Region, ...]]
    cells: Sequence[_Cells]
    order: tuple[int, ...]
    stops: tuple[int, ...]
    loads: tuple[Load, ...]
    dropped: Mapping[int, Sequence[Key]]
    workers: int
    peak_bytes: int
    takers: tuple[tuple[int, ...], ...] = ()

    @property
    def decoded(self) -> int:
        """Chunks that are decoded, counting each time."""
        return len(self.loads)

    @property
    def distinct(self) -> int:
        """Different chunks that the items meet."""
        return len({load.key for load in self.loads})

    @property
    def decoded_again(self) -> int:
        """How often a chunk is decoded that had been before: 0 wherever the memory allows."""
        return self.decoded - self.distinct

    @property
    def decoded_bytes(self) -> int:
        """Bytes of pixels that are decoded."""
        return sum(self.grids[source].nbytes(cell) for source, cell in (load.key for load in self.loads))

    def __repr__(self) -> str:
        return (
            f"CropPlan({len(self.order)} items, {self.decoded} chunks decoded, {self.decoded_again} of them again, "
            f"{self.peak_bytes / 2**20:.1f} MiB at most)"
        )


def plan_crops(
    regions: Sequence[tuple[Region, ...]],
    grids: Sequence[Grid],
    *,
    order: Sequence[int] | None = None,
    max_memory: int | None = None,
    taken: int = 0,
    workers: int = 1,
    before: Grid | None = None,
) -> CropPlan:
    """How to cut boxes out of arrays with each chunk decoded once, as far as the memory allows.

    Parameters
    ----------
    regions
        Per item one region of each array, inside it.
    grids
        The arrays.
    order
        The items in the order in which they are cut. None: as they lie in the chunks, row by row or, where that would decode chunks again,
        along a Z-order curve if that does so less.
    max_memory
        Bytes of decoded chunks that may be held; None: 512 MiB, or one chunk of each array if that is more. What does not fit goes, the
        chunk that is needed latest first, and is decoded again; where holding the crops instead decodes less (by a tenth), that is done.
    taken
        Bytes of it that others need.
    workers
        Threads that decode ahead, at most; fewer where two chunks for each would take more than half of the memory.
    before
        A grid over the first array's axes whose cells come first in the order: units that are written as soon as their items are done.

    Raises
    ------
    ArgumentError
        `max_memory` has no room for one chunk of each array.

    Examples
    --------
    >>> grid = Grid((4, 4), (2, 2), 1)
    >>> plan = plan_crops([(Region((0, 0), (1, 3)),), (Region((0, 2), (1, 3)),)], [grid])
    >>> plan.decoded, plan.distinct, plan.peak_bytes
    (2, 2, 8)
    """
    largest = [grid.most_bytes for grid in grids]
    least = sum(largest) + taken
    budget = max(DEFAULT_BYTES, least) if max_memory is None else max_memory
    if budget < least:
        raise ArgumentError(
            "so little memory has no room for one chunk of each array" + (" and what is to be written" if taken else ""),
            where="max_memory",
            got=f"{max_memory} bytes",
            allowed=f"at least {least} bytes",
            hint="Allow more, or store smaller chunks.",
        )
    spare = budget - least
    ahead = max(largest, default=0)
    threads = max(1, min(workers, spare // (4 * ahead) if ahead else 1))  # two chunks for each; half of what is left stays for keeping
    room = budget - taken - (2 * threads * ahead if threads > 1 else 0)
    shared: dict[_Cells, _Cells] = {}  # so that runs are found by identity
    axes = [(grid, grid.cut_axes) for grid in grids]
    cells = []
    for item in regions:
        met = tuple([grid.cells(region, cut_axes) for (grid, cut_axes), region in zip(axes, item, strict=True)])
        cells.append(shared.setdefault(met, met))

    def tried(order: Sequence[int]) -> CropPlan:
        stops = _runs(order, cells)
        loads, dropped, peak = _walked([cells[order[stop - 1]] for stop in stops], grids, room)
        peak += 2 * threads * ahead if threads > 1 else 0
        return CropPlan(tuple(grids), regions, cells, tuple(order), stops, loads, dropped, threads, peak)

    def shared_plan(order: Sequence[int]) -> CropPlan:
        keys, takers, peak = shared_out(order, cells, regions, [grid.itemsize for grid in grids], room - ahead)
        peak += ahead + (2 * threads * ahead if threads > 1 else 0)
        stops = tuple(range(1, len(order) + 1))
        return CropPlan(tuple(grids), regions, cells, tuple(order), stops, tuple(map(Load, keys)), {}, threads, peak, tuple(takers))

    def better(kept: CropPlan) -> CropPlan:
        if not kept.decoded_again:
            return kept
        crops = shared_plan(kept.order)
        return crops if crops.decoded_bytes < 0.9 * kept.decoded_bytes else kept  # one by one, so it has to gain something

    if order is not None or len(shared) < 2:
        return better(tried(range(len(regions)) if order is None else order))
    places = [_place(item, found, before) for item, found in zip(regions, cells, strict=True)]
    rows = tried(sorted(range(len(regions)), key=places.__getitem__))
    if not rows.decoded_again:
        return rows
    curve = tried(sorted(range(len(regions)), key=lambda i: ([_interleaved(cell) for cell in places[i]], places[i])))
    return min(better(rows), better(curve), key=lambda plan: plan.decoded_bytes)


def _place(item: tuple[Region, ...], cells: _Cells, before: Grid | None) -> tuple[Shape, ...]:
    """Where an item stands: the first chunk of each array that it meets, after the unit that it begins in."""
    first = [met[0] if met else () for met in cells]
    if before is not None:
        first.insert(0, tuple(a // c for a, c in zip(item[0].start, before.chunks, strict=True)))
    return tuple(first)


def _interleaved(cell: Shape) -> int:
    """A cell's place on the Z-order curve."""
    n = len(cell)
    return sum(((i >> bit) & 1) << (bit * n + n - 1 - k) for k, i in enumerate(cell) for bit in range(i.bit_length()))


def _runs(order: Sequence[int], cells: Sequence[_Cells]) -> tuple[int, ...]:
    """Where each run of items in the same one chunk of each array ends."""
    stops, before = [], None
    for position, item in enumerate(order):
        met = cells[item]
        if position and not (met is before and _in_one_chunk(met)):
            stops.append(position)
        before = met
    return (*stops, len(order)) if order else ()


def _in_one_chunk(cells: _Cells) -> bool:
    return all([len(met) == 1 for met in cells])


def _walked(runs: Sequence[_Cells], grids: Sequence[Grid], room: int) -> tuple[tuple[Load, ...], dict[int, list[Key]], int]:
    """Loads, drops and the most bytes held when runs are cut in this order. Out of room, the chunk that is needed latest goes."""
    uses: defaultdict[Key, list[int]] = defaultdict(list)
    for number, cells in enumerate(runs):
        for source, met in enumerate(cells):
            for cell in met:
                uses[source, cell].append(number)
    dropped: defaultdict[int, list[Key]] = defaultdict(list)
    for key, numbers in uses.items():
        dropped[numbers[-1]].append(key)
        numbers.append(len(runs))  # not needed again: the first to go
        numbers.reverse()  # the next use is the last of the list
    held: dict[Key, int] = {}
    latest: list[tuple[int, Key]] = []  # (- next use, chunk); what is no longer true is passed over
    loads: list[Load] = []
    total = peak = 0
    for number, cells in enumerate(runs):
        used: list[Key] = []
        for source, met in enumerate(cells):
            for cell in met:
                key = (source, cell)
                if key not in held:
                    size, evicted = grids[source].nbytes(cell), []
                    while total + size > room:
                        next_use, victim = heapq.heappop(latest)
                        if victim in held and uses[victim][-1] == -next_use:
                            evicted.append(victim)
                            total -= held.pop(victim)
                    held[key] = size
                    total += size
                    loads.append(Load(key, tuple(evicted)))
                    peak = max(peak, total)
                uses[key].pop()
                used.append(key)
                if len(met) > 1:  # copied out at once; of several arrays with one chunk each all must be there together
                    heapq.heappush(latest, (-uses[key][-1], key))
        for key in used:
            heapq.heappush(latest, (-uses[key][-1], key))
        for key in dropped.get(number, ()):
            total -= held.pop(key, 0)
    return tuple(loads), dict(dropped), peak
