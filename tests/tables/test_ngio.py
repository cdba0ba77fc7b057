"""Tables that ngio reads and writes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from omexp.containers.roi import Roi
from omexp.containers.tables import ConditionTable, FeatureTable, GenericRoiTable, MaskingRoiTable, RoiTable, TablesCollection
from omexp.storage.groups import open_group

pytestmark = pytest.mark.peers

PAIRS = [
    ("0.4", "anndata_v1"),
    ("0.5", "anndata_v1"),
    ("0.4", "csv"),
    ("0.5", "parquet"),
    ("0.5", "json"),
]  # a file is one in either version
on_both = pytest.mark.parametrize(("place", "backend"), PAIRS, indirect=["place"])
SLICES = {"z": (0.0, 5.0), "y": (0.5, 10.0), "x": (1.0, 3.0)}


@pytest.fixture(scope="module")
def ngio() -> Iterator[Any]:
    """ngio, with its warnings off and the settings of anndata, which it changes, put back afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("ngio")
        pytest.importorskip("ngio.tables")
        import anndata

        before = anndata.settings.zarr_write_format, anndata.settings.auto_shard_zarr_v3
        yield found
        anndata.settings.auto_shard_zarr_v3 = False
        anndata.settings.zarr_write_format = before[0]
        anndata.settings.auto_shard_zarr_v3 = before[1]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, ngio: Any) -> tuple[Path, str]:
    """An image made by ngio, and its version: the parameter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ngio.create_empty_ome_zarr(tmp_path / "i.zarr", shape=(32, 32), pixelsize=0.5, levels=2, ngff_version=request.param)
    return tmp_path / "i.zarr", request.param


def ours(place: tuple[Path, str], mode: str = "r+") -> TablesCollection:
    return TablesCollection(open_group(place[0], mode), place[1])


def features() -> pd.DataFrame:
    columns = {"area": [1.0, 2.0, np.nan], "edge": [True, False, True], "count": [1, 2, 3], "well": ["a", "b", "c"]}
    return pd.DataFrame(columns, index=pd.Index([3, 7, 2**60 + 1], name="label"))


@pytest.mark.filterwarnings("ignore")
@on_both
def test_ngio_reads_what_we_write(place: tuple[Path, str], ngio: Any, backend: str) -> None:
    tables = ours(place)
    boxes = [Roi.from_values(SLICES, name=str(i), label=i, score=i / 2) for i in (1, 2)]
    tables.add("features", FeatureTable(features(), "nuclei"), backend=backend)
    tables.add("fields", RoiTable(boxes), backend=backend)
    tables.add("masks", MaskingRoiTable(boxes, "nuclei"), backend=backend)
    tables.add("generic_rois", GenericRoiTable(boxes), backend=backend)
    tables.add("conditions", ConditionTable({"drug": ["x", "y"]}), backend=backend)
    tables.add("no_rois", RoiTable([]), backend=backend)
    theirs = ngio.open_ome_zarr_container(place[0])
    assert theirs.list_tables() == tables.list()
    read = theirs.get_feature_table("features")
    assert read.reference_label == "nuclei"
    assert_frame_equal(read.dataframe[list(features())], features(), check_dtype=backend != "anndata_v1")  # pandas 3: text as objects
    assert read.dataframe["edge"].dtype == bool
    for table in (theirs.get_roi_table("fields"), theirs.get_masking_roi_table("masks"), theirs.get_generic_roi_table("generic_rois")):
        roi = table.get("2")
        assert roi.label == 2 and roi.score == 1.0 and (roi.get("y").start, roi.get("y").length) == (0.5, 10.0)
    assert theirs.get_masking_roi_table("masks").get_label(2).name == "2"
    assert theirs.get_condition_table("conditions").dataframe["drug"].tolist() == ["x", "y"]
    assert theirs.get_roi_table("no_rois").rois() == []


@pytest.mark.filterwarnings("ignore")
@on_both
def test_we_read_what_ngio_writes(place: tuple[Path, str], ngio: Any, backend: str) -> None:
    boxes = [ngio.Roi.from_values(slices=SLICES, name=str(i), label=i, space="world", score=i / 2) for i in (1, 2)]
    theirs = ngio.open_ome_zarr_container(place[0])
    theirs.add_table("features", ngio.tables.FeatureTable(features(), reference_label="nuclei"), backend=backend)
    theirs.add_table("fields", ngio.tables.RoiTable(boxes), backend=backend)
    theirs.add_table("masks", ngio.tables.MaskingRoiTable(boxes, reference_label="nuclei"), backend=backend)
    theirs.add_table("no_rois", ngio.tables.RoiTable([]), backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables = ours(place, "r")
        assert tables.list() == ["features", "fields", "masks", "no_rois"]
        read = tables.get("features")
        assert isinstance(read, FeatureTable) and read.reference_label == "nuclei"
        assert_frame_equal(read.dataframe[list(features())], features(), check_dtype=False, check_categorical=False)
        assert read.dataframe["area"].dtype == np.float64
        for name in ("fields", "masks"):
            roi = tables.get(name).get("2")  # type: ignore[attr-defined]
            assert roi == Roi.from_values(SLICES, name="2", label=2, score=1.0)
        assert tables.get_as("no_rois", RoiTable).rois() == []


@pytest.mark.filterwarnings("ignore")
@on_both
def test_a_table_of_ours_that_ngio_rewrote_is_read_as_ngio_left_it(place: tuple[Path, str], ngio: Any, backend: str) -> None:
    ours(place).add("t", FeatureTable(features(), "nuclei"), backend=backend)
    table = ngio.open_ome_zarr_container(place[0]).get_table("t")
    table.set_table_data(table.dataframe.assign(edge=[0.5, 1.0, 0.0], new=[1, 2, 3]))
    table.consolidate()
    back = ours(place).get("t").dataframe
    assert back["edge"].tolist() == [0.5, 1.0, 0.0] and back["new"].tolist() == [1, 2, 3] and back["count"].tolist() == [1, 2, 3]
    assert back.index.tolist() == [3, 7, 2**60 + 1]
