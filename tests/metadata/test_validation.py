"""Validation: for every rule a document that keeps it and one that breaks it, at the level that the specification gives it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from omexp.metadata.problems import Problems
from omexp.metadata.rules import FAMILIES, RULES, STORE_RULES
from omexp.metadata.validation import check_document, is_valid

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.9.dev1")


# ------------------------------------------------------------------------------------------------ documents without a fault
def wrapped(version: str, sections: dict[str, Any]) -> dict[str, Any]:
    return {"ome": {"version": version} | sections} if version >= "0.5" else sections


def block(version: str, **keys: Any) -> dict[str, Any]:
    return keys | ({"version": version} if version < "0.6" else {})


def level(version: str, i: int) -> dict[str, Any]:
    scale, path = {"type": "scale", "scale": [1, 2**i, 2**i]}, {"path": str(i)}
    if version < "0.4":
        return path
    if version < "0.6":
        return path | {"coordinateTransformations": [scale, {"type": "translation", "translation": [0, 0.5 * i, 0.5 * i]}]}
    ends = {"input": {"path": str(i)}, "output": {"name": "physical"}}
    return path | {"coordinateTransformations": [scale | ends]}


def multiscale(version: str) -> dict[str, Any]:
    entry = {"name": "img", "type": "mean", "metadata": {"method": "m"}, "datasets": [level(version, 0), level(version, 1)]}
    if version < "0.5":
        entry |= {"version": version}
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    if version == "0.3":
        return entry | {"axes": ["c", "y", "x"]}
    if version in ("0.4", "0.5"):
        return entry | {"axes": axes}
    if version < "0.3":
        return entry
    turned = {"type": "identity", "input": {"name": "physical"}, "output": {"name": "world"}}
    return entry | {"coordinateSystems": [{"name": n, "axes": axes} for n in ("physical", "world")], "coordinateTransformations": [turned]}


def sound(kind: str, version: str) -> dict[str, Any]:
    """A document that keeps every MUST and every SHOULD."""
    window = {"min": 0, "max": 255, "start": 0, "end": 9}
    omero = {"channels": [{"label": "a", "color": "00FF00", "active": True, "window": window}]}
    if kind == "image":
        return wrapped(version, {"multiscales": [multiscale(version)], "omero": omero})
    if kind == "label":
        label = {"colors": [{"label-value": 1, "rgba": [0, 0, 0, 255]}], "properties": [{"label-value": 1}], "source": {"image": "../../"}}
        return wrapped(version, {"multiscales": [multiscale(version)], "image-label": block(version, **label)})
    if kind == "plate":
        wells = [{"path": "A/1"} | ({} if version < "0.4" else {"rowIndex": 0, "columnIndex": 0})]
        run = {"id": 0, "name": "r", "maximumfieldcount": 1, "starttime": 1, "endtime": 2}
        names = {"rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}]}
        return wrapped(version, {"plate": block(version, name="P", field_count=1, wells=wells, acquisitions=[run], **names)})
    if kind == "well":
        return wrapped(version, {"well": block(version, images=[{"path": "0", "acquisition": 0}])})
    others = {"labels": {"labels": ["a"]}, "layout": {"bioformats2raw.layout": 3}, "series": {"series": ["0", "1"]}}
    if kind in others:
        return wrapped(version, others[kind])
    system = {"name": "world", "axes": [{"name": n, "type": "space", "unit": "meter"} for n in "yx"]}
    link = {"type": "translation", "translation": [1, 2], "input": {"path": "a", "name": "physical"}, "output": {"name": "world"}}
    return wrapped(version, {"scene": {"coordinateSystems": [system], "coordinateTransformations": [link]}})


KINDS = {version: ("image", "label", "plate", "well", "labels", "layout", "series") for version in VERSIONS}
SOUND = [(kind, v) for v in VERSIONS for kind in KINDS[v]] + [("scene", "0.6"), ("scene", "0.9.dev1")]


def family(version: str) -> str:
    return version.removesuffix(".dev1")


@pytest.mark.parametrize(("kind", "version"), SOUND)
def test_a_sound_document_has_no_problem(kind: str, version: str) -> None:
    problems = check_document(sound(kind, version), version=family(version))
    expected = {"version-released"} if version.endswith("dev1") else set()
    assert {problem.rule for problem in problems} == expected
    assert is_valid(problems)
    assert is_valid(problems, strict=True) == (not expected)


# ------------------------------------------------------------------------------------------------------- how each rule is broken
def put(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The document with another value at a place such as "multiscales/0/name"; ... removes it."""
    changed = copy.deepcopy(document)
    here: Any = changed.get("ome", changed)
    *path, last = [int(p) if p.lstrip("-").isdigit() else p.replace("|", "/") for p in place.split("/")]
    for key in path:
        here = here[key]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return changed


