"""Codecs of new arrays: by name, document and object, in both Zarr formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from omexp.errors import ArgumentError
from omexp.geometry import Region
from omexp.storage.codecs import NAMES, codecs_for, codecs_like, require_encodable
from omexp.storage.groups import create_group
from omexp.storage.layout import create_array, plan_layout

U2 = np.dtype("uint16")
BITS, BYTES = numcodecs.Blosc.BITSHUFFLE, numcodecs.Blosc.SHUFFLE


def one(compressors: Any, zarr_format: int, dtype: Any = U2) -> Any:
    (codec,) = codecs_for(compressors, zarr_format, np.dtype(dtype))
    return codec


def settings_of(codec: Any) -> dict[str, Any]:
    """A codec's settings in the words of Zarr format 3, without typesize."""
    if isinstance(codec, numcodecs.abc.Codec):
        config = ({"checksum": False} if isinstance(codec, numcodecs.Zstd) else {}) | codec.get_config()
        return config | ({"shuffle": ("noshuffle", "shuffle", "bitshuffle")[config["shuffle"]]} if config["id"] == "blosc" else {})
    document = codec.to_dict()
    return {"id": document["name"]} | {k: v for k, v in document["configuration"].items() if k != "typesize"}


# ----------------------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("auto", {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}),
        ("lz4", {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}),
        ("blosc", {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}),
        ("lz4:9", {"id": "blosc", "cname": "lz4", "clevel": 9, "shuffle": "bitshuffle", "blocksize": 0}),
        ("blosc:1", {"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": "bitshuffle", "blocksize": 0}),
        ("blosc:zstd:7", {"id": "blosc", "cname": "zstd", "clevel": 7, "shuffle": "bitshuffle", "blocksize": 0}),
        ("blosc:lz4hc", {"id": "blosc", "cname": "lz4hc", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}),
        ("zstd", {"id": "zstd", "level": 3, "checksum": False}),
        ("zstd:-5", {"id": "zstd", "level": -5, "checksum": False}),
        ("gzip", {"id": "gzip", "level": 6}),
        ("gzip:1", {"id": "gzip", "level": 1}),
    ],
)
def test_a_name_means_the_same_settings_in_both_formats(name: str, settings: dict[str, Any], zarr_format: int) -> None:
    codec = one(name, zarr_format)
    assert isinstance(codec, numcodecs.abc.Codec if zarr_format == 2 else zarr.abc.codec.BytesBytesCodec)
    assert settings_of(codec) == settings


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_none_leaves_pixels_uncompressed(zarr_format: int) -> None:
    assert {codecs_for(nothing, zarr_format, U2) for nothing in (None, "none", (), [None])} == {()}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_an_array_says_its_codec_by_the_name_that_it_was_made_with(name: str, zarr_format: int, tmp_path: Path) -> None:
    layout = plan_layout((8, 8), "uint16", "yx", zarr_format=zarr_format, compressors=name)
    array = create_array(create_group(tmp_path / "a.zarr", zarr_format), "0", layout, axes="yx")
    assert array.codec == {"auto": "blosc:lz4", "lz4": "blosc:lz4", "blosc": "blosc:lz4"}.get(name, name)
    pixels = np.arange(64, dtype="uint16").reshape(8, 8)
    array.write(Region.whole((8, 8)), pixels)
    np.testing.assert_array_equal(array.read(Region.whole((8, 8))), pixels)


# ------------------------------------------------------------------------------------------- documents and objects
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_documents_of_either_format_are_understood_in_both(zarr_format: int) -> None:
    for document, settings in [
        ({"id": "zstd", "level": 7}, {"id": "zstd", "level": 7, "checksum": False}),
        ({"name": "zstd", "configuration": {"level": 7, "checksum": True}}, {"id": "zstd", "level": 7, "checksum": True}),
        ({"id": "gzip", "level": 2}, {"id": "gzip", "level": 2}),
        ({"name": "gzip", "configuration": {"level": 2}}, {"id": "gzip", "level": 2}),
        (
            {"id": "blosc", "cname": "zstd", "clevel": 4, "shuffle": 1, "blocksize": 0},
            {"id": "blosc", "cname": "zstd", "clevel": 4, "shuffle": "shuffle", "blocksize": 0},
        ),
        (
            {"name": "blosc", "configuration": {"cname": "zlib", "clevel": 4, "shuffle": "noshuffle", "blocksize": 256}},
            {"id": "blosc", "cname": "zlib", "clevel": 4, "shuffle": "noshuffle", "blocksize": 256},
        ),
    ]:
        assert settings_of(one(document, zarr_format)) == settings
        assert settings_of(one([document], zarr_format)) == settings


