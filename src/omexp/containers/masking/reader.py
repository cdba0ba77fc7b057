"""The pixels of many objects, as a plan and what carries it out. Knows: a level, its mask, groups of objects. Does not know: how chunks are
decoded, what the pixels are for."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omexp.backend import Backend
from omexp.batching import CropPlan, Grid, Group, cut, plan_crops
from omexp.containers.level import Level
from omexp.containers.masking.regions import Boxes, MaskGrid, ObjectRegions, relative
from omexp.errors import ArgumentError, warn_caller
from omexp.geometry import Region
from omexp.kernels.axes import align
from omexp.kernels.crops import cut_masked
from omexp.kernels.masks import mask_of_label, masked
from omexp.storage.reading import default_workers, worker_reader

__all__ = ["Crops", "ObjectReader", "handed_out"]

GROUP = 64  # objects cut in one step when they are handed out one by one


class ObjectReader(Iterator[tuple[int, Any]]):
    """What `iter_rois` gives: (label, array) of one object after the other.

    `plan` says in which order, how many chunks are decoded and how many of them again; `len()` how many objects there are.
    """

    def __init__(self, plan: CropPlan, arrays: Generator[tuple[int, Any], None, None]) -> None:
        self.plan, self._arrays = plan, arrays

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self._arrays

    def __next__(self) -> tuple[int, Any]:
        return next(self._arrays)

    def __len__(self) -> int:
        return len(self.plan.order)

    def close(self) -> None:
        """Stop decoding ahead. Leaving the loop does so, too."""
        self._arrays.close()

    def __repr__(self) -> str:
        return f"ObjectReader({self.plan!r})"


@dataclass(frozen=True, eq=False)
class Crops:
    """The pixels of many objects, as a plan and what carries it out."""

    boxes: Boxes
    pixels: ObjectRegions
    ids: MaskGrid | None
    backend: Backend

    def plan(
        self, order: str | Sequence[int], max_memory: int | None, workers: int | None, *, taken: int = 0, before: Grid | None = None
    ) -> CropPlan:
        """Which chunks are decoded, and when: in the order of chunks, the given one, or another one of the objects."""
        if isinstance(order, str) and order not in ("chunks", "given"):
            raise ArgumentError("the order is not understood", where="order", got=repr(order), allowed="'chunks' or 'given'")
        orders: dict[Any, Sequence[int] | None] = {"chunks": None, "given": range(len(self.boxes.labels))}
        for name, value in (("max_memory", max_memory), ("workers", workers)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ArgumentError(f"{name} must be a whole number", where=name, got=repr(value), allowed="1 or more, or None")
        sources: list[tuple[Level, dict[int, frozenset[int]]]] = [(self.pixels.level, self.pixels.needed(self.pixels.level.chunks))]
        regions: Sequence[tuple[Region, ...]] = [(region,) for region in self.pixels.regions]
        if self.ids is not None:
            sources.append((self.ids.label, self.ids.needed(self.ids.label.chunks)))
            regions = list(zip(self.pixels.regions, self.ids.regions, strict=True))
        grids = [Grid(level.shape, level.chunks, level.dtype.itemsize, needed) for level, needed in sources]
        plan = plan_crops(
            regions,
            grids,
            order=orders[order] if isinstance(order, str) else order,
            max_memory=max_memory,
            taken=taken,
            workers=workers or default_workers(),
            before=before,
        )
        if before is None and plan.decoded > 2 * plan.distinct:  # with it an order is looked for, nothing more
            hint = "Allow a larger max_memory" + (", or take order='chunks'." if order == "given" else ".")
            warn_caller(f"{self.pixels.level.where}: so little memory decodes {plan.distinct} chunks {plan.decoded} times in all. {hint}")
        return plan

    def groups(self, plan: CropPlan) -> Generator[Group, None, None]:
        """The objects of a plan, in arrays that hold them."""
        levels: list[Level] = [self.pixels.level] if self.ids is None else [self.pixels.level, self.ids.label]
        yield from cut(plan, [worker_reader(level.stored, self.backend) for level in levels])

    def masked_of(self, group: Group, items: Sequence[int], fill_value: Any) -> list[Any]:
        """New arrays over all stored axes, `fill_value` where the id is another one."""
        assert self.ids is not None
        if self.ids.picked is not None or any(p is not None for p in self.pixels.picked):
            axes = self.pixels.base.axes
            return [masked(self.box_in(group, i), self.mask_in(group, i, axes), fill_value) for i in items]
        origin = group.origins[0]
        boxes = [relative(self.pixels.regions[i], origin) for i in items]
        labels = [self.boxes.labels[i] for i in items]
        return cut_masked(group.arrays[0], boxes, self.aligned(group.arrays[1]), self.offset(group), labels, fill_value)

    def boxes_of(self, group: Group, items: Sequence[int]) -> list[Any]:
        """New arrays over all stored axes."""
        return [self.backend.xp.asarray(self.box_in(group, i), copy=True) for i in items]

    def offset(self, group: Group) -> tuple[int, ...]:
        """Where a group's ids begin, as a pixel of its array of the level, where both have one grid."""
        assert self.ids is not None
        axes, (origin, ids_origin) = self.ids.label.axes, group.origins
        begin = dict(zip(axes, ids_origin, strict=True))
        return tuple([begin.get(a, o) - o for a, o in zip(self.pixels.base.axes, origin, strict=True)])

    def aligned(self, ids: Any) -> Any:
        """Ids over the label's axes, over the level's: size 1 along those that the label has not."""
        assert self.ids is not None
        kept, axes = self.ids.kept, self.ids.label.axes
        if axes == self.pixels.base.axes:
            return ids
        flat = self.backend.xp.reshape(ids, tuple(n for a, n in zip(axes, ids.shape, strict=True) if a in kept))
        return align(flat, kept, self.pixels.base.axes)

    def box_in(self, group: Group, item: int) -> Any:
        """The pixels of an object's selection, over all stored axes; may be a view."""
        region = self.pixels.regions[item]
        return self.pixels.taken(group.arrays[0][relative(region, group.origins[0]).slices])

    def mask_in(self, group: Group, item: int, axes: tuple[str, ...]) -> Any:
        """Where an object is, over these axes, of size 1 along those that the label has not."""
        assert self.ids is not None
        ids = self.ids.taken(group.arrays[1][relative(self.ids.regions[item], group.origins[1]).slices], item)
        kept = tuple(a for a, n in zip(self.ids.label.axes, ids.shape, strict=True) if a in axes or n != 1)
        ids = self.backend.xp.reshape(ids, tuple(n for a, n in zip(self.ids.label.axes, ids.shape, strict=True) if a in kept))
        return align(mask_of_label(ids, self.boxes.labels[item]), kept, axes)


def handed_out(crops: Crops, plan: CropPlan, fill_value: Any) -> Generator[tuple[int, Any], None, None]:
    labels = crops.boxes.labels
    for group in crops.groups(plan):
        for first in range(0, len(group.items), GROUP):
            items = group.items[first : first + GROUP]
            with crops.backend.active():  # the caller's own code runs outside of it
                arrays = crops.boxes_of(group, items) if crops.ids is None else crops.masked_of(group, items, fill_value)
                given = [crops.pixels.given_back(array, i) for i, array in zip(items, arrays, strict=True)]
            for item, array in zip(items, given, strict=True):
                yield labels[item], array
