"""Writers and workers. Knows: how arrays on any backend become stored boxes, and how to run tasks in order in threads."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from omexp.backend import to_host
from omexp.geometry import Region, blocks
from omexp.selection import Selection
from omexp.storage.arrays import StoredArray
from omexp.storage.reading import Reader, default_workers, is_dense

Task = TypeVar("Task")
Result = TypeVar("Result")

__all__ = ["default_workers", "run_in_order", "write_box", "write_selection"]


def write_box(stored: StoredArray, region: Region, pixels: Any, *, fast: bool = False, workers: int = 1) -> None:
    """Store the pixels of a box, from any backend (one download from a device). `fast` as in `StoredArray.write`."""
    host = to_host(pixels)

    def write(box: Region) -> None:
        stored.write(box, host[box.relative_to(region).slices], fast=fast)

    boxes = blocks(region, stored.write_unit) if workers > 1 else iter([region])
    for _ in run_in_order(write, boxes, workers):
        pass


def write_selection(stored: StoredArray, reader: Reader, selection: Selection, pixels: Any) -> None:
    """Store selected pixels. A box is one write; steps and lists are set into the smallest box around them, which is written once, unless
    they lie far apart: then each stretch is written by itself."""
    if selection.is_box or not is_dense(selection):
        for region, place in selection.pieces():
            write_box(stored, region, pixels[place], workers=default_workers())
        return
    bounds = selection.bounds
    whole = reader.read(bounds)
    for region, place in selection.pieces():
        whole[region.relative_to(bounds).slices] = pixels[place]
    write_box(stored, bounds, whole, workers=default_workers())


def run_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int, *, stop: threading.Event | None = None
) -> Generator[Result, None, None]:
    """Results of `function` over `tasks`, in their order, with at most ``2 * workers`` begun ahead of the one that is waited for.

    Each task sees the caller's context variables (the default device, transfer counters). The first error is raised; tasks that were
    begun are waited for, the others are never begun; `stop` is set first, so that long ones can end early. `workers` of 1 runs in the
    caller's thread.
    """
    if workers <= 1:
        yield from map(function, tasks)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(contextvars.copy_context().run, function, task))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            if stop is not None:
                stop.set()
            for future in waiting:
                future.cancel()
