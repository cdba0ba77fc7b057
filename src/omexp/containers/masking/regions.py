"""Where many objects lie: in a level, and in the label that masks it. Knows: boxes of objects, keywords, both grids. Does not know:
pixels, chunks, files.

What `get_roi_masked` works out for one object is worked out for all of them here; what does not depend on the object once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import itemgetter, sub
from typing import Any

from omexp.backend import backend_of
from omexp.containers.label import Label
from omexp.containers.level import Level
from omexp.containers.roi import Roi, RoiSlice
from omexp.geometry import Region, Shape
from omexp.grids import nearest_indices
from omexp.kernels.axes import from_stored
from omexp.kernels.masks import take_nearest
from omexp.selection import Arrangement, Selection, arrange, select
from omexp.world import pixel_span, pixel_spans

__all__ = ["Boxes", "MaskGrid", "ObjectRegions", "relative"]

Indices = Sequence[int] | None  # None: all, in order


@dataclass(frozen=True, eq=False)
class Boxes:
    """Which objects are meant, where they are, and how far around them is looked.

    Parameters
    ----------
    labels
        The ids, as the caller gave them.
    rois
        The box of each, in world units.
    zoom_factor
        As in `get_roi_masked`.
    margin
        Axis -> pixels by which the zoomed box grows on every side.
    flat
        Axis -> pixel size of the label, for t and z where the label has one plane, which stands for all of the image's.
    """

    labels: tuple[int, ...]
    rois: tuple[Roi, ...]
    zoom_factor: float
    margin: Mapping[str, int]
    flat: Mapping[str, float]

    def regions(self, whole: Region, axes: Mapping[str, Axis]) -> list[Region]:
        """Per object its box in pixels along `axes`, clipped to them; `whole` along all others, and where the object says nothing.

        Exactly what `Roi.zoom` and `Roi.to_slicing` give, axis by axis for all boxes that say something about the same axes.
        """
        kinds: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, roi in enumerate(self.rois):
            kinds[(roi.space, *[s.axis_name for s in roi.slices])].append(i)
        found: list[Region] = [whole] * len(self.rois)
        for (space, *names), places in kinds.items():
            rois = [self.rois[i] for i in places]
            start: list[Iterable[int]] = [repeat(a) for a in whole.start]
            stop: list[Iterable[int]] = [repeat(b) for b in whole.stop]
            for k, name in enumerate(names):
                axis = axes.get(name)
                if axis is not None:
                    start[axis.place], stop[axis.place] = self._spans([roi.slices[k] for roi in rois], axis, space == "pixel")
            for i, low, high in zip(places, zip(*start, strict=False), zip(*stop, strict=False), strict=False):
                found[i] = Region(low, high)
        return found

    def _spans(self, slices: Sequence[RoiSlice], axis: Axis, in_pixels: bool) -> tuple[Sequence[int], Sequence[int]]:
        """Where the intervals of many objects begin and end along an axis."""
        pixel_size = 1.0 if in_pixels else axis.pixel_size
        starts = [s.start or 0.0 for s in slices]
        given = [s.length for s in slices]
        lengths = [length or 0.0 for length in given]
        if axis.zoomed:
            starts = [start - (self.zoom_factor - 1) * length / 2 for start, length in zip(starts, lengths, strict=True)]
            lengths = [length * self.zoom_factor for length in lengths]
        low, high = pixel_spans(starts, lengths, pixel_size, size=axis.size, margin=axis.margin)
        if None in given:  # such intervals have no end, and grow to no side
            begin = pixel_spans(starts, lengths, pixel_size, size=axis.size)[0]
            low = [b if n is None else a for a, b, n in zip(low, begin, given, strict=True)]
            high = [axis.size if n is None else b for b, n in zip(high, given, strict=True)]
        if axis.flat_size:  # the label's only plane stands for all of the image's
            spans = [(s.start, s.length) for s in slices]
            size = 1.0 if in_pixels else axis.flat_size
            flat = {span for span in set(spans) if None not in span and pixel_span(*span, size) == (0, 1)}  # type: ignore[arg-type]
            low = [0 if span in flat else a for a, span in zip(low, spans, strict=True)]
            high = [axis.size if span in flat else b for b, span in zip(high, spans, strict=True)]
        return low, high

    def axis(self, name: str, place: int, size: int, pixel_size: float) -> Axis:
        """An axis of a level, as these boxes meet it."""
        zoomed = self.zoom_factor != 1 and name in ("x", "y")
        return Axis(place, size, pixel_size, self.flat.get(name, 0.0), zoomed, int(self.margin.get(name, 0)))


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a level: its place and size, and what happens to boxes along it. `flat_size`: the label's pixel size where it has one
    plane there, else 0."""

    place: int
    size: int
    pixel_size: float
    flat_size: float
    zoomed: bool
    margin: int


