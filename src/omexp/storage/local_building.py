"""Building a group on a local disk. Knows: a folder beside the target that takes its place in one step. Does not know: what is built.

The folder is `.NAME.partial`, with the journal beside it, so that a later run finds what an earlier one left; the journal's lock keeps all
others out until the target is in its place. A second process is refused, at once or after it has waited. Without locks the folder is
`.NAME.<random>.partial`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zarr.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

from omexp.errors import AlreadyExistsError, ArgumentError
from omexp.storage.archives import WRITTEN, ArchiveStore, is_archive, write_archive
from omexp.storage.disks import permitted
from omexp.storage.journal import JOURNAL, Journal, journal_of, scratch_of
from omexp.storage.places import is_free, taken_error
from omexp.storage.units import remove_cut_off

__all__ = ["exchange", "local_building"]

_REPLACED = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata", JOURNAL)  # documents of the group itself are never taken over


@contextmanager
def local_building(
    place: StorePath,
    overwrite: bool,
    kept: Callable[[str], bool] | None,
    last: Callable[[StorePath], None] | None,
    work: Mapping[str, Any] | None,
    resume: bool,
    wait_s: float,
) -> Iterator[tuple[StorePath, Journal | None]]:
    """A folder to build in; see `omexp.storage.swap.long_work`."""
    target = (Path(place.store.root) / place.path).resolve()  # type: ignore[attr-defined]  # a link stays, what it leads to is replaced
    made = [p for p in target.parents if not p.exists()]
    if not (below := target.parents[len(made)]).is_dir():
        raise AlreadyExistsError("a file stands where a folder is needed", where=target, got=str(below), hint="Choose another place.")
    try:
        scratch, journal = _begun(target, kept, work, resume, wait_s)
    except BaseException:
        _remove_empty(made)
        raise
    old, stays = target.with_name(f".{target.name}.old"), resume and work is not None
    try:
        _put_back(old, target)
        if not overwrite and not is_free(place):  # since it was looked at
            raise taken_error(place)
        yield StorePath(LocalStore(scratch)), journal if work is not None else None
        with permitted(str(target)):
            if kept is not None and target.is_dir():
                _take_over(target, scratch, kept)
            elif kept is not None and is_archive(target):
                _take_out(ArchiveStore(target), scratch, kept)
            if last is not None:
                last(StorePath(LocalStore(scratch)))
            if not overwrite and not is_free(place):
                raise taken_error(place)
            if target.suffix == WRITTEN:
                write_archive(scratch, target)
            elif not target.exists():
                _rename(scratch, target, place)
            elif not exchange(scratch, target):
                target.rename(old)
                _rename(scratch, target, place)
    except BaseException:
        _put_back(old, target)
        if not stays:
            _remove(scratch)
        if journal is not None:
            journal.close(finished=not stays)
        _remove_empty(made)
        raise
    try:
        for left in (scratch, old):
            _remove(left)
    finally:
        if journal is not None:
            journal.close(finished=True)


def _begun(
    target: Path, kept: Callable[[str], bool] | None, work: Mapping[str, Any] | None, resume: bool, wait_s: float
) -> tuple[Path, Journal | None]:
    """The folder, empty or as an earlier run of the same work left it, and its journal, locked."""
    with permitted(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        journal, scratch = Journal.locked(journal_of(target), str(target), wait_s), scratch_of(target)
        if not journal.exclusive:  # two processes would not notice that they build in one folder
            journal.close(finished=True)
            if resume:
                raise ArgumentError("this disk or system has no file locks, which resume needs", where=target, got="resume=True")
            return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial"), None
        try:
            scratch.mkdir(exist_ok=True)
            # the folder's number: once it has taken the target's place, what lies under its name is what was there before
            journal.start({**(work or {}), "folder": scratch.stat().st_ino} if work is not None else {}, resume=resume)
            for left in scratch.iterdir():
                if not journal.resumed or (kept is not None and left.name not in _REPLACED and kept(left.name)):
                    shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            if journal.resumed:
                remove_cut_off(scratch)
        except BaseException:
            if not journal.resumed:
                _remove(scratch)
            journal.close(finished=not journal.resumed)
            raise
    return scratch, journal


def _put_back(old: Path, target: Path) -> None:
    """Undo a replacement in two steps of which only the first was taken."""
    if old.exists() and not target.exists():
        old.rename(target)


def _remove(folder: Path) -> None:
    """Remove a folder, also where a thread that was left behind (TensorStore has some) still puts files into it for a moment."""
    for pause_s in (0.0, 0.01, 0.1, 0.3):
        time.sleep(pause_s)
        if folder.is_file():  # a replaced archive
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _remove_empty(made: Sequence[Path]) -> None:
    """Remove the parents that this run made, innermost first, where nothing lies in them."""
    for parent in made:
        if parent.exists() and not any(parent.iterdir()):
            parent.rmdir()


def _take_over(target: Path, scratch: Path, kept: Callable[[str], bool]) -> None:
    """Members of the old group that the new one keeps: hard links, so that nothing is copied and both are whole until the swap."""
    for entry in target.iterdir():
        if entry.name in _REPLACED or entry.name.startswith(JOURNAL) or not kept(entry.name) or (scratch / entry.name).exists():
            continue
        if entry.is_dir():
            shutil.copytree(entry, scratch / entry.name, symlinks=True, copy_function=_link)
        else:
            _link(str(entry), str(scratch / entry.name))


def _take_out(archive: ArchiveStore, scratch: Path, kept: Callable[[str], bool]) -> None:
    """The same for an archive, whose entries are copied."""
    for name in sync(_names(archive)):
        path = (scratch / name).resolve()
        if name in _REPLACED or not kept(name.partition("/")[0]) or path.exists() or not path.is_relative_to(scratch.resolve()):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        found = sync(archive.get(name, cpu.buffer_prototype))
        path.write_bytes(b"" if found is None else found.to_bytes())


async def _names(archive: ArchiveStore) -> list[str]:
    return [name async for name in archive.list()]


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target, follow_symlinks=False)
    return target


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
            raise taken_error(place) from None
        raise
