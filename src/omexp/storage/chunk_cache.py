"""Decoded chunks that are kept for the next read. Knows: how many bytes, which were used last, whether a file is still the same. Does not
know: how chunks are read or coded.

A chunk is kept under its file and its place in it, with the file's stamp: device, inode, size and times of the open file that it was read
from. It serves only while that file has the same stamp, so that writes by anybody, swapped groups and deleted ones are seen. A file system
counts time in ticks of up to 10 ms; a file that was changed within the last 20 ms could be changed again without showing it, so
what is read from such a file is not kept (as git's index does it).
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from omexp.errors import ArgumentError

__all__ = ["CacheInfo", "ChunkCache", "Stamp", "chunk_cache", "stamp_of"]

Stamp = tuple[int, ...]

DEFAULT_BYTES = 512 << 20  # ten planes of 2160 x 2560 pixels in uint16 with their uint32 label are 332 MB
_SETTLED_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a `ChunkCache` holds: chunks, their decoded bytes, the bytes allowed; and how often it has served, or had nothing."""

    chunks: int
    bytes: int
    limit: int
    hits: int
    misses: int


@dataclass(slots=True)
class _Entry:
    stamp: Stamp
    value: Any
    nbytes: int
    used: int  # how many chunks had been asked for by then


class ChunkCache:
    """Decoded chunks of arrays on local disks, for reads that need only part of a chunk. One for the whole process: `omexp.chunk_cache`.

    The chunks that were used longest ago go first; but a new one does not push out one that was used a short while ago, so that of work
    which goes round and round over somewhat more than the limit, as much as fits is kept. Threads may use it at the same time.

    Examples
    --------
    >>> import omexp
    >>> omexp.chunk_cache.limit = 1 << 30  # bytes; 0 keeps nothing
    >>> omexp.chunk_cache.clear()
    >>> omexp.chunk_cache.info().chunks
    0
    >>> omexp.chunk_cache.limit = 512 << 20  # the default
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, Any], _Entry] = OrderedDict()
        self._of_file: dict[str, set[tuple[str, Any]]] = {}
        self._limit, self._bytes, self._hits, self._misses = limit, 0, 0, 0

    @property
    def limit(self) -> int:
        """Bytes of decoded chunks that are kept at most. May be set; 0 keeps nothing. Raises `ArgumentError`."""
        return self._limit

    @limit.setter
    def limit(self, nbytes: int) -> None:
        if not isinstance(nbytes, Integral) or nbytes < 0:
            raise ArgumentError("the limit is a number of bytes", where="chunk_cache.limit", got=repr(nbytes), allowed="an int, 0 or more")
        with self._lock:
            self._limit = int(nbytes)
            while self._bytes > self._limit:
                self._forget(next(iter(self._kept)))

    def clear(self) -> None:
        """Let go of every chunk, and count anew."""
        with self._lock:
            self._kept.clear()
            self._of_file.clear()
            self._bytes = self._hits = self._misses = 0

    def info(self) -> CacheInfo:
        """How much is kept, and how often it has served."""
        with self._lock:
            return CacheInfo(len(self._kept), self._bytes, self._limit, self._hits, self._misses)

    def __repr__(self) -> str:
        found = self.info()
        held = f"{found.chunks} chunks, {found.bytes >> 20} of {found.limit >> 20} MiB"
        return f"ChunkCache({held}, {found.hits} hits, {found.misses} misses)"

    # ----------------------------------------------------------------------------------------- for readers and writers
    def find(self, file: str, place: Any, stamp: Stamp) -> Any:
        """What was read from that place of a file with that stamp; None where it is not kept. Nobody may change it."""
        key = (file, place)
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found.stamp == stamp:
                self._kept.move_to_end(key)
                self._hits += 1
                found.used = self._hits + self._misses
                return found.value
            self._misses += 1
            if found is not None:
                self._forget(key)
            return None

    def keep(self, file: str, place: Any, stamp: Stamp, found: Any, nbytes: int) -> None:
        """Keep what was read from that place of the open file that has that stamp, where there is room for it."""
        key = (file, place)
        with self._lock:
            if key in self._kept:
                self._forget(key)
            if not self._made_room(nbytes):
                return
            self._kept[key] = _Entry(stamp, found, nbytes, self._hits + self._misses)
            self._of_file.setdefault(file, set()).add(key)
            self._bytes += nbytes

    def drop(self, file: str) -> None:
        """Let go of what was read from a file: it has been written."""
        if file in self._of_file:
            with self._lock:
                for key in list(self._of_file.get(file, ())):
                    self._forget(key)

    def _made_room(self, nbytes: int) -> bool:
        """Let go of what was used longest ago, unless that is no longer ago than it takes to go twice through all that is kept."""
        lately = self._hits + self._misses - 2 * len(self._kept)
        while self._bytes + nbytes > self._limit:
            oldest = next(iter(self._kept), None)
            if oldest is None or self._kept[oldest].used >= lately:
                return False
            self._forget(oldest)
        return True

    def _forget(self, key: tuple[str, Any]) -> None:
        self._bytes -= self._kept.pop(key).nbytes
        keys = self._of_file[key[0]]
        keys.discard(key)
        if not keys:
            del self._of_file[key[0]]

    def _start_anew(self) -> None:
        """In a forked child: a thread that is not there may have held the lock."""
        self.__init__(self._limit)  # type: ignore[misc]


def stamp_of(descriptor: int) -> tuple[Stamp, bool, int]:
    """An open file's stamp; whether it was last changed so long ago that any later change will show in its stamp; its size in bytes.

    To be asked before the file is read.
    """
    now = time.time_ns()
    stat = os.fstat(descriptor)
    changed, status = stat.st_mtime_ns, stat.st_ctime_ns
    stamp = (stat.st_dev, stat.st_ino, stat.st_size, changed, status)
    return stamp, now - max(changed, status) >= _SETTLED_NS, stat.st_size


chunk_cache = ChunkCache()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=chunk_cache._start_anew)
