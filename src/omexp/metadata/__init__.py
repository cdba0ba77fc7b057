"""What OME-Zarr documents mean: frozen records and the rules they keep. Knows: JSON values. Does not know: arrays, stores."""
