"""A function called with each object, and what it gives written back. Knows: calls, patches, write units, failures. Does not know: how
objects are found."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from omexp.backend import from_host, to_host
from omexp.batching import CropPlan, Grid, Part, PatchPlan, Unit, gathered, plan_patches
from omexp.containers.level import Level
from omexp.containers.masking.reader import Crops
from omexp.containers.masking.regions import ObjectRegions
from omexp.errors import ArgumentError, BackendMismatchError, FunctionError, ReadOnlyError
from omexp.geometry import Region
from omexp.kernels.crops import put_masked
from omexp.pyramid import Built, Progress
from omexp.storage.lazy import computed
from omexp.storage.reading import default_workers
from omexp.storage.workers import run_in_order

__all__ = ["Call", "Mapped", "map_objects", "output_regions"]


class Mapped(dict[int, Any]):
    """What `map` gives: label -> what the function gave. Empty where that was written to an output.

    Attributes
    ----------
    plan
        Which chunks were decoded, and how often again.
    units
        Write units of the output that were written, each once.
    built
        What the rebuilding of the coarser levels came to; None where there was none.
    """

    plan: CropPlan
    units: int = 0
    built: Built | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """How the function is called: with the pixels alone or with (label, pixels, mask); pixels masked or not."""

    function: Callable[..., Any]
    with_mask: bool
    masked: bool
    fill_value: Any


@dataclass(frozen=True, eq=False)
class _Task:
    item: int
    arguments: tuple[Any, ...]
    mask: Any  # over the output's axes


class _Failed(Exception):
    """The function has failed for an item; its error is the cause."""

    def __init__(self, item: int) -> None:
        super().__init__(item)
        self.item = item


def output_regions(output: Any, crops: Crops, axes_order: Sequence[str] | None, slicing: dict[str, Any]) -> ObjectRegions:
    """Where each object lies in the level that is written: on the grid of the one that is read.

    Raises
    ------
    ArgumentError, BackendMismatchError
        It is no level, lies on another device or on another grid, or would be written twice at one place.
    """
    level = crops.pixels.level
    if not isinstance(output, Level):
        raise ArgumentError("the output is no image or label", where="output", got=type(output).__name__, allowed="an Image or a Label")
    if output.backend != crops.backend:
        raise BackendMismatchError(
            "the output lives on another device", where=output.where, got=output.device, allowed=crops.backend.name, hint="Open both alike."
        )
    mine, theirs = level.dimensions, output.dimensions
    for axis in ("t", "z", "y", "x"):
        if not (mine.has(axis) and theirs.has(axis)):
            continue
        sizes = mine.get(axis), theirs.get(axis)
        pixels = level.pixel_size.get(axis), output.pixel_size.get(axis)
        if sizes[0] != sizes[1] or not math.isclose(*pixels, rel_tol=1e-3):
            raise ArgumentError(
                "the output lies on another grid",
                where=output.where,
                got=f"{sizes[1]} pixels of {pixels[1]:g} along {axis}",
                allowed=f"{sizes[0]} pixels of {pixels[0]:g}, as {level.where}",
                hint="Take the level of the same resolution, or derive an image or label from this one.",
            )
    if output.group.read_only:
        raise ReadOnlyError("the store is read-only", where=output.where, hint="Open it with mode='r+'.")
    known = output.meta.multiscale.axes
    kept = {axis: value for axis, value in slicing.items() if known.index(axis) is not None}
    regions = ObjectRegions.of(output, crops.boxes, axes_order, kept)
    regions.base.require_distinct(output.where)
    return regions


def map_objects(
    crops: Crops,
    call: Call,
    *,
    target: ObjectRegions | None,
    order: str,
    workers: int,
    max_memory: int | None,
    consolidate: bool,
    progress: Progress | None,
) -> Mapped:
    """The work of `map`. `crops` holds masks where the call or the target needs them."""
    if target is None:
        plan, patches = crops.plan(order, max_memory, None), None
    else:
        plan, patches = _planned(crops, target, order, max_memory)
    mapped = Mapped()
    mapped.plan = plan
    results: dict[int, Any] = {}
    tasks = _tasks(crops, call, plan, target)
    written: list[Unit] = []
    counted = _counted(crops.pixels.regions, target.level.dtype.itemsize if target else crops.pixels.level.dtype.itemsize, progress)
    done = run_in_order(lambda task: _called(crops, call, task, target), tasks, workers)
    try:
        if target is None or patches is None:
            results.update(counted(done))
        else:
            with target.level.track_writes() if consolidate else nullcontext() as touched:
                _write_all(target.level, (parts for _, parts in counted(done)), patches, written)
            mapped.built = touched.built if touched is not None else None
    except _Failed as failed:
        raise _error(crops, failed, patches, written) from failed.__cause__
    finally:
        done.close()
        tasks.close()
    mapped.units = len(written)
    mapped.update({label: results[i] for i, label in enumerate(crops.boxes.labels) if i in results})
    return mapped


def _planned(crops: Crops, target: ObjectRegions, order: str, max_memory: int | None) -> tuple[CropPlan, PatchPlan]:
    """Items in an order by which units are complete early; the patches that wait are part of the memory."""
    level = target.level
    unit: tuple[int, ...] = level.stored.write_unit
    axes = crops.pixels.base.axes
    sizes = dict(zip(level.axes, unit, strict=True))
    before = Grid(crops.pixels.level.shape, tuple(sizes.get(a, n) for a, n in zip(axes, crops.pixels.level.shape, strict=True)), 1)
    first = crops.plan(order, None, None, before=before)
    pieces = [tuple(region for region, _ in target.selection(i).pieces()) for i in range(len(target.regions))]
    patches = plan_patches(first.order, pieces, unit, level.shape, level.dtype.itemsize, workers=default_workers())
    return crops.plan(first.order, max_memory, None, taken=patches.peak_bytes), patches


def _tasks(crops: Crops, call: Call, plan: CropPlan, target: ObjectRegions | None) -> Generator[_Task, None, None]:
    for group in crops.groups(plan):
        for item in group.items:
            with crops.backend.active():
                (pixels,) = crops.masked_of(group, [item], call.fill_value) if call.masked else crops.boxes_of(group, [item])
                arguments: tuple[Any, ...] = (crops.pixels.given_back(pixels, item),)
                if call.with_mask:
                    mask = crops.mask_in(group, item, crops.pixels.base.axes)
                    arguments = (crops.boxes.labels[item], *arguments, crops.pixels.mask_given_back(mask, item))
                mask = None if target is None else crops.mask_in(group, item, target.base.axes)
            yield _Task(item, arguments, mask)


def _called(crops: Crops, call: Call, task: _Task, target: ObjectRegions | None) -> tuple[int, Any]:
    """What the function gives; for a target, as parts to write."""
    try:
        with crops.backend.active():
            result = call.function(*task.arguments)
            return task.item, result if target is None else _parts(result, task, target)
    except Exception as error:  # whatever the caller's code raises
        raise _Failed(task.item) from error


def _parts(result: Any, task: _Task, target: ObjectRegions) -> list[Part]:
    backend = target.level.backend
    selection = target.selection(task.item)
    patch = target.level.checked_patch(computed(result, backend), selection, target.arrangement(selection))
    patch = backend.xp.asarray(patch, copy=True)  # the function may fill the same array the next time
    found = []
    for region, place in selection.pieces():
        thin = tuple(s if n > 1 else slice(None) for s, n in zip(place, task.mask.shape, strict=True))
        found.append(Part(region, patch[place], task.mask[thin]))
    return found


def _write_all(level: Level, done: Iterable[Sequence[Part]], plan: PatchPlan, written: list[Unit]) -> None:
    """Write each unit once, when its patches are all there; units in threads, so never two writers on one."""

    def write(unit: Unit) -> None:
        _changed(level, unit)
        written.append(replace(unit, parts=()))

    for _ in run_in_order(write, gathered(done, plan), default_workers()):
        pass


def _changed(level: Level, unit: Unit) -> None:
    touched = unit.parts[0].region
    for part in unit.parts[1:]:
        touched = touched.union(part.region)
    level.announce(touched)  # before, as every write does
    backend = level.backend

    def change(box: Region, pixels: Any) -> Any:
        with backend.active():
            held = from_host(pixels, backend)
            corners = [part.region.relative_to(box).start for part in unit.parts]
            put_masked(held, [part.pixels for part in unit.parts], [part.mask for part in unit.parts], corners)
            return to_host(held)

    level.stored.change(touched, change)


def _counted(regions: Sequence[Region], itemsize: int, progress: Progress | None) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Pass results on, and say how many bytes of the objects' boxes are done."""
    if progress is None:
        return iter
    total = sum(region.size for region in regions) * itemsize

    def counted(done: Iterable[Any]) -> Iterator[Any]:
        count = 0
        for item, result in done:
            count += regions[item].size * itemsize
            progress(count, total)
            yield item, result

    return counted


def _error(crops: Crops, failed: _Failed, patches: PatchPlan | None, written: Sequence[Unit]) -> FunctionError:
    cause, label = failed.__cause__, crops.boxes.labels[failed.item]
    hint = None
    if patches is not None:
        there = {unit.index for unit in written}
        hint = f"{len(there)} of {patches.units} write units had been written, each whole; the others are as they were."
    return FunctionError(
        f"the function failed for label {label}",
        where=crops.pixels.level.where,
        got=f"{type(cause).__name__}: {cause}".removesuffix("."),
        hint=hint,
    )
