"""Hulls from the ends of rows: all objects at once, as many pixels as one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.kernels.hulls import convex_counts, feret_diameters, hull_columns, joined_rows, solid_counts


def rows_of(labels: np.ndarray):
    ids = np.unique(labels[labels > 0])
    places = np.argwhere(labels > 0)
    number = np.searchsorted(ids, labels[labels > 0])
    return joined_rows(number, places[:, :-1], places[:, -1], places[:, -1]), ids


def pixels_in_hull(mask: np.ndarray) -> int:
    """Slow and exact: a pixel is outside if a line through two of the points has it, and no point, on its outer side."""
    points = {(2 * y + dy, 2 * x + dx) for y, x in np.argwhere(mask).tolist() for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1))}
    inside = np.ones(mask.shape, bool)
    y, x = 2 * np.indices(mask.shape)
    for (ay, ax), (by, bx) in itertools.permutations(points, 2):
        if all((by - ay) * (px - ax) <= (bx - ax) * (py - ay) for py, px in points):
            inside &= (by - ay) * (x - ax) <= (bx - ax) * (y - ay)
    return int(inside.sum())


@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.1, 0.5]))
def test_the_pixels_in_a_hull_are_those_that_no_line_cuts_off(seed, density):
    generator = np.random.default_rng(seed)
    labels = generator.integers(1, 3, (6, 5)) * (generator.random((6, 5)) < density)
    rows, ids = rows_of(labels)
    assert convex_counts(rows, ids.size).tolist() == [pixels_in_hull(labels == number) for number in ids]


def test_a_long_diagonal_keeps_its_pixels_and_a_deep_bay_is_filled():
    bay = np.ones((300, 40), int)
    bay[1:-1, 5:] = 0
    for mask, pixels in ((np.eye(300, dtype=int), 300), (bay, bay.size)):
        rows, _ = rows_of(mask)
        assert convex_counts(rows, 1).tolist() == [pixels]


def test_the_largest_distance_is_between_the_middles_of_sides():
    rows, _ = rows_of(np.array([[1, 1, 1, 1], [0, 0, 0, 0], [2, 0, 0, 2]]))
    np.testing.assert_allclose(feret_diameters(rows, 2, (1.0, 1.0)), 4.0)
    np.testing.assert_allclose(feret_diameters(rows, 2, (1.0, 0.5)), 2.0)


def test_flat_bodies_have_no_hull_and_boxes_fill_theirs():
    labels = np.zeros((6, 6, 6), int)
    labels[1:4, 1:5, 2:6] = 3
    labels[5, :, :] = 9
    rows, ids = rows_of(labels)
    found = solid_counts(rows, ids.size)
    assert found[0] == 3 * 4 * 4
    assert np.isnan(found[1])


@pytest.mark.parametrize("axes", [1, 2])
def test_without_objects_the_columns_are_empty(axes):
    none = np.zeros(0, int)
    columns = hull_columns(none, none, [none] * axes, none, none, feret=(1.0, 1.0) if axes == 1 else None)
    assert {name: column.shape for name, column in columns.items()} == {name: (0,) for name in columns}
    assert "convex" in columns
