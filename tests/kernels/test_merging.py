"""What is written, put together with what is there, against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.kernels.merging import MERGES, merge_pixels
from tests.conftest import Case

DTYPES = ["bool", "uint8", "int16", "uint64", "float32"]
RULES: dict[str, Any] = {
    "max": np.maximum,
    "min": np.minimum,
    "sum": np.add,
    "keep_nonzero": lambda existing, patch: np.where(patch != 0, patch, existing),
}


def test_each_rule_has_a_reference() -> None:
    assert RULES.keys() == MERGES.keys()


@settings(max_examples=8)
@given(rule=st.sampled_from(list(RULES)), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_a_rule_is_that_of_numpy(backend: Case, rule: str, dtype: str, seed: int) -> None:
    draw = np.random.default_rng(seed)
    existing, patch = (draw.integers(0, 2 if dtype == "bool" else 255, (3, 4)).astype(dtype) for _ in "ab")
    before = existing.copy()
    found = merge_pixels(backend.array(existing), backend.array(patch), rule)
    assert backend.holds(found)
    np.testing.assert_array_equal(backend.host(found), RULES[rule](existing, patch), strict=True)
    np.testing.assert_array_equal(existing, before)


def test_a_function_gets_both_arrays_where_they_live(backend: Case) -> None:
    existing, patch = backend.array(np.array([1, 2], "uint16")), backend.array(np.array([5, 0], "uint16"))

    def twice(old: Any, new: Any) -> Any:
        assert backend.holds(old)
        assert backend.holds(new)
        return old + new + new

    assert backend.host(merge_pixels(existing, patch, twice)).tolist() == [11, 2]


def test_what_is_no_merge_or_gives_something_else_is_refused(backend: Case) -> None:
    old, new = backend.array(np.ones((2, 2), "uint16")), backend.array(np.ones((2, 2), "uint16"))
    with pytest.raises(ArgumentError, match="merge is not understood; got 'mean'; allowed: 'max', 'min', 'sum', 'keep_nonzero', a fun"):
        merge_pixels(old, new, "mean")
    with pytest.raises(ArgumentError, match=r"the merge changed the shape; got \(2,\); allowed: \(2, 2\)"):
        merge_pixels(old, new, lambda a, b: a[0, :])
    with pytest.raises(DTypeError, match="the merge changed the dtype; got uint8; allowed: uint16"):
        merge_pixels(old, new, lambda a, b: backend.array(np.ones((2, 2), "uint8")))
    if not backend.backend.is_host:
        with pytest.raises(BackendMismatchError, match="the merge gave an array that lives elsewhere; got ndarray"):
            merge_pixels(old, new, lambda a, b: np.ones((2, 2), "uint16"))
