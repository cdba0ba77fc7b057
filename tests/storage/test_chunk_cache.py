"""Decoded chunks that are kept: bounded, never stale, never shared. The reference is zarr-python on the same files."""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.errors import ArgumentError, StoredDataError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.storage.chunk_cache import ChunkCache, chunk_cache
from omexp.storage.groups import create_group
from omexp.storage.layout import create_array, plan_layout

SHAPE, CHUNKS, SHARDS = (300, 400), (150, 256), (300, 512)  # a chunk of 75 KiB: we decode it ourselves
LAYOUTS = [(2, CHUNKS, None), (3, CHUNKS, SHARDS), (3, (16, 16), (64, 64))]
PART, CHUNK_BYTES = Region((5, 6), (20, 30)), 150 * 256 * 2


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    chunk_cache.clear()
    yield
    chunk_cache.limit = 512 << 20
    chunk_cache.clear()


def pixels(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 60000, shape, dtype="uint16")


def make(folder: Path, layout: Any = LAYOUTS[0], seed: int = 0, compressors: Any = "auto") -> StoredArray:
    zarr_format, chunks, shards = layout
    group = create_group(folder, zarr_format, overwrite=True)
    plan = plan_layout(SHAPE, "uint16", "yx", zarr_format=zarr_format, chunks=chunks, shards=shards, compressors=compressors)
    array = create_array(group, "0", plan, axes="yx")
    array.write(Region.whole(SHAPE), pixels(seed))
    return array


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as long unchanged."""
    monkeypatch.setattr("omexp.storage.chunk_cache._SETTLED_NS", -(10**18))


# --------------------------------------------------------------------------------------------------------- what is kept
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_second_read_of_a_part_decodes_nothing(layout: Any, settled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = make(tmp_path / "a.zarr", layout)
    first = array.read(PART, cached=True)
    before = chunk_cache.info()
    assert before.chunks > 0
    monkeypatch.setattr("omexp.storage.local_reading.decode_chunk", None)
    second = array.read(PART, cached=True)
    np.testing.assert_array_equal(first, pixels()[PART.slices])
    np.testing.assert_array_equal(second, first)
    assert chunk_cache.info().hits > before.hits
    assert (chunk_cache.info().chunks, chunk_cache.info().bytes) == (before.chunks, before.bytes)


def test_whole_chunks_and_reads_that_do_not_ask_are_not_kept(settled: None, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr")
    array.read(Region.whole(SHAPE), cached=True)
    array.read(Region((150, 256), SHAPE), cached=True)  # whole, as far as the image goes
    array.read(PART)
    assert chunk_cache.info().chunks == 0


def test_what_is_handed_out_is_a_copy(settled: None, tmp_path: Path) -> None:
    for compressors in ("auto", None):
        array = make(tmp_path / "a.zarr", compressors=compressors)
        for _ in range(3):
            got = array.read(PART, cached=True)
            np.testing.assert_array_equal(got, pixels()[PART.slices])
            got[...] = 0


def test_a_file_that_was_just_written_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = make(tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr" / "0" / "0" / "0"
    written = max(chunk.stat().st_mtime_ns, chunk.stat().st_ctime_ns)
    for age_ms, kept in ((0, 0), (19, 0), (-5, 0), (20, 1)):
        monkeypatch.setattr("omexp.storage.chunk_cache.time.time_ns", lambda age_ms=age_ms: written + age_ms * 1_000_000)
        array.read(PART, cached=True)
        assert chunk_cache.info().chunks == kept


def test_a_chunk_that_is_not_stored_reads_as_the_fill_value_and_is_seen_when_it_comes(settled: None, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr")
    array.write(Region.whole(SHAPE), np.zeros(SHAPE, "uint16"))
    assert not array.read(PART, cached=True).any()
    array.write(Region.whole(SHAPE), pixels())
    np.testing.assert_array_equal(array.read(PART, cached=True), pixels()[PART.slices])


def test_many_chunks_at_once_are_kept_and_more_than_the_limit_are_not(settled: None, tmp_path: Path) -> None:
    array, box = make(tmp_path / "a.zarr"), Region((1, 1), (299, 399))
    chunk_cache.limit = 4 * CHUNK_BYTES - 1
    np.testing.assert_array_equal(array.read(box, cached=True, workers=3), pixels()[box.slices])
    assert chunk_cache.info().chunks == 0
    chunk_cache.limit = 4 * CHUNK_BYTES
    for _ in range(2):
        np.testing.assert_array_equal(array.read(box, cached=True, workers=3), pixels()[box.slices])
    assert (chunk_cache.info().chunks, chunk_cache.info().bytes, chunk_cache.info().hits) == (4, 4 * CHUNK_BYTES, 4)


def test_a_damaged_chunk_is_an_error_each_time(settled: None, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr")
    array.read(PART, cached=True)
    chunk = tmp_path / "a.zarr" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    for _ in range(2):
        with pytest.raises(StoredDataError, match="pixels cannot be read"):
            array.read(PART, cached=True)


def test_one_file_read_with_other_codecs_is_another_entry(settled: None, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", compressors=None)
    array.read(PART, cached=True)
    document = tmp_path / "a.zarr" / "0" / ".zarray"
    document.write_text(document.read_text().replace("<u2", ">u2"))
    swapped = StoredArray(zarr.open_array(tmp_path / "a.zarr" / "0", mode="r"))
    np.testing.assert_array_equal(swapped.read(PART, cached=True), pixels()[PART.slices].byteswap())


# ----------------------------------------------------------------------------------------------------------- the cache
def test_the_chunks_that_were_used_longest_ago_go_first() -> None:
    cache = ChunkCache(30)
    for name in "abc":
        cache.keep(name, 0, (1,), name, 10)
    for name in "acacaca":
        assert cache.find(name, 0, (1,)) == name
    cache.keep("d", 0, (1,), "d", 10)
    assert [cache.find(name, 0, (1,)) for name in "abcd"] == ["a", None, "c", "d"]
    cache.keep("e", 0, (1,), "too large", 31)
    assert cache.find("e", 0, (1,)) is None
    cache.limit = 10
    assert (cache.info().chunks, cache.info().bytes, cache.info().limit) == (1, 10, 10)


def go_through(cache: ChunkCache, names: str, rounds: int) -> int:
    """Ask for each, and keep what was not there, so many times; how often it was there in the last round."""
    for _ in range(rounds):
        before = cache.info().hits
        for name in names:
            if cache.find(name, 0, (1,)) is None:
                cache.keep(name, 0, (1,), name, 10)
    return cache.info().hits - before


def test_of_more_than_fits_as_much_as_fits_is_kept_when_it_comes_round_and_round() -> None:
    cache = ChunkCache(80)
    assert go_through(cache, "abcdefghij", 5) == 8  # to push out the one used longest ago would always push out the next one
    assert go_through(cache, "ABCDEFG", 6) == 7  # other work takes over
    assert go_through(cache, "aaabbbcccdddeeefffggghhhiiijjjkkklllmmmnnnooo", 3) == 2 * 15  # and what is used three times, then no more


def test_an_entry_of_another_stamp_is_let_go_of() -> None:
    cache = ChunkCache(30)
    cache.keep("a", 0, (1,), "old", 10)
    assert cache.find("a", 0, (2,)) is None
    assert cache.info().bytes == 0
    cache.keep("a", 0, (2,), "new", 10)
    cache.keep("a", 0, (3,), "newer", 20)
    assert (cache.find("a", 0, (3,)), cache.info().bytes) == ("newer", 20)
    cache.keep("a", 7, (3,), "beside", 10)
    cache.drop("a")
    assert (cache.info().chunks, cache.info().bytes, cache._of_file) == (0, 0, {})


def test_the_limit_is_a_number_of_bytes() -> None:
    for limit in (-1, 1.5, "1"):
        with pytest.raises(ArgumentError, match="chunk_cache.limit: the limit is a number of bytes"):
            chunk_cache.limit = limit  # type: ignore[assignment]
    chunk_cache.limit = 1 << 20
    assert repr(chunk_cache) == "ChunkCache(0 chunks, 0 of 1 MiB, 0 hits, 0 misses)"


def test_an_array_that_was_pickled_reads_through_the_cache_of_its_new_process(settled: None, tmp_path: Path) -> None:
    array = pickle.loads(pickle.dumps(make(tmp_path / "a.zarr")))
    array.read(PART, cached=True)
    assert chunk_cache.info().chunks == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_with_an_empty_cache_even_if_its_lock_was_held(settled: None, tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr")
    array.read(PART, cached=True)
    cache = ChunkCache(10)
    with cache._lock:
        cache._start_anew()
        cache.keep("a", 0, (1,), "a", 1)
    assert cache.info().chunks == 1


def test_threads_read_what_is_there_while_it_is_kept_and_let_go_of(settled: None, tmp_path: Path) -> None:
    array, expected, failed = make(tmp_path / "a.zarr"), pixels(), []
    chunk_cache.limit = 2 * CHUNK_BYTES

    def work(seed: int) -> None:
        draw = np.random.default_rng(seed)
        for _ in range(25):
            y, x = (int(draw.integers(0, n - 20)) for n in SHAPE)
            box = Region((y, x), (y + 20, x + 20))
            if not np.array_equal(array.read(box, cached=True), expected[box.slices]):
                failed.append(box)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    found = chunk_cache.info()
    assert found.bytes <= found.limit
    assert found.bytes == CHUNK_BYTES * found.chunks


# --------------------------------------------------------------------------------------------------------- never stale
KINDS = ["ours", "zarr", "in place", "swap", "delete", "read", "read"]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6)), min_size=4, max_size=12)


def do(step: str, seed: int, box: Region, array: StoredArray, folder: Path, layout: Any) -> None:
    """One write: ours, zarr-python's, into a file as it lies there, of the whole group, of nothing."""
    chunks = sorted(p for p in (folder / "a.zarr" / "0").rglob("*") if p.is_file() and p.name not in ("zarr.json", ".zarray", ".zattrs"))
    if step == "ours":
        array.write(box, pixels(seed, box.shape))
    elif step == "zarr":
        zarr.open_array(folder / "a.zarr" / "0", mode="r+")[box.slices] = pixels(seed, box.shape)
    elif step == "in place" and chunks:  # the same inode, the bytes of another chunk
        chunks[0].write_bytes(chunks[seed % len(chunks)].read_bytes())
    elif step == "swap":
        make(folder / "b.zarr", layout, seed)
        (folder / "a.zarr").rename(folder / "old.zarr")
        (folder / "b.zarr").rename(folder / "a.zarr")
        shutil.rmtree(folder / "old.zarr")
    elif step == "delete" and chunks:
        chunks[seed % len(chunks)].unlink()


