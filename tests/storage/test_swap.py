"""New groups that appear whole: what was there stays until they are, and nothing is left when they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from zarr.buffer import cpu
from zarr.storage import LocalStore, MemoryStore, StorePath, ZipStore

import omexp
from omexp.errors import AlreadyExistsError, ArgumentError, ReadOnlyError, StoreNotFoundError
from omexp.geometry import Region
from omexp.storage.groups import Group, create_group, open_group
from omexp.storage.layout import create_array, plan_layout
from omexp.storage.local_building import exchange
from omexp.storage.swap import long_work, new_group

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])


def fill(group: Group, value: int = 1, levels: int = 2) -> None:
    """Arrays with pixels, then attributes: what an image is."""
    for level in range(levels):
        array = create_array(group, str(level), plan_layout((8, 8), "uint8", "yx", zarr_format=group.zarr_format, chunks=4), axes="yx")
        array.write(Region.whole((8, 8)), np.full((8, 8), value, "uint8"))
    group.put_attributes({"value": value})


def whole(group: Group, value: int = 1, levels: int = 2) -> bool:
    """True when the group is what `fill` makes, and nothing else."""
    pixels = [group.array(str(level)).read(Region.whole((8, 8))) for level in range(levels)]
    return group.attributes == {"value": value} and all((p == value).all() for p in pixels) and len(group.members()) == levels


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def memory_keys(store: MemoryStore) -> dict[str, bytes]:
    return {key: value.to_bytes() for key, value in store._store_dict.items()}


class Stopped(Exception):
    """Raised inside a block to see what it leaves."""


# ---------------------------------------------------------------------------------------------------------- success
STORES: dict[str, Callable[[Path], Any]] = {
    "str": lambda p: str(p / "img.zarr"),
    "Path": lambda p: p / "img.zarr",
    "file URL": lambda p: f"file://{p}/img.zarr",
    "LocalStore": lambda p: LocalStore(p / "img.zarr"),
    "StorePath": lambda p: StorePath(LocalStore(p), "img.zarr"),
    "dict": lambda p: {},
    "MemoryStore": lambda p: MemoryStore(),
    "memory URL": lambda p: f"memory://{p.name}/swap/img.zarr",
    "mapper": lambda p: fsspec.get_mapper(f"memory://{p.name}/swap-mapped/img.zarr"),
}


@FORMATS
@pytest.mark.parametrize("kind", STORES)
def test_a_new_group_takes_its_place_in_every_kind_of_store(kind: str, zarr_format: int, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path)
    with new_group(store, zarr_format=zarr_format, overwrite=False) as group:
        fill(group)
    assert whole(open_group(store))
    assert open_group(store).zarr_format == zarr_format
    with pytest.raises(AlreadyExistsError, match="something is there already. Pass overwrite=True to replace it"):
        new_group(store, zarr_format=zarr_format, overwrite=False).__enter__()
    with new_group(store, zarr_format=5 - zarr_format, overwrite=True) as group:
        fill(group, 7, levels=1)
        assert whole(open_group(store))  # the old one, until the new one is complete
    assert whole(open_group(store), 7, levels=1)
    assert open_group(store).zarr_format == 5 - zarr_format


@FORMATS
def test_a_new_group_may_lie_below_a_group(zarr_format: int, tmp_path: Path) -> None:
    for store in (tmp_path / "plate.zarr", MemoryStore(), fsspec.get_mapper(f"memory://{tmp_path.name}/plate.zarr")):
        plate = create_group(store, zarr_format)
        plate.put_attributes({"plate": 1})
        plate.require_group("A").require_group("01").put_attributes({"well": 1})
        for value in (1, 2):
            with new_group(plate, "A/01/0", zarr_format=zarr_format, overwrite=value == 2) as group:
                fill(group, value)
        assert whole(plate.group("A/01/0"), 2)
        assert (plate.attributes, plate.group("A/01").attributes) == ({"plate": 1}, {"well": 1})
        assert plate.group("A/01").members() == ["0"]
        with pytest.raises(AlreadyExistsError, match="A/01/0: something is there already"):
            new_group(plate, "A/01/0", zarr_format=zarr_format, overwrite=False).__enter__()


@FORMATS
def test_parents_that_are_missing_are_made(zarr_format: int, tmp_path: Path) -> None:
    with new_group(tmp_path / "a" / "b.zarr", "c/0", zarr_format=zarr_format, overwrite=False) as group:
        fill(group)
    assert whole(open_group(tmp_path / "a" / "b.zarr" / "c" / "0"))
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.zarr"]


@pytest.mark.parametrize(
    "make", [lambda p: p.mkdir(), lambda p: create_group(p, 2), lambda p: create_group(p, 3)], ids=["folder", "2", "3"]
)
def test_an_empty_folder_or_group_counts_as_free(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "img.zarr")
    with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=False) as group:
        fill(group)
    assert whole(open_group(tmp_path / "img.zarr"))
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]
    store = MemoryStore()
    create_group(store, 2)
    with new_group(store, zarr_format=3, overwrite=False) as group:
        fill(group)
    assert whole(open_group(store))
    assert not any(key.endswith(".zgroup") for key in memory_keys(store))


def in_the_way(path: Path, what: str) -> None:
    if what == "a file":
        path.write_text("x")
        return
    group = create_group(path, 3)
    if what == "attributes":
        group.put_attributes({"a": None})
    elif what == "a member":
        group.require_group("labels")
    elif what == "an array":
        (path / "zarr.json").unlink()
        create_array(create_group(path.parent / "other.zarr", 3), "0", plan_layout((2, 2), "uint8", "yx", zarr_format=3), axes="yx")
        (path.parent / "other.zarr" / "0" / "zarr.json").rename(path / "zarr.json")
    elif what == "a foreign file":
        (path / "notes.txt").write_text("x")
    else:
        (path / "zarr.json").write_text("{")


def test_what_is_no_zarr_is_never_replaced(tmp_path: Path) -> None:
    in_the_way(tmp_path / "notes.txt", "a file")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    before = tree(tmp_path)
    for name in ("notes.txt", "home"):
        with pytest.raises(AlreadyExistsError, match="what is there is no Zarr, so it is not replaced. Choose another place"):
            new_group(tmp_path / name, zarr_format=3, overwrite=True).__enter__()
    with pytest.raises(AlreadyExistsError, match="a file stands where a folder is needed; got .*notes.txt"):
        new_group(tmp_path / "notes.txt" / "img.zarr", zarr_format=3, overwrite=False).__enter__()
    assert tree(tmp_path) == before


@pytest.mark.parametrize("what", ["attributes", "a member", "an array", "a foreign file", "broken metadata"])
def test_whatever_is_there_stays_unless_it_is_to_be_replaced(what: str, tmp_path: Path) -> None:
    path = tmp_path / "img.zarr"
    in_the_way(path, what)
    before = tree(tmp_path)
    with pytest.raises(AlreadyExistsError, match="img.zarr: something is there already. Pass overwrite=True"):
        new_group(path, zarr_format=3, overwrite=False).__enter__()
    assert tree(tmp_path) == before
    with pytest.raises(Stopped), new_group(path, zarr_format=3, overwrite=True) as group:
        fill(group)
        raise Stopped
    assert tree(tmp_path) == before
    with new_group(path, zarr_format=3, overwrite=True) as group:
        fill(group)
    assert whole(open_group(path))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    with new_group(tmp_path / "disk" / "img.zarr", zarr_format=3, overwrite=False) as group:
        fill(group)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "disk" / "img.zarr")
    with new_group(tmp_path / "link.zarr", zarr_format=3, overwrite=True) as group:
        fill(group, 5)
    assert (tmp_path / "link.zarr").is_symlink()
    assert whole(open_group(tmp_path / "disk" / "img.zarr"), 5)
    assert {p.name for p in (*tmp_path.iterdir(), *(tmp_path / "disk").iterdir())} == {"disk", "link.zarr", "img.zarr"}


# ---------------------------------------------------------------------------------------------------------- failure
@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt, OSError, SystemExit])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(error: type[BaseException], overwrite: bool, tmp_path: Path) -> None:
    if overwrite:
        with new_group(tmp_path / "img.zarr", zarr_format=2, overwrite=False) as group:
            fill(group, 3)
    before = tree(tmp_path)
    with pytest.raises(error), new_group(tmp_path / "img.zarr", "" if overwrite else "A/01/0", zarr_format=3, overwrite=overwrite) as group:
        fill(group, 9)
        raise error
    assert tree(tmp_path) == before


@pytest.mark.parametrize("path", ["", "A/0"])
def test_a_block_that_fails_leaves_a_memory_store_as_it_was(path: str) -> None:
    store = MemoryStore()
    create_group(store, 3)
    before = memory_keys(store)
    with pytest.raises(Stopped), new_group(store, path, zarr_format=3, overwrite=False) as group:
        fill(group)
        raise Stopped
    assert memory_keys(store) == before
    with new_group(store, path, zarr_format=3, overwrite=False) as group:
        fill(group, 3)
    before = memory_keys(store)
    with pytest.raises(KeyboardInterrupt), new_group(store, path, zarr_format=2, overwrite=True) as group:
        fill(group, 9)
        raise KeyboardInterrupt
    assert memory_keys(store) == before


def test_where_two_paths_cannot_be_exchanged_two_renames_do_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.local_building.exchange", lambda one, other: False)
    for value in (1, 2):
        with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=value == 2) as group:
            fill(group, value)
    assert whole(open_group(tmp_path / "img.zarr"), 2)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


def test_a_swap_that_fails_puts_back_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.local_building.exchange", lambda one, other: False)
    with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=False) as group:
        fill(group, 3)
    before, kept = tree(tmp_path), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(28, "disk full")
        return kept(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="disk full"), new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=True) as group:
        fill(group, 9)
    assert tree(tmp_path) == before


def test_the_documents_of_a_store_without_rename_come_after_its_chunks() -> None:
    store, order = MemoryStore(), []
    with new_group(store, "img", zarr_format=3, overwrite=False) as group:
        fill(group, 3)

    class Watched(MemoryStore):
        async def set(self, key: str, value: cpu.Buffer, byte_range: Any = None) -> None:
            order.append(key)
            await super().set(key, value, byte_range)

    watched = Watched(store._store_dict)
    with new_group(watched, "img", zarr_format=3, overwrite=True) as group:
        fill(group, 9)
        order.clear()
    assert whole(open_group(StorePath(watched, "img")), 9)
    kinds = [key.endswith("zarr.json") for key in order]
    assert kinds == sorted(kinds)
    assert order[-1] == "img/zarr.json"
    assert all(key.startswith("img/") for key in memory_keys(watched))


KILLED = """
import os, signal, sys
from test_swap import fill
from omexp.storage.swap import new_group
with new_group(sys.argv[1], zarr_format=3, overwrite=True) as group:
    fill(group, 9)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_in_the_middle_leaves_the_old_group_readable(tmp_path: Path) -> None:
    with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=False) as group:
        fill(group, 3)
    before = tree(tmp_path / "img.zarr")
    paths = os.pathsep.join([str(Path(omexp.__file__).parents[1]), str(Path(__file__).parent)])
    command = [sys.executable, "-c", KILLED, str(tmp_path / "img.zarr")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert tree(tmp_path / "img.zarr") == before
    assert whole(open_group(tmp_path / "img.zarr"), 3)
    with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=True) as group:  # the next one is not in the way of what is left
        fill(group, 4)
    assert whole(open_group(tmp_path / "img.zarr"), 4)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]  # and takes what is left away


