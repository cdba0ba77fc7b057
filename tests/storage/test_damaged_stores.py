"""Stores that are damaged where only a conversion looks, and folders that go away: errors of our tree, with the place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import MissingArrayError, NameNotFoundError, StoredDataError, StoreNotFoundError
from omexp.storage import locks
from omexp.storage.groups import create_group, open_group

DEEP = "[" * 100_000


def image(folder: Path, version: str) -> Path:
    omexp.create_ome_zarr_from_array(folder, np.ones((2, 9, 9), "uint8"), axes_names="cyx", xy_pixelsize=1, levels=1, ngff_version=version)
    return folder


@pytest.mark.parametrize("text", ["{", "\udcff", DEEP], ids=["cut", "no text", "deep"])
def test_a_document_that_is_no_json_is_told_by_a_conversion(text: str, tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.5")
    (source / "zarr.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoredDataError, match="a.zarr: the metadata cannot be used"):
        omexp.convert(source, tmp_path / "b.zarr")


@pytest.mark.parametrize("found", [5, [], "x", None])
def test_attributes_of_an_array_that_are_no_object_are_none(found: Any, tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    (source / "0" / ".zattrs").write_text(json.dumps(found))
    try:
        made = omexp.convert(source, tmp_path / "b.zarr")
    except StoredDataError as error:  # zarr >= 3.4 reads no such array
        assert "the array's metadata cannot be used" in str(error)
    else:
        assert made.get_image().get_as_numpy().sum() == 162


def test_an_array_that_is_larger_than_any_index_is_refused(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    document = json.loads((source / "0" / ".zarray").read_text())
    document["shape"][1] = 2**64 - 1
    (source / "0" / ".zarray").write_text(json.dumps(document))
    with pytest.raises(StoredDataError, match="no array is as large"):
        omexp.open_ome_zarr_container(source).get_image()


def test_a_blosc_shuffle_that_is_no_number_gives_way_to_the_default(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    document = json.loads((source / "0" / ".zarray").read_text())
    document["compressor"]["shuffle"] = "bitshuffle"
    (source / "0" / ".zarray").write_text(json.dumps(document))
    made = omexp.open_ome_zarr_container(source).derive_image(tmp_path / "b.zarr", ngff_version="0.5")
    assert made.get_image().stored.codec == "blosc:lz4"


def test_a_name_that_is_too_long_is_not_there(tmp_path: Path) -> None:
    group, name = create_group(tmp_path / "a.zarr", 3), "x" * 5000
    assert group.find(name) is None
    with pytest.raises(NameNotFoundError):
        group.group(name)
    with pytest.raises(MissingArrayError, match="no array can have that name"):
        group.array(name)


def test_attributes_that_are_too_deep_are_not_written(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    group = create_group(tmp_path / "a.zarr", 3)
    with pytest.raises(StoredDataError, match=r"a.zarr: the attributes are nested too deeply"):
        group.put_attributes({"deep": deep})
    assert group.attributes == {}


def removed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tmp_path / "a.zarr")


def removed_while_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = locks.fcntl.flock
    monkeypatch.setattr(locks.fcntl, "flock", lambda *options: (taken(*options), shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True)))


@pytest.mark.skipif(os.name == "nt", reason="there are no such locks")
@pytest.mark.parametrize("happens", [removed_before, removed_while_waiting])
def test_a_group_that_goes_away_while_its_lock_is_waited_for_is_told(
    happens: Callable[[Path, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_group(tmp_path / "a.zarr", 3)
    group = open_group(tmp_path / "a.zarr")
    happens(tmp_path, monkeypatch)
    with pytest.raises(StoreNotFoundError, match=r"a.zarr: the group"), locks.exclusive(group):
        pytest.fail("there is nothing to lock")
