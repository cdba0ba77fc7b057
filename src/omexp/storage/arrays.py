"""One stored array. Knows: chunks, shards, codecs, how to read and write a box of it. Does not know: axes, devices.

zarr's Rust codec pipeline (zarrs) is used per array where it serves, never by a process-wide setting.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cache, cached_property
from typing import Any

import numpy as np
import zarr
from zarr.buffer import cpu
from zarr.storage import FsspecStore, StorePath

from omexp.errors import ArgumentError, ReadOnlyError, RemoteError, StoredDataError
from omexp.geometry import Region, Shape, blocks, ceil_div, snap_out
from omexp.storage.disks import permitted
from omexp.storage.encoding import Encoder, ShardEncoder, UnknownCodecError, encoder_of
from omexp.storage.host_decoding import read_index
from omexp.storage.local_reading import LocalPixels, folder_of
from omexp.storage.remote_reading import RemotePixels, each, remote_pixels
from omexp.storage.units import is_plain_folder, unit_place

__all__ = ["StoredArray", "place_shown"]

# Of a chunk: below, zarrs reads what is more than a few, and writes the shards of new arrays. Inner chunks of 8 KiB: 5 us each by zarrs, 30
# by us; of 128 KiB: 82 and 65. But a call of it takes 200 us: up to 64 chunks of 8 KiB in one thread are never slower by us
SMALL_BYTES = 1 << 16
FEW_CHUNKS = 64


def place_shown(place: StorePath) -> str:
    """A place in a store for messages: a path or URL."""
    store = place.store
    root = store.fs.unstrip_protocol(store.path) if isinstance(store, FsspecStore) else str(store)
    return f"{root}/{place.path}".removeprefix("file://").rstrip("/")


class StoredArray:
    """A zarr array on the host: boxes in and out as NumPy, whole chunks decoded straight into the caller's memory."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        if "gpu" in str(zarr.config.get("ndbuffer", "")):
            raise ArgumentError(
                "zarr's process-wide GPU buffers are switched on, which breaks shards and Zarr format 2",
                where="zarr.config",
                hint="Leave out zarr.config.enable_gpu(); open omexp containers with device='cuda' instead.",
            )
        self.zarr = array
        if min((*array.chunks, *(array.shards or ())), default=1) < 1:
            raise StoredDataError("the array's chunks are empty", where=self.where, got=f"chunks {array.chunks}, shards {array.shards}")
        if max(array.shape, default=0) >= 1 << 63:  # 64-bit indices
            raise StoredDataError("no array is as large", where=self.where, got=f"shape {array.shape}", hint="Its metadata is damaged.")
        self._place = unit_place(array)
        self._coding, self.writer = _coding(array)
        self._files = _files(array, self._coding)
        self._small = math.prod(array.chunks) * self.dtype.itemsize < SMALL_BYTES

    @cached_property
    def _zarrs(self) -> tuple[zarr.Array[Any], str, str]:
        """The array for zarr to read, as far as zarrs goes: made when it is needed, for it costs more than opening the array."""
        if self._coding is None and self.shards:  # zarrs asks for as much memory as an index says, and ends the process without it
            return self.zarr, "zarr-python", "zarrs is not used for shards whose index has other codecs than the usual ones"
        return _with_zarrs(self.zarr)

    @property
    def pipeline(self) -> str:
        """What decodes: "omexp", "zarrs" (boxes of a few chunks: omexp), "zarr-python"."""
        return self._zarrs[1] if self._files is None or self._many_by_zarrs else "omexp"

    @property
    def pipeline_reason(self) -> str:
        return self._zarrs[2] if self._files is None or self._many_by_zarrs else self._files.reason

    @cached_property
    def _many_by_zarrs(self) -> bool:
        """Whether zarrs serves what is more than a few chunks."""
        return self._small and isinstance(self._files, LocalPixels) and self._zarrs[1] == "zarrs"

    @property
    def shape(self) -> Shape:
        return tuple(self.zarr.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that reads give: the stored one in the machine's byte order."""
        return np.dtype(self.zarr.dtype).newbyteorder("=")

    @property
    def chunks(self) -> Shape:
        """The unit of decoding (the inner chunk of a shard)."""
        return tuple(self.zarr.chunks)

    @property
    def shards(self) -> Shape | None:
        return tuple(self.zarr.shards) if self.zarr.shards else None

    @property
    def write_unit(self) -> Shape:
        """What is written whole: the shard where there are shards, else the chunk."""
        return self.shards or self.chunks

    @property
    def fill_value(self) -> Any:
        return self.zarr.fill_value

    @property
    def compressors(self) -> tuple[Any, ...]:
        return tuple(self.zarr.compressors)

    @property
    def filters(self) -> tuple[Any, ...]:
        return tuple(self.zarr.filters)

    @property
    def nbytes(self) -> int:
        """Of all pixels, decoded; shapes that nothing could hold have a number, too."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The array's own attributes; none where what is stored for them is no object."""
        found = self.zarr.metadata.attributes
        return found if isinstance(found, Mapping) else {}

    @property
    def separator(self) -> str:
        """What stands between the indices in chunk keys: "/" or "."."""
        metadata = self.zarr.metadata
        keys = getattr(metadata, "chunk_key_encoding", None)
        return str(getattr(metadata, "dimension_separator", None) or getattr(keys, "separator", "/"))

    @property
    def codec(self) -> str:
        """A short name of the compression, such as "blosc:lz4", "zstd", "none"."""
        names = []
        for codec in self.compressors:
            config = codec.get_config() if hasattr(codec, "get_config") else codec.to_dict()
            inner = config.get("configuration", config)
            cname = inner.get("cname")
            names.append(str(config.get("id") or config.get("name")) + (f":{getattr(cname, 'value', cname)}" if cname else ""))
        return "+".join(names) or "none"

    @property
    def where(self) -> str:
        return place_shown(self.zarr.store_path)

    def holds(self, dtype: Any) -> bool:
        """Whether every value of `dtype` survives being stored here."""
        source = np.dtype(dtype)
        if source.kind in "iu" and self.dtype.kind == "f":  # NumPy calls int64 into float64 safe, but 2**53 + 1 does not survive
            return 8 * source.itemsize - (source.kind == "i") <= np.finfo(self.dtype).nmant + 1
        return bool(np.can_cast(source, self.dtype, "safe"))

    def read(self, region: Region, out: np.ndarray | None = None, *, workers: int = 1, cached: bool = False) -> np.ndarray:
        """The pixels of a box in native byte order; into `out` (same shape and dtype, C-contiguous) if given.

        `workers` is for chunks on a local disk that we decode ourselves; zarrs has threads of its own. `cached`: there, chunks of which a
        part is read are kept in `omexp.chunk_cache`.

        Raises
        ------
        StoredDataError
            A chunk is damaged, or the store is out of reach.
        RemoteError
            A remote store refuses, fails or does not answer.
        """
        self._require_fits()
        if out is None:
            out = np.empty(region.shape, self.dtype)
        if region.size:
            try:
                files = self._files
                if files is not None and not (self._small and self._is_much(region)):
                    files.read(region, out, workers, cached=cached)
                else:  # without `out`, zarrs would be handed a buffer in the stored byte order, which it refuses
                    buffer = cpu.NDBuffer.from_numpy_array(out)
                    self._zarrs[0].get_basic_selection(region.slices, out=buffer, prototype=cpu.buffer_prototype)
            except (MemoryError, RemoteError):
                raise
            except Exception as error:  # codecs, stores and networks raise classes of their own
                raise StoredDataError(
                    f"pixels cannot be read ({type(error).__name__}: {error})",
                    where=self.where,
                    got=f"box {region.start} to {region.stop}",
                    hint="A chunk may be damaged, or the store out of reach.",
                ) from error
        return out

    def _is_much(self, region: Region) -> bool:
        chunks = math.prod(ceil_div(b, c) - a // c for a, b, c in zip(region.start, region.stop, self.chunks, strict=True))
        # zarrs looks into a cut shard by its index, asks for as much memory as that says, and ends the process without it
        cut = self.shards is not None and region != snap_out(region, self.shards, self.shape)
        return chunks > FEW_CHUNKS and not cut and self._many_by_zarrs

    def write(self, region: Region, pixels: np.ndarray, *, fast: bool = False) -> None:
        """Store a box of pixels. Whole write units are encoded once; a unit that is cut is read, changed and written back.

        Each unit is replaced as a whole, so that a process that dies or a full disk leaves the old one or the new one, and by one writer at
        a time (see `change`). `fast` promises that nothing else reads or writes the array yet: its files need no renaming. A unit that is
        all fill value is not stored.

        Raises
        ------
        ReadOnlyError, StorageFullError
            The store is read-only, or full.
        """
        self._require_writable()
        if not region.size:
            return
        with permitted(self.where):
            if fast and (self._coding is None or (self.shards and self._many_by_zarrs)):
                self._zarrs[0].set_basic_selection(region.slices, np.ascontiguousarray(pixels), prototype=cpu.buffer_prototype)
                return
            remote = isinstance(self._files, RemotePixels)
            units = list(blocks(region, self.write_unit))
            each(lambda box: self._write_part(box, pixels[box.relative_to(region).slices], fast), units, remote=remote)

    def change(self, region: Region, function: Callable[[Region, np.ndarray], np.ndarray | None]) -> None:
        """Read, change and write back a box of pixels, write unit by write unit, so that no other change to a unit is lost meanwhile.

        Writers of this package wait for each other, threads everywhere and processes on a local disk (`omexp.storage.locks`). Other
        programs do not know of the locks: a unit that one of them has replaced meanwhile is read and changed again.

        Parameters
        ----------
        function
            Of a box inside one write unit and its pixels, which it may change; gives the new ones (same shape and dtype), or None where the
            unit stays as it is. It may be called again for the same box, and must not write to this array.

        Raises
        ------
        ReadOnlyError, StorageFullError, StoredDataError
            As `write` and `read`; units that were done stay done.
        """
        self._require_writable()
        with permitted(self.where):
            for box in blocks(region, self.write_unit):
                with self._place.alone(self._index_of(box)):
                    while not self._changed(box, function):
                        continue

    def _require_fits(self) -> None:
        """Refuse chunks that this machine cannot hold: zarrs ends the process when memory runs out."""
        size = math.prod(self.chunks) * self.dtype.itemsize
        if size > _memory():
            raise StoredDataError(
                "a chunk of the array is larger than this machine's memory", where=self.where, got=f"chunks {self.chunks}, {size} bytes"
            )

    def _require_writable(self) -> None:
        self._require_fits()
        if self.zarr.read_only:
            raise ReadOnlyError("the store is read-only", where=self.where, hint="Open it with mode='r+'.")

    def _index_of(self, box: Region) -> Shape:
        return tuple(a // u for a, u in zip(box.start, self.write_unit, strict=True))

    def _write_part(self, box: Region, pixels: np.ndarray, fast: bool) -> None:
        """Store a box that lies in one write unit, alone unless `fast`."""
        with nullcontext() if fast else self._place.alone(self._index_of(box)):
            if box == snap_out(box, self.write_unit, self.shape):
                self._store(box, pixels, None, fast)
                return
            while not self._changed(box, lambda *_: pixels, fast):
                continue

    def _changed(self, box: Region, function: Callable[[Region, np.ndarray], np.ndarray | None], fast: bool = False) -> bool:
        """Change a box that lies in one write unit; False if another program has replaced the unit meanwhile. Of a shard only the inner
        chunks that the box meets are decoded and encoded."""
        index, held = self._index_of(box), snap_out(box, self.chunks, self.shape)
        before = self._place.stamp(index)
        pixels = self.read(held)
        inside = box.relative_to(held).slices
        new = function(box, pixels[inside])
        if new is None:
            return True
        pixels[inside] = new
        return self._store(held, pixels, before, fast)

    def _store(self, held: Region, pixels: np.ndarray, before: Any, fast: bool) -> bool:
        """Store whole chunks that lie in one write unit, unless the unit is no longer that of `before`, where that is given."""
        grid, index = self.chunks, self._index_of(held)
        if self._coding is None:
            self.zarr.set_basic_selection(held.slices, np.ascontiguousarray(pixels), prototype=cpu.buffer_prototype)
            return True
        whole = tuple(ceil_div(n, g) * g for n, g in zip(held.shape, grid, strict=True))
        if held.shape != whole:  # at the far edge stored chunks reach beyond the array
            part, pixels = pixels, np.full(whole, 0 if self.fill_value is None else self.fill_value, self.dtype)
            pixels[tuple(slice(0, n) for n in part.shape)] = part
        if isinstance(self._coding, ShardEncoder):
            rest = snap_out(held, self.write_unit, self.shape)
            first = tuple((a - b) // g for a, b, g in zip(held.start, rest.start, grid, strict=True))
            data = self._encoded(pixels, {} if held == rest else self._inner_chunks(index), first)
        else:
            data = self._encoded(pixels)
        if before is not None and self._place.stamp(index) != before:
            return False
        if data is not None:
            self._place.put(index, data, fast=fast)
        else:
            self._place.drop(index)
        return True

    def _encoded(self, pixels: np.ndarray, old: Mapping[Shape, bytes] | None = None, first: Shape = ()) -> bytes | memoryview | None:
        """The bytes of a whole unit; of a shard with the stored chunks in `old`, the given ones from `first` on."""
        assert self._coding is not None
        try:
            return self._coding.patched(old or {}, first, pixels) if isinstance(self._coding, ShardEncoder) else self._coding.encode(pixels)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # numcodecs, of settings that no codec has
            raise StoredDataError(f"the array's codec cannot encode ({type(error).__name__}: {error})", where=self.where) from error

    def _inner_chunks(self, index: Shape) -> Mapping[Shape, bytes]:
        """The stored bytes of the inner chunks of a shard."""
        shard = self._place.get(index)
        if shard is None:
            return {}
        assert isinstance(self._coding, ShardEncoder)
        places = read_index(self._coding, len(shard), lambda at, n: shard[at : at + n])
        return {cell: shard[at : at + n] for cell, (at, n) in places.items()}


@cache
def _memory() -> int:
    """Bytes of memory of this machine; where the system does not say, more than there can be."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 60


def _coding(array: zarr.Array[Any]) -> tuple[Encoder | None, str]:
    """How the array's write units are coded, and who writes them: "omexp: ...", or "zarr-python: ..." with the reason."""
    try:
        return encoder_of(array.metadata), "omexp: whole write units, each in one step"
    except UnknownCodecError as error:
        return None, f"zarr-python: only zarr encodes {error}"


def _files(array: zarr.Array[Any], coding: Encoder | None) -> LocalPixels | RemotePixels | None:
    """The array's pixels as files or behind a network, where they lie in codecs that we know."""
    if coding is None or not is_plain_folder(array):
        return None if coding is None else remote_pixels(array, coding)
    return LocalPixels(folder_of(array), array.metadata.encode_chunk_key, coding, tuple(array.shape), array.metadata.fill_value)


def _with_zarrs(array: zarr.Array[Any]) -> tuple[zarr.Array[Any], str, str]:
    """The array with the Rust codec pipeline (the given one keeps its own), the pipeline's name, and why it is that one."""
    try:
        from zarrs.pipeline import ZarrsCodecPipeline, get_codec_pipeline_fallback, get_codec_pipeline_impl
    except ImportError as error:
        return array, "zarr-python", f"zarrs cannot be imported: {error}"
    inner = array.async_array
    metadata, store = inner.metadata, inner.store_path.store
    if isinstance(store, FsspecStore):  # zarrs 0.2.3 has an HTTP client of its own: it sends no token and hangs on a cut chunk
        return array, "zarr-python", "zarrs is not used for remote stores: its client knows no headers"
    try:
        engine = get_codec_pipeline_impl(metadata, store, strict=True)
        fallback = get_codec_pipeline_fallback(metadata, strict=False)
    except Exception as error:  # zarrs raises its own classes for stores and codecs that it does not know
        cause = error.__cause__ or error
        return array, "zarr-python", f"zarrs does not serve this array: {cause}"
    fast = type(inner)(metadata=metadata, store_path=inner.store_path, config=inner.config)
    object.__setattr__(fast, "codec_pipeline", ZarrsCodecPipeline(metadata=metadata, store=store, impl=engine, python_impl=fallback))
    return zarr.Array(fast), "zarrs", "the store and codecs are known to zarrs"
