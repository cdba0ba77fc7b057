"""Chunks whose parts go, once decoded, to all items that need them. Knows: regions, chunk grids, bytes. Does not know: arrays, files.

The way for items that reach through many chunks, such as objects of ten planes where a plane is one chunk: no chunk is kept; the crops of
items that wait for their last chunk are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from omexp.geometry import Region, Shape

__all__ = ["shared_out"]

_Key = tuple[int, Shape]  # a source and one of its chunks


def shared_out(
    order: Sequence[int],
    cells: Sequence[Sequence[Sequence[Shape]]],
    regions: Sequence[Sequence[Region]],
    itemsizes: Sequence[int],
    room: int,
) -> tuple[list[_Key], list[tuple[int, ...]], int]:
    """Which chunks are decoded, one after the other; the items that take a part of each; the most bytes of crops that wait.

    An item is complete at its turn in `order`: what it lacks then is decoded, and each of these chunks goes to items after it, too, the
    next ones first, while there is room for their crops; for one without room it is decoded again. So each chunk is decoded once where the
    crops that wait at one time fit into `room` bytes. The crop of the item whose turn it is does not count.
    """
    keys = [[(source, cell) for source, met in enumerate(cells[item]) for cell in met] for item in order]
    sizes = [sum(region.size * n for region, n in zip(regions[item], itemsizes, strict=True)) for item in order]
    later: defaultdict[_Key, list[int]] = defaultdict(list)  # chunk -> turns without a crop yet, the last one first
    for turn in reversed(range(len(order))):
        for key in keys[turn]:
            later[key].append(turn)
    lacks: dict[int, set[_Key]] = {}  # turn that has a crop -> chunks that it waits for
    waiting: defaultdict[_Key, list[int]] = defaultdict(list)
    loads: list[_Key] = []
    takers: list[tuple[int, ...]] = []
    total = peak = 0

    def begin(turn: int) -> None:
        lacks[turn] = set(keys[turn])
        for key in keys[turn]:
            waiting[key].append(turn)

    for now, wanted in enumerate(keys):
        if now in lacks:
            total -= sizes[now]
        else:
            begin(now)
        for key in wanted:
            if key not in lacks[now]:
                continue
            queue = later[key]
            while queue and (queue[-1] in lacks or total + sizes[queue[-1]] <= room):
                turn = queue.pop()
                if turn not in lacks:
                    begin(turn)
                    total += sizes[turn]
            taking = waiting.pop(key)
            for turn in taking:
                lacks[turn].discard(key)
            loads.append(key)
            takers.append(tuple([order[turn] for turn in taking]))
            peak = max(peak, total)
    return loads, takers, peak
