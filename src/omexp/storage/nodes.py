"""The JSON documents below a group, many at a time. Knows: their keys in both Zarr formats, what lies where, what an array's document says.
Does not know: OME-Zarr, pixels.

Nothing is cached but what equal documents mean, and nothing above the group is ever read: a path with ".." leads nowhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any, Literal, TypeVar

import numpy as np
from zarr.buffer import cpu
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.core.sync import sync
from zarr.storage import LocalStore

from omexp.errors import OmexpError, StoreNotFoundError
from omexp.geometry import Shape
from omexp.storage.groups import Group

__all__ = ["ArrayFacts", "Change", "Documents", "Node", "facts_of", "inside", "parsed_json", "remembered"]

T = TypeVar("T")

Kind = Literal["group", "array"]
_REMOTE_READS = 16  # at a time and well, of stores that answer late
_REMOTE_WELLS = 8
_LARGE = 1 << 18  # bytes; the document of an image has some 2 KiB
_one_at_a_time = threading.Lock()  # what is done about warnings holds for all threads
_NOTHING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True, slots=True)
class Node:
    """What lies at a path: a group, an array, or (`kind` is None) nothing. `damage` says why its document cannot be used.

    `attributes` are a group's, `document` is an array's own; `raw` are the bytes that they were read from: equal bytes, equal meaning.
    `foreign` where it is there in the other Zarr format.
    """

    path: str
    kind: Kind | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    raw: bytes = b""
    damage: str | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """What an array's document says, where Zarr can read the array."""

    shape: Shape
    dtype: str
    names: tuple[str | None, ...] | None
    separator: str
    fill: Any
    zarr_format: int


@dataclass(frozen=True, slots=True)
class Change:
    """A document that is to be another one: its key, its bytes before (None: there were none) and after."""

    path: str
    key: str
    is_group: bool
    before: bytes | None
    after: bytes


def inside(path: str, name: Any) -> str | None:
    """The path of something below a path; None where it would lie outside, or nowhere."""
    parts = str(name).replace("\\", "/").strip("/").split("/")
    if {"", ".", ".."} & set(parts) or "\0" in str(name):
        return None
    return "/".join([*filter(None, [path]), *parts])


