"""Objects of a label by id. Knows: their boxes and where these come from. Does not know: masks, pixels of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omexp.containers.label import Label
from omexp.containers.roi import Roi
from omexp.containers.tables import MaskingRoiTable, TablesCollection
from omexp.errors import ArgumentError, NameNotFoundError

__all__ = ["Objects", "masking_label_and_table"]


class Objects:
    """Where each object of a label lies: id -> box in world units. Found when first asked for, then kept.

    Parameters
    ----------
    find
        Gives the boxes.
    source
        Where they come from, in words.
    """

    def __init__(self, find: Callable[[], Mapping[int, Roi]], source: str) -> None:
        self._find, self.source = find, source
        self._boxes: Mapping[int, Roi] | None = None

    @classmethod
    def of_table(cls, table: MaskingRoiTable) -> Objects:
        """The boxes that a masking ROI table holds."""
        return cls(lambda: {roi.label: roi for roi in table.rois() if roi.label is not None}, "a masking ROI table")

    @classmethod
    def of_label(cls, label: Label) -> Objects:
        """The boxes found in the pixels of a label."""
        return cls(
            lambda: {i: roi.to_world(label.pixel_size) for i, roi in label.boxes().items()}, f"the pixels of label {label.meta.name!r}"
        )

    @property
    def boxes(self) -> Mapping[int, Roi]:
        """id -> box in world units."""
        if self._boxes is None:
            self._boxes = self._find()
        return self._boxes

    def refresh(self) -> None:
        """Forget the boxes: after the label or the table has changed."""
        self._boxes = None

    def box(self, label: int, where: str) -> Roi:
        """The box of an object. Raises `NameNotFoundError`."""
        found = self.boxes.get(label)
        if found is None:
            some = ", ".join(map(str, list(self.boxes)[:8]))
            raise NameNotFoundError(
                "there is no such object",
                where=where,
                got=f"label {label!r}",
                allowed=f"{len(self.boxes)} ids{f', such as {some}' if some else ''}",
                hint=f"Boxes come from {self.source}.",
            )
        return found


def masking_label_and_table(
    tables: TablesCollection, where: str, label_name: str | None, table_name: str | None
) -> tuple[str, MaskingRoiTable | None]:
    """Which label masks, and the table of its boxes: the one named, else the first masking ROI table that refers to the label, else None.

    Raises
    ------
    ArgumentError
        Neither is named, or the table refers to no label or to another one.
    """
    if table_name is None:
        if label_name is None:
            raise ArgumentError(
                "name a masking label or a masking table",
                where=where,
                got="neither",
                hint="list_labels() and list_tables('masking_roi_table') say what there is.",
            )
        found = (tables.get_as(name, MaskingRoiTable) for name in tables.list("masking_roi_table"))
        return label_name, next((table for table in found if table.reference_label == label_name), None)
    table = tables.get_as(table_name, MaskingRoiTable)
    refers_to = table.reference_label
    if label_name is None and refers_to is None:
        raise ArgumentError("the table refers to no label", where=f"{where}/tables/{table_name}", hint="Pass masking_label_name, too.")
    if None not in (label_name, refers_to) and label_name != refers_to:
        raise ArgumentError(
            "the table refers to another label", where=f"{where}/tables/{table_name}", got=repr(refers_to), allowed=repr(label_name)
        )
    return str(label_name or refers_to), table
