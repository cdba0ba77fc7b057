"""Channels that share chunks. Knows: the box that a thread read last. Does not know: channels by name, what is measured."""

from __future__ import annotations

import threading

from omexp.backend import Array
from omexp.geometry import Region
from omexp.storage.reading import Reader

__all__ = ["ChannelsTogether"]


class ChannelsTogether:
    """A reader whose chunks hold several channels: whoever asks for one channel of a box after the other has them decoded once.

    Each thread keeps the last box it has asked for, with all channels of its chunks. A box must not pass a border of chunks along c.
    """

    def __init__(self, reader: Reader, axis: int, chunk: int) -> None:
        self.inner, self.axis, self.chunk = reader, axis, chunk
        self.name, self.reason, self.backend = reader.name, reader.reason, reader.backend
        self.shape, self.dtype = reader.shape, reader.dtype
        self._last = threading.local()

    def read(self, region: Region) -> Array:
        """The pixels of a box, as an array on the backend."""
        first = region.start[self.axis] // self.chunk * self.chunk
        last = min(first + self.chunk, self.shape[self.axis])
        before, after = slice(0, self.axis), slice(self.axis + 1, None)
        whole = Region((*region.start[before], first, *region.start[after]), (*region.stop[before], last, *region.stop[after]))
        if getattr(self._last, "box", None) != whole:
            self._last.pixels = None  # the old ones go before the new ones come
            self._last.pixels, self._last.box = self.inner.read(whole), whole
        return self._last.pixels[region.relative_to(whole).slices]
