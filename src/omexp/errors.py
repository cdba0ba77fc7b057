"""The error tree. Knows: what an error must say. Does not know: anything else in the package.

    OmexpError
    |- ArgumentError            (ValueError)         the caller's argument cannot be used
    |  |- SelectionError        (IndexError)         an axis selection the array cannot give
    |  |- DTypeError            (TypeError)          a dtype whose values would not survive
    |  `- BackendMismatchError  (TypeError)          arrays of two libraries or two devices
    |- NotFoundError            (LookupError)        something was named that is not there
    |  |- StoreNotFoundError    (FileNotFoundError)  no Zarr at that path or URL
    |  `- NameNotFoundError     (KeyError)           no such level, label, table, channel, well, object
    |- AlreadyExistsError       (FileExistsError)    something is there and overwrite is not set
    |- ReadOnlyError            (PermissionError)    a write to a store opened or kept read-only
    |- StorageFullError         (OSError)            no space, or no quota, is left where something is written
    |- RemoteError              (OSError)            a remote store cannot be reached, or fails
    |  |- RemoteAccessError     (PermissionError)    it refuses: no login, a wrong one, no permission
    |  `- RemoteTimeoutError    (TimeoutError)       it does not answer in time
    |- StoredDataError          (ValueError)         what is on disk is wrong
    |  |- InvalidMetadataError                       an OME-Zarr document breaks the specification
    |  |- UnsupportedVersionError                    an OME-Zarr version this package does not know
    |  `- MissingArrayError     (FileNotFoundError)  metadata names an array that is not there
    |- FunctionError            (RuntimeError)       a function that the caller gave has failed
    |  `- FailuresError                              it has failed for some of many things; the others are done
    `- DeviceUnavailableError   (RuntimeError)       a device was asked for that cannot be used here

Every error is also the built-in in brackets, so ``except ValueError`` keeps working. Every message says what is wrong,
where, what was got, what is allowed and what to do next; the same parts are attributes of the error.
"""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = [
    "AlreadyExistsError",
    "ArgumentError",
    "BackendMismatchError",
    "DTypeError",
    "DeviceUnavailableError",
    "FailuresError",
    "FunctionError",
    "InvalidMetadataError",
    "MissingArrayError",
    "NameNotFoundError",
    "NotFoundError",
    "OmexpError",
    "OmexpWarning",
    "ReadOnlyError",
    "RemoteAccessError",
    "RemoteError",
    "RemoteTimeoutError",
    "SelectionError",
    "StorageFullError",
    "StoreNotFoundError",
    "StoredDataError",
    "UnsupportedVersionError",
]


class OmexpWarning(UserWarning):
    """Something in a store was tolerated; the message names the place."""


_strict: ContextVar[bool] = ContextVar("omexp_strict", default=False)


@contextmanager
def nothing_tolerated() -> Iterator[None]:
    """Inside the block, what would be tolerated with an `OmexpWarning` is an `InvalidMetadataError`."""
    token = _strict.set(True)
    try:
        yield
    finally:
        _strict.reset(token)


def warn_caller(message: str) -> None:
    """Issue an `OmexpWarning` that points at the line outside this package that led to it."""
    if _strict.get():
        raise InvalidMetadataError(message, hint="It is tolerated without strict=True; omexp.repair mends what has one meaning only.")
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("omexp", "contextlib"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, OmexpWarning, stacklevel=level)


class OmexpError(Exception):
    """Base of every error that omexp raises on purpose.

    Parameters
    ----------
    what
        What is wrong, as a sentence without its full stop.
    where
        The store, group, array or argument it concerns.
    got
        What was found or passed.
    allowed
        What would have been accepted.
    hint
        What to do next.
    """

    def __init__(self, what: str, *, where: Any = None, got: Any = None, allowed: Any = None, hint: str | None = None) -> None:
        self.what, self.where, self.got, self.allowed, self.hint = what, where, got, allowed, hint
        prefix = f"{where}: " if where is not None else ""
        parts = [f"{prefix}{what}"]
        if got is not None:
            parts.append(f"got {_shown(got)}")
        if allowed is not None:
            parts.append(f"allowed: {_shown(allowed)}")
        sentence = "; ".join(parts)
        self.message = f"{sentence}. {hint}" if hint else sentence
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would show the message quoted
        return self.message


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) > 12:
        first = ", ".join(map(repr, list(value)[:12]))
        return f"{first}, ... ({len(value)} in all)"
    return repr(value)


class ArgumentError(OmexpError, ValueError):
    """The caller's argument cannot be used."""


class SelectionError(ArgumentError, IndexError):
    """An axis selection that the array cannot give."""


class DTypeError(ArgumentError, TypeError):
    """A dtype whose values would not survive."""


class BackendMismatchError(ArgumentError, TypeError):
    """Arrays of two libraries or two devices."""


class NotFoundError(OmexpError, LookupError):
    """Something was named that is not there."""


class StoreNotFoundError(NotFoundError, FileNotFoundError):
    """No Zarr hierarchy at that path or URL."""


class NameNotFoundError(NotFoundError, KeyError):
    """No level, label, table, channel, well, image or object of that name."""


class AlreadyExistsError(OmexpError, FileExistsError):
    """Something is there already and ``overwrite`` is not set."""


class ReadOnlyError(OmexpError, PermissionError):
    """A write to a store that is read-only."""


class StorageFullError(OmexpError, OSError):
    """No space is left where something is written; ``errno`` is ENOSPC, as in any `OSError` that says so."""

    errno = errno.ENOSPC


class RemoteError(OmexpError, OSError):
    """A remote store cannot be reached, or fails; ``status`` is its HTTP status, where it gave one."""

    status: int | None = None


class RemoteAccessError(RemoteError, PermissionError):
    """A remote store refuses: no login, a wrong one, or no permission."""


class RemoteTimeoutError(RemoteError, TimeoutError):
    """A remote store does not answer in time."""


class StoredDataError(OmexpError, ValueError):
    """What is on disk is wrong."""


class InvalidMetadataError(StoredDataError):
    """An OME-Zarr document breaks the specification.

    ``problems`` holds one record per rule that is broken, each with its place.
    """

    problems: tuple[Any, ...] = ()


class UnsupportedVersionError(StoredDataError):
    """An OME-Zarr version that this package does not know."""


class MissingArrayError(StoredDataError, FileNotFoundError):
    """The metadata names an array that is not there."""


class FunctionError(OmexpError, RuntimeError):
    """A function that the caller gave has failed; its own error is the cause."""


class FailuresError(FunctionError):
    """A function that the caller gave has failed for some of many things, and was called for all of them.

    ``failures`` holds the exceptions by name, ``results`` what the function returned for the others. The first failure is the cause.
    """

    def __init__(self, *parts: Any, failures: Any = None, results: Any = None, **more: Any) -> None:
        super().__init__(*parts, **more)
        self.failures: dict[str, BaseException] = dict(failures or {})
        self.results: dict[str, Any] = dict(results or {})


class DeviceUnavailableError(OmexpError, RuntimeError):
    """A device was asked for that cannot be used on this machine."""
