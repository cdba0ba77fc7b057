"""Windows of pixels to one pixel: the meaning of a pyramid, on every backend, and TensorStore's."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.backend import native, numpy_backend
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.geometry import blocks
from omexp.kernels import _host, windows
from omexp.kernels.methods import Methods
from omexp.kernels.windows import METHODS, downsample, reduce_windows
from tests.reference import downsample_reference

INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]
SIX = ["mean", "median", "mode", "min", "max", "nearest"]  # TensorStore's
EIGHT = [*SIX, "label_image", "central"]  # all but the gaussian, whose tests are in test_gaussian.py


def pixels(seed: int, shape: tuple[int, ...], dtype: str, kind: str = "any") -> np.ndarray:
    """Random pixels: the whole range, a few small values (ties), or the extremes of the dtype."""
    random, wanted = np.random.default_rng(seed), np.dtype(dtype)
    if kind == "any":
        kind = ("range", "few", "extreme")[random.integers(3)]
    if wanted.kind == "b":
        return random.integers(0, 2, shape).astype(bool)
    if wanted.kind in "iu":
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
        if kind == "range":
            return random.integers(low, high, shape, dtype=wanted, endpoint=True)
        values = [low, low + 1, high - 1, high, high // 2] if kind == "extreme" else [0, 1, 2, 3]
        return random.choice(np.array(values, wanted), shape)
    if kind == "range":
        return random.normal(0, 1, shape).astype(wanted)
    limits = np.finfo(wanted)
    if kind == "extreme":
        values = [0.0, limits.max, limits.min, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal, np.inf, -np.inf]
    else:
        values = [0.0, 1.0, 2.0, -1.0] if kind == "few" else [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf]
    return random.choice(np.array(values, wanted), shape)


@st.composite
def jobs(draw: st.DrawFn, dtypes: list[str], kind: str = "any") -> tuple[np.ndarray, tuple[int, ...]]:
    ndim = draw(st.integers(1, 4))
    longest = {1: 17, 2: 17, 3: 9, 4: 6}[ndim]
    shape = tuple(draw(st.lists(st.integers(0, longest) | st.sampled_from([1, 17]), min_size=ndim, max_size=ndim)))
    factors = tuple(draw(st.lists(st.integers(1, 5), min_size=ndim, max_size=ndim)))
    return pixels(draw(st.integers(0, 2**32)), shape, draw(st.sampled_from(dtypes)), kind), factors


def assert_same(found: np.ndarray, expected: np.ndarray, *, signs: bool = True) -> None:
    """Equal bit for bit, any NaN for any NaN; ``signs=False``: -0.0 for 0.0 too."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)
    if signs and found.dtype.kind == "f":
        numbers = ~np.isnan(found)
        np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))


# ----------------------------------------------------------------------------------------------- meaning, by example
def test_a_mean_rounds_half_to_even() -> None:
    assert downsample(np.array([0, 1, 1, 2, 2, 3, -1, 0, -2, -1]), 2).tolist() == [0, 2, 2, 0, -2]


def test_the_mean_of_the_largest_64_bit_integers_is_exact() -> None:
    top = 2**64 - 1
    assert downsample(np.array([top, top, top, top - 3, 7, top], "uint64"), 2).tolist() == [top, top - 1, 2**63 + 3]
    low, high = -(2**63), 2**63 - 1
    assert downsample(np.array([low, low, high, high, low, high, low, low + 1], "int64"), 2).tolist() == [low, high, 0, low]


def test_a_mode_with_a_tie_is_the_lowest_value() -> None:
    assert downsample(np.array([[7, 3, 5, 5], [3, 7, 9, 2]], "uint32"), 2, method="mode").tolist() == [[3, 5]]


def test_a_mode_counts_beyond_255() -> None:
    assert downsample(np.array([1] * 255 + [2] * 256, "uint8"), 511, method="mode").tolist() == [2]


def test_a_median_takes_the_lower_middle_value() -> None:
    assert downsample(np.array([4, 1, 3, 2, 9, 5]), 4, method="median").tolist() == [2, 5]


