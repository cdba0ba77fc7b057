"""The gaussian: its taps, its borders, its bits on every backend, and ngff-zarr's."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.backend import Backend, backend_of, numpy_backend
from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Region, level_shape
from omexp.kernels import _host_gaussian, gaussian
from omexp.kernels.gaussian import MAX_FACTOR, gaussian_halo, gaussian_taps
from omexp.kernels.windows import downsample
from tests.reference import downsample_reference, gaussian_taps_reference

INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]


def pixels(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random pixels over the whole range of the dtype; floats around 0, now and then with NaN, inf and both zeros."""
    random, wanted = np.random.default_rng(seed), np.dtype(dtype)
    if wanted.kind == "b":
        return random.integers(0, 2, shape).astype(bool)
    if wanted.kind in "iu":
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
        noise = random.integers(low, high, shape, dtype=wanted, endpoint=True)
        return noise if seed % 3 else random.choice(np.array([low, high, high - 1], wanted), shape)
    noise = random.normal(0, 100, shape).astype(wanted)
    special = random.choice(np.array([np.nan, np.inf, -np.inf, -0.0], wanted), shape)
    return noise if seed % 3 else np.where(random.random(shape) < 0.9, noise, special)


@st.composite
def jobs(draw: st.DrawFn, dtypes: list[str]) -> tuple[np.ndarray, tuple[int, ...]]:
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(0, {1: 40, 2: 14, 3: 7}[ndim]), min_size=ndim, max_size=ndim)))
    factors = tuple(draw(st.lists(st.integers(1, 6), min_size=ndim, max_size=ndim)))
    return pixels(draw(st.integers(0, 2**32)), shape, draw(st.sampled_from(dtypes))), factors


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal bit for bit, any NaN for any NaN."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)
    if found.dtype.kind == "f":
        numbers = ~np.isnan(found)
        np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


