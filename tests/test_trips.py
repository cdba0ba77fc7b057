"""The main trips give the same store on every backend, for a known number of transfers and of chunks read and written.

(a) array -> pyramid on disk. (b) open -> masked object on the device -> write back -> one rebuild.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, WrapperStore

import omexp
from tests.conftest import Case
from tests.stores import LAYOUTS, arrays, documents, files, sample_ids, sample_pixels

# Bytes of the sample: 2 x 3 x 20 x 30 uint16, levels of 1/4 and 1/15 (ceil); the label: 3 x 20 x 30 uint32, likewise.
IMAGE, IMAGE_1, IMAGE_2 = 7200, 1800, 480
LABEL, LABEL_1, LABEL_2 = 7200, 1800, 480
BOX = 504  # object 300: 2 x 7 x 9 pixels, in two channels of uint16 or once in uint32


def to_device(calls: int, size: int) -> tuple[int, int, int, int]:
    return calls, size, 0, 0


def to_host(calls: int, size: int) -> tuple[int, int, int, int]:
    return 0, 0, calls, size


def both(up: tuple[int, int], down: tuple[int, int]) -> tuple[int, int, int, int]:
    return *up, *down


# What each step of the trips may move: (calls, bytes) to the device, (calls, bytes) to the host. Nothing on a host backend.
TRANSFERS = {
    # every level goes down once; for the display windows the coarsest comes up once per channel, and two numbers go down for each
    "create": both((2, IMAGE_2), (3 + 2, IMAGE + IMAGE_1 + IMAGE_2 + 2 * 2 * 2)),
    "derive_label": both((0, 0), (0, 0)),
    "set_array": to_host(1, LABEL),
    "consolidate label": both((1, LABEL), (2, LABEL_1 + LABEL_2)),
    "objects": both((1, LABEL), (3, 3 * (4 + 3 * 8 + 3 * 8))),  # ids, starts and stops of three objects
    "get_roi": to_device(1, BOX),
    "get_roi_masked": to_device(2, BOX + BOX),
    "set_roi_masked": to_host(1, BOX),  # put together with what is there beside the file
    "consolidate": both((1, IMAGE), (2, IMAGE_1 + IMAGE_2)),
    "get_array": to_device(1, IMAGE),
    "get_as_numpy": both((0, 0), (0, 0)),
}


class Counted:
    """Transfers by step."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[int, int, int, int]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        with omexp.counting_transfers() as moved:
            yield
        self.steps[name] = (moved.to_device_calls, moved.to_device_bytes, moved.to_host_calls, moved.to_host_bytes)


def both_trips(folder: Path, array: Callable[[np.ndarray], Any], device: Any, layout: str) -> Counted:
    """Trip (a), then trip (b): object 300 is inverted in place."""
    counted, pixels, ids = Counted(), array(sample_pixels()), array(sample_ids())
    options = LAYOUTS[layout] | {"axes_names": "czyx", "xy_pixelsize": 0.5, "z_spacing": 2.0, "levels": 3, "workers": 2}
    with counted.step("create"):
        container = omexp.create_ome_zarr_from_array(folder, pixels, device=device, **options)
    with counted.step("derive_label"):
        label = container.derive_label("nuclei")
    with counted.step("set_array"):
        label.set_array(ids)
    with counted.step("consolidate label"):
        label.consolidate(device=device, workers=2)
    image = omexp.open_ome_zarr_container(folder, device=device).get_masked_image("nuclei")
    with counted.step("objects"):
        assert image.labels() == [1, 7, 300]
    with counted.step("get_roi"):
        image.get_roi(300)
    with counted.step("get_roi_masked"):
        one = image.get_roi_masked(300)
    patch = one ^ image.backend.full((), 65535, "uint16")
    with counted.step("set_roi_masked"):
        image.set_roi_masked(300, patch)
    with counted.step("consolidate"):
        image.consolidate(device=device, workers=2)
    with counted.step("get_array"):
        image.get_array()
    with counted.step("get_as_numpy"):
        image.get_as_numpy()
    return counted


