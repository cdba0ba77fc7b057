"""Whatever gives pixels box by box. Knows: what engines ask of it. Does not know: where the pixels come from."""

from __future__ import annotations

from typing import Any, Protocol

from omexp.backend import Array, Backend
from omexp.geometry import Region, Shape

__all__ = ["BoxReader"]


class BoxReader(Protocol):
    """An array, on disk or not, whose boxes can be read onto a backend."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the pixels, in native byte order."""
        ...

    @property
    def backend(self) -> Backend: ...

    def read(self, region: Region) -> Array:
        """The pixels of a box, as an array on `backend` of shape ``region.shape``."""
        ...
