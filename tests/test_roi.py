"""Regions of interest: intervals in world units and pixels, unions, intersections, zooms."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.containers.roi import Roi, RoiSlice
from omexp.containers.tiling import grid_rois
from omexp.errors import ArgumentError, NameNotFoundError
from omexp.world import PixelSize

SIZE = PixelSize(x=0.5, y=0.25, z=2.0)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int | None, int | None]:
    """(start, length) in whole pixels; either may be open."""
    return draw(st.none() | st.integers(-9, 9)), draw(st.none() | st.integers(0, 9))


@st.composite
def rois(draw: st.DrawFn, open_ends: bool = True) -> Roi:
    closed = st.tuples(st.integers(-9, 9), st.integers(0, 9))
    axes = draw(st.permutations(["z", "y", "x"]).map(lambda a: a[: draw(st.integers(1, 3))]))
    return Roi.from_values({a: draw(intervals() if open_ends else closed) for a in axes}, space="pixel")


def pixels_of(interval: RoiSlice | None, reach: range) -> set[int]:
    """The pixels of an interval among those of a reach; all of them where there is no interval."""
    if interval is None:
        return set(reach)
    start = 0 if interval.start is None else interval.start
    stop = reach.stop if interval.length is None else start + interval.length
    return {p for p in reach if start <= p < stop}


# --------------------------------------------------------------------------------------------------- world <-> pixel
@given(rois())
def test_whole_pixels_survive_the_trip_through_world_units(roi: Roi) -> None:
    assert roi.to_world(SIZE).to_pixel(SIZE) == roi
    assert roi.to_world(SIZE).space == "world"
    assert roi.to_pixel(SIZE) == roi


def test_world_bounds_that_cut_pixels_take_in_the_whole_pixels() -> None:
    roi = Roi.from_values({"y": (0.3, 0.5), "x": (0.499, 0.502)})
    pixel = roi.to_pixel(SIZE)
    assert (pixel["y"].start, pixel["y"].end) == (1, 4)
    assert (pixel["x"].start, pixel["x"].end) == (1, 2)  # both bounds are within a hundredth of a pixel of a border
    assert pixel.to_world(SIZE)["y"] == RoiSlice("y", 0.25, 0.75)


def test_an_axis_without_pixel_size_counts_in_pixels() -> None:
    assert Roi.from_values({"c": (1, 2)}).to_pixel(SIZE)["c"] == RoiSlice("c", 1, 2)


def test_open_intervals_stay_open() -> None:
    roi = Roi.from_values({"z": (None, None), "y": (1.0, None), "x": (None, 4.0)}).to_pixel(SIZE)
    assert roi.slices == (RoiSlice("z"), RoiSlice("y", 4), RoiSlice("x", None, 8))
    assert (roi["y"].end, roi["x"].end) == (None, 8)
    assert roi.to_slicing(SIZE, {"z": 3, "y": 9, "x": 9}) == {"z": slice(0, 3), "y": slice(4, 9), "x": slice(0, 8)}


@given(rois(), st.integers(0, 12))
def test_slicing_takes_the_pixels_of_the_region_that_the_image_has(roi: Roi, size: int) -> None:
    slicing = roi.to_slicing(SIZE, dict.fromkeys("zyx", size))
    assert set(slicing) == set(roi.axes)
    for axis, found in slicing.items():
        assert 0 <= found.start <= found.stop <= size
        assert set(range(size)[found]) == pixels_of(roi[axis], range(size))


def test_axes_that_the_image_lacks_are_left_out_of_the_slicing() -> None:
    assert Roi.from_values({"t": 1, "x": (0, 1)}).to_slicing(SIZE, {"y": 4, "x": 4}) == {"x": slice(0, 2)}


@given(rois())
def test_an_interval_goes_to_world_and_back_as_its_region_does(roi: Roi) -> None:
    for interval in roi.slices:
        assert interval.to_world(SIZE) == roi.to_world(SIZE)[interval.axis_name]
        assert interval.to_world(SIZE).to_pixel(SIZE) == interval
        assert RoiSlice.from_value(interval.axis_name, interval.to_slice()).end == interval.end
        assert roi.to_slicing_dict(SIZE)[interval.axis_name] == interval.to_slice()


def test_an_interval_is_replaced_added_and_removed_by_axis() -> None:
    roi = Roi.from_values({"y": (0, 4), "x": (1, 2)}, name="a", score=0.5)
    assert roi.update_slice("y", slice(2, 5)).slices == (RoiSlice("y", 2, 3), RoiSlice("x", 1, 2))
    assert roi.update_slice("z", (0, 1)).axes == ("y", "x", "z")
    assert roi.remove_slice("y").axes == ("x",) and roi.axes == ("y", "x")
    with pytest.raises(NameNotFoundError, match="says nothing about that axis"):
        roi.remove_slice("t")


def test_further_values_are_attributes() -> None:
    roi = Roi.from_values({"x": (1, 2)}, name="a", score=0.5)
    assert roi.score == 0.5 and copy.deepcopy(roi) == roi == pickle.loads(pickle.dumps(roi))
    with pytest.raises(AttributeError, match="no 'colour'"):
        roi.colour  # noqa: B018


def test_a_box_in_a_patch_becomes_a_box_in_the_image() -> None:
    tile = Roi.from_values({"z": (4.0, 2.0), "y": (2.5, 5.0), "x": (5.2, 5.0)}, name="tile")  # x cuts pixel 10
    found = tile.anchor(Roi.from_values({"y": (1, 2), "x": (0, 4)}, "nucleus", 7, space="pixel"), pixel_size=SIZE)
    assert (found.name, found.label, found.space) == ("nucleus", 7, "world")
    assert found.to_pixel(SIZE).slices == (RoiSlice("z", 2, 1), RoiSlice("y", 11, 2), RoiSlice("x", 10, 4))
    with pytest.raises(ArgumentError, match="measured in pixels"):
        tile.anchor(tile, pixel_size=SIZE)


def test_boxes_of_two_labels_are_not_joined() -> None:
    with pytest.raises(ArgumentError, match="different labels; got labels 1, 2"):
        Roi.from_values({"x": (0, 5)}, label=1).union(Roi.from_values({"x": (0, 5)}, label=2))


# ------------------------------------------------------------------------------------------------------------ tiles
@given(st.integers(1, 12), st.integers(1, 6), st.sampled_from(["clip", "balance", "shift", "drop"]))
def test_tiles_cover_the_image_but_for_those_that_are_dropped(length: int, size: int, tail: Any) -> None:
    tiles = [roi["x"].to_pixel(SIZE) for roi in grid_rois({"y": 3, "x": length}, {"x": size}, SIZE, tail=tail)]
    covered = [p for t in tiles for p in range(int(t.start), int(t.end))]  # type: ignore[arg-type]
    assert set(covered) == set(range(length - length % size if tail == "drop" else length))
    assert len(covered) == len(set(covered)) or tail == "shift"
    assert all(t.length == size for t in tiles) or tail in ("clip", "balance") or length < size
    if tail == "balance" and length >= size:
        assert max(t.length for t in tiles) <= size and min(t.length for t in tiles) >= size // 2


def test_tiles_are_named_by_their_numbers_and_may_overlap() -> None:
    tiles = grid_rois({"y": 4, "x": 6}, {"y": 4, "x": 4}, SIZE, strides={"x": 2}, base_name="t")
    assert [(t.name, t["x"].start, t["x"].length) for t in tiles] == [("t_0_0", 0.0, 2.0), ("t_0_1", 1.0, 2.0)]
    for sizes, options in (
        ({"c": 1}, {}),
        ({"x": 0}, {}),
        ({"x": 2}, {"tail": "fold"}),
        ({"x": 2}, {"tail": "balance", "strides": {"x": 1}}),
    ):
        with pytest.raises(ArgumentError, match="cannot be tiled"):
            grid_rois({"y": 4, "x": 6}, sizes, SIZE, **options)


# ------------------------------------------------------------------------------------------------------------ zooms
@given(rois(open_ends=False), st.floats(0.1, 8))
def test_a_zoom_scales_x_and_y_about_the_centre_of_the_box(roi: Roi, factor: float) -> None:
    zoomed = roi.zoom(factor)
    for old, new in zip(roi.slices, zoomed.slices, strict=True):
        assert new.start + new.length / 2 == pytest.approx(old.start + old.length / 2)
        assert new.length == pytest.approx(old.length * (1 if old.axis_name == "z" else factor))


def test_a_zoom_of_pixels_takes_in_the_pixels_that_it_cuts_on_both_sides() -> None:
    roi = Roi.from_values({"x": (10, 10), "y": (10, 10)}, space="pixel").zoom(1.5, axes=("x",))
    assert roi["x"] == RoiSlice("x", 7.5, 15)
    assert roi.to_slicing(SIZE, {"y": 99, "x": 99}) == {"x": slice(7, 23), "y": slice(10, 20)}


def test_a_zoom_past_the_border_is_clipped_and_an_open_interval_stays() -> None:
    roi = Roi.from_values({"y": (0, 4), "x": (1, None)}, space="pixel").zoom(3)
    assert roi.slices == (RoiSlice("y", -4, 12), RoiSlice("x", 1))
    assert roi.to_slicing(SIZE, {"y": 6, "x": 6}) == {"y": slice(0, 6), "x": slice(1, 6)}


@pytest.mark.parametrize("factor", [0, -2, math.nan, math.inf])
def test_a_zoom_factor_that_is_no_positive_number_is_refused(factor: float) -> None:
    with pytest.raises(ArgumentError, match="zoom_factor must be a positive number|must be a finite number"):
        Roi.from_values({"x": (0, 4)}).zoom(factor)


# -------------------------------------------------------------------------------------------- union and intersection
@given(rois(), rois())
def test_an_intersection_holds_the_pixels_that_both_hold(a: Roi, b: Roi) -> None:
    reach = range(-30, 60)
    both = a.intersection(b)
    shared = [axis for axis in a.axes if axis in b.axes]
    per_axis = {axis: pixels_of(a.get(axis), reach) & pixels_of(b.get(axis), reach) for axis in {*a.axes, *b.axes}}
    assert (both is None) == any(not per_axis[axis] for axis in shared)
    if both is not None:
        assert set(both.axes) == {*a.axes, *b.axes}
        assert {axis: pixels_of(both[axis], reach) for axis in both.axes} == per_axis


@given(rois(), rois())
def test_a_union_is_the_smallest_box_around_both(a: Roi, b: Roi) -> None:
    union = a.union(b)
    assert set(union.axes) == {*a.axes, *b.axes}
    for axis in union.axes:
        parts = [s for s in (a.get(axis), b.get(axis)) if s is not None]
        assert union[axis].start == (min(p.start or 0 for p in parts) if len(parts) == 2 else parts[0].start)
        assert union[axis].end == (None if None in [p.end for p in parts] else max(p.end for p in parts))


def test_boxes_that_only_touch_have_no_intersection() -> None:
    left, right = Roi.from_values({"x": (0, 5)}), Roi.from_values({"x": (5, 5)})
    assert left.intersection(right) is None
    assert left.union(right)["x"] == RoiSlice("x", 0, 10)


def test_union_and_intersection_keep_the_name_label_and_extra_of_the_first() -> None:
    first = Roi.from_values({"x": (0, 5)}, name="FOV_1", label=3, plate="P1")
    for merged in (first.union(Roi.from_values({"x": (1, 9)}, name="other")), first.intersection(Roi.from_values({"x": (1, 9)}))):
        assert merged is not None
        assert (merged.name, merged.label, merged.extra) == ("FOV_1", 3, {"plate": "P1"})


def test_regions_in_two_spaces_cannot_be_joined() -> None:
    world, pixel = Roi.from_values({"x": (0, 5)}), Roi.from_values({"x": (0, 5)}, "FOV", space="pixel")
    for join in (pixel.union, pixel.intersection):
        with pytest.raises(ArgumentError, match="FOV: two Rois in different spaces; got pixel, world. Call to_world or to_pixel first"):
            join(world)


# ------------------------------------------------------------------------------------------------------------ making
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), RoiSlice("x", 1, 2)),
        ([1, 2], RoiSlice("x", 1, 2)),
        ((None, 2), RoiSlice("x", None, 2)),
        (slice(3, 7), RoiSlice("x", 3, 4)),
        (slice(None, 7), RoiSlice("x", None, 7)),
        (slice(3, None), RoiSlice("x", 3, None)),
        (slice(None), RoiSlice("x")),
        (5, RoiSlice("x", 5, 1)),
        (np.int32(5), RoiSlice("x", 5, 1)),
        (RoiSlice("x", 5), RoiSlice("x", 5)),
    ],
)
def test_an_interval_may_be_a_pair_a_slice_or_a_number(value: Any, expected: RoiSlice) -> None:
    assert Roi.from_values({"x": value})["x"] == expected


@pytest.mark.parametrize("value", ["ab", (1, 2, 3), None, {"start": 1}, slice(0, 8, 2)])
def test_what_is_no_interval_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="Roi axis 'x': this is no interval; got .*allowed: .start, length., slice, number, RoiSlice"):
        Roi.from_values({"x": value})


@pytest.mark.parametrize(("start", "length"), [(0, -1), (0, math.nan), (0, math.inf), (math.nan, 1), (-math.inf, 1), ("a", 1), (0, "b")])
def test_bounds_that_are_not_finite_or_a_negative_length_are_refused(start: Any, length: Any) -> None:
    with pytest.raises(ArgumentError, match="Roi axis 'x': a (start|length) must"):
        RoiSlice("x", start, length)


def test_an_axis_named_twice_and_an_unknown_space_are_refused() -> None:
    with pytest.raises(ArgumentError, match="FOV: a Roi names an axis twice; got \\['x', 'x'\\]"):
        Roi("FOV", (RoiSlice("x"), RoiSlice("x")))
    with pytest.raises(ArgumentError, match="label 3: the space of a Roi is not understood; got 'voxel'; allowed: 'world' or 'pixel'"):
        Roi(None, (RoiSlice("x"),), label=3, space="voxel")  # type: ignore[arg-type]


def test_a_region_is_called_by_its_name_its_label_or_its_axes() -> None:
    x = (RoiSlice("y"), RoiSlice("x"))
    assert [Roi("FOV", x, 3).get_name(), Roi(None, x, 0).get_name(), Roi(None, x).get_name()] == ["FOV", "label 0", "Roi over yx"]


def test_an_axis_that_the_region_does_not_name_is_none_or_an_error() -> None:
    roi = Roi.from_values({"x": (0, 1)}, "FOV")
    assert roi.get("y") is None
    with pytest.raises(NameNotFoundError, match="FOV: the Roi says nothing about that axis; got y; allowed: x"):
        roi["y"]
