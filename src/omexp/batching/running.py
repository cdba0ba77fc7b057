"""A plan carried out: chunks decoded ahead, boxes handed out. Knows: readers, regions. Does not know: axes names, labels, files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from omexp.backend import Array
from omexp.batching.plans import CropPlan, Key, Load
from omexp.boxes import BoxReader
from omexp.geometry import Region, Shape
from omexp.storage.workers import run_in_order

__all__ = ["Group", "cut"]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Items that follow each other and lie in the same arrays in memory: one array per source, and where it begins in the source."""

    items: tuple[int, ...]
    arrays: tuple[Array, ...]
    origins: tuple[Shape, ...]


def cut(plan: CropPlan, readers: Sequence[BoxReader]) -> Generator[Group, None, None]:
    """The items of a plan, in its order, each in arrays that hold its regions.

    Items that lie in one chunk of every source come with these chunks themselves, as many at once as follow each other there; others,
    and all of a plan that keeps crops in place of chunks, alone, with arrays of exactly their regions. The arrays are not to be changed,
    and let go of before the next group is asked for.

    Raises
    ------
    StoredDataError
        A chunk is damaged.
    """

    def decoded(load: Load) -> Array:
        source, cell = load.key
        with readers[source].backend.active():
            return readers[source].read(plan.grids[source].box(cell))

    held: dict[Key, Array] = {}
    loaded = run_in_order(decoded, plan.loads, plan.workers)
    if plan.takers:
        try:
            yield from _shared(plan, readers, loaded)
        finally:
            loaded.close()
        return
    upcoming = iter(plan.loads)

    def chunk(key: Key) -> Array:
        if key not in held:
            for gone in next(upcoming).evicted:
                del held[gone]
            held[key] = next(loaded)
        return held[key]

    try:
        position = 0
        for number, stop in enumerate(plan.stops):
            items, met = plan.order[position:stop], plan.cells[plan.order[position]]
            if all(len(found) == 1 for found in met):
                keys = [(source, found[0]) for source, found in enumerate(met)]
                origins = tuple([plan.grids[source].box(cell).start for source, cell in keys])
                yield Group(items, tuple([chunk(key) for key in keys]), origins)
            else:
                regions = plan.regions[items[0]]
                arrays = tuple([_joined(plan, readers, chunk, source, items[0]) for source in range(len(regions))])
                yield Group(items, arrays, tuple([region.start for region in regions]))
            for key in plan.dropped.get(number, ()):
                held.pop(key, None)
            position = stop
    finally:
        loaded.close()


def _shared(plan: CropPlan, readers: Sequence[BoxReader], loaded: Iterator[Array]) -> Generator[Group, None, None]:
    """The items of a plan with takers: each chunk is cut up when it comes, and let go."""
    crops: dict[int, tuple[Array, ...]] = {}
    lacking: dict[int, int] = {}  # item that has a crop -> chunks that it waits for
    upcoming = zip(plan.loads, plan.takers, strict=True)

    def begin(item: int) -> None:
        if item not in crops:
            sources = zip(readers, plan.regions[item], strict=True)
            crops[item] = tuple([_empty(reader, region) for reader, region in sources])
            lacking[item] = sum(map(len, plan.cells[item]))

    for item in plan.order:
        begin(item)
        while lacking[item]:
            load, takers = next(upcoming)
            (source, cell), chunk = load.key, next(loaded)
            box = plan.grids[source].box(cell)
            with readers[source].backend.active():
                for taker in takers:
                    begin(taker)
                    _put_part(crops[taker][source], plan.regions[taker][source], chunk, box)
                    lacking[taker] -= 1
            del chunk
        del lacking[item]
        yield Group((item,), crops.pop(item), tuple([region.start for region in plan.regions[item]]))


def _joined(plan: CropPlan, readers: Sequence[BoxReader], chunk: Callable[[Key], Array], source: int, item: int) -> Array:
    """The pixels of an item's region, from all chunks that it meets."""
    region = plan.regions[item][source]
    pixels = _empty(readers[source], region)
    for cell in plan.cells[item][source]:
        _put_part(pixels, region, chunk((source, cell)), plan.grids[source].box(cell))
    return pixels


def _empty(reader: BoxReader, region: Region) -> Array:
    return reader.backend.empty(region.shape, reader.dtype)


def _put_part(pixels: Array, region: Region, chunk: Array, box: Region) -> None:
    """Copy what a chunk has of a region."""
    part = box.intersect(region)
    pixels[part.relative_to(region).slices] = chunk[part.relative_to(box).slices]
