"""Label images. Knows: ids per pixel, their boxes. Does not know: intensities."""

from __future__ import annotations

from typing import Any

from omexp.backend import to_host
from omexp.containers.level import Level
from omexp.containers.roi import Roi
from omexp.geometry import grow_block
from omexp.kernels.methods import Methods
from omexp.measuring import find_boxes
from omexp.metadata.labels import ImageLabel
from omexp.storage.lazy import BLOCK_BYTES

__all__ = ["Label"]


class Label(Level):
    """One level of a label image: an integer id per pixel, 0 for background.

    Reads and writes as `Image` does. `consolidate` takes the first pixel of each window ("nearest"), so ids never mix; pass "mode" for
    the most frequent one.
    """

    default_method = "nearest"

    def takes(self, method: Methods) -> bool:
        """Ids are never averaged because some metadata says so."""
        return method.kernel not in ("mean", "gaussian")

    @property
    def image_label(self) -> ImageLabel | None:
        """Source, colours and properties, as the document has them."""
        return self._meta.image_label

    def block_shape(self) -> tuple[int, ...]:
        """Blocks of whole chunks that are read at a time when the label is gone through."""
        return grow_block(self.chunks, self.shape, BLOCK_BYTES // self.dtype.itemsize)

    def boxes(self) -> dict[int, Roi]:
        """The bounding box of each object, in pixels of this level, by id, ascending. One pass over the label, block by block."""
        found = find_boxes(self._reader, self.block_shape())
        ids, starts, stops = (to_host(a).tolist() for a in (found.ids, found.start, found.stop))
        return {i: self._box_of(i, a, b) for i, a, b in zip(ids, starts, stops, strict=True)}

    def _box_of(self, label: int, start: list[int], stop: list[int]) -> Roi:
        spans: dict[str, Any] = {axis: (a, b - a) for axis, a, b in zip(self.axes, start, stop, strict=True)}
        return Roi.from_values(spans, str(label), label, space="pixel")
