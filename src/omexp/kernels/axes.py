"""Moving axes of arrays. Knows: permutations and size-1 axes. Does not know: what an axis means."""

from __future__ import annotations

from typing import Any

from omexp.backend import backend_of
from omexp.selection import Arrangement, Selection, arranged_shape, inverse

__all__ = ["align", "from_stored", "to_stored"]


def from_stored(array: Any, selection: Selection, arrangement: Arrangement) -> Any:
    """An array over all stored axes, as the caller asked for it (a view where the library can)."""
    xp = backend_of(array).xp
    return xp.reshape(xp.permute_dims(array, arrangement.order), arranged_shape(selection, arrangement))


def to_stored(patch: Any, selection: Selection, arrangement: Arrangement) -> Any:
    """The inverse of `from_stored`: a patch in the caller's axes, over all stored axes in stored order."""
    xp = backend_of(patch).xp
    permuted = tuple(selection.shape[i] for i in arrangement.order)
    return xp.permute_dims(xp.reshape(patch, permuted), inverse(arrangement.order))


def align(array: Any, have: tuple[str, ...], want: tuple[str, ...]) -> Any:
    """An array over axes `have` (all of them in `want`) over axes `want`: moved, and size 1 where it has none, ready to broadcast."""
    xp = backend_of(array).xp
    sizes = dict(zip(have, array.shape, strict=True))
    moved = xp.permute_dims(array, tuple(have.index(a) for a in want if a in have))
    return xp.reshape(moved, tuple(sizes.get(a, 1) for a in want))
