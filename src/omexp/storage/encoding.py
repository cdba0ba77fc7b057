"""Whole write units as bytes. Knows: Zarr's codecs in both formats, shards and their index. Does not know: keys, stores, which pixels.

A pipeline of codec objects that encode in the calling thread, without the GIL where the codec leaves it: a pool of plain threads then
encodes at the speed of the bare codec (zarr's own pipeline costs 1 ms per call and more). What it cannot encode exactly as Zarr defines,
it refuses by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numcodecs
import numpy as np

from omexp.geometry import Shape

__all__ = ["MISSING", "ChunkEncoder", "Crc32c", "Encoder", "ShardEncoder", "UnknownCodecError", "encoder_of"]

_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
MISSING = 2**64 - 1  # in a shard's index: both entries of an inner chunk that is not stored


class UnknownCodecError(Exception):
    """This codec, or this order of codecs, is left to zarr. The text says which."""


@dataclass(frozen=True)
class ChunkEncoder:
    """One chunk: pixels in the stored byte order, then codecs of bytes, one after the other."""

    shape: Shape
    dtype: np.dtype[Any]
    fill: Any
    codecs: tuple[Any, ...]

    def encode(self, pixels: np.ndarray) -> bytes | memoryview | None:
        """The chunk's bytes; None where every pixel is the fill value, bit for bit: such a chunk is not stored."""
        if self.fill is not None and is_full_of(pixels, self.fill):
            return None
        data: Any = np.ascontiguousarray(pixels, self.dtype)
        for codec in self.codecs:
            data = codec.encode(data)
        return _flat(data)


