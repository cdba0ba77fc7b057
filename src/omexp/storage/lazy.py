"""Lazy arrays. Knows: a reader as a dask array, a dask array as blocks to write. Does not know: images. Dask loads when first needed."""

from __future__ import annotations

import contextvars
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

from omexp.backend import Backend, dtype_of, from_host
from omexp.geometry import Shape, ceil_div, grow_block
from omexp.selection import Arrangement, Selection, arranged_shape, select
from omexp.storage.reading import Reader

__all__ = ["LazyPatch", "as_lazy_patch", "computed", "computed_block", "dask_array", "dask_of_read", "dask_of_reader", "delayed_array"]

BLOCK_BYTES = 16 << 20  # computed and written at a time


class _ReaderArray:
    """What dask needs of an array: shape, dtype and slicing. Dask folds ints and steps of a later slicing into that of the block."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.shape, self.dtype, self.ndim = reader, reader.shape, reader.dtype, len(reader.shape)

    def __getitem__(self, index: tuple[int | slice, ...]) -> Any:
        axes = [str(i) for i in range(self.ndim)]
        selection = select(axes, self.shape, dict(zip(axes, index, strict=False)))
        widened, steps = selection.widened()
        with self.reader.backend.active():
            pixels = self.reader.read(widened.bounds)[steps]
            return self.reader.backend.xp.reshape(pixels, selection.kept_shape)


def dask_array(reader: Reader, place: str, chunks: Shape, selection: Selection, arrangement: Arrangement) -> Any:
    """A selection of the array at `place` as a dask array of whole chunks, with the backend's arrays as blocks."""
    lazy = dask_of_reader(reader, chunks, _name_of(place))  # the name says where the pixels come from, for `LazyPatch.reads`
    for axis, picked in enumerate(selection.picks):  # one axis at a time: dask takes one list per indexing
        index: Any = _as_slice(picked) if isinstance(picked, range) else list(picked)
        lazy = lazy[(slice(None),) * axis + (index,)]
    return lazy.transpose(arrangement.order).reshape(arranged_shape(selection, arrangement))


def dask_of_reader(reader: Reader, chunks: Any, name: str) -> Any:
    """All of a reader as a dask array with the backend's arrays as blocks; nothing is read, hashed or planned per chunk.

    `chunks` is what dask takes ("auto", one int per axis). The array's name is `name` and a mark that no other has.
    """
    import dask.array as da

    meta = reader.backend.empty((0,) * len(reader.shape), reader.dtype)
    unique = f"{name}-{uuid.uuid4().hex}"  # dask's own name would be a hash of the pixels
    return da.from_array(_ReaderArray(reader), chunks=chunks, name=unique, asarray=False, fancy=False, meta=meta)


def _as_slice(picked: range) -> slice:
    if len(picked) == 0:
        return slice(0, 0)
    stop: int | None = picked[-1] + (1 if picked.step > 0 else -1)
    return slice(picked[0], None if stop == -1 else stop, picked.step)


def delayed_array(read: Callable[[], Any], place: str) -> Any:
    """A dask delayed object that reads the array at `place` when computed."""
    import dask

    return dask.delayed(read, pure=False)(dask_key_name=f"{_name_of(place)}-{uuid.uuid4().hex}")


def dask_of_read(read: Callable[[], Any], place: str, shape: Shape, dtype: Any, backend: Backend) -> Any:
    """One read as a dask array of one block."""
    import dask.array as da

    return da.from_delayed(delayed_array(read, place), shape, meta=backend.empty((0,) * len(shape), dtype))


def computed(patch: Any, backend: Backend) -> Any:
    """A dask array or delayed object computed, and brought to `backend` where it came out as NumPy; anything else as it is."""
    if not type(patch).__module__.startswith("dask."):
        return patch
    return computed_block(patch.compute(), backend)


def computed_block(pixels: Any, backend: Backend) -> Any:
    """What dask computed, brought to `backend` where it came out as NumPy."""
    return from_host(np.asarray(pixels), backend) if isinstance(pixels, np.ndarray | np.generic) else pixels


class LazyPatch:
    """A dask array that is to be written, block by block, in one computation."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, tuple(array.shape), dtype_of(array)

    def reads(self, place: str) -> bool:
        """Whether the graph reads the array at `place`: blocks written first would then be read as if they were the old ones."""
        return any(_name_of(place) in str(name) for name in self.array.__dask_graph__().layers)

    def store(self, selection: Selection, arrangement: Arrangement, unit: Shape, write: Callable[[Selection, Any], None]) -> None:
        """Compute once; call `write` for each box of whole write units as it comes (from dask's threads; boxes do not meet).

        The selection must be a box.
        """
        import dask.array as da

        bounds = selection.bounds
        grid = grow_block(unit, bounds.shape, BLOCK_BYTES // max(1, self.dtype.itemsize))
        cuts = [_cuts(a, b, step) for a, b, step in zip(bounds.start, bounds.stop, grid, strict=True)]
        by_name = dict(zip(selection.axes, cuts, strict=True))
        blocks = self.array.rechunk(tuple(by_name.get(name, (1,)) for name in arrangement.names))
        places = dict(zip(selection.axes, bounds.start, strict=True))

        class Target:
            def __setitem__(self, index: tuple[slice, ...], pixels: Any) -> None:
                spans = dict(zip(arrangement.names, index, strict=True))
                picks = [
                    range(places[axis] + spans[axis].start, places[axis] + spans[axis].stop) if axis in spans else picked
                    for axis, picked in zip(selection.axes, selection.picks, strict=True)
                ]
                context.copy().run(write, Selection(selection.axes, tuple(picks), selection.dropped), pixels)

        context = contextvars.copy_context()
        da.store(blocks, Target(), lock=False)  # type: ignore[arg-type]


def _cuts(start: int, stop: int, step: int) -> tuple[int, ...]:
    """Sizes of the cells of a grid anchored at 0 that lie in an interval."""
    inner = [i for i in range(ceil_div(start + 1, step) * step, stop, step)]
    return tuple(b - a for a, b in zip([start, *inner], [*inner, stop], strict=True))


def _name_of(place: str) -> str:
    return f"omexp-{hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()[:16]}"


def as_lazy_patch(patch: Any) -> LazyPatch | None:
    """The patch as blocks to write, if it is a dask array."""
    return LazyPatch(patch) if type(patch).__module__.startswith("dask.array") else None
