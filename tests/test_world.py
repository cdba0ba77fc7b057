"""World units and pixels: the snapping rule, spans, zooms, units."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from omexp.errors import ArgumentError
from omexp.world import SNAP_PX, PixelSize, pixel_span

SIZES = st.floats(1e-3, 1e3)


# ------------------------------------------------------------------------------------------------------ pixel spans
@given(st.integers(-(10**5), 10**5), st.integers(0, 10**5), SIZES)
def test_whole_pixels_survive_the_trip_through_world_units(start: int, length: int, size: float) -> None:
    assert pixel_span(start * size, length * size, size) == (start, start + length)


@given(st.floats(-1e4, 1e4), st.floats(0, 1e4), SIZES)
def test_a_span_holds_every_pixel_that_the_interval_touches_by_more_than_the_tolerance(start: float, length: float, size: float) -> None:
    low, high = Fraction(start) / Fraction(size), (Fraction(start) + Fraction(length)) / Fraction(size)
    first, last = pixel_span(start, length, size)
    slack = Fraction(SNAP_PX) + Fraction(1, 10**6)  # of the floats
    assert low - 1 - slack < first <= low + slack
    assert high - slack <= last < high + 1 + slack


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (10.009, 10.0, (10, 20)),
        (9.991, 10.0, (10, 20)),
        (10.011, 10.0, (10, 21)),
        (9.989, 10.0, (9, 20)),
        (0.0, 0.0, (0, 0)),
        (2.5, 0.0, (2, 3)),
        (-0.5, 1.0, (-1, 1)),
    ],
)
def test_a_bound_within_a_hundredth_of_a_pixel_is_that_pixel_border(start: float, length: float, expected: tuple[int, int]) -> None:
    assert pixel_span(start, length, 1.0) == expected


def test_a_thousand_tiles_side_by_side_share_no_pixel_and_leave_no_gap() -> None:
    size, tile = 0.325, 2160 * 0.325
    spans = [pixel_span(i * tile, tile, size) for i in range(1000)]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert {b - a for a, b in spans} == {2160}


@pytest.mark.parametrize("interval", [(math.nan, 1.0), (math.inf, 1.0), (0.0, math.inf), (1e300, 1.0)])
def test_an_interval_without_finite_bounds_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(ArgumentError, match="an interval must have finite bounds; got start"):
        pixel_span(*interval, 1e-300)


# ------------------------------------------------------------------------------------------------------ pixel sizes
def test_a_pixel_size_is_read_by_axis() -> None:
    size = PixelSize(x=0.5, y=0.25, z=2, t=10)
    assert size.tzyx == (10, 2, 0.25, 0.5)
    assert (size.zyx, size.yx, size.time_spacing) == ((2, 0.25, 0.5), (0.25, 0.5), 10)
    assert dict(size) == size.as_dict() == {"t": 10, "z": 2, "y": 0.25, "x": 0.5}
    assert (size.voxel_volume, size.xy_plane_area) == (0.25, 0.125)
    assert (size.get("y"), size.get("c"), size.get("c", 7.0)) == (0.25, 1.0, 7.0)
    assert str(size) == "PixelSize(x=0.5, y=0.25, z=2, t=10, micrometer, second)"
    assert str(PixelSize(1, 1, space_unit=None, time_unit=None)).endswith("no unit, no unit)")


def test_numbers_of_numpy_are_pixel_sizes_and_become_floats() -> None:
    size = PixelSize(x=np.float32(0.5), y=np.int16(2), z=np.float64(1))
    assert (size.x, size.y, size.z) == (0.5, 2.0, 1.0)
    assert {type(v) for v in size.tzyx} == {float}


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, 10**400, "1", None, 1j])
def test_a_pixel_size_that_is_no_positive_number_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="PixelSize: pixel size along y must be a positive number; got"):
        PixelSize(x=1.0, y=value)


def test_the_distance_is_in_the_first_ones_unit() -> None:
    micro, nano = PixelSize(x=1.0, y=1.0, z=1.0), PixelSize(x=1000.0, y=1000.0, z=4000.0, space_unit="nanometer")
    assert micro.distance(nano) == pytest.approx(3.0)
    assert nano.distance(micro) == pytest.approx(3000.0)
    assert micro.distance(PixelSize(1.0, 4.0, 5.0, space_unit="pixel")) == 5.0  # an unknown unit is taken as the same


def test_pixel_sizes_are_close_whatever_their_unit_and_their_time() -> None:
    assert PixelSize(x=0.65, y=0.65).is_close(PixelSize(x=650, y=650, z=1000, t=5, space_unit="nanometer", time_unit=None))
    assert PixelSize(x=0.65, y=0.65).is_close(PixelSize(x=0.650001, y=0.65))
    assert not PixelSize(x=0.65, y=0.65).is_close(PixelSize(x=0.65, y=0.66))
    assert not PixelSize(x=0.65, y=0.65).is_close(PixelSize(x=0.65, y=0.65, z=2))


@given(SIZES, SIZES, SIZES)
def test_distance_is_zero_to_itself_and_the_same_both_ways_in_one_unit(x: float, y: float, z: float) -> None:
    a, b = PixelSize(x=x, y=y, z=z), PixelSize(x=y, y=z, z=x)
    assert a.distance(a) == 0
    assume(a != b)
    assert a.distance(b) == b.distance(a)
