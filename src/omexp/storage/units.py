"""Write units and where they lie. Knows: chunk keys, files that appear whole, one writer of a unit at a time. Does not know: codecs,
pixels."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import LocalStore

from omexp.geometry import Shape
from omexp.storage.chunk_cache import chunk_cache
from omexp.storage.local_reading import folder_of
from omexp.storage.locks import exclusive_unit, exclusive_unit_here

__all__ = ["UnitPlace", "is_plain_folder", "remove_cut_off", "unit_place"]

_CUT_OFF = re.compile(r"\.[0-9a-f]{32}\.partial$")  # zarr's own pattern for files that are not whole yet


class UnitPlace:
    """Where an array's write units go in a store of any kind: a unit is replaced as a whole or not at all, as far as the store can."""

    def __init__(self, array: Any) -> None:
        self.store_path, self.metadata = array.store_path, array.metadata

    def get(self, index: Shape) -> bytes | None:
        """A unit's bytes; None where none are stored."""
        found = sync((self.store_path / self.metadata.encode_chunk_key(index)).get(cpu.buffer_prototype))
        return None if found is None else found.to_bytes()

    def put(self, index: Shape, data: bytes | memoryview, *, fast: bool = False) -> None:
        """Store a unit's bytes. `fast` promises that nothing reads the array yet."""
        sync((self.store_path / self.metadata.encode_chunk_key(index)).set(cpu.Buffer.from_bytes(bytes(data))))

    def drop(self, index: Shape) -> None:
        """Remove a unit; it then reads as the fill value. Nothing happens if it is not there."""
        sync((self.store_path / self.metadata.encode_chunk_key(index)).delete())

    def alone(self, index: Shape) -> AbstractContextManager[None]:
        """One writer of a unit at a time: of this process, for nobody could lock a store of any kind for all. Hold one at a time."""
        return exclusive_unit_here(self.store_path, index)

    def stamp(self, index: Shape) -> Any:
        """What differs once a unit has been replaced; None where nothing tells."""
        return None


class _Files(UnitPlace):
    """On a local disk: written beside and renamed, by the calling thread, past zarr's event loop."""

    def __init__(self, array: Any) -> None:
        super().__init__(array)
        self.folder = folder_of(array)

    def get(self, index: Shape) -> bytes | None:
        try:
            return Path(f"{self.folder}/{self.metadata.encode_chunk_key(index)}").read_bytes()
        except FileNotFoundError:
            return None

    def put(self, index: Shape, data: bytes | memoryview, *, fast: bool = False) -> None:
        target = f"{self.folder}/{self.metadata.encode_chunk_key(index)}"
        chunk_cache.drop(target)  # readers would see that it is another file; this only frees the memory
        if fast:
            _write(target, data)
            return
        beside = f"{target}.{uuid.uuid4().hex}.partial"
        try:
            _write(beside, data)
            os.replace(beside, target)
        except BaseException:
            if os.path.exists(beside):
                os.unlink(beside)
            raise

    def drop(self, index: Shape) -> None:
        target = f"{self.folder}/{self.metadata.encode_chunk_key(index)}"
        chunk_cache.drop(target)
        try:
            os.unlink(target)
        except FileNotFoundError:
            return

    def alone(self, index: Shape) -> AbstractContextManager[None]:
        return exclusive_unit(self.folder, index)

    def stamp(self, index: Shape) -> Any:
        try:
            stat = os.stat(f"{self.folder}/{self.metadata.encode_chunk_key(index)}")
        except FileNotFoundError:
            return ()
        return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _write(path: str, data: bytes | memoryview) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:  # the first unit in its folder
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    try:
        left = memoryview(data)
        while left:  # one call takes at most 2 GiB
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def unit_place(array: Any) -> UnitPlace:
    """The place of a zarr array's units."""
    return _Files(array) if is_plain_folder(array) else UnitPlace(array)


def is_plain_folder(array: Any) -> bool:
    """Whether an array lies on a local disk, in a store that does nothing but keep files."""
    return type(array.store_path.store) is LocalStore


def remove_cut_off(folder: Path, *, below: bool = True) -> None:
    """Remove what a process that was killed in the middle of a file has left beside that file; also in all folders below, or not."""
    for path in folder.rglob("*.partial") if below else folder.glob("*.partial"):
        if _CUT_OFF.search(path.name):
            path.unlink(missing_ok=True)
