"""A progress bar for work that takes long. Knows: rich, terminals. Does not know: what the work is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omexp.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task
    from rich.text import Text

__all__ = ["SILENT_S", "progress_bar", "shown"]

SILENT_S = 1.0  # work that is done before draws nothing
REDRAW_S = 0.1


@contextmanager
def progress_bar(description: str = "", *, console: Console | None = None, unit: str = "bytes") -> Iterator[Callable[[int, int], None]]:
    """A bar with bytes, GB/s and the time left, as a callback for every ``progress=`` of this package.

    It is drawn once the block has taken a second, on a terminal only, and wiped at the end. It starts no thread and handles no signal:
    it is drawn by whoever calls back, at most ten times a second.

    Parameters
    ----------
    description
        What stands before the bar.
    console
        A rich console; None: standard error.
    unit
        What is counted: "bytes", or the name of things such as "images".

    Yields
    ------
    ``callback(done_bytes, total_bytes)``; with another unit the numbers of things.

    Examples
    --------
    >>> import numpy, omexp
    >>> from omexp.progress import progress_bar
    >>> with progress_bar("cells") as progress:
    ...     progress(50, 100)
    ...     progress(100, 100)
    """
    from rich.console import Console

    console = Console(stderr=True) if console is None else console
    if not console.is_terminal:
        yield _ignore
        return
    bar = _bar(console, unit)
    task = bar.add_task(description, total=None)
    begun = drawn = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal drawn
        bar.update(task, completed=done, total=total)
        now = time.monotonic()
        if not bar.live.is_started and now - begun >= SILENT_S:
            bar.start()
        if bar.live.is_started and (now - drawn >= REDRAW_S or done >= total):
            drawn = now
            bar.refresh()

    try:
        yield show
    finally:
        bar.stop()  # shows the cursor again, whatever happened


@contextmanager
def shown(progress: Any, description: str, unit: str = "bytes") -> Iterator[Callable[[int, int], None] | None]:
    """The callback that a ``progress=`` means: the function itself, a bar for True, None for None and False.

    Raises
    ------
    ArgumentError
        It cannot be called.
    """
    if progress is True:
        with progress_bar(description, unit=unit) as show:
            yield show
    elif progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    else:
        raise ArgumentError(
            "progress cannot be called",
            where="progress",
            got=type(progress).__name__,
            allowed=f"a function of (done_{unit}, total_{unit}), True, None",
            hint="Pass True for a bar.",
        )


def _ignore(done: int, total: int) -> None:
    pass


def _bar(console: Console, unit: str) -> Progress:
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Gigabytes per second, as the reports of the commands have them."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed / 1e9:.3f} GB/s", style="progress.data.speed")

    amount = (DownloadColumn(), Rate()) if unit == "bytes" else (MofNCompleteColumn(), TextColumn(unit, markup=False))
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *amount, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, auto_refresh=False)
