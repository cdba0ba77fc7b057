"""From a table to columns that a file can hold, and back. Knows: index, kinds, order. Does not know: files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from omexp.containers.tables.columns import Kind, cells, described, parsed, restored, typed_index
from omexp.containers.tables.names import KINDS
from omexp.errors import ArgumentError
from omexp.metadata.tables import TableMeta

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Packed", "kinds_of", "pack", "unpack"]


@dataclass(frozen=True, slots=True)
class Packed:
    """Columns to store (the index among them, first), what the attributes say, and the kinds of the columns."""

    frame: pd.DataFrame
    meta: TableMeta
    kinds: Mapping[str, Kind]

    @property
    def index_key(self) -> str | None:
        """The column that is the index; None where rows are only counted."""
        return self.meta.index_key

    def attributes(self, backend: str) -> dict[str, Any]:
        """What to write into the attributes of the table's group."""
        columns = [{"name": name} | dict(kind) for name, kind in self.kinds.items() if name != self.index_key]
        index = None if self.index_key is None else dict(self.kinds[self.index_key])
        return replace(self.meta, backend=backend).to_json() | {KINDS: {"index": index, "columns": columns}}


def pack(frame: pd.DataFrame, meta: TableMeta) -> Packed:
    """The columns of a table, ready to be stored. An index without name that is not 0, 1, 2, ... is stored as "index".

    Raises
    ------
    ArgumentError
        Column names that are no text, or twice, or that of the index; levels in the index; rows without a column.
    DTypeError
        Values that no backend keeps.
    """
    import pandas as pd

    if isinstance(frame.index, pd.MultiIndex) or isinstance(frame.columns, pd.MultiIndex):
        raise ArgumentError("a table cannot store levels", where="table", got="a MultiIndex", hint="Use reset_index().")
    strange = next((name for name in frame.columns if not isinstance(name, str) or not name), None)
    twice = frame.columns[frame.columns.duplicated()].tolist()
    if strange is not None or twice:
        raise ArgumentError(
            "the column names cannot be stored", where="table", got=repr(twice[0] if twice else strange), allowed="text, each once"
        )
    counted = isinstance(frame.index, pd.RangeIndex) and frame.index.equals(pd.RangeIndex(len(frame))) and frame.index.name is None
    if counted and meta.index_key is None:
        if not len(frame.columns) and len(frame):
            raise ArgumentError("the table has rows but no columns", where="table", got=f"{len(frame)} rows")
        kinds = {name: described(frame[name], name) for name in frame.columns}
        return Packed(frame, replace(meta, index_type=None), kinds)
    return _with_index(frame, meta)


def _with_index(frame: pd.DataFrame, meta: TableMeta) -> Packed:
    key = meta.index_key or frame.index.name or "index"
    if not isinstance(key, str) or key in frame.columns:
        raise ArgumentError("the index needs a name of its own", where="table", got=repr(key), hint="Rename it with rename_axis('...').")
    kinds = {key: described(frame.index, key) | {"name": frame.index.name}}
    kinds |= {name: described(frame[name], name) for name in frame.columns}
    name, gaps = kinds[key]["dtype"], frame.index.hasnans
    index_type = None if gaps else "int" if name.startswith(("int", "uint")) else "str" if name in ("object", "str") else None
    return Packed(frame.rename_axis(key).reset_index(), replace(meta, index_key=key, index_type=index_type), kinds)


def kinds_of(stored: Any) -> tuple[dict[str, Kind], Kind | None]:
    """The kinds of the columns and that of the index in the attribute `KINDS`; those that are no kinds are passed over."""
    stored = stored if isinstance(stored, Mapping) else {}
    columns, index = stored.get("columns"), stored.get("index")
    named = [k for k in columns if _is_kind(k) and isinstance(k.get("name"), str | int | float | None)] if isinstance(columns, list) else []
    kinds = {k["name"]: k for k in named if "name" in k}
    return kinds, index if _is_kind(index) else None


def _is_kind(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("dtype"), str) and ("of" not in value or _is_kind(value["of"]))


def unpack(frame: pd.DataFrame, meta: TableMeta, stored: Any) -> pd.DataFrame:
    """The columns as they were packed, from what a backend read and the attribute `KINDS` (or None).

    Kinds of columns that are not there are passed over, and so are kinds that the values do not fit: another program may have
    rewritten the columns.

    Raises
    ------
    ArgumentError
        The index is not there, or does not hold what the attributes say.
    """
    import pandas as pd

    kinds, index_kind = kinds_of(stored)
    if frame.columns.has_duplicates:
        raise ArgumentError("a column is there twice", where="table", got=frame.columns[frame.columns.duplicated()].tolist())
    frame = _indexed(frame, meta.index_key)
    counted = meta.index_key is None and isinstance(stored, Mapping) and stored.get("index", 0) is None and _counts(frame.index)
    index = pd.RangeIndex(len(frame)) if counted else _index(frame.index, meta, index_kind)
    columns = {name: restored(frame[name].reset_index(drop=True), kinds.get(name)) for name in frame.columns}
    order = [name for name in kinds if name in columns] if set(kinds) == set(columns) else list(columns)
    rebuilt = pd.DataFrame({name: columns[name] for name in order}) if columns else pd.DataFrame(index=range(len(frame)))
    rebuilt.index = index
    return rebuilt


def _indexed(frame: pd.DataFrame, key: str | None) -> pd.DataFrame:
    if key is None or frame.index.name == key:
        return frame
    if key in frame.columns:
        return frame.set_index(key)
    counted = frame.index.name is None and frame.index.dtype.kind in "iu"
    if counted or frame.index.name is not None:
        raise ArgumentError("the index column is missing", where="table", got=list(frame.columns), allowed=f"a column {key!r}")
    return frame.rename_axis(key)


def _counts(index: pd.Index) -> bool:
    """True for 0, 1, 2, ..., as numbers or as text."""
    return index.tolist() in (list(range(len(index))), [str(n) for n in range(len(index))])


def _index(index: pd.Index, meta: TableMeta, kind: Kind | None) -> pd.Index:
    import pandas as pd

    if kind is not None:
        values = pd.Series(index.array).reset_index(drop=True)
        try:
            texts = all(isinstance(v, str) for v in cells(values))
            values = restored(parsed(values, kind) if texts else values, kind)
        except (ValueError, KeyError):  # rewritten by another program
            pass
        index = pd.Index(values, name=kind.get("name", meta.index_key), dtype=values.dtype)
    return typed_index(index, meta.index_type, f"index {meta.index_key!r}")
