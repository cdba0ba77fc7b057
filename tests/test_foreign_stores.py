"""Stores that other programs wrote: they open, their pixels are zarr-python's, and nothing of theirs is lost when we write beside it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.buffer import cpu
from zarr.storage import MemoryStore

import omexp
from omexp.backend import dtype_of
from omexp.errors import ArgumentError, OmexpError, ReadOnlyError
from tests.conftest import Case
from tests.stores import arrays, documents, files

Copy = Callable[[str, Path], Path]

# store -> (version, axes, levels, shape of the finest, its dtype, labels, tables), as their README and documents say
IMAGES: dict[str, tuple[Any, ...]] = {
    "cardiomyocyte_B03_mip_v04.zarr": ("0.4", "czyx", 3, (3, 1, 1080, 1280), "uint16", ["nuclei"], 4),
    "ngio_tczyx_v05.zarr": ("0.5", "tczyx", 2, (4, 2, 10, 64, 64), "uint16", ["label"], 1),
    "tubhiswt4D_sub_v04.zarr": ("0.4", "tczyx", 3, (3, 1, 2, 512, 512), "uint8", ["embryo"], 0),
    "dsb2018_nuclei_v05.zarr": ("0.5", "yx", 3, (512, 512), "uint16", ["nuclei_truth"], 0),
    "human_ht29_sharded_v05.zarr": ("0.5", "cyx", 3, (3, 512, 512), "uint8", [], 0),
    "human_ht29_v04.zarr": ("0.4", "cyx", 3, (3, 512, 512), "uint8", [], 0),
    "mri_zyx_bigendian_zstd_v04.zarr": ("0.4", "zyx", 1, (25, 41, 33), "int16", [], 0),
    "human_ht29_v06.zarr": ("0.6", "cyx", 3, (3, 512, 512), "uint8", [], 0),
    "ome_zarr_py_v1.zarr": ("0.1", "tczyx", 1, (1, 2, 1, 16, 16), "uint8", [], 0),
    "ome_zarr_py_v2.zarr": ("0.2", "tczyx", 1, (1, 2, 1, 16, 16), "uint8", [], 0),
}
PLATES = {  # store -> wells, fields, labels and tables of each
    "challenge_hcs_v04.zarr": (["A/1", "A/2", "B/1", "B/2"], 8, [], 0),
    "transfluor_plate_v04.zarr": (["O/01", "O/02", "O/12", "O/24"], 8, ["spots"], 3),
    "transfluor_plate_v05.zarr": (["O/01", "O/02", "O/12", "O/24"], 8, ["spots"], 3),
}


@pytest.mark.parametrize("name", list(IMAGES))
def test_an_image_opens_with_what_its_documents_say(shared_data: Path, name: str) -> None:
    version, axes, levels, shape, dtype, labels, tables = IMAGES[name]
    container = omexp.open_ome_zarr_container(shared_data / name, mode="r")
    image = container.get_image()
    assert (container.meta.version, "".join(image.axes), container.levels) == (version, axes, levels)
    assert (image.shape, image.dtype) == (shape, np.dtype(dtype))
    assert (container.list_labels(), len(container.list_tables())) == (labels, tables)
    assert all(len(container.get_table(table).dataframe) > 0 for table in container.list_tables())
    assert repr(container)
    assert container._repr_html_()


@pytest.mark.parametrize("name", list(IMAGES))
def test_pixels_are_those_that_zarr_python_reads(shared_data: Path, name: str, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(shared_data / name, mode="r", device=backend.backend)
    path = container.levels_paths[-1]
    level = container.get_image(path)
    expected = zarr.open_array(str(shared_data / name / path), mode="r")[...]
    got = level.get_array()
    assert backend.holds(got)
    assert dtype_of(got) == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(backend.host(got), expected)
    for label in container.list_labels():
        stored = zarr.open_array(str(shared_data / name / "labels" / label / path), mode="r")[...]
        np.testing.assert_array_equal(backend.host(container.get_label(label, path).get_array()), stored)


@pytest.mark.parametrize("name", list(IMAGES))
def test_a_part_of_the_finest_level_is_that_part(shared_data: Path, name: str) -> None:
    image = omexp.open_ome_zarr_container(shared_data / name, mode="r").get_image()
    part: dict[str, Any] = {"y": slice(7, 31), "x": slice(-9, None)}
    index = tuple(part.get(axis, slice(None)) for axis in image.axes)
    np.testing.assert_array_equal(image.get_array(**part), zarr.open_array(str(shared_data / name / image.path), mode="r")[index])


def test_big_endian_pixels_come_in_native_order_and_are_written_back_in_theirs(copy_store: Copy, tmp_path: Path, backend: Case) -> None:
    store = copy_store("mri_zyx_bigendian_zstd_v04.zarr", tmp_path)
    image = omexp.open_ome_zarr_container(store, device=backend.backend).get_image()
    assert image.dtype.isnative
    before = arrays(store)["0"]
    got = image.get_array(z=3)
    np.testing.assert_array_equal(backend.host(got), before[3])
    image.set_array(got[::-1, :], z=3)
    after = zarr.open_array(str(store / "0"), mode="r")
    assert json.loads((store / "0" / ".zarray").read_text())["dtype"] == ">i2"
    np.testing.assert_array_equal(after[3], before[3, ::-1])
    np.testing.assert_array_equal(after[4], before[4])


# ---------------------------------------------------------------------------------------------------------- plates
@pytest.mark.parametrize("name", list(PLATES))
def test_a_plate_gives_every_field_with_its_labels_and_tables(shared_data: Path, name: str) -> None:
    wells, fields, labels, tables = PLATES[name]
    plate = omexp.open_ome_zarr_plate(shared_data / name, mode="r")
    assert plate.wells_paths() == wells
    images = plate.get_images()
    assert len(images) == fields
    for path, container in images.items():
        assert (container.list_labels(), len(container.list_tables())) == (labels, tables)
        level = container.levels_paths[-1]
        expected = zarr.open_array(str(shared_data / name / path / level), mode="r")[...]
        np.testing.assert_array_equal(container.get_image(level).get_array(), expected)


def test_a_bioformats2raw_plate_is_a_plate(shared_data: Path) -> None:
    with pytest.raises(OmexpError, match="got a plate group. Open it with open_ome_zarr_plate"):
        omexp.open_ome_zarr_container(shared_data / "challenge_hcs_v04.zarr", mode="r")
    plate = omexp.open_ome_zarr_plate(shared_data / "challenge_hcs_v04.zarr", mode="r")
    assert (plate.meta.name, plate.acquisition_ids) == ("Plate Name 0", [0])
    assert plate.get_image("A", 1, "0").get_image().shape == (1, 3, 1, 64, 64)


def test_the_objects_of_a_real_plate_are_measured_as_its_own_table_says(shared_data: Path) -> None:
    container = omexp.open_ome_zarr_plate(shared_data / "transfluor_plate_v05.zarr", mode="r").get_image("O", 1, "0")
    measured = omexp.measure(container.get_label("spots"), container.get_image()).dataframe
    listed = container.get_table("regionprops").dataframe
    assert set(listed.index) == set(measured.index)
    np.testing.assert_array_equal(measured.loc[listed.index, "area"], listed["area"])


# ------------------------------------------------------------------------------------------------- what cannot be read
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_an_archive_opens_read_only_with_the_pixels_of_the_folder_it_came_from(shared_data: Path, mode: str) -> None:
    container = omexp.open_ome_zarr_container(shared_data / "human_ht29_v05.ozx", mode=mode)
    with zipfile.ZipFile(shared_data / "human_ht29_v05.ozx") as archive:
        store = MemoryStore({name: cpu.Buffer.from_bytes(archive.read(name)) for name in archive.namelist() if not name.endswith("/")})
    for path in container.levels_paths:
        np.testing.assert_array_equal(container.get_image(path=path).get_as_numpy(), zarr.open_array(store, path=path, mode="r")[...])
    with pytest.raises(ReadOnlyError):
        container.derive_label("nuclei")


# ------------------------------------------------------------------------------------------------------ old versions
@pytest.mark.parametrize("name", ["ome_zarr_py_v1.zarr", "ome_zarr_py_v2.zarr"])
def test_pixels_of_an_old_version_are_written_and_its_document_is_not(copy_store: Copy, tmp_path: Path, name: str) -> None:
    store = copy_store(name, tmp_path)
    before = documents(store)
    container = omexp.open_ome_zarr_container(store)
    image = container.get_image()
    image.set_array(image.get_array()[..., ::-1])
    np.testing.assert_array_equal(zarr.open_array(str(store / "0"), mode="r")[...], image.get_array())
    with pytest.raises(ArgumentError, match="that OME-Zarr version cannot be written"):
        container.derive_label("cells")
    assert documents(store) == before


@pytest.mark.parametrize(("axes", "shape"), [("yx", (40, 60)), ("czyx", (2, 5, 40, 60))])
@pytest.mark.parametrize("separator", [".", "/"])
def test_0_3_has_axes_by_name_and_scales_from_shapes(tmp_path: Path, axes: str, shape: tuple[int, ...], separator: str) -> None:
    shapes = [shape, (*shape[:-2], 20, 30), (*shape[:-2], 10, 15)]
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    for i, level in enumerate(shapes):
        keys = {"name": "v2", "separator": separator}
        group.create_array(str(i), shape=level, dtype="uint16", chunks=(16,) * len(shape), chunk_key_encoding=keys)
        group[str(i)][...] = np.arange(np.prod(level), dtype="uint16").reshape(level)
    group.attrs["multiscales"] = [{"version": "0.3", "axes": list(axes), "datasets": [{"path": str(i)} for i in range(3)]}]
    container = omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    assert "".join(container.get_image().axes) == axes
    assert [container.get_image(path).pixel_size.yx for path in "012"] == [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]
    np.testing.assert_array_equal(container.get_image("2").get_array(), group["2"][...])


def test_labels_that_no_list_names_are_found_and_stay_when_one_is_added(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.ones((32, 32), "uint8"), xy_pixelsize=1, ngff_version="0.4")
    container.derive_label("nuclei")
    listing = tmp_path / "a.zarr" / "labels" / ".zattrs"
    for document in ({"labels": []}, {}):
        listing.write_text(json.dumps(document))
        assert container.list_labels() == ["nuclei"]
    container.derive_label("cells")
    assert json.loads(listing.read_text()) == {"labels": ["nuclei", "cells"]}


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_one_of_several_multiscales_is_opened_by_its_name(tmp_path: Path, version: str) -> None:
    store = tmp_path / "a.zarr"
    omexp.create_ome_zarr_from_array(store, np.ones((32, 32), "uint8"), xy_pixelsize=1, levels=2, name="first", ngff_version=version)
    group = zarr.open_group(store, mode="a")
    document = group.attrs.asdict()
    entries = document.get("ome", document)["multiscales"]
    entries.append(json.loads(json.dumps(entries[0]).replace('"first"', '"second"')))
    del entries[1]["datasets"][0]
    group.attrs.update(document)
    assert omexp.open_ome_zarr_container(store).levels_paths == ["0", "1"]
    container = omexp.open_ome_zarr_container(store, multiscale="second")
    assert (container.meta.name, container.levels_paths) == ("second", ["1"])
    container.get_image().consolidate("max")
    after = zarr.open_group(store, mode="r").attrs.asdict()
    assert [e.get("type") for e in after.get("ome", after)["multiscales"]] == ["mean", "max"]
    with pytest.raises(OmexpError, match="no multiscale has that name; got 'third'; allowed: first, second"):
        omexp.open_ome_zarr_container(store, multiscale="third")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_bioformats2raw_collection_names_its_images(tmp_path: Path, version: str) -> None:
    for name in ("0", "1"):
        omexp.create_ome_zarr_from_array(tmp_path / "a.zarr" / name, np.ones((8, 8), "uint8"), xy_pixelsize=1, ngff_version=version)
    group = zarr.open_group(tmp_path / "a.zarr", mode="a", zarr_format=2 if version == "0.4" else 3)
    layout = {"bioformats2raw.layout": 3}
    group.attrs.update(layout if version == "0.4" else {"ome": {"version": version, **layout}})
    for series, names in ((None, "0, 1"), (["1", "0"], "1, 0")):
        if series is not None:
            listed = {"series": series}
            group.require_group("OME").attrs.update(listed if version == "0.4" else {"ome": {"version": version, **listed}})
        with pytest.raises(OmexpError, match=f"got a bioformats2raw group of the images {names}. Open one of the images below it"):
            omexp.open_ome_zarr_container(tmp_path / "a.zarr")


# ------------------------------------------------------------------------------------------- writing beside their data
WRITABLE = [name for name, (version, *_) in IMAGES.items() if version not in ("0.1", "0.2") and not name.startswith("cardiomyocyte")]


@pytest.mark.parametrize("name", WRITABLE)
def test_writing_beside_it_loses_nothing_of_a_foreign_store(copy_store: Copy, tmp_path: Path, name: str) -> None:
    store = copy_store(name, tmp_path)
    before, old_files = documents(store), files(store)
    container = omexp.open_ome_zarr_container(store)
    container.derive_label("omexp_new")
    container.add_table("omexp_table", container.build_image_roi_table())
    container.get_image().set_array(container.get_image().get_array())
    after = documents(store)
    assert before.keys() <= after.keys()
    for path, document in before.items():
        assert without_our_names(after[path]) == without_our_names(document), path
    assert container.list_labels() == [*IMAGES[name][5], "omexp_new"]
    assert "omexp_table" in container.list_tables()
    kept = {path for path in old_files if not path.endswith(("zarr.json", ".zattrs", ".zmetadata"))}
    assert kept <= set(files(store))


def without_our_names(document: dict[str, Any]) -> Any:
    """A document without what we may add: names in the lists, and copies of the members' documents."""
    document = json.loads(json.dumps(document))
    document.pop("consolidated_metadata", None)
    attributes = document.get("attributes", document)
    listed = [attributes, attributes.get("ome", {})]
    names = {key: [n for inner in listed for n in inner.pop(key, []) if not n.startswith("omexp_")] for key in ("labels", "tables")}
    if attributes.get("ome") in (
        {"version": "0.5"},
        {"version": "0.6"},
    ):  # the labels list is where 0.5 wants it, even where the writer forgot
        del attributes["ome"]
    return document, names


