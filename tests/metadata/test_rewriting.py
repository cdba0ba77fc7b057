"""Nothing is lost on a rewrite: what a document holds, known or not, is in the document that is written from the records."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.metadata.orientation import DIRECTIONS, Orientation, orientation_of
from omexp.metadata.versions import WRITABLE, decode_image, decode_plate, decode_well, encode_image, encode_plate, encode_well, kind_of

AXES = [
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "pixel"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
OUTER = [{"type": "scale", "scale": [1, 2.5, 2]}, {"type": "translation", "translation": [0, 1, 0]}]
CHANNEL = {"label": "a", "color": "00ff00", "active": False, "window": {"min": 0, "max": 9, "start": 1, "end": 2}}
PLATE = {
    "rows": [{"name": "A"}, {"name": "B"}],
    "columns": [{"name": "1"}],
    "wells": [{"path": "B/1", "rowIndex": 1, "columnIndex": 0}],
    "acquisitions": [{"id": 3, "maximumfieldcount": 2}],
}


def levels(version: str) -> list[dict[str, Any]]:
    found = []
    for i in range(2):
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [1, 2**i, 2**i]}]
        if i:
            steps.append({"type": "translation", "translation": [0, 0.5, 0.5]})
        if version == "0.6":
            whole = steps[0] if len(steps) == 1 else {"type": "sequence", "transformations": steps, "name": "to physical"}
            steps = [whole | {"input": {"path": f"s{i}"}, "output": {"name": "physical"}}]
        found.append({"path": f"s{i}", "coordinateTransformations": steps})
    return found


def multiscale(version: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": "img", "type": "mean", "metadata": {"method": "m"}, "datasets": levels(version)}
    if version != "0.6":
        return entry | {"axes": AXES, "coordinateTransformations": OUTER}
    systems = [{"name": name, "axes": AXES} for name in ("world", "physical")]
    ends = {"input": {"name": "physical"}, "output": {"name": "world"}}
    turn = {"type": "byDimension", "transformations": [{"transformation": OUTER[0], "inputAxes": [0, 1, 2], "outputAxes": [2, 1, 0]}]}
    links = [turn | ends, {"type": "displacements", "path": "field"} | ends]
    return entry | {"coordinateSystems": systems, "coordinateTransformations": links}


def documents(version: str) -> list[dict[str, Any]]:
    """An image with two multiscales, a label, a plate, a well."""
    second = multiscale(version) | {"name": "second"}
    label = {
        "source": {"image": "../../"},
        "colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}],
        "properties": [{"label-value": 1, "area": 5}],
    }
    sections: list[dict[str, Any]] = [
        {
            "multiscales": [multiscale(version), second],
            "omero": {"channels": [CHANNEL, CHANNEL | {"label": "b"}], "rdefs": {"model": "color"}},
        },
        {"multiscales": [multiscale(version)], "image-label": label},
        {"plate": PLATE},
        {"well": {"images": [{"path": "0", "acquisition": 3}, {"path": "1"}]}},
    ]
    if version == "0.4":
        return [{k: [e | {"version": "0.4"} for e in v] if k == "multiscales" else v for k, v in s.items()} for s in sections]
    return [{"ome": {"version": version} | s} for s in sections]


def objects(value: Any) -> list[dict[str, Any]]:
    """Every object inside a document, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for v in inner for found in objects(v)]


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in leaves(inner, f"{place}/{key}").items()}
    if isinstance(value, list) and value:
        return {k: v for i, inner in enumerate(value) for k, v in leaves(inner, f"{place}/{i}").items()}
    return {place: value}


def rewritten(document: dict[str, Any], version: str, **options: Any) -> dict[str, Any]:
    """The document that is written from what was read from it."""
    zarr_format, kind = 2 if version == "0.4" else 3, kind_of(document)
    if kind == "plate":
        return encode_plate(decode_plate(document, zarr_format, "here")[1], version, document)
    if kind == "well":
        return encode_well(decode_well(document, zarr_format, "here")[1], version, document)
    return encode_image(decode_image(document, zarr_format, "here", **options)[0], document)


UNKNOWN = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=3)


