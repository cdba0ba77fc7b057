"""Zarr groups and where they live. Knows: paths, URLs, mappers, zarr stores, attributes. Does not know: OME-Zarr.

Looking something up never creates anything. Attributes are written whole, in one store operation that is atomic on a local disk.
"""

from __future__ import annotations

import asyncio
import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zarr
from fsspec.mapping import FSMap
from zarr.abc.store import Store
from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.errors import ContainsArrayError, ContainsGroupError
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    MissingArrayError,
    NameNotFoundError,
    ReadOnlyError,
    StoredDataError,
    StoreNotFoundError,
)
from omexp.storage.arrays import StoredArray, place_shown
from omexp.storage.disks import permitted
from omexp.storage.journal import unfinished_beside

StoreLike = Any  # str | Path | URL | fsspec mapper | dict | zarr Store | zarr.Group | Group

__all__ = [
    "Group",
    "StoreLike",
    "create_group",
    "location",
    "open_group",
    "parent_of",
    "place_name",
    "require_apart",
    "writing",
]

# What zarr raises for documents that are no JSON or no Zarr metadata; ValueError covers JSONDecodeError and UnicodeDecodeError
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Group:
    """One Zarr group: attributes, sub-groups and arrays.

    Parameters
    ----------
    group
        The zarr group.
    cache
        False: attributes are read from the store each time. True: read once, until `refresh`.
    """

    def __init__(self, group: zarr.Group, *, cache: bool = False) -> None:
        self.zarr = group
        self.cache = cache
        self._attributes: dict[str, Any] | None = None

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return int(self.zarr.metadata.zarr_format)

    @property
    def read_only(self) -> bool:
        return bool(self.zarr.read_only)

    @property
    def where(self) -> str:
        """The group's place, for messages: a path or URL."""
        return place_shown(self.zarr.store_path)

    @property
    def name(self) -> str:
        """The last part of the place."""
        return self.where.rsplit("/", 1)[-1]

    @property
    def local_path(self) -> Path | None:
        """The directory, where the group lies on a local disk."""
        store = self.zarr.store
        return Path(store.root) / self.zarr.path if isinstance(store, LocalStore) else None

    @property
    def in_memory(self) -> bool:
        return isinstance(self.zarr.store, MemoryStore)

    # ------------------------------------------------------------------------------------------------ attributes
    @property
    def attributes(self) -> dict[str, Any]:
        """A copy of the group's attributes."""
        if self._attributes is None or not self.cache:
            fresh = _group_at(self.zarr.store_path, "r", self.where, self.zarr_format)
            if fresh is None:
                raise StoreNotFoundError("the group is no longer there", where=self.where)
            self._attributes = dict(fresh.attrs)
        try:
            return copy.deepcopy(self._attributes)
        except RecursionError:
            raise StoredDataError("the group's attributes are nested too deeply", where=self.where) from None

    def put_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Replace all attributes. Raises `ReadOnlyError`."""
        was_consolidated = self.is_consolidated  # writing a zarr.json leaves it out
        with writing(self):
            self.zarr.attrs.put(copy.deepcopy(dict(attributes)))
        self._attributes = None
        if was_consolidated:
            self.consolidate()

    @property
    def is_consolidated(self) -> bool:
        """Whether the group holds a copy of its members' documents. Other readers trust it; this package never reads it."""
        if self.zarr_format == 2:
            return bool(sync((self.zarr.store_path / ".zmetadata").exists()))
        found = sync((self.zarr.store_path / "zarr.json").get(prototype=cpu.buffer_prototype))
        return found is not None and json.loads(found.to_bytes()).get("consolidated_metadata") is not None

    def update_consolidated(self) -> None:
        """Bring the copy of the members' documents up to date, where there is one: what it lacks is hidden from other readers."""
        if self.is_consolidated:
            self.consolidate()

    def consolidate(self) -> None:
        """Put a copy of the members' documents into the group's. Raises `ReadOnlyError`."""
        with writing(self), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr warns that Zarr format 3 does not specify it, and of files such as table.csv
            zarr.consolidate_metadata(self.zarr.store_path, zarr_format=self.zarr_format)  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Forget attributes that were read."""
        self._attributes = None

    # --------------------------------------------------------------------------------------------------- members
    def place(self, path: str) -> StorePath:
        """The place of a member, whether or not it is there; creators take it as a store."""
        return self.zarr.store_path / path

    def find(self, path: str) -> Group | None:
        """The sub-group at `path`; None if there is none."""
        try:
            place = self.place(path)
        except ValueError:  # "." and ".." lead nowhere
            return None
        member = _group_at(place, "r" if self.read_only else "r+", f"{self.where}/{path}", self.zarr_format)
        return None if member is None else Group(member, cache=self.cache)

    def group(self, path: str) -> Group:
        """The sub-group at `path`. Raises `NameNotFoundError`."""
        found = self.find(path)
        if found is None:
            raise NameNotFoundError("there is no such group", where=self.where, got=repr(path))
        return found

    def require_group(self, path: str) -> Group:
        """The sub-group at `path`, created (in this group's Zarr format) if it is not there. Raises `ReadOnlyError`."""
        found = self.find(path)
        if found is not None:
            return found
        with writing(self):
            return Group(self.zarr.create_group(path), cache=self.cache)

    def members(self) -> list[str]:
        """Names of sub-groups and arrays, sorted. Empty where the store cannot be listed (HTTP)."""
        if not self.zarr.store.supports_listing:
            return []
        documents = ("zarr.json",) if self.zarr_format == 3 else (".zgroup", ".zarray")
        return sorted(sync(_names_with(self.zarr.store_path, documents)))

    def delete(self, path: str) -> None:
        """Remove a sub-group or array with all it holds. Raises `ReadOnlyError`."""
        with writing(self):
            del self.zarr[path]

    def array(self, path: str) -> StoredArray:
        """The array at `path`. Raises `MissingArrayError`."""
        try:
            array = zarr.open_array(self.zarr.store_path / path, mode="r" if self.read_only else "r+", zarr_format=self.zarr_format)  # type: ignore[arg-type]
        except (FileNotFoundError, NotADirectoryError):
            raise MissingArrayError(
                "the metadata names an array that is not there",
                where=self.where,
                got=repr(path),
                hint="The write may be unfinished, or chunks were copied without it.",
            ) from None
        except _DAMAGED as error:
            raise StoredDataError(
                f"the array's metadata cannot be used ({type(error).__name__}: {error})", where=f"{self.where}/{path}"
            ) from None
        return StoredArray(array)

    def __repr__(self) -> str:
        return f"Group({self.where!r}, zarr format {self.zarr_format})"


async def _names_with(place: StorePath, documents: Sequence[str]) -> list[str]:
    """What lies directly below a place and holds one of the documents; zarr's own members() warns of every other file."""
    names = [name async for name in place.store.list_dir(place.path)]
    held = await asyncio.gather(*[(place / name / document).exists() for name in names for document in documents])
    return [name for i, name in enumerate(names) if any(held[i * len(documents) : (i + 1) * len(documents)])]


@contextmanager
def writing(group: Group) -> Iterator[None]:
    """Refuse a read-only store, and turn what a read-only or full disk says into `ReadOnlyError` or `StorageFullError`."""
    if group.read_only:
        raise ReadOnlyError("the store is read-only", where=group.where, hint="Open it with mode='r+' from a place that can be written.")
    with permitted(group.where):
        yield


def open_group(store: StoreLike, mode: str = "r+", *, cache: bool = False) -> Group:
    """Open a group that exists.

    Parameters
    ----------
    store
        A path, a URL, an fsspec mapper, a dict, a zarr store or group, or a `Group`.
    mode
        "r" or "r+" (a store or group that is itself read-only opens as "r" either way; a `Group` given back under "r+" is the same one).
    cache
        Whether attributes are read once or each time.

    Raises
    ------
    StoreNotFoundError
        Nothing there, or no Zarr group.
    StoredDataError
        A group is there, and its metadata cannot be used.
    ArgumentError
        Another mode, or something that is no store.
    """
    if mode not in ("r", "r+"):
        raise ArgumentError(
            "mode is not understood",
            got=repr(mode),
            allowed="'r' (read only), 'r+' (read and write)",
            hint="Use create_* to make new stores.",
        )
    if isinstance(store, Group) and (mode == "r+" or store.read_only):
        return store
    place = location(store)
    if mode == "r" and not place.read_only:
        place = _read_only(place)
    missing = isinstance(place.store, LocalStore) and not place.store.root.exists()  # zarr would make the folder
    group = None if missing else _group_at(place, "r" if place.read_only else "r+", place_shown(place))
    if group is None:
        raise StoreNotFoundError("there is no Zarr group", where=place_shown(place), hint=_hint(place))
    return Group(group, cache=cache)


def location(store: StoreLike) -> StorePath:
    """The place of anything that `open_group` takes; nothing is looked up. Raises `ArgumentError` for what is no store."""
    if isinstance(store, StorePath):
        return store
    if isinstance(store, (Group, zarr.Group)):
        return store.zarr.store_path if isinstance(store, Group) else store.store_path
    if isinstance(store, Store):
        return StorePath(store) if isinstance(store, LocalStore) else sync(StorePath.open(store, ""))  # opening would make the folder
    if isinstance(store, dict):
        return StorePath(MemoryStore(store))
    if isinstance(store, FSMap):
        return StorePath(FsspecStore.from_mapper(store))
    if not isinstance(store, (str, Path)):
        raise ArgumentError("this is no store", got=repr(store), allowed="path, URL, fsspec mapper, dict, zarr store or group")
    path = str(store).removeprefix("file://")
    if "://" not in path:
        return StorePath(LocalStore(path))
    try:
        return StorePath(FsspecStore.from_url(path))
    except (ImportError, ValueError) as error:  # fsspec's words on protocols: unknown, or which package to install
        raise ArgumentError(f"the URL cannot be opened ({error})", where=path, hint="Check its protocol.") from None


def require_apart(store: StoreLike, group: StoreLike) -> None:
    """Raise `ArgumentError` for a new place that is a group's (or array's) own, inside it, or around it: making it would harm the group."""
    new, old = (_parts(place) for place in (location(store), location(group)))
    if new[: len(old)] == old or old[: len(new)] == new:
        where = place_shown(location(group))
        raise ArgumentError("an image cannot be derived into itself", where=where, got=str(store), hint="Choose a place beside it.")


def parent_of(store: StoreLike) -> Group | None:
    """The group that a place lies in, if there is one."""
    place = location(store)
    if place.path:
        above = StorePath(place.store, place.path.rpartition("/")[0])
    elif isinstance(place.store, LocalStore):
        above = StorePath(LocalStore(Path(place.store.root).resolve().parent))
    else:
        return None
    try:
        return open_group(above, "r")
    except (StoreNotFoundError, StoredDataError, ArgumentError):
        return None


def _parts(place: StorePath) -> tuple[Any, ...]:
    """A place as a sequence of names, below the store where that is no folder."""
    names = [part for part in place.path.split("/") if part]
    if isinstance(place.store, LocalStore):
        return (Path(place.store.root) / place.path).resolve().parts
    root = place.store._store_dict if isinstance(place.store, MemoryStore) else str(place.store)
    return (id(root) if isinstance(place.store, MemoryStore) else root, *names)


def _read_only(place: StorePath) -> StorePath:
    try:
        return StorePath(place.store.with_read_only(True), place.path)
    except NotImplementedError:
        raise ArgumentError(
            "this store cannot be opened read-only", where=place_shown(place), got="mode='r'", hint="Pass mode='r+', or the store's path."
        ) from None


def _group_at(place: Any, mode: str, where: str, zarr_format: int | None = None) -> zarr.Group | None:
    """The zarr group at a place; None if there is none. Raises `StoredDataError` if there is one that cannot be used."""
    try:
        return zarr.open_group(place, mode=mode, zarr_format=zarr_format, use_consolidated=False)  # type: ignore[arg-type]
    except (ContainsArrayError, FileNotFoundError, NotADirectoryError, FileExistsError):  # zarr makes a directory of a path to a file
        return None
    except _DAMAGED as error:
        raise StoredDataError(
            f"the group's metadata cannot be used ({type(error).__name__}: {error})",
            where=where,
            hint="Its zarr.json (.zgroup and .zattrs in Zarr format 2) is damaged; restore it from a copy.",
        ) from None
    except Exception as error:  # HTTP's refusals (401, 403, no connection) are classes of aiohttp
        if not isinstance(error, PermissionError) and not type(error).__module__.startswith("aiohttp"):
            raise
        raise StoreNotFoundError(
            f"the store cannot be reached ({error})", where=where, hint="Check the address, the token or the permissions."
        ) from error


def _hint(place: StorePath) -> str:
    if not isinstance(place.store, LocalStore):
        return "Check the URL or store; a Zarr group holds zarr.json or .zgroup."
    path = place.store.root / place.path
    if not path.exists():
        left = unfinished_beside(path.resolve())
        begun = f" Writing it was begun in {left.name} and is not finished: the same call with resume=True goes on with it." if left else ""
        return f"The path does not exist.{begun}"
    if _is_array(path):
        return "The path is a Zarr array; open the group that it lies in."
    if path.is_file():
        return "The path is a file; a Zarr group is a folder that holds zarr.json or .zgroup."
    inside = sorted(p.name for p in path.iterdir())[:5]
    return f"The path exists{' and holds ' + ', '.join(inside) if inside else ''}; a Zarr group holds zarr.json or .zgroup."


def _is_array(path: Path) -> bool:
    try:
        return (path / ".zarray").exists() or json.loads((path / "zarr.json").read_bytes())["node_type"] == "array"
    except (OSError, *_DAMAGED):
        return False


def create_group(store: StoreLike, zarr_format: int, *, overwrite: bool = False) -> Group:
    """Create an empty root group in a store that holds none. Raises `AlreadyExistsError`."""
    place = location(store)
    try:
        return Group(zarr.open_group(place, mode="w" if overwrite else "w-", zarr_format=zarr_format))  # type: ignore[arg-type]
    except (FileExistsError, ContainsGroupError, ContainsArrayError):
        raise AlreadyExistsError(
            "something is there already", where=place_shown(place), hint="Pass overwrite=True to replace it."
        ) from None


def place_name(store: StoreLike, path: str = "") -> str:
    """A name for what lies at `path` below a store: the last part of its place without .zarr and .ome; "image" where there is none."""
    place = location(store)
    inside = path or place.path
    shown = inside if inside or isinstance(place.store, MemoryStore) else place_shown(place)
    return shown.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr").removesuffix(".ome") or "image"
