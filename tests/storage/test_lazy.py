"""Lazy arrays: dask out equals reading, dask in equals writing."""

from __future__ import annotations

from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from omexp.backend import Backend, numpy_backend
from omexp.geometry import Region, Shape
from omexp.kernels.axes import from_stored, to_stored
from omexp.selection import Selection, arrange, select
from omexp.storage.lazy import as_lazy_patch, computed, dask_array, dask_of_read, delayed_array
from tests.conftest import Case

AXES = ("c", "y", "x")
SHAPE, CHUNKS = (3, 11, 17), (1, 4, 5)
PIXELS = np.arange(561, dtype="uint16").reshape(SHAPE)


class Recorder:
    """A reader of an array in memory that remembers what was read."""

    name = reason = "recorder"

    def __init__(self, pixels: np.ndarray = PIXELS, backend: Backend = numpy_backend) -> None:
        self.pixels, self.backend, self.boxes = pixels, backend, list[Region]()
        self.shape, self.dtype = pixels.shape, pixels.dtype

    def read(self, region: Region) -> Any:
        self.boxes.append(region)
        return self.pixels[region.slices].copy()


def picks(size: int) -> st.SearchStrategy[Any]:
    one = st.integers(-size, size - 1)
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = st.none() | st.integers(-5, 5).filter(bool)
    return st.none() | one | st.builds(slice, bound, bound, step) | st.lists(one, max_size=5)


SLICINGS = st.fixed_dictionaries({}, optional={a: picks(n) for a, n in zip(AXES, SHAPE, strict=True)})
ORDERS = st.none() | st.permutations(["c", "y", "x", "z"])


def both(slicing: dict[str, Any], order: Any) -> tuple[Any, np.ndarray]:
    """(dask, NumPy) of one selection."""
    selection = select(AXES, SHAPE, slicing)
    arrangement = arrange(selection, order)
    eager = PIXELS[np.ix_(*[list(p) for p in selection.picks])] if 0 not in selection.shape else np.empty(selection.shape, "uint16")
    return dask_array(Recorder(), "here", CHUNKS, selection, arrangement), from_stored(eager, selection, arrangement)


# ------------------------------------------------------------------------------------------------------------- out
@given(SLICINGS, ORDERS)
def test_a_dask_array_computes_to_what_reading_gives(slicing: dict[str, Any], order: Any) -> None:
    lazy, eager = both(slicing, order)
    assert (lazy.shape, lazy.dtype) == (eager.shape, eager.dtype)
    found = lazy.compute(scheduler="synchronous")
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, eager)


LATER = st.tuples(*[st.integers(0, 1) | st.builds(slice, st.none(), st.none(), st.sampled_from([None, 2, 3, -1])) | st.just([1, 0])] * 3)


@given(SLICINGS, ORDERS, LATER)
def test_slicing_the_dask_array_later_is_slicing_the_pixels(slicing: dict[str, Any], order: Any, later: tuple[Any, ...]) -> None:
    lazy, eager = both(slicing, order)
    for axis, index in reversed(list(enumerate(later[: eager.ndim]))):
        if eager.shape[axis] < 2:
            continue
        place = (slice(None),) * axis + (index,)
        lazy, eager = lazy[place], eager[place]
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), eager)
    np.testing.assert_array_equal((lazy + 1).sum().compute(scheduler="synchronous"), (eager + 1).sum(dtype="uint64"))


