"""Pyramids to stores and back: the pixels of memory, whatever they come from; nothing else is lost, nothing is read while it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, ZipStore

import omexp
from omexp.errors import AlreadyExistsError, ArgumentError
from omexp.ngff import (
    Methods,
    Multiscales,
    Omero,
    OmeroChannel,
    OmeroWindow,
    from_ngff_zarr,
    to_multiscales,
    to_ngff_image,
    to_ngff_zarr,
)
from tests.conftest import Case
from tests.stores import arrays, documents, files


def pixels(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def levels(multiscales: Multiscales) -> list[np.ndarray]:
    return [omexp.to_host(image.data.compute() if isinstance(image.data, da.Array) else image.data) for image in multiscales.images]


def assert_stored(store: Any, multiscales: Multiscales) -> Multiscales:
    """The store holds the pyramid's pixels, scales and names; what was opened."""
    found = from_ngff_zarr(store)
    for one, other in zip(levels(found), levels(multiscales), strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    for image, dataset in zip(found.images, multiscales.metadata.datasets, strict=True):
        assert list(image.scale.values()) == dataset.coordinateTransformations[0].scale
        assert list(image.translation.values()) == dataset.coordinateTransformations[1].translation
    assert [d.path for d in found.metadata.datasets] == [d.path for d in multiscales.metadata.datasets]
    assert (found.metadata.name, found.method) == (multiscales.metadata.name, multiscales.method)
    return found


# ------------------------------------------------------------------------------------------------------------ round trips
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint64", "float16", "float64"])
def test_what_is_written_is_what_memory_holds(version: str, dtype: str, tmp_path: Path) -> None:
    made = to_multiscales(pixels((45, 70), dtype), [2, 4], chunks=32)
    to_ngff_zarr(tmp_path / "a.ome.zarr", made, version=version)
    assert assert_stored(tmp_path / "a.ome.zarr", made).metadata.version == version


def test_arrays_of_every_library_are_written(backend: Case, tmp_path: Path) -> None:
    array = backend.array(pixels((3, 45, 70)))
    made = to_multiscales(to_ngff_image(array, "cyx"), [2, 4], "mode", chunks=32)
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    found = assert_stored(tmp_path / "a.ome.zarr", made)
    assert np.array_equal(found.images[0].data.compute(), backend.host(array))


@pytest.mark.parametrize("kind", ["numpy", "dask", "dask-transposed", "zarr", "memmap", "c-last"])
def test_every_source_gives_the_same_store(kind: str, tmp_path: Path) -> None:
    array, dims = pixels((3, 45, 70)), "cyx"
    source: Any = array
    if kind == "dask":
        source = da.from_array(array, chunks=(1, 20, 33))
    if kind == "dask-transposed":
        source, dims = da.from_array(array, chunks=(1, 20, 33)).transpose(1, 2, 0), "yxc"
    if kind == "c-last":
        source, dims = np.ascontiguousarray(array.transpose(1, 2, 0)), "yxc"
    if kind == "zarr":
        source = zarr.create_array({}, shape=array.shape, chunks=(2, 13, 70), dtype=array.dtype)
        source[:] = array
    if kind == "memmap":
        source = np.memmap(tmp_path / "raw", "uint16", "w+", shape=array.shape)
        source[:] = array
    made = to_multiscales(to_ngff_image(source, dims), [2, 4], chunks={"c": 1, "y": 32, "x": 32})
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    to_ngff_zarr(tmp_path / "b.ome.zarr", to_multiscales(to_ngff_image(array, "cyx"), [2, 4], chunks={"c": 1, "y": 32, "x": 32}))
    assert files(tmp_path / "a.ome.zarr") == files(tmp_path / "b.ome.zarr")


@pytest.mark.parametrize("factors", [[2, 3, 4], [2, 5], [{"z": 2, "y": 2, "x": 2}, {"y": 4, "x": 4}], [], 16])
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_every_ladder_is_written_as_it_is_in_memory(factors: Any, method: str, tmp_path: Path) -> None:
    made = to_multiscales(pixels((5, 61, 121)), factors, method, chunks=16)
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    assert_stored(tmp_path / "a.ome.zarr", made)


@pytest.mark.parametrize("store", ["dict", "MemoryStore", "path", "str", "url"])
def test_stores_of_every_kind_are_written(store: str, tmp_path: Path) -> None:
    place: Any = {
        "dict": {},
        "MemoryStore": MemoryStore(),
        "path": tmp_path / "a",
        "str": str(tmp_path / "a"),
        "url": f"file://{tmp_path}/a",
    }[store]
    made = to_multiscales(pixels((45, 70)), [2])
    to_ngff_zarr(place, made)
    assert_stored(place, made)


def test_storage_options_go_to_fsspec(tmp_path: Path) -> None:
    made = to_multiscales(pixels((45, 70)), [2])
    url = f"memory://{tmp_path}/deep/a.ome.zarr"
    to_ngff_zarr(url, made, storage_options={"skip_instance_cache": True})
    found = from_ngff_zarr(url, storage_options={"skip_instance_cache": True})
    assert np.array_equal(found.images[1].data.compute(), made.images[1].data.compute())
    with pytest.raises(ArgumentError, match="storage_options are for URLs"):
        to_ngff_zarr(f"file://{tmp_path}/a.ome.zarr", made, storage_options={"auto_mkdir": True})


def test_level_0_is_read_once_and_dask_does_not_stand_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = np.zeros((64, 64), int)

    class Counted(np.ndarray):
        def __getitem__(self, index: Any) -> Any:
            reads[index] += 1
            return np.asarray(self)[index]

    monkeypatch.setattr(da.Array, "compute", lambda *_, **__: pytest.fail("dask computed something"))
    made = to_multiscales(pixels((64, 64)).view(Counted), [2, 4], chunks=16)
    reads[...] = 0
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    assert reads.min() == reads.max() == 1


# ---------------------------------------------------------------------------------------------- levels that were replaced
def test_a_replaced_level_is_written_as_supplied_and_the_next_ones_are_made_from_it(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2, 4], "mean", chunks=16)
    made.images[1].data = made.images[1].data * 0 + 7
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    found = levels(from_ngff_zarr(tmp_path / "a.ome.zarr"))
    assert np.array_equal(found[0], pixels((64, 64)))
    assert (found[1] == 7).all()
    assert (found[2] == 7).all()


