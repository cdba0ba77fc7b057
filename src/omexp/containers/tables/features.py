"""Measurements per object. Knows: rows named by the ids of a label image. Does not know: how they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omexp.containers.tables.columns import typed_index
from omexp.containers.tables.table import Table
from omexp.errors import ArgumentError
from omexp.metadata.tables import TableMeta

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["FeatureTable"]


class FeatureTable(Table):
    """One row of measurements per object of a label image (several where the object was measured several times).

    Parameters
    ----------
    data
        A DataFrame, an AnnData or a mapping of columns; the ids in a column or index named "label".
    reference_label
        The name of the label image.
    meta
        The attributes; by default those of a new feature table.

    Raises
    ------
    ArgumentError
        No "label", or an id that is no whole number.

    Examples
    --------
    >>> FeatureTable({"label": [3, 7], "area": [12.0, 40.0]}, "nuclei").dataframe.loc[7, "area"].item()
    40.0
    """

    _type = "feature_table"
    _index = ("label", "int")

    def __init__(
        self, data: pd.DataFrame | AnnData | Mapping[str, Any], reference_label: str | None = None, *, meta: TableMeta | None = None
    ) -> None:
        super().__init__(data, meta=(meta or TableMeta(self._type)).with_label(reference_label))

    @classmethod
    def meta_for(cls, meta: TableMeta) -> TableMeta:
        found = super().meta_for(meta)
        return replace(found, instance_key=found.index_key)

    def _checked(self, frame: pd.DataFrame) -> pd.DataFrame:
        key = str(self._meta.index_key)
        if key in frame.columns:
            frame = frame.set_index(key)
        elif frame.index.name != key:
            raise ArgumentError(
                "the rows have no label",
                where="FeatureTable",
                got=f"columns {list(frame.columns)}, index {frame.index.name!r}",
                allowed=f"a column or index named {key!r}",
                hint="Name the ids: frame.rename_axis('label') for an index, frame.rename(columns={...: 'label'}) for a column.",
            )
        frame.index = typed_index(frame.index, self._meta.index_type, f"FeatureTable index {key!r}")
        return frame
