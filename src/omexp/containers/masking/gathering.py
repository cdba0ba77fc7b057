"""Objects as batches of one shape. Knows: windows about boxes, rows, padding. Does not know: how objects are found, or chunks decoded."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omexp.backend import Array
from omexp.batching import CropPlan, Group
from omexp.containers.masking.reader import Crops
from omexp.containers.masking.regions import MaskGrid, relative
from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape
from omexp.kernels.crops import blank_outside, cut_boxes, cut_masks, ids_box
from omexp.kernels.masks import checked_fill

__all__ = ["ObjectBatch", "Windows", "batches", "windows"]


ROWS = 64  # of a batch that are treated at a time: half a MiB of 64 x 64 uint16 stays in the cache


@dataclass(frozen=True, eq=False)
class ObjectBatch:
    """Crops of one shape, each about an object.

    Parameters
    ----------
    pixels
        (n, other axes that are kept, \\*shape), in the dtype and on the device of the level.
    masks
        (n, \\*shape) bool: where the object is; False beyond the image.
    labels
        n ids.
    origins
        Per crop the level's pixel at which it begins, along the axes of `shape`; negative where it begins before the image.
    cut
        Per crop whether the object's box is larger than the shape, so that its outer parts are missing.
    axes
        What the axes of `pixels` are; the first one is "n".
    plan
        Which chunks were decoded, and how often again.
    """

    pixels: Array
    masks: Array
    labels: tuple[int, ...]
    origins: tuple[Shape, ...]
    cut: tuple[bool, ...]
    axes: tuple[str, ...]
    plan: CropPlan

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ObjectBatch({len(self)} objects, {', '.join(self.axes)} = {tuple(self.pixels.shape)}, {self.plan!r})"


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows about the objects: crops that read what of them lies in the image, and where that goes.

    Parameters
    ----------
    crops
        The objects, their regions being the windows, clipped to the image.
    sizes
        Axis of the level -> size of the window.
    kept
        The axes of a row, in stored order, without those that go.
    origins, cut
        As in `ObjectBatch`.
    corners
        Per object where the pixels that exist begin in its row, over all stored axes.
    """

    crops: Crops
    sizes: Mapping[str, int]
    kept: tuple[str, ...]
    origins: list[Shape]
    corners: list[Shape]
    cut: list[bool]

    @property
    def row_shape(self) -> Shape:
        """Of one row, over all stored axes."""
        base = self.crops.pixels.base
        return tuple(self.sizes.get(a, len(p)) for a, p in zip(base.axes, base.picks, strict=True))


def windows(crops: Crops, shape: Any) -> Windows:
    """Windows of a shape, centred on the objects' boxes. `crops` has their boxes.

    Raises
    ------
    ArgumentError
        The shape names no axes of the level, or leaves out one along which objects differ.
    """
    pixels = crops.pixels
    level, base, where = pixels.level, pixels.base, pixels.level.where
    sizes = _sizes(crops, shape)
    label = crops.ids.label if crops.ids is not None else None
    for axis, picks in zip(base.axes, base.picks, strict=True):
        spans = {(region.start[base.axes.index(axis)], region.stop[base.axes.index(axis)]) for region in pixels.regions}
        differs = axis in pixels.free and len(picks) > 1 and spans - {(0, len(picks))}
        masks_differ = label is not None and len(picks) > 1 and axis in label.axes and label.dimensions.get(axis) != 1
        if axis not in sizes and (differs or masks_differ):
            raise ArgumentError(
                f"objects reach along {axis}, so a batch needs a size for it",
                where=where,
                got=f"shape for {', '.join(sizes)}",
                allowed=f"a size for {axis} in shape, or {axis}=<index>",
            )
    origins, corners, regions, cut = [], [], [], []
    axes = [(base.axes.index(axis), size, level.shape[base.axes.index(axis)]) for axis, size in sizes.items()]
    inside = (0,) * len(base.axes)
    for region in pixels.regions:
        start, stop, origin, corner, larger = list(region.start), list(region.stop), [], inside, False
        for i, size, n in axes:
            low, high = start[i], stop[i]
            at = (low + high - size) // 2
            larger = larger or high - low > size
            origin.append(at)
            start[i], stop[i] = at, at + size
            if at < 0 or at + size > n:
                start[i] = min(max(at, 0), n)
                stop[i] = min(max(at + size, start[i]), n)
                corner = (*corner[:i], start[i] - at, *corner[i + 1 :])
        origins.append(tuple(origin))
        corners.append(corner)
        cut.append(larger)
        regions.append(Region(tuple(start), tuple(stop)))
    placed = replace(pixels, regions=regions)
    single = {a for a in pixels.free if level.dimensions.get(a) == 1 and a != "c"}
    kept = tuple(a for a in base.axes if a not in sizes and a not in base.dropped and a not in single)
    ids = MaskGrid.of(crops.ids.label, placed) if crops.ids is not None else None
    return Windows(replace(crops, pixels=placed, ids=ids), sizes, kept, origins, corners, cut)


