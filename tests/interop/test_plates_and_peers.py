"""Plates: ours opened by ngio, ngff-zarr, ome-zarr-py and TensorStore, theirs opened by omexp. Two wells of two fields each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import omexp

pytestmark = [
    pytest.mark.peers,
    # ome-zarr 0.18 builds its own deprecated Scaler when it is imported; 0.18 and 0.21 tell that c has no scale
    pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning:ome_zarr.writer"),
    pytest.mark.filterwarnings("ignore:Scale value not provided for ax:UserWarning"),
    # ngio 1.1 announces its next default, at the caller's line
    pytest.mark.filterwarnings("ignore:Pyramid consolidation still builds every level through dask:FutureWarning"),
]

WELLS, FIELDS = (("A", "01"), ("B", "03")), ("0", "1")
PLACES = [f"{row}/{column}/{field}" for row, column in WELLS for field in FIELDS]
VERSIONS = ["0.4", "0.5"]


def pixels_of(place: str) -> np.ndarray:
    """(c, y, x); other pixels in every field."""
    return np.random.default_rng(PLACES.index(place)).integers(0, 255, (2, 23, 35), "uint8")


# ------------------------------------------------------------------------------------------------- peers read ours
@pytest.fixture(scope="module", params=VERSIONS)
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours") / "plate.zarr"
    images = [omexp.ImageInWellPath(row, int(column), field) for row, column in WELLS for field in FIELDS]
    plate = omexp.create_empty_plate(folder, "screen", images, ngff_version=request.param)
    for image, place in zip(images, PLACES, strict=True):
        omexp.create_ome_zarr_from_array(
            plate.get_image_store(image.row, image.column, image.path), pixels_of(place), axes_names="cyx", xy_pixelsize=0.5, levels=2,
            ngff_version=request.param, workers=1,
        )  # fmt: skip
    return folder


def test_ngio_sees_wells_fields_and_pixels_of_our_plate(ours: Path) -> None:
    plate = pytest.importorskip("ngio").open_ome_zarr_plate(ours, mode="r")
    assert (plate.rows, plate.columns, plate.wells_paths()) == (["A", "B"], ["01", "03"], ["A/01", "B/03"])
    images = plate.get_images(max_workers=1)
    assert sorted(images) == PLACES == sorted(plate.images_paths(max_workers=1))
    for place, image in images.items():
        np.testing.assert_array_equal(image.get_image().get_as_numpy(), pixels_of(place), strict=True)
    np.testing.assert_array_equal(plate.get_image("B", 3, "1").get_image().get_as_numpy(), pixels_of("B/03/1"), strict=True)


def test_ngff_zarr_sees_wells_fields_and_pixels_of_our_plate(ours: Path) -> None:
    plate = pytest.importorskip("ngff_zarr").from_hcs_zarr(ours)
    assert (plate.name, plate.field_count, [well.path for well in plate.wells]) == ("screen", 2, ["A/01", "B/03"])
    for (row, column), field in product(WELLS, FIELDS):
        well = plate.get_well(row, column)
        assert [image.path for image in well.images] == list(FIELDS)
        image = well.get_image(int(field)).images[0]
        np.testing.assert_array_equal(np.asarray(image.data), pixels_of(f"{row}/{column}/{field}"), strict=True)
        assert (image.scale["y"], image.scale["x"]) == (0.5, 0.5)


def test_ome_zarr_py_stitches_the_wells_and_the_fields_of_our_plate(ours: Path) -> None:
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    empty = np.zeros((2, 23, 35), "uint8")
    first = [[pixels_of("A/01/0"), empty], [empty, pixels_of("B/03/0")]]  # it shows the first field of each well
    (plate,) = Reader(parse_url(str(ours)))()
    assert [level.shape for level in plate.data] == [(2, 46, 70), (2, 24, 36)]
    np.testing.assert_array_equal(np.asarray(plate.data[0]), np.block(first), strict=True)
    (well,) = Reader(parse_url(str(ours / "B/03")))()
    np.testing.assert_array_equal(np.asarray(well.data[0]), np.block([pixels_of("B/03/0"), pixels_of("B/03/1")]), strict=True)


def test_tensorstore_reads_every_array_of_our_plate(ours: Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    driver = "zarr3" if (ours / "zarr.json").exists() else "zarr"
    for place in PLACES:
        store = {"driver": "file", "path": str(ours / place / "0")}
        array = tensorstore.open({"driver": driver, "kvstore": store}, read=True).result()
        np.testing.assert_array_equal(array.read().result(), pixels_of(place), strict=True)


# ------------------------------------------------------------------------------------------------- we read theirs
def by_ngio(folder: Path, version: str) -> None:
    ngio = pytest.importorskip("ngio")
    images = [
        ngio.ImageInWellPath(row=row, column=int(column), path=field, acquisition_id=int(field), acquisition_name=f"cycle {field}")
        for (row, column), field in product(WELLS, FIELDS)
    ]
    plate = ngio.create_empty_plate(folder, "screen", images, ngff_version=version)
    for image, place in zip(images, PLACES, strict=True):
        store = plate.get_image_store(row=image.row, column=image.column, image_path=image.path)
        ngio.create_ome_zarr_from_array(store, pixels_of(place), pixelsize=0.5, levels=2, axes_names="cyx", ngff_version=version)


def by_ngff_zarr(folder: Path, version: str) -> None:
    nz = pytest.importorskip("ngff_zarr")
    plate = nz.Plate(
        columns=[nz.PlateColumn("01"), nz.PlateColumn("03")],
        rows=[nz.PlateRow("A"), nz.PlateRow("B")],
        wells=[nz.PlateWell("A/01", 0, 0), nz.PlateWell("B/03", 1, 1)],
        version=version,
        name="screen",
        acquisitions=[nz.PlateAcquisition(0, name="cycle 0"), nz.PlateAcquisition(1, name="cycle 1")],
    )
    nz.to_hcs_zarr(nz.HCSPlate(store=folder, plate_metadata=plate), folder)
    for (row, column), field in product(WELLS, FIELDS):
        scale = {"c": 1.0, "y": 0.5, "x": 0.5}
        image = nz.to_ngff_image(
            pixels_of(f"{row}/{column}/{field}"), ("c", "y", "x"), scale, axes_units={"y": "micrometer", "x": "micrometer"}
        )
        multiscales = nz.to_multiscales(image, [{"c": 1, "y": 2, "x": 2}], nz.Methods.DASK_BIN_SHRINK)
        nz.write_hcs_well_image(folder, multiscales, plate, row, column, int(field), int(field), version=version)


def by_ome_zarr_py(folder: Path, version: str) -> None:
    pytest.importorskip("ome_zarr")
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata

    form = FormatV04() if version == "0.4" else FormatV05()
    plate = zarr.open_group(folder, mode="w", zarr_format=form.zarr_format)
    acquisitions = [{"id": 0, "name": "cycle 0"}, {"id": 1, "name": "cycle 1"}]
    write_plate_metadata(plate, ["A", "B"], ["01", "03"], ["A/01", "B/03"], form, acquisitions, 2, "screen")
    for row, column in WELLS:
        well = plate.require_group(f"{row}/{column}")
        write_well_metadata(well, [{"path": field, "acquisition": int(field)} for field in FIELDS], form)
        for field in FIELDS:
            write_image(
                pixels_of(f"{row}/{column}/{field}"), well.require_group(field), fmt=form, axes="cyx", scale_factors=[2],
                scale={"c": 1.0, "y": 0.5, "x": 0.5}, axes_units={"y": "micrometer", "x": "micrometer"},
            )  # fmt: skip


WRITERS: dict[str, Callable[[Path, str], Any]] = {"ngio": by_ngio, "ngff-zarr": by_ngff_zarr, "ome-zarr-py": by_ome_zarr_py}


@pytest.mark.parametrize(("writer", "version"), list(product(WRITERS, VERSIONS)))
def test_a_plate_that_a_peer_writes_opens_with_its_wells_fields_acquisitions_and_pixels(writer: str, version: str, tmp_path: Path) -> None:
    WRITERS[writer](tmp_path / "plate.zarr", version)
    plate = omexp.open_ome_zarr_plate(tmp_path / "plate.zarr", mode="r")
    assert (plate.version, plate.meta.name) == (version, "screen")
    assert (plate.rows, plate.columns, plate.wells_paths()) == (["A", "B"], ["01", "03"], ["A/01", "B/03"])
    assert (plate.acquisition_ids, plate.acquisitions_names) == ([0, 1], ["cycle 0", "cycle 1"])
    assert plate.images_paths() == PLACES and plate.images_paths(acquisition=1) == ["A/01/1", "B/03/1"]
    for place, container in plate.get_images().items():
        image = container.get_image()
        np.testing.assert_array_equal(image.get_as_numpy(), pixels_of(place), strict=True)
        assert (container.levels, image.pixel_size.yx, image.space_unit) == (2, (0.5, 0.5), "micrometer")