# ----------------------------------------------------------------------------------------------------- many at once
@pytest.mark.parametrize("overwrite", [False, True])
def test_of_many_writers_to_one_place_the_first_wins_and_the_others_are_refused_at_once(overwrite: bool, tmp_path: Path) -> None:
    with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=overwrite) as group:
        for other in (False, True):
            with pytest.raises(AlreadyExistsError, match="img.zarr: another process is writing here. Wait until it has ended"):
                new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=other).__enter__()
        fill(group, 3)
    assert whole(open_group(tmp_path / "img.zarr"), 3)
    with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=True) as group:
        fill(group, 4)
    assert whole(open_group(tmp_path / "img.zarr"), 4)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


def test_whoever_wins_a_race_for_a_place_its_group_is_whole(tmp_path: Path) -> None:
    writers = 8
    barrier = threading.Barrier(writers)

    def write(value: int) -> int | None:
        barrier.wait(timeout=30)
        try:
            with new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=True) as group:
                fill(group, value, levels=1)
        except AlreadyExistsError:
            return None
        return value

    for _ in range(5):
        with ThreadPoolExecutor(writers) as pool:
            winners = [v for v in pool.map(write, range(1, writers + 1)) if v is not None]
        assert open_group(tmp_path / "img.zarr").attributes["value"] in winners
        assert whole(open_group(tmp_path / "img.zarr"), open_group(tmp_path / "img.zarr").attributes["value"], levels=1)
        assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