def test_blocks_are_whole_chunks_and_only_those_that_are_needed_are_read() -> None:
    reader = Recorder()
    selection = select(AXES, SHAPE, {"c": 1, "y": slice(3, 9)})
    lazy = dask_array(reader, "here", CHUNKS, selection, arrange(selection, None))
    assert lazy.chunks == ((1, 4, 1), (5, 5, 5, 2))
    assert reader.boxes == []
    lazy.compute(scheduler="synchronous")
    chunks = sorted(tuple(a // c for a, c in zip(b.start, CHUNKS, strict=True)) for b in reader.boxes)
    assert chunks == [(1, y, x) for y in range(3) for x in range(4)]


def test_two_reads_of_one_image_have_different_names() -> None:
    selection = select(AXES, SHAPE, {})
    names = {dask_array(Recorder(), "here", CHUNKS, selection, arrange(selection, None)).name for _ in range(2)}
    assert len(names) == 2


def test_a_delayed_read_happens_when_it_is_computed() -> None:
    reader = Recorder()
    delayed = delayed_array(lambda: reader.read(Region.whole(SHAPE)), "here")
    lazy = dask_of_read(lambda: reader.read(Region.whole(SHAPE)), "here", SHAPE, reader.dtype, numpy_backend)
    assert reader.boxes == []
    np.testing.assert_array_equal(delayed.compute(), PIXELS)
    np.testing.assert_array_equal(lazy[1].compute(), PIXELS[1])
    assert (lazy.shape, lazy.dtype, lazy.npartitions) == (SHAPE, PIXELS.dtype, 1)


# -------------------------------------------------------------------------------------------------------------- in
@given(SLICINGS, ORDERS, st.sampled_from([(1, 4, 5), (2, 8, 8), (3, 11, 17)]))
def test_the_blocks_of_a_dask_patch_write_what_the_whole_patch_writes(slicing: dict[str, Any], order: Any, unit: Shape) -> None:
    selection = select(AXES, SHAPE, slicing)
    assume(selection.is_box)
    arrangement = arrange(selection, order)
    patch = np.random.default_rng(0).integers(0, 999, _shape(slicing, order)).astype("uint16")
    expected, found, times = np.zeros(SHAPE, "uint16"), np.zeros(SHAPE, "uint16"), np.zeros(SHAPE, int)
    expected[np.ix_(*[list(p) for p in selection.picks])] = to_stored(patch, selection, arrangement)
    lazy = as_lazy_patch(da.from_array(patch, chunks=3))
    assert lazy is not None
    assert (lazy.shape, lazy.dtype) == (patch.shape, patch.dtype)

    def write(part: Selection, pixels: np.ndarray) -> None:
        place = part.bounds.slices
        found[place] = to_stored(pixels, part, arrange(part, arrangement.names))
        times[place] += 1

    with dask.config.set(scheduler="synchronous"):
        lazy.store(selection, arrangement, unit, write)
    np.testing.assert_array_equal(found, expected)
    assert times.sum() == times.max(initial=0) * patch.size  # each pixel once
    assert times.max(initial=0) <= 1


def test_a_patch_is_computed_once_whatever_the_number_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.lazy.BLOCK_BYTES", 64)
    computed_times = []
    source = da.from_array(PIXELS, chunks=SHAPE).map_blocks(lambda x: computed_times.append(1) or x, dtype="uint16", meta=PIXELS[:0])
    selection, found = select(AXES, SHAPE, {}), np.zeros(SHAPE, "uint16")
    lazy = as_lazy_patch(source - source.min())
    assert lazy is not None

    def write(part: Selection, pixels: np.ndarray) -> None:
        found[part.bounds.slices] = pixels

    computed_times.clear()
    lazy.store(selection, arrange(selection, None), CHUNKS, write)
    np.testing.assert_array_equal(found, PIXELS - PIXELS.min())
    assert len(computed_times) == 1


def test_a_patch_knows_which_arrays_it_reads() -> None:
    selection = select(AXES, SHAPE, {"c": 0})
    here = dask_array(Recorder(), "here", CHUNKS, selection, arrange(selection, None))
    patch = as_lazy_patch(here * 2 + 1)
    assert patch is not None
    assert patch.reads("here")
    assert not patch.reads("there")


def _shape(slicing: dict[str, Any], order: Any) -> Shape:
    return both(slicing, order)[1].shape


def test_the_blocks_of_a_dask_patch_are_whole_write_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.lazy.BLOCK_BYTES", 64)
    selection = select(AXES, SHAPE, {"y": slice(2, 11)})
    lazy = as_lazy_patch(da.zeros((3, 9, 17), dtype="uint16"))
    assert lazy is not None
    boxes: list[Region] = []
    lazy.store(selection, arrange(selection, None), CHUNKS, lambda part, pixels: boxes.append(part.bounds))
    assert len(boxes) > 20
    for box in boxes:
        for a, b, unit, size, low in zip(box.start, box.stop, CHUNKS, SHAPE, (0, 2, 0), strict=True):
            assert a % unit == 0 or a == low
            assert b % unit == 0 or b == size


def test_only_dask_arrays_are_lazy_patches() -> None:
    assert as_lazy_patch(PIXELS) is None
    assert as_lazy_patch(dask.delayed(PIXELS)) is None


def test_dask_is_computed_and_brought_to_the_backend(backend: Case) -> None:
    for patch in (da.from_array(PIXELS, chunks=5), dask.delayed(PIXELS)):
        found = computed(patch, backend.backend)
        assert backend.holds(found)
        np.testing.assert_array_equal(backend.host(found), PIXELS)
    own = backend.array(PIXELS)
    assert computed(own, backend.backend) is own
