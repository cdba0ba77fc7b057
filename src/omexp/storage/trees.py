"""A group that is only read, key by key. Knows: where keys lie, Zarr's documents, small arrays. Does not know: what they mean.

Opening a group and an array through zarr costs 1 to 5 ms each; a table is made of ten arrays, a plate of thousands of tables. Here a local
key is a file that is read, and the usual arrays (chunks in C order, the common codecs, numbers, bools and text) are decoded in place, at
0.05 ms each. What is unusual is left to zarr, array by array.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

from omexp.errors import MissingArrayError, RemoteAccessError, StoredDataError
from omexp.geometry import Shape
from omexp.storage.arrays import place_shown
from omexp.storage.encoding import ChunkEncoder, ShardEncoder
from omexp.storage.groups import Group, open_group
from omexp.storage.host_decoding import decode_bytes, decode_chunk, read_index

__all__ = ["Tree", "read_tree"]

# A stored chunk says itself how it was made: decoders need no settings
_CODECS = {"blosc": numcodecs.Blosc(), "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip(), "zlib": numcodecs.Zlib()}
_TEXT = numcodecs.VLenUTF8()
_NUMBERS = {"bool": "|b1", **{f"{kind}{width}": f"<{kind[0]}{width // 8}" for kind in ("int", "uint") for width in (8, 16, 32, 64)}}
_NUMBERS |= {f"float{width}": f"<f{width // 8}" for width in (16, 32, 64)}
_ENDLESS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a usual array lies there: in units (chunks or shards), shards in chunks; `dtype` None is text."""

    shape: Shape
    units: Shape
    chunks: Shape
    dtype: np.dtype[Any] | None
    fill: Any
    codecs: tuple[Any, ...]
    key: Callable[[Sequence[int]], str]
    shard: ShardEncoder | None = None

    def empty(self, shape: Shape) -> np.ndarray:
        if self.dtype is None:
            return np.full(shape, self.fill or "", np.dtypes.StringDType())
        return np.full(shape, self.fill or 0, self.dtype.newbyteorder("="))

    def assembled(self, shape: Shape, parts: Shape, part: Callable[[Sequence[int]], np.ndarray]) -> np.ndarray:
        """An array from the parts of a regular grid; those at the far edges are cut."""
        if shape == parts:
            return part((0,) * len(shape))
        found = self.empty(shape)
        for cell in itertools.product(*[range(-(-n // c)) for n, c in zip(shape, parts, strict=True)]):
            box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(cell, parts, shape, strict=True))
            found[box] = part(cell)[tuple(slice(0, s.stop - s.start) for s in box)]
        return found

    def decoded(self, data: bytes) -> np.ndarray:
        """One unit. Raises `StoredDataError`."""
        if self.shard is None:
            return self._chunk(data)
        places = read_index(self.shard, len(data), lambda at, size: data[at : at + size])

        def chunk(cell: Sequence[int]) -> np.ndarray:
            at, size = places.get(tuple(cell), (0, 0))
            return self._chunk(data[at : at + size]) if size else self.empty(self.chunks)

        return self.assembled(self.units, self.chunks, chunk)

    def _chunk(self, data: bytes) -> np.ndarray:
        if self.dtype is None:
            texts = _TEXT.decode(decode_bytes(self.codecs, data))
            if texts.size != math.prod(self.chunks):
                raise StoredDataError("a chunk is damaged", got=f"{texts.size} texts")
            return texts.astype(np.dtypes.StringDType()).reshape(self.chunks)
        pixels = decode_chunk(ChunkEncoder(self.chunks, self.dtype, None, self.codecs), data)
        return pixels.astype(self.dtype.newbyteorder("="))  # a copy: what was decoded may be read-only


@dataclass(frozen=True, slots=True)
class Tree:
    """A group and what lies below it, for reading. Made by `read_tree`."""

    place: StorePath
    zarr_format: int
    get: Callable[[str], bytes | None]
    names: Callable[[str], list[str]]
    _seen: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # an array's document also holds its attributes

    @property
    def where(self) -> str:
        """The group's place, for messages."""
        return place_shown(self.place)

    def stamp(self) -> Any:
        """Something that changes when another group takes this one's place; None where that cannot be told."""
        if not isinstance(self.place.store, LocalStore):
            return None
        try:
            found = os.stat(Path(self.place.store.root) / self.place.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def group(self) -> Group:
        """The same as a `Group`, for what only zarr can read."""
        return open_group(self.place, "r")

    def attributes(self, path: str = "") -> dict[str, Any] | None:
        """The attributes of this group, or of the one at `path`; None if there is none. Raises `StoredDataError`."""
        at = f"{path}/" if path else ""
        if self.zarr_format == 3:
            document = self._document(f"{at}zarr.json")
            if document is None or document.get("node_type") != "group":
                return None
            found = document.get("attributes", {})
        else:
            if self._document(f"{at}.zgroup") is None:
                return None
            found = self._document(f"{at}.zattrs") or {}
        if not isinstance(found, dict):
            raise StoredDataError("the group's attributes are no JSON object", where=f"{self.where}/{path}".rstrip("/"))
        return dict(found)

    def forget(self) -> None:
        """Read documents anew from now on."""
        self._seen.clear()

    def array(self, path: str) -> np.ndarray:
        """All of an array: numbers and bools in its dtype, text as NumPy strings, as zarr gives them.

        Raises
        ------
        MissingArrayError
            There is none.
        StoredDataError
            Its document or a chunk is damaged.
        """
        document = self._document(f"{path}/zarr.json" if self.zarr_format == 3 else f"{path}/.zarray")
        if document is None:
            raise MissingArrayError("an array is missing", where=self.where, got=repr(path), hint="The write may be unfinished.")
        plan = _plan(document, self.zarr_format)
        if plan is None:
            return zarr.open_array(self.place / path, mode="r", zarr_format=self.zarr_format)[()]  # type: ignore[arg-type,return-value]
        return self._read(path, plan)

    def array_attributes(self, path: str) -> dict[str, Any] | None:
        """The attributes of an array; None if there is none."""
        if self.zarr_format == 3:
            document = self._document(f"{path}/zarr.json")
            return document.get("attributes", {}) if document is not None and document.get("node_type") == "array" else None
        return None if self._document(f"{path}/.zarray") is None else (self._document(f"{path}/.zattrs") or {})

    def _document(self, key: str) -> dict[str, Any] | None:
        if key not in self._seen:
            self._seen[key] = self._parsed(key)
        return self._seen[key]

    def _parsed(self, key: str) -> dict[str, Any] | None:
        content = self.get(key)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise StoredDataError(f"a document is damaged ({error})", where=f"{self.where}/{key}", hint="Restore it from a copy.") from None
        if not isinstance(found, dict):
            raise StoredDataError("a document is no JSON object", where=f"{self.where}/{key}", got=type(found).__name__)
        return found

    def _read(self, path: str, plan: _Plan) -> np.ndarray:
        def unit(cell: Sequence[int]) -> np.ndarray:
            data = self.get(f"{path}/{plan.key(cell)}")
            return plan.empty(plan.units) if data is None else plan.decoded(data)

        try:
            return plan.assembled(plan.shape, plan.units, unit)
        except StoredDataError as error:
            raise StoredDataError(error.what, where=f"{self.where}/{path}", got=error.got, allowed=error.allowed) from error


def read_tree(group: Group, path: str = "") -> Tree:
    """The group at `path` below a group, for reading; whether it is there says `Tree.attributes`.

    Keys of a local store are read when they are asked for; of a store that can be listed (memory, S3) all below the group's own at once.
    """
    place = group.place(path) if path else group.zarr.store_path
    if isinstance(place.store, LocalStore):
        root = f"{os.fspath(Path(place.store.root))}/{place.path}"
        return Tree(place, group.zarr_format, lambda key: _file(f"{root}/{key}"), lambda at: _folders(f"{root}/{at}"))
    all_below = cache(lambda: _held(place))

    def get(key: str) -> bytes | None:
        held = all_below() if "/" in key else None
        return _got(place, key) if held is None else held.get(key)

    return Tree(place, group.zarr_format, get, lambda at: _children(all_below() or {}, at))


def _file(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _children(held: Mapping[str, bytes], at: str) -> list[str]:
    prefix = f"{at}/" if at else ""
    return list(dict.fromkeys(key[len(prefix) :].partition("/")[0] for key in held if key.startswith(prefix) and "/" in key[len(prefix) :]))


def _got(place: StorePath, key: str) -> bytes | None:
    found = sync((place / key).get(prototype=cpu.buffer_prototype))
    return None if found is None else found.to_bytes()


def _held(place: StorePath) -> dict[str, bytes] | None:
    """All that lies below a place; None where that cannot be listed."""
    try:
        return sync(_all_below(place)) if place.store.supports_listing else None
    except RemoteAccessError:
        return None


async def _all_below(place: StorePath) -> dict[str, bytes]:
    prefix = f"{place.path}/" if place.path else ""
    keys = [key async for key in place.store.list_prefix(prefix)]
    values = await asyncio.gather(*[place.store.get(key, cpu.buffer_prototype) for key in keys])
    return {key.removeprefix(prefix): value.to_bytes() for key, value in zip(keys, values, strict=True) if value is not None}


# -------------------------------------------------------------------------------------------------------- documents
def _plan(document: Mapping[str, Any], zarr_format: int) -> _Plan | None:
    """How to read an array; None where zarr must."""
    try:
        plan = _plan_v3(document) if zarr_format == 3 else _plan_v2(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None
    if plan is None or not plan.shape or 0 in (*plan.shape, *plan.units, *plan.chunks):
        return None
    return plan if len(plan.shape) == len(plan.units) == len(plan.chunks) else None


def _plan_v2(document: Mapping[str, Any]) -> _Plan | None:
    shape, filters, compressor = tuple(document["shape"]), document["filters"] or [], document["compressor"]
    text = document["dtype"] == "|O" and [f["id"] for f in filters] == ["vlen-utf8"]
    if (filters and not text) or (document["order"] != "C" and len(shape) > 1):
        return None
    dtype = None if text else np.dtype(document["dtype"])
    if dtype is not None and dtype.kind not in "biuf":
        return None
    dot, chunks = document.get("dimension_separator", "."), tuple(document["chunks"])
    codecs = (_CODECS[compressor["id"]],) if compressor else ()
    return _Plan(shape, chunks, chunks, dtype, _fill(document["fill_value"], text), codecs, lambda cell: dot.join(map(str, cell)))


def _plan_v3(document: Mapping[str, Any]) -> _Plan | None:
    grid, keys, codecs = document["chunk_grid"], document["chunk_key_encoding"], document["codecs"]
    if grid["name"] != "regular" or keys["name"] != "default" or document.get("storage_transformers"):
        return None
    shape, units = tuple(document["shape"]), tuple(grid["configuration"]["chunk_shape"])
    shard = codecs[0]["configuration"] if codecs[0]["name"] == "sharding_indexed" and len(codecs) == 1 else None
    chunks = units if shard is None else tuple(shard["chunk_shape"])
    first, *rest = codecs if shard is None else shard["codecs"]
    text = document["data_type"] == "string"
    if first["name"] != ("vlen-utf8" if text else "bytes") or any(n % c for n, c in zip(units, chunks, strict=True)):
        return None
    big = first.get("configuration", {}).get("endian") == "big"
    dtype = None if text else np.dtype(_NUMBERS[document["data_type"]]).newbyteorder(">" if big else "<")
    found = tuple(_CODECS[codec["name"]] for codec in rest)
    coding = None
    if shard is not None:
        if [codec["name"] for codec in shard["index_codecs"]] != ["bytes", "crc32c"] or "big" in str(shard["index_codecs"]):
            return None
        inner = ChunkEncoder(chunks, dtype or np.dtype("u1"), None, found)
        coding = ShardEncoder(units, inner, shard.get("index_location", "end") == "start")
    dot, fill = keys.get("configuration", {}).get("separator", "/"), _fill(document["fill_value"], text)
    return _Plan(shape, units, chunks, dtype, fill, found, lambda cell: dot.join(["c", *map(str, cell)]), coding)


def _fill(value: Any, text: bool) -> Any:
    """A fill value as a number or text. Raises `ValueError` for a form that only zarr knows."""
    if isinstance(value, str) and not text:
        if value and value not in _ENDLESS:
            raise ValueError(value)
        return _ENDLESS.get(value, value)
    return value
