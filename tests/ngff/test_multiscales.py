"""Pyramids in memory: levels are made when read, say where their pixels are, and never change what they were made from."""

from __future__ import annotations

import copy
import pickle
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

import omexp
from omexp.errors import ArgumentError, DTypeError
from omexp.ngff import LPS, RAS, AnatomicalOrientation, Methods, NgffImage, to_multiscales, to_ngff_image
from tests.conftest import Case

PAGE = Path(__file__).resolve().parents[3] / "shared" / "user-docs" / "ngff-python-interface.md"


def pixels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 200, shape).astype(dtype)


def computed(data: Any) -> Any:
    return data.compute() if isinstance(data, da.Array) else data


# ------------------------------------------------------------------------------------------------------------ levels
@pytest.mark.parametrize("method", ["mean", "gaussian", "mode", "nearest", Methods.ITKWASM_LABEL_IMAGE, "DASK_IMAGE_NEAREST"])
def test_levels_are_downsample_of_the_level_before(method: Any, backend: Case) -> None:
    array = backend.array(pixels((3, 45, 70)))
    found = to_multiscales(to_ngff_image(array, "cyx"), [2, 4], method, chunks=16)
    expected = [array]
    for _ in range(2):
        expected.append(omexp.downsample(expected[-1], (1, 2, 2), method=method))
    for image, level in zip(found.images, expected, strict=True):
        made = computed(image.data)
        assert backend.holds(made)
        assert np.array_equal(backend.host(made), backend.host(level))


def test_no_pixel_crosses_between_host_and_device(backend: Case) -> None:
    array = backend.array(pixels((45, 70)))
    with omexp.counting_transfers() as transfers:
        for image in to_multiscales(array, [2, 4]).images:
            computed(image.data)
    assert (transfers.to_host_calls, transfers.to_device_calls) == (0, 0)


