"""Scales and translations: composition, pyramids, and what a list of them may hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.metadata.problems import Problems
from omexp.metadata.transforms import ScaleTranslation, parse_transforms

NUMBERS = st.floats(-1e6, 1e6)
SCALES = st.floats(1e-3, 1e3)


@st.composite
def transforms(draw: st.DrawFn, ndim: int = 3) -> ScaleTranslation:
    return ScaleTranslation(tuple(draw(SCALES) for _ in range(ndim)), tuple(draw(NUMBERS) for _ in range(ndim)))


def apply(transform: ScaleTranslation, point: tuple[float, ...]) -> list[float]:
    return [s * p + t for s, t, p in zip(transform.scale, transform.translation, point, strict=True)]


def parsed(value: Any, ndim: int = 2, required: bool = True) -> tuple[ScaleTranslation | None, list[str], list[str]]:
    """(transform, errors, warnings)."""
    problems = Problems()
    transform = parse_transforms(value, ndim, problems, "ct", required=required)
    return transform, [str(p) for p in problems.errors], [str(p) for p in problems.found if p.level == "warning"]


def scale(*values: Any) -> dict[str, Any]:
    return {"type": "scale", "scale": list(values)}


def translation(*values: Any) -> dict[str, Any]:
    return {"type": "translation", "translation": list(values)}


# ----------------------------------------------------------------------------------------------------- composition
@given(transforms(), transforms(), st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_one_transform_after_another_is_their_composition(inner: ScaleTranslation, outer: ScaleTranslation, point: Any) -> None:
    assert apply(inner.then(outer), point) == pytest.approx(apply(outer, tuple(apply(inner, point))), rel=1e-9, abs=1e-3)


@given(transforms(), st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.integers(0, 50)] * 3))
def test_the_next_level_has_its_pixels_at_the_centres_of_their_windows(level: ScaleTranslation, factors: Any, pixel: Any) -> None:
    middle = tuple(p * f + (f - 1) / 2 for p, f in zip(pixel, factors, strict=True))
    assert apply(level.reduced(factors), pixel) == pytest.approx(apply(level, middle), rel=1e-9, abs=1e-6)


def test_two_levels_by_two_move_by_half_then_one_and_a_half_pixels() -> None:
    first = ScaleTranslation.identity(1).reduced((2,))
    assert (first, first.reduced((2,))) == (ScaleTranslation((2.0,), (0.5,)), ScaleTranslation((4.0,), (1.5,)))


@given(transforms())
def test_what_is_written_is_read_back_equal(transform: ScaleTranslation) -> None:
    written = transform.to_json()
    assert [entry["type"] for entry in written] == ["scale"] + ["translation"] * any(transform.translation)
    assert parsed(written, 3) == (transform, [], [])


def test_transforms_beyond_the_range_of_floats_are_not_usable() -> None:
    tiny, huge = ScaleTranslation((1e-300,), (0.0,)), ScaleTranslation((1e300,), (1e300,))
    assert tiny.is_usable
    assert not tiny.then(tiny).is_usable
    assert not huge.then(huge).is_usable


# ------------------------------------------------------------------------------------------------------- documents
@pytest.mark.parametrize("value", [None, []])
def test_no_transform_is_an_error_for_a_level_and_identity_for_a_multiscale(value: Any) -> None:
    assert parsed(value) == (None, ["ct: missing; expected a list with one scale"], [])
    assert parsed(value, required=False) == (ScaleTranslation.identity(2), [], [])


def test_an_identity_is_read_alone_only_at_the_multiscale() -> None:
    identity = [{"type": "identity", "input": {"name": "a"}, "output": {"name": "b"}}]
    assert parsed(identity, required=False) == (ScaleTranslation.identity(2), [], [])
    assert parsed(identity)[2] == ["ct: expected one scale, then at most one translation, got identity"]
    assert parsed([*identity, scale(2, 3)])[0] == ScaleTranslation((2, 3), (0, 0))


def test_a_scale_then_a_translation_is_what_the_text_asks_for() -> None:
    assert parsed([scale(2, 3), translation(5, 7)]) == (ScaleTranslation((2, 3), (5, 7)), [], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([scale(2, 3), scale(2, 2)], ((4, 6), (0, 0))),
        ([translation(1, 1), scale(2, 3)], ((2, 3), (2, 3))),
        ([scale(2, 3), translation(1, 1), translation(1, 0)], ((2, 3), (2, 1))),
        ([translation(1, 1)], ((1, 1), (1, 1))),
    ],
)
def test_another_order_or_number_is_composed_as_written_with_a_warning(value: Any, expected: Any) -> None:
    transform, errors, warnings = parsed(value)
    assert transform == ScaleTranslation(*expected)
    assert errors == []
    assert warnings[0].startswith("ct: expected one scale, then at most one translation, got ")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"type": "scale"}, "ct: expected a list, got {'type': 'scale'}"),
        (["scale"], "ct.0.type: expected scale or translation, got None"),
        ([{"type": "affine"}], "ct.0.type: expected scale or translation, got 'affine'"),
        ([{"type": ["scale"]}], "ct.0.type: expected scale or translation, got ['scale']"),
        ([{"type": "scale", "path": "scales"}], "ct.0.scale: expected 2 numbers, got None"),
        ([scale(1)], "ct.0.scale: expected 2 numbers, got [1]"),
        ([scale(1, "2")], "ct.0.scale: expected 2 numbers, got [1, '2']"),
        ([scale(1, True)], "ct.0.scale: expected 2 numbers, got [1, True]"),
        ([scale(1, 0)], "ct.0.scale: expected finite positive numbers, got [1, 0]"),
        ([scale(1, -2)], "ct.0.scale: expected finite positive numbers, got [1, -2]"),
        ([scale(1, math.inf)], "ct.0.scale: expected finite positive numbers, got [1, inf]"),
        ([scale(1, 1), translation(0, math.nan)], "ct.1.translation: expected finite numbers, got [0, nan]"),
    ],
)
def test_transforms_that_cannot_be_used_are_none_and_an_error(value: Any, error: str) -> None:
    assert parsed(value)[:2] == (None, [error])


def test_an_integer_beyond_all_floats_is_an_error() -> None:
    transform, errors, _ = parsed([scale(1, 10**400)])
    assert transform is None
    assert errors[0].startswith("ct.0.scale: expected finite positive numbers, got [1, 1000")
    assert len(errors[0]) < 200
