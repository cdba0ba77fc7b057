"""Example data: fetched once, gone on with, checked, unpacked nowhere but in its folder. From a server on the loopback."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import omexp
from omexp import datasets
from omexp.datasets import Dataset, download_ome_zarr_dataset, list_ome_zarr_datasets, print_datasets_infos
from omexp.errors import ArgumentError, NameNotFoundError, RemoteAccessError, RemoteError, StorageFullError, StoredDataError
from tests.servers import http_server
from tests.stores import files, make_sample


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_PAUSES_S", (0.0,) * 4)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    sample = make_sample(folder / "plain" / "sample.zarr", "0.5")
    with zipfile.ZipFile(folder / "sample.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (p for p in sample.rglob("*") if p.is_file()):
            archive.write(path, f"original.zarr/{path.relative_to(sample)}")
    return folder


def described(published: Path, url: str, file: str = "sample.zarr.zip") -> Dataset:
    return Dataset(f"{url}/{file}", hashlib.md5((published / file).read_bytes()).hexdigest(), "mine.zarr", "a sample", 0.1)


def test_a_dataset_is_fetched_once_and_unpacked_under_its_name(published: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    with http_server(published) as server:
        sample = described(published, server.url)
        path = download_ome_zarr_dataset(sample, tmp_path / "data", progressbar=lambda *t: heard.append(t))
        assert path == tmp_path / "data" / "mine.zarr"
        assert files(path) == files(published / "plain" / "sample.zarr")
        assert heard[-1][0] == heard[-1][1] == (published / "sample.zarr.zip").stat().st_size
        (path / "zarr.json").unlink()
        assert download_ome_zarr_dataset(sample, tmp_path / "data", re_unzip=False) == path and not (path / "zarr.json").exists()
        assert files(download_ome_zarr_dataset(sample, tmp_path / "data")) == files(published / "plain" / "sample.zarr")
        assert len(server.requests) == 1
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"mine.zarr", "mine.zarr.zip"}
    assert omexp.open_ome_zarr_container(path).list_labels() == ["nuclei"]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(published: Path, tmp_path: Path) -> None:
    size = (published / "sample.zarr.zip").stat().st_size
    with http_server(published, cut=2, fail={503: 1}) as server:
        download_ome_zarr_dataset(described(published, server.url), tmp_path)
        asked = [r.sent for r in server.requests if r.status in (200, 206)]
    assert asked[0] == size and asked == sorted(asked, reverse=True) and len(set(asked)) == 3
    (tmp_path / "mine.zarr.zip").rename(tmp_path / "mine.zarr.zip.part")  # as if a process had been killed at its last byte
    with (tmp_path / "mine.zarr.zip.part").open("r+b") as file:
        file.truncate(size - 10)
    with http_server(published) as server:
        download_ome_zarr_dataset(described(published, server.url), tmp_path)
        assert [r.sent for r in server.requests] == [10]


def test_a_server_without_ranges_sends_all_again(published: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.zarr.zip.part").write_bytes(b"other")
    with http_server(published, ranges=False) as server:
        path = download_ome_zarr_dataset(described(published, server.url), tmp_path)
    assert files(path) == files(published / "plain" / "sample.zarr")


@pytest.mark.parametrize("state", ["another file", "cut on disk"])
def test_what_is_not_what_was_published_is_not_unpacked(state: str, published: Path, tmp_path: Path) -> None:
    with http_server(published) as server:
        sample = described(published, server.url)
        if state == "another file":
            sample = Dataset(sample.url, "0" * 32, sample.folder, sample.about, 1)
            with pytest.raises(
                StoredDataError, match=r"sample.zarr.zip: the file is not the one that was published; got md5 \w+; allowed: md5 0000"
            ):
                download_ome_zarr_dataset(sample, tmp_path)
            assert list(tmp_path.iterdir()) == []
        else:
            (tmp_path / "mine.zarr.zip").write_bytes(b"cut off")
            assert files(download_ome_zarr_dataset(sample, tmp_path)) == files(published / "plain" / "sample.zarr")


def test_a_refusal_and_a_server_that_is_not_there_are_said(published: Path, tmp_path: Path) -> None:
    with http_server(published, token="secret") as server:
        sample = described(published, server.url)
        with pytest.raises(RemoteAccessError, match="the server says 401"):
            download_ome_zarr_dataset(sample, tmp_path)
        assert len(server.requests) == 1
    with pytest.raises(RemoteError, match="the server cannot be reached"):
        download_ome_zarr_dataset(sample, tmp_path)
    with pytest.raises(ArgumentError, match="behind a web address"):
        download_ome_zarr_dataset(Dataset("file:///etc/passwd", "0", "a.zarr", "", 1), tmp_path)
    with pytest.raises(NameNotFoundError, match="there is no such dataset; got 'Nothing'; allowed: CardiomyocyteTiny"):
        download_ome_zarr_dataset("Nothing", tmp_path)


LINK = zipfile.ZipInfo("a.zarr/link")
LINK.external_attr = 0o120777 << 16
EVIL: dict[str, list[str | zipfile.ZipInfo]] = {
    "up": ["a.zarr/zarr.json", "a.zarr/../../evil.txt"],
    "absolute": ["/tmp/evil.txt"],
    "backslash": ["a.zarr/..\\evil.txt"],
    "link": ["a.zarr/zarr.json", LINK],
    "two folders": ["a.zarr/zarr.json", "b.zarr/zarr.json"],
    "no zarr": ["notes.txt"],
    "a file that is a folder, too": ["a.zarr/c", "a.zarr/c/0"],
}


@pytest.mark.parametrize("kind", EVIL)
def test_an_archive_that_would_write_elsewhere_is_refused_whole(kind: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for entry in EVIL[kind]:
            archive.writestr(entry, "evil")
    with (
        http_server(tmp_path) as server,
        pytest.raises(StoredDataError, match="one .zarr folder and nothing else; got .*Nothing was unpacked"),
    ):
        download_ome_zarr_dataset(described(tmp_path, server.url, "evil.zip"), tmp_path / "data")
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"mine.zarr.zip"}
    assert {p.name for p in tmp_path.iterdir()} == {"evil.zip", "data"}


def test_a_zip_bomb_and_what_the_disk_cannot_hold_are_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("bomb.zip", 1 << 22), ("fine.zip", 10)):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.zarr/c", bytes(size))
    with http_server(tmp_path) as server:
        with pytest.raises(StoredDataError, match="far more than it can hold; got 4194304 bytes"):
            download_ome_zarr_dataset(described(tmp_path, server.url, "bomb.zip"), tmp_path / "data")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=9))
        with pytest.raises(StorageFullError, match="no space to unpack it; got 10 bytes; allowed: 9 bytes"):
            download_ome_zarr_dataset(described(tmp_path, server.url, "fine.zip"), tmp_path / "more")
    assert [p.name for folder in ("data", "more") for p in (tmp_path / folder).iterdir()] == ["mine.zarr.zip"] * 2


def test_a_server_that_speaks_no_http_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            for _ in range(5):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"what?\r\n\r\n")

        threading.Thread(target=babble, daemon=True).start()
        with pytest.raises(RemoteError, match="the server cannot be reached"):
            download_ome_zarr_dataset(Dataset(f"http://127.0.0.1:{listening.getsockname()[1]}/a.zip", "0", "a.zarr", "", 1), tmp_path)


def test_two_that_want_the_same_fetch_it_once(published: Path, tmp_path: Path) -> None:
    paths: list[Path] = []
    with http_server(published, delay_s=0.05) as server:
        sample = described(published, server.url)
        threads = [
            threading.Thread(target=lambda: paths.append(download_ome_zarr_dataset(sample, tmp_path, re_unzip=False))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == 1
    assert paths == [tmp_path / "mine.zarr"] * 3


def test_the_list_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_datasets_infos()
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list_ome_zarr_datasets()
