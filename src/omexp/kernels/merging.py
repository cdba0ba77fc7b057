"""What is written, put together with what is there. Knows: rules, pixel by pixel. Does not know: masks, files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omexp.backend import Array, backend_of, dtype_of
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError

__all__ = ["MERGES", "Merge", "merge_pixels", "require_merge"]

Merge = str | Callable[[Array, Array], Array]  # a name of `MERGES`, or (existing, patch) -> what is to be there


def merge_pixels(existing: Array, patch: Array, merge: Merge) -> Array:
    """What is to be stored where `patch` is written over `existing`.

    Parameters
    ----------
    existing, patch
        One shape, dtype and device.
    merge
        "max", "min", "sum" (integers wrap; of bool: or), "keep_nonzero" (the patch where it is not 0), or a function of the two
        that treats each pixel for itself: it is called for parts of a patch.

    Returns
    -------
    A new array of that shape, dtype and device.

    Raises
    ------
    ArgumentError, DTypeError, BackendMismatchError
        No such rule; the function gave another shape, another dtype, or an array that lives elsewhere.

    Examples
    --------
    >>> import numpy
    >>> merge_pixels(numpy.array([1, 5, 7]), numpy.array([3, 4, 0]), "max").tolist()
    [3, 5, 7]
    >>> merge_pixels(numpy.array([1, 5, 7]), numpy.array([3, 4, 0]), "keep_nonzero").tolist()
    [3, 4, 7]
    """
    require_merge(merge)
    if isinstance(merge, str):
        return MERGES[merge](existing, patch)
    merged = merge(existing, patch)
    place = backend_of(existing)
    if backend_of(merged) != place:
        raise BackendMismatchError(
            "the merge gave an array that lives elsewhere", where="merge", got=type(merged).__name__, allowed=place.name
        )
    if tuple(merged.shape) != tuple(existing.shape):
        raise ArgumentError("the merge changed the shape", where="merge", got=tuple(merged.shape), allowed=tuple(existing.shape))
    if dtype_of(merged) != dtype_of(existing):
        raise DTypeError(
            "the merge changed the dtype", where="merge", got=dtype_of(merged).name, allowed=dtype_of(existing).name, hint="Convert back."
        )
    return merged


def require_merge(merge: Any) -> None:
    """Raise `ArgumentError` for what is no merge."""
    if not (callable(merge) or (isinstance(merge, str) and merge in MERGES)):
        raise ArgumentError(
            "merge is not understood", where="merge", got=repr(merge), allowed=f"{', '.join(map(repr, MERGES))}, a function, None"
        )


def _max(existing: Array, patch: Array) -> Array:
    xp = backend_of(existing, patch).xp
    return xp.logical_or(existing, patch) if dtype_of(existing).kind == "b" else xp.maximum(existing, patch)


def _min(existing: Array, patch: Array) -> Array:
    xp = backend_of(existing, patch).xp
    return xp.logical_and(existing, patch) if dtype_of(existing).kind == "b" else xp.minimum(existing, patch)


def _sum(existing: Array, patch: Array) -> Array:
    return backend_of(existing, patch).xp.logical_or(existing, patch) if dtype_of(existing).kind == "b" else existing + patch


def _keep_nonzero(existing: Array, patch: Array) -> Array:
    backend = backend_of(existing, patch)
    return backend.xp.where(patch != backend.full((), 0, dtype_of(patch)), patch, existing)


MERGES: dict[str, Callable[[Array, Array], Array]] = {"max": _max, "min": _min, "sum": _sum, "keep_nonzero": _keep_nonzero}
