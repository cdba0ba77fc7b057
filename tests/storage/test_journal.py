"""Journals: lines that survive a kill, locks that end with their process, and never a line of another piece of work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import omexp
from omexp.errors import AlreadyExistsError, ReadOnlyError, StorageFullError
from omexp.geometry import Region
from omexp.storage import journal as journals
from omexp.storage.journal import Journal, is_busy, journal_of, scratch_of, unfinished_beside

WORK = {"image": {"name": "ä", "shape": [3, 4]}}
TILES = [Region((0, 0), (8, 8)), Region((0, 8), (8, 16)), Region((8, 0), (12, 8))]


def begun(path: Path, work: dict[str, Any] = WORK, *, resume: bool = True) -> Journal:
    journal = Journal.locked(path, "img.zarr")
    journal.start(work, resume=resume)
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def left(path: Path, tiles: list[Region] = TILES) -> bytes:
    """A journal as a killed process leaves it."""
    journal = begun(path, resume=False)
    for tile in tiles:
        journal.add(0, tile)
    journal.close(finished=False)
    return path.read_bytes()


def test_the_next_run_of_the_same_work_knows_the_tiles(path: Path) -> None:
    left(path)
    journal = begun(path)
    assert journal.resumed and journal.inherited
    assert journal.tiles(0) == TILES
    assert [journal.has(0, tile) for tile in TILES] == [True] * 3
    assert not journal.has(1, TILES[0]) and not journal.has(0, Region((0, 0), (8, 9)))
    journal.close(finished=True)
    assert not path.exists()


def test_tiles_of_this_run_are_not_those_of_an_earlier_one(path: Path) -> None:
    journal = begun(path)
    journal.add(0, TILES[0])
    assert not journal.has(0, TILES[0]) and journal.tiles(0) == []
    journal.close(finished=False)


@pytest.mark.parametrize(("work", "resume"), [(WORK, False), ({"image": {}}, True), ({}, True)])
def test_what_other_work_has_done_is_forgotten(work: dict[str, Any], resume: bool, path: Path) -> None:
    left(path)
    journal = begun(path, work, resume=resume)
    assert not journal.resumed and journal.inherited and journal.tiles(0) == []
    journal.close(finished=False)
    assert path.read_text().count("\n") == 1


def test_builds_that_share_a_journal_count_their_levels_from_another_one(path: Path) -> None:
    journal = begun(path)
    journal.level(2).add(0, TILES[0])
    journal.level(0).add(0, TILES[1])
    journal.close(finished=False)
    journal = begun(path)
    second = journal.level(2)
    assert second.resumed and second.has(0, TILES[0]) and not second.has(0, TILES[1]) and second.tiles(0) == [TILES[0]]
    assert journal.tiles(2) == [TILES[0]] and journal.tiles(0) == [TILES[1]]
    journal.close(finished=True)


@given(cut=st.integers(0, 400), more=st.lists(st.sampled_from(TILES), max_size=3, unique=True))
def test_a_file_that_was_cut_anywhere_gives_only_tiles_that_were_written(tmp_path_factory: Any, cut: int, more: list[Region]) -> None:
    path = tmp_path_factory.mktemp("cut") / "journal"
    whole = left(path)
    path.write_bytes(whole[:cut])
    journal = begun(path)
    complete = whole[:cut].count(b"\n")
    assert journal.resumed == (complete > 0)
    assert journal.tiles(0) == TILES[: max(0, complete - 1)]
    for tile in more:  # nothing is joined to the line that was cut off
        journal.add(1, tile)
    journal.close(finished=False)
    journal = begun(path)
    assert journal.tiles(0) == TILES[: max(0, complete - 1)]
    assert sorted(journal.tiles(1), key=repr) == sorted(more, key=repr)
    journal.close(finished=True)


@pytest.mark.parametrize("damage", [b"\xff\x00junk\n", b"[0, [0,[0, [0, 0], [8, 8]]\n", b"[0, [0, 0]]\n", b"{}\n", b"\n\n"])
def test_lines_that_are_no_tiles_count_for_nothing(damage: bytes, path: Path) -> None:
    whole = left(path)
    path.write_bytes(whole + damage + b"[1, [0, 0], [4, 4]]\n[1, [4, 0], [8")
    journal = begun(path)
    assert journal.resumed and journal.tiles(0) == TILES and journal.tiles(1) == [Region((0, 0), (4, 4))]
    journal.add(2, TILES[0])
    journal.close(finished=False)
    assert path.read_bytes().endswith(b"[1, [0, 0], [4, 4]]\n[2, [0, 0], [8, 8]]\n")


def test_many_threads_may_add(path: Path) -> None:
    journal = begun(path)
    tiles = [Region((i, 0), (i + 1, 9)) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tile: journal.add(0, tile), tiles))
    journal.close(finished=False)
    journal = begun(path)
    assert journal.tiles(0) == tiles
    journal.close(finished=True)


def test_a_thread_that_is_late_writes_to_no_other_file(path: Path, tmp_path: Path) -> None:
    journal = begun(path)
    journal.close(finished=True)
    descriptor = os.open(tmp_path / "pixels", os.O_RDWR | os.O_CREAT)  # takes the number that the journal had
    journal.add(0, TILES[0])
    os.close(descriptor)
    assert (tmp_path / "pixels").read_bytes() == b""
    journal.close(finished=True)  # again: nothing happens


# ------------------------------------------------------------------------------------------------------------ locks
def test_whoever_comes_second_is_refused_until_the_first_has_ended(path: Path) -> None:
    first = begun(path)
    assert first.exclusive and is_busy(path)
    with pytest.raises(AlreadyExistsError, match="img.zarr: another process is writing here. Wait until it has ended"):
        begun(path)
    first.close(finished=False)
    assert not is_busy(path)
    begun(path).close(finished=True)
    assert not is_busy(path)


def test_of_many_at_once_one_at_a_time_has_it(path: Path) -> None:
    barrier, inside, most = threading.Barrier(8), [0], [0]

    def enter(_: int) -> bool:
        barrier.wait(timeout=30)
        won = False
        for _ in range(20):
            try:
                journal = begun(path)
            except AlreadyExistsError:
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            won = True
            inside[0] -= 1
            journal.close(finished=True)
        return won

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(enter, range(8)))
    assert most[0] == 1
    assert not path.exists()


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begun(path)
    lock, calls = journals._lock, []

    def late(descriptor: int, *, exclusive: bool) -> bool | None:
        calls.append(descriptor)
        if len(calls) == 1:
            first.close(finished=True)  # after the second has opened the file, before it locks it
        return lock(descriptor, exclusive=exclusive)

    monkeypatch.setattr(journals, "_lock", late)
    second = begun(path)
    monkeypatch.undo()
    assert len(calls) == 2 and is_busy(path)
    with pytest.raises(AlreadyExistsError):
        begun(path)
    second.close(finished=True)


HOLDER = """
import os, sys, time
from pathlib import Path
from omexp.storage.journal import Journal
journal = Journal.locked(Path(sys.argv[1]), "x")
journal.start({"a": 1}, resume=False)
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(60)
print("locked", flush=True)
time.sleep(60) if sys.argv[2] == "wait" else journal.close(finished=False)
"""


def held(path: Path, how: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(omexp.__file__).parents[1])}
    command = [sys.executable, "-c", HOLDER, str(path), how]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    return process


def test_the_lock_of_a_killed_process_is_gone(path: Path) -> None:
    process = held(path, "wait")
    assert is_busy(path)
    with pytest.raises(AlreadyExistsError):
        begun(path)
    process.kill()
    process.communicate()
    assert not is_busy(path)
    assert not begun(path).resumed


def test_a_forked_child_does_not_keep_the_lock_that_its_parent_let_go_of(path: Path) -> None:
    process = held(path, "fork")
    try:
        process.wait(timeout=30)
        assert not is_busy(path)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("reason", ["no module", "no locks on this disk"])
def test_without_locks_a_journal_still_works_and_says_so(reason: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason == "no module":
        monkeypatch.setattr(journals, "fcntl", None)
    else:
        monkeypatch.setattr(journals, "_lock", lambda descriptor, *, exclusive: None)
    left(path)
    assert not is_busy(path)
    journal = begun(path)
    assert journal.resumed and not journal.exclusive and journal.tiles(0) == TILES
    journal.close(finished=True)
    assert not path.exists()


def test_asking_whether_it_is_busy_takes_no_permission_to_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(path)
    opened, flags = os.open, []

    def watched(where: Any, how: int, *mode: int) -> int:
        flags.append(how)
        return opened(where, how, *mode)

    monkeypatch.setattr("omexp.storage.journal.os.open", watched)
    assert not is_busy(path)
    assert flags == [os.O_RDONLY]
    assert not is_busy(path.with_name("nothing"))


# ----------------------------------------------------------------------------------------------------------- refusals
def test_a_full_disk_and_a_read_only_one_are_clear_errors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = begun(path)
    monkeypatch.setattr("omexp.storage.journal.os.write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(StorageFullError, match="img.zarr: there is no space left"):
        journal.add(0, TILES[0])
    monkeypatch.undo()
    journal.close(finished=True)
    with pytest.raises(ReadOnlyError, match="img.zarr: the store cannot be written"):
        begun(Path("/sys/omexp-journal"))


def test_an_unfinished_building_is_one_whose_folder_is_the_journals_own(tmp_path: Path) -> None:
    target = tmp_path / "img.zarr"
    assert unfinished_beside(target) is None
    scratch_of(target).mkdir()
    assert unfinished_beside(target) is None
    for head in ("", "[]\n", "{}\n", "null\n", '{"folder": 1}\n', "{"):
        journal_of(target).write_text(head)
        assert unfinished_beside(target) is None
    journal = begun(journal_of(target), {"folder": scratch_of(target).stat().st_ino})
    assert unfinished_beside(target) == scratch_of(target)
    journal.close(finished=False)
    assert unfinished_beside(target) == scratch_of(target)
    scratch_of(target).rename(target)
    assert unfinished_beside(target) is None
