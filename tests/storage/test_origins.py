"""Where pixels come from: through readers, dask graphs and other libraries' adapters, down to the stored array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from omexp.backend import numpy_backend
from omexp.reduced import PermutedReader, ReducedReader
from omexp.storage.arrays import StoredArray
from omexp.storage.lazy import dask_of_reader
from omexp.storage.origins import origins, reads_from
from omexp.storage.reading import FixedAxesReader, HostReader
from omexp.storage.sources import source_of


@pytest.fixture
def stored(tmp_path: Path) -> zarr.Array[Any]:
    return zarr.create_array(str(tmp_path / "image.zarr"), name="0", shape=(8, 8), chunks=(2, 2), dtype="uint8")


def ways(stored: zarr.Array[Any]) -> dict[str, Any]:
    reader = HostReader(StoredArray(stored), numpy_backend)
    reduced = ReducedReader(PermutedReader(reader, (1, 0)), (4, 4), (2, 2), "mean")
    lazy = dask_of_reader(reduced, 2, "level")
    return {
        "zarr": stored,
        "reader": reader,
        "readers of readers": FixedAxesReader(reduced, {0: 1}),
        "dask over a reader": lazy,
        "dask of dask": da.concatenate([da.zeros((4, 4), chunks=1), lazy * 2]).rechunk(3)[1:],
        "from_array": da.from_array(stored),
        "from_array inline": da.from_array(stored, inline_array=True) + 1,
        "from_zarr": da.from_zarr(stored),
        "source of dask": source_of(da.from_zarr(stored)),
    }


@pytest.mark.parametrize("way", ["zarr", "reader", "readers of readers", "dask over a reader", "dask of dask", "from_array",
                                 "from_array inline", "from_zarr", "source of dask"])  # fmt: skip
def test_the_stored_array_is_found(way: str, stored: zarr.Array[Any], tmp_path: Path) -> None:
    array = ways(stored)[way]
    assert {place.path for place in origins(array)} == {"0"}
    for target in (tmp_path / "image.zarr", str(tmp_path / "image.zarr" / "0"), tmp_path, f"file://{tmp_path}/image.zarr"):
        assert reads_from(array, target) is not None
    for target in (tmp_path / "image.zarr2", tmp_path / "image.zarr" / "labels", {}, MemoryStore()):
        assert reads_from(array, target) is None


def test_relative_paths_and_links_lead_to_the_same_place(stored: zarr.Array[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.zarr").symlink_to(tmp_path / "image.zarr")
    assert reads_from(stored, "image.zarr") is not None
    assert reads_from(stored, "link.zarr") is not None
    assert reads_from(zarr.open_array("link.zarr/0"), tmp_path / "image.zarr") is not None


def test_arrays_in_memory_and_computed_ones_read_nothing(stored: zarr.Array[Any]) -> None:
    for array in (np.zeros(3), da.zeros(3), source_of(np.zeros(3)), da.from_zarr(stored).persist(), "text"):
        assert origins(array) == []


def test_a_dict_is_told_from_another_dict() -> None:
    one: dict[str, Any] = {}
    array = zarr.create_array(one, shape=(8, 8), dtype="uint8")
    assert reads_from(da.from_zarr(array), one) is not None
    assert reads_from(da.from_zarr(array), {}) is None