def test_levels_follow_a_replaced_finest_level(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2, 3], "mean", chunks=16)
    made.images[0].data = pixels((64, 64), seed=1)
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    found = levels(from_ngff_zarr(tmp_path / "a.ome.zarr"))
    assert np.array_equal(found[1], omexp.downsample(pixels((64, 64), seed=1), 2))
    assert np.array_equal(found[2], omexp.downsample(pixels((64, 64), seed=1), 3))


def test_a_level_taken_away_does_not_change_the_others(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2, 4], "mean", chunks=16)
    del made.images[1], made.metadata.datasets[1]
    to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    assert_stored(tmp_path / "a.ome.zarr", made)


def test_the_pyramid_is_not_changed_by_writing(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2, 4], chunks=16)
    before, data = repr(made), [image.data for image in made.images]
    to_ngff_zarr(tmp_path / "a.ome.zarr", made, version="0.4")
    assert repr(made) == before
    assert all(image.data is old for image, old in zip(made.images, data, strict=True))


# ------------------------------------------------------------------------------------------------------------- overwriting
def with_label_and_table(folder: Path, version: str = "0.5") -> None:
    """An image with a label, a table, a foreign file and a foreign root attribute."""
    to_ngff_zarr(folder, to_multiscales(pixels((64, 64)), [2, 4]), version=version)
    container = omexp.open_ome_zarr_container(folder)
    container.derive_label("nuclei").set_array(pixels((64, 64), "uint32"))
    container.add_table("sizes", {"a": [1, 2]})
    (folder / "notes.txt").write_text("mine")
    container.group.put_attributes(container.group.attributes | {"lab": {"dye": 3}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_overwriting_keeps_labels_tables_files_and_attributes(version: str, tmp_path: Path) -> None:
    folder = tmp_path / "a.ome.zarr"
    with_label_and_table(folder, version)
    before = {k: v for k, v in arrays(folder).items() if k.startswith("labels/")}
    made = to_multiscales(to_ngff_image(pixels((64, 64), seed=1), name="other"), [2])
    to_ngff_zarr(folder, made, version=version)
    assert_stored(folder, made)
    container = omexp.open_ome_zarr_container(folder)
    assert (container.list_labels(), container.list_tables()) == (["nuclei"], ["sizes"])
    assert all(np.array_equal(arrays(folder)[path], ids) for path, ids in before.items())
    assert (folder / "notes.txt").read_text() == "mine"
    assert container.group.attributes["lab"] == {"dye": 3}
    assert [path for path in arrays(folder) if path.startswith("scale")] == ["scale0/other", "scale1/other"]


def test_everything_goes_only_when_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "a.ome.zarr"
    with_label_and_table(folder)
    to_ngff_zarr(folder, to_multiscales(pixels((64, 64)), [2]), overwrite="all")
    assert sorted(p.name for p in folder.iterdir()) == ["scale0", "scale1", "zarr.json"]


def test_nothing_is_overwritten_when_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "a.ome.zarr"
    with_label_and_table(folder)
    before = files(folder)
    with pytest.raises(AlreadyExistsError):
        to_ngff_zarr(folder, to_multiscales(pixels((64, 64)), [2]), overwrite=False)
    assert files(folder) == before


@pytest.mark.parametrize("how", ["path", "relative", "parent", "dask", "da.from_zarr", "level", "image", "derived"])
def test_a_store_that_is_being_read_is_not_overwritten(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a.ome.zarr"
    to_ngff_zarr(folder, to_multiscales(pixels((64, 64)), [2], chunks=16))
    before = files(folder)
    opened = from_ngff_zarr("a.ome.zarr")
    place: Any = "a.ome.zarr" if how == "relative" else tmp_path if how == "parent" else folder
    if how == "dask":
        opened.images[1].data = opened.images[1].data + 1
    if how == "da.from_zarr":
        opened = to_multiscales(da.from_zarr(str(folder / "scale0" / "image")).rechunk(7) + 1, [2])
    if how == "level":
        opened = to_multiscales(omexp.open_ome_zarr_container(folder).get_image().get_array(mode="dask"), [2])
    if how == "image":
        opened = to_multiscales(opened.images[0], [2], chunks=8)
    if how == "derived":
        opened = to_multiscales(to_ngff_image(zarr.open_array(str(folder / "scale0" / "image")), "xy"), [2])
    with pytest.raises(ArgumentError, match="the images read from the store that is to be written"):
        to_ngff_zarr(place, opened)
    assert files(folder) == before


def test_a_dict_that_is_being_read_is_not_overwritten_but_another_one_may_be() -> None:
    store: dict[str, Any] = {}
    to_ngff_zarr(store, to_multiscales(pixels((64, 64)), [2]))
    with pytest.raises(ArgumentError, match="the images read from the store"):
        to_ngff_zarr(store, from_ngff_zarr(store))
    other: dict[str, Any] = {}
    to_ngff_zarr(other, from_ngff_zarr(store))
    assert_stored(other, from_ngff_zarr(store))


def test_pixels_that_were_loaded_may_be_written_where_they_came_from(tmp_path: Path) -> None:
    to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2]))
    opened = from_ngff_zarr(tmp_path / "a")
    for image in opened.images:
        image.data = image.data.compute() + 1
    to_ngff_zarr(tmp_path / "a", opened)
    assert np.array_equal(levels(from_ngff_zarr(tmp_path / "a"))[0], pixels((64, 64)) + 1)


