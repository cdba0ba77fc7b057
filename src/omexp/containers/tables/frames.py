"""Frames of pandas, polars and arrow. Knows: what each type of column is in the others. Does not know: tables, files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.containers.tables.columns import cells, inferred
from omexp.errors import DTypeError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["arrow_frame", "is_polars", "pandas_of", "polars_of"]


def is_polars(value: Any) -> bool:
    """True for a polars DataFrame or LazyFrame; does not import polars."""
    module = sys.modules.get("polars")
    return module is not None and isinstance(value, (module.DataFrame, module.LazyFrame))


def pandas_of(frame: pl.DataFrame | pl.LazyFrame) -> pd.DataFrame:
    """A polars frame as a pandas one, column by column: nothing that is missing changes a type; nulls beside NaN become NaN.

    Raises
    ------
    DTypeError
        A column of lists, structs, decimals, dates or durations.
    """
    import polars as pl

    eager = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    strange = [
        f"{name}: {kind}" for name, kind in eager.schema.items() if kind.is_nested() or kind in (pl.Date, pl.Time, pl.Duration, pl.Object)
    ]
    strange += [f"{name}: {kind}" for name, kind in eager.schema.items() if kind.is_decimal() or kind == pl.Binary]
    if strange:
        raise DTypeError(
            "no table backend keeps columns of this type",
            where="polars frame",
            got=strange,
            allowed="Boolean, integers, floats, String, Categorical, Enum, Datetime",
            hint="Cast them first, for example a Date to pl.Datetime.",
        )
    found = arrow_frame(eager.to_arrow())
    for name, kind in eager.schema.items():
        if kind in (pl.Float32, pl.Float64) and eager[name].null_count() and not eager[name].is_nan().any():
            found[name] = found[name].astype(str(kind))
    return found


def polars_of(frame: pd.DataFrame) -> pl.DataFrame:
    """A pandas frame as a polars one: NaN stays NaN, None becomes null; a named index is the first column, any other is left out."""
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    whole = frame if frame.index.name is None else frame.reset_index()
    columns = {}
    for name in whole.columns:
        column = whole[name]
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            columns[name] = pa.array(cells(column), type=pa.large_string())
        elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
            columns[name] = pa.array(column.to_numpy(), from_pandas=False)
        else:
            columns[name] = pa.array(column)
    found = pl.from_arrow(pa.table(columns))
    assert isinstance(found, pl.DataFrame)
    return found


def arrow_frame(table: pa.Table) -> pd.DataFrame:
    """Column by column: integers and bools of which some are missing stay what they are (pandas would make floats and objects).

    Raises
    ------
    ValueError
        A name is there twice.
    """
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
