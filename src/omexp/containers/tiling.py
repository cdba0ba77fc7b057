"""Regions that tile an image. Knows: tiles, strides, what becomes of the last one. Does not know: pixels, tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal

from omexp.containers.roi import Roi
from omexp.errors import ArgumentError
from omexp.world import PixelSize

__all__ = ["Tail", "grid_rois"]

Tail = Literal["clip", "balance", "shift", "drop"]


def grid_rois(
    shape: Mapping[str, int],
    sizes: Mapping[str, int],
    pixel_size: PixelSize,
    *,
    strides: Mapping[str, int] | None = None,
    tail: Tail = "clip",
    base_name: str = "tile",
) -> list[Roi]:
    """Regions of the same size, row by row, in world units.

    Parameters
    ----------
    shape
        Axis -> pixels of the image, over t, z, y, x.
    sizes
        Axis -> pixels of a tile; axes that are not named are not cut.
    pixel_size
        Of the level that is meant.
    strides
        Axis -> pixels from one tile to the next; the size where not named.
    tail
        What becomes of a last tile that reaches over the edge: "clip" cuts it, "shift" moves it back so that it is whole, "balance"
        shares the last whole tile and the rest between two tiles (without strides), "drop" leaves it out.
    base_name
        Names are it with the number along each axis that is cut, such as "tile_0_3".

    Raises
    ------
    ArgumentError
        An axis that the image has not, a size or stride that is no positive whole number, another tail, or "balance" with strides.

    Examples
    --------
    >>> [(roi.name, roi["x"].start, roi["x"].length) for roi in grid_rois({"y": 4, "x": 5}, {"x": 2}, PixelSize(1.0, 1.0))]
    [('tile_0', 0.0, 2.0), ('tile_1', 2.0, 2.0), ('tile_2', 4.0, 1.0)]
    """
    strides = {**sizes, **(strides or {})}
    unknown = [axis for axis in strides if axis not in shape or axis not in sizes]
    wrong = {axis: n for axis, n in [*sizes.items(), *strides.items()] if not (isinstance(n, int) and n > 0)}
    if unknown or wrong or tail not in ("clip", "balance", "shift", "drop") or (tail == "balance" and strides != dict(sizes)):
        raise ArgumentError(
            "the image cannot be tiled so",
            where="tiles",
            got=f"sizes {dict(sizes)}, strides {strides}, tail {tail!r}",
            allowed=f"whole pixels along {', '.join(shape)}; tail 'clip', 'shift', 'drop', or 'balance' without strides",
        )
    spans = {axis: _spans(n, sizes[axis], strides[axis], tail) if axis in sizes else [(0, n)] for axis, n in shape.items()}
    found = []
    for places in itertools.product(*[range(len(s)) for s in spans.values()]):
        numbers = [str(place) for axis, place in zip(spans, places, strict=True) if axis in sizes]
        box = {axis: spans[axis][place] for axis, place in zip(spans, places, strict=True)}
        found.append(Roi.from_values(box, name="_".join([base_name, *numbers]), space="pixel").to_world(pixel_size))
    return found


def _spans(length: int, size: int, stride: int, tail: Tail) -> list[tuple[int, int]]:
    """(start, length) of the tiles along one axis: as many as are needed to reach its end."""
    starts = list(range(0, max(length - size, 0) + stride, stride))
    whole = [start for start in starts if start + size <= length]
    end = whole[-1] + size if whole else 0
    spans = [(start, size) for start in whole]
    start = whole[-1] + stride if whole else 0
    if end >= length or start >= length or tail == "drop":
        return spans
    if tail == "shift" and size <= length:
        return [*spans, (length - size, size)]
    if tail == "balance" and spans:
        rest = length - spans[-1][0]
        return [*spans[:-1], (spans[-1][0], -(-rest // 2)), (spans[-1][0] + -(-rest // 2), rest // 2)]
    return [*spans, (start, length - start)]
