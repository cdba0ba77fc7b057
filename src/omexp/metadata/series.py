"""Images of a collection that no document lists. Knows: that they are called "0", "1", ... Does not know: stores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

__all__ = ["numbered"]

_BATCH = 16  # looked for at a time: one trip to a server


def numbered(there: Callable[[Sequence[str]], Collection[str]]) -> list[str]:
    """The names "0", "1", ... up to the first one that is not there; `there` gives those of some names that are.

    Examples
    --------
    >>> numbered(lambda names: {"0", "1", "3"} & set(names))
    ['0', '1']
    """
    found: list[str] = []
    for start in itertools.count(step=_BATCH):
        names = [str(i) for i in range(start, start + _BATCH)]
        held = there(names)
        found += itertools.takewhile(held.__contains__, names)
        if len(found) < start + _BATCH:
            return found
    return found
