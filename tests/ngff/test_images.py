"""Arrays become images of one resolution: every library stays where it is, nothing is copied, and what does not fit is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

import omexp
from omexp.errors import ArgumentError, DTypeError, OmexpWarning
from omexp.ngff import NgffImage, to_multiscales, to_ngff_image, to_ngff_zarr
from omexp.ngff.arrays import reader_of
from tests.conftest import Case


@pytest.mark.parametrize("ndim,dims", [(1, "x"), (2, "yx"), (3, "zyx"), (4, "zyxc"), (5, "tzyxc")])
def test_dims_scale_and_translation_have_defaults_by_the_number_of_axes(ndim: int, dims: str) -> None:
    image = to_ngff_image(np.zeros((2,) * ndim, "uint8"))
    spatial = [d for d in dims if d in "zyx"]
    assert image.dims == list(dims)
    assert (image.scale, image.translation) == (dict.fromkeys(spatial, 1.0), dict.fromkeys(spatial, 0.0))
    assert (image.name, image.axes_units, image.computed_callbacks) == ("image", None, [])


def test_what_is_given_is_kept_and_what_is_left_out_is_filled_in() -> None:
    image = to_ngff_image(np.zeros((2, 3, 4, 5), "uint8"), "ctyx", {"x": 0.5, "t": 2}, {"y": -3}, "cells", {"x": "micrometer"}, ["a", "b"])
    assert image.dims == ["c", "t", "y", "x"]
    assert image.scale == {"t": 2.0, "y": 1.0, "x": 0.5}
    assert image.translation == {"y": -3.0, "x": 0.0}
    assert (image.name, image.axes_units, image.channel_names) == ("cells", {"x": "micrometer"}, ["a", "b"])


@pytest.mark.parametrize(
    "options,message",
    [
        ({"dims": "xx"}, "dims do not fit the array.*x, x for 2 axes"),
        ({"dims": "zyx"}, "dims do not fit the array"),
        ({"dims": ["y", "q"]}, "dims do not fit the array"),
        ({"dims": 3}, "dims do not fit the array"),
        ({"scale": {"x": 0}}, "scale along x must be a positive number"),
        ({"scale": {"x": -1.0}}, "scale along x must be a positive number"),
        ({"scale": {"x": float("nan")}}, "scale along x must be a positive number"),
        ({"scale": {"x": "1"}}, "scale along x must be a positive number"),
        ({"scale": {"z": 1}}, "scale names a dim that the image has not"),
        ({"scale": [1, 1]}, "scale must map dims to values"),
        ({"translation": {"x": float("inf")}}, "translation along x must be a number"),
        ({"translation": {"t": 1}}, "translation names a dim"),
        ({"axes_units": {"z": "micrometer"}}, "axes_units names a dim"),
        ({"axes_units": {"x": 3}}, "a unit must be text"),
        ({"name": ""}, "an image needs a name"),
        ({"channel_names": ["a", "b"]}, "channel_names must have one entry per channel"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        to_ngff_image(np.zeros((4, 6), "uint8"), **options)


@pytest.mark.parametrize("data", [[[1, 2], [3, 4]], 3, None, {"a": 1}.keys()])
def test_what_is_no_array_and_no_store_is_refused(data: Any) -> None:
    with pytest.raises(ArgumentError, match="this is no array and no store"):
        to_ngff_image(data)


def test_masked_pixels_are_refused_with_what_to_do() -> None:
    masked = np.ma.masked_greater(np.arange(16).reshape(4, 4), 8)
    for data in (masked, da.from_array(masked, chunks=2)):
        with pytest.raises(ArgumentError, match=r"an image has no mask.*filled\(0\)"):
            to_ngff_image(data)


def test_an_image_is_no_array() -> None:
    with pytest.raises(ArgumentError, match="got NgffImage.*Pass its data, dims"):
        to_ngff_image(to_ngff_image(np.zeros((4, 4))))


def test_channel_names_that_are_the_same_are_named_as_such() -> None:
    with pytest.raises(ArgumentError, match="channel_names must be unique"):
        to_ngff_image(np.zeros((2, 4, 4)), "cyx", channel_names=["a", "a"])


def test_a_unit_that_ome_zarr_does_not_name_is_a_warning() -> None:
    with pytest.warns(OmexpWarning, match="axes_units, x: 'um' is no unit that OME-Zarr names; it should be 'micrometer'"):
        assert to_ngff_image(np.zeros((4, 4)), axes_units={"x": "um"}).axes_units == {"x": "um"}


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[s]"])
def test_pixels_that_cannot_be_an_image_are_refused(dtype: str) -> None:
    with pytest.raises(DTypeError, match="pixels of this dtype cannot be an image"):
        to_ngff_image(np.zeros((2, 2), dtype))
    with pytest.raises(DTypeError, match="pixels of this dtype cannot be an image"):
        to_ngff_image(da.zeros((2, 2), dtype=dtype))


def test_six_axes_need_dims_that_there_are_not() -> None:
    with pytest.raises(ArgumentError, match="an image has 1 to 5 axes"):
        to_ngff_image(np.zeros((1,) * 6))


def test_pixels_stay_where_they_are_and_are_the_same_memory(backend: Case) -> None:
    array = backend.array(np.arange(24, dtype="uint16").reshape(4, 6))
    with omexp.counting_transfers() as transfers:
        image = to_ngff_image(array)
        held = image.data.compute() if hasattr(image.data, "compute") else image.data
    assert backend.holds(held)
    assert reader_of(image.data).backend == backend.backend
    assert (transfers.to_host_calls, transfers.to_device_calls) == (0, 0)
    assert backend.host(held).tolist() == backend.host(array).tolist()
    if backend.backend.is_host:
        assert reader_of(image.data).array is array  # what writers read


def test_dask_holds_numpy_lazily_and_strict_libraries_as_they_are(backend: Case) -> None:
    array = backend.array(np.zeros((4, 6), "uint8"))
    data = to_ngff_image(array).data
    assert isinstance(data, da.Array) if backend.backend.library in ("numpy", "cupy") else data is array


def test_making_an_image_does_not_read_the_pixels(tmp_path: Path) -> None:
    pixels = np.memmap(tmp_path / "pixels", "uint8", "w+", shape=(1 << 16, 1 << 15))  # 2 GiB; hashing it takes seconds
    start = time.process_time()
    image = to_ngff_image(pixels)
    assert time.process_time() - start < 0.5
    assert image.data[5, :7].compute().tolist() == [0] * 7
    assert reader_of(image.data).array is pixels


def test_a_dask_array_is_taken_as_it_is() -> None:
    array = da.ones((40, 60), chunks=(7, 9), dtype="uint8")
    assert to_ngff_image(array).data is array
    assert not hasattr(array, "_omexp_source")


def test_a_zarr_array_keeps_its_chunks_and_is_read_when_computed() -> None:
    stored = zarr.create_array({}, shape=(40, 60), chunks=(7, 9), dtype=">u2")
    data = to_ngff_image(stored).data
    stored[:] = np.arange(2400).reshape(40, 60)
    assert data.chunksize == (7, 9)
    assert data.compute().tolist() == stored[:].tolist()
    assert data.dtype == np.dtype("uint16")  # in the machine's byte order, as read


def test_the_place_of_a_zarr_array_is_opened_with_the_names_of_its_axes(tmp_path: Path) -> None:
    plain = zarr.create_array(str(tmp_path / "plain.zarr"), shape=(4, 6), dtype="uint8")
    named = zarr.create_array(str(tmp_path / "named.zarr"), shape=(4, 6), dtype="uint8", dimension_names=["x", "y"])
    assert to_ngff_image(tmp_path / "plain.zarr").dims == ["y", "x"]
    assert to_ngff_image(str(tmp_path / "named.zarr")).dims == ["x", "y"]
    named[:] = plain[:] = 3
    assert to_ngff_image(tmp_path / "named.zarr").data.max().compute() == 3


def test_the_place_of_an_image_is_opened_with_its_scale_and_units(tmp_path: Path) -> None:
    image = to_ngff_image(np.eye(8, dtype="uint8"), scale={"y": 0.5}, translation={"x": 4}, axes_units={"y": "micrometer"})
    to_ngff_zarr(tmp_path / "a.ome.zarr", to_multiscales(image, [2]))
    opened = to_ngff_image(tmp_path / "a.ome.zarr")
    assert (opened.dims, opened.scale, opened.translation) == (["y", "x"], {"y": 0.5, "x": 1.0}, {"y": 0.0, "x": 4.0})
    assert opened.axes_units == {"y": "micrometer", "x": None}
    assert opened.data.compute().tolist() == np.eye(8).tolist()
    assert to_ngff_image(tmp_path / "a.ome.zarr", scale={"x": 9}).scale == {"y": 1.0, "x": 9.0}


def test_a_place_with_nothing_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Zarr group"):
        to_ngff_image(tmp_path / "nothing.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_torch_tensor_is_the_same_memory_as_numpy() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(24, dtype=torch.int16).reshape(4, 6).requires_grad_(False)
    image = to_ngff_image(tensor)
    tensor[0, 0] = 99
    assert image.data.compute()[0, 0] == 99
    with pytest.raises(ArgumentError, match="the tensor cannot be seen as an array"):
        to_ngff_image(torch.zeros((2, 2), dtype=torch.bfloat16))


def test_a_stand_in_for_a_torch_tensor_is_seen_through_dlpack() -> None:
    class Tensor:
        """What torch's tensors have, on the CPU."""

        __module__ = "torch"

        def __init__(self, pixels: np.ndarray, kind: str = "cpu") -> None:
            self.pixels, self.shape, self.dtype = pixels, pixels.shape, f"torch.{pixels.dtype}"
            self.device = type("device", (), {"type": kind, "index": 0})()

        def detach(self) -> Tensor:
            return self

        def __dlpack__(self, **options: Any) -> Any:
            return self.pixels.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return self.pixels.__dlpack_device__()

    pixels = np.arange(24, dtype="int16").reshape(4, 6)
    assert np.shares_memory(reader_of(to_ngff_image(Tensor(pixels)).data).array, pixels)
    with pytest.raises(omexp.OmexpError):  # no such device here
        to_ngff_image(Tensor(pixels, "xpu"))


def test_an_image_prints_as_on_the_page_and_never_its_pixels() -> None:
    image = NgffImage(np.zeros((1000, 1000)), ["y", "x"], {"y": 1.0, "x": 1.0}, {"y": 0.0, "x": 0.0})
    assert "data=ndarray(shape=(1000, 1000), dtype=float64)" in repr(image)
