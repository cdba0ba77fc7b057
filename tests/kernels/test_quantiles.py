"""Display ranges on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.backend import dtype_of
from omexp.kernels.quantiles import display_range
from tests.conftest import Case

DTYPES = ["bool", "uint8", "int16", "uint32", "int64", "float32", "float64"]
SPECIAL = st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf])


def reference(pixels: np.ndarray, low: float, high: float) -> list[Any]:
    values = sorted(v for v in pixels.ravel().tolist() if v != 0 and np.isfinite(v))
    return [values[round(q * (len(values) - 1))] for q in (low, high)] if values else [0, 0]


@given(data=st.data())
def test_the_range_is_that_of_the_sorted_finite_pixels_that_are_not_zero(backend: Case, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([d for d in DTYPES if backend.supports(d)]))
    values = data.draw(st.lists(st.floats(-100, 100, width=16) | SPECIAL, max_size=12))
    with np.errstate(invalid="ignore"):
        pixels = np.nan_to_num(values, nan=3, posinf=7, neginf=9).astype(dtype) if "float" not in dtype else np.asarray(values, dtype)
    low, high = sorted(data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    found = display_range(backend.array(pixels), low, high)
    assert backend.holds(found)
    assert dtype_of(found) == np.dtype(dtype)
    assert backend.host(found).tolist() == reference(pixels, low, high)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_of_nothing_but_zero_or_none_at_all_give_zero(backend: Case, dtype: str) -> None:
    if not backend.supports(dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    for pixels in (np.zeros((3, 4), dtype), np.zeros((0, 4), dtype)):
        assert backend.host(display_range(backend.array(pixels), 0.1, 0.9)).tolist() == [0, 0]


def test_pixels_are_not_changed_and_the_whole_range_is_their_extremes(backend: Case) -> None:
    pixels = np.asarray([[3, 0, 9], [-5, 1, 0]], "int16")
    array = backend.array(pixels)
    assert backend.host(display_range(array, 0, 1)).tolist() == [-5, 9]
    np.testing.assert_array_equal(backend.host(array), pixels)
