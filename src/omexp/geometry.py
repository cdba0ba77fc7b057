"""Boxes and windows on integer grids. Knows: regions, blocks, factors. Does not know: arrays, files, units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omexp.errors import ArgumentError

Shape = tuple[int, ...]

__all__ = [
    "Region",
    "blocks",
    "ceil_div",
    "factors_between",
    "grow_block",
    "level_shape",
    "snap_out",
    "windows_source",
    "windows_target",
]


@dataclass(frozen=True, slots=True)
class Region:
    """A box of pixels: `start` inside, `stop` outside, one entry per axis. Empty where a stop is not above its start."""

    start: Shape
    stop: Shape

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Region:
        """The box of a whole array."""
        return cls((0,) * len(shape), tuple(shape))

    @classmethod
    def of_slices(cls, slices: Sequence[slice]) -> Region:
        """From slices with both bounds given and step 1."""
        return cls(tuple(s.start for s in slices), tuple(s.stop for s in slices))

    @property
    def shape(self) -> Shape:
        return tuple(max(b - a, 0) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def intersect(self, other: Region) -> Region:
        """What both hold; may be empty, never inside out."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(min(a, b), s) for a, b, s in zip(self.stop, other.stop, start, strict=True))
        return Region(start, stop)

    def union(self, other: Region) -> Region:
        """The smallest box around both."""
        return Region(
            tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True)),
            tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True)),
        )

    def shift(self, offset: Sequence[int]) -> Region:
        """The box moved by `offset` pixels."""
        return Region(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )

    def relative_to(self, outer: Region) -> Region:
        """The box in the coordinates of one that holds it."""
        return self.shift([-a for a in outer.start])


def ceil_div(a: int, b: int) -> int:
    """``ceil(a / b)`` in integers."""
    return -(-a // b)


def blocks(region: Region | Sequence[int], block: Sequence[int]) -> Iterator[Region]:
    """The cells of a grid anchored at 0 that touch `region`, each clipped to it, last axis fastest.

    `region` may be a shape. Empty regions have no blocks.
    """
    box = region if isinstance(region, Region) else Region.whole(region)
    if box.size == 0:
        return
    ranges = [range(a // b, ceil_div(z, b)) for a, z, b in zip(box.start, box.stop, block, strict=True)]
    for index in itertools.product(*ranges):
        cell = Region(
            tuple(i * b for i, b in zip(index, block, strict=True)), tuple((i + 1) * b for i, b in zip(index, block, strict=True))
        )
        yield cell.intersect(box)


def grow_block(block: Sequence[int], shape: Sequence[int], pixels: int) -> Shape:
    """The block doubled along its last axes first, while it has at most `pixels` pixels and does not cover the array.

    Examples
    --------
    >>> grow_block((1, 512, 512), (8, 2048, 2048), 2**21)
    (1, 1024, 2048)
    """
    grown = list(block)
    for i in reversed(range(len(shape))):
        while grown[i] < shape[i] and 2 * math.prod(min(g, max(n, 1)) for g, n in zip(grown, shape, strict=True)) <= pixels:
            grown[i] *= 2
    return tuple(grown)


def snap_out(region: Region, block: Sequence[int], shape: Sequence[int]) -> Region:
    """The region grown to whole grid cells, clipped to the array."""
    return Region(
        tuple(a // b * b for a, b in zip(region.start, block, strict=True)),
        tuple(min(ceil_div(z, b) * b, n) for z, b, n in zip(region.stop, block, shape, strict=True)),
    )


def level_shape(shape: Sequence[int], factors: Sequence[int]) -> Shape:
    """The shape of the next level: ``ceil(n / f)`` per axis."""
    return tuple(ceil_div(n, f) for n, f in zip(shape, factors, strict=True))


def windows_source(region: Region, factors: Sequence[int], shape: Sequence[int]) -> Region:
    """The source pixels under a region of the reduced array, clipped to the source's shape."""
    return Region(
        tuple(min(a * f, n) for a, f, n in zip(region.start, factors, shape, strict=True)),
        tuple(min(b * f, n) for b, f, n in zip(region.stop, factors, shape, strict=True)),
    )


def windows_target(region: Region, factors: Sequence[int], shape: Sequence[int]) -> Region:
    """The reduced pixels that any pixel of a source region touches, clipped to the reduced array's shape."""
    return Region(
        tuple(min(a // f, n) for a, f, n in zip(region.start, factors, shape, strict=True)),
        tuple(min(ceil_div(b, f), n) for b, f, n in zip(region.stop, factors, shape, strict=True)),
    )


def factors_between(fine: Sequence[int], coarse: Sequence[int], *, ratios: Sequence[float] | None = None, where: str = "pyramid") -> Shape:
    """The window that leads from one stored level shape to the next: a whole f, sizes ``n / f`` rounded up or down.

    A ratio of 2.004 (501 -> 250) means windows of 2; the last source pixels may then belong to no window. Small sizes fit several
    windows (13 -> 4 rounds down by 3 and up by 4): then `ratios`, the scales of the coarse level over the fine one's, decide where
    they are given, else the window nearest to n / m.

    Raises
    ------
    ArgumentError
        The coarse level is larger than the fine one, or no rounding of ``n / f``: windows would hold no pixel, or leave out more than
        a cut one at the edge (100 -> 70).
    """
    told = ratios or (0.0,) * len(fine)
    factors = tuple(_window(n, m, ratio) for n, m, ratio in zip(fine, coarse, told, strict=True))
    if 0 in factors:
        raise ArgumentError(
            f"the levels are no pyramid of whole windows along axis {factors.index(0)}",
            where=where,
            got=f"{tuple(fine)} -> {tuple(coarse)}",
            allowed="sizes n / f, rounded down or up, for a whole f",
            hint="Write such a level yourself, with set_array.",
        )
    return factors


def _window(n: int, m: int, ratio: float) -> int:
    """The window by which n pixels become m; 0 if there is none."""
    if m == 0:
        return int(n == 0)
    nearest = max(1, round(n / m))
    told = round(min(ratio, n))  # a window is never larger than the axis
    fitting = (f for f in (told, nearest, nearest - 1, nearest + 1) if f >= 1 and m in (n // f, ceil_div(n, f)))
    return next(fitting, 0)
