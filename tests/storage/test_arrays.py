"""Stored arrays: the Rust and the Python codec pipeline agree, boxes in and out, layouts of other writers."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore

from omexp.errors import ArgumentError, ReadOnlyError, StoredDataError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import create_group
from omexp.storage.layout import create_array, plan_layout

SHAPE, CHUNKS, SHARDS = (5, 11, 13), (2, 4, 5), (4, 8, 10)
DTYPES = ["bool", "uint8", "int8", "<u2", ">u2", "<i4", ">i8", "float16", "<f4", ">f8"]
LAYOUTS = [(2, None), (3, None), (3, SHARDS)]


def pixels(dtype: str, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(0, 50, shape)
    return (draw > 0) if dtype == "bool" else np.abs(draw).astype(dtype) if "u" in dtype else draw.astype(dtype)


def by_python(array: zarr.Array[Any]) -> StoredArray:
    """The same array with zarr's own codec pipeline, which serves any store."""
    other = zarr.open_array(WrappedStore(array.store.root), path=array.path, mode="r+", zarr_format=array.metadata.zarr_format)
    stored = StoredArray(other)
    assert stored.pipeline == "zarr-python"
    return stored


class WrappedStore(LocalStore):
    """A local store that zarrs does not know."""


def new_array(
    folder: Path, dtype: str, *, zarr_format: int = 3, shards: Any = None, compressors: Any = "auto", **given: Any
) -> StoredArray:
    group = create_group(folder / "img.zarr", zarr_format, overwrite=True)
    separator = given.pop("separator", "/")
    layout = plan_layout(
        SHAPE, dtype, "zyx", zarr_format=zarr_format, chunks=CHUNKS, shards=shards, compressors=compressors, separator=separator
    )
    return create_array(group, "0", layout, axes="zyx", **given)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------------------------------------------- pipelines
