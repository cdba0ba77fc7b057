"""The array seam. Knows: which array library, which device, how to cross the bus. Does not know: images, files.

The only module that imports cupy. Upper floors hold a `Backend` and pass it on; they never ask what it is.
Two functions cross between host and device, `from_host` and `to_host`; `counting_transfers` counts them.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import array_api_compat
import array_api_compat.numpy as xnp
import numpy as np

from omexp.errors import ArgumentError, BackendMismatchError, DeviceUnavailableError, DTypeError

Array = Any
DeviceLike = Any  # "cpu" | "cuda" | "cuda:1" | "auto" | Backend | array-API namespace | None

__all__ = [
    "Backend",
    "Transfers",
    "backend_of",
    "counting_transfers",
    "cuda_backend",
    "default_device",
    "dtype_of",
    "from_host",
    "native",
    "native_for",
    "numpy_backend",
    "resolve_backend",
    "to_host",
]


@dataclass(frozen=True, slots=True)
class Backend:
    """One array library on one device: where arrays are made and kernels run.

    Parameters
    ----------
    xp
        An array-API namespace (`array_api_compat.numpy`, `array_api_compat.cupy`, `array_api_strict`, ...).
    device
        The device in that library's own terms (``"cpu"``, a ``cupy.cuda.Device``, ...).
    """

    xp: ModuleType
    device: Any

    @property
    def library(self) -> str:
        """``"numpy"``, ``"cupy"`` or another namespace's name."""
        return self.xp.__name__.removeprefix("array_api_compat.").split(".")[0]

    @property
    def name(self) -> str:
        """``"cpu"`` for NumPy, ``"cuda:0"`` for CuPy, else ``"library:device"``."""
        if self.library == "numpy":
            return "cpu"
        if self.library == "cupy":
            return f"cuda:{self.device.id}"
        return f"{self.library}:{self.device}"

    @property
    def is_host(self) -> bool:
        """True when `to_host` hands out the same memory without a copy."""
        return self.library == "numpy"

    def dtype(self, dtype: Any) -> Any:
        """This library's dtype object for a NumPy dtype or its name. Raises `DTypeError` where it has none."""
        wanted = np.dtype(dtype)
        if self.library in ("numpy", "cupy"):
            return wanted
        found = self.xp.__array_namespace_info__().dtypes(device=self.device).get(wanted.name)  # a device may lack float64
        if found is None:
            raise DTypeError(
                f"{self.library} has no such dtype",
                where=self.name,
                got=wanted.name,
                allowed="the array API standard's dtypes",
                hint="Convert the array, or use NumPy or CuPy.",
            )
        return found

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialised array of `shape` and NumPy `dtype` on this device."""
        with self.active():  # array-api-compat's CuPy functions take the current device
            return self.xp.empty(shape, dtype=self.dtype(dtype), device=self.device)

    def full(self, shape: tuple[int, ...], value: Any, dtype: Any) -> Array:
        """An array of `shape` and NumPy `dtype` on this device, filled with one value."""
        with self.active():
            return self.xp.full(shape, value, dtype=self.dtype(dtype), device=self.device)

    def arange(self, *bounds: int, dtype: Any = np.int64) -> Array:
        """``arange`` on this device, int64 unless told."""
        with self.active():
            return self.xp.arange(*bounds, dtype=self.dtype(dtype), device=self.device)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make this device the library's current one inside the block (CuPy keeps one per thread)."""
        if self.library == "cupy":
            with self.device:
                yield
        else:
            yield

    @property
    def ndimage(self) -> ModuleType:
        """``scipy.ndimage`` or its namesake for this library. Raises `DeviceUnavailableError` where there is none."""
        names = {"numpy": "scipy.ndimage", "cupy": "cupyx.scipy.ndimage"}
        if self.library not in names:
            raise DeviceUnavailableError(
                "this array library has no ndimage", got=self.library, allowed=sorted(names), hint="Use to_host first."
            )
        return importlib.import_module(names[self.library])

    def __reduce__(self) -> tuple[Any, ...]:
        known = self.library in ("numpy", "cupy")  # by name: modules and CUDA devices cannot be pickled
        return (resolve_backend, (self.name,)) if known else (_of_names, (self.xp.__name__, self.device))

    def __repr__(self) -> str:
        return f"Backend({self.library}, {self.name})"


# ---------------------------------------------------------------------------------------------------- choosing
numpy_backend = Backend(xnp, "cpu")
_default: ContextVar[DeviceLike] = ContextVar("omexp_default_device", default="cpu")


