"""Masks on pixels and arrays on other grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.backend import numpy_backend
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError, SelectionError
from omexp.grids import nearest_indices
from omexp.kernels.masks import keep_outside, masked, take_nearest

DTYPES = ["bool", "uint8", "int8", "uint16", "int32", "uint64", "int64", "float32", "float64", "complex64"]
MASK = np.array([[True, False, True], [False, False, True]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_keeps_pixels_and_dtype_and_fills_the_rest(backend, dtype):
    if not backend.supports(dtype):
        pytest.skip(f"this device has no {dtype}")
    data = np.arange(6).reshape(2, 3).astype(dtype)
    for fill in (0, 1):
        found = masked(backend.array(data), backend.array(MASK), fill)
        assert backend.holds(found)
        assert backend.host(found).dtype == dtype
        assert backend.host(found).tolist() == np.where(MASK, data, np.array(fill, dtype)).tolist()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 3), (2, 1), (1, 1), (5, 2, 3), (1, 2, 1)])
def test_a_mask_broadcasts_over_missing_and_single_axes(backend, shape):
    data = np.arange(30, dtype="int16").reshape(5, 2, 3)
    mask = np.random.default_rng(1).integers(0, 2, shape).astype(bool)
    expected = np.where(mask, data, np.int16(-7))
    assert np.array_equal(backend.host(masked(backend.array(data), backend.array(mask), -7)), expected)
    kept = keep_outside(backend.array(data), backend.array(-data), backend.array(mask))
    assert np.array_equal(backend.host(kept), np.where(mask, -data, data))


def test_keep_outside_changes_none_of_its_inputs(backend):
    old, new, mask = (backend.array(a) for a in (np.arange(6).reshape(2, 3), np.full((2, 3), 9), MASK))
    kept = keep_outside(old, new, mask)
    assert backend.host(kept).tolist() == [[9, 1, 9], [3, 4, 9]]
    assert backend.host(old).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (backend.host(new) == 9).all()
    kept[...] = 0
    assert backend.host(old).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_new_pixels_broadcast_to_the_old_ones(backend):
    kept = keep_outside(backend.array(np.zeros((2, 3), "uint8")), backend.array(np.array([1, 2, 3], "uint8")), backend.array(MASK))
    assert backend.host(kept).tolist() == [[1, 0, 3], [0, 0, 3]]


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("uint8", -1), ("uint8", 256), ("uint8", 1.5), ("int64", math.nan), ("uint16", math.inf), ("bool", 2), ("uint64", 2**64)],
)
def test_a_fill_value_that_would_become_another_number_is_refused(backend, dtype, fill):
    with pytest.raises(DTypeError, match=f"{dtype} cannot hold the fill value"):
        masked(backend.array(MASK.astype(dtype)), backend.array(MASK), fill)


def test_a_fill_value_may_be_a_whole_float_or_a_nan_among_floats(backend):
    assert backend.host(masked(backend.array(MASK.astype("uint8")), backend.array(MASK), 3.0)).tolist() == [[1, 3, 1], [3, 3, 1]]
    assert np.isnan(backend.host(masked(backend.array(MASK.astype("float32")), backend.array(MASK), math.nan))).sum() == 3


def test_masks_that_do_not_fit_are_refused(backend):
    data, mask = backend.array(np.zeros((2, 3), "uint8")), backend.array(MASK)
    with pytest.raises(DTypeError, match="a mask must be bool"):
        masked(data, data)
    for wrong in (MASK[:, :2], MASK[None]):
        with pytest.raises(ArgumentError, match="mask does not broadcast to the pixels"):
            masked(data, backend.array(wrong))
    with pytest.raises(ArgumentError, match="new does not broadcast"):
        keep_outside(data, backend.array(np.zeros((3, 3), "uint8")), mask)
    with pytest.raises(DTypeError, match="new pixels must have the dtype of the old ones"):
        keep_outside(data, backend.array(np.zeros((2, 3), "uint16")), mask)


def test_arrays_of_two_places_are_refused(backend):
    if backend.backend == numpy_backend:
        pytest.skip("NumPy is the other place")
    data = backend.array(np.zeros((2, 3), "uint8"))
    with pytest.raises(BackendMismatchError, match="the arrays live in different places"):
        masked(data, MASK)
    with pytest.raises(BackendMismatchError, match="the arrays live in different places"):
        keep_outside(data, np.zeros((2, 3), "uint8"), backend.array(MASK))


# ------------------------------------------------------------------------------------------------ other grids
axis_indices = st.one_of(
    st.none(),
    st.lists(st.integers(0, 4), max_size=7),
    st.builds(range, st.integers(0, 4), st.integers(0, 5), st.integers(1, 3)),
    st.builds(range, st.integers(0, 4), st.integers(-1, 4), st.integers(-3, -1)),
)


@given(indices=st.tuples(axis_indices, axis_indices, axis_indices))
def test_take_nearest_equals_indexing_axis_by_axis(backend, indices):
    array = np.arange(125).reshape(5, 5, 5)
    expected = array
    for axis, chosen in enumerate(indices):
        expected = expected if chosen is None else np.take(expected, np.array(chosen, int), axis=axis)
    found = take_nearest(backend.array(array), indices)
    assert backend.holds(found)
    assert np.array_equal(backend.host(found), expected)


def test_take_nearest_with_ranges_copies_nothing():
    array = np.arange(24).reshape(4, 6)
    for indices in [(None, range(1, 5)), (range(0, 4, 2), None), (range(3, -1, -1), range(5, 0, -2))]:
        assert np.shares_memory(take_nearest(array, indices), array)
    assert not np.shares_memory(take_nearest(array, ([0, 0, 1], None)), array)


def test_take_nearest_refuses_what_is_outside(backend):
    array = backend.array(np.zeros((2, 3)) if backend.supports("float64") else np.zeros((2, 3), "uint8"))
    for outside in (range(4), range(2, -2, -1), [0, 3], [-1]):
        with pytest.raises(SelectionError, match="axis 1: an index is outside the array"):
            take_nearest(array, (None, outside))
    with pytest.raises(ArgumentError, match="indices must have one entry per axis"):
        take_nearest(array, (None,))


@given(start=st.integers(0, 50), n=st.integers(0, 50), factor=st.integers(1, 9), size=st.integers(1, 300))
def test_a_whole_ratio_takes_the_first_pixel_of_the_window(start, n, factor, size):
    expected = [min(i * factor, size - 1) for i in range(start, start + n)]
    for ratio in (factor, factor * 1.0009, factor / 1.0009):
        assert list(nearest_indices(start, start + n, ratio, size)) == expected


@given(start=st.integers(0, 50), n=st.integers(0, 50), inverse=st.integers(1, 9), size=st.integers(1, 30))
def test_a_whole_inverse_ratio_takes_the_pixel_that_was_enlarged(start, n, inverse, size):
    expected = [min(i // inverse, size - 1) for i in range(start, start + n)]
    assert list(nearest_indices(start, start + n, 1 / inverse, size)) == expected


@given(start=st.integers(0, 50), n=st.integers(1, 50), ratio=st.sampled_from([0.3, 0.7, 1.25, 1.5, 2.3, math.pi]), size=st.integers(1, 200))
def test_any_other_ratio_takes_the_pixel_under_the_centre(start, n, ratio, size):
    for i, found in zip(range(start, start + n), nearest_indices(start, start + n, ratio, size), strict=True):
        holds_centre = [j for j in range(size) if j <= (i + 0.5) * ratio < j + 1]
        assert [found] == (holds_centre or [size - 1])


@given(start=st.integers(0, 20), n=st.integers(0, 20), ratio=st.floats(0.1, 5), size=st.integers(1, 100))
def test_evenly_spaced_indices_are_a_range(start, n, ratio, size):
    found = nearest_indices(start, start + n, ratio, size)
    steps = set(np.diff(list(found)).tolist())
    clipped = n > 0 and (start + n - 1 + 0.5) * ratio >= size
    if len(steps) <= 1 and steps != {0} and not clipped:
        assert isinstance(found, range)
    assert isinstance(found, (range, list))


def test_indices_are_ranges_where_no_clipping_is_needed_and_clipped_lists_where_it_is():
    assert nearest_indices(2, 5, 2.0, 9) == range(4, 10, 2)
    assert nearest_indices(2, 5, 2.0, 8) == [4, 6, 7]
    assert nearest_indices(-2, 2, 1.0, 8) == [0, 0, 0, 1]
    assert nearest_indices(4, 6, 0.5, 8) == [2, 2]
    assert nearest_indices(5, 7, 0.5, 8) == range(2, 4)


@pytest.mark.parametrize("ratio", [0, -1, math.nan, math.inf, 5e-324])
def test_a_ratio_must_be_positive_and_finite(ratio):
    with pytest.raises(ArgumentError, match="must be positive and finite"):
        nearest_indices(0, 4, ratio, 8)


def test_a_grid_without_pixels_has_no_nearest_one():
    with pytest.raises(ArgumentError, match="a grid without pixels"):
        nearest_indices(0, 4, 1, 0)
    assert nearest_indices(4, 4, 1, 0) == range(0)
