"""The in-memory model of OME-Zarr images, with the names that ngff-zarr's users know. Knows: the doors of this room."""

from omexp.kernels.methods import Methods
from omexp.ngff.hcs import (
    HCSPlate,
    HCSWell,
    Plate,
    PlateAcquisition,
    PlateColumn,
    PlateRow,
    PlateWell,
    Well,
    WellImage,
    from_hcs_zarr,
)
from omexp.ngff.images import to_ngff_image
from omexp.ngff.model import (
    LPS,
    RAS,
    AnatomicalOrientation,
    Axis,
    Dataset,
    Identity,
    Metadata,
    Multiscales,
    NgffImage,
    NgffMultiscales,
    Omero,
    OmeroChannel,
    OmeroWindow,
    Scale,
    Transform,
    Translation,
)
from omexp.ngff.multiscales import to_multiscales
from omexp.ngff.reading import from_ngff_zarr
from omexp.ngff.writing import to_ngff_zarr

to_ome_zarr, from_ome_zarr = to_ngff_zarr, from_ngff_zarr  # ngff-zarr's second names for the same

__all__ = [
    "LPS",
    "RAS",
    "AnatomicalOrientation",
    "Axis",
    "Dataset",
    "HCSPlate",
    "HCSWell",
    "Identity",
    "Metadata",
    "Methods",
    "Multiscales",
    "NgffImage",
    "NgffMultiscales",
    "Omero",
    "OmeroChannel",
    "OmeroWindow",
    "Plate",
    "PlateAcquisition",
    "PlateColumn",
    "PlateRow",
    "PlateWell",
    "Scale",
    "Transform",
    "Translation",
    "Well",
    "WellImage",
    "from_hcs_zarr",
    "from_ngff_zarr",
    "from_ome_zarr",
    "to_multiscales",
    "to_ngff_image",
    "to_ngff_zarr",
    "to_ome_zarr",
]