@pytest.mark.parametrize("name", ["human_ht29_v04.zarr", "human_ht29_sharded_v05.zarr"])
def test_readers_of_consolidated_metadata_see_what_we_add(copy_store: Copy, tmp_path: Path, name: str) -> None:
    store = copy_store(name, tmp_path)
    container = omexp.open_ome_zarr_container(store)
    container.derive_label("cells")
    container.add_table("regions", container.build_image_roi_table())
    container.get_image().consolidate("max")
    group = zarr.open_group(str(store), mode="r", use_consolidated=True)
    assert group["labels/cells"].attrs.asdict() == zarr.open_group(str(store / "labels" / "cells"), mode="r").attrs.asdict()
    assert "regions" in group["tables"].attrs["tables"]
    attributes = group.attrs.asdict()
    assert attributes.get("ome", attributes)["multiscales"][0]["type"] == "max"
    container.delete_label("cells")
    container.delete_table("regions")
    group = zarr.open_group(str(store), mode="r", use_consolidated=True)
    assert "cells" not in group["labels"]
    assert "regions" not in group["tables"]


UNKNOWN = {"company": {"id": 7, "notes": ["a", None, 1.5]}}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_keys_that_nobody_knows_survive_every_change(tmp_path: Path, version: str) -> None:
    store = tmp_path / "a.zarr"
    container = omexp.create_ome_zarr_from_array(store, np.ones((32, 32), "uint8"), xy_pixelsize=1, levels=2, ngff_version=version)
    container.derive_label("nuclei").set_array(np.ones((32, 32), "uint32"))
    for folder in (store, store / "labels", store / "labels" / "nuclei"):
        add_unknown_keys(folder)
    before = documents(store)
    container = omexp.open_ome_zarr_container(store)
    container.derive_label("cells")
    container.add_table("boxes", container.build_masking_roi_table("nuclei"))
    container.get_image().consolidate("max")
    container.get_label("nuclei").consolidate("mode")
    container.delete_label("cells")
    container.delete_table("boxes")
    after = documents(store)
    for path, document in before.items():
        assert flat(document).keys() <= flat(after[path]).keys(), path
        changed = {key for key, value in flat(document).items() if flat(after[path])[key] != value}
        assert all(key.endswith((".type", "metadata.description")) for key in changed), changed  # how the levels were made


