"""Pixels in memory or behind a reader. Knows: which arrays dask can hold, torch's memory as an array. Does not know: dims, metadata."""

from __future__ import annotations

from typing import Any

import numpy as np

from omexp.backend import Backend, resolve_backend
from omexp.errors import ArgumentError, OmexpError
from omexp.geometry import Region
from omexp.storage.lazy import dask_of_reader
from omexp.storage.reading import Reader
from omexp.storage.sources import source_of

__all__ = ["held", "is_dask", "reader_of", "without_torch"]


def is_dask(array: Any) -> bool:
    """Whether it is a dask array (dask itself is not loaded to find out)."""
    return type(array).__module__.startswith("dask.array")


def held(reader: Reader, chunks: Any, name: str) -> Any:
    """All pixels of a reader, as an image holds them: a dask array; read at once where dask cannot hold the library's arrays.

    The dask array hands writers the reader itself, so that no task of dask stands in between; arrays derived from it do not.
    """
    if reader.backend.library not in ("numpy", "cupy"):
        return reader.read(Region.whole(reader.shape))
    array = dask_of_reader(reader, chunks, name)
    array._omexp_source = reader
    return array


def reader_of(data: Any) -> Reader:
    """What reads the pixels of an image's data: behind a dask array of ours the reader itself."""
    return source_of(without_torch(data))


def without_torch(data: Any) -> Any:
    """A torch tensor's memory as a NumPy or CuPy array; anything else as it is."""
    if type(data).__module__.partition(".")[0] != "torch":
        return data
    device = data.device
    try:
        if device.type == "cpu":
            return np.from_dlpack(data.detach())
        backend: Backend = resolve_backend(f"{device.type}:{device.index}")
        with backend.active():
            return backend.xp.from_dlpack(data.detach())
    except OmexpError:
        raise
    except Exception as error:  # a dtype that DLPack or NumPy does not know (bfloat16), a layout that is not strided
        raise ArgumentError(
            f"the tensor cannot be seen as an array ({error})",
            where="data",
            got=f"torch {data.dtype} on {device}",
            hint="Convert it first.",
        ) from None
