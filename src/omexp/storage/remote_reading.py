"""Boxes of an array behind a network. Knows: which chunks a box meets, ranges of shards, requests at the same time. Does not know: how a
chunk is coded, how a request is made.

Of a shard that is cut, the index and then the inner chunks that are wanted are fetched, neighbours by one request. All requests of a box
are under way at once, up to a limit; what has come is decoded by threads meanwhile.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import FsspecStore, ObjectStore

from omexp.errors import StoredDataError
from omexp.geometry import Region, Shape, blocks
from omexp.storage.encoding import ChunkEncoder, Encoder, ShardEncoder
from omexp.storage.host_decoding import decode_chunk, read_index
from omexp.storage.remote import RemoteStore, as_remote

__all__ = ["RemotePixels", "each", "merged", "remote_pixels"]

GAP_BYTES = 256 << 10  # fetched for nothing rather than asked for apart: as long as a request takes at 10 ms and 25 MB/s
MOST_BYTES = 16 << 20  # in one request of neighbours: beyond, several connections are faster than one
WHOLE_BYTES = 32 << 20  # of pixels: a shard up to this size that is wanted whole is one request, without its index first
REQUESTS = 32  # under way for one box
IN_FLIGHT_BYTES = 128 << 20  # of pixels, for one box; at least four requests

_END = 2**62  # of a shard whose length is not known


@dataclass(frozen=True)
class Part:
    """An inner chunk of a shard: where its bytes lie, and what it gives."""

    at: int
    size: int
    box: Region


class RemotePixels:
    """The pixels of one array: `store` holds its units under the keys that `key_of` gives, below `folder`."""

    reason = "the wanted ranges are fetched at the same time, chunks decoded by threads"

    def __init__(self, store: RemoteStore, folder: str, key_of: Callable[[Shape], str], coding: Encoder, shape: Shape, fill: Any) -> None:
        self.store, self.folder, self.key_of, self.coding, self.shape = store, folder, key_of, coding, shape
        self.chunk: ChunkEncoder = coding.inner if isinstance(coding, ShardEncoder) else coding
        self.fill = 0 if fill is None else fill

    def read(self, region: Region, out: np.ndarray, workers: int, *, cached: bool = False) -> None:
        """Fill `out` (of the region's shape, in native byte order) with the pixels of a region; so many threads decode.

        `cached` is for local disks: nothing says whether a remote chunk has been replaced meanwhile, so none is kept.

        Raises
        ------
        StoredDataError
            A chunk is damaged.
        RemoteError
            The store cannot be reached, refuses or fails.
        """
        with ThreadPoolExecutor(max(workers, 1)) as threads:
            sync(_Reading(self, region, out, threads).all())


class _Reading:
    """One box on its way."""

    def __init__(self, pixels: RemotePixels, region: Region, out: np.ndarray, threads: ThreadPoolExecutor) -> None:
        self.pixels, self.region, self.out, self.threads = pixels, region, out, threads
        unit_bytes = min(math.prod(pixels.coding.shape) * pixels.chunk.dtype.itemsize, MOST_BYTES)
        self.gate = asyncio.Semaphore(max(4, min(REQUESTS, IN_FLIGHT_BYTES // max(unit_bytes, 1))))

    async def all(self) -> None:
        coding = self.pixels.coding
        if isinstance(coding, ShardEncoder):
            await _together(self._shard(coding, unit) for unit in blocks(self.region, coding.shape))
        else:
            await _together(self._chunk(box) for box in blocks(self.region, coding.shape))

    async def _chunk(self, box: Region) -> None:
        key = self._key(box, self.pixels.chunk.shape)
        async with self.gate:
            data = await self._fetched(key)
            if data is None:
                self._place(box)[...] = self.pixels.fill
            else:
                await self._in_thread(self._decode, data, [Part(0, len(data), box)], 0)

    async def _shard(self, coding: ShardEncoder, unit: Region) -> None:
        key, boxes = self._key(unit, coding.shape), self._cells(coding, unit)
        if self._is_whole(coding, unit):
            async with self.gate:
                data = await self._fetched(key)
                if data is not None:
                    stored = read_index(coding, len(data), lambda at, n: bytes(data[at : at + n]))
                    await self._in_thread(self._decode, data, self._parts(stored, boxes), 0)
                    return
        else:
            index = await self._index(coding, key)
            if index is not None:
                await _together(self._run(key, run) for run in merged(self._parts(index, boxes)))
                return
        self._place(unit)[...] = self.pixels.fill

    async def _index(self, coding: ShardEncoder, key: str) -> dict[Shape, tuple[int, int]] | None:
        size = 16 * math.prod(coding.counts) + 4
        async with self.gate:
            data = await self._fetched(key, RangeByteRequest(0, size) if coding.index_first else SuffixByteRequest(size))
        return None if data is None else read_index(coding, _END, lambda at, n: bytes(data))

    async def _run(self, key: str, run: Sequence[Part]) -> None:
        """Fetch and decode neighbours of a shard."""
        start, stop = run[0].at, max(part.at + part.size for part in run)
        async with self.gate:
            data = await self._fetched(key, RangeByteRequest(start, stop))
            if data is None or len(data) != stop - start:
                raise StoredDataError("the shard is cut off, or was replaced meanwhile", where=key, got=f"{len(data or b'')} bytes")
            await self._in_thread(self._decode, data, run, start)

    def _parts(self, index: dict[Shape, tuple[int, int]], boxes: dict[Shape, Region]) -> list[Part]:
        """The parts of a shard that are wanted; what is not stored is filled at once."""
        for cell, box in boxes.items():
            if cell not in index:
                self._place(box)[...] = self.pixels.fill
        return [Part(*index[cell], box) for cell, box in boxes.items() if cell in index]

    def _decode(self, data: memoryview, parts: Sequence[Part], start: int) -> None:
        """Chunks' pixels, as far as they lie in their boxes, into their places."""
        chunk = self.pixels.chunk
        for part in parts:
            place = self._place(part.box)
            direct = place if place.shape == chunk.shape and place.flags.c_contiguous and place.dtype == chunk.dtype else None
            pixels = decode_chunk(chunk, data[part.at - start : part.at - start + part.size], direct)
            if pixels is not direct:
                origin = tuple(a // c * c for a, c in zip(part.box.start, chunk.shape, strict=True))
                place[...] = pixels[part.box.shift([-o for o in origin]).slices]

    def _cells(self, coding: ShardEncoder, unit: Region) -> dict[Shape, Region]:
        """The inner chunks of a shard that are wanted, by their cells: the boxes that they give."""
        grid = coding.inner.shape
        begin = tuple(a // s * n for a, s, n in zip(unit.start, coding.shape, coding.counts, strict=True))
        return {tuple(a // c - b for a, c, b in zip(box.start, grid, begin, strict=True)): box for box in blocks(unit, grid)}

    def _is_whole(self, coding: ShardEncoder, unit: Region) -> bool:
        """Whether all of a small shard is wanted, as far as it lies in the array."""
        if math.prod(coding.shape) * coding.inner.dtype.itemsize > WHOLE_BYTES:
            return False
        starts = tuple(a // s * s for a, s in zip(unit.start, coding.shape, strict=True))
        stops = tuple(min(a + s, n) for a, s, n in zip(starts, coding.shape, self.pixels.shape, strict=True))
        return unit == Region(starts, stops)

    def _place(self, box: Region) -> np.ndarray:
        return self.out[box.relative_to(self.region).slices]

    def _key(self, box: Region, unit: Shape) -> str:
        key = self.pixels.key_of(tuple(a // n for a, n in zip(box.start, unit, strict=True)))
        return f"{self.pixels.folder}/{key}".lstrip("/")

    async def _fetched(self, key: str, wanted: RangeByteRequest | SuffixByteRequest | None = None) -> memoryview | None:
        found = await self.pixels.store.get(key, cpu.buffer_prototype, wanted)
        return None if found is None else found.as_numpy_array().view(np.uint8).data

    async def _in_thread(self, work: Callable[..., None], *args: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self.threads, work, *args)


def merged(parts: Iterable[Part]) -> list[list[Part]]:
    """Parts in groups to be fetched by one request each: neighbours, at most `GAP_BYTES` apart, `MOST_BYTES` together."""
    groups: list[list[Part]] = []
    stop = 0
    for part in sorted(parts, key=lambda part: part.at):
        near = groups and part.at - stop <= GAP_BYTES and part.at + part.size - groups[-1][0].at <= MOST_BYTES
        if near:
            groups[-1].append(part)
        else:
            groups.append([part])
        stop = max(stop, part.at + part.size) if near else part.at + part.size
    return groups


def each(work: Callable[[Region], None], boxes: Sequence[Region], *, remote: bool) -> None:
    """Do a piece of work for each box; behind a network, which answers late, for `REQUESTS` of them at the same time."""
    if not remote or len(boxes) < 2:
        for box in boxes:
            work(box)
        return
    with ThreadPoolExecutor(min(len(boxes), REQUESTS)) as threads:
        for done in [threads.submit(work, box) for box in boxes]:
            done.result()


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at the same time; the first error ends them all."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def remote_pixels(array: Any, coding: Encoder) -> RemotePixels | None:
    """A zarr array's pixels behind a network; None where it lies elsewhere."""
    store = array.store_path.store
    if not isinstance(store, (RemoteStore, FsspecStore, ObjectStore)):
        return None
    remote = as_remote(store)
    assert isinstance(remote, RemoteStore)
    metadata = array.metadata
    return RemotePixels(remote, array.store_path.path, metadata.encode_chunk_key, coding, tuple(array.shape), metadata.fill_value)
