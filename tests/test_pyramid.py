"""Pyramids: plans as data, one pass over the pixels, the same pixels for every cut."""

from __future__ import annotations

import functools
import itertools
import math
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import array_api_strict
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omexp.backend import Backend, counting_transfers, numpy_backend
from omexp.errors import ArgumentError, DeviceUnavailableError
from omexp.geometry import Region, Shape, blocks, factors_between
from omexp.kernels.methods import resolve_method
from omexp.pyramid import TILE_BYTES, Built, Pass, build, choose_backend, plan_levels, plan_passes, walk
from omexp.storage.groups import create_group
from omexp.storage.layout import create_array, plan_layout
from omexp.storage.reading import choose_reader
from tests.conftest import Case
from tests.reference_pyramid import CountingSource, CountingStore, MemoryLevel, pyramid_reference


# ---------------------------------------------------------------------------------------------------------- levels
@given(
    st.integers(1, 4).flatmap(lambda n: st.tuples(*[st.tuples(*[st.integers(0, 99)] * n), st.tuples(*[st.integers(1, 5)] * n)])),
    st.integers(1, 8),
)
def test_levels_shrink_until_they_are_enough_or_cannot_shrink(case: tuple[Shape, Shape], count: int) -> None:
    shape, factors = case
    shapes = plan_levels(shape, factors, count)
    assert shapes[0] == shape
    for fine, coarse in itertools.pairwise(shapes):
        assert coarse == tuple(math.ceil(n / f) for n, f in zip(fine, factors, strict=True))
        assert coarse != fine
    stuck = all(math.ceil(n / f) == n for n, f in zip(shapes[-1], factors, strict=True))
    assert len(shapes) == count or stuck


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 4), (2, 2), 0), "levels must be an int of at least 1; got 0"),
        (((4, 4), (2, 2), 1.5), "levels must be an int of at least 1; got 1.5"),
        (((4, 4), (2,), 2), "scaling factors must be ints of at least 1, one per axis; got .2,.; allowed: 2 ints"),
        (((4, 4), (2, 0), 2), "scaling factors must be ints of at least 1"),
        (((4, 4), (2, 2.0), 2), "scaling factors must be ints of at least 1"),
    ],
)
def test_levels_that_cannot_be_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan_levels(*arguments)


def test_a_method_that_is_not_there_is_refused() -> None:
    assert resolve_method("mode") == "mode"
    with pytest.raises(ArgumentError, match="there is no such downsampling method; got 'average'; allowed: mean, gaussian, median, mode"):
        resolve_method("average")


