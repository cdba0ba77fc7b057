"""Opening strictly. Knows: that a document must keep every rule of its version. Does not know: the rules, what is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from omexp.errors import nothing_tolerated
from omexp.metadata.problems import refusal
from omexp.metadata.validation import check_document
from omexp.storage.groups import Group

__all__ = ["opened_strictly"]

_MOST = 8  # named in a message


@contextmanager
def opened_strictly(group: Group, strict: bool) -> Iterator[None]:
    """With `strict`, refuse a group whose document breaks a MUST of its version, and all that opening it inside the block would tolerate.

    Raises
    ------
    InvalidMetadataError
        Each broken rule with its place.
    """
    if not strict:
        yield
        return
    broken = [p for p in check_document(group.attributes_at_opening, zarr_format=group.zarr_format) if p.level == "error"]
    if broken:
        hint = "Open it without strict=True; omexp.repair mends what has one meaning only."
        raise refusal("the metadata breaks the specification", group.where, broken, broken, hint, _MOST)
    with nothing_tolerated():
        yield
