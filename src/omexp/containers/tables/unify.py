"""One type for the columns of several frames. Knows: dtypes that hold every value of others. Does not know: tables, files.

The rules, in this order: a column that is all missing (or without rows) takes the type of the others; a column that some frames lack
becomes one that can be missing (int64 -> Int64, bool -> boolean); integers and floats become the smallest type that holds every value;
categories become the union of theirs; moments become UTC in the finest unit; text of any kind becomes text. Nothing else is mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.containers.tables.columns import cells
from omexp.errors import DTypeError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["stacked"]

_EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53}


def stacked(frames: Sequence[pd.DataFrame], places: Sequence[str]) -> pd.DataFrame:
    """The rows of all frames, one after the other, counted from 0; columns in the order in which they come up first.

    Parameters
    ----------
    frames
        They are not changed; their indexes are not looked at.
    places
        Where each is from, for messages.

    Raises
    ------
    DTypeError
        No type holds the values of a column in all frames: bools and numbers, numbers and text, integers beyond 2**53 and floats.
    """
    import pandas as pd

    if len(frames) == 1:
        return frames[0].reset_index(drop=True)
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    lengths = [len(frame) for frame in frames]
    columns = {name: _stacked([f[name] if name in f.columns else None for f in frames], lengths, name, places) for name in names}
    return pd.DataFrame(columns, index=range(sum(lengths)))


def _stacked(parts: Sequence[pd.Series | None], lengths: Sequence[int], name: str, places: Sequence[str]) -> pd.Series:
    import pandas as pd

    filled = [p for p in parts if p is not None and len(p) and not p.isna().all()]
    if not filled:
        known = next(p for p in parts if p is not None)
        filled = [next((p for p in parts if p is not None and len(p)), known)]
    dtypes = list(dict.fromkeys(p.dtype for p in filled))
    gaps = any(n and (p is None or (p.isna().all() and p.dtype not in dtypes)) for p, n in zip(parts, lengths, strict=True))
    try:
        wanted = dtypes[0] if len(dtypes) == 1 else _common(filled, dtypes)
    except TypeError as error:
        shown = [f"{p.dtype} in {place}" for p, place in zip(parts, places, strict=True) if p is not None and p.dtype in dtypes]
        raise DTypeError(
            "a column is of types that do not go together",
            where=f"column {name!r}",
            got=list(dict.fromkeys(shown)),
            hint=f"{str(error).capitalize()}. Convert one of the tables first.",
        ) from None
    wanted = _with_gaps(wanted) if gaps else wanted
    found = [_as(p, n, wanted) for p, n in zip(parts, lengths, strict=True)]
    return pd.concat(found, ignore_index=True) if len(found) > 1 else found[0].reset_index(drop=True)


def _as(part: pd.Series | None, rows: int, dtype: Any) -> pd.Series:
    import pandas as pd

    if part is None or not len(part) or (part.dtype != dtype and part.isna().all()):
        if _is_object(dtype):
            return pd.Series([None] * rows, dtype=object)
        missing = isinstance(dtype, np.dtype) and dtype.kind in "biu"
        return pd.Series(np.zeros(rows, dtype)) if missing else pd.Series(pd.array([None] * rows, dtype=dtype))
    if part.dtype == dtype:
        return part
    if isinstance(dtype, pd.CategoricalDtype):
        return part.cat.set_categories(dtype.categories, ordered=bool(dtype.ordered))
    if _is_object(dtype) or isinstance(dtype, pd.StringDtype):
        return pd.Series(cells(part), dtype=dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return part.dt.tz_convert("UTC").astype(dtype)
    return part.astype(dtype)


def _with_gaps(dtype: Any) -> Any:
    """A dtype that can be missing."""
    import pandas as pd

    if not isinstance(dtype, np.dtype) or dtype.kind not in "biu":
        return dtype
    if dtype.kind == "b":
        return pd.BooleanDtype()
    return pd.array([], dtype=dtype.name.replace("int", "Int").replace("uI", "UI")).dtype


def _common(parts: Sequence[pd.Series], dtypes: Sequence[Any]) -> Any:
    """The dtype for all of them. Raises `TypeError`."""
    import pandas as pd

    coded = [isinstance(d, pd.CategoricalDtype) for d in dtypes]
    if all(coded):
        return _category(dtypes)
    if all(_is_text(d) for d in dtypes):
        texts = {d.categories.dtype if isinstance(d, pd.CategoricalDtype) else d for d in dtypes}
        return texts.pop() if len(texts) == 1 else np.dtype(object)
    if any(coded):
        raise TypeError("categories and other values are not mixed")
    moments = [d for d in dtypes if getattr(d, "kind", "") == "M"]
    if moments:
        return _moment(dtypes, moments)
    numbers = [getattr(d, "numpy_dtype", d) for d in dtypes]
    if not all(isinstance(d, np.dtype) and d.kind in "biuf" for d in numbers):
        raise TypeError("numbers and text are not mixed")
    return _number(parts, dtypes, numbers)


def _is_object(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _is_text(dtype: Any) -> bool:
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        return _is_text(dtype.categories.dtype)
    return _is_object(dtype) or isinstance(dtype, pd.StringDtype)


def _category(dtypes: Sequence[Any]) -> Any:
    import pandas as pd

    if len({d.categories.dtype for d in dtypes}) > 1:
        raise TypeError("categories of different types are not mixed")
    values = list(dict.fromkeys(value for d in dtypes for value in d.categories.tolist()))
    ordered = all(d.ordered and d.categories.tolist() == dtypes[0].categories.tolist() for d in dtypes)
    return pd.CategoricalDtype(pd.Index(values, dtype=dtypes[0].categories.dtype), ordered=ordered)


def _moment(dtypes: Sequence[Any], moments: Sequence[Any]) -> Any:
    import pandas as pd

    zoned = [isinstance(d, pd.DatetimeTZDtype) for d in dtypes]
    if len(moments) < len(dtypes) or any(zoned) != all(zoned):
        raise TypeError("moments with and without a zone, or other values, are not mixed")
    units = [d.unit if isinstance(d, pd.DatetimeTZDtype) else np.datetime_data(d)[0] for d in dtypes]
    unit: Any = max(units, key=["s", "ms", "us", "ns"].index)
    if not all(zoned):
        return np.dtype(f"datetime64[{unit}]")
    zones = {str(d.tz) for d in dtypes}
    return pd.DatetimeTZDtype(unit, zones.pop() if len(zones) == 1 else "UTC")


def _number(parts: Sequence[pd.Series], dtypes: Sequence[Any], numbers: Sequence[np.dtype[Any]]) -> Any:
    import pandas as pd

    kinds = {d.kind for d in numbers}
    if "b" in kinds and len(kinds) > 1:
        raise TypeError("bools and numbers are not mixed")
    common = np.result_type(*numbers)
    if common.kind == "f" and kinds & {"i", "u"}:
        common = _fitting(parts, numbers, common)
    if all(isinstance(d, np.dtype) for d in dtypes):
        return common
    name = "boolean" if common.kind == "b" else common.name.replace("int", "Int").replace("uI", "UI").replace("float", "Float")
    return pd.array([], dtype="Float64" if name == "Float16" else name).dtype


def _fitting(parts: Sequence[pd.Series], numbers: Sequence[np.dtype[Any]], common: np.dtype[Any]) -> np.dtype[Any]:
    """A float, or for int64 with uint64 whichever holds the values. Raises `TypeError` where integers would not survive."""
    whole = [p.dropna() for p, d in zip(parts, (getattr(p.dtype, "numpy_dtype", p.dtype) for p in parts), strict=True) if d.kind in "iu"]
    low, high = min(int(p.min()) for p in whole), max(int(p.max()) for p in whole)
    if all(d.kind in "iu" for d in numbers):
        if high < 2**63:
            return np.dtype("int64")
        if low >= 0:
            return np.dtype("uint64")
        raise TypeError("no integer type holds all values")
    for name in (common.name, "float64"):
        if -_EXACT[name] <= low and high <= _EXACT[name]:
            return np.dtype(name)
    raise TypeError("integers beyond 2**53 and floats are not mixed")
