"""How new arrays lie on disk. Knows: chunks, shards, fill values, defaults and refusals. Does not know: pixels.

Everything that can be wrong is refused here, before anything is on disk.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Shape, ceil_div
from omexp.storage.arrays import StoredArray
from omexp.storage.codecs import codecs_for, require_encodable
from omexp.storage.groups import Group, writing

__all__ = [
    "CHUNK_BYTES",
    "SHARD_BYTES",
    "Layout",
    "create_array",
    "default_chunks",
    "default_shards",
    "holds_value",
    "image_dtype",
    "plan_layout",
    "plan_layouts",
]

CHUNK_BYTES = 1 << 20  # near 1 MiB: large enough to hide per-chunk cost, small enough to seek
SHARD_BYTES = 32 << 20  # see default_shards for what larger and smaller ones cost
PER_LEVEL = {"chunks": "auto", "shards": None, "chunks_per_shard": None, "compressors": "auto"}  # what a level that is not named takes


@dataclass(frozen=True, slots=True)
class Layout:
    """Chunks, shards, codec and fill value of one array. `compressors` are codec objects of the array's Zarr format."""

    shape: Shape
    dtype: np.dtype[Any]
    chunks: Shape
    shards: Shape | None
    compressors: tuple[Any, ...]
    fill_value: bool | int | float
    separator: str
    zarr_format: int


# -------------------------------------------------------------------------------------------------------- defaults
def default_chunks(shape: Sequence[int], axes: Sequence[str], itemsize: int) -> Shape:
    """Powers of two near `CHUNK_BYTES`: 1 along t and c, square over the last two axes, then deeper along z while small.

    Examples
    --------
    >>> default_chunks((3, 40, 4096, 4096), "czyx", 2)
    (1, 1, 512, 1024)
    >>> default_chunks((64, 100, 100), "zyx", 2)
    (32, 100, 100)
    """
    chunks = [1] * len(shape)
    for group in _growing(axes):
        while fitting := [i for i in group if chunks[i] < shape[i] and math.prod(chunks) * 2 * itemsize <= CHUNK_BYTES]:
            chunks[min(fitting, key=lambda i: (chunks[i], -i))] *= 2  # the smaller side first, x before y
    return tuple(max(1, min(c, n)) for c, n in zip(chunks, shape, strict=True))


def default_shards(shape: Sequence[int], chunks: Sequence[int], axes: Sequence[str], itemsize: int) -> Shape | None:
    """Whole chunks up to `SHARD_BYTES` of pixels or the whole array: 1 along t and c, square over the last two axes, then deeper along z.

    None where that is a single chunk, which needs no shard around it.

    Examples
    --------
    A field of a plate has one file per channel and level. Measured with 5 levels of 4 channels of 2160 x 2560 uint16: 20 files for 100,
    with 20 planes 72 for 1892 (140 at 16 MiB, 28 at 128 MiB); planes and crops are read as fast as without shards. Changing a crop costs
    3 to 20 times as much, growing with the shard, since its shard is written anew.

    >>> default_shards((4, 1, 2160, 2560), (1, 1, 512, 1024), "czyx", 2)
    (1, 1, 2560, 3072)
    >>> default_shards((4, 20, 2160, 2560), (1, 1, 512, 1024), "czyx", 2)
    (1, 2, 2560, 3072)
    """
    grid = [ceil_div(max(n, 1), c) for n, c in zip(shape, chunks, strict=True)]
    counts = [1] * len(grid)

    def doubled(i: int) -> list[int]:
        return [min(2 * c, n) if i == j else c for j, (c, n) in enumerate(zip(counts, grid, strict=True))]

    for group in _growing(axes):
        most = SHARD_BYTES // itemsize // math.prod(chunks)
        while fitting := [i for i in group if counts[i] < grid[i] and math.prod(doubled(i)) <= most]:
            counts = doubled(min(fitting, key=lambda i: (counts[i] * chunks[i], -i)))
    return tuple(n * c for n, c in zip(counts, chunks, strict=True)) if math.prod(counts) > 1 else None


