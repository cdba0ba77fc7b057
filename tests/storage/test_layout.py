"""Layouts of new arrays: defaults, and refusals before anything is on disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError, DTypeError, ReadOnlyError
from omexp.storage.groups import create_group, open_group
from omexp.storage.layout import CHUNK_BYTES, create_array, default_chunks, plan_layout

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
        ({"shards": 64}, "shards must be one positive int per axis"),
        ({"shards": (1, 64, 64), "zarr_format": 2}, "shards need Zarr format 3; got an OME-Zarr 0.4 store; .* Pass ngff_version='0.5'"),
        ({"separator": "-"}, "dimension_separator is not understood; got '-'; allowed: '/' or '.'"),
        ({"compressors": "zip"}, "compressors is not understood; got 'zip'; allowed: auto, blosc, gzip, lz4, zstd"),
        ({"compressors": 5}, "this codec does not fit the Zarr format; got 5; allowed: a zarr.codecs object, or a name such as 'zstd'"),
        ({"compressors": numcodecs.Zstd()}, "this codec does not fit the Zarr format"),
        ({"compressors": zarr.codecs.BytesCodec()}, "this codec does not fit the Zarr format"),
        (
            {"compressors": zarr.codecs.ZstdCodec(), "zarr_format": 2},
            "this codec does not fit the Zarr format; .*allowed: a numcodecs object",
        ),
        ({"compressors": ["zstd", "gzip"], "zarr_format": 2}, "Zarr format 2 takes one compressor; got 2. Pass one, or write OME-Zarr 0.5"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_on_disk(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ArgumentError, DTypeError), match=message):
        plan(**options)


def test_an_array_in_a_read_only_group_is_refused(tmp_path: Path) -> None:
    create_group(tmp_path / "img.zarr", 3)
    with pytest.raises(ReadOnlyError, match="img.zarr: the store is read-only"):
        create_array(open_group(tmp_path / "img.zarr", "r"), "0", plan(), axes="zyx")
