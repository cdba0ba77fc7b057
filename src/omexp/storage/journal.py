"""Journals of unfinished work. Knows: which tiles of arrays are on disk, whether another process is at it. Does not know: what tiles hold.

A journal is a file of JSON lines: what the work is, then one line for each tile that is on disk. It is there as long as the work is
unfinished, so a process that is killed leaves it, and the next one can go on. A line that was cut off in the middle counts for nothing.
The file is locked while a process is at it; the system lets go of the lock when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omexp.errors import AlreadyExistsError, StorageFullError
from omexp.geometry import Region
from omexp.storage.disks import permitted

try:
    import fcntl
except ImportError:  # Windows: two processes at one store are not told apart there
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "JOURNAL",
    "WAIT_S",
    "Journal",
    "abandoned",
    "is_busy",
    "is_unfinished",
    "journal_of",
    "marked",
    "scratch_of",
    "unfinished_beside",
]

JOURNAL = ".omexp-unfinished"  # of work inside a group
WAIT_S = 60.0  # for another process, where what it does is short
_MARK = re.compile(re.escape(JOURNAL) + r"\.[0-9a-f]{32}")
_TILE = re.compile(r"\[\d+, \[[\d, ]*\], \[[\d, ]*\]\]")
_PAUSES_S = (0.01,) * 5  # `is_busy` of another process holds a journal for a moment


class Journal:
    """The tiles of one piece of work. `locked` opens the file, `start` says what the work is, `close` lets go of it."""

    def __init__(self, path: Path, descriptor: int, *, where: str, exclusive: bool) -> None:
        self.path, self.where, self.exclusive = path, where, exclusive
        self.resumed = self.inherited = False  # inherited: an earlier run broke off, whatever its work was
        self._descriptor, self._done, self._guard = descriptor, frozenset[str](), threading.Lock()

    @classmethod
    def locked(cls, path: Path, where: str, wait_s: float = 0.0) -> Journal:
        """Lock the journal of the work on `where`; it is made if it is not there. Follow it by `start`. Another process that is at it is
        waited for so long.

        `exclusive` is False where the system has no locks: then nothing says that no other process is at it.

        Raises
        ------
        AlreadyExistsError
            Another process (or another thread of this one) is at it.
        ReadOnlyError, StorageFullError
            The file cannot be made.
        """
        pauses, until = iter(_PAUSES_S), time.monotonic() + wait_s
        while True:
            with permitted(where):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            held = _lock(descriptor, exclusive=True)
            if held is not False and _is_at(descriptor, path):
                return cls(path, descriptor, where=where, exclusive=bool(held))
            os.close(descriptor)
            if held is False and (pause := next(pauses, 0.05)) == 0.05 and time.monotonic() >= until:
                raise AlreadyExistsError("another process is writing here", where=where, hint="Wait until it has ended.")
            if held is False:
                time.sleep(pause)  # else: who had it has removed it meanwhile, so there is another file to lock

    def start(self, work: Mapping[str, Any], *, resume: bool) -> None:
        """Go on with what is there, where `resume` is set and it is the same work; else forget it. `work` must be JSON."""
        head = json.dumps(dict(work), sort_keys=True)
        lines, size = _lines(self.path)
        self.inherited, self.resumed = bool(lines), resume and lines[:1] == [head]
        with permitted(self.where):
            if self.resumed:
                self._done = frozenset(line for line in lines[1:] if _TILE.fullmatch(line))
                os.ftruncate(self._descriptor, size)  # what follows must not be joined to a line that was cut off
            else:
                os.ftruncate(self._descriptor, 0)
                self._write(head)

    def level(self, offset: int) -> _Levels:
        """The same journal for a build whose first level is level `offset` of the whole."""
        return _Levels(self, offset)

    def has(self, level: int, tile: Region) -> bool:
        """Whether the tile was on disk when this journal was opened."""
        return self.resumed and _line(level, tile) in self._done

    def add(self, level: int, tile: Region) -> None:
        """Say that a tile is on disk: one write, from any thread."""
        with permitted(self.where):
            self._write(_line(level, tile))

    def tiles(self, level: int) -> list[Region]:
        """The tiles of a level that were on disk when this journal was opened, in the order of their places."""
        entries = [json.loads(line) for line in self._done]
        return [Region(tuple(start), tuple(stop)) for number, start, stop in sorted(entries) if number == level]

    def close(self, *, finished: bool) -> None:
        """Let go of the lock; remove the file where the work is finished. Closing again does nothing."""
        with self._guard:  # a thread that is still at work must not write to another file of the same number
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor < 0:
                return
            if finished:
                self.path.unlink(missing_ok=True)  # before the lock ends: a waiting process sees that the file is another one
            if fcntl is not None and self.exclusive:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may hold the file, too
            os.close(descriptor)

    def _write(self, line: str) -> None:
        data = f"{line}\n".encode()
        with self._guard:
            if self._descriptor >= 0 and os.write(self._descriptor, data) < len(data):
                raise StorageFullError("there is no space left to write to", where=self.where, hint="Make room.")


class _Levels:
    """A journal whose level numbers are counted from another level."""

    def __init__(self, journal: Journal, offset: int) -> None:
        self._journal, self._offset = journal, offset

    @property
    def resumed(self) -> bool:
        return self._journal.resumed

    def has(self, level: int, tile: Region) -> bool:
        """See `Journal.has`."""
        return self._journal.has(level + self._offset, tile)

    def add(self, level: int, tile: Region) -> None:
        """See `Journal.add`."""
        self._journal.add(level + self._offset, tile)

    def tiles(self, level: int) -> list[Region]:
        """See `Journal.tiles`."""
        return self._journal.tiles(level + self._offset)


def is_busy(path: Path) -> bool:
    """Whether a process is at the journal at `path`; nothing is written, not even on a disk that could not be."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _lock(descriptor, exclusive=False) is False
    finally:
        os.close(descriptor)  # and with it the lock


