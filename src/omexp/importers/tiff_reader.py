"""Boxes of a TIFF series, tile by tile. Knows: pages, tiles, strips, which of them a box meets. Does not know: axes, metadata.

Only the tiles or strips that a box meets are read and decoded, each by the thread that asks for it; pages that lie uncompressed in the
file are mapped. Tiles that a box cuts are kept for the next box, at most `KEEP_BYTES` of them.
"""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from omexp.backend import numpy_backend
from omexp.errors import DeviceUnavailableError, StoredDataError
from omexp.geometry import Region, Shape, blocks, snap_out
from omexp.importers.imported import InMemory
from omexp.importers.mapped import MappedReader, read_mapped
from omexp.storage.kept import Kept
from omexp.storage.reading import Reader

__all__ = ["KEEP_BYTES", "TiffReader", "series_reader"]

KEEP_BYTES = 64 << 20  # a row of 512 x 512 uint16 tiles over a slide of 60,000 pixels


def series_reader(series: Any, where: str) -> Reader:
    """The reader of a `tifffile.TiffPageSeries` over its own axes (``series.axes``).

    Raises
    ------
    DeviceUnavailableError
        The compression needs a package that is not installed; the message names it.
    StoredDataError
        A compression or sample format that cannot be decoded.
    """
    page, shape = series.keyframe, tuple(series.shape)
    tail = shape[len(shape) - len(page.shape) :]
    pages = math.prod(shape[: len(shape) - len(page.shape)])
    _require_decoder(page, where)
    if series.transform is None and tail == tuple(page.shape) and pages == len(series) and set(page.axes) <= set("SZYX"):
        return TiffReader(series, where)
    offset = series.dataoffset
    if series.transform is None and offset is not None:  # hyperstacks of ImageJ list their first page only
        return MappedReader(page.parent.filehandle.path, offset, shape, _stored_dtype(page))
    return InMemory(series.asarray())


def _stored_dtype(page: Any) -> np.dtype[Any]:
    return np.dtype(page.parent.byteorder + page.dtype.char)


def _require_decoder(page: Any, where: str) -> None:
    try:
        page.decode(None, 0)
    except (ValueError, NotImplementedError) as error:
        if "imagecodecs" in str(error):
            compression = getattr(page.compression, "name", page.compression)
            raise DeviceUnavailableError(
                f"the TIFF's compression {compression} needs the package imagecodecs", where=where, hint="pip install imagecodecs"
            ) from None
        raise StoredDataError(f"the TIFF cannot be decoded ({error})", where=where) from None


@dataclass(frozen=True, slots=True)
class _Page:
    """One page's bytes: a file, and where its segments lie in it. `mapped` is the offset of pixels that lie there as they are."""

    path: str
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    mapped: int | None
    decode_options: dict[str, Any]