@contextlib.contextmanager
def default_device(device: DeviceLike) -> Iterator[Backend]:
    """Set the device that ``device=None`` means inside the block, for this thread or task only.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"``, a `Backend` or an array-API namespace.

    Raises
    ------
    DeviceUnavailableError
        CUDA was asked for and cannot be used here.

    Examples
    --------
    >>> import omexp
    >>> with omexp.default_device("auto") as backend:
    ...     name = backend.name
    """
    backend = resolve_backend(device)
    token = _default.set(backend)
    try:
        yield backend
    finally:
        _default.reset(token)


def resolve_backend(device: DeviceLike = None) -> Backend:
    """The backend that a ``device=`` argument means.

    Parameters
    ----------
    device
        ``None`` (what `default_device` says, else "cpu"), ``"cpu"``, ``"cuda"`` (device 0), ``"cuda:1"``, ``"auto"`` (CuPy where
        there is a usable GPU, else NumPy), a `Backend`, or an array-API namespace.

    Raises
    ------
    DeviceUnavailableError
        CUDA was asked for; the message names what is missing (CuPy, the driver, the device) and what to install.
    ArgumentError
        The argument is none of the above.
    """
    if device is None:
        device = _default.get()
    if isinstance(device, Backend):
        return device
    if isinstance(device, ModuleType):
        return _of_namespace(device)
    if not isinstance(device, str):
        raise ArgumentError(
            "device is not understood", where="device", got=repr(device), allowed="'cpu', 'cuda', 'cuda:1', 'auto', a Backend, a namespace"
        )
    if device == "cpu":
        return numpy_backend
    if device == "auto":
        return numpy_backend if _cuda_problem() else _cupy_backend(0)
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number.isdigit() or (number == "" and ":" not in device)):
        raise ArgumentError("device is not understood", where="device", got=repr(device), allowed="'cpu', 'cuda', 'cuda:1', 'auto'")
    return _cupy_backend(int(number or 0))


def cuda_backend(preferred: Backend) -> Backend:
    """`preferred` if it is a CUDA one, else that of device 0. Raises `DeviceUnavailableError`."""
    return preferred if preferred.library == "cupy" else resolve_backend("cuda")


def _of_namespace(namespace: ModuleType) -> Backend:
    if namespace.__name__ in ("numpy", "array_api_compat.numpy"):
        return numpy_backend
    if namespace.__name__ in ("cupy", "array_api_compat.cupy"):
        return _cupy_backend(0)
    info = getattr(namespace, "__array_namespace_info__", None)
    if info is None:
        raise ArgumentError(
            "not an array-API namespace", where="device", got=namespace.__name__, hint="Pass array_api_compat.numpy or another one."
        )
    return Backend(namespace, info().default_device())


def _of_names(module: str, device: Any) -> Backend:
    return Backend(importlib.import_module(module), device)


def _cupy_backend(index: int) -> Backend:
    problem = _cuda_problem(index)
    if problem:
        what, hint = problem
        raise DeviceUnavailableError(
            f"device 'cuda:{index}' cannot be used: {what}", allowed="'cpu', or 'auto' to take what is there", hint=hint
        )
    cupy = importlib.import_module("cupy")
    return Backend(importlib.import_module("array_api_compat.cupy"), cupy.cuda.Device(index))


