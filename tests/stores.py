"""Small stores for tests, and what lies in a store. Knows: files, documents, pixels as zarr-python decodes. Does not know: backends."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import omexp

LAYOUTS: dict[str, dict[str, Any]] = {
    "0.4": {"ngff_version": "0.4", "chunks": (1, 2, 8, 16)},
    "0.5": {"ngff_version": "0.5", "chunks": (1, 2, 8, 16)},
    "0.5-sharded": {"ngff_version": "0.5", "chunks": (1, 2, 8, 16), "shards": (1, 2, 16, 16)},
}
SHAPE = (2, 3, 20, 30)  # c, z, y, x
_DOCUMENTS = (".zattrs", ".zgroup", ".zarray", "zarr.json")


def sample_pixels(dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    """(c, z, y, x) with values all over the dtype."""
    draw = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return draw.normal(0, 100, SHAPE).astype(dtype)
    if dtype == "bool":
        return draw.integers(0, 2, SHAPE).astype(bool)
    info = np.iinfo(dtype)
    return draw.integers(info.min, info.max, SHAPE, dtype=dtype, endpoint=True)


def sample_ids() -> np.ndarray:
    """(z, y, x) with objects 1 (a box), 7 (two parts), 300 (an L around 1) and background."""
    ids = np.zeros(SHAPE[1:], "uint32")
    ids[0:2, 2:9, 3:12] = 300
    ids[0:2, 2:7, 5:12] = 1
    ids[2, 0:3, 20:24] = 7
    ids[1, 14:20, 25:30] = 7
    return ids


def make_sample(folder: Path, layout: str, dtype: str = "uint16") -> Path:
    """An image of `sample_pixels` with three levels and a label "nuclei" of `sample_ids`, its pyramid included."""
    options = LAYOUTS[layout] | {"xy_pixelsize": 0.5, "z_spacing": 2.0, "levels": 3, "axes_names": "czyx", "workers": 1}
    container = omexp.create_ome_zarr_from_array(folder, sample_pixels(dtype), channel_labels=["DAPI", "GFP"], **options)
    label = container.derive_label("nuclei")
    label.set_array(sample_ids())
    label.consolidate(workers=1)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and every folder (as b""), by relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A process begun inside hears Ctrl-C, even where this one is a shell's background process, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def documents(folder: Path) -> dict[str, Any]:
    """The JSON documents of a store by relative path."""
    return {str(p.relative_to(folder)): json.loads(p.read_text()) for p in sorted(folder.rglob("*")) if p.name in _DOCUMENTS}


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a store by relative path, decoded by zarr-python alone."""
    places = {p.parent for p in folder.rglob(".zarray")}
    places |= {p.parent for p in folder.rglob("zarr.json") if json.loads(p.read_text())["node_type"] == "array"}
    return {str(p.relative_to(folder)): zarr.open_array(str(p), mode="r")[...] for p in sorted(places)}
