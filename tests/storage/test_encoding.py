"""Encoded write units: zarr-python, zarrs and TensorStore read back bit for bit what is stored; what we cannot encode is left to zarr."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs as zc
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore

from omexp.errors import ReadOnlyError, StoredDataError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.encoding import ChunkEncoder, ShardEncoder, UnknownCodecError, encoder_of

DTYPES = ("bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
CNAMES = ("lz4", "lz4hc", "zstd", "zlib", "blosclz")
V3_CODECS: list[list[Any]] = [
    *[[zc.BloscCodec(cname=c, clevel=3, shuffle=s)] for c in CNAMES for s in ("noshuffle", "shuffle", "bitshuffle")],
    [],
    [zc.ZstdCodec(level=1)],
    [zc.ZstdCodec(level=1, checksum=True)],
    [zc.GzipCodec(level=1)],
    [zc.Crc32cCodec()],
    [zc.ZstdCodec(level=1), zc.Crc32cCodec()],
]
V2_CODECS: list[Any] = [
    *[numcodecs.Blosc(c, 3, shuffle) for c in CNAMES for shuffle in (-1, 0, 1, 2)],
    None,
    numcodecs.Zstd(1),
    numcodecs.GZip(1),
    numcodecs.Zlib(1),
    numcodecs.LZ4(),
    numcodecs.BZ2(1),
]


def bits(array: np.ndarray) -> bytes:
    """The pixels in native order, as bytes: -0.0 is not 0.0, one NaN is not another."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).tobytes()


