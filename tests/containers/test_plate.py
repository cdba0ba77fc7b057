"""Plates and wells: what is there, in which order, and filling an empty plate with images."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import omexp
from omexp.errors import AlreadyExistsError, ArgumentError, InvalidMetadataError, NameNotFoundError, ReadOnlyError, StoreNotFoundError
from tests.conftest import Case
from tests.stores import documents, files

FIELDS = [("A", 1, "0", 0), ("A", 1, "1", 1), ("B", 2, "0", 0), ("B", 10, "0", 0)]
PATHS = ["A/01/0", "A/01/1", "B/02/0", "B/10/0"]


def pixels_of(path: str) -> np.ndarray:
    return np.random.default_rng(PATHS.index(path)).integers(0, 255, (2, 8, 8), dtype="uint8")


def make_plate(folder: Path, version: str = "0.5") -> omexp.OmeZarrPlate:
    images = [omexp.ImageInWellPath(row, column, path, acquisition, f"run {acquisition}") for row, column, path, acquisition in FIELDS]
    plate = omexp.create_empty_plate(folder, "screen", images, ngff_version=version)
    for row, column, path, _ in FIELDS:
        place = plate.get_image_store(row, column, path)
        pixels = pixels_of(f"{row}/{column:02d}/{path}")
        omexp.create_ome_zarr_from_array(place, pixels, axes_names="cyx", xy_pixelsize=0.5, levels=1, ngff_version=version)
    return plate


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One plate per version; copied, never written to."""
    folder = tmp_path_factory.mktemp("plates")
    for version in ("0.4", "0.5"):
        make_plate(folder / version, version)
    return {version: folder / version for version in ("0.4", "0.5")}


@pytest.fixture(params=["0.4", "0.5"])
def plate_store(request: pytest.FixtureRequest, plates: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(plates[request.param], tmp_path / "plate.zarr"))


def test_a_plate_says_what_it_holds(plate_store: Path) -> None:
    plate = omexp.open_ome_zarr_plate(plate_store)
    assert (plate.rows, plate.columns, plate.wells_paths()) == (["A", "B"], ["01", "02", "10"], ["A/01", "B/02", "B/10"])
    assert (plate.images_paths(), plate.images_paths(acquisition=1)) == (PATHS, ["A/01/1"])
    assert (plate.acquisition_ids, plate.acquisitions_names) == ([0, 1], ["run 0", "run 1"])
    assert (plate.meta.name, plate.device, plate.where) == ("screen", "cpu", str(plate_store))
    assert plate.version == ("0.4" if (plate_store / ".zattrs").exists() else "0.5")
    assert repr(plate) == "OmeZarrPlate(screen, rows=['A', 'B'], columns=['01', '02', '10'], wells=3)"
    assert "B</th><td style='text-align:left'>02 10</td>" in plate._repr_html_()
    assert plate.wells == plate.wells_paths() == ["A/01", "B/02", "B/10"]
    assert [a.id for a in plate.acquisitions] == plate.acquisition_ids


def test_images_are_reached_through_plate_and_well_on_the_device(plate_store: Path, backend: Case) -> None:
    plate = omexp.open_ome_zarr_plate(plate_store, device=backend.backend)
    well = plate.get_well("A", 1)
    found = {
        **{path: plate.get_images()[path] for path in PATHS},
        "A/01/1": plate.get_image("A", "01", "1"),
        "A/01/0": well.get_image("0"),
        "B/10/0": plate.get_well_images("B", 10)["0"],
        "B/02/0": plate.get_well("B", "2").get_images()["0"],
    }
    for path, container in found.items():
        array = container.get_image().get_array()
        assert backend.holds(array)
        np.testing.assert_array_equal(backend.host(array), pixels_of(path))


def test_a_well_says_what_it_holds(plate_store: Path) -> None:
    well = omexp.open_ome_zarr_well(plate_store / "A" / "01")
    assert (well.paths(), well.paths(acquisition=1), well.acquisition_ids) == (["0", "1"], ["1"], [0, 1])
    assert list(well.get_images(acquisition=0)) == ["0"]
    assert repr(well).endswith("A/01, fields=['0', '1'])")


def test_documents_are_those_of_the_version(plate_store: Path) -> None:
    found = documents(plate_store)
    plate = found[".zattrs"]["plate"] if ".zattrs" in found else found["zarr.json"]["attributes"]["ome"]["plate"]
    assert plate["wells"][2] == {"path": "B/10", "rowIndex": 1, "columnIndex": 2}
    assert plate["field_count"] == 2
    assert [a["maximumfieldcount"] for a in plate["acquisitions"]] == [1, 1]
    assert ("A/.zgroup" if ".zattrs" in found else "A/zarr.json") in found


def test_what_a_plate_does_not_hold_is_refused_with_what_it_does(plate_store: Path) -> None:
    plate = omexp.open_ome_zarr_plate(plate_store)
    with pytest.raises(NameNotFoundError, match=r"there is no such well; got C/1; allowed: A/01, B/02, B/10"):
        plate.get_well("C", 1)
    with pytest.raises(NameNotFoundError, match=r"plate.zarr/A/01: there is no such field; got '7'; allowed: 0, 1"):
        plate.get_image("A", 1, "7")
    with pytest.raises(NameNotFoundError, match="there is no such well"):
        plate.get_image_store("C", 1, "0")


