"""Codecs of new arrays. Knows: names, documents and objects of both Zarr formats, and which mean the same. Does not know: shapes, files.

Blosc, zstd and gzip are in both formats; their configuration in Zarr format 2 (numcodecs) is the form that all others are turned into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numcodecs
import numpy as np
import zarr.codecs
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.registry import get_codec_class

from omexp.errors import ArgumentError

__all__ = ["NAMES", "codecs_for", "codecs_like", "require_encodable"]

BLOSC_CNAMES = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")  # what numcodecs is built with: no snappy
SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")  # numcodecs' 0, 1, 2; its -1 picks one of the last two
# measured on noisy uint16: smaller than zarr's zstd default (366 against 380 MB) and about five times faster to write
DEFAULTS: dict[str, dict[str, Any]] = {
    "blosc": {"cname": "lz4", "clevel": 5, "shuffle": 2, "blocksize": 0},
    "zstd": {"level": 3, "checksum": False},
    "gzip": {"level": 6},
}
LEVELS = {"blosc": ("clevel", 0, 9), "zstd": ("level", -131072, 22), "gzip": ("level", 0, 9)}
BLOSC_BYTES = 2**31 - 17  # c-blosc's largest buffer
NAMES = ("auto", "none", "lz4", "zstd", "gzip", "blosc", *(f"blosc:{c}" for c in BLOSC_CNAMES))


def codecs_for(compressors: Any, zarr_format: int, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The codec objects that a `compressors=` argument means in an array of this Zarr format and dtype.

    Parameters
    ----------
    compressors
        "auto" (Blosc lz4, level 5, bitshuffle), None or "none" (uncompressed), a name ("blosc", "blosc:lz4", "blosc:lz4hc",
        "blosc:zstd", "blosc:zlib", "blosc:blosclz", "lz4" for Blosc lz4, "zstd", "gzip"), a name with a level ("zstd:3", "gzip:6",
        "blosc:zstd:5"), a document of Zarr format 2 or 3 (``{"id": "zstd", "level": 3}``,
        ``{"name": "zstd", "configuration": {"level": 3}}``), an object of numcodecs or zarr.codecs, or a list of these. What belongs to the
        other format is turned into its namesake with the same settings; Blosc then gets the dtype's size as its typesize.

    Raises
    ------
    ArgumentError
        A name, level or setting that does not exist; a codec that only the other format has; two codecs in Zarr format 2.

    Examples
    --------
    >>> codecs_for("zstd:7", 2, np.dtype("uint16"))
    (Zstd(level=7),)
    >>> codecs_for(numcodecs.GZip(2), 3, np.dtype("uint16"))
    (GzipCodec(level=2),)
    """
    if compressors is None or (isinstance(compressors, str) and compressors == "none"):
        return ()
    if not isinstance(compressors, (list, tuple)):
        return (_codec(compressors, zarr_format, dtype),)
    found = tuple(codec for one in compressors for codec in codecs_for(one, zarr_format, dtype))
    if zarr_format == 2 and len(found) > 1:
        raise ArgumentError(
            "Zarr format 2 takes one compressor", where="compressors", got=f"{len(found)}", hint="Pass one, or write OME-Zarr 0.5."
        )
    return found


