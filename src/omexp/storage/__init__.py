"""Bytes at rest: stores, groups, arrays, layouts, readers, writers. The only floor that imports zarr."""
