"""Sources: whatever can be read box by box gives the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from omexp.backend import counting_transfers, dtype_of
from omexp.errors import ArgumentError
from omexp.geometry import Region
from omexp.geometry import blocks as grid_blocks
from omexp.storage.sources import source_of
from tests.conftest import Case

SHAPE = (3, 7, 8)
PIXELS = np.arange(168, dtype="uint16").reshape(SHAPE)


def boxes() -> st.SearchStrategy[Region]:
    spans = [st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in SHAPE]
    return st.tuples(*spans).map(lambda ends: Region(tuple(a for a, _ in ends), tuple(b for _, b in ends)))


def memmap(folder: Path) -> np.memmap:
    mapped = np.memmap(folder / "pixels.dat", dtype=">u2", mode="w+", shape=SHAPE)
    mapped[:] = PIXELS
    return mapped


def stored(folder: Path, dtype: str = "uint16") -> zarr.Array[Any]:
    array = zarr.create_array(str(folder / f"{dtype[1:]}.zarr"), shape=SHAPE, chunks=(2, 3, 5), dtype=dtype)
    array[:] = PIXELS
    return array


ARRAYS = {
    "numpy": lambda p: PIXELS,
    "fortran": lambda p: np.asfortranarray(PIXELS),
    "strided": lambda p: np.repeat(PIXELS, 2, axis=1)[:, ::2],
    "big-endian": lambda p: PIXELS.astype(">u2"),
    "memmap": memmap,
    "dask": lambda p: da.from_array(PIXELS, chunks=(1, 4, 8)),
    "dask big-endian": lambda p: da.from_array(PIXELS.astype(">u2"), chunks=4),
    "zarr": stored,
    "zarr big-endian": lambda p: stored(p, ">u2"),
}


@pytest.mark.parametrize("kind", ARRAYS)
@given(box=boxes())
def test_every_array_of_the_host_gives_its_pixels_in_native_byte_order(
    kind: str, box: Region, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if kind not in _made:
        _made[kind] = source_of(ARRAYS[kind](tmp_path_factory.mktemp(kind)))
    source = _made[kind]
    assert (source.shape, source.dtype, source.backend.name) == (SHAPE, np.dtype("uint16"), "cpu")
    found = source.read(box)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.dtype("uint16")
    np.testing.assert_array_equal(found, PIXELS[box.slices])


_made: dict[str, Any] = {}  # one source per kind for all boxes


def test_an_array_on_any_backend_stays_where_it_is(backend: Case) -> None:
    array = backend.array(PIXELS)
    with counting_transfers() as transfers:
        source = source_of(array)
        found = source.read(Region((1, 2, 3), (2, 7, 8)))
    assert (source.shape, source.dtype, source.backend) == (SHAPE, np.dtype("uint16"), backend.backend)
    assert backend.holds(found)
    assert dtype_of(found) == np.dtype("uint16")
    np.testing.assert_array_equal(backend.host(found), PIXELS[1:2, 2:7, 3:8])
    assert (transfers.to_host_calls, transfers.to_device_calls) == (0, 0)


def test_a_source_tells_where_its_pixels_come_from(tmp_path: Path) -> None:
    assert source_of(PIXELS).reason == "the array is in memory"
    assert source_of(da.zeros((4, 4))).reason == "dask computes each block"
    assert source_of(stored(tmp_path)).reason.startswith("host decode of zstd by zarrs")


def test_a_dask_array_is_computed_box_by_box() -> None:
    computed: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        computed.append(block_info[None]["chunk-location"])
        return np.ones((1, 4, 4), "uint8")

    array = da.map_blocks(block, chunks=((1,) * 3, (4, 4), (4, 4)), dtype="uint8", meta=np.empty((0, 0, 0), "uint8"))
    source = source_of(array)
    computed.clear()
    assert source.read(Region((1, 0, 4), (2, 4, 8))).sum() == 16
    assert computed == [(1, 0, 1)]


@pytest.mark.parametrize("array", [[[1, 2], [3, 4]], 5, None, "pixels", object()])
def test_what_is_no_array_is_refused(array: Any) -> None:
    with pytest.raises(
        ArgumentError, match="this is no array that can be written .*allowed: NumPy, CuPy, another array-API array, dask, zarr"
    ):
        source_of(array)


def test_a_dask_array_of_unknown_size_is_refused() -> None:
    array = da.from_array(np.arange(9), chunks=3)
    with pytest.raises(ArgumentError, match="this is no array that can be written .*NaN"):
        source_of(array[array > 3])


# ------------------------------------------------------------------------------------------------------ dask, once
@pytest.mark.parametrize(
    "blocks", [(1, 30, 40), (12, 30, 40), (5, 7, 40), (12, 11, 13), (2, 3, 4)], ids=["planes", "one", "uneven", "wide", "small"]
)
def test_each_block_of_a_dask_array_is_computed_once_whatever_boxes_cut_it(blocks: tuple[int, ...]) -> None:
    pixels = np.arange(12 * 30 * 40, dtype="uint16").reshape(12, 30, 40)
    calls: list[int] = []

    def computed(block: np.ndarray) -> np.ndarray:
        calls.append(block.size)
        return block

    array = da.from_array(pixels, chunks=blocks).map_blocks(computed, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))
    source = source_of(array)
    assert calls == []  # nothing is computed before it is asked for
    for box in grid_blocks(pixels.shape, (4, 16, 16)):
        np.testing.assert_array_equal(source.read(box), pixels[box.slices])
    assert len(calls) == array.npartitions
    assert sum(calls) == pixels.size


def test_a_masked_array_is_refused() -> None:
    with pytest.raises(ArgumentError, match="a masked array has no pixels under its mask"):
        source_of(np.ma.masked_array(np.zeros((2, 2)), mask=True))
