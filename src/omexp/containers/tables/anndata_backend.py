"""Tables as AnnData hierarchies. Knows: X, obs, var and what else an AnnData has. Does not know: table types.

Every part is written and read by itself with anndata's own functions, which take their Zarr format from the group: AnnData.write_zarr
takes it from a process-wide setting instead, and changes zarr's configuration while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.containers.tables.columns import cells, is_float, plain
from omexp.containers.tables.packing import Packed
from omexp.containers.tables.table import common_float, frame_of, quiet_anndata
from omexp.errors import ArgumentError, DTypeError, StoredDataError
from omexp.storage.groups import Group

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["ENCODING", "elements", "elements_of", "read", "refuse_losses", "write"]

ENCODING = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
_MAPPINGS = ("layers", "obsm", "obsp", "uns", "varm", "varp")


def elements(packed: Packed) -> dict[str, Any]:
    """The parts of an AnnData that holds the columns: floats in X, everything else in obs, the index as text.

    Raises
    ------
    ArgumentError
        A column of obs has a name that cannot be a Zarr key, or the index has gaps.
    """
    import pandas as pd

    frame, kinds, key = packed.frame, packed.kinds, packed.index_key
    floats = [name for name in frame.columns if name != key and is_float(kinds[name])]
    others = [name for name in frame.columns if name != key and name not in floats]
    for name in [*others, *([key] if key else [])]:
        if "/" in name or name.startswith(".") or name in ("_index", "zarr.json"):
            raise ArgumentError(
                "the anndata backend cannot store a column of that name", where="table", got=repr(name), hint="Use backend='parquet'."
            )
    rows = [str(n) for n in range(len(frame))] if key is None else [str(v) for v in cells(plain(frame[key], kinds[key]))]
    if key is not None and frame[key].isna().any():
        raise ArgumentError("the anndata backend needs an index without gaps", where="table", got=repr(key))
    index = pd.Index(rows, dtype=object, name=key)
    stored = {name: _storable(plain(frame[name], kinds[name])) for name in others}
    obs = pd.DataFrame(stored, index=None if others else range(len(frame)))
    obs.index = index
    matrix = frame[floats].to_numpy(dtype=common_float(frame, floats), na_value=np.nan)
    empty: dict[str, Any] = {name: {} for name in _MAPPINGS}
    return {"X": matrix, "obs": obs, "var": pd.DataFrame(index=pd.Index(floats, dtype=object))} | empty


def _storable(column: pd.Series) -> pd.Series:
    """Text as objects, which every anndata reads; with gaps as categories, as AnnData.write_zarr does (objects cannot have gaps)."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, categories = column.cat.codes, pd.Index(column.cat.categories.tolist(), dtype=object)
        return pd.Series(pd.Categorical.from_codes(codes, categories, ordered=column.cat.ordered))
    if column.dtype.kind in "iu":
        return _canonical(column)
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return column
    texts = pd.Series(cells(column), dtype=object)
    if not texts.isna().any():
        return texts
    return pd.Series(pd.Categorical(texts, categories=pd.Index(sorted(set(texts.dropna())), dtype=object)))


def _canonical(column: pd.Series) -> pd.Series:
    """Integers as NumPy's own type of their name: pandas 2.3 makes [2**63] an array of `ulonglong`, which zarr does not take for uint64."""
    import pandas as pd

    name = str(column.dtype).lower()
    if isinstance(column.dtype, np.dtype):
        return pd.Series(column.to_numpy().astype(name))
    return pd.Series(pd.arrays.IntegerArray(column.to_numpy(dtype=name, na_value=0).astype(name), column.isna().to_numpy()))


def elements_of(adata: AnnData) -> dict[str, Any]:
    """The parts of an AnnData as they are; text in obs and var as categories where it repeats, as AnnData.write_zarr does."""
    with quiet_anndata():
        adata = adata.copy()
        adata.strings_to_categoricals()
        mappings = {name: {k: v for k, v in dict(getattr(adata, name)).items() if k is not None} for name in _MAPPINGS}
        parts: dict[str, Any] = {"X": adata.X, "obs": adata.obs, "var": adata.var} | mappings
        return parts if adata.raw is None else parts | {"raw": adata.raw}


def refuse_losses(adata: AnnData, backend: str) -> None:
    """Raise `ArgumentError` where an AnnData holds more than the columns of X and obs."""
    more = [name for name in _MAPPINGS if any(k is not None for k in getattr(adata, name))]
    more += (["raw"] if adata.raw is not None else []) + (["columns of var"] if adata.var.columns.size else [])
    if more:
        raise ArgumentError(
            "this backend keeps columns only",
            where=f"backend {backend!r}",
            got=f"an AnnData with {', '.join(more)}",
            hint="Use backend='anndata', or pass its DataFrame.",
        )


def write(group: Group, parts: dict[str, Any]) -> None:
    """Store the parts in a group. Raises `DTypeError` for what anndata cannot write."""
    with quiet_anndata():
        from anndata.io import write_elem

        for name, part in parts.items():
            if part is None:
                continue
            try:
                # shards=None: said outright, anndata neither warns (0.12) nor changes zarr's settings to choose a size (0.13)
                write_elem(group.zarr, name, part, dataset_kwargs={"shards": None})
            except OSError:  # the store's, not the table's
                raise
            except Exception as error:  # anndata's IORegistryError is no subclass of anything else
                raise DTypeError(f"anndata cannot store the table ({error})", where=name) from error


def read(group: Group) -> tuple[pd.DataFrame, AnnData | None]:
    """The columns of X and obs; and the whole AnnData where it holds more than that, or has floats in obs or no floats in X."""
    import pandas as pd

    with quiet_anndata():
        from anndata import AnnData
        from anndata.io import read_elem

        members = group.members()
        extras = [name for name in (*_MAPPINGS, "raw") if name in members and _is_filled(group, name)]
        parts: dict[str, Any] = {name: read_elem(group.zarr[name]) for name in ("X", "obs", "var") if name in group.zarr}
        obs, var = parts.get("obs"), parts.get("var")
        if not isinstance(obs, pd.DataFrame) or not isinstance(var, pd.DataFrame):
            raise StoredDataError("the table is no AnnData", where=group.where, got=members, allowed="obs and var as dataframes, X")
        matrix = parts.get("X")
        usual = isinstance(matrix, np.ndarray) and matrix.dtype.kind == "f" and not var.columns.size
        usual = usual and not any(obs[name].dtype.kind == "f" for name in obs)
        if usual and not extras:
            frame = pd.DataFrame(matrix, index=obs.index, columns=list(var.index))
            return pd.concat([frame, obs], axis=1), None
        adata: Any = read_elem(group.zarr) if extras else AnnData(**parts)
        return frame_of(adata), adata


def _is_filled(group: Group, name: str) -> bool:
    inner = group.find(name)
    return inner is not None and bool(inner.members())
