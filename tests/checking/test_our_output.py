"""What omexp writes follows every MUST and every SHOULD: by our own rules, and by the official schemas at the strict level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.checking import validate
from omexp.storage.groups import open_group
from tests.hierarchies import FIELDS, VERSIONS, Store, make_image, sound

SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "conformance"
PIXELS = np.arange(2 * 32 * 32, dtype="uint16").reshape(2, 32, 32)


def written(kind: str, version: str) -> Store:
    """An image of one kind in memory."""
    store: Store = {}
    options: dict[str, Any] = {"axes_names": "cyx", "xy_pixelsize": 0.5, "ngff_version": version, "chunks": 16, "levels": 2}
    if kind == "one level":
        omexp.create_ome_zarr_from_array(store, PIXELS, **options | {"levels": 1})
    elif kind == "empty":
        omexp.create_empty_ome_zarr(store, PIXELS.shape, **options)
    elif kind == "movie":
        omexp.create_ome_zarr_from_array(store, PIXELS, **options | {"axes_names": "tyx", "time_spacing": 2.0})
    elif kind == "derived":
        omexp.open_ome_zarr_container(make_image(version, label=False)).derive_image(store)
    elif kind == "ngff":
        image = omexp.to_ngff_image(PIXELS, "cyx", {"y": 0.5, "x": 0.5}, axes_units={"y": "micrometer", "x": "micrometer"})
        omexp.to_ngff_zarr(store, omexp.to_multiscales(image, [2]), version=version)
    else:
        omexp.convert(PIXELS, store, version=version, axes_names="cyx", pixel_size={"y": 0.5, "x": 0.5}, levels=2)
    return store


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["one level", "empty", "movie", "derived", "ngff", "converted"])
def test_images_follow_every_must_and_should(kind: str, version: str) -> None:
    store = written(kind, version)
    report = validate(store, strict=True, data=True, version=version)
    assert report.valid, repr(report)
    assert broken_schemas(store, "", "strict_image", version) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_plates_labels_and_tables_follow_every_must_and_should(version: str) -> None:
    """But one: a label has no colours, since these would have to be of every object."""
    plate, image = sound("plate", version), sound("image", version)
    assert validate(plate, strict=True, version=version).valid
    assert {found.rule for found in validate(image, strict=True, version=version)} <= {"label-colors"}
    row, column, field, _ = FIELDS[0]
    found = broken_schemas(plate, "", "strict_plate", version) + broken_schemas(plate, f"{row}/{column:02d}", "strict_well", version)
    assert found + broken_schemas(plate, f"{row}/{column:02d}/{field}", "strict_image", version) == []
    assert broken_schemas(image, "labels/nuclei", "strict_image", version) + broken_schemas(image, "labels/nuclei", "label", version) == []


def broken_schemas(store: Store, path: str, schema: str, version: str) -> list[str]:
    """What an official schema says against a group's attributes; nothing where the schemas are not there."""
    folder = SCHEMAS / version / "schemas"
    if not folder.is_dir():
        return []
    jsonschema, referencing = pytest.importorskip("jsonschema"), pytest.importorskip("referencing")
    documents = {file.name: json.loads(file.read_text()) for file in folder.glob("*.schema")}
    named = {name: referencing.jsonschema.DRAFT202012.create_resource(document) for name, document in documents.items()}
    by_id = [(documents[name].get("$id", name), one) for name, one in named.items()]
    by_place = [(f"https://ngff.openmicroscopy.org/{version}/schemas/{name}", one) for name, one in named.items()]
    validator = jsonschema.Draft202012Validator(
        documents[f"{schema}.schema"], registry=referencing.Registry().with_resources([*by_id, *by_place])
    )
    group = open_group(store).group(path) if path else open_group(store)
    return [error.message for error in validator.iter_errors(group.attributes)]
