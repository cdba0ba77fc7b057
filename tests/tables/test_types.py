"""Features and regions: what they accept, refuse and answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from omexp.containers.roi import Roi
from omexp.containers.tables import (
    ConditionTable,
    FeatureTable,
    GenericRoiTable,
    GenericTable,
    MaskingRoiTable,
    RoiTable,
    Table,
    TablesCollection,
)
from omexp.errors import (
    ArgumentError,
    NameNotFoundError,
    StoredDataError,
)
from omexp.storage.groups import Group


def box(name: str | None = "a", label: int | None = None, x: float = 0.0, **extra: Any) -> Roi:
    return Roi.from_values({"z": (0.0, 1.0), "y": (0.0, 2.0), "x": (x, 3.0)}, name=name, label=label, **extra)


def test_each_class_says_its_type() -> None:
    classes: dict[type[Table], str] = {
        GenericTable: "generic_table",
        ConditionTable: "condition_table",
        FeatureTable: "feature_table",
        RoiTable: "roi_table",
        MaskingRoiTable: "masking_roi_table",
        GenericRoiTable: "generic_roi_table",
    }
    assert {cls: cls.table_type() for cls in classes} == classes
    assert repr(MaskingRoiTable([box("1", 1)], "n")) == "MaskingRoiTable(1 regions, reference_label='n')"
    assert repr(FeatureTable({"label": [1], "a": [1.0]}, "n")) == "FeatureTable(1 rows, 1 columns, reference_label='n')"


@pytest.mark.parametrize(
    "ids", [[3, 7], np.array([3, 7], "uint32"), [3.0, 7.0], ["3", "7"], pd.array([3, 7], "Int64"), pd.Categorical(["3", "7"])], ids=str
)
def test_labels_become_whole_numbers(ids: Any) -> None:
    by_column = FeatureTable(pd.DataFrame({"area": [1.0, 2.0], "label": ids}))
    by_index = FeatureTable(pd.DataFrame({"area": [1.0, 2.0]}, index=pd.Index(ids, name="label")))
    for table in (by_column, by_index):
        assert table.dataframe.index.tolist() == [3, 7] and table.dataframe.index.name == "label"
        assert list(table.dataframe.columns) == ["area"]


@pytest.mark.parametrize("ids", [[1.5, 2.0], ["a", "b"], [True, False], [1, None]], ids=str)
def test_a_label_that_is_no_whole_number_is_refused(ids: Any) -> None:
    with pytest.raises(ArgumentError, match="label"):
        FeatureTable(pd.DataFrame({"label": pd.Series(ids, dtype=object)}))


def test_features_without_labels_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no label.*rename_axis"):
        FeatureTable(pd.DataFrame({"area": [1.0]}))


def test_two_regions_of_one_name_are_refused_unless_they_are_equal() -> None:
    assert len(RoiTable([box("a"), box("a")])) == 1
    with pytest.raises(ArgumentError, match="one name.*'a'"):
        RoiTable([box("a"), box("a", x=1.0)])
    assert len(MaskingRoiTable([box("a", 1), box("a", 2)])) == 2
    with pytest.raises(ArgumentError, match="one label.*7"):
        MaskingRoiTable([box("a", 7), box("b", 7)])
    with pytest.raises(ArgumentError, match="no label"):
        MaskingRoiTable([box("a")])


def test_regions_are_added_and_replaced_in_place() -> None:
    table = RoiTable([box("a"), box("b")])
    with pytest.raises(ArgumentError, match="overwrite=True"):
        table.add([box("c"), box("a", x=5.0)])
    assert [roi.name for roi in table.rois()] == ["a", "b"]
    table.add(box("a", x=5.0), overwrite=True)
    table.add([box("c", label=9, kind="new")])
    assert [roi.name for roi in table.rois()] == ["a", "b", "c"] == table.dataframe.index.tolist()
    assert table.get("a")["x"].start == 5.0 and table.get_label(9).extra == {"kind": "new"}
    assert table.dataframe["x_micrometer"].tolist() == [5.0, 0.0, 0.0]


def test_an_unknown_region_is_answered_with_those_there_are() -> None:
    table = MaskingRoiTable([box(None, 4)])
    assert table.get("4").label == 4
    with pytest.raises(NameNotFoundError, match="'9'.*'4'"):
        table.get("9")
    with pytest.raises(NameNotFoundError, match="9.*4"):
        table.get_label(9)
    with pytest.raises(ArgumentError, match="2 regions have that label"):
        RoiTable([box("a", 1), box("b", 1)]).get_label(1)


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (Roi.from_values({"y": (0, 1), "x": (0, 1)}, name="a", space="pixel"), "world coordinates.*to_world"),
        (Roi.from_values({"y": (0, 1)}, name="a"), "no place for these axes"),
        (Roi.from_values({"y": (0, 1), "x": (0, 1), "c": (0, 1)}, name="a"), "no place for these axes"),
        (Roi.from_values({"y": (0, 1), "x": slice(None)}, name="a"), "open interval.*'x'"),
        (box("a", len_x_micrometer=3), "extra value has the name"),
        ("a", "made of Rois.*str"),
    ],
)
def test_a_region_that_a_table_cannot_hold_is_refused(roi: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        RoiTable([roi])


def test_a_region_table_takes_its_names_from_a_column(tables: TablesCollection) -> None:
    frame = RoiTable([box("a")]).dataframe.reset_index()
    assert RoiTable.from_dataframe(frame).get("a") == box("a")
    tables.add("t", RoiTable.from_dataframe(frame))
    assert repr(tables) == "TablesCollection(t)"


def test_a_plane_gets_z_zero_and_length_one() -> None:
    frame = RoiTable(Roi.from_values({"y": (1, 2), "x": slice(None, 4)}, name="a")).dataframe
    assert frame.loc["a"].to_dict() == {
        "x_micrometer": 0.0,
        "y_micrometer": 1.0,
        "z_micrometer": 0.0,
        "len_x_micrometer": 4.0,
        "len_y_micrometer": 2.0,
        "len_z_micrometer": 1.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="len_x_micrometer"), "missing.*len_x_micrometer"),
        (lambda f: f.assign(x_micrometer=np.nan), "x_micrometer.*'a'.*no finite bound"),
        (lambda f: f.assign(x_micrometer="wide"), "x_micrometer.*no numbers"),
        (lambda f: f.assign(len_x_micrometer=-1.0), "negative"),
        (lambda f: f.assign(label=1.5), "label.*whole number"),
    ],
)
def test_columns_that_are_no_regions_are_refused_in_memory_and_on_disk(tables: TablesCollection, change: Any, message: str) -> None:
    frame = change(RoiTable([box("a")]).dataframe)
    with pytest.raises(ArgumentError, match=message):
        RoiTable.from_dataframe(frame)
    tables.add("t", frame, backend="csv")
    with pytest.raises(StoredDataError, match="get_as"):
        tables.get_as("t", RoiTable)
    assert len(tables.get("t")) == 1


def test_regions_need_the_index_that_the_attributes_name(image: Group, tables: TablesCollection) -> None:
    frame = RoiTable([box("a")]).dataframe.rename_axis("row")
    with pytest.raises(ArgumentError, match="no names.*'FieldIndex'"):
        RoiTable.from_dataframe(frame)
    tables.add("t", frame, backend="csv")
    group = image.group("tables/t")
    group.put_attributes(group.attributes | {"index_key": "FieldIndex"})
    with pytest.raises(StoredDataError, match="index column is missing.*'FieldIndex'"):
        tables.get_as("t", RoiTable)


def test_regions_that_share_a_name_on_disk_are_read_and_only_asking_for_that_name_fails(tables: TablesCollection) -> None:
    frame = pd.concat([RoiTable([box("a")]).dataframe, RoiTable([box("a", x=1.0), box("b")]).dataframe])
    tables.add("t", frame, backend="csv")
    table = tables.get_as("t", RoiTable)
    assert len(table.rois()) == 3 and table.get("b").name == "b"
    with pytest.raises(ArgumentError, match="2 regions have that name"):
        table.get("a")
    tables.add("m", frame.set_axis([1, 1, 2], axis=0).rename_axis("label"), backend="csv")
    with pytest.raises(StoredDataError, match="one label"):
        tables.get_as("m", MaskingRoiTable)


def test_a_generic_region_table_keeps_the_index_it_was_stored_with(image: Group, tables: TablesCollection) -> None:
    tables.add("t", RoiTable([box("a")]).dataframe.rename_axis("field"))
    group = image.group("tables/t")
    group.put_attributes({"backend": "anndata_v1", "type": "generic_roi_table"})
    table = tables.get("t")
    assert isinstance(table, GenericRoiTable) and table.dataframe.index.name == "field" and table.get("a").name == "a"