MS, DS, OM = "multiscales/0", "multiscales/0/datasets", "omero/channels/0"
CT = f"{DS}/0/coordinateTransformations"
SY = f"{MS}/coordinateSystems"
AX = f"{MS}/axes"
SCALE, MOVE = {"type": "scale", "scale": [1, 1, 1]}, {"type": "translation", "translation": [0, 0, 0]}
ENDS = {"input": {"path": "0"}, "output": {"name": "physical"}}
LINK = {"input": {"name": "physical"}, "output": {"name": "world"}}
SPACE = [{"name": n, "type": "space", "unit": "meter"} for n in "zyx"]
ANATOMY = {"type": "anatomical", "value": "left-to-right"}
Y, X = ({"name": n, "type": "space", "unit": "meter"} for n in "yx")

# rule -> (kind of document, version, place, value there)
BROKEN: dict[str, list[tuple[str, str, str, Any]]] = {
    "object": [("image", "0.5", MS, 5), ("plate", "0.4", "plate", []), ("scene", "0.6", "scene", [])],
    "list": [("image", "0.5", "multiscales", {}), ("image", "0.4", AX, ...), ("image", "0.1", DS, ...), ("plate", "0.4", "plate/rows", ...),
             ("well", "0.5", "well/images", ...)],
    "string": [("image", "0.5", f"{MS}/name", ["a"])],
    "string-number": [("image", "0.5", f"{MS}/name", 5), ("image", "0.4", f"{DS}/0/path", 0), ("well", "0.4", "well/images/0/path", 0)],
    "null": [("image", "0.5", f"{AX}/1/unit", None), ("image", "0.4", f"{OM}/label", None), ("label", "0.5", "image-label/source", None),
             ("plate", "0.5", "plate/acquisitions", None), ("well", "0.6", "well/images/0/acquisition", None)],
    "known-kind": [("well", "0.5", "well", ...), ("image", "0.5", "multiscales", ...)],
    "version-known": [("image", "0.5", "version", "9.9"), ("image", "0.4", f"{MS}/version", "foo")],
    "version-released": [("image", "0.6", "version", "0.6rc0"), ("image", "0.4", f"{MS}/version", "0.4-dev-spatialdata")],
    "version-missing": [("image", "0.5", "version", ...), ("image", "0.6", "version", ...)],
    "version-multiscales": [("image", "0.4", f"{MS}/version", ...)],
    "version-well": [("well", "0.4", "well/version", ...), ("well", "0.5", "well/version", ...)],
    "version-plate": [("plate", "0.4", "plate/version", ...), ("plate", "0.5", "plate/version", ...)],
    "version-same": [("plate", "0.5", "plate/version", "0.4"), ("label", "0.4", "image-label/version", "0.3")],
    "multiscales-empty": [("image", v, "multiscales", []) for v in ("0.4", "0.6")],
    "multiscale-name": [("image", v, f"{MS}/name", ...) for v in ("0.1", "0.6")],
    "multiscale-type": [("image", "0.4", f"{MS}/type", ...)],
    "multiscale-metadata": [("image", "0.5", f"{MS}/metadata", ...)],
    "multiscale-metadata-object": [("image", "0.5", f"{MS}/metadata", "mean")],
    "axis-name": [("image", "0.5", f"{AX}/0/name", ...), ("image", "0.6", f"{SY}/0/axes/0/name", "")],
    "axis-name-unique": [("image", "0.4", f"{AX}/1/name", "x"), ("image", "0.6", f"{SY}/1/axes/1/name", "x")],
    "axis-name-known": [("image", "0.3", f"{AX}/0", "q")],
    "axis-string": [("image", "0.3", f"{AX}/0", {"name": "c"})],
    "axes-empty": [("image", "0.4", AX, [])],
    "axes-count": [("image", "0.5", AX, [X]), ("image", "0.4", AX, [{"name": n} for n in "abcdef"])],
    "axes-most": [("image", "0.5", AX, [{"name": f"a{i}"} for i in range(65)])],
    "axes-space": [("image", "0.5", f"{AX}/1/type", "custom"), ("image", "0.6", f"{SY}/0/axes/1/type", ...),
                   ("image", "0.5", f"{AX}/1/type", ""), ("image", "0.4", AX, [{"name": "w", "type": "space"}, *SPACE])],
    "axes-time": [("image", "0.5", AX, [{"name": n, "type": "time", "unit": "second"} for n in "tu"] + [Y, X])],
    "axes-channel": [("image", "0.5", AX, [{"name": "c", "type": "channel"}, {"name": "angle", "type": "angle"}, Y, X])],
    "axes-order": [("image", "0.4", AX, [Y, X, {"name": "c", "type": "channel"}]), ("image", "0.3", AX, ["y", "x", "c"])],
    "axes-zyx": [("image", "0.5", AX, [SPACE[0], X, Y]), ("image", "0.3", AX, ["c", "x", "y"])],
    "axis-type": [("image", "0.5", f"{AX}/0/type", ...)],
    "axis-unit": [("image", "0.5", f"{AX}/1/unit", ...)],
    "axis-unit-known": [("image", "0.5", f"{AX}/1/unit", "pixel"), ("image", "0.5", f"{AX}/1/unit", "second")],
    "axis-discrete": [("image", "0.6", f"{SY}/0/axes/0/discrete", "no")],
    "orientation-space": [("image", "0.5", f"{AX}/0/orientation", ANATOMY)],
    "orientation-value": [("image", "0.6", f"{SY}/0/axes/1/orientation", {"type": "anatomical", "value": "up-to-down"})],
    "orientation-unique": [("image", "0.5", AX, [Y | {"orientation": ANATOMY}, X | {"orientation": ANATOMY | {"value": "right-to-left"}}])],
    "datasets-empty": [("image", v, DS, []) for v in VERSIONS],
    "datasets-order": [("image", "0.5", DS, [level("0.5", 1), level("0.5", 0)]), ("image", "0.6", DS, [level("0.6", 1), level("0.6", 0)])],
    "dataset-path": [("image", v, f"{DS}/1/path", ...) for v in VERSIONS] + [("image", "0.5", f"{DS}/1/path", True)],
    "dataset-path-inside": [("image", "0.5", f"{DS}/1/path", "../other/0")],
    "dataset-path-unique": [("image", "0.4", f"{DS}/1/path", "0")],
    "transforms-missing": [("image", "0.4", CT, ...), ("image", "0.5", CT, []), ("image", "0.6", CT, ...)],
    "transforms-order": [("image", "0.5", CT, [MOVE, SCALE]), ("image", "0.4", CT, [SCALE, SCALE]), ("image", "0.4", CT, [MOVE]),
                         ("image", "0.5", CT, [SCALE, MOVE, MOVE]), ("image", "0.5", f"{MS}/coordinateTransformations", [MOVE])],
    "transforms-empty": [("image", "0.5", f"{MS}/coordinateTransformations", []), ("image", "0.6", f"{MS}/coordinateTransformations", [])],
    "transform-identity": [("image", "0.5", f"{MS}/coordinateTransformations", [{"type": "identity"}])],
    "transform-type": [("image", "0.5", CT, [{"type": "affine"}])],
    "transform-vector": [("image", "0.5", f"{CT}/0/scale", [1, 1]), ("image", "0.4", f"{CT}/1/translation", ["0", 0, 0]),
                         ("image", "0.5", f"{CT}/0/scale", [1, 0, 1]), ("image", "0.6", f"{CT}/0/scale", [1, 1])],
    "transform-range": [("image", "0.5", f"{MS}/coordinateTransformations", [{"type": "scale", "scale": [1e308] * 3}])],
    "systems-missing": [("image", "0.6", SY, ...), ("image", "0.6", SY, [])],
    "system-name": [("image", "0.6", f"{SY}/0/name", ...)],
    "system-name-unique": [("image", "0.6", f"{SY}/1/name", "physical")],
    "level-transform": [("image", "0.6", CT, [SCALE | ENDS] * 2), ("image", "0.6", CT, [MOVE | ENDS]),
                        ("image", "0.6", CT, [{"type": "sequence", "transformations": [MOVE, SCALE]} | ENDS])],
    "level-input": [("image", "0.6", f"{CT}/0/input/path", "1"), ("image", "0.6", f"{CT}/0/input", {"name": "0"})],
    "level-output": [("image", "0.6", f"{CT}/0/output/name", "nowhere"),
                     ("image", "0.6", f"{DS}/1/coordinateTransformations/0/output/name", "world")],
    "transform-ends": [("image", "0.6", f"{MS}/coordinateTransformations/0/input", "physical"), ("image", "0.6", f"{CT}/0/input", "0"),
                       ("scene", "0.6", "scene/coordinateTransformations/0/output", ...)],
    "transform-system": [("image", "0.6", f"{MS}/coordinateTransformations/0/output/name", "nowhere"),
                         ("scene", "0.6", "scene/coordinateTransformations/0/output/name", "nowhere")],
    "transform-intrinsic": [("image", "0.6", f"{MS}/coordinateTransformations/0/input/name", "world")],
    "transform-graph": [("image", "0.6", f"{MS}/coordinateTransformations/0/input/name", "world")],
    "transform-known": [("image", "0.6", f"{MS}/coordinateTransformations", [{"type": "warp"} | LINK]),
                        ("image", "0.6", f"{MS}/coordinateTransformations", [{"type": "affine"} | LINK]),
                        ("scene", "0.6", "scene/coordinateTransformations/0/type", "affine")],
    "scene-transforms": [("scene", "0.6", "scene/coordinateTransformations", ...)],
    "omero-channels": [("image", "0.5", "omero", 5), ("image", "0.4", "omero/channels", ...)],
    "omero-channel": [("image", "0.5", OM, "red")],
    "omero-color": [("image", v, f"{OM}/color", ...) for v in ("0.4", "0.5", "0.6")],
    "omero-color-hex": [("image", v, f"{OM}/color", "red") for v in VERSIONS],
    "omero-color-hash": [("image", "0.5", f"{OM}/color", "#00FF00")],
    "omero-window": [("image", v, f"{OM}/window", ...) for v in ("0.4", "0.6")] + [("image", "0.5", f"{OM}/window/min", ...)],
    "omero-window-ends": [("image", "0.9.dev1", f"{OM}/window/start", ...)],
    "omero-window-numbers": [("image", "0.5", f"{OM}/window", [0, 1])],
    "omero-window-text": [("image", "0.5", f"{OM}/window/end", "100"), ("image", "0.5", f"{OM}/window/end", True)],
    "omero-active": [("image", "0.5", f"{OM}/active", "yes"), ("image", "0.9.dev1", f"{OM}/inverted", 1)],
    "label-block": [("label", "0.5", "image-label", 5)],
    "label-source": [("label", "0.5", "image-label/source", "../../")],
    "label-list": [("label", "0.5", "image-label/colors", {}), ("label", "0.4", "image-label/properties", [1])],
    "label-list-empty": [("label", "0.5", "image-label/colors", []), ("label", "0.6", "image-label/properties", [])],
    "label-value": [("label", "0.5", "image-label/colors/0/label-value", 1.5),
                    ("label", "0.4", "image-label/properties/0/label-value", ...)],
    "label-value-unique": [("label", v, "image-label/colors", [{"label-value": 1}] * 2) for v in ("0.1", "0.4", "0.6")],
    "label-rgba": [("label", "0.5", "image-label/colors/0/rgba", rgba) for rgba in ([0, 0, 0], [0, 0, 0, 256], [0, 0, 0, 0.5], "red")],
    "label-colors": [("label", "0.6", "image-label/colors", ...)],
    "label-version": [("label", "0.4", "image-label/version", ...), ("label", "0.5", "image-label/version", ...)],
    "label-multiscales": [("label", "0.5", "multiscales", ...)],
    "labels-names": [("labels", "0.5", "labels", {"a": 1}), ("labels", "0.4", "labels", [None])],
    "labels-text": [("labels", v, "labels", [1]) for v in ("0.4", "0.5", "0.6")],
    "labels-unique": [("labels", v, "labels", ["a", "a"]) for v in ("0.4", "0.5", "0.6")],
    "labels-null": [("labels", v, "labels", None) for v in ("0.4", "0.5", "0.6")],
    "labels-relative": [("labels", v, "labels", ["/etc"]) for v in ("0.4", "0.5", "0.6")],
    "plate-rows": [("plate", v, "plate/rows/1/name", "A") for v in ("0.1", "0.4", "0.6")] + [("plate", "0.5", "plate/columns/0", {})],
    "plate-empty": [("plate", "0.5", f"plate/{key}", []) for key in ("rows", "columns", "wells")],
    "plate-alphanumeric": [("plate", "0.5", "plate/rows/1/name", "B 1")],
    "plate-case": [("plate", "0.5", "plate/rows/1/name", "a")],
    "plate-name": [("plate", "0.5", "plate/name", ...)],
    "plate-field-count": [("plate", "0.5", "plate/field_count", 0), ("plate", "0.4", "plate/field_count", "1")],
    "plate-field-count-missing": [("plate", "0.5", "plate/field_count", ...)],
    "plate-well-path": [("plate", "0.5", "plate/wells/0/path", path) for path in ("1/A", "A1", "x/A/1", "A/2", ...)],
    "plate-well-unique": [("plate", "0.5", "plate/wells", [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}] * 2)],
    "plate-well-indices": [("plate", "0.5", "plate/wells/0/rowIndex", i) for i in (1, "0", ..., False)],
    "acquisitions-empty": [("plate", "0.1", "plate/acquisitions", [])],
    "acquisition-id": [("plate", "0.5", "plate/acquisitions/0/id", "0"), ("plate", "0.1", "plate/acquisitions/0/id", ...)],
    "acquisition-id-unique": [("plate", "0.5", "plate/acquisitions", [{"id": 0}, {"id": 0}])],
    "acquisition-id-positive": [("plate", "0.5", "plate/acquisitions/0/id", -1)],
    "acquisition-time": [("plate", "0.5", "plate/acquisitions/0/starttime", 1.5), ("plate", "0.4", "plate/acquisitions/0/endtime", -1)],
    "acquisition-fieldcount": [("plate", "0.5", "plate/acquisitions/0/maximumfieldcount", n) for n in (0, "2", True)],
    "acquisition-name": [("plate", "0.5", "plate/acquisitions/0/name", ...)],
    "acquisition-fieldcount-missing": [("plate", "0.5", "plate/acquisitions/0/maximumfieldcount", ...)],
    "well-empty": [("well", "0.5", "well/images", [])],
    "well-path": [("well", "0.5", "well/images/0/path", path) for path in ("..", ".", "", ..., None)],
    "well-path-unique": [("well", "0.5", "well/images", [{"path": "0"}, {"path": "0"}])],
    "well-path-characters": [("well", v, "well/images/0/path", path) for v, path in
                             (("0.4", "a_b"), ("0.5", "a/b"), ("0.6", "__x"), ("0.6", "a/b"), ("0.6", "..."), ("0.6", "a b"))],
    "well-acquisition": [("well", "0.5", "well/images/0/acquisition", "0")],
    "layout-number": [("layout", "0.5", "bioformats2raw.layout", 2), ("layout", "0.4", "bioformats2raw.layout", "3")],
    "path-inside": [("labels", "0.5", "labels", ["../a"]), ("labels", "0.4", "labels", [""]),
                    ("series", "0.5", "series", ["0", "a/../../b"])],
    "series-paths": [("series", "0.5", "series", "0"), ("series", "0.4", "series", [0])],
}  # fmt: skip
ELSEWHERE = {"version-format", "version-wanted", "omero-count"}  # these need more than the document


