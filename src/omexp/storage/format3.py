"""Arrays of Zarr format 2 described in Zarr format 3. Knows: both array documents, codecs that both have. Does not know: stores, OME-Zarr.

The chunks stay as they are, byte for byte, under their names: Zarr format 3 knows format 2's keys as the chunk key encoding "v2".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omexp.errors import ArgumentError
from omexp.storage.codecs import BLOSC_CNAMES, SHUFFLES

__all__ = ["array_in_format3"]

_STRINGS = ("vlen-utf8", "vlen-bytes")
_FLOATS = ("NaN", "Infinity", "-Infinity")


def array_in_format3(
    document: Mapping[str, Any], attributes: Mapping[str, Any], where: str, dimension_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """The `zarr.json` of an array for its `.zarray` and `.zattrs`.

    Parameters
    ----------
    document, attributes
        The content of `.zarray` and `.zattrs`.
    where
        The array, for messages.
    dimension_names
        One name per axis, or None.

    Raises
    ------
    ArgumentError
        It has a codec, filter or dtype that Zarr format 3 does not have: its chunks must be written anew.

    Examples
    --------
    >>> old = {"shape": [4], "chunks": [2], "dtype": "<u2", "order": "C", "fill_value": 0, "compressor": None, "filters": None}
    >>> new = array_in_format3(old, {}, "a")
    >>> new["chunk_key_encoding"], new["codecs"]
    ({'name': 'v2', 'configuration': {'separator': '.'}}, [{'name': 'bytes', 'configuration': {'endian': 'little'}}])
    """
    try:
        shape, chunks = [int(n) for n in document["shape"]], [int(n) for n in document["chunks"]]
        filters = list(document.get("filters") or [])
        strings = [f["id"] for f in filters] == [_STRINGS[0]] and document["dtype"] == "|O"
        dtype = None if strings else np.dtype(document["dtype"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ArgumentError(f"the array's document cannot be used ({type(error).__name__}: {error})", where=where) from None
    if not strings and (filters or dtype is None or dtype.kind not in "buif" or dtype.itemsize > 8):
        got = ", ".join(str(f.get("id")) for f in filters) or str(document["dtype"])
        raise ArgumentError("Zarr format 3 has no such filter or dtype", where=where, got=got, hint="Convert to a new store.")
    codecs: list[dict[str, Any]] = []
    if str(document.get("order", "C")) == "F" and len(shape) > 1:
        codecs.append({"name": "transpose", "configuration": {"order": list(range(len(shape)))[::-1]}})
    codecs.append(_bytes_codec(dtype))
    if document.get("compressor"):
        try:
            codecs.append(_compressor(document["compressor"], 1 if dtype is None else dtype.itemsize, where))
        except ArgumentError:
            raise
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError):
            raise ArgumentError("the array's codec cannot be used", where=where, got=repr(document["compressor"])[:80]) from None
    found = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "string" if dtype is None else dtype.newbyteorder("=").name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": document.get("dimension_separator", ".")}},
        "fill_value": _fill_value(document.get("fill_value"), dtype, where),
        "codecs": codecs,
        "attributes": {k: v for k, v in attributes.items() if k != "_ARRAY_DIMENSIONS"},
        "storage_transformers": [],
    }
    names = dimension_names or attributes.get("_ARRAY_DIMENSIONS")
    if isinstance(names, Sequence) and len(names) == len(shape):
        found["dimension_names"] = list(names)
    return found


def _bytes_codec(dtype: np.dtype[Any] | None) -> dict[str, Any]:
    if dtype is None:
        return {"name": _STRINGS[0]}
    if dtype.itemsize == 1:
        return {"name": "bytes"}
    return {"name": "bytes", "configuration": {"endian": "big" if dtype.byteorder == ">" else "little"}}


def _compressor(config: Mapping[str, Any], itemsize: int, where: str) -> dict[str, Any]:
    kind = config.get("id")
    if kind == "blosc" and config.get("cname") in BLOSC_CNAMES:
        shuffle = int(config.get("shuffle", 1))
        shuffle = shuffle if shuffle >= 0 else 1 + (itemsize == 1)
        settings = {"cname": config["cname"], "clevel": int(config.get("clevel", 5)), "blocksize": int(config.get("blocksize", 0))}
        return {"name": "blosc", "configuration": settings | {"shuffle": SHUFFLES[shuffle], "typesize": itemsize}}
    if kind == "zstd":
        return {"name": "zstd", "configuration": {"level": int(config.get("level", 0)), "checksum": bool(config.get("checksum", False))}}
    if kind == "gzip":
        level = int(config.get("level", 6))
        return {"name": "gzip", "configuration": {"level": level if 0 <= level <= 9 else 6}}
    raise ArgumentError("Zarr format 3 has no such codec", where=where, got=repr(kind), hint="Convert to a new store.")


def _fill_value(value: Any, dtype: np.dtype[Any] | None, where: str) -> Any:
    """Format 3 has a value for every array; format 2's null leaves it open, and zarr reads zeros then."""
    if dtype is None:
        return value if isinstance(value, str) else ""
    if value is None:
        return False if dtype.kind == "b" else 0.0 if dtype.kind == "f" else 0
    if dtype.kind == "f" and isinstance(value, str) and value in _FLOATS:
        return value
    if isinstance(value, str) or (dtype.kind == "b" and value not in (0, 1)):
        raise ArgumentError("the fill value is none of the dtype", where=where, got=repr(value), allowed=dtype.name)
    try:
        number = dtype.newbyteorder("=").type(value).item()
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError("the fill value is none of the dtype", where=where, got=repr(value), allowed=dtype.name) from None
    if isinstance(number, float) and not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return number
