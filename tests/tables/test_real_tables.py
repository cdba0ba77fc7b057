"""Tables that Fractal and ngio wrote, as they lie in the shared stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from zarr.storage import MemoryStore

from omexp.containers.tables import (
    FeatureTable,
    GenericRoiTable,
    MaskingRoiTable,
    RoiTable,
    TablesCollection,
)
from omexp.storage.groups import create_group, open_group


def opened(path: Path, version: str) -> TablesCollection:
    return TablesCollection(open_group(path, "r"), version)


def test_the_tables_of_an_old_fractal_image_are_read(shared_data: Path) -> None:
    tables = opened(shared_data / "cardiomyocyte_B03_mip_v04.zarr", "0.4")
    assert tables.list() == ["FOV_ROI_table", "nuclei_ROI_table", "well_ROI_table", "regionprops_DAPI"]
    assert tables.list("roi_table") == ["FOV_ROI_table", "well_ROI_table"]
    assert tables.list(["feature_table", "masking_roi_table"]) == ["nuclei_ROI_table", "regionprops_DAPI"]
    fields = tables.get("FOV_ROI_table")
    assert isinstance(fields, RoiTable) and [roi.name for roi in fields.rois()] == ["FOV_1", "FOV_2", "FOV_3", "FOV_4"]
    assert (fields.get("FOV_2")["x"].start, fields.get("FOV_2")["y"].length) == (416.0, 351.0)
    assert fields.get("FOV_1").extra["x_micrometer_original"] == pytest.approx(-1448.3)
    masks = tables.get("nuclei_ROI_table")
    assert isinstance(masks, MaskingRoiTable) and masks.reference_label == "nuclei" and len(masks) == 3006
    assert masks.get_label(2)["x"].start == pytest.approx(7.9625) and masks.get("2").label == 2
    features = tables.get("regionprops_DAPI")
    assert isinstance(features, FeatureTable) and features.reference_label == "nuclei"
    assert features.dataframe.shape == (3006, 7) and features.dataframe.index.dtype.kind == "i"
    assert features.dataframe.loc[1, "area"] == 2120.0 and features.dataframe["area"].dtype == np.float32


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_tables_of_a_plate_written_by_ngio_are_read(shared_data: Path, version: str) -> None:
    tables = opened(shared_data / f"transfluor_plate_v{version.replace('.', '')}.zarr/O/01/0", version)
    assert tables.list() == ["FOV_ROI_table", "regionprops", "nuclei_masks"]
    features = tables.get("regionprops")
    assert features.meta.extra == {"categorical_columns": [], "measurement_columns": [], "metadata_columns": []}
    assert features.dataframe.loc[2, "area"] == 728.0 and features.reference_label == "spots" and len(features) == 50
    assert tables.get_as("nuclei_masks", MaskingRoiTable).get_label(6)["y"].start == 39.5
    assert tables.get_as("FOV_ROI_table", GenericRoiTable).get("fov")["x"].length == 256.0


def test_a_csv_table_written_by_ngio_is_read(shared_data: Path) -> None:
    table = opened(shared_data / "ngio_tczyx_v05.zarr", "0.5").get_as("well_ROI_table", RoiTable)
    assert table.meta.backend == "csv"
    assert [(s.axis_name, s.start, s.length) for s in table.get("image").slices] == [
        ("t", 0.0, 4.0),
        ("z", 0.0, 10.0),
        ("y", 0.0, 32.0),
        ("x", 0.0, 32.0),
    ]


def test_every_real_table_comes_back_equal_after_a_copy(shared_data: Path, tables: TablesCollection) -> None:
    source = opened(shared_data / "transfluor_plate_v05.zarr/O/01/0", "0.5")
    for name in source.list():
        tables.add(name, source.get(name))
        assert_frame_equal(tables.get(name).dataframe, source.get(name).dataframe)
        assert tables.get(name).meta == source.get(name).meta


def test_a_table_is_read_from_a_store_that_cannot_be_listed() -> None:
    class Unlisted(MemoryStore):
        supports_listing = False

    group = create_group(store := MemoryStore(), 3)
    TablesCollection(group, "0.5").add("t", FeatureTable({"label": [1, 2], "area": [1.0, 2.0], "well": ["A", None]}))
    back = TablesCollection(open_group(Unlisted(store._store_dict), "r"), "0.5").get("t").dataframe
    assert back["area"].tolist() == [1.0, 2.0] and back["well"].isna().tolist() == [False, True]
