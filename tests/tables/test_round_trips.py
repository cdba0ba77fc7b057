"""What is stored comes back with its types: every backend, both Zarr formats, disk and memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from omexp.containers.roi import Roi
from omexp.containers.tables import (
    ConditionTable,
    FeatureTable,
    GenericRoiTable,
    GenericTable,
    MaskingRoiTable,
    RoiTable,
    TablesCollection,
)
from omexp.errors import ArgumentError, DTypeError, StoredDataError
from omexp.storage.groups import Group, create_group

BACKENDS = ["anndata_v1", "parquet", "csv", "json"]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the first import of anndata may warn about its own dependencies
    import anndata


def every_type() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "whole_floats": [1.0, 2.0, np.nan],
            "bool": [True, False, True],
            "int32": np.array([1, -2, 3], "int32"),
            "uint64": np.array([2**63 + 1, 2, 3], "uint64"),
            "float32": np.array([0.1, np.inf, -np.inf], "float32"),
            "float16": np.array([1, 2, 3], "float16"),
            "text": ["a,b\n", 'quo"te', "001"],
            "gaps": pd.Series(["a", None, ""], dtype=object),
            "string": pd.Series(["nan", None, "NA"], dtype="string"),
            "Int64": pd.array([2**60 + 1, None, 3], dtype="Int64"),
            "boolean": pd.array([True, None, False], dtype="boolean"),
            "Float64": pd.array([1.5, None, 2], dtype="Float64"),
            "category": pd.Categorical(["q", None, "r"], categories=["r", "q", "unused"], ordered=True),
            "numbers": pd.Categorical([5, None, 7], categories=[7, 5]),
            "truths": pd.Categorical([True, None, False]),
            "moment": pd.to_datetime(["2020-01-01T00:00:00.123456789", None, "1999-12-31"], format="ISO8601"),
            "zoned": pd.to_datetime(["2020-01-01", "2020-07-01", None]).tz_localize("Europe/Berlin"),
        }
    )


INDEXES = {
    "counted": pd.RangeIndex(3),
    "ids": pd.Index([5, 7, 2**63 + 5], dtype="uint64", name="id"),
    "names, one twice": pd.Index(["a", "b", "a"], name="well"),
    "unnamed floats": pd.Index([1.5, 2.0, -3.0]),
    "moments": pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-03"], name="time"),
    "truths": pd.Index([True, False, True], name="good"),
    "categories": pd.CategoricalIndex([3, 1, 3], name="dose"),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_type_of_column_comes_back(every_tables: TablesCollection, backend: str) -> None:
    frame = every_type()
    every_tables.add("t", frame, backend=backend)
    back = every_tables.get("t")
    assert_frame_equal(back.dataframe, frame, check_exact=True)
    assert type(back) is GenericTable and back.meta.backend == backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_type_of_column_comes_back_from_a_table_without_rows(backend: str) -> None:
    frame = every_type().iloc[:0]
    tables = TablesCollection(create_group({}, 3), "0.5")
    tables.add("t", frame, backend=backend)
    assert_frame_equal(tables.get("t").dataframe, frame)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("index", INDEXES)
def test_every_type_of_index_comes_back(backend: str, index: str) -> None:
    tables = TablesCollection(create_group({}, 3), "0.5")
    for rows in (3, 0):
        frame = pd.DataFrame({"f": [1.0, 2.0, 3.0], "n": [1, 2, 3]}).iloc[:rows].set_axis(INDEXES[index][:rows], axis=0)
        tables.add("t", frame, backend=backend, overwrite=True)
        assert_frame_equal(tables.get("t").dataframe, frame)


def test_the_anndata_backend_has_two_names_and_is_the_default(tables: TablesCollection, image: Group) -> None:
    for wanted, written in ((None, "anndata_v1"), ("anndata_v1", "anndata_v1"), ("anndata", "anndata")):
        tables.add("t", {"a": [1]}, backend=wanted, overwrite=True)
        assert image.group("tables/t").attributes["backend"] == written
        assert tables.get("t").dataframe["a"].tolist() == [1]


@pytest.mark.parametrize("alias", ["experimental_csv_v1", "experimental_parquet_v1", "experimental_json_v1"])
def test_an_old_name_of_a_backend_is_written_as_its_new_one(tables: TablesCollection, image: Group, alias: str) -> None:
    tables.add("t", {"a": [1]}, backend=alias)
    group = image.group("tables/t")
    assert group.attributes["backend"] == alias.split("_")[1]
    group.put_attributes(group.attributes | {"backend": alias})
    assert tables.get("t").dataframe["a"].tolist() == [1]


# ----------------------------------------------------------------------------------------------------- any frame
TEXT = st.text(max_size=4)


def _column(kind: str, rows: int) -> st.SearchStrategy[pd.Series]:
    def listed(values: st.SearchStrategy[Any], dtype: Any) -> st.SearchStrategy[pd.Series]:
        return st.lists(values, min_size=rows, max_size=rows).map(lambda v: pd.Series(v, dtype=dtype))

    if kind.lower().startswith(("int", "uint")):
        info = np.iinfo(kind.lower())
        values = st.integers(int(info.min), int(info.max))
        return listed(st.none() | values if kind[0] in "IU" else values, kind)
    if kind.startswith("float"):
        return listed(st.floats(width=int(kind[5:])), kind)
    if kind == "datetime":
        return listed(st.none() | st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")), "datetime64[us]")
    if kind == "category":
        return st.lists(TEXT, min_size=1, max_size=3, unique=True).flatmap(
            lambda names: listed(st.none() | st.sampled_from(names), pd.CategoricalDtype(names))
        )
    values = {"bool": st.booleans(), "boolean": st.none() | st.booleans(), "Float64": st.none() | st.floats(allow_nan=False)}
    return listed(values.get(kind, st.none() | TEXT), kind if kind != "inferred" else None if rows else object)


KINDS = ["bool", "int8", "int64", "uint16", "uint64", "float16", "float32", "float64", "object", "string", "inferred"]
KINDS += ["Int64", "UInt64", "boolean", "Float64", "category", "datetime"]


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 5))
    names = draw(st.lists(st.text("abcXYZ é_-+", min_size=1, max_size=6), min_size=1, max_size=5, unique=True))
    frame = pd.DataFrame({f"c{name}": draw(_column(draw(st.sampled_from(KINDS)), rows)) for name in names})
    kind = draw(st.sampled_from(["", "int64", "uint64", "bool"]))
    if kind:
        frame.index = pd.Index(draw(_column(kind, rows)), name=draw(st.sampled_from([None, "label", "row"])))
    return frame


@given(frames(), st.sampled_from(BACKENDS), st.sampled_from([2, 3]))
def test_any_frame_comes_back_with_its_types(frame: pd.DataFrame, backend: str, zarr_format: int) -> None:
    tables = TablesCollection(create_group({}, zarr_format), "0.4" if zarr_format == 2 else "0.5")
    before = frame.copy(deep=True)
    tables.add("t", frame, backend=backend)
    assert_frame_equal(tables.get("t").dataframe, before, check_exact=True)
    assert_frame_equal(frame, before, check_exact=True)


# ------------------------------------------------------------------------------------------------- kinds of table
def boxes(count: int = 3) -> list[Roi]:
    return [
        Roi.from_values(
            {"z": (0.0, 5.0), "y": (i * 0.5, 10.0), "x": (1.0 * i, 3.0)}, name=str(i), label=i, score=i / 2, good=i > 1, note=None
        )
        for i in range(1, count + 1)
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cls", [RoiTable, MaskingRoiTable, GenericRoiTable])
def test_regions_come_back_equal(backend: str, cls: type[GenericRoiTable]) -> None:
    tables = TablesCollection(create_group({}, 3), "0.5")
    for name, rois in (("some", boxes()), ("none", [])):
        tables.add(name, cls(rois), backend=backend)
        back = tables.get(name)
        assert type(back) is cls
        assert back.rois() == rois
        assert_frame_equal(back.dataframe, cls(rois).dataframe)


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_names_and_gaps_in_extra_columns_of_regions_come_back(tables: TablesCollection, backend: str) -> None:
    def box(**values: Any) -> dict[str, Any]:
        return values | {"z": (0.0, 1.0), "y": (1.0, 2.0), "x": (3.0, 4.0)}

    rois = [
        Roi.from_values(box(t=(2.0, 1.0)), name="first", label=2**53 + 1, count=3, seen=True, plate="p"),
        Roi.from_values(box(), name="second", label=2, count=None, seen=None, plate=None),
    ]
    tables.add("named", RoiTable(rois), backend=backend)
    assert tables.get("named").rois() == rois
    tables.add("masks", MaskingRoiTable(rois, "cells"), backend=backend)
    masks = tables.get_as("masks", MaskingRoiTable)
    assert masks.rois() == rois
    assert masks.get_label(2**53 + 1) == masks.get("first") == rois[0]
    assert masks.reference_label == "cells"


@pytest.mark.parametrize("backend", BACKENDS)
def test_features_keep_their_ids_and_their_label(tables: TablesCollection, image: Group, backend: str) -> None:
    frame = pd.DataFrame({"label": np.array([3, 2**60 + 1], "uint64"), "area": [1.0, 2.0]})
    tables.add("features", FeatureTable(frame, "nuclei"), backend=backend)
    back = tables.get("features")
    assert isinstance(back, FeatureTable) and back.reference_label == "nuclei"
    assert_frame_equal(back.dataframe, frame.set_index("label"))
    attributes = image.group("tables/features").attributes
    assert {k: attributes[k] for k in ("type", "table_version", "index_key", "index_type", "instance_key", "region", "backend")} == {
        "type": "feature_table",
        "table_version": "1",
        "index_key": "label",
        "index_type": "int",
        "instance_key": "label",
        "region": {"path": "../labels/nuclei"},
        "backend": backend,
    }
    tables.add("conditions", ConditionTable({"drug": ["x", None], "dose": [1.0, 2.0]}), backend=backend)
    assert type(tables.get("conditions")) is ConditionTable


# -------------------------------------------------------------------------------------------------------- anndata
def rich_anndata() -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata 0.13 asks pandas 3 for a deprecated option
        adata = anndata.AnnData(
            X=np.arange(6, dtype="int64").reshape(3, 2),
            obs=pd.DataFrame({"well": ["A", "B", "A"]}, index=["x", "y", "z"]),
            var=pd.DataFrame({"unit": ["um", "px"]}, index=["f", "g"]),
        )
    adata.layers["raw"] = np.ones((3, 2), "float32")
    adata.obsm["umap"] = np.zeros((3, 2))
    adata.uns["note"] = "text"
    return adata


def test_an_anndata_comes_back_with_all_its_parts(tables: TablesCollection) -> None:
    adata = rich_anndata()
    for name, value, backend in (("a", adata, None), ("b", GenericTable(adata), "anndata")):
        tables.add(name, value, backend=backend)
        tables.add("copy", tables.get(name), overwrite=True)
        table = tables.get("copy")
        back = table.anndata
        np.testing.assert_array_equal(back.X, adata.X)
        assert back.X.dtype == np.int64
        assert back.layers["raw"].sum() == 6 and back.uns["note"] == "text" and back.obsm["umap"].shape == (3, 2)
        assert back.var["unit"].tolist() == ["um", "px"]
        assert table.dataframe["g"].tolist() == [1, 3, 5] and table.dataframe["well"].tolist() == ["A", "B", "A"]
        assert table.dataframe.index.tolist() == ["x", "y", "z"]
    assert not isinstance(adata.obs["well"].dtype, pd.CategoricalDtype)  # anndata's writer would have changed ours


@pytest.mark.parametrize("backend", ["csv", "json", "parquet"])
def test_a_backend_of_columns_refuses_the_other_parts_of_an_anndata(tables: TablesCollection, backend: str) -> None:
    with pytest.raises(ArgumentError, match="columns only.*layers, obsm, uns, columns of var.*anndata"):
        tables.add("a", rich_anndata(), backend=backend)
    assert tables.list() == []


def test_an_anndata_of_columns_only_can_be_stored_as_csv(tables: TablesCollection) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.AnnData(obs=pd.DataFrame({"n": [1, 2]}, index=["r", "s"]))
    for backend in ("csv", "anndata"):
        tables.add("a", adata, backend=backend, overwrite=True)
        assert tables.get("a").dataframe["n"].to_dict() == {"r": 1, "s": 2}


def test_what_anndata_cannot_store_is_refused_with_the_part_it_is_in(tables: TablesCollection) -> None:
    adata = rich_anndata()
    adata.uns["odd"] = object()
    with pytest.raises(DTypeError, match="uns.*anndata cannot store"):
        tables.add("a", adata)
    assert tables.list() == []


def test_an_anndata_that_names_a_column_twice_is_stored_data_that_is_wrong(tables: TablesCollection) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.AnnData(X=np.ones((1, 1)), obs=pd.DataFrame({"f": [1]}, index=["r"]), var=pd.DataFrame(index=["f"]))
    tables.add("a", adata)
    with pytest.raises(StoredDataError, match="twice.*'f'"):
        tables.get("a")


def test_a_sparse_anndata_reads_as_dense_columns(tables: TablesCollection) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.AnnData(X=sparse.csr_matrix(np.diag([1.0, 2.0])), obs=pd.DataFrame(index=["r", "s"]))
    tables.add("a", adata)
    assert tables.get("a").dataframe.to_numpy().tolist() == [[1.0, 0.0], [0.0, 2.0]]


def test_anndata_alone_reads_a_table_that_we_wrote(tables: TablesCollection, image: Group) -> None:
    tables.add("features", FeatureTable(every_type().rename_axis("label"), "nuclei"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.io.read_elem(image.group("tables/features").zarr)
    assert adata.obs.index.name == "label" and adata.obs_names.tolist() == ["0", "1", "2"]
    assert list(adata.var_names) == ["whole_floats", "float32", "float16", "Float64"]
    assert adata.obs["bool"].tolist() == [True, False, True] and adata.obs["uint64"].tolist() == [2**63 + 1, 2, 3]


def test_a_frame_becomes_an_anndata_with_floats_in_x(tables: TablesCollection) -> None:
    adata = FeatureTable({"label": [4, 9], "area": [1.0, 2.0], "well": ["A", "B"]}).anndata
    assert adata.X.tolist() == [[1.0], [2.0]] and adata.var_names.tolist() == ["area"]
    assert adata.obs["well"].tolist() == ["A", "B"] and adata.obs_names.tolist() == ["4", "9"]


def test_writing_a_table_leaves_the_settings_of_anndata_and_zarr_alone(tables: TablesCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    import zarr

    def settings_now() -> tuple[Any, ...]:
        return repr(anndata.settings), zarr.config.to_dict(), list(warnings.filters)

    before = settings_now()
    seen = []
    monkeypatch.setattr(zarr.config, "set", lambda *args, **kwargs: seen.append(args))
    tables.add("t", {"f": [1.0, 2.0], "text": ["a", "b"]})
    assert tables.get("t").dataframe["text"].tolist() == ["a", "b"]
    assert settings_now() == before
    assert seen == []
