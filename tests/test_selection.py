"""Selecting by axis name: what NumPy would pick, one axis at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError, SelectionError
from omexp.geometry import Region
from omexp.kernels.axes import from_stored, to_stored
from omexp.selection import Selection, arrange, arranged_shape, inverse, select

AXES = ("t", "c", "z", "y", "x")
SIZES = st.integers(0, 7)


# -------------------------------------------------------------------------------------------------- the reference
def numpy_of(array: np.ndarray, axes: tuple[str, ...], slicing: Mapping[str, Any]) -> np.ndarray:
    """One axis after the other with NumPy's own indexing, the last one first so that an int shifts no other axis."""
    for axis in reversed(axes):
        value = slicing.get(axis)
        index = slice(None) if value is None else value
        if isinstance(index, (list, tuple)):
            index = np.asarray(index, dtype=int)
        array = array[(slice(None),) * axes.index(axis) + (index,)]
    return array


def read(array: np.ndarray, selection: Selection) -> np.ndarray:
    """As engines read: the span of each axis in contiguous boxes, then the steps."""
    widened, steps = selection.widened()
    pixels = np.full(widened.shape, -1)
    for region, place in widened.pieces():
        pixels[place] = array[region.slices]
    return pixels[steps].reshape(selection.kept_shape)


def assemble(array: np.ndarray, selection: Selection) -> np.ndarray:
    """As writers see it: every picked pixel in its place, without widening."""
    pixels = np.full(selection.shape, -1)
    for region, place in selection.pieces():
        pixels[place] = array[region.slices]
    return pixels.reshape(selection.kept_shape)


# ------------------------------------------------------------------------------------------------------ strategies
def indices(size: int) -> st.SearchStrategy[Any]:
    """Everything that `select` takes along an axis of that size."""
    bound = st.none() | st.integers(-size - 3, size + 3)
    step = st.none() | st.integers(-4, 4).filter(bool)
    slices = st.builds(slice, bound, bound, step) | st.builds(lambda a, b: slice(np.int64(a), np.int16(b)), *[st.integers(-8, 8)] * 2)
    if size == 0:
        return st.none() | slices | st.just([])
    one = st.integers(-size, size - 1)
    lists = st.lists(one, max_size=6)
    runs = st.tuples(one, one).map(lambda ends: list(range(min(ends), max(ends) + 1)))
    return st.one_of(
        st.none(),
        one,
        one.map(np.int8),
        slices,
        lists,
        lists.map(tuple),
        lists.map(lambda v: np.asarray(v, dtype="int32")),
        lists.map(lambda v: [np.int64(i) for i in v]),
        runs,
        st.just(range(size)),
    )


@st.composite
def selections(draw: st.DrawFn) -> tuple[np.ndarray, tuple[str, ...], dict[str, Any]]:
    axes = tuple(a for a in AXES if draw(st.booleans())) or ("x",)
    shape = tuple(draw(SIZES) for _ in axes)
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    return array, axes, {a: draw(indices(n)) for a, n in zip(axes, shape, strict=True) if draw(st.booleans())}


# --------------------------------------------------------------------------------------------------------- reading
@given(selections())
def test_a_selection_reads_what_numpy_indexing_gives(case: tuple[np.ndarray, tuple[str, ...], dict[str, Any]]) -> None:
    array, axes, slicing = case
    selection = select(axes, array.shape, slicing)
    expected = numpy_of(array, axes, slicing)
    np.testing.assert_array_equal(read(array, selection), expected)
    np.testing.assert_array_equal(assemble(array, selection), expected)
    assert selection.kept_shape == expected.shape
    assert selection.kept == tuple(a for a in axes if not isinstance(slicing.get(a), (int, np.integer)))


@given(selections())
def test_the_bounds_of_a_selection_are_the_smallest_box_around_it(case: tuple[np.ndarray, tuple[str, ...], dict[str, Any]]) -> None:
    array, axes, slicing = case
    selection = select(axes, array.shape, slicing)
    ends = [(min(p, default=0), max(p, default=-1) + 1) for p in map(list, selection.picks)]
    assert selection.bounds == Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    if selection.is_box:
        np.testing.assert_array_equal(array[selection.bounds.slices].reshape(selection.kept_shape), numpy_of(array, axes, slicing))