def _growing(axes: Sequence[str]) -> tuple[list[int], list[int]]:
    """The positions that grow first, the last two axes of space, and those that grow after them."""
    space = [i for i, axis in enumerate(axes) if axis not in ("t", "c")]
    return space[-2:], space[:-2]


# ---------------------------------------------------------------------------------------------------------- plans
def plan_layouts(
    shapes: Sequence[Sequence[int]], dtype: Any, axes: Sequence[str], *, zarr_format: int, most: int | None = None, **options: Any
) -> tuple[Layout, ...]:
    """A layout for each level of a pyramid, finest first.

    Parameters
    ----------
    shapes, dtype, axes, zarr_format, **options
        As in `plan_layout`. `chunks`, `shards`, `chunks_per_shard` and `compressors` may also be a mapping from level number (0 is the
        finest) to any of their forms: ``chunks={0: (1, 512, 512), 2: 64}``. Levels that are not named take the default: "auto" chunks and
        codec, no shards.
    most
        Levels that may be named, where there may be fewer than were asked for; None: as many as there are.

    Raises
    ------
    ArgumentError, DTypeError
        As `plan_layout`; a mapping with both level numbers and names, or a level that there cannot be.

    Examples
    --------
    >>> [level.chunks for level in plan_layouts([(8, 512, 512), (8, 256, 256)], "uint8", "zyx", zarr_format=3, chunks={1: 64})]
    [(4, 512, 512), (8, 64, 64)]
    """
    allowed = max(most or 0, len(shapes))
    by_level = {name: _by_level(options[name], allowed, name) for name in PER_LEVEL if name in options}
    plain = {name: value for name, value in options.items() if name not in by_level}
    return tuple(
        plan_layout(shape, dtype, axes, zarr_format=zarr_format, **plain, **{name: values[k] for name, values in by_level.items()})
        for k, shape in enumerate(shapes)
    )


def _by_level(value: Any, levels: int, what: str) -> list[Any]:
    """What each level is given."""
    numbers = [key for key in value if isinstance(key, Integral) and not isinstance(key, bool)] if isinstance(value, Mapping) else []
    if not numbers:
        return [value] * levels
    if len(numbers) < len(value):
        raise ArgumentError(
            f"{what} must be given by level or by name, not both",
            got=dict(value),
            allowed="level number -> any form, such as {0: {'y': 64}, 1: 32}",
        )
    unknown = sorted({int(n) for n in numbers} - set(range(levels)))
    if unknown:
        raise ArgumentError(f"{what} names a level that the image has not", got=unknown, allowed=f"0 to {levels - 1}")
    return [value.get(k, PER_LEVEL[what]) for k in range(levels)]


