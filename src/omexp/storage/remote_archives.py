"""Zip files (.ozx, .zip) behind a URL, read in place. Knows: how one is opened, what its address says. Does not know: groups."""

from __future__ import annotations

import asyncio
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.zip import ZipFileSystem
from zarr.core.sync import sync
from zarr.storage import FsspecStore

from omexp.errors import StoredDataError, StoreNotFoundError
from omexp.storage.archives import root_of
from omexp.storage.remote import RemoteStore
from omexp.storage.retrying import failure_of, patiently, redacted

__all__ = ["RemoteArchive", "archive_of_url"]


class RemoteArchive(RemoteStore):
    """What is in a zip file behind a URL, as a read-only zarr store: its directory is read at once, entries by ranges."""

    def __init__(self, url: str, files: ZipFileSystem, prefix: str) -> None:
        super().__init__(FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), path=""), read_only=True, prefix=prefix)
        self.url = url

    def __str__(self) -> str:
        return redacted(self.url)

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    def with_read_only(self, read_only: bool = False) -> RemoteArchive:
        return self

    def above(self) -> None:
        """None: what lies around an archive is no part of it."""
        return None


def archive_of_url(url: str, options: Mapping[str, Any]) -> RemoteArchive:
    """The zip file behind a URL; `options` are fsspec's for that URL.

    Raises
    ------
    StoreNotFoundError
        Nothing is there.
    StoredDataError
        It is no zip file, or its directory is damaged.
    RemoteError
        The server cannot be reached, or refuses (`RemoteAccessError`).
    ImportError, ValueError, TypeError
        As fsspec says for protocols and options that it does not know.
    """
    where = redacted(url)
    fsspec.get_filesystem_class(url.partition("://")[0])  # a protocol that is not known has its own words

    async def opened() -> ZipFileSystem:
        try:
            return await asyncio.to_thread(ZipFileSystem, url, target_options=dict(options), skip_instance_cache=True)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise StoredDataError(f"the zip file cannot be read ({error})", where=where, hint="Check the address.") from None
        except FileNotFoundError as error:  # over HTTP fsspec says so of every failure; its cause tells
            failure, cause = failure_of(error), error.__cause__
            if failure is None or failure.status in (404, 410) or not isinstance(cause, Exception) or isinstance(cause, FileNotFoundError):
                raise StoreNotFoundError("there is no such file", where=where, hint="Check the URL.") from None
            raise cause from None

    files = sync(patiently(opened, where))
    return RemoteArchive(url, files, root_of(files.zip.namelist()))
