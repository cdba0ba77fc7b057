"""Axes: names, types, units; what new images get and what documents may say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError
from omexp.metadata.axes import CANONICAL, Axes, Axis, default_axes, parse_axes
from omexp.metadata.problems import Problems

ZYX = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]


def parsed(value: Any) -> tuple[Axes | None, list[str], list[str]]:
    """(axes, errors, warnings)."""
    problems = Problems()
    axes = parse_axes(value, problems, "axes")
    return axes, [str(p) for p in problems.errors], [str(p) for p in problems.found if p.level == "warning"]


# ------------------------------------------------------------------------------------------------------------- new
@pytest.mark.parametrize(("ndim", "names"), [(2, "yx"), (3, "zyx"), (4, "czyx"), (5, "tczyx")])
def test_new_axes_are_the_last_of_tczyx_typed_and_with_units(ndim: int, names: str) -> None:
    axes = default_axes(ndim)
    assert axes.names == tuple(names)
    assert {a.name: (a.type, a.unit) for a in axes} == {
        n: {"t": ("time", "second"), "c": ("channel", None)}.get(n, ("space", "micrometer")) for n in names
    }


def test_new_axes_may_be_named_and_have_other_units() -> None:
    axes = default_axes(4, "tcyx", space_unit="nanometer", time_unit=None)
    assert [(a.name, a.unit) for a in axes] == [("t", None), ("c", None), ("y", "nanometer"), ("x", "nanometer")]


@pytest.mark.parametrize(
    ("ndim", "names", "message"),
    [
        (1, None, "shape: an OME-Zarr image has 2 to 5 axes; got 1 axes. Split or squeeze the array"),
        (6, None, "an OME-Zarr image has 2 to 5 axes; got 6 axes"),
        (3, "yx", "axes_names: the axis names do not fit the array; got y, x for 3 axes; allowed: one each of t, c, z, y, x"),
        (3, "yyx", "the axis names do not fit the array; got y, y, x for 3 axes"),
        (3, ("angle", "y", "x"), "the axis names do not fit the array; got angle, y, x"),
        (3, "zxc", "axes must be ordered time, channel, space, with 2 or 3 of space; got z, x, c. Transpose the array"),
        (4, "ctyx", "axes must be ordered time, channel, space"),
        (3, "tcx", "axes must be ordered time, channel, space, with 2 or 3 of space"),
    ],
)
def test_axis_names_that_do_not_fit_are_refused(ndim: int, names: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        default_axes(ndim, names)


# ------------------------------------------------------------------------------------------------------- documents
def test_axes_of_a_document_keep_their_order_units_and_unknown_keys() -> None:
    entries = [{"name": "c", "type": "channel", "orientation": {"value": "left-to-right"}}, *ZYX]
    axes, errors, warnings = parsed(entries)
    assert axes is not None
    assert (axes.names, errors, warnings) == (("c", "z", "y", "x"), [], [])
    assert axes.to_json() == entries


@given(st.permutations(CANONICAL).flatmap(lambda names: st.integers(2, 5).map(lambda n: names[:n])), st.booleans())
def test_what_is_written_is_read_back_equal(names: list[str], typed: bool) -> None:
    axes = Axes(tuple(Axis(n, "space" if typed else None, "meter" if typed else None, {"extra": n}) for n in names))
    again, errors, _ = parsed(axes.to_json())
    assert again is not None
    assert not errors
    assert parsed(again.to_json())[0] == again
    assert [(a.name, a.unit, a.extra) for a in again] == [(a.name, a.unit, a.extra) for a in axes]


def test_a_missing_type_is_taken_from_a_canonical_name() -> None:
    axes, *_ = parsed([{"name": "T"}, {"name": "channel"}, {"name": "y"}, {"name": "x", "type": "custom"}])
    assert axes is not None
    assert [a.type for a in axes] == ["time", None, "space", "custom"]


@pytest.mark.parametrize("unit", [None, ""])
def test_a_unit_that_says_nothing_is_absent(unit: Any) -> None:
    axes, errors, warnings = parsed([{"name": "y", "unit": unit}, {"name": "x", "unit": "pixel"}])
    assert axes is not None
    assert (axes.unit_of("y"), axes.unit_of("x"), axes.unit_of("z")) == (None, "pixel", None)
    assert (errors, warnings) == ([], [])
    assert "unit" not in axes.to_json()[0]


@pytest.mark.parametrize("key", ["type", "unit"])
@pytest.mark.parametrize("value", [["micrometer"], {"a": 1}, True])
def test_a_type_or_unit_that_is_no_string_is_noted_and_left_out(key: str, value: Any) -> None:
    axes, errors, warnings = parsed([{"name": "q", key: value}, {"name": "x"}])
    assert axes is not None
    assert getattr(axes.items[0], key) is None
    assert errors == []
    assert warnings == [f"axes.0.{key}: expected a string, got {value!r}"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "axes: missing; expected a list"),
        ("yx", "axes: expected a list, got 'yx'"),
        ([], "axes: empty; expected 2 to 5 axes"),
        (["y", "x"], "axes.0.name: expected an object with a name, got 'y'"),
        ([{"type": "space"}, *ZYX], "axes.0.name: expected an object with a name, got {'type': 'space'}"),
        ([{"name": ""}, *ZYX], "axes.0.name: expected an object with a name, got {'name': ''}"),
        ([{"name": 3}, *ZYX], "axes.0.name: expected an object with a name, got {'name': 3}"),
        ([ZYX[0], *ZYX], "axes: axis names are not unique: ['z', 'z', 'y', 'x']"),
    ],
)
def test_axes_that_cannot_be_used_are_none_and_an_error(value: Any, error: str) -> None:
    axes, errors, _ = parsed(value)
    assert axes is None
    assert error in errors


@pytest.mark.parametrize("count", [1, 6])
def test_another_number_of_axes_than_2_to_5_is_read_with_a_warning(count: int) -> None:
    axes, errors, warnings = parsed([{"name": f"a{i}"} for i in range(count)])
    assert axes is not None
    assert (len(axes), errors, warnings) == (count, [], [f"axes: expected 2 to 5 axes, got {count}"])


# --------------------------------------------------------------------------------------------------- canonical names
def test_axes_are_found_by_stored_and_by_canonical_name() -> None:
    axes = Axes((Axis("Time", "time"), Axis("wavelength", "channel"), Axis("Z", "space"), Axis("Y", "space"), Axis("x", "space")))
    assert axes.canonical == {"t": "Time", "c": "wavelength", "z": "Z", "y": "Y", "x": "x"}
    assert [axes.index(n) for n in ("t", "Time", "c", "z", "Z", "x", "X", "q")] == [0, 0, 1, 2, 2, 4, None, None]


def test_a_type_that_two_axes_have_names_neither() -> None:
    axes = Axes((Axis("a", "channel"), Axis("b", "channel"), Axis("y"), Axis("x")))
    assert axes.index("c") is None


def test_axes_are_dropped_by_canonical_name() -> None:
    axes = Axes((Axis("wavelength", "channel"), Axis("y"), Axis("x")))
    assert axes.without(["c", "t"]).names == ("y", "x")
    assert axes.without([]) == axes