# ---------------------------------------------------------------------------------------------------------- documents
def test_what_a_store_says_survives_a_round_trip_into_another_version(tmp_path: Path) -> None:
    image = to_ngff_image(pixels((2, 64, 64)), "cyx", {"y": 0.5}, axes_units={"y": "micrometer", "x": "micrometer"})
    made = to_multiscales(image, [2], "mode", orientation="LPS")
    window = OmeroWindow(0.0, 255.0, 10.0, 99.0)
    made.metadata.omero = Omero([OmeroChannel("00FF00", window, "a", {"family": "linear"}), OmeroChannel("FF0000", window, "b")], {"id": 7})
    made.metadata.extra = {"custom": [1, 2]}
    made.root_attributes = {"lab": {"dye": 3}}
    to_ngff_zarr(tmp_path / "a", made, version="0.4")
    first = from_ngff_zarr(tmp_path / "a", version="0.4")
    to_ngff_zarr(tmp_path / "b", first, version="0.5")
    second = from_ngff_zarr(tmp_path / "b", version="0.5", validate=True)
    for found in (first, second):
        assert found.root_attributes == {"lab": {"dye": 3}}
        assert found.metadata.extra == {"custom": [1, 2]}
        assert found.metadata.omero.extra == {"id": 7}
        assert [c.label for c in found.metadata.omero.channels] == ["a", "b"]
        assert found.metadata.omero.channels[0].window == window
        assert found.metadata.omero.channels[0].extra["family"] == "linear"
        assert [(a.unit, a.orientation) for a in found.metadata.axes] == [(a.unit, a.orientation) for a in made.metadata.axes]
        assert (found.method, found.images[0].axes_units) == (Methods.MODE, {"c": None, "y": "micrometer", "x": "micrometer"})
        assert found.images[1].axes_orientations == made.images[1].axes_orientations
    assert_stored(tmp_path / "b", made)