@pytest.mark.parametrize(
    ("codec", "zarr_format"),
    [
        (numcodecs.Blosc("zstd", 3, BYTES), 2),
        (numcodecs.LZ4(), 2),
        (numcodecs.LZMA(), 2),
        (BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=1), 3),
        (ZstdCodec(level=1), 3),
        (Crc32cCodec(), 3),
    ],
)
def test_an_object_of_the_format_is_taken_as_it_is(codec: Any, zarr_format: int) -> None:
    assert one(codec, zarr_format) is codec


BLOSC = st.builds(
    numcodecs.Blosc,
    cname=st.sampled_from(["blosclz", "lz4", "lz4hc", "zlib", "zstd"]),
    clevel=st.integers(0, 9),
    shuffle=st.sampled_from([0, 1, 2]),
    blocksize=st.sampled_from([0, 512]),
)
OF_BOTH = st.one_of(
    BLOSC,
    st.builds(numcodecs.Zstd, level=st.integers(1, 22), checksum=st.booleans()),
    st.builds(numcodecs.GZip, level=st.integers(0, 9)),
)


@given(OF_BOTH, st.sampled_from(["uint8", "uint16", "float32", "int64"]))
def test_codecs_of_both_formats_go_there_and_back_with_all_their_settings(codec: Any, dtype: str) -> None:
    there = one(codec, 3, dtype)
    assert settings_of(there) == settings_of(codec)
    assert one(there, 2, dtype).get_config() == codec.get_config()
    if isinstance(there, BloscCodec):
        assert there.typesize == np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(
    "compressors", ["auto", "blosc:zstd", numcodecs.Blosc("lz4", 5, BYTES), numcodecs.Blosc("zstd", 1, -1), "zstd", "gzip"]
)
def test_a_chunk_is_the_same_bytes_in_both_formats(compressors: Any, dtype: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).poisson(90, (32, 32)).astype(dtype)
    stored = []
    for zarr_format in (2, 3):
        layout = plan_layout((32, 32), dtype, "yx", zarr_format=zarr_format, chunks=32, compressors=compressors)
        array = create_array(create_group(tmp_path / f"{zarr_format}.zarr", zarr_format), "0", layout, axes="yx")
        array.zarr[...] = pixels
        (chunk,) = [p for p in (tmp_path / f"{zarr_format}.zarr").rglob("*") if p.is_file() and p.parent.name == "0" and p.name == "0"]
        stored.append(chunk.read_bytes())
    if compressors == "gzip":  # whose header holds a time
        stored = [b[10:] for b in stored]
    assert stored[0] == stored[1]


@pytest.mark.parametrize(("dtype", "shuffle"), [("uint8", "bitshuffle"), ("uint16", "shuffle"), ("float64", "shuffle")])
def test_what_zarr_leaves_open_until_it_knows_the_dtype_is_settled(dtype: str, shuffle: str, tmp_path: Path) -> None:
    layout = plan_layout((8, 8), dtype, "yx", zarr_format=3, compressors=BloscCodec(cname="zstd"))
    settings = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": shuffle, "blocksize": 0}
    assert settings_of(layout.compressors[0]) == settings_of(one(BloscCodec(cname="zstd"), 2, dtype)) == settings
    stored = create_array(create_group(tmp_path / "a.zarr", 3), "0", layout, axes="yx").compressors[0]
    assert stored == layout.compressors[0]
    assert stored.typesize == np.dtype(dtype).itemsize
    assert one({"name": "blosc", "configuration": {"cname": "lz4", "shuffle": "shuffle"}}, 3, dtype).typesize == np.dtype(dtype).itemsize


def test_codecs_of_format_3_may_follow_each_other() -> None:
    assert [type(c) for c in codecs_for(["zstd:1", Crc32cCodec()], 3, U2)] == [ZstdCodec, Crc32cCodec]


