"""Zarr groups and where they live. Knows: paths, URLs, mappers, zarr stores, attributes. Does not know: OME-Zarr.

Looking something up never creates anything. Attributes are written whole, in one store operation that is atomic on a local disk.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zarr
from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.errors import ContainsArrayError, ContainsGroupError
from zarr.storage import LocalStore, MemoryStore, StorePath

from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    MissingArrayError,
    NameNotFoundError,
    OmexpError,
    ReadOnlyError,
    RemoteAccessError,
    RemoteError,
    StoredDataError,
    StoreNotFoundError,
)
from omexp.storage.arrays import StoredArray, place_shown
from omexp.storage.disks import discard, permitted
from omexp.storage.documents import LEFT_TO_ZARR, LOCAL_THREADS, THREADS, plain_array, plain_group, read_all
from omexp.storage.journal import unfinished_beside
from omexp.storage.locating import StoreLike, location, read_only
from omexp.storage.locks import exclusive
from omexp.storage.remote import RemoteStore

__all__ = ["DAMAGED", "Group", "create_group", "open_group", "parent_of", "writing"]

# What zarr raises for documents that are no JSON or no Zarr metadata; ValueError covers JSONDecodeError and UnicodeDecodeError
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


_NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP)  # nothing can lie under such a name


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
        self._attributes: dict[str, Any] | None = group.attrs.asdict() if cache else None

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
            return _copied(self._attributes)
        except RecursionError:
            raise StoredDataError("the group's attributes are nested too deeply", where=self.where) from None

    @property
    def attributes_at_opening(self) -> dict[str, Any]:
        """A copy of the attributes as they were when this group was opened or last written to from here; nothing is read.

        For looking at what was just found. What is to be changed is read anew (`attributes`), under `omexp.storage.locks.exclusive`.
        """
        try:
            return _copied(self.zarr.attrs.asdict())
        except RecursionError:
            raise StoredDataError("the group's attributes are nested too deeply", where=self.where) from None

    def put_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Replace all attributes. Raises `ReadOnlyError`."""
        was_consolidated = self.is_consolidated  # writing a zarr.json leaves it out
        try:
            with writing(self):
                self.zarr.attrs.put(copy.deepcopy(dict(attributes)))
        except RecursionError:
            raise StoredDataError("the attributes are nested too deeply to be written", where=self.where) from None
        self._attributes = None
        if was_consolidated:
            self.consolidate()

    @property
    def is_consolidated(self) -> bool:
        """Whether the group holds a copy of its members' documents. Other readers trust it; this package never reads it."""
        if self.zarr_format == 2:
            return bool(sync((self.zarr.store_path / ".zmetadata").exists()))
        found = sync((self.zarr.store_path / "zarr.json").get(prototype=cpu.buffer_prototype))
        try:
            return found is not None and json.loads(found.to_bytes()).get("consolidated_metadata") is not None
        except DAMAGED as error:
            raise StoredDataError(f"the group's metadata cannot be used ({error})", where=self.where) from None

    def update_consolidated(self) -> None:
        """Bring the copy of the members' documents up to date, where there is one: what it lacks is hidden from other readers."""
        if self.is_consolidated:
            self.consolidate()

    def consolidate(self) -> None:
        """Put a copy of the members' documents into the group's. Raises `ReadOnlyError`."""
        with writing(self), exclusive(self), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zarr warns that Zarr format 3 does not specify it, and of files such as table.csv
            zarr.consolidate_metadata(self.zarr.store_path, zarr_format=self.zarr_format)  # type: ignore[arg-type]

    def refresh(self) -> None:
        """Forget attributes that were read."""
        self._attributes = None

    # --------------------------------------------------------------------------------------------------- members
    def place(self, path: str) -> StorePath:
        """The place of a member, whether or not it is there; creators take it as a store. Raises `ArgumentError` for ".." in the path."""
        try:
            return self.zarr.store_path / path
        except ValueError:
            raise ArgumentError("the path leads out of the group", where=self.where, got=repr(path)) from None

    def find(self, path: str) -> Group | None:
        """The sub-group at `path`; None if there is none."""
        try:
            place = self.place(path)
        except ValueError:  # "." and ".." lead nowhere
            return None
        member = _group_at(place, "r" if self.read_only else "r+", f"{self.where}/{path}", self.zarr_format)
        return None if member is None else Group(member, cache=self.cache)

    def find_many(self, paths: Iterable[str], threads: int | None = None) -> tuple[dict[str, Group], dict[str, StoredDataError]]:
        """The sub-groups that are there, by path, and what is wrong with those that cannot be used. Read concurrently, each once."""

        def look(path: str) -> Group | StoredDataError | None:
            try:
                return self.find(path)
            except StoredDataError as error:
                return error

        found = read_all(look, dict.fromkeys(paths), threads or (LOCAL_THREADS if self.local_path else THREADS))
        groups = {path: one for path, one in found.items() if isinstance(one, Group)}
        return groups, {path: one for path, one in found.items() if isinstance(one, StoredDataError)}

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
        try:
            with writing(self):
                return Group(self.zarr.create_group(path), cache=self.cache)
        except OmexpError:
            raise
        except DAMAGED as error:  # zarr looks into what lies on the way
            raise StoredDataError(f"no group can be made ({type(error).__name__}: {error})", where=f"{self.where}/{path}") from None

    def members(self) -> list[str]:
        """Names of sub-groups and arrays, sorted. Empty where the store cannot be listed (HTTP, buckets that do not let you)."""
        if not self.zarr.store.supports_listing:
            return []
        documents = ("zarr.json",) if self.zarr_format == 3 else (".zgroup", ".zarray")
        try:
            return sorted(sync(_names_with(self.zarr.store_path, documents)))
        except RemoteAccessError:
            return []

    def delete(self, path: str) -> None:
        """Remove a sub-group or array with all it holds. Raises `ReadOnlyError`."""
        with writing(self):
            if self.local_path is not None and (self.local_path / path).is_dir():
                discard(self.local_path / path)
            else:
                del self.zarr[path]

    def array(self, path: str) -> StoredArray:
        """The array at `path`. Raises `MissingArrayError`."""
        try:
            place = self.place(path)
            array = plain_array(place, self.zarr_format)
            if array is None:
                mode = "r" if self.read_only else "r+"
                array = zarr.open_array(place, mode=mode, zarr_format=self.zarr_format)  # type: ignore[arg-type]
        except (FileNotFoundError, NotADirectoryError):
            raise MissingArrayError(
                "the metadata names an array that is not there",
                where=self.where,
                got=repr(path),
                hint="The write may be unfinished, or chunks were copied without it.",
            ) from None
        except DAMAGED as error:
            raise StoredDataError(
                f"the array's metadata cannot be used ({type(error).__name__}: {error})", where=f"{self.where}/{path}"
            ) from None
        except OSError as error:
            if error.errno in _NO_NAME:
                raise MissingArrayError("no array can have that name", where=self.where, got=repr(path)[:80]) from None
            raise
        return StoredArray(array)

    def __repr__(self) -> str:
        return f"Group({self.where!r}, zarr format {self.zarr_format})"