def test_channels_are_written_only_where_they_are_named(tmp_path: Path) -> None:
    to_ngff_zarr(tmp_path / "plain", to_multiscales(pixels((64, 64)), [2]))
    named = to_ngff_image(pixels((2, 64, 64)), "cyx", channel_names=["a", "b"], channel_colors=["00FF00", "0000FF"])
    to_ngff_zarr(tmp_path / "named", to_multiscales(named, [2]))
    assert from_ngff_zarr(tmp_path / "plain").metadata.omero is None
    found = from_ngff_zarr(tmp_path / "named").metadata.omero
    assert [(c.label, c.color) for c in found.channels] == [("a", "00FF00"), ("b", "0000FF")]


def test_a_label_stays_a_label(tmp_path: Path) -> None:
    with_label_and_table(tmp_path / "a")
    opened = from_ngff_zarr(tmp_path / "a" / "labels" / "nuclei")
    to_ngff_zarr(tmp_path / "b", opened)
    assert "image-label" in documents(tmp_path / "b")["zarr.json"]["attributes"]["ome"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata_is_consolidated_unless_told(version: str, tmp_path: Path) -> None:
    for consolidate in (True, False):
        to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2]), version=version, consolidate_metadata=consolidate)
        held = zarr.open_group(str(tmp_path / "a"), mode="r").metadata.consolidated_metadata
        assert (held is not None) == consolidate


# -------------------------------------------------------------------------------------------------------------- layout
@pytest.mark.parametrize(
    "per_shard,shards",
    [(2, (128, 128, 128)), ((2, 2, 4), (128, 128, 256)), ({"z": 4, "y": 2, "x": 2}, (256, 128, 128)), ({"z": 99}, (320, 64, 64))],
)
def test_shards_are_whole_numbers_of_chunks(per_shard: Any, shards: tuple[int, ...], tmp_path: Path) -> None:
    made = to_multiscales(np.zeros((260, 256, 256), "uint8"), [2], "mean", chunks=64)
    to_ngff_zarr(tmp_path / "a", made, chunks_per_shard=per_shard)
    stored = zarr.open_array(str(tmp_path / "a" / "scale0" / "image"))
    assert (stored.shards, stored.chunks) == (shards, (64, 64, 64))


def test_shards_need_0_5(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="shards need Zarr format 3"):
        to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2]), version="0.4", chunks_per_shard=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option,codec", [({"compressors": "zstd:7"}, "zstd"), ({"compressor": None}, None), ({}, "blosc")])
def test_codecs_are_chosen(option: dict[str, Any], codec: str | None, tmp_path: Path) -> None:
    to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2]), **option)
    names = [c["name"] for c in documents(tmp_path / "a")["scale1/image/zarr.json"]["codecs"]]
    assert names == ["bytes", codec][: 1 + (codec is not None)]