@pytest.mark.parametrize(
    ("rule", "kind", "version", "place", "value"),
    [pytest.param(r, *c, id=f"{r}-{i}") for r, found in BROKEN.items() for i, c in enumerate(found)],
)
def test_a_broken_rule_is_found_at_its_level(rule: str, kind: str, version: str, place: str, value: Any) -> None:
    problems = check_document(put(sound(kind, version), place, value))
    mine = [problem for problem in problems if problem.rule == rule]
    assert mine, [str(p) for p in problems]
    assert {p.level for p in mine} == {RULES[rule].level(family(version))}
    assert all(p.fix and p.message and p.loc for p in mine)
    assert is_valid(problems) == (not any(p.level == "error" for p in problems))
    assert not is_valid(problems, strict=True)


def test_every_rule_is_tried() -> None:
    assert set(BROKEN) | ELSEWHERE | set(STORE_RULES) == set(RULES)  # those of stores: tests/checking


ALLOWED = [
    ("image", "0.9.dev1", f"{SY}/0/axes", [{"name": f"a{i}", "type": "angle"} for i in range(3)]),  # 0.9 lifts the limits
    ("image", "0.9.dev1", f"{OM}/color", ...),
    ("image", "0.9.dev1", f"{OM}/window/min", ...),
    ("image", "0.5", f"{AX}/0/orientation", None),
    ("image", "0.5", f"{MS}/coordinateTransformations", [{"type": "scale", "scale": [1, 2, 2]}, MOVE]),
    ("image", "0.5", "omero", ...),
    ("image", "0.6", CT, [{"type": "identity"} | ENDS]),
    ("image", "0.6", CT, [{"type": "sequence", "transformations": [SCALE, MOVE]} | ENDS]),
    ("image", "0.6", f"{MS}/coordinateTransformations/0", {"type": "identity"} | LINK | {"input": {"path": "labels/a", "name": "theirs"},
                                                                                       "output": {"name": "physical"}}),
    ("plate", "0.1", "plate/wells/0/path", "2020-10-10/A/1"),
    ("plate", "0.3", "plate/wells/0/path", "Z/9"),
    ("plate", "0.5", "plate/acquisitions", ...),
    ("well", "0.6", "well/images/0/path", "0_a-b.image"),
    ("well", "0.5", "well/images/0/acquisition", ...),
    ("label", "0.5", "image-label/source", ...),
    ("label", "0.5", "image-label/properties", ...),
    ("labels", "0.5", "labels", []),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "version", "place", "value"), ALLOWED)
