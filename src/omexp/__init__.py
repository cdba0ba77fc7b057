"""omexp: OME-Zarr bioimages on NumPy and CuPy, through one container layer.

Arrays live on the container's device; the container and metadata code is the same for every device.
"""

from omexp.backend import Backend, counting_transfers, default_device, from_host, resolve_backend, to_host
from omexp.checking import Report, repair, validate
from omexp.containers.container import OmeZarrContainer, open_ome_zarr_container
from omexp.containers.create import create_empty_ome_zarr, create_ome_zarr_from_array
from omexp.containers.features.measure import measure
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.labelling.operations import (
    expand_labels,
    keep_objects,
    label_components,
    overlap_table,
    relabel_sequential,
    remove_border_objects,
    remove_objects,
    remove_small_objects,
    stitch,
)
from omexp.containers.masking.masked import MaskedImage, MaskedLabel
from omexp.containers.plates.editing import derive_ome_zarr_plate
from omexp.containers.plates.plate import (
    OmeZarrPlate,
    OmeZarrWell,
    create_empty_plate,
    create_empty_well,
    open_ome_zarr_plate,
    open_ome_zarr_well,
)
from omexp.containers.roi import Roi, RoiSlice
from omexp.containers.tables import ConditionTable, FeatureTable, GenericRoiTable, GenericTable, MaskingRoiTable, RoiTable
from omexp.containers.tables.concatenation import concatenate_image_tables, concatenate_image_tables_as, list_image_tables
from omexp.containers.tiling import grid_rois
from omexp.convert import convert
from omexp.datasets import download_ome_zarr_dataset, list_ome_zarr_datasets
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
from omexp.storage.chunk_cache import chunk_cache
from omexp.storage.planes import Planes
from omexp.storage.remote import fractal_fsspec_store
from omexp.versioning import change_version
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
    "Report",
    "Roi",
    "RoiSlice",
    "RoiTable",
    "Scale",
    "Translation",
    "Well",
    "WellImage",
    "__version__",
    "change_version",
    "chunk_cache",
    "concatenate_image_tables",
    "concatenate_image_tables_as",
    "convert",
    "counting_transfers",
    "create_empty_ome_zarr",
    "create_empty_plate",
    "create_empty_well",
    "create_ome_zarr_from_array",
    "default_device",
    "derive_ome_zarr_plate",
    "download_ome_zarr_dataset",
    "downsample",
    "expand_labels",
    "fractal_fsspec_store",
    "from_hcs_zarr",
    "from_host",
    "from_ngff_zarr",
    "from_ome_zarr",
    "grid_rois",
    "keep_objects",
    "label_components",
    "list_image_tables",
    "list_ome_zarr_datasets",
    "measure",
    "open_ome_zarr_container",
    "open_ome_zarr_plate",
    "open_ome_zarr_well",
    "overlap_table",
    "progress_bar",
    "relabel_sequential",
    "remove_border_objects",
    "remove_objects",
    "remove_small_objects",
    "repair",
    "resolve_backend",
    "stitch",
    "to_host",
    "to_multiscales",
    "to_ngff_image",
    "to_ngff_zarr",
    "to_ome_zarr",
    "validate",
]
