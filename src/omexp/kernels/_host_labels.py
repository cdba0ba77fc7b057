"""NumPy bodies of segment folds and label boxes, same names and values as in `segments`, `labels`. Knows: NumPy. Does not know: files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omexp.backend import native_for
from omexp.geometry import Region, blocks
from omexp.kernels.expansion import Metric, shifts
from omexp.kernels.labels import LabelBoxes
from omexp.kernels.segments import Fold, Segments

_EXPANDED = 1 << 18  # pixels that are expanded at a time: their keys stay in the cache
_STRIDE = 8  # elements folded between two paddings: 4 and 16 cost 1.2 and 1.0 times as much at 46 pixels per segment


@native_for("numpy")
def fold_segments(values: np.ndarray, segments: Segments, op: Fold) -> np.ndarray:
    """`omexp.kernels.segments.fold_segments` on NumPy: 20 times as fast for integers and extremes, 3 times for float sums; measuring
    the shapes and one channel of objects takes 1.5 (float32) to 1.8 times (uint16) less.

    Integers and extremes do not depend on the order, so ``reduceat`` may choose its own. Float sums keep the order of the portable
    body: segments are padded with -0.0 (``x + -0.0`` is ``x``, bit for bit) to a multiple of 8, and neighbours are added by stride.
    """
    if segments.size == 0:
        return values
    if op != "add" or values.dtype.kind != "f":
        return getattr(np, op).reduceat(values, segments.starts, dtype=values.dtype.type)
    lengths = segments.lengths
    while values.size > lengths.size:
        groups = -(-lengths // _STRIDE)
        shift = (np.cumsum(groups) - groups) * _STRIDE - (np.cumsum(lengths) - lengths)
        padded = np.full(int(groups.sum()) * _STRIDE, -0.0, values.dtype)
        padded[np.arange(values.size) + np.repeat(shift, lengths)] = values
        while padded.size > groups.sum():
            padded = padded[0::2] + padded[1::2]
        values, lengths = padded, groups
    return values


@native_for("numpy")
def spread_segments(values: np.ndarray, segments: Segments) -> np.ndarray:
    """`omexp.kernels.segments.spread_segments` on NumPy: no index per element."""
    return np.repeat(values, segments.lengths)


@native_for("numpy")
def tile_boxes(labels: np.ndarray, origin: Sequence[int]) -> LabelBoxes:
    """`omexp.kernels.labels.label_boxes` of one tile on NumPy: 0.08 s for 8192 x 8192 pixels with 10,000 discs, where the portable body
    takes 0.13 and finding the runs alone 0.05.

    Runs are sorted by id, stably: along the slowest axis an object then begins with its first run and ends with its last.
    """
    ids, begin, length = _runs(labels)
    order = np.argsort(ids, kind="stable")
    ids, begin, length = ids[order], begin[order], length[order]
    heads = np.empty(ids.size, bool)
    heads[:1] = True
    np.not_equal(ids[1:], ids[:-1], out=heads[1:])
    first = np.flatnonzero(heads)
    last = np.append(first[1:], ids.size)[: first.size] - 1
    area = _added(length, first)
    shape = (first.size, labels.ndim)
    start, stop, total = (np.empty(shape, np.int64) for _ in range(3))
    for axis in reversed(range(labels.ndim)):
        begin, place = np.divmod(begin, labels.shape[axis]) if axis else (begin, begin)
        is_fast = axis == labels.ndim - 1
        moment = place * length + length * (length - 1) // 2 if is_fast else place * length
        total[:, axis] = _added(moment, first) + area * origin[axis]
        end = place + length if is_fast else place + 1
        if axis == 0 and not is_fast:
            start[:, axis], stop[:, axis] = place[first], end[last]
        elif first.size:
            start[:, axis], stop[:, axis] = np.minimum.reduceat(place, first), np.maximum.reduceat(end, first)
    return LabelBoxes(ids[first].astype(labels.dtype, copy=False), start + origin, stop + origin, area, total)


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Id, first pixel in C order and length of each run of an object."""
    flat = labels.reshape(-1)
    edges = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=edges[1:])
    edges[:: max(labels.shape[-1], 1)] = True
    begin = np.flatnonzero(edges)
    ids = flat[begin]
    objects = np.flatnonzero(ids)
    length = np.diff(begin, append=flat.size)
    return ids[objects], begin[objects], length[objects]


def _added(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, first) if first.size else values[:0]


@native_for("numpy")
def connect(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`omexp.kernels.components.connect` on NumPy: roots are hooked in place, without sorting edges."""
    root = np.arange(count)
    while a.size:
        a, b = root[a], root[b]
        apart = a != b
        a, b = a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(above := root[root], root):
            root = above
    return root


@native_for("numpy")
def expand(labels: np.ndarray, metric: Metric) -> np.ndarray:
    """`omexp.kernels.expansion.expand` on NumPy: (square, rank of the id) is one integer, each step one addition and one minimum, on tiles
    that stay in the cache; 4096 x 4096 pixels with 2,500 discs and a distance of 10: 0.4 s, scikit-image 2.3."""
    out = np.zeros(labels.shape, labels.dtype)
    side = max(1, round(_EXPANDED ** (1 / sum(n > 1 for n in labels.shape)))) if max(labels.shape, default=0) > 1 else 1
    for tile in blocks(labels.shape, (side,) * labels.ndim):
        box = Region(
            tuple(max(a - n, 0) for a, n in zip(tile.start, metric.reach, strict=True)),
            tuple(min(b + n, size) for b, n, size in zip(tile.stop, metric.reach, labels.shape, strict=True)),
        )
        around = labels[box.slices]
        if around.any():
            out[tile.slices] = _expand_keys(around, metric)[tile.relative_to(box).slices]
    return out


def _expand_keys(labels: np.ndarray, metric: Metric) -> np.ndarray:
    found, begin, length = _runs(labels)
    ids, rank = np.unique(found, return_inverse=True)
    bits = int(ids.size).bit_length()
    beyond = (metric.limit + 1) << bits
    keys: np.ndarray = np.full(labels.size, beyond, np.int32 if beyond < 1 << 30 else np.int64)
    keys[np.repeat(begin - np.cumsum(length) + length, length) + np.arange(length.sum())] = np.repeat(rank, length)
    keys = keys.reshape(labels.shape)
    for axis in reversed(range(labels.ndim)):
        old, keys = keys, keys.copy()
        for step, added in enumerate(metric.squares[axis][1 : labels.shape[axis]], 1):
            for here, there in shifts(axis, step, labels.ndim):
                np.minimum(keys[here], old[there] + keys.dtype.type(added << bits), out=keys[here])
    near = keys < beyond
    out = np.zeros(labels.shape, labels.dtype)
    out[near] = ids[keys[near] & ((1 << bits) - 1)]
    return out