def add_unknown_keys(folder: Path) -> None:
    """Into every object of the group's attributes."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: grown(inner) for key, inner in value.items()} | UNKNOWN
        return [grown(inner) for inner in value] if isinstance(value, list) else value

    path = folder / ".zattrs" if (folder / ".zattrs").exists() else folder / "zarr.json"
    document = json.loads(path.read_text())
    document = grown(document) if path.name == ".zattrs" else document | {"attributes": grown(document["attributes"])}
    path.write_text(json.dumps(document))


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Every leaf by its dotted place."""
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{place}.{key}").items()}
    if isinstance(value, list) and value:
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, f"{place}.{i}").items()}
    return {place: value}


# ------------------------------------------------------------------------------------------------------- pyramids
@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("shape", [(33, 51), (501, 17), (8, 8)])
def test_consolidate_keeps_the_level_shapes_of_a_foreign_pyramid(tmp_path: Path, rounding: str, shape: tuple[int, int]) -> None:
    shapes = [shape]
    for _ in range(2):
        shapes.append(tuple(n // 2 if rounding == "floor" else -(-n // 2) for n in shapes[-1]))
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype="uint8")
    write_pyramid(tmp_path / "a.zarr", shapes, pixels)
    omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image().consolidate()
    stored, expected = arrays(tmp_path / "a.zarr"), pixels
    for i, level in enumerate(shapes):
        assert stored[str(i)].shape == level
        np.testing.assert_array_equal(stored[str(i)], expected)
        expected = omexp.downsample(expected, 2)[tuple(slice(n) for n in shapes[min(i + 1, 2)])]


def write_pyramid(folder: Path, shapes: list[tuple[int, ...]], pixels: np.ndarray) -> None:
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    for i, shape in enumerate(shapes):
        group.create_array(str(i), shape=shape, dtype="uint8", chunks=(16, 16), chunk_key_encoding={"name": "v2", "separator": "/"})
    group["0"][...] = pixels
    datasets = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [a / b for a, b in zip(shapes[0], s, strict=True)]}]}
        for i, s in enumerate(shapes)
    ]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


@pytest.mark.parametrize("name", ["tubhiswt4D_sub_v04.zarr", "human_ht29_sharded_v05.zarr", "dsb2018_nuclei_v05.zarr"])
def test_a_real_pyramid_is_rebuilt_from_its_finest_level(copy_store: Copy, tmp_path: Path, name: str) -> None:
    store = copy_store(name, tmp_path)
    container = omexp.open_ome_zarr_container(store)
    before = arrays(store)
    container.get_image().consolidate("median")
    after = arrays(store)
    assert {path: a.shape for path, a in after.items()} == {path: a.shape for path, a in before.items()}
    for fine, coarse in zip(container.levels_paths, container.levels_paths[1:], strict=False):
        factors = tuple(-(-a // b) for a, b in zip(after[fine].shape, after[coarse].shape, strict=True))
        np.testing.assert_array_equal(after[coarse], omexp.downsample(after[fine], factors, method="median"))
    np.testing.assert_array_equal(after[container.levels_paths[0]], before[container.levels_paths[0]])