def plan_layout(
    shape: Sequence[int],
    dtype: Any,
    axes: Sequence[str],
    *,
    zarr_format: int,
    chunks: Any = "auto",
    shards: Any = None,
    chunks_per_shard: Any = None,
    compressors: Any = "auto",
    fill_value: Any = 0,
    separator: str = "/",
) -> Layout:
    """The layout of a new array.

    Parameters
    ----------
    shape, dtype, axes
        Of the array.
    chunks
        "auto" or None (see `default_chunks`; where shards are given, sizes that divide them), one int for the spatial axes (1 along t
        and c), one int per axis, or axis -> int (axes that are not named take the default). Larger than the array is clipped.
    shards
        Zarr format 3. None (no shards), "auto" (see `default_shards`), one int for the spatial axes (one chunk along t and c), one int
        per axis, or axis -> int (one chunk along axes that are not named): whole multiples of the chunks. A shard reaches at most over
        the whole axis, in whole chunks.
    chunks_per_shard
        In place of `shards`: one int for all axes, one per axis, or axis -> int (1 where not named).
    compressors
        "auto" (Blosc lz4 with bitshuffle), None (uncompressed), a name ("zstd:3"), a document or an object: see `codecs_for`.
    fill_value
        What pixels are that were never written: a number that the dtype holds. Chunks of nothing else are not stored.
    separator
        "/" or ".", between the indices in chunk keys.

    Raises
    ------
    ArgumentError, DTypeError
        Anything of the above that cannot be stored.
    """
    dtype = image_dtype(dtype)
    shape = _per_axis(shape, len(axes), "shape", least=0)
    auto = default_chunks(shape, axes, dtype.itemsize)
    if shards is not None and not isinstance(shards, str):
        auto = _dividing(auto, _shard_sizes(shards, auto, axes), shape)
    chunk_shape = _chunks(chunks, shape, axes, auto)
    if separator not in ("/", "."):
        raise ArgumentError("dimension_separator is not understood", got=repr(separator), allowed="'/' or '.'")
    shard_shape = None
    if shards is not None or chunks_per_shard is not None:
        if zarr_format == 2:
            raise ArgumentError(
                "shards need Zarr format 3",
                got="an OME-Zarr 0.4 store",
                allowed="OME-Zarr 0.5",
                hint=f"Write OME-Zarr 0.5, or leave {'chunks_per_shard' if shards is None else 'shards'} out.",
            )
        if shards is not None and chunks_per_shard is not None:
            raise ArgumentError("shards and chunks_per_shard are the same thing", got="both", hint="Pass one of them.")
        shard_shape = _shards(shards, chunks_per_shard, chunk_shape, shape, axes, dtype.itemsize)
    codecs = codecs_for(compressors, zarr_format, dtype)
    require_encodable(codecs, math.prod(chunk_shape) * dtype.itemsize)
    return Layout(shape, dtype, chunk_shape, shard_shape, codecs, _fill(fill_value, dtype), separator, zarr_format)


def image_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype, if an image may have it. Raises `DTypeError`."""
    found = None
    if dtype is not None:  # NumPy takes None for float64
        with contextlib.suppress(TypeError):
            found = np.dtype(dtype)
    if found is None:
        raise DTypeError("dtype is not understood", where="dtype", got=repr(dtype), allowed="bool, integers, floats")
    if found.kind not in "buif" or found.itemsize > 8:  # long double has no place in Zarr
        raise DTypeError("this cannot be the dtype of an OME-Zarr image", where="dtype", got=str(found), allowed="bool, integers, floats")
    return found


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _per_axis(value: Any, ndim: int, what: str, least: int = 1) -> Shape:
    try:
        sizes = tuple(operator.index(v) for v in value)
    except TypeError:
        sizes = ()
    if len(sizes) != ndim or any(v < least for v in sizes):
        sign = "positive" if least else "non-negative"
        raise ArgumentError(f"{what} must be one {sign} int per axis", got=repr(value), allowed=f"{ndim} ints")
    return sizes


def _by_axis(value: Any, axes: Sequence[str], others: Sequence[int], what: str) -> Any:
    """Axis -> int as one per axis, `others` where an axis is not named; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    unknown = sorted(map(str, set(value) - set(axes)))
    if unknown:
        raise ArgumentError(f"{what} names an axis that the image has not", got=", ".join(unknown), allowed=", ".join(axes))
    return tuple(value.get(axis, other) for axis, other in zip(axes, others, strict=True))


def _chunks(chunks: Any, shape: Shape, axes: Sequence[str], auto: Shape) -> Shape:
    if chunks is None or (isinstance(chunks, str) and chunks == "auto"):
        return auto
    if _is_int(chunks):
        chunks = tuple(1 if a in ("t", "c") else chunks for a in axes)
    sizes = _per_axis(_by_axis(chunks, axes, auto, "chunks"), len(shape), "chunks")
    return tuple(max(1, min(c, n)) for c, n in zip(sizes, shape, strict=True))