def portable(array: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """The body for every library, run by NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaussian, "native", lambda name, backend: None)
        return downsample(array, factors, method="gaussian")


# ------------------------------------------------------------------------------------------------------------ taps
@pytest.mark.parametrize("factor", [*range(2, 18), 31, 64, 255, MAX_FACTOR])
def test_taps_are_scipys_bessel_functions_normalised(factor: int) -> None:
    taps = gaussian_taps(factor)
    np.testing.assert_allclose(taps, gaussian_taps_reference(factor), rtol=1e-11)
    assert math.isclose(math.fsum(taps), 1.0, rel_tol=1e-15)
    assert len(taps) % 2 == factor % 2 and taps == taps[::-1]
    assert len(taps) == factor + 2 * gaussian_halo(factor)


def test_taps_are_those_that_itk_was_seen_to_use() -> None:
    assert [round(tap, 5) for tap in gaussian_taps(2)] == [0.01096, 0.09296, 0.39609, 0.39609, 0.09296, 0.01096]
    assert [round(tap, 5) for tap in gaussian_taps(3)[:4]] == [0.01692, 0.07336, 0.22032, 0.37879]
    assert [round(tap, 5) for tap in gaussian_taps(4)[:5]] == [0.00671, 0.02827, 0.07608, 0.15670, 0.23225]
    radii = {factor: (len(gaussian_taps(factor)) - 1) // 2 for factor in (2, 3, 4, 5, 8, 16)}
    assert radii == {2: 2, 3: 3, 4: 4, 5: 5, 8: 9, 16: 18}


def test_factor_1_has_one_tap_and_no_halo() -> None:
    assert gaussian_taps(1) == (1.0,)
    assert gaussian_halo(1) == 0


# --------------------------------------------------------------------------------------------------------- meaning
@pytest.mark.parametrize("factor", [2, 3])
def test_one_bright_pixel_shows_the_taps(factor: int) -> None:
    taps, line = gaussian_taps(factor), np.zeros(factor * 9)
    line[factor * 4] = 1.0  # the first pixel of window 4 is tap `halo` of it, and one `factor` further on of each window before
    found = downsample(line, factor, method="gaussian")
    for p in range(9):
        k = gaussian_halo(factor) + (4 - p) * factor
        assert found[p] == (taps[k] if 0 <= k < len(taps) else 0.0)


def test_border_pixels_are_repeated() -> None:
    line = np.array([5, 1, 0, 2, 7, 9, 4, 4, 4, 4, 8], "float64")
    for factor in (2, 3, 4):
        longer = np.pad(line, 12 * factor, mode="edge")
        expected = downsample(longer, factor, method="gaussian")[12 : 12 - (-len(line) // factor)]
        np.testing.assert_array_equal(downsample(line, factor, method="gaussian"), expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_constant_stays_what_it_is_and_the_largest_integers_do_not_wrap(dtype: str) -> None:
    limits = (False, True) if dtype == "bool" else (np.iinfo(dtype).min, 1, np.iinfo(dtype).max)
    for value in limits:
        array = np.full((9, 11), value, dtype)
        np.testing.assert_array_equal(downsample(array, (2, 3), method="gaussian"), np.full((5, 4), value, dtype))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_the_largest_64_bit_integers_do_not_wrap_on_any_backend(backend: Any, dtype: str) -> None:
    if not backend.supports("float64"):
        pytest.skip("no float64 here")
    top = np.iinfo(dtype).max
    array = np.array([top, top - 1, top, top, top - 600, 0, 0, 0], dtype)
    found = backend.host(downsample(backend.array(array), 2, method="gaussian"))
    assert_same(found, downsample_reference(array, (2,), "gaussian"))
    assert found[0] > 0.9 * top


def test_integers_are_rounded_half_to_even_once_at_the_end() -> None:
    # the centre of 2 x 2 equal pairs lies half-way: 0.5 -> 0, 1.5 -> 2
    for low, expected in ((0, 0), (1, 2)):
        line = np.array([low] * 40 + [low + 1] * 40, "uint8")
        found = downsample(line[1:], 2, method="gaussian")  # the step lies in the middle of window 19
        assert found[19] == expected
    two_axes = np.array([[0, 0, 1, 1]] * 4, "uint8")  # along y nothing changes: rounding there would be harmless, along x it is not
    np.testing.assert_array_equal(downsample(two_axes, 2, method="gaussian"), [[0, 1], [0, 1]])


def test_bools_are_0_and_1_and_true_above_a_half() -> None:
    line = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1], bool)
    found = downsample(line, 2, method="gaussian")
    as_float = downsample(line.astype("float32"), 2, method="gaussian")
    np.testing.assert_array_equal(found, as_float > 0.5)
    assert found.dtype == bool


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_nan_spreads_to_the_pixels_that_weigh_it_and_no_further(factor: int) -> None:
    line = np.zeros(20 * factor, "float32")
    place = 10 * factor
    line[place] = np.nan
    found = np.isnan(downsample(line, factor, method="gaussian"))
    weigh = [abs(2 * p * factor + factor - 1 - 2 * place) < len(gaussian_taps(factor)) for p in range(20)]
    assert found.tolist() == weigh and any(weigh) and not all(weigh)


def test_inf_minus_inf_is_nan_and_warns_nobody() -> None:
    found = downsample(np.array([np.inf, -np.inf, 3e38, 3e38] + [3e38] * 8, "float32"), 2, method="gaussian")
    assert np.isnan(found[0])
    assert found[-1] == np.inf  # two pixels are added before they are weighed
    assert downsample(np.full(8, 6e4, "float16"), 2, method="gaussian").tolist() == [6e4] * 4


def test_axes_of_factor_1_and_of_one_pixel_are_not_filtered() -> None:
    array = pixels(1, (3, 8, 8), "float32")
    expected = np.stack([downsample(plane, 2, method="gaussian") for plane in array])
    assert_same(downsample(array, (1, 2, 2), method="gaussian"), expected)
    flat = array[:1]
    assert_same(downsample(flat, (10**5, 2, 2), method="gaussian"), expected[:1])
    assert_same(downsample(np.full((1, 1), 0.1), 2, method="gaussian"), np.full((1, 1), 0.1))


def test_factors_may_exceed_an_axis_and_empty_axes_stay_empty() -> None:
    array = np.array([[1, 3], [5, 7]], "float64")  # the centre of a window of 400 is far beyond the edge, where its pixels are repeated
    assert_same(downsample(array, 400, method="gaussian"), downsample_reference(array, (400, 400), "gaussian"))
    assert downsample(np.zeros((0, 5, 3), "uint8"), (2, 3, 1), method="gaussian").shape == (0, 2, 3)
    assert downsample(np.array(5.0), 2, method="gaussian").shape == ()


@pytest.mark.parametrize("method", ["mean", "gaussian"])
@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_a_ramp_keeps_its_place_away_from_the_border(method: str, factor: int) -> None:
    z, y, x = np.ogrid[0 : 10 * factor, 0 : 10 * factor, 0 : 8 * factor]
    small = downsample(1000.0 * z + 10.0 * y - 3.0 * x, factor, method=method)
    z, y, x = (p * factor + (factor - 1) / 2 for p in np.ogrid[0:10, 0:10, 0:8])  # where the metadata puts a pixel's centre
    inside = (slice(2, -2),) * 3
    np.testing.assert_allclose(small[inside], (1000 * z + 10 * y - 3 * x)[inside], rtol=1e-12)


# ------------------------------------------------------------------------------------------------ on every backend
@settings(max_examples=30)
@given(data=st.data())
def test_every_backend_equals_the_reference_bit_for_bit(backend: Any, data: st.DataObject) -> None:
    has_float64 = backend.supports("float64")
    narrow = ["bool", "int8", "int16", "uint8", "uint16", "float16", "float32"]
    dtypes = [dtype for dtype in INTEGERS + FLOATS if backend.supports(dtype) and (has_float64 or dtype in narrow)]
    array, factors = data.draw(jobs(dtypes))
    given_array = backend.array(array)
    found = downsample(given_array, factors, method="gaussian")
    assert backend.holds(found)
    assert found.dtype == given_array.dtype
    assert_same(backend.host(found), downsample_reference(array, factors, "gaussian"))
    assert_same(backend.host(given_array), array)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_wide_pixels_on_a_device_without_float64_are_refused(dtype: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    lacking = Backend(strict, strict.Device("no_float64"))
    array = lacking.full((8, 8), 1, dtype)
    with pytest.raises(DTypeError, match=f"gaussian of {dtype} pixels is computed in float64, which this device lacks.*up to 16 bits"):
        downsample(array, 2, method="gaussian")
    assert backend_of(downsample(lacking.full((8, 8), 1, "uint16"), 2, method="gaussian")) == lacking


# ---------------------------------------------------------------------------------------------------- the NumPy body
@settings(max_examples=120)
@given(job=jobs(INTEGERS + FLOATS), tile_bytes=st.sampled_from([1, 2000, 3 * 2**20]), long_px=st.sampled_from([1, 12, 4096]))
def test_the_numpy_body_equals_the_portable_one_bit_for_bit(job: Any, tile_bytes: int, long_px: int) -> None:
    array, factors = job
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host_gaussian, "TILE_BYTES", tile_bytes)
        patch.setattr(_host_gaussian, "LONG_PX", long_px)
        assert_same(downsample(array, factors, method="gaussian"), portable(array, factors))


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "reversed": lambda array: array[::-1, ::-1],
    "every second": lambda array: np.repeat(np.repeat(array, 2, 0), 2, 1)[::2, ::2],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "broadcast": lambda array: np.broadcast_to(array[:, :1], array.shape),
    "transposed": lambda array: array.T,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float32"])
def test_any_memory_layout_gives_the_same_pixels(layout: str, dtype: str) -> None:
    array = LAYOUTS[layout](pixels(5, (20, 22), dtype))
    plain = np.ascontiguousarray(array).astype(dtype)
    for factors in ((2, 2), (3, 4), (1, 5)):
        found = downsample(array, factors, method="gaussian")
        assert found.dtype == array.dtype
        assert_same(found.astype(dtype), downsample_reference(plain, factors, "gaussian"))


def test_long_doubles_keep_their_precision() -> None:
    array = np.full((4, 6), 1, np.longdouble) / 3
    found = downsample(array, 2, method="gaussian")
    assert found.dtype == np.longdouble
    np.testing.assert_allclose(found, array[:2, :3], rtol=1e-15)
    assert_same(found, portable(array, (2, 2)))


def test_many_threads_give_the_same_pixels() -> None:
    arrays = [pixels(seed, (6, 130, 127), "uint16") for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda array: downsample(array, 2, method="gaussian"), arrays))
    for array, reduced in zip(arrays, found, strict=True):
        assert_same(reduced, portable(array, (2, 2, 2)))


@pytest.mark.parametrize("shape", [(64, 512, 512), (1, 4096, 4096), (2**22,), (3, 1024, 1024, 3), (100000, 2)])
def test_tiles_fit_the_cache_and_cover_the_target(shape: tuple[int, ...]) -> None:
    factors = (1,) * (len(shape) - 2) + (2, 2) if len(shape) > 1 else (2,)
    tile = _host_gaussian._tile_shape(level_shape(shape, factors), factors, np.dtype("float32"))
    assert math.prod(_host_gaussian._padded_shape(tile, factors)) * 4 <= _host_gaussian.TILE_BYTES
    assert all(1 <= t <= n for t, n in zip(tile, level_shape(shape, factors), strict=True))


def test_the_border_of_a_box_inside_the_array_is_not_repeated() -> None:
    array = pixels(1, (40,), "float32")
    target = Region((5,), (7,))
    box = Region((8,), (16,))
    for body in (_host_gaussian.filter_box, gaussian.filter_box):
        found = body(array[8:16], box, target, (2,), np.dtype("float32"))
        np.testing.assert_array_equal(found, downsample(array, 2, method="gaussian")[5:7])
    assert backend_of(found) == numpy_backend


# -------------------------------------------------------------------------------------------------------- ngff-zarr
@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("windows", [(30, 37), (10, 12, 14)], ids=["2-D", "3-D"])
def test_pixels_are_within_one_grey_value_of_ngff_zarr(windows: tuple[int, ...], factor: int, dtype: str) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    array = pixels(1, tuple(n * factor for n in windows), dtype)
    image, method = ngff_zarr.to_ngff_image(array), ngff_zarr.Methods.ITKWASM_GAUSSIAN
    theirs = ngff_zarr.to_multiscales(image, scale_factors=[factor], method=method).images[1].data.compute()
    ours = downsample(array, factor, method=method)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if array.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(array).max())
    else:
        difference = np.abs(ours.astype("int64") - theirs)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01  # single steps that round the other way


# ----------------------------------------------------------------------------------------------------------- errors
def test_a_factor_above_the_limit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="gaussian: the factor is too large; got 1025; allowed: 1 to 1024. Take the step in two"):
        downsample(np.zeros(5000), MAX_FACTOR + 1, method="gaussian")
    assert downsample(np.zeros(3000), MAX_FACTOR, method="gaussian").shape == (3,)
