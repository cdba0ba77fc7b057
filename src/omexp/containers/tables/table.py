"""Tables. Knows: a frame of columns and what its attributes say. Does not know: stores, backends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from omexp.containers.tables.columns import cells, described, is_float
from omexp.containers.tables.frames import is_polars, pandas_of, polars_of
from omexp.errors import ArgumentError
from omexp.metadata.tables import TableMeta

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from anndata import AnnData

__all__ = ["ConditionTable", "GenericTable", "Table", "anndata_of", "frame_of", "is_anndata", "quiet_anndata"]


class Table:
    """Columns in a pandas DataFrame, and what the attributes of the table say.

    A table is a value: it copies what it is given, and `dataframe` and `anndata` hand out copies.

    Parameters
    ----------
    data
        A pandas DataFrame, a polars DataFrame or LazyFrame, an AnnData or a mapping of columns.
    meta
        The attributes; by default those of a new table of this type.

    Raises
    ------
    ArgumentError
        Something else, or an index that this type of table cannot have.

    Examples
    --------
    >>> table = GenericTable({"well": ["A1", "B1"], "dose": [0.5, 1.0]})
    >>> table
    GenericTable(2 rows, 2 columns)
    >>> table.dataframe["dose"].tolist()
    [0.5, 1.0]
    """

    _type: ClassVar[str] = "generic_table"
    _index: ClassVar[tuple[str | None, str | None]] = (None, None)
    _make: Callable[[], Self]

    def __init__(self, data: pd.DataFrame | pl.DataFrame | AnnData | Mapping[str, Any], *, meta: TableMeta | None = None) -> None:
        self._meta = self.meta_for(meta or TableMeta(self._type))
        with quiet_anndata():
            self._anndata = data.copy() if is_anndata(data) else None  # type: ignore[union-attr]
            self._frame = self._checked(frame_of(data))

    @classmethod
    def table_type(cls) -> str:
        """The type that stands in the attributes of such tables."""
        return cls._type

    @classmethod
    def from_dataframe(cls, frame: pd.DataFrame, meta: TableMeta | None = None) -> Self:
        """A table of this type from its columns."""
        return cls(frame, meta=meta)

    @classmethod
    def deferred(cls, make: Callable[[], Self], meta: TableMeta) -> Self:
        """A table that is made when its columns are first asked for."""
        table = cls.__new__(cls)
        table._meta, table._make = meta, make
        return table

    def __getattr__(self, name: str) -> Any:
        """The columns of a deferred table are made now. Two threads may both make them: they are equal."""
        if not name.startswith("_") or name.startswith("__") or "_make" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        for key, value in self._make().__dict__.items():
            self.__dict__.setdefault(key, value)
        self.__dict__.pop("_make", None)
        return getattr(self, name)

    @classmethod
    def meta_for(cls, meta: TableMeta) -> TableMeta:
        """The attributes with this type's own index key and type where they name none."""
        key, kind = cls._index
        if meta.index_key is None:
            return replace(meta, index_key=key, index_type=kind)
        return meta if meta.index_type else replace(meta, index_type=kind if meta.index_key == key else None)

    def _checked(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame, with the index that this type wants."""
        return frame.set_index(self._meta.index_key) if self._meta.index_key in frame.columns else frame

    @property
    def meta(self) -> TableMeta:
        """What the attributes say."""
        return self._meta

    @property
    def index_key(self) -> str | None:
        """The column that names the rows."""
        return self._meta.index_key

    @property
    def index_type(self) -> str | None:
        """What the index holds: "int", "str" or None for anything."""
        return self._meta.index_type

    @property
    def backend_name(self) -> str | None:
        """The backend that the table was read with; None for one that was not stored yet."""
        return self._meta.backend

    @property
    def dataframe(self) -> pd.DataFrame:
        """A copy of the columns; the index is `meta.index_key` where the table has one."""
        return self._frame.copy()

    def to_polars(self) -> pl.DataFrame:
        """The columns as a polars DataFrame; the index is its first column where it has a name, and is left out where it only counts.

        Raises
        ------
        ImportError
            polars is not installed.
        """
        return polars_of(self._frame)

    @property
    def lazy_frame(self) -> pl.LazyFrame:
        """The columns as a polars LazyFrame."""
        return self.to_polars().lazy()

    @property
    def anndata(self) -> AnnData:
        """The table as an AnnData: the one it was made from, else floats in X and everything else in obs."""
        with quiet_anndata():
            return anndata_of(self._frame) if self._anndata is None else self._anndata.copy()

    def of_unknown_units(self) -> Self:
        """The same table, of which it is not known whether its columns are in micrometers; only regions have any."""
        return self

    def unit_attributes(self) -> dict[str, Any]:
        """What to write into the attributes about units."""
        return {}

    @property
    def reference_label(self) -> str | None:
        """The name of the label image that the rows belong to."""
        return self._meta.reference_label

    def __len__(self) -> int:
        return len(self._frame)

    def __repr__(self) -> str:
        label = f", reference_label={self.reference_label!r}" if self.reference_label else ""
        return f"{type(self).__name__}({len(self)} rows, {self._frame.shape[1]} columns{label})"


class GenericTable(Table):
    """Any columns; also what a table of unknown type is read as."""


class ConditionTable(Table):
    """Conditions of an experiment, such as drug and dose; any columns."""

    _type = "condition_table"


def is_anndata(value: Any) -> bool:
    """True for an AnnData; does not import anndata."""
    module = sys.modules.get("anndata")
    return module is not None and isinstance(value, module.AnnData)


def frame_of(data: Any) -> pd.DataFrame:
    """A copy as a frame: of an AnnData the columns of X, then those of obs. Raises `ArgumentError`."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data.copy()
    if isinstance(data, Mapping):
        try:
            return pd.DataFrame(dict(data))
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"these are no columns ({error})", where="table", allowed="lists or arrays of one length") from error
    if is_polars(data):
        return pandas_of(data)
    if not is_anndata(data):
        allowed = "a DataFrame of pandas or polars, an AnnData, a mapping of columns, a table"
        raise ArgumentError("this is no table", got=type(data).__name__, allowed=allowed)
    dense = data.X.toarray() if hasattr(data.X, "toarray") else data.X
    if dense is None:
        return data.obs.copy()
    return pd.concat([pd.DataFrame(np.array(dense), index=data.obs.index, columns=list(data.var_names)), data.obs], axis=1)


def anndata_of(frame: pd.DataFrame) -> AnnData:
    """The frame as an AnnData: floats in X, everything else in obs, the index as text. Raises `DTypeError`."""
    import pandas as pd

    floats = [name for name in frame.columns if is_float(described(frame[name], str(name)))]
    matrix = frame[floats].to_numpy(dtype=common_float(frame, floats), na_value=np.nan)
    obs = frame.drop(columns=floats)
    obs.index = pd.Index([str(v) for v in cells(frame.index)], dtype=object, name=frame.index.name)
    from anndata import AnnData

    with quiet_anndata():
        return AnnData(X=matrix, obs=obs, var=pd.DataFrame(index=pd.Index(floats, dtype=object)))


def common_float(frame: pd.DataFrame, floats: list[str]) -> str:
    """The dtype that the float columns share; float64 where they differ (that keeps every value)."""
    names = {described(frame[name], str(name))["dtype"].lower() for name in floats}
    return names.pop() if len(names) == 1 else "float64"


@contextmanager
def quiet_anndata() -> Iterator[None]:
    """Without the warning that anndata 0.13 sets off in pandas 3 by asking for an option that is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The 'future.infer_string' option is deprecated")
        yield
