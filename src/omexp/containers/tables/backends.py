"""How the columns of a table are written. Knows: csv, parquet, json, anndata. Does not know: table types. `stored` reads them.

Names and places are those of Fractal and ngio: `table.csv` and `table.parquet` in the group, a column dictionary in the attributes of
the sub-group `table`, or an AnnData hierarchy.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from omexp.containers.tables import anndata_backend
from omexp.containers.tables.columns import cells, plain, to_json
from omexp.containers.tables.packing import Packed, pack
from omexp.containers.tables.table import Table
from omexp.errors import DTypeError
from omexp.storage.blobs import write_blob
from omexp.storage.groups import Group

__all__ = ["prepare"]


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
    attributes = packed.attributes(backend) | table.unit_attributes()
    if backend == "csv":
        return _storing(attributes, lambda group, text: write_blob(group, "table.csv", text), _to_csv(packed))
    if backend == "parquet":
        return _storing(attributes, lambda group, content: write_blob(group, "table.parquet", content), _to_parquet(packed))
    if backend == "json":
        columns = {name: to_json(values) for name, values in _values(packed).items()}
        return _storing(attributes, _write_json, columns)
    return _storing(attributes | anndata_backend.ENCODING, anndata_backend.write, anndata_backend.elements(packed))


def _storing(attributes: dict[str, Any], write: Callable[[Group, Any], None], content: Any) -> Callable[[Group], None]:
    def store(group: Group) -> None:
        write(group, content)
        group.put_attributes(attributes)

    return store


def _write_json(group: Group, columns: dict[str, list[Any]]) -> None:
    """The columns as the attributes of a group; without zarr, which writes JSON with indents, ten times as slowly."""
    group.require_group("table")
    document = columns if group.zarr_format == 2 else {"attributes": columns, "zarr_format": 3, "node_type": "group"}
    name = "table/.zattrs" if group.zarr_format == 2 else "table/zarr.json"
    try:
        write_blob(group, name, json.dumps(document, allow_nan=False).encode())
    except ValueError as error:
        raise DTypeError(f"json cannot hold the table ({error})", where="backend 'json'") from error


def _values(packed: Packed) -> dict[str, list[Any]]:
    return {name: cells(plain(packed.frame[name], kind)) for name, kind in packed.kinds.items()}


# ----------------------------------------------------------------------------------------------------------- csv
def _to_csv(packed: Packed) -> bytes:
    """Text is always quoted, what is missing is an empty field, floats have a point: 1.0 stays a float for every reader.

    In a table of one column what is missing is NULL: readers skip empty lines.
    """
    values = _values(packed)
    gap = "NULL" if len(values) == 1 else ""
    columns = [[_field(name), *_fields(column, gap)] for name, column in values.items()]
    text = "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DTypeError(f"csv cannot hold the table ({error})", where="backend 'csv'") from error


def _fields(values: list[Any], gap: str) -> list[str]:
    """A column as text; most are of one type, which takes a tenth of the time."""
    types = set(map(type, values))
    if types <= {float} or types <= {int}:
        return list(map(repr, values))
    return [gap if value is None else _field(value) for value in values]


def _field(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


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