class Documents:
    """The documents below a group. `reads` counts how many were asked for."""

    def __init__(self, group: Group) -> None:
        store_path = group.zarr.store_path
        self.group, self.zarr_format, self._place, self.reads = group, group.zarr_format, store_path, 0
        self.folder = str(group.local_path) if type(store_path.store) is LocalStore else None  # where plain files can be read
        self.changed: dict[str, Change] = {}  # what is read in place of what is in the store
        self._guard = threading.Lock()

    @property
    def workers(self) -> int:
        """How many wells to look at together: more than one helps where a store answers late."""
        return 1 if self.folder is not None else _REMOTE_WELLS

    # ------------------------------------------------------------------------------------------------------ nodes
    def groups(self, paths: Sequence[str]) -> list[Node]:
        """What lies at each of the paths, where groups are expected: one read each (two in Zarr format 2) for those that are there."""
        if self.zarr_format == 3:
            return [self._node(path, raw) for path, raw in zip(paths, self._read([_key(p, "zarr.json") for p in paths]), strict=True)]
        found = self._read([_key(path, name) for path in paths for name in (".zgroup", ".zattrs")])
        return [self._group_v2(path, *found[2 * i : 2 * i + 2]) for i, path in enumerate(paths)]

    def arrays(self, paths: Sequence[str]) -> list[Node]:
        """What lies at each of the paths, where arrays are expected."""
        name = "zarr.json" if self.zarr_format == 3 else ".zarray"
        found = self._read([_key(path, name) for path in paths])
        nodes = [self._node(path, raw) for path, raw in zip(paths, found, strict=True)]
        if self.zarr_format == 3:
            return nodes
        return [self.groups([node.path])[0] if node.kind is None and not node.foreign else node for node in nodes]

    def blob(self, path: str) -> bytes | None:
        """The bytes under a key; None where there are none."""
        return self._read([path])[0]

    def exists(self, key: str) -> bool:
        """Whether there is something under a key; it is not read."""
        if self.folder is not None:
            return os.path.exists(f"{self.folder}/{key}")
        return bool(sync((self._place / key).exists()))

    def names(self, path: str) -> list[str]:
        """Names of the groups and arrays directly below a path; none where the store cannot list, or nothing is there."""
        documents = ("zarr.json",) if self.zarr_format == 3 else (".zgroup", ".zarray")
        try:
            if self.folder is not None:
                listed = [name for name in os.listdir(_key(self.folder, path)) if not name.startswith(".")]
                return sorted(name for name in listed if any(self.exists(_key(_key(path, name), d)) for d in documents))
            found = self.group.find(path) if path else self.group
            return [] if found is None else [name for name in found.members() if not name.startswith(".")]
        except (OmexpError, OSError, ValueError):
            return []

    def _node(self, path: str, raw: bytes | None) -> Node:
        if raw is None:
            return self._elsewhere(path)
        document, damage = parsed_json(raw)
        if damage is not None:
            return Node(path, "group", raw=raw, damage=damage)
        if not isinstance(document, Mapping):
            return Node(path, "group", raw=raw, damage=f"it is no object but a {type(document).__name__}")
        if self.zarr_format == 2:
            return Node(path, "array", {}, document, raw)
        attributes = document.get("attributes", {})
        kind: Kind = "array" if document.get("node_type") == "array" else "group"
        if document.get("node_type") not in ("array", "group") or document.get("zarr_format") != 3 or not isinstance(attributes, Mapping):
            return Node(path, kind, raw=raw, damage="it is no Zarr metadata: zarr_format, node_type or attributes are not as they must be")
        return Node(path, kind, attributes, document, raw)

    def _group_v2(self, path: str, group: bytes | None, attributes: bytes | None) -> Node:
        if group is None:
            (array,) = self._read([_key(path, ".zarray")])
            return self._elsewhere(path) if array is None else self._node(path, array)
        document, damage = parsed_json(group)
        if damage is None and (not isinstance(document, Mapping) or document.get("zarr_format") != 2):
            damage = ".zgroup is no Zarr metadata of format 2"
        found, broken = parsed_json(attributes) if attributes is not None else ({}, None)
        if broken is None and not isinstance(found, Mapping):
            broken = f".zattrs is no object but a {type(found).__name__}"
        if damage or broken:
            return Node(path, "group", raw=attributes or b"", damage=damage or broken)
        return Node(path, "group", found, {"zarr_format": 2}, attributes or b"")

    def _elsewhere(self, path: str) -> Node:
        """What is there in the other Zarr format, if anything."""
        names = (".zgroup", ".zarray") if self.zarr_format == 3 else ("zarr.json",)
        found = any(raw is not None for raw in self._read([_key(path, name) for name in names]))
        return Node(path, foreign=found)

    # ---------------------------------------------------------------------------------------------------- changes
    def change_group(self, node: Node, attributes: Mapping[str, Any]) -> None:
        """From now on read a group as if it had these attributes. Nothing is written."""
        document = attributes if self.zarr_format == 2 else dict(node.document) | {"attributes": attributes}
        self._change(node, ".zattrs" if self.zarr_format == 2 else "zarr.json", document)

    def change_array(self, node: Node, keys: Mapping[str, Any]) -> None:
        """From now on read an array as if its document (of Zarr format 3) had these values. Nothing is written."""
        self._change(node, "zarr.json", dict(node.document) | dict(keys))

    def changes(self) -> list[Change]:
        """What is to be written."""
        return [change for change in self.changed.values() if change.after != change.before]

    def _change(self, node: Node, name: str, document: Mapping[str, Any]) -> None:
        key = _key(node.path, name)
        known = self.changed.get(key)
        before = known.before if known is not None else (node.raw or None)
        after = json.dumps(document, indent=2).encode()
        self.changed[key] = Change(node.path, key, node.kind == "group", before, after)

    # ------------------------------------------------------------------------------------------------------ bytes
    def _read(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._guard:
            self.reads += len(keys)
        try:
            local = self.folder is not None
            found = [_file(f"{self.folder}/{key}") for key in keys] if local else list(sync(self._fetched(keys)))
        except (OmexpError, MemoryError):
            raise
        except Exception as error:  # stores and networks raise classes of their own
            raise StoreNotFoundError(
                f"the store cannot be read ({type(error).__name__}: {error})",
                where=self.group.where,
                hint="Check the address, the token or the permissions.",
            ) from error
        return [self.changed[key].after if key in self.changed else raw for key, raw in zip(keys, found, strict=True)]

    async def _fetched(self, keys: Iterable[str]) -> list[bytes | None]:
        limit = asyncio.Semaphore(_REMOTE_READS)

        async def fetch(key: str) -> bytes | None:
            async with limit:
                try:
                    found = await (self._place / key).get(cpu.buffer_prototype)
                except _NOTHING:
                    return None
            return None if found is None else found.to_bytes()

        return list(await asyncio.gather(*map(fetch, keys)))

    def each(self, work: Any, items: Sequence[Any]) -> list[Any]:
        """`work` done for every item, in their order; some together where the store answers late."""
        if self.workers == 1 or len(items) < 2:
            return list(map(work, items))
        with ThreadPoolExecutor(min(self.workers, len(items))) as pool:
            return list(pool.map(work, items))


def _key(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _file(path: str) -> bytes | None:
    """A file's bytes; None where there is none, or no file could have that name."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except PermissionError:
        raise
    except (OSError, ValueError):  # no such file, a folder, a name that is too long, a circle of links
        return None


# ------------------------------------------------------------------------------------------------------- meanings
def remembered(maxsize: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """As `lru_cache` for functions of a document's bytes; what large documents mean is not kept."""

    def keeping(function: Callable[..., T]) -> Callable[..., T]:
        cached = lru_cache(maxsize)(function)

        @wraps(function)
        def of_size(raw: bytes, *options: Any) -> T:
            return (cached if len(raw) <= _LARGE else function)(raw, *options)

        return of_size

    return keeping


@remembered(2048)
def parsed_json(raw: bytes) -> tuple[Any, str | None]:
    """A document and None, or None and what is wrong with it. It is shared: do not change it.

    Examples
    --------
    >>> parsed_json(b'{"a": NaN}')
    (None, 'NaN is no JSON')
    """
    try:
        return json.loads(raw, parse_constant=_refused), None
    except (ValueError, RecursionError) as error:
        text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return None, text[:200]


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def facts_of(node: Node) -> tuple[ArrayFacts | None, str | None]:
    """What an array's document says, and None; None, and why not, where Zarr cannot read such an array."""
    if node.damage is not None:
        return None, node.damage
    return _facts(node.raw)


@remembered(2048)
def _facts(raw: bytes) -> tuple[ArrayFacts | None, str | None]:
    document = json.loads(raw)
    try:
        of_three = document.get("zarr_format") == 3
        with _one_at_a_time, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr's views on codecs and dtypes that are not in its specification
            metadata: Any = (ArrayV3Metadata if of_three else ArrayV2Metadata).from_dict(document)
        found = metadata.dtype
        dtype = np.dtype(found.to_native_dtype() if hasattr(found, "to_native_dtype") else found)
        shape, chunks = tuple(map(int, metadata.shape)), tuple(map(int, metadata.chunks))
        if len(chunks) != len(shape) or min((*shape, 0)) < 0 or min((*chunks, 1)) < 1 or max((*shape, *chunks, 0)) >= 2**63:
            return None, f"chunks of {chunks} do not fit a shape of {shape}"[:300]
        keys = getattr(metadata, "chunk_key_encoding", None)
        separator = getattr(metadata, "dimension_separator", None) or getattr(keys, "separator", "/")
    except Exception as error:  # zarr and numcodecs have errors of their own
        return None, f"{type(error).__name__}: {error}"[:300]
    names = document.get("dimension_names") if of_three else None
    listed = tuple(names) if isinstance(names, list) else None
    return ArrayFacts(shape, dtype.name, listed, str(separator), document.get("fill_value"), 3 if of_three else 2), None
