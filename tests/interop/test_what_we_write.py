"""What omexp writes, before the judges: the official schemas at their strict level, our own strict rules, the peers' models and readers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import omexp
from omexp.metadata.orientation import Orientation
from tests.stores import sample_ids

CASES = Path(__file__).resolve().parents[3] / "shared" / "conformance"
VERSIONS = ("0.4", "0.5", "0.6")


def make(folder: Path, version: str) -> None:
    """A plate of two wells; in one of them an image with a label, tables and channels."""
    wells = [omexp.ImageInWellPath("A", i, "0", 0, "first") for i in (1, 2)]
    plate = omexp.create_empty_plate(folder, "screen", wells, ngff_version=version)
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 3, 20, 30), "uint16")
    container = omexp.create_ome_zarr_from_array(
        plate.get_image_store("A", 1, "0"),
        pixels,
        axes_names="czyx",
        xy_pixelsize=0.5,
        z_spacing=2.0,
        channel_labels=["DAPI", "GFP"],
        levels=2,
        ngff_version=version,
        name="nuclei and cells",
    )
    omexp.create_ome_zarr_from_array(plate.get_image_store("A", 2, "0"), pixels[0, 0], xy_pixelsize=0.5, levels=1, ngff_version=version)
    label = container.derive_label("nuclei")
    label.set_array(sample_ids())
    label.consolidate()
    container.add_table("objects", container.build_masking_roi_table("nuclei"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("written")
    for version in VERSIONS:
        make(folder / f"{version}.zarr", version)
    return {version: folder / f"{version}.zarr" for version in VERSIONS}


def documents(store: Path) -> dict[str, dict[str, Any]]:
    """Kind -> the attributes of such a group."""
    places = {"plate": "", "well": "A/01", "image": "A/01/0", "label": "A/01/0/labels/nuclei"}
    return {kind: dict(zarr.open_group(store / place, mode="r").attrs) for kind, place in places.items()}


@cache
def registry(version: str) -> Any:
    referencing = pytest.importorskip("referencing")
    found = [json.loads(path.read_text()) for path in sorted((CASES / version / "schemas").glob("*.schema"))]
    resources = [(d["$id"], referencing.Resource.from_contents(d, referencing.jsonschema.DRAFT202012)) for d in found]
    return referencing.Registry().with_resources(resources)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["plate", "well", "image", "label"])
def test_the_official_schemas_find_nothing_at_their_strict_level(version: str, kind: str, written: dict[str, Path]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("referencing.jsonschema")
    if not CASES.is_dir():
        pytest.skip(f"the official schemas are not there: {CASES}")
    document = documents(written[version])[kind]
    for level in ("", "strict_"):
        schema = json.loads((CASES / version / "schemas" / f"{level}{kind}.schema").read_text())
        judge = jsonschema.Draft202012Validator(schema, registry=registry(version))
        assert [error.message for error in judge.iter_errors(document)] == []
    block = {"image": "multiscales", "label": "image-label"}.get(kind, kind)
    inner = document if version == "0.4" else document["ome"]
    broken = {**inner, block: [] if kind == "image" else "nothing"}
    assert not judge.is_valid(broken if version == "0.4" else {"ome": broken})  # the schema does say something


@pytest.mark.parametrize("version", VERSIONS)
def test_our_own_strict_validation_finds_nothing(version: str, written: dict[str, Path]) -> None:
    report = omexp.validate(written[version], strict=True, data=True)
    assert report.valid and [str(problem) for problem in report.problems] == []


@pytest.mark.peers
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_models_of_others_take_it(version: str, written: dict[str, Path]) -> None:
    models = pytest.importorskip(f"ome_zarr_models.v{version.replace('.', '')}")
    yao = getattr(pytest.importorskip("yaozarrs"), f"v{version.replace('.', '')}")
    theirs = {
        "plate": (models.hcs.HCSAttrs, yao.Plate),
        "well": (models.well.WellAttrs, yao.Well),
        "image": (models.image.ImageAttrs, yao.Image),
        "label": (models.image_label.ImageLabelAttrs, yao.LabelImage),
    }
    for kind, document in documents(written[version]).items():
        for model in theirs[kind]:
            model.model_validate(document["ome"] if version == "0.5" else document)


@pytest.mark.peers
@pytest.mark.parametrize("version", VERSIONS)
def test_ngff_zarr_validates_and_reads_it(version: str, written: dict[str, Path]) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    for kind, document in documents(written[version]).items():
        ngff_zarr.validate(document, version=version, model=kind, strict=True)
    found = ngff_zarr.from_ngff_zarr(str(written[version] / "A/01/0"), validate=True, version=version)
    image = omexp.open_ome_zarr_container(written[version] / "A/01/0").get_image()
    np.testing.assert_array_equal(np.asarray(found.images[0].data), image.get_as_numpy())
    assert tuple(found.images[0].dims) == image.axes
    assert [found.images[0].scale[a] for a in "zyx"] == [2.0, 0.5, 0.5]


@pytest.mark.parametrize("version", VERSIONS)
def test_viewers_find_all_that_they_show_by(version: str, written: dict[str, Path]) -> None:
    """Section 1.6 of the facts: names, types and units of axes, half-pixel translations, complete channels, label colours and source."""
    found = documents(written[version])
    sections = {kind: document.get("ome", document) for kind, document in found.items()}
    channels = sections["image"]["omero"]["channels"]
    assert [c["label"] for c in channels] == ["DAPI", "GFP"] and len({c["color"] for c in channels}) == 2
    for channel in channels:
        window = channel["window"]
        assert window["min"] <= window["start"] < window["end"] <= window["max"] and channel["active"] is True
    multiscale = sections["image"]["multiscales"][0]
    axes = (multiscale.get("coordinateSystems") or [multiscale])[0]["axes"]
    assert [(a["name"], a["type"], a.get("unit")) for a in axes] == [
        ("c", "channel", None), ("z", "space", "micrometer"), ("y", "space", "micrometer"), ("x", "space", "micrometer")
    ]  # fmt: skip
    image = omexp.open_ome_zarr_container(written[version] / "A/01/0")
    assert image.get_image(path="1").to_physical([(0, 0, 0, 0)]).tolist() == [[0.0, 0.0, 0.25, 0.25]]
    assert multiscale["type"] == "mean" and multiscale["metadata"]["method"] == "omexp.downsample"
    block = sections["label"]["image-label"]
    assert {entry["label-value"] for entry in block["colors"]} >= {1} and block["source"] == {"image": "../../"}
    assert sections["plate"]["plate"]["field_count"] >= 1 and len(sections["plate"]["plate"]["acquisitions"]) == 1
    if version != "0.4":
        for path in ("0", "1"):
            assert zarr.open_array(written[version] / "A/01/0" / path, mode="r").metadata.dimension_names == ("c", "z", "y", "x")
        assert zarr.open_array(written[version] / "A/01/0/labels/nuclei/0", mode="r").metadata.dimension_names == ("z", "y", "x")
    else:
        assert json.loads((written[version] / "A/01/0/0/.zarray").read_text())["dimension_separator"] == "/"


def test_an_orientation_is_written_and_read(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.ones((4, 4), "uint8"), xy_pixelsize=1.0, ngff_version="0.6")
    axis = container.meta.multiscale.axes.items[1].oriented(Orientation("left-to-right"))
    assert axis.to_json()["orientation"] == {"type": "anatomical", "value": "left-to-right"}
