"""Making coarser levels anew. Knows: which levels follow, how they were made, what was touched, what was left unfinished. Does not know:
pixels."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omexp.backend import DeviceLike
from omexp.containers.multiscale import level_array
from omexp.errors import ArgumentError, DTypeError, warn_caller
from omexp.geometry import Region, factors_between
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.multiscale import method_metadata
from omexp.metadata.versions import revise_multiscale
from omexp.pyramid import Built, Progress, affordable_workers, build, choose_backend, mostly_touched, planned, rebuild
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.storage.journal import JOURNAL, WAIT_S, Journal, abandoned, is_busy, marked
from omexp.storage.reading import worker_reader
from omexp.storage.units import remove_cut_off

if TYPE_CHECKING:
    from omexp.containers.level import Level

__all__ = ["Touched", "consolidate", "warn_if_unfinished"]

_METHOD_KEYS = ("description", "method", "version", "args", "kwargs")  # of `metadata`: what the specification's example says of a method


def consolidate(
    level: Level,
    method: Any,
    *,
    regions: Iterable[Region] | None,
    device: DeviceLike,
    workers: int | None,
    max_memory: int | None,
    resume: bool,
    progress: Progress | None,
) -> Built:
    """`Level.consolidate`, with regions in pixels of the level."""
    chosen = method_for(level, method)
    paths = level.meta.by_resolution
    paths = paths[paths.index(level.path) :]
    levels = [level.stored, *[level_array(level.group, level.meta, p) for p in paths[1:]]]
    _require_one_dtype(level, levels)
    steps = zip(itertools.pairwise(levels), level.meta.ratios(paths), strict=True)
    factors = [factors_between(a.shape, b.shape, ratios=r, where=level.where) for (a, b), r in steps]
    backend, reason = choose_backend(device, chosen, level.stored.nbytes)
    how: dict[str, Any] = {"factors": factors, "workers": workers, "max_memory": max_memory, "progress": progress, "reason": reason}
    if regions is not None and resume:
        raise ArgumentError("pass regions or resume, not both", where=level.where, hint="What was touched is rebuilt as a whole each time.")
    touched = None if regions is None else list(regions)
    if touched is not None and (_is_other(level, chosen) or mostly_touched(levels, touched, factors, chosen)):
        touched = None
    plan = None
    if touched is None:  # both may refuse, before anything is begun
        plan = planned(levels, chosen, factors=factors, store_first=False, workers=workers, max_memory=max_memory)
    else:
        affordable_workers(levels, factors, chosen, workers, max_memory)
    work: dict[str, Any] = {"levels": [[p, *s.shape] for p, s in zip(paths, levels, strict=True)], "method": chosen.kernel}
    if touched is not None:
        work["regions"] = len(touched)  # never gone on with: what was touched is not kept
    with _journal(level.group, work, paths, resume, wait=regions is not None, whole=paths == level.meta.by_resolution) as (
        journal,
        broken_off,
    ):
        if touched is not None and not broken_off:
            return rebuild(levels, touched, chosen, backend=backend, reopen=worker_reader, **how)
        source = worker_reader(level.stored, backend)
        built = build(levels, source, chosen, store_first=False, reopen=worker_reader, marks=journal, plan=plan, **how)
        _record_method(level, chosen)
    return built


def method_for(level: Level, method: Any) -> Methods:
    """The method that is meant: the given one; else that which the metadata says that the levels were made by; else the default."""
    if method is not None:
        return resolve_method(method)
    recorded = _recorded(level)
    return recorded if recorded is not None and level.takes(recorded) else resolve_method(level.default_method)


def _recorded(level: Level) -> Methods | None:
    try:
        return resolve_method(level.meta.multiscale.type)
    except ArgumentError:
        return None


def _is_other(level: Level, chosen: Methods) -> bool:
    """Whether the levels were made by another method: one level must not hold the pixels of two."""
    recorded = _recorded(level)
    return recorded is not None and recorded.kernel != chosen.kernel


def _require_one_dtype(level: Level, levels: Sequence[StoredArray]) -> None:
    for other in levels[1:]:
        if other.dtype != level.dtype:
            raise DTypeError(
                "the levels have different dtypes, so values would change",
                where=other.where,
                got=str(other.dtype),
                allowed=f"{level.dtype}, that of {level.where}",
                hint="Write such a level yourself, with set_array.",
            )


@contextmanager
def _journal(
    group: Group, work: Mapping[str, Any], paths: Sequence[str], resume: bool, *, wait: bool, whole: bool
) -> Iterator[tuple[Journal | None, bool]]:
    """On a local disk, a file that says that the levels are unfinished, for as long as they are; and whether they were already, so that
    more is wrong than what this process has touched."""
    folder = group.local_path
    if folder is None:
        if resume:
            raise ArgumentError("only work on a local disk can be gone on with", where=group.where, got="resume=True")
        yield None, False
        return
    if group.read_only:  # the first write says so
        yield None, False
        return
    journal = Journal.locked(folder / JOURNAL, group.where, WAIT_S if wait else 0.0)
    left = abandoned(folder) if whole else []  # by processes that were killed while they wrote, so nothing that was built is sure
    try:
        journal.start(work, resume=resume and not left)
        if journal.inherited:
            remove_cut_off(folder, below=False)
            for path in paths[1:]:
                remove_cut_off(folder / path)
        yield journal, journal.inherited or bool(left)
        for mark in left:
            mark.unlink(missing_ok=True)
    except BaseException:
        journal.close(finished=False)
        raise
    journal.close(finished=True)


def warn_if_unfinished(group: Group) -> None:
    """Issue an `OmexpWarning` where the coarser levels were left unfinished, or are being made by another process."""
    folder = group.local_path
    if folder is None or not ((folder / JOURNAL).is_file() or abandoned(folder)):
        return
    if is_busy(folder / JOURNAL):
        warn_caller(f"{group.where}: another process is making the coarser levels; they are a mixture of old and new until it has ended")
    else:
        warn_caller(
            f"{group.where}: the coarser levels are unfinished: making them broke off. "
            "image.consolidate(resume=True) goes on, image.consolidate() begins anew"
        )


def _record_method(level: Level, method: Methods) -> None:
    """Make `type` and `metadata` say how the levels were made."""
    multiscale = level.meta.multiscale
    if multiscale.type == method.value or (multiscale.type is None and len(level.meta.paths) < 2):
        return
    before = multiscale.metadata
    kept = {k: v for k, v in before.items() if k not in _METHOD_KEYS} if isinstance(before, Mapping) else {}
    how: dict[str, Any] = {"type": method.value, "metadata": kept | method_metadata(method.description)}
    level.revise(replace(level.meta, multiscale=replace(multiscale, **how)))
    group = level.group
    group.put_attributes(revise_multiscale(group.attributes, group.zarr_format, group.where, multiscale=multiscale.name, **how))


class Touched:
    """Regions of a level that were written inside a `track_writes` block, in pixels."""

    def __init__(self, group: Group) -> None:
        self.regions: list[Region] = []
        self.built: Built | None = None
        self._group, self._guard = group, threading.Lock()
        self._mark: Journal | None = None

    def add(self, region: Region) -> None:
        """Hear of a write that is about to happen. From the first one on the levels are marked as unfinished."""
        if not region.size:
            return
        with self._guard:
            folder = self._group.local_path
            if not self.regions and folder is not None and not self._group.read_only:
                self._mark = marked(folder, self._group.where)
            self.regions.append(region)

    def close(self, *, finished: bool) -> None:
        """Take the mark away, or leave it to whoever rebuilds the levels next."""
        if self._mark is not None:
            self._mark.close(finished=finished)

    def __repr__(self) -> str:
        return f"Touched({len(self.regions)} regions)"


def tracked(level: Level, listeners: list[Touched], rebuild_touched: Callable[[list[Region]], Built]) -> Iterator[Touched]:
    """The body of `Level.track_writes`: hear of writes, then rebuild what they touched, whether or not the block ended well.

    Every block hears of all writes, also those of other threads and of blocks inside it. Who is interrupted does not wait for the rebuild:
    the levels stay marked as unfinished, as they do where the process is killed.
    """
    touched = Touched(level.group)
    listeners.append(touched)
    try:
        yield touched
    except (KeyboardInterrupt, SystemExit):
        touched.close(finished=False)
        raise
    except BaseException:
        _stop(listeners, touched, rebuild_touched)
        raise
    else:
        _stop(listeners, touched, rebuild_touched)
    finally:
        listeners[:] = [other for other in listeners if other is not touched]


def _stop(listeners: list[Touched], touched: Touched, rebuild_touched: Callable[[list[Region]], Built]) -> None:
    listeners[:] = [other for other in listeners if other is not touched]
    try:
        if touched.regions:
            touched.built = rebuild_touched(touched.regions)
    except BaseException:
        touched.close(finished=False)
        raise
    touched.close(finished=True)