def test_without_file_locks_the_first_to_end_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.journal.fcntl", None)
    free: dict[str, Any] = {"zarr_format": 3, "overwrite": False}
    with pytest.raises(AlreadyExistsError, match="something is there already"), new_group(tmp_path / "img.zarr", **free) as slow:
        with new_group(tmp_path / "img.zarr", **free) as quick:
            fill(quick, 3)
        fill(slow, 4)
    assert whole(open_group(tmp_path / "img.zarr"), 3)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]
    with pytest.raises(ArgumentError, match="no file locks, which resume needs"):
        long_work(tmp_path / "b.zarr", zarr_format=3, overwrite=False, work={"a": 1}, resume=True).__enter__()
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


# ------------------------------------------------------------------------------------------------------- unfinished
WORK: dict[str, Any] = {"image": "a"}


def broken_off(place: Path, *, resume: bool = True, work: dict[str, Any] = WORK) -> bool:
    """Fill a group and break off before its attributes are written. Whether it was gone on with."""
    with pytest.raises(Stopped), long_work(place, zarr_format=3, overwrite=True, work=work, resume=resume) as (group, journal):
        assert journal is not None
        resumed = journal.resumed
        if not resumed:
            fill(group, 9, levels=1)
            journal.add(0, Region((0, 0), (8, 8)))
        raise Stopped
    return resumed


