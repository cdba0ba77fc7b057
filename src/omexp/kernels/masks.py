"""Masks applied to pixels, and arrays brought to another grid. Knows: bool masks, indices. Does not know: labels, scales, files."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from omexp.backend import Array, Backend, backend_of, dtype_of
from omexp.errors import ArgumentError, DTypeError, SelectionError

__all__ = ["checked_fill", "keep_outside", "mask_of_label", "masked", "take_nearest"]


def masked(data: Array, mask: Array, fill_value: Any = 0) -> Array:
    """The data where the mask is True, `fill_value` elsewhere.

    Parameters
    ----------
    data
        Any shape and dtype.
    mask
        bool; broadcast to the shape of `data`: missing leading axes and axes of size 1 stand for all pixels.
    fill_value
        A number that the dtype of `data` can hold.

    Returns
    -------
    A new array of the shape, dtype and device of `data`.

    Raises
    ------
    BackendMismatchError
        Data and mask live in different places.
    DTypeError
        The mask is not bool, or the dtype of `data` cannot hold `fill_value`.
    ArgumentError
        The mask does not broadcast to the shape of `data`.

    Examples
    --------
    >>> import numpy
    >>> masked(numpy.array([[1, 2], [3, 4]]), numpy.array([True, False]), 9).tolist()
    [[1, 9], [3, 9]]
    """
    backend = backend_of(data, mask)
    _check_mask(mask, data.shape)
    return backend.xp.where(mask, data, checked_fill(backend, data, fill_value))


def mask_of_label(ids: Array, label: int) -> Array:
    """True where the id is `label`.

    Parameters
    ----------
    ids
        Integers or bool, any shape.
    label
        Exact whatever its size; one that the dtype of `ids` cannot hold is nowhere.

    Returns
    -------
    A bool array of the shape and device of `ids`.

    Examples
    --------
    >>> import numpy
    >>> mask_of_label(numpy.array([0, 2, 2], "uint8"), 2).tolist(), mask_of_label(numpy.array([0, 2], "uint8"), 258).tolist()
    ([False, True, True], [False, False])
    """
    backend, dtype = backend_of(ids), dtype_of(ids)
    lowest, highest = (0, 1) if dtype.kind == "b" else _limits(backend, ids)
    if not lowest <= label <= highest:
        return backend.full(ids.shape, False, "bool")
    value = bool(label) if dtype.kind == "b" else label
    return ids == (value if backend.is_host else backend.full((), value, dtype))  # an array of one number takes NumPy 20 us


def keep_outside(old: Array, new: Array, mask: Array) -> Array:
    """The new pixels where the mask is True, the old ones elsewhere.

    Parameters
    ----------
    old
        Any shape and dtype.
    new
        The dtype of `old`; broadcast to its shape.
    mask
        bool; broadcast to the shape of `old`.

    Returns
    -------
    A new array; `old` and `new` stay as they are.

    Raises
    ------
    BackendMismatchError
        The arrays live in different places.
    DTypeError
        The mask is not bool, or `new` has another dtype than `old`.
    ArgumentError
        `new` or the mask does not broadcast to the shape of `old`.

    Examples
    --------
    >>> import numpy
    >>> keep_outside(numpy.array([1, 2]), numpy.array([8, 9]), numpy.array([False, True])).tolist()
    [1, 9]
    """
    backend = backend_of(old, new, mask)
    if dtype_of(new) != dtype_of(old):
        raise DTypeError(
            "new pixels must have the dtype of the old ones",
            where="new",
            got=dtype_of(new).name,
            allowed=dtype_of(old).name,
            hint="Convert them with astype.",
        )
    _check_broadcast("new", new.shape, old.shape)
    _check_mask(mask, old.shape)
    return backend.xp.where(mask, new, old)


def take_nearest(array: Array, indices: Sequence[Sequence[int] | None]) -> Array:
    """An array on another grid: along each axis the pixels that `indices` names, in that order.

    Parameters
    ----------
    array
        Any shape and dtype.
    indices
        Per axis None (unchanged), a range or a sequence of host integers (from `omexp.grids.nearest_indices`).

    Returns
    -------
    An array on the device of `array`. Ranges are slices and make no copy where the library has views.

    Raises
    ------
    ArgumentError
        There is not one entry per axis.
    SelectionError
        An index is outside the array.

    Examples
    --------
    >>> import numpy
    >>> take_nearest(numpy.array([[1, 2, 3, 4]]), (None, range(0, 4, 2))).tolist()
    [[1, 3]]
    >>> take_nearest(numpy.array([1, 2]), ([0, 0, 1, 1],)).tolist()
    [1, 1, 2, 2]
    """
    backend = backend_of(array)
    if len(indices) != array.ndim:
        raise ArgumentError("indices must have one entry per axis", where="indices", got=len(indices), allowed=array.ndim)
    for axis, (chosen, n) in enumerate(zip(indices, array.shape, strict=True)):
        ends = (chosen[0], chosen[-1]) if isinstance(chosen, range) and len(chosen) else chosen or (0,)
        if chosen is not None and len(chosen) and (min(ends) < 0 or max(ends) >= n):
            raise SelectionError(
                "an index is outside the array", where=f"axis {axis}", got=f"{min(ends)} to {max(ends)}", allowed=f"0 to {n - 1}"
            )
    array = array[tuple(_slice(chosen) for chosen in indices)]  # views first: less is left to copy
    for axis, chosen in enumerate(indices):
        if chosen is not None and not isinstance(chosen, range):
            places = backend.xp.asarray(list(chosen), dtype=backend.dtype("int64"), device=backend.device)
            array = backend.xp.take(array, places, axis=axis)
    return array


def _slice(chosen: Sequence[int] | None) -> slice:
    if not isinstance(chosen, range):
        return slice(None)
    if len(chosen) == 0:
        return slice(0, 0)
    stop = chosen[-1] + (1 if chosen.step > 0 else -1)
    return slice(chosen[0], stop if stop >= 0 else None, chosen.step)


def _check_mask(mask: Array, shape: Sequence[int]) -> None:
    if dtype_of(mask).kind != "b":
        raise DTypeError(
            "a mask must be bool", where="mask", got=dtype_of(mask).name, allowed="bool", hint="Compare first, for example `label == 3`."
        )
    _check_broadcast("mask", mask.shape, shape)


def _check_broadcast(name: str, shape: Sequence[int], target: Sequence[int]) -> None:
    missing = len(target) - len(shape)
    if missing < 0 or any(n not in (1, m) for n, m in zip(shape, target[missing:], strict=True)):
        raise ArgumentError(
            f"{name} does not broadcast to the pixels",
            where=name,
            got=f"shape {tuple(shape)}",
            allowed=f"shape {tuple(target)}, with axes of size 1 or without the first axes",
        )


def checked_fill(backend: Backend, data: Array, value: Any, where: str = "fill_value") -> Array:
    """A 0-d array of the dtype of `data`. Raises `DTypeError` for a number that this dtype would change into another one."""
    dtype = dtype_of(data)
    if dtype.kind in "biu":
        lowest, highest = (0, 1) if dtype.kind == "b" else _limits(backend, data)
        number: Any = value if isinstance(value, Real | np.bool_) else None
        if number is None or not (lowest <= number <= highest and number == number // 1):
            raise DTypeError(
                f"{dtype.name} cannot hold the {where.replace('_', ' ')}",
                where=where,
                got=repr(value),
                allowed=f"whole numbers from {lowest} to {highest}",
            )
        value = bool(value) if dtype.kind == "b" else int(number)
    return np.array(value, dtype) if backend.is_host else backend.full((), value, dtype)


def _limits(backend: Backend, data: Array) -> tuple[int, int]:
    info = backend.xp.iinfo(data.dtype)
    return info.min, info.max