def test_what_is_listed_but_not_on_disk_is_named(plate_store: Path) -> None:
    shutil.rmtree(plate_store / "B" / "02")
    shutil.rmtree(plate_store / "A" / "01" / "1")
    plate = omexp.open_ome_zarr_plate(plate_store)
    with pytest.raises(StoreNotFoundError, match=r"B/02: the well is listed but not on disk"):
        plate.get_well("B", 2)
    with pytest.raises(StoreNotFoundError, match=r"A/01/1: the field is listed but not on disk"):
        plate.get_image("A", 1, "1")
    with pytest.warns(omexp.OmexpWarning, match="not on disk") as caught:
        assert list(plate.get_images()) == ["A/01/0", "B/10/0"]
    messages = [str(w.message) for w in caught]
    assert any("wells that are listed but not on disk: B/02" in m for m in messages)
    assert any("fields that are listed but not on disk: A/01/1" in m for m in messages)
    assert {Path(w.filename) for w in caught} == {Path(__file__)}  # they point at the caller's line


def test_another_kind_of_group_is_refused(plate_store: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"this group is no OME-Zarr plate; got a well group"):
        omexp.open_ome_zarr_plate(plate_store / "A" / "01")
    with pytest.raises(StoreNotFoundError, match=r"this group is no OME-Zarr well; got a plate group"):
        omexp.open_ome_zarr_well(plate_store)
    with pytest.raises(StoreNotFoundError, match=r"this group is no OME-Zarr plate; got a Zarr group without OME-Zarr metadata"):
        omexp.open_ome_zarr_plate(plate_store / "A")


def test_a_plate_whose_document_is_wrong_names_every_place(tmp_path: Path) -> None:
    make_plate(tmp_path / "plate.zarr")
    place = tmp_path / "plate.zarr" / "zarr.json"
    document = json.loads(place.read_text())
    document["attributes"]["ome"]["plate"]["wells"][0]["path"] = "Z/01"
    document["attributes"]["ome"]["plate"]["acquisitions"][1]["id"] = "one"
    place.write_text(json.dumps(document))
    with pytest.raises(InvalidMetadataError, match=r"this group is not a usable plate; got plate.wells.0.path.*acquisitions.1.id"):
        omexp.open_ome_zarr_plate(tmp_path / "plate.zarr")