def _shards(shards: Any, per_shard: Any, chunks: Shape, shape: Shape, axes: Sequence[str], itemsize: int) -> Shape | None:
    if isinstance(shards, str) and shards == "auto":
        return default_shards(shape, chunks, axes, itemsize)
    covering = [ceil_div(max(n, 1), c) * c for n, c in zip(shape, chunks, strict=True)]
    if per_shard is not None:
        counts = (per_shard,) * len(axes) if _is_int(per_shard) else _by_axis(per_shard, axes, (1,) * len(axes), "chunks_per_shard")
        counts = _per_axis(counts, len(shape), "chunks_per_shard")
        return tuple(min(n * c, most) for n, c, most in zip(counts, chunks, covering, strict=True))
    sizes = _shard_sizes(shards, chunks, axes)
    sizes = tuple(most if s >= n else s for s, n, most in zip(sizes, shape, covering, strict=True))
    if any(s % c for s, c in zip(sizes, chunks, strict=True)):
        raise ArgumentError("shards must be whole multiples of the chunks", got=sizes, allowed=f"multiples of {chunks}")
    return sizes


def _shard_sizes(shards: Any, chunks: Shape, axes: Sequence[str]) -> Shape:
    if _is_int(shards):
        shards = tuple(c if a in ("t", "c") else shards for a, c in zip(axes, chunks, strict=True))
    return _per_axis(_by_axis(shards, axes, chunks, "shards"), len(axes), "shards")


def _dividing(chunks: Shape, shards: Shape, shape: Shape) -> Shape:
    """Default chunks for shards that do not reach over a whole axis: the divisor of the shard that is nearest to the default."""

    def nearest(chunk: int, shard: int) -> int:
        return min((d for d in range(1, shard + 1) if shard % d == 0), key=lambda d: abs(math.log(d / chunk)))

    return tuple(c if s >= n else nearest(c, s) for c, s, n in zip(chunks, shards, shape, strict=True))


def _fill(value: Any, dtype: np.dtype[Any]) -> bool | int | float:
    """The fill value as a plain number; a float is rounded to the dtype's precision, never to infinity."""
    if not holds_value(dtype, value):
        raise ArgumentError("the dtype does not hold this fill value", where="fill_value", got=repr(value), allowed=f"a value of {dtype}")
    plain_type: type[bool | int | float] = {"b": bool, "f": float}.get(dtype.kind, int)
    return plain_type(value)


def holds_value(dtype: np.dtype[Any], value: Any) -> bool:
    """Whether pixels of `dtype` can have this value: whole numbers in range, for floats anything within it, NaN and infinity."""
    if not isinstance(value, (Real, np.bool_)):
        return False
    number: Any = value  # the types of numbers.Real have no arithmetic for mypy
    if dtype.kind == "f":
        return bool(number != number or abs(number) == math.inf or abs(number) <= float(np.finfo(dtype).max))
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(low <= number <= high and number == int(number))


def create_array(group: Group, path: str, layout: Layout, *, axes: Sequence[str], fill_value: Any = None) -> StoredArray:
    """Create an array below a group; nothing but its metadata is written. `fill_value` is the layout's unless given."""
    versioned: dict[str, Any] = (
        {"chunk_key_encoding": {"name": "v2", "separator": layout.separator}}
        if layout.zarr_format == 2
        else {"chunk_key_encoding": {"name": "default", "separator": layout.separator}, "dimension_names": list(axes)}
    )
    # an empty axis still needs a chunk of 1
    with writing(group):
        array = group.zarr.create_array(
            path,
            shape=layout.shape,
            dtype=layout.dtype,
            chunks=layout.chunks,
            shards=layout.shards,
            compressors=list(layout.compressors) or None,
            fill_value=layout.fill_value if fill_value is None else fill_value,
            config={"write_empty_chunks": False},  # whatever the process-wide setting says
            **versioned,
        )
    return StoredArray(array)
