"""Tables by name, as images and plates have them. Knows: the verbs. Does not know: columns, images, plates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from omexp.containers.tables import ConditionTable, FeatureTable, GenericRoiTable, MaskingRoiTable, RoiTable, Table, TablesCollection
from omexp.storage.groups import Group

__all__ = ["TableAccess"]

T = TypeVar("T", bound=Table)


class TableAccess:
    """The tables below a group. Whoever has them sets `_group`."""

    _group: Group

    @property
    def tables(self) -> TablesCollection:
        """The tables, as a collection. Making it reads nothing."""
        return TablesCollection(self._group, "")

    def list_tables(self, filter_types: str | Sequence[str] | None = None) -> list[str]:
        """The names of the tables; of those types only, if given."""
        return self.tables.list(filter_types)

    def list_roi_tables(self) -> list[str]:
        """The names of the tables of ROIs, of whichever type."""
        return self.list_tables(["roi_table", "masking_roi_table", "generic_roi_table"])

    def get_table(self, name: str) -> Table:
        """A table, of the class that its type asks for. Raises `NameNotFoundError`."""
        return self.tables.get(name)

    def get_table_as(self, name: str, table_cls: type[T]) -> T:
        """A table as another class, whatever its type says. Raises as `get_table`, and `StoredDataError` where it lacks columns."""
        return self.tables.get_as(name, table_cls)

    def get_roi_table(self, name: str) -> RoiTable:
        """A table that must be a ROI table."""
        return self.tables.require(name, RoiTable)

    def get_masking_roi_table(self, name: str) -> MaskingRoiTable:
        """A table that must be a masking ROI table."""
        return self.tables.require(name, MaskingRoiTable)

    def get_generic_roi_table(self, name: str) -> GenericRoiTable:
        """A table that must be a generic ROI table."""
        return self.tables.require(name, GenericRoiTable)

    def get_feature_table(self, name: str) -> FeatureTable:
        """A table that must be a feature table."""
        return self.tables.require(name, FeatureTable)

    def get_condition_table(self, name: str) -> ConditionTable:
        """A table that must be a condition table."""
        return self.tables.require(name, ConditionTable)

    def add_table(self, name: str, table: Any, backend: str | None = None, overwrite: bool = False) -> None:
        """Write a table (of this package, a DataFrame, an AnnData or a dict of columns); a failing write leaves the old one as it was."""
        self.tables.add(name, table, backend=backend, overwrite=overwrite)
        self._group.update_consolidated()

    def delete_table(self, name: str, missing_ok: bool = False) -> None:
        """Remove a table. Raises `NameNotFoundError` unless `missing_ok`."""
        self.tables.delete(name, missing_ok=missing_ok)
        self._group.update_consolidated()