def test_levels_keep_the_chunks_of_the_pyramid_or_of_the_store(tmp_path: Path) -> None:
    to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2], chunks={"y": 16, "x": 48}))
    to_ngff_zarr(tmp_path / "b", from_ngff_zarr(tmp_path / "a"))
    for place in "ab":
        assert [zarr.open_array(str(tmp_path / place / f"scale{k}" / "image")).chunks for k in (0, 1)] == [(16, 48), (16, 32)]


def test_a_level_put_in_place_brings_its_chunks(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2], chunks=16)
    made.images[1].data = da.from_array(np.zeros((32, 32), "uint16"), chunks=(8, 32))
    to_ngff_zarr(tmp_path / "a", made)
    assert zarr.open_array(str(tmp_path / "a" / "scale1" / "image")).chunks == (8, 32)


def test_tensorstore_writes_the_same_pixels(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    made = to_multiscales(pixels((130, 100, 64)), [2], chunks=64)
    to_ngff_zarr(tmp_path / "a", made, use_tensorstore=True, chunks_per_shard=2)
    assert_stored(tmp_path / "a", made)


# ------------------------------------------------------------------------------------------------------------- the rest
def test_progress_ends_at_the_bytes_of_the_finest_level(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2]), progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (64 * 64 * 2, 64 * 64 * 2)
    assert sorted(told) == told


@pytest.mark.parametrize(
    "options,message",
    [
        ({"version": "0.7"}, "version cannot be written"),
        ({"overwrite": "some"}, "overwrite is not understood"),
        ({"chunk_store": {}}, "no such option.*chunk_store.*one store"),
        ({"metadata_only": True}, "no such option.*create_empty_ome_zarr"),
        ({"start_level": 1}, "no such option.*consolidate"),
        ({"chunks": 64}, "no such option.*to_multiscales"),
        ({"colour": 1}, "no such option.*colour"),
        ({"compressors": "lz77"}, "compressors"),
        ({"scale_strategy": "best"}, "scale_strategy"),
    ],
)
def test_options_that_there_are_not_are_refused_before_anything_is_written(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64, 64)), [2]), **options)
    assert list(tmp_path.iterdir()) == []


def test_options_at_ngff_zarrs_defaults_are_taken(tmp_path: Path) -> None:
    options = {"metadata_only": False, "start_level": 0, "scale_strategy": "pad", "chunk_store": None, "use_tensorstore": False}
    made = to_multiscales(pixels((64, 64)), [2])
    to_ngff_zarr(tmp_path / "a", made, **options)
    assert_stored(tmp_path / "a", made)


def test_what_is_no_pyramid_or_contradicts_itself_is_refused(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2])
    with pytest.raises(ArgumentError, match="this is no pyramid"):
        to_ngff_zarr(tmp_path / "a", made.images[0])
    with pytest.raises(ArgumentError, match="one dataset per image"):
        to_ngff_zarr(tmp_path / "a", Multiscales(made.images[:1], made.metadata))
    with pytest.raises(ArgumentError, match="same dims and dtype"):
        made.images[1].data = np.zeros((32, 32), "float32")
        to_ngff_zarr(tmp_path / "a", made)
    with pytest.raises(ArgumentError, match="breaks the specification.*expected time, channel, space, got"):
        to_ngff_zarr(tmp_path / "a", to_multiscales(to_ngff_image(pixels((8, 8, 3)), "yxc"), [2], axis_order="preserve"))
    with pytest.raises(ArgumentError, match="breaks the specification"):
        to_ngff_zarr(tmp_path / "a", to_multiscales(pixels((64,)), [2]))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_json_objects_are_refused(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2])
    made.metadata.datasets[1].path = "../up"
    with pytest.raises(ArgumentError, match="leads outside the group"):
        to_ngff_zarr(tmp_path / "a", made)
    assert json.dumps([p.name for p in tmp_path.iterdir()]) == "[]"


