"""Sums that combine into moments and deviations: exact, wherever the object lies."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from omexp.kernels.labels import label_runs
from omexp.kernels.reductions import Extent, Intensity, Moments, Objects

AXES = ("y", "x")


def finished(labels: np.ndarray, image: np.ndarray | None, *kinds: Any, origin: tuple[int, ...] = (0, 0)) -> dict[str, np.ndarray]:
    objects = Objects(label_runs(labels, origin=origin))
    rows = {name: column for kind in kinds for name, column in kind.block(objects, image).items()}
    return {name: column for kind in kinds for name, column in kind.finalize(rows).items()}


def test_moments_are_the_same_at_any_distance_from_the_origin():
    labels = np.random.default_rng(0).integers(0, 3, (30, 40)).astype("uint8")
    shapes = (Extent(AXES, (1, 1)), Moments(AXES))
    near, far = (finished(labels, None, *shapes, origin=(far, far)) for far in (0, 2**31))  # squares pass 64 bits there
    for name in ("moment_y_y", "moment_y_x", "moment_x_x"):
        assert near[name].tobytes() == far[name].tobytes()
        places = np.argwhere(labels == 2).T
        i, j = (AXES.index(axis) for axis in name.split("_")[1:])
        np.testing.assert_allclose(near[name][1], np.cov(places, ddof=0)[i, j], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_deviations_of_small_integers_are_exact(dtype):
    limits = np.iinfo(dtype)
    image = np.array([[limits.min, limits.max, limits.max - 1, limits.max, limits.max]], dtype)
    found = finished(np.array([[1, 1, 2, 2, 2]], "uint8"), image, Extent(AXES, (1, 1)), Intensity("c", ["std"]))
    assert [name for name in found if name.endswith("_c")] == ["std_c"]
    assert found["std_c"].tolist() == [(limits.max - limits.min) / 2, float(np.sqrt(float(Fraction(2, 3)) / 3))]


def test_only_the_wanted_columns_are_made():
    pixels = np.array([[3, 4]], "uint16")
    objects = Objects(label_runs(np.array([[1, 1]], "uint8")))
    assert list(Intensity("c", ["max"]).block(objects, pixels)) == ["max_c"]
    assert set(Intensity("c", ["mean"]).block(objects, pixels.astype("int64"))) == {"sum_c", "min_c", "max_c"}  # may pass 64 bits
