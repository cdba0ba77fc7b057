"""Stores that change their version in place: the same pixels, from the same bytes, with the same meaning; or nothing changes."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import LocalStore, MemoryStore

import omexp
from omexp import versioning
from omexp.errors import ArgumentError, OmexpWarning, ReadOnlyError
from omexp.versioning import change_version
from tests.stores import arrays, documents, files, make_sample

Copy = Callable[[str, Path], Path]
DOCUMENTS = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


def chunks(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if data and not name.endswith(DOCUMENTS)}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k], equal_nan=one[k].dtype.kind == "f") for k in one)


def meaning(folder: Path) -> dict[str, Any]:
    """What an image says, without its version."""
    container = omexp.open_ome_zarr_container(folder)
    image = container.get_image()
    found = {"levels": container.levels_paths, "axes": image.axes, "size": image.pixel_size, "channels": image.channel_labels}
    found["points"] = [container.get_image(path=p).to_physical([[1.0] * len(image.axes)]).tolist() for p in container.levels_paths]
    return found | {name: container.get_label(name).meta.image_label for name in container.list_labels()}


@pytest.mark.parametrize(
    "name", ["cardiomyocyte_B03_mip_v04.zarr", "tubhiswt4D_sub_v04.zarr", "mri_zyx_bigendian_zstd_v04.zarr", "human_ht29_v06.zarr"]
)
@pytest.mark.filterwarnings("ignore::omexp.errors.OmexpWarning")
def test_a_real_image_keeps_its_chunks_its_pixels_and_its_meaning_through_all_versions(name: str, copy_store: Copy, tmp_path: Path) -> None:
    store = copy_store(name, tmp_path)
    bytes_before, pixels_before, said = chunks(store), arrays(store), meaning(store)
    tables = {t: omexp.open_ome_zarr_container(store).get_table(t).dataframe for t in omexp.open_ome_zarr_container(store).list_tables()}
    for version in ("0.5", "0.6", "0.5", "0.5"):
        change_version(store, version)
        container = omexp.open_ome_zarr_container(store)
        assert container.meta.version == version
        assert chunks(store) == bytes_before
        assert equal(arrays(store), pixels_before)
        assert meaning(store) == said
        for table, frame in tables.items():
            assert container.get_table(table).dataframe.equals(frame)
    assert not [n for n in files(store) if Path(n).name in DOCUMENTS[:4]]


@pytest.mark.filterwarnings("ignore::omexp.errors.OmexpWarning")
def test_a_plate_changes_with_all_its_wells_images_labels_and_tables(copy_store: Copy, tmp_path: Path) -> None:
    store = copy_store("transfluor_plate_v04.zarr", tmp_path)
    before, said = chunks(store), documents(store)
    paths = omexp.open_ome_zarr_plate(store).images_paths()
    planned = change_version(store, "0.6", dry_run=True)
    assert documents(store) == said
    assert change_version(store, "0.6") == planned
    plate = omexp.open_ome_zarr_plate(store)
    assert (plate.version, plate.images_paths()) == ("0.6", paths)
    for container in plate.get_images().values():
        assert container.meta.version == "0.6"
        assert {container.get_label(name).meta.version for name in container.list_labels()} == {"0.6"}
        assert all(len(container.get_table(name).dataframe) for name in container.list_tables())
    assert chunks(store) == before
    assert change_version(store, "0.6") == []


CODECS: list[Any] = [
    None,
    numcodecs.Blosc("lz4", 5, 2),
    numcodecs.Blosc("zstd", 1, 1),
    numcodecs.Blosc("lz4", 5, -1),
    numcodecs.Zstd(3),
    numcodecs.GZip(1),
]


@given(
    dtype=st.sampled_from(["|b1", "|u1", "|i1", "<u2", ">u2", "<i4", ">f4", "<f8", "<u8"]),
    codec=st.sampled_from(CODECS),
    order=st.sampled_from("CF"),
    separator=st.sampled_from("./"),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    chunk=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    fill=st.sampled_from([0, 1, None]),
)
def test_any_array_of_format_2_is_the_same_in_format_3(
    dtype: str, codec: Any, order: str, separator: str, shape: Any, chunk: Any, fill: Any
) -> None:
    with TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w", zarr_format=2)
        array = group.create_array(
            "a", shape=shape, chunks=chunk, dtype=np.dtype(dtype), compressors=codec, order=order, fill_value=fill,
            chunk_key_encoding={"name": "v2", "separator": separator}, attributes={"mine": [1]},
        )  # fmt: skip
        array[: shape[0] // 2 + 1] = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype)[: shape[0] // 2 + 1]
        before, data = arrays(Path(folder))["a"], chunks(Path(folder))
        change_version(folder, "0.5")
        new = zarr.open_array(f"{folder}/a", mode="r")
        assert new.metadata.zarr_format == 3 and dict(new.attrs) == {"mine": [1]}
        assert new.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(new[...], before)
        assert chunks(Path(folder)) == data


def sample(folder: Path, version: str) -> Path:
    return make_sample(folder, version)


def test_what_other_programs_wrote_stays(tmp_path: Path) -> None:
    store = sample(tmp_path / "a.zarr", "0.4")
    attributes = json.loads((store / ".zattrs").read_text())
    attributes["multiscales"][0]["mine"] = {"a": 1}
    attributes["omero"]["rdefs"] = {"model": "color"}
    (store / ".zattrs").write_text(json.dumps(attributes | {"theirs": [1, None]}))
    zarr.open_group(store, mode="r+").create_group("else").attrs["x"] = 1
    (store / "notes.txt").write_text("mine")
    change_version(store, "0.5")
    found = json.loads((store / "zarr.json").read_text())["attributes"]
    assert found["theirs"] == [1, None] and found["ome"]["multiscales"][0]["mine"] == {"a": 1}
    assert found["ome"]["omero"]["rdefs"] == {"model": "color"} and "version" not in found["ome"]["multiscales"][0]
    assert zarr.open_group(store, mode="r")["else"].attrs["x"] == 1 and (store / "notes.txt").read_text() == "mine"
    assert zarr.open_array(store / "0", mode="r").metadata.dimension_names == ("c", "z", "y", "x")


def affine(store: Path) -> None:
    document = json.loads((store / "zarr.json").read_text())
    level = document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    name = level["output"]["name"]
    document["attributes"]["ome"]["multiscales"][0]["coordinateSystems"].append({"name": "stage", "axes": [{"name": a} for a in "czyx"]})
    document["attributes"]["ome"]["multiscales"][0]["coordinateTransformations"] = [
        {"type": "translation", "translation": [0, 0, 1, 1], "input": {"name": name}, "output": {"name": "stage"}}
    ]
    (store / "zarr.json").write_text(json.dumps(document))


def zlib(store: Path) -> None:
    document = json.loads((store / "1" / ".zarray").read_text())
    (store / "1" / ".zarray").write_text(json.dumps(document | {"compressor": {"id": "zlib", "level": 1}}))


def delta(store: Path) -> None:
    document = json.loads((store / "labels/nuclei/0" / ".zarray").read_text())
    (store / "labels/nuclei/0" / ".zarray").write_text(json.dumps(document | {"filters": [{"id": "delta", "dtype": "<u4"}]}))


def rotten(store: Path) -> None:
    (store / "0" / ".zarray").write_text("{")


@pytest.mark.parametrize(
    ("begin", "to", "damage", "message"),
    [
        ("0.6", "0.5", affine, r"a.zarr: OME-Zarr 0.5 cannot say all .* got coordinate system 'stage', a transformation to 'stage'"),
        ("0.4", "0.5", zlib, r"a.zarr/1: Zarr format 3 has no such codec; got 'zlib'. Convert to a new store"),
        ("0.4", "0.6", delta, r"labels/nuclei/0: Zarr format 3 has no such filter or dtype; got delta"),
        ("0.4", "0.5", rotten, r"a.zarr/0/.zarray: this is no JSON"),
        ("0.5", "0.4", None, r"Zarr format 3 does not become format 2 in place"),
        ("0.4", "0.3", None, r"that OME-Zarr version cannot be written; got '0.3'"),
    ],
)
def test_what_cannot_be_done_in_place_changes_nothing(begin: str, to: str, damage: Any, message: str, tmp_path: Path) -> None:
    store = sample(tmp_path / "a.zarr", "0.4" if begin == "0.4" else "0.5")
    if begin == "0.6":
        change_version(store, "0.6")
    if damage is not None:
        damage(store)
    before = files(store)
    with pytest.raises((ArgumentError, omexp.OmexpError), match=message):
        change_version(store, to)
    assert files(store) == before


@pytest.mark.parametrize(("begin", "to"), [("0.4", "0.6"), ("0.5", "0.6")])
def test_a_change_that_breaks_off_at_any_document_leaves_a_store_that_opens_and_is_finished_by_the_next(
    begin: str, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample(tmp_path / "whole.zarr", begin)
    steps = len(change_version(whole, to))
    deletes = 0 if begin == "0.5" else 40
    pristine = sample(tmp_path / "pristine" / "whole.zarr", begin)

    class Broken(Exception):
        pass

    for at in [*range(1, steps + 1), *range(steps + 1, steps + deletes, 7)]:
        store = tmp_path / f"{at}" / "whole.zarr"
        shutil.copytree(pristine, store)
        left = [at]

        def counted(method: Any, left: list[int] = left) -> Any:
            async def call(self: Any, *arguments: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    raise Broken
                return await method(self, *arguments)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, "set", counted(LocalStore.set))
            patched.setattr(LocalStore, "delete", counted(LocalStore.delete))
            with contextlib.suppress(Broken):
                change_version(store, to)
        both_formats = (store / "zarr.json").exists() and (store / ".zgroup").exists()
        if not both_formats:  # zarr itself warns of those
            np.testing.assert_array_equal(omexp.open_ome_zarr_container(store).get_image().get_as_numpy(), arrays(pristine)["0"])
        with pytest.warns() if both_formats else monkeypatch.context():
            change_version(store, to)
        assert files(store) == files(whole)


def test_stores_in_memory_change_too_and_read_only_ones_do_not(tmp_path: Path) -> None:
    store: dict[str, Any] = {}
    omexp.create_ome_zarr_from_array(store, np.ones((4, 4), "uint8"), xy_pixelsize=1.0, ngff_version="0.4")
    change_version(store, "0.5")
    assert omexp.open_ome_zarr_container(store).meta.version == "0.5" and not [key for key in store if key.endswith(".zattrs")]
    with pytest.raises(ReadOnlyError):
        change_version(MemoryStore(store, read_only=True), "0.6")


def test_a_copy_of_the_documents_for_other_readers_is_brought_up_to_date(tmp_path: Path) -> None:
    store = sample(tmp_path / "a.zarr", "0.4")
    zarr.consolidate_metadata(store)
    change_version(store, "0.6")
    found = zarr.open_group(store, mode="r", use_consolidated=True)
    assert found["labels/nuclei"].attrs["ome"]["version"] == "0.6" and not (store / ".zmetadata").exists()


def test_an_early_tag_becomes_the_released_one(tmp_path: Path) -> None:
    store = sample(tmp_path / "a.zarr", "0.5")
    change_version(store, "0.6")
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["ome"]["version"] = "0.6.dev4"
    (store / "zarr.json").write_text(json.dumps(document))
    with pytest.warns(OmexpWarning, match="no released version"):
        omexp.open_ome_zarr_container(store)
    change_version(store, "0.6")
    assert omexp.open_ome_zarr_container(store).meta.version == "0.6"


@pytest.mark.parametrize(("begin", "to"), [("0.4", "0.5"), ("0.5", "0.6")])
def test_what_lies_in_a_folder_that_is_no_group_changes_too(begin: str, to: str, tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "p.zarr", "screen", [omexp.ImageInWellPath("A", 1, "0")], ngff_version=begin)
    omexp.create_ome_zarr_from_array(plate.get_image_store("A", 1, "0"), np.ones((4, 4), "uint8"), xy_pixelsize=1.0, ngff_version=begin)
    (tmp_path / "p.zarr/A" / (".zgroup" if begin == "0.4" else "zarr.json")).unlink()
    change_version(tmp_path / "p.zarr", to)
    image = omexp.open_ome_zarr_plate(tmp_path / "p.zarr").get_image("A", 1, "0")
    assert image.meta.version == to and not [n for n in files(tmp_path) if Path(n).name in DOCUMENTS[:4]]
    assert change_version(tmp_path / "p.zarr", to) == []


@pytest.mark.parametrize("part", ["A/01/0", "A/01", "A/01/0/labels/cells"])
def test_a_part_of_a_plate_or_an_image_is_not_changed_alone(part: str, tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "p.zarr", "screen", [omexp.ImageInWellPath("A", 1, "0")], ngff_version="0.4")
    image = omexp.create_ome_zarr_from_array(
        plate.get_image_store("A", 1, "0"), np.ones((4, 4), "uint8"), xy_pixelsize=1.0, ngff_version="0.4"
    )
    image.derive_label("cells")
    before = files(tmp_path)
    with pytest.raises(ArgumentError, match="part of something whose other documents would keep their version; got inside of the"):
        change_version(tmp_path / "p.zarr" / part, "0.5")
    assert files(tmp_path) == before


def test_arrays_get_the_names_of_their_axes_where_they_have_none(tmp_path: Path) -> None:
    store = sample(tmp_path / "a.zarr", "0.5")
    change_version(store, "0.6")
    for level in ("0", "labels/nuclei/1"):
        document = json.loads((store / level / "zarr.json").read_text())
        del document["dimension_names"]
        (store / level / "zarr.json").write_text(json.dumps(document))
    change_version(store, "0.5")
    assert zarr.open_array(store / "0", mode="r").metadata.dimension_names == ("c", "z", "y", "x")
    assert zarr.open_array(store / "labels/nuclei/1", mode="r").metadata.dimension_names == ("z", "y", "x")
    assert omexp.validate(store).valid


@pytest.mark.parametrize("fill", ["NaN", float("nan"), "-Infinity", float("inf"), 2.5, 3])
def test_fill_values_of_floats_are_said_as_format_3_says_them(fill: Any, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("a", shape=(4,), chunks=(2,), dtype="float32", compressors=None, fill_value=0)
    document = json.loads((tmp_path / "a.zarr/a/.zarray").read_text())
    (tmp_path / "a.zarr/a/.zarray").write_text(json.dumps(document | {"fill_value": fill}))
    before = arrays(tmp_path / "a.zarr")["a"]
    change_version(tmp_path / "a.zarr", "0.5")
    json.loads((tmp_path / "a.zarr/a/zarr.json").read_text(), parse_constant=lambda name: pytest.fail(f"bare {name}"))
    np.testing.assert_array_equal(arrays(tmp_path / "a.zarr")["a"], before)


def test_what_is_added_meanwhile_changes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = sample(tmp_path / "a.zarr", "0.5")
    write, added = versioning._write, []

    def meanwhile(root: Any, change: Any, version: str) -> None:
        if not added:
            added.append(shutil.copytree(store / "labels/nuclei", store / "labels/late"))
        write(root, change, version)

    monkeypatch.setattr(versioning, "_write", meanwhile)
    change_version(store, "0.6")
    assert zarr.open_group(store / "labels/late", mode="r").attrs["ome"]["version"] == "0.6"
