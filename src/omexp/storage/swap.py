"""New groups that appear whole. Knows: building beside the target, then swapping. Does not know: what is built.

A group under construction lies beside its place under another name. It takes its place only when everything is written, so what was
there before is never half-replaced and a half-written thing never looks finished.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, StorePath

from omexp.errors import ArgumentError
from omexp.storage.archives import WRITTEN
from omexp.storage.arrays import place_shown
from omexp.storage.disks import permitted
from omexp.storage.groups import Group, create_group, open_group
from omexp.storage.journal import Journal
from omexp.storage.local_building import local_building
from omexp.storage.locating import StoreLike
from omexp.storage.places import DOCUMENTS, is_free, place_for, require_zarr, taken_error
from omexp.storage.remote import RemoteStore

__all__ = ["long_work", "new_group"]

_AT_ONCE = 8  # keys on their way from one place to another, each with its bytes in memory


@contextmanager
def new_group(
    store: StoreLike, path: str = "", *, zarr_format: int, overwrite: bool, small: bool = False, wait_s: float = 0.0
) -> Iterator[Group]:
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
    small
        It fits in memory: behind a network it is built there, and its keys are sent at the same time (a table of 12 columns: 54 requests
        instead of 289, one after the other).
    wait_s
        How long to wait for another process that is building at this very place (on a local disk).

    Raises
    ------
    AlreadyExistsError
        Something is there and `overwrite` is False (also if it came while this was built), the store cannot delete (a zip file), or
        another process is still building at this very place.
    ReadOnlyError, StorageFullError
        The store or its directory cannot be written, or is full.
    """
    with long_work(store, path, zarr_format=zarr_format, overwrite=overwrite, small=small, wait_s=wait_s) as (group, _):
        yield group


@contextmanager
def long_work(
    store: StoreLike,
    path: str = "",
    *,
    zarr_format: int,
    overwrite: bool,
    kept: Callable[[str], bool] | None = None,
    last: Callable[[Group], None] | None = None,
    work: Mapping[str, Any] | None = None,
    resume: bool = False,
    small: bool = False,
    wait_s: float = 0.0,
) -> Iterator[tuple[Group, Journal | None]]:
    """`new_group` for work that takes long: with a journal on a local disk, where an earlier run that broke off can be gone on with.

    Parameters
    ----------
    store, path, zarr_format, overwrite, small, wait_s
        As in `new_group`.
    kept
        Of the members that are there, by name, those that the new group takes over (their files are linked, not copied, where that can be).
    last
        Called with the group when all is in it, also what it took over, before it takes its place (without renames: right after).
    work
        What is being made, as JSON. None: no journal.
    resume
        Go on with what an earlier run of the same work left; keep what there is when this one breaks off.

    Raises
    ------
    ArgumentError
        `resume` for a store that is no local folder, or on a disk without file locks.
    AlreadyExistsError, ReadOnlyError, StorageFullError
        As `new_group`.
    """
    place = place_for(store, path)
    local = isinstance(place.store, LocalStore)
    if zarr_format == 2 and place_shown(place).endswith(WRITTEN):
        raise ArgumentError("an .ozx file holds Zarr format 3 only", where=place_shown(place), hint="Write OME-Zarr 0.5 or 0.6.")
    if resume and not local:
        raise ArgumentError("only work on a local disk can be gone on with", where=place_shown(place), got="resume=True")
    taken = not is_free(place)
    if taken and not (overwrite and place.store.supports_deletes):
        raise taken_error(place)
    if taken:
        require_zarr(place)
    finish = None if last is None else lambda whole: last(open_group(whole))
    building = (
        local_building(place, overwrite, kept, finish, work, resume, wait_s)
        if local
        else _remote_building(place, taken, kept, finish, small)
    )
    with building as (scratch, journal):
        with permitted(place_shown(place)):
            group = (
                open_group(scratch)
                if journal is not None and journal.resumed and _is_group(scratch)
                else create_group(scratch, zarr_format)
            )
        yield group, journal


def _is_group(place: StorePath) -> bool:
    return any(sync((place / name).exists()) for name in DOCUMENTS)


@contextmanager
def _remote_building(
    place: StorePath, taken: bool, kept: Callable[[str], bool] | None, last: Callable[[StorePath], None] | None, small: bool
) -> Iterator[tuple[StorePath, Journal | None]]:
    """Without a rename: a free place is filled directly and cleared on failure; a taken one is built apart and copied over.

    What a failure leaves in a store that cannot delete (a zip file) has no attributes yet, so it does not look finished.
    """
    small = small or isinstance(place.store, MemoryStore)
    apart = taken or small
    scratch = StorePath(MemoryStore()) if small else _beside(place) if taken else _rooted(place)
    moving = not apart
    try:
        if not apart:
            _clear(place)
        yield scratch, None
        if apart and not taken and not is_free(place):
            raise taken_error(place)
        moving = True
        if apart:
            sync(_move(scratch, place, kept))
        if last is not None:
            last(place)
    except BaseException:
        if moving and not taken:
            _clear(place)
        if taken and not small:
            _clear(scratch)
        raise
    if taken and not small:
        _clear(scratch)


def _beside(place: StorePath) -> StorePath:
    return _rooted(StorePath(place.store, f"{place.path}.{uuid.uuid4().hex[:8]}.partial".lstrip("/")))


def _rooted(place: StorePath) -> StorePath:
    """The place as the root of a store, where that can be: zarr makes groups of all parents, in the format of the new one."""
    return StorePath(place.store.below(place.path)) if isinstance(place.store, RemoteStore) and place.path else place


def _clear(place: StorePath) -> None:
    if place.store.supports_deletes:
        sync(place.delete_dir())


async def _move(source: StorePath, target: StorePath, kept: Callable[[str], bool] | None) -> None:
    """Take the old group's document away, copy the keys with documents after chunks and the outermost last, clear what is left over.

    A copy that breaks off leaves a place without its document, which no reader takes for an image: never old and new
    chunks under one.
    """
    prefix, root = (f"{place.path}/" if place.path else "" for place in (source, target))
    before = {key async for key in target.store.list_prefix(root)}
    moved = [key async for key in source.store.list_prefix(prefix)]
    names = {key: root + key.removeprefix(prefix) for key in moved}
    for name in DOCUMENTS:
        if root + name in before:
            await target.store.delete(root + name)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def copy(key: str) -> None:
        async with gate:
            value = await source.store.get(key, cpu.buffer_prototype)
            if value is not None:
                await target.store.set(names[key], value)

    async def drop(key: str) -> None:
        async with gate:
            await target.store.delete(key)

    for _, keys in itertools.groupby(sorted(moved, key=_turn), _turn):
        await asyncio.gather(*map(copy, keys))
    left = before - set(names.values()) - {root + name for name in DOCUMENTS}
    await asyncio.gather(*[drop(key) for key in left if kept is None or not kept(key.removeprefix(root).partition("/")[0])])


def _turn(key: str) -> tuple[bool, int]:
    """When a key is copied: chunks together, then documents, the innermost first."""
    is_document = key.endswith(DOCUMENTS)
    return is_document, -key.count("/") if is_document else 0