@given(st.integers(1, 500), st.integers(1, 9), st.booleans())
def test_the_window_of_two_levels_is_known_again_from_their_sizes_and_scales(n: int, factor: int, down: bool) -> None:
    m = max(1, n // factor) if down else math.ceil(n / factor)
    (found,) = factors_between((n,), (m,))
    assert m in (n // found, math.ceil(n / found))
    if m in (n // factor, math.ceil(n / factor)) and factor <= n:
        assert factors_between((n,), (m,), ratios=[factor * 1.004]) == (factor,)  # 13 -> 4 fits 3 and 4
    assert factors_between((n,), (m,), ratios=[math.inf])[0] >= 1


# ----------------------------------------------------------------------------------------------------------- plans
@st.composite
def pyramids(draw: st.DrawFn, pixels: int = 600) -> tuple[list[Shape], list[Shape], list[Shape]]:
    """(shapes, factors, write units): sizes rounded up or down, as other writers leave them; units that need not fit each other."""
    ndim = draw(st.integers(1, 4))
    most = max(2, int(pixels ** (1 / ndim)))
    size = st.one_of(st.integers(1, most), st.just(1), *([st.just(0)] if draw(st.integers(0, 9)) == 0 else []))
    shapes = [tuple(draw(size) for _ in range(ndim))]
    for _ in range(draw(st.integers(0, 4))):
        wanted = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
        down = draw(st.booleans())
        shapes.append(tuple(max(n // f if down else -(-n // f), min(n, 1)) for n, f in zip(shapes[-1], wanted, strict=True)))
    factors = [factors_between(a, b) for a, b in itertools.pairwise(shapes)]
    chunks = [tuple(draw(st.integers(1, max(1, n))) for n in shape) for shape in shapes]
    shards = [tuple(c * draw(st.integers(1, 3)) for c in chunk) for chunk in chunks]
    return shapes, factors, [draw(st.sampled_from(pair)) for pair in zip(chunks, shards, strict=True)]


LIMITS = st.fixed_dictionaries({"tile_bytes": st.integers(1, 400), "memory_bytes": st.sampled_from([1, 100, 1000, 10**6])})


@given(pyramids(), st.booleans(), st.integers(1, 4), LIMITS, st.sampled_from(["mean", "gaussian"]))
def test_passes_follow_each_other_and_their_tiles_nest(
    case: Any, store_first: bool, workers: int, limits: dict[str, int], method: str
) -> None:
    shapes, factors, units = case
    passes = plan_passes(shapes, factors, units, itemsize=2, store_first=store_first, workers=workers, method=method, **limits)
    last = len(shapes) - 1
    if last == 0 and not store_first:
        assert passes == []
        return
    assert [p.first for p in passes] == [0, *[p.last for p in passes[:-1]]]
    assert passes[-1].last == last
    for step in passes:
        assert step.first <= step.split <= step.last
        assert len(step.tiles) == step.last - step.first + 1
        assert step.bytes <= limits["memory_bytes"] or step.last <= step.first + 1
        for level, tile in enumerate(step.tiles, step.first):
            assert all(t % u == 0 for t, u in zip(tile, units[level], strict=True))  # no write unit is in two tiles
            if level < step.last:
                coarse = step.tiles[level + 1 - step.first]
                for t, f, c in zip(tile, factors[level], coarse, strict=True):
                    assert t % f == 0  # no window is in two tiles
                    assert (c * f) % t == 0  # a tile above is made of whole tiles
        if step.looks_around:  # each tile of the first level makes whole windows of every level
            spans = zip(*factors[step.first : step.last], strict=True)
            assert all(t % math.prod(span) == 0 for t, span in zip(step.tiles[0], spans, strict=True))


@given(pyramids(), st.booleans(), LIMITS)
def test_the_tiles_of_a_level_cover_each_write_unit_once(case: Any, store_first: bool, limits: dict[str, int]) -> None:
    shapes, factors, units = case
    for step in plan_passes(shapes, factors, units, itemsize=1, store_first=store_first, **limits):
        for level, tile in enumerate(step.tiles, step.first):
            owners: dict[Shape, int] = {}
            for block in blocks(shapes[level], tile):
                for unit in blocks(block, units[level]):
                    owners[unit.start] = owners.get(unit.start, 0) + 1
            assert owners == {unit.start: 1 for unit in blocks(shapes[level], units[level])}


def test_a_usual_image_is_one_pass_with_tiles_near_the_wanted_size() -> None:
    shapes = plan_levels((2, 40, 8192, 8192), (1, 1, 2, 2), 5)
    (step,) = plan_passes(shapes, [(1, 1, 2, 2)] * 4, [(1, 1, 512, 1024)] * 5, itemsize=2, store_first=True, workers=8)
    assert (step.first, step.last) == (0, 4)
    assert TILE_BYTES / 2 <= 2 * math.prod(step.tiles[0]) <= TILE_BYTES
    assert step.bytes < 1 << 30


# --------------------------------------------------------------------------------------------------------- building
@contextmanager
def limits(**given: int) -> Iterator[list[list[Pass]]]:
    """Builds inside the block plan with these limits; gives the plans that were made."""
    plans: list[list[Pass]] = []

    def planned(*args: Any, **kwargs: Any) -> list[Pass]:
        plans.append(plan_passes(*args, **kwargs | given))
        return plans[-1]

    with mock.patch.object(walk, "plan_passes", planned):
        yield plans


def reopened(level: MemoryLevel, backend: Backend, made: list[CountingSource] | None = None) -> CountingSource:
    assert (level.writes == 1).all(), "a level is read back before it is complete"
    source = CountingSource(level.pixels, backend)
    if made is not None:
        made.append(source)
    return source


def pixels_of(shape: Shape, dtype: str, method: str) -> np.ndarray:
    draw = np.random.default_rng(math.prod(shape))
    return draw.integers(0, 5 if method == "mode" else 200, shape).astype(dtype)


@given(
    pyramids(),
    st.booleans(),
    st.integers(1, 3),
    LIMITS,
    st.sampled_from(["mean", "mode", "nearest", "max", "min", "median", "gaussian", "label_image", "central"]),
    st.sampled_from(["uint8", "int16", "float32", "bool"]),
)
@example(
    ([(501,), (250,), (125,)], [(2,), (2,)], [(64,), (30,), (7,)]), True, 2, {"tile_bytes": 100, "memory_bytes": 10**6}, "mean", "uint8"
)
@example(
    ([(7, 1), (7, 1), (3, 1)], [(1, 1), (2, 1)], [(2, 1), (3, 1), (3, 1)]), True, 1, {"tile_bytes": 1, "memory_bytes": 1}, "mode", "int16"
)
@example(([(0, 5), (0, 3)], [(1, 2)], [(1, 2), (1, 2)]), True, 2, {"tile_bytes": 9, "memory_bytes": 9}, "mean", "uint8")
@example(([(9, 9)], [], [(4, 4)]), True, 2, {"tile_bytes": 16, "memory_bytes": 1}, "nearest", "float32")
def test_a_built_pyramid_is_the_slow_one_whatever_the_cut(
    case: Any, store_first: bool, workers: int, given_limits: dict[str, int], method: str, dtype: str
) -> None:
    shapes, factors, units = case
    finest = pixels_of(shapes[0], dtype, method)
    levels = [MemoryLevel(s, dtype, u) for s, u in zip(shapes, units, strict=True)]
    source, again, progress = CountingSource(finest), [], []
    with limits(**given_limits) as plans:
        built = build(
            levels, source, method, factors=factors, store_first=store_first, workers=workers, progress=lambda *p: progress.append(p),
            reopen=functools.partial(reopened, made=again), reason="because",
        )  # fmt: skip
    expected = pyramid_reference(finest, shapes, factors, method)
    for number, (level, pixels) in enumerate(zip(levels, expected, strict=True)):
        written = store_first or number > 0
        assert (level.writes == int(written)).all()  # each write unit once, whole
        if written:
            np.testing.assert_array_equal(level.pixels, pixels)
    used = len(shapes) > 1 or store_first
    for each in (source, *again):  # each pixel once per pass; more than once only where a method looks beyond its windows
        assert (each.reads >= int(used)).all() if method == "gaussian" else (each.reads == int(used)).all()
    assert len(again) == max(0, len(plans[0]) - 1)
    assert progress == sorted(progress)
    assert not used or finest.nbytes == 0 or progress[-1] == (finest.nbytes, finest.nbytes)
    read = sum(s.pixels.nbytes for s in (source, *again)) * used
    assert built == Built(read, sum(p.nbytes for p in expected[0 if store_first else 1 :]), built.seconds, "cpu", "because")


def test_several_passes_read_each_level_back_once_it_is_complete() -> None:
    shapes = plan_levels((64, 64), (2, 2), 4)
    levels = [MemoryLevel(s, "uint8", u) for s, u in zip(shapes, [(8, 8), (5, 5), (7, 7), (3, 3)], strict=True)]
    finest, again = pixels_of((64, 64), "uint8", "mean"), []
    with limits(memory_bytes=1, tile_bytes=256) as plans:
        reopen = functools.partial(reopened, made=again)
        build(levels, CountingSource(finest), "mean", factors=[(2, 2)] * 3, store_first=True, workers=2, reopen=reopen)
    assert [(p.first, p.last) for p in plans[0]] == [(0, 1), (1, 2), (2, 3)]
    assert [s.shape for s in again] == shapes[1:3]
    np.testing.assert_array_equal(levels[3].pixels, pyramid_reference(finest, shapes, [(2, 2)] * 3, "mean")[3])


# ---------------------------------------------------------------------------------------------------------- errors
class Broken(Exception):
    """Raised by a source or a level under test."""


def small_build(source: Any, levels: list[MemoryLevel], workers: int) -> Built:
    factors = [factors_between(a.shape, b.shape) for a, b in itertools.pairwise(levels)]
    with limits(tile_bytes=64):
        return build(levels, source, "mean", factors=factors, store_first=True, workers=workers, reopen=reopened)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failing_source_raises_its_own_error_and_writing_ends(workers: int) -> None:
    source = CountingSource(np.ones((64, 64), "uint8"))
    levels = [MemoryLevel(s, "uint8", (8, 8)) for s in plan_levels((64, 64), (2, 2), 4)]

    def fail(region: Region) -> None:
        if region.start == (16, 8):
            raise Broken(str(region.start))

    source.before_read = fail
    with pytest.raises(Broken, match="16, 8"):
        small_build(source, levels, workers)
    assert not (levels[-1].writes > 0).all()
    before = sum(level.writes.sum() for level in levels)
    time.sleep(0.02)
    assert sum(level.writes.sum() for level in levels) == before


@pytest.mark.parametrize("broken", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 3])
def test_when_a_write_fails_no_worker_writes_on(broken: int, workers: int) -> None:
    levels = [MemoryLevel(s, "uint8", (8, 8)) for s in plan_levels((128, 128), (2, 2), 4)]
    over = threading.Event()
    late: list[Region] = []

    def fail(region: Region) -> None:
        raise Broken("disk full")

    def slow(region: Region) -> None:
        time.sleep(0.001)
        if over.is_set():
            late.append(region)

    levels[0].before_write = slow
    levels[broken].before_write = fail
    with pytest.raises(Broken, match="disk full") as caught:  # a caught error keeps the frames alive, and with them what was not closed
        small_build(CountingSource(np.ones((128, 128), "uint8")), levels, workers)
    over.set()
    time.sleep(0.05)
    assert late == []
    assert caught.tb is not None


# ---------------------------------------------------------------------------------------------------------- devices
@pytest.mark.parametrize("method", ["mean", "mode", "nearest", "max"])
def test_pixels_are_reduced_where_they_live_with_one_upload_of_the_source_and_one_download_per_tile(
    backend: Case, method: str, tmp_path: Path
) -> None:
    group = create_group(tmp_path / "img.zarr", 3)
    shapes, factors = [(3, 33, 50), (3, 16, 25), (3, 8, 13)], [(1, 2, 2), (1, 2, 2)]
    levels = [
        create_array(group, str(i), plan_layout(s, "uint16", "zyx", zarr_format=3, chunks=(1, 8, 8)), axes="zyx")
        for i, s in enumerate(shapes)
    ]
    finest = pixels_of(shapes[0], "uint16", method)
    levels[0].write(Region.whole(shapes[0]), finest)
    source = choose_reader(levels[0], backend.backend)
    with counting_transfers() as transfers, limits(tile_bytes=1024):
        built = build(levels, source, method, factors=factors, store_first=False, reopen=choose_reader, workers=2)
    expected = pyramid_reference(finest, shapes, factors, method)
    for level, pixels in zip(levels, expected, strict=True):
        np.testing.assert_array_equal(level.read(Region.whole(level.shape)), pixels)
    assert built.device == backend.backend.name
    assert (built.bytes_read, built.bytes_written) == (finest.nbytes, sum(p.nbytes for p in expected[1:]))
    crossed = (transfers.to_device_bytes, transfers.to_host_bytes)
    assert crossed == ((0, 0) if backend.backend.is_host else (built.bytes_read, built.bytes_written))


def test_the_device_is_chosen_by_what_limits_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_backend(None, "mode", 1 << 40) == (numpy_backend, "the default device")
    assert choose_backend("cpu", "mode", 1 << 40) == (numpy_backend, "device='cpu' was asked for")
    strict = Backend(array_api_strict, array_api_strict.Device("device1"))
    assert choose_backend(strict, "mean", 1)[0] is strict
    kept = walk.resolve_backend
    monkeypatch.setattr(walk, "resolve_backend", lambda device: numpy_backend if device == "auto" else kept(device))
    assert choose_backend("auto", "mode", 1 << 40) == (numpy_backend, "there is no usable GPU")
    monkeypatch.setattr(walk, "resolve_backend", lambda device: strict if device == "auto" else kept(device))
    assert choose_backend("auto", "mode", 100 << 20) == (strict, "mode over 100 MiB is compute-bound on the host")
    assert choose_backend("auto", "mode", 1 << 20)[0] is numpy_backend
    assert choose_backend("auto", "mean", 1 << 40) == (
        numpy_backend, "mean on the host is faster than the codec, so a GPU would only add transfers"
    )  # fmt: skip
    with pytest.raises((ArgumentError, DeviceUnavailableError)):
        choose_backend("tpu", "mean", 1)


# ------------------------------------------------------------------------------------------------------------ costs
COSTS = {
    "powers of two": ([(64, 64), (32, 32), (16, 16)], (8, 16), None),
    "chunks of 20": ([(90, 70), (45, 35), (23, 18)], (20, 20), None),
    "odd chunks": ([(101, 77), (50, 38), (25, 19)], (27, 19), None),
    "shards": ([(90, 70), (45, 35), (23, 18)], (5, 7), (20, 14)),
    "Zarr format 2": ([(90, 70), (45, 35), (23, 18)], (16, 16), 2),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("case", COSTS)
@pytest.mark.parametrize("store_first", [True, False])
def test_each_stored_chunk_is_read_once_and_each_write_unit_written_once(
    case: str, store_first: bool, workers: int, tmp_path: Path
) -> None:
    shapes, chunks, shards = COSTS[case]
    zarr_format, shards = (2, None) if shards == 2 else (3, shards)
    store = CountingStore(tmp_path / "img.zarr").count()
    group = create_group(store, zarr_format)
    levels = []
    for number, shape in enumerate(shapes):
        layout = plan_layout(shape, "uint16", "yx", zarr_format=zarr_format, chunks=chunks, shards=shards)
        levels.append(create_array(group, str(number), layout, axes="yx"))
    finest = np.random.default_rng(0).integers(1, 9999, shapes[0]).astype("uint16")
    if not store_first:
        levels[0].write(Region.whole(shapes[0]), finest)
    source = CountingSource(finest) if store_first else choose_reader(levels[0], numpy_backend)
    store.count()
    factors = [factors_between(a, b) for a, b in itertools.pairwise(shapes)]
    with limits(tile_bytes=1200):
        build(levels, source, "mean", factors=factors, store_first=store_first, reopen=choose_reader, workers=workers)
    units = [math.prod(-(-n // u) for n, u in zip(level.shape, level.write_unit, strict=True)) for level in levels]
    sets, gets = dict(store.sets), dict(store.gets)
    assert set(sets.values()) == {1}
    assert {level: sum(key.startswith(f"{level}/") for key in sets) for level in range(len(levels))} == {
        number: count if store_first or number else 0 for number, count in enumerate(units)
    }
    if store_first:
        assert gets == {}  # nothing is read back
    else:
        assert len({key for key, _ in gets}) == units[0]
        assert all(key.startswith("0/") for key, _ in gets)
        assert set(gets.values()) == {1}
    for level, pixels in zip(levels, pyramid_reference(finest, shapes, factors, "mean"), strict=True):
        np.testing.assert_array_equal(level.read(Region.whole(level.shape)), pixels)


class Discarding(MemoryLevel):
    """A level that keeps nothing, so that only pixels in flight are in memory."""

    def __init__(self, shape: Shape, dtype: Any, write_unit: Shape) -> None:
        self.shape, self.dtype, self.write_unit = shape, np.dtype(dtype), write_unit

    def write(self, region: Region, pixels: np.ndarray, *, fast: bool = False) -> None:
        assert pixels.shape == region.shape


class Endless:
    """A source of any size without memory of its own."""

    backend = numpy_backend

    def __init__(self, shape: Shape) -> None:
        self.shape, self.dtype = shape, np.dtype("uint16")

    def read(self, region: Region) -> np.ndarray:
        return np.full(region.shape, 7, "uint16")


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(
    ("units", "tile_bytes"),
    [
        ([(256, 256)] * 5, 1 << 20),
        ([(512, 512)] * 5, 1 << 17),
        ([(256, 256), (1024, 1024), (512, 512), (256, 256), (128, 128)], 1 << 18),
        ([(250, 300)] * 5, 1 << 18),
    ],
)
def test_pixels_in_flight_stay_below_the_projection(units: list[Shape], tile_bytes: int, workers: int) -> None:
    shapes = plan_levels((4096, 3072), (2, 2), 5)
    levels = [Discarding(s, "uint16", u) for s, u in zip(shapes, units, strict=True)]
    small = [Discarding(s, "uint16", (8, 8)) for s in plan_levels((64, 64), (2, 2), 2)]
    for method, temporaries in (("nearest", 0), ("mean", workers << 20)):  # the kernel works in tiles of 1 MiB
        build(small, Endless((64, 64)), method, factors=[(2, 2)], store_first=True, reopen=reopened, workers=workers)  # loads what is lazy
        with limits(tile_bytes=tile_bytes) as plans:
            tracemalloc.start()
            try:
                build(levels, Endless(shapes[0]), method, factors=[(2, 2)] * 4, store_first=True, reopen=reopened, workers=workers)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        projected = max(p.bytes for p in plans[0])
        assert peak <= projected + temporaries + (1 << 17)  # Python's own objects
        assert projected < math.prod(shapes[0]) * 2
