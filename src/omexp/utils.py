"""Names that users of ngio look for in `utils`. Knows: where they are. Does not know: what they do."""

from omexp.datasets import download_ome_zarr_dataset, list_ome_zarr_datasets, print_datasets_infos
from omexp.storage.remote import fractal_fsspec_store

__all__ = ["download_ome_zarr_dataset", "fractal_fsspec_store", "list_ome_zarr_datasets", "print_datasets_infos"]
