"""Opening an image, what it says about itself, and finding its levels."""

from __future__ import annotations

import json
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
import zarr

import omexp
from omexp.errors import ArgumentError, InvalidMetadataError, MissingArrayError, NameNotFoundError, ReadOnlyError, StoreNotFoundError
from tests.conftest import Case
from tests.stores import arrays, documents, files, sample_ids, sample_pixels


# ---------------------------------------------------------------------------------------------------- what it is
def test_a_container_says_what_it_is(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    assert (container.levels, container.levels_paths, container.level_paths) == (3, ["0", "1", "2"], ["0", "1", "2"])
    assert (container.is_2d, container.is_3d, container.is_time_series, container.is_multi_channels) == (False, True, False, True)
    assert (container.is_2d_time_series, container.is_3d_time_series) == (False, False)
    assert (container.space_unit, container.time_unit, container.device) == ("micrometer", None, "cpu")
    assert container.image_meta.channels_meta.channel_labels == ["DAPI", "GFP"]
    assert container.meta.version == store_version(store)
    assert (container.list_labels(), container.list_tables()) == (["nuclei"], [])
    assert container.where == str(store)


def store_version(store: Path) -> str:
    return "0.4" if (store / ".zattrs").exists() else "0.5"


def test_repr_and_html_name_levels_labels_tables_and_device(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    assert repr(container) == f"OmeZarrContainer(levels=3, labels=['nuclei'], device={backend.backend.name})"
    html = container._repr_html_()
    for part in (store_version(one_store), "nuclei", "none", backend.backend.name, "0: c: 2, z: 3, y: 20, x: 30, uint16"):
        assert part in html


def test_the_html_of_an_image_with_a_missing_level_says_so(one_store: Path) -> None:
    (one_store / "1" / "zarr.json").unlink()
    assert "1: the array is missing" in omexp.open_ome_zarr_container(one_store)._repr_html_()


# ------------------------------------------------------------------------------------------------------ devices
def test_arrays_live_on_the_cpu_unless_told(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    assert container.device == "cpu"
    assert type(container.get_image().get_array()) is np.ndarray
    assert type(container.get_label("nuclei").get_array()) is np.ndarray


def test_the_device_reaches_images_labels_masks_and_new_containers(one_store: Path, tmp_path: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    handed_out = [
        container.get_image().get_array(),
        container.get_label("nuclei").get_array(),
        container.get_masked_image("nuclei").get_roi(1),
        container.get_masked_label("nuclei", "nuclei").get_roi_masked(1),
        container.derive_label("new").get_array(),
        container.derive_image(tmp_path / "new.zarr").get_image().get_array(),
    ]
    assert all(backend.holds(array) for array in handed_out)
    assert type(container.derive_image(tmp_path / "host.zarr", device="cpu").get_image().get_array()) is np.ndarray


def test_the_default_device_holds_inside_its_block_only(one_store: Path, backend: Case) -> None:
    with omexp.default_device(backend.backend):
        inside = omexp.open_ome_zarr_container(one_store)
        told = omexp.open_ome_zarr_container(one_store, device="cpu")
    after = omexp.open_ome_zarr_container(one_store)
    assert backend.holds(inside.get_image().get_array())
    assert type(told.get_image().get_array()) is np.ndarray
    assert type(after.get_image().get_array()) is np.ndarray


def test_a_namespace_is_a_device(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store, device=array_api_strict).get_image()
    assert isinstance(image.get_array(), type(array_api_strict.zeros(1)))


def test_auto_opens_everywhere(one_store: Path) -> None:
    assert omexp.open_ome_zarr_container(one_store, device="auto").device in ("cpu", "cuda:0")


# ------------------------------------------------------------------------------------------------------- levels
def test_a_level_is_found_by_path_or_pixel_size(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    assert container.get_image().path == "0"
    assert container.get_image("2").path == "2"
    assert container.get_image(path=1).path == "1"
    assert container.get_image(pixel_size=omexp.PixelSize(x=1.0, y=1.0, z=2.0)).path == "1"
    assert container.get_image(pixel_size=omexp.PixelSize(x=1.3, y=1.2, z=2.0)).path == "1"
    assert container.get_image(pixel_size=omexp.PixelSize(x=1.00001, y=1.0, z=2.0), strict=True).path == "1"
    assert container.get_image(pixel_size=omexp.PixelSize(x=1000, y=1000, z=2000, space_unit="nanometer"), strict=True).path == "1"
    assert container.get_label("nuclei", path="2").shape == (3, 5, 8)
    assert container.get_label("nuclei", pixel_size=container.get_image("1").pixel_size).path == "1"
    assert container.get_masked_image("nuclei", path="1").masking_label.path == "1"


def test_a_level_that_is_not_there_is_refused_with_what_there_is(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    size = omexp.PixelSize(x=0.6, y=0.6, z=2.0)
    for get in (container.get_image, lambda **k: container.get_label("nuclei", **k), lambda **k: container.get_masked_image("nuclei", **k)):
        with pytest.raises(NameNotFoundError, match=r"there is no such level; got '7'; allowed: 0, 1, 2"):
            get(path="7")
        with pytest.raises(NameNotFoundError, match=r"no level has that pixel size.*0: PixelSize\(x=0.5.*Pass strict=False"):
            get(pixel_size=size, strict=True)
        with pytest.raises(ArgumentError, match="pass path or pixel_size, not both; got path='0', pixel_size=PixelSize"):
            get(path="0", pixel_size=size)


def test_the_finest_level_is_the_first_choice_in_whatever_order_they_are_listed(one_store: Path) -> None:
    document = json.loads((one_store / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["datasets"].reverse()
    (one_store / "zarr.json").write_text(json.dumps(document))
    container = omexp.open_ome_zarr_container(one_store)
    assert container.levels_paths == ["2", "1", "0"]
    assert container.get_image().path == "0"
    container.get_image().consolidate("max")
    np.testing.assert_array_equal(arrays(one_store)["1"], omexp.downsample(sample_pixels(), (1, 1, 2, 2), method="max"))
    assert container.derive_label("new").shape == (3, 20, 30)


# ------------------------------------------------------------------------------------------------------ opening
@pytest.mark.parametrize("how", ["path", "str", "zarr group", "zarr store", "dict", "file URL", "fsspec mapper", "omexp group"])
def test_every_kind_of_store_opens(one_store: Path, how: str) -> None:
    import fsspec

    opened = {
        "path": lambda: one_store,
        "str": lambda: str(one_store),
        "zarr group": lambda: zarr.open_group(one_store, mode="r+", use_consolidated=False),
        "zarr store": lambda: zarr.storage.LocalStore(one_store),
        "dict": lambda: {k: zarr.buffer.cpu.Buffer.from_bytes(v) for k, v in files(one_store).items() if (one_store / k).is_file()},
        "file URL": lambda: f"file://{one_store}",
        "fsspec mapper": lambda: fsspec.get_mapper(f"memory://{one_store.parent.name}/{one_store.name}"),
        "omexp group": lambda: omexp.open_ome_zarr_container(one_store).group,
    }[how]()
    if how == "fsspec mapper":
        opened.setitems({k: v for k, v in files(one_store).items() if (one_store / k).is_file()})
    container = omexp.open_ome_zarr_container(opened)
    np.testing.assert_array_equal(container.get_image().get_array(c=0), sample_pixels()[0])
    container.get_image().set_array(np.zeros((3, 20, 30), "uint16"), c=0)
    assert not container.get_image().get_array(c=0).any()
    label = container.derive_label("new")
    label.set_array(sample_ids())
    assert container.list_labels() == ["nuclei", "new"]
    np.testing.assert_array_equal(container.get_label("new").get_array(), sample_ids())
    with pytest.raises(omexp.OmexpError, match="something is there already"):
        container.derive_label("new")
    assert container.derive_label("new", overwrite=True).get_array().max() == 0


def test_reading_only_keeps_every_file_as_it_is(one_store: Path, backend: Case) -> None:
    before = files(one_store)
    container = omexp.open_ome_zarr_container(one_store, mode="r", device=backend.backend)
    image, label = container.get_image(), container.get_label("nuclei")
    for write in (
        lambda: image.set_array(image.get_array()),
        lambda: image.consolidate(),
        lambda: label.set_array(label.get_array()),
        lambda: container.get_masked_image("nuclei").set_roi_masked(1, container.get_masked_image("nuclei").get_roi_masked(1)),
        lambda: container.derive_label("new"),
        lambda: container.derive_label("nuclei", overwrite=True),
        lambda: container.delete_label("nuclei"),
        lambda: container.add_table("boxes", container.build_masking_roi_table("nuclei")),
    ):
        with pytest.raises(ReadOnlyError, match=r"image\.zarr.*read-only"):
            write()
    assert files(one_store) == before


def test_metadata_is_read_afresh_each_time_or_once_with_cache(store: Path) -> None:
    fresh, cached = omexp.open_ome_zarr_container(store), omexp.open_ome_zarr_container(store, cache=True)
    assert (fresh.levels, cached.levels) == (3, 3)
    document = store / (".zattrs" if (store / ".zattrs").exists() else "zarr.json")
    content = json.loads(document.read_text())
    (content.get("attributes", {}).get("ome") or content)["multiscales"][0]["datasets"].pop()
    document.write_text(json.dumps(content))
    assert (fresh.levels, cached.levels) == (2, 3)
    cached.refresh()
    assert cached.levels == 2


@pytest.mark.parametrize("cache", [False, True])
def test_a_container_sees_its_own_changes(store: Path, cache: bool) -> None:
    container = omexp.open_ome_zarr_container(store, cache=cache)
    assert (container.list_labels(), container.list_tables()) == (["nuclei"], [])
    container.derive_label("cells")
    container.add_table("boxes", container.build_masking_roi_table("nuclei"))
    container.get_image().consolidate("max")
    assert container.list_labels() == ["nuclei", "cells"]
    assert container.list_tables() == ["boxes"]
    assert container.meta.multiscale.type == "max"


# --------------------------------------------------------------------------------------------- what cannot be opened
def test_a_place_without_an_image_is_refused_with_what_is_there(store: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("hello")
    omexp.create_empty_plate(tmp_path / "plate.zarr", "p", [omexp.ImageInWellPath("A", 1)])
    zarr.create_array(tmp_path / "array.zarr", shape=(2, 2), dtype="uint8")
    for place, message in [
        (tmp_path / "nothing.zarr", "there is no Zarr group. The path does not exist"),
        (tmp_path / "folder", "there is no Zarr group. The path exists and holds notes.txt; a Zarr group holds zarr.json or .zgroup"),
        (tmp_path / "folder" / "notes.txt", "there is no Zarr group"),
        (tmp_path / "array.zarr", "there is no Zarr group"),
        (tmp_path / "plate.zarr", "this group is no OME-Zarr image; got a plate group. Open it with open_ome_zarr_plate"),
        (tmp_path / "plate.zarr" / "A" / "01", "got a well group. Open it with open_ome_zarr_well"),
        (store / "labels", "this group is no OME-Zarr image; got a labels group. Open one of the images below it"),
    ]:
        with pytest.raises(StoreNotFoundError, match=message) as caught:
            omexp.open_ome_zarr_container(place)
        assert str(place) in str(caught.value)
        assert isinstance(caught.value, FileNotFoundError)


def test_a_wrong_mode_device_or_store_is_refused(one_store: Path) -> None:
    with pytest.raises(ArgumentError, match=r"mode is not understood; got 'w'; allowed: 'r' \(read only\), 'r\+'"):
        omexp.open_ome_zarr_container(one_store, mode="w")
    with pytest.raises(ArgumentError, match="device is not understood; got 'gpu'"):
        omexp.open_ome_zarr_container(one_store, device="gpu")
    with pytest.raises(ArgumentError, match="this is no store"):
        omexp.open_ome_zarr_container(3)


def test_a_label_opens_as_a_container_of_its_own(store: Path) -> None:
    label = omexp.open_ome_zarr_container(store / "labels" / "nuclei")
    np.testing.assert_array_equal(label.get_image().get_array(), sample_ids())
    assert label.meta.image_label is not None


# ---------------------------------------------------------------------------------------------------- broken data
def test_a_level_without_its_array_is_named(one_store: Path, backend: Case) -> None:
    for name in (".zarray", "zarr.json"):
        (one_store / "0" / name).unlink(missing_ok=True)
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    with pytest.raises(MissingArrayError, match=r"image.zarr: the metadata names an array that is not there; got '0'"):
        container.get_image()
    assert container.get_image("1").shape == (2, 3, 10, 15)


def test_an_array_whose_axes_the_metadata_does_not_name_is_wrong_data(one_store: Path) -> None:
    document = json.loads((one_store / "zarr.json").read_text())
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    multiscale["axes"] = multiscale["axes"][1:]
    for dataset in multiscale["datasets"]:
        for transform in dataset["coordinateTransformations"]:
            transform[transform["type"]] = transform[transform["type"]][1:]
    (one_store / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(InvalidMetadataError, match=r"image.zarr/0: the array does not have the axes.*\(2, 3, 20, 30\).*axes z, y, x"):
        omexp.open_ome_zarr_container(one_store).get_image()


def test_broken_rules_of_a_document_are_all_named_with_their_places(one_store: Path) -> None:
    document = json.loads((one_store / "zarr.json").read_text())
    datasets = document["attributes"]["ome"]["multiscales"][0]["datasets"]
    del datasets[0]["path"]
    datasets[1]["coordinateTransformations"][0]["scale"] = [1, 2]
    (one_store / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(InvalidMetadataError) as caught:
        omexp.open_ome_zarr_container(one_store)
    for part in (
        "image.zarr",
        "multiscales.0.datasets.0.path: expected a string",
        "datasets.1.coordinateTransformations.0.scale: expected 4",
    ):
        assert part in str(caught.value)
    assert len(caught.value.problems) == 2


def test_what_is_tolerated_is_said_in_a_warning(one_store: Path) -> None:
    document = json.loads((one_store / "zarr.json").read_text())
    document["attributes"]["ome"]["omero"]["channels"].pop()
    (one_store / "zarr.json").write_text(json.dumps(document))
    with pytest.warns(omexp.OmexpWarning, match=r"image.zarr: omero.channels: expected 2 channels, as the c axis has, got 1") as caught:
        container = omexp.open_ome_zarr_container(one_store)
    assert Path(caught[0].filename) == Path(__file__)  # it points at the caller's line
    assert container.meta.channels_meta.channel_labels == ["DAPI", "channel_1"]


# ---------------------------------------------------------------------------------------------------------- ROIs
def test_the_whole_image_and_the_objects_become_tables(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    container.add_table("image", container.build_image_roi_table())
    container.add_table("boxes", container.build_masking_roi_table("nuclei"))
    assert container.list_tables("masking_roi_table") == ["boxes"]
    whole = container.get_roi_table("image").get("image")
    assert backend.host(container.get_image().get_roi(whole)).shape == (2, 3, 20, 30)
    boxes = container.get_masking_roi_table("boxes")
    assert boxes.reference_label == "nuclei"
    assert [roi.label for roi in boxes.rois()] == [1, 7, 300]
    got = container.get_label("nuclei").get_roi(boxes.get_label(7))
    np.testing.assert_array_equal(backend.host(got), sample_ids()[1:3, 0:20, 20:30])


def test_documents_hold_every_level_with_its_place_in_the_world(store: Path) -> None:
    found = documents(store)
    document = found.get(".zattrs") or found["zarr.json"]["attributes"]["ome"]
    datasets = document["multiscales"][0]["datasets"]
    assert [d["path"] for d in datasets] == ["0", "1", "2"]
    transforms = [{t["type"]: t[t["type"]] for t in d["coordinateTransformations"]} for d in datasets]
    assert [t["scale"] for t in transforms] == [[1, 2, 0.5, 0.5], [1, 2, 1, 1], [1, 2, 2, 2]]
    assert [t.get("translation") for t in transforms] == [None, [0, 0, 0.25, 0.25], [0, 0, 0.75, 0.75]]
