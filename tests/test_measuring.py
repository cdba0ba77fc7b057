"""Measuring objects block by block: exact, and the same for every cut and every backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omexp.backend import Backend, counting_transfers, from_host, numpy_backend
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.geometry import Region
from omexp.measuring import measure_objects
from tests import reference_labels as reference


@dataclass
class ArrayReader:
    """A host array read through a backend; remembers which regions were asked for."""

    array: np.ndarray
    backend: Backend = numpy_backend
    regions: list[Region] = field(default_factory=list)

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def read(self, region: Region) -> Any:
        self.regions.append(region)
        return from_host(self.array[region.slices], self.backend)


axes_of = {1: "x", 2: "yx", 3: "zyx"}
exact = ("label", "area", "bbox_", "centroid_", "min_", "max_")

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7)
dtypes = st.sampled_from(["bool", "uint8", "int16", "uint32", "int64", "float32", "float64"])


@st.composite
def cases(draw: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    shape = draw(shapes)
    labels = draw(hnp.arrays(st.sampled_from(["uint8", "int32", "uint64"]), shape, elements=st.integers(0, 3)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = (generator.uniform(size=shape) * 200).astype(draw(dtypes))
    return labels, image, tuple(draw(st.integers(1, n + 1)) for n in shape)


def measured(backend: Backend, labels: np.ndarray, image: np.ndarray, block: tuple[int, ...], **more: Any) -> dict[str, np.ndarray]:
    images = {"dna": ArrayReader(image, backend)}
    return measure_objects(ArrayReader(labels, backend), images, block, axes=axes_of[labels.ndim], **more)


def skip_without_float64(backend: Any) -> None:
    if not backend.supports("float64"):
        pytest.skip("this device has no float64")


# --------------------------------------------------------------------------------------------------- the values
@given(case=cases())
def test_columns_equal_a_loop_over_the_pixels(backend, case):
    skip_without_float64(backend)
    labels, image, block = case
    spacing = (0.5, 0.25, 3.0)[: labels.ndim]
    found = measured(backend.backend, labels, image, block, spacing=spacing)
    expected = reference.objects(labels, {"dna": image}, axes_of[labels.ndim], spacing)
    for name, values in expected.items():
        if name.startswith(exact) or (name == "sum_dna" and image.dtype.kind != "f"):
            assert found[name].tolist() == values, name
        else:
            np.testing.assert_allclose(found[name], np.array(values, "f8"), rtol=1e-12, atol=1e-13, err_msg=name)
    assert all(len(column) == len(expected.get("label", [])) for column in found.values())


@given(case=cases())
def test_every_cut_gives_the_same_table(case):
    labels, image, block = case
    whole, cut = (measured(numpy_backend, labels, image, cells) for cells in (labels.shape, block))
    assert list(whole) == list(cut)
    for name in whole:
        assert whole[name].dtype == cut[name].dtype
        if name.startswith(exact) or (image.dtype.kind != "f" and name in ("sum_dna", "mean_dna")):
            assert whole[name].tobytes() == cut[name].tobytes(), name
        else:
            np.testing.assert_allclose(cut[name], whole[name], rtol=1e-12, atol=1e-13, err_msg=name)


@given(case=cases())
def test_every_backend_gives_the_same_bits(backend, case):
    skip_without_float64(backend)
    labels, image, block = case
    on_host, elsewhere = (measured(where, labels, image, block) for where in (numpy_backend, backend.backend))
    for name, column in on_host.items():
        assert column.dtype == elsewhere[name].dtype
        assert column.tobytes() == elsewhere[name].tobytes(), name


def test_the_columns_are_named_typed_and_ordered():
    labels = np.array([[2, 0], [2, 9]], "uint16")
    images = {"dna": ArrayReader(np.ones((2, 2), "int8")), "gfp": ArrayReader(np.ones((2, 2), "float32"))}
    found = measure_objects(ArrayReader(labels), images, (2, 2), axes="yx", spacing=(0.5, 0.5))
    shape = "label area volume bbox_min_y bbox_min_x bbox_max_y bbox_max_x centroid_y centroid_x"
    channels = " ".join(f"mean_{c} std_{c} min_{c} max_{c} sum_{c}" for c in ("dna", "gfp"))
    assert list(found) == f"{shape} {channels}".split()
    kinds = {name: column.dtype.name for name, column in found.items()}
    assert kinds["label"] == "uint16"
    assert kinds["area"] == kinds["bbox_max_x"] == kinds["sum_dna"] == "int64"
    assert (kinds["min_dna"], kinds["max_gfp"], kinds["sum_gfp"]) == ("int8", "float32", "float64")
    assert found["volume"].tolist() == [0.5, 0.25]


def test_without_channels_the_table_holds_shapes_alone():
    found = measure_objects(ArrayReader(np.array([0, 4, 4], "int8")), {}, (2,), axes="x")
    assert {name: column.tolist() for name, column in found.items()} == {
        "label": [4],
        "area": [2],
        "volume": [2.0],
        "bbox_min_x": [1],
        "bbox_max_x": [3],
        "centroid_x": [1.5],
    }


def test_a_small_spread_on_a_large_offset_survives_every_cut():
    image = 1e9 + np.tile([0.0, 1.0], 512).reshape(32, 32)
    for block in ((32, 32), (5, 7), (1, 1)):
        found = measured(numpy_backend, np.ones((32, 32), "uint8"), image, block)
        np.testing.assert_allclose(found["std_dna"], 0.5, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "value"), [("uint64", 2**62 + 1), ("int64", -(2**61) - 1), ("uint16", 65535)])
def test_integer_sums_are_exact_in_64_bits(backend, dtype, value):
    skip_without_float64(backend)
    image = np.full((1, 3), value, dtype)
    assert measured(backend.backend, np.ones((1, 3), "uint8"), image, (1, 2))["sum_dna"].tolist() == [3 * value]


@pytest.mark.parametrize(("dtype", "value"), [("uint64", 2**63), ("int64", -(2**62))])
def test_sums_that_may_pass_64_bits_are_refused(backend, dtype, value):
    skip_without_float64(backend)
    with pytest.raises(DTypeError, match=f"channel 'dna': sums of {dtype} pixels may pass 64 bits"):
        measured(backend.backend, np.ones((1, 2), "uint8"), np.full((1, 2), value, dtype), (1, 1))


def test_an_object_with_a_nan_or_an_infinity_spoils_no_other():
    labels = np.array([[1, 1, 2, 2, 3, 3]], "uint8")
    found = measured(numpy_backend, labels, np.array([[1, np.nan, 1, np.inf, 1, 3]], "float32"), (1, 1))
    assert np.isnan(found["mean_dna"]).tolist() == [True, False, False]
    assert found["mean_dna"][1:].tolist() == [np.inf, 2.0]
    assert np.isnan(found["std_dna"]).tolist() == [True, True, False]
    assert found["max_dna"][1:].tolist() == [np.inf, 3.0]


def test_big_endian_pixels_are_measured_like_any():
    labels, image = np.array([[1, 1, 7]], ">u4"), np.array([[1.5, 2.5, 3.0]], ">f4")
    found = measured(numpy_backend, labels, image, (1, 2))
    assert found["label"].tolist() == [1, 7]
    assert found["mean_dna"].tolist() == [2.0, 3.0]


# --------------------------------------------------------------------------------------------------- the engine
def test_each_block_is_read_once_and_image_blocks_without_objects_are_not_read():
    labels = np.zeros((4, 6), "uint8")
    labels[0, 0] = labels[3, 5] = 1
    reader, image = ArrayReader(labels), ArrayReader(np.ones((4, 6), "uint8"))
    measure_objects(reader, {"dna": image}, (2, 2), axes="yx")
    assert len(reader.regions) == len({region.start for region in reader.regions}) == 6
    assert [region.start for region in image.regions] == [(0, 0), (2, 4)]


@pytest.mark.parametrize("shape", [(0, 4), (3, 3)])
def test_where_there_is_no_object_the_columns_are_empty_and_keep_their_dtypes(backend, shape):
    skip_without_float64(backend)
    labels, image = np.zeros(shape, "uint32"), np.ones(shape, "uint16")
    none = measured(backend.backend, labels, image, (2, 2))
    one = measured(backend.backend, np.ones((1, 1), "uint32"), np.ones((1, 1), "uint16"), (2, 2))
    assert all(column.shape == (0,) for column in none.values())
    assert list(none) == list(one)
    assert [column.dtype for column in none.values()] == [column.dtype for column in one.values()]


def test_only_the_finished_columns_leave_the_device():
    device = Backend(array_api_strict, array_api_strict.Device("device1"))
    labels = np.random.default_rng(0).integers(0, 5, (8, 8)).astype("uint8")
    with counting_transfers() as transfers:
        found = measured(device, labels, labels, (3, 3))
    assert transfers.to_host_calls == len(found)
    assert transfers.to_host_bytes == sum(column.nbytes for column in found.values())


# --------------------------------------------------------------------------------------------------- refusals
def test_readers_of_another_shape_backend_or_dtype_are_refused():
    labels = ArrayReader(np.ones((2, 2), "uint8"))
    for array, error, message in [
        (np.ones((2, 3), "uint8"), ArgumentError, "channel 'dna': image and labels must have the same shape"),
        (np.ones((2, 2), "complex64"), DTypeError, "channel 'dna': only real numbers can be measured"),
    ]:
        with pytest.raises(error, match=message):
            measure_objects(labels, {"dna": ArrayReader(array)}, (1, 1), axes="yx")
    strict = Backend(array_api_strict, array_api_strict.Device("CPU_DEVICE"))
    with pytest.raises(BackendMismatchError, match="channel 'dna': image and labels must be read on one backend"):
        measure_objects(labels, {"dna": ArrayReader(np.ones((2, 2), "uint8"), strict)}, (1, 1), axes="yx")


def test_float_labels_are_refused_before_anything_is_read():
    reader = ArrayReader(np.ones((2, 2), "float32"))
    with pytest.raises(DTypeError, match="labels must be integers; got float32"):
        measure_objects(reader, {}, (1, 1), axes="yx")
    assert reader.regions == []


@pytest.mark.parametrize("block", [(0, 1), (1,), (1, 1, 1), (2, -1)])
def test_blocks_must_have_one_positive_entry_per_axis(block):
    with pytest.raises(ArgumentError, match="block_shape: a block must have one positive entry per axis"):
        measure_objects(ArrayReader(np.ones((2, 2), "uint8")), {}, block, axes="yx")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"axes": "zyx"}, "axes: axes must name each axis"),
        ({"axes": "xx"}, "axes: axes must name each axis"),
        ({"axes": "yx", "spacing": (1.0,)}, "spacing: spacing must have one positive entry"),
        ({"axes": "yx", "spacing": (1.0, 0.0)}, "spacing: spacing must have one positive entry"),
    ],
)
def test_axes_and_spacing_must_fit_the_labels(more, message):
    with pytest.raises(ArgumentError, match=message):
        measure_objects(ArrayReader(np.ones((2, 2), "uint8")), {}, (1, 1), **more)
