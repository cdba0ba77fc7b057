"""Arrays as images of one resolution. Knows: which arrays dask can hold, dims and their defaults. Does not know: pyramids, metadata."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from omexp.errors import ArgumentError, DTypeError, warn_caller
from omexp.importers.units import unit_problem
from omexp.metadata.axes import CANONICAL
from omexp.ngff.arrays import held, is_dask, without_torch
from omexp.ngff.model import NgffImage
from omexp.ngff.reading import from_ngff_zarr
from omexp.storage.locating import location
from omexp.storage.reading import HostReader
from omexp.storage.sources import source_of
from omexp.storage.standalone import dimension_names, find_array
from omexp.world import is_positive

__all__ = ["DEFAULT_DIMS", "SPATIAL", "as_data", "to_ngff_image"]

SPATIAL = ("z", "y", "x")
DEFAULT_DIMS = {1: "x", 2: "yx", 3: "zyx", 4: "zyxc", 5: "tzyxc"}


def to_ngff_image(
    data: Any,
    dims: Sequence[str] | None = None,
    scale: Mapping[str, float] | None = None,
    translation: Mapping[str, float] | None = None,
    name: str = "image",
    axes_units: Mapping[str, str | None] | None = None,
    channel_names: Sequence[str] | None = None,
    channel_colors: Sequence[str] | None = None,
) -> NgffImage:
    """An array as an image of one resolution. Nothing is computed, hashed, copied or brought to another device.

    An image of one axis can be reduced, but not written: OME-Zarr images have two or three axes of space.

    Parameters
    ----------
    data
        NumPy, memory map, CuPy, zarr (with its chunks), dask, torch (seen as NumPy or, on a GPU, as CuPy: the same memory), any other
        array-API array, or the path, URL or store of a zarr array or of an OME-Zarr image, whose finest level is taken. `data` of the
        image is a dask array, or the array itself where dask cannot hold it (array-api-strict and other strict libraries).
    dims
        One name per axis from t, c, z, y, x. Default: x; y, x; z, y, x; z, y, x, c; t, z, y, x, c; of a store: what it says.
    scale, translation
        Distance of pixel centres (above 0) and place of the first pixel's centre per dim; spatial dims that are not named get 1.0 and 0.0.
    name
        The image's name; it becomes part of the arrays' paths.
    axes_units
        Dim -> unit, such as "micrometer".
    channel_names, channel_colors
        One entry per channel; colours are six hex digits.

    Raises
    ------
    ArgumentError
        Something that is no array and no store, dims that do not fit, a scale that is not positive, a unit or place of an unknown dim.
    DTypeError
        A dtype that an image cannot have.

    Examples
    --------
    >>> import numpy
    >>> to_ngff_image(numpy.zeros((4, 6), "uint8"), scale={"x": 0.5})
    NgffImage(
        data=dask.array<array, shape=(4, 6), dtype=uint8, chunksize=(4, 6), chunktype=numpy.ndarray>,
        dims=['y', 'x'],
        scale={'y': 1.0, 'x': 0.5},
        translation={'y': 0.0, 'x': 0.0},
        name='image',
        axes_units=None,
        computed_callbacks=[]
    )
    """
    pixels, known = as_data(data)
    dims = _dims(dims if dims is not None else known.dims if known else None, len(pixels.shape))
    if not isinstance(name, str) or not name:
        raise ArgumentError("an image needs a name", where="name", got=repr(name), allowed="text")
    if scale is None and known is not None:
        scale = {d: s for d, s in known.scale.items() if d in dims}
    if translation is None and known is not None:
        translation = {d: t for d, t in known.translation.items() if d in dims}
    units = axes_units if axes_units is not None or known is None else known.axes_units
    return NgffImage(
        pixels,
        dims,
        _numbers(scale, dims, 1.0, "scale"),
        _numbers(translation, dims, 0.0, "translation"),
        name,
        _units(units, dims),
        channel_names=_per_channel(channel_names, pixels, dims, "channel_names"),
        channel_colors=_per_channel(channel_colors, pixels, dims, "channel_colors"),
    )


# -------------------------------------------------------------------------------------------------------------- the array
def as_data(data: Any) -> tuple[Any, NgffImage | None]:
    """The array as an image holds it, and what its store says of it."""
    if not (hasattr(data, "shape") and hasattr(data, "dtype")):
        return _opened(data)
    data = without_torch(data)
    if isinstance(getattr(data, "_meta", data), np.ma.MaskedArray):  # dask tells by its `_meta`
        raise ArgumentError("an image has no mask", where="data", got="a masked array", hint="Fill it first, for example with .filled(0).")
    if is_dask(data):
        _require_real(data.dtype)
        return data, None
    try:
        reader = source_of(data)
    except TypeError:
        raise DTypeError("NumPy has no dtype for these pixels", where="data", got=str(data.dtype), hint="Convert them first.") from None
    _require_real(reader.dtype)
    if isinstance(reader, HostReader):
        return held(reader, reader.stored.chunks, "zarr"), None
    return (held(reader, "auto", "array") if reader.backend.library in ("numpy", "cupy") else data), None


def _opened(place: Any) -> tuple[Any, NgffImage | None]:
    """The array or image at a place."""
    try:
        location(place)
    except ArgumentError:
        raise ArgumentError(
            "this is no array and no store",
            where="data",
            got=type(place).__name__,
            allowed="NumPy, CuPy, dask, zarr, torch or another array-API array; a path, URL or store",
            hint="Pass its data, dims, scale and translation."
            if hasattr(place, "dims")
            else "Convert it first, for example with numpy.asarray.",
        ) from None
    stored = find_array(place)
    if stored is None:
        image = from_ngff_zarr(place).images[0]
        return image.data, image
    data, _ = as_data(stored.zarr)
    names = dimension_names(stored)
    return data, NgffImage(data, names, {}, {}) if names is not None and set(names) <= set(CANONICAL) else None


def _require_real(dtype: np.dtype[Any]) -> None:
    if np.dtype(dtype).kind not in "buif":
        raise DTypeError("pixels of this dtype cannot be an image", where="data", got=str(dtype), allowed="bool, integers, floats")


# ------------------------------------------------------------------------------------------------------------- the rest
def _dims(dims: Sequence[str] | None, ndim: int) -> list[str]:
    if dims is None:
        if ndim not in DEFAULT_DIMS:
            raise ArgumentError("an image has 1 to 5 axes", where="data", got=f"{ndim} axes", hint="Split or squeeze the array.")
        return list(DEFAULT_DIMS[ndim])
    names = list(dims) if isinstance(dims, Iterable) else [dims]
    if len(names) != ndim or len(set(map(str, names))) != ndim or not set(names) <= set(CANONICAL):
        raise ArgumentError(
            "dims do not fit the array",
            where="dims",
            got=f"{', '.join(map(str, names))} for {ndim} axes",
            allowed="one each of t, c, z, y, x",
        )
    return names


def _numbers(given: Mapping[str, float] | None, dims: Sequence[str], default: float, what: str) -> dict[str, float]:
    """A number per spatial dim, and per other dim that is named, in the order of the dims."""
    numbers = _by_dim(given, dims, what)
    for dim, number in numbers.items():
        finite = isinstance(number, Real) and not isinstance(number, bool) and math.isfinite(number)
        if not finite or (what == "scale" and not is_positive(number)):
            sign = "a positive number" if what == "scale" else "a number"
            raise ArgumentError(f"{what} along {dim} must be {sign}", where=what, got=repr(number), allowed="finite")
    return {dim: float(numbers.get(dim, default)) for dim in dims if dim in SPATIAL or dim in numbers}


def _units(given: Mapping[str, str | None] | None, dims: Sequence[str]) -> dict[str, str | None] | None:
    units = _by_dim(given, dims, "axes_units")
    wrong = [unit for unit in units.values() if not isinstance(unit, str | None)]
    if wrong:
        raise ArgumentError(
            "a unit must be text", where="axes_units", got=repr(wrong[0]), allowed="such as 'micrometer', 'second', or None"
        )
    for dim, unit in units.items():
        if (problem := unit_problem(unit)) is not None:
            warn_caller(f"axes_units, {dim}: {problem}")
    return None if given is None else {dim: units[dim] for dim in dims if dim in units}


def _by_dim(given: Any, dims: Sequence[str], what: str) -> dict[str, Any]:
    if not isinstance(given, Mapping | None):
        raise ArgumentError(f"{what} must map dims to values", where=what, got=repr(given), allowed="such as {'y': ..., 'x': ...}")
    unknown = [str(dim) for dim in given or {} if dim not in dims]
    if unknown:
        raise ArgumentError(f"{what} names a dim that the image has not", where=what, got=", ".join(unknown), allowed=", ".join(dims))
    return dict(given or {})


def _per_channel(given: Sequence[str] | None, data: Any, dims: Sequence[str], what: str) -> list[str] | None:
    if given is None:
        return None
    count = data.shape[list(dims).index("c")] if "c" in dims else 1
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != count:
        raise ArgumentError(f"{what} must have one entry per channel", where=what, got=repr(given), allowed=f"{count} entries")
    names = [str(entry) for entry in given]
    if what == "channel_names" and len(set(names)) < count:
        raise ArgumentError("channel_names must be unique", where=what, got=names, hint="Channels are found by their name.")
    return names
