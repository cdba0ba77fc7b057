"""Plain files inside a group, such as `table.csv`. Knows: bytes under a key. Does not know: what they mean."""

from __future__ import annotations

from zarr.buffer import cpu
from zarr.core.sync import sync

from omexp.storage.groups import Group, writing

__all__ = ["read_blob", "write_blob"]


def read_blob(group: Group, key: str) -> bytes | None:
    """The bytes stored under a key of the group; None if there are none."""
    found = sync((group.zarr.store_path / key).get(prototype=cpu.buffer_prototype))
    return None if found is None else found.to_bytes()


def write_blob(group: Group, key: str, content: bytes) -> None:
    """Store bytes under a key of the group, in one operation that is atomic on a local disk. Raises `ReadOnlyError`."""
    with writing(group):
        sync((group.zarr.store_path / key).set(cpu.Buffer.from_bytes(content)))
