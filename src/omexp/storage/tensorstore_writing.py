"""Optional writing through TensorStore. Knows: how to open the same array there. Does not know: pyramids. TensorStore loads when asked
for."""

from __future__ import annotations

from typing import Any

import numpy as np
from zarr.storage import LocalStore

from omexp.errors import ArgumentError
from omexp.geometry import Region, blocks
from omexp.storage.arrays import StoredArray
from omexp.storage.disks import permitted

__all__ = ["through"]


class _ThroughTensorStore(StoredArray):
    """The same array; boxes are encoded and stored by TensorStore."""

    def __init__(self, stored: StoredArray) -> None:
        super().__init__(stored.zarr)
        place = self.zarr.store_path
        if not isinstance(place.store, LocalStore):
            raise ArgumentError("TensorStore writing takes local folders only", where=self.where, hint="Leave out use_tensorstore.")
        self._target = _opened("zarr3" if self.zarr.metadata.zarr_format == 3 else "zarr", str(place.store.root / place.path))

    def write(self, region: Region, pixels: np.ndarray, *, fast: bool = False) -> None:
        """Store a box of pixels. Raises as `StoredArray.write`."""
        self._require_writable()
        boxes = blocks(region, self.write_unit)
        begun = [self._target[box.slices].write(pixels[box.relative_to(region).slices]) for box in boxes]
        errors = [writing.exception() for writing in begun]  # all have ended before one is raised: nothing is written behind our back
        for error in filter(None, errors):
            with permitted(self.where):
                raise error


def _opened(driver: str, path: str) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        raise ArgumentError(
            "TensorStore is not installed", where="use_tensorstore", got=str(error), hint="pip install tensorstore, or leave it out."
        ) from None
    return tensorstore.open({"driver": driver, "kvstore": {"driver": "file", "path": path}}, open=True).result()


def through(stored: StoredArray, engine: str) -> StoredArray:
    """The array, written by the engine that is asked for: "auto" (omexp's own) or "tensorstore"."""
    if engine not in ("auto", "tensorstore"):
        raise ArgumentError("there is no such engine", where="engine", got=repr(engine), allowed="'auto', 'tensorstore'")
    return _ThroughTensorStore(stored) if engine == "tensorstore" else stored
