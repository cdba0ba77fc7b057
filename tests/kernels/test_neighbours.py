"""Patterns of small windows: weights that are known, sums by id on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from omexp.kernels.neighbours import euler_weights, pattern_counts, sum_by_id


@pytest.mark.parametrize("ndim", [2, 3])
def test_windows_that_hold_one_value_weigh_nothing(ndim):
    weights = euler_weights(ndim)
    assert (weights[0], weights[-1]) == (0, 0)
    assert sum(weights[1 << bit] for bit in range(2**ndim)) == 2**ndim  # one pixel is one object


@pytest.mark.parametrize(
    ("pixels", "number"),
    [
        ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], 0),
        ([[1, 0], [0, 1]], 1),  # joined at the corner
        ([[1, 0, 1]], 2),
        (np.pad(np.zeros((1, 1, 1), int), 1, constant_values=1), 2),  # a cavity
        (np.array([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]]), 0),  # a ring
    ],
)
def test_the_euler_number_counts_parts_holes_and_cavities(pixels, number):
    labels = np.pad(np.array(pixels) * 7, 3)
    ids, counts = pattern_counts(labels, ["euler"])
    assert (ids.tolist(), (counts["euler"] // 2**labels.ndim).tolist()) == ([7], [number])


def test_objects_that_touch_are_told_apart(backend):
    labels = np.pad(np.array([[1, 1, 2], [1, 3, 2], [1, 1, 2]], "uint16"), 3)
    ids, counts = pattern_counts(backend.array(labels), ["perimeter", "crofton", "euler"])
    for number, row in zip(backend.host(ids), zip(*(backend.host(c) for c in counts.values()), strict=True), strict=True):
        _, alone = pattern_counts(np.where(labels == number, labels, 0).astype("uint16"), ["perimeter", "crofton", "euler"])
        assert row == tuple(column.item() for column in alone.values())
    assert backend.holds(counts["sides"])


@pytest.mark.parametrize("ids", [[5, 3, 5, 3, 3], [2**63 + 5, 1, 2**63 + 5, 9, 1], [], [-4, -4, 127]])
def test_columns_are_summed_by_id_on_every_backend(backend, ids):
    dtype = "uint64" if max(ids, default=0) > 2**62 else "int8"
    numbers = np.arange(len(ids), dtype="int64")
    found, columns = sum_by_id(backend.array(np.array(ids, dtype)), {"n": backend.array(numbers)})
    expected = {i: sum(k for k, j in enumerate(ids) if j == i) for i in sorted(set(ids))}
    assert dict(zip(backend.host(found).tolist(), backend.host(columns["n"]).tolist(), strict=True)) == expected
    assert (backend.host(found).dtype, backend.host(columns["n"]).dtype) == (np.dtype(dtype), np.dtype("int64"))
