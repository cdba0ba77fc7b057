"""Documents that anything may have happened to: our own errors, or a reading."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omexp.errors import OmexpError
from omexp.metadata.axes import default_axes
from omexp.metadata.channels import default_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import ImageLabel
from omexp.metadata.multiscale import Dataset, Multiscale
from omexp.metadata.plate import ImageInWellPath
from omexp.metadata.plate_editing import new_plate
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.validation import check_document, is_valid
from omexp.metadata.versions import (
    WRITABLE,
    decode_image,
    decode_names,
    decode_plate,
    decode_series,
    decode_well,
    encode_image,
    encode_plate,
    encode_well,
    kind_of,
    version_of,
)

KEYS = [
    "ome", "version", "multiscales", "axes", "name", "type", "unit", "datasets", "path", "coordinateTransformations",
    "scale", "translation", "identity", "omero", "channels", "color", "label", "window", "min", "max", "start", "end",
    "active", "wavelength_id", "labels", "tables", "image-label", "colors", "properties", "label-value", "source", "image",
    "plate", "rows", "columns", "wells", "rowIndex", "columnIndex", "acquisitions", "id", "field_count", "well", "images",
    "acquisition", "metadata", "coordinateSystems", "bioformats2raw.layout", "input", "output", "transformations", "transformation",
    "affine", "rotation", "mapAxis", "inputAxes", "outputAxes", "orientation", "value", "discrete", "series", "scene", "rgba",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10),
    st.sampled_from([10**400, -(10**400), 2**64, math.nan, math.inf, -math.inf, 1e308, -0.0, 5e-324]),
    st.floats(),
    st.sampled_from(
        ["0", "1", "..", "/", "", "0.4", "0.5", "scale", "translation", "identity", "x", "y", "A/1", "A", "1", "FFFFFF", "nan"]
    ),
    st.sampled_from(["sequence", "affine", "rotation", "mapAxis", "byDimension", "bijection", "physical", "0.1", "0.3", "0.6", "0.6.dev4"]),
    st.text(max_size=4),
)
KEY = st.sampled_from(KEYS) | st.text(max_size=3)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=6), max_leaves=20)


def deep(levels: int) -> Any:
    value: Any = 1
    for i in range(levels):
        value = [value] if i % 2 else {"name": value}
    return value


@cache
def good_documents() -> list[dict[str, Any]]:
    """Sound documents of every kind and version, to be damaged in one place."""
    axes = default_axes(3, "cyx")
    levels = tuple(Dataset(str(i), ScaleTranslation((1.0, 2.0**i, 2.0**i), (0.0, i / 2, i / 2))) for i in range(2))
    plate, wells = new_plate("P", [ImageInWellPath("A", 1, p, 0, "run") for p in "01"])
    found = []
    for version in WRITABLE:
        image = Multiscale(axes, levels, "img", "mean", {"a": 1})
        found.append(encode_image(ImageMeta(version, image, default_channels(2, "uint8"))))
        found.append(encode_image(ImageMeta(version, image, None, ImageLabel(colors=({"label-value": 1},)))))
        found.append(encode_plate(plate, version))
        found.append(encode_well(wells["A/01"], version))
    return [*found, in_systems(), scene(), *old_documents()]


def in_systems() -> dict[str, Any]:
    """An image of 0.6 with every kind of transformation."""
    axes = [{"name": n, "type": "space", "unit": "micrometer", "orientation": {"type": "anatomical", "value": v}} for n, v in DIRECTED]
    steps = [
        {"type": "affine", "affine": [[1, 2, 3], [0, 1, 4]]},
        {"type": "rotation", "rotation": [[0, 1], [-1, 0]]},
        {"type": "mapAxis", "mapAxis": [1, 0]},
        {"type": "byDimension", "transformations": [{"transformation": {"type": "identity"}, "inputAxes": [0, 1], "outputAxes": [1, 0]}]},
        {"type": "translation", "translation": [1, 2]},
    ]
    level = [{"type": "scale", "scale": [2, 3], "input": {"path": "0"}, "output": {"name": "a"}}]
    ends = {"input": {"name": "a"}, "output": {"name": "b"}}
    links = [{"type": "sequence", "transformations": steps} | ends, {"type": "displacements", "path": "field"} | ends]
    systems = [{"name": name, "axes": axes} for name in "ab"]
    levels = [{"path": "0", "coordinateTransformations": level}]
    entry = {"name": "img", "coordinateSystems": systems, "datasets": levels, "coordinateTransformations": links}
    return {"ome": {"version": "0.6", "multiscales": [entry]}}


DIRECTED = [("y", "superior-to-inferior"), ("x", "left-to-right")]


def scene() -> dict[str, Any]:
    ends = {"input": {"path": "a", "name": "physical"}, "output": {"name": "world"}}
    system = {"name": "world", "axes": [{"name": n, "type": "space", "unit": "meter"} for n in "yx"]}
    links = [{"type": "translation", "translation": [1, 2]} | ends]
    return {"ome": {"version": "0.6", "scene": {"coordinateSystems": [system], "coordinateTransformations": links}}}


def old_documents() -> list[dict[str, Any]]:
    """Images and plates of 0.1 and 0.3."""
    levels, plate = [{"path": "0"}, {"path": "1"}], {"rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": [{"path": "x/A/1"}]}
    return [
        {"multiscales": [{"version": "0.1", "name": "a", "datasets": levels}]},
        {"multiscales": [{"version": "0.3", "name": "a", "axes": ["z", "y", "x"], "datasets": levels}]},
        {"plate": plate | {"version": "0.1", "name": "P"}},
    ]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *[found for key, v in inner for found in places(v, (*path, key))]]


def replaced(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


READERS: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "image": lambda d, f: decode_image(d, f, "here", channels=2),
    "image of unknown size": lambda d, f: decode_image(d, f, "here", channels=None),
    "plate": lambda d, f: decode_plate(d, f, "here"),
    "well": lambda d, f: decode_well(d, f, "here"),
    "version": lambda d, f: version_of(d, f, "here"),
    "kind": lambda d, f: kind_of(d),
    "series": lambda d, f: decode_series(d),
    "validation": lambda d, f: [str(p) for p in check_document(d, zarr_format=f)],
    "validation of any format": lambda d, f: [p.to_json() for p in check_document(d)],
    "names": lambda d, f: (decode_names(d, "labels"), decode_names(d, "tables")),
}


def read_all(document: dict[str, Any]) -> None:
    """Read a document in every way; what is read can be written and asked, an error is ours and says where in a few lines."""
    for zarr_format in (2, 3):
        for reader in READERS.values():
            try:
                found = reader(document, zarr_format)
            except OmexpError as error:
                assert len(str(error)) < 20_000
                continue
            if isinstance(found, tuple) and found and isinstance(found[0], ImageMeta):
                _ask(found[0])


def _ask(meta: ImageMeta) -> None:
    assert meta.nearest(meta.pixel_size(meta.finest)) in meta.paths
    for path in meta.paths:
        assert len(meta.multiscale.to_physical([(1.0,) * len(meta.axes)], path)) == 1
    for system in meta.multiscale.systems:
        meta.multiscale.frame.way(meta.multiscale.axes, system)
    if meta.version in WRITABLE:
        again = decode_image(encode_image(meta), 2 if meta.version == "0.4" else 3, "again", channels=None)[0]
        assert again.multiscale == meta.multiscale
    assert sorted(meta.by_resolution) == sorted(meta.paths)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6))
@example({"multiscales": [{"version": deep(400)}]})
@example({"ome": {"version": deep(400)}})
@example({"ome": deep(400)})
def test_any_json_gives_our_errors_or_a_reading(document: dict[str, Any]) -> None:
    read_all(document)
    read_all({"ome": {"version": "0.5"} | document})
    read_all({"ome": {"version": "0.6"} | document})
    read_all({"multiscales": [{"version": "0.3"} | document]})


@given(st.data())
def test_a_sound_document_with_one_damaged_place_gives_our_errors_or_a_reading(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(good_documents()))
    path = data.draw(st.sampled_from(places(document)))
    read_all(replaced(document, path, data.draw(JSON)))


ANYTHING = [..., None, [], {}, "", 0, True, math.nan, 10**400, ["a"], {"a": 1}, deep(400), "x" * 10**5, list(range(500))]


def hold(value: Any, first: int, step: int) -> None:
    """Read the sound documents with a value in every place of that step."""
    every = ((document, path) for document in good_documents() for path in places(document))
    for document, path in itertools.islice(every, first, None, step):
        read_all(replaced(document, path, value))


@pytest.mark.parametrize("number", range(len(ANYTHING)), ids=lambda n: str(ANYTHING[n])[:12])
def test_every_place_of_every_sound_document_may_hold_anything(number: int) -> None:
    hold(ANYTHING[number], number % 5, 5)  # each place gets two or three of the values


@pytest.mark.slow
@pytest.mark.parametrize("value", ANYTHING, ids=lambda v: str(v)[:12])
def test_every_place_of_every_sound_document_may_hold_each_of_them(value: Any) -> None:
    hold(value, 0, 1)


def test_the_sound_documents_are_sound() -> None:
    for document in good_documents():
        zarr_format = 3 if "ome" in document else 2
        if kind_of(document) == "scene":
            continue
        decode = {"image": decode_image, "label": decode_image, "plate": decode_plate, "well": decode_well}[str(kind_of(document))]
        assert decode(json.loads(json.dumps(document)), zarr_format, "here")[-1].errors == ()
        assert is_valid(check_document(document)), check_document(document)
