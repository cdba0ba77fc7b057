"""Ladders: which levels, from which, of which shape and chunks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError
from omexp.geometry import ceil_div
from omexp.ngff.ladders import absolute_factors, default_chunks, halvings, level_shapes, require_chunks, steps_of


def steps(shape: tuple[int, ...], factors: list[Any], dims: str = "yx") -> list[tuple[int, tuple[int, ...]]]:
    return [(step.parent, step.factors) for step in steps_of(shape, absolute_factors(factors, dims))]


def test_a_level_is_made_from_the_one_before_where_that_is_a_whole_step() -> None:
    assert steps((256, 256), [2, 4, 8]) == [(0, (2, 2)), (1, (2, 2)), (2, (2, 2))]
    assert steps((121, 121), [2, 3, 4]) == [(0, (2, 2)), (0, (3, 3)), (0, (4, 4))]
    assert steps((121, 121), [2, 5]) == [(0, (2, 2)), (0, (5, 5))]


def test_a_dim_that_a_mapping_leaves_out_has_factor_1_relative_to_the_original() -> None:
    found = steps((8, 64, 64), [{"z": 2, "y": 2, "x": 2}, {"y": 4, "x": 4}], "zyx")
    assert found == [(0, (2, 2, 2)), (0, (1, 4, 4))]


def test_an_axis_of_one_pixel_is_not_reduced_any_further() -> None:
    assert steps((1, 64, 64), [2, 4], "zyx") == [(0, (1, 2, 2)), (1, (1, 2, 2))]
    assert steps((3, 64, 64), [2, 4, 8], "zyx") == [(0, (2, 2, 2)), (1, (2, 2, 2)), (2, (1, 2, 2))]


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=3).map(tuple),
    st.lists(st.lists(st.integers(1, 12), min_size=3, max_size=3), max_size=4),
)
def test_level_shapes_are_those_of_windows_anchored_at_the_origin(shape: tuple[int, ...], factors: list[list[int]]) -> None:
    wanted = [tuple(f[: len(shape)]) for f in factors]
    found = level_shapes(shape, steps_of(shape, wanted))
    assert found[0] == shape
    assert found[1:] == [tuple(map(ceil_div, shape, f)) for f in wanted]


@pytest.mark.parametrize("factors", ["2", 2.5, [0], [2.0], [True], [{"q": 2}], [{"c": 2}], [{"y": -1}], [None]])
def test_factors_that_mean_nothing_are_refused(factors: Any) -> None:
    with pytest.raises(ArgumentError):
        absolute_factors(factors, "cyx")


@pytest.mark.parametrize("factors", [[1], [4, 2], [2, 2], [2, 4, 4], [{"y": 2}, {"y": 2}], [{"y": 4}, {"y": 2}]])
def test_levels_that_are_no_coarser_than_the_one_before_are_refused(factors: Any) -> None:
    with pytest.raises(ArgumentError, match="each level must be coarser than the one before it"):
        absolute_factors(factors, "cyx")
    assert absolute_factors([{"y": 2}, {"x": 4}], "cyx") == [(1, 2, 1), (1, 1, 4)]


def test_a_factor_of_1_for_a_channel_is_fine() -> None:
    assert absolute_factors([{"c": 1, "y": 2, "x": 2}], "cyx") == [(1, 2, 2)]


def test_halving_equalises_the_numbers_of_pixels() -> None:
    found = halvings("zyx", (64, 1024, 512), {"z": 32, "y": 64, "x": 64}, 128)
    assert found == [
        {"z": 1, "y": 2, "x": 1},
        {"z": 1, "y": 4, "x": 2},
        {"z": 1, "y": 8, "x": 4},
        {"z": 1, "y": 16, "x": 8},
        {"z": 2, "y": 16, "x": 8},
    ]


def test_halving_stops_at_twice_the_least_number_of_pixels() -> None:
    assert halvings("x", (1024,), {"x": 1}, 128) == [{"x": 2}, {"x": 4}]
    assert halvings("c", (1024,), {"c": 1}, 1) == []


@pytest.mark.parametrize(
    "dims,shape,tiles,chunks",
    [
        ("yx", (1000, 1000), None, {"y": 256, "x": 256}),
        ("zyx", (1, 500, 500), None, {"z": 128, "y": 128, "x": 128}),
        ("tcyx", (9, 3, 600, 600), None, {"t": 1, "c": 3, "y": 256, "x": 256}),
        ("tcyx", (9, 100, 600, 600), None, {"t": 1, "c": 100, "y": 256, "x": 256}),
        ("cyx", (3, 6000, 6000), ((1,) * 3, (1024,) * 5 + (880,), (1024,) * 5 + (880,)), {"c": 1, "y": 1024, "x": 1024}),
        ("yx", (6000, 6000), ((3000, 3000), (2000, 2000, 2000)), {"y": 256, "x": 2000}),
        ("yx", (600, 600), ((200,) * 3, (200,) * 3), {"y": 256, "x": 256}),
    ],
)
def test_default_chunks(dims: str, shape: Any, tiles: Any, chunks: dict[str, int]) -> None:
    assert default_chunks(dims, shape, tiles, 2) == chunks


def test_a_default_chunk_holds_16_mib_of_channels_at_most() -> None:
    assert default_chunks("cyx", (1000, 600, 600), None, 4) == {"c": 63, "y": 256, "x": 256}


def test_chunks_are_one_int_for_spatial_dims_or_one_per_dim_or_by_name() -> None:
    defaults = {"t": 1, "c": 3, "y": 256, "x": 256}
    assert require_chunks(None, "tcyx", defaults) == defaults
    assert require_chunks(64, "tcyx", defaults) == {"t": 1, "c": 3, "y": 64, "x": 64}
    assert require_chunks((2, 1, 8, 9), "tcyx", defaults) == {"t": 2, "c": 1, "y": 8, "x": 9}
    assert require_chunks({"x": 7}, "tcyx", defaults) == {"t": 1, "c": 3, "y": 256, "x": 7}


@pytest.mark.parametrize("chunks", [0, (1, 2), "auto", {"q": 1}, {"x": 0}, 2.5, (64, 64.0, 1, 1)])
def test_chunks_that_mean_nothing_are_refused(chunks: Any) -> None:
    with pytest.raises(ArgumentError, match="chunks"):
        require_chunks(chunks, "tcyx", {"t": 1, "c": 3, "y": 256, "x": 256})