@dataclass(frozen=True)
class ShardEncoder:
    """One shard: its inner chunks in C order, and the index of their places, which ends in a CRC-32C."""

    shape: Shape
    inner: ChunkEncoder
    index_first: bool

    @property
    def counts(self) -> Shape:
        """Inner chunks along each axis."""
        return tuple(n // c for n, c in zip(self.shape, self.inner.shape, strict=True))

    def encode(self, pixels: np.ndarray) -> bytes | memoryview | None:
        """The shard's bytes; None where no inner chunk needs storing."""
        return self.patched({}, (0,) * len(self.shape), pixels)

    def patched(self, old: Mapping[Shape, Any], first: Shape, pixels: np.ndarray) -> bytes | memoryview | None:
        """The shard's bytes with whole inner chunks from `first` on replaced by `pixels`; the others' bytes are those in `old`."""
        size = tuple(n // c for n, c in zip(pixels.shape, self.inner.shape, strict=True))
        index = np.full((*self.counts, 2), MISSING, "<u8")
        parts: list[Any] = []
        at = index.nbytes + 4 if self.index_first else 0
        for cell in itertools.product(*map(range, self.counts)):
            inside = tuple(i - a for i, a in zip(cell, first, strict=True))
            if all(0 <= i < n for i, n in zip(inside, size, strict=True)):
                data = self.inner.encode(pixels[tuple(slice(i * c, (i + 1) * c) for i, c in zip(inside, self.inner.shape, strict=True))])
            else:
                data = old.get(cell)
            if data is not None:
                parts.append(data)
                index[cell] = at, len(data)
                at += len(data)
        if not parts:
            return None
        packed = index.tobytes()
        packed += google_crc32c.value(packed).to_bytes(4, "little")
        return b"".join([packed, *parts] if self.index_first else [*parts, packed])


Encoder = ChunkEncoder | ShardEncoder


def is_full_of(pixels: np.ndarray, value: Any) -> bool:
    """Whether every pixel has the bits of `value`: -0.0 is not 0.0, and any NaN equals only itself."""
    if pixels.size == 0:
        return True
    one = np.asarray(value, pixels.dtype)
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize <= 8:
        pixels, one = pixels.view(f"u{pixels.itemsize}"), one.view(f"u{pixels.itemsize}")
    if pixels[(0,) * pixels.ndim] != one or pixels[(-1,) * pixels.ndim] != one:
        return False
    return bool((pixels == one).all())


def encoder_of(metadata: Any) -> Encoder:
    """The encoder for an array with this Zarr metadata (of zarr-python, either format).

    Raises
    ------
    UnknownCodecError
        It has a codec, an order of axes or of codecs that only zarr knows.
    """
    document = metadata.to_dict()
    dtype = np.dtype(metadata.dtype.to_native_dtype() if hasattr(metadata.dtype, "to_native_dtype") else metadata.dtype)
    if dtype.kind not in "buif":
        raise UnknownCodecError(f"dtype {dtype}")
    if document["zarr_format"] == 2:
        if document["order"] != "C" and len(metadata.shape) > 1:
            raise UnknownCodecError("Fortran order")
        named = [*(document["filters"] or ()), *([document["compressor"]] if document["compressor"] else [])]
        return ChunkEncoder(tuple(metadata.chunks), dtype, metadata.fill_value, tuple(_of_config(c) for c in named))
    codecs = [c if isinstance(c, Mapping) else {"name": c} for c in document["codecs"]]
    if not hasattr(metadata.chunk_grid, "chunk_shape"):
        raise UnknownCodecError("chunks of several sizes")
    outer = tuple(metadata.chunk_grid.chunk_shape)
    if codecs and codecs[0]["name"] == "sharding_indexed":
        return _shard_encoder(codecs, outer, dtype, metadata.fill_value)
    return _chunk_encoder(codecs, outer, dtype, metadata.fill_value)


def _chunk_encoder(codecs: Sequence[Mapping[str, Any]], shape: Shape, dtype: np.dtype[Any], fill: Any) -> ChunkEncoder:
    if not codecs or codecs[0]["name"] != "bytes":
        raise UnknownCodecError(str(codecs[0]["name"]) if codecs else "no codec at all")
    endian = str(codecs[0].get("configuration", {}).get("endian") or "little")
    stored = dtype.newbyteorder(">" if "big" in endian else "<")
    return ChunkEncoder(shape, stored, fill, tuple(_of_name(c, dtype) for c in codecs[1:]))


def _shard_encoder(codecs: Sequence[Mapping[str, Any]], shape: Shape, dtype: np.dtype[Any], fill: Any) -> ShardEncoder:
    if len(codecs) > 1:
        raise UnknownCodecError(f"{codecs[1]['name']} around shards")
    config = codecs[0]["configuration"]
    index = [(c["name"] if isinstance(c, Mapping) else c) for c in config["index_codecs"]]
    big = any("big" in str(c.get("configuration", {}).get("endian")) for c in config["index_codecs"] if isinstance(c, Mapping))
    if index != ["bytes", "crc32c"] or big:
        raise UnknownCodecError(f"a shard index of {'+'.join(index)}{' in big-endian order' if big else ''}")
    location = getattr(config.get("index_location", "end"), "value", config.get("index_location", "end"))
    return ShardEncoder(shape, _chunk_encoder(config["codecs"], tuple(config["chunk_shape"]), dtype, fill), location == "start")


def _of_config(config: Mapping[str, Any]) -> Any:
    """A codec of Zarr format 2."""
    try:
        return numcodecs.get_codec(dict(config))
    except (ValueError, TypeError) as error:
        raise UnknownCodecError(f"{config.get('id')} ({error})") from None


def _of_name(codec: Mapping[str, Any], dtype: np.dtype[Any]) -> Any:
    """A codec of Zarr format 3 that works on bytes."""
    name, config = codec["name"], codec.get("configuration", {})
    plain = {key: getattr(value, "value", value) for key, value in config.items()}
    if name == "blosc" and int(plain.get("typesize") or dtype.itemsize) == dtype.itemsize:  # numcodecs takes it from the pixels
        return numcodecs.Blosc(plain["cname"], plain["clevel"], _SHUFFLES[plain["shuffle"]], plain.get("blocksize", 0))
    if name == "zstd":
        return numcodecs.Zstd(plain["level"], checksum=bool(plain.get("checksum", False)))
    if name == "gzip":
        return numcodecs.GZip(plain["level"])
    if name == "crc32c":
        return Crc32c()
    raise UnknownCodecError(f"{name} with typesize {plain['typesize']} for {dtype}" if name == "blosc" else str(name))


class Crc32c:
    """The bytes, then their CRC-32C (Zarr format 3's codec `crc32c`)."""

    def encode(self, data: Any) -> bytes:
        raw = bytes(_flat(data))
        return raw + google_crc32c.value(raw).to_bytes(4, "little")


def _flat(data: Any) -> memoryview:
    """The bytes of an array or of anything bytes-like, one after the other."""
    flat: Any = data.reshape(-1).view(np.uint8) if isinstance(data, np.ndarray) else data
    return memoryview(flat)
