"""Stores for tests of validation, in memory. Knows: sound hierarchies of each version, how a document in them is changed.
Does not know: rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from zarr.buffer import cpu
from zarr.storage import MemoryStore

import omexp
from omexp.storage.groups import Group, open_group

VERSIONS = ("0.4", "0.5", "0.6")
Store = dict[str, Any]


def document_of(store: Store, path: str) -> tuple[str, dict[str, Any]]:
    """The key and content of the JSON document of a group or array."""
    prefix = f"{path}/" if path else ""
    for name in ("zarr.json", ".zarray", ".zattrs"):
        if f"{prefix}{name}" in store:
            return f"{prefix}{name}", json.loads(store[f"{prefix}{name}"].to_bytes())
    raise KeyError(path)


def write(store: Store, key: str, document: Any) -> None:
    """Put a document, or bytes, under a key."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    store[key] = cpu.Buffer.from_bytes(raw)


def change(store: Store, path: str, edit: Callable[[dict[str, Any]], Any]) -> Store:
    """The store with the sections of a group (or the document of an array) edited in place."""
    key, document = document_of(store, path)
    inner = document if key.endswith((".zattrs", ".zarray")) else document.get("attributes", {}).get("ome")
    if document.get("node_type") == "array":
        inner = document
    edit(document.setdefault("attributes", {}).setdefault("ome", {}) if inner is None else inner)
    write(store, key, document)
    return store


def remove(store: Store, path: str) -> Store:
    """The store without a group or array."""
    for key in [key for key in store if key.startswith(f"{path}/")]:
        del store[key]
    return store


def make_image(version: str = "0.5", *, levels: int = 2, label: bool = True, table: bool = False, place: Any = None) -> Store:
    """c, y, x of 2 x 32 x 32 with a label "nuclei" and, if wanted, a table "rois" of it."""
    store: Store = {}
    where = store if place is None else place
    pixels = np.arange(2 * 32 * 32, dtype="uint16").reshape(2, 32, 32)
    options = {"axes_names": "cyx", "xy_pixelsize": 0.5, "levels": levels, "chunks": 16, "name": "cells", "ngff_version": version}
    container = omexp.create_ome_zarr_from_array(where, pixels, workers=1, **options)
    if label:
        container.derive_label("nuclei").set_array((pixels[0] % 7).astype("uint32"))
    if table:
        container.add_table("rois", omexp.RoiTable([omexp.Roi.from_values({"x": (0, 4), "y": (0, 4)}, name="a")]), backend="csv")
    return store


FIELDS = [("A", 1, "0", 0), ("A", 1, "1", 0), ("A", 1, "2", 1), ("B", 2, "0", 0), ("B", 2, "1", 1)]  # row, column, path, acquisition


def make_plate(version: str = "0.5", *, place: Any = None) -> Store:
    """Wells A/01 and B/02 of two acquisitions, with 3 and 2 fields of two levels without labels."""
    store: Store = {}
    paths = [omexp.ImageInWellPath(row, column, path, run, f"run{run}") for row, column, path, run in FIELDS]
    plate = omexp.create_empty_plate(store if place is None else place, "screen", paths, ngff_version=version)
    for one in paths:
        make_image(version, label=False, place=plate.get_image_store(one.row, one.column, one.path))
    return store


@cache
def _made(kind: str, version: str) -> Store:
    return make_image(version, table=True) if kind == "image" else make_plate(version)


def sound(kind: str, version: str = "0.5") -> Store:
    """A store of its own of an image (with a label and a table) or a plate that breaks no rule."""
    return dict(_made(kind, version))


def group_of(store: Store) -> Group:
    """The group of a store, to be written."""
    return open_group(MemoryStore(store))
