"""Documents that anything may have happened to: our own errors, or a reading."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
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
from omexp.metadata.plate import ImageInWellPath, new_plate
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.versions import (
    decode_image,
    decode_names,
    decode_plate,
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
    "acquisition", "metadata", "coordinateSystems", "bioformats2raw.layout",
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
    st.text(max_size=4),
)
KEY = st.sampled_from(KEYS) | st.text(max_size=3)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=6), max_leaves=20)


def deep(levels: int) -> Any:
    value: Any = 1
    for i in range(levels):
        value = [value] if i % 2 else {"name": value}
    return value


def good_documents() -> list[dict[str, Any]]:
    """Sound documents of every kind and version, to be damaged in one place."""
    axes = default_axes(3, "cyx")
    levels = tuple(Dataset(str(i), ScaleTranslation((1.0, 2.0**i, 2.0**i), (0.0, i / 2, i / 2))) for i in range(2))
    plate, wells = new_plate("P", [ImageInWellPath("A", 1, p, 0, "run") for p in "01"])
    found = []
    for version in ("0.4", "0.5"):
        image = Multiscale(axes, levels, "img", "mean", {"a": 1})
        found.append(encode_image(ImageMeta(version, image, default_channels(2, "uint8"))))
        found.append(encode_image(ImageMeta(version, image, None, ImageLabel(colors=({"label-value": 1},)))))
        found.append(encode_plate(plate, version))
        found.append(encode_well(wells["A/01"], version))
    return found


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
    assert decode_image(encode_image(meta), 2 if meta.version == "0.4" else 3, "again", channels=None)[0].multiscale == meta.multiscale
    assert sorted(meta.by_resolution) == sorted(meta.paths)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6))
@example({"multiscales": [{"version": deep(400)}]})
@example({"ome": {"version": deep(400)}})
@example({"ome": deep(400)})
def test_any_json_gives_our_errors_or_a_reading(document: dict[str, Any]) -> None:
    read_all(document)
    read_all({"ome": {"version": "0.5"} | document})


@given(st.data())
def test_a_sound_document_with_one_damaged_place_gives_our_errors_or_a_reading(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(good_documents()))
    path = data.draw(st.sampled_from(places(document)))
    read_all(replaced(document, path, data.draw(JSON)))


ANYTHING = [..., None, [], {}, "", 0, True, math.nan, 10**400, ["a"], {"a": 1}, deep(400), "x" * 10**5, list(range(2000))]


@pytest.mark.parametrize("value", ANYTHING, ids=lambda v: str(v)[:12])
def test_every_place_of_every_sound_document_may_hold_anything(value: Any) -> None:
    for document in good_documents():
        for path in places(document):
            read_all(replaced(document, path, value))


def test_the_sound_documents_are_sound() -> None:
    for document in good_documents():
        zarr_format = 3 if "ome" in document else 2
        decode = {"image": decode_image, "label": decode_image, "plate": decode_plate, "well": decode_well}[str(kind_of(document))]
        assert decode(json.loads(json.dumps(document)), zarr_format, "here")[-1].errors == ()
