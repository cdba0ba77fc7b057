"""How the columns of a table lie in its group. Knows: csv, parquet, json, anndata by name. Does not know: table types.

Names and places are those of Fractal and ngio: `table.csv` and `table.parquet` in the group, a column dictionary in the attributes of
the sub-group `table`, or an AnnData hierarchy.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.containers.tables import anndata_backend
from omexp.containers.tables.columns import Kind, cells, from_json, inferred, plain, to_json
from omexp.containers.tables.packing import Packed, kinds_of, pack
from omexp.containers.tables.table import Table
from omexp.errors import ArgumentError, DTypeError, OmexpError, StoredDataError
from omexp.metadata.tables import TableMeta
from omexp.storage.blobs import read_blob, write_blob
from omexp.storage.groups import Group

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from anndata import AnnData

__all__ = ["DEFAULT_BACKEND", "backend_name", "prepare", "read_columns"]

DEFAULT_BACKEND = "anndata_v1"
_NAMES = {name: name for name in ("anndata_v1", "anndata", "parquet", "csv", "json")}
_ALIASES = {f"experimental_{name}_v1": name for name in ("json", "csv", "parquet")}


def backend_name(name: str | None) -> str:
    """The name to write for a backend; the default for None. Raises `ArgumentError`."""
    found = (_NAMES | _ALIASES).get(name or DEFAULT_BACKEND)
    if found is None:
        raise ArgumentError("there is no such table backend", where="backend", got=repr(name), allowed=", ".join(_NAMES))
    return found


def prepare(table: Table, backend: str) -> Callable[[Group], None]:
    """Turn a table into what is to be stored; the function that is returned stores it in a group, attributes last.

    Raises
    ------
    ArgumentError, DTypeError
        The backend cannot hold the table. Nothing has been written.
    """
    held = table._anndata
    if held is not None and backend.startswith("anndata"):  # as it is; anndata keeps the types of its own parts
        attributes = replace(table.meta, backend=backend).to_json()
        return _storing(attributes | anndata_backend.ENCODING, anndata_backend.write, anndata_backend.elements_of(held))
    if held is not None:
        anndata_backend.refuse_losses(held, backend)
    packed = pack(table.dataframe, table.meta)
    attributes = packed.attributes(backend)
    if backend == "csv":
        return _storing(attributes, lambda group, text: write_blob(group, "table.csv", text), _to_csv(packed))
    if backend == "parquet":
        return _storing(attributes, lambda group, content: write_blob(group, "table.parquet", content), _to_parquet(packed))
    if backend == "json":
        columns = {name: to_json(values) for name, values in _values(packed).items()}
        return _storing(attributes, lambda group, columns: group.require_group("table").put_attributes(columns), columns)
    return _storing(attributes | anndata_backend.ENCODING, anndata_backend.write, anndata_backend.elements(packed))


def _storing(attributes: dict[str, Any], write: Callable[[Group, Any], None], content: Any) -> Callable[[Group], None]:
    def store(group: Group) -> None:
        write(group, content)
        group.put_attributes(attributes)

    return store


def read_columns(group: Group, meta: TableMeta, stored: Any) -> tuple[pd.DataFrame, AnnData | None]:
    """The columns as they lie there (the index not yet set), and the AnnData where it holds more than columns.

    Raises
    ------
    StoredDataError
        The backend is unknown, or its files are missing or broken.
    """
    try:
        backend = backend_name(meta.backend)
    except ArgumentError as error:
        raise StoredDataError(error.what, where=group.where, got=error.got, allowed=error.allowed) from None
    kinds, index_kind = kinds_of(stored)
    if meta.index_key and index_kind:
        kinds[meta.index_key] = index_kind
    try:
        if backend == "csv":
            return _from_csv(_blob(group, "table.csv"), kinds), None
        if backend == "parquet":
            return _from_parquet(_blob(group, "table.parquet")), None
        return (_from_json(group, kinds), None) if backend == "json" else anndata_backend.read(group)
    except (OmexpError, PermissionError, ConnectionError, TimeoutError):
        raise
    except Exception as error:  # arrow, pandas, anndata and zarr each have their own classes for a broken file
        raise StoredDataError(
            f"the table cannot be read ({error})", where=group.where, got=f"backend {backend!r}", hint="The write may be unfinished."
        ) from error


def _blob(group: Group, key: str) -> bytes:
    content = read_blob(group, key)
    if content is None:
        raise StoredDataError("a file of the table is missing", where=group.where, got=repr(key), hint="The write may be unfinished.")
    return content


def _values(packed: Packed) -> dict[str, list[Any]]:
    return {name: cells(plain(packed.frame[name], kind)) for name, kind in packed.kinds.items()}


# ---------------------------------------------------------------------------------------------------------- json
def _from_json(group: Group, kinds: dict[str, Kind]) -> pd.DataFrame:
    import pandas as pd

    inner = group.find("table")
    if inner is None:
        raise StoredDataError("a part of the table is missing", where=group.where, got="no group 'table'")
    columns = inner.attributes
    return pd.DataFrame({name: from_json(values, kinds.get(name)) for name, values in columns.items()})


# ----------------------------------------------------------------------------------------------------------- csv
def _to_csv(packed: Packed) -> bytes:
    """Text is always quoted, what is missing is an empty field, floats have a point: 1.0 stays a float for every reader.

    In a table of one column what is missing is NULL: readers skip empty lines.
    """
    columns = [[name, *values] for name, values in _values(packed).items()]
    gap = "NULL" if len(columns) == 1 else ""
    rows = zip(*columns, strict=True)
    text = "".join(",".join(gap if value is None else _field(value) for value in row) + "\n" for row in rows)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DTypeError(f"csv cannot hold the table ({error})", where="backend 'csv'") from error


def _field(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _from_csv(content: bytes, kinds: dict[str, Kind]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv

    if not content.strip():
        return pd.DataFrame()
    reading = pa.csv.ReadOptions(block_size=max(1 << 20, len(content)))  # one block: types are inferred from the first
    parsing = pa.csv.ParseOptions(newlines_in_values=True)
    wanted = {name: arrow_type for name, kind in kinds.items() if (arrow_type := _arrow_type(kind)) is not None}
    for types in (wanted, {}):  # other programs may have changed a column and kept its kind
        options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False)
        try:
            frame = _from_arrow(pa.csv.read_csv(io.BytesIO(content), reading, parsing, options))
            return pd.DataFrame({name: frame[name] if name in types else _unstated(frame[name]) for name in frame.columns})
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


# ------------------------------------------------------------------------------------------------------- parquet
def _to_parquet(packed: Packed) -> bytes:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet

    columns = {n: packed.frame[n] if k["dtype"].startswith("datetime64") else plain(packed.frame[n], k) for n, k in packed.kinds.items()}
    buffer = io.BytesIO()
    try:
        pa.parquet.write_table(pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False), buffer)
    except (pa.ArrowException, ValueError) as error:
        raise DTypeError(f"parquet cannot hold the table ({error})", where="backend 'parquet'") from error
    return buffer.getvalue()


def _from_parquet(content: bytes) -> pd.DataFrame:
    import pyarrow.parquet

    return _from_arrow(pyarrow.parquet.read_table(io.BytesIO(content)))


def _from_arrow(table: pa.Table) -> pd.DataFrame:
    """Column by column: integers and bools of which some are missing stay what they are (pandas would make floats and objects)."""
    import pandas as pd
    import pyarrow as pa

    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError(f"a column is there twice: {table.column_names}")
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        whole, truth = pa.types.is_integer(column.type), pa.types.is_boolean(column.type)
        if column.null_count and (whole or truth):
            values, missing = column.fill_null(False if truth else 0).to_numpy(), np.asarray(column.is_null())
            columns[name] = pd.Series((pd.arrays.BooleanArray if truth else pd.arrays.IntegerArray)(values, missing))
        elif pa.types.is_null(column.type):
            columns[name] = inferred([None] * len(column))
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)
