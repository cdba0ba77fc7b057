"""Patches of many items, and when the write units that they fall into are complete. Knows: regions, units, bytes. Does not know: files,
axes names."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from omexp.backend import Array
from omexp.geometry import Region, Shape

__all__ = ["Part", "PatchPlan", "Unit", "gathered", "plan_patches"]


@dataclass(frozen=True, eq=False)
class PatchPlan:
    """When write units are complete: a unit is written as soon as the last item that has pixels in it is done, and never before.

    Parameters
    ----------
    order
        The items in the order in which they are done.
    regions
        Per item the regions that its patch covers.
    unit, shape
        Of the array that is written.
    complete
        Place in `order` -> units that no later item has pixels in.
    peak_bytes
        Patches and masks that wait for their units at most, and the units that are being written.
    """

    order: tuple[int, ...]
    regions: Sequence[tuple[Region, ...]]
    unit: Shape
    shape: Shape
    complete: Mapping[int, Sequence[Shape]]
    peak_bytes: int

    @property
    def units(self) -> int:
        """Units that are written."""
        return sum(map(len, self.complete.values()))


def _touched(region: Region, unit: Shape) -> list[Shape]:
    """The units that a region has pixels in."""
    if not region.size:
        return []
    return list(itertools.product(*[range(a // u, -(-b // u)) for a, b, u in zip(region.start, region.stop, unit, strict=True)]))


def plan_patches(
    order: Sequence[int], regions: Sequence[tuple[Region, ...]], unit: Shape, shape: Shape, itemsize: int, *, workers: int = 1
) -> PatchPlan:
    """When the write units of an array are complete, if patches are made in this order.

    Examples
    --------
    >>> boxes = [(Region((0,), (3,)),), (Region((3,), (5,)),)]
    >>> plan_patches([0, 1], boxes, unit=(2,), shape=(8,), itemsize=1).complete
    {0: [(0,)], 1: [(1,), (2,)]}
    """
    last: dict[Shape, int] = {}
    until: list[int] = [0] * len(order)
    met = [[cell for region in regions[item] for cell in _touched(region, unit)] for item in order]
    for position, cells in enumerate(met):
        last.update(dict.fromkeys(cells, position))
    complete: defaultdict[int, list[Shape]] = defaultdict(list)
    for cell, position in last.items():
        complete[position].append(cell)
    let_go: defaultdict[int, int] = defaultdict(int)
    waiting = peak = 0
    for position, item in enumerate(order):
        size = sum(region.size for region in regions[item]) * (itemsize + 1)
        until[position] = max((last[cell] for cell in met[position]), default=position)
        waiting += size
        let_go[until[position]] += size
        peak = max(peak, waiting)
        waiting -= let_go.pop(position, 0)
    most = math.prod(map(min, unit, shape)) * itemsize
    writing = min(len(last), 2 * workers if workers > 1 else 1) * most
    ordered = {position: sorted(cells) for position, cells in sorted(complete.items())}
    return PatchPlan(tuple(order), regions, unit, shape, ordered, peak + writing)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A piece of a patch: where it goes, its pixels, and which of them."""

    region: Region
    pixels: Array
    mask: Array


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A write unit whose patches are all there, in the order in which they were made."""

    index: Shape
    region: Region
    parts: tuple[Part, ...]


def gathered(done: Iterable[Sequence[Part]], plan: PatchPlan) -> Iterator[Unit]:
    """Write units as soon as they are complete; `done` gives the patches of each item in the order of the plan."""
    waiting: defaultdict[Shape, list[Part]] = defaultdict(list)
    for position, parts in enumerate(done):
        for part in parts:
            for cell in _touched(part.region, plan.unit):
                waiting[cell].append(_inside(part, _box(cell, plan)))
        for cell in plan.complete.get(position, ()):
            yield Unit(cell, _box(cell, plan), tuple(waiting.pop(cell, ())))


def _box(cell: Shape, plan: PatchPlan) -> Region:
    start = tuple([i * u for i, u in zip(cell, plan.unit, strict=True)])
    return Region(start, tuple([min(a + u, n) for a, u, n in zip(start, plan.unit, plan.shape, strict=True)]))


def _inside(part: Part, box: Region) -> Part:
    """What of a part lies in a box."""
    region = part.region.intersect(box)
    if region == part.region:
        return part
    place = region.relative_to(part.region).slices
    thin = tuple([s if n > 1 else slice(None) for s, n in zip(place, part.mask.shape, strict=True)])
    return Part(region, part.pixels[place], part.mask[thin])
