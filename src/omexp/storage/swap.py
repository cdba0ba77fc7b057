"""New groups that appear whole. Knows: building beside the target, then swapping. Does not know: what is built.

A group under construction lies beside its place under another name. It takes its place only when everything is written, so what was
there before is never half-replaced and a half-written thing never looks finished.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

from omexp.errors import AlreadyExistsError, ReadOnlyError
from omexp.storage.arrays import place_shown
from omexp.storage.groups import Group, StoreLike, create_group, location, open_group, permitted

__all__ = ["new_group"]

_DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


@contextmanager
def new_group(store: StoreLike, path: str = "", *, zarr_format: int, overwrite: bool) -> Iterator[Group]:
    """A fresh group to fill; it takes its place when the block ends well, and leaves no trace when it does not.

    Parameters
    ----------
    store
        Anything `open_group` takes; need not exist.
    path
        The group's place below `store` ("" for `store` itself).
    zarr_format
        2 or 3.
    overwrite
        Replace what is there. Otherwise `AlreadyExistsError`, before anything is written. An empty group counts as free.

    Raises
    ------
    AlreadyExistsError
        Something is there and `overwrite` is False (also if it came while this was built), or the store cannot delete (a zip file).
    ReadOnlyError
        The store or its directory cannot be written.
    """
    place = _place(store, path)
    taken = not _is_free(place)
    if taken and not (overwrite and place.store.supports_deletes):
        raise _taken(place)
    if taken:
        _require_zarr(place)
    building = _local_building(place, overwrite) if isinstance(place.store, LocalStore) else _remote_building(place, taken)
    with building as scratch:
        with permitted(place_shown(place)):
            group = create_group(scratch, zarr_format)
        yield group


def _require_zarr(place: StorePath) -> None:
    """Refuse to replace what is not a Zarr group or array: a mistyped path must not cost a folder of something else."""
    if not any(sync((place / name).exists()) for name in (*_DOCUMENTS, ".zarray")):
        raise AlreadyExistsError(
            "what is there is no Zarr, so it is not replaced", where=place_shown(place), hint="Choose another place, or remove it yourself."
        )


def _taken(place: StorePath) -> AlreadyExistsError:
    hint = "Pass overwrite=True to replace it." if place.store.supports_deletes else "This store cannot delete; write to a new one."
    return AlreadyExistsError("something is there already", where=place_shown(place), hint=hint)


def _place(store: StoreLike, path: str) -> StorePath:
    place = location(store)
    if place.read_only:
        raise ReadOnlyError(
            "the store is read-only", where=place_shown(place), hint="Open it with mode='r+' from a place that can be written."
        )
    return place / path if path else place


def _is_free(place: StorePath) -> bool:
    """Nothing there, or a group without attributes and members (what `get_image_store` makes)."""
    if isinstance(place.store, LocalStore):
        directory = Path(place.store.root) / place.path
        if not directory.exists():
            return True
        if not directory.is_dir():
            return False
        return {p.name for p in directory.iterdir()} <= set(_DOCUMENTS) and not _has_attributes(place)
    keys = sync(_first_keys(place))
    return {k.removeprefix(place.path).strip("/") for k in keys} <= set(_DOCUMENTS) and not _has_attributes(place)


def _has_attributes(place: StorePath) -> bool:
    try:
        return bool(open_group(place).attributes)
    except Exception:  # whatever it is, it is not an empty group
        return any(sync((place / name).exists()) for name in _DOCUMENTS)


async def _first_keys(place: StorePath, most: int = 4) -> list[str]:
    keys: list[str] = []
    if not place.store.supports_listing:
        return keys
    async for key in place.store.list_prefix(f"{place.path}/" if place.path else ""):
        keys.append(key)
        if len(keys) >= most:
            break
    return keys


@contextmanager
def _local_building(place: StorePath, overwrite: bool) -> Iterator[StorePath]:
    target = (Path(place.store.root) / place.path).resolve()  # type: ignore[attr-defined]  # a link stays, what it leads to is replaced
    mark = uuid.uuid4().hex[:8]
    scratch, old = (target.with_name(f".{target.name}.{mark}.{what}") for what in ("partial", "old"))
    made = [p for p in target.parents if not p.exists()]
    if not (below := target.parents[len(made)]).is_dir():
        raise AlreadyExistsError("a file stands where a folder is needed", where=target, got=str(below), hint="Choose another place.")
    try:
        yield StorePath(LocalStore(scratch))
        if not target.exists():
            _rename(scratch, target, place)
        elif not overwrite and not _is_free(place):
            raise _taken(place)
        elif exchange(scratch, target):
            old = scratch  # now holds what was there before
        else:
            target.rename(old)
            _rename(scratch, target, place)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        for parent in made:  # only those that we made and that are empty
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()
        raise
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one atomic step. False where the system or the file system cannot (it then takes two renames)."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, both = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux
    return bool(swap(here, os.fsencode(one), here, os.fsencode(other), both) == 0)


def _rename(scratch: Path, target: Path, place: StorePath) -> None:
    try:
        scratch.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another writer was faster
            raise _taken(place) from None
        raise


@contextmanager
def _remote_building(place: StorePath, taken: bool) -> Iterator[StorePath]:
    """Without a rename: a free place is filled directly and cleared on failure; a taken one is built apart and copied over.

    What a failure leaves in a store that cannot delete (a zip file) has no attributes yet, so it does not look finished.
    """
    apart = taken or isinstance(place.store, MemoryStore)
    scratch = _beside(place) if apart else _rooted(place)
    try:
        if not apart:
            _clear(place)
        yield scratch
        if apart:
            sync(_move(scratch, place))
    except BaseException:
        _clear(scratch)
        raise
    if apart:
        _clear(scratch)


def _beside(place: StorePath) -> StorePath:
    if isinstance(place.store, MemoryStore):
        return StorePath(MemoryStore())
    return _rooted(StorePath(place.store, f"{place.path}.{uuid.uuid4().hex[:8]}.partial".lstrip("/")))


def _rooted(place: StorePath) -> StorePath:
    """The place as the root of a store, where that can be: zarr makes groups of all parents, in the format of the new one."""
    store = place.store
    if not isinstance(store, FsspecStore) or not place.path:
        return place
    return StorePath(FsspecStore(store.fs, path=f"{store.path.rstrip('/')}/{place.path}", allowed_exceptions=store.allowed_exceptions))


def _clear(place: StorePath) -> None:
    if place.store.supports_deletes:
        sync(place.delete_dir())


async def _move(source: StorePath, target: StorePath) -> None:
    """Take the old group's document away, copy key by key with documents after chunks and the outermost last, clear what is left over.

    A copy that breaks off leaves a place without its document, which no reader takes for an image: never old and new
    chunks under one.
    """
    prefix, root = (f"{place.path}/" if place.path else "" for place in (source, target))
    before = {key async for key in target.store.list_prefix(root)}
    moved = [key async for key in source.store.list_prefix(prefix)]
    names = {key: root + key.removeprefix(prefix) for key in moved}
    for name in _DOCUMENTS:
        if root + name in before:
            await target.store.delete(root + name)
    for key in sorted(moved, key=lambda k: (k.endswith(_DOCUMENTS), -k.count("/"))):
        value = await source.store.get(key, cpu.buffer_prototype)
        if value is not None:
            await target.store.set(names[key], value)
    for key in before - set(names.values()) - {root + name for name in _DOCUMENTS}:
        await target.store.delete(key)
