"""Any region of the next level from the pixels it needs: every cut gives the same pixels, for every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.backend import to_host
from omexp.errors import ArgumentError
from omexp.geometry import Region, blocks, level_shape
from omexp.kernels.methods import Methods
from omexp.kernels.regions import halo, reduce_box, source_box
from omexp.kernels.windows import METHODS, downsample

KERNELS = sorted({method.kernel for method in Methods})


def pixels(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    random, wanted = np.random.default_rng(seed), np.dtype(dtype)
    if wanted.kind == "f":
        return random.normal(0, 100, shape).astype(wanted)
    if wanted.kind == "b":
        return random.random(shape) < 0.5
    few = random.integers(0, 4, shape)
    return np.where(random.random(shape) < 0.5, few, random.integers(0, np.iinfo(wanted).max, shape)).astype(wanted)


def cut(array: Any, target: Region, factors: tuple[int, ...], method: str) -> Any:
    """One region, from its own pixels and no others."""
    shape = tuple(array.shape)
    box = source_box(target, factors, shape, method)
    return reduce_box(array[(*box.slices, ...)], box, target, factors, shape, method)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """An array, factors, a level shape between floor and ceil, a block."""
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(1, {1: 60, 2: 25, 3: 12}[ndim]), min_size=ndim, max_size=ndim)))
    factors = tuple(draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim)))
    level = tuple(draw(st.integers(max(n // f, 1), -(-n // f))) for n, f in zip(shape, factors, strict=True))
    block = tuple(draw(st.integers(1, n)) for n in level)
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "int32", "bool"]))
    return pixels(draw(st.integers(0, 2**32)), shape, dtype), factors, level, block


@pytest.mark.parametrize("method", KERNELS)
@settings(max_examples=60)
@given(job=jobs())
def test_any_cut_of_any_level_gives_the_pixels_of_the_whole(method: str, job: Any) -> None:
    array, factors, level, block = job
    whole = downsample(array, factors, method=method)
    joined = np.empty(level, array.dtype)
    for target in blocks(level, block):
        joined[target.slices] = cut(array, target, factors, method)
    assert joined.tobytes() == np.ascontiguousarray(whole[Region.whole(level).slices]).tobytes()


@pytest.mark.parametrize("method", KERNELS)
@settings(max_examples=10)
@given(data=st.data())
def test_any_region_is_the_same_on_every_backend(backend: Any, method: str, data: st.DataObject) -> None:
    array, factors, level, block = data.draw(jobs().filter(lambda job: job[0].dtype != np.int32 or backend.supports("float64")))
    target = list(blocks(level, block))[-1]
    found = cut(backend.array(array), target, factors, method)
    assert backend.holds(found)
    np.testing.assert_array_equal(backend.host(found), cut(array, target, factors, method))


@settings(max_examples=60)
@given(job=jobs(), margin=st.integers(0, 3))
def test_a_box_around_the_one_needed_serves_as_well(job: Any, margin: int) -> None:
    array, factors, level, block = job
    target = next(blocks(level, block))
    for method in KERNELS:
        least = source_box(target, factors, array.shape, method)
        more = Region(tuple(a - margin for a in least.start), tuple(b + margin for b in least.stop)).intersect(Region.whole(array.shape))
        found = reduce_box(array[more.slices], more, target, factors, array.shape, method)
        np.testing.assert_array_equal(found, cut(array, target, factors, method))
        assert not np.shares_memory(found, array)


def test_the_source_of_a_gaussian_is_its_windows_and_a_halo_clipped_to_the_array() -> None:
    shape, factors = (40, 41, 42, 1), (1, 2, 4, 8)
    target = Region((3, 4, 0, 0), (5, 6, 2, 1))
    assert halo("gaussian", factors)[:3] == (0, 2, 3)
    assert source_box(target, factors, shape, "gaussian") == Region((3, 6, 0, 0), (5, 14, 11, 1))
    assert source_box(target, factors, shape, "mean") == Region((3, 8, 0, 0), (5, 12, 8, 1))
    assert source_box(Region((0, 20, 10, 0), (1, 21, 11, 1)), factors, shape, "gaussian") == Region((0, 38, 37, 0), (1, 41, 42, 1))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"gaussian"}))
def test_windows_have_no_halo(method: str) -> None:
    assert halo(method, (1, 2, 5)) == (0, 0, 0)
    target = Region((1, 0, 2), (3, 2, 3))
    assert source_box(target, (1, 2, 5), (4, 3, 12), method) == Region((1, 0, 10), (3, 3, 12))


@pytest.mark.parametrize("method", KERNELS)
def test_an_empty_region_needs_no_pixels(method: str) -> None:
    array, target = np.zeros((8, 8), "uint16"), Region((2, 1), (2, 3))
    assert source_box(target, (2, 2), array.shape, method).size == 0
    assert cut(array, target, (2, 2), method).shape == (0, 2)


@pytest.mark.parametrize("method", KERNELS)
def test_all_factors_1_give_a_copy_of_the_region(method: str) -> None:
    array, target = np.arange(20, dtype="float32").reshape(4, 5), Region((1, 2), (3, 5))
    found = cut(array, target, (1, 1), method)
    np.testing.assert_array_equal(found, array[target.slices])
    assert not np.shares_memory(found, array)


def test_every_region_of_a_gaussian_is_right_beside_a_border_and_away_from_it(backend: Any) -> None:
    array = pixels(2, (23, 37), "uint16")
    whole = downsample(array, (2, 3), method="gaussian")
    given_array = backend.array(array)
    for target in blocks(level_shape(array.shape, (2, 3)), (5, 4)):
        np.testing.assert_array_equal(to_host(cut(given_array, target, (2, 3), "gaussian")), whole[target.slices])


@pytest.mark.parametrize("method", KERNELS)
def test_pixels_that_do_not_fill_the_box_or_the_need_are_refused(method: str) -> None:
    array, target = np.zeros((16, 16), "uint16"), Region((1, 1), (3, 3))
    box = source_box(target, (2, 2), array.shape, method)
    with pytest.raises(ArgumentError, match="not those that the region needs; got .*; allowed: at least .*Read source_box"):
        reduce_box(array, box, target, (2, 2), array.shape, method)
    short = Region(box.start, (box.stop[0] - 1, box.stop[1]))
    with pytest.raises(ArgumentError, match="not those that the region needs"):
        reduce_box(array[short.slices], short, target, (2, 2), array.shape, method)