def _copied(value: Any) -> Any:
    """A copy of what JSON can hold: five times faster than `copy.deepcopy`, which took half of the time of opening a plate's images."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float)) else copy.deepcopy(value)


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


def open_group(store: StoreLike, mode: str = "r+", *, cache: bool = False, storage_options: Mapping[str, Any] | None = None) -> Group:
    """Open a group that exists.

    Parameters
    ----------
    store
        A path, a URL, an fsspec mapper, a dict, a zarr store or group, an obstore store, or a `Group`.
    mode
        "r" or "r+" (a store or group that is itself read-only opens as "r" either way; a `Group` given back under "r+" is the same one).
    cache
        Whether attributes are read once or each time.
    storage_options
        Of a URL, for fsspec: credentials and such.

    Raises
    ------
    StoreNotFoundError
        Nothing there, or no Zarr group.
    StoredDataError
        A group is there, and its metadata cannot be used.
    ArgumentError
        Another mode, or something that is no store.
    RemoteError
        A remote store cannot be reached, refuses (`RemoteAccessError`) or does not answer (`RemoteTimeoutError`).
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
    place = location(store, storage_options)
    if mode == "r" and not place.read_only:
        place = read_only(place)
    missing = isinstance(place.store, LocalStore) and not place.store.root.exists()  # zarr would make the folder
    group = None if missing else _group_at(place, "r" if place.read_only else "r+", place_shown(place))
    if group is None:
        raise StoreNotFoundError("there is no Zarr group", where=place_shown(place), hint=_hint(place))
    return Group(group, cache=cache)


def parent_of(store: StoreLike, mode: str = "r") -> Group | None:
    """The group that a place lies in, if there is one; for reading, unless told."""
    place = location(store)
    if place.path:
        above = StorePath(place.store, place.path.rpartition("/")[0])
    elif isinstance(place.store, LocalStore):
        above = StorePath(LocalStore(Path(place.store.root).resolve().parent))
    elif isinstance(place.store, RemoteStore) and (outer := place.store.above()) is not None:
        above = StorePath(outer)
    else:
        return None
    try:
        return open_group(above, mode)
    except (StoreNotFoundError, StoredDataError, ArgumentError, RemoteAccessError):
        return None


def _group_at(place: Any, mode: str, where: str, zarr_format: int | None = None) -> zarr.Group | None:
    """The zarr group at a place; None if there is none. Raises `StoredDataError` if there is one that cannot be used."""
    found = plain_group(place, zarr_format)
    if found is not LEFT_TO_ZARR:
        return found  # type: ignore[return-value]
    try:
        return zarr.open_group(place, mode=mode, zarr_format=zarr_format, use_consolidated=False)  # type: ignore[arg-type]
    except (ContainsArrayError, FileNotFoundError, NotADirectoryError, FileExistsError):  # zarr makes a directory of a path to a file
        return None
    except DAMAGED as error:
        raise StoredDataError(
            f"the group's metadata cannot be used ({type(error).__name__}: {error})",
            where=where,
            hint="Its zarr.json (.zgroup and .zattrs in Zarr format 2) is damaged; restore it from a copy.",
        ) from None
    except PermissionError as error:
        if isinstance(error, RemoteError):
            raise
        raise StoreNotFoundError(f"the store cannot be reached ({error})", where=where, hint="Check the permissions.") from error
    except OSError as error:
        if error.errno in _NO_NAME:
            return None
        raise


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
    except (OSError, *DAMAGED):
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
