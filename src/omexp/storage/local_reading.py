"""Boxes of an array on a local disk. Knows: which chunks a box meets, files, threads, which chunks are kept. Does not know: how a chunk is
coded, stores.

Each chunk is read and decoded by one thread, straight into the caller's memory where it lies in one piece there: no event loop, no copy.
For a reader that comes back to parts of chunks they are kept decoded; what it gets is always a copy.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from omexp.geometry import Region, Shape
from omexp.storage.chunk_cache import chunk_cache, stamp_of
from omexp.storage.encoding import ChunkEncoder, Encoder, ShardEncoder
from omexp.storage.host_decoding import decode_chunk, read_index

__all__ = ["LocalPixels", "folder_of"]

WORTH_BYTES = 1 << 20  # of decoded pixels: below, starting threads costs more than they save
ENTRY_BYTES = 256  # of an entry of a shard's index, kept
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class _File:
    """The open file of a write unit. `kept`: chunks of it may be kept; `settled`: any later change will show in its stamp."""

    __slots__ = ("descriptor", "kept", "path", "settled", "size", "stamp")

    def __init__(self, path: str, descriptor: int, kept: bool) -> None:
        self.path, self.descriptor, self.kept = path, descriptor, kept
        self.stamp, self.settled, self.size = stamp_of(descriptor)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def find(self, place: Any) -> Any:
        return chunk_cache.find(self.path, place, self.stamp) if self.kept else None

    def keep(self, place: Any, found: Any, nbytes: int) -> None:
        if self.kept and self.settled:
            chunk_cache.keep(self.path, place, self.stamp, found, nbytes)

    def read(self, at: int, nbytes: int) -> bytes:
        return os.pread(self.descriptor, nbytes, at)


class LocalPixels:
    """The pixels of one array: `folder` holds its units under the keys that `key_of` gives."""

    reason = "each chunk by one thread, from its file straight into place"

    def __init__(self, folder: str, key_of: Callable[[Shape], str], coding: Encoder, shape: Shape, fill: Any) -> None:
        self.folder, self.key_of, self.coding, self.shape = folder, key_of, coding, shape
        self.chunk: ChunkEncoder = coding.inner if isinstance(coding, ShardEncoder) else coding
        self.chunk_bytes = math.prod(self.chunk.shape) * self.chunk.dtype.itemsize
        self.fill = 0 if fill is None else fill
        self._how = _description(self.chunk)

    def read(self, region: Region, out: np.ndarray, workers: int, *, cached: bool = False) -> None:
        """Fill `out` (of the region's shape, in native byte order) with the pixels of a region, by at most so many threads.

        `cached`: chunks of which a part is read are kept for the next time, unless all that the box meets are larger than the cache.

        Raises
        ------
        StoredDataError
            A chunk is damaged.
        """
        cells = _cells(region, self.chunk.shape)
        chunks = math.prod(map(len, cells))
        cached = cached and chunks * self.chunk_bytes <= chunk_cache.limit
        parallel = min(workers, chunks) if chunks * self.chunk_bytes > WORTH_BYTES else 1
        if isinstance(self.coding, ShardEncoder):
            for unit in itertools.product(*_cells(region, self.coding.shape)):
                self._read_shard(self.coding, unit, cells, region, out, parallel, cached)
            return

        def read(cell: Shape, decode: bool = True) -> bool:
            with self._opened(cell, cached) as file:
                return self._placed(file, None if file is None else (0, file.size), cell, region, out, decode)

        _each(read, itertools.product(*cells), parallel, cached)

    def _read_shard(
        self, coding: ShardEncoder, unit: Shape, cells: list[range], region: Region, out: np.ndarray, parallel: int, cached: bool
    ) -> None:
        begin = tuple(i * n for i, n in zip(unit, coding.counts, strict=True))
        inside = [range(max(r.start, b), min(r.stop, b + n)) for r, b, n in zip(cells, begin, coding.counts, strict=True)]
        with self._opened(unit, cached) as file:  # one file for all: if it is replaced meanwhile, this stays the old one
            places = {} if file is None else self._index_of(coding, file)

            def read(cell: Shape, decode: bool = True) -> bool:
                at = places.get(tuple(i - b for i, b in zip(cell, begin, strict=True)))
                return self._placed(file, at, cell, region, out, decode)

            _each(read, itertools.product(*inside), parallel, cached)

    def _index_of(self, coding: ShardEncoder, file: _File) -> dict[Shape, tuple[int, int]]:
        place = self._how, coding.shape
        places = file.find(place)
        if places is None:
            places = read_index(coding, file.size, file.read)
            file.keep(place, places, ENTRY_BYTES * (1 + len(places)))
        return places

    def _placed(self, file: _File | None, at: tuple[int, int] | None, cell: Shape, region: Region, out: np.ndarray, decode: bool) -> bool:
        """A chunk's pixels, as far as the region goes, put into their place. Without `decode` only what takes no decoding: gives whether
        it is there."""
        whole, inside, target = True, [], []
        for i, c, n, a, b in zip(cell, self.chunk.shape, self.shape, region.start, region.stop, strict=True):
            origin = i * c
            low, high = max(a, origin), min(b, origin + c)
            whole = whole and high - low == min(c, n - origin)
            inside.append(slice(low - origin, high - origin))
            target.append(slice(low - a, high - a))
        place = out[tuple(target)]
        if file is None or at is None:
            place[...] = self.fill
            return True
        if not decode:
            pixels = None if whole else file.find((self._how, at[0]))
            if pixels is None:
                return False
        else:
            chunk = self.chunk
            direct = place if place.shape == chunk.shape and place.flags.c_contiguous and place.dtype == chunk.dtype else None
            pixels = decode_chunk(chunk, file.read(*at), direct)
            if pixels is direct:
                return True
            if not whole:
                file.keep((self._how, at[0]), pixels, pixels.nbytes)
        place[...] = pixels[tuple(inside)]
        return True

    def _opened(self, unit: Shape, kept: bool) -> AbstractContextManager[_File | None]:
        """The file of a unit; None where there is none."""
        path = f"{self.folder}/{self.key_of(unit)}"
        try:
            return _File(path, os.open(path, _FLAGS), kept)
        except FileNotFoundError:
            return nullcontext()


def _cells(region: Region, shape: Shape) -> list[range]:
    """Along each axis, the cells of a grid that a box meets."""
    return [range(a // c, -(-b // c)) for a, b, c in zip(region.start, region.stop, shape, strict=True)]


def _each(read: Callable[..., bool], cells: Iterable[Shape], parallel: int, cached: bool) -> None:
    """Read each chunk: first those that take no decoding, where any may be kept; then the others, by threads."""
    if cached:
        cells = [cell for cell in cells if not read(cell, False)]
        parallel = min(parallel, len(cells))
    if parallel <= 1:
        for cell in cells:
            read(cell)
        return
    with ThreadPoolExecutor(parallel) as pool:
        for _ in pool.map(read, cells):
            pass


def _description(chunk: ChunkEncoder) -> str:
    """What a chunk's pixels follow from, besides its bytes."""
    codecs = [codec.get_config() if hasattr(codec, "get_config") else type(codec).__name__ for codec in chunk.codecs]
    return repr((chunk.shape, chunk.dtype.str, codecs))


def folder_of(array: Any) -> str:
    """Where a zarr array in a local store lies."""
    return str(Path(array.store_path.store.root) / array.store_path.path)