def test_what_a_version_allows_is_no_error(kind: str, version: str, place: str, value: Any) -> None:
    assert [str(p) for p in check_document(put(sound(kind, version), place, value)) if p.level == "error"] == []


# -------------------------------------------------------------------------------------------------------------- the whole
@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_what_is_no_object_is_no_document(document: Any) -> None:
    assert [(p.loc, p.rule) for p in check_document(document)] == [("document", "object")]


def test_a_document_in_the_wrong_zarr_format_or_version_is_an_error() -> None:
    assert [p.rule for p in check_document(sound("image", "0.5"), zarr_format=2)] == ["version-format"]
    assert [str(p) for p in check_document(sound("image", "0.5"), version="0.4")] == ["ome.version: expected 0.4, got 0.5"]
    assert check_document(sound("image", "0.5"), zarr_format=3, version="0.5") == ()


def test_a_section_where_the_version_does_not_keep_it_is_no_section() -> None:
    document = {"ome": {"version": "0.5"}, "multiscales": [multiscale("0.5")]}
    assert [p.message for p in check_document(document)] == ["there is metadata of kind 'image', not where 0.5 keeps it"]


def test_every_multiscale_is_checked_and_every_problem_named() -> None:
    document = put(sound("image", "0.5"), "multiscales", [multiscale("0.5") | {"axes": []}, multiscale("0.5") | {"datasets": []}])
    assert [p.loc for p in check_document(document)] == ["multiscales.0.axes", "multiscales.1.datasets"]