def _sizes(crops: Crops, shape: Any) -> dict[str, int]:
    """Stored axis -> size, in the order of the shape."""
    level, where = crops.pixels.level, crops.pixels.level.where
    known = level.meta.multiscale.axes
    letters = ("z", "y", "x")
    try:
        named = dict(shape) if isinstance(shape, Mapping) else dict(zip(letters[-len(shape) :], shape, strict=True))
        sizes = {axis: n.__index__() for axis, n in named.items()}
    except (TypeError, ValueError, AttributeError):
        sizes = {}
    places = {axis: known.index(axis) for axis in sizes}
    if not sizes or min(sizes.values()) < 1 or None in places.values():
        raise ArgumentError(
            "the shape of the crops is not understood",
            where=where,
            got=repr(shape),
            allowed=f"pixels along (y, x) or (z, y, x), or a dict by axis of {', '.join(level.axes)}",
        )
    found = {level.axes[i]: sizes[axis] for axis, i in places.items() if i is not None}
    fixed = [axis for axis in found if axis not in crops.pixels.free]
    if fixed:
        raise ArgumentError(f"{fixed[0]} is in shape and selected, too", where=where, got=repr(shape), hint="Leave out one of the two.")
    return found


def batches(
    view: Windows, plan: CropPlan, size: int, *, masked: bool, pad: Any, fill_value: Any, rows_as_given: bool = False
) -> Generator[ObjectBatch, None, None]:
    """Batches of `size` objects (the last one may be smaller), each made once. `rows_as_given`: one batch, rows in the order of labels."""
    crops, count, items = view.crops, 0, list(plan.order)
    batch = _Batch(view, sorted(items) if rows_as_given else items[:size], masked, pad, fill_value) if items or rows_as_given else None
    if batch is not None and not items:
        yield batch.finished(plan)
    for group in crops.groups(plan):
        left = list(group.items)
        while left and batch is not None:
            now, left = left[: len(batch.items) - count], left[len(batch.items) - count :]
            with crops.backend.active():
                batch.fill(group, now, now if rows_as_given else list(range(count, count + len(now))))
            count += len(now)
            if count == len(batch.items):
                items, count = items[count:], 0
                done, batch = batch, None
                yield done.finished(plan)
                del done
                if items:
                    batch = _Batch(view, items[:size], masked, pad, fill_value)