def _cuda_problem(index: int = 0) -> tuple[str, str] | None:
    """What stands between us and CUDA device `index`, and what to install; None when it can be used."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return f"cupy cannot be imported ({error})", "Install it: pip install 'omexp[gpu-cu13]' (CUDA 13) or 'omexp[gpu-cu12]' (CUDA 12)."
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own class; importing it needs CuPy
        if "NoDevice" in str(error):
            return f"the driver sees no CUDA device ({error})", "Check `nvidia-smi` and CUDA_VISIBLE_DEVICES."
        return f"there is no usable NVIDIA driver ({error})", "Install or update the NVIDIA driver; `nvidia-smi` must list the GPU."
    if count == 0:
        return "the driver sees no CUDA device", "Check `nvidia-smi` and CUDA_VISIBLE_DEVICES."
    if index >= count:
        return f"there are {count} CUDA devices, numbered from 0", f"Pass 'cuda:0'{f' to cuda:{count - 1}' if count > 1 else ''}."
    return None


def backend_of(*arrays: Array) -> Backend:
    """The backend that the arrays share.

    Raises
    ------
    BackendMismatchError
        They live in two libraries or on two devices, or something is not an array; the message names each.
    """
    found: list[Backend] = []
    for array in arrays:
        if isinstance(array, np.ndarray):
            found.append(numpy_backend)
            continue
        try:
            found.append(Backend(array_api_compat.array_namespace(array), array_api_compat.device(array)))
        except (TypeError, AttributeError):
            raise BackendMismatchError(
                "not an array",
                got=type(array).__name__,
                allowed="NumPy, CuPy or another array-API array",
                hint="Convert it first, for example with numpy.asarray.",
            ) from None
    if not found:
        raise ArgumentError("backend_of needs at least one array")
    if any(backend != found[0] for backend in found[1:]):
        raise BackendMismatchError(
            "the arrays live in different places",
            got=", ".join(f"{type(a).__name__} on {b.name}" for a, b in zip(arrays, found, strict=True)),
            hint="Bring them together with omexp.from_host or omexp.to_host; omexp never copies between devices by itself.",
        )
    return found[0]


def dtype_of(array: Array) -> np.dtype[Any]:
    """The NumPy dtype of any array (array-API libraries have dtype objects of their own)."""
    if isinstance(array.dtype, np.dtype):
        return array.dtype
    return np.dtype(str(array.dtype).rpartition(".")[2])


# ------------------------------------------------------------------------------------------------- transfers
@dataclass(slots=True)
class Transfers:
    """Calls and bytes each way since a `counting_transfers` block was entered."""

    to_device_calls: int = 0
    to_device_bytes: int = 0
    to_host_calls: int = 0
    to_host_bytes: int = 0


_counting = threading.Lock()  # workers share a counter; without it bytes were lost
_counters: ContextVar[tuple[Transfers, ...]] = ContextVar("omexp_transfers", default=())


@contextlib.contextmanager
def counting_transfers() -> Iterator[Transfers]:
    """Count host/device copies that omexp makes inside the block (its worker threads included).

    Examples
    --------
    >>> import numpy, omexp
    >>> with omexp.counting_transfers() as transfers:
    ...     small = omexp.downsample(numpy.ones((4, 4), "uint16"), 2)
    >>> transfers.to_host_calls
    0
    """
    counter = Transfers()
    token = _counters.set((*_counters.get(), counter))
    try:
        yield counter
    finally:
        _counters.reset(token)


def to_host(array: Array, out: np.ndarray | None = None) -> np.ndarray:
    """The array as NumPy: the only device -> host copy. NumPy comes back as it is (or copied into `out`)."""
    if isinstance(array, (np.ndarray, np.generic)):  # NumPy's reductions to one number give scalars, not arrays
        host = np.asanyarray(array)
    else:
        backend = backend_of(array)
        nbytes = math.prod(array.shape) * dtype_of(array).itemsize
        with _counting:
            for counter in _counters.get():
                counter.to_host_calls += 1
                counter.to_host_bytes += nbytes
        if backend.library == "cupy":
            return array.get(out=out) if out is not None else array.get()
        # DLPack from the CPU device keeps every dtype, the array-API way out of any other library
        host = np.from_dlpack(array_api_compat.to_device(array, _cpu_device(backend)))
    if out is None:
        return host
    out[...] = host
    return out


def from_host(array: np.ndarray, backend: DeviceLike, stream: Any = None) -> Array:
    """A NumPy array brought to a backend: the only host -> device copy. For NumPy it is the array itself.

    `stream` orders the copy on a CuPy stream; other libraries ignore it.
    """
    backend = resolve_backend(backend)
    if backend.is_host:
        return array
    with _counting:
        for counter in _counters.get():
            counter.to_device_calls += 1
            counter.to_device_bytes += array.nbytes
    if backend.library == "cupy":
        with backend.active(), stream or contextlib.nullcontext():
            return backend.xp.asarray(array)
    return backend.xp.asarray(array, dtype=backend.dtype(array.dtype), device=backend.device, copy=True)


def _cpu_device(backend: Backend) -> Any:
    return getattr(backend.xp, "Device", str)("CPU_DEVICE") if backend.library == "array_api_strict" else "cpu"


# ---------------------------------------------------------------------------------------------- native bodies
_native: dict[tuple[str, str], Callable[..., Any]] = {}
_native_modules = {"numpy": "omexp.kernels._host", "cupy": "omexp.kernels._cuda"}
_loaded: set[str] = set()


def native_for(library: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: register a function as the fused body of the kernel of the same name for one array library."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _native[library, function.__name__] = function
        return function

    return register


def native(name: str, backend: Backend) -> Callable[..., Any] | None:
    """The fused body of kernel `name` for this backend, if there is one. It may only be faster, never different."""
    module = _native_modules.get(backend.library)
    if module and module not in _loaded:
        if importlib.util.find_spec(module):
            importlib.import_module(module)
        _loaded.add(module)  # after the import: another thread must not miss the body meanwhile
    return _native.get((backend.library, name))
