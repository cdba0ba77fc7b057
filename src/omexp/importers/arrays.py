"""Arrays to convert: .npy, .npz, a Zarr array, an array in memory. Knows: headers. Does not know: images."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from omexp.errors import ArgumentError, StoredDataError
from omexp.geometry import Region
from omexp.importers.imported import Imported, InMemory, arranged
from omexp.importers.mapped import MappedReader
from omexp.metadata.axes import CANONICAL
from omexp.storage.arrays import StoredArray
from omexp.storage.reading import Reader
from omexp.storage.sources import source_of
from omexp.storage.standalone import dimension_names

__all__ = ["from_memory", "from_npy", "from_npz", "from_zarr_array"]


def from_npy(path: Path, axes: str | None) -> list[Imported]:
    """A .npy file, box by box; nothing is loaded whole."""
    try:
        header = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:  # pickled objects, a cut file
        raise StoredDataError(f"the array cannot be read ({error})", where=path, allowed="numbers, saved by numpy.save") from None
    fortran = header.flags.f_contiguous and not header.flags.c_contiguous
    shape = header.shape[::-1] if fortran else header.shape
    reader: Reader = MappedReader(str(path), int(header.offset), shape, header.dtype)
    letters = _letters(header.shape, axes, str(path))
    reader, found = arranged(reader, letters[::-1] if fortran else letters, str(path))
    return [Imported(reader, found, path.stem)]


def from_npz(path: Path, axes: str | None) -> list[Imported]:
    """The arrays of a .npz file, each read whole when it is its turn."""
    try:
        with path.open("rb") as file, np.load(file) as archive:
            names = list(archive.files)
    except (ValueError, OSError, BadZipFile) as error:
        raise StoredDataError(f"the arrays cannot be read ({error})", where=path, allowed="numbers, saved by numpy.savez") from None
    single = len(names) == 1
    return [_of_reader(_Member(path, name), axes, f"{path}, array {name!r}", path.stem if single else name) for name in names]


def from_zarr_array(stored: StoredArray, axes: str | None, name: str) -> list[Imported]:
    """A Zarr array that is no OME-Zarr image; its own dimension names say the axes where they are letters of t, c, z, y, x."""
    names = dimension_names(stored)
    told = "".join(n.lower() for n in names) if names and all(n.lower() in {*CANONICAL, "s"} for n in names) else None
    return [_of_reader(source_of(stored.zarr), axes or told, stored.where, name)]


def from_memory(array: Any, axes: str | None) -> list[Imported]:
    """An array in memory, of any array library, or a dask array."""
    return [_of_reader(source_of(array), axes, "array", None)]


def _of_reader(reader: Reader, axes: str | None, where: str, name: str | None) -> Imported:
    reader, found = arranged(reader, _letters(reader.shape, axes, where), where)
    return Imported(reader, found, name)


def _letters(shape: tuple[int, ...], axes: str | None, where: str) -> str:
    """The axes that are told, else the last of t, c, z, y, x, as `create_ome_zarr_from_array` takes them."""
    if axes is None and not 2 <= len(shape) <= 5:
        raise ArgumentError("an image has 2 to 5 axes", where=where, got=f"shape {shape}", hint="Reshape the array.")
    return "".join(CANONICAL[-len(shape) :]) if axes is None else axes


class _Member:
    """One array of a .npz file: shape and dtype from its header, pixels decompressed once, at the first read."""

    name, reason = "memory", "members of a .npz file are compressed as a whole"

    def __init__(self, path: Path, member: str) -> None:
        with np.load(path) as archive, archive.zip.open(f"{member}.npy") as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, _, dtype = read_header(file)
        self.path, self.member, self.dtype, self.backend = path, member, dtype.newbyteorder("="), InMemory.backend
        self._pixels: InMemory | None = None

    def read(self, region: Region) -> Any:
        if self._pixels is None:  # two threads may both load it; the pixels are the same
            with np.load(self.path) as archive:
                self._pixels = InMemory(archive[self.member])
        return self._pixels.read(region)
