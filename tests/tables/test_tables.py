"""The tables of an image: what is there, what is refused, what survives a failing write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from omexp.containers.roi import Roi
from omexp.containers.tables import (
    FeatureTable,
    GenericTable,
    MaskingRoiTable,
    RoiTable,
    TablesCollection,
)
from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    DTypeError,
    NameNotFoundError,
    ReadOnlyError,
    StoredDataError,
)
from omexp.storage.groups import Group, open_group

Contents = Callable[[Group], dict[str, bytes]]
BACKENDS = ["anndata_v1", "parquet", "csv", "json"]


def box(name: str | None = "a", label: int | None = None, x: float = 0.0, **extra: Any) -> Roi:
    return Roi.from_values({"z": (0.0, 1.0), "y": (0.0, 2.0), "x": (x, 3.0)}, name=name, label=label, **extra)


# ------------------------------------------------------------------------------------------------------- looking up
def test_looking_something_up_creates_nothing(image: Group, tables: TablesCollection, contents: Contents) -> None:
    before = contents(image)
    assert tables.list() == [] and tables.list("roi_table") == []
    with pytest.raises(NameNotFoundError, match="no such table.*'x'.*the image has no tables"):
        tables.get("x")
    with pytest.raises(NameNotFoundError):
        tables.get_as("x", RoiTable)
    with pytest.raises(NameNotFoundError):
        tables.delete("x")
    tables.delete("x", missing_ok=True)
    assert contents(image) == before


def test_an_unknown_name_is_answered_with_the_names_there_are(tables: TablesCollection) -> None:
    tables.add("one", {"a": [1]}, backend="csv")
    with pytest.raises(KeyError, match="'two'.*one"):
        tables.get("two")


def test_a_listed_table_that_is_not_there_is_named_and_can_be_deleted(image: Group, tables: TablesCollection) -> None:
    image.require_group("tables").put_attributes({"tables": ["gone"]})
    assert tables.list() == ["gone"] and tables.list("generic_table") == []
    with pytest.raises(StoredDataError, match="'gone'"):
        tables.get("gone")
    tables.delete("gone")
    assert tables.list() == []


def test_a_deleted_table_is_gone_and_other_attributes_stay(image: Group, tables: TablesCollection, contents: Contents) -> None:
    tables.add("a", {"x": [1]}, backend="csv")
    tables.add("b", {"x": [2]}, backend="json")
    group = image.group("tables")
    group.put_attributes(group.attributes | {"note": 1})
    tables.delete("a")
    assert tables.list() == ["b"] and group.attributes["note"] == 1
    assert not [key for key in contents(image) if "tables/a" in key]


def test_an_unknown_type_or_version_is_read_as_a_generic_table_and_kept(image: Group, tables: TablesCollection) -> None:
    for change in ({"type": "colours"}, {"type": "roi_table", "table_version": "2"}):
        tables.add("t", {"x": [1]}, backend="csv", overwrite=True)
        group = image.group("tables/t")
        group.put_attributes(group.attributes | change | {"palette": "viridis"})
        table = tables.get("t")
        assert type(table) is GenericTable and table.meta.extra == {"palette": "viridis"}
        tables.add("copy", table, overwrite=True)
        assert image.group("tables/copy").attributes.items() >= (change | {"palette": "viridis", "backend": "csv"}).items()


def test_a_table_without_type_is_generic(image: Group, tables: TablesCollection) -> None:
    tables.add("t", {"x": [1]}, backend="csv")
    image.group("tables/t").put_attributes({"backend": "csv"})
    assert type(tables.get("t")) is GenericTable and tables.list("generic_table") == ["t"]


def test_a_table_is_read_as_another_class_on_request(tables: TablesCollection) -> None:
    tables.add("masks", MaskingRoiTable([box("1", 1), box("2", 2, x=1.0)], "nuclei"))
    generic = tables.get_as("masks", GenericTable)
    assert type(generic) is GenericTable and generic.meta.type == "generic_table" and generic.dataframe.index.tolist() == [1, 2]
    assert tables.get_as("masks", FeatureTable).dataframe["x_micrometer"].tolist() == [0.0, 1.0]
    tables.add("features", FeatureTable({"label": [1], "area": [2.0]}))
    tables.add("generic", {"label": [0, 1], "area": [2.0, 3.0]})
    assert tables.get_as("generic", FeatureTable).dataframe.index.name == "label"
    with pytest.raises(StoredDataError, match="is no roi_table.*get_as"):
        tables.get_as("features", RoiTable)
    with pytest.raises(ArgumentError, match="class of tables"):
        tables.get_as("features", dict)  # type: ignore[type-var]


# ----------------------------------------------------------------------------------------------------------- adding
@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a..b", ".hidden", "a b", "ü", None, 3])
def test_an_unsafe_name_is_refused(tables: TablesCollection, name: Any) -> None:
    with pytest.raises(ArgumentError, match="cannot name a table"):
        tables.add(name, {"a": [1]})
    assert tables.list() == []


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "this is no table"),
        ({"a": [1], "b": [1, 2]}, "no columns"),
        (pd.DataFrame({"a": [{}]}), "column 'a'.*objects of type dict"),
        (pd.DataFrame({"a": [1, "x"]}, dtype=object), "objects of type int, str"),
        (pd.DataFrame({"a": [1j]}), "complex128"),
        (pd.DataFrame({"a": pd.to_timedelta([1])}), "timedelta64"),
        (pd.DataFrame({"a": pd.Categorical(pd.to_datetime(["2020-01-01"]))}), "category"),
        (pd.DataFrame({3: [1]}), "column names.*3"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column names.*'a'"),
        (pd.DataFrame({"a": [1]}, index=pd.Index([1], name="a")), "index needs a name of its own"),
        (pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])), "levels"),
        (pd.DataFrame(index=range(3)), "rows but no columns"),
    ],
    ids=str,
)
def test_what_no_backend_can_hold_is_refused_and_nothing_is_written(
    image: Group, tables: TablesCollection, contents: Contents, table: Any, message: str
) -> None:
    before = contents(image)
    for backend in BACKENDS:
        with pytest.raises(ArgumentError, match=message):
            tables.add("t", table, backend=backend)
    assert contents(image) == before


@pytest.mark.parametrize("column", ["a/b", ".zattrs", "zarr.json", "_index"])
def test_a_name_that_is_no_zarr_key_needs_another_backend(tables: TablesCollection, column: str) -> None:
    with pytest.raises(ArgumentError, match="anndata backend.*parquet"):
        tables.add("t", {column: [1]})
    tables.add("t", {column: [1]}, backend="parquet")
    assert tables.get("t").dataframe[column].tolist() == [1]


@pytest.mark.parametrize("backend", ["anndata", "parquet", "csv"])
def test_text_that_is_no_unicode_is_refused(tables: TablesCollection, backend: str) -> None:
    with pytest.raises(DTypeError, match="surrogates not allowed"):
        tables.add("t", {"a": pd.Series(["\ud800"], dtype=object)}, backend=backend)
    assert tables.list() == []


def test_an_index_with_gaps_needs_another_backend(tables: TablesCollection) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", None], name="row", dtype=object))
    with pytest.raises(ArgumentError, match="without gaps"):
        tables.add("t", frame)
    tables.add("t", frame, backend="parquet")
    assert_frame_equal(tables.get("t").dataframe, frame)


def test_an_unknown_backend_is_refused_with_those_there_are(image: Group, tables: TablesCollection) -> None:
    with pytest.raises(ArgumentError, match="'excel'.*anndata_v1, anndata, parquet, csv, json"):
        tables.add("t", {"a": [1]}, backend="excel")
    tables.add("t", {"a": [1]}, backend="csv")
    group = image.group("tables/t")
    group.put_attributes(group.attributes | {"backend": "excel"})
    with pytest.raises(StoredDataError, match="'excel'"):
        tables.get("t")


def test_a_table_that_is_there_stays_unless_overwritten(image: Group, tables: TablesCollection, contents: Contents) -> None:
    tables.add("t", {"a": [1]}, backend="csv")
    before = contents(image)
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        tables.add("t", {"a": [2]})
    assert contents(image) == before
    tables.add("t", {"a": [2]}, backend="json", overwrite=True)
    assert tables.list() == ["t"] and tables.get("t").dataframe["a"].tolist() == [2]
    assert not [key for key in contents(image) if key.endswith("table.csv")]


@pytest.mark.parametrize("first", [True, False], ids=["new", "overwrite"])
@pytest.mark.parametrize("backend", ["anndata_v1", "csv"])  # a folder, a file
def test_a_write_that_fails_leaves_everything_as_it_was(
    every_image: Group, every_tables: TablesCollection, contents: Contents, monkeypatch: pytest.MonkeyPatch, backend: str, first: bool
) -> None:
    if not first:
        every_tables.add("t", {"a": [1], "b": ["x"]}, backend=backend)
    before = contents(every_image)

    def full_disk(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Group, "put_attributes", full_disk)  # the columns are written, the attributes fail
    with pytest.raises(OSError, match="No space left"):
        every_tables.add("t", {"a": [2], "b": ["y"]}, backend=backend, overwrite=True)
    # in memory zarr itself makes the documents of the empty parent group; nothing looks like a table
    left = {key: value for key, value in contents(every_image).items() if key not in before}
    assert set(left) <= {"tables/.zgroup", "tables/.zattrs", "tables/zarr.json"}
    assert {key: value for key, value in contents(every_image).items() if key in before} == before
    assert every_tables.list() == ([] if first else ["t"])


def test_a_read_only_store_is_named(tables: TablesCollection, image: Group) -> None:
    tables.add("t", {"a": [1]}, backend="csv")
    store = image.zarr.store.with_read_only(True)
    closed = TablesCollection(open_group(store, "r"), "0.5")
    for action in (lambda: closed.add("u", {"a": [1]}), lambda: closed.delete("t")):
        with pytest.raises(ReadOnlyError, match="read-only"):
            action()
    assert closed.list() == ["t"] and closed.get("t").dataframe["a"].tolist() == [1]


def test_what_is_passed_stays_as_it_is(tables: TablesCollection) -> None:
    frame = pd.DataFrame({"label": [2, 1], "area": [1.0, 2.0]})
    before = frame.copy(deep=True)
    table = FeatureTable(frame, "nuclei")
    meta = table.meta
    tables.add("t", table, backend="csv")
    tables.add("u", frame, backend="json")
    assert table.meta is meta and table.meta.backend is None
    handed_out = table.dataframe
    handed_out.loc[1, "area"] = 0.0
    assert table.dataframe["area"].tolist() == [1.0, 2.0]
    assert_frame_equal(frame, before)


def test_the_backend_of_a_table_is_kept_when_it_is_added_again(tables: TablesCollection, image: Group) -> None:
    tables.add("a", {"x": [1]}, backend="parquet")
    tables.add("b", tables.get("a"))
    assert image.group("tables/b").attributes["backend"] == "parquet"
