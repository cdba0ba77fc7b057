"""Writers that change parts of one write unit at the same time: everything that was written is there at the end."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import omexp
from omexp.errors import ReadOnlyError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import create_group
from omexp.storage.layout import create_array, plan_layout

SHAPE, CHUNKS = (24, 40), (16, 24)
LAYOUTS: list[tuple[int, Any, Any]] = [(2, None, "auto"), (3, None, "zstd"), (3, (32, 48), "auto")]
WRITERS = 6


def make(store: Any, layout: tuple[int, Any, Any], **options: Any) -> StoredArray:
    zarr_format, shards, codec = layout
    group = create_group(store, zarr_format, overwrite=True)
    plan = plan_layout(SHAPE, "uint16", "yx", zarr_format=zarr_format, chunks=CHUNKS, shards=shards, compressors=codec)
    return create_array(group, "0", plan, axes="yx", **options)


def own_pixels(writer: int) -> list[Region]:
    """The pixels of one writer: each in every chunk, none shared with another writer."""
    return [Region((y, x), (y + 1, x + 1)) for y in range(writer, SHAPE[0], WRITERS) for x in range(3, SHAPE[1], 9)]


def write_own(array: StoredArray, writer: int) -> None:
    for box in own_pixels(writer):
        array.write(box, np.full((1, 1), writer + 1, "uint16"))


def all_written() -> np.ndarray:
    expected = np.zeros(SHAPE, "uint16")
    for writer in range(WRITERS):
        for box in own_pixels(writer):
            expected[box.slices] = writer + 1
    return expected


def together(work: Callable[[int], None], count: int) -> None:
    """`work` of each number in threads that begin at once; the first error is raised."""
    barrier, failed = threading.Barrier(count), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


# ------------------------------------------------------------------------------------------------------------- threads
@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_that_set_pixels_of_one_chunk_lose_none(layout: Any, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", layout)
    handles = [array, StoredArray(zarr.open_array(tmp_path / "a.zarr" / "0", mode="r+"))]
    together(lambda writer: write_own(handles[writer % 2], writer), WRITERS)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")[:], all_written())
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_lose_nothing_in_a_memory_store_either(layout: Any) -> None:
    held: dict[str, Any] = {}
    make(MemoryStore(held), layout)
    handles = [StoredArray(zarr.open_array(MemoryStore(held), path="0", mode="r+")) for _ in range(2)]
    together(lambda writer: write_own(handles[writer % 2], writer), WRITERS)
    np.testing.assert_array_equal(zarr.open_array(MemoryStore(held), path="0", mode="r")[:], all_written())


def test_threads_lose_nothing_in_codecs_that_only_zarr_knows(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "f.zarr"), shape=SHAPE, chunks=CHUNKS, dtype="uint16", zarr_format=2, order="F", fill_value=0)
    array = StoredArray(zarr.open_array(tmp_path / "f.zarr", mode="r+"))
    assert array.writer.startswith("zarr-python")
    together(lambda writer: write_own(array, writer), WRITERS)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "f.zarr", mode="r")[:], all_written())


def test_steps_lists_masks_and_merges_take_the_lock_too(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (24, 40), xy_pixelsize=1, levels=1, chunks=(24, 40))
    ids = np.arange(24, dtype="uint32")[:, None] // 6 * np.ones((1, 40), "uint32") + 1
    container.derive_label("rows").set_array(ids)

    def work(writer: int) -> None:
        image = omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_masked_image("rows")
        for step in range(4):
            if writer < 2:  # every second column of object 1
                image.set_array(np.full((6, 20), 7, "uint16"), y=slice(0, 6), x=slice(writer, None, 2))
            elif writer < 4:  # objects 2 and 3
                image.set_roi_masked(writer, np.full((6, 40), step + 1, "uint16"))
            else:  # object 4, together
                image.set_roi_masked(4, np.full((6, 40), 1, "uint16"), merge="sum")

    together(work, WRITERS)
    expected = np.repeat(np.array([7, 4, 4, 8], "uint16"), 6)[:, None] * np.ones((1, 40), "uint16")
    np.testing.assert_array_equal(omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image().get_array(), expected)


def test_whole_units_are_not_lost_in_a_change_of_a_part(tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", LAYOUTS[0])
    begun, goes_on = threading.Event(), threading.Event()

    def slowly(box: Region, pixels: np.ndarray) -> np.ndarray:
        begun.set()
        goes_on.wait(0.2)  # the other writer waits for the lock meanwhile
        pixels[...] = 5
        return pixels

    whole = Region((0, 0), CHUNKS)
    changing = threading.Thread(target=array.change, args=(Region((0, 0), (1, 1)), slowly))
    changing.start()
    begun.wait()
    writing = threading.Thread(target=array.write, args=(whole, np.full(CHUNKS, 9, "uint16")))
    writing.start()
    goes_on.set()
    changing.join()
    writing.join()
    assert (array.read(whole) == 9).all()  # written after the change, not lost in it


def test_what_zarr_writes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    array, calls = make(tmp_path / "a.zarr", LAYOUTS[1]), []

    def change(box: Region, pixels: np.ndarray) -> np.ndarray:
        if not calls:  # another program knows of no lock
            zarr.open_array(tmp_path / "a.zarr" / "0", mode="r+")[0:16, 0:24] = 9
        calls.append(pixels.copy())
        return np.full_like(pixels, 5)

    array.change(Region((0, 0), (1, 1)), change)
    assert [int(c[0, 0]) for c in calls] == [0, 9]
    expected = np.full(CHUNKS, 9, "uint16")
    expected[0, 0] = 5
    np.testing.assert_array_equal(array.read(Region((0, 0), CHUNKS)), expected)


# ----------------------------------------------------------------------------------------------------------- processes
def _write_in_process(folder: str, writer: int, ready: Any) -> None:
    array = StoredArray(zarr.open_array(f"{folder}/0", mode="r+"))
    ready.wait()
    write_own(array, writer)


def _set_object(folder: str, label: int, ready: Any) -> None:
    image = omexp.open_ome_zarr_container(folder).get_masked_image("cells")
    patch = np.full(image.get_roi_masked(label).shape, label, "uint16")
    ready.wait()
    for _ in range(3):
        image.set_roi_masked(label, patch)


def run_processes(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    ready = context.Barrier(len(arguments))
    processes = [context.Process(target=target, args=(*given, ready)) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[2]])
def test_processes_that_set_pixels_of_one_chunk_lose_none(layout: Any, tmp_path: Path) -> None:
    make(tmp_path / "a.zarr", layout)
    run_processes(_write_in_process, [(str(tmp_path / "a.zarr"), writer) for writer in range(WRITERS)])
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")[:], all_written())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_that_write_objects_of_one_chunk_lose_none(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (32, 32), xy_pixelsize=1, levels=1, chunks=(32, 32))
    ids = (np.arange(32)[:, None] // 16 * 2 + np.arange(32)[None] // 16 + 1).astype("uint32")
    container.derive_label("cells").set_array(ids)
    run_processes(_set_object, [(str(tmp_path / "a.zarr"), label) for label in (1, 2, 3, 4)])
    np.testing.assert_array_equal(omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image().get_array(), ids)


# -------------------------------------------------------------------------------------------------------------- change
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_sees_each_unit_once_and_writes_what_it_gives(layout: Any, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", layout)
    before = np.random.default_rng(0).integers(1, 99, SHAPE).astype("uint16")
    array.write(Region.whole(SHAPE), before)
    region, seen = Region((3, 5), (24, 39)), []

    def change(box: Region, pixels: np.ndarray) -> np.ndarray | None:
        seen.append(box)
        np.testing.assert_array_equal(pixels, before[box.slices])
        return None if box.start == (3, 5) and layout[1] is None else pixels + 1

    array.change(region, change)
    expected = before.copy()
    expected[region.slices] += 1
    if layout[1] is None:  # the first unit was left as it is
        expected[3:16, 5:24] -= 1
    np.testing.assert_array_equal(array.read(Region.whole(SHAPE)), expected)
    assert len(seen) == len(set(seen)) == (1 if layout[1] else 4)


def test_a_unit_that_is_left_as_it_is_is_not_written(tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", LAYOUTS[0])
    array.write(Region.whole(SHAPE), np.ones(SHAPE, "uint16"))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    array.change(Region((0, 0), (5, 5)), lambda box, pixels: None)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_change_that_fails_leaves_the_unit_and_its_lock_free(tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", LAYOUTS[0])
    array.write(Region.whole(SHAPE), np.ones(SHAPE, "uint16"))

    def fails(box: Region, pixels: np.ndarray) -> np.ndarray:
        pixels[...] = 9
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        array.change(Region((0, 0), (1, 1)), fails)
    assert (array.read(Region.whole(SHAPE)) == 1).all()
    array.write(Region((0, 0), (1, 1)), np.full((1, 1), 3, "uint16"))
    assert array.read(Region((0, 0), (1, 1))).item() == 3


def test_a_read_only_array_refuses_to_be_changed(tmp_path: Path) -> None:
    make(tmp_path / "a.zarr", LAYOUTS[0])
    array = StoredArray(zarr.open_array(tmp_path / "a.zarr" / "0", mode="r"))
    with pytest.raises(ReadOnlyError):
        array.change(Region((0, 0), (1, 1)), lambda box, pixels: pixels)
