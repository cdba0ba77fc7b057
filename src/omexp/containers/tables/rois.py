"""Tables of regions. Knows: names, labels, which region is meant. Does not know: images, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from omexp.containers.roi import Roi
from omexp.containers.tables.columns import typed_index
from omexp.containers.tables.names import UNITS
from omexp.containers.tables.roi_columns import IN_FILES, Units, check_frame, frame_of_rois, in_other_units, rois_of_frame
from omexp.containers.tables.table import Table, frame_of
from omexp.errors import ArgumentError, NameNotFoundError
from omexp.metadata.tables import TableMeta

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GenericRoiTable", "MaskingRoiTable", "RoiTable"]


class GenericRoiTable(Table):
    """Regions of interest in world units, one per row.

    Regions are in the units of an image, columns in micrometers and seconds, as their names say.

    Parameters
    ----------
    rois
        The regions; identical ones count once.
    meta
        The attributes; by default those of a new table of this type.
    space_unit, time_unit
        Of the regions. None: not known; columns have the same numbers, until the table is added to an image, whose units are taken.

    Raises
    ------
    ArgumentError
        Two different regions of one name, or a region that a table cannot hold (in pixels, without x and y, open).

    Examples
    --------
    >>> table = RoiTable([Roi.from_values({"y": (0, 13.0), "x": (6.5, 13.0)}, name="FOV_1")])
    >>> table.get("FOV_1")["x"]
    RoiSlice(axis_name='x', start=6.5, length=13.0)
    >>> table.dataframe["len_z_micrometer"].tolist()
    [1.0]
    """

    _type = "generic_roi_table"

    def __init__(
        self, rois: Roi | Iterable[Roi] = (), *, meta: TableMeta | None = None, space_unit: str | None = None, time_unit: str | None = None
    ) -> None:
        found = self.meta_for(meta or TableMeta(self._type))
        self._meta = found if found.index_key else replace(found, index_key="FieldIndex", index_type="str")
        self._units: Units = (space_unit, time_unit)
        self._hold(self._unique(_listed(rois), overwrite=False))

    @classmethod
    def from_dataframe(cls, frame: pd.DataFrame, meta: TableMeta | None = None) -> Self:
        """A table from its columns, in micrometers and seconds, which keep their types. Raises `ArgumentError` where some are missing."""
        table = cls(meta=meta)
        if meta is not None:
            table._meta = cls.meta_for(meta)  # as stored: a generic table may name no index
        named = _named(frame, table._meta)
        check_frame(named)
        table._units = IN_FILES
        table._hold(None, named)
        return table

    def _hold(self, rois: list[Roi] | None, frame: pd.DataFrame | None = None) -> None:
        self._anndata, self._known = None, rois
        if frame is None:
            frame = in_other_units(frame_of_rois(rois or [], self._meta.index_key or "FieldIndex"), self._units, IN_FILES)
        self._frame = frame
        self._by_name: dict[Any, list[Roi]] | None = None
        self._by_label: dict[Any, list[Roi]] | None = None

    @property
    def _rois(self) -> list[Roi]:
        """Made when first asked for: a plate's tables have millions of rows."""
        if self._known is None:
            self._known = rois_of_frame(self._frame, self._units)
        return self._known

    @property
    def space_unit(self) -> str | None:
        """The unit of the regions; None where it is not known."""
        return self._units[0]

    @property
    def time_unit(self) -> str | None:
        return self._units[1]

    def with_units(self, space: str | None, time: str | None) -> Self:
        """The same table for an image in these units: its regions are converted, or, where their units are not known, are in them."""
        if (space, time) == self._units or (space, time) == (None, None):
            return self
        found = copy(self)
        found._units = (space, time)
        if self._units == (None, None):
            found._hold(self._known, in_other_units(self._frame, found._units, IN_FILES))
            found._anndata = self._anndata if found._frame is self._frame else None
        else:
            found._known = found._by_name = found._by_label = None
        return found

    def of_unknown_units(self) -> Self:
        """The same table, of which it is not known whether its columns are in micrometers: ngio writes the image's own unit."""
        found = copy(self)
        found._units = (None, None)
        found._known = found._by_name = found._by_label = None
        return found

    def unit_attributes(self) -> dict[str, Any]:
        """Tables of which it is not known say nothing."""
        return {} if self._units == (None, None) else {UNITS: dict(zip(("space", "time"), IN_FILES, strict=True))}

    def rois(self) -> list[Roi]:
        """All regions, in the order of the rows."""
        return list(self._rois)

    def get(self, name: str) -> Roi:
        """The region of that name.

        Raises
        ------
        NameNotFoundError
            There is none.
        ArgumentError
            Several rows have it.
        """
        if self._by_name is None:
            self._by_name = _grouped(self._rois, self._name)
        return self._only(self._by_name, name, "name")

    def get_label(self, label: int) -> Roi:
        """The region of that label id. Raises as `get` does."""
        if self._by_label is None:
            self._by_label = _grouped([roi for roi in self._rois if roi.label is not None], lambda roi: roi.label)
        return self._only(self._by_label, label, "label")

    def add(self, rois: Roi | Iterable[Roi], *, overwrite: bool = False) -> None:
        """Add regions to this table in memory; `overwrite` replaces those of the same name (or label) where they stand.

        Raises
        ------
        ArgumentError
            A different region of that name is there and `overwrite` is not set. Nothing is added.
        """
        self._hold(self._unique([*self._rois, *_listed(rois)], overwrite=overwrite))

    def _name(self, roi: Roi) -> str:
        """The name of the row: a box of a label is named by its id where it has no name of its own."""
        return str(roi.label) if roi.name is None and self._meta.index_key == "label" else roi.get_name()

    def _unique(self, rois: list[Roi], *, overwrite: bool) -> list[Roi]:
        key = "label" if self._meta.index_key == "label" else "name"
        kept: dict[Any, Roi] = {}
        for roi in rois:
            if key == "label" and roi.label is None:
                raise ArgumentError("a region has no label", where=type(self).__name__, got=roi.get_name(), hint="Pass label= to the Roi.")
            value = roi.label if key == "label" else self._name(roi)
            if not overwrite and kept.get(value, roi) != roi:
                raise ArgumentError(
                    f"two different regions of one {key}",
                    where=type(self).__name__,
                    got=repr(value),
                    hint=f"Give each its own {key}, or add with overwrite=True.",
                )
            kept[value] = roi
        return list(kept.values())

    def _only(self, groups: dict[Any, list[Roi]], value: Any, key: str) -> Roi:
        found = groups.get(value, [])
        if not found:
            raise NameNotFoundError(f"no region has that {key}", where=type(self).__name__, got=repr(value), allowed=list(groups))
        if len(found) > 1:
            raise ArgumentError(f"{len(found)} regions have that {key}", where=type(self).__name__, got=repr(value), hint="Use rois().")
        return found[0]

    def __repr__(self) -> str:
        label = f", reference_label={self.reference_label!r}" if self.reference_label else ""
        return f"{type(self).__name__}({len(self)} regions{label})"


