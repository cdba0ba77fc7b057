"""One stored array. Knows: chunks, shards, codecs, how to read and write a box of it. Does not know: axes, devices.

zarr's Rust codec pipeline (zarrs) is used per array where it serves, never by a process-wide setting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from zarr.buffer import cpu
from zarr.storage import FsspecStore, StorePath

from omexp.errors import ArgumentError, OmexpError, ReadOnlyError, StoredDataError
from omexp.geometry import Region, Shape

__all__ = ["StoredArray", "place_shown"]


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

    def read(self, region: Region, out: np.ndarray | None = None) -> np.ndarray:
        """The pixels of a box in native byte order; into `out` (same shape and dtype, C-contiguous) if given."""
        if out is None:
            out = np.empty(region.shape, self.dtype)
        if region.size:  # without `out`, zarrs would be handed a buffer in the stored byte order, which it refuses
            try:
                self._fast.get_basic_selection(region.slices, out=cpu.NDBuffer.from_numpy_array(out), prototype=cpu.buffer_prototype)
            except (MemoryError, OmexpError):
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

        Each chunk file is replaced as a whole, so that a process that dies or a full disk leaves the old chunk or the new one. `fast`
        takes zarrs, which writes into the file: for arrays that are being made, and levels that can be made again.

        Raises
        ------
        ReadOnlyError
            The store is read-only.
        """
        if self.zarr.read_only:
            raise ReadOnlyError("the store is read-only", where=self.where, hint="Open it with mode='r+'.")
        if region.size:
            target = self._fast if fast else self.zarr
            target.set_basic_selection(region.slices, np.ascontiguousarray(pixels), prototype=cpu.buffer_prototype)


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
