"""Workers. Knows: how to run tasks in threads and give their results in order. Does not know: what the tasks are."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["run_in_order"]

Task = TypeVar("Task")
Result = TypeVar("Result")


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
