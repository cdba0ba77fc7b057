"""The columns of AnnData hierarchies. Knows: anndata's encodings of dataframes, several tables at once. Does not know: table types.

Columns are taken from the arrays themselves: anndata takes 20 to 40 ms for a small table, this 1 to 2. What is no plain table (sparse or
integer X, layers, columns of var, encodings that are not here) is left to anndata.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.storage.trees import Tree

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnnDataColumns", "columns_of"]

_MAPPINGS = ("layers", "obsm", "obsp", "uns", "varm", "varp")
_MASKED = ("nullable-integer", "nullable-boolean", "nullable-string-array")


@dataclass(frozen=True, slots=True)
class _Plain:
    """Numbers, bools or text."""

    values: np.ndarray

    @property
    def form(self) -> Hashable:
        return self.values.dtype.str if self.values.dtype.kind != "T" else "text"

    @staticmethod
    def joined(parts: Sequence[_Plain]) -> Any:
        return np.concatenate([p.values for p in parts]) if len(parts) > 1 else parts[0].values


@dataclass(frozen=True, slots=True)
class _Coded:
    """Categories and which of them each row has; -1 is none."""

    codes: np.ndarray
    categories: np.ndarray
    ordered: bool

    @property
    def form(self) -> Hashable:
        named = tuple(self.categories.tolist()) if self.ordered else _Plain(self.categories).form
        return ("coded", self.ordered, named)

    @staticmethod
    def joined(parts: Sequence[_Coded]) -> Any:
        """Categories in the order in which they come up first."""
        import pandas as pd

        first = parts[0]
        if all(np.array_equal(p.categories, first.categories) for p in parts):
            codes = np.concatenate([p.codes for p in parts]) if len(parts) > 1 else first.codes
            return pd.Categorical.from_codes(codes, categories=first.categories, ordered=first.ordered)
        places: dict[Any, int] = {}
        found = []
        for part in parts:
            known = np.array([places.setdefault(value, len(places)) for value in part.categories.tolist()] + [-1])
            found.append(known[part.codes])
        return pd.Categorical.from_codes(np.concatenate(found), categories=np.array(list(places), dtype=first.categories.dtype))


@dataclass(frozen=True, slots=True)
class _Gapped:
    """Values, and where there are none."""

    values: np.ndarray
    mask: np.ndarray
    encoding: str
    missing: str

    @property
    def form(self) -> Hashable:
        return (self.encoding, self.missing, _Plain(self.values).form)

    @staticmethod
    def joined(parts: Sequence[_Gapped]) -> Any:
        import pandas as pd

        values, mask = np.concatenate([p.values for p in parts]), np.concatenate([p.mask for p in parts])
        if parts[0].encoding != "nullable-string-array":
            kind = pd.arrays.BooleanArray if parts[0].encoding == "nullable-boolean" else pd.arrays.IntegerArray
            return kind(values, mask=mask)
        objects = values.astype(object)
        objects[mask] = None
        try:
            return pd.array(objects, dtype=pd.StringDtype(na_value=np.nan if parts[0].missing == "NaN" else pd.NA))
        except TypeError:  # before pandas 2.3 there is one such dtype only
            return pd.array(objects, dtype="string")


_Part = _Plain | _Coded | _Gapped


@dataclass(frozen=True, slots=True)
class AnnDataColumns:
    """A table's columns: those of X first, then those of obs; the names of the rows."""

    matrix: np.ndarray  # (rows, floats)
    floats: tuple[str, ...]
    parts: dict[str, _Part]
    index: _Part
    index_name: str | None

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def form(self) -> Hashable:
        """Tables of equal form can be joined array by array."""
        columns = tuple((name, part.form) for name, part in self.parts.items())
        return (self.matrix.dtype.str, self.floats, columns, self.index.form, self.index_name)

    @staticmethod
    def frame(tables: Sequence[AnnDataColumns], kinds: Mapping[str, Any]) -> pd.DataFrame:
        """The rows of tables of one form, in order, as anndata gives those of one."""
        import pandas as pd

        first = tables[0]
        columns = {name: part.joined([t.parts[name] for t in tables]) for name, part in first.parts.items()}  # type: ignore[misc]
        index = first.index.joined([t.index for t in tables])  # type: ignore[misc]
        obs = pd.DataFrame(columns, index=index, columns=list(columns) or None)
        obs.index.name = first.index_name
        if not isinstance(obs.index.dtype, pd.StringDtype) and obs.index.dtype != object:  # AnnData has names only
            obs.index = obs.index.astype(str)
        matrix = np.concatenate([t.matrix for t in tables]) if len(tables) > 1 else first.matrix
        return pd.concat([pd.DataFrame(matrix, index=obs.index, columns=list(first.floats)), obs], axis=1)


def columns_of(tree: Tree) -> AnnDataColumns | None:
    """The columns of a table's group; None where anndata must read it.

    Raises
    ------
    StoredDataError
        An array that the documents name is missing or damaged.
    """
    if any(tree.names(name) for name in (*_MAPPINGS, "raw")) or not _is(tree.array_attributes("X"), "array"):
        return None
    obs, var = tree.attributes("obs") or {}, tree.attributes("var") or {}
    if not _is(obs, "dataframe") or not _is(var, "dataframe") or var["column-order"]:
        return None
    matrix = tree.array("X")
    index, names = _part(tree, f"obs/{obs['_index']}"), _part(tree, f"var/{var['_index']}")
    parts = {name: _part(tree, f"obs/{name}") for name in obs["column-order"]}
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or index is None or names is None or None in parts.values():
        return None
    known = {name: part for name, part in parts.items() if part is not None}
    if any(isinstance(part, _Plain) and part.values.dtype.kind == "f" for part in known.values()):
        return None
    index_name = None if obs["_index"] == "_index" else obs["_index"]
    floats = names.joined([names])  # type: ignore[list-item]
    return AnnDataColumns(matrix, tuple(floats.tolist()), known, index, index_name)


def _is(attributes: dict[str, Any] | None, encoding: str) -> bool:
    return attributes is not None and attributes.get("encoding-type") == encoding and attributes.get("encoding-version") == "0.2.0"


def _part(tree: Tree, path: str) -> _Part | None:
    array = tree.array_attributes(path)
    if array is not None:
        return _Plain(tree.array(path)) if _is(array, "array") or _is(array, "string-array") else None
    group = tree.attributes(path) or {}
    if _is(group, "categorical"):
        codes, categories = tree.array(f"{path}/codes"), _part(tree, f"{path}/categories")
        return _Coded(codes, categories.values, bool(group["ordered"])) if isinstance(categories, _Plain) else None
    encoding = group.get("encoding-type")
    if encoding not in _MASKED:
        return None
    return _Gapped(tree.array(f"{path}/values"), tree.array(f"{path}/mask"), encoding, str(group.get("na-value", "NA")))
