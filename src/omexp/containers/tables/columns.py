"""Column types that a file format may lose. Knows: pandas dtypes as JSON, and how to get them back. Does not know: files.

A *kind* is a dtype as JSON: ``{"dtype": "int32"}``, or ``{"dtype": "category", "ordered": False, "of": {"dtype": "object"},
"categories": ["a", "b"]}``. It is stored beside the columns, whatever the backend, and followed on reading as far as the values that
are there allow: another program may have rewritten the columns and kept the kinds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.errors import ArgumentError, DTypeError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cells", "described", "from_json", "inferred", "is_float", "parsed", "plain", "restored", "to_json", "typed_index", "whole"]

Kind = Mapping[str, Any]

_WIDTHS = ("8", "16", "32", "64")
_MASKED = {"boolean", "Float32", "Float64", *(f"{sign}{width}" for sign in ("Int", "UInt") for width in _WIDTHS)}
_MOMENT = re.compile(r"datetime64\[(\w+)(?:, (.+))?\]")


def described(values: Any, column: str) -> dict[str, Any]:
    """The kind of a pandas Series or Index.

    Raises
    ------
    DTypeError
        No backend can keep such values: timedelta, complex, objects other than strings and None, ...
    """
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        of = described(dtype.categories, column)
        if of["dtype"] != "category" and not of["dtype"].startswith("datetime64"):
            return {"dtype": "category", "ordered": bool(dtype.ordered), "of": of, "categories": to_json(cells(dtype.categories))}
    elif isinstance(dtype, pd.StringDtype):
        return {"dtype": f"string[{dtype.storage}]" if dtype.na_value is pd.NA else "str"}
    elif isinstance(dtype, np.dtype) and (dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize <= 8)):
        return {"dtype": dtype.newbyteorder("=").name}
    elif str(dtype) in _MASKED or _MOMENT.fullmatch(str(dtype)):
        return {"dtype": str(dtype)}
    elif isinstance(dtype, np.dtype) and dtype.kind == "O" and all(v is None or isinstance(v, str) for v in cells(values)):
        return {"dtype": "object"}
    raise DTypeError(
        "no table backend keeps values of this type",
        where=f"column {column!r}",
        got=_seen(values),
        allowed="bool, integers, floats, strings, categories of these, datetime64, and pandas' nullable types",
        hint="Convert the column first, for example with astype('Int64'), astype('boolean') or astype(str).",
    )


def _seen(values: Any) -> str:
    if values.dtype != object:
        return str(values.dtype)
    return "objects of type " + ", ".join(sorted({type(v).__name__ for v in cells(values) if v is not None}))


def is_float(kind: Kind) -> bool:
    """True for float16 ... float64, Float32 and Float64."""
    return str(kind["dtype"]).lower().startswith("float")


def cells(values: Any) -> list[Any]:
    """Plain Python values; None for what is missing (NaN counts as missing)."""
    return [None if gone else value for value, gone in zip(values.tolist(), values.isna().tolist(), strict=True)]


def to_json(values: Iterable[Any]) -> list[Any]:
    """The same values for a JSON document, which has no infinities: they become "Infinity" and "-Infinity", as in Zarr."""
    return [("Infinity" if v > 0 else "-Infinity") if isinstance(v, float) and math.isinf(v) else v for v in values]


def from_json(values: Iterable[Any], kind: Kind | None) -> pd.Series:
    """A column of a JSON document."""
    content = list(values)
    if kind is not None and is_float(kind):
        content = [float(v) if v in ("Infinity", "-Infinity") else v for v in content]
    return inferred(content)


def inferred(values: list[Any]) -> pd.Series:
    """A column from Python values, None for missing. Integers and bools stay what they are where some are missing."""
    import pandas as pd

    types = set(map(type, values))
    if any(issubclass(t, np.generic) for t in types):
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        types = set(map(type, values))
    gaps = type(None) in types
    types.discard(type(None))
    if types == {bool} and gaps:
        return pd.Series(values, dtype="boolean")
    if types == {int} and gaps:
        return pd.Series(values, dtype="Int64" if max(v for v in values if v is not None) < 2**63 else "UInt64")
    if types == {float} or types == {int, float}:
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object if not types else None)


def plain(values: pd.Series, kind: Kind) -> pd.Series:
    """The same values in a type that every backend stores: moments as ISO 8601 text in UTC, categories of numbers as the numbers."""
    import pandas as pd

    if kind["dtype"] == "category" and not _is_text(kind["of"]):
        return inferred(cells(values))
    moment = _MOMENT.fullmatch(kind["dtype"])
    if not moment:
        return values
    if moment[2]:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    texts = np.datetime_as_string(values.to_numpy()).tolist()
    return pd.Series([None if text == "NaT" else text for text in texts], dtype=object)


def parsed(texts: Iterable[str], kind: Kind) -> pd.Series:
    """Values that were turned into text by `str`, as the index of an anndata is. Raises `ValueError`."""
    import pandas as pd

    name = kind.get("of", kind)["dtype"]
    texts = texts.tolist() if hasattr(texts, "tolist") else list(texts)
    if "int" in name.lower():
        return inferred(list(map(int, texts)))
    if is_float({"dtype": name}):
        return pd.Series(list(map(float, texts)), dtype="float64")
    return inferred([{"True": True, "False": False}[t] for t in texts] if name.startswith("bool") else texts)


def typed_index(index: Any, index_type: str | None, where: str) -> Any:
    """The index as whole numbers ("int") or text ("str"); one that is so already, or None for the type: unchanged.

    Raises
    ------
    ArgumentError
        A value is missing or no whole number.
    """
    import pandas as pd

    values = cells(index)
    if index_type is None:
        return index
    if None in values:
        raise ArgumentError("a row has no name", where=where, got=f"row {values.index(None)}")
    if index_type == "str":
        return index if all(isinstance(v, str) for v in values) else pd.Index([str(v) for v in values], name=index.name)
    if index.dtype.kind in "iu":
        return index
    return pd.Index([whole(v, where) for v in values], name=index.name, dtype=None if values else "int64")


def whole(value: Any, where: str) -> int:
    """An integer from an integer, a float without fraction, or text. Raises `ArgumentError`."""
    try:
        if not isinstance(value, bool) and (isinstance(value, str) or value == int(value)):
            return int(value)
    except (TypeError, ValueError):
        pass
    raise ArgumentError("this is no whole number", where=where, got=repr(value), hint="Labels are integers.")


def restored(values: pd.Series, kind: Kind | None) -> pd.Series:
    """The column with its dtype back; as it is where its values would not survive (it was rewritten by another program)."""
    if kind is None or _is_so(values.dtype, kind):
        return values
    try:
        wanted = _cast(values, kind)
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError):
        return values
    return wanted if _agree(values, wanted) else values


def _is_so(dtype: Any, kind: Kind) -> bool:
    """True for a dtype that the kind names, where it names all of it."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf" and dtype.newbyteorder("=").name == kind["dtype"]


