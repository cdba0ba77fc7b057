"""Zarr groups in one zip file (.ozx, RFC-9). Knows: entries, their order, the comment, where bytes lie in the file. Does not know: groups.

An archive is written once, as a whole, and read in place: entries that are not compressed, which is all that this package writes, by ranges
of the file, from any number of threads. Nothing is ever unpacked to a path that an archive names.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from omexp.errors import ReadOnlyError, StoredDataError
from omexp.storage.disks import permitted
from omexp.storage.journal import JOURNAL

__all__ = ["WRITTEN", "ArchiveStore", "is_archive", "root_of", "write_archive"]

WRITTEN = ".ozx"
_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_SMALL = 1 << 16  # bytes that are read at once by the thread that asks
_COMPRESSED_AT_MOST = 1 << 30  # of an entry that is compressed: none of a sensible size comes near
_DOCUMENT_AT_MOST = 1 << 26
_KEPT_AT_MOST = 1 << 26  # bytes of decompressed entries
_STAMP = (1980, 1, 1, 0, 0, 0)  # equal content gives equal files


class ArchiveStore(Store):
    """A zip file as a read-only zarr store.

    The group is at the root of the archive, or in its only folder, as archivers leave it.

    Raises
    ------
    StoredDataError
        The file is no zip file, or its directory is damaged.
    """

    supports_partial_writes = False  # zarr < 3.2 asks
    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, path: str | Path) -> None:
        super().__init__(read_only=True)
        self.path = str(path)
        self._guard = threading.Lock()
        self._inflated: dict[str, bytes] = {}
        self._file = -1
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = {entry.filename: entry for entry in archive.infolist() if _is_key(entry.filename)}
                self.comment = archive.comment
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, struct.error) as error:
            raise StoredDataError(f"the zip file cannot be read ({error})", where=self.path, hint="Copy it again.") from None
        root = root_of(entries)
        self._entries = {name.removeprefix(root): entry for name, entry in entries.items() if name.startswith(root)}
        self._folders = _folders(self._entries)
        self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            os.close(self._file)

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"ArchiveStore({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArchiveStore) and other.path == self.path

    __hash__ = None  # type: ignore[assignment]  # as zarr's stores

    def __reduce__(self) -> tuple[type[ArchiveStore], tuple[str]]:
        return ArchiveStore, (self.path,)

    def with_read_only(self, read_only: bool = False) -> Store:
        return self if read_only else super().with_read_only(False)  # which refuses

    # ------------------------------------------------------------------------------------------------------ reading
    async def get(self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None) -> Buffer | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        start, stop = _interval(byte_range, entry.file_size)
        small = stop - start <= _SMALL and entry.compress_type == zipfile.ZIP_STORED
        data = self._read(entry, start, stop) if small else await asyncio.to_thread(self._read, entry, start, stop)
        if prototype is None:  # zarr >= 3.2
            from zarr.core.buffer import default_buffer_prototype

            prototype = default_buffer_prototype()
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return list(await asyncio.gather(*[self.get(key, prototype, interval) for key, interval in key_ranges]))

    async def exists(self, key: str) -> bool:
        return key in self._entries

    async def list(self) -> AsyncIterator[str]:
        for key in self._entries:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self._entries:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for name in self._folders.get(prefix.strip("/"), ()):
            yield name

    async def set(self, key: str, value: Buffer) -> None:
        raise ReadOnlyError("an archive is written once, as a whole", where=self.path, hint="Write a new one, or a folder.")

    async def delete(self, key: str) -> None:
        raise ReadOnlyError("an archive is written once, as a whole", where=self.path, hint="Write a new one, or a folder.")

    def _read(self, entry: zipfile.ZipInfo, start: int, stop: int) -> bytes:
        most = _DOCUMENT_AT_MOST if entry.filename.endswith(_DOCUMENTS) else _COMPRESSED_AT_MOST
        if entry.flag_bits & 1 or (entry.compress_type != zipfile.ZIP_STORED and entry.file_size > most):
            why = "encrypted" if entry.flag_bits & 1 else f"compressed, and says that it holds {entry.file_size} bytes"
            raise StoredDataError(
                f"an entry of the zip file is {why}", where=f"{self.path}/{entry.filename}", hint="Unpack the file first."
            )
        if entry.compress_type != zipfile.ZIP_STORED:
            return self._decompressed(entry)[start:stop]
        head = os.pread(self._file, 30, entry.header_offset)
        if len(head) < 30 or head[:4] != b"PK\3\4":
            raise self._damaged(entry, "its header is not where the directory says")
        at = entry.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
        data = _pread(self._file, stop - start, at + start)
        if len(data) < stop - start:
            raise self._damaged(entry, "the file ends before it")
        if stop - start == entry.file_size and zlib.crc32(data) != entry.CRC:
            raise self._damaged(entry, "its checksum is another one")
        return data

    def _decompressed(self, entry: zipfile.ZipInfo) -> bytes:
        """An entry whole; the last ones are kept, because readers ask for many ranges of one shard."""
        try:
            with self._guard:
                data = self._inflated.pop(entry.filename, None)
                if data is None:
                    with zipfile.ZipFile(self.path) as archive:
                        data = archive.read(entry)
                if len(data) <= _KEPT_AT_MOST:
                    self._inflated[entry.filename] = data  # the last one asked for is the last one dropped
                while sum(map(len, self._inflated.values())) > _KEPT_AT_MOST:
                    del self._inflated[next(iter(self._inflated))]
                return data
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise self._damaged(entry, str(error)) from error

    def _damaged(self, entry: zipfile.ZipInfo, why: str) -> StoredDataError:
        return StoredDataError(f"an entry of the zip file is damaged: {why}", where=f"{self.path}/{entry.filename}", hint="Copy it again.")


def is_archive(path: str | Path) -> bool:
    """Whether a path leads to a file that begins as zip files do."""
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6")
    except OSError:
        return False


def write_archive(folder: Path, target: Path) -> None:
    """Put a Zarr format 3 group in a folder into one zip file, which appears whole.

    Nothing is compressed again; zarr.json files come first, outermost first, then the rest by name; the comment says the version.

    Raises
    ------
    ReadOnlyError, StorageFullError
        The file cannot be written.
    """
    attributes = json.loads((folder / "zarr.json").read_bytes()).get("attributes", {})
    version = attributes.get("ome", {}).get("version", "0.5")
    names = [str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file() and not path.name.startswith(JOURNAL)]
    beside = target.with_name(f".{target.name}.zip.partial")
    try:
        with permitted(str(target)):
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                archive.comment = json.dumps({"ome": {"version": version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}}).encode()
                for name in sorted(names, key=_order):
                    _add(archive, folder / name, name)
            os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.external_attr = 0o644 << 16
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as place:
        while part := source.read(1 << 22):
            place.write(part)


def _is_key(name: str) -> bool:
    """Whether an entry is a file whose name stays inside the archive."""
    return not any(part in ("", ".", "..") for part in name.split("/")) and "\\" not in name


def _order(name: str) -> tuple[bool, int, str]:
    is_document = name.rpartition("/")[2] == "zarr.json"
    return not is_document, name.count("/") if is_document else 0, name


def root_of(names: Iterable[str]) -> str:
    """ "" , or the only folder of an archive whose root holds no Zarr document."""
    names = list(names)
    tops = {name.partition("/")[0] for name in names}
    if any(document in tops for document in _DOCUMENTS) or len(tops) != 1:
        return ""
    top = f"{tops.pop()}/"
    return top if any(f"{top}{document}" in names for document in _DOCUMENTS) else ""


def _folders(names: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> what lies in it, each once, in the order of the archive."""
    found: dict[str, dict[str, None]] = {}
    for name in names:
        parts = name.split("/")
        for depth, part in enumerate(parts):
            found.setdefault("/".join(parts[:depth]), {})[part] = None
    return {folder: list(inside) for folder, inside in found.items()}


def _interval(wanted: ByteRequest | None, size: int) -> tuple[int, int]:
    if isinstance(wanted, RangeByteRequest):
        return min(wanted.start, size), min(wanted.end, size)
    if isinstance(wanted, OffsetByteRequest):
        return min(wanted.offset, size), size
    if isinstance(wanted, SuffixByteRequest):
        return max(0, size - wanted.suffix), size
    return 0, size


def _pread(file: int, size: int, at: int) -> bytes:
    """So many bytes, or what there is: one call reads at most 2 GiB."""
    data = os.pread(file, size, at)
    while 0 < len(data) < size:
        more = os.pread(file, size - len(data), at + len(data))
        if not more:
            break
        data += more
    return data
