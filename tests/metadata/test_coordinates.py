"""Transformations of 0.6: what each does to points, there and back, and that a document keeps its words."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError, NameNotFoundError
from omexp.metadata.coordinates import Kept, Transformation, parse_transformation
from omexp.metadata.matrices import applied, composed, diagonal, identity_matrix, inverted
from omexp.metadata.multiscale import Multiscale, parse_multiscale
from omexp.metadata.problems import Problems

NUMBERS = st.floats(-100, 100).map(lambda v: round(v, 3))
SCALES = st.floats(0.01, 100)
COS, SIN = math.cos(0.3), math.sin(0.3)

Point = tuple[float, ...]


def by_hand(document: dict[str, Any], point: Point) -> Point:
    """What the text says a transformation does to a point, kind by kind."""
    kind = document["type"]
    if kind == "scale":
        return tuple(s * p for s, p in zip(document["scale"], point, strict=True))
    if kind == "translation":
        return tuple(t + p for t, p in zip(document["translation"], point, strict=True))
    if kind == "mapAxis":
        return tuple(point[a] for a in document["mapAxis"])
    if kind in ("affine", "rotation"):
        return tuple(sum(a * b for a, b in zip(row, (*point, 1.0), strict=False)) for row in document[kind])
    if kind == "sequence":
        for step in document["transformations"]:
            point = by_hand(step, point)
        return point
    if kind == "byDimension":
        found: dict[int, float] = {}
        for part in document["transformations"]:
            values = by_hand(part["transformation"], tuple(point[i] for i in part["inputAxes"]))
            found |= dict(zip(part["outputAxes"], values, strict=True))
        return tuple(found[i] for i in sorted(found))
    assert kind == "identity"
    return point


@st.composite
def documents(draw: st.DrawFn, ndim: int, depth: int = 2) -> dict[str, Any]:
    """Any transformation of `ndim` coordinates to as many that has an inverse."""
    kinds = ["identity", "scale", "translation", "mapAxis", "affine", *(["rotation"] if ndim == 2 else [])]
    kinds += ["sequence", "byDimension"] if depth else []
    kind = draw(st.sampled_from(kinds if ndim > 1 else ["identity", "scale", "translation"]))
    found: dict[str, Any] = {"type": kind} | draw(st.sampled_from([{}, {"name": "n"}, {"note": [1, None]}]))
    if kind == "scale":
        return found | {"scale": [draw(SCALES) for _ in range(ndim)]}
    if kind == "translation":
        return found | {"translation": [draw(NUMBERS) for _ in range(ndim)]}
    if kind == "mapAxis":
        return found | {"mapAxis": draw(st.permutations(range(ndim)))}
    if kind == "affine":  # a triangle with ones: it has an inverse
        return found | {"affine": [[0.0] * i + [1.0] + [draw(NUMBERS) for _ in range(ndim - i)] for i in range(ndim)]}
    if kind == "rotation":
        return found | {"rotation": [[COS, -SIN], [SIN, COS]]}
    if kind == "sequence":
        return found | {"transformations": [draw(documents(ndim, depth - 1)) for _ in range(draw(st.integers(1, 3)))]}
    if kind == "byDimension":
        first, second = draw(st.permutations(range(ndim))), draw(st.permutations(range(ndim)))
        cut = draw(st.integers(1, ndim - 1))
        parts = [(first[:cut], second[:cut]), (first[cut:], second[cut:])]
        inner = [draw(documents(len(a), depth - 1)) for a, _ in parts]
        steps = [{"transformation": t, "inputAxes": a, "outputAxes": b} for t, (a, b) in zip(inner, parts, strict=True)]
        return found | {"transformations": steps}
    return found


def parsed(document: Any, ndim: int | None = 2) -> tuple[Transformation, list[str]]:
    problems = Problems(version="0.6", checking=True)
    return parse_transformation(document, ndim, problems, "t"), [str(p) for p in problems.found]


CASES = st.integers(1, 4).flatmap(lambda n: st.tuples(documents(n), st.tuples(*[NUMBERS] * n)))


@given(CASES)
def test_a_transformation_does_to_a_point_what_the_text_says(case: tuple[dict[str, Any], Point]) -> None:
    document, point = case
    found, problems = parsed(document, len(point))
    assert problems == []
    matrix = found.matrix(len(point))
    assert matrix is not None
    assert applied(matrix, [point])[0] == pytest.approx(by_hand(document, point), rel=1e-6, abs=1e-3)


@given(CASES)
def test_a_transformation_and_its_inverse_lead_back(case: tuple[dict[str, Any], Point]) -> None:
    document, point = case
    matrix = parsed(document, len(point))[0].matrix(len(point))
    assert matrix is not None
    back = inverted(matrix)
    assert back is not None
    size = max(1.0, *(abs(v) for row in matrix for v in row)) * max(1.0, *(abs(v) for row in back for v in row))
    assert applied(back, applied(matrix, [point]))[0] == pytest.approx(point, abs=1e-9 * size * 100 + 1e-9)


@given(CASES)
def test_a_transformation_is_written_as_it_was_read(case: tuple[dict[str, Any], Point]) -> None:
    assert parsed(case[0], len(case[1]))[0].to_json() == case[0]


def test_one_map_after_another_is_their_composition() -> None:
    first, then = diagonal((2.0, 3.0), (1.0, 0.0)), ((0.0, 1.0, 5.0), (1.0, 0.0, 0.0))
    point = (4.0, 7.0)
    assert applied(composed(first, then), [point]) == applied(then, applied(first, [point])) == [(26.0, 9.0)]
    assert composed(identity_matrix(2), then) == then


def test_what_has_no_inverse_has_none() -> None:
    assert inverted(((1.0, 2.0, 0.0), (2.0, 4.0, 0.0))) is None
    assert inverted(((1.0, 2.0, 0.0),)) is None


KEPT = [
    {"type": "displacements", "path": "field", "interpolation": "cubic"},
    {"type": "coordinates", "path": "field"},
    {"type": "bijection", "forward": {"type": "identity"}, "inverse": {"type": "identity"}},
    {"type": "projectAxis", "createdOutputs": [0, 1]},
    {"type": "affine", "path": "matrix"},
    {"type": "rotation", "path": "matrix"},
]


@pytest.mark.parametrize("document", KEPT, ids=lambda d: d["type"])
def test_other_transformations_are_kept_and_not_applied(document: dict[str, Any]) -> None:
    found, problems = parsed(document)
    assert (found, problems, found.matrix(2), found.to_json()) == (Kept(document), [], None, document)


@pytest.mark.parametrize(
    "document",
    [
        None, "scale", {}, {"type": "warp"}, {"type": ["scale"]}, {"type": "scale"}, {"type": "scale", "scale": [1, 0]},
        {"type": "scale", "path": "p"}, {"type": "translation", "translation": ["1", 2]}, {"type": "mapAxis", "mapAxis": [0, 0]},
        {"type": "mapAxis", "mapAxis": [0, 2]}, {"type": "mapAxis", "mapAxis": [0.5, 1]}, {"type": "mapAxis", "mapAxis": {"x": "y"}},
        {"type": "affine"}, {"type": "affine", "affine": []}, {"type": "affine", "affine": [[1, 0], [0]]},
        {"type": "rotation", "rotation": [[1, 0, 0], [0, 1, 0]]}, {"type": "sequence"}, {"type": "sequence", "transformations": []},
        {"type": "sequence", "transformations": [{"type": "warp"}]}, {"type": "byDimension", "transformations": [{"type": "scale"}]},
        {"type": "byDimension", "transformations": [{"transformation": {"type": "identity"}, "inputAxes": ["y"], "outputAxes": ["y"]}]},
        {"type": "projectAxis"}, {"type": "projectAxis", "droppedInputs": [1, 1]}, {"type": "projectAxis", "droppedInputs": [5]},
        {"type": "bijection", "forward": {"type": "scale"}}, {"type": "displacements"},
        {"type": "displacements", "path": "p", "interpolation": "sinc"}, {"type": "coordinates", "path": 3},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_transformation_is_a_problem_and_kept_as_it_is(document: Any) -> None:
    found, problems = parsed(document)
    assert problems
    assert found.to_json() == document


@pytest.mark.parametrize(
    "document",
    [
        {"type": "scale", "scale": [1, 2, 3]},
        {"type": "affine", "affine": [[1, 2], [3, 4]]},
        {"type": "mapAxis", "mapAxis": [0, 2, 1]},
        {"type": "byDimension", "transformations": [{"transformation": {"type": "identity"}, "inputAxes": [0, 3], "outputAxes": [0, 1]}]},
        {"type": "byDimension", "transformations": [{"transformation": {"type": "identity"}, "inputAxes": [0], "outputAxes": [1]}]},
    ],
    ids=str,
)
def test_parameters_for_another_number_of_axes_are_a_problem(document: dict[str, Any]) -> None:
    found, problems = parsed(document)
    assert problems == ["t: its parameters do not fit 2 axes"]
    assert found.matrix(2) is None


def test_transformations_in_transformations_without_end_are_kept() -> None:
    deep: Any = {"type": "identity"}
    for _ in range(500):
        deep = {"type": "sequence", "transformations": [deep]}
    found, problems = parsed(deep)
    assert problems
    assert found.matrix(2) is None


# -------------------------------------------------------------------------------------------------------- systems
def image(*links: dict[str, Any], first: str = "physical", **level: Any) -> tuple[Multiscale, list[str]]:
    names = ["physical", "turned", "far"]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    systems = [{"name": n, "axes": axes, "note": n} for n in sorted(names, key=lambda n: n != first)]
    ends = {"input": {"path": "0"}, "output": {"name": "physical"}}
    own = {"type": "sequence", "transformations": [{"type": "scale", "scale": [2, 3]}, {"type": "translation", "translation": [1, 0]}]}
    datasets = [{"path": "0", "coordinateTransformations": [(level or own) | ends], "note": 1}]
    document = {"coordinateSystems": systems, "datasets": datasets} | ({"coordinateTransformations": list(links)} if links else {})
    problems = Problems(version="0.6")
    found = parse_multiscale(document, problems, "m", "systems")
    assert found is not None, problems.found
    assert found.to_json_in_systems() == document
    return found, [str(p) for p in problems.found]


def link(start: str, end: str, **transform: Any) -> dict[str, Any]:
    return transform | {"input": {"name": start}, "output": {"name": end}}


TURN = {"type": "rotation", "rotation": [[0, 1], [-1, 0]]}


@pytest.mark.parametrize("first", ["physical", "turned", "far"])
def test_points_go_from_pixels_to_any_system_and_back(first: str) -> None:
    found, problems = image(
        link("physical", "turned", **TURN), link("far", "physical", type="translation", translation=[100, 0]), first=first
    )
    assert (problems, found.systems[0], found.frame.name) == ([], first, "physical")
    for system, expected in ((None, (21.0, 6.0)), ("physical", (21.0, 6.0)), ("turned", (6.0, -21.0)), ("far", (-79.0, 6.0))):
        assert found.to_physical([(10, 2)], "0", system) == [expected]
        assert found.to_pixels([expected], "0", system) == [pytest.approx((10, 2))]


def test_a_system_that_nothing_leads_to_is_named() -> None:
    found, problems = image(link("physical", "turned", type="displacements", path="field"))
    assert problems == ["m.coordinateTransformations.0: a 'displacements' transformation is kept, and not applied"]
    with pytest.raises(ArgumentError, match="no transforms that can be applied lead to that coordinate system; got 'turned'"):
        found.to_physical([(0, 0)], "0", "turned")
    with pytest.raises(NameNotFoundError, match="there is no such coordinate system; got 'home'; allowed: physical, turned, far"):
        found.to_pixels([(0, 0)], "0", "home")
    with pytest.raises(NameNotFoundError, match="there is no such level; got '1'; allowed: 0"):
        found.to_physical([(0, 0)], "1")


def test_a_level_that_is_turned_shows_its_diagonal_and_maps_its_points_wholly() -> None:
    found, problems = image(type="affine", affine=[[2, 1, 5], [0, 3, 7]])
    assert problems == ["m.datasets.0.coordinateTransformations.0: expected identity, scale, or scale and translation, got 'affine'"]
    assert (found.datasets[0].transform.scale, found.datasets[0].transform.translation) == ((2.0, 3.0), (5.0, 7.0))
    assert found.to_physical([(1, 1)], "0") == [(8.0, 10.0)]
    assert found.to_pixels([(8, 10)], "0") == [(1.0, 1.0)]


def test_early_tags_wrote_bare_names_for_ends() -> None:
    axes = [{"name": n, "type": "space"} for n in "yx"]
    level = {"type": "scale", "scale": [2, 3], "input": "0", "output": "physical"}
    document = {
        "coordinateSystems": [{"name": "physical", "axes": axes}],
        "datasets": [{"path": "0", "coordinateTransformations": [level]}],
    }
    problems = Problems(version="0.6")
    found = parse_multiscale(document, problems, "m", "systems")
    assert found is not None
    assert (problems.found, found.datasets[0].transform.scale) == ([], (2.0, 3.0))
    written = found.to_json_in_systems()["datasets"][0]["coordinateTransformations"][0]
    assert written == level | {"input": {"path": "0"}, "output": {"name": "physical"}}
