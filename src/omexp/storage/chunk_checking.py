"""The stored chunks of an array, one by one. Knows: keys, write units, whether they decode. Does not know: what pixels mean.

A chunk that is not stored reads as the fill value, so a missing one is no damage: it is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from zarr.core.sync import sync

from omexp.errors import OmexpError
from omexp.geometry import Region, Shape, ceil_div
from omexp.storage.arrays import StoredArray
from omexp.storage.encoding import Encoder, ShardEncoder, UnknownCodecError, encoder_of
from omexp.storage.host_decoding import decode_chunk, read_index
from omexp.storage.units import unit_place

__all__ = ["StoredChunks", "check_chunks"]

_MOST_LOOKED_FOR = 1 << 20  # chunks, where the store cannot say which of them it has
_MOST_BYTES = 1 << 32  # of one chunk: what is larger is not decoded to see whether it is whole
_DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


@dataclass(slots=True)
class StoredChunks:
    """Chunks of an array: how many there are, how many are stored, which are `damaged` (key -> why), which keys belong to none."""

    chunks: int
    stored: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    stray: list[str] = field(default_factory=list)


def check_chunks(array: StoredArray, workers: int = 1) -> StoredChunks:
    """Decode every stored chunk of an array, by so many threads.

    Examples
    --------
    >>> import numpy, omexp
    >>> _ = omexp.create_ome_zarr_from_array("c.zarr", numpy.eye(64, dtype="u1"), xy_pixelsize=1, levels=1, chunks=32, overwrite=True)
    >>> found = check_chunks(omexp.open_ome_zarr_container("c.zarr").get_image().stored)
    >>> found.chunks, found.stored, found.damaged
    (4, 2, {})
    """
    shape, unit, chunk = array.shape, array.write_unit, array.chunks
    grid = tuple(ceil_div(n, u) for n, u in zip(shape, unit, strict=True))
    found = StoredChunks(math.prod(ceil_div(n, c) for n, c in zip(shape, chunk, strict=True)))
    check = _Checker(array, found)
    units = _listed_units(array, grid, found)
    with ThreadPoolExecutor(workers) as pool:
        for key, stored, damage in pool.map(check, units):
            found.stored += stored
            if damage is not None:
                found.damaged[key] = damage
    return found


class _Checker:
    """One write unit: (key, chunks stored in it, None or what is wrong)."""

    def __init__(self, array: StoredArray, found: StoredChunks) -> None:
        self.array, self.place, self.metadata = array, unit_place(array.zarr), array.zarr.metadata
        self.per_unit = tuple(u // c for u, c in zip(array.write_unit, array.chunks, strict=True))
        try:
            self.coding: Encoder | None = encoder_of(array.zarr.metadata)
        except UnknownCodecError:  # zarr decodes these
            self.coding = None

    def __call__(self, index: Shape) -> tuple[str, int, str | None]:
        key = self.metadata.encode_chunk_key(index)
        if math.prod(self.array.chunks) * self.array.dtype.itemsize > _MOST_BYTES:
            return key, 1, None
        try:
            return key, self._stored(index), None
        except (OmexpError, MemoryError, OverflowError, ValueError) as error:
            return key, 1, str(error)[:300]

    def _stored(self, index: Shape) -> int:
        data = self.place.get(index)
        if data is None:
            return 0
        if isinstance(self.coding, ShardEncoder):
            places = read_index(self.coding, len(data), lambda at, n: data[at : at + n])
            inner = {cell: where for cell, where in places.items() if self._within(index, cell)}
            for at, size in inner.values():
                decode_chunk(self.coding.inner, data[at : at + size])
            return len(inner)
        if self.coding is not None:
            decode_chunk(self.coding, data)
            return 1
        start = tuple(i * u for i, u in zip(index, self.array.write_unit, strict=True))
        stop = tuple(min(a + u, n) for a, u, n in zip(start, self.array.write_unit, self.array.shape, strict=True))
        self.array.read(Region(start, stop))
        return math.prod(ceil_div(b - a, c) for a, b, c in zip(start, stop, self.array.chunks, strict=True))

    def _within(self, index: Shape, cell: Shape) -> bool:
        """Whether an inner chunk of a shard meets the array: those beyond its edge may be stored, and count for nothing."""
        first = (i * n + k for i, n, k in zip(index, self.per_unit, cell, strict=True))
        return all(k * c < n for k, c, n in zip(first, self.array.chunks, self.array.shape, strict=True))


def _listed_units(array: StoredArray, grid: Shape, found: StoredChunks) -> Iterator[Shape]:
    """The write units that the store has; all of them where it cannot say. Keys that are no unit's are noted."""
    store_path, metadata = array.zarr.store_path, array.zarr.metadata
    if not store_path.store.supports_listing:
        if math.prod(grid) <= _MOST_LOOKED_FOR:
            yield from _all(grid)
        return
    prefix = f"{store_path.path}/" if store_path.path else ""
    for key in sorted(sync(_keys(store_path.store, prefix))):
        name = key.removeprefix(prefix)
        if name.rpartition("/")[2] in _DOCUMENTS or name.rpartition("/")[2].startswith("."):
            continue
        index = _index_of(name, grid, array.separator)
        if index is not None and metadata.encode_chunk_key(index) == name:
            yield index
        else:
            found.stray.append(name)


def _all(grid: Shape) -> Iterator[Shape]:
    for number in range(math.prod(grid)):
        index = []
        for n in reversed(grid):
            number, i = divmod(number, n)
            index.append(i)
        yield tuple(reversed(index))


def _index_of(name: str, grid: Shape, separator: str) -> Shape | None:
    """The write unit that a key belongs to; None for a key of something else, or beyond the array."""
    parts = name.removeprefix("c").strip("/.").replace(".", separator).split(separator) if grid else []
    if len(parts) != len(grid) or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        return () if not grid else None
    index = tuple(map(int, parts))
    return index if all(i < n for i, n in zip(index, grid, strict=True)) else None


async def _keys(store: Any, prefix: str) -> list[str]:
    return [key async for key in store.list_prefix(prefix)]