def marked(folder: Path, where: str) -> Journal | None:
    """A file that says that what is written in a folder has consequences that are still to come; closed as finished when they have.

    Any number of processes and threads may have one each. It is locked from the moment that it has its name, so one that is not was left
    by a process that was killed. None where the system has no locks to tell the two by.
    """
    path = folder / f"{JOURNAL}.{uuid.uuid4().hex}"
    mark = Journal.locked(path.with_name(f"{path.name}.new"), where)
    if not mark.exclusive:
        mark.close(finished=True)
        return None
    os.rename(mark.path, path)
    mark.path = path
    return mark


def is_unfinished(folder: Path) -> bool:
    """Whether a folder's levels are unfinished, or a process is at them: a journal or a mark lies there."""
    return (folder / JOURNAL).is_file() or any(_MARK.fullmatch(name) for name in os.listdir(folder))


def abandoned(folder: Path) -> list[Path]:
    """The marks in a folder whose processes have ended without closing them as finished."""
    try:
        paths = [folder / name for name in os.listdir(folder) if _MARK.fullmatch(name)]
    except OSError:
        return []
    return [path for path in paths if not is_busy(path) and path.exists()]  # in this order: one that is closed goes before its lock does


def scratch_of(target: Path) -> Path:
    """The folder in which a target is built."""
    return target.with_name(f".{target.name}.partial")


def journal_of(target: Path) -> Path:
    """The journal of a target's building. It lies beside the folder, which takes the target's place while the journal is still locked."""
    return target.with_name(f".{target.name}.partial.journal")


def unfinished_beside(target: Path) -> Path | None:
    """The folder of a target's unfinished building, where ``resume=True`` goes on with it."""
    head = _lines(journal_of(target))[0][:1]
    try:
        folder = json.loads(head[0])["folder"] if head else None
        return scratch_of(target) if folder == scratch_of(target).stat().st_ino else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lines(path: Path) -> tuple[list[str], int]:
    """The lines that are whole, and how many bytes they take."""
    try:
        data = path.read_bytes()
    except OSError:
        return [], 0
    size = data.rfind(b"\n") + 1
    return data[:size].decode(errors="replace").split("\n")[:-1], size


def _line(level: int, tile: Region) -> str:
    return json.dumps([level, tile.start, tile.stop])


def _lock(descriptor: int, *, exclusive: bool) -> bool | None:
    """True: it is ours; False: another has it; None: there are no locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
