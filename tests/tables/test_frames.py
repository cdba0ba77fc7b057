"""Frames of polars, and what anndata reads beside what is read without it."""

from __future__ import annotations

import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import given, settings
from pandas.testing import assert_frame_equal

from omexp.containers.tables import FeatureTable, GenericTable, TablesCollection, anndata_backend
from omexp.containers.tables.anndata_columns import AnnDataColumns, columns_of
from omexp.errors import DTypeError, StoredDataError
from omexp.storage.groups import Group, create_group, open_group
from omexp.storage.trees import read_tree
from tests.tables.test_round_trips import BACKENDS, every_type, frames

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the first import of anndata may warn about its own dependencies
    import anndata
    from anndata.io import write_elem


# ------------------------------------------------------------------------------------------------------------ polars
def polars_frame() -> Any:
    pl = pytest.importorskip("polars")
    return pl.DataFrame(
        {
            "label": pl.Series([3, 1, 2**60 + 1], dtype=pl.UInt64),
            "count": [1, None, 3],
            "flag": [True, None, False],
            "whole": [1.0, 2.0, float("nan")],
            "gaps": [1.0, None, 2.0],
            "text": ["a,b\n", None, ""],
            "kind": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "moment": [datetime(2020, 1, 1, 12), None, datetime(2021, 1, 1)],
            "small": pl.Series([1, 2, 3], dtype=pl.Int8),
        }
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_polars_frame_comes_back_from_every_backend(backend: str) -> None:
    frame = polars_frame()
    tables = TablesCollection(create_group({}, 3), "0.5")
    tables.add("f", FeatureTable(frame, "nuclei"), backend=backend)
    tables.add("g", frame.lazy(), backend=backend)
    for name in "fg":
        back = tables.get(name)
        assert back.to_polars().schema == frame.schema
        assert back.to_polars().equals(frame) and back.lazy_frame.collect().equals(frame)


@pytest.mark.parametrize("values", [[[1]], [{"a": 1}], [datetime(2020, 1, 1).date()], [b"x"]], ids=["list", "struct", "date", "bytes"])
def test_polars_columns_that_no_backend_keeps_are_refused(values: list[Any]) -> None:
    pl = pytest.importorskip("polars")
    with pytest.raises(DTypeError, match="no table backend keeps.*odd: "):
        GenericTable(pl.DataFrame({"odd": values}))


# ----------------------------------------------------------------------------------------------------------- anndata
def both(group: Group) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What anndata gives, and what is read without it."""
    found = columns_of(read_tree(group))
    assert found is not None
    return anndata_backend.read(group)[0], AnnDataColumns.frame([found], {})


def assert_equal(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Equal to the bit; anndata 0.12 does not look at what a text column says its gaps are, so text may be text of another kind."""
    strings = [pd.StringDtype(), pd.StringDtype("pyarrow")]
    for name in theirs.columns:
        if theirs[name].dtype in strings and theirs[name].dtype != ours[name].dtype:
            theirs[name] = theirs[name].astype(ours[name].dtype)
    theirs.index, ours.index = (f.index.astype(object) for f in (theirs, ours))
    assert_frame_equal(theirs, ours, check_exact=True)


@given(frames())
@settings(max_examples=6)
def test_columns_are_those_that_anndata_reads(frame: pd.DataFrame) -> None:
    image = create_group({}, 2 + len(frame) % 2)
    TablesCollection(image, "0.4").add("t", frame)
    assert_equal(*both(image.group("tables/t")))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_anndata_itself_writes_is_read_as_anndata_reads_it(zarr_format: int, tmp_path: Path) -> None:
    frame = every_type().drop(columns=["whole_floats", "float32", "float16", "Float64", "moment", "zoned"])
    frame.index = [f"cell {i}" for i in range(len(frame))]
    parts = {"obs": frame.drop(columns=["gaps", "string"]), "X": np.arange(6, dtype="float32").reshape(3, 2)}
    group = create_group(tmp_path / "t.zarr", zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.AnnData(**parts, var=pd.DataFrame(index=["f", "g"]))
        adata.strings_to_categoricals()
        for name in ("obs", "var", "X"):
            write_elem(group.zarr, name, getattr(adata, name), dataset_kwargs={"shards": None} if name != "X" else {"chunks": (2, 1)})
    assert_equal(*both(open_group(tmp_path / "t.zarr")))


def test_tables_of_fractal_and_ngio_are_read_as_anndata_reads_them(shared_data: Path) -> None:
    folders = [*shared_data.glob("transfluor_plate_v0?.zarr/O/01/0/tables/*"), *shared_data.glob("cardiomyocyte*/tables/*")]
    tables = [open_group(folder, "r") for folder in folders if folder.is_dir()]
    assert len(tables) >= 10
    for group in tables:
        assert_equal(*both(group))


@pytest.mark.parametrize("chunks", [(2, 3), (7, 5)])
@pytest.mark.parametrize("shards", [None, (4, 6)])
@pytest.mark.parametrize("dtype", ["float32", "int16", "bool", str])
def test_arrays_in_chunks_and_shards_are_those_that_zarr_reads(chunks: Any, shards: Any, dtype: Any, tmp_path: Path) -> None:
    values = (np.arange(35) % 4).astype(dtype).reshape(7, 5)
    for zarr_format in (3,) if shards and chunks == (2, 3) else (2, 3):
        root = zarr.open_group(tmp_path / str(zarr_format), mode="w", zarr_format=zarr_format)
        array = root.create_array(
            "a", shape=(7, 5), chunks=chunks, shards=shards if zarr_format == 3 and chunks == (2, 3) else None, dtype=dtype
        )
        array[:5] = values[:5].astype(array.dtype)  # the last rows stay fill values
        found = read_tree(open_group(root)).array("a")
        assert found.dtype == array[:].dtype and found.tolist() == array[:].tolist()


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    image = create_group(tmp_path / "i.zarr", 3)
    tables = TablesCollection(image, "0.5")
    tables.add("t", {"a": [1.0, 2.0], "n": [1, 2], "text": ["a", "b"]})
    for part in ("X", "obs/text", "obs/n"):
        chunk = next(p for p in (tmp_path / "i.zarr/tables/t" / part / "c").rglob("*") if p.is_file())
        whole = chunk.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"rubbish"):
            chunk.write_bytes(damaged)
            with pytest.raises(StoredDataError, match=f"tables/t/{part}"):
                tables.get("t")
        chunk.write_bytes(whole)
    (tmp_path / "i.zarr/tables/t/obs/n/zarr.json").write_text("{")
    with pytest.raises(StoredDataError, match="obs/n/zarr.json: a document is damaged"):
        tables.get("t")
