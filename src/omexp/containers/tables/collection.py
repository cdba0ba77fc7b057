"""The tables of an image. Knows: the group `tables` and its list of names. Does not know: pixels, columns.

Looking something up creates nothing. A table is built beside its place and takes it when it is whole; its name is registered last. One
process at a time changes the list.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from omexp.containers.tables.backends import prepare
from omexp.containers.tables.features import FeatureTable
from omexp.containers.tables.names import backend_name
from omexp.containers.tables.roi_columns import Units
from omexp.containers.tables.rois import GenericRoiTable, MaskingRoiTable, RoiTable
from omexp.containers.tables.stored import StoredTable, joined, read_stored
from omexp.containers.tables.table import ConditionTable, GenericTable, Table
from omexp.errors import ArgumentError, NameNotFoundError, StoredDataError
from omexp.metadata.tables import TableMeta, parse_table
from omexp.metadata.versions import decode_image, decode_names, encode_names, kind_of
from omexp.storage.groups import Group, writing
from omexp.storage.journal import WAIT_S
from omexp.storage.locks import exclusive
from omexp.storage.swap import new_group
from omexp.storage.trees import Tree, read_tree

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["TablesCollection", "class_of", "listed", "made", "read_as"]

T = TypeVar("T", bound=Table)
Names = list[str]  # in the class below, `list` is a method

_TYPES: dict[str, type[Table]] = {
    cls.table_type(): cls for cls in (GenericTable, RoiTable, MaskingRoiTable, GenericRoiTable, FeatureTable, ConditionTable)
}
_ATTEMPTS = 10  # at a table that is replaced while it is read
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
        self._image, self._version = image_group, version

    @property
    def units(self) -> Units:
        """The image's units of space and time, in which tables hand out regions; (None, None) for what is no image."""
        document = self._image.attributes
        if kind_of(document) not in ("image", "label"):
            return (None, None)
        meta = decode_image(document, self._image.zarr_format, self._image.where)[0]
        return meta.space_unit, meta.time_unit

    def list(self, filter_types: str | Collection[str] | None = None) -> Names:
        """The names, in the order they were added; with `filter_types` only tables of such a type, as their attributes say.

        A name in the list without a table behind it is listed, but not with `filter_types`.
        """
        names = listed(self._image)
        if filter_types is None:
            return names
        wanted = {filter_types} if isinstance(filter_types, str) else set(filter_types)
        found = {name: read_tree(self._image, f"tables/{name}").attributes() for name in names if _is_name(name)}
        return [name for name, document in found.items() if document is not None and parse_table(document).type in wanted]

    def get(self, name: str) -> Table:
        """A table, of the class that its type names; a `GenericTable` where the type or its version is unknown.

        Raises
        ------
        NameNotFoundError
            No such name; the message lists those there are.
        StoredDataError
            The table cannot be read, or lacks columns that its type needs.
        """
        return self._made(read_as(self._tree(name), None))  # type: ignore[no-any-return]

    def get_as(self, name: str, cls: type[T]) -> T:
        """A table as another class, whatever its type says. Raises as `get` does."""
        if not (isinstance(cls, type) and issubclass(cls, Table)):
            raise ArgumentError(
                "this is no class of tables", where="cls", got=repr(cls), allowed=", ".join(c.__name__ for c in _TYPES.values())
            )
        return self._made(read_as(self._tree(name), cls), cls)

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
            There is such a table and `overwrite` is not set; or another process has been writing it for a minute.
        ReadOnlyError
            The store cannot be written.
        """
        if not _is_name(name):
            raise ArgumentError("this cannot name a table", where="name", got=repr(name), allowed='letters, digits, "_", "-", "."')
        given = table if isinstance(table, Table) else GenericTable(table)
        given = given.with_units(*self.units) if isinstance(given, GenericRoiTable) else given
        store = prepare(given, backend_name(backend or given.meta.backend))
        with writing(self._image):
            how: dict[str, Any] = {"zarr_format": self._image.zarr_format, "overwrite": overwrite, "small": True, "wait_s": WAIT_S}
            with new_group(self._image, f"tables/{name}", **how) as group:
                store(group)
            with exclusive(self._image):
                tables = self._image.require_group("tables")
                document = tables.attributes
                names = decode_names(document, "tables")
                if name not in names and tables.find(name) is not None:  # else another process has deleted it since
                    tables.put_attributes(encode_names(document, "tables", [*names, name], self._version))

    def delete(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove a table. Raises `NameNotFoundError` (unless `missing_ok`) and `ReadOnlyError`."""
        names = self.list()
        if name not in names:
            if missing_ok:
                return
            raise self._unknown(name, names)
        with writing(self._image), exclusive(self._image):
            tables = self._image.group("tables")
            document = tables.attributes
            kept = [n for n in decode_names(document, "tables") if n != name]
            tables.put_attributes(encode_names(document, "tables", kept, self._version))  # first: a table half removed must not look whole
            if tables.find(name) is not None:
                tables.delete(name)

    def _tree(self, name: str) -> Tree:
        names = self.list()
        if name not in names:
            raise self._unknown(name, names)
        tree = read_tree(self._image, f"tables/{name}")
        if tree.attributes() is None:
            raise StoredDataError(
                "the list of tables names one that is not there", where=self._image.where, got=repr(name), hint="Delete it."
            )
        return tree

    def _made(self, stored: StoredTable, cls: type[T] | None = None) -> Any:
        table = made([stored], cls or class_of(stored.meta))
        return table.with_units(*self.units) if isinstance(table, GenericRoiTable) else table

    def _unknown(self, name: str, names: Names) -> NameNotFoundError:
        return NameNotFoundError(
            "there is no such table", where=self._image.where, got=repr(name), allowed=", ".join(names) or "none, the image has no tables"
        )

    def __repr__(self) -> str:
        return f"TablesCollection({', '.join(self.list())})"


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and ".." not in name


