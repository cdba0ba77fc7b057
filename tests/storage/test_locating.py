"""Where a store is: paths and URLs in every form, what is refused and what to do then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
from zarr.storage import LocalStore

from omexp.errors import ArgumentError
from omexp.storage.locating import location
from omexp.storage.remote import RemoteStore


def root_of(store: Any) -> Path:
    place = location(store)
    assert isinstance(place.store, LocalStore)
    return Path(place.store.root)


def test_a_path_is_found_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    image = tmp_path / "my image.zarr"
    for store in (
        image,
        str(image),
        image.as_uri(),
        f"file://{image}",
        f"file://localhost{image}",
        "~/my image.zarr",
        Path("~/my image.zarr"),
    ):
        assert root_of(store) == image
    assert root_of(fsspec.get_mapper(str(image))) == image  # and so written as atomically as any folder
    (tmp_path / "50%20.zarr").mkdir()
    assert root_of(f"file://{tmp_path}/50%20.zarr") == tmp_path / "50%20.zarr"
    assert str(root_of("a~b.zarr")) == "a~b.zarr"


@pytest.mark.skipif(os.name == "nt", reason="a path of this system")
@pytest.mark.parametrize("path", [r"C:\data\a.zarr", "d:/data/a.zarr", "file:///C:/data/a.zarr"])
def test_a_path_of_windows_makes_no_strange_folder(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="this is a path of Windows.*where this system has mounted that drive"):
        location(path)


def test_what_is_no_store_says_what_would_be_one(tmp_path: Path) -> None:
    for store in (5, None, b"a.zarr", ["a.zarr"]):
        with pytest.raises(ArgumentError, match="this is no store.*allowed: path, URL, fsspec mapper, dict"):
            location(store)
    for store in (tmp_path, str(tmp_path), {}, f"file://{tmp_path}"):
        with pytest.raises(ArgumentError, match="storage_options are for URLs.*Leave storage_options out"):
            location(store, {"anon": True})


def test_a_url_that_cannot_be_opened_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match=r"nonsense://a: the URL cannot be opened \(.*\). Check its protocol"):
        location("nonsense://a")
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda *_, **__: (_ for _ in ()).throw(ImportError("Install s3fs to access S3")))
    with pytest.raises(ArgumentError, match=r"s3://bucket/a.zarr: the URL cannot be opened.*pip install 'omexp\[s3\]'"):
        location("s3://bucket/a.zarr")


def test_stores_at_one_place_are_equal_and_those_below_know_it() -> None:
    one, other = (location("memory://omexp-locating/a.zarr").store for _ in range(2))
    assert isinstance(one, RemoteStore)
    assert one == other
    assert one != one.with_read_only(True)
    assert str(one.below("labels")) == f"{one}/labels" == "memory:///omexp-locating/a.zarr/labels"
    assert str(one.above()) == "memory:///omexp-locating"
