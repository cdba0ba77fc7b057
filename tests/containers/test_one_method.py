"""The levels of an image are made by one method, and the metadata says which; writes are heard by whoever tracks them."""

from __future__ import annotations

import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

import omexp
from omexp.errors import DTypeError, OmexpWarning
from omexp.kernels.windows import downsample
from tests.reference_pyramid import pyramid_reference

PIXELS = np.random.default_rng(0).integers(0, 5000, (150, 170)).astype("uint16")
OPTIONS = {"axes_names": "yx", "xy_pixelsize": 1.0, "levels": 3, "chunks": (16, 16), "overwrite": True}


def made(path: Path, method: str = "mean") -> omexp.OmeZarrContainer:
    return omexp.create_ome_zarr_from_array(path / "a.zarr", PIXELS, method=method, **OPTIONS)


def levels(container: omexp.OmeZarrContainer) -> list[np.ndarray]:
    return [container.get_image(p).get_as_numpy() for p in container.levels_paths]


def expected(finest: np.ndarray, method: str) -> list[np.ndarray]:
    found = [finest]
    for _ in range(2):
        found.append(downsample(found[-1], 2, method=method))
    return found


def recorded(container: omexp.OmeZarrContainer) -> str | None:
    return omexp.open_ome_zarr_container(container.where).image_meta.multiscale.type


@pytest.mark.parametrize("method", ["gaussian", "mode", "median"])
@pytest.mark.parametrize("how", ["tracked", "regions", "all"])
def test_levels_are_remade_by_the_method_that_the_metadata_names(method: str, how: str, tmp_path: Path) -> None:
    container = made(tmp_path, method)
    image, patch = container.get_image(), np.full((3, 3), 4000, "uint16")
    corner = {"y": slice(40, 43), "x": slice(20, 23)}
    if how == "tracked":
        with image.track_writes():
            image.set_array(patch, **corner)
    else:
        image.set_array(patch, **corner)
        image.consolidate(regions=[corner] if how == "regions" else None)
    for found, wanted in zip(levels(container), expected(image.get_as_numpy(), method), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert recorded(container) == method


def test_another_method_for_a_region_remakes_all_and_is_recorded(tmp_path: Path) -> None:
    container = made(tmp_path)
    container.get_image().consolidate("mode", regions=[{"y": slice(0, 2)}])
    for found, wanted in zip(levels(container), expected(PIXELS, "mode"), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert recorded(container) == "mode"


def test_ids_of_a_label_are_not_averaged_because_its_metadata_says_mean(tmp_path: Path) -> None:
    container = made(tmp_path)
    label = container.derive_label("cells")
    label.set_array(PIXELS.astype("uint32"))
    label.consolidate("mean")
    assert label.meta.multiscale.type == "mean"
    label.consolidate()
    assert label.meta.multiscale.type == "nearest"
    shapes = [PIXELS.shape, (75, 85), (38, 43)]
    wanted = pyramid_reference(PIXELS.astype("uint32"), shapes, [(2, 2), (2, 2)], "nearest")
    np.testing.assert_array_equal(container.get_label("cells", path="1").get_as_numpy(), wanted[1])


def test_levels_of_different_dtypes_are_refused(tmp_path: Path) -> None:
    container = made(tmp_path)
    place = f"{container.where}/1"
    zarr.create_array(place, shape=(75, 85), dtype="uint8", chunks=(16, 16), overwrite=True)
    before = container.get_image("2").get_as_numpy()
    with pytest.raises(DTypeError, match=r"a.zarr/1: the levels have different dtypes.*got uint8; allowed: uint16"):
        container.get_image().consolidate()
    np.testing.assert_array_equal(container.get_image("2").get_as_numpy(), before)


def test_two_threads_that_track_one_image_lose_no_write(tmp_path: Path) -> None:
    container = made(tmp_path)
    image = container.get_image()
    inside, gone = threading.Event(), threading.Event()

    def first() -> None:
        with image.track_writes():
            inside.wait(10)
            image.set_array(np.full((2, 2), 1, "uint16"), y=slice(0, 2), x=slice(0, 2))
        gone.set()

    thread = threading.Thread(target=first)
    thread.start()
    with image.track_writes():
        inside.set()
        assert gone.wait(10)
        image.set_array(np.full((2, 2), 2, "uint16"), y=slice(100, 102), x=slice(100, 102))
    thread.join()
    for found, wanted in zip(levels(container), expected(image.get_as_numpy(), "mean"), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert image._listeners == []


def test_an_interrupt_leaves_tracked_levels_marked_as_unfinished(tmp_path: Path) -> None:
    container = made(tmp_path)
    image = container.get_image()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    try:
        with pytest.raises(KeyboardInterrupt), image.track_writes():
            image.set_array(np.full((2, 2), 1, "uint16"), y=slice(0, 2), x=slice(0, 2))
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.warns(OmexpWarning, match="the coarser levels are unfinished"):
        again = omexp.open_ome_zarr_container(container.where)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.get_image().consolidate(regions=[{"y": slice(149, 150)}])  # more is wrong than this region, so all is made anew
    for found, wanted in zip(levels(again), expected(image.get_as_numpy(), "mean"), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        omexp.open_ome_zarr_container(container.where)