# -------------------------------------------------------------------------------------------------------- creating
def test_an_empty_plate_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    images = [omexp.ImageInWellPath("A", 1)]
    omexp.create_empty_plate(tmp_path / "plate.zarr", "p", images)
    before = files(tmp_path)
    with pytest.raises(AlreadyExistsError, match="something is there already"):
        omexp.create_empty_plate(tmp_path / "plate.zarr", "p", images)
    for wrong, message in [
        (lambda: omexp.create_empty_plate(tmp_path / "new.zarr", "p", [*images, *images]), "the same image is named twice"),
        (lambda: omexp.create_empty_plate(tmp_path / "new.zarr", "p", images, ngff_version="0.1"), "cannot be written"),
        (lambda: omexp.create_empty_plate(tmp_path / "new.zarr", "p", images, device="gpu"), "device is not understood"),
        (lambda: omexp.ImageInWellPath("A/1", 1), "row must be alphanumeric; got 'A/1'"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            wrong()
    assert files(tmp_path) == before
    omexp.create_empty_plate(tmp_path / "plate.zarr", "other", images, overwrite=True)
    assert omexp.open_ome_zarr_plate(tmp_path / "plate.zarr").meta.name == "other"


def test_looking_for_the_place_of_an_image_creates_nothing(plate_store: Path) -> None:
    before = files(plate_store)
    omexp.open_ome_zarr_plate(plate_store).get_image_store("A", 1, "9")
    assert files(plate_store) == before


def test_an_image_at_a_place_that_is_taken_is_refused(plate_store: Path) -> None:
    plate, before = omexp.open_ome_zarr_plate(plate_store), files(plate_store)
    version = plate.version
    with pytest.raises(AlreadyExistsError, match=r"A/01/0: something is there already"):
        omexp.create_empty_ome_zarr(plate.get_image_store("A", 1, "0"), (8, 8), xy_pixelsize=1, ngff_version=version)
    assert files(plate_store) == before
    read_only = omexp.open_ome_zarr_plate(plate_store, mode="r")
    with pytest.raises(ReadOnlyError, match="read-only"):
        omexp.create_empty_ome_zarr(read_only.get_image_store("A", 1, "5"), (8, 8), xy_pixelsize=1, ngff_version=version)
    assert files(plate_store) == before


def test_the_default_device_reaches_plates(plate_store: Path, backend: Case) -> None:
    with omexp.default_device(backend.backend):
        plate = omexp.open_ome_zarr_plate(plate_store)
        well = omexp.open_ome_zarr_well(plate_store / "A" / "01")
    assert plate.device == backend.backend.name
    assert backend.holds(well.get_image("0").get_image().get_array())


# ------------------------------------------------------------------------------------------- what foreign plates have
def test_what_cannot_be_used_is_left_out_and_named_with_all_that_is_missing(plate_store: Path) -> None:
    name = "zarr.json" if (plate_store / "zarr.json").exists() else ".zattrs"
    shutil.rmtree(plate_store / "B" / "02" / "0")
    (plate_store / "B" / "10" / name).write_text("{ damaged")
    document = json.loads((plate_store / "A" / "01" / "0" / name).read_text())
    (document["attributes"]["ome"] if "attributes" in document else document)["multiscales"] = []
    (plate_store / "A" / "01" / "0" / name).write_text(json.dumps(document))
    plate = omexp.open_ome_zarr_plate(plate_store)
    with pytest.warns(omexp.OmexpWarning) as caught:
        assert list(plate.get_images()) == ["A/01/1"]
    (message,) = {str(w.message) for w in caught}
    assert "fields that are listed but not on disk: B/02/0;" in message
    assert "left out, for they cannot be used: B/10 (" in message and "A/01/0 (" in message


def test_an_acquisition_that_the_plate_does_not_list_is_named(plate_store: Path) -> None:
    name = "zarr.json" if (plate_store / "zarr.json").exists() else ".zattrs"
    place = plate_store / "A" / "01" / name
    place.write_text(place.read_text().replace('"acquisition": 1', '"acquisition": 8'))
    plate = omexp.open_ome_zarr_plate(plate_store)
    with pytest.warns(omexp.OmexpWarning, match="acquisition 8 is not among the plate's, but fields have it: A/01/1$"):
        assert plate.images_paths(acquisition=8) == ["A/01/1"]


def test_a_field_whose_group_is_there_and_empty_is_one_that_is_missing(plate_store: Path) -> None:
    plate = omexp.open_ome_zarr_plate(plate_store)
    shutil.rmtree(plate_store / "B" / "02" / "0")
    plate.group.group("B/02").require_group("0")  # as ngio's get_image_store leaves it
    with pytest.warns(omexp.OmexpWarning, match="fields that are listed but not on disk: B/02/0$"):
        assert "B/02/0" not in plate.get_images()


def test_a_plate_of_0_6_is_made_filled_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "plate.zarr"
    make_plate(folder, "0.6")
    plate = omexp.open_ome_zarr_plate(folder)
    assert (plate.version, plate.images_paths(), list(plate.get_images())) == ("0.6", PATHS, PATHS)
    assert "version" not in documents(folder)["zarr.json"]["attributes"]["ome"]["plate"]


def test_only_rows_that_have_wells_become_groups(tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "p.zarr", "p", [omexp.ImageInWellPath("B", 1)], rows=list("ABC"), columns=[1, 2])
    assert (plate.rows, plate.group.members()) == (["A", "B", "C"], ["B"])


def test_a_plate_has_tables_and_so_have_its_images(plate_store: Path) -> None:
    plate = omexp.open_ome_zarr_plate(plate_store)
    plate.add_table("layout", {"well": ["A/01", "B/02"], "dose": [0.5, 1.0]}, backend="csv")
    assert (plate.list_tables(), plate.get_table("layout").dataframe["dose"].tolist()) == (["layout"], [0.5, 1.0])
    for path, image in plate.get_images().items():
        image.add_table("cells", omexp.FeatureTable({"label": [1, 2], "area": [1.0, 2.0]}), backend="json")
        if path != "A/01/0":
            image.add_table("more", {"a": [1]}, backend="csv")
    assert (plate.list_image_tables(), plate.list_image_tables(mode="all")) == (["cells"], ["cells", "more"])
    assert plate.list_image_tables(filter_types="generic_table", mode="all") == ["more"]
    frame = plate.concatenate_image_tables("cells").dataframe.reset_index()
    assert frame["path_in_well"].tolist() == [p.split("/")[2] for p in PATHS for _ in range(2)]
    as_generic = plate.concatenate_image_tables_as("cells", omexp.GenericTable)
    assert type(as_generic) is omexp.GenericTable and len(as_generic.dataframe) == 8
    with pytest.warns(omexp.OmexpWarning, match="1 of 4 images have no table 'more': A/01/0"):
        assert len(asyncio.run(plate.concatenate_image_tables_async("more", strict=False)).dataframe) == 3
    assert asyncio.run(plate.list_image_tables_async()) == ["cells"]
    assert list(asyncio.run(plate.get_images_async())) == asyncio.run(plate.images_paths_async()) == PATHS
    assert list(asyncio.run(plate.get_wells_async())) == plate.wells_paths()
    same = asyncio.run(plate.concatenate_image_tables_as_async("cells", omexp.GenericTable))
    assert same.dataframe.equals(as_generic.dataframe)
    for wrong in (lambda: plate.list_image_tables(mode="some"), lambda: plate.concatenate_image_tables("cells", mode="slow")):
        with pytest.raises(ArgumentError, match="mode is not understood"):
            wrong()
    plate.delete_table("layout")
    assert plate.list_tables() == []