@given(selections())
def test_widening_leaves_a_box_where_only_ints_slices_and_runs_were_given(case: tuple[np.ndarray, tuple[str, ...], dict[str, Any]]) -> None:
    array, axes, slicing = case
    widened, _ = select(axes, array.shape, slicing).widened()
    ragged = [v for v in slicing.values() if isinstance(v, (list, tuple, np.ndarray))]
    assert widened.is_box or ragged
    assert all(p.step == 1 for p in widened.picks if isinstance(p, range))


@pytest.mark.parametrize(
    "value", [None, 0, -1, np.uint8(0), [0], (-1,), np.asarray([0]), slice(None), slice(0, 5), slice(-1, None), range(1)]
)
def test_a_canonical_axis_that_the_array_lacks_is_virtual_of_size_1(value: Any) -> None:
    assert select(("y", "x"), (2, 3), {"z": value, "x": 1}).kept == ("y",)


def test_axes_may_come_as_one_string() -> None:
    assert select("zyx", (2, 3, 4), {"y": 1}).kept_shape == (2, 4)
    with pytest.raises(SelectionError, match="there is no axis 'zy'"):
        select("zyx", (2, 3, 4), {"zy": 1})


def test_an_axis_of_a_custom_name_is_selected_by_it() -> None:
    assert select(("angle", "y", "x"), (5, 2, 2), {"angle": [4, 0]}).kept_shape == (2, 2, 2)


def test_a_large_box_is_described_without_listing_its_pixels() -> None:
    n = 10**15
    assert select(("y", "x"), (n, n), {"y": slice(5, None)}).bounds == Region((5, 0), (n, n))


