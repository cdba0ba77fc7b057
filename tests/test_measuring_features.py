"""Features by scikit-image's names: its values, the same for every cut, every backend and any number of workers."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omexp.backend import numpy_backend
from omexp.containers.features.measure import WORK_BYTES
from omexp.errors import ArgumentError
from omexp.kernels.shapes import FEATURES
from omexp.measuring import measure_objects
from tests.test_measuring import ArrayReader, skip_without_float64

measure = pytest.importorskip("skimage.measure")

OF_CHANNELS = ["intensity_mean", "intensity_min", "intensity_max", "intensity_std", "intensity_median"]
DIRECTIONS = ("inertia_tensor-0-0", "inertia_tensor-0-1", "inertia_tensor-1-1")


def names_for(ndim: int) -> list[str]:
    return [name for name, feature in FEATURES.items() if ndim == 2 or not feature.flat] + OF_CHANNELS


@st.composite
def drawn(draw: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], tuple[float, ...]]:
    """Labels (discs with holes and rims, or noise), an image of two channels, blocks and a spacing."""
    shape = draw(st.one_of(hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(0, 3, shape).astype("uint16")
    if draw(st.booleans()):
        labels[:] = 0
        for number in (5, 300, 7):
            middle, radii = generator.uniform(0, shape), generator.uniform(0.6, np.maximum(1, np.array(shape) / 2))
            away = sum(((grid - m) / r) ** 2 for grid, m, r in zip(np.indices(shape), middle, radii, strict=True))
            labels[(away < 1) & (generator.random(shape) > draw(st.sampled_from([0, 0.1])))] = number
    image = generator.integers(0, 1000, (2, *shape)).astype(draw(st.sampled_from(["uint8", "uint16", "int32", "float32"])))
    spacing = draw(st.sampled_from([(1.0,) * len(shape), (0.5, 0.5) if len(shape) == 2 else (2.0, 0.5, 0.25)]))
    return labels, image, tuple(draw(st.integers(1, n + 1)) for n in shape), spacing


def measured(labels: np.ndarray, image: np.ndarray, block: tuple[int, ...], features: list[str], **more: Any) -> dict[str, np.ndarray]:
    backend = more.pop("backend", numpy_backend)
    images = {str(k): ArrayReader(channel, backend) for k, channel in enumerate(image)}
    return measure_objects(ArrayReader(labels, backend), images, block, axes="zyx"[-labels.ndim :], features=features, **more)


@given(case=drawn())
@settings(max_examples=12)
def test_names_and_values_are_those_of_regionprops_table(case):
    labels, image, block, spacing = case
    names = names_for(labels.ndim)
    found = measured(labels, image, block, names, spacing=spacing, workers=2)
    if not labels.any():
        assert all(column.shape == (0,) for column in found.values())
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of objects without a hull
        expected = measure.regionprops_table(labels, np.moveaxis(image, 0, -1), ["label", *names], spacing=spacing)
    assert list(found) == list(expected)
    flat = expected["area_convex"] == 0  # all voxels in one plane: scikit-image says 0 and inf
    directed = np.ones(flat.shape, bool)
    if labels.ndim == 2:
        high, across, low = (expected[name] for name in DIRECTIONS)
        directed = np.hypot(high - low, across) > 1e-9  # as wide in all directions: rounding decides the angle there
    for name, column in expected.items():
        if name in ("area_convex", "solidity"):
            assert np.isnan(found[name][flat]).all()
            np.testing.assert_allclose(found[name][~flat], column[~flat], rtol=1e-12, err_msg=name)
        elif name == "orientation":
            np.testing.assert_allclose(np.sin(2 * found[name])[directed], np.sin(2 * column)[directed], atol=1e-6, err_msg=name)
            np.testing.assert_allclose(np.cos(2 * found[name])[directed], np.cos(2 * column)[directed], atol=1e-6, err_msg=name)
        else:
            # lengths are roots: a rounding of 1e-14 in a moment that is 0 shows as 1e-7
            rough = name.startswith(("axis", "eccentricity"))
            np.testing.assert_allclose(found[name], column, rtol=1e-6, atol=1e-5 if rough else 1e-9, err_msg=name)


@given(case=drawn())
@settings(max_examples=6)
def test_every_cut_and_any_number_of_workers_give_the_same_bits(case):
    labels, image, block, spacing = case
    names = [*names_for(labels.ndim), "intensity_sum"]
    whole = measured(labels, image, labels.shape, names, spacing=spacing, percentiles=(10, 95.5))
    cut = measured(labels, image, block, names, spacing=spacing, percentiles=(10, 95.5), workers=3)
    assert list(whole) == list(cut)
    for name in whole:
        if image.dtype.itemsize > 2 and name.startswith(("intensity_mean", "intensity_std")):
            np.testing.assert_allclose(cut[name], whole[name], rtol=1e-12, err_msg=name)
        else:
            assert whole[name].tobytes() == cut[name].tobytes(), name


@given(case=drawn())
@settings(max_examples=3)
def test_every_backend_gives_the_same_features(backend, case):
    skip_without_float64(backend)
    labels, image, block, _ = case
    names = names_for(labels.ndim)
    on_host, elsewhere = (measured(labels, image, block, names, backend=where) for where in (numpy_backend, backend.backend))
    assert {name: column.tobytes() for name, column in on_host.items()} == {name: c.tobytes() for name, c in elsewhere.items()}


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int64"])
@pytest.mark.parametrize("block", [(64, 64), (7, 5)])
def test_percentiles_are_those_of_numpy(dtype, block):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (30, 40)).astype("uint8")
    image = (generator.normal(size=(1, 30, 40)) * 1000 + 5000).astype(dtype)
    found = measured(labels, image, block, [], percentiles=(0, 12.5, 50, 99, 100), workers=2)
    for q in (0, 12.5, 50, 99, 100):
        expected = [np.percentile(image[0][labels == number].astype("f8"), q) for number in (1, 2, 3)]
        np.testing.assert_allclose(found[f"intensity_percentile_{q:g}-0"], expected, rtol=1e-14)


def test_a_small_spread_on_a_large_offset_survives_every_cut():
    image = (1e9 + np.tile([0.0, 1.0], 512)).reshape(1, 32, 32)
    for block in ((32, 32), (5, 7)):
        found = measured(np.ones((32, 32), "uint8"), image, block, ["intensity_std"])
        np.testing.assert_allclose(found["intensity_std-0"], 0.5, rtol=1e-12)


def test_medians_of_objects_with_nan_are_nan_and_infinities_stay():
    labels = np.array([[1, 1, 1, 2, 2, 2]], "uint8")
    image = np.array([[[1, np.nan, 3, 1, np.inf, np.inf]]], "float32")
    for block in ((1, 6), (1, 2)):
        found = measured(labels, image, block, ["intensity_median"])
        np.testing.assert_array_equal(found["intensity_median-0"], [np.nan, np.inf])


def test_only_what_is_asked_for_is_read():
    labels, image = ArrayReader(np.ones((8, 8), "uint8")), ArrayReader(np.ones((8, 8), "uint8"))
    measure_objects(labels, {"0": image}, (4, 4), axes="yx", features=["solidity", "perimeter"])
    assert (len(labels.regions), len(image.regions)) == (4, 0)  # each block once, though perimeters look beyond it
    measure_objects(labels, {"0": image}, (4, 4), axes="yx", features=["intensity_median"])
    assert (len(labels.regions), len(image.regions)) == (4 + 8, 4)  # percentiles look at the labels twice


@pytest.mark.parametrize("features", [["intensity_std", "orientation"], ["perimeter", "euler_number"], ["intensity_median"]])
def test_memory_is_that_of_the_blocks_in_hand(features):
    labels = np.kron(np.arange(1, 257, dtype="uint32").reshape(16, 16), np.ones((64, 64), "uint32"))
    labels[::64] = 0
    image = np.random.default_rng(0).integers(0, 4000, (1, 1024, 1024)).astype("uint16")
    measured(labels, image, (256, 256), features)  # what is loaded late
    tracemalloc.start()
    measured(labels, image, (256, 256), features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 * 256 * (2 * 4 + 2 * 2 + WORK_BYTES)


def test_progress_rises_to_all_bytes():
    heard: list[tuple[int, int]] = []
    measured(np.ones((8, 8), "uint16"), np.ones((2, 8, 8), "uint8"), (4, 4), ["area"], progress=lambda *now: heard.append(now))
    assert heard == [(64, 256), (128, 256), (192, 256), (256, 256)]


def test_the_page_describes_every_feature():
    page = (Path(__file__).parents[1] / "docs" / "features.md").read_text(encoding="utf-8")
    for name, feature in FEATURES.items():
        axes = "2" if feature.flat else "2, 3"
        assert f"| `{name}` | {axes} | " in page, name
        assert feature.meaning.rstrip(".").split("(")[0] in page, name
    assert all(f"`{name}`" in page for name in OF_CHANNELS)


@pytest.mark.parametrize(
    ("shape", "more", "message"),
    [
        ((2, 2, 2), {"features": ["eccentricity"]}, "features: this feature is not defined for so many axes; got 'eccentricity' of 3 axes"),
        ((2, 2, 2), {"features": ["area", "perimeter"]}, "got 'perimeter' of 3 axes; allowed: 2 axes"),
        ((2,), {"features": ["euler_number"]}, "allowed: 2 or 3 axes"),
        (
            (2, 2),
            {"features": ["major_axis_length"]},
            "there is no such feature; got 'major_axis_length'.*Did you mean 'axis_major_length'",
        ),
        ((2, 2), {"features": ["perimeter"], "spacing": (1.0, 2.0)}, "needs pixels of one size along both axes"),
        ((2, 2), {"features": ["intensity_mean"]}, "this feature needs an image; got 'intensity_mean'"),
        ((2, 2), {"features": "area"}, r"must be a list of names; got 'area'. Write \['area'\]"),
        ((2, 2), {"percentiles": (5,)}, "percentiles need an image"),
        ((2, 2), {"percentiles": (105,)}, "a percentile must lie between 0 and 100"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_read(shape, more, message):
    labels = ArrayReader(np.ones(shape, "uint8"))
    with pytest.raises(ArgumentError, match=message):
        measure_objects(labels, {}, shape, axes="zyx"[-len(shape) :], **more)
    assert labels.regions == []
