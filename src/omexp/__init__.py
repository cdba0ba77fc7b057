"""omexp: OME-Zarr bioimages on NumPy and CuPy, through one container layer.

Arrays live on the container's device; the container and metadata code is the same for every device.
"""

from omexp.backend import Backend, counting_transfers, default_device, from_host, resolve_backend, to_host
from omexp.containers.container import OmeZarrContainer, open_ome_zarr_container
from omexp.containers.create import create_empty_ome_zarr, create_ome_zarr_from_array
from omexp.containers.features import measure
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.masked import MaskedImage, MaskedLabel
from omexp.containers.plate import OmeZarrPlate, OmeZarrWell, create_empty_plate, open_ome_zarr_plate, open_ome_zarr_well
from omexp.containers.roi import Roi, RoiSlice
from omexp.containers.tables import ConditionTable, FeatureTable, GenericRoiTable, GenericTable, MaskingRoiTable, RoiTable
from omexp.convert import convert
from omexp.errors import DeviceUnavailableError, OmexpError, OmexpWarning
from omexp.kernels.methods import Methods
from omexp.kernels.windows import downsample
from omexp.metadata.plate import ImageInWellPath
from omexp.ngff import (
    Axis,
    Dataset,
    HCSPlate,
    HCSWell,
    Identity,
    Metadata,
    Multiscales,
    NgffImage,
    NgffMultiscales,
    Omero,
    OmeroChannel,
    OmeroWindow,
    Plate,
    PlateAcquisition,
    PlateColumn,
    PlateRow,
    PlateWell,
    Scale,
    Translation,
    Well,
    WellImage,
    from_hcs_zarr,
    from_ngff_zarr,
    from_ome_zarr,
    to_multiscales,
    to_ngff_image,
    to_ngff_zarr,
    to_ome_zarr,
)
from omexp.progress import progress_bar
from omexp.storage.planes import Planes
from omexp.world import PixelSize

__version__ = "0.1.0"

__all__ = [
    "Axis",
    "Backend",
    "ConditionTable",
    "Dataset",
    "DeviceUnavailableError",
    "FeatureTable",
    "GenericRoiTable",
    "GenericTable",
    "HCSPlate",
    "HCSWell",
    "Identity",
    "Image",
    "ImageInWellPath",
    "Label",
    "MaskedImage",
    "MaskedLabel",
    "MaskingRoiTable",
    "Metadata",
    "Methods",
    "Multiscales",
    "NgffImage",
    "NgffMultiscales",
    "OmeZarrContainer",
    "OmeZarrPlate",
    "OmeZarrWell",
    "Omero",
    "OmeroChannel",
    "OmeroWindow",
    "OmexpError",
    "OmexpWarning",
    "PixelSize",
    "Planes",
    "Plate",
    "PlateAcquisition",
    "PlateColumn",
    "PlateRow",
    "PlateWell",
    "Roi",
    "RoiSlice",
    "RoiTable",
    "Scale",
    "Translation",
    "Well",
    "WellImage",
    "__version__",
    "convert",
    "counting_transfers",
    "create_empty_ome_zarr",
    "create_empty_plate",
    "create_ome_zarr_from_array",
    "default_device",
    "downsample",
    "from_hcs_zarr",
    "from_host",
    "from_ngff_zarr",
    "from_ome_zarr",
    "measure",
    "open_ome_zarr_container",
    "open_ome_zarr_plate",
    "open_ome_zarr_well",
    "progress_bar",
    "resolve_backend",
    "to_host",
    "to_multiscales",
    "to_ngff_image",
    "to_ngff_zarr",
    "to_ome_zarr",
]
