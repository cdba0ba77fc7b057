"""Made-up fields: repeatable, like a camera's, and with nuclei that the segmentation finds."""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.backend import numpy_backend, resolve_backend
from omexp.errors import ArgumentError, DeviceUnavailableError, DTypeError
from omexp.segmentation import otsu_threshold, segment_nuclei
from omexp.synthetic import BACKGROUND, COUNTS_PER_PHOTON, OFFSET, READ_NOISE, synthetic_field, synthetic_labels


def found_one_to_one(found: np.ndarray, truth: np.ndarray) -> int:
    """How many true objects have an object of their own at an intersection over union above 0.5 (then there is only one)."""
    count = 0
    for i in range(1, int(truth.max()) + 1):
        ids, pixels = np.unique(found[truth == i], return_counts=True)
        for number, both in zip(ids.tolist(), pixels.tolist(), strict=True):
            either = np.count_nonzero((truth == i) | (found == number))
            count += number != 0 and both > 0.5 * either
    return count


# ---------------------------------------------------------------------------------------------------------- fields
def test_a_field_is_uint16_channels_planes_rows_columns() -> None:
    field = synthetic_field((2, 48, 64), seed=0, channels=("a", "b"))
    assert field.shape == (2, 2, 48, 64)
    assert field.dtype == np.uint16


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    first, again, other = (synthetic_field((2, 64, 64), seed=s) for s in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pixels_and_labels_are_of_the_same_scene() -> None:
    field, labels = synthetic_field((1, 128, 128), seed=2), synthetic_labels((1, 128, 128), seed=2)
    inside = field[0][labels > 0].mean()
    assert inside > 4 * field[0][labels == 0].mean()


def test_labels_are_ids_without_gaps_and_as_many_as_asked_for() -> None:
    labels = synthetic_labels((3, 256, 256), seed=1, nuclei=12)
    assert labels.dtype == np.uint32
    assert np.unique(labels).tolist() == list(range(13))


def test_some_nuclei_touch() -> None:
    labels = synthetic_labels((1, 512, 512), seed=0)[0]
    left, right = labels[:, :-1], labels[:, 1:]
    assert np.any((left != right) & (left > 0) & (right > 0))


def test_a_field_without_nuclei_is_background_with_the_cameras_noise() -> None:
    field = synthetic_field((1, 256, 256), seed=3, nuclei=0, channels=("empty",))[0, 0, 112:144, 112:144].astype(float)
    photons = (field.mean() - OFFSET) / COUNTS_PER_PHOTON
    assert photons == pytest.approx(BACKGROUND, rel=0.05)
    assert field.var() == pytest.approx(COUNTS_PER_PHOTON**2 * photons + READ_NOISE**2, rel=0.15)  # Poisson: variance is the mean


def test_planes_out_of_focus_are_blurred() -> None:
    nuclei = synthetic_field((5, 256, 256), seed=4)[0].astype(float)
    sharpness = [np.abs(np.diff(plane, axis=1)).max() for plane in nuclei]
    assert np.argmax(sharpness) == 2
    assert sharpness[2] > 1.5 * max(sharpness[0], sharpness[4])


def test_corners_get_less_light_than_the_middle() -> None:
    field = synthetic_field((1, 256, 256), seed=0, nuclei=0, channels=("empty",))[0, 0].astype(float)
    corners = np.concatenate([field[y, x].ravel() for y in (slice(24), slice(-24, None)) for x in (slice(24), slice(-24, None))])
    assert corners.mean() < field[100:156, 100:156].mean() - 15


@pytest.mark.parametrize(
    "wrong", [{"shape": (64, 64)}, {"shape": (1, 0, 64)}, {"seed": -1}, {"nuclei": -2}, {"channels": ()}], ids=lambda w: str(w)
)
def test_a_field_that_cannot_be_made_says_why(wrong: dict[str, Any]) -> None:
    arguments = {"shape": (1, 32, 32), "seed": 0} | wrong
    with pytest.raises(ArgumentError, match="positive|negative|channel"):
        synthetic_field(**arguments)


# ---------------------------------------------------------------------------------------------------- segmentation
@pytest.mark.parametrize("planes", [1, 4])
def test_nine_in_ten_nuclei_of_the_default_field_are_found_one_to_one(planes: int) -> None:
    shape = (planes, 512, 512)
    truth, found = synthetic_labels(shape, seed=0), segment_nuclei(synthetic_field(shape, seed=0)[0])
    count = int(truth.max())
    assert found_one_to_one(found, truth) >= 0.9 * count
    assert int(found.max()) <= 1.1 * count


def test_a_plane_and_a_stack_of_it_have_the_same_nuclei() -> None:
    plane = synthetic_field((1, 128, 128), seed=7)[0, 0]
    assert np.array_equal(segment_nuclei(plane), segment_nuclei(np.stack([plane, plane]))[1])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_labels_are_uint32_without_gaps_whatever_the_dtype_of_the_image(dtype: str) -> None:
    image = (synthetic_field((1, 128, 128), seed=1)[0, 0] // 32).astype(dtype)
    labels = segment_nuclei(image)
    assert labels.dtype == np.uint32
    assert np.unique(labels).tolist() == list(range(int(labels.max()) + 1))
    assert labels.max() >= 3


@pytest.mark.parametrize("shape", [(0, 8), (8, 8), (2, 1, 1), (3, 64, 64)])
def test_an_image_of_one_value_has_no_nuclei(shape: tuple[int, ...]) -> None:
    labels = segment_nuclei(np.full(shape, 7, "uint16"))
    assert labels.shape == shape
    assert not labels.any()


def test_an_empty_field_has_no_nuclei() -> None:
    assert segment_nuclei(synthetic_field((2, 256, 256), seed=9, nuclei=0, channels=("empty",))[0]).max() == 0


def test_small_objects_are_left_out() -> None:
    image = np.zeros((64, 64), "float32")
    image[10:30, 10:30] = image[50:54, 50:54] = 100
    assert segment_nuclei(image).max() == 1
    assert segment_nuclei(image, min_area_px=4).max() == 2


def test_two_touching_discs_are_two_objects() -> None:
    y, x = np.ogrid[:64, :96]
    image = np.where((np.hypot(y - 32, x - 34) < 14) | (np.hypot(y - 32, x - 60) < 14), 1000.0, 10.0)
    labels = segment_nuclei(image)
    assert labels.max() == 2
    assert labels[32, 30] != labels[32, 64]


def test_the_image_is_not_changed() -> None:
    image = synthetic_field((1, 64, 64), seed=0)[0, 0]
    image.flags.writeable = False
    before = image.copy()
    segment_nuclei(image)
    assert np.array_equal(image, before)


@given(st.integers(0, 50), st.floats(20, 200), st.integers(1, 40))
def test_otsus_threshold_parts_two_far_values(low: int, gap: float, bright: int) -> None:
    pixels = np.array([low] * 60 + [low + gap] * bright, "float32")
    assert low <= float(otsu_threshold(pixels)) < low + gap


def test_segmenting_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ArgumentError, match="one channel"):
        segment_nuclei(np.zeros((2, 3, 8, 8)))
    with pytest.raises(DTypeError, match="real numbers"):
        segment_nuclei(np.zeros((8, 8), "complex64"))
    with pytest.raises(ArgumentError, match="positive"):
        segment_nuclei(np.zeros((8, 8)), radius_px=0)
    with pytest.raises(DeviceUnavailableError, match="no ndimage"):
        segment_nuclei(array_api_strict.zeros((8, 8)))


@pytest.mark.gpu
def test_nuclei_on_a_gpu_are_those_on_the_host() -> None:
    try:
        backend = resolve_backend("cuda")
    except DeviceUnavailableError as error:
        pytest.skip(str(error))
    from omexp.backend import backend_of, from_host, to_host

    image = synthetic_field((3, 256, 256), seed=0)[0]
    labels = segment_nuclei(from_host(image, backend))
    assert backend_of(labels) == backend != numpy_backend
    assert found_one_to_one(to_host(labels), segment_nuclei(image)) == int(segment_nuclei(image).max())
