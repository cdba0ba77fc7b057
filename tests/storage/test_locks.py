"""Locks: they end when their block ends, whoever was forked inside it; a child holds none; a place without locks says so once."""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError, OmexpWarning
from omexp.storage import locks
from omexp.storage.groups import open_group
from omexp.storage.locks import exclusive, exclusive_unit

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
OPTIONS: dict[str, Any] = {"xy_pixelsize": 1.0, "levels": 1, "chunks": (8, 8)}


@pytest.fixture
def image(tmp_path: Path) -> omexp.Image:
    return omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (16, 16), **OPTIONS).get_image()


@pytest.fixture
def folder(image: omexp.Image, tmp_path: Path) -> Path:
    return tmp_path / "a.zarr" / "0"


def forked(work: Callable[[], Any]) -> int:
    """A child that does some work; its exit status is 0 if it went well. An alarm ends one that hangs."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        import signal

        signal.alarm(20)
        work()
        status = 0
    finally:
        os._exit(status)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def holding(block: Any, inside: Callable[[], None]) -> None:
    """Call something while another thread is inside a block."""
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with block:
            entered.set()
            assert leave.wait(timeout=30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(timeout=30)
    try:
        inside()
    finally:
        leave.set()
        thread.join(timeout=30)


@forks
@pytest.mark.parametrize("kind", ["unit", "group"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of forks beside threads, which is what this is about
def test_a_child_forked_beside_a_held_lock_neither_keeps_it_nor_is_blocked_by_it_for_ever(kind: str, folder: Path) -> None:
    block: Callable[[], Any] = {"unit": lambda: exclusive_unit(folder, (0, 0)), "group": lambda: exclusive(open_group(folder.parent))}[kind]
    gate = os.pipe()
    children: list[int] = []

    def lock_and_stay() -> None:
        """It waits for the thread, which the child does not have but the parent does; later it lives on, with all that it inherited."""
        with block():
            pass
        os.close(gate[1])
        os.read(gate[0], 1)

    def fork_two() -> None:
        children.append(forked(lock_and_stay))
        children.append(forked(lambda: (os.close(gate[1]), os.read(gate[0], 1))))  # never asks for the lock

    holding(block(), fork_two)
    done = threading.Event()

    def again() -> None:
        with block():
            done.set()

    threading.Thread(target=again, daemon=True).start()
    assert done.wait(timeout=15)  # both children live
    os.close(gate[1])
    assert [status_of(child) for child in children] == [0, 0]
    os.close(gate[0])


@forks
def test_a_child_forked_inside_a_block_leaves_it_without_ending_its_parents_lock(folder: Path) -> None:
    def work() -> None:
        os.set_blocking(gate[0], False)
        with pytest.raises(BlockingIOError):  # the parent is inside
            os.read(gate[0], 1)

    gate = os.pipe()
    with exclusive_unit(folder, (0, 0)):
        child = os.fork()
        if child:
            assert status_of(child) == 0
            waiting = forked(lambda: _lock_then(folder, lambda: os.write(gate[1], b"x")))
            work()
    if not child:  # out of the block, and able to enter others
        try:
            with exclusive_unit(folder, (0, 1)):
                os._exit(0)
        finally:
            os._exit(1)
    assert status_of(waiting) == 0
    os.set_blocking(gate[0], True)
    assert os.read(gate[0], 1) == b"x"
    for end in gate:
        os.close(end)


def _lock_then(folder: Path, work: Callable[[], Any]) -> None:
    with exclusive_unit(folder, (0, 0)):
        work()


def test_a_merge_function_may_write_to_another_image_in_memory(image: omexp.Image) -> None:
    stores: list[dict[str, Any]] = [{}, {}]
    one, other = (omexp.create_empty_ome_zarr(store, (16, 16), **OPTIONS).get_image() for store in stores)
    ones = np.ones((8, 8), "uint16")

    def merge(existing: Any, patch: Any) -> Any:
        other.set_array(patch, y=slice(0, 8), x=slice(0, 8))
        return patch

    worker = threading.Thread(target=lambda: one.set_array(ones, y=slice(0, 8), x=slice(0, 8), merge=merge), daemon=True)
    worker.start()
    worker.join(timeout=20)
    assert not worker.is_alive()
    assert one.get_as_numpy().sum() == other.get_as_numpy().sum() == 64


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_merge_function_that_writes_to_its_own_chunk_is_refused(place: str, image: omexp.Image) -> None:
    level = image if place == "disk" else omexp.create_empty_ome_zarr({}, (16, 16), **OPTIONS).get_image()
    one = np.ones((1, 1), "uint16")

    def merge(existing: Any, patch: Any) -> Any:
        level.set_array(one, y=slice(3, 4), x=slice(3, 4))
        return patch

    with pytest.raises(ArgumentError, match="the chunk is written to while it is being changed"):
        level.set_array(one, y=slice(0, 1), x=slice(0, 1), merge=merge)
    level.set_array(one, y=slice(0, 1), x=slice(0, 1))
    assert level.get_as_numpy().sum() == 1


@pytest.mark.parametrize("why", ["system", "file system"])
def test_a_place_without_locks_says_so_once(why: str, image: omexp.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_said", set())
    if why == "system":
        monkeypatch.setattr(locks, "fcntl", None)
    else:

        def no_locks(*_: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(locks.fcntl, "fcntl", no_locks)
    one = np.ones((1, 1), "uint16")
    with pytest.warns(OmexpWarning, match=f"no locks between processes here: this {why} has none") as caught:
        image.set_array(one, y=slice(0, 1), x=slice(0, 1))
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image.set_array(one, y=slice(1, 2), x=slice(1, 2))
    assert image.get_as_numpy().sum() == 2