def pixels_of(draw: st.DrawFn, shape: tuple[int, ...], dtype: str, fill: Any) -> np.ndarray:
    """Any bits at all; some pieces hold nothing but the fill value, its negative zero, or a NaN of other bits."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    raw = random.integers(0, 256, math.prod(shape) * np.dtype(dtype).itemsize, "uint8")
    pixels = (raw % 2).astype(bool) if dtype == "bool" else raw.view(dtype)
    pixels = pixels.reshape(shape).copy()
    for start in draw(st.lists(st.tuples(*[st.integers(0, n) for n in shape]), max_size=2)):
        place = tuple(slice(a, None) for a in start)
        pixels[place] = 0 if fill is None else fill
        if dtype.startswith("f") and fill == 0 and draw(st.booleans()):
            pixels[place] = -0.0
    return pixels


@st.composite
def cases(draw: st.DrawFn, zarr_format: int) -> dict[str, Any]:
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 13)) for _ in range(ndim))
    inner = tuple(draw(st.integers(1, n)) for n in shape)
    dtype = draw(st.sampled_from(DTYPES))
    fill: Any = draw(st.sampled_from([0, 1] if dtype == "bool" else [0, 7])) if not dtype.startswith("f") else None
    if fill is None:
        fill = draw(st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]))
    order = "" if np.dtype(dtype).itemsize == 1 else draw(st.sampled_from("<>"))
    case: dict[str, Any] = {"shape": shape, "chunks": inner, "dtype": dtype, "fill": fill, "zarr_format": zarr_format, "order": order}
    if zarr_format == 2:
        case["codec"] = draw(st.sampled_from(V2_CODECS))
    else:
        case["codecs"] = draw(st.sampled_from(V3_CODECS))
        case["per_shard"] = draw(st.none() | st.tuples(*[st.integers(1, 3)] * ndim))
        case["index"] = draw(st.sampled_from(["start", "end"]))
    case["pixels"] = pixels_of(draw, shape, dtype, fill)
    return case


def created(store: Any, case: dict[str, Any]) -> zarr.Array[Any]:
    options: dict[str, Any] = {"shape": case["shape"], "fill_value": case["fill"], "zarr_format": case["zarr_format"]}
    if case["zarr_format"] == 2:
        dtype = f"{case['order']}{case['dtype']}"
        return zarr.create_array(store, dtype=dtype, chunks=case["chunks"], compressors=case["codec"], **options)
    endian = {"<": "little", ">": "big", "": None}[case["order"]]
    codecs = [zc.BytesCodec(endian=endian), *case["codecs"]]
    if case["per_shard"] is None:
        return zarr.create_array(
            store, dtype=case["dtype"], chunks=case["chunks"], serializer=codecs[0], compressors=case["codecs"], filters=None, **options
        )
    shard = tuple(c * n for c, n in zip(case["chunks"], case["per_shard"], strict=True))
    sharding = zc.ShardingCodec(chunk_shape=case["chunks"], codecs=codecs, index_location=case["index"])
    return zarr.create_array(store, dtype=case["dtype"], chunks=shard, serializer=sharding, compressors=None, filters=None, **options)


def check_stored(case: dict[str, Any], *, cut: Region | None = None) -> None:
    store = MemoryStore()
    array = created(store, case)
    encoder = encoder_of(array.metadata)
    assert isinstance(encoder, ShardEncoder if case.get("per_shard") else ChunkEncoder)
    stored, expected = StoredArray(array), case["pixels"]
    stored.write(Region.whole(case["shape"]), expected)
    if cut is not None:
        expected = expected.copy()
        expected[cut.slices] = case["pixels"][::-1, ...][cut.slices]
        stored.write(cut, expected[cut.slices])
    again = zarr.open_array(store, mode="r")
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        read = zarr.open_array(store, mode="r")[...]
    assert bits(np.asarray(read)) == bits(expected)
    assert bits(stored.read(Region.whole(case["shape"]))) == bits(expected)
    unit = stored.write_unit
    fill = np.array(again.fill_value, expected.dtype)
    for index in np.ndindex(*[-(-n // u) for n, u in zip(case["shape"], unit, strict=True)]):
        part = expected[tuple(slice(i * u, (i + 1) * u) for i, u in zip(index, unit, strict=True))]
        is_fill = bits(part) == bits(np.full(part.shape, fill, expected.dtype))
        assert (again.metadata.encode_chunk_key(index) in store._store_dict) != is_fill


@given(cases(3))
def test_what_is_stored_in_zarr_format_3_zarr_reads_bit_for_bit_and_units_of_fill_value_are_not_there(case: dict[str, Any]) -> None:
    check_stored(case)


@given(cases(2))
def test_what_is_stored_in_zarr_format_2_zarr_reads_bit_for_bit_and_units_of_fill_value_are_not_there(case: dict[str, Any]) -> None:
    check_stored(case)


@given(st.data(), st.sampled_from([2, 3]))
def test_a_box_that_cuts_units_changes_nothing_else(data: st.DataObject, zarr_format: int) -> None:
    case = data.draw(cases(zarr_format))
    start = tuple(data.draw(st.integers(0, n)) for n in case["shape"])
    stop = tuple(data.draw(st.integers(a, n)) for a, n in zip(start, case["shape"], strict=True))
    check_stored(case, cut=Region(start, stop))


@pytest.mark.parametrize("codecs", V3_CODECS, ids=repr)
@pytest.mark.parametrize("index", [None, "start", "end"])
@pytest.mark.parametrize("order", "<>")
def test_zarrs_and_tensorstore_read_what_is_stored(codecs: list[Any], order: str, index: str | None, tmp_path: Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    pixels = np.arange(20 * 30, dtype="uint16").reshape(20, 30) % 61
    pixels[8:, :8] = 3  # the fill value
    per_shard = None if index is None else (2, 2)
    case = {"shape": (20, 30), "chunks": (4, 8), "dtype": "u2", "fill": 3, "zarr_format": 3, "order": order, "codecs": codecs}
    stored = StoredArray(created(LocalStore(tmp_path / "a.zarr"), case | {"per_shard": per_shard, "index": index}))
    stored.write(Region.whole((20, 30)), pixels)
    assert stored.pipeline == "zarrs"
    np.testing.assert_array_equal(StoredArray(zarr.open_array(tmp_path / "a.zarr")).read(Region.whole((20, 30))), pixels)
    place = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "a.zarr")}}
    np.testing.assert_array_equal(tensorstore.open(place, open=True).result().read().result(), pixels)


@pytest.mark.parametrize("codec", V2_CODECS, ids=repr)
def test_tensorstore_reads_what_is_stored_in_zarr_format_2(codec: Any, tmp_path: Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    if isinstance(codec, (numcodecs.LZ4, numcodecs.GZip)):
        pytest.skip("TensorStore does not know this codec by its Zarr format 2 name")
    pixels = np.arange(20 * 30, dtype=">i4").reshape(20, 30)
    case = {"shape": (20, 30), "chunks": (7, 8), "dtype": "i4", "fill": 0, "zarr_format": 2, "order": ">", "codec": codec}
    StoredArray(created(LocalStore(tmp_path / "a.zarr"), case)).write(Region.whole((20, 30)), pixels)
    place = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(tmp_path / "a.zarr")}}
    np.testing.assert_array_equal(tensorstore.open(place, open=True).result().read().result(), pixels)


# -------------------------------------------------------------------------------------------------- left to zarr
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "transpose": ({"filters": [zc.TransposeCodec(order=(1, 0))]}, "transpose"),
    "another typesize": ({"compressors": [zc.BloscCodec(typesize=1, shuffle="shuffle")]}, "blosc with typesize 1 for uint16"),
    "nested shards": (
        {"serializer": zc.ShardingCodec(chunk_shape=(8, 8), codecs=[zc.ShardingCodec(chunk_shape=(4, 4))]), "compressors": None},
        "sharding_indexed",
    ),
    "compressed shards": (
        {"serializer": zc.ShardingCodec(chunk_shape=(4, 8)), "compressors": [zc.ZstdCodec()], "chunks": (8, 16)},
        "zstd around shards",
    ),
    "big-endian index": (
        {
            "serializer": zc.ShardingCodec(chunk_shape=(4, 8), index_codecs=[zc.BytesCodec(endian="big"), zc.Crc32cCodec()]),
            "chunks": (8, 16),
            "compressors": None,
        },
        "a shard index of bytes\\+crc32c in big-endian order",
    ),
    "index without checksum": (
        {"serializer": zc.ShardingCodec(chunk_shape=(4, 8), index_codecs=[zc.BytesCodec()]), "chunks": (8, 16), "compressors": None},
        "a shard index of bytes",
    ),
    "Fortran order": ({"zarr_format": 2, "order": "F"}, "Fortran order"),
    "complex": ({"dtype": "complex64"}, "dtype complex64"),
}


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3", "ignore:Combining a `sharding_indexed` codec")
@pytest.mark.filterwarnings("ignore:.*sharding.*:UserWarning", "ignore:.*order.*:RuntimeWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_encoded_exactly_is_refused_by_name_and_left_to_zarr(kind: str, tmp_path: Path) -> None:
    options, named = REFUSED[kind]
    array = zarr.create_array(LocalStore(tmp_path / "a.zarr"), **{"shape": (20, 30), "dtype": "uint16", "chunks": (8, 16)} | options)
    with pytest.raises(UnknownCodecError, match=named):
        encoder_of(array.metadata)
    pixels = np.arange(600).reshape(20, 30).astype(array.dtype)
    stored = StoredArray(array)
    for fast in (False, True):
        stored.write(Region.whole((20, 30)), pixels, fast=fast)
        stored.write(Region((3, 5), (11, 29)), pixels[3:11, 5:29] + 1, fast=fast)
        expected = pixels.copy()
        expected[3:11, 5:29] += 1
        np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[...], expected)
        np.testing.assert_array_equal(stored.read(Region.whole((20, 30))), expected)


def test_a_codec_that_numcodecs_does_not_know_is_refused(tmp_path: Path) -> None:
    array = zarr.create_array(LocalStore(tmp_path / "a.zarr"), shape=(4, 4), dtype="uint8", chunks=(2, 2), zarr_format=2, compressors=None)

    class Unheard:
        def __getattr__(self, name: str) -> Any:
            return getattr(array.metadata, name)

        def to_dict(self) -> dict[str, Any]:
            return array.metadata.to_dict() | {"compressor": {"id": "rar"}}

    with pytest.raises(UnknownCodecError, match="rar"):
        encoder_of(Unheard())


# --------------------------------------------------------------------------------------------------------- damage
@pytest.mark.parametrize("per_shard", [None, (2, 2)])
def test_a_damaged_unit_is_an_error_that_names_the_array_and_never_silently_replaced(per_shard: Any, tmp_path: Path) -> None:
    case = {"shape": (16, 16), "chunks": (4, 8), "dtype": "u2", "fill": 0, "zarr_format": 3, "order": "<", "codecs": [zc.ZstdCodec()]}
    stored = StoredArray(created(LocalStore(tmp_path / "a.zarr"), case | {"per_shard": per_shard, "index": "end"}))
    stored.write(Region.whole((16, 16)), np.arange(256, dtype="uint16").reshape(16, 16))
    unit = tmp_path / "a.zarr" / "c" / "0" / "0"
    for damaged in (unit.read_bytes()[:10], b"", b"\xff" * 60):
        unit.write_bytes(damaged)
        with pytest.raises(StoredDataError, match=r"a.zarr: pixels cannot be read .*box \(0, 0\) to"):
            stored.read(Region((0, 0), (2, 2)))
        with pytest.raises(StoredDataError, match="A chunk may be damaged"):
            stored.write(Region((0, 0), (1, 1)), np.ones((1, 1), "uint16"))
        assert unit.read_bytes() == damaged
    stored.write(Region((0, 0), stored.write_unit), np.ones(stored.write_unit, "uint16"))  # a whole unit needs not be read
    assert (stored.read(Region((0, 0), stored.write_unit)) == 1).all()


def test_a_store_opened_for_reading_is_never_written(tmp_path: Path) -> None:
    case = {"shape": (4,), "chunks": (2,), "dtype": "u2", "fill": 0, "zarr_format": 3, "order": "<", "codecs": [], "per_shard": None}
    created(LocalStore(tmp_path / "a.zarr"), case)
    stored = StoredArray(zarr.open_array(tmp_path / "a.zarr", mode="r"))
    for region in (Region((0,), (4,)), Region((0,), (0,))):
        with pytest.raises(ReadOnlyError, match="a.zarr: the store is read-only. Open it with mode='r\\+'"):
            stored.write(region, np.ones(region.shape, "uint16"))
    assert sorted(p.name for p in (tmp_path / "a.zarr").iterdir()) == ["zarr.json"]


def test_a_unit_that_becomes_fill_value_is_removed_and_pixels_of_another_byte_order_are_stored_right(tmp_path: Path) -> None:
    case = {"shape": (4,), "chunks": (2,), "dtype": "i4", "fill": 5, "zarr_format": 3, "order": "<", "codecs": [], "per_shard": None}
    stored = StoredArray(created(LocalStore(tmp_path / "a.zarr"), case))
    stored.write(Region((0,), (4,)), np.arange(4, dtype=">i4"))
    assert stored.read(Region((0,), (4,))).tolist() == [0, 1, 2, 3]
    stored.write(Region((0,), (2,)), np.full(2, 5, ">i4"))
    assert [p.name for p in (tmp_path / "a.zarr" / "c").iterdir()] == ["1"]
    assert stored.read(Region((0,), (4,))).tolist() == [5, 5, 2, 3]
    stored.write(Region((1,), (2,)), np.full(1, 9, "int32"))
    assert stored.read(Region((0,), (4,))).tolist() == [5, 9, 2, 3]


@pytest.mark.parametrize("rows", [200, 255, 257])
def test_a_zstd_frame_of_another_size_is_a_damaged_chunk(rows: int, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(256, 256), chunks=(256, 256), dtype="uint16", compressors=zarr.codecs.ZstdCodec())
    array[...] = 7
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(numcodecs.Zstd(1).encode(np.ones((rows, 256), "uint16")))
    with pytest.raises(StoredDataError, match=r"pixels cannot be read .*a chunk is damaged"):
        StoredArray(zarr.open_array(tmp_path / "a")).read(Region.whole((256, 256)))