# ------------------------------------------------------------------------------------------------- stored elsewhere
def test_stored_codecs_are_taken_over_with_the_typesize_of_the_new_dtype() -> None:
    assert codecs_like((BloscCodec(cname="zstd", typesize=2),), 3, np.dtype("float32"))[0].typesize == 4
    assert codecs_like((), 3, U2) == ()
    assert codecs_like((Crc32cCodec(),), 3, U2) == (Crc32cCodec(),)
    assert codecs_like((ZstdCodec(level=2),), 2, U2) == (numcodecs.Zstd(2),)
    assert codecs_like((numcodecs.GZip(3),), 3, U2) == (GzipCodec(level=3),)


@pytest.mark.parametrize("codecs", [(numcodecs.LZ4(),), (numcodecs.LZMA(),)])
def test_stored_codecs_that_the_new_format_has_not_become_the_default(codecs: Any) -> None:
    assert repr(codecs_like(codecs, 3, U2)) == repr(codecs_for("auto", 3, U2))
    assert repr(codecs_like((ZstdCodec(), Crc32cCodec()), 2, U2)) == repr(codecs_for("auto", 2, U2))
    assert repr(codecs_like((ZstdCodec(), GzipCodec()), 2, U2)) == repr(codecs_for("auto", 2, U2))


# -------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("compressors", "zarr_format", "message"),
    [
        ("zip", 3, "compressors is not understood; got 'zip'; allowed: auto, none, lz4, zstd, gzip, blosc, .*'zstd:3'"),
        ("blosc:snappy", 3, "compressors is not understood; got 'blosc:snappy'"),
        ("zstd:fast", 3, "compressors is not understood; got 'zstd:fast'"),
        ("zstd:3:4", 3, "compressors is not understood"),
        ("auto:3", 3, "compressors is not understood"),
        ("none:3", 2, "compressors is not understood"),
        ("", 2, "compressors is not understood"),
        ("blosc:zstd:10", 3, "compressors: there is no such compression level of blosc; got 10; allowed: 0 to 9"),
        ("zstd:23", 2, "there is no such compression level of zstd; got 23; allowed: -131072 to 22"),
        ("gzip:10", 3, "there is no such compression level of gzip"),
        (numcodecs.Blosc("lz4", 12), 2, "there is no such compression level of blosc; got 12"),
        (BloscCodec(clevel=12), 3, "there is no such compression level of blosc; got 12"),
        (BloscCodec(cname="snappy"), 3, "Blosc has no such codec here; got 'snappy'; allowed: blosclz, lz4"),
        (numcodecs.Blosc("lz5"), 3, "Blosc has no such codec here; got 'lz5'"),
        (numcodecs.Blosc("lz4", 5, 3), 3, "Blosc has no such shuffle; got 3"),
        ({"id": "nothing"}, 2, "this codec cannot be made .*nothing.*allowed: .*'configuration'"),
        ({"name": "nothing"}, 3, "this codec cannot be made .*nothing"),
        ({"name": "zstd", "configuration": {"levl": 3}}, 3, "this codec cannot be made .TypeError: .*levl"),
        ({"level": 3}, 3, "this codec cannot be made .KeyError: 'name'"),
        (5, 3, "this codec does not fit Zarr format 3; got 5; allowed: a zarr.codecs object; Blosc, zstd or gzip of either library"),
        (numcodecs.LZ4(), 3, "this codec does not fit Zarr format 3; got LZ4"),
        ({"id": "lz4"}, 3, "this codec does not fit Zarr format 3; got {'id': 'lz4'}"),
        (Crc32cCodec(), 2, "this codec does not fit Zarr format 2; .*allowed: a numcodecs object"),
        (zarr.codecs.BytesCodec(), 3, "this codec does not fit Zarr format 3"),
        (["zstd", "gzip"], 2, "Zarr format 2 takes one compressor; got 2. Pass one, or write OME-Zarr 0.5"),
    ],
)
def test_what_cannot_encode_is_refused(compressors: Any, zarr_format: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        codecs_for(compressors, zarr_format, U2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_beyond_the_largest_buffer_of_blosc_are_refused(zarr_format: int) -> None:
    with pytest.raises(
        ArgumentError, match="chunks: Blosc cannot encode chunks of 2 GiB and more; got 2147483648 bytes; .*compressors='zstd'"
    ):
        plan_layout((1 << 15, 1 << 15), "uint16", "yx", zarr_format=zarr_format, chunks=1 << 15)
    require_encodable(codecs_for("zstd", zarr_format, U2), 1 << 31)
    assert plan_layout((1 << 15, 1 << 15), "uint16", "yx", zarr_format=zarr_format, chunks=1 << 15, compressors=None).compressors == ()
