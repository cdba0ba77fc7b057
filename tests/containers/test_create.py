"""New images: from arrays of any library, empty, in any layout, complete or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import omexp
from omexp.errors import AlreadyExistsError, ArgumentError, DTypeError
from tests.conftest import Case
from tests.reference import downsample_reference
from tests.stores import LAYOUTS, arrays, documents, files, sample_pixels


def create(store: Any, array: Any, **options: Any) -> omexp.OmeZarrContainer:
    return omexp.create_ome_zarr_from_array(store, array, **{"axes_names": "czyx", "xy_pixelsize": 0.5, "workers": 1} | options)


def document_of(folder: Path) -> dict[str, Any]:
    found = documents(folder)
    return found.get(".zattrs") or found["zarr.json"]["attributes"]["ome"]


# --------------------------------------------------------------------------------------------------- from arrays
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_an_array_of_any_library_becomes_the_same_pyramid(tmp_path: Path, backend: Case, layout: str) -> None:
    values = sample_pixels()
    create(tmp_path / "a.zarr", backend.array(values), levels=3, **LAYOUTS[layout])
    stored = arrays(tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored["0"], values, strict=True)
    for path, finer in (("1", "0"), ("2", "1")):
        np.testing.assert_array_equal(stored[path], downsample_reference(stored[finer], (1, 1, 2, 2), "mean"))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "uint64", "float16", "float32", "float64"])
def test_the_dtype_is_the_arrays(tmp_path: Path, backend: Case, dtype: str) -> None:
    if not backend.supports(dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    values = sample_pixels(dtype)
    container = create(tmp_path / "a.zarr", backend.array(values), levels=2, device=backend.backend)
    got = container.get_image().get_array()
    assert backend.holds(got)
    np.testing.assert_array_equal(backend.host(got), values, strict=True)


@pytest.mark.parametrize("kind", ["dask", "zarr", "memory map", "big endian", "fortran", "list view"])
def test_arrays_that_are_not_plain_numpy_are_read_block_by_block(tmp_path: Path, kind: str) -> None:
    values = sample_pixels()
    source = {
        "dask": lambda: da.from_array(values, chunks=(1, 2, 7, 30)),
        "zarr": lambda: _zarr_of(tmp_path / "source.zarr", values),
        "memory map": lambda: _memmap_of(tmp_path / "source.raw", values),
        "big endian": lambda: values.astype(">u2"),
        "fortran": lambda: np.asfortranarray(values),
        "list view": lambda: values[:, :, ::-1, ::-1][:, :, ::-1, ::-1],
    }[kind]()
    create(tmp_path / "a.zarr", source, levels=2, chunks=(1, 3, 8, 8))
    stored = arrays(tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored["0"], values, strict=True)
    np.testing.assert_array_equal(stored["1"], downsample_reference(values, (1, 1, 2, 2), "mean"))


def _zarr_of(folder: Path, values: np.ndarray) -> Any:
    array = zarr.create_array(folder, shape=values.shape, dtype=values.dtype, chunks=(1, 1, 16, 16))
    array[...] = values
    return array


def _memmap_of(path: Path, values: np.ndarray) -> Any:
    values.tofile(path)
    return np.memmap(path, dtype=values.dtype, shape=values.shape, mode="r")


@settings(max_examples=15)
@given(data=st.data())
def test_any_shape_axes_factors_and_method_give_the_defined_pyramid(data: st.DataObject) -> None:
    axes = data.draw(st.sampled_from(["yx", "zyx", "cyx", "tyx", "czyx", "tczyx"]))
    shape = [data.draw(st.integers(1, 3)) if a in "tc" else data.draw(st.integers(1, 17)) for a in axes]
    factors = tuple(1 if a in "tc" else data.draw(st.integers(1, 3)) for a in axes)
    method = data.draw(st.sampled_from(["mean", "median", "mode", "min", "max", "nearest"]))
    chunks = tuple(data.draw(st.integers(1, 6)) for _ in axes)
    options: dict[str, Any] = {"chunks": chunks, "scaling_factors": factors, "ngff_version": data.draw(st.sampled_from(["0.4", "0.5"]))}
    if options["ngff_version"] == "0.5" and data.draw(st.booleans()):
        options["shards"] = tuple(min(c, n) * data.draw(st.integers(1, 3)) for c, n in zip(chunks, shape, strict=True))
    values = np.random.default_rng(0).integers(0, 200, shape, dtype="uint8")
    container = create({}, values, axes_names=axes, method=method, levels=3, z_spacing=2.0, percentiles=None, **options)
    finest = np.array([{"z": 2.0, "y": 0.5, "x": 0.5}.get(a, 1.0) for a in axes])
    expected, scale = values, finest
    for path, dataset in zip(container.levels_paths, container.meta.multiscale.datasets, strict=True):
        np.testing.assert_array_equal(container.get_image(path).get_array(), expected)
        assert dataset.transform.scale == tuple(scale)
        assert dataset.transform.translation == tuple((scale - finest) / 2)  # where the centre of the first window lies
        expected, scale = downsample_reference(expected, factors, method), scale * factors
    assert expected.shape == container.get_image(container.levels_paths[-1]).shape or len(container.levels_paths) == 3


def test_the_array_that_was_given_is_left_as_it_is(tmp_path: Path) -> None:
    values = sample_pixels()
    create(tmp_path / "a.zarr", values)
    np.testing.assert_array_equal(values, sample_pixels())


# ----------------------------------------------------------------------------------------------------- documents
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_document_is_what_the_version_wants(tmp_path: Path, version: str) -> None:
    values = np.zeros((2, 3, 4, 16, 16), "uint16")
    create(
        tmp_path / "cells.ome.zarr",
        values,
        axes_names="tczyx",
        xy_pixelsize=0.25,
        z_spacing=1.5,
        time_spacing=30,
        levels=2,
        ngff_version=version,
        channel_labels=["DAPI", "GFP", "Cy5"],
        channel_wavelengths=["A01", "A02", "A03"],
        channel_colors=["0000FF", "#00ff00", "FF00FF"],
    )
    documented = documents(tmp_path / "cells.ome.zarr")
    assert (".zgroup" in documented) == (version == "0.4")
    document = document_of(tmp_path / "cells.ome.zarr")
    multiscale = document["multiscales"][0]
    assert (multiscale["version"] if version == "0.4" else document["version"]) == version
    assert multiscale["name"] == "cells"
    assert multiscale["type"] == "mean"
    assert [(a["name"], a["type"], a.get("unit")) for a in multiscale["axes"]] == [
        ("t", "time", "second"),
        ("c", "channel", None),
        ("z", "space", "micrometer"),
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    assert multiscale["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [30, 1, 1.5, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 0, 0, 0.125, 0.125]},
    ]
    channels = document["omero"]["channels"]
    assert [(c["label"], c["color"], c["wavelength_id"]) for c in channels] == [
        ("DAPI", "0000FF", "A01"),
        ("GFP", "00FF00", "A02"),
        ("Cy5", "FF00FF", "A03"),
    ]
    if version == "0.5":
        assert documented["0/zarr.json"]["dimension_names"] == ["t", "c", "z", "y", "x"]
    else:
        assert documented["0/.zarray"]["dimension_separator"] == "/"


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(
        tmp_path / "a.zarr",
        np.array([8, 8, 8]),
        xy_pixelsize=np.float32(0.5),
        z_spacing=np.int64(2),
        levels=np.int64(2),
        scaling_factors=np.array([1, 2, 2]).tolist(),
        chunks=np.array([4, 4, 4]),
    )
    image = container.get_image("1")
    assert (image.shape, image.chunks, image.pixel_size.zyx) == ((8, 4, 4), (4, 4, 4), (2.0, 1.0, 1.0))


def test_names_units_and_pixel_sizes_can_be_given(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(
        tmp_path / "a.zarr", (4, 8, 8), pixelsize=(0.5, 0.25), z_spacing=2, space_unit="nanometer", name="brain", levels=1
    )
    size = container.get_image().pixel_size
    assert (size.zyx, size.space_unit, container.meta.name) == ((2.0, 0.5, 0.25), "nanometer", "brain")
    timed = omexp.create_empty_ome_zarr(
        tmp_path / "b.zarr", (4, 8, 8), axes_names="tyx", xy_pixelsize=1, time_spacing=5, time_unit="minute"
    )
    assert (timed.get_image().pixel_size.t, timed.time_unit, timed.is_time_series) == (5.0, "minute", True)


@pytest.mark.parametrize(("ndim", "axes"), [(2, "yx"), (3, "zyx"), (4, "czyx"), (5, "tczyx")])
def test_axes_are_the_last_of_tczyx_unless_named(tmp_path: Path, ndim: int, axes: str) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (4,) * ndim, xy_pixelsize=1)
    assert "".join(container.get_image().axes) == axes


def test_display_windows_follow_the_pixels(tmp_path: Path, backend: Case) -> None:
    values = np.zeros((2, 1, 64, 64), "uint16")
    values[0, :, 8:56, 8:56] = np.linspace(100, 1000, 48 * 48).reshape(48, 48)
    container = create(tmp_path / "a.zarr", backend.array(values), percentiles=(1, 99), levels=2)
    first, second = (c.window for c in container.meta.channels_meta.channels)
    assert 95 <= first.start <= 125
    assert 975 <= first.end <= 1000
    assert (first.min, first.max) == (0, 65535)
    assert second.end > second.start  # a channel of zeros still has a window
    whole = create(tmp_path / "b.zarr", backend.array(values), percentiles=None)
    assert [(c.window.start, c.window.end) for c in whole.meta.channels_meta.channels] == [(0, 65535)] * 2


def test_the_window_of_a_large_level_is_taken_from_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.containers.building.SAMPLE_PX", 16 * 16)
    values = np.full((2, 64, 64), 9999, "uint16")
    values[:, 24:40, 24:40] = 50
    container = create(tmp_path / "a.zarr", values, axes_names="cyx", levels=1)
    assert [(c.window.start, c.window.end) for c in container.meta.channels_meta.channels] == [(50, 51)] * 2


def test_an_empty_image_reads_as_zeros_and_stores_no_chunk(tmp_path: Path, backend: Case) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (16, 128, 128), xy_pixelsize=0.65, z_spacing=1.0, device=backend.backend)
    got = container.get_image().get_array()
    assert backend.holds(got)
    assert not backend.host(got).any()
    assert {Path(f).name for f, content in files(tmp_path / "a.zarr").items() if content} == {"zarr.json"}


def test_progress_is_reported_in_bytes_of_the_source(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    create(tmp_path / "a.zarr", sample_pixels(), progress=lambda *p: seen.append(p))
    assert seen == sorted(seen)
    assert seen[-1] == (sample_pixels().nbytes, sample_pixels().nbytes)


# ----------------------------------------------------------------------------------------------------- where to
def test_a_place_that_is_taken_is_replaced_only_when_told(tmp_path: Path) -> None:
    create(tmp_path / "a.zarr", sample_pixels())
    before = files(tmp_path)
    with pytest.raises(AlreadyExistsError, match=r"a\.zarr: something is there already. Pass overwrite=True"):
        create(tmp_path / "a.zarr", sample_pixels(seed=1))
    assert files(tmp_path) == before
    create(tmp_path / "a.zarr", sample_pixels(seed=1), overwrite=True)
    np.testing.assert_array_equal(arrays(tmp_path / "a.zarr")["0"], sample_pixels(seed=1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    create(tmp_path / "a.zarr", sample_pixels())
    before = files(tmp_path)

    class Broken:
        shape, dtype, ndim = (2, 3, 20, 30), np.dtype("uint16"), 4

        def __getitem__(self, index: Any) -> np.ndarray:
            raise OSError("the disk is gone")

    def lazy() -> Any:
        return da.from_array(Broken(), chunks=(2, 3, 20, 30), meta=np.empty((0,) * 4, "uint16"))

    for target, overwrite in ((tmp_path / "a.zarr", True), (tmp_path / "new" / "b.zarr", False)):
        with pytest.raises(OSError, match="the disk is gone"):
            create(target, lazy(), overwrite=overwrite)
    assert files(tmp_path) == before


def test_parents_are_made_and_a_relative_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    create("deep/er/a.zarr", sample_pixels())
    assert omexp.open_ome_zarr_container("deep/er/a.zarr").levels > 1


def test_a_path_below_another_group_and_a_group_itself_are_places(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "root.zarr", mode="w", zarr_format=3)
    create(root.create_group("empty"), sample_pixels(), levels=1)
    create(root.store_path / "other", sample_pixels(), levels=1)
    for name in ("empty", "other"):
        np.testing.assert_array_equal(arrays(tmp_path / "root.zarr")[f"{name}/0"], sample_pixels())


# ------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xy_pixelsize": None}, "the pixel size is missing. Pass xy_pixelsize=0.325"),
        ({"xy_pixelsize": 0}, "the pixel size along y must be a positive number; got 0"),
        ({"xy_pixelsize": float("nan")}, "the pixel size along y must be a positive number; got nan"),
        ({"pixelsize": (1, 2)}, "xy_pixelsize and pixelsize are the same thing"),
        ({"xy_pixelsize": None, "pixelsize": (1, 2, 3)}, r"pixel size.*got \(1, 2, 3\)"),
        ({"z_spacing": -1}, "the pixel size along z must be a positive number; got -1"),
        ({"axes_names": "zyx"}, "the axis names do not fit the array; got z, y, x for 4 axes"),
        ({"axes_names": "czyy"}, "the axis names do not fit the array"),
        ({"axes_names": "cqyx"}, "allowed: one each of t, c, z, y, x"),
        ({"axes_names": "zcyx"}, "axes must be ordered time, channel, space"),
        ({"levels": 0}, "levels must be an int of at least 1; got 0"),
        ({"scaling_factors": (1, 2)}, "scaling_factors must be ints of at least 1"),
        ({"scaling_factors": "double"}, "scaling_factors is not understood; got 'double'"),
        ({"scaling_factors": {"q": 2}}, "scaling_factors names an axis that the image has not; got q; allowed: c, z, y, x"),
        ({"chunks": (8, 8)}, "chunks must be one positive int per axis"),
        ({"chunks": "large"}, "chunks must be one positive int per axis; got 'large'"),
        ({"shards": (1, 1, 8, 8), "ngff_version": "0.4"}, "shards need Zarr format 3"),
        ({"shards": (1, 3, 9, 16), "chunks": (1, 3, 8, 8)}, "shards must be whole multiples of the chunks"),
        ({"shards": (1, 3, 8, 8), "chunks_per_shard": 2}, "shards and chunks_per_shard are the same thing"),
        ({"chunks_per_shard": 2, "ngff_version": "0.4"}, "shards need Zarr format 3"),
        ({"chunks": {0: 8, "y": 8}}, "chunks must be given by level or by name, not both"),
        ({"chunks": {5: 8}}, r"chunks names a level that the image has not; got \[5\]; allowed: 0 to 4"),
        ({"chunks": {"t": 1}}, "chunks names an axis that the image has not; got t; allowed: c, z, y, x"),
        ({"compressors": {0: "zstd", 1: "rar"}}, "compressors is not understood; got 'rar'"),
        ({"compressors": "blosc:lz4:12"}, "there is no such compression level of blosc; got 12"),
        ({"fill_value": -1}, "fill_value: the dtype does not hold this fill value; got -1; allowed: a value of uint16"),
        ({"compressors": "rar"}, "compressors is not understood; got 'rar'"),
        ({"compressors": ["zstd", "gzip"], "ngff_version": "0.4"}, "Zarr format 2 takes one compressor"),
        ({"dimension_separator": "-"}, "dimension_separator is not understood"),
        ({"ngff_version": "0.3"}, "that OME-Zarr version cannot be written; got '0.3'; allowed: 0.4, 0.5, 0.6"),
        ({"channel_labels": ["one"]}, r"channel_labels must have one entry per channel; got \['one'\]; allowed: 2 entries"),
        ({"channel_labels": ["a", "a"]}, "channel_labels must be unique"),
        ({"channel_colors": ["red", "blue"]}, "a colour must be six hex digits; got 'red'"),
        ({"method": "average"}, "there is no such downsampling method; got 'average'; allowed: mean"),
        ({"percentiles": (99, 1)}, "percentiles must be two rising numbers"),
        ({"dtype": "uint8"}, "the dtype is the array's; got dtype='uint8'"),
        ({"nonsense": 1}, "there is no such option; got nonsense; allowed: axes_names"),
        ({"device": "gpu"}, "device is not understood; got 'gpu'"),
    ],
)
def test_an_option_that_cannot_be_written_is_refused_before_anything_is(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    create(tmp_path / "old.zarr", sample_pixels(), levels=1)
    before = files(tmp_path)
    given_options = {k: v for k, v in ({"xy_pixelsize": 0.5} | options).items() if v is not None}
    for store, overwrite in ((tmp_path / "new.zarr", False), (tmp_path / "old.zarr", True)):
        with pytest.raises(ArgumentError, match=message):
            omexp.create_ome_zarr_from_array(store, sample_pixels(), **{"axes_names": "czyx"} | given_options, overwrite=overwrite)
    assert files(tmp_path) == before


def test_an_array_that_is_no_image_is_refused(tmp_path: Path) -> None:
    for array, kind, message in [
        ([[1, 2]], ArgumentError, "this is no array that can be written.*got list"),
        (np.zeros(4, "uint8"), ArgumentError, "an OME-Zarr image has 2 to 5 axes"),
        (np.zeros((2,) * 6, "uint8"), ArgumentError, "an OME-Zarr image has 2 to 5 axes; got 6 axes"),
        (np.zeros((4, 4), "complex64"), DTypeError, "an OME-Zarr image; got complex64; allowed: bool, integers, floats"),
        (np.zeros((4, 4), "datetime64[s]"), DTypeError, "an OME-Zarr image; got"),
        (np.array([["a", "b"]]), DTypeError, "an OME-Zarr image; got"),
    ]:
        with pytest.raises(kind, match=message):
            omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", array, xy_pixelsize=1)
    assert not list(tmp_path.iterdir())


def test_an_array_with_an_empty_axis_becomes_an_image(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.zeros((0, 8, 8), "uint8"), xy_pixelsize=1, axes_names="cyx")
    assert container.get_image().get_array().shape == (0, 8, 8)


def test_codecs_by_name_and_object_are_the_stored_ones(tmp_path: Path) -> None:
    import numcodecs
    from zarr.codecs import ZstdCodec

    values = sample_pixels()
    for i, (compressors, version, name) in enumerate(
        [
            ("auto", "0.4", "blosc:lz4"),
            ("auto", "0.5", "blosc:lz4"),
            ("zstd", "0.4", "zstd"),
            ("gzip:1", "0.5", "gzip"),
            ("blosc:zstd:3", "0.5", "blosc:zstd"),
            ({"id": "zstd", "level": 1}, "0.5", "zstd"),
            (None, "0.5", "none"),
            ("none", "0.4", "none"),
            (numcodecs.Zstd(1), "0.4", "zstd"),
            (numcodecs.Zstd(1), "0.5", "zstd"),
            (numcodecs.Blosc("zlib", 1), "0.5", "blosc:zlib"),
            (ZstdCodec(level=1), "0.5", "zstd"),
            (ZstdCodec(level=1), "0.4", "zstd"),
            ([ZstdCodec(level=1)], "0.5", "zstd"),
        ]
    ):
        image = create(tmp_path / f"{i}.zarr", values, compressors=compressors, ngff_version=version, levels=1).get_image()
        assert image.stored.codec == name
        np.testing.assert_array_equal(image.get_array(), values)
    with pytest.raises(ArgumentError, match="this codec does not fit Zarr format 3.*a zarr.codecs object"):
        create(tmp_path / "bad.zarr", values, compressors=numcodecs.LZMA(), ngff_version="0.5")


# --------------------------------------------------------------------------------------------------------- layouts
def layouts_on_disk(container: omexp.OmeZarrContainer) -> list[tuple[Any, Any, str]]:
    stored = [container.get_image(path).stored for path in container.levels_paths]
    return [(array.chunks, array.shards, array.codec) for array in stored]


def test_each_level_can_have_chunks_shards_and_a_codec_of_its_own(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (2, 3, 64, 96), "uint16")
    container = create(
        tmp_path / "a.zarr",
        values,
        levels=3,
        chunks={0: (1, 1, 16, 16), 1: {"x": 8}},
        chunks_per_shard={0: {"y": 2, "x": 3}, 1: 2},
        compressors={0: "zstd:1", 2: None},
    )
    assert layouts_on_disk(container) == [
        ((1, 1, 16, 16), (1, 1, 32, 48), "zstd"),
        ((1, 3, 32, 8), (2, 3, 32, 16), "blosc:lz4"),
        ((1, 3, 16, 24), None, "none"),
    ]
    plain = create(tmp_path / "b.zarr", values, levels=3)
    for path in "012":  # the layout changes no pixel
        np.testing.assert_array_equal(container.get_image(path).get_array(), plain.get_image(path).get_array())


def test_a_field_of_a_plate_is_one_file_per_channel_on_request(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 999, (2, 1, 300, 400), "uint16")
    container = create(tmp_path / "a.zarr", values, levels=2, chunks=64, shards="auto")
    assert [shards for _, shards, _ in layouts_on_disk(container)] == [(1, 1, 320, 448), (1, 1, 192, 256)]
    assert sum(1 for name, content in files(tmp_path / "a.zarr").items() if content and Path(name).name != "zarr.json") == 2 * 2
    np.testing.assert_array_equal(container.get_image().get_array(), values)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_an_image_reads_as_its_fill_value_and_stores_no_chunk_of_it(tmp_path: Path, backend: Case, layout: str) -> None:
    shape = (2, 3, 20, 30)
    options: dict[str, Any] = {"xy_pixelsize": 0.5, "levels": 2, "device": backend.backend} | LAYOUTS[layout]
    for dtype, fill in (("uint16", 7), ("float32", float("nan"))):
        container = omexp.create_empty_ome_zarr(tmp_path / f"{dtype}.zarr", shape, dtype=dtype, fill_value=fill, **options)
        image = container.get_image()
        for path in container.levels_paths:
            got = backend.host(container.get_image(path).get_array())
            np.testing.assert_array_equal(got, np.full(got.shape, fill, dtype), strict=True)
        before = files(tmp_path / f"{dtype}.zarr").keys()
        image.set_array(backend.array(np.full(shape, fill, dtype)))
        container.get_image().consolidate(device=backend.backend, workers=1)
        assert {name for name, content in files(tmp_path / f"{dtype}.zarr").items() if content} <= before
        label = container.derive_label("cells", fill_value=9)
        np.testing.assert_array_equal(backend.host(label.get_array()), np.full(shape[1:], 9, "uint32"), strict=True)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_array_of_nothing_but_the_fill_value_is_written_without_a_chunk(tmp_path: Path, version: str) -> None:
    values = np.full((2, 3, 20, 30), 7, "uint16")
    container = create(tmp_path / "a.zarr", values, fill_value=7, ngff_version=version, chunks=8, levels=3)
    assert all(Path(name).name.startswith(".z") or Path(name).name == "zarr.json" for name, b in files(tmp_path / "a.zarr").items() if b)
    for path in container.levels_paths:
        assert (container.get_image(path).get_array() == 7).all()


def test_documents_are_plain_json(tmp_path: Path) -> None:
    create(tmp_path / "a.zarr", sample_pixels("float32"), z_spacing=np.float64(2.0), levels=2)
    text = (tmp_path / "a.zarr" / "zarr.json").read_text()
    assert "NaN" not in json.dumps(json.loads(text))
    assert "Infinity" not in text