class RoiTable(GenericRoiTable):
    """Regions named by `FieldIndex`, such as the fields of view of a well."""

    _type = "roi_table"
    _index = ("FieldIndex", "str")


class MaskingRoiTable(GenericRoiTable):
    """The bounding box of each object of a label image, named by its id.

    Parameters
    ----------
    rois
        The boxes, each with its `label`.
    reference_label
        The name of the label image.
    meta
        The attributes; by default those of a new masking table.
    space_unit, time_unit
        Of the boxes; see `GenericRoiTable`.

    Raises
    ------
    ArgumentError
        A region without label, or two different regions of one label.
    """

    _type = "masking_roi_table"
    _index = ("label", "int")

    def __init__(
        self,
        rois: Roi | Iterable[Roi] = (),
        reference_label: str | None = None,
        *,
        meta: TableMeta | None = None,
        space_unit: str | None = None,
        time_unit: str | None = None,
    ) -> None:
        described = (meta or TableMeta(self._type)).with_label(reference_label)
        super().__init__(rois, meta=described, space_unit=space_unit, time_unit=time_unit)

    @classmethod
    def meta_for(cls, meta: TableMeta) -> TableMeta:
        found = super().meta_for(meta)
        return replace(found, instance_key=found.index_key)

    @classmethod
    def from_dataframe(cls, frame: pd.DataFrame, meta: TableMeta | None = None) -> Self:
        table = super().from_dataframe(frame, meta)
        if not table._frame.index.is_unique:
            table._unique(table._rois, overwrite=False)
        return table


def _listed(rois: Roi | Iterable[Roi]) -> list[Roi]:
    found = [rois] if isinstance(rois, Roi) else list(rois)
    strange = next((r for r in found if not isinstance(r, Roi)), None)
    if strange is not None:
        raise ArgumentError("a ROI table is made of Rois", got=type(strange).__name__, hint="Use from_dataframe for columns.")
    return found


def _named(frame: pd.DataFrame, meta: TableMeta) -> pd.DataFrame:
    """A copy whose index is the table's index key; as it is where the table names none."""
    frame, key = frame_of(frame), meta.index_key
    if key is None:
        return frame
    if key in frame.columns:
        frame = frame.set_index(key)
    if frame.index.name != key:
        raise ArgumentError(
            "the rows have no names", where="ROI table", got=list(frame.columns), allowed=f"a column or index named {key!r}"
        )
    frame.index = typed_index(frame.index, meta.index_type, f"ROI table index {key!r}")
    return frame


def _grouped(rois: list[Roi], key: Callable[[Roi], Any]) -> dict[Any, list[Roi]]:
    groups: dict[Any, list[Roi]] = {}
    for roi in rois:
        groups.setdefault(key(roi), []).append(roi)
    return groups
