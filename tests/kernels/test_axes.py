"""Moving axes on every backend."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from omexp.kernels.axes import align, from_stored, to_stored
from omexp.selection import arrange, select
from tests.conftest import Case

PIXELS = np.arange(24, dtype="uint16").reshape(2, 3, 4)


@pytest.mark.parametrize("order", [None, "xyc", "zxcyt", "cyx"])
def test_what_the_caller_sees_is_moved_and_moved_back(backend: Case, order: str | None) -> None:
    selection = select("cyx", PIXELS.shape, {})
    arrangement = arrange(selection, order)
    seen = from_stored(backend.array(PIXELS), selection, arrangement)
    sizes = {"c": 2, "y": 3, "x": 4}
    expected = np.einsum("cyx->" + "".join(a for a in order or "cyx" if a in sizes), PIXELS)
    assert backend.holds(seen)
    np.testing.assert_array_equal(backend.host(seen), expected.reshape([sizes.get(a, 1) for a in order or "cyx"]))
    np.testing.assert_array_equal(backend.host(to_stored(seen, selection, arrangement)), PIXELS)


def test_an_axis_dropped_by_an_int_may_come_back_with_size_1(backend: Case) -> None:
    selection = select("cyx", PIXELS.shape, {"c": 1})
    part = backend.array(PIXELS[1:2])
    for order, shape in ((None, (3, 4)), ("yxc", (3, 4, 1)), ("cxy", (1, 4, 3))):
        arrangement = arrange(selection, order)
        seen = from_stored(part, selection, arrangement)
        assert tuple(seen.shape) == shape
        np.testing.assert_array_equal(backend.host(to_stored(seen, selection, arrangement)), PIXELS[1:2])


def test_an_array_is_aligned_to_other_axes_for_broadcasting(backend: Case) -> None:
    for have in itertools.permutations("yx"):
        plane = PIXELS[0] if have == ("y", "x") else PIXELS[0].T
        found = align(backend.array(plane), have, ("t", "y", "c", "x"))
        assert backend.holds(found)
        np.testing.assert_array_equal(backend.host(found), PIXELS[0][None, :, None, :])
