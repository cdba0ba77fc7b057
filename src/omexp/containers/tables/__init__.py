"""Fractal tables of an image: generic, conditions, features, regions. Knows: columns on the host. Does not know: pixels."""

from omexp.containers.tables.collection import TablesCollection
from omexp.containers.tables.features import FeatureTable
from omexp.containers.tables.rois import GenericRoiTable, MaskingRoiTable, RoiTable
from omexp.containers.tables.table import ConditionTable, GenericTable, Table

__all__ = [
    "ConditionTable",
    "FeatureTable",
    "GenericRoiTable",
    "GenericTable",
    "MaskingRoiTable",
    "RoiTable",
    "Table",
    "TablesCollection",
]
