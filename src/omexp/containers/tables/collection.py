"""The tables of an image. Knows: the group `tables` and its list of names. Does not know: pixels, columns.

Looking something up creates nothing. A table is built beside its place and takes it when it is whole; its name is registered last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from omexp.containers.tables.backends import backend_name, prepare, read_columns
from omexp.containers.tables.features import FeatureTable
from omexp.containers.tables.packing import KINDS, unpack
from omexp.containers.tables.rois import GenericRoiTable, MaskingRoiTable, RoiTable
from omexp.containers.tables.table import ConditionTable, GenericTable, Table
from omexp.errors import ArgumentError, NameNotFoundError, StoredDataError
from omexp.metadata.tables import TableMeta, parse_table
from omexp.metadata.versions import decode_names, encode_names
from omexp.storage.groups import Group, writing
from omexp.storage.swap import new_group

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["TablesCollection"]

T = TypeVar("T", bound=Table)
Names = list[str]  # in the class below, `list` is a method

_TYPES: dict[str, type[Table]] = {
    cls.table_type(): cls for cls in (GenericTable, RoiTable, MaskingRoiTable, GenericRoiTable, FeatureTable, ConditionTable)
}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class TablesCollection:
    """The tables below an image.

    Parameters
    ----------
    image_group
        The group of the image (or plate); the tables lie in its sub-group `tables`, in the image's Zarr format.
    version
        The image's OME-Zarr version.

    Examples
    --------
    >>> from omexp.storage.groups import create_group
    >>> tables = TablesCollection(create_group({}, 3), "0.5")
    >>> tables.add("doses", {"well": ["A1", "B1"], "dose": [0.5, 1.0]}, backend="csv")
    >>> tables.list()
    ['doses']
    >>> tables.get("doses").dataframe["dose"].tolist()
    [0.5, 1.0]
    """

    def __init__(self, image_group: Group, version: str) -> None:
        self._image = image_group
        self._version = version

    def list(self, filter_types: str | Collection[str] | None = None) -> Names:
        """The names, in the order they were added; with `filter_types` only tables of such a type, as their attributes say.

        A name in the list without a table behind it is listed, but not with `filter_types`.
        """
        tables = self._image.find("tables")
        names = [] if tables is None else decode_names(tables.attributes, "tables")
        if tables is None or filter_types is None:
            return names
        wanted = {filter_types} if isinstance(filter_types, str) else set(filter_types)
        found = {name: tables.find(name) for name in names}
        return [name for name, group in found.items() if group is not None and parse_table(group.attributes).type in wanted]

    def get(self, name: str) -> Table:
        """A table, of the class that its type names; a `GenericTable` where the type or its version is unknown.

        Raises
        ------
        NameNotFoundError
            No such name; the message lists those there are.
        StoredDataError
            The table cannot be read, or lacks columns that its type needs.
        """
        group = self._group(name)
        return _read(group, _class_of(parse_table(group.attributes)))

    def get_as(self, name: str, cls: type[T]) -> T:
        """A table as another class, whatever its type says. Raises as `get` does."""
        if not (isinstance(cls, type) and issubclass(cls, Table)):
            raise ArgumentError(
                "this is no class of tables", where="cls", got=repr(cls), allowed=", ".join(c.__name__ for c in _TYPES.values())
            )
        return _read(self._group(name), cls)

    def require(self, name: str, cls: type[T]) -> T:
        """A table that must be of a class. Raises `NameNotFoundError`, and `ArgumentError` for one of another type."""
        table = self.get(name)
        if not isinstance(table, cls):
            raise ArgumentError(
                "the table is of another type",
                where=f"{self._image.where}/tables/{name}",
                got=table.table_type(),
                allowed=cls.table_type(),
                hint="Take it with get_table, or as another type with tables.get_as.",
            )
        return table

    def add(
        self,
        name: str,
        table: Table | pd.DataFrame | AnnData | Mapping[str, Any],
        *,
        backend: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a table and register its name. The table that is passed stays as it is.

        Parameters
        ----------
        name
            Letters, digits, "_", "-" and ".".
        table
            A table; a DataFrame, an AnnData or a mapping of columns becomes a `GenericTable`.
        backend
            "anndata_v1", "anndata", "parquet", "csv" or "json"; by default the one that the table came with, else "anndata_v1".
        overwrite
            Replace a table of that name. The old one stays until the new one is written whole.

        Raises
        ------
        ArgumentError, DTypeError
            The name or the columns cannot be stored. Nothing has been written.
        AlreadyExistsError
            There is such a table and `overwrite` is not set.
        ReadOnlyError
            The store cannot be written.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
            raise ArgumentError("this cannot name a table", where="name", got=repr(name), allowed='letters, digits, "_", "-", "."')
        made = table if isinstance(table, Table) else GenericTable(table)
        store = prepare(made, backend_name(backend or made.meta.backend))
        with writing(self._image):
            with new_group(self._image, f"tables/{name}", zarr_format=self._image.zarr_format, overwrite=overwrite) as group:
                store(group)
            self._register(lambda names: names if name in names else [*names, name])

    def delete(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove a table. Raises `NameNotFoundError` (unless `missing_ok`) and `ReadOnlyError`."""
        names = self.list()
        if name not in names:
            if missing_ok:
                return
            raise self._unknown(name, names)
        self._register(lambda names: [n for n in names if n != name])  # first: a table half removed must not look whole
        if self._image.find(f"tables/{name}") is not None:
            self._image.delete(f"tables/{name}")

    def _register(self, change: Callable[[Names], Names]) -> None:
        tables = self._image.require_group("tables")
        document = tables.attributes
        tables.put_attributes(encode_names(document, "tables", change(decode_names(document, "tables")), self._version))

    def _group(self, name: str) -> Group:
        names = self.list()
        if name not in names:
            raise self._unknown(name, names)
        group = self._image.find(f"tables/{name}")
        if group is None:
            raise StoredDataError(
                "the list of tables names one that is not there",
                where=self._image.where,
                got=repr(name),
                hint="Delete it.",
            )
        return group

    def _unknown(self, name: str, names: Names) -> NameNotFoundError:
        return NameNotFoundError(
            "there is no such table", where=self._image.where, got=repr(name), allowed=", ".join(names) or "none, the image has no tables"
        )

    def __repr__(self) -> str:
        return f"TablesCollection({', '.join(self.list())})"


def _class_of(meta: TableMeta) -> type[Table]:
    return _TYPES.get(meta.type, GenericTable) if meta.table_version == "1" else GenericTable


def _read(group: Group, cls: type[T]) -> T:
    document = group.attributes
    stored = document.pop(KINDS, None)
    meta = parse_table(document)
    if cls is not _class_of(meta):
        meta = replace(meta, type=cls.table_type())
    meta = cls.meta_for(meta)
    frame, adata = read_columns(group, meta, stored)
    try:
        table = cls.from_dataframe(unpack(frame, meta, stored), meta)
    except ArgumentError as error:
        raise StoredDataError(
            f"the table is no {cls.table_type()}: {error.what}",
            where=f"{group.where}, {error.where}",
            got=error.got,
            allowed=error.allowed,
            hint="Read it with get_as(name, GenericTable) to see what it holds.",
        ) from error
    if adata is not None:
        table._anndata = adata
    return table
