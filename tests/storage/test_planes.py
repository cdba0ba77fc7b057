"""Images that come plane by plane: the pixels of the whole array, each plane asked for once, few held at a time, errors that say which."""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import omexp
from omexp.backend import Backend, from_host, numpy_backend
from omexp.errors import AlreadyExistsError, ArgumentError, StoredDataError
from omexp.geometry import Region, blocks
from omexp.storage.planes import Planes
from tests.stores import arrays

STRICT = Backend(array_api_strict, array_api_strict.Device("device1"))


class Camera:
    """Makes planes one by one, and counts those that somebody still holds."""

    def __init__(self, shape: tuple[int, ...], backend: Backend = numpy_backend, before: Callable[[int], None] = lambda i: None) -> None:
        self.shape, self.backend, self.before = shape, backend, before
        self.alive, self.most, self.made = 0, 0, 0

    def plane(self, i: int) -> np.ndarray:
        return np.random.default_rng(i).integers(0, 60000, self.shape[-2:], "uint16")

    def whole(self) -> np.ndarray:
        return np.stack([self.plane(i) for i in range(math.prod(self.shape[:-2]))]).reshape(self.shape)

    def planes(self) -> Iterator[Any]:
        for i in range(math.prod(self.shape[:-2])):
            self.before(i)
            yield self._new(i)

    def _new(self, i: int) -> Any:
        plane = from_host(self.plane(i), self.backend)
        self.alive, self.made = self.alive + 1, self.made + 1
        self.most = max(self.most, self.alive)
        weakref.finalize(plane, self._gone)
        return plane

    def _gone(self) -> None:
        self.alive -= 1

    def source(self) -> Planes:
        return Planes(self.planes(), self.shape, "uint16", self.backend)


def written(folder: Path, source: Any, **options: Any) -> dict[str, np.ndarray]:
    options = {"xy_pixelsize": 1.0, "levels": 3} | options
    omexp.create_ome_zarr_from_array(folder, source, **options)
    return arrays(folder)


