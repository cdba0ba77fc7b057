"""Boxes and windows against brute force: every pixel asked one by one."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError
from omexp.geometry import (
    Region,
    Shape,
    blocks,
    ceil_div,
    factors_between,
    grow_block,
    level_shape,
    snap_out,
    windows_source,
    windows_target,
)

N_AXES = st.shared(st.integers(1, 3), key="axes")


def ints(low: int, high: int) -> st.SearchStrategy[Shape]:
    """One integer per axis; everything drawn in one example has the same number of axes."""
    return N_AXES.flatmap(lambda n: st.tuples(*[st.integers(low, high)] * n))


SHAPES, BLOCKS, FACTORS = ints(0, 9), ints(1, 4), ints(1, 5)


@st.composite
def boxes(draw: st.DrawFn, low: int = -4, high: int = 9) -> Region:
    """A box whose stop is at or above its start."""
    start, stop = draw(ints(low, high)), draw(ints(low, high))
    return Region(tuple(map(min, start, stop)), tuple(map(max, start, stop)))


@st.composite
def boxes_inside(draw: st.DrawFn) -> tuple[Region, Shape]:
    """A box and an array shape that holds it."""
    box = draw(boxes(low=0))
    return box, tuple(n + extra for n, extra in zip(box.stop, draw(ints(0, 3)), strict=True))


def pixels(box: Region) -> set[Shape]:
    return set(itertools.product(*[range(a, b) for a, b in zip(box.start, box.stop, strict=True)]))


def parent(pixel: Shape, factors: Shape) -> Shape:
    return tuple(p // f for p, f in zip(pixel, factors, strict=True))


# ------------------------------------------------------------------------------------------------------- Region
@given(boxes())
def test_a_box_has_as_many_pixels_as_its_shape_says(box: Region) -> None:
    assert box.size == math.prod(box.shape) == len(pixels(box))
    assert Region.of_slices(box.slices) == box


def test_a_box_that_is_inside_out_is_empty() -> None:
    box = Region((3, 0), (1, 4))
    assert (box.shape, box.size) == ((0, 4), 0)


@given(SHAPES)
def test_the_whole_of_an_array_is_every_pixel(shape: Shape) -> None:
    whole = Region.whole(shape)
    assert whole.shape == shape and whole.start == (0,) * len(shape)


@given(boxes(), boxes())
def test_the_intersection_holds_the_pixels_that_both_hold(one: Region, other: Region) -> None:
    common = one.intersect(other)
    assert pixels(common) == pixels(one) & pixels(other)
    assert all(a <= b for a, b in zip(common.start, common.stop, strict=True))  # may be empty, never inside out


@given(boxes(), boxes())
def test_the_union_is_the_smallest_box_around_both(one: Region, other: Region) -> None:
    both = one.union(other)
    for axis, (start, stop) in enumerate(zip(both.start, both.stop, strict=True)):
        assert start == min(one.start[axis], other.start[axis]) and stop == max(one.stop[axis], other.stop[axis])
    assert pixels(both) >= pixels(one) | pixels(other)


@given(boxes(), ints(-5, 5))
def test_a_shift_moves_every_pixel_and_there_is_a_way_back(box: Region, offset: Shape) -> None:
    moved = box.shift(offset)
    assert pixels(moved) == {tuple(p + o for p, o in zip(pixel, offset, strict=True)) for pixel in pixels(box)}
    assert moved.relative_to(Region(offset, offset)) == box


def test_boxes_with_another_number_of_axes_do_not_mix() -> None:
    with pytest.raises(ValueError, match="zip"):
        Region((0,), (1,)).intersect(Region((0, 0), (1, 1)))


# ------------------------------------------------------------------------------------------------------- blocks
@given(boxes(low=0), BLOCKS)
def test_blocks_cover_the_box_once_and_stay_in_their_cells(box: Region, block: Shape) -> None:
    cells = list(blocks(box, block))
    covered = Counter(pixel for cell in cells for pixel in pixels(cell))
    assert covered == Counter(pixels(box))
    for cell in cells:
        assert cell.size > 0
        assert len({parent(pixel, block) for pixel in pixels(cell)}) == 1


@given(boxes(low=0), BLOCKS)
def test_blocks_come_with_the_last_axis_fastest(box: Region, block: Shape) -> None:
    starts = [cell.start for cell in blocks(box, block)]
    assert starts == sorted(starts)


@given(SHAPES, BLOCKS)
def test_blocks_of_a_shape_are_those_of_its_whole_box(shape: Shape, block: Shape) -> None:
    assert list(blocks(shape, block)) == list(blocks(Region.whole(shape), block))
    assert len(list(blocks(shape, block))) == math.prod(ceil_div(n, b) for n, b in zip(shape, block, strict=True))


def test_blocks_are_made_one_at_a_time() -> None:
    many: Iterator[Region] = blocks((10**5, 10**5), (1, 1))
    assert next(many) == Region((0, 0), (1, 1))


@given(boxes_inside(), BLOCKS)
def test_snapping_out_gives_the_pixels_of_every_cell_that_the_box_touches(inside: tuple[Region, Shape], block: Shape) -> None:
    box, shape = inside
    snapped = snap_out(box, block, shape)
    if box.size:
        touched = {parent(pixel, block) for pixel in pixels(box)}
        assert pixels(snapped) == {pixel for pixel in pixels(Region.whole(shape)) if parent(pixel, block) in touched}


@given(BLOCKS, SHAPES, st.integers(0, 400))
def test_a_block_grows_by_doubling_last_axes_first_as_far_as_the_pixels_allow(block: Shape, shape: Shape, pixels: int) -> None:
    grown = grow_block(block, shape, pixels)
    ratios = [g // b for g, b in zip(grown, block, strict=True)]
    covers = [g >= n for g, n in zip(grown, shape, strict=True)]
    assert all(b * r == g and r.bit_count() == 1 for b, r, g in zip(block, ratios, grown, strict=True))
    assert all(r == 1 or all(covers[axis + 1 :]) for axis, r in enumerate(ratios))
    assert all(r == 1 or g // 2 < n for r, g, n in zip(ratios, grown, shape, strict=True))
    size = math.prod(min(g, max(n, 1)) for g, n in zip(grown, shape, strict=True))
    assert size <= pixels or grown == block
    assert 2 * size > pixels or all(covers)


# ------------------------------------------------------------------------------------------------------ windows
@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_ceil_div_is_exact_where_floats_are_not(a: int, b: int) -> None:
    up = ceil_div(a, b)
    assert (up - 1) * b < a <= up * b


@given(SHAPES, FACTORS)
def test_a_level_has_one_pixel_for_every_window_that_holds_one(shape: Shape, factors: Shape) -> None:
    assert math.prod(level_shape(shape, factors)) == len({parent(pixel, factors) for pixel in pixels(Region.whole(shape))})


@given(boxes_inside(), FACTORS)
def test_the_source_of_a_region_is_every_pixel_of_its_windows(inside: tuple[Region, Shape], factors: Shape) -> None:
    box, shape = inside
    coarse = Region.whole(level_shape(shape, factors)).intersect(box)
    source = windows_source(coarse, factors, shape)
    assert pixels(source) == {pixel for pixel in pixels(Region.whole(shape)) if parent(pixel, factors) in pixels(coarse)}


@given(boxes_inside(), FACTORS)
def test_the_target_of_a_region_is_every_window_that_it_touches(inside: tuple[Region, Shape], factors: Shape) -> None:
    box, shape = inside
    target = windows_target(box, factors, level_shape(shape, factors))
    if box.size:
        assert pixels(target) == {parent(pixel, factors) for pixel in pixels(box)}
    assert pixels(target) <= pixels(Region.whole(level_shape(shape, factors)))


@given(boxes_inside(), FACTORS)
def test_going_up_and_down_again_gives_back_at_least_what_was_there(inside: tuple[Region, Shape], factors: Shape) -> None:
    box, shape = inside
    there = windows_target(box, factors, level_shape(shape, factors))
    assert pixels(windows_source(there, factors, shape)) >= pixels(box)


# ------------------------------------------------------------------------------------------------------ factors
@given(ints(1, 2000), FACTORS)
def test_the_factors_of_a_level_are_found_again_and_its_last_windows_hold_pixels(shape: Shape, factors: Shape) -> None:
    coarse = level_shape(shape, factors)
    found = factors_between(shape, coarse)
    for n, m, factor, again in zip(shape, coarse, factors, found, strict=True):
        assert ceil_div(n, again) >= m
        assert again == factor or m <= 2 * factor  # a short axis has room for several: 5 -> 2 is 3 or 4, and 2.5 rounds to 2


@pytest.mark.parametrize("fine", [1, 2, 3, 5, 7, 8, 64, 275, 501, 1023])
def test_the_factor_is_the_rounded_ratio_where_the_level_is_the_size_divided_and_rounded(fine: int) -> None:
    for coarse in range(1, fine + 1):
        whole = [f for f in range(1, fine + 1) if coarse in (fine // f, ceil_div(fine, f))]
        wanted = max(1, round(fine / coarse))
        if not any(f <= wanted for f in whole):
            with pytest.raises(ArgumentError, match="no pyramid of whole windows"):
                factors_between((fine,), (coarse,))
            continue
        (factor,) = factors_between((fine,), (coarse,))
        assert factor == max(f for f in whole if f <= wanted)


@pytest.mark.parametrize(("fine", "coarse"), [(100, 70), (10, 6), (101, 100), (5, 0)])
def test_a_level_that_would_be_a_crop_is_refused(fine: int, coarse: int) -> None:
    with pytest.raises(ArgumentError, match="no pyramid of whole windows"):
        factors_between((fine,), (coarse,))


@pytest.mark.parametrize(
    ("fine", "coarse", "factor"),
    [(501, 250, 2), (501, 251, 2), (275, 137, 2), (5, 3, 2), (7, 2, 4), (1, 1, 1), (10, 10, 1), (0, 0, 1)],
)
def test_the_factor_of_a_stored_pyramid(fine: int, coarse: int, factor: int) -> None:
    assert factors_between((fine,), (coarse,)) == (factor,)


def test_each_axis_has_its_own_factor() -> None:
    assert factors_between((3, 40, 1000, 1000), (3, 20, 250, 334)) == (1, 2, 4, 3)


def test_levels_that_grow_are_refused_with_axis_and_shapes() -> None:
    with pytest.raises(ArgumentError) as caught:
        factors_between((3, 100), (3, 101), where="plate.zarr/A/1/0")
    assert str(caught.value) == (
        "plate.zarr/A/1/0: the levels are no pyramid of whole windows along axis 1; got (3, 100) -> (3, 101); "
        "allowed: sizes n / f, rounded down or up, for a whole f. Write such a level yourself, with set_array."
    )


def test_levels_with_another_number_of_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        factors_between((3, 100), (3,))