def codecs_like(codecs: Sequence[Any], zarr_format: int, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """The codecs of a stored array for one of this Zarr format and dtype; the default's where a codec is not in this format, or its
    settings are none that it has: stores hold Blosc shuffles that are text, and gzip of level -1."""
    configs = [_config(codec) for codec in codecs]
    if not all(config or _fits(codec, zarr_format) for codec, config in zip(codecs, configs, strict=True)):
        return codecs_for("auto", zarr_format, dtype)
    try:
        found = tuple(
            _made(_checked(config), zarr_format, dtype) if config else codec for codec, config in zip(codecs, configs, strict=True)
        )
    except (ValueError, TypeError, LookupError):
        return codecs_for("auto", zarr_format, dtype)
    return found if zarr_format == 3 or len(found) < 2 else codecs_for("auto", zarr_format, dtype)


def require_encodable(codecs: Sequence[Any], chunk_bytes: int) -> None:
    """Raise `ArgumentError` for chunks that are too large for one of the codecs, which would fail at the first one."""
    if chunk_bytes > BLOSC_BYTES and any((_config(codec) or {}).get("id") == "blosc" for codec in codecs):
        raise ArgumentError(
            "Blosc cannot encode chunks of 2 GiB and more",
            where="chunks",
            got=f"{chunk_bytes} bytes",
            allowed=f"{BLOSC_BYTES} bytes",
            hint="Pass smaller chunks, or compressors='zstd'.",
        )


def _codec(compressor: Any, zarr_format: int, dtype: np.dtype[Any]) -> Any:
    if isinstance(compressor, str):
        return _made(_checked(_named(compressor)), zarr_format, dtype)
    codec = _settled(_of_document(compressor) if isinstance(compressor, Mapping) else compressor, dtype)
    config = _config(codec)
    if config is not None:
        _checked(config)
    if _fits(codec, zarr_format):
        return codec
    if config is None:
        wanted = "a zarr.codecs object" if zarr_format == 3 else "a numcodecs object"
        raise ArgumentError(
            f"this codec does not fit Zarr format {zarr_format}",
            where="compressors",
            got=repr(compressor),
            allowed=f"{wanted}; Blosc, zstd or gzip of either library; or a name such as 'zstd'",
        )
    return _made(config, zarr_format, dtype)


def _settled(codec: Any, dtype: np.dtype[Any]) -> Any:
    """The codec with what zarr leaves open until it knows the dtype, so that a layout says what will be on disk."""
    left_open = getattr(codec, "_tunable_attrs", ())  # of zarr's BloscCodec
    if not left_open:
        return codec
    settled = {"typesize": dtype.itemsize, "shuffle": SHUFFLES[1 + (dtype.itemsize == 1)]}
    return zarr.codecs.BloscCodec(**(codec.to_dict()["configuration"] | {name: settled[name] for name in left_open}))


def _fits(codec: Any, zarr_format: int) -> bool:
    return isinstance(codec, BytesBytesCodec if zarr_format == 3 else Codec)


def _named(name: str) -> dict[str, Any]:
    """The configuration behind a name: kind, then Blosc's inner codec, then the level."""
    kind, *rest = {"auto": "blosc"}.get(name, name).split(":")
    if kind == "lz4":
        kind, rest = "blosc", ["lz4", *rest]
    settings = dict(DEFAULTS.get(kind, {}))
    if kind == "blosc" and rest and rest[0] in BLOSC_CNAMES:
        settings["cname"] = rest.pop(0)
    if settings and rest and re.fullmatch(r"-?\d+", rest[0]):
        settings[LEVELS[kind][0]] = int(rest.pop(0))
    if rest or not settings:
        raise ArgumentError(
            "compressors is not understood", got=repr(name), allowed=f"{', '.join(NAMES)}; with a level such as 'zstd:3', 'blosc:zstd:5'"
        )
    return {"id": kind} | settings


def _of_document(document: Mapping[str, Any]) -> Any:
    """The object of a codec's JSON document, by the library that its format belongs to."""
    try:
        if "id" in document:
            return numcodecs.get_codec(dict(document))
        return get_codec_class(document["name"]).from_dict({"configuration": {}} | dict(document))
    except (ValueError, TypeError, LookupError) as error:
        raise ArgumentError(
            f"this codec cannot be made ({type(error).__name__}: {error})",
            where="compressors",
            got=repr(dict(document)),
            allowed="{'name': ..., 'configuration': {...}} as in Zarr format 3, {'id': ..., ...} as in Zarr format 2",
        ) from None


def _config(codec: Any) -> dict[str, Any] | None:
    """The configuration in numcodecs' terms of a codec that both formats have; None for any other."""
    if isinstance(codec, Codec):
        config = codec.get_config()
    elif isinstance(codec, BytesBytesCodec):
        document: dict[str, Any] = codec.to_dict()
        config = {"id": document["name"], **document.get("configuration", {})}
        config.pop("typesize", None)  # in Zarr format 2 the pixels say it
        config |= {"shuffle": SHUFFLES.index(config["shuffle"])} if "shuffle" in config and config["id"] == "blosc" else {}
    else:
        return None
    return config if config["id"] in DEFAULTS else None


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration, if it can encode: both libraries take any Blosc setting, and fail at the first chunk."""
    name, low, high = LEVELS[config["id"]]
    level = config[name]
    if not isinstance(level, Integral) or int(level) not in range(low, high + 1):
        raise ArgumentError(
            f"there is no such compression level of {config['id']}", where="compressors", got=repr(level), allowed=f"{low} to {high}"
        )
    if config["id"] != "blosc":
        return config
    if config["cname"] not in BLOSC_CNAMES:
        raise ArgumentError("Blosc has no such codec here", where="compressors", got=repr(config["cname"]), allowed=", ".join(BLOSC_CNAMES))
    if config["shuffle"] not in (-1, 0, 1, 2):
        raise ArgumentError("Blosc has no such shuffle", where="compressors", got=repr(config["shuffle"]), allowed="-1, 0, 1, 2")
    return config


def _made(config: dict[str, Any], zarr_format: int, dtype: np.dtype[Any]) -> Any:
    if zarr_format == 2:
        return numcodecs.get_codec(dict(config))
    settings = {key: value for key, value in config.items() if key != "id"}
    if config["id"] == "zstd":
        return zarr.codecs.ZstdCodec(**settings)
    if config["id"] == "gzip":
        return zarr.codecs.GzipCodec(**settings)
    shuffle = settings["shuffle"] if settings["shuffle"] >= 0 else 1 + (dtype.itemsize == 1)  # as numcodecs takes its -1
    return zarr.codecs.BloscCodec(**settings | {"shuffle": SHUFFLES[shuffle], "typesize": dtype.itemsize})
