"""Write units on disk: whole or not there, at the key that zarr gives them; what disks refuse is said clearly."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ZipStore

from omexp.errors import ReadOnlyError, StorageFullError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.disks import permitted
from omexp.storage.units import remove_cut_off, unit_place
from tests.stores import files

KEYS: dict[str, dict[str, Any]] = {
    "0.5": {"zarr_format": 3},
    "0.5 with points": {"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}},
    "0.4": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "0.4 with points": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
}
PIXELS = np.arange(1, 36, dtype="uint8").reshape(5, 7)


def array_in(store: Any, **options: Any) -> zarr.Array[Any]:
    return zarr.create_array(store, shape=(5, 7), dtype="uint8", chunks=(2, 4), compressors=None, **options)


def chunk_files(folder: Path) -> list[str]:
    documents = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name not in documents)


STORES: dict[str, Any] = {
    "disk": lambda p: LocalStore(p / "a.zarr"),
    "memory": lambda p: MemoryStore(),
    "fsspec": lambda p: FsspecStore.from_mapper(fsspec.get_mapper(f"memory://{p.name}/a.zarr")),
    "zip": lambda p: ZipStore(p / "a.zip", mode="w"),
}


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("fast", [False, True])
def test_units_lie_where_zarr_looks_for_them(kind: str, keys: str, fast: bool, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    array = array_in(store, **KEYS[keys])
    StoredArray(array).write(Region.whole((5, 7)), PIXELS, fast=fast)
    np.testing.assert_array_equal(array[...], PIXELS)
    store.close()
    if kind == "disk":
        other = array_in(LocalStore(tmp_path / "b.zarr"), **KEYS[keys])
        other[...] = PIXELS
        assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")


def test_a_unit_is_taken_away_once_and_again(tmp_path: Path) -> None:
    for store in (LocalStore(tmp_path / "a.zarr"), MemoryStore()):
        array = array_in(store)
        array[...] = PIXELS
        place = unit_place(array)
        place.drop((0, 0))
        place.drop((0, 0))
        place.drop((2, 1))
        assert array[:2, :4].tolist() == [[0] * 4] * 2
        assert array[2:4].tolist() == PIXELS[2:4].tolist()


class Broken(OSError):
    pass


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), Broken(5, "Input/output error")])
def test_a_unit_whose_writing_breaks_off_stays_what_it_was(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredArray(array_in(LocalStore(tmp_path / "a.zarr")))
    stored.write(Region.whole((5, 7)), PIXELS)
    before, write = files(tmp_path), os.write

    def breaking(descriptor: int, data: Any) -> int:
        if len(data) < 8:
            raise error
        return write(descriptor, data[:3])  # a call may write less than it was given

    monkeypatch.setattr("omexp.storage.units.os.write", breaking)
    wanted = StorageFullError if getattr(error, "errno", None) == errno.ENOSPC else type(error)
    with pytest.raises(wanted):
        stored.write(Region.whole((5, 7)), PIXELS + 1)
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredArray(array_in(LocalStore(tmp_path / "a.zarr")))
    write = os.write
    monkeypatch.setattr("omexp.storage.units.os.write", lambda descriptor, data: write(descriptor, data[:3]))
    stored.write(Region.whole((5, 7)), PIXELS)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[...], PIXELS)


@pytest.mark.parametrize(
    ("number", "wanted", "message"),
    [
        (errno.ENOSPC, StorageFullError, "a.zarr: there is no space left to write to .*. Make room, or write to another disk"),
        (errno.EDQUOT, StorageFullError, "a.zarr: there is no space left to write to"),
        (errno.EROFS, ReadOnlyError, "a.zarr: the store cannot be written .*. Copy it to a place that can be written"),
        (errno.EACCES, ReadOnlyError, "a.zarr: the store cannot be written"),
        (errno.EPERM, ReadOnlyError, "a.zarr: the store cannot be written"),
        (errno.EIO, OSError, "it says so"),
    ],
)
def test_what_a_disk_refuses_is_said_clearly(number: int, wanted: type[OSError], message: str) -> None:
    with pytest.raises(wanted, match=message) as caught, permitted("a.zarr"):
        raise OSError(number, "it says so")
    assert isinstance(caught.value, OSError)
    if wanted is StorageFullError:
        assert caught.value.errno == errno.ENOSPC


def test_an_error_that_is_clear_already_is_not_wrapped_again() -> None:
    with pytest.raises(StorageFullError, match="^here: no room$"), permitted("there"), permitted("elsewhere"):
        raise StorageFullError("no room", where="here")


def test_files_of_a_read_only_folder_are_refused_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the refusal is played."""
    stored = StoredArray(array_in(LocalStore(tmp_path / "a.zarr")))
    stored.write(Region.whole((5, 7)), PIXELS)
    before = files(tmp_path)

    def refuse(*args: Any, **keywords: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("omexp.storage.units.os.open", refuse)
    monkeypatch.setattr("omexp.storage.units.os.unlink", refuse)
    for pixels in (PIXELS + 1, np.zeros_like(PIXELS)):
        with pytest.raises(ReadOnlyError, match="a.zarr: the store cannot be written"):
            stored.write(Region.whole((5, 7)), pixels)
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_only_files_that_were_cut_off_are_removed(tmp_path: Path) -> None:
    stays = ["a.partial", f"{'0a' * 16}.partial", f"1.{'0g' * 16}.partial", f"1.{'0a' * 16}.partial.txt", "c/0/1", f"1.{'0a' * 15}.partial"]
    goes = [f"1.{'0a' * 16}.partial", f"c/0/0.{'12' * 16}.partial", f"zarr.json.{'f' * 32}.partial", f"c/zarr.{'f' * 32}.partial"]
    for name in (*stays, *goes):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    remove_cut_off(tmp_path)
    assert {name for name, data in files(tmp_path).items() if data} == set(stays)


def test_nothing_of_a_unit_stays_beside_it(tmp_path: Path) -> None:
    stored = StoredArray(array_in(LocalStore(tmp_path / "a.zarr")))
    for value in (1, 2):
        stored.write(Region.whole((5, 7)), PIXELS + value)
    assert chunk_files(tmp_path / "a.zarr") == [f"c/{i}/{j}" for i in range(3) for j in range(2)]
