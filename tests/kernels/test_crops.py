"""Boxes cut and patches put back, many in one step, against one NumPy slice each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.errors import BackendMismatchError, DTypeError
from omexp.geometry import Region
from omexp.kernels.crops import blank_outside, cut_boxes, cut_masked, cut_masks, put_masked
from tests.conftest import Case

BOXES = [Region((0, 0), (2, 3)), Region((1, 2), (3, 5)), Region((2, 4), (2, 5)), Region((0, 1), (3, 4))]
CORNERS = [(0, 0), (1, 0), (0, 2), (0, 0)]


def pixels_and_ids(dtype: str = "uint16", ids_dtype: str = "uint32") -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    ids = draw.integers(0, 3, (3, 5)).astype(ids_dtype)
    return (draw.integers(1, 100, (3, 5)).astype(dtype), ids if ids_dtype == "bool" else ids + np.array(200, ids_dtype))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int8", "bool"])
def test_boxes_lie_in_their_rows_and_the_rest_stays(backend: Case, dtype: str) -> None:
    pixels, _ = pixels_and_ids(dtype)
    batch, expected = backend.backend.full((5, 3, 3), 1, dtype), np.ones((5, 3, 3), dtype)
    rows = [4, 0, 1, 2]
    cut_boxes(backend.array(pixels), BOXES, batch, rows, CORNERS)
    for box, row, (y, x) in zip(BOXES, rows, CORNERS, strict=True):
        expected[row, y : y + box.shape[0], x : x + box.shape[1]] = pixels[box.slices]
    np.testing.assert_array_equal(backend.host(batch), expected, strict=True)


@pytest.mark.parametrize("ids_dtype", ["uint8", "int32", "int64", "bool"])
@pytest.mark.parametrize("label", [0, 1, 201, -55, 2**40])
def test_masks_say_where_the_label_is_whatever_the_dtype_holds(backend: Case, ids_dtype: str, label: int) -> None:
    _, ids = pixels_and_ids(ids_dtype=ids_dtype)
    batch, expected = backend.backend.full((4, 3, 3), False, "bool"), np.zeros((4, 3, 3), bool)
    cut_masks(backend.array(ids), BOXES, [label] * 4, batch, range(4), CORNERS)
    where = np.array([[int(i) == label for i in row] for row in ids])
    for row, (box, (y, x)) in enumerate(zip(BOXES, CORNERS, strict=True)):
        expected[row, y : y + box.shape[0], x : x + box.shape[1]] = where[box.slices]
    np.testing.assert_array_equal(backend.host(batch), expected, strict=True)


@pytest.mark.parametrize("fill", [0, 7])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_masked_crops_keep_the_object_and_are_new_arrays(backend: Case, dtype: str, fill: int) -> None:
    pixels, ids = pixels_and_ids(dtype)
    given_pixels = backend.array(pixels)
    found = cut_masked(given_pixels, BOXES, backend.array(ids), (0, 0), [201] * 4, fill)
    for box, crop in zip(BOXES, found, strict=True):
        assert backend.holds(crop)
        expected = np.where(ids[box.slices] == 201, pixels[box.slices], np.array(fill, dtype))
        np.testing.assert_array_equal(backend.host(crop), expected, strict=True)
        crop[...] = backend.backend.full((), 1, dtype)
    np.testing.assert_array_equal(backend.host(given_pixels), pixels)


def test_one_id_stands_for_all_pixels_along_an_axis_of_size_one(backend: Case) -> None:
    pixels, ids = pixels_and_ids()
    (crop,) = cut_masked(backend.array(pixels), [Region((1, 2), (3, 5))], backend.array(ids[:1]), (7, 0), [201], 0)
    np.testing.assert_array_equal(backend.host(crop), np.where(ids[:1, 2:5] == 201, pixels[1:3, 2:5], 0))


@given(y=st.integers(-2, 0), x=st.integers(-3, 1))
@settings(max_examples=10)
def test_ids_that_begin_elsewhere_are_found_by_the_offset(backend: Case, y: int, x: int) -> None:
    pixels, _ = pixels_and_ids()
    ids = np.random.default_rng(2).integers(0, 3, (9, 12)).astype("uint8")
    box = Region((1, 2), (3, 5))
    (crop,) = cut_masked(backend.array(pixels), [box], backend.array(ids), (y, x), [2], 9)
    np.testing.assert_array_equal(backend.host(crop), np.where(ids[box.shift((-y, -x)).slices] == 2, pixels[box.slices], 9))


@pytest.mark.parametrize(("dtype", "fill"), [("uint16", 0), ("uint16", 3), ("float64", 0), ("bool", 0), ("float32", 1)])
def test_pixels_outside_a_mask_are_blanked(backend: Case, dtype: str, fill: int) -> None:
    if not backend.supports(dtype):
        pytest.skip("a dtype that this device lacks")
    pixels = np.arange(12).reshape(2, 2, 3).astype(dtype)
    if dtype.startswith("float"):
        pixels[0, 0, 0] = np.nan  # times False it would stay
    masks = np.random.default_rng(0).integers(0, 2, (2, 1, 3)).astype(bool)
    masks[0, 0, 0] = False
    batch = backend.backend.xp.asarray(backend.array(pixels), copy=True)
    blank_outside(batch, backend.array(masks), fill)
    np.testing.assert_array_equal(backend.host(batch), np.where(masks, pixels, np.array(fill, dtype)), strict=True)
    with pytest.raises(DTypeError, match="cannot hold the fill value"):
        blank_outside(backend.backend.full((1,), 0, "uint8"), backend.backend.full((1,), True, "bool"), 300)


def test_patches_change_what_their_masks_cover_and_the_later_one_stays(backend: Case) -> None:
    target = backend.backend.full((2, 4), 9, "uint8")
    patches = [backend.array(np.array([[1, 2], [3, 4]], "uint8")), backend.array(np.array([[5, 6]], "uint8"))]
    masks = [backend.array([[True], [False]]), backend.array([[True, False]])]
    put_masked(target, patches, masks, [(0, 1), (0, 2)])
    assert backend.host(target).tolist() == [[9, 1, 5, 9], [9, 9, 9, 9]]


def test_arrays_of_two_places_are_refused() -> None:
    import array_api_strict

    with pytest.raises(BackendMismatchError):
        cut_boxes(np.zeros(3), [], array_api_strict.zeros((1, 3)), [], [])