@pytest.mark.parametrize("codec", ["auto", "zstd", "gzip", "blosc", "lz4", None])
@pytest.mark.parametrize(("zarr_format", "shards"), LAYOUTS)
def test_both_pipelines_store_pixels_that_both_read(
    codec: str | None, zarr_format: int, shards: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omexp.storage.arrays.FEW_CHUNKS", 0)  # zarrs reads these few, too
    for dtype in DTYPES if codec == "auto" else ("<u2", ">f8"):
        rust = new_array(tmp_path, dtype, zarr_format=zarr_format, shards=shards, compressors=codec)
        assert (rust.pipeline, rust.pipeline_reason) == ("zarrs", "the store and codecs are known to zarrs")
        python = by_python(rust.zarr)
        native = np.dtype(dtype).newbyteorder("=")
        for seed, (writer, reader) in enumerate(((rust, python), (python, rust), (rust, rust))):
            expected = pixels(dtype, seed=seed).astype(native)
            writer.write(Region.whole(SHAPE), expected, fast=True)
            found = reader.read(Region.whole(SHAPE))
            assert (found.dtype, reader.dtype, found.flags.c_contiguous) == (native, native, True)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(zarr.open_array(tmp_path / "img.zarr" / "0", mode="r")[:], expected)


@pytest.mark.parametrize("codec", ["zstd", None])
@pytest.mark.parametrize(("zarr_format", "shards"), LAYOUTS)
def test_both_pipelines_write_the_same_keys_and_bytes(codec: str | None, zarr_format: int, shards: Any, tmp_path: Path) -> None:
    rust = new_array(tmp_path / "a", "uint16", zarr_format=zarr_format, shards=shards, compressors=codec)
    python = by_python(new_array(tmp_path / "b", "uint16", zarr_format=zarr_format, shards=shards, compressors=codec).zarr)
    for array in (rust, python):
        array.write(Region.whole(SHAPE), pixels("uint16"), fast=True)
    ours, theirs = files(tmp_path / "a"), files(tmp_path / "b")
    assert ours.keys() == theirs.keys()
    if shards is None:  # the chunks inside a shard may come in any order
        assert ours == theirs


@given(data=st.data())
def test_any_box_is_read_and_written_by_both_pipelines(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omexp.storage.arrays.FEW_CHUNKS", data.draw(st.sampled_from([0, 64])))  # zarrs; ourselves
    zarr_format, shards = data.draw(st.sampled_from(LAYOUTS))
    dtype = data.draw(st.sampled_from(DTYPES))
    rust = new_array(tmp_path_factory.mktemp("boxes"), dtype, zarr_format=zarr_format, shards=shards)
    expected = pixels(dtype).astype(rust.dtype)
    rust.write(Region.whole(SHAPE), expected, fast=True)
    for array in (rust, by_python(rust.zarr)):
        ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in SHAPE]
        box = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
        np.testing.assert_array_equal(array.read(box), expected[box.slices])
        out = np.empty(box.shape, array.dtype)
        assert array.read(box, out) is out
        np.testing.assert_array_equal(out, expected[box.slices])
        part = pixels(dtype, box.shape, seed=7).astype(rust.dtype)
        array.write(box, part, fast=data.draw(st.booleans()))
        expected[box.slices] = part
        np.testing.assert_array_equal(rust.read(Region.whole(SHAPE)), expected)


def test_strided_pixels_are_stored_as_they_look(tmp_path: Path) -> None:
    array = new_array(tmp_path, "uint16")
    strided = pixels("uint16", (13, 22, 5)).transpose(2, 1, 0)[:, ::2]
    assert not strided.flags.c_contiguous
    array.write(Region.whole(SHAPE), strided)
    np.testing.assert_array_equal(array.read(Region.whole(SHAPE)), strided)


def test_an_empty_box_touches_nothing(tmp_path: Path) -> None:
    array = new_array(tmp_path, "uint16")
    box = Region((1, 2, 3), (4, 2, 9))
    assert array.read(box).shape == (3, 0, 6)
    before = files(tmp_path)
    array.write(box, np.empty((3, 0, 6), "uint16"))
    assert files(tmp_path) == before


@pytest.mark.parametrize(("zarr_format", "shards"), LAYOUTS)
def test_chunks_of_nothing_but_the_fill_value_are_not_stored(zarr_format: int, shards: Any, tmp_path: Path) -> None:
    for fill_value in (0, 7):
        array = new_array(tmp_path, "uint16", zarr_format=zarr_format, shards=shards, fill_value=fill_value)
        empty = files(tmp_path)
        assert len(empty) == (4 if zarr_format == 2 else 2)  # documents only
        assert (array.read(Region.whole(SHAPE)) == fill_value).all()
        assert array.fill_value == fill_value
        for fast in (True, False):
            array.write(Region.whole(SHAPE), np.full(SHAPE, fill_value, "uint16"), fast=fast)
            assert files(tmp_path) == empty
            one = np.full(SHAPE, fill_value, "uint16")
            one[4, 10, 12] = 1
            array.write(Region.whole(SHAPE), one, fast=fast)
            assert len(files(tmp_path)) == len(empty) + 1
            array.write(Region.whole(SHAPE), np.full(SHAPE, fill_value, "uint16"), fast=fast)
            assert files(tmp_path) == empty  # emptied again


@pytest.mark.parametrize("codec", ["zstd", "auto"])
@pytest.mark.parametrize(("zarr_format", "shards"), LAYOUTS)
def test_a_damaged_chunk_is_an_error_that_says_where(codec: str, zarr_format: int, shards: Any, tmp_path: Path) -> None:
    array = new_array(tmp_path, "uint16", zarr_format=zarr_format, shards=shards, compressors=codec)
    array.write(Region.whole(SHAPE), pixels("uint16") + 1)
    chunk = tmp_path / "img.zarr" / "0" / ("0/0/0" if zarr_format == 2 else "c/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-9])
    for reader in (array, by_python(array.zarr)) if codec == "zstd" else (array,):  # numcodecs reads past the end of a cut Blosc chunk
        with pytest.raises(StoredDataError, match="img.zarr/0: pixels cannot be read .*; got box .0, 0, 0. to .5, 11, 13.. A chunk may be"):
            reader.read(Region.whole(SHAPE))
        assert reader.read(Region((4, 8, 10), SHAPE)).tolist() == (pixels("uint16") + 1)[4:, 8:, 10:].tolist()


def test_writing_replaces_chunk_files_whole_unless_it_is_to_be_fast(tmp_path: Path) -> None:
    array = new_array(tmp_path, "uint16", compressors=None)
    array.write(Region.whole(SHAPE), pixels("uint16") + 1)
    chunk = tmp_path / "img.zarr" / "0" / "c" / "0" / "0" / "0"
    (tmp_path / "link").hardlink_to(chunk)  # shares the bytes of the old file
    before = chunk.read_bytes()
    array.write(Region.whole(SHAPE), pixels("uint16", seed=1) + 1)
    assert chunk.read_bytes() != before
    assert (tmp_path / "link").read_bytes() == before


def test_a_store_that_zarrs_does_not_know_is_served_by_zarr_python_and_says_why(tmp_path: Path) -> None:
    for store, name in ((MemoryStore(), "MemoryStore"), (WrappedStore(tmp_path / "w.zarr"), "WrappedStore")):
        array = create_array(create_group(store, 3), "0", plan_layout((4, 4), "uint8", "yx", zarr_format=3), axes="yx")
        assert array.pipeline == "zarr-python"
        assert f"zarrs does not serve this array: zarrs-python does not support {name} stores" in array.pipeline_reason
        array.write(Region.whole((4, 4)), np.eye(4, dtype="uint8"))
        np.testing.assert_array_equal(array.read(Region((1, 0), (4, 3))), np.eye(4)[1:4, 0:3])


def test_the_process_wide_gpu_switch_of_zarr_is_refused(tmp_path: Path) -> None:
    array = new_array(tmp_path, "uint16").zarr
    with zarr.config.set({"ndbuffer": "zarr.buffer.gpu.NDBuffer"}), pytest.raises(ArgumentError, match="zarr.config: .*enable_gpu"):
        StoredArray(array)


# ---------------------------------------------------------------------------------------------------- what it is
@pytest.mark.parametrize(("zarr_format", "shards"), LAYOUTS)
def test_an_array_tells_its_layout(zarr_format: int, shards: Any, tmp_path: Path) -> None:
    for separator in "/.":
        array = new_array(tmp_path, ">u2", zarr_format=zarr_format, shards=shards, separator=separator, compressors="zstd")
        assert (array.shape, array.chunks, array.shards, array.write_unit) == (SHAPE, CHUNKS, shards, shards or CHUNKS)
        assert (array.codec, array.separator, array.filters) == ("zstd", separator, ())
        assert array.where == str(tmp_path / "img.zarr" / "0")
        array.write(Region.whole(SHAPE), pixels("uint16") + 1)
        keys = {name for name in files(tmp_path / "img.zarr" / "0") if not name.endswith((".json", ".zarray", ".zattrs"))}
        last = tuple((n - 1) // u for n, u in zip(SHAPE, array.write_unit, strict=True))
        assert separator.join(map(str, last)) in {k.removeprefix("c/").removeprefix("c.") for k in keys}
        np.testing.assert_array_equal(array.read(Region.whole(SHAPE)), pixels("uint16") + 1)


@pytest.mark.parametrize(
    ("compressors", "zarr_format", "name"),
    [
        ("auto", 2, "blosc:lz4"),
        ("auto", 3, "blosc:lz4"),
        (None, 2, "none"),
        (None, 3, "none"),
        ("gzip", 2, "gzip"),
        (numcodecs.Blosc("zstd"), 2, "blosc:zstd"),
        (numcodecs.LZ4(), 2, "lz4"),
        ([zarr.codecs.BloscCodec(cname="zstd"), zarr.codecs.GzipCodec()], 3, "blosc:zstd+gzip"),
    ],
)
def test_a_codec_has_a_short_name(compressors: Any, zarr_format: int, name: str, tmp_path: Path) -> None:
    assert new_array(tmp_path, "uint16", zarr_format=zarr_format, compressors=compressors).codec == name


def test_an_array_holds_the_dtypes_whose_every_value_survives(tmp_path: Path) -> None:
    array = new_array(tmp_path, ">u2")
    assert [array.holds(d) for d in ("uint8", "bool", "uint16", ">u2", "int8", "uint32", "float32")] == [True] * 4 + [False] * 3


def test_a_read_only_array_refuses_to_be_written(tmp_path: Path) -> None:
    new_array(tmp_path, "uint16")
    array = StoredArray(zarr.open_array(tmp_path / "img.zarr" / "0", mode="r"))
    with pytest.raises(ReadOnlyError, match="img.zarr/0: the store is read-only. Open it with mode='r.'"):
        array.write(Region.whole(SHAPE), pixels("uint16"))


def test_an_array_survives_pickling_and_copying(tmp_path: Path) -> None:
    array = new_array(tmp_path, ">u2")
    array.write(Region.whole(SHAPE), pixels("uint16"))
    for other in (pickle.loads(pickle.dumps(array)), copy.deepcopy(array)):
        np.testing.assert_array_equal(other.read(Region.whole(SHAPE)), pixels("uint16"))
        assert other.pipeline == "zarrs"


# ------------------------------------------------------------------------------------------------- other writers
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_in_fortran_order_and_with_filters_are_read(zarr_format: int, tmp_path: Path) -> None:
    if zarr_format == 2:
        options: dict[str, Any] = {"order": "F", "filters": [numcodecs.Delta("<u2")], "compressors": numcodecs.Zlib()}
    else:
        options = {
            "filters": [zarr.codecs.TransposeCodec(order=(2, 0, 1))],
            "compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()],
        }
    array = zarr.create_array(str(tmp_path / "f.zarr"), shape=SHAPE, chunks=CHUNKS, dtype="<u2", zarr_format=zarr_format, **options)
    array[:] = pixels("uint16")
    stored = StoredArray(array)
    assert stored.filters
    np.testing.assert_array_equal(stored.read(Region((1, 2, 3), SHAPE)), pixels("uint16")[1:, 2:, 3:])
    stored.write(Region((0, 0, 0), (1, 2, 3)), np.full((1, 2, 3), 9, "uint16"))
    assert (array[0, :2, :3] == 9).all()


@pytest.mark.parametrize("fill_value", [None, "0"])
def test_fill_values_of_bio_formats_read_as_zero(fill_value: Any, tmp_path: Path) -> None:
    path = tmp_path / "bf.zarr"
    zarr.create_array(str(path), shape=SHAPE, chunks=CHUNKS, dtype=">u2", zarr_format=2)
    document = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(document | {"fill_value": fill_value}))
    stored = StoredArray(zarr.open_array(str(path), mode="r+"))
    assert (stored.read(Region.whole(SHAPE)) == 0).all()
    stored.write(Region((0, 0, 0), (3, 3, 3)), np.ones((3, 3, 3), "uint16"))
    assert stored.read(Region.whole(SHAPE)).sum() == 27


def test_chunks_and_shards_larger_than_the_array_are_read(tmp_path: Path) -> None:
    for name, options in {"chunks": {"chunks": (64, 64)}, "shards": {"chunks": (16, 16), "shards": (64, 64)}}.items():
        array = zarr.create_array(str(tmp_path / name), shape=(5, 7), dtype="uint8", **options)
        array[:] = np.arange(35).reshape(5, 7)
        np.testing.assert_array_equal(StoredArray(array).read(Region((1, 1), (5, 7))), np.arange(35).reshape(5, 7)[1:, 1:])


def test_a_shard_index_that_claims_a_terabyte_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "a"), shape=(256, 256), shards=(256, 256), chunks=(16, 16), dtype="uint16", compressors=None)
    array[...] = np.ones((256, 256), "uint16")
    path = tmp_path / "a/c/0/0"
    data = path.read_bytes()
    index = np.frombuffer(data[-(16 * 16 * 16 + 4) : -4], "<u8").copy()
    index[1] = 1035087118336
    packed = index.tobytes()
    path.write_bytes(data[: -(16 * 16 * 16 + 4)] + packed + google_crc32c.value(packed).to_bytes(4, "little"))
    stored = StoredArray(zarr.open_array(str(tmp_path / "a"), mode="r"))
    for region in (Region((0, 0), (250, 250)), Region.whole((256, 256))):
        with pytest.raises(StoredDataError):
            stored.read(region)


@pytest.mark.parametrize(("value", "message"), [([0, 4], "the array's chunks are empty"), ([1 << 40, 4], "larger than this")])
def test_chunks_that_cannot_be_are_refused(value: Any, message: str, tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "a"), shape=(8, 8), chunks=(4, 4), dtype="uint16", zarr_format=2)
    document = json.loads((tmp_path / "a/.zarray").read_text())
    (tmp_path / "a/.zarray").write_text(json.dumps(document | {"chunks": value}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr 3.4 reads 0 as 1, and says so
        array = zarr.open_array(str(tmp_path / "a"), mode="r")
    if array.chunks != tuple(value):
        pytest.skip("this zarr puts other numbers in their place")
    with pytest.raises(StoredDataError, match=message):
        StoredArray(array).read(Region((0, 0), (1, 1)))
