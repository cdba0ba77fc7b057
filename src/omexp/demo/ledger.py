"""What a piece of work cost, step by step. Knows: names, counts, seconds, bytes. Does not know: what the work is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

__all__ = ["Ledger", "Progress", "Step"]

Progress = Callable[[str, int, int], None]  # the step's name, how much is done, how much there is in all


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how many of what, in which time, over how many bytes of uncompressed pixels, on which device and why there."""

    name: str
    unit: str
    count: int = 0
    seconds: float = 0.0
    bytes: int = 0
    device: str = "cpu"
    reason: str = ""

    @property
    def gb_per_s(self) -> float:
        """Uncompressed pixels, read and written, per second; 0 where no time was measured."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0

    def more(self, count: int, size: int, device: str, reason: str) -> Step:
        """The step after more of the same was done."""
        return replace(self, count=self.count + count, bytes=self.bytes + size, device=device, reason=reason)


@dataclass(slots=True)
class Ledger:
    """Steps as they add up. Each `timed` block is one of `total` pieces of work; `progress` hears of it before and after."""

    total: int
    progress: Progress | None = None
    done: int = 0
    steps: dict[str, Step] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str, unit: str) -> Iterator[None]:
        """Add the block's time to a step. Call `add` inside to say what was done."""
        self.steps.setdefault(name, Step(name, unit))
        self._tell(name)
        start = time.perf_counter()
        yield
        step = self.steps[name]
        self.steps[name] = replace(step, seconds=step.seconds + time.perf_counter() - start)
        self.done += 1
        self._tell(name)

    def add(self, name: str, count: int, size: int, *, device: str, reason: str) -> None:
        """What a step did: how many, how many bytes of pixels, where and why there."""
        self.steps[name] = self.steps[name].more(count, size, device, reason)

    def _tell(self, name: str) -> None:
        if self.progress:
            self.progress(name, self.done, self.total)
