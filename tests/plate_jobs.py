"""What tests let other processes do to a plate's images. Knows: omexp alone, so that a new process is there soon."""

from __future__ import annotations

import omexp


def total(path: str, image: omexp.OmeZarrContainer) -> int:
    """The sum of all pixels."""
    return int(image.get_image().get_as_numpy().sum())


def second_fails(path: str, image: omexp.OmeZarrContainer) -> int:
    """`total`, but for A/01/1."""
    if path == "A/01/1":
        raise ZeroDivisionError("nothing to divide by")
    return total(path, image)