def test_an_image_takes_the_version_of_the_well_that_it_joins(tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "p", "screen", [omexp.ImageInWellPath("A", 1)], ngff_version="0.4")
    place = plate.get_image_store("A", 1, "0")
    with pytest.raises(ArgumentError, match="another version than its well"):
        to_ngff_zarr(place, to_multiscales(pixels((64, 64)), [2]), version="0.5")
    to_ngff_zarr(place, to_multiscales(pixels((64, 64)), [2]))
    assert from_ngff_zarr(place).metadata.version == "0.4"


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the group's document is written twice: empty, then with attributes
def test_an_image_is_written_into_a_zip_file_and_read_from_it(tmp_path: Path) -> None:
    made = to_multiscales(pixels((64, 64)), [2])
    with ZipStore(tmp_path / "a.zip", mode="w") as store:
        to_ngff_zarr(store, made, overwrite=False)
    with ZipStore(tmp_path / "a.zip", mode="r") as store:
        assert_stored(store, made)


def test_a_url_of_memory_is_written() -> None:
    made = to_multiscales(pixels((64, 64)), [2])
    to_ngff_zarr("memory://omexp-test/a.ome.zarr", made)
    to_ngff_zarr("memory://omexp-test/a.ome.zarr", made, version="0.4")
    assert_stored("memory://omexp-test/a.ome.zarr", made)


def test_callbacks_are_called_when_the_image_is_there(tmp_path: Path) -> None:
    image, seen = to_ngff_image(pixels((64, 64))), []
    image.computed_callbacks.append(lambda: seen.append(from_ngff_zarr(tmp_path / "a").images[1].data.shape))
    to_ngff_zarr(tmp_path / "a", to_multiscales(image, [2]))
    assert seen == [(32, 32)]


# ------------------------------------------------------------------------------------------------------------ arguments
def test_a_name_of_a_plain_zip_file_makes_nothing(tmp_path: Path) -> None:
    made = to_multiscales(pixels((32, 32)), [2])
    for write in (
        lambda place: to_ngff_zarr(place, made),
        lambda place: omexp.create_ome_zarr_from_array(place, pixels((8, 8)), pixelsize=1),
        lambda place: omexp.create_empty_plate(place, "screen", [omexp.ImageInWellPath("A", 1, "0")]),
    ):
        with pytest.raises(ArgumentError, match="zip files are written as .ozx. Name it .ozx"):
            write(tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_storage_options_are_for_urls(tmp_path: Path) -> None:
    for place in (tmp_path / "a.zarr", str(tmp_path / "a.zarr"), {}):
        with pytest.raises(ArgumentError, match="storage_options are for URLs"):
            to_ngff_zarr(place, to_multiscales(pixels((32, 32)), [2]), storage_options={"anon": True})
    assert list(tmp_path.iterdir()) == []


def test_progress_is_a_function_or_true_for_a_bar(tmp_path: Path) -> None:
    made = to_multiscales(pixels((32, 32)), [2])
    for wrong in (3, "bar", object()):
        with pytest.raises(ArgumentError, match="progress cannot be called.*Pass True for a bar"):
            to_ngff_zarr(tmp_path / "a.zarr", made, progress=wrong)
    assert list(tmp_path.iterdir()) == []
    to_ngff_zarr(tmp_path / "a.zarr", made, progress=True)
    assert_stored(tmp_path / "a.zarr", made)
    to_ngff_zarr(tmp_path / "a.zarr", made, progress=False)


def test_compressor_and_compressors_are_not_both_taken(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="compressor and compressors are the same thing; got both"):
        to_ngff_zarr(tmp_path / "a.zarr", to_multiscales(pixels((32, 32)), [2]), compressors="zstd", compressor="gzip")


def test_a_pyramid_of_ngff_zarr_is_refused_with_what_to_pass(tmp_path: Path) -> None:
    theirs = type("NgffMultiscales", (), {"__module__": "ngff_zarr.multiscales"})()
    with pytest.raises(ArgumentError, match="got NgffMultiscales. It is ngff_zarr's: make one with"):
        to_ngff_zarr(tmp_path / "a.zarr", theirs)


def test_every_record_of_the_model_is_a_name_of_the_package() -> None:
    for name in ("Axis", "Dataset", "HCSPlate", "HCSWell", "Identity", "Metadata", "Omero", "OmeroChannel", "OmeroWindow", "Plate"):
        assert getattr(omexp, name) is getattr(omexp.ngff, name)
        assert name in omexp.__all__
