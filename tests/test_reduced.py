"""Readers of levels that are not there: any box of a level gives the pixels of the whole level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import omexp
from omexp import reduced
from omexp.geometry import Region, level_shape
from omexp.kernels.methods import Methods
from omexp.reduced import PermutedReader, ReducedReader
from omexp.storage.sources import source_of
from tests.conftest import Case

KERNELS = sorted({method.kernel for method in Methods})


def pixels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(math.prod(shape)).integers(0, 200, shape).astype(dtype)


def reader_over(array: object, factors: tuple[int, ...], method: str) -> ReducedReader:
    inner = source_of(array)
    return ReducedReader(inner, level_shape(inner.shape, factors), factors, method)


@pytest.mark.parametrize("method", KERNELS)
def test_a_level_of_a_level_is_downsample_of_downsample(method: str, backend: Case) -> None:
    array = backend.array(pixels((23, 38)))
    once = reader_over(array, (2, 2), method)
    twice = ReducedReader(once, (6, 10), (2, 2), method)
    expected = omexp.downsample(omexp.downsample(array, 2, method=method), 2, method=method)
    found = twice.read(Region.whole(twice.shape))
    assert backend.holds(found)
    assert np.array_equal(backend.host(found), backend.host(expected))


@given(data=st.data())
@pytest.mark.parametrize("method", ["mean", "gaussian", "mode", "label_image"])
def test_any_box_read_in_parts_of_any_size_is_that_box_of_the_whole(data: st.DataObject, method: str) -> None:
    shape = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    factors = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    reader = reader_over(pixels(shape), factors, method)
    whole = omexp.downsample(pixels(shape), factors, method=method)
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in reader.shape]
    region = Region(tuple(a for a, _ in bounds), tuple(b for _, b in bounds))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reduced, "PART_BYTES", data.draw(st.sampled_from([1, 100, 1 << 26])))
        found = reader.read(region)
    assert found.dtype == whole.dtype
    assert np.array_equal(found, whole[region.slices])


def test_a_large_read_holds_a_small_part_of_the_finer_level_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduced, "PART_BYTES", 1 << 12)
    reader = reader_over(pixels((256, 256)), (2, 2), "gaussian")
    sizes: list[int] = []
    inner_read = reader.inner.read
    monkeypatch.setattr(reader.inner, "read", lambda region: sizes.append(region.size * 2) or inner_read(region))
    reader.read(Region.whole(reader.shape))
    assert len(sizes) >= 32
    assert max(sizes) < 2 << 12  # the halo comes on top


def test_a_stored_level_may_be_smaller_than_the_windows_need() -> None:
    reader = ReducedReader(source_of(pixels((5, 7))), (2, 3), (2, 2), "mean")
    assert reader.read(Region.whole((2, 3))).tolist() == omexp.downsample(pixels((5, 7)), 2)[:2, :3].tolist()


def test_an_empty_box_is_empty(backend: Case) -> None:
    reader = reader_over(backend.array(pixels((8, 8))), (2, 2), "gaussian")
    found = reader.read(Region((1, 2), (1, 4)))
    assert backend.holds(found)
    assert tuple(found.shape) == (0, 2)


def test_a_reader_says_what_it_does() -> None:
    reader = reader_over(pixels((8, 8)), (1, 2), "ITKWASM_BIN_SHRINK")
    assert (reader.name, reader.dtype, reader.shape) == ("reduced", np.dtype("uint16"), (8, 4))
    assert reader.reason.startswith("mean over windows of (1, 2), from memory: ")


@given(data=st.data())
def test_axes_in_another_order_are_those_of_the_transposed_array(data: st.DataObject) -> None:
    array = pixels((4, 5, 6))
    order = data.draw(st.permutations(range(3)))
    reader = PermutedReader(source_of(array), order)
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in reader.shape]
    region = Region(tuple(a for a, _ in bounds), tuple(b for _, b in bounds))
    assert reader.shape == array.transpose(order).shape
    assert np.array_equal(reader.read(region), array.transpose(order)[region.slices])