def _is_text(kind: Kind) -> bool:
    return kind["dtype"] in ("object", "str") or kind["dtype"].startswith("string[")


def _cast(values: pd.Series, kind: Kind) -> pd.Series:
    import pandas as pd

    name = kind["dtype"]
    if name == "category":
        categories = _cast(from_json(kind["categories"], kind["of"]), kind["of"])
        places = {value: place for place, value in enumerate(cells(categories))}
        codes = [-1 if value is None else places[value] for value in cells(values)]
        return pd.Series(pd.Categorical.from_codes(codes, pd.Index(categories), ordered=kind["ordered"]))
    if _is_text(kind):
        return _texts(cells(values), name)
    if _MOMENT.fullmatch(name):
        return _moments(values, name)
    if values.dtype == object or isinstance(values.dtype, (pd.CategoricalDtype, pd.StringDtype)):
        content = cells(values)
        if any(isinstance(v, str) for v in content):
            raise TypeError("text where numbers are expected")
        return pd.Series(pd.array(content, dtype=name) if name in _MASKED else np.array(content, dtype=name))
    return values.astype(name)


def _texts(content: list[Any], name: str) -> pd.Series:
    import pandas as pd

    if not all(v is None or isinstance(v, str) for v in content):
        raise TypeError("numbers where text is expected")
    if name == "object":
        return pd.Series(content, dtype=object)
    if name != "str":
        return pd.Series(content, dtype=name)
    try:
        return pd.Series(content, dtype=pd.StringDtype(na_value=np.nan))
    except TypeError:  # before pandas 2.3 there is no such dtype, and strings are objects
        return pd.Series(content, dtype=object)


def _moments(values: pd.Series, name: str) -> pd.Series:
    import pandas as pd

    if values.dtype.kind == "M":
        return values.astype(name)
    unit, zone = _MOMENT.fullmatch(name).groups()  # type: ignore[union-attr]
    moments = pd.Series(np.array(["NaT" if text is None else text for text in cells(values)], dtype=f"datetime64[{unit}]"))
    return moments.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else moments


def _agree(stored: pd.Series, wanted: pd.Series) -> bool:
    """True when the cast kept every value: numbers are equal, and what is missing is missing in both."""
    missing = stored.isna().to_numpy()
    if not np.array_equal(missing, wanted.isna().to_numpy()):
        return False
    if stored.dtype == wanted.dtype or wanted.dtype.kind == "M" or missing.all():
        return True
    both_numpy = isinstance(stored.dtype, np.dtype) and isinstance(wanted.dtype, np.dtype)
    left, right = (s.to_numpy() if both_numpy else s.astype(object).to_numpy() for s in (stored, wanted))
    return bool((left[~missing] == right[~missing]).all())
