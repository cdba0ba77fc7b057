"""A function over many images. Knows: threads, processes, failures, progress. Does not know: plates, what the function does."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from omexp.backend import Backend
from omexp.containers.container import OmeZarrContainer
from omexp.errors import ArgumentError, FailuresError
from omexp.progress import shown
from omexp.storage.groups import open_group
from omexp.storage.reading import default_workers

__all__ = ["map_images"]

Work = Callable[[str, OmeZarrContainer], Any]
MOST_SHOWN = 20


def map_images(
    function: Work,
    images: Mapping[str, OmeZarrContainer],
    *,
    where: str,
    workers: int | None = None,
    executor: str = "threads",
    progress: Any = None,
) -> dict[str, Any]:
    """`OmeZarrPlate.map`, for any images by name."""
    count = default_workers() if workers is None else workers
    if type(count) is not int or count < 1:
        raise ArgumentError("workers must be an int of at least 1", where="workers", got=repr(workers))
    if executor not in ("threads", "processes"):
        raise ArgumentError("there is no such executor", where="executor", got=repr(executor), allowed="'threads', 'processes'")
    if not callable(function):
        raise ArgumentError("this cannot be called", where="function", got=type(function).__name__, allowed="a function of (path, image)")
    calls = _in_threads(function, images) if executor == "threads" else _in_processes(function, images)
    results: dict[str, Any] = {}
    failures: dict[str, BaseException] = {}
    with shown(progress, where, "images") as show, _pool(executor, min(count, max(1, len(images)))) as pool:
        waiting: dict[Future[Any], str] = {pool.submit(*call): path for path, call in calls.items()}
        for done, future in enumerate(as_completed(waiting), 1):
            error = future.exception()
            if error is None:
                results[waiting[future]] = future.result()
            elif isinstance(error, Exception):
                failures[waiting[future]] = error
            else:
                raise error
            if show is not None:
                show(done, len(waiting))
    results = {path: results[path] for path in images if path in results}
    if failures:
        raise _error({path: failures[path] for path in images if path in failures}, results, where)
    return results


@contextmanager
def _pool(executor: str, workers: int) -> Iterator[Executor]:
    """A pool that drops what has not begun when the block breaks off. Processes are new ones: forked threads and devices hang."""
    pool: Executor
    if executor == "threads":
        pool = ThreadPoolExecutor(workers, thread_name_prefix="omexp-map")
    else:
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _in_threads(function: Work, images: Mapping[str, OmeZarrContainer]) -> dict[str, tuple[Any, ...]]:
    return {path: (_here, function, path, image) for path, image in images.items()}


def _here(function: Work, path: str, image: OmeZarrContainer) -> Any:
    with image.backend.active():  # a thread of its own would be on the first GPU
        return function(path, image)


def _in_processes(function: Work, images: Mapping[str, OmeZarrContainer]) -> dict[str, tuple[Any, ...]]:
    try:
        pickle.dumps(function)
    except Exception as error:  # whatever pickle says: AttributeError, TypeError, PicklingError
        raise ArgumentError(
            f"the function cannot be sent to another process ({error})",
            where="function",
            got=getattr(function, "__qualname__", repr(function)),
            hint="Define it at the top of a module, or use executor='threads'.",
        ) from error
    return {path: (_there, function, path, *_address(image)) for path, image in images.items()}


def _address(image: OmeZarrContainer) -> tuple[str, str, Backend]:
    """What another process needs to open an image."""
    if image.group.in_memory or (image.group.local_path is None and "://" not in image.where):
        raise ArgumentError("another process cannot open this store", where=image.where, hint="Use executor='threads'.")
    return image.where, "r" if image.group.read_only else "r+", image.backend


def _there(function: Work, path: str, where: str, mode: str, backend: Backend) -> Any:
    return _here(function, path, OmeZarrContainer(open_group(where, mode), backend, arrays=False))


def _error(failures: dict[str, BaseException], results: dict[str, Any], where: str) -> FailuresError:
    lines = [f"\n  {path}: {type(error).__name__}: {error}" for path, error in list(failures.items())[:MOST_SHOWN]]
    more = [f"\n  ... and {len(failures) - MOST_SHOWN} more"] if len(failures) > MOST_SHOWN else []
    made = FailuresError(
        f"{len(failures)} of {len(failures) + len(results)} images failed:{''.join(lines + more)}",
        where=where,
        failures=failures,
        results=results,
    )
    made.__cause__ = next(iter(failures.values()))
    return made
