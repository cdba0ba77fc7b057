"""Writers. Knows: how arrays on any backend become stored boxes. Does not know: files, codecs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from omexp.backend import backend_of, from_host, to_host
from omexp.geometry import Region, blocks, ceil_div
from omexp.kernels.masks import keep_outside
from omexp.kernels.merging import Merge, merge_pixels
from omexp.selection import Selection
from omexp.storage.arrays import StoredArray
from omexp.storage.reading import default_workers, is_dense
from omexp.storage.workers import run_in_order

__all__ = ["write_box", "write_selection"]


def write_box(
    stored: StoredArray,
    region: Region,
    pixels: Any,
    *,
    fast: bool = False,
    workers: int = 1,
    mask: np.ndarray | None = None,
    merge: Merge | None = None,
) -> None:
    """Store the pixels of a box, from any backend (one download from a device). `fast` as in `StoredArray.write`.

    With `mask` (host bools of the box's shape) only where it is True, all else stays as it is; with `merge` put together with what is
    there, as `omexp.kernels.merging` says, on the backend of `pixels`. Write units that this leaves as they are are not written.
    """
    host = to_host(pixels) if merge is None else None

    def write(box: Region) -> None:
        inside = box.relative_to(region).slices
        if host is not None and mask is None:
            stored.write(box, host[inside], fast=fast)
        elif mask is None or mask[inside].any():
            stored.change(box, change)

    def change(box: Region, old: np.ndarray) -> np.ndarray | None:
        inside = box.relative_to(region).slices
        if mask is not None and not mask[inside].any():
            return None
        if host is not None:
            new = host[inside]
        else:
            backend = backend_of(pixels)
            with backend.active():
                existing = from_host(old.copy(), backend)  # a function may work in place
                new = to_host(merge_pixels(existing, pixels[inside], merge))  # type: ignore[arg-type]
        return new if mask is None else keep_outside(old, new, mask[inside])

    units = math.prod(ceil_div(b, u) - a // u for a, b, u in zip(region.start, region.stop, stored.write_unit, strict=True))
    workers = min(workers, units)
    boxes = blocks(region, stored.write_unit) if workers > 1 else iter([region])
    for _ in run_in_order(write, boxes, workers):
        pass


def write_selection(
    stored: StoredArray, selection: Selection, pixels: Any, *, mask: np.ndarray | None = None, merge: Merge | None = None
) -> None:
    """Store selected pixels, over all stored axes; `mask` (broadcast to their shape) and `merge` as in `write_box`.

    A box is one write; steps and lists are set into the smallest box around them, which is changed once, unless they lie far apart: then
    each stretch is written by itself.
    """
    if mask is not None:
        mask = np.broadcast_to(mask, selection.shape)
    if selection.is_box or not is_dense(selection):
        for region, place in selection.pieces():
            part = None if mask is None else mask[place]
            write_box(stored, region, pixels[place], mask=part, merge=merge, workers=default_workers())
        return
    bounds, backend = selection.bounds, backend_of(pixels)
    whole, chosen = backend.full(bounds.shape, 0, stored.dtype), np.zeros(bounds.shape, np.bool_)
    for region, place in selection.pieces():
        inside = region.relative_to(bounds).slices
        whole[inside] = pixels[place]
        chosen[inside] = True if mask is None else mask[place]
    write_box(stored, bounds, whole, mask=chosen, merge=merge, workers=default_workers())
