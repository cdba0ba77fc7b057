"""Layouts of new arrays: defaults, and refusals before anything is on disk."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from omexp.containers.blueprint import plan_image
from omexp.errors import ArgumentError, DTypeError, ReadOnlyError
from omexp.geometry import Region, ceil_div
from omexp.storage.groups import create_group, open_group
from omexp.storage.layout import CHUNK_BYTES, SHARD_BYTES, create_array, default_chunks, default_shards, plan_layout, plan_layouts

AXES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


def plan(shape: Any = (4, 100, 100), dtype: Any = "uint16", axes: str = "zyx", zarr_format: int = 3, **options: Any) -> Any:
    return plan_layout(shape, dtype, axes, zarr_format=zarr_format, **options)


# ---------------------------------------------------------------------------------------------------------- chunks
@pytest.mark.parametrize(
    ("shape", "axes", "itemsize", "chunks"),
    [
        ((4096, 4096), "yx", 1, (1024, 1024)),
        ((4096, 4096), "yx", 2, (512, 1024)),
        ((4096, 4096), "yx", 4, (512, 512)),
        ((4096, 4096), "yx", 8, (256, 512)),
        ((2, 4096, 4096), "cyx", 2, (1, 512, 1024)),
        ((10, 3, 40, 2048, 2048), "tczyx", 2, (1, 1, 1, 512, 1024)),
        ((64, 100, 100), "zyx", 2, (32, 100, 100)),
        ((500, 300, 300), "zyx", 1, (4, 300, 300)),
        ((3, 7), "yx", 2, (3, 7)),
        ((4, 1_000_000), "yx", 2, (4, 131072)),
        ((0, 5), "yx", 2, (1, 5)),
    ],
)
def test_default_chunks(shape: tuple[int, ...], axes: str, itemsize: int, chunks: tuple[int, ...]) -> None:
    assert default_chunks(shape, axes, itemsize) == chunks
    assert plan(shape, f"u{itemsize}", axes).chunks == chunks


SHAPES = st.integers(2, 5).flatmap(lambda n: st.tuples(st.just(AXES[n]), st.tuples(*[st.integers(0, 5000)] * n)))


@given(SHAPES, st.sampled_from([1, 2, 4, 8]))
def test_default_chunks_are_powers_of_two_or_whole_axes_near_a_mebibyte(case: tuple[str, tuple[int, ...]], itemsize: int) -> None:
    axes, shape = case
    chunks = default_chunks(shape, axes, itemsize)
    for axis, chunk, size in zip(axes, chunks, shape, strict=True):
        assert chunk == max(1, size) or (chunk < size and chunk & (chunk - 1) == 0)
        assert chunk == 1 or axis not in "tc"
    nbytes = math.prod(chunks) * itemsize
    assert nbytes <= CHUNK_BYTES
    spatial = math.prod(max(1, n) for a, n in zip(axes, shape, strict=True) if a not in "tc")
    ceiled = [1 << (c - 1).bit_length() for c in chunks]  # a clipped axis counts as the power of two that it was
    assert math.prod(ceiled) * itemsize == CHUNK_BYTES or math.prod(chunks) == spatial
    y, x = ceiled[-2:]
    assert y <= x <= 2 * y or chunks[-2] == max(1, shape[-2]) or chunks[-1] == max(1, shape[-1])


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ("auto", (4, 100, 100)),
        (None, (4, 100, 100)),
        (32, (4, 32, 32)),
        (np.int64(32), (4, 32, 32)),
        ((1, 64, 500), (1, 64, 100)),
        ([1, np.int16(64), 64], (1, 64, 64)),
        (np.asarray([1, 64, 64]), (1, 64, 64)),
    ],
)
def test_chunks_may_be_given_and_are_clipped_to_the_array(chunks: Any, expected: tuple[int, ...]) -> None:
    assert plan(chunks=chunks).chunks == expected


def test_chunks_may_be_named_by_axis_and_the_others_take_the_default() -> None:
    shape, auto = (5, 3, 8, 2000, 2000), (1, 1, 1, 512, 1024)
    for chunks, expected in [
        ({"y": 64}, (1, 1, 1, 64, 1024)),
        ({"z": 4, "x": np.int64(32), "t": 2}, (2, 1, 4, 512, 32)),
        ({"z": 99}, (1, 1, 8, 512, 1024)),
        ({}, auto),
    ]:
        assert plan(shape, axes="tczyx", chunks=chunks).chunks == expected


def test_one_int_means_the_spatial_axes_and_1_along_t_and_c() -> None:
    assert plan((5, 3, 8, 100, 100), axes="tczyx", chunks=64).chunks == (1, 1, 8, 64, 64)


# ---------------------------------------------------------------------------------------------------------- shards
@pytest.mark.parametrize(
    ("shape", "chunks", "shards", "expected"),
    [
        ((4, 100, 100), (1, 32, 32), (4, 64, 64), (4, 64, 64)),
        ((4, 100, 100), (1, 32, 32), (4, 128, 128), (4, 128, 128)),
        ((4, 100, 100), (1, 32, 32), (9, 999, 999), (4, 128, 128)),  # at most over the whole axis, in whole chunks
        ((4, 20, 20), (1, 32, 32), (1, 64, 64), (1, 20, 20)),  # a small level of a pyramid
        ((4, 20, 20), (1, 32, 32), (np.int8(1), 32, 32), (1, 20, 20)),
    ],
)
def test_shards_are_whole_chunks_and_reach_at_most_over_the_array(
    shape: Any, chunks: Any, shards: Any, expected: Any, tmp_path: Path
) -> None:
    layout = plan(shape, chunks=chunks, shards=shards)
    assert layout.shards == expected
    assert create_array(create_group(tmp_path / "img.zarr", 3), "0", layout, axes="zyx").shards == expected


def test_shards_may_be_named_by_axis_and_are_one_chunk_along_the_others() -> None:
    assert plan((8, 256, 256), chunks=(2, 64, 64), shards={"z": 8, "x": 128}).shards == (8, 64, 128)
    assert plan((8, 256, 256), chunks=(2, 64, 64), shards={}).shards == (2, 64, 64)


@pytest.mark.parametrize(
    ("per_shard", "expected"),
    [
        (2, (20, 128, 128)),
        (np.int64(2), (20, 128, 128)),
        ((1, 100, 100), (10, 320, 320)),  # at most over the whole axis, in whole chunks
        ([7, 1, 2], (70, 64, 128)),
        ({"z": 4, "y": 2}, (40, 128, 64)),
        ({}, (10, 64, 64)),
    ],
)
def test_shards_may_be_given_in_chunks(per_shard: Any, expected: tuple[int, ...], tmp_path: Path) -> None:
    layout = plan((70, 275, 271), chunks=(10, 64, 64), chunks_per_shard=per_shard)
    assert layout.shards == expected
    assert create_array(create_group(tmp_path / "img.zarr", 3), "0", layout, axes="zyx").shards == expected


def test_one_int_of_chunks_per_shard_means_all_axes() -> None:
    assert plan((5, 3, 8, 100, 100), axes="tczyx", chunks=32, chunks_per_shard=2).shards == (2, 2, 8, 64, 64)


@given(SHAPES, st.sampled_from([1, 2, 4, 8]), st.data())
def test_any_chunks_per_shard_give_shards_of_whole_chunks_within_the_array(
    case: tuple[str, tuple[int, ...]], itemsize: int, data: st.DataObject
) -> None:
    axes, shape = case
    counts = tuple(data.draw(st.integers(1, 9)) for _ in shape)
    chunks = data.draw(st.one_of(st.just("auto"), st.integers(1, 600), st.just(tuple(data.draw(st.integers(1, 600)) for _ in shape))))
    layout = plan(shape, f"u{itemsize}", axes, chunks=chunks, chunks_per_shard=counts, compressors=None)
    for shard, chunk, count, size in zip(layout.shards, layout.chunks, counts, shape, strict=True):
        assert shard == chunk * min(count, ceil_div(max(size, 1), chunk))
    assert plan(shape, f"u{itemsize}", axes, chunks=layout.chunks, shards=layout.shards, compressors=None).shards == layout.shards


@pytest.mark.parametrize(
    ("shape", "axes", "shards"),
    [
        ((4, 1, 2160, 2560), "czyx", (1, 1, 2560, 3072)),  # a field of a plate: one file per channel
        ((4, 20, 2160, 2560), "czyx", (1, 2, 2560, 3072)),
        ((4, 1, 540, 640), "czyx", (1, 1, 1024, 640)),
        ((50, 2, 1, 2160, 2560), "tczyx", (1, 1, 1, 2560, 3072)),
        ((100_000, 100_000), "yx", (4096, 4096)),
        ((500, 300, 300), "zyx", (128, 300, 300)),
        ((50, 2, 300, 300), "tcyx", None),  # one chunk per plane
        ((0, 5), "yx", None),
    ],
)
def test_shards_on_request_are_near_32_mebibytes_or_the_whole_level(shape: Any, axes: str, shards: Any) -> None:
    layout = plan(shape, axes=axes, shards="auto")
    assert layout.shards == shards == default_shards(shape, layout.chunks, axes, 2)


@given(SHAPES, st.sampled_from([1, 2, 4, 8]), st.integers(1, 300))
def test_shards_on_request_grow_while_they_may(case: tuple[str, tuple[int, ...]], itemsize: int, chunk: int) -> None:
    axes, shape = case
    layout = plan(shape, f"u{itemsize}", axes, chunks=chunk, shards="auto")
    grid = [ceil_div(max(n, 1), c) for n, c in zip(shape, layout.chunks, strict=True)]
    counts = [s // c for s, c in zip(layout.shards or layout.chunks, layout.chunks, strict=True)]
    chunk_bytes = math.prod(layout.chunks) * itemsize
    assert (layout.shards is None) == (math.prod(counts) == 1)
    assert all(s % c == 0 for s, c in zip(layout.shards or layout.chunks, layout.chunks, strict=True))
    assert math.prod(counts) == 1 or math.prod(counts) * chunk_bytes <= SHARD_BYTES
    for i, axis in enumerate(axes):
        assert 1 <= counts[i] <= (1 if axis in "tc" else grid[i])
        grown = [min(2 * c, n) if i == j else c for j, (c, n) in enumerate(zip(counts, grid, strict=True))]
        assert axis in "tc" or grown == counts or math.prod(grown) * chunk_bytes > SHARD_BYTES


# ---------------------------------------------------------------------------------------------------------- levels
SHAPES_3D = [(4, 400, 400), (4, 200, 200), (4, 100, 100)]


def levels(dtype: Any = "uint16", **options: Any) -> Any:
    return plan_layouts(SHAPES_3D, dtype, "zyx", **{"zarr_format": 3} | options)


def test_each_level_may_have_a_layout_of_its_own() -> None:
    planned = levels(
        chunks={0: (1, 128, 128), np.int64(2): {"y": 10}},
        chunks_per_shard={0: 2, 1: {"y": 2}},
        compressors={0: "zstd:7", 1: None, 2: {"name": "gzip", "configuration": {"level": 1}}},
        fill_value=3,
    )
    assert [p.shape for p in planned] == SHAPES_3D
    assert [p.chunks for p in planned] == [(1, 128, 128), (4, 200, 200), (4, 10, 100)]
    assert [p.shards for p in planned] == [(2, 256, 256), (4, 200, 200), None]
    assert [p.compressors for p in planned] == [(zarr.codecs.ZstdCodec(level=7),), (), (zarr.codecs.GzipCodec(level=1),)]
    assert {p.fill_value for p in planned} == {3}
    assert [p.shards for p in levels(chunks=64, shards={1: (4, 64, 128), 2: "auto"})] == [None, (4, 64, 128), (4, 128, 128)]


def test_levels_that_are_not_named_take_the_default() -> None:
    named, plain = levels(chunks={1: 8}, compressors={1: None}), levels()
    assert repr((named[0], named[2])) == repr((plain[0], plain[2]))
    assert levels(chunks={1: 8}, shards={1: (8, 8, 8)})[0].shards is None


def test_one_form_stands_for_all_levels() -> None:
    assert [p.chunks for p in levels(chunks={"y": 50})] == [(2, 50, 400), (4, 50, 200), (4, 50, 100)]
    assert [p.shards for p in levels(chunks=50, chunks_per_shard=3)] == [(4, 150, 150)] * 2 + [(4, 100, 100)]


@pytest.mark.parametrize("what", ["chunks", "shards", "chunks_per_shard", "compressors"])
def test_levels_and_names_are_not_mixed_and_levels_exist(what: str) -> None:
    with pytest.raises(ArgumentError, match=f"{what} must be given by level or by name, not both"):
        levels(**{what: {0: None, "y": 64}})
    for missing in (3, -1):
        with pytest.raises(ArgumentError, match=rf"{what} names a level that the image has not; got \[{missing}\]; allowed: 0 to 2"):
            levels(**{what: {missing: None}})
    assert len(levels(most=5, **{what: {4: None}})) == 3  # so many were asked for, there are fewer


# ----------------------------------------------------------------------------------------------------- fill values
@pytest.mark.parametrize(
    ("dtype", "value", "stored"),
    [
        ("uint16", 65535, 65535),
        ("uint16", np.uint8(7), 7),
        ("uint16", 7.0, 7),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("int8", -128, -128),
        ("bool", True, True),
        ("bool", np.False_, False),
        ("bool", 1, True),
        ("float32", 1, 1.0),
        ("float32", np.float64(0.5), 0.5),
        ("float16", 65504, 65504.0),
        ("float64", -math.inf, -math.inf),
        ("float32", math.nan, math.nan),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_fill_value_that_the_dtype_holds_is_what_unwritten_pixels_are(
    dtype: str, value: Any, stored: Any, zarr_format: int, tmp_path: Path
) -> None:
    layout = plan((4, 4, 4), dtype, zarr_format=zarr_format, fill_value=value)
    assert type(layout.fill_value) is {"b": bool, "f": float}.get(np.dtype(dtype).kind, int)
    array = create_array(create_group(tmp_path / "img.zarr", zarr_format), "0", layout, axes="zyx")
    np.testing.assert_array_equal(array.read(Region.whole((4, 4, 4))), np.full((4, 4, 4), stored, dtype), strict=True)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "img.zarr" / "0")[0, 0, 0], np.asarray(stored, dtype))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("uint16", -1),
        ("uint16", 65536),
        ("uint16", 0.5),
        ("uint16", math.nan),
        ("uint16", math.inf),
        ("int8", 128),
        ("bool", 2),
        ("float16", 65520),
        ("float32", 1e39),
        ("float32", 10**400),
        ("float32", 1j),
        ("uint8", "0"),
        ("uint8", None),
        ("uint8", [0]),
        ("uint8", {0: 0}),
        ("uint8", np.zeros(1, "uint8")),
    ],
)
def test_a_fill_value_that_the_dtype_does_not_hold_is_refused(dtype: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match="fill_value: the dtype does not hold this fill value; got .*; allowed: a value of"):
        plan(dtype=dtype, fill_value=value)


@pytest.mark.parametrize("way", ["fast", "safe", "zarr-python"])
@pytest.mark.parametrize(("zarr_format", "shards"), [(2, None), (3, None), (3, (4, 32, 32))])
@pytest.mark.parametrize(("dtype", "fill"), [("uint16", 0), ("uint16", 7), ("float32", math.nan), ("float32", 0.0)])
def test_chunks_of_nothing_but_the_fill_value_are_not_stored(
    dtype: str, fill: float, zarr_format: int, shards: Any, way: str, tmp_path: Path
) -> None:
    shape = (4, 40, 40)  # the far chunks and shards reach beyond it
    layout = plan(shape, dtype, zarr_format=zarr_format, chunks=(1, 16, 16), shards=shards, fill_value=fill)
    with zarr.config.set({"array.write_empty_chunks": True}):  # a setting of the process is not ours
        array = create_array(create_group(tmp_path / "img.zarr", zarr_format), "0", layout, axes="zyx")

    def write(pixels: np.ndarray) -> int:
        if way == "zarr-python":
            array.zarr[...] = pixels
        else:
            array.write(Region.whole(shape), pixels, fast=way == "fast")
        np.testing.assert_array_equal(array.read(Region.whole(shape)), pixels, strict=True)
        return sum(p.is_file() and p.name not in (".zgroup", ".zattrs", ".zarray", "zarr.json") for p in tmp_path.rglob("*"))

    pixels = np.full(shape, fill, dtype)
    assert write(pixels) == 0
    pixels[1, 2, 3] = 1
    assert write(pixels) == 1
    assert write(np.full(shape, fill, dtype)) == 0  # and what was stored is removed
    assert write(np.ones(shape, dtype)) == (4 * 9 if shards is None else 4)
    if dtype == "float32":
        assert write(np.full(shape, -0.0, dtype)) == (4 * 9 if shards is None else 4)  # not the bits of 0.0
        assert np.signbit(array.read(Region.whole(shape))).all()


# ------------------------------------------------------------------------------------------------------------ cost
@pytest.mark.parametrize("options", [{}, {"chunks_per_shard": 4}, {"shards": "auto"}])
def test_planning_does_not_go_through_the_chunks(options: dict[str, Any]) -> None:
    shape, chunks = (1, 64 * 400, 64 * 250), (1, 64, 64)  # 100,000 chunks
    seconds = []
    for _ in range(5):
        start = time.process_time()
        planned = plan_image(shape, {"xy_pixelsize": 1, "axes_names": "cyx", "chunks": chunks, **options})
        seconds.append(time.process_time() - start)
    assert [layout.chunks for layout in planned.layouts] == [chunks] * 5
    assert min(seconds) < 0.02  # 0.5 ms measured


# -------------------------------------------------------------------------------------------------------- defaults
def test_everything_has_a_default_that_can_be_written(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        group = create_group(tmp_path / f"{zarr_format}.zarr", zarr_format)
        array = create_array(group, "0", plan(zarr_format=zarr_format), axes="zyx").zarr
        assert (array.shape, array.chunks, array.shards, array.dtype, array.fill_value) == ((4, 100, 100), (4, 100, 100), None, "uint16", 0)
        codec = array.compressors[0]
        config = codec.get_config() if zarr_format == 2 else codec.to_dict()["configuration"]
        assert config["cname"] == "lz4"
        assert config["clevel"] == 5
        assert config["shuffle"] in (numcodecs.Blosc.BITSHUFFLE, "bitshuffle")
        assert (array.metadata.dimension_separator if zarr_format == 2 else array.metadata.chunk_key_encoding.separator) == "/"
        assert zarr_format == 2 or array.metadata.dimension_names == ("z", "y", "x")


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", ">u2", np.uint16, np.dtype("int8")])
def test_images_may_have_any_bool_integer_or_float_dtype(dtype: Any) -> None:
    assert plan(dtype=dtype).dtype == np.dtype(dtype)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_codecs_may_be_given_by_name_as_an_object_or_as_a_list(zarr_format: int) -> None:
    own: Any = numcodecs.Zstd(1) if zarr_format == 2 else zarr.codecs.ZstdCodec(level=1)
    assert plan(zarr_format=zarr_format, compressors=own).compressors == (own,)
    assert plan(zarr_format=zarr_format, compressors=[own]).compressors == (own,)
    assert plan(zarr_format=zarr_format, compressors=None).compressors == plan(zarr_format=zarr_format, compressors=[]).compressors == ()
    assert len({repr(plan(zarr_format=zarr_format, compressors=name).compressors) for name in ("auto", "blosc", "lz4")}) == 1
    assert plan(zarr_format=zarr_format, compressors=("zstd",)).compressors == plan(zarr_format=zarr_format, compressors="zstd").compressors


# -------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "complex64"}, "dtype of an OME-Zarr image; got complex64; allowed: bool, integers, floats"),
        ({"dtype": "U5"}, "dtype of an OME-Zarr image"),
        ({"dtype": "M8[s]"}, "dtype of an OME-Zarr image"),
        ({"dtype": np.longdouble}, "dtype of an OME-Zarr image; got float128"),
        ({"dtype": "uint17"}, "dtype is not understood; got 'uint17'"),
        ({"shape": (4, -1, 4)}, "shape must be one non-negative int per axis; got .4, -1, 4."),
        ({"shape": (4, 4.5, 4)}, "shape must be one non-negative int per axis"),
        ({"shape": (4, 4)}, "shape must be one non-negative int per axis; got .4, 4.; allowed: 3 ints"),
        ({"chunks": (1, 64)}, "chunks must be one positive int per axis; got .1, 64.; allowed: 3 ints"),
        ({"chunks": (1, 0, 64)}, "chunks must be one positive int per axis"),
        ({"chunks": (1, 32.5, 64)}, "chunks must be one positive int per axis"),
        ({"chunks": (1, "32", 64)}, "chunks must be one positive int per axis"),
        ({"chunks": "large"}, "chunks must be one positive int per axis; got 'large'"),
        ({"chunks": True}, "chunks must be one positive int per axis; got True"),
        ({"chunks": -3}, "chunks must be one positive int per axis"),
        (
            {"chunks": (1, 32, 32), "shards": (1, 48, 64)},
            "shards must be whole multiples of the chunks; got .1, 48, 64.; allowed: multiples of",
        ),
        ({"shards": (1, 64)}, "shards must be one positive int per axis"),
        ({"shards": True}, "shards must be one positive int per axis"),
        ({"shards": 0}, "shards must be one positive int per axis"),
        (
            {"shards": (1, 64, 64), "zarr_format": 2},
            "shards need Zarr format 3; got an OME-Zarr 0.4 store; .* Write OME-Zarr 0.5, or leave shards out",
        ),
        ({"separator": "-"}, "dimension_separator is not understood; got '-'; allowed: '/' or '.'"),
        ({"shards": (1, 64, 64), "chunks_per_shard": 2}, "shards and chunks_per_shard are the same thing; got both. Pass one of them"),
        ({"shards": "auto", "zarr_format": 2}, "shards need Zarr format 3"),
        ({"chunks_per_shard": 2, "zarr_format": 2}, "shards need Zarr format 3; .* or leave chunks_per_shard out"),
        ({"shards": "large"}, "shards must be one positive int per axis; got 'large'"),
        ({"chunks_per_shard": 0}, "chunks_per_shard must be one positive int per axis"),
        ({"chunks_per_shard": (2, 2)}, "chunks_per_shard must be one positive int per axis; got .2, 2.; allowed: 3 ints"),
        ({"chunks_per_shard": {"c": 2}}, "chunks_per_shard names an axis that the image has not; got c; allowed: z, y, x"),
        ({"chunks_per_shard": "auto"}, "chunks_per_shard must be one positive int per axis; got 'auto'"),
        ({"chunks": {"q": 2}}, "chunks names an axis that the image has not; got q; allowed: z, y, x"),
        ({"chunks": {"y": 0}}, "chunks must be one positive int per axis; got .4, 0, 100."),
        ({"shards": {"q": 2}}, "shards names an axis that the image has not"),
        ({"shards": {"y": 48}, "chunks": 32}, "shards must be whole multiples of the chunks; got .4, 48, 32."),
        ({"dtype": None}, "dtype is not understood; got None"),
        ({"compressors": "zip"}, "compressors is not understood; got 'zip'"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_on_disk(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ArgumentError, DTypeError), match=message):
        plan(**options)


@pytest.mark.parametrize("shape,axes", [((3, 4, 1000, 1000), "czyx"), ((2, 100, 100), "tyx"), ((1000, 70), "yx")])
@pytest.mark.parametrize("side", [1, 64, 509, 512, 600, 1000, 2000])
def test_one_int_for_shards_is_for_the_spatial_axes_with_chunks_that_divide_it(shape: tuple[int, ...], axes: str, side: int) -> None:
    made = plan(shape, axes=axes, shards=side)
    for axis, size, chunk, shard in zip(axes, shape, made.chunks, made.shards, strict=True):
        assert shard % chunk == 0
        assert shard == (1 if axis in "tc" else side if side < size else ceil_div(size, chunk) * chunk)


def test_default_chunks_divide_the_shards_that_are_given() -> None:
    assert plan((1000, 1000), axes="yx", shards={"y": 512, "x": 512}).chunks == (512, 512)
    assert plan((1000, 1000), axes="yx", shards=(600, 1021)).chunks == (600, 1000)
    assert plan((5000, 5000), axes="yx", shards=2048).chunks == default_chunks((5000, 5000), "yx", 2)
    assert plan((1000, 1000), axes="yx", shards=(600, 600), chunks={"x": 100}).chunks == (600, 100)


def test_an_array_in_a_read_only_group_is_refused(tmp_path: Path) -> None:
    create_group(tmp_path / "img.zarr", 3)
    with pytest.raises(ReadOnlyError, match="img.zarr: the store is read-only"):
        create_array(open_group(tmp_path / "img.zarr", "r"), "0", plan(), axes="zyx")
