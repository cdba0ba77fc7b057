"""The test harness: one test, every backend. Knows: the backends, the guard against hidden transfers, the shared stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xnp
import array_api_strict
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from omexp.backend import Backend, backend_of, from_host, resolve_backend, to_host
from omexp.errors import DeviceUnavailableError

# ------------------------------------------------------------------------------------------------ hypothesis
# A fixture such as `backend` holds no state, so sharing it between the examples of one test is sound. Deadlines and the check for
# slow data measure the machine (two shared cores), not the code. `--hypothesis-profile=nightly` looks for new examples.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
settings.register_profile("default", max_examples=20, derandomize=True, database=None, **_common)
settings.register_profile("nightly", max_examples=1000, print_blob=True, **_common)
settings.load_profile("default")


# -------------------------------------------------------------------------------------------------- backends
@dataclass(frozen=True, slots=True)
class Case:
    """One backend under test: make arrays on it, bring them home, ask which dtypes it has."""

    name: str
    backend: Backend

    def array(self, values: Any) -> Any:
        """A copy of a NumPy array (or a list) on this backend; not writable where the case is ``numpy-readonly``."""
        host = np.array(values)
        host.flags.writeable = self.name != "numpy-readonly"
        return from_host(host, self.backend)

    def host(self, array: Any) -> np.ndarray:
        """The array as NumPy; NumPy as it is."""
        return to_host(array)

    def holds(self, array: Any) -> bool:
        """True when the array lives on this backend: same library, same device."""
        return backend_of(array) == self.backend

    def supports(self, dtype: Any) -> bool:
        """True when the backend can hold the dtype: all but NumPy want native byte order, strict has no float16."""
        wanted = np.dtype(dtype)
        if self.backend.is_host:
            return True
        if self.backend.library == "cupy":
            return wanted.isnative and wanted.kind in "biufc"
        return wanted.isnative and wanted.name in self.backend.xp.__array_namespace_info__().dtypes(device=self.backend.device)


def _strict(device: str) -> Backend:
    return Backend(array_api_strict, array_api_strict.Device(device))


_BACKENDS: dict[str, Callable[[], Backend]] = {
    "numpy": lambda: Backend(xnp, "cpu"),
    "numpy-readonly": lambda: Backend(xnp, "cpu"),
    "strict": lambda: _strict("CPU_DEVICE"),
    "strict-device1": lambda: _strict("device1"),  # stands in for a GPU
    "strict-no-float64": lambda: _strict("no_float64"),
    "cupy": lambda: resolve_backend("cuda"),
}


class HiddenTransferError(AssertionError):
    """The code under test brought a value from a device to the host behind the seam's back."""


# array_api_strict refuses np.asarray and memoryview off its CPU device by itself, and uses none of these methods internally.
_CROSSINGS = ("__bool__", "__int__", "__float__", "__complex__", "__index__", "__dlpack__")


def _guarded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def guard(array: Any, *args: Any, **kwargs: Any) -> Any:
        if array.device != array_api_strict.Device("CPU_DEVICE"):
            raise HiddenTransferError(f"{name} of an array on {array.device!r}: only to_host may cross")
        return method(array, *args, **kwargs)

    return guard


@pytest.fixture
def no_hidden_transfers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``int()``, ``float()``, ``bool()``, ``complex()``, indexing with and DLPack of a strict array off its CPU device raise."""
    strict_array = type(array_api_strict.zeros(()))
    for name in _CROSSINGS:
        monkeypatch.setattr(strict_array, name, _guarded(name, getattr(strict_array, name)))


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.gpu if name == "cupy" else ()) for name in _BACKENDS])
def backend(request: pytest.FixtureRequest, no_hidden_transfers: None) -> Iterator[Case]:
    """Each backend in turn, as a `Case`."""
    try:
        found = _BACKENDS[request.param]()
    except DeviceUnavailableError as error:
        pytest.skip(str(error))
    with found.active():
        yield Case(request.param, found)


# ---------------------------------------------------------------------------------------------------- stores
@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real stores beside the checkout: read-only, so `copy_store` before writing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared stores are not there: {folder}")
    return folder


@pytest.fixture
def copy_store(shared_data: Path) -> Callable[[str, Path], Path]:
    """``copy_store(name, tmp_path)``: a writable copy of one shared store."""

    def copy(name: str, folder: Path) -> Path:
        source, target = shared_data / name, folder / name
        if source.is_file():
            return Path(shutil.copyfile(source, target))
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for inner in (target, *target.rglob("*")):
            if inner.is_dir():
                inner.chmod(0o755)  # copytree takes over the folders' read-only mode
        return target

    return copy