def listed(image_group: Group) -> Names:
    """The names in the list of an image's (or plate's) tables; none where there is no list."""
    document = read_tree(image_group, "tables").attributes()
    return [] if document is None else decode_names(document, "tables")


def class_of(meta: TableMeta) -> type[Table]:
    """The class of a table's type; `GenericTable` where the type or its version is unknown."""
    return _TYPES.get(meta.type, GenericTable) if meta.table_version == "1" else GenericTable


def read_as(tree: Tree, cls: type[Table] | None) -> StoredTable:
    """A table from its group, to be of a class; None: the one that its type names. Raises `StoredDataError`.

    Where another process replaces the table meanwhile, it is read again: never the attributes of one and the columns of the other.
    """

    def complete(meta: TableMeta) -> TableMeta:
        wanted = cls or class_of(meta)
        return wanted.meta_for(meta if wanted is class_of(meta) else replace(meta, type=wanted.table_type()))

    for attempt in range(_ATTEMPTS):
        tree.forget()
        stamp = tree.stamp()
        try:
            stored = read_stored(tree, complete)
        except StoredDataError:
            if attempt == _ATTEMPTS - 1 or tree.stamp() == stamp:
                raise
            continue
        if tree.stamp() == stamp:
            break
    return stored


def made(tables: Sequence[StoredTable], cls: type[T]) -> T:
    """One table of the rows of tables of one form. Raises `StoredDataError`."""
    first = tables[0]
    try:
        table = cls.from_dataframe(joined(tables), first.meta)
    except ArgumentError as error:
        raise StoredDataError(
            f"the table is no {cls.table_type()}: {error.what}",
            where=f"{first.where}, {error.where}",
            got=error.got,
            allowed=error.allowed,
            hint="Read it with get_as(name, GenericTable) to see what it holds.",
        ) from error
    if first.anndata is not None:
        table._anndata = first.anndata
    return table if first.in_micrometers else table.of_unknown_units()