def test_work_that_is_to_be_resumed_stays_beside_and_says_so_and_is_gone_on_with(tmp_path: Path) -> None:
    place = tmp_path / "img.zarr"
    assert not broken_off(place)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".img.zarr.partial", ".img.zarr.partial.journal"]
    with pytest.raises(StoreNotFoundError, match="was begun in .img.zarr.partial and is not finished: the same call with resume=True"):
        open_group(place)
    assert broken_off(place)
    with long_work(place, zarr_format=3, overwrite=False, work=WORK, resume=True) as (group, journal):
        assert journal is not None and journal.has(0, Region((0, 0), (8, 8))) and not journal.has(1, Region((0, 0), (8, 8)))
        assert journal.level(0).tiles(0) == [Region((0, 0), (8, 8))]
        assert (group.array("0").read(Region.whole((8, 8))) == 9).all()
    assert open_group(place).members() == ["0"]
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


@pytest.mark.parametrize(("work", "resume"), [(WORK, False), ({"image": "b"}, True), ({}, True), (None, False)])
def test_other_work_at_the_same_place_begins_anew(work: dict[str, Any] | None, resume: bool, tmp_path: Path) -> None:
    broken_off(tmp_path / "img.zarr")
    with long_work(tmp_path / "img.zarr", zarr_format=3, overwrite=False, work=work, resume=resume) as (group, journal):
        assert journal is None if work is None else not journal.resumed
        assert group.members() == []
        fill(group, 2)
    assert whole(open_group(tmp_path / "img.zarr"), 2)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


def test_what_was_replaced_is_never_taken_for_unfinished_work(tmp_path: Path) -> None:
    """A process that dies after the swap leaves the old group under the name of the unfinished one, beside a journal of the same work."""
    place = tmp_path / "img.zarr"
    with new_group(place, zarr_format=3, overwrite=False) as group:
        fill(group, 3)
    broken_off(place)
    assert exchange(place, tmp_path / ".img.zarr.partial")
    assert not broken_off(place)


