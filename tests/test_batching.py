"""Plans for many boxes: what is decoded, when, how much is held; and that carrying them out gives the pixels."""

from __future__ import annotations

import itertools
import math
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.backend import numpy_backend
from omexp.batching import CropPlan, Grid, Part, cut, gathered, plan_crops, plan_patches
from omexp.errors import ArgumentError
from omexp.geometry import Region

SHAPE = (23, 31)


class CountingReader:
    """Reads an array in memory; knows what was read, and how many bytes of it are still held by anybody."""

    backend = numpy_backend

    def __init__(self, array: np.ndarray, held: list[int]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads: Counter[Region] = Counter()
        self.held = held  # bytes now, most bytes ever: shared by all readers

    def read(self, region: Region) -> np.ndarray:
        self.reads[region] += 1
        pixels = self.array[region.slices].copy()
        self.held[0] += pixels.nbytes
        self.held[1] = max(self.held)
        weakref.finalize(pixels, self._gone, pixels.nbytes)
        return pixels

    def _gone(self, nbytes: int) -> None:
        self.held[0] -= nbytes


@st.composite
def regions(draw: Any, shape: tuple[int, ...] = SHAPE) -> Region:
    start = tuple(draw(st.integers(0, n)) for n in shape)
    return Region(start, tuple(draw(st.integers(a, min(n, a + 12))) for a, n in zip(start, shape, strict=True)))


def carried_out(plan: CropPlan, readers: list[CountingReader]) -> dict[int, list[np.ndarray]]:
    """Each item's pixels of every source, copied."""
    found = {}
    for group in cut(plan, readers):
        for item in group.items:
            boxes = [r.relative_to(Region(o, o)) for r, o in zip(plan.regions[item], group.origins, strict=True)]
            found[item] = [a[box.slices].copy() for a, box in zip(group.arrays, boxes, strict=True)]
        del group
    return found


@given(
    items=st.lists(st.tuples(regions(), regions()), max_size=12),
    chunks=st.tuples(st.integers(3, 32), st.integers(3, 32)),
    other=st.tuples(st.integers(3, 32), st.integers(3, 32)),
    chunks_of_room=st.sampled_from([0, 1, 3, 50]),
    given_order=st.booleans(),
    workers=st.sampled_from([1, 3]),
)
@settings(max_examples=40)
def test_every_item_gets_its_pixels_within_the_memory_and_chunks_come_again_only_where_it_lacks(
    items: list[Any], chunks: tuple[int, int], other: tuple[int, int], chunks_of_room: int, given_order: bool, workers: int
) -> None:
    held = [0, 0]
    readers = [CountingReader(np.random.default_rng(i).integers(0, 99, SHAPE).astype("uint16"), held) for i in (0, 1)]
    grids = [Grid(SHAPE, chunks, 2), Grid(SHAPE, other, 2)]
    room = sum(grid.most_bytes for grid in grids) + chunks_of_room * max(grid.most_bytes for grid in grids)
    order = range(len(items)) if given_order else None
    plan = plan_crops(items, grids, order=order, max_memory=room, workers=workers)
    found = carried_out(plan, readers)
    for i, item in enumerate(items):
        for reader, region, pixels in zip(readers, item, found[i], strict=True):
            np.testing.assert_array_equal(pixels, reader.array[region.slices])
    assert sum(reader.reads.total() for reader in readers) == plan.decoded
    assert sum(len(reader.reads) for reader in readers) == plan.distinct
    assert held[1] <= plan.peak_bytes <= room
    if chunks_of_room == 50 and workers == 1:
        assert plan.decoded_again == 0
    if given_order:
        assert list(found) == list(range(len(items)))


def test_items_of_one_chunk_come_together_with_the_chunk_itself() -> None:
    boxes = [(Region((0, k), (2, k + 1)),) for k in (0, 9, 3, 1)]
    plan = plan_crops(boxes, [Grid((2, 10), (2, 5), 1)])
    groups = list(cut(plan, [CountingReader(np.zeros((2, 10), "uint8"), [0, 0])]))
    assert [group.items for group in groups] == [(0, 2, 3), (1,)]
    assert [group.origins for group in groups] == [((0, 0),), ((0, 5),)]
    assert groups[0].arrays[0].shape == (2, 5)


def test_the_chunk_that_is_needed_latest_goes_when_room_runs_out() -> None:
    grid = Grid((6,), (2,), 1)
    items = [(Region((2 * k,), (2 * k + 1,)),) for k in (0, 1, 2, 0, 1, 2)]
    plan = plan_crops(items, [grid], order=range(6), max_memory=4)
    steps = [(load.key[1][0], [key[1][0] for key in load.evicted]) for load in plan.loads]
    assert steps == [(0, []), (1, []), (2, [1]), (1, [])]  # 0 was dropped after its last use
    assert (plan.decoded, plan.distinct, plan.decoded_again, plan.peak_bytes, plan.decoded_bytes) == (4, 3, 1, 4, 8)
    assert plan_crops(items, [grid], order=range(6), max_memory=6).decoded_again == 0
    assert plan_crops(items, [grid], max_memory=2).decoded_again == 0  # in the order of chunks


def test_a_wide_image_is_walked_along_a_curve_where_that_decodes_less() -> None:
    grid = Grid((64, 64), (8, 8), 1)
    crossing = [(Region((y, x), (y + 8, x + 8)),) for y, x in itertools.product(range(6, 56, 8), repeat=2)]
    rows = plan_crops(crossing, [grid], order=range(len(crossing)), max_memory=6 * 64)
    best = plan_crops(crossing, [grid], max_memory=6 * 64)
    assert best.distinct == rows.distinct == 64
    assert best.decoded < rows.decoded
    assert best.order != rows.order


@pytest.mark.parametrize(("crops", "times"), [(35, 1), (20, 2)])
def test_items_through_many_planes_hold_crops_where_the_planes_do_not_fit(crops: int, times: int) -> None:
    held = [0, 0]
    readers = [CountingReader(np.random.default_rng(i).integers(0, 99, (10, 48, 48)).astype("uint16"), held) for i in (0, 1)]
    grids = [Grid((10, 48, 48), (1, 48, 48), 2)] * 2
    columns = [Region((0, y, x), (10, y + 4, x + 4)) for y, x in itertools.product(range(0, 48, 8), repeat=2)]
    plane, crop = 2 * 48 * 48, 2 * 2 * 10 * 4 * 4
    room = 2 * plane + (crops * crop - plane)  # the planes are 20 * plane
    plan = plan_crops([(column, column) for column in columns], grids, max_memory=room)
    found = carried_out(plan, readers)
    for column, pixels in zip(columns, (found[i] for i in range(len(columns))), strict=True):
        np.testing.assert_array_equal(pixels, [reader.array[column.slices] for reader in readers])
    assert (plan.distinct, plan.decoded) == (20, 20 * times)
    assert set(readers[0].reads.values()) == set(readers[1].reads.values()) == {times}
    assert held[1] <= plane  # one at a time
    assert plan.peak_bytes == plane + crops * crop <= room


def test_chunks_that_nobody_needs_between_picked_ones_are_not_decoded() -> None:
    grid = Grid((9, 4), (1, 4), 1, {0: frozenset((0, 8))})
    assert plan_crops([(Region((0, 0), (9, 2)),)], [grid]).decoded == 2


def test_too_little_memory_for_one_chunk_of_each_array_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no room for one chunk of each array; got 7 bytes; allowed: at least 8 bytes"):
        plan_crops([], [Grid((4,), (4,), 1), Grid((9,), (4,), 1)], max_memory=7)
    assert plan_crops([], [Grid((4,), (4,), 2**40)], workers=4).peak_bytes == 0  # one chunk is always allowed where nobody says how much


@given(items=st.lists(st.tuples(regions()), max_size=10), unit=st.tuples(st.integers(3, 32), st.integers(3, 32)), seed=st.integers(0, 9))
def test_units_come_once_and_whole_and_hold_what_patches_one_after_the_other_give(
    items: list[tuple[Region]], unit: tuple[int, int], seed: int
) -> None:
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(items)).tolist()
    plan = plan_patches(order, items, unit, SHAPE, 1)
    expected, found = np.zeros(SHAPE, "uint8"), np.zeros(SHAPE, "uint8")
    patches = []
    for number, i in enumerate(order):
        (region,) = items[i]
        mask = draw.integers(0, 2, region.shape).astype(bool)
        patches.append([Part(region, np.full(region.shape, number + 1, "uint8"), mask)])
        expected[region.slices] = np.where(mask, number + 1, expected[region.slices])
    units = list(gathered(patches, plan))
    for one in units:
        for part in one.parts:
            assert part.region.intersect(one.region) == part.region
            found[part.region.slices] = np.where(part.mask, part.pixels, found[part.region.slices])
    np.testing.assert_array_equal(found, expected)
    assert len({one.index for one in units}) == len(units) == plan.units
    assert all(math.prod(one.region.shape) for one in units)


def test_a_unit_is_complete_with_its_last_item_and_patches_wait_no_longer() -> None:
    boxes = [(Region((0,), (2,)),), (Region((1,), (5,)),), (Region((9,), (10,)),)]
    plan = plan_patches([0, 1, 2], boxes, unit=(2,), shape=(10,), itemsize=2)
    assert plan.complete == {1: [(0,), (1,), (2,)], 2: [(4,)]}
    assert plan.units == 4
    assert plan.peak_bytes == (2 + 4) * 3 + 2 * 2  # pixels and masks of the first two, and a unit that is written
