"""What can be converted to OME-Zarr: one file per kind of source. Each gives `Imported` images."""
