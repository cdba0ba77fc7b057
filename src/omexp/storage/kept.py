"""Things that are costly to make, the last ones that were asked for. Knows: bytes, threads. Does not know: what they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

__all__ = ["Kept"]


class Kept:
    """A cache bounded in bytes. Two threads that want the same thing make it once; what fails is not kept."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gave for the key, or gives now. Its size is its `nbytes`; None and what has none count for nothing."""
        with self._lock:
            future = self._found.get(key)
            if future is not None:
                self._found.move_to_end(key)
            else:
                mine = self._found[key] = Future()
        if future is not None:
            return future.result()
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                del self._found[key]
            mine.set_exception(error)
            raise
        mine.set_result(made)
        with self._lock:
            self.bytes += _size(made)
            self._shrink()
        return made

    def _shrink(self) -> None:
        """Let the oldest go, but always keep one: what is larger than all the room must not be made for each user anew."""
        done = [key for key, future in self._found.items() if future.done() and not future.exception()]
        for key in done[:-1]:
            if self.bytes <= self.most_bytes:
                return
            self.bytes -= _size(self._found.pop(key).result())


def _size(made: Any) -> int:
    return int(getattr(made, "nbytes", 0))