@pytest.fixture(scope="session")
def on_numpy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The store that the trips leave on plain NumPy, by layout."""
    folder = tmp_path_factory.mktemp("trips")
    for layout in LAYOUTS:
        both_trips(folder / layout / "image.zarr", np.array, "cpu", layout)
    return {layout: folder / layout / "image.zarr" for layout in LAYOUTS}


@pytest.mark.parametrize("layout", ["0.4", "0.5-sharded"])
def test_every_backend_leaves_the_same_store_for_the_known_transfers(
    tmp_path: Path, on_numpy: dict[str, Path], backend: Case, layout: str
) -> None:
    counted = both_trips(tmp_path / "image.zarr", backend.array, backend.backend, layout)
    assert counted.steps == {name: (0, 0, 0, 0) if backend.backend.is_host else moved for name, moved in TRANSFERS.items()}
    here, there = tmp_path / "image.zarr", on_numpy[layout]
    assert documents(here) == documents(there)
    assert files(here).keys() == files(there).keys()
    decoded, expected = arrays(here), arrays(there)
    assert decoded.keys() == expected.keys()
    for path, pixels in expected.items():
        np.testing.assert_array_equal(decoded[path], pixels, err_msg=path, strict=True)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_trips_leave_the_pixels_that_plain_numpy_computes(on_numpy: dict[str, Path], layout: str) -> None:
    stored, pixels = arrays(on_numpy[layout]), sample_pixels()
    expected = np.where(sample_ids() == 300, pixels ^ 65535, pixels)
    for path in ("0", "1", "2"):
        np.testing.assert_array_equal(stored[path], expected)
        expected = omexp.downsample(expected, (1, 1, 2, 2))


@pytest.mark.parametrize("tile_bytes", [256, 1024, 1 << 24])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_cut_of_the_work_gives_the_same_store(
    tmp_path: Path, on_numpy: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tile_bytes: int, workers: int
) -> None:
    monkeypatch.setattr("omexp.pyramid.plans.TILE_BYTES", tile_bytes)
    image = omexp.open_ome_zarr_container(on_numpy["0.5-sharded"], mode="r").get_image()
    tiles: list[int] = []
    options = {**LAYOUTS["0.5-sharded"], "axes_names": "czyx", "xy_pixelsize": 0.5, "levels": 3, "workers": workers}
    omexp.create_ome_zarr_from_array(tmp_path / "image.zarr", image.get_array(), progress=lambda *told: tiles.append(told), **options)
    assert (len(tiles) == 1) == (tile_bytes > IMAGE)
    decoded, expected = arrays(tmp_path / "image.zarr"), arrays(on_numpy["0.5-sharded"])
    for path in ("0", "1", "2"):
        np.testing.assert_array_equal(decoded[path], expected[path])


# -------------------------------------------------------------------------------------------------- chunks touched
class CountingStore(WrapperStore[MemoryStore]):
    """Counts how often each chunk is fetched and stored."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.fetched: Counter[str] = Counter()
        self.stored: Counter[str] = Counter()

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        self.fetched[key] += 1
        return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Any) -> None:
        self.stored[key] += 1
        await super().set(key, value)

    def touched(self) -> tuple[Counter[str], Counter[str]]:
        """Chunks fetched and stored since the last call, by level path."""
        found = tuple(Counter({k: n for k, n in counts.items() if "/c/" in k}) for counts in (self.fetched, self.stored))
        self.fetched.clear()
        self.stored.clear()
        return found


def by_level(counts: Counter[str]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for key, n in counts.items():
        total[key.split("/c/")[0]] += n
    return dict(total)


def test_each_chunk_is_read_once_and_written_once() -> None:
    store = CountingStore(MemoryStore())
    options = {"axes_names": "czyx", "xy_pixelsize": 0.5, "levels": 3, "chunks": (1, 2, 8, 16), "percentiles": None}
    container = omexp.create_ome_zarr_from_array(store, sample_pixels(), **options)
    fetched, stored = store.touched()
    assert not fetched
    assert by_level(stored) == {"0": 2 * 2 * 3 * 2, "1": 2 * 2 * 2, "2": 2 * 2}
    assert max(stored.values()) == 1

    label = container.derive_label("nuclei")
    assert store.touched() == (Counter(), Counter())
    label.set_array(sample_ids())
    fetched, stored = store.touched()
    assert (by_level(fetched), max(stored.values())) == ({}, 1)

    image = container.get_masked_image("nuclei")
    image.labels()
    fetched, _ = store.touched()
    assert (by_level(fetched), max(fetched.values())) == ({"labels/nuclei/0": 2 * 3 * 2}, 1)

    patch = image.get_roi_masked(300)  # z 0:2, y 2:9, x 3:12: two chunks of each channel, two of the label
    fetched, _ = store.touched()
    assert (by_level(fetched), max(fetched.values())) == ({"0": 2 * 2, "labels/nuclei/0": 2}, 1)

    image.set_roi_masked(300, patch)  # each cut chunk is read and written once
    fetched, stored = store.touched()
    assert by_level(fetched) == {"0": 2 * 2, "labels/nuclei/0": 2}
    assert (by_level(stored), max(stored.values())) == ({"0": 2 * 2}, 1)

    image.consolidate(workers=1)
    fetched, stored = store.touched()
    assert (by_level(fetched), max(fetched.values())) == ({"0": 2 * 2 * 3 * 2}, 1)
    assert (by_level(stored), max(stored.values())) == ({"1": 2 * 2 * 2, "2": 2 * 2}, 1)


def test_looking_at_a_store_writes_nothing() -> None:
    store = CountingStore(MemoryStore())
    options = {"axes_names": "czyx", "xy_pixelsize": 0.5, "levels": 2, "chunks": 8}
    omexp.create_ome_zarr_from_array(store, sample_pixels(), **options).derive_label("nuclei")
    store.touched()
    container = omexp.open_ome_zarr_container(store)
    container.list_labels(), container.list_tables(), repr(container), container._repr_html_()
    image, masked = container.get_image(), container.get_masked_image("nuclei")
    image.get_array(), image.get_as_dask(), masked.labels()
    with pytest.raises(omexp.OmexpError):
        container.get_label("no such label")
    with pytest.raises(omexp.OmexpError):
        container.get_table("no such table")
    assert not store.stored


def test_zarr_keeps_no_process_wide_switch() -> None:
    before = zarr.config.to_dict() if hasattr(zarr.config, "to_dict") else dict(zarr.config.config)
    omexp.create_ome_zarr_from_array({}, sample_pixels(), axes_names="czyx", xy_pixelsize=1, levels=2).get_image().get_array()
    after = zarr.config.to_dict() if hasattr(zarr.config, "to_dict") else dict(zarr.config.config)
    assert before == after
