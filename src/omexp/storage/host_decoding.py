"""Stored chunks as pixels, in the calling thread. Knows: Zarr's codecs backwards, what a damaged chunk looks like. Does not know: keys,
stores.

The counterpart of `encoding`. Decoders write past the end of what they are given, or leave rubbish, where a chunk was cut off; so lengths
are compared with what a chunk's own header says before it is decoded, and with the chunk's size afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import google_crc32c
import numcodecs
import numpy as np

from omexp.errors import StoredDataError
from omexp.geometry import Shape
from omexp.storage.encoding import MISSING, ChunkEncoder, Crc32c, ShardEncoder

__all__ = ["decode_bytes", "decode_chunk", "read_index"]

_BLOSC_HEADER = 16  # version, flags, typesize, then three 32-bit sizes: of the pixels, of a block, of this buffer
_BLOSC_VERSIONS = (1, 2)


def decode_chunk(coding: ChunkEncoder, data: bytes | memoryview, out: np.ndarray | None = None) -> np.ndarray:
    """The pixels of one chunk, in the stored byte order; in `out` (contiguous, of the chunk's shape and stored dtype) where that can be.

    Raises
    ------
    StoredDataError
        The bytes are no whole chunk of this shape and these codecs.
    """
    size = math.prod(coding.shape) * coding.dtype.itemsize
    found: Any = data
    for step, codec in enumerate(reversed(coding.codecs), 1):
        last = step == len(coding.codecs)
        found = _decoded(codec, found, size if last else None, out if last else None)
    if out is not None and found is out:
        return out
    flat = np.frombuffer(found, np.uint8)
    if flat.nbytes != size:
        raise StoredDataError("a chunk is damaged", got=f"{flat.nbytes} bytes of pixels", allowed=f"{size}")
    return flat.view(coding.dtype).reshape(coding.shape)


def decode_bytes(codecs: Sequence[Any], data: bytes | memoryview) -> Any:
    """The bytes before codecs of bytes encoded them, where nothing is known of their number. Raises `StoredDataError`."""
    found: Any = data
    for codec in reversed(codecs):
        found = _decoded(codec, found, None, None)
    return found


def _decoded(codec: Any, data: Any, size: int | None, out: np.ndarray | None) -> Any:
    if isinstance(codec, Crc32c):
        return _checked(data)
    if isinstance(codec, numcodecs.Blosc):
        _require_blosc(data, size)
    try:
        if out is not None and (isinstance(codec, numcodecs.Blosc) or (isinstance(codec, numcodecs.Zstd) and _zstd_size(data) == size)):
            codec.decode(data, out=out)
            return out
        return codec.decode(data)
    except Exception as error:  # each codec has errors of its own
        raise StoredDataError(f"a chunk is damaged ({type(error).__name__}: {error})", got=f"{len(data)} bytes") from error


def _require_blosc(data: Any, size: int | None) -> None:
    """Raise unless a Blosc buffer is as long as it says, and holds as many bytes as a chunk has."""
    view = memoryview(data).cast("B")
    if len(view) < _BLOSC_HEADER or view[0] not in _BLOSC_VERSIONS:
        raise StoredDataError("a chunk is no Blosc buffer", got=f"{len(view)} bytes")
    held, _, stored = np.frombuffer(view[4:_BLOSC_HEADER], "<u4").tolist()
    if stored != len(view) or (size is not None and held != size):
        raise StoredDataError(
            "a chunk is cut off or of another size", got=f"{len(view)} bytes for {held}", allowed=f"{stored} bytes for {size}"
        )


def _zstd_size(data: Any) -> int | None:
    """How many bytes a Zstandard frame says that it holds; None where it does not say (RFC 8878, 3.1.1)."""
    view = memoryview(data).cast("B")
    if len(view) < 6 or bytes(view[:4]) != b"\x28\xb5\x2f\xfd":
        return None
    one_segment, width = view[4] >> 5 & 1, (0, 2, 4, 8)[view[4] >> 6]
    width = 1 if width == 0 and one_segment else width
    at = 5 + (not one_segment) + (0, 1, 2, 4)[view[4] & 3]
    if width == 0 or len(view) < at + width:
        return None
    return int.from_bytes(view[at : at + width], "little") + (256 if width == 2 else 0)


def _checked(data: Any) -> memoryview:
    view = memoryview(data).cast("B")
    if len(view) < 4 or google_crc32c.value(bytes(view[:-4])) != int.from_bytes(view[-4:], "little"):
        raise StoredDataError("a chunk's checksum is wrong", got=f"{len(view)} bytes")
    return view[:-4]


def read_index(coding: ShardEncoder, length: int, read: Callable[[int, int], bytes]) -> dict[Shape, tuple[int, int]]:
    """Where the inner chunks of a shard lie: cell -> (offset, bytes); those that are not stored are left out.

    Parameters
    ----------
    length
        Of the shard, in bytes.
    read
        ``(offset, bytes)`` of the shard.

    Raises
    ------
    StoredDataError
        The index is damaged, or names places beyond the shard.
    """
    size = 16 * math.prod(coding.counts) + 4
    packed = read(0 if coding.index_first else length - size, size) if length >= size else b""
    if len(packed) != size or google_crc32c.value(packed[:-4]) != int.from_bytes(packed[-4:], "little"):
        raise StoredDataError("the shard's index is damaged", got=f"{length} bytes", hint="Write the whole shard anew.")
    entries = np.frombuffer(packed, "<u8", count=2 * math.prod(coding.counts)).reshape(-1, 2)
    cells = np.flatnonzero(entries[:, 0] != MISSING)
    places = zip(np.stack(np.unravel_index(cells, coding.counts), axis=-1).tolist(), entries[cells].tolist(), strict=True)
    found = {tuple(cell): (at, n) for cell, (at, n) in places}
    if any(at + n > length for at, n in found.values()):
        raise StoredDataError("the shard is cut off", got=f"{length} bytes")
    return found
