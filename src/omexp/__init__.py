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
from omexp.errors import DeviceUnavailableError, OmexpError, OmexpWarning
from omexp.kernels.windows import downsample
from omexp.metadata.plate import ImageInWellPath
from omexp.world import PixelSize

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "ConditionTable",
    "DeviceUnavailableError",
    "FeatureTable",
    "GenericRoiTable",
    "GenericTable",
    "Image",
    "ImageInWellPath",
    "Label",
    "MaskedImage",
    "MaskedLabel",
    "MaskingRoiTable",
    "OmeZarrContainer",
    "OmeZarrPlate",
    "OmeZarrWell",
    "OmexpError",
    "OmexpWarning",
    "PixelSize",
    "Roi",
    "RoiSlice",
    "RoiTable",
    "__version__",
    "counting_transfers",
    "create_empty_ome_zarr",
    "create_empty_plate",
    "create_ome_zarr_from_array",
    "default_device",
    "downsample",
    "from_host",
    "measure",
    "open_ome_zarr_container",
    "open_ome_zarr_plate",
    "open_ome_zarr_well",
    "resolve_backend",
    "to_host",
]
