"""New images like another one: everything that is not given is inherited, nothing of the pixels is."""

from __future__ import annotations

from pathlib import Path

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
        ({"chunks": (8,)}, "chunks must be one positive int per axis"),
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
