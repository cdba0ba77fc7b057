"""Broken files, and files that other programs wrote or rewrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from omexp.containers.tables import (
    GenericTable,
    TablesCollection,
    backends,
)
from omexp.containers.tables.columns import restored
from omexp.errors import (
    DTypeError,
    StoredDataError,
)
from omexp.metadata.tables import TableMeta, parse_table
from omexp.storage.groups import Group, create_group, open_group

BACKENDS = ["anndata_v1", "parquet", "csv", "json"]


# ----------------------------------------------------------------------------------------------------- broken files
def _broken(group: Group, backend: str) -> None:
    """Take away, or cut, the file that holds the columns."""
    if backend == "json":
        group.delete("table")
    elif backend == "anndata_v1":
        group.delete("obs")
    else:
        backends.write_blob(group, f"table.{backend}", b'"a","b"\n1,2,3\n')


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broken_table_is_stored_data_that_is_wrong(image: Group, tables: TablesCollection, backend: str) -> None:
    tables.add("t", {"a": [1], "b": [2.0]}, backend=backend)
    _broken(image.group("tables/t"), backend)
    with pytest.raises(StoredDataError, match="tables/t"):
        tables.get("t")


@pytest.mark.parametrize("backend", ["csv", "parquet"])
def test_a_missing_file_is_named(image: Group, tables: TablesCollection, backend: str) -> None:
    image.require_group("tables").put_attributes({"tables": ["t"]})
    image.require_group("tables/t").put_attributes({"backend": backend})
    with pytest.raises(StoredDataError, match=f"table.{backend}"):
        tables.get("t")


def test_columns_that_another_program_rewrote_win_over_the_kinds_that_it_kept(image: Group, tables: TablesCollection) -> None:
    tables.add("t", {"flag": [True, False], "n": [1, 2], "text": ["a", "b"], "same": [True, True]}, backend="csv")
    backends.write_blob(image.group("tables/t"), "table.csv", b"n,flag,same,new\n1.5,0.5,1,7\n2.5,1.0,1,8\n")
    back = tables.get("t").dataframe
    assert back.to_dict("list") == {"n": [1.5, 2.5], "flag": [0.5, 1.0], "same": [True, True], "new": [7, 8]}
    assert back["same"].dtype == bool


def test_numbers_that_became_text_and_text_that_became_numbers_stay_so(image: Group, tables: TablesCollection) -> None:
    frame = pd.DataFrame(
        {"n": [1, 2], "text": ["a", "b"], "gone": [1.0, 2.0], "c": pd.Categorical(["x", "y"])}, index=pd.Index([5, 6], name="row")
    )
    tables.add("t", frame, backend="json")
    columns = {"row": ["p", "q"], "n": ["one", "two"], "text": [1, 2], "gone": ["z", None], "c": ["x", "other"]}
    image.group("tables/t/table").put_attributes(columns)
    group = image.group("tables/t")
    group.put_attributes(group.attributes | {"index_type": "str"})
    back = tables.get("t").dataframe
    assert back.index.tolist() == ["p", "q"] and back["gone"].isna().tolist() == [False, True]
    assert back.drop(columns="gone").to_dict("list") == {k: columns[k] for k in ("n", "text", "c")}


def test_a_gap_is_never_filled_to_fit_a_kind() -> None:
    values = pd.Series([True, None], dtype=object)
    assert restored(values, {"dtype": "bool"}) is values


def test_an_index_without_name_gets_the_one_of_the_attributes(image: Group, tables: TablesCollection) -> None:
    tables.add("t", {"area": [1.0, 2.0]})
    group = image.group("tables/t")
    group.put_attributes({"type": "feature_table", "index_key": "label"})
    assert tables.get("t").dataframe.index.tolist() == [0, 1] and tables.get("t").dataframe.index.name == "label"


def test_an_empty_csv_is_a_table_of_nothing(image: Group, tables: TablesCollection) -> None:
    tables.add("t", pd.DataFrame(), backend="csv")
    assert tables.get("t").dataframe.shape == (0, 0)


@pytest.mark.parametrize(
    "kinds",
    [
        3,
        {"columns": 5},
        {"columns": [{"name": "a", "dtype": "nonsense"}]},
        {"columns": ["a"], "index": 3},
        {"index": {"dtype": 3}, "columns": [{"name": "a", "dtype": "int128"}]},
    ],
    ids=str,
)
def test_kinds_that_are_nonsense_are_passed_over(image: Group, tables: TablesCollection, kinds: Any) -> None:
    tables.add("t", {"a": [1, 2], "self": [1.0, 2.0]}, backend="csv")
    group = image.group("tables/t")
    group.put_attributes(group.attributes | {"omexp_dtypes": kinds})
    assert tables.get("t").dataframe["a"].tolist() == [1, 2]


def test_a_csv_of_another_program_keeps_large_ids_and_reads_gaps_as_floats(image: Group, tables: TablesCollection) -> None:
    tables.add("t", {"a": [1]}, backend="csv")
    group = image.group("tables/t")
    group.put_attributes({"backend": "csv"})
    backends.write_blob(group, "table.csv", f"id,size,ok\n{2**60 + 1},1,true\n,2,\n3,,false\n".encode())
    back = tables.get("t").dataframe
    assert back["id"].tolist()[0] == 2**60 + 1 and back["id"].isna().tolist() == [False, True, False]
    assert back["size"].dtype == np.float64 and back["ok"].dtype == "boolean"
    backends.write_blob(group, "table.csv", b"a,a\n1,2\n")
    with pytest.raises(StoredDataError, match="twice"):
        tables.get("t")


def test_a_gap_in_a_table_of_one_column_is_still_a_row(tables: TablesCollection) -> None:
    frame = pd.DataFrame({"a": pd.Series(["x", None, "NULL", ""], dtype=object)})
    tables.add("t", frame, backend="csv")
    assert_frame_equal(tables.get("t").dataframe, frame)


def test_json_documents_hold_no_nan_and_no_infinity(tmp_path: Path) -> None:
    tables = TablesCollection(create_group(tmp_path / "i.zarr", 3), "0.5")
    tables.add("t", {"f": [np.nan, np.inf, -np.inf, 1.0]}, backend="json")
    text = (tmp_path / "i.zarr/tables/t/table/zarr.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["attributes"]["f"] == [None, "Infinity", "-Infinity", 1.0]


# -------------------------------------------------------------------------------------------------------- attributes
def test_the_attributes_of_a_table_are_read_leniently_and_written_back() -> None:
    document = {"type": "roi_table", "fractal_table_version": "1", "encoding-type": "anndata", "index_type": "float", "note": [1]}
    meta = parse_table(document)
    assert meta == TableMeta("roi_table", "1", extra={"note": [1]})
    assert meta.to_json() == {"type": "roi_table", "table_version": "1", "note": [1]}
    assert parse_table({"type": 3, "table_version": 2, "region": "cells"}) == TableMeta("generic_table", "2", region="cells")
    assert parse_table({"region": "cells"}).reference_label is None
    assert TableMeta().with_label("a").reference_label == "a"


def test_importing_tables_imports_no_pandas_polars_anndata_or_pyarrow() -> None:
    code = "import sys, omexp.containers.tables; print([m for m in ('pandas', 'anndata', 'pyarrow', 'polars') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_dtype_error_is_an_argument_error() -> None:
    with pytest.raises(DTypeError, match="astype"):
        GenericTable({"a": [1j]}).anndata  # noqa: B018


def test_a_copied_image_keeps_its_tables(tmp_path: Path) -> None:
    TablesCollection(create_group(tmp_path / "a.zarr", 2), "0.4").add("t", {"a": [1, 2]})
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert TablesCollection(open_group(tmp_path / "b.zarr"), "0.4").get("t").dataframe["a"].tolist() == [1, 2]