@pytest.mark.parametrize("at_once", [True, False])
@settings(max_examples=7)
@given(steps=STEPS, layout=st.sampled_from(LAYOUTS))
def test_reads_always_equal_those_of_zarr_python(
    steps: list[tuple[str, int]], layout: Any, at_once: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through two handles. Steps follow at once, within a tick of the file system; or every change shows in the file's time, so that
    whatever can be kept is kept."""
    folder = tmp_path_factory.mktemp("cache")
    if not at_once:
        monkeypatch.setattr("omexp.storage.chunk_cache._SETTLED_NS", -(10**18))
    handles = [make(folder / "a.zarr", layout)]
    handles.append(StoredArray(zarr.open_array(folder / "a.zarr" / "0", mode="r+")))
    known: dict[Path, tuple[int, ...]] = {}
    for number, (step, seed) in enumerate(steps):
        draw = np.random.default_rng(seed)
        low = [int(draw.integers(0, n)) for n in SHAPE]
        box = Region(tuple(low), tuple(int(draw.integers(a + 1, n + 1)) for a, n in zip(low, SHAPE, strict=True)))
        do(step, seed, box, handles[number % 2], folder, layout)
        if not at_once and step != "read":
            for path in (p for p in (folder / "a.zarr" / "0").rglob("*") if p.is_file()):
                os.utime(path, ns=(0, 10**18 + number)) if step in ("in place", "swap") or path not in known else None
                known[path] = ()
        expected = zarr.open_array(folder / "a.zarr" / "0", mode="r")[box.slices]
        for handle in handles:
            np.testing.assert_array_equal(handle.read(box, cached=True), expected)


def test_a_write_of_the_same_size_in_the_same_tick_is_seen(tmp_path: Path) -> None:
    array = make(tmp_path / "a.zarr", compressors=None)
    chunk = tmp_path / "a.zarr" / "0" / "0" / "0"
    for seed in range(60):
        new = pixels(seed, CHUNKS)
        with open(chunk, "r+b") as file:  # in place: one inode, one size, many writes in a tick
            file.write(new.tobytes())
        np.testing.assert_array_equal(array.read(PART, cached=True), new[PART.slices])


def test_the_order_of_reads_makes_no_difference(settled: None, tmp_path: Path) -> None:
    array, expected = make(tmp_path / "a.zarr"), pixels()
    boxes = [Region((a, b), (a + 60, b + 70)) for a, b in itertools.product((0, 100, 200), (0, 200, 300))]
    for order in (boxes, boxes[::-1]):
        for box in order:
            np.testing.assert_array_equal(array.read(box, cached=True, workers=2), expected[box.slices])
