"""Stored images in memory: levels stay on disk until they are computed, and what a store says is kept."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

import omexp
from omexp.backend import backend_of
from omexp.errors import ArgumentError, InvalidMetadataError, MissingArrayError, OmexpWarning, StoreNotFoundError, UnsupportedVersionError
from omexp.ngff import Methods, from_ngff_zarr, to_multiscales, to_ngff_image, to_ngff_zarr
from tests.conftest import Case


def pixels(shape: tuple[int, ...] = (45, 70)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape, "uint16")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of omexp's containers: paths "0" and "1", units, channels."""
    options = {"xy_pixelsize": 0.5, "z_spacing": 2.0, "axes_names": "czyx", "levels": 2, "chunks": (1, 2, 16, 16), "name": "cells"}
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels((2, 4, 45, 70)), channel_labels=["a", "b"], **options)
    return tmp_path / "a.zarr"


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The store with its `ome` section changed in place."""
    document = json.loads((folder / "zarr.json").read_text())
    change(document["attributes"]["ome"])
    (folder / "zarr.json").write_text(json.dumps(document))
    return folder


def test_levels_are_lazy_with_the_stored_chunks_and_pixels(image: Path) -> None:
    found = from_ngff_zarr(image)
    assert all(isinstance(level.data, da.Array) for level in found.images)
    assert found.images[0].data.chunksize == (1, 2, 16, 16)
    assert np.array_equal(found.images[0].data.compute(), pixels((2, 4, 45, 70)))
    assert np.array_equal(found.images[1].data.compute(), omexp.open_ome_zarr_container(image).get_image("1").get_array())


def test_what_the_store_says_is_there(image: Path) -> None:
    found = from_ngff_zarr(image)
    assert found.images[1].dims == ["c", "z", "y", "x"]
    assert found.images[1].scale == {"c": 1.0, "z": 2.0, "y": 1.0, "x": 1.0}
    assert found.images[1].translation == {"c": 0.0, "z": 0.0, "y": 0.25, "x": 0.25}
    assert found.images[0].axes_units == {"c": None, "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    assert [d.path for d in found.metadata.datasets] == ["0", "1"]
    assert (found.metadata.name, found.metadata.version, found.images[0].name) == ("cells", "0.5", "cells")
    assert found.metadata.dimension_names == ("c", "z", "y", "x")
    assert [c.label for c in found.metadata.omero.channels] == ["a", "b"]
    assert (found.method, found.scale_factors, found.chunks, found.root_attributes) == (Methods.MEAN, None, None, None)


def test_the_transform_of_the_whole_multiscale_is_in_each_level(image: Path) -> None:
    outer = [{"type": "scale", "scale": [1, 1, 2, 2]}, {"type": "translation", "translation": [0, 0, 0, 7]}]
    edited(image, lambda ome: ome["multiscales"][0].update(coordinateTransformations=outer))
    found = from_ngff_zarr(image, validate=True)
    assert found.images[1].scale == {"c": 1.0, "z": 2.0, "y": 2.0, "x": 2.0}
    assert found.images[1].translation == {"c": 0.0, "z": 0.0, "y": 0.5, "x": 7.5}
    assert found.metadata.coordinateTransformations is None


def test_pixels_come_on_the_default_device(image: Path, backend: Case) -> None:
    with omexp.default_device(backend.backend):
        data = from_ngff_zarr(image).images[1].data
    level = data.compute() if isinstance(data, da.Array) else data
    assert backend_of(level) == backend.backend
    expected = omexp.open_ome_zarr_container(image).get_image("1").get_array()
    assert np.array_equal(backend.host(level), expected)


def test_an_unknown_type_is_no_method(image: Path) -> None:
    edited(image, lambda ome: ome["multiscales"][0].update(type="wavelets"))
    found = from_ngff_zarr(image)
    assert (found.method, found.metadata.type) == (None, "wavelets")


def test_what_breaks_the_specification_is_told_or_with_validate_refused(image: Path) -> None:
    edited(image, lambda ome: ome["omero"]["channels"][0].update(color="green"))
    with pytest.warns(OmexpWarning, match="expected six hex digits"):
        from_ngff_zarr(image)
    with pytest.raises(InvalidMetadataError, match=r"omero.channels.0.color: expected six hex digits"):
        from_ngff_zarr(image, validate=True)


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda m: m["axes"][0].update(type="space"), "axes: expected 2 or 3 axes of type space, got 4"),
        (lambda m: m["datasets"].reverse(), "datasets: expected the finest level first"),
    ],
)
def test_rules_that_reading_need_not_insist_on_are_checked_with_validate(change: Any, message: str, image: Path) -> None:
    edited(image, lambda ome: change(ome["multiscales"][0]))
    assert len(from_ngff_zarr(image).images) == 2
    with pytest.raises(InvalidMetadataError, match=message):
        from_ngff_zarr(image, validate=True)


def test_a_sound_image_is_valid_in_both_versions(tmp_path: Path) -> None:
    for version in ("0.4", "0.5"):
        to_ngff_zarr(tmp_path / version, to_multiscales(pixels(), [2, 4]), version=version)
        assert from_ngff_zarr(tmp_path / version, validate=True, version=version).metadata.version == version


def test_another_version_than_asked_for_is_refused(image: Path) -> None:
    with pytest.raises(ArgumentError, match="another OME-Zarr version.*got 0.5; allowed: 0.4"):
        from_ngff_zarr(image, version="0.4")


def test_metadata_that_cannot_be_used_is_refused(image: Path) -> None:
    edited(image, lambda ome: ome["multiscales"][0].update(axes=None))
    with pytest.raises((InvalidMetadataError, UnsupportedVersionError)):
        from_ngff_zarr(image)


def test_a_level_that_is_not_there_is_named(image: Path) -> None:
    edited(image, lambda ome: ome["multiscales"][0]["datasets"][1].update(path="gone"))
    with pytest.raises(MissingArrayError, match="gone"):
        from_ngff_zarr(image)


def test_nothing_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no Zarr group"):
        from_ngff_zarr(tmp_path / "nothing")


# ------------------------------------------------------------------------------------------------ groups that are no image
def bioformats2raw(folder: Path, images: int) -> Path:
    zarr.open_group(str(folder), mode="w", zarr_format=3).attrs.put({"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    for k in range(images):
        to_ngff_zarr(folder / str(k), to_multiscales(pixels(), [2]))
    zarr.open_group(str(folder / "OME"), mode="w", zarr_format=3)
    return folder


def test_a_bioformats2raw_folder_of_one_image_is_that_image(tmp_path: Path) -> None:
    found = from_ngff_zarr(bioformats2raw(tmp_path / "a", 1))
    assert np.array_equal(found.images[0].data.compute(), pixels())


def test_a_bioformats2raw_folder_of_more_images_names_them(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"a bioformats2raw group, with .*a/0, .*a/1.*Open one of the images below it"):
        from_ngff_zarr(bioformats2raw(tmp_path / "a", 2))


def test_a_plate_names_its_wells(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "p", "screen", [omexp.ImageInWellPath("A", 1), omexp.ImageInWellPath("B", 2)])
    with pytest.raises(StoreNotFoundError, match=r"a plate, with .*p/A/01, .*p/B/02.*from_hcs_zarr"):
        from_ngff_zarr(tmp_path / "p")


def test_a_group_that_is_something_else_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "g"), mode="w")
    with pytest.raises(StoreNotFoundError, match="a Zarr group without multiscales"):
        from_ngff_zarr(tmp_path / "g")


@pytest.mark.parametrize("name", ["a.ozx", "a.zip"])
def test_a_zip_file_is_read_in_place(name: str, image: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for path in (p for p in image.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(image))
    for place in (tmp_path / name, f"file://{tmp_path / name}"):
        found = from_ngff_zarr(place)
        assert np.array_equal(found.images[0].data.compute(), pixels((2, 4, 45, 70)))
    assert to_ngff_image(tmp_path / name).scale == {"z": 2.0, "y": 0.5, "x": 0.5} | found.images[0].scale


def test_every_level_tells_its_channels(image: Path) -> None:
    found = from_ngff_zarr(image)
    assert found.metadata.omero is not None
    assert [level.channel_names for level in found.images] == [["a", "b"]] * 2
    assert [level.channel_colors for level in found.images] == [[c.color for c in found.metadata.omero.channels]] * 2
    without = from_ngff_zarr(edited(image, lambda ome: ome.pop("omero")))
    assert (without.images[0].channel_names, without.images[0].channel_colors) == (None, None)


def test_channels_of_a_stored_level_are_those_of_a_new_pyramid(image: Path, tmp_path: Path) -> None:
    to_ngff_zarr(tmp_path / "b.zarr", to_multiscales(from_ngff_zarr(image).images[1], [2]))
    assert omexp.open_ome_zarr_container(tmp_path / "b.zarr").image_meta.channels_meta.channel_labels == ["a", "b"]


def test_a_unit_that_the_specification_does_not_name_is_told_with_validate(image: Path) -> None:
    edited(image, lambda ome: ome["multiscales"][0]["axes"][-1].update(unit="um"))
    with pytest.warns(OmexpWarning, match="axis x: 'um' is no unit that OME-Zarr names; it should be 'micrometer'"):
        from_ngff_zarr(image, validate=True)


@pytest.mark.parametrize("as_place", [str, Path])
def test_storage_options_are_for_urls(as_place: Any, image: Path) -> None:
    with pytest.raises(ArgumentError, match="storage_options are for URLs.*Leave storage_options out"):
        from_ngff_zarr(as_place(image), storage_options={"anon": True})


def test_reading_creates_nothing(image: Path) -> None:
    before = sorted(image.rglob("*"))
    from_ngff_zarr(image, validate=True)
    assert sorted(image.rglob("*")) == before
