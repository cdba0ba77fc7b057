"""The documents of a whole hierarchy, read and written as they are. Knows: keys, which document makes a folder a group or an array. Does
not know: what documents say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import StorePath

from omexp.errors import StoredDataError
from omexp.storage.arrays import place_shown
from omexp.storage.groups import Group

__all__ = ["Node", "nodes_below", "put_document", "read_node", "remove_format2"]

_OLD = (".zmetadata", ".zattrs", ".zarray", ".zgroup")
_NAMES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


@dataclass(frozen=True, slots=True)
class Node:
    """A folder with its documents by name: a group, an array, or nothing of the kind (a row of a plate that has none)."""

    path: str
    documents: Mapping[str, dict[str, Any]]

    @property
    def is_array(self) -> bool:
        return ".zarray" in self.documents or self.documents.get("zarr.json", {}).get("node_type") == "array"

    @property
    def is_new(self) -> bool:
        """Whether it is there in Zarr format 3."""
        return "zarr.json" in self.documents


def nodes_below(root: Group) -> list[Node]:
    """Every group and array in and below a group, and the folders on the way to them, innermost first. Chunks are not listed.

    Raises
    ------
    StoredDataError
        A document is no JSON object.
    RemoteError
        A folder cannot be listed.
    """
    return sync(_walked(root.zarr.store_path, ""))


def read_node(root: Group, path: str) -> Node:
    """One of them, read anew."""
    return sync(_read(root.zarr.store_path, path))


def put_document(root: Group, path: str, name: str, document: Mapping[str, Any]) -> None:
    """Write a document of a node in one operation."""
    key = f"{path}/{name}".lstrip("/")
    sync((root.zarr.store_path / key).set(cpu.Buffer.from_bytes(json.dumps(document, indent=2).encode())))


def remove_format2(root: Group, nodes: list[Node]) -> None:
    """Take away the documents of Zarr format 2, those of a group's members after its own."""
    for node in reversed(nodes):
        for name in _OLD:
            key = f"{node.path}/{name}".lstrip("/")
            if name in node.documents or name == ".zmetadata":
                sync((root.zarr.store_path / key).delete())


async def _walked(root: StorePath, path: str) -> list[Node]:
    node = await _read(root, path)
    if node.is_array:
        return [node]
    place = root / path if path else root
    below = [name async for name in place.store.list_dir(place.path)]
    found: list[Node] = []
    for name in sorted(set(below)):
        if not name.startswith(".") and name not in _NAMES:
            found += await _walked(root, f"{path}/{name}".lstrip("/"))
    return [*found, node] if found or node.documents else []


async def _read(root: StorePath, path: str) -> Node:
    found = {}
    for name in _NAMES:
        place = root / f"{path}/{name}".lstrip("/")
        data = await place.get(cpu.buffer_prototype)
        if data is None:
            continue
        try:
            document = json.loads(data.to_bytes())
        except (ValueError, RecursionError) as error:
            raise StoredDataError(f"this is no JSON ({error})", where=place_shown(place)) from None
        if not isinstance(document, dict):
            raise StoredDataError("this is no JSON object", where=place_shown(place), got=type(document).__name__)
        found[name] = document
    return Node(path, found)
