"""Boxes of an array on a local disk. Knows: which chunks a box meets, files, threads. Does not know: how a chunk is coded, stores.

Each chunk is read and decoded by one thread, straight into the caller's memory where it lies in one piece there: no event loop, no copy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from omexp.geometry import Region, Shape, blocks
from omexp.storage.encoding import ChunkEncoder, Encoder, ShardEncoder
from omexp.storage.host_decoding import decode_chunk, read_index

__all__ = ["LocalPixels", "folder_of"]

WORTH_BYTES = 1 << 20  # below, starting threads costs more than they save


class LocalPixels:
    """The pixels of one array: `folder` holds its units under the keys that `key_of` gives."""

    def __init__(self, folder: str, key_of: Callable[[Shape], str], coding: Encoder, shape: Shape, fill: Any) -> None:
        self.folder, self.key_of, self.coding, self.shape = folder, key_of, coding, shape
        self.chunk: ChunkEncoder = coding.inner if isinstance(coding, ShardEncoder) else coding
        self.fill = 0 if fill is None else fill

    def read(self, region: Region, out: np.ndarray, workers: int) -> None:
        """Fill `out` (of the region's shape, in native byte order) with the pixels of a region, by at most so many threads.

        Raises
        ------
        StoredDataError
            A chunk is damaged.
        """
        chunks = math.prod(-(-b // c) - a // c for a, b, c in zip(region.start, region.stop, self.chunk.shape, strict=True))
        threads = min(workers, chunks) if out.nbytes > WORTH_BYTES else 1
        with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:

            def each(work: Callable[[Region], None], boxes: Iterable[Region]) -> None:
                for _ in map(work, boxes) if pool is None else pool.map(work, boxes):
                    pass

            if not isinstance(self.coding, ShardEncoder):
                each(lambda box: self._read_unit(box, region, out), blocks(region, self.chunk.shape))
                return
            for unit in blocks(region, self.coding.shape):
                self._read_shard(self.coding, unit, region, out, each)

    def stored_chunks(self, index: Shape) -> dict[Shape, bytes]:
        """The bytes of the inner chunks of a shard, by their place in it."""
        assert isinstance(self.coding, ShardEncoder)
        with self._opened(index) as file:
            if file is None:
                return {}
            places = read_index(self.coding, os.fstat(file).st_size, lambda at, n: os.pread(file, n, at))
            return {cell: os.pread(file, n, at) for cell, (at, n) in places.items()}

    def _read_unit(self, box: Region, region: Region, out: np.ndarray) -> None:
        place = out[box.relative_to(region).slices]
        with self._opened(tuple(a // c for a, c in zip(box.start, self.chunk.shape, strict=True))) as file:
            if file is None:
                place[...] = self.fill
            else:
                self._decode(file, 0, os.fstat(file).st_size, box, place)

    def _read_shard(self, coding: ShardEncoder, unit: Region, region: Region, out: np.ndarray, each: Callable[..., None]) -> None:
        index = tuple(a // s for a, s in zip(unit.start, coding.shape, strict=True))
        begin = tuple(i * n for i, n in zip(index, coding.counts, strict=True))
        with self._opened(index) as file:  # one file for all: if it is replaced meanwhile, this stays the old one
            places = {} if file is None else read_index(coding, os.fstat(file).st_size, lambda at, n: os.pread(file, n, at))

            def read(box: Region) -> None:
                place = out[box.relative_to(region).slices]
                cell = tuple(a // c - b for a, c, b in zip(box.start, self.chunk.shape, begin, strict=True))
                if cell in places:
                    self._decode(file, *places[cell], box, place)
                else:
                    place[...] = self.fill

            each(read, blocks(unit, self.chunk.shape))

    def _decode(self, file: Any, at: int, size: int, box: Region, place: np.ndarray) -> None:
        """A chunk's pixels, as far as they lie in `box`, into their place."""
        chunk = self.chunk
        direct = place if place.shape == chunk.shape and place.flags.c_contiguous and place.dtype == chunk.dtype else None
        pixels = decode_chunk(chunk, os.pread(file, size, at), direct)
        if pixels is not direct:
            origin = tuple(a // c * c for a, c in zip(box.start, chunk.shape, strict=True))
            place[...] = pixels[box.shift([-o for o in origin]).slices]

    @contextmanager
    def _opened(self, index: Shape) -> Any:
        """The file of a unit; None where there is none."""
        try:
            file = os.open(f"{self.folder}/{self.key_of(index)}", os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            yield None
            return
        try:
            yield file
        finally:
            os.close(file)


def folder_of(array: Any) -> str:
    """Where a zarr array in a local store lies."""
    return str(Path(array.store_path.store.root) / array.store_path.path)