@given(st.data(), st.sampled_from(WRITABLE))
def test_whatever_a_document_holds_is_in_what_is_written_again(data: st.DataObject, version: str) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(documents(version))))
    for place in objects(document):
        place |= data.draw(st.dictionaries(st.sampled_from(["@id", "_creator", "ours"]), UNKNOWN, max_size=2))
    before = copy.deepcopy(document)
    again, expected = leaves(rewritten(document, version)), leaves(before)
    assert document == before
    assert expected.keys() <= again.keys()
    assert {place: again[place] for place in expected} == expected
    added = {place.rsplit("/", 1)[-1] for place in again.keys() - expected.keys()}
    assert added <= {"version"}


@pytest.mark.parametrize("version", WRITABLE)
def test_one_of_several_multiscales_is_read_and_written_by_its_name(version: str) -> None:
    document = documents(version)[0]
    assert rewritten(document, version, name="second") == rewritten(document, version)
    meta = decode_image(document, 2 if version == "0.4" else 3, "here", name="second")[0]
    assert meta.name == "second"


@pytest.mark.parametrize("version", WRITABLE)
@pytest.mark.parametrize("target", WRITABLE)
def test_an_image_means_the_same_in_every_version(version: str, target: str) -> None:
    meta = decode_image(documents(version)[0], 2 if version == "0.4" else 3, "here")[0]
    again, problems = decode_image(encode_image(replace(meta, version=target)), 2 if target == "0.4" else 3, "there")
    assert problems.found == [p for p in problems.found if "is kept, and not applied" in p.message]
    assert (again.multiscale.axes, again.multiscale.datasets) == (meta.multiscale.axes, meta.multiscale.datasets)
    assert (again.channels_meta, again.name, again.multiscale.type) == (meta.channels_meta, meta.name, meta.multiscale.type)
    if version == target:
        assert again == replace(meta, version=target)


def test_a_key_of_another_version_never_stands_in_for_our_own() -> None:
    entry = multiscale("0.5") | {"coordinateSystems": "mine"}
    meta = decode_image({"ome": {"version": "0.5", "multiscales": [entry]}}, 3, "here")[0]
    assert encode_image(meta)["ome"]["multiscales"][0]["coordinateSystems"] == "mine"
    systems = encode_image(replace(meta, version="0.6"))["ome"]["multiscales"][0]["coordinateSystems"]
    assert [system["name"] for system in systems] == ["physical"]


def test_a_level_that_was_changed_is_written_with_its_new_scale() -> None:
    for version in WRITABLE:
        meta = decode_image(documents(version)[1], 2 if version == "0.4" else 3, "here")[0]
        first, second = meta.multiscale.datasets
        moved = replace(meta.multiscale, datasets=(first, replace(second, transform=second.transform.reduced((1, 2, 2)))))
        again = decode_image(encode_image(replace(meta, multiscale=moved)), 2 if version == "0.4" else 3, "there")[0]
        assert again.multiscale.datasets == moved.datasets


# ------------------------------------------------------------------------------------------------------ orientation
@pytest.mark.parametrize("version", WRITABLE)
@pytest.mark.parametrize("term", sorted(DIRECTIONS))
def test_the_orientation_of_an_axis_is_read_changed_and_written(version: str, term: str) -> None:
    meta = decode_image(documents(version)[1], 2 if version == "0.4" else 3, "here")[0]
    c, y, x = meta.multiscale.axes.items
    axes = replace(meta.multiscale.axes, items=(c, y, x.oriented(Orientation(term))))
    written = encode_image(replace(meta, multiscale=replace(meta.multiscale, axes=axes)))
    again = decode_image(written, 2 if version == "0.4" else 3, "there")[0].multiscale.axes
    assert [axis.orientation for axis in again] == [None, None, Orientation(term)]
    assert again.items[2].oriented(None) == x


def test_there_are_24_orientations_in_12_pairs_and_others_are_none() -> None:
    assert len(DIRECTIONS) == 24
    assert all(list(DIRECTIONS.values()).count(d) == 2 for d in DIRECTIONS.values())
    for value in (
        None,
        "left-to-right",
        {"type": "anatomical"},
        {"type": "x", "value": "left-to-right"},
        {"type": "anatomical", "value": ["a"]},
    ):
        assert orientation_of(value) is None