class _Batch:
    """One batch in the making."""

    def __init__(self, view: Windows, items: Sequence[int], masked: bool, pad: Any, fill_value: Any) -> None:
        self.view, self.items, self.masked, self.pad, self.fill_value = view, items, masked, pad, fill_value
        backend, level = view.crops.backend, view.crops.pixels.level
        for name, value in (("pad", pad), ("fill_value", fill_value)):
            checked_fill(backend, backend.empty((0,), level.dtype), value, name)
        sizes = [view.sizes.get(axis, 1) for axis in view.crops.pixels.base.axes]
        self.pixels = backend.empty((len(items), *view.row_shape), level.dtype)
        self.masks = backend.full((len(items), *sizes), False, "bool")
        self.rows: list[tuple[int, int]] = []  # (object, row) as they were filled

    def fill(self, group: Group, items: Sequence[int], rows: Sequence[int]) -> None:
        """The rows of some objects; what is beyond the image, or not theirs, is set when the batch is finished."""
        crops = self.view.crops
        assert crops.ids is not None
        self.rows += zip(items, rows, strict=True)
        corners = [self.view.corners[i] for i in items]
        plain = crops.ids.picked is None and all(p is None for p in crops.pixels.picked)
        ids = crops.aligned(group.arrays[1]) if plain else None
        if ids is None or any(n == 1 and m > 1 for n, m in zip(ids.shape, self.masks.shape[1:], strict=True)):
            self._fill_one_by_one(group, items, rows, corners)
            return
        boxes = [relative(crops.pixels.regions[i], group.origins[0]) for i in items]
        offset = crops.offset(group)
        cut_boxes(group.arrays[0], boxes, self.pixels, rows, corners)
        alike = ids.shape == group.arrays[0].shape and not any(offset)
        mask_boxes = boxes if alike else [ids_box(box, ids.shape, offset) for box in boxes]
        cut_masks(ids, mask_boxes, [crops.boxes.labels[i] for i in items], self.masks, rows, corners)

    def _fill_one_by_one(self, group: Group, items: Sequence[int], rows: Sequence[int], corners: Sequence[Shape]) -> None:
        crops, axes = self.view.crops, self.view.crops.pixels.base.axes
        for item, row, corner in zip(items, rows, corners, strict=True):
            pixels, mask = crops.box_in(group, item), crops.mask_in(group, item, axes)
            place = tuple(slice(a, a + n) for a, n in zip(corner, pixels.shape, strict=True))
            thin = tuple(s if n > 1 else slice(None) for s, n in zip(place, self.masks.shape[1:], strict=True))
            self.pixels[(row, *place)] = pixels
            self.masks[(row, *thin)] = mask

    def finished(self, plan: CropPlan) -> ObjectBatch:
        """The batch, over the axes that the caller sees."""
        with self.view.crops.backend.active():
            if self.masked:
                for first in range(0, len(self.items), ROWS):
                    rows = slice(first, min(first + ROWS, len(self.items)))
                    blank_outside(self.pixels[rows, ...], self.masks[rows, ...], self.fill_value)
            if not self.masked or self.pad != self.fill_value:
                self._pad()
            return self._shown(plan)

    def _pad(self) -> None:
        """Beyond the image, before and behind along each axis."""
        axes = self.view.crops.pixels.base.axes
        row_shape = self.view.row_shape
        for item, row in self.rows:
            region, corner = self.view.crops.pixels.regions[item], self.view.corners[item]
            shape = region.shape
            if shape == row_shape:
                continue
            for k, (axis, a, n) in enumerate(zip(axes, corner, shape, strict=True)):
                if axis in self.view.sizes:
                    before = (row, *[slice(None)] * k)
                    self.pixels[(*before, slice(0, a), ...)] = self.pad
                    self.pixels[(*before, slice(a + n, None), ...)] = self.pad

    def _shown(self, plan: CropPlan) -> ObjectBatch:
        view, xp = self.view, self.view.crops.backend.xp
        axes = view.crops.pixels.base.axes
        shown = (*view.kept, *view.sizes)
        rest = [i for i, a in enumerate(axes) if a not in shown]
        order = (0, *[axes.index(a) + 1 for a in shown], *[i + 1 for i in rest])
        mask_order = (0, *[axes.index(a) + 1 for a in view.sizes], *[i + 1 for i, a in enumerate(axes) if a not in view.sizes])
        sizes = dict(zip(axes, view.row_shape, strict=True))
        n = len(self.items)
        return ObjectBatch(
            pixels=xp.reshape(xp.permute_dims(self.pixels, order), (n, *[sizes[a] for a in shown])),
            masks=xp.reshape(xp.permute_dims(self.masks, mask_order), (n, *view.sizes.values())),
            labels=tuple(view.crops.boxes.labels[i] for i in self.items),
            origins=tuple(view.origins[i] for i in self.items),
            cut=tuple(view.cut[i] for i in self.items),
            axes=("n", *shown),
            plan=plan,
        )