def test_a_replacement_in_two_steps_of_which_one_was_taken_is_undone(tmp_path: Path) -> None:
    with new_group(tmp_path / ".img.zarr.old", zarr_format=3, overwrite=False) as group:
        fill(group, 3)
    with pytest.raises(AlreadyExistsError, match="something is there already"):
        new_group(tmp_path / "img.zarr", zarr_format=3, overwrite=False).__enter__()
    assert whole(open_group(tmp_path / "img.zarr"), 3)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


def test_members_that_are_kept_are_those_of_the_last_moment(tmp_path: Path) -> None:
    place = tmp_path / "img.zarr"
    with new_group(place, zarr_format=3, overwrite=False) as group:
        fill(group, 3)
        group.require_group("labels").put_attributes({"labels": ["a"]})
    options: dict[str, Any] = {"zarr_format": 3, "overwrite": True, "work": WORK, "resume": True, "kept": lambda name: name == "labels"}
    with pytest.raises(Stopped), long_work(place, **options) as (group, _):
        fill(group, 9, levels=1)
        scratch = group.local_path
        assert scratch is not None
        (scratch / "labels").mkdir()  # as a process leaves it that is killed while it takes members over
        raise Stopped
    open_group(place).group("labels").put_attributes({"labels": ["a", "b"]})
    (place / "labels" / "notes.txt").write_text("mine")
    with long_work(place, **options) as (group, journal):
        assert journal is not None and journal.resumed
        assert group.members() == ["0"]
    assert open_group(place).group("labels").attributes == {"labels": ["a", "b"]}
    assert (place / "labels" / "notes.txt").read_text() == "mine"
    assert open_group(place).members() == ["0", "labels"]


def test_files_that_were_cut_off_do_not_stay(tmp_path: Path) -> None:
    broken_off(tmp_path / "img.zarr")
    cut = tmp_path / ".img.zarr.partial" / "0" / "c" / "0" / f"1.{'0a' * 16}.partial"
    cut.write_bytes(b"half a ch")
    with long_work(tmp_path / "img.zarr", zarr_format=3, overwrite=False, work=WORK, resume=True):
        assert not cut.exists()


def test_only_work_on_a_local_disk_can_be_gone_on_with() -> None:
    with pytest.raises(ArgumentError, match="only work on a local disk can be gone on with"):
        long_work(MemoryStore(), zarr_format=3, overwrite=False, work=WORK, resume=True).__enter__()


# --------------------------------------------------------------------------------------------------------- refusals
def test_a_read_only_place_is_refused(tmp_path: Path) -> None:
    create_group(tmp_path / "img.zarr", 3)
    for store in (LocalStore(tmp_path / "x.zarr", read_only=True), MemoryStore(read_only=True), open_group(tmp_path / "img.zarr", "r")):
        with pytest.raises(ReadOnlyError, match="the store is read-only. Open it with mode='r.'"):
            new_group(store, "0", zarr_format=3, overwrite=True).__enter__()
    with pytest.raises(ReadOnlyError, match="/proc/x.zarr: the store cannot be written|x.zarr") as caught:
        new_group("/sys/omexp-test/x.zarr", zarr_format=3, overwrite=True).__enter__()
    assert isinstance(caught.value, PermissionError)


@pytest.mark.parametrize("store", [None, 5, ["x"]])
def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(ArgumentError, match="this is no store; got"):
        new_group(store, zarr_format=3, overwrite=False).__enter__()


def test_a_zip_file_is_filled_once(tmp_path: Path) -> None:
    store = ZipStore(tmp_path / "img.zip", mode="w")
    with new_group(store, zarr_format=3, overwrite=False) as group:
        create_array(group, "0", plan_layout((8, 8), "uint8", "yx", zarr_format=3), axes="yx").write(
            Region.whole((8, 8)), np.ones((8, 8), "uint8")
        )
    assert open_group(store).members() == ["0"]
    with pytest.raises(AlreadyExistsError, match="This store cannot delete; write to a new one"):
        new_group(store, zarr_format=3, overwrite=True).__enter__()
    other = ZipStore(tmp_path / "other.zip", mode="w")
    with pytest.raises(Stopped), new_group(other, zarr_format=3, overwrite=False):
        raise Stopped
    store.close()
    other.close()
