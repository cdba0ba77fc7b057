"""One writer at a time. Knows: locks of the operating system that end with their process, on folders and on parts of arrays. Does not
know: what is written.

Nothing is left on disk by a lock, so there is none that a killed process could leave. Readers never wait: what they read is replaced as a
whole. Stores that are no local folder are locked within this process alone; two processes that change one of those at the same moment
must be kept apart by their caller. A forked child holds none of its parent's locks.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omexp.errors import ArgumentError, StoreNotFoundError, warn_caller
from omexp.storage.disks import permitted

try:
    import fcntl
except ImportError:  # Windows: threads of one process are kept apart there, two processes are not
    fcntl = None  # type: ignore[assignment]

__all__ = ["exclusive", "exclusive_unit", "exclusive_unit_here"]

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # of file systems that have none
_held = threading.local()
_guards: dict[Any, tuple[threading.RLock, int]] = {}
_guard = threading.Lock()
_open: set[_Opened] = set()
_said: set[str] = set()


@contextmanager
def exclusive(group: Any) -> Iterator[None]:
    """Let one thread of one process at a time read, change and write the documents of a group.

    Waits for whoever is at it. A thread that holds the lock may take it again. On a local disk the folder itself is locked, and found again
    if it was replaced by another one meanwhile.

    Parameters
    ----------
    group
        A `Group`.

    Examples
    --------
    >>> import omexp
    >>> from omexp.storage.groups import create_group
    >>> group = create_group({}, 3)
    >>> with exclusive(group):
    ...     group.put_attributes(group.attributes | {"names": ["a"]})
    """
    folder = group.local_path
    if folder is None:
        kept = getattr(group.zarr.store, "_store_dict", None)  # in memory; elsewhere the same place may be reached through two stores
        with _one_thread(group.where if kept is None else (id(kept), group.zarr.path)):
            yield
        return
    key = os.path.realpath(folder)
    with _one_thread(key):
        depths = _held.__dict__.setdefault("depths", {})
        if fcntl is None:
            _say_unlocked("this system has none")
        if depths.get(key) or fcntl is None:
            with _counted(depths, key):
                yield
            return
        opened = _Opened(_locked_folder(folder, group.where))
        try:
            with _counted(depths, key):
                yield
        finally:
            opened.close(lambda descriptor: fcntl.flock(descriptor, fcntl.LOCK_UN))


@contextmanager
def exclusive_unit(folder: str | Path, index: Sequence[int]) -> Iterator[None]:
    """Let one thread of one process at a time read, change and write one write unit (chunk or shard) of an array in a local folder.

    One byte of the array's own document stands for the unit: others of the same array are not kept waiting (but for one in 2**31).
    Hold one unit at a time, so that no two writers can wait for each other.
    """
    byte = zlib.crc32(repr(tuple(int(i) for i in index)).encode()) >> 1
    key = os.path.realpath(folder), byte
    with _one_thread(key), _not_inside(key, folder):
        opened = _Opened(_locked_byte(folder, byte))
        try:
            yield
        finally:
            opened.close(lambda descriptor: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock_struct(byte, fcntl.F_UNLCK)))


@contextmanager
def exclusive_unit_here(place: Any, index: Sequence[int]) -> Iterator[None]:
    """The same for an array at a place (`StorePath`) in a store of any kind: among the threads of this process."""
    key = str(place), tuple(index)  # the place's text names the URL, or the dict by its number
    with _one_thread(key), _not_inside(key, place):
        yield


class _Opened:
    """A file whose lock is held through this opening of it. Closing it is not enough to let go: a forked child has it open, too."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        _open.add(self)

    def close(self, unlock: Callable[[int], Any] | None) -> None:
        """Let go of the lock, and close; only close where `unlock` is None. Closing again does nothing."""
        _open.discard(self)
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if unlock is not None:
                unlock(descriptor)
        finally:
            os.close(descriptor)


def _forget() -> None:
    """In a forked child: no lock is held, whatever threads that it does not have were at."""
    global _held, _guard, _guards
    _held, _guard, _guards = threading.local(), threading.Lock(), {}
    for opened in tuple(_open):
        opened.close(None)  # the lock stays the parent's; unlocking here would end it there


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def _not_inside(key: Any, where: Any) -> Iterator[None]:
    """Refuse a thread that changes a unit while it is changing it: what one of the two wrote would be lost."""
    held = _held.__dict__.setdefault("units", set())
    if key in held:
        hint = "A merge function must not write to the chunk that it is called for; give back the new pixels."
        raise ArgumentError("the chunk is written to while it is being changed", where=str(where), hint=hint)
    held.add(key)
    try:
        yield
    finally:
        held.discard(key)


@contextmanager
def _one_thread(key: Any) -> Iterator[None]:
    """Keep the threads of this process apart; a lock is there only as long as somebody uses it."""
    with _guard:
        lock, users = _guards.get(key, (threading.RLock(), 0))
        _guards[key] = lock, users + 1
    try:
        with lock:
            yield
    finally:
        with _guard:
            held, users = _guards.get(key, (None, 0))
            if held is lock and users > 1:
                _guards[key] = lock, users - 1
            elif held is lock:  # another one, or none, in a child that was forked inside the block
                del _guards[key]


@contextmanager
def _counted(depths: dict[str, int], key: str) -> Iterator[None]:
    depths[key] = depths.get(key, 0) + 1
    try:
        yield
    finally:
        depths[key] -= 1
        if not depths[key]:
            del depths[key]


def _locked_folder(folder: Path, where: str) -> int | None:
    """The open folder, locked; None where its file system has no locks."""
    while True:
        try:
            with permitted(where):
                descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            raise StoreNotFoundError("the group is no longer there", where=where) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        except FileNotFoundError:
            os.close(descriptor)
            raise StoreNotFoundError("the group went away while its lock was waited for", where=where) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                _say_unlocked("this file system has none")
                return None
            raise
        os.close(descriptor)  # it was replaced while this process waited: lock what is there now


def _locked_byte(folder: str | Path, byte: int) -> int | None:
    """The array's document, one byte of it locked; None where there are no such locks, or no document that could be opened for writing."""
    if not hasattr(fcntl, "F_OFD_SETLKW"):
        _say_unlocked("this system has none" if fcntl is None else "this system has none for parts of files")
        return None
    while True:
        descriptor = _opened_document(folder)
        if descriptor is None:
            return None
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, _flock_struct(byte, fcntl.F_WRLCK))
            if _is_document(descriptor, folder):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                _say_unlocked("this file system has none")
                return None
            raise
        os.close(descriptor)


def _say_unlocked(why: str) -> None:
    """Say once in a process, of each kind of place, that its locks keep no other process out."""
    if why not in _said:
        _said.add(why)
        warn_caller(f"no locks between processes here: {why}. Let one process at a time write to an image; its threads are kept apart")


def _opened_document(folder: str | Path) -> int | None:
    for name in ("zarr.json", ".zarray"):
        try:
            return os.open(f"{folder}/{name}", os.O_RDWR)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return None  # chunks may be writable all the same
            raise
    return None


def _is_document(descriptor: int, folder: str | Path) -> bool:
    here = os.fstat(descriptor)
    for name in ("zarr.json", ".zarray"):
        try:
            return os.path.samestat(here, os.stat(f"{folder}/{name}"))
        except FileNotFoundError:
            continue
    return True  # the array is gone: the write will say so


def _flock_struct(byte: int, kind: int) -> bytes:
    """`struct flock` of a 64-bit Linux for a lock of one byte, or its end."""
    return struct.pack("hhqqixxxx", kind, os.SEEK_SET, byte, 1, 0)
