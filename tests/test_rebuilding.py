"""Rebuilding what was touched: exactly the pixels of a full build, and exactly the write units that depend on them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.backend import numpy_backend
from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape, factors_between
from omexp.kernels.regions import reduce_box
from omexp.pyramid.rebuilding import mostly_touched, rebuild, units_to_rebuild
from tests.reference_pyramid import CountingSource, MemoryLevel

METHODS = ("mean", "median", "mode", "min", "max", "nearest", "gaussian", "label_image")


@st.composite
def pyramids(draw: st.DrawFn) -> tuple[list[Shape], list[Shape], list[Shape]]:
    """(shapes, factors, write units): levels rounded up or down; units that need not fit each other."""
    ndim = draw(st.integers(1, 3))
    shapes = [tuple(draw(st.integers(1, {1: 80, 2: 26, 3: 9}[ndim])) for _ in range(ndim))]
    for _ in range(draw(st.integers(1, 3))):
        wanted, down = [draw(st.integers(1, 3)) for _ in range(ndim)], draw(st.booleans())
        shapes.append(tuple(max(n // f if down else -(-n // f), 1) for n, f in zip(shapes[-1], wanted, strict=True)))
    factors = [factors_between(a, b) for a, b in itertools.pairwise(shapes)]
    units = [tuple(draw(st.integers(1, max(1, n // 2 + 2))) for n in shape) for shape in shapes]
    return shapes, factors, units


@st.composite
def regions_of(draw: st.DrawFn, shape: Shape) -> Region:
    spans = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def full(pixels: np.ndarray, shapes: list[Shape], factors: list[Shape], method: str) -> list[np.ndarray]:
    """All levels, each made whole from the one before it."""
    levels = [pixels]
    for shape, factor in zip(shapes[1:], factors, strict=True):
        fine = levels[-1]
        levels.append(reduce_box(fine, Region.whole(fine.shape), Region.whole(shape), factor, fine.shape, method))
    return levels


def reopen(level: MemoryLevel, backend: Any) -> CountingSource:
    return CountingSource(level.pixels, backend)


def stored(arrays: list[np.ndarray], units: list[Shape]) -> list[MemoryLevel]:
    levels = [MemoryLevel(a.shape, a.dtype, unit) for a, unit in zip(arrays, units, strict=True)]
    for level, array in zip(levels, arrays, strict=True):
        level.pixels[...] = array
    return levels


def unit_of(index: Shape, unit: Shape) -> tuple[slice, ...]:
    return tuple(slice(i * u, (i + 1) * u) for i, u in zip(index, unit, strict=True))


def depends(shapes: list[Shape], factors: list[Shape], units: list[Shape], regions: list[Region], method: str) -> list[set[Shape]]:
    """The units that any pixel of the regions can change, found by changing them: a pixel is dirty where what it is made from is.

    A maximum over windows (and, for gaussian, over its taps) of a map of dirt shows it.
    """
    dirt = np.zeros(shapes[0], "float64")
    for region in regions:
        dirt[region.slices] = 1.0
    found = []
    for k, factor in enumerate(factors):
        whole = Region.whole(shapes[k])
        spread = reduce_box(dirt, whole, Region.whole(shapes[k + 1]), factor, shapes[k], "gaussian" if method == "gaussian" else "max")
        dirt = (spread != 0).astype("float64")
        touched = np.argwhere(dirt)
        found.append({tuple(int(i) // u for i, u in zip(place, units[k + 1], strict=True)) for place in touched})
    return found


@given(st.data(), pyramids(), st.sampled_from(METHODS))
@settings(max_examples=80)
def test_a_rebuild_of_what_was_touched_equals_a_full_build_and_writes_each_dependent_unit_once(
    data: st.DataObject, case: tuple[list[Shape], list[Shape], list[Shape]], method: str
) -> None:
    shapes, factors, units = case
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pixels = draw.integers(0, 5 if method in ("mode", "label_image") else 60000, shapes[0], "uint16")
    levels = stored(full(pixels, shapes, factors, method), units)
    regions = data.draw(st.lists(regions_of(shapes[0]), max_size=3))
    for region in regions:
        levels[0].pixels[region.slices] = draw.integers(0, 60000, region.shape, "uint16")
    options: dict[str, Any] = {
        "factors": factors,
        "backend": numpy_backend,
        "reopen": reopen,
        "workers": data.draw(st.sampled_from([1, 3])),
    }
    built = rebuild(levels, regions, method, **options)
    for level, expected in zip(levels, full(levels[0].pixels, shapes, factors, method), strict=True):
        np.testing.assert_array_equal(level.pixels, expected, strict=True)
    dependent = depends(shapes, factors, units, regions, method)
    planned = units_to_rebuild(regions, shapes, factors, units, method)
    assert not levels[0].writes.any()
    for level, needed, wanted in zip(levels[1:], dependent, planned, strict=True):
        writes = {
            i: level.writes[unit_of(i, level.write_unit)]
            for i in np.ndindex(*[-(-n // u) for n, u in zip(level.shape, level.write_unit, strict=True)])
        }
        assert {i for i, count in writes.items() if count.any()} == wanted
        assert all((count == 1).all() for i, count in writes.items() if i in wanted)
        assert needed <= wanted
        if method != "gaussian":  # taps of almost no weight may round to nothing
            assert needed == wanted
    assert built.bytes_written == 2 * sum(int(level.writes.sum()) for level in levels)


def test_pixels_that_are_in_no_window_touch_nothing() -> None:
    shapes, factors = [(5, 5), (2, 2), (1, 1)], [(2, 2), (2, 2)]
    assert units_to_rebuild([Region((4, 0), (5, 5))], shapes, factors, [(1, 1)] * 3, "mean") == [set(), set()]
    assert units_to_rebuild([Region((4, 4), (5, 5))], shapes, factors, [(1, 1)] * 3, "gaussian") != [set(), set()]
    assert units_to_rebuild([], shapes, factors, [(1, 1)] * 3, "mean") == [set(), set()]


def test_progress_rises_to_the_end_and_an_empty_rebuild_does_nothing() -> None:
    shapes, factors = [(64, 64), (32, 32), (16, 16)], [(2, 2), (2, 2)]
    levels, heard = stored(full(np.zeros((64, 64), "uint8"), shapes, factors, "mean"), [(8, 8)] * 3), []
    options: dict[str, Any] = {"factors": factors, "backend": numpy_backend, "reopen": reopen, "progress": lambda *t: heard.append(t)}
    assert rebuild(levels, [], "mean", **options).bytes_written == 0
    assert heard == []
    rebuild(levels, [Region((0, 0), (40, 9))], "mean", **options)
    done = [d for d, _ in heard]
    assert done == sorted(done) and len({total for _, total in heard}) == 1 and heard[-1][0] == heard[-1][1]


def test_a_full_build_is_less_work_where_more_than_half_is_touched() -> None:
    levels = stored([np.zeros((64, 64), "uint8"), np.zeros((32, 32), "uint8")], [(8, 8)] * 2)
    assert not mostly_touched(levels, [Region((0, 0), (32, 64))], [(2, 2)], "mean")  # 8 of 16 units
    assert mostly_touched(levels, [Region((0, 0), (33, 64))], [(2, 2)], "mean")
    assert not mostly_touched(levels, [Region((0, 0), (8, 8))] * 100, [(2, 2)], "mean")
    assert not mostly_touched(levels[:1], [Region((0, 0), (64, 64))], [], "mean")


# ------------------------------------------------------------------------------------------------------------- memory
def test_little_memory_means_fewer_workers_and_too_little_is_refused_before_anything_is_read() -> None:
    shapes, factors = [(256, 256), (128, 128)], [(2, 2)]
    levels = stored(full(np.ones((256, 256), "uint8"), shapes, factors, "mean"), [(32, 32)] * 2)
    at_once, most, reads = [0], [0], [0]

    def counting(level: MemoryLevel, backend: Any) -> CountingSource:
        source = CountingSource(level.pixels, backend)

        def enter(_: Region) -> None:
            reads[0] += 1
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])

        source.before_read = enter
        return source

    def leave(_: Region) -> None:
        at_once[0] -= 1

    levels[1].before_write = leave
    each = 32 * 32 + 2 * 64 * 64
    options: dict[str, Any] = {"factors": factors, "backend": numpy_backend, "reopen": counting, "workers": 4}
    rebuild(levels, [Region((0, 0), (256, 256))], "mean", max_memory=2 * each, **options)
    assert reads[0] == 16 and most[0] <= 2
    with pytest.raises(
        ArgumentError, match=f"max_memory: the levels cannot be rebuilt in so little memory; got {each - 1} bytes; allowed: at"
    ):
        rebuild(levels, [Region((0, 0), (256, 256))], "mean", max_memory=each - 1, **options)
    assert reads[0] == 16


@pytest.mark.parametrize("limits", [{"workers": 0}, {"workers": 1.5}, {"max_memory": 0}, {"max_memory": "1 GB"}], ids=str)
def test_limits_that_are_none_are_refused(limits: dict[str, Any]) -> None:
    levels = stored([np.zeros((4, 4), "uint8"), np.zeros((2, 2), "uint8")], [(2, 2)] * 2)
    with pytest.raises(ArgumentError, match="workers must be an int of at least 1|max_memory must be a number of bytes"):
        rebuild(levels, [], "mean", factors=[(2, 2)], backend=numpy_backend, reopen=reopen, **limits)


def test_many_touched_regions_are_planned_quickly() -> None:
    """10 000 objects on 4096 x 4096 pixels."""
    draw = np.random.default_rng(0)
    corners = draw.integers(0, 4060, (10_000, 2)).tolist()
    regions = [Region((y, x), (y + 30, x + 30)) for y, x in corners]
    shapes = [(4096 >> k, 4096 >> k) for k in range(5)]
    found = units_to_rebuild(regions, shapes, [(2, 2)] * 4, [(256, 256)] * 5, "mean")
    assert [len(f) for f in found] == [math.prod([8 >> k] * 2) or 1 for k in range(4)]