@dataclass(frozen=True, eq=False)
class ObjectRegions:
    """What of a level each object takes, and how it becomes the array that the caller sees.

    Parameters
    ----------
    regions
        Per object the smallest box of the level that holds its pixels.
    base
        What the keywords pick, whatever the object.
    picked
        Per stored axis what is taken of the box along it, where that is not all of it in order.
    """

    level: Level
    regions: list[Region]
    base: Selection
    picked: tuple[Indices, ...]
    axes_order: Sequence[str] | None
    free: frozenset[str]
    _arrangements: dict[tuple[bool, ...], Arrangement]

    @classmethod
    def of(cls, level: Level, boxes: Boxes, axes_order: Sequence[str] | None, slicing: Mapping[str, Any]) -> ObjectRegions:
        """For the objects and the keywords of `get_roi_masked`. Raises what that raises."""
        axes, canonical = level.axes, level.meta.multiscale.axes
        given = {(name if name in axes else canonical.canonical.get(name, name)): value for name, value in slicing.items()}
        base = select(axes, level.shape, given, where=level.where)
        places = {a: i for a in ("t", "z", "y", "x", *axes) if (i := canonical.index(a)) is not None and axes[i] not in given}
        pixel_size, bounds = level.pixel_size, base.bounds
        met = {a: boxes.axis(a, i, level.shape[i], pixel_size.get(a)) for a, i in places.items()}
        regions = boxes.regions(bounds, met)
        picked = tuple(None if _is_run(p) else shifted(p, low) for p, low in zip(base.picks, bounds.start, strict=True))
        names = None if axes_order is None else [n if n in axes else canonical.canonical.get(n, n) for n in axes_order]
        return cls(level, regions, base, picked, names, frozenset(axes[i] for i in places.values()), {})

    def selection(self, index: int) -> Selection:
        """The pixels of an object, as `Level` selects them."""
        region = self.regions[index]
        picks = [
            range(a, b) if axis in self.free else p
            for axis, p, a, b in zip(self.base.axes, self.base.picks, region.start, region.stop, strict=True)
        ]
        return Selection(self.base.axes, tuple(picks), self.base.dropped)

    def arrangement(self, selection: Selection) -> Arrangement:
        """How an object's pixels become the caller's; worked out once for all objects with the same axes of size 1."""
        key = tuple([len(p) == 1 for p in selection.picks])
        if key not in self._arrangements:
            self._arrangements[key] = arrange(selection, self.axes_order, where=self.level.where)
        return self._arrangements[key]

    def given_back(self, pixels: Any, index: int) -> Any:
        """An array over all stored axes, of the object's selection, as the caller sees it."""
        if self._plain_index is not None:
            return pixels[self._plain_index]
        selection = self.selection(index)
        return from_stored(pixels, selection, self.arrangement(selection))

    @cached_property
    def _plain_index(self) -> tuple[Any, ...] | None:
        """What takes an object's array out of one over all stored axes, where no axis moves or comes in."""
        return tuple(0 if a in self.base.dropped else slice(None) for a in self.base.axes) if self.axes_order is None else None

    def mask_given_back(self, mask: Any, index: int) -> Any:
        """A mask over all stored axes, some of size 1, with the axes that the caller sees: it broadcasts to the pixels."""
        xp, arrangement = backend_of(mask).xp, self.arrangement(self.selection(index))
        sizes = dict(zip(self.base.axes, mask.shape, strict=True))
        return xp.reshape(xp.permute_dims(mask, arrangement.order), tuple(sizes.get(name, 1) for name in arrangement.names))

    def taken(self, pixels: Any) -> Any:
        """Of the pixels of an object's region those that the keywords pick."""
        return take_nearest(pixels, self.picked) if any(p is not None for p in self.picked) else pixels

    def needed(self, chunks: Shape) -> dict[int, frozenset[int]]:
        """Axis -> chunks along it that hold picked pixels, where steps and lists pick some."""
        picks = self.base.picks
        return {i: frozenset(k // chunks[i] for k in picks[i]) for i, p in enumerate(self.picked) if p is not None and len(picks[i])}


@dataclass(frozen=True, eq=False)
class MaskGrid:
    """What of the masking label each object takes, and how it comes onto the level's grid.

    Parameters
    ----------
    regions
        Per object the smallest box of the label that holds its ids.
    picked
        Per object and label axis what is taken of the box; None where it is all of it: both grids are one.
    kept
        The label's axes that the level has, too.
    """

    label: Label
    regions: list[Region]
    picked: list[tuple[Indices, ...]] | None
    kept: tuple[str, ...]
    const: Mapping[int, Sequence[int]]

    @classmethod
    def of(cls, label: Label, on: ObjectRegions) -> MaskGrid:
        """The label under the regions of a level."""
        axes, level = on.base.axes, on.level
        const: dict[int, Sequence[int]] = {}
        moving: list[tuple[int, int, float, int]] = []  # label axis, level axis, ratio, size
        for j, (axis, n) in enumerate(zip(label.axes, label.shape, strict=True)):
            if n == 1 or axis not in axes:
                const[j] = range(1)
                continue
            i, ratio = axes.index(axis), level.pixel_size.get(axis) / label.pixel_size.get(axis)
            if axis in on.free:
                moving.append((j, i, ratio, n))
            else:
                const[j] = indices_of(on.base.picks[i], ratio, n)
        start = [min(const.get(j, ()), default=0) for j in range(len(label.axes))]
        stop = [max(const.get(j, ()), default=-1) + 1 for j in range(len(label.axes))]
        constant = {j: None if _is_run(p) else shifted(p, start[j]) for j, p in const.items()}
        one_grid = {j: abs(ratio - 1) <= 1e-3 and level.shape[i] <= n for j, i, ratio, n in moving}
        same = all(one_grid.values()) and not any(p is not None for p in constant.values())
        regions: list[Region] = []
        picked: list[tuple[Indices, ...]] = []
        kept = tuple(a for a in label.axes if a in axes)
        if same and kept == label.axes and len(kept) > 1 and all(level.shape[axes.index(label.axes[j])] == 1 for j in const):
            of_label = itemgetter(*[axes.index(axis) for axis in kept])
            regions = [Region(of_label(region.start), of_label(region.stop)) for region in on.regions]
            return cls(label, regions, None, kept, const)
        for region in on.regions:
            taken = dict(constant)
            for j, i, ratio, n in moving:
                low, high = region.start[i], region.stop[i]
                if one_grid[j]:
                    start[j], stop[j] = low, high
                    continue
                indices = nearest_indices(low, high, ratio, n)
                start[j], stop[j] = min(indices, default=0), max(indices, default=-1) + 1
                taken[j] = shifted(indices, start[j])
            regions.append(Region(tuple(start), tuple(stop)))
            if not same:
                picked.append(tuple([taken.get(j) for j in range(len(start))]))
        return cls(label, regions, None if same else picked, kept, const)

    def taken(self, ids: Any, index: int) -> Any:
        """The ids of an object's region on the level's grid, over the label's axes."""
        return ids if self.picked is None else take_nearest(ids, self.picked[index])

    def needed(self, chunks: Shape) -> dict[int, frozenset[int]]:
        """As `ObjectRegions.needed`."""
        return {j: frozenset(k // chunks[j] for k in p) for j, p in self.const.items() if not _is_run(p) and len(p)}


def indices_of(picked: Sequence[int], ratio: float, size: int) -> Sequence[int]:
    """For picked pixels along an axis of the data, the pixels of the label's grid."""
    if _is_run(picked):
        return nearest_indices(picked[0], picked[-1] + 1, ratio, size) if len(picked) else range(0)
    return [nearest_indices(i, i + 1, ratio, size)[0] for i in picked]


def shifted(indices: Sequence[int], offset: int) -> Sequence[int]:
    """Indices counted from `offset`."""
    if isinstance(indices, range):
        return range(indices.start - offset, indices.stop - offset, indices.step)
    return [i - offset for i in indices]


def relative(region: Region, origin: Shape) -> Region:
    """A region counted from `origin`; `Region.relative_to` in a third of the time."""
    if not any(origin):
        return region
    return Region(tuple(map(sub, region.start, origin)), tuple(map(sub, region.stop, origin)))


def _is_run(picked: Sequence[int]) -> bool:
    return isinstance(picked, range) and picked.step == 1