class TiffReader:
    """Boxes of the pages of a series: leading axes count pages, the others lie in one page."""

    name, backend = "tiff", numpy_backend

    def __init__(self, series: Any, where: str) -> None:
        self.series, self.where = series, where
        page = self.keyframe = series.keyframe
        self.shape = tuple(series.shape)
        self.leading = self.shape[: len(self.shape) - len(page.shape)]
        self.dtype, self.stored = np.dtype(page.dtype).newbyteorder("="), _stored_dtype(page)
        self.page_shape: Shape = tuple(page.shaped)  # (plane of samples, depth, length, width, samples side by side)
        # where each axis of a page lies among those five
        self.places = tuple({"Z": 1, "Y": 2, "X": 3}.get(a, 0 if i < page.axes.index("Y") else 4) for i, a in enumerate(page.axes))
        tile = (page.tiledepth, page.tilelength, page.tilewidth) if page.is_tiled else (1, page.rowsperstrip, page.imagewidth)
        self.segment: Shape = (1, *(max(1, min(t, n)) for t, n in zip(tile, self.page_shape[1:4], strict=True)), self.page_shape[4])
        self.tile = tile
        self.grid = tuple(-(-n // s) for n, s in zip(self.page_shape, self.segment, strict=True))
        what = "tiles" if page.is_tiled else "strips"
        self.reason = f"{what} of {' x '.join(map(str, tile[-2:]))} pixels, {getattr(page.compression, 'name', page.compression).lower()}"
        self._lock = threading.Lock()  # tifffile reads directories of pages from one open file
        self._pages: dict[int, _Page | None] = {}
        self._kept = Kept(KEEP_BYTES)

    def read(self, region: Region) -> np.ndarray:
        """The pixels of a box, in native byte order. Safe from any number of threads."""
        out = np.empty(region.shape, self.dtype)
        lead = len(self.leading)
        start, stop = [0] * 5, list(self.page_shape)
        for place, a, b in zip(self.places, region.start[lead:], region.stop[lead:], strict=True):
            start[place], stop[place] = a, b
        box = Region(tuple(start), tuple(stop))
        for index in itertools.product(*map(range, region.start[:lead], region.stop[:lead])):
            at = tuple(i - a for i, a in zip(index, region.start[:lead], strict=True))
            number = int(np.ravel_multi_index(index, self.leading)) if lead else 0
            self._read_page(number, box, out[at].reshape(box.shape))
        return out

    def _read_page(self, number: int, box: Region, out: np.ndarray) -> None:
        page = self._page(number)
        if page is None:
            out[...] = self.keyframe.nodata
        elif page.mapped is not None:
            read_mapped(page.path, page.mapped, self.page_shape, self.stored, box, out)
        else:
            self._read_segments(number, page, box, out)

    def _read_segments(self, number: int, page: _Page, box: Region, out: np.ndarray) -> None:
        for cell in blocks(snap_out(box, self.segment, self.page_shape), self.segment):
            met = cell.intersect(box)
            if not met.size:
                continue
            place = tuple(a // s for a, s in zip(cell.start, self.segment, strict=True))
            index = int(np.ravel_multi_index(place, self.grid))
            if met == cell:  # nobody else will ask for it
                pixels = self._decode(page, index)
            else:
                pixels = self._kept.get((number, index), lambda index=index: self._decode(page, index))  # type: ignore[misc]
            target = out[met.relative_to(box).slices]
            if pixels is None:
                target[...] = self.keyframe.nodata
            else:
                target[...] = pixels[met.relative_to(cell).slices[1:]]

    def _decode(self, page: _Page, index: int) -> np.ndarray | None:
        """The pixels of a tile or strip, (depth, length, width, samples); None where nothing is stored."""
        offset, count = (page.offsets[index], page.counts[index]) if index < len(page.offsets) else (0, 0)
        if not offset or not count:
            return None
        with open(page.path, "rb", buffering=0) as file:
            file.seek(offset)
            encoded = file.read(count)
        try:
            if len(encoded) < count:
                raise ValueError("the file ends before it")
            pixels: np.ndarray = self.keyframe.decode(encoded, index, **page.decode_options)[0]
        except Exception as error:  # zlib, tifffile and imagecodecs raise classes of their own
            raise StoredDataError(
                f"a tile or strip cannot be decoded ({type(error).__name__}: {error})",
                where=page.path,
                got=f"number {index} at byte {offset}",
                hint="The file may be cut or damaged.",
            ) from error
        return pixels

    def _page(self, number: int) -> _Page | None:
        with self._lock:
            if number not in self._pages:
                self._pages[number] = _page_of(self.series[number], self.keyframe)
            return self._pages[number]


def _page_of(page: Any, keyframe: Any) -> _Page | None:
    """What is needed to read a page from any thread; None for a plane whose file is missing."""
    if page is None:
        return None
    offsets, counts = tuple(page.dataoffsets), tuple(page.databytecounts)
    options = {}
    if keyframe.compression in (6, 7, 34892, 33007):  # JPEG: tables lie in the page
        options = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
    mapped = None
    if keyframe.is_final and _in_one_piece(offsets, counts, keyframe.nbytes):
        mapped = offsets[0]
    return _Page(page.parent.filehandle.path, offsets, counts, mapped, options)


def _in_one_piece(offsets: tuple[int, ...], counts: tuple[int, ...], nbytes: int) -> bool:
    """Whether the segments lie one after the other and hold all pixels (of a page that starts at a place of its own)."""
    if not offsets or not offsets[0] or sum(counts) < nbytes:
        return False
    return all(a + n == b for a, n, b in zip(offsets, counts, offsets[1:], strict=False))