LAYOUTS: dict[str, dict[str, Any]] = {
    "default": {},
    "deep chunks": {"chunks": (3, 16, 16)},
    "deep shards": {"chunks": (1, 16, 16), "shards": (4, 32, 32)},
    "deep windows": {"scaling_factors": (2, 2, 2)},
    "gaussian": {"method": "gaussian"},
    "gaussian along z": {"method": "gaussian", "scaling_factors": (2, 2, 2)},
    "one level": {"levels": 1},
    "little memory": {"max_memory": 200_000, "chunks": (1, 16, 16)},
    "TensorStore": {"use_tensorstore": True},
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", LAYOUTS)
def test_planes_give_the_image_that_the_whole_array_gives(kind: str, workers: int, tmp_path: Path) -> None:
    if kind == "TensorStore":
        pytest.importorskip("tensorstore")
    camera = Camera((7, 50, 41))
    options = LAYOUTS[kind] | {"workers": workers}
    found = written(tmp_path / "planes.zarr", camera.source(), **options)
    expected = written(tmp_path / "array.zarr", camera.whole(), **options)
    assert found.keys() == expected.keys()
    for path, pixels in expected.items():
        np.testing.assert_array_equal(found[path], pixels)
    assert camera.made == 7
    assert camera.alive == 0


def test_more_axes_come_in_c_order(tmp_path: Path) -> None:
    camera = Camera((2, 3, 2, 20, 30))
    found = written(tmp_path / "a.zarr", camera.source(), workers=1)
    np.testing.assert_array_equal(found["0"], camera.whole())


def test_a_single_plane_is_an_image(tmp_path: Path) -> None:
    camera = Camera((20, 30))
    np.testing.assert_array_equal(written(tmp_path / "a.zarr", camera.source())["0"], camera.whole())


@pytest.mark.parametrize("shape", [(8, 64, 64), (2, 4, 64, 64)])
@pytest.mark.parametrize("options", [{}, {"chunks": 16}, {"method": "gaussian"}, {"levels": 1}], ids=str)
def test_one_worker_holds_one_plane_at_a_time(shape: tuple[int, ...], options: dict[str, Any], tmp_path: Path) -> None:
    camera = Camera(shape)
    one_deep = {"chunks": (1,) * (len(shape) - 2) + (64, 64)}
    written(tmp_path / "a.zarr", camera.source(), workers=1, **one_deep | options)
    assert camera.most == 1


def test_workers_hold_no_more_planes_than_their_tiles_span(tmp_path: Path) -> None:
    camera = Camera((40, 32, 32))  # max_memory makes tiles of 128 planes' bytes: 256 KiB
    written(tmp_path / "a.zarr", camera.source(), workers=2, chunks=(2, 32, 32), max_memory=16 << 20)
    assert camera.most <= 40
    deep = Camera((40, 256, 256))
    written(tmp_path / "b.zarr", deep.source(), workers=2, chunks=(2, 256, 256), max_memory=1 << 22)
    assert deep.most <= 2 * 2 + 1  # two workers, tiles of two planes, and the one that is being made


def test_planes_on_a_device_are_reduced_there(tmp_path: Path) -> None:
    camera = Camera((4, 20, 30), STRICT)
    with STRICT.active(), omexp.counting_transfers() as transfers:
        found = written(tmp_path / "a.zarr", camera.source(), workers=1, percentiles=None)
    assert transfers.to_device_calls == 4  # by the camera
    assert transfers.to_host_calls == 3  # one per stored tile
    expected = written(tmp_path / "b.zarr", camera.whole(), percentiles=None)
    for path, pixels in expected.items():
        np.testing.assert_array_equal(found[path], pixels)


@given(st.data())
def test_any_cut_of_the_image_reads_every_plane_once(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 5)) for _ in range(data.draw(st.integers(2, 4))))
    block = tuple(data.draw(st.integers(1, n)) for n in shape)
    camera = Camera(shape)
    source, out = camera.source(), np.empty(shape, "uint16")
    for box in data.draw(st.permutations(list(blocks(shape, block)))):
        out[box.slices] = source.read(box)
    np.testing.assert_array_equal(out, camera.whole())
    assert camera.made == math.prod(shape[:-2]) and camera.alive == 0


