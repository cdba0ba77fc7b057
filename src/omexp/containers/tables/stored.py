"""Tables as they lie in their groups, one or many at once. Knows: the files of each backend. Does not know: table types, lists of tables.

What is read is kept in the form of its backend until tables are joined: a thousand tables of one form become one frame in one step, which
costs little more than one of them.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omexp.containers.tables import anndata_backend
from omexp.containers.tables.anndata_columns import columns_of
from omexp.containers.tables.columns import Kind, from_json
from omexp.containers.tables.frames import arrow_frame
from omexp.containers.tables.names import KINDS, UNITS, backend_name
from omexp.containers.tables.packing import kinds_of, unpack
from omexp.errors import ArgumentError, OmexpError, StoredDataError
from omexp.metadata.tables import TableMeta, parse_table
from omexp.storage.trees import Tree

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from anndata import AnnData

__all__ = ["StoredTable", "joined", "read_stored"]


@dataclass(frozen=True, slots=True)
class _Arrow:
    """Columns of a csv or parquet file; of csv also the columns whose kind the attributes state."""

    table: pa.Table
    stated: frozenset[str] | None

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def form(self) -> Hashable:
        return ("arrow", tuple(zip(self.table.column_names, map(str, self.table.schema.types), strict=True)), self.stated)

    @staticmethod
    def frame(tables: Sequence[_Arrow], kinds: Mapping[str, Kind]) -> pd.DataFrame:
        import pandas as pd
        import pyarrow as pa

        first = tables[0]
        whole = (
            pa.concat_tables([t.table.replace_schema_metadata() for t in tables]).unify_dictionaries() if len(tables) > 1 else first.table
        )
        frame = arrow_frame(whole)
        if first.stated is None:
            return frame
        return pd.DataFrame({name: frame[name] if name in first.stated else _unstated(frame[name]) for name in frame.columns})


@dataclass(frozen=True, slots=True)
class _Json:
    """Lists of a JSON document."""

    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return max(map(len, self.columns.values()), default=0)

    @property
    def form(self) -> Hashable:
        return ("json", tuple((name, frozenset(map(type, values)) - {type(None)}) for name, values in self.columns.items()))

    @staticmethod
    def frame(tables: Sequence[_Json], kinds: Mapping[str, Kind]) -> pd.DataFrame:
        import pandas as pd

        names = list(tables[0].columns)
        columns = {name: [value for t in tables for value in t.columns[name]] for name in names}
        return pd.DataFrame({name: from_json(values, kinds.get(name)) for name, values in columns.items()})


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame that anndata read."""

    content: pd.DataFrame

    def __len__(self) -> int:
        return len(self.content)

    @property
    def form(self) -> Hashable:
        return id(self.content)

    @staticmethod
    def frame(tables: Sequence[_Frame], kinds: Mapping[str, Kind]) -> pd.DataFrame:
        return tables[0].content


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One table: what its attributes say, and its columns."""

    where: str
    meta: TableMeta
    kinds: Any
    in_micrometers: bool  # the attributes say that the columns of regions are; else they may be in the image's own unit
    columns: Any
    anndata: AnnData | None

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def form(self) -> Hashable:
        """Tables of equal form become one frame in one step."""
        columns, index = kinds_of(self.kinds)
        known = json.dumps([_uncounted(columns), _uncounted({"index": index or {}}), isinstance(self.kinds, Mapping)], sort_keys=True)
        return (self.meta.index_key, self.meta.index_type, self.in_micrometers, known, type(self.columns), self.columns.form)


def _uncounted(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The kinds without the categories of columns whose order means nothing: those may differ."""
    return {name: {k: v for k, v in kind.items() if k != "categories" or kind.get("ordered")} for name, kind in kinds.items()}


def read_stored(tree: Tree, complete: Callable[[TableMeta], TableMeta] = lambda meta: meta) -> StoredTable:
    """A table from its group; `complete` adds to the attributes what its class knows.

    Raises
    ------
    StoredDataError
        There is no such group, the backend is unknown, or its files are missing or broken.
    """
    document = tree.attributes()
    if document is None:
        raise StoredDataError("there is no table", where=tree.where, hint="The write may be unfinished.")
    stored, units = document.pop(KINDS, None), document.pop(UNITS, None)
    meta = complete(parse_table(document))
    columns, adata = _columns(tree, meta, stored)
    return StoredTable(tree.where, meta, stored, units is not None, columns, adata)


def joined(tables: Sequence[StoredTable]) -> pd.DataFrame:
    """The rows of tables of one form, with the index and the types that their attributes name.

    Raises
    ------
    ArgumentError
        The index is not there, or does not hold what the attributes say.
    StoredDataError
        The columns are of different lengths.
    """
    first = tables[0]
    kinds = first.kinds if len(tables) == 1 else _merged([t.kinds for t in tables])
    known, _ = kinds_of(kinds)
    try:
        frame = type(first.columns).frame([t.columns for t in tables], known)
    except (ValueError, TypeError) as error:
        raise _broken(first.where, first.meta.backend, error) from error
    if len(tables) > 1 and frame.index.tolist() == [str(i) for table in tables for i in range(len(table))]:
        frame = frame.reset_index(drop=True)  # each only counts its rows
    return unpack(frame, first.meta, kinds)