# ---------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("slicing", "message"),
    [
        ({"y": 3}, "img: index 3 is outside axis 'y'; got 3; allowed: -3 to 2"),
        ({"y": -4}, "index -4 is outside axis 'y'"),
        ({"x": [0, 9]}, "index 9 is outside axis 'x'; got 9; allowed: -4 to 3"),
        ({"z": 1}, r"img \(no axis 'z', so its size is 1\): index 1 is outside axis 'z'"),
        ({"z": [0, 0]}, "there is no axis 'z'; got z=\\[0, 0\\]; allowed: axes y, x"),
        ({"c": slice(1, 2)}, "there is no axis 'c'"),
        ({"c": []}, "there is no axis 'c'"),
        ({"q": 0}, "there is no axis 'q'; got q=0; allowed: axes y, x"),
        ({"Y": 0}, "there is no axis 'Y'"),
        ({"y": "0"}, "axis 'y' cannot be indexed with that; got '0'; allowed: int, slice, list of ints, None"),
        ({"y": True}, "axis 'y' cannot be indexed with that; got True"),
        ({"y": np.True_}, "axis 'y' cannot be indexed with that"),
        ({"y": 1.0}, "axis 'y' cannot be indexed with that; got 1.0"),
        ({"y": [True, False, True]}, "axis 'y' cannot be indexed with that"),
        ({"y": np.asarray([True, False, True])}, "axis 'y' cannot be indexed with that"),
        ({"y": [0, 1.5]}, "axis 'y' cannot be indexed with that"),
        ({"y": np.asarray([[0], [1]])}, "axis 'y' cannot be indexed with that"),
        ({"y": ["a"]}, "axis 'y' cannot be indexed with that"),
        ({"y": object()}, "axis 'y' cannot be indexed with that"),
        ({"y": slice(0, 3, 0)}, "axis 'y' cannot be sliced with that .*zero.*allowed: integer bounds"),
        ({"y": slice(0.5, 2)}, "axis 'y' cannot be sliced with that .*Physical coordinates go into a Roi"),
    ],
)
def test_what_cannot_be_selected_is_refused_with_its_place(slicing: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        select(("y", "x"), (3, 4), slicing, where="img")


def test_a_selection_error_is_also_an_index_error_and_a_value_error() -> None:
    with pytest.raises(IndexError):
        select(("x",), (1,), {"x": 1})
    with pytest.raises(ValueError):
        select(("x",), (1,), {"x": 1})


def test_an_index_named_twice_cannot_be_written() -> None:
    selection = select(("y", "x"), (3, 4), {"x": [1, 1]})
    with pytest.raises(SelectionError, match="img: axis 'x' names an index twice; got \\[1, 1\\]. Write each index once"):
        selection.require_distinct("img")
    select(("y", "x"), (3, 4), {"x": [1, 2, 0], "y": slice(None, None, -2)}).require_distinct("img")


# ------------------------------------------------------------------------------------------------------ arrangement
@st.composite
def arranged(draw: st.DrawFn) -> tuple[Selection, np.ndarray, tuple[str, ...] | None]:
    """A selection, its pixels over the kept axes, and an order that is allowed for it."""
    array, axes, slicing = draw(selections())
    selection = select(axes, array.shape, slicing)
    needed = [a for a, n in zip(selection.axes, selection.shape, strict=True) if n != 1]
    extra = [a for a in AXES if a not in needed and draw(st.booleans())]
    order = draw(st.none() | st.permutations(needed + extra).map(tuple))
    return selection, read(array, selection), order


@given(arranged())
def test_an_order_gives_its_axes_with_size_1_where_there_is_none(case: tuple[Selection, np.ndarray, tuple[str, ...] | None]) -> None:
    selection, pixels, order = case
    arrangement = arrange(selection, order)
    result = from_stored(pixels.reshape(selection.shape), selection, arrangement)
    assert result.shape == arranged_shape(selection, arrangement)
    if order is None:
        assert arrangement.names == selection.kept
        np.testing.assert_array_equal(result, pixels)
        return
    named = dict(zip(selection.kept, pixels.shape, strict=True))
    assert result.shape == tuple(named.get(a, 1) for a in order)
    kept = [a for a in order if a in selection.kept]
    rest = [a for a in selection.kept if a not in kept]
    np.testing.assert_array_equal(result.ravel(), pixels.transpose([selection.kept.index(a) for a in [*kept, *rest]]).ravel())


@given(arranged())
def test_what_an_order_does_is_undone_for_writing(case: tuple[Selection, np.ndarray, tuple[str, ...] | None]) -> None:
    selection, pixels, order = case
    arrangement = arrange(selection, order)
    stored = pixels.reshape(selection.shape)
    back = to_stored(from_stored(stored, selection, arrangement), selection, arrangement)
    assert back.shape == selection.shape
    np.testing.assert_array_equal(back, stored)


@given(st.permutations(range(6)))
def test_an_inverse_permutation_undoes_a_permutation(order: list[int]) -> None:
    values = tuple("abcdef")
    permuted = tuple(values[i] for i in order)
    assert tuple(permuted[i] for i in inverse(order)) == values


def test_an_order_that_names_an_axis_twice_is_refused() -> None:
    with pytest.raises(ArgumentError, match="img: axes_order names an axis twice; got y, y, x"):
        arrange(select("yx", (2, 3), {}), "yyx", where="img")
    with pytest.raises(ArgumentError, match="names an axis twice; got angle, angle"):
        arrange(select(["angle"], (2,), {}), ["angle", "angle"])


def test_an_order_that_leaves_out_pixels_is_refused() -> None:
    message = "axes_order leaves out an axis that is not of size 1; got axes_order y, x; left out c; allowed: all of c, y, x. .*c=0"
    with pytest.raises(ArgumentError, match=message):
        arrange(select("cyx", (2, 2, 3), {}), "yx")
    assert arrange(select("cyx", (1, 2, 3), {}), "yx").names == ("y", "x")


def test_an_order_that_names_no_axis_is_refused() -> None:
    with pytest.raises(ArgumentError, match="axes_order names an axis that is not there; got w; allowed: y, x, t, c, z"):
        arrange(select("yx", (2, 3), {}), "yxw")
    assert arrange(select(("q", "y"), (2, 3), {"q": 0}), ("y", "q", "t")).names == ("y", "q", "t")