@pytest.mark.parametrize("factors", [[2, 3, 4], [2, 5], [3, 4], [4]])
def test_a_level_that_is_no_whole_step_is_made_from_the_original(factors: list[int]) -> None:
    array = pixels((121, 130))
    found = to_multiscales(array, factors, "mean", chunks=32)
    previous, reached = array, 1
    for image, factor in zip(found.images[1:], factors, strict=True):
        source, step = (previous, factor // reached) if factor % reached == 0 else (array, factor)
        previous, reached = omexp.downsample(source, step), factor
        assert np.array_equal(image.data.compute(), previous)
        assert image.data.shape == (-(-121 // factor), -(-130 // factor))


def test_scale_and_translation_say_where_the_pixels_are() -> None:
    image = to_ngff_image(pixels((4, 45, 70)), scale={"z": 2.0, "y": 0.5}, translation={"z": 10.0, "x": -1})
    found = to_multiscales(image, [2, {"y": 3, "x": 4}], "mean")
    assert found.images[1].scale == {"z": 4.0, "y": 1.0, "x": 2.0}
    assert found.images[1].translation == {"z": 11.0, "y": 0.25, "x": -0.5}
    assert found.images[2].scale == {"z": 2.0, "y": 1.5, "x": 4.0}
    assert found.images[2].translation == {"z": 10.0, "y": 0.5, "x": 0.5}
    transforms = [d.coordinateTransformations for d in found.metadata.datasets]
    assert [t[0].scale for t in transforms] == [[2.0, 0.5, 1.0], [4.0, 1.0, 2.0], [2.0, 1.5, 4.0]]
    assert [t[1].translation for t in transforms] == [[10.0, 0.0, -1.0], [11.0, 0.25, -0.5], [10.0, 0.5, 0.5]]


def test_the_centre_of_a_ramp_is_where_the_metadata_says() -> None:
    ramp = np.arange(64, dtype="float64")[None, :].repeat(8, 0)
    for factors in ([2, 4], [3], [2, 3]):
        for method in ("mean", "gaussian"):
            for image in to_multiscales(ramp, factors, method).images[1:]:
                inner = image.data.compute()[1, 2:-2]
                places = image.translation["x"] + image.scale["x"] * np.arange(2, 2 + len(inner))
                assert np.allclose(inner, places, atol=1e-5)


def test_one_plane_of_z_stays_one_plane_in_its_place() -> None:
    found = to_multiscales(to_ngff_image(pixels((1, 40, 40)), scale={"z": 5.0}), [2, 4])
    assert [image.data.shape for image in found.images] == [(1, 40, 40), (1, 20, 20), (1, 10, 10)]
    assert [(image.scale["z"], image.translation["z"]) for image in found.images] == [(5.0, 0.0)] * 3
    assert found.images[2].data.compute().shape == (1, 10, 10)


def test_one_int_halves_until_levels_are_near_a_chunk() -> None:
    found = to_multiscales(np.zeros((64, 1024, 512), "uint8"), chunks=(32, 64, 64))
    assert found.scale_factors == [{"z": 1, "y": 2**k, "x": 2 ** (k - 1)} for k in range(1, 5)] + [{"z": 2, "y": 16, "x": 8}]
    assert found.images[-1].data.shape == (32, 64, 64)
    assert to_multiscales(np.zeros((4, 4), "uint8")).scale_factors == []


def test_planning_100000_chunks_takes_less_than_a_second_and_computes_nothing() -> None:
    class Untouchable(np.ndarray):
        def __getitem__(self, index: Any) -> Any:
            assert all(part.stop - part.start == 0 for part in index), "a pixel was read"
            return super().__getitem__(index)

    array = np.zeros((20_224, 20_288), "uint8").view(Untouchable)
    start = time.process_time()
    found = to_multiscales(array, [2, 4, 8, 16], chunks=64)
    assert time.process_time() - start < 1
    assert found.images[0].data.npartitions > 100_000


def test_a_large_dask_array_is_planned_at_once_with_its_own_chunks() -> None:
    array = da.zeros((20_224, 20_288), chunks=64, dtype="uint8")
    start = time.process_time()
    found = to_multiscales(array, [2], chunks=70)
    assert time.process_time() - start < 1
    assert (found.images[0].data.chunksize, found.chunks) == ((64, 64), {"y": 70, "x": 70})


# -------------------------------------------------------------------------------------------------- axes and chunks
def test_axes_come_in_canonical_order_and_chunks_with_them() -> None:
    array = pixels((6, 45, 70, 3))
    found = to_multiscales(to_ngff_image(array, "zyxc"), [{"y": 2, "x": 2}], "mean", chunks=(2, 16, 8, 3))
    assert found.images[1].dims == ["c", "z", "y", "x"]
    assert found.chunks == {"c": 3, "z": 2, "y": 16, "x": 8}
    assert found.images[0].data.chunksize == (3, 2, 16, 8)
    assert np.array_equal(found.images[0].data.compute(), array.transpose(3, 0, 1, 2))
    assert np.array_equal(found.images[1].data.compute(), omexp.downsample(array, (1, 2, 2, 1)).transpose(3, 0, 1, 2))
    assert [axis.name for axis in found.metadata.axes] == ["c", "z", "y", "x"]


def test_axes_may_be_left_as_they_are(backend: Case) -> None:
    array = backend.array(pixels((45, 70, 3)))
    kept = to_multiscales(to_ngff_image(array, "yxc"), [2], "mean", axis_order="preserve")
    moved = to_multiscales(to_ngff_image(array, "yxc"), [2], "mean")
    assert (kept.images[1].dims, moved.images[1].dims) == (["y", "x", "c"], ["c", "y", "x"])
    inner = [backend.host(computed(p.images[1].data)) for p in (kept, moved)]
    assert np.array_equal(inner[0].transpose(2, 0, 1), inner[1])
    assert np.array_equal(backend.host(computed(moved.images[0].data)), backend.host(array).transpose(2, 0, 1))


def test_a_callers_dask_array_is_cut_anew_and_transposed_lazily() -> None:
    array = da.from_array(pixels((45, 70, 3)), chunks=(20, 20, 3))
    found = to_multiscales(to_ngff_image(array, "yxc"), [2], "mean", chunks={"y": 16, "x": 32})
    assert found.images[0].data.chunksize == (3, 16, 32)
    assert np.array_equal(found.images[0].data.compute(), pixels((45, 70, 3)).transpose(2, 0, 1))
    assert np.array_equal(found.images[1].data.compute(), omexp.downsample(pixels((45, 70, 3)), (2, 2, 1)).transpose(2, 0, 1))
    assert not hasattr(array, "_omexp_source")


def test_levels_of_a_zarr_array_are_read_from_it() -> None:
    stored = zarr.create_array({}, shape=(45, 70), chunks=(16, 16), dtype="uint16")
    stored[:] = pixels((45, 70))
    found = to_multiscales(stored, [2])
    assert np.array_equal(found.images[1].data.compute(), omexp.downsample(pixels((45, 70)), 2, method="gaussian"))


# ----------------------------------------------------------------------------------------------------- what it refuses
@pytest.mark.parametrize(
    "options,message",
    [
        ({"method": "cubic"}, "no such downsampling method"),
        ({"chunks": 0}, "chunks must be positive ints"),
        ({"scale_factors": 0}, "scale_factors must be positive"),
        ({"scale_factors": [2.5]}, "scale factors must be ints"),
        ({"axis_order": "xyz"}, "axis_order is not understood"),
        ({"orientation": "XYZ"}, "orientation is not understood"),
        ({"orientation": {"x": "up"}}, "this is no orientation"),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        to_multiscales(pixels((8, 8)), **options)


def test_an_image_made_by_hand_is_checked() -> None:
    with pytest.raises(ArgumentError, match="dims do not fit"):
        to_multiscales(NgffImage(pixels((8, 8)), ["x"], {}, {}))
    with pytest.raises(DTypeError):
        to_multiscales(NgffImage(pixels((8, 8)).astype("complex64"), "yx", {}, {}))
    assert to_multiscales(NgffImage(pixels((8, 8)), "yx", {}, {}), [2]).images[1].scale == {"y": 2.0, "x": 2.0}


# ------------------------------------------------------------------------------------------------------------ the rest
def test_the_callers_objects_are_never_changed() -> None:
    image = to_ngff_image(pixels((3, 8, 8)), "cyx", {"y": 2.0}, axes_units={"y": "micrometer"}, channel_names=["a", "b", "c"])
    image.axes_orientations = {"y": AnatomicalOrientation("anterior-to-posterior")}
    before, data = {name: copy.copy(value) for name, value in vars(image).items()}, image.data
    found = to_multiscales(image, [2], orientation="RAS")
    for level in found.images:
        level.scale["y"] = 99.0
        level.dims[0] = "q"
        level.axes_units["y"] = "parsec"
        level.channel_names.append("d")
        level.computed_callbacks.append(print)
    assert {name: value for name, value in vars(image).items() if name != "data"} == {k: v for k, v in before.items() if k != "data"}
    assert image.data is data


def test_orientations_are_named_or_given_by_dim() -> None:
    found = to_multiscales(pixels((8, 8)), [2], orientation="LPS")
    assert found.images[1].axes_orientations == {"x": LPS["x"], "y": LPS["y"]}
    assert [axis.orientation for axis in found.metadata.axes] == [LPS["y"], LPS["x"]]
    given = to_multiscales(pixels((8, 8)), [2], orientation={"x": "left-to-right", "z": RAS["z"]})
    assert given.images[0].axes_orientations == {"x": RAS["x"]}


def test_the_metadata_is_what_the_page_prints() -> None:
    if not PAGE.exists():
        pytest.skip(f"the user pages are not there: {PAGE}")
    printed = re.search(r"metadata=Metadata\(.*?version='0.4'\s*\)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ending = re.search(r"scale_factors=\[2, 4\],.*?\n\)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found = re.sub(r"\s", "", repr(to_multiscales(to_ngff_image(np.zeros((256, 256), "uint8")), [2, 4], chunks=64)))
    assert printed and ending
    assert re.sub(r"\s", "", printed[0]) in found
    assert found.endswith(re.sub(r"\s", "", ending[0]))


def test_the_method_is_recorded() -> None:
    found = to_multiscales(pixels((8, 8)), [2], "DASK_IMAGE_MODE")
    assert (found.method, found.metadata.type) == (Methods.DASK_IMAGE_MODE, "dask_image_mode")
    assert "most frequent" in found.metadata.metadata["description"]


def test_a_name_with_a_slash_stays_one_folder() -> None:
    found = to_multiscales(to_ngff_image(pixels((8, 8)), name="a/b"), [2])
    assert [d.path for d in found.metadata.datasets] == ["scale0/a_b", "scale1/a_b"]


def test_an_image_of_another_library_with_the_same_fields_is_taken() -> None:
    x = pixels((8, 8))
    theirs = SimpleNamespace(data=x, dims=("y", "x"), scale={"y": 2.0, "x": 0.5}, translation={"x": 3.0}, name="cells", axes_units=None)
    made = to_multiscales(theirs, [2])
    assert isinstance(made.images[0], NgffImage)
    assert (made.images[0].scale, made.images[0].name) == ({"y": 2.0, "x": 0.5}, "cells")
    assert np.array_equal(computed(made.images[0].data), x)


def test_images_and_pyramids_survive_pickling(backend: Case) -> None:
    made = to_multiscales(to_ngff_image(backend.array(pixels((12, 16)))), [2, 4])
    again = pickle.loads(pickle.dumps(made))
    for one, other in zip(again.images, made.images, strict=True):
        assert omexp.resolve_backend(backend.backend) == backend.backend
        assert np.array_equal(omexp.to_host(computed(one.data)), omexp.to_host(computed(other.data)))
        assert (one.scale, one.translation) == (other.scale, other.translation)
    assert pickle.loads(pickle.dumps(backend.backend)) == backend.backend
