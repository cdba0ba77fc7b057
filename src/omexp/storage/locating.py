"""Where a store is. Knows: paths, URLs, mappers, zip files, dicts, zarr stores. Does not know: whether anything is there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import zarr
from fsspec.implementations.local import LocalFileSystem
from fsspec.mapping import FSMap
from zarr.abc.store import Store
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, ObjectStore, StorePath

from omexp.errors import ArgumentError, OmexpError
from omexp.storage.archives import ArchiveStore, is_archive
from omexp.storage.arrays import place_shown
from omexp.storage.remote import RemoteStore, as_remote, remote_of_mapper, remote_of_url
from omexp.storage.remote_archives import archive_of_url
from omexp.storage.retrying import redacted

StoreLike = Any  # str | Path | URL | fsspec mapper | dict | zarr Store | obstore store | zarr.Group | Group
ZIPPED = (".ozx", ".zip")

__all__ = ["ZIPPED", "StoreLike", "location", "place_name", "read_only", "require_apart"]

_ALLOWED = "path, URL, fsspec mapper, dict, zarr store or group, obstore store"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_PACKAGES = {"s3": "omexp[s3]", "s3a": "omexp[s3]", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}


def location(store: StoreLike, storage_options: Mapping[str, Any] | None = None) -> StorePath:
    """The place of anything that `open_group` takes; nothing is looked up but the directory of a zip file.

    Parameters
    ----------
    store
        A path (``~`` is the home folder), a URL, an fsspec mapper, a dict, a zarr store, group or place, an obstore store, a `Group`.
    storage_options
        Passed on to fsspec with a URL: credentials, ``{"anon": True}``, ``{"client_kwargs": {"headers": {...}}}``.

    Raises
    ------
    ArgumentError
        No store, a URL that cannot be opened, or options for what takes none.
    StoreNotFoundError, StoredDataError, RemoteError
        A zip file behind a URL is not there, or is none, or cannot be reached.
    """
    if isinstance(store, os.PathLike):
        store = os.fspath(store)
    if storage_options and not (isinstance(store, str) and _is_remote(store)):
        raise ArgumentError(
            "storage_options are for URLs",
            where="storage_options",
            got=f"a {type(store).__name__}, {store}",
            hint="Leave storage_options out.",
        )
    if isinstance(store, str):
        return _at_url(store, storage_options or {}) if _is_remote(store) else _at_path(_local_path(store))
    return _at_object(store)


def _at_object(store: Any) -> StorePath:
    """The place of what is no text."""
    if isinstance(getattr(store, "zarr", None), zarr.Group):  # a Group, which stands above this file
        store = store.zarr
    place = store if isinstance(store, StorePath) else store.store_path if isinstance(store, zarr.Group) else None
    if place is not None:
        known = as_remote(place.store)
        return place if known is place.store else StorePath(known, place.path)
    if type(store).__module__.startswith("obstore"):
        store = _of_obstore(store)
    if isinstance(store, Store):
        store = as_remote(store)
        as_it_is = isinstance(store, (LocalStore, RemoteStore))  # opening a LocalStore would make the folder
        return StorePath(store) if as_it_is else sync(StorePath.open(store, ""))
    if isinstance(store, dict):
        return StorePath(MemoryStore(store))
    if isinstance(store, FSMap):
        return StorePath(LocalStore(store.root) if isinstance(store.fs, LocalFileSystem) else remote_of_mapper(store))
    raise ArgumentError("this is no store", got=repr(store), allowed=_ALLOWED)


def _at_path(path: str) -> StorePath:
    """The place at a local path; a zip file, or a path into one, is read in place."""
    if any(ending in path for ending in ZIPPED):
        for whole in (Path(path), *Path(path).parents):
            if whole.suffix in ZIPPED and whole.is_file() and is_archive(whole):
                return StorePath(ArchiveStore(whole), Path(path).relative_to(whole).as_posix().removeprefix("."))
    return StorePath(LocalStore(path))


def _of_obstore(store: Any) -> Any:
    try:
        return ObjectStore(store)
    except TypeError:
        return store


def _is_remote(text: str) -> bool:
    return "://" in text and not text.startswith("file://")


def _at_url(url: str, options: Mapping[str, Any]) -> StorePath:
    shown, protocol = redacted(url), url.partition("://")[0]
    if shown.endswith("?..."):
        hint = "Give the plain URL, and a token as a header: storage_options={'client_kwargs': {'headers': {...}}}."
        raise ArgumentError("a URL with a query is no place for a store: keys are added at its end", where=shown, hint=hint)
    try:
        if protocol != "zip" and url.rstrip("/").endswith(ZIPPED):
            return StorePath(archive_of_url(url.rstrip("/"), options))
        return StorePath(remote_of_url(url, options))
    except OmexpError:
        raise
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        hint = f"pip install '{package}'" if package else "Install the package that it names."
        raise ArgumentError(f"the URL cannot be opened ({error})", where=shown, hint=hint) from None
    except (ValueError, TypeError) as error:  # fsspec's words on protocols and options that it does not know
        raise ArgumentError(f"the URL cannot be opened ({error})", where=shown, hint="Check its protocol and storage_options.") from None


def _local_path(text: str) -> str:
    """The path in a text: a file:// URL is one, `~` is the home folder. Raises `ArgumentError` for a drive of Windows elsewhere."""
    path = text
    if text.startswith("file://"):
        path = text.removeprefix("file://").removeprefix("localhost")
        path = path if "%" not in path or os.path.exists(path) else unquote(path)  # pathlib's as_uri() writes "a b" as "a%20b"
        path = path[1:] if _DRIVE.match(path[1:]) else path
    if path.startswith("~"):
        path = os.path.expanduser(path)
    if os.name != "nt" and _DRIVE.match(path) and not os.path.exists(path):
        raise ArgumentError("this is a path of Windows", got=path, hint="Give the path where this system has mounted that drive.")
    return path


def require_apart(store: StoreLike, group: StoreLike) -> None:
    """Raise `ArgumentError` for a new place that is a group's (or array's) own, inside it, or around it: making it would harm the group."""
    new, old = (_parts(place) for place in (location(store), location(group)))
    if new[: len(old)] == old or old[: len(new)] == new:
        where = place_shown(location(group))
        raise ArgumentError("an image cannot be derived into itself", where=where, got=str(store), hint="Choose a place beside it.")


def place_name(store: StoreLike, path: str = "") -> str:
    """A name for what lies at `path` below a store: the last part of its place without .zarr and .ome; "image" where there is none."""
    place = location(store)
    inside = path or place.path
    shown = inside if inside or isinstance(place.store, MemoryStore) else place_shown(place)
    return shown.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr").removesuffix(".ome") or "image"


def read_only(place: StorePath) -> StorePath:
    """The same place, through a store that writes nothing. Raises `ArgumentError` where there is no such store."""
    try:
        return StorePath(place.store.with_read_only(True), place.path)
    except NotImplementedError:
        raise ArgumentError(
            "this store cannot be opened read-only", where=place_shown(place), got="mode='r'", hint="Pass mode='r+', or the store's path."
        ) from None


def _parts(place: StorePath) -> tuple[Any, ...]:
    """A place as a sequence of names, below the store where that is no folder."""
    names = [part for part in place.path.split("/") if part]
    if isinstance(place.store, LocalStore):
        return (Path(place.store.root) / place.path).resolve().parts
    if isinstance(place.store, RemoteStore):
        return (*str(place.store).split("/"), *names)
    root = place.store._store_dict if isinstance(place.store, MemoryStore) else str(place.store)
    return (id(root) if isinstance(place.store, MemoryStore) else root, *names)
