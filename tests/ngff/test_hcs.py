"""Plates in memory: wells by name and position, fields by index and acquisition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import omexp
from omexp.errors import InvalidMetadataError, OmexpWarning, StoreNotFoundError
from omexp.ngff import PlateAcquisition, PlateColumn, PlateRow, PlateWell, WellImage, from_hcs_zarr, to_multiscales, to_ngff_zarr

FIELDS = [
    omexp.ImageInWellPath("A", "1", "0", 0, "first"),
    omexp.ImageInWellPath("A", "1", "1", 3, "second"),
    omexp.ImageInWellPath("A", "1", "2", 3, "second"),
    omexp.ImageInWellPath("B", 2, "0", 0, "first"),
]


@pytest.fixture(params=["0.4", "0.5"])
def plate(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Wells A/1 and B/02; field k of a well holds k everywhere."""
    made = omexp.create_empty_plate(tmp_path / "p.zarr", "screen", FIELDS, ngff_version=request.param)
    for field in FIELDS:
        place = made.get_image_store(field.row, field.column, field.path)
        pyramid = to_multiscales(np.full((32, 48), int(field.path), "uint8"), [2])
        to_ngff_zarr(place, pyramid, version=request.param)
    return tmp_path / "p.zarr"


def test_the_metadata_of_a_plate(plate: Path) -> None:
    found = from_hcs_zarr(plate, validate=True)
    assert (found.name, found.metadata.name, found.field_count) == ("screen", "screen", 3)
    assert (found.rows, found.columns) == ([PlateRow("A"), PlateRow("B")], [PlateColumn("1"), PlateColumn("02")])
    assert found.wells == [PlateWell("A/1", 0, 0), PlateWell("B/02", 1, 1)]
    assert found.acquisitions == [PlateAcquisition(0, "first", 1), PlateAcquisition(3, "second", 2)]
    assert found.metadata.version in str(plate.parent) or found.metadata.version in ("0.4", "0.5")


def test_wells_by_name_and_by_position(plate: Path) -> None:
    found = from_hcs_zarr(plate)
    assert found.get_well("A", "1").path == "A/1"
    assert found.get_well("B", "2").path == found.get_well("B", 2).path == found.get_well("B", "02").path == "B/02"
    assert found.get_well_by_indices(1, 1).path == "B/02"
    assert [found.get_well("A", "02"), found.get_well("C", "1"), found.get_well_by_indices(0, 1)] == [None, None, None]


def test_fields_by_index_and_by_acquisition(plate: Path) -> None:
    well = from_hcs_zarr(plate).get_well("A", "1")
    assert (well.row_index, well.column_index) == (0, 0)
    assert well.images == [WellImage("0", 0), WellImage("1", 3), WellImage("2", 3)]
    assert [well.get_image(k).images[1].data.max().compute() for k in range(3)] == [0, 1, 2]
    assert well.get_image().images[0].data.shape == (32, 48)
    assert well.get_image_by_acquisition(acquisition_id=3, field_index=1).images[0].data.max().compute() == 2
    assert well.get_image_by_acquisition(0).images[0].data.max().compute() == 0
    assert [well.get_image(3), well.get_image(-1), well.get_image_by_acquisition(3, 2), well.get_image_by_acquisition(9)] == [None] * 4


def test_a_plate_without_acquisitions_has_none(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "p.zarr", "screen", [omexp.ImageInWellPath("A", 1)])
    assert from_hcs_zarr(tmp_path / "p.zarr").acquisitions is None


def test_what_is_listed_but_not_on_disk_is_said(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "p.zarr", "screen", [omexp.ImageInWellPath("A", 1)])
    well = from_hcs_zarr(tmp_path / "p.zarr").get_well("A", 1)
    with pytest.raises(StoreNotFoundError, match="the field is listed but not on disk"):
        well.get_image(0)
    (tmp_path / "p.zarr" / "A" / "01" / "zarr.json").unlink()
    with pytest.raises(StoreNotFoundError, match="the well is listed but not on disk"):
        from_hcs_zarr(tmp_path / "p.zarr").get_well("A", 1)


def test_wrong_indices_are_told_or_with_validate_refused(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "p.zarr", "screen", [omexp.ImageInWellPath("A", 1)])
    document = json.loads((tmp_path / "p.zarr" / "zarr.json").read_text())
    document["attributes"]["ome"]["plate"]["wells"][0]["rowIndex"] = 5
    (tmp_path / "p.zarr" / "zarr.json").write_text(json.dumps(document))
    with pytest.warns(OmexpWarning, match="rowIndex, columnIndex should be"):
        assert from_hcs_zarr(tmp_path / "p.zarr").wells == [PlateWell("A/01", 0, 0)]
    with pytest.raises(InvalidMetadataError, match="rowIndex, columnIndex should be"):
        from_hcs_zarr(tmp_path / "p.zarr", validate=True)


def test_what_is_no_plate_is_refused(tmp_path: Path) -> None:
    to_ngff_zarr(tmp_path / "a", to_multiscales(np.zeros((8, 8), "uint8"), [2]))
    with pytest.raises(StoreNotFoundError, match="no OME-Zarr plate; got an image group.*from_ngff_zarr"):
        from_hcs_zarr(tmp_path / "a")


def test_plates_and_wells_print_what_they_are(plate: Path) -> None:
    found = from_hcs_zarr(plate)
    assert repr(found) == "HCSPlate(screen, rows=2, columns=2, wells=2)"
    assert repr(found.get_well("A", "1")) == "HCSWell(A/1, fields=['0', '1', '2'])"
    assert repr(found.wells[0]) == "PlateWell(path='A/1', rowIndex=0, columnIndex=0)"


def test_cache_sizes_of_ngff_zarrs_scripts_are_accepted(plate: Path) -> None:
    assert from_hcs_zarr(plate, well_cache_size=5, image_cache_size=7).metadata == from_hcs_zarr(plate).metadata
