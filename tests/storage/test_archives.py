"""Groups in one zip file: what is written, that it is read as the folder is, what damage says."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.buffer import cpu
from zarr.core.sync import sync

import omexp
from omexp.description import describe
from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    OmexpError,
    ReadOnlyError,
    RemoteAccessError,
    StorageFullError,
    StoredDataError,
    StoreNotFoundError,
)
from omexp.ngff import from_ngff_zarr, to_multiscales, to_ngff_image, to_ngff_zarr
from omexp.storage.archives import ArchiveStore
from tests.servers import http_server
from tests.stores import files

PIXELS = np.random.default_rng(0).integers(0, 60000, (2, 70, 50), "uint16")
OPTIONS = {"axes_names": "cyx", "xy_pixelsize": 0.5, "levels": 3, "chunks": 32, "name": "img"}


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("version", ["0.5", "0.6"])
@pytest.mark.parametrize("shards", [None, 64])
def test_an_archive_holds_the_files_of_the_folder_in_the_order_of_the_specification(
    version: str, shards: int | None, tmp_path: Path
) -> None:
    options = OPTIONS | {"ngff_version": version, "shards": shards, "workers": 1}
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **options)
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", PIXELS, **options)
    found = entries(tmp_path / "a.ozx")
    assert found.keys() == {name for name in files(tmp_path / "a.zarr") if (tmp_path / "a.zarr" / name).is_file()}
    for path in container.levels_paths:
        wanted = zarr.open_array(tmp_path / "a.zarr" / path, mode="r")[...]
        np.testing.assert_array_equal(container.get_image(path=path).get_as_numpy(), wanted)
    with zipfile.ZipFile(tmp_path / "a.ozx") as archive:
        names = archive.namelist()
        assert names == [e.filename for e in sorted(archive.infolist(), key=lambda e: e.header_offset)]
        assert {e.compress_type for e in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.comment) == {"ome": {"version": version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}}
        assert archive.testzip() is None
    documents = [name for name in names if name.endswith("zarr.json")]
    assert names[: len(documents)] == documents and documents[0] == "zarr.json"
    assert [n.count("/") for n in documents] == sorted(n.count("/") for n in documents)
    head = (tmp_path / "a.ozx").read_bytes()[:60]
    assert struct.unpack("<H", head[4:6])[0] == 45  # ZIP64
    assert {p.name for p in tmp_path.iterdir()} == {"a.ozx", "a.zarr"}


def test_equal_content_gives_equal_archives(tmp_path: Path) -> None:
    for name in ("a.ozx", "b.ozx"):
        omexp.create_ome_zarr_from_array(tmp_path / name, PIXELS, workers=1, **OPTIONS)
    assert (tmp_path / "a.ozx").read_bytes() == (tmp_path / "b.ozx").read_bytes()


@given(data=st.data())
def test_any_interval_of_any_entry_is_that_of_its_bytes(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "intervals.zip"
    if not path.exists():
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("zarr.json", b'{"zarr_format": 3, "node_type": "group"}')
            archive.writestr("0/c/0", bytes(range(256)) * 400)
            archive.writestr("0/c/1", bytes(range(256)) * 5, compress_type=zipfile.ZIP_DEFLATED)
            archive.writestr("empty", b"")
    store, wanted = ArchiveStore(path), entries(path)
    key = data.draw(st.sampled_from(sorted(wanted)))
    n = len(wanted[key])
    start = data.draw(st.integers(0, n + 3))
    asked, part = data.draw(
        st.sampled_from(
            [
                (None, slice(None)),
                (OffsetByteRequest(start), slice(start, None)),
                (SuffixByteRequest(start), slice(max(0, n - start), None)),
                (RangeByteRequest(start, start + 7), slice(start, start + 7)),
            ]
        )
    )
    found = sync(store.get(key, cpu.buffer_prototype, asked))
    assert found is not None and found.to_bytes() == wanted[key][part]


def test_every_member_is_listed_once_and_what_is_not_there_is_missing(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    group = zarr.open_group(ArchiveStore(tmp_path / "a.ozx"), mode="r", use_consolidated=False)
    assert sorted(group.keys()) == ["0", "1", "2"]
    store = ArchiveStore(tmp_path / "a.ozx")

    async def listed(prefix: str) -> list[str]:
        return [name async for name in store.list_prefix(prefix)]

    assert {n for n in entries(tmp_path / "a.ozx") if n.startswith("1/c/0/")} == set(sync(listed("1/c/0/")))
    assert sync(store.get("9/zarr.json", cpu.buffer_prototype)) is None and not sync(store.exists("0"))
    assert pickle.loads(pickle.dumps(store)) == store != ArchiveStore(tmp_path / "a.ozx").path


def test_an_image_inside_an_archive_and_one_folder_at_its_root_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "plate.zarr"
    plate = omexp.create_empty_plate(folder, "screen", [omexp.ImageInWellPath("A", 1, "0")])
    omexp.create_ome_zarr_from_array(plate.get_image_store("A", 1, "0"), PIXELS, **OPTIONS)
    for top, name in (("", "p.ozx"), ("plate.zarr/", "p.zip")):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in (p for p in folder.rglob("*") if p.is_file()):
                archive.write(path, top + str(path.relative_to(folder)))
        assert omexp.open_ome_zarr_plate(tmp_path / name).images_paths() == ["A/01/0"]
        for place in (tmp_path / name / "A/01/0", f"file://{tmp_path / name}/A/01/0"):
            np.testing.assert_array_equal(omexp.open_ome_zarr_container(place).get_image().get_as_numpy(), PIXELS)


def test_an_archive_is_replaced_as_a_whole_and_keeps_what_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.ozx"
    made = to_multiscales(to_ngff_image(PIXELS, "cyx"), [2], chunks=32)
    to_ngff_zarr(tmp_path / "a.zarr", made)
    omexp.open_ome_zarr_container(tmp_path / "a.zarr").derive_label("cells")
    with zipfile.ZipFile(target, "w") as archive:
        for path in (p for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(tmp_path / "a.zarr"))
        archive.writestr("../evil.txt", "out")
    with pytest.raises(AlreadyExistsError, match=r"a.ozx: something is there already. Pass overwrite=True"):
        to_ngff_zarr(target, made, overwrite=False)
    to_ngff_zarr(target, to_multiscales(to_ngff_image(PIXELS[:, :40], "cyx"), [2], chunks=32), overwrite=True)
    again = omexp.open_ome_zarr_container(target)
    assert again.list_labels() == ["cells"]
    np.testing.assert_array_equal(from_ngff_zarr(target).images[0].data.compute(), PIXELS[:, :40])
    assert {p.name for p in tmp_path.iterdir()} == {"a.ozx", "a.zarr"} and not (tmp_path.parent / "evil.txt").exists()


def test_writing_into_an_archive_is_refused(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    before = (tmp_path / "a.ozx").read_bytes()
    for change in (
        lambda: container.get_image().set_array(PIXELS),
        lambda: container.derive_label("cells"),
        lambda: omexp.create_ome_zarr_from_array(tmp_path / "a.ozx" / "b", PIXELS, **OPTIONS),
        lambda: container.get_image().consolidate(),
    ):
        with pytest.raises(ReadOnlyError):
            change()
    with pytest.raises(ArgumentError, match=r"a.ozx: an .ozx file holds Zarr format 3 only. Write OME-Zarr 0.5 or 0.6"):
        omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, ngff_version="0.4", overwrite=True, **OPTIONS)
    assert (tmp_path / "a.ozx").read_bytes() == before
    (tmp_path / "b.ozx").write_text("not a zip file")
    for name in ("thesis.docx", "photos.ozx"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.jpg", b"mine")
    others = files(tmp_path)
    for name in ("b.ozx", "thesis.docx", "photos.ozx"):
        with pytest.raises(AlreadyExistsError, match="what is there is no Zarr"):
            omexp.create_ome_zarr_from_array(tmp_path / name, PIXELS, overwrite=True, **OPTIONS)
    assert files(tmp_path) == others


def test_a_write_that_fails_leaves_the_old_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    before = files(tmp_path)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(StorageFullError):
        omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS[:, ::2], overwrite=True, **OPTIONS)
    monkeypatch.undo()
    assert files(tmp_path) == before


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damage_is_an_error_of_ours_or_reads_as_it_was(at: float, how: str, tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    data = bytearray((tmp_path / "a.ozx").read_bytes())
    place = int(at * len(data))
    data = data[:place] if how == "cut" else data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
    (tmp_path / "a.ozx").write_bytes(data)
    try:
        found = omexp.open_ome_zarr_container(tmp_path / "a.ozx").get_image().get_as_numpy()
    except OmexpError as error:
        assert "a.ozx" in str(error)
    else:
        np.testing.assert_array_equal(found, PIXELS)


def test_a_zip_bomb_is_refused_before_it_is_blown_up(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    whole = entries(tmp_path / "a.ozx")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            archive.writestr(name, b" " * (70 << 20) if name == "0/zarr.json" else content)
    assert (tmp_path / "b.zip").stat().st_size < 1 << 20
    with pytest.raises(
        StoredDataError, match=r"b.zip/0/zarr.json: an entry of the zip file is compressed, and says that it holds 73400320"
    ):
        omexp.open_ome_zarr_container(tmp_path / "b.zip").get_image()


# ---------------------------------------------------------------------------------------------------- behind a URL
def test_an_archive_behind_a_url_is_opened_by_every_door(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    with zipfile.ZipFile(tmp_path / "a.ozx") as inside, zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in inside.namelist():
            archive.writestr(f"a.zarr/{name}", inside.read(name))
    with http_server(tmp_path) as server:
        for name in ("a.ozx", "b.zip"):
            url = f"{server.url}/{name}"
            container = omexp.open_ome_zarr_container(url)
            np.testing.assert_array_equal(container.get_image().get_as_numpy(), PIXELS)
            assert container.where == url
            assert omexp.validate(url).valid and omexp.validate(url).where == url
            assert describe(url)["kind"] == "image"
            np.testing.assert_array_equal(np.asarray(omexp.from_ngff_zarr(url).images[0].data), PIXELS)
            np.testing.assert_array_equal(omexp.convert(url, tmp_path / f"{name}.zarr").get_image().get_as_numpy(), PIXELS)
            with pytest.raises(ReadOnlyError):
                omexp.create_empty_ome_zarr(url, (8, 8), xy_pixelsize=1, overwrite=True)


def test_an_archive_behind_a_url_takes_a_token_and_says_what_is_wrong_without(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.ozx", PIXELS, **OPTIONS)
    (tmp_path / "b.ozx").write_text("no archive")
    token = {"client_kwargs": {"headers": {"Authorization": "Bearer right"}}}
    with http_server(tmp_path, token="right") as server:
        assert omexp.open_ome_zarr_container(f"{server.url}/a.ozx", storage_options=token).get_image().shape == PIXELS.shape
        for door in (omexp.open_ome_zarr_container, omexp.validate, describe):
            with pytest.raises(RemoteAccessError, match=r"a.ozx: the server wants a valid login \(401\)"):
                door(f"{server.url}/a.ozx")
        with pytest.raises(StoreNotFoundError, match="c.ozx: there is no such file"):
            omexp.open_ome_zarr_container(f"{server.url}/c.ozx", storage_options=token)
        with pytest.raises(StoredDataError, match="b.ozx: the zip file cannot be read"):
            omexp.open_ome_zarr_container(f"{server.url}/b.ozx", storage_options=token)


def test_ranges_of_a_compressed_entry_are_inflated_once_and_the_bytes_kept_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omexp.storage import archives

    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abc":
            archive.writestr(name, name.encode() * 600)
        archive.writestr("large", bytes(2000))
    inflated, read = [], zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda self, entry: inflated.append(entry.filename) or read(self, entry))
    monkeypatch.setattr(archives, "_KEPT_AT_MOST", 1500)
    store = ArchiveStore(tmp_path / "a.zip")
    for name in ("a", "a", "b", "a", "b", "c", "b", "a", "large", "large", "a"):
        found = sync(store.get(name, cpu.buffer_prototype, RangeByteRequest(3, 5)))
        assert found is not None and found.to_bytes() == (bytes(2) if name == "large" else name.encode() * 2)
    assert inflated == ["a", "b", "c", "a", "large", "large"]