def _merged(every: Sequence[Any]) -> Any:
    """The kinds of tables of one form: categories in the order in which they come up first."""
    if not isinstance(every[0], Mapping):
        return every[0]
    columns = {name: dict(kind) for name, kind in kinds_of(every[0])[0].items()}
    index = kinds_of(every[0])[1]
    coded = [name for name, kind in columns.items() if "categories" in kind]
    if not coded and "categories" not in (index or {}):
        return every[0]
    found = [kinds_of(kinds) for kinds in every]
    for name in coded:
        columns[name]["categories"] = list(dict.fromkeys(c for kinds, _ in found for c in kinds[name]["categories"]))
    if index and "categories" in index:
        index = {**index, "categories": list(dict.fromkeys(c for _, kind in found if kind for c in kind["categories"]))}
    return {"index": index, "columns": list(columns.values())}


def _broken(where: str, backend: str | None, error: Exception) -> StoredDataError:
    return StoredDataError(
        f"the table cannot be read ({error})", where=where, got=f"backend {backend!r}", hint="The write may be unfinished."
    )


def _columns(tree: Tree, meta: TableMeta, stored: Any) -> tuple[Any, AnnData | None]:
    try:
        backend = backend_name(meta.backend)
    except ArgumentError as error:
        raise StoredDataError(error.what, where=tree.where, got=error.got, allowed=error.allowed) from None
    try:
        if backend == "csv":
            kinds, index = kinds_of(stored)
            return _csv(_blob(tree, "table.csv"), kinds | ({meta.index_key: index} if meta.index_key and index else {})), None
        if backend == "parquet":
            import pyarrow.parquet

            return _Arrow(pyarrow.parquet.read_table(io.BytesIO(_blob(tree, "table.parquet"))), None), None
        if backend == "json":
            return _json(tree), None
        columns = columns_of(tree)
        if columns is not None:
            return columns, None
        frame, adata = anndata_backend.read(tree.group())
        return _Frame(frame), adata
    except (OmexpError, PermissionError, ConnectionError, TimeoutError):
        raise
    except Exception as error:  # arrow, pandas, anndata and zarr each have their own classes for a broken file
        raise _broken(tree.where, backend, error) from error


def _blob(tree: Tree, key: str) -> bytes:
    content = tree.get(key)
    if content is None:
        raise StoredDataError("a file of the table is missing", where=tree.where, got=repr(key), hint="The write may be unfinished.")
    return content


def _json(tree: Tree) -> _Json:
    columns = tree.attributes("table")
    if columns is None:
        raise StoredDataError("a part of the table is missing", where=tree.where, got="no group 'table'")
    if not all(isinstance(values, list) for values in columns.values()) or len({len(values) for values in columns.values()}) > 1:
        raise StoredDataError("the columns of the table are no lists of one length", where=tree.where, got=list(columns))
    return _Json(columns)


def _csv(content: bytes, kinds: Mapping[str, Kind]) -> _Arrow:
    import pyarrow as pa
    import pyarrow.csv

    if not content.strip():
        return _Arrow(pa.table({}), frozenset())
    reading = pa.csv.ReadOptions(block_size=max(1 << 20, len(content)), use_threads=len(content) > 1 << 20)  # types: from the first block
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    wanted = {name: arrow_type for name, kind in kinds.items() if (arrow_type := _arrow_type(kind)) is not None}
    for types in (wanted, {}):  # other programs may have changed a column and kept its kind
        options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False)
        try:
            return _Arrow(pa.csv.read_csv(io.BytesIO(content), reading, parsing, options), frozenset(types))
        except pa.ArrowInvalid:
            if not types:
                raise
    raise AssertionError("the last of the two attempts returns or raises")


def _unstated(column: pd.Series) -> pd.Series:
    """Integers with gaps become floats where no kind says otherwise and every value fits: arrow, with which ngio writes, turns the
    floats 1.0, 2.0, NaN into 1, 2 and nothing."""
    exact = str(column.dtype) == "Int64" and bool((column.abs() <= 2**53).all())
    return column.astype("float64") if exact else column


def _arrow_type(kind: Kind) -> pa.DataType | None:
    import pyarrow as pa

    name = kind.get("of", kind)["dtype"].lower()
    if name in ("object", "str") or name.startswith(("string", "datetime64")):
        return pa.string()
    if name.startswith("float"):
        return pa.float64()
    if name.startswith("bool"):
        return pa.bool_()
    return pa.type_for_alias(name) if re.fullmatch(r"u?int(8|16|32|64)", name) else None
