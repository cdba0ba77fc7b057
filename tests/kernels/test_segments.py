"""Folds of segments: one fixed order, the same bits everywhere."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.kernels import _host_labels
from omexp.kernels.segments import Segments, fold_columns, fold_segments, group_equal, spread_segments
from tests.reference_labels import fold

lengths_of_segments = st.lists(st.integers(1, 40), min_size=0, max_size=12)
python_op = {"add": operator.add, "minimum": min, "maximum": max}


def heads_of(lengths: list[int]) -> np.ndarray:
    heads = np.zeros(sum(lengths), bool)
    heads[np.cumsum([0, *lengths[:-1]], dtype=int)[: len(lengths)]] = True
    return heads


def rows_of(values: np.ndarray, lengths: list[int]) -> list[list]:
    return [row.tolist() for row in np.split(values, np.cumsum(lengths)[:-1])] if lengths else []


@given(lengths=lengths_of_segments)
def test_starts_lengths_and_index_describe_the_segments(backend, lengths):
    segments = Segments(backend.array(heads_of(lengths)))
    assert backend.host(segments.lengths).tolist() == lengths
    assert backend.host(segments.starts).tolist() == np.cumsum([0, *lengths])[:-1].tolist()
    assert backend.host(segments.index).tolist() == np.repeat(np.arange(len(lengths)), lengths).tolist()


@given(lengths=lengths_of_segments, op=st.sampled_from(["add", "minimum", "maximum"]), dtype=st.sampled_from(["uint8", "int64", "uint64"]))
def test_a_fold_of_integers_equals_a_loop(backend, lengths, op, dtype):
    values = np.random.default_rng(len(lengths)).integers(0, 4, sum(lengths)).astype(dtype)
    folded = fold_segments(backend.array(values), Segments(backend.array(heads_of(lengths))), op)
    assert backend.holds(folded)
    assert backend.host(folded).dtype == dtype
    assert backend.host(folded).tolist() == [fold(row, python_op[op]) for row in rows_of(values, lengths)]


@given(lengths=lengths_of_segments, seed=st.integers(0, 2**32 - 1))
def test_a_float_sum_has_the_bits_of_the_pairwise_loop(backend, lengths, seed):
    if not backend.supports("float64"):
        pytest.skip("this device has no float64")
    generator = np.random.default_rng(seed)
    values = generator.normal(size=sum(lengths)) * 10.0 ** generator.integers(-20, 20, sum(lengths))
    folded = fold_segments(backend.array(values), Segments(backend.array(heads_of(lengths))), "add")
    assert backend.host(folded).tobytes() == np.array([fold(row, operator.add) for row in rows_of(values, lengths)], "f8").tobytes()


@given(
    lengths=lengths_of_segments, op=st.sampled_from(["add", "minimum", "maximum"]), dtype=st.sampled_from(["uint16", "int64", "float64"])
)
def test_the_numpy_body_has_the_bits_of_the_portable_one(lengths, op, dtype):
    values = (np.random.default_rng(len(lengths)).normal(size=sum(lengths)) * 100).astype(dtype)
    segments = Segments(heads_of(lengths))
    portable = fold_columns({"v": values}, segments, lambda a, b: {"v": getattr(np, op)(a["v"], b["v"])})["v"]
    fast = _host_labels.fold_segments(values, segments, op)
    assert fast.dtype == portable.dtype
    assert fast.tobytes() == portable.tobytes()
    assert _host_labels.spread_segments(portable, segments).tobytes() == portable[segments.index].tobytes()


def test_a_segment_keeps_a_negative_zero_and_the_sum_of_a_row_does_not_depend_on_its_neighbours():
    row = np.array([-0.0, 0.1, 0.2, 1e16, -1e16, 0.3, 0.7, 0.1, 0.2, 0.3, 0.1])
    alone = _host_labels.fold_segments(row, Segments(heads_of([len(row)])), "add")
    beside = _host_labels.fold_segments(np.concatenate([[-0.0], row, row[:3]]), Segments(heads_of([1, len(row), 3])), "add")
    assert beside[1] == alone[0]
    assert np.signbit(beside[0])


def test_a_nan_makes_its_own_segment_nan_and_no_other(backend):
    segments = Segments(backend.array(heads_of([3, 2])))
    values = backend.array(np.array([1, np.nan, 3, 4, 5], "float32"))
    for op, second in (("add", 9), ("minimum", 4), ("maximum", 5)):
        first, last = backend.host(fold_segments(values, segments, op))
        assert np.isnan(first)
        assert last == second


def test_columns_fold_together_and_the_input_stays(backend):
    heads, count = backend.array(heads_of([5, 1, 2])), backend.array(np.arange(8))
    folded = fold_columns({"n": count, "top": count}, Segments(heads), lambda a, b: {"n": a["n"] + b["n"], "top": b["top"]})
    assert backend.host(folded["n"]).tolist() == [10, 5, 13]
    assert backend.host(folded["top"]).tolist() == [4, 5, 7]
    assert backend.host(count).tolist() == list(range(8))


@given(lengths=lengths_of_segments)
def test_spreading_repeats_each_value_over_its_segment(backend, lengths):
    values = np.arange(len(lengths)) * 3
    spread = spread_segments(backend.array(values), Segments(backend.array(heads_of(lengths))))
    assert backend.host(spread).tolist() == np.repeat(values, lengths).tolist()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64", "uint64"])
def test_grouping_brings_equal_ids_together_in_their_old_order(backend, dtype):
    ids = np.array([5, 1, 0, 5, 1, 1, 7]).astype(dtype)
    order, segments, distinct = group_equal(backend.array(ids))
    expected = np.unique(ids)
    assert backend.host(distinct).tolist() == expected.tolist()
    assert backend.host(order).tolist() == np.argsort(ids, kind="stable").tolist()
    assert backend.host(segments.lengths).tolist() == [(ids == value).sum() for value in expected]
