"""What disks refuse, and folders that go at once. Knows: error numbers, renames. Does not know: what is written."""

from __future__ import annotations

import errno
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omexp.errors import OmexpError, ReadOnlyError, StorageFullError

__all__ = ["discard", "permitted"]

_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_TEXT = re.compile(r"os error (\d+)\)|os_error_code='(\d+)'")  # of zarrs and of TensorStore, which raise a RuntimeError and a ValueError
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows knows no quotas by this name


@contextmanager
def permitted(where: str) -> Iterator[None]:
    """Turn what a disk says into `ReadOnlyError` or `StorageFullError`; all else stays as it is."""
    try:
        yield
    except OmexpError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else _number_in(str(error))
        if number in _FORBIDDEN:
            raise ReadOnlyError(
                f"the store cannot be written ({error})", where=where, hint="Copy it to a place that can be written."
            ) from error
        if number in _FULL:
            raise StorageFullError(
                f"there is no space left to write to ({error})", where=where, hint="Make room, or write to another disk."
            ) from error
        raise


def _number_in(text: str) -> int | None:
    found = _IN_TEXT.search(text)
    return None if found is None else int(found[1] or found[2])


def discard(folder: Path) -> None:
    """Remove a folder: at once for all who look for its name, then what it holds. Nobody meets it half removed, and what takes its place
    meanwhile stays. A process killed in between leaves a hidden folder `.NAME.*.removed`."""
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.removed")
    folder.rename(hidden)
    if hidden.is_symlink():
        hidden.unlink()
    else:
        shutil.rmtree(hidden)
