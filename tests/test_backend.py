"""The seam keeps its promises: which backend, what crosses, and what a machine without CUDA says."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import array_api_compat.numpy as xnp
import array_api_strict
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import omexp.backend as seam
from omexp.backend import (
    Backend,
    Transfers,
    backend_of,
    counting_transfers,
    default_device,
    dtype_of,
    from_host,
    native,
    native_for,
    numpy_backend,
    resolve_backend,
    to_host,
)
from omexp.errors import ArgumentError, BackendMismatchError, DeviceUnavailableError, DTypeError
from tests.conftest import Case, HiddenTransferError

DEVICE1 = Backend(array_api_strict, array_api_strict.Device("device1"))
DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "complex64"]


# ------------------------------------------------------------------------------------------------- a fake CuPy
class FakeDevice:
    """A CUDA device as far as choosing one goes: an id, equality, and being made current."""

    current: ClassVar[list[int]] = []  # what `with device:` does to the thread

    def __init__(self, number: int) -> None:
        self.id = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FakeDevice) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __enter__(self) -> FakeDevice:
        self.current.append(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        self.current.pop()


FakeCupy = Callable[[int | Exception], ModuleType]


@pytest.fixture
def fake_cupy(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    """``fake_cupy(2)``: CuPy with two devices; ``fake_cupy(error)``: CuPy whose driver call raises it."""

    def install(devices: int | Exception) -> ModuleType:
        def count() -> int:
            if isinstance(devices, Exception):
                raise devices
            return devices

        cupy, compat = ModuleType("cupy"), ModuleType("array_api_compat.cupy")
        cupy.cuda = SimpleNamespace(Device=FakeDevice, runtime=SimpleNamespace(getDeviceCount=count))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setitem(sys.modules, "array_api_compat.cupy", compat)
        return cupy

    return install


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # `import cupy` raises ImportError


# ------------------------------------------------------------------------------------------------------ choosing
def test_nothing_said_means_the_cpu() -> None:
    assert resolve_backend() == resolve_backend(None) == resolve_backend("cpu") == numpy_backend
    assert (numpy_backend.name, numpy_backend.library, numpy_backend.is_host) == ("cpu", "numpy", True)


@pytest.mark.parametrize("namespace", [np, xnp], ids=["numpy", "compat"])
def test_numpy_as_a_namespace_means_the_cpu(namespace: ModuleType) -> None:
    assert resolve_backend(namespace) == numpy_backend


def test_a_namespace_means_its_default_device() -> None:
    found = resolve_backend(array_api_strict)
    assert (found.xp, found.device) == (array_api_strict, array_api_strict.Device("CPU_DEVICE"))
    assert not found.is_host


def test_a_backend_is_passed_through() -> None:
    assert resolve_backend(DEVICE1) is DEVICE1


def test_a_module_that_is_no_namespace_is_refused() -> None:
    with pytest.raises(ArgumentError, match="not an array-API namespace; got os"):
        resolve_backend(os)


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda1", "cuda:1:2", "", "cpu:0", 0, 1.5, ("cuda", 0)])
def test_a_device_that_is_not_understood_is_refused_with_what_is_allowed(device: Any) -> None:
    with pytest.raises(ArgumentError, match="device is not understood") as caught:
        resolve_backend(device)
    assert repr(device) in str(caught.value)
    assert "'cpu', 'cuda', 'cuda:1', 'auto'" in str(caught.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_cuda_without_cupy_says_what_to_install(no_cupy: None, device: str) -> None:
    with pytest.raises(DeviceUnavailableError) as caught:
        resolve_backend(device)
    message = str(caught.value)
    assert f"'cuda:{device.partition(':')[2] or 0}' cannot be used: cupy cannot be imported" in message
    assert "omexp[gpu-cu13]" in message and "omexp[gpu-cu12]" in message


def test_cuda_without_a_driver_names_the_driver(fake_cupy: FakeCupy) -> None:
    fake_cupy(RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"))
    with pytest.raises(DeviceUnavailableError, match="no usable NVIDIA driver.*cudaErrorInsufficientDriver.*nvidia-smi"):
        resolve_backend("cuda")


@pytest.mark.parametrize("count", [0, RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")], ids=["zero", "error"])
def test_cuda_without_a_device_names_the_device(fake_cupy: FakeCupy, count: int | Exception) -> None:
    fake_cupy(count)
    with pytest.raises(DeviceUnavailableError, match="driver sees no CUDA device.*CUDA_VISIBLE_DEVICES"):
        resolve_backend("cuda")


@pytest.mark.parametrize(("count", "device", "hint"), [(1, "cuda:1", "Pass 'cuda:0'."), (2, "cuda:7", "Pass 'cuda:0' to cuda:1.")])
def test_a_cuda_number_that_is_not_there_says_which_are(fake_cupy: FakeCupy, count: int, device: str, hint: str) -> None:
    fake_cupy(count)
    with pytest.raises(DeviceUnavailableError) as caught:
        resolve_backend(device)
    assert f"there are {count} CUDA devices, numbered from 0" in str(caught.value)
    assert str(caught.value).endswith(hint)


def test_cuda_with_a_device_is_cupy_on_it(fake_cupy: FakeCupy) -> None:
    cupy = fake_cupy(2)
    for asked, number in [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("auto", 0), (cupy, 0)]:
        found = resolve_backend(asked)
        assert (found.library, found.name, found.device.id, found.is_host) == ("cupy", f"cuda:{number}", number, False)
    assert repr(resolve_backend("cuda:1")) == "Backend(cupy, cuda:1)"


def test_auto_without_cupy_is_numpy(no_cupy: None) -> None:
    assert resolve_backend("auto") == numpy_backend


@pytest.mark.parametrize("count", [0, RuntimeError("cudaErrorInsufficientDriver")], ids=["no device", "no driver"])
def test_auto_with_cupy_that_cannot_be_used_is_numpy(fake_cupy: FakeCupy, count: int | Exception) -> None:
    fake_cupy(count)
    assert resolve_backend("auto") == numpy_backend


# -------------------------------------------------------------------------------------------------- default_device
def test_default_device_holds_inside_the_block_only_and_nests() -> None:
    with default_device(array_api_strict) as outer:
        assert resolve_backend() == outer == resolve_backend(array_api_strict)
        with default_device("cpu"):
            assert resolve_backend() == numpy_backend
        assert resolve_backend() == outer
    assert resolve_backend() == numpy_backend


def test_default_device_is_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), default_device(DEVICE1):
        raise KeyError
    assert resolve_backend() == numpy_backend


def test_default_device_does_not_override_what_was_said() -> None:
    with default_device(DEVICE1):
        assert resolve_backend("cpu") == numpy_backend


def test_default_device_is_each_threads_own() -> None:
    inside, found = threading.Event(), []

    def other() -> None:
        inside.wait(5)
        found.append(resolve_backend())

    thread = threading.Thread(target=other)
    thread.start()
    with default_device(DEVICE1):
        inside.set()
        thread.join(5)
    assert found == [numpy_backend]


def test_default_device_refuses_cuda_before_the_block_runs(no_cupy: None) -> None:
    with pytest.raises(DeviceUnavailableError, match="cupy cannot be imported"), default_device("cuda"):
        pytest.fail("the block ran")
    assert resolve_backend() == numpy_backend


def test_active_makes_the_cuda_device_the_current_one(fake_cupy: FakeCupy) -> None:
    fake_cupy(2)
    with resolve_backend("cuda:1").active():
        assert FakeDevice.current == [1]
    assert FakeDevice.current == []


# ------------------------------------------------------------------------------------------------------ backend_of
def test_backend_of_an_array_is_where_it_lives(backend: Case) -> None:
    one, two = backend.array(np.arange(6)), backend.array(np.ones((2, 3), "uint8"))
    assert backend_of(one) == backend_of(one, two) == backend.backend


def test_backend_of_arrays_in_different_places_names_each(no_hidden_transfers: None) -> None:
    arrays = np.ones(2), from_host(np.ones(2), resolve_backend(array_api_strict)), from_host(np.ones(2), DEVICE1)
    with pytest.raises(BackendMismatchError, match="live in different places") as caught:
        backend_of(*arrays)
    message = str(caught.value)
    assert "ndarray on cpu" in message and "CPU_DEVICE" in message and "device1" in message
    assert "omexp.from_host or omexp.to_host" in message


@pytest.mark.parametrize("value", [[1, 2], 3, "text", None, object()], ids=["list", "int", "str", "None", "object"])
def test_backend_of_something_else_names_its_type(value: Any) -> None:
    with pytest.raises(BackendMismatchError, match=f"not an array; got {type(value).__name__}"):
        backend_of(np.ones(2), value)


def test_backend_of_nothing_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="at least one array"):
        backend_of()


# ------------------------------------------------------------------------------------------------- making arrays
def test_arrays_are_made_on_the_device_with_the_dtype_asked_for(backend: Case) -> None:
    for dtype in filter(backend.supports, DTYPES):
        empty, full = backend.backend.empty((2, 3), dtype), backend.backend.full((2, 3), 1, dtype)
        for made in (empty, full):
            assert backend.holds(made) and made.shape == (2, 3) and dtype_of(made) == np.dtype(dtype)
        assert np.array_equal(backend.host(full), np.ones((2, 3), dtype))


def test_arange_is_int64_unless_told(backend: Case) -> None:
    counted = backend.backend.arange(2, 11, 3)
    assert backend.holds(counted) and dtype_of(counted) == np.int64
    assert backend.host(counted).tolist() == [2, 5, 8]
    assert dtype_of(backend.backend.arange(3, dtype="uint8")) == np.uint8


@pytest.mark.parametrize(("device", "dtype"), [("device1", "float16"), ("no_float64", "float64"), ("no_float64", "complex128")])
def test_a_dtype_that_the_device_lacks_is_refused_by_name(device: str, dtype: str) -> None:
    lacking = Backend(array_api_strict, array_api_strict.Device(device))
    with pytest.raises(DTypeError, match=f"has no such dtype; got {dtype}") as caught:
        lacking.empty((1,), dtype)
    assert device in str(caught.value)
    assert numpy_backend.dtype(dtype) == np.dtype(dtype)


def test_ndimage_is_scipys_for_numpy_and_refused_where_there_is_none() -> None:
    assert numpy_backend.ndimage.__name__ == "scipy.ndimage"
    with pytest.raises(DeviceUnavailableError, match="no ndimage; got array_api_strict.*Use to_host first"):
        _ = DEVICE1.ndimage


def test_a_backend_is_frozen_and_equal_by_value() -> None:
    assert Backend(xnp, "cpu") == numpy_backend
    with pytest.raises(AttributeError):
        numpy_backend.device = "cuda"  # type: ignore[misc]


def test_a_strict_backend_is_named_by_library_and_device() -> None:
    assert DEVICE1.name == "array_api_strict:array_api_strict.Device('device1')"
    assert repr(numpy_backend) == "Backend(numpy, cpu)"


# ------------------------------------------------------------------------------------------------------ crossing
@given(values=hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
def test_what_goes_out_comes_back_unchanged(backend: Case, values: np.ndarray) -> None:
    assume(backend.supports(values.dtype))
    there = backend.array(values)
    back = backend.host(there)
    assert backend.holds(there) and dtype_of(there) == values.dtype
    assert back.dtype == values.dtype and back.shape == values.shape
    assert np.array_equal(back, values, equal_nan=values.dtype.kind in "fc")


def test_numpy_crosses_to_numpy_as_the_same_object() -> None:
    array = np.arange(4)
    assert to_host(array) is array and from_host(array, "cpu") is array and from_host(array, None) is array


def test_from_host_copies_so_that_the_device_does_not_share_memory() -> None:
    host = np.zeros(3)
    there = from_host(host, DEVICE1)
    host[...] = 7
    assert to_host(there).tolist() == [0, 0, 0]


def test_to_host_fills_the_array_it_is_given(backend: Case) -> None:
    out = np.zeros((2, 2), "uint16")
    values = np.array([[1, 2], [3, 4]], "uint16")
    assert to_host(backend.array(values), out=out) is out
    assert np.array_equal(out, values)


def test_to_host_takes_views_that_are_neither_contiguous_nor_writable(backend: Case) -> None:
    xp = backend.backend.xp
    wide = backend.array(np.arange(24, dtype="int32").reshape(4, 6))
    assert np.array_equal(to_host(wide[::-2, 1::2]), np.arange(24).reshape(4, 6)[::-2, 1::2])
    spread = xp.broadcast_to(backend.array(np.int16(5)), (2, 3))
    assert np.array_equal(to_host(spread), np.full((2, 3), 5, "int16"))


def test_to_host_refuses_what_is_no_array() -> None:
    with pytest.raises(BackendMismatchError, match="not an array; got list"):
        to_host([1, 2])


def test_a_transfer_is_counted_to_the_byte_each_way() -> None:
    with counting_transfers() as transfers:
        there = from_host(np.zeros((3, 5), "uint16"), DEVICE1)
        more = from_host(np.zeros(7, "float64"), DEVICE1)
        to_host(there + there)
    assert transfers == Transfers(to_device_calls=2, to_device_bytes=30 + 56, to_host_calls=1, to_host_bytes=30)
    to_host(more)
    assert transfers.to_host_calls == 1  # the block is over


def test_numpy_crosses_without_a_transfer() -> None:
    with counting_transfers() as transfers:
        to_host(from_host(np.zeros(9), "cpu"), out=np.empty(9))
    assert transfers == Transfers()


def test_counting_nests_and_each_block_counts_its_own() -> None:
    array = np.zeros(4, "uint8")
    with counting_transfers() as outer:
        from_host(array, DEVICE1)
        with counting_transfers() as inner:
            from_host(array, DEVICE1)
    assert (outer.to_device_bytes, inner.to_device_bytes) == (8, 4)


def test_counting_follows_the_context_into_a_worker_thread() -> None:
    with counting_transfers() as transfers:
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(from_host, np.zeros(4, "uint8"), DEVICE1))
        thread.start()
        thread.join(5)
    assert transfers.to_device_bytes == 4


# ---------------------------------------------------------------------------------------------------------- dtypes
@pytest.mark.parametrize("dtype", [*DTYPES, ">u2"])
def test_dtype_of_is_numpys_dtype_for_every_library(dtype: str) -> None:
    assert dtype_of(np.zeros(1, dtype)) == np.dtype(dtype)
    if dtype not in ("float16", ">u2"):
        assert dtype_of(DEVICE1.empty((1,), dtype)) == np.dtype(dtype)


# --------------------------------------------------------------------------------------------------- native bodies
@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(seam, "_native", {})
    monkeypatch.setattr(seam, "_loaded", set(seam._native_modules.values()))
    yield
    sys.modules.pop("bodies_for_numpy", None)


def test_a_native_body_is_found_by_library_and_by_its_own_name(registry: None) -> None:
    @native_for("array_api_strict")
    def window_sum(array: Any) -> Any:
        return array

    assert native("window_sum", DEVICE1) is window_sum
    assert native("window_sum", numpy_backend) is None
    assert native("another", DEVICE1) is None


def test_the_module_of_native_bodies_is_loaded_when_first_asked_for(
    registry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bodies_for_numpy.py").write_text(
        "from omexp.backend import native_for\n@native_for('numpy')\ndef window_sum(array): return array\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(seam, "_native_modules", {"numpy": "bodies_for_numpy"})
    assert "bodies_for_numpy" not in sys.modules
    found = native("window_sum", numpy_backend)
    assert found is not None and found.__module__ == "bodies_for_numpy"
    assert native("window_sum", DEVICE1) is None
    assert native("window_sum", numpy_backend) is found


def test_a_module_of_native_bodies_may_be_missing(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "_native_modules", {"numpy": "omexp.no_such_module"})
    assert native("window_mean", numpy_backend) is None


# ------------------------------------------------------------------------------------------------------- the guard
CROSSINGS: list[tuple[str, Callable[[Any], Any]]] = [
    ("int()", int),
    ("float()", float),
    ("bool()", bool),
    ("complex()", complex),
    ("range()", range),
    ("if", lambda array: 1 if array else 0),
    ("slice bound", lambda array: array[..., None][: array + 0]),
    ("np.asarray", np.asarray),
    ("np.sum", np.sum),
    ("np.from_dlpack", np.from_dlpack),
    ("into NumPy", lambda array: np.zeros(()).__setitem__(..., array)),
]


@pytest.mark.parametrize("device", ["device1", "no_float64"])
@pytest.mark.parametrize("cross", [pytest.param(cross, id=name) for name, cross in CROSSINGS])
def test_the_guard_stops_a_hidden_transfer(no_hidden_transfers: None, device: str, cross: Callable[[Any], Any]) -> None:
    there = from_host(np.ones((), "int32"), Backend(array_api_strict, array_api_strict.Device(device)))
    with pytest.raises((HiddenTransferError, RuntimeError)):
        cross(there)


def test_the_guard_lets_the_host_and_the_seam_pass(no_hidden_transfers: None) -> None:
    here = from_host(np.ones((), "int32"), array_api_strict)
    assert (int(here), float(here), bool(here), complex(here), list(range(here))) == (1, 1.0, True, 1, [0])
    assert to_host(from_host(np.arange(3), DEVICE1)).tolist() == [0, 1, 2]


def test_the_guard_leaves_device_arithmetic_alone(no_hidden_transfers: None) -> None:
    xp, array = array_api_strict, from_host(np.arange(12, dtype="int64").reshape(3, 4), DEVICE1)
    array[1:, ::2] = 7
    array[:, 0] = xp.zeros(3, dtype=xp.int64, device=DEVICE1.device)
    mask = array > 3
    picked = xp.concat([array[mask], xp.reshape(xp.sum(array, axis=0), (4,)), xp.take(array[0, :], xp.nonzero(array[0, :])[0])])
    chosen = xp.where(mask, xp.clip(array, 0, 5), xp.astype(mask, xp.int64))
    steps = xp.searchsorted(xp.sort(picked), xp.unique_values(picked))
    assert all(backend_of(result) == DEVICE1 for result in (picked, chosen, steps, xp.repeat(array, 2, axis=1)))
    assert to_host(xp.sum(chosen)) == np.where(to_host(mask), np.clip(to_host(array), 0, 5), 0).sum()


def test_the_guard_is_gone_after_the_test() -> None:
    assert int(from_host(np.ones((), "int32"), DEVICE1)) == 1


# ----------------------------------------------------------------------------------------------------------- import
LATE = ["cupy", "torch", "dask", "pandas", "anndata", "pyarrow", "matplotlib", "scipy", "kvikio", "rich", "click"]


def imported_by(statement: str, **environment: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "SYSTEMROOT") if name in os.environ}
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], env=kept | environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_importing_omexp_imports_no_heavy_library_and_needs_no_environment_variable() -> None:
    loaded = imported_by("import omexp")
    assert "omexp" in loaded
    assert not loaded.intersection(LATE)


def test_importing_the_seam_imports_no_cupy() -> None:
    assert "cupy" not in imported_by("import omexp.backend")


def test_the_seam_reads_no_environment_variable() -> None:
    assert "environ" not in inspect.getsource(seam) and "getenv" not in inspect.getsource(seam)
