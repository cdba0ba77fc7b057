"""One table of the tables of many images."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import omexp
from omexp.containers.tables import FeatureTable, GenericRoiTable, GenericTable, MaskingRoiTable, RoiTable
from omexp.containers.tables.concatenation import (
    concatenate,
    concatenate_async,
    concatenate_image_tables,
    concatenate_image_tables_as,
    concatenate_image_tables_async,
    list_image_tables,
)
from omexp.containers.tables.unify import stacked
from omexp.errors import ArgumentError, DTypeError, NameNotFoundError, OmexpWarning
from tests.tables.test_round_trips import BACKENDS, every_type

KEYS = ["A/01/0", "A/01/1", "B/12/0"]


@pytest.fixture
def images() -> dict[str, Any]:
    """Three images in memory, one of them in Zarr format 2."""
    versions = ("0.4", "0.5", "0.5")
    make = omexp.create_empty_ome_zarr
    return {k: make({}, (8, 8), xy_pixelsize=0.5, levels=1, ngff_version=v) for k, v in zip(KEYS, versions, strict=True)}


def features(start: int, rows: int = 2) -> FeatureTable:
    ids = np.arange(start, start + rows)
    return FeatureTable({"label": ids, "area": ids / 2, "good": ids % 2 == 0, "kind": [f"k{i}" for i in ids]}, "nuclei")


@pytest.mark.parametrize(("backend", "lazy"), [*[(backend, False) for backend in BACKENDS], ("anndata_v1", True)])
def test_rows_say_which_image_they_are_from_and_have_an_index_of_their_own(images: dict[str, Any], backend: str, lazy: bool) -> None:
    for start, image in enumerate(images.values(), 1):
        image.add_table("f", features(start), backend=backend)
    whole = concatenate(images, "f", index_key="index", lazy=lazy)
    frame = whole.dataframe
    assert type(whole) is FeatureTable and whole.reference_label == "nuclei" and whole.index_key == "index"
    assert frame.index.tolist() == ["A_01_0_1", "A_01_0_2", "A_01_1_2", "A_01_1_3", "B_12_0_3", "B_12_0_4"]
    assert list(frame) == ["label", "area", "good", "kind", "row", "column", "path_in_well"]
    assert frame["label"].tolist() == [1, 2, 2, 3, 3, 4] and frame["label"].dtype == np.int64
    assert frame["good"].dtype == bool and frame["area"].dtype == np.float64
    assert frame["column"].tolist() == ["01"] * 4 + ["12"] * 2
    assert frame["kind"].tolist() == [f"k{i}" for i in frame["label"]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tables_joined_as_they_lie_there_are_those_joined_one_by_one(images: dict[str, Any], backend: str) -> None:
    for image in images.values():
        image.add_table("t", every_type(), backend=backend)
    whole = concatenate(images, "t").dataframe
    alone = [image.get_table("t").dataframe for image in images.values()]
    assert_frame_equal(whole[list(alone[0])], pd.concat(alone, ignore_index=True), check_exact=True)


def test_rows_keep_their_index_where_no_other_is_asked_for(images: dict[str, Any]) -> None:
    for image in images.values():
        image.add_table("f", features(4))
    assert concatenate(images, "f").dataframe.index.tolist() == [4, 5] * 3
    assert concatenate(images, "f").dataframe.index.name == "label"


def test_images_and_their_tables_stay_as_they_are(images: dict[str, Any]) -> None:
    for image in images.values():
        image.add_table("f", features(1))
    before = {key: image.get_table("f") for key, image in images.items()}
    concatenate(images, "f", index_key="index")
    for key, image in images.items():
        assert image.get_table("f").meta == before[key].meta
        assert_frame_equal(image.get_table("f").dataframe, before[key].dataframe)


def test_missing_tables_are_errors_or_named_once(images: dict[str, Any]) -> None:
    images["A/01/1"].add_table("f", features(1))
    with pytest.raises(NameNotFoundError, match="2 of 3 images: the images have no table 'f'; got A/01/0, B/12/0. Pass strict=False"):
        concatenate(images, "f")
    with pytest.warns(OmexpWarning, match="2 of 3 images have no table 'f': A/01/0, B/12/0") as seen:
        found = concatenate(images, "f", strict=False, index_key="index")
    assert len(seen) == 1 and found.dataframe["row"].tolist() == ["A", "A"]
    with pytest.raises(NameNotFoundError, match="list_tables"):
        concatenate(images, "g", strict=False)
    with pytest.raises(ArgumentError, match="no images"):
        concatenate({}, "f")


def test_a_lazy_table_reads_no_columns_before_they_are_asked_for(tmp_path: Path) -> None:
    make = omexp.create_empty_ome_zarr
    images = {str(i): make(tmp_path / f"{i}.zarr", (8, 8), xy_pixelsize=0.5, levels=1) for i in range(2)}
    for image in images.values():
        image.add_table("t", {"a": [1, 2]}, backend="csv")
    whole = concatenate(images, "t", lazy=True)
    assert whole.index_key is None and whole.table_type() == "generic_table"
    images["1"].add_table("t", {"a": [3]}, backend="csv", overwrite=True)
    assert whole.dataframe["a"].tolist() == [1, 2, 3]
    assert whole.dataframe["image"].tolist() == ["0", "0", "1"]
    assert repr(whole) == "GenericTable(3 rows, 2 columns)"
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        whole.colour  # noqa: B018


def test_columns_that_tables_lack_are_missing_there(images: dict[str, Any]) -> None:
    frames = [{"a": [1], "b": [True]}, {"a": [2], "c": [1.5]}, {"d": ["x"], "c": [2]}]
    for frame, backend, image in zip(frames, ("csv", "json", "parquet"), images.values(), strict=True):
        image.add_table("t", frame, backend=backend)
    found = concatenate(images, "t", extras={key: {"plate": 7} for key in KEYS}).dataframe
    assert found["a"].tolist()[:2] == [1, 2] and found["a"].dtype == "Int64" and found["a"].isna().tolist() == [False, False, True]
    assert found["b"].dtype == "boolean" and found["c"].dtype == "float64" and found["d"].tolist()[2] == "x"
    assert found["plate"].tolist() == [7, 7, 7]


def test_keys_are_unique_even_where_the_rows_of_an_image_are_not(images: dict[str, Any]) -> None:
    images["A/01/0"].add_table("f", FeatureTable({"label": [5, 5, 6]}))
    images["A/01/1"].add_table("f", GenericTable({"label": [5, 5, 6]}))
    images["B/12/0"].add_table("f", FeatureTable({"label": [5]}))
    found = concatenate({k: images[k] for k in ("A/01/0", "B/12/0")}, "f", index_key="key").dataframe
    assert found.index.tolist() == ["A_01_0_5", "A_01_0_5_2", "A_01_0_6", "B_12_0_5"]
    rows = concatenate({"A/01/1": images["A/01/1"]}, "f", index_key="key").dataframe
    assert rows.index.tolist() == ["A_01_1_0", "A_01_1_1", "A_01_1_2"] and rows["label"].tolist() == [5, 5, 6]


def test_regions_of_many_images_are_one_table_of_regions(images: dict[str, Any]) -> None:
    box = {"z": (0.0, 1.0), "y": (1.0, 2.0), "x": (3.0, 4.0)}
    for image in images.values():
        image.add_table("fields", RoiTable([omexp.Roi.from_values(box, name="FOV")]))
        image.add_table("masks", MaskingRoiTable([omexp.Roi.from_values(box, label=7)], "nuclei"))
    fields = concatenate(images, "fields", index_key="index")
    assert isinstance(fields, RoiTable) and fields.get("B_12_0_FOV").extra["row"] == "B" and len(fields.rois()) == 3
    masks = concatenate(images, "masks")
    assert type(masks) is GenericRoiTable and [roi.label for roi in masks.rois()] == [7, 7, 7]
    unique = concatenate(images, "masks", index_key="index")
    assert isinstance(unique, MaskingRoiTable) and unique.get("A_01_1_7").label == 7
    assert type(concatenate(images, "masks", table_type=GenericTable)) is GenericTable


def test_ngio_s_names_take_lists(images: dict[str, Any]) -> None:
    for image in images.values():
        image.add_table("f", features(1))
    images["A/01/0"].add_table("only", {"a": [1]})
    every, extras = list(images.values()), [{"plate": "p", "n": i} for i in range(3)]
    found = concatenate_image_tables(every, extras, "f", index_key="index")
    assert found.dataframe.index.tolist()[::2] == ["p_0_1", "p_1_1", "p_2_1"]
    again = asyncio.run(concatenate_image_tables_async(every, extras, "f", index_key="index", mode="lazy"))
    assert_frame_equal(again.dataframe, found.dataframe)
    assert type(concatenate_image_tables_as(every, extras, "f", GenericTable)) is GenericTable
    assert_frame_equal(asyncio.run(concatenate_async(images, "f")).dataframe, concatenate(images, "f", max_workers=1).dataframe)
    assert list_image_tables(every) == ["f"] and list_image_tables(every, mode="all") == ["f", "only"]
    assert list_image_tables(every, "feature_table", "all") == ["f"]
    for call in (
        lambda: concatenate_image_tables(every, extras[:1], "f"),
        lambda: concatenate_image_tables(every, extras, "f", mode="quick"),  # type: ignore[arg-type]
        lambda: list_image_tables([]),
        lambda: concatenate(images, "f", extras={"A/01/0": {}}),
    ):
        with pytest.raises(ArgumentError):
            call()


# ------------------------------------------------------------------------------------------------- one type of several
def joined(*columns: pd.Series) -> pd.Series:
    return stacked([pd.DataFrame({"a": column}) for column in columns], [str(i) for i in range(len(columns))])["a"]


def series(values: list[Any], dtype: Any) -> pd.Series:
    return pd.Series(values, dtype=dtype)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (("int8", [1]), ("int64", [2**40]), "int64"),
        (("uint64", [2**63]), ("int64", [1]), "uint64"),
        (("uint64", [1]), ("int64", [-1]), "int64"),
        (("int32", [2**30]), ("float32", [0.5]), "float64"),
        (("int64", [7]), ("float64", [0.5]), "float64"),
        (("int64", [7]), ("Int64", [None, 3]), "Int64"),
        (("bool", [True]), ("boolean", [None, False]), "boolean"),
        (("int64", [7]), ("object", [None]), "Int64"),
        (("int64", [7]), ("object", []), "int64"),
        (("float64", [np.nan]), ("object", ["x"]), "object"),
        (("float32", [0.5]), ("Float64", [None, 0.25]), "Float64"),
        (("string", ["a"]), ("object", ["b", None]), "object"),
        (("datetime64[s]", ["2020-01-01"]), ("datetime64[ns]", ["2021-01-01"]), "datetime64[ns]"),
        (("datetime64[s, UTC]", ["2020-01-01"]), ("datetime64[s, Europe/Berlin]", ["2021-01-01"]), "datetime64[s, UTC]"),
    ],
    ids=str,
)
def test_two_types_become_the_one_that_holds_all_values(one: Any, other: Any, wanted: str) -> None:
    first, second = series(one[1], one[0]), series(other[1], other[0])
    found = joined(first, second)
    assert str(found.dtype) == wanted
    for part, back in ((first, found[: len(first)]), (second, found[len(first) :])):
        assert part.isna().tolist() == back.isna().tolist()
        assert part.dropna().tolist() == back.dropna().tolist()


def test_categories_become_the_union_in_the_order_in_which_they_come_up() -> None:
    found = joined(pd.Series(pd.Categorical(["b", "a"])), pd.Series(pd.Categorical(["c", None, "b"])))
    assert found.cat.categories.tolist() == ["a", "b", "c"] and found.dropna().tolist() == ["b", "a", "c", "b"]
    mixed = joined(pd.Series(pd.Categorical(["b"])), pd.Series(["x"], dtype=object))
    assert mixed.tolist() == ["b", "x"] and not isinstance(mixed.dtype, pd.CategoricalDtype)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("bool", [True]), ("int64", [1])),
        (("int64", [1]), ("object", ["x"])),
        (("int64", [2**53 + 1]), ("float64", [0.5])),
        (("uint64", [2**63]), ("int64", [-1])),
        (("datetime64[ns]", ["2020-01-01"]), ("int64", [1])),
        (("datetime64[ns]", ["2020-01-01"]), ("datetime64[ns, UTC]", ["2020-01-01"])),
        (("category", [1]), ("int64", [1])),
        (("category", [1]), ("category", ["x"])),
    ],
    ids=str,
)
def test_types_that_do_not_go_together_are_refused_with_both_places(one: Any, other: Any) -> None:
    with pytest.raises(DTypeError, match="column 'a': a column is of types that do not go together.* in 0'.* in 1'"):
        joined(series(one[1], one[0]), series(other[1], other[0]))


@given(st.lists(st.lists(st.none() | st.integers(-(2**53), 2**53), max_size=3), min_size=1, max_size=4), st.data())
@settings(max_examples=10)
def test_whole_numbers_survive_whatever_they_are_joined_as(parts: list[list[int | None]], data: st.DataObject) -> None:
    columns = [series(p, "Int64" if None in p or not p else data.draw(st.sampled_from(["int64", "Int64", "float64"]))) for p in parts]
    found = joined(*columns)
    assert [None if pd.isna(v) else int(v) for v in found.tolist()] == [v for p in parts for v in p]
