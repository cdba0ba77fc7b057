"""New images like another one: everything that is not given is inherited, nothing of the pixels is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError
from omexp.metadata.versions import revise_multiscale
from omexp.storage.groups import open_group
from tests.conftest import Case
from tests.stores import arrays, documents, files, sample_pixels

SHIFT = {"type": "translation", "translation": [0.0, 10.0, 100.0, 200.0]}


def attributes(folder: Path) -> dict:
    found = documents(folder)
    return found.get(".zattrs") or found["zarr.json"]["attributes"]["ome"]


def test_a_derived_image_is_the_same_but_for_pixels_labels_and_tables(store: Path, tmp_path: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(store, device=backend.backend)
    derived = container.derive_image(tmp_path / "new.zarr")
    old, new = documents(store), documents(tmp_path / "new.zarr")
    for path in ("0", "1", "2"):
        for name in (".zarray", "zarr.json"):
            assert new.get(f"{path}/{name}") == old.get(f"{path}/{name}")  # shape, chunks, shards, codec, dtype
    before, after = attributes(store), attributes(tmp_path / "new.zarr")
    assert after["omero"] == before["omero"]
    assert after["multiscales"][0]["datasets"] == before["multiscales"][0]["datasets"]
    assert after["multiscales"][0]["name"] == "new"
    assert (derived.list_labels(), derived.list_tables(), derived.device) == ([], [], backend.backend.name)
    assert not backend.host(derived.get_image().get_array()).any()


def test_a_shape_with_fewer_entries_keeps_the_leading_axes(store: Path, tmp_path: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    derived = container.derive_image(tmp_path / "new.zarr", shape=(5, 40, 44), xy_pixelsize=0.65, z_spacing=1.0)
    image = derived.get_image()
    assert image.shape == (2, 5, 40, 44)
    assert image.pixel_size.zyx == (1.0, 0.65, 0.65)
    assert [derived.get_image(p).shape[2:] for p in derived.levels_paths] == [(40, 44), (20, 22), (10, 11)]
    assert derived.meta.channels_meta.channel_labels == ["DAPI", "GFP"]


def test_a_pixel_size_alone_replans_the_levels(store: Path, tmp_path: Path) -> None:
    derived = omexp.open_ome_zarr_container(store).derive_image(tmp_path / "new.zarr", pixelsize=(0.25, 0.5), levels=2)
    assert [derived.get_image(p).pixel_size.yx for p in derived.levels_paths] == [(0.25, 0.5), (0.5, 1.0)]
    assert derived.get_image().shape == (2, 3, 20, 30)


def test_another_number_of_channels_gets_channels_of_its_own(store: Path, tmp_path: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    four = container.derive_image(tmp_path / "four.zarr", shape=(4, 3, 20, 30))
    assert four.meta.channels_meta.channel_labels == [f"channel_{i}" for i in range(4)]
    named = container.derive_image(tmp_path / "named.zarr", channel_labels=["a", "b"])
    assert named.meta.channels_meta.channel_labels == ["a", "b"]


def test_dtype_chunks_and_version_can_be_changed(one_store: Path, tmp_path: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    other = "0.5" if container.meta.version == "0.4" else "0.4"
    derived = container.derive_image(tmp_path / "new.zarr", dtype="float32", chunks=(1, 3, 10, 10), ngff_version=other, compressors="zstd")
    image = derived.get_image()
    assert (derived.meta.version, image.dtype, image.chunks) == (other, np.dtype("float32"), (1, 3, 10, 10))
    values = sample_pixels("float32")
    image.set_array(backend.array(values))
    np.testing.assert_array_equal(arrays(tmp_path / "new.zarr")["0"], values)


def test_factors_are_those_of_the_reference_unless_given(tmp_path: Path) -> None:
    options = {"xy_pixelsize": 0.5, "axes_names": "zyx", "levels": 2}
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (12, 60, 60), scaling_factors=(1, 3, 3), **options)
    same = container.derive_image(tmp_path / "b.zarr", shape=(30, 30))
    assert same.get_image("1").shape == (12, 10, 10)
    given = container.derive_image(tmp_path / "c.zarr", scaling_factors={"z": 2, "y": 5})
    assert given.get_image("1").shape == (6, 12, 60)


# --------------------------------------------------------------------------------------------------------- layouts
def layered(folder: Path, **options: Any) -> omexp.OmeZarrContainer:
    """An image of three levels, each with a layout of its own."""
    layout: dict[str, Any] = {
        "chunks": {0: (1, 1, 8, 8), 1: (1, 3, 5, 15), 2: (2, 3, 5, 8)},
        "chunks_per_shard": {0: (1, 3, 2, 2)},
        "compressors": {0: "zstd:7", 1: "blosc:zlib:2", 2: None},
        "fill_value": 7,
        "dimension_separator": ".",
    }
    return omexp.create_empty_ome_zarr(folder, (2, 3, 20, 30), xy_pixelsize=0.5, levels=3, **layout | options)


def layouts(container: omexp.OmeZarrContainer) -> list[tuple[Any, ...]]:
    stored = [container.get_image(path).stored for path in container.levels_paths]
    return [(a.chunks, a.shards, a.codec, a.fill_value, a.separator) for a in stored]


def test_levels_that_are_copied_keep_the_layout_of_each(tmp_path: Path) -> None:
    first = layered(tmp_path / "a.zarr")
    second = first.derive_image(tmp_path / "b.zarr")
    assert layouts(first) == [
        ((1, 1, 8, 8), (1, 3, 16, 16), "zstd", 7, "."),
        ((1, 3, 5, 15), None, "blosc:zlib", 7, "."),
        ((2, 3, 5, 8), None, "none", 7, "."),
    ]
    for path in "012":
        assert documents(tmp_path / "b.zarr")[f"{path}/zarr.json"] == documents(tmp_path / "a.zarr")[f"{path}/zarr.json"]
    assert (second.get_image().get_array() == 7).all()


def test_levels_that_are_planned_anew_take_the_layout_of_the_finest(tmp_path: Path) -> None:
    derived = layered(tmp_path / "a.zarr").derive_image(tmp_path / "b.zarr", shape=(40, 60))
    assert layouts(derived)[:2] == [((1, 1, 8, 8), (1, 3, 16, 16), "zstd", 7, ".")] * 2


def test_a_layout_option_that_is_given_stands_for_all_levels(tmp_path: Path) -> None:
    first = layered(tmp_path / "a.zarr")
    derived = first.derive_image(tmp_path / "b.zarr", compressors={1: "gzip"}, dimension_separator="/")
    assert [codec for _, _, codec, _, _ in layouts(derived)] == ["blosc:lz4", "gzip", "blosc:lz4"]
    assert [shards for _, shards, _, _, _ in layouts(derived)] == [(1, 3, 16, 16), None, None]
    rechunked = layouts(first.derive_image(tmp_path / "c.zarr", chunks=5))  # as many chunks per shard as before
    assert [(chunks, shards) for chunks, shards, *_ in rechunked] == [
        ((1, 3, 5, 5), (1, 3, 10, 10)),
        ((1, 3, 5, 5), None),
        ((1, 3, 5, 5), None),
    ]
    for i, shards in enumerate(({"shards": (1, 1, 16, 16)}, {"chunks_per_shard": 2}, {"shards": None}, {"shards": "auto"})):
        expected = [(1, 1, 16, 16), (2, 2, 16, 16), None, (1, 3, 24, 32)][i]
        assert layouts(first.derive_image(tmp_path / f"{i}.zarr", **shards, chunks=(1, 1, 8, 8)))[0][1] == expected


@pytest.mark.parametrize(("version", "other"), [("0.4", "0.5"), ("0.5", "0.4")])
def test_another_version_keeps_the_codecs_that_its_format_has(version: str, other: str, tmp_path: Path) -> None:
    shards = {"chunks_per_shard": {0: 2} if version == "0.5" else None}
    derived = layered(tmp_path / "a.zarr", ngff_version=version, **shards).derive_image(tmp_path / "b.zarr", ngff_version=other)
    assert [(shards, codec) for _, shards, codec, _, _ in layouts(derived)] == [(None, "zstd"), (None, "blosc:zlib"), (None, "none")]
    foreign = layered(tmp_path / "c.zarr", ngff_version="0.4", chunks_per_shard=None, compressors=numcodecs.LZMA())
    assert [codec for _, _, codec, _, _ in layouts(foreign.derive_image(tmp_path / "d.zarr"))] == ["lzma"] * 3
    assert [codec for _, _, codec, _, _ in layouts(foreign.derive_image(tmp_path / "e.zarr", ngff_version="0.5"))] == ["blosc:lz4"] * 3


def test_a_new_dtype_shuffles_by_its_own_size_and_keeps_the_fill_value_if_it_holds_it(tmp_path: Path) -> None:
    first = layered(tmp_path / "a.zarr", fill_value=300)
    derived = first.derive_image(tmp_path / "b.zarr", dtype="float32")
    assert derived.get_image("1").stored.compressors[0].typesize == 4
    assert derived.get_image().stored.fill_value == 300.0
    assert first.derive_image(tmp_path / "c.zarr", dtype="uint8").get_image().stored.fill_value == 0
    assert first.derive_image(tmp_path / "d.zarr", dtype="uint8", fill_value=8).get_image().stored.fill_value == 8


def test_a_label_has_the_chunks_of_each_level_and_is_filled_with_0(tmp_path: Path) -> None:
    container = layered(tmp_path / "a.zarr")
    container.derive_label("cells")
    stored = [container.get_label("cells", path).stored for path in "012"]
    assert [(a.chunks, a.shards, a.codec, a.fill_value) for a in stored] == [
        ((1, 8, 8), None, "blosc:lz4", 0),
        ((3, 5, 15), None, "blosc:lz4", 0),
        ((3, 5, 8), None, "blosc:lz4", 0),
    ]
    sharded = container.derive_label("nuclei", chunks={"z": 1}, chunks_per_shard={0: {"z": 3}}, compressors="zstd", fill_value=5)
    assert (sharded.stored.chunks, sharded.stored.shards, sharded.stored.fill_value) == ((1, 20, 30), (3, 20, 30), 5)


def test_axes_of_other_names_are_known_by_their_letters(tmp_path: Path) -> None:
    omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (2, 3, 20, 30), xy_pixelsize=0.5, levels=1)
    text = (tmp_path / "a.zarr" / "zarr.json").read_text()
    (tmp_path / "a.zarr" / "zarr.json").write_text(text.replace('"name": "c"', '"name": "stain"').replace('"name": "y"', '"name": "Y"'))
    container = omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    assert container.get_image().axes == ("stain", "z", "Y", "x")
    for i, chunks in enumerate((8, {"c": 1, "z": 3, "y": 8, "x": 8})):
        derived = container.derive_image(tmp_path / f"{i}.zarr", chunks=chunks)
        assert derived.get_image().chunks == (1, 3, 8, 8)


def test_display_windows_are_those_of_the_new_dtype(store: Path, tmp_path: Path) -> None:
    derived = omexp.open_ome_zarr_container(store).derive_image(tmp_path / "new.zarr", dtype="uint8")
    assert derived.meta.channels_meta.channel_labels == ["DAPI", "GFP"]
    assert [(c.window.min, c.window.max) for c in derived.meta.channels_meta.channels] == [(0, 255)] * 2


def test_units_can_be_changed(store: Path, tmp_path: Path) -> None:
    derived = omexp.open_ome_zarr_container(store).derive_image(tmp_path / "new.zarr", space_unit="nanometer")
    assert derived.get_image().pixel_size.space_unit == "nanometer"
    assert derived.levels == 3


def test_axes_can_be_left_out_or_added(store: Path, tmp_path: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    plane = container.derive_image(tmp_path / "plane.zarr", shape=(20, 30), axes_names="yx")
    assert (plane.get_image().axes, plane.get_image().shape) == (("y", "x"), (20, 30))
    assert plane.get_image().pixel_size.yx == (0.5, 0.5)
    movie = container.derive_image(tmp_path / "movie.zarr", shape=(4, 2, 3, 20, 30), axes_names="tczyx", time_spacing=5)
    assert (movie.get_image().pixel_size.t, movie.meta.channels_meta.channel_labels) == (5.0, ["DAPI", "GFP"])
    with pytest.raises(ArgumentError, match="the axis names do not fit the array; got y, x for 4 axes"):
        container.derive_image(tmp_path / "wrong.zarr", axes_names="yx")


def test_a_derived_image_of_a_label_is_an_image(store: Path, tmp_path: Path) -> None:
    label = omexp.open_ome_zarr_container(store / "labels" / "nuclei")
    derived = label.derive_image(tmp_path / "new.zarr", dtype="float32")
    assert derived.get_image().axes == ("z", "y", "x")
    assert derived.meta.image_label is None


@pytest.mark.parametrize("below", ["", "sub", ".."])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_image_is_never_derived_into_itself_or_around_itself(store: Path, below: str, overwrite: bool) -> None:
    container, before = omexp.open_ome_zarr_container(store), files(store)
    with pytest.raises(ArgumentError, match="cannot be derived into itself"):
        container.derive_image(store / below, overwrite=overwrite)
    assert files(store) == before


def test_a_derived_image_keeps_origin_and_axes_when_its_levels_are_planned_anew(store: Path, tmp_path: Path) -> None:
    group = open_group(store)
    entry = group.attributes["multiscales"][0] if "multiscales" in group.attributes else group.attributes["ome"]["multiscales"][0]
    moved = [{"path": d["path"], "coordinateTransformations": [d["coordinateTransformations"][0], SHIFT]} for d in entry["datasets"]]
    group.put_attributes(revise_multiscale(group.attributes, group.zarr_format, group.where, datasets=moved))
    derived = omexp.open_ome_zarr_container(store).derive_image(tmp_path / "moved.zarr", levels=2)
    first, second = derived.meta.multiscale.datasets
    assert first.transform.translation == tuple(SHIFT["translation"])
    assert second.transform.translation[-1] == SHIFT["translation"][-1] + first.transform.scale[-1] / 2


def test_what_cannot_be_derived_is_refused_and_nothing_is_written(store: Path, tmp_path: Path) -> None:
    container, before = omexp.open_ome_zarr_container(store), files(tmp_path)
    for options, message in [
        ({"shape": (1, 2, 3, 20, 30)}, "the axis names do not fit the array; got c, z, y, x for 5 axes"),
        ({"shape": (-1, 20)}, "shape must"),
        ({"shape": 20}, "shape must be one non-negative int per axis; got 20"),
        (
            {"shape": (20, 30), "scaling_factors": 2},
            "scaling_factors must be ints of at least 1; got .2,.; allowed: one for each of c, z, y, x",
        ),
        ({"name": 3}, "name must be text; got 3"),
        ({"chunks": (8,)}, "chunks must be one positive int per axis"),
        ({"chunks": {3: 8}}, "chunks names a level that the image has not"),
        ({"shards": "auto", "chunks_per_shard": 2, "ngff_version": "0.5"}, "shards and chunks_per_shard are the same thing"),
        ({"fill_value": 0.5}, "the dtype does not hold this fill value"),
        ({"dtype": None}, "dtype is not understood; got None"),
        ({"channel_labels": ["one"]}, "channel_labels must have one entry per channel"),
        ({"axes_names": "zyx"}, "the axis names do not fit the array"),
        ({"nonsense": 1}, "there is no such option; got nonsense"),
        ({"z_spacing": 0}, "the pixel size along z must be a positive number"),
        ({"device": "gpu"}, "device is not understood"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            container.derive_image(tmp_path / "new.zarr", **options)
    assert files(tmp_path) == before


def test_stores_whose_finest_level_is_not_listed_first_or_called_0(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (16, 16), xy_pixelsize=1, levels=3)
    text = (tmp_path / "a.zarr" / "zarr.json").read_text()
    for old, new in (("0", "fine"), ("1", "middle"), ("2", "coarse")):
        (tmp_path / "a.zarr" / old).rename(tmp_path / "a.zarr" / new)
        text = text.replace(f'"path": "{old}"', f'"path": "{new}"')
    (tmp_path / "a.zarr" / "zarr.json").write_text(text)
    assert container.levels_paths == ["fine", "middle", "coarse"]
    assert container.derive_image(tmp_path / "b.zarr").levels_paths == ["fine", "middle", "coarse"]
    assert container.derive_label("cells").path == "fine"
    assert container.derive_image(tmp_path / "c.zarr", shape=(8, 8)).levels_paths == ["0", "1", "2"]


def test_a_label_is_derived_level_for_level_where_the_levels_are_no_pyramid_of_whole_windows() -> None:
    container = omexp.create_ome_zarr_from_array({}, np.ones((100, 100), "uint16"), xy_pixelsize=1.0, levels=2)
    group = container.group.zarr
    del group["1"]
    group.create_array("1", shape=(70, 70), dtype="uint16", chunks=(70, 70))
    container.derive_label("cells")
    assert [container.get_label("cells", path).shape for path in "01"] == [(100, 100), (70, 70)]
    with pytest.raises(ArgumentError, match="no pyramid of whole windows"):
        container.get_image().consolidate()
