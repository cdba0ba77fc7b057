"""One stored array. Knows: chunks, shards, codecs, how to read and write a box of it. Does not know: axes, devices.

zarr's Rust codec pipeline (zarrs) is used per array where it serves, never by a process-wide setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.buffer import cpu
from zarr.storage import FsspecStore, StorePath

from omexp.errors import ArgumentError, ReadOnlyError, StoredDataError
from omexp.geometry import Region, Shape, blocks, ceil_div, snap_out
from omexp.storage.disks import permitted
from omexp.storage.encoding import Encoder, ShardEncoder, UnknownCodecError, encoder_of
from omexp.storage.host_decoding import read_index
from omexp.storage.local_reading import LocalPixels, folder_of
from omexp.storage.units import is_plain_folder, unit_place

__all__ = ["StoredArray", "place_shown"]

# Of a chunk: below, zarrs reads, and writes the shards of new arrays. Inner chunks of 8 KiB: 5 us each by zarrs, 30 by us; of 128 KiB:
# 82 and 65
SMALL_BYTES = 1 << 16


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
        self._fast, self.pipeline, self.pipeline_reason = _with_zarrs(array)
        self._place = unit_place(array)
        self._coding, self.writer = _coding(array)
        self._files = _files(array, self._coding)
        small = math.prod(array.chunks) * self.dtype.itemsize < SMALL_BYTES and self.pipeline == "zarrs"
        self._shards_by_zarrs = small and bool(array.shards)
        self._reads_files = self._files is not None and not small
        if self._reads_files:
            self.pipeline, self.pipeline_reason = "omexp", "each chunk by one thread, from its file straight into place"

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

    def read(self, region: Region, out: np.ndarray | None = None, *, workers: int = 1) -> np.ndarray:
        """The pixels of a box in native byte order; into `out` (same shape and dtype, C-contiguous) if given.

        `workers` is for chunks on a local disk that we decode ourselves; zarrs has threads of its own.

        Raises
        ------
        StoredDataError
            A chunk is damaged, or the store is out of reach.
        """
        if out is None:
            out = np.empty(region.shape, self.dtype)
        if region.size:
            try:
                if self._reads_files and self._files is not None:
                    self._files.read(region, out, workers)
                else:  # without `out`, zarrs would be handed a buffer in the stored byte order, which it refuses
                    self._fast.get_basic_selection(region.slices, out=cpu.NDBuffer.from_numpy_array(out), prototype=cpu.buffer_prototype)
            except MemoryError:
                raise
            except Exception as error:  # codecs, stores and networks raise classes of their own
                raise StoredDataError(
                    f"pixels cannot be read ({type(error).__name__}: {error})",
                    where=self.where,
                    got=f"box {region.start} to {region.stop}",
                    hint="A chunk may be damaged, or the store out of reach.",
                ) from error
        return out

    def write(self, region: Region, pixels: np.ndarray, *, fast: bool = False) -> None:
        """Store a box of pixels. Whole write units are encoded once; a unit that is cut is read, changed and written back.

        Each unit is replaced as a whole, so that a process that dies or a full disk leaves the old one or the new one. `fast` promises that
        nothing reads the array yet: its files need no renaming. A unit that is all fill value is not stored.

        Raises
        ------
        ReadOnlyError, StorageFullError
            The store is read-only, or full.
        """
        self._require_writable()
        if not region.size:
            return
        with permitted(self.where):
            if self._coding is None or (fast and self._shards_by_zarrs):
                target = self._fast if fast else self.zarr
                target.set_basic_selection(region.slices, np.ascontiguousarray(pixels), prototype=cpu.buffer_prototype)
                return
            for box in blocks(region, self.write_unit):
                self._write_part(box, pixels[box.relative_to(region).slices], fast)

    def _require_writable(self) -> None:
        if self.zarr.read_only:
            raise ReadOnlyError("the store is read-only", where=self.where, hint="Open it with mode='r+'.")

    def _write_part(self, box: Region, pixels: np.ndarray, fast: bool) -> None:
        """Store a box that lies in one write unit. Of a shard that is cut, only the inner chunks that the box meets are encoded."""
        unit, grid = self.write_unit, self.chunks
        index = tuple(a // u for a, u in zip(box.start, unit, strict=True))
        begin = tuple(i * u for i, u in zip(index, unit, strict=True))
        rest = Region(begin, tuple(min(a + u, n) for a, u, n in zip(begin, unit, self.shape, strict=True)))
        held = snap_out(box, grid, self.shape)
        if box != held:
            part, pixels = pixels, self.read(held)
            pixels[box.relative_to(held).slices] = part
        whole = tuple(ceil_div(n, g) * g for n, g in zip(held.shape, grid, strict=True))
        if held.shape != whole:  # at the far edge stored chunks reach beyond the array
            part, pixels = pixels, np.full(whole, 0 if self.fill_value is None else self.fill_value, self.dtype)
            pixels[tuple(slice(0, n) for n in part.shape)] = part
        if isinstance(self._coding, ShardEncoder):
            first = tuple((a - b) // g for a, b, g in zip(held.start, begin, grid, strict=True))
            data = self._coding.patched({} if held == rest else self._inner_chunks(index), first, pixels)
        else:
            assert self._coding is not None
            data = self._coding.encode(pixels)
        if data is not None:
            self._place.put(index, data, fast=fast)
        else:
            self._place.drop(index)

    def _inner_chunks(self, index: Shape) -> Mapping[Shape, bytes]:
        """The stored bytes of the inner chunks of a shard."""
        if self._files is not None:
            return self._files.stored_chunks(index)
        shard = self._place.get(index)
        assert isinstance(self._coding, ShardEncoder)
        places = {} if shard is None else read_index(self._coding, len(shard), lambda at, n: shard[at : at + n])
        return {cell: shard[at : at + n] for cell, (at, n) in places.items()} if shard is not None else {}


def _coding(array: zarr.Array[Any]) -> tuple[Encoder | None, str]:
    """How the array's write units are coded, and who writes them: "omexp: ...", or "zarr-python: ..." with the reason."""
    try:
        return encoder_of(array.metadata), "omexp: whole write units, each in one step"
    except UnknownCodecError as error:
        return None, f"zarr-python: only zarr encodes {error}"


def _files(array: zarr.Array[Any], coding: Encoder | None) -> LocalPixels | None:
    """The array's pixels as files, where it lies on a local disk in codecs that we know."""
    if coding is None or not is_plain_folder(array):
        return None
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