def test_the_nearest_pixel_is_the_first_of_its_window() -> None:
    array = np.arange(20).reshape(4, 5)
    for method in ("nearest", "stride"):
        assert downsample(array, (3, 2), method=method).tolist() == [[0, 2, 4], [15, 17, 19]]


def test_a_label_image_takes_the_mode_of_the_central_pixels_only() -> None:
    array = np.array([9, 4, 3, 9, 9, 5, 5, 9, 8, 8])
    assert downsample(array, 4, method="label_image").tolist() == [3, 5, 8]
    assert downsample(array, 5, method="label_image").tolist() == [3, 9]
    assert downsample(np.array([[9, 9, 9, 9], [9, 2, 2, 9], [9, 3, 3, 9], [9, 9, 9, 9]]), 4, method="label_image").tolist() == [[2]]


def test_the_central_pixel_is_the_lower_one_of_two() -> None:
    array = np.arange(11)
    assert downsample(array, 4, method="central").tolist() == [1, 5, 9]
    assert downsample(array, 3, method="central").tolist() == [1, 4, 7, 10]


@pytest.mark.parametrize("n", range(1, 13))
@pytest.mark.parametrize("factor", range(1, 8))
def test_centres_beyond_the_far_edge_are_its_last_pixel(n: int, factor: int) -> None:
    array = np.arange(n)
    windows = range(-(-n // factor))
    lower = [min(p * factor + (factor - 1) // 2, n - 1) for p in windows]
    assert downsample(array, factor, method="central").tolist() == lower
    assert downsample(array, factor, method="label_image").tolist() == lower  # of two distinct pixels the lower value wins
    upper = [n - 1 - min(p * factor + factor // 2, n - 1) for p in windows]
    assert downsample(array[::-1], factor, method="label_image").tolist() == upper


@pytest.mark.parametrize("method", ["mean", "median", "mode"])
def test_a_bool_window_takes_the_majority_and_a_tie_is_false(method: str) -> None:
    array = np.array([True, True, False, True, False, False, True])
    assert downsample(array, 2, method=method).tolist() == [True, False, False, True]
    assert downsample(array, 3, method=method).tolist() == [True, False, True]


def test_windows_cut_by_the_far_edge_use_the_pixels_that_exist() -> None:
    assert downsample(np.array([[0, 2, 9], [1, 3, 11], [7, 9, 6]]), 2).tolist() == [[2, 10], [8, 6]]


def test_a_factor_may_exceed_its_axis_and_empty_axes_stay_empty() -> None:
    assert downsample(np.array([1, 2, 6]), 10**12).tolist() == [3]
    for method in METHODS:
        assert downsample(np.zeros((0, 5, 3), "uint8"), (2, 3, 1), method=method).shape == (0, 2, 3)


def test_an_array_without_axes_is_copied() -> None:
    array = np.array(5, "uint16")
    for factors in (2, ()):
        found = downsample(array, factors)
        assert (found.shape, found.dtype, found[()]) == ((), np.uint16, 5)


def test_nan_and_zeros_are_treated_as_the_docstring_says() -> None:
    nan, inf = np.nan, np.inf
    array = np.array([[nan, 1, 1, 0], [nan, nan, nan, nan], [-0.0, 0.0, -0.0, 0.0], [-0.0, -0.0, -0.0, -0.0]], "float32")
    expected = {
        "mean": [nan, nan, 0.0, 0.0],
        "min": [0, inf, -0.0, -0.0],
        "max": [1, -inf, -0.0, -0.0],
        "median": [1, nan, 0.0, -0.0],
        "mode": [1, nan, 0.0, -0.0],
        "nearest": [nan, nan, -0.0, -0.0],
        "label_image": [1, nan, 0.0, -0.0],
        "central": [1, nan, 0.0, -0.0],
    }
    for method, values in expected.items():
        found = downsample(array, (1, 4), method=method)[:, 0]
        wanted = np.array(values, "float32")
        undefined = 2 if method in ("median", "mode", "label_image") else None  # both zeros in one window
        keep = [row for row in range(4) if row != undefined]
        assert_same(found[keep], wanted[keep])
        np.testing.assert_array_equal(found, wanted)


def test_a_copy_comes_back_where_every_factor_is_1_even_of_nan_and_negative_zero() -> None:
    array = np.array([np.nan, -0.0, 3.5], "float16")
    for method in METHODS:
        found = downsample(array, 1, method=method)
        assert found.tobytes() == array.tobytes()
        assert not np.shares_memory(found, array)


def test_inf_minus_inf_and_overflow_warn_nobody() -> None:
    found = downsample(np.array([np.inf, -np.inf, 3e38, 3e38], "float32"), 2)
    assert np.isnan(found[0]) and found[1] == np.inf


# ------------------------------------------------------------------------------------------------ on every backend
@pytest.mark.parametrize("method", EIGHT)
@settings(max_examples=15)
@given(data=st.data())
def test_every_backend_equals_the_reference(backend: Any, method: str, data: st.DataObject) -> None:
    array, factors = data.draw(jobs([dtype for dtype in INTEGERS + FLOATS if backend.supports(dtype)]))
    given_array = backend.array(array)
    found = downsample(given_array, factors, method=method)
    assert backend.holds(found)
    assert found.dtype == given_array.dtype
    assert_same(backend.host(found), downsample_reference(array, factors, method))
    assert_same(backend.host(given_array), array)


@pytest.mark.parametrize("method", EIGHT)
def test_every_backend_equals_the_reference_for_nan_inf_and_both_zeros(backend: Any, method: str) -> None:
    array = pixels(3, (13, 11), "float32", "special")
    found = downsample(backend.array(array), (3, 2), method=method)
    assert_same(backend.host(found), downsample_reference(array, (3, 2), method), signs=method not in ("median", "mode", "label_image"))


@pytest.mark.parametrize("method", ["median", "mode"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_windows_above_the_network_limit_are_sorted_alike(backend: Any, method: str, dtype: str) -> None:
    array = pixels(1, (9, 8, 4), dtype, "few")
    factors = (5, 4, 4)
    assert math.prod(factors) > windows.NETWORK_PX
    assert_same(backend.host(downsample(backend.array(array), factors, method=method)), downsample_reference(array, factors, method))


@pytest.mark.parametrize("n", [*range(1, 19), 24, 27, 31, 32, 40, 64])
def test_a_sorting_network_sorts_every_order_of_zeros_and_ones_it_is_shown(n: int) -> None:
    random, middle = np.random.default_rng(n), (n - 1) // 2
    values = random.integers(0, 2, (n, 500))  # a network that sorts 0 and 1 sorts all values (Knuth 5.3.4, the 0-1 principle)
    for wanted in (None, middle):
        rows = list(values)
        for i, j in windows.comparators(n, wanted):
            rows[i], rows[j] = np.minimum(rows[i], rows[j]), np.maximum(rows[i], rows[j])
        expected = np.sort(values, axis=0)
        np.testing.assert_array_equal(rows[middle], expected[middle])
        assert wanted is not None or np.array_equal(rows, expected)


# ---------------------------------------------------------------------------------- the NumPy bodies and their layouts
@pytest.mark.parametrize("method", SIX)
@settings(max_examples=60)
@given(job=jobs(INTEGERS + FLOATS) | jobs(FLOATS, "special"), tile_bytes=st.sampled_from([1, 64, 2**20]))
def test_the_numpy_body_equals_the_portable_one_bit_for_bit(method: str, job: Any, tile_bytes: int) -> None:
    array, factors = job
    body = METHODS[method]
    fast = native(body.__name__, numpy_backend) or body
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host, "TILE_BYTES", tile_bytes)
        assert_same(fast(array, factors), body(array, factors))


def test_numpy_has_a_body_of_its_own_for_all_but_nearest() -> None:
    own = {method for method, body in METHODS.items() if native(body.__name__, numpy_backend)}
    assert own == {"mean", "median", "mode", "min", "max"}
    assert native("fold_segments", numpy_backend)  # the bodies for labels come along


@pytest.mark.parametrize("share", [0.01, 0.5], ids=["mostly constant labels", "noise"])
def test_the_mode_of_labels_equals_the_reference_whatever_share_differs(share: float) -> None:
    random = np.random.default_rng(0)
    labels = np.full((40, 44), 7, "uint32")
    labels[random.random(labels.shape) < share] = 3
    assert_same(downsample(labels, 2, method="mode"), downsample_reference(labels, (2, 2), "mode"))


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "reversed": lambda array: array[::-1, ::-1],
    "every second": lambda array: np.repeat(np.repeat(array, 2, 0), 2, 1)[::2, ::2],
    "shifted by one": lambda array: np.pad(array, 1)[1:-1, 1:-1],
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "broadcast": lambda array: np.broadcast_to(array[:, :1], array.shape),
    "transposed": lambda array: array.T,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", EIGHT)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint16", "uint64", "float32"])
def test_any_memory_layout_gives_the_same_pixels(layout: str, method: str, dtype: str) -> None:
    array = LAYOUTS[layout](pixels(5, (10, 12), dtype, "range"))
    plain = np.ascontiguousarray(array).astype(dtype)
    for factors in ((2, 2), (3, 4), (4, 5)):
        found = downsample(array, factors, method=method)
        assert found.dtype == array.dtype
        assert_same(found.astype(dtype), downsample_reference(plain, factors, method))


def test_long_doubles_keep_their_precision() -> None:
    array = np.array([1, 2, 3, 3], np.longdouble) / 3
    for method in EIGHT:
        found = downsample(array, 2, method=method)
        assert found.dtype == np.longdouble
        np.testing.assert_array_equal(found, downsample_reference(array, (2,), method))


@settings(max_examples=40)
@given(job=jobs(INTEGERS + FLOATS), method=st.sampled_from(EIGHT), windows_per_block=st.integers(1, 3))
def test_any_cut_between_windows_gives_the_same_pixels(job: Any, method: str, windows_per_block: int) -> None:
    array, factors = job
    whole = reduce_windows(array, factors, method)
    cut = np.empty_like(whole)
    for source in blocks(array.shape, tuple(f * windows_per_block for f in factors)):
        target = tuple(slice(a // f, -(-b // f)) for a, b, f in zip(source.start, source.stop, factors, strict=True))
        cut[target] = reduce_windows(array[source.slices], factors, method)
    assert_same(cut, whole)


@pytest.mark.parametrize("method", EIGHT)
def test_many_threads_give_the_same_pixels(method: str) -> None:
    arrays = [pixels(seed, (3, 130, 127), "uint16") for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda array: downsample(array, (1, 2, 2), method=method), arrays))
    for array, reduced in zip(arrays, found, strict=True):
        assert_same(reduced, METHODS[method](array, (1, 2, 2)))


# ------------------------------------------------------------------------------------------------------ TensorStore
def by_tensorstore(array: np.ndarray, factors: tuple[int, ...], method: str) -> np.ndarray:
    tensorstore = pytest.importorskip("tensorstore")
    name = "stride" if method == "nearest" else method
    return tensorstore.downsample(tensorstore.array(array), factors, name).read().result()


@pytest.mark.peers
@pytest.mark.parametrize("method", SIX)
@settings(max_examples=200)
@given(job=jobs(INTEGERS + FLOATS))
def test_pixels_equal_tensorstore_bit_for_bit(method: str, job: Any) -> None:
    assert_same(downsample(job[0], job[1], method=method), by_tensorstore(*job, method))


@pytest.mark.peers
@pytest.mark.parametrize("method", ["mean", "min", "max", "nearest"])
@settings(max_examples=100)
@given(job=jobs(FLOATS, "special"))
def test_nan_inf_and_both_zeros_equal_tensorstore_where_an_axis_is_really_reduced(method: str, job: Any) -> None:
    array, factors = job
    if any(n > 1 and f > 1 for n, f in zip(array.shape, factors, strict=True)) or method == "nearest":
        assert_same(downsample(array, factors, method=method), by_tensorstore(array, factors, method))
    else:  # TensorStore copies: an axis of one pixel has no factor
        assert_same(by_tensorstore(array, factors, method), array)


@pytest.mark.peers
@pytest.mark.parametrize("method", ["median", "mode"])
@settings(max_examples=100)
@given(job=jobs(FLOATS, "special"))
def test_both_zeros_and_inf_equal_tensorstore_but_for_the_sign_of_zero(method: str, job: Any) -> None:
    array, factors = np.nan_to_num(job[0], nan=2.0, posinf=np.inf, neginf=-np.inf), job[1]
    assert_same(downsample(array, factors, method=method), by_tensorstore(array, factors, method), signs=False)


# -------------------------------------------------------------------------------------------------------- ngff-zarr
@pytest.mark.peers
@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(60, 60), (20, 40, 20)], ids=["2-D", "3-D"])
def test_label_images_equal_ngff_zarr(shape: tuple[int, ...], factor: int) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    array, method = pixels(1, shape, "uint16", "few"), ngff_zarr.Methods.ITKWASM_LABEL_IMAGE
    theirs = ngff_zarr.to_multiscales(ngff_zarr.to_ngff_image(array), scale_factors=[factor], method=method).images[1].data.compute()
    ours = downsample(array, factor, method=method)
    assert_same(ours[tuple(slice(0, n) for n in theirs.shape)], theirs)  # they drop the windows that the far edge cuts


# ----------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    "factors", [0, -1, 2.0, True, "2", None, (2,), (2, 2, 2), (2, 0), (2, 1.5), (True, 2), (2, "2"), np.array([1.0, 2.0])]
)
def test_wrong_factors_are_refused_with_what_is_allowed(factors: Any) -> None:
    with pytest.raises(ArgumentError, match="factors do not fit the array.*2 of them, one per axis"):
        downsample(np.zeros((4, 4)), factors)


@pytest.mark.parametrize("factors", [2, np.int64(2), np.array(2), [2, 2], np.array([2, 2]), (np.uint8(2), 2)])
def test_factors_may_be_numpy_integers_and_arrays(factors: Any) -> None:
    assert downsample(np.zeros((4, 5)), factors).shape == (2, 3)


@pytest.mark.parametrize("method", ["linear", "", None, ["mean"], 3])
def test_an_unknown_method_is_refused_with_the_list_of_methods(method: Any) -> None:
    with pytest.raises(ArgumentError, match="allowed: mean, gaussian, median, .*, itkwasm_gaussian, .*, stride"):
        downsample(np.zeros(4), 2, method=method)


@pytest.mark.parametrize("method", ["MEAN", Methods.MEAN, Methods.ITKWASM_BIN_SHRINK, "DASK_BIN_SHRINK", "itk_bin_shrink"])
def test_a_method_may_be_a_member_or_a_name_of_ngff_zarr_in_any_case(method: Any) -> None:
    assert downsample(np.array([1, 2, 6]), 2, method=method).tolist() == [2, 6]


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "O", "U3", "S3", "datetime64[s]", "timedelta64[s]", "V4"])
def test_pixels_without_an_order_are_refused(dtype: str) -> None:
    with pytest.raises(DTypeError, match="cannot be downsampled; got .*; allowed: bool, integers, floats"):
        downsample(np.zeros(4, dtype), 2)


def test_a_dtype_that_numpy_cannot_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(array: Any) -> np.dtype[Any]:
        return np.dtype(f"{array.dtype}_of_another_library")

    monkeypatch.setattr(windows, "dtype_of", unknown)
    with pytest.raises(DTypeError, match="got float64"):
        downsample(np.zeros(4), 2)


def test_complex_pixels_of_another_library_are_refused() -> None:
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(DTypeError):
        downsample(strict.zeros(4, dtype=strict.complex64), 2)


def test_a_list_is_refused_because_it_is_not_an_array() -> None:
    with pytest.raises(BackendMismatchError, match="not an array"):
        downsample([1, 2, 3], 2)


def test_a_window_too_large_to_be_exact_is_refused_before_any_work() -> None:
    huge = np.broadcast_to(np.int64(1), (2**16, 2**16))
    with pytest.raises(ArgumentError, match=r"at most 2\*\*30 pixels"):
        downsample(huge, 2**15 + 1)