def test_a_problem_is_printed_with_place_level_rule_message_and_fix() -> None:
    (problem,) = check_document(put(sound("plate", "0.5"), "plate/field_count", 0))
    assert problem.to_json() == {
        "location": "plate.field_count",
        "level": "error",
        "rule": "plate-field-count",
        "message": "expected a positive integer, got 0",
        "fix": "Write a positive integer.",
    }


def test_rules_that_stop_reading_are_musts_everywhere_they_are_rules() -> None:
    assert all(not rule.should for rule in RULES.values() if rule.reading == "stop")
    assert all(not set(rule.must) & set(rule.should) for rule in RULES.values())
    assert all(set(rule.must) | set(rule.should) <= set(FAMILIES) for rule in RULES.values())
    assert all(rule.fix.endswith(".") for rule in RULES.values())


def test_a_reader_hears_less_than_a_validation() -> None:
    reading, checking = Problems(version="0.4"), Problems(version="0.4", checking=True)
    for problems in (reading, checking):
        for rule in ("axis-name", "axes-count", "axis-unit", "version-missing"):
            problems.broken(rule, "here", "so")
    assert [(p.rule, p.level) for p in reading.found] == [("axis-name", "error"), ("axes-count", "warning")]
    assert [(p.rule, p.level) for p in checking.found] == [("axis-name", "error"), ("axes-count", "error"), ("axis-unit", "warning")]
    assert reading.unusable
    assert checking.unusable