# ----------------------------------------------------------------------------------------------------------- refusals
def test_fewer_than_two_axes_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"an image of planes has two axes at least; got shape \(5,\)"):
        Planes(iter([]), (5,), "uint8")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: np.zeros((20, 31), "uint16"),
            r"plane \(3,\): a plane does not fit the image; got \(20, 31\) uint16 on cpu; allowed: \(20, 30\)",
        ),
        (lambda: np.zeros((20, 30), "uint8"), r"plane \(3,\): a plane does not fit the image; got \(20, 30\) uint8 on cpu"),
        (lambda: STRICT.empty((20, 30), "uint16"), r"plane \(3,\): a plane does not fit the image; got .* on .*device1"),
    ],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_plane_that_does_not_fit_is_named_and_nothing_is_left(
    wrong: Callable[[], Any], message: str, workers: int, tmp_path: Path
) -> None:
    camera = Camera((6, 20, 30))
    planes = (wrong() if i == 3 else camera.plane(i) for i in range(6))
    with pytest.raises(StoredDataError, match=message):
        written(tmp_path / "a.zarr", Planes(planes, (6, 20, 30), "uint16"), workers=workers, chunks=(1, 8, 8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_too_few_planes_are_an_error_and_further_ones_are_never_asked_for(workers: int, tmp_path: Path) -> None:
    camera = Camera((6, 20, 30))
    with pytest.raises(StoredDataError, match=r"there are too few planes; got none for \(4,\); allowed: 6 in all"):
        written(tmp_path / "a.zarr", Planes(itertools.islice(camera.planes(), 4), (6, 20, 30), "uint16"), workers=workers, chunks=(1, 8, 8))
    assert list(tmp_path.iterdir()) == []
    endless = (camera.plane(i % 6) for i in itertools.count())
    np.testing.assert_array_equal(written(tmp_path / "b.zarr", Planes(endless, (6, 20, 30), "uint16"))["0"], camera.whole())


class Unplugged(Exception):
    pass


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("attempt", range(5))
def test_an_error_of_the_planes_comes_out_as_it_is_whoever_waits_for_them(workers: int, attempt: int, tmp_path: Path) -> None:
    def unplug(i: int) -> None:
        if i == 2 + attempt:
            raise Unplugged("the camera is gone")

    camera = Camera((8, 20, 30), before=unplug)
    with pytest.raises(Unplugged, match="the camera is gone"):
        written(tmp_path / "a.zarr", camera.source(), workers=workers, chunks=(1, 8, 8), max_memory=100_000)
    assert list(tmp_path.iterdir()) == []
    assert camera.made == 2 + attempt


def test_what_was_read_once_is_not_read_again() -> None:
    source = Camera((3, 4, 5)).source()
    source.read(Region((0, 0, 0), (2, 4, 5)))
    with pytest.raises(StoredDataError, match=r"a plane is read again that was let go of; got plane \(1,\)"):
        source.read(Region((1, 0, 0), (2, 4, 5)))


# -------------------------------------------------------------------------------------------------------------- resume
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_planes_that_broke_off_are_gone_on_with_and_compared(method: str, tmp_path: Path) -> None:
    shape = (16, 256, 250)
    options: dict[str, Any] = {"chunks": (1, 256, 256), "workers": 2, "method": method, "resume": True, "max_memory": 6 << 20}

    def unplug(i: int) -> None:
        if i == 12:
            raise Unplugged

    with pytest.raises(Unplugged):
        written(tmp_path / "a.zarr", Camera(shape, before=unplug).source(), **options)
    assert not (tmp_path / "a.zarr").exists()
    camera = Camera(shape)
    other = (camera.plane(i) ^ 1 if i == 1 else camera.plane(i) for i in range(16))
    with pytest.raises(ArgumentError, match="the unfinished image was made from other pixels"):
        written(tmp_path / "a.zarr", Planes(other, shape, "uint16"), **options)
    found = written(tmp_path / "a.zarr", camera.source(), **options)
    for path, pixels in written(tmp_path / "b.zarr", camera.whole(), **options).items():
        np.testing.assert_array_equal(found[path], pixels)
    with pytest.raises(AlreadyExistsError):
        written(tmp_path / "a.zarr", camera.source(), **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_camera_that_fills_one_buffer_again_and_again_loses_no_plane(workers: int, tmp_path: Path) -> None:
    buffer = np.empty((64, 64), "uint16")

    def camera() -> Iterator[np.ndarray]:
        for z in range(20):
            buffer[...] = z
            yield buffer

    source = omexp.Planes(camera(), shape=(20, 64, 64), dtype="uint16")
    image = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", source, xy_pixelsize=1, workers=workers, chunks=(1, 16, 16)).get_image()
    assert image.get_as_numpy().reshape(20, -1).T.tolist() == [list(range(20))] * 4096


def test_after_a_plane_that_does_not_fit_no_other_is_asked_for(tmp_path: Path) -> None:
    asked: list[int] = []

    def planes() -> Iterator[Any]:
        for z in range(12):
            asked.append(z)
            yield [[0] * 8] * 8 if z == 0 else np.zeros((8, 8), "uint8")

    with pytest.raises(StoredDataError, match=r"plane \(0,\): a plane does not fit the image; got list; allowed: \(8, 8\) uint8"):
        omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", omexp.Planes(planes(), (12, 8, 8), "uint8"), xy_pixelsize=1, workers=4)
    assert asked == [0]
