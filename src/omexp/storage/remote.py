"""Stores behind a network. Knows: fsspec's file systems and obstore as one zarr store, what is missing and what is only refused. Does not
know: when a failure passes (retrying), groups, arrays.

Only what is really not there is missing (and reads as the fill value): a refusal, a failing server or a timeout is an error.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.buffer import cpu
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, ObjectStore

from omexp.errors import RemoteAccessError
from omexp.storage.retrying import ABSENT, ATTEMPTS, patiently, redacted

__all__ = ["RemoteStore", "as_remote", "fractal_fsspec_store", "remote_of_mapper", "remote_of_url"]

T = TypeVar("T")

_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
# They try again themselves; both together would send 5 x 5 x 5 requests to a server that is down
_RETRY_THEMSELVES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss"}
_WITHOUT_ANSWER_S = 30.0  # aiohttp waits 300 s for a whole answer, which cuts long downloads off and waits for dead servers
_CONNECTIONS = 32  # botocore has 10


class RemoteStore(Store):
    """A zarr store around zarr's `FsspecStore` or `ObjectStore`: errors of our tree, retries, one request to a read. HTTP is read-only.

    Parameters
    ----------
    inner
        The store that does the work.
    read_only
        Whether writing is refused; always over HTTP.
    prefix
        Of all keys: "" or a path that ends in "/".
    """

    supports_partial_writes = False  # zarr < 3.2 asks

    def __init__(self, inner: FsspecStore | ObjectStore[Any], *, read_only: bool = False, prefix: str = "") -> None:
        self.inner, self.prefix = inner, prefix
        self.protocols = _protocols(inner)
        self.is_http = bool(self.protocols & {"http", "https"})
        super().__init__(read_only=read_only or self.is_http)
        known = isinstance(inner, ObjectStore) or self.protocols & _RETRY_THEMSELVES
        self.attempts = 1 if known else ATTEMPTS
        self._told: dict[str, Any] = {}  # what the server told about itself; shared with the read-only view

    # ------------------------------------------------------------------------------------------------- what it is
    def __str__(self) -> str:
        root = str(self.inner) if isinstance(self.inner, ObjectStore) else str(self.inner.fs.unstrip_protocol(self.inner.path))
        return f"{redacted(root).rstrip('/')}/{self.prefix}".rstrip("/")

    def __repr__(self) -> str:
        return f"RemoteStore({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteStore) and all(getattr(self, n) == getattr(other, n) for n in ("inner", "prefix", "read_only"))

    def with_read_only(self, read_only: bool = False) -> RemoteStore:
        other = RemoteStore(self.inner, read_only=read_only, prefix=self.prefix)
        other._told = self._told
        return other

    def below(self, path: str) -> RemoteStore:
        """The store of what lies below a path."""
        return RemoteStore(self.inner, read_only=self.read_only, prefix=f"{self.prefix}{path}/")

    def above(self) -> RemoteStore | None:
        """The store around this one; None at the top, and over HTTP, where a folder above is rarely part of the same hierarchy."""
        outer = getattr(self.inner, "path", "").rstrip("/").rpartition("/")[0]
        if not outer or self.is_http or self.prefix or not isinstance(self.inner, FsspecStore):
            return None
        return RemoteStore(FsspecStore(self.inner.fs, path=outer, allowed_exceptions=self.inner.allowed_exceptions), read_only=True)

    @property
    def supports_writes(self) -> bool:
        return not self.is_http

    @property
    def supports_deletes(self) -> bool:
        return not self.is_http

    @property
    def supports_listing(self) -> bool:
        """Not over HTTP: some servers have pages of links, which are no listing."""
        return bool(self.inner.supports_listing) and not self.is_http

    # ---------------------------------------------------------------------------------------------------- reading
    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key, or a range of them; None where nothing is stored."""
        try:
            found = await self._patiently(lambda: self._got(key, prototype, byte_range), key)
        except RemoteAccessError as error:
            if error.status != 403 or not await self._is_hidden(key):
                raise
            return None
        if found is not None and key.endswith(_DOCUMENTS):
            self._told.setdefault("readable", key.rpartition("/")[0])
        return None if found is None else _cut(found, byte_range)

    async def _got(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None) -> Buffer | None:
        if byte_range is None and "s3" in self.protocols and isinstance(self.inner, FsspecStore):
            byte_range = OffsetByteRequest(0)  # s3fs asks for the size first, else: two requests
        try:
            return await self.inner.get(self.prefix + key, prototype, byte_range)
        except Exception as error:
            if byte_range is None or getattr(error, "status", None) != 416:  # a range of what is empty
                raise
            return prototype.buffer.from_bytes(b"")

    async def _is_hidden(self, key: str) -> bool:
        """Whether 403 means that a document is not there: the answer of S3 and its like to who may not list.

        So it is where a name that nobody has used is refused, too, in a folder of which another document can be read. Chunks are never
        judged so.
        """
        folder, _, name = key.rpartition("/")
        if name not in _DOCUMENTS:
            return False
        if "readable" not in self._told:
            await asyncio.gather(*[self._answers(f"{folder}/{other}".lstrip("/")) for other in _DOCUMENTS if other != name])
        if "readable" in self._told and "hides" not in self._told:
            self._told["hides"] = not await self._answers(f"{self._told['readable']}/{uuid.uuid4().hex}".lstrip("/"))
        return bool(self._told.get("hides"))

    async def _answers(self, key: str) -> bool:
        """Whether a key may be asked for; a document that is there is remembered."""
        try:
            found = await self._patiently(lambda: self._got(key, cpu.buffer_prototype, None), key)
        except RemoteAccessError:
            return False
        if found is not None and key.endswith(_DOCUMENTS):
            self._told.setdefault("readable", key.rpartition("/")[0])
        return True

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> Any:  # list[Buffer | None]; `list` is a method here
        """Several ranges, at the same time."""
        return list(await asyncio.gather(*[self.get(key, prototype, wanted) for key, wanted in key_ranges]))

    async def exists(self, key: str) -> bool:
        """Whether something is stored under a key. fsspec's own answer over HTTP takes a refusal and a failure for a no."""
        if isinstance(self.inner, ObjectStore):
            return await self._patiently(lambda: self.inner.exists(self.prefix + key), key)
        return await self.get(key, cpu.buffer_prototype, RangeByteRequest(0, 1)) is not None

    async def getsize(self, key: str) -> int:
        """The length of a key's bytes. Raises FileNotFoundError."""
        return await self._patiently(lambda: self.inner.getsize(self.prefix + key), key)

    # ---------------------------------------------------------------------------------------------------- writing
    async def set(self, key: str, value: Buffer) -> None:
        """Store bytes under a key."""
        self._check_writable()
        await self._patiently(lambda: self.inner.set(self.prefix + key, value), key)

    async def delete(self, key: str) -> None:
        """Remove a key; nothing happens if it is not there."""
        self._check_writable()
        await self._patiently(lambda: self._deleted(self.prefix + key), key)

    async def _deleted(self, key: str) -> None:
        if not isinstance(self.inner, FsspecStore):
            return await self.inner.delete(key)
        try:
            await self.inner.fs._rm_file(f"{self.inner.path}/{key}")  # one request; zarr asks first what lies there
        except ABSENT:
            return

    async def delete_dir(self, prefix: str) -> None:
        """Remove all keys below a prefix."""
        self._check_writable()
        self._forget_listings()
        await self._patiently(lambda: self.inner.delete_dir((self.prefix + prefix).rstrip("/")), prefix)

    # ---------------------------------------------------------------------------------------------------- listing
    async def list(self) -> AsyncIterator[str]:
        """All keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin with a prefix."""
        whole = self.prefix + prefix
        for key in await self._listed(lambda: self.inner.list_prefix(whole) if whole else self.inner.list(), prefix):
            yield key.removeprefix(self.prefix)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names directly below a prefix."""
        whole = (self.prefix + prefix).rstrip("/")
        for name in dict.fromkeys(name.strip("/") for name in await self._listed(lambda: self.inner.list_dir(whole), prefix)):
            if name and "/" not in name:
                yield name

    async def _listed(self, listing: Callable[[], AsyncIterator[str]], prefix: str) -> Sequence[str]:
        async def collected() -> Sequence[str]:
            return [name async for name in listing()]

        if not self.supports_listing:
            return ()
        self._forget_listings()
        try:
            return await self._patiently(collected, prefix)
        except ABSENT:
            return ()

    def _forget_listings(self) -> None:
        """File systems keep what they have listed, and do not see what others write meanwhile."""
        if isinstance(self.inner, FsspecStore):
            self.inner.fs.invalidate_cache()

    async def _patiently(self, call: Callable[[], Awaitable[T]], key: str) -> T:
        return await patiently(call, f"{self}/{key}".rstrip("/"), self.attempts)


def _cut(found: Buffer, byte_range: ByteRequest | None) -> Buffer:
    """What was asked for, where a server that knows no ranges sends all of it."""
    if isinstance(byte_range, RangeByteRequest) and len(found) > byte_range.end - byte_range.start:
        return found[byte_range.start : byte_range.end]
    if isinstance(byte_range, SuffixByteRequest) and len(found) > byte_range.suffix:
        return found[len(found) - byte_range.suffix :]
    return found


def _protocols(inner: FsspecStore | ObjectStore[Any]) -> set[str]:
    if isinstance(inner, ObjectStore):
        return {"http"} if type(inner.store).__name__ == "HTTPStore" else set()
    named = inner.fs.protocol
    return {named} if isinstance(named, str) else set(named)


def as_remote(store: Store) -> Store:
    """zarr's stores of fsspec and obstore as ours; every other store as it is."""
    return RemoteStore(store, read_only=store.read_only) if isinstance(store, (FsspecStore, ObjectStore)) else store


def remote_of_mapper(mapper: Any) -> RemoteStore:
    """The store of an fsspec mapper, whether its file system is synchronous or not."""
    return RemoteStore(FsspecStore(_asynchronous(mapper.fs), path=mapper.root, allowed_exceptions=tuple(mapper.missing_exceptions)))


def remote_of_url(url: str, options: Mapping[str, Any]) -> RemoteStore:
    """The store behind a URL. Raises ImportError and ValueError as fsspec does for protocols."""
    protocol = url.partition("://")[0]
    defaults: dict[str, Any] = {"config_kwargs": {"max_pool_connections": _CONNECTIONS}} if protocol in ("s3", "s3a") else {}
    fs, path = fsspec.core.url_to_fs(url, **({"asynchronous": True} | defaults | dict(options)))
    return RemoteStore(FsspecStore(_asynchronous(fs), path=path))


def _asynchronous(fs: Any) -> Any:
    """The same file system for zarr's event loop; over HTTP one that gives up when nothing comes."""
    if not fs.async_impl:
        return AsyncFileSystemWrapper(fs, asynchronous=True)
    options = {key: value for key, value in fs.storage_options.items() if key != "loop"}
    if "http" in fs.protocol and "timeout" not in (client := dict(options.get("client_kwargs") or {})):
        import aiohttp

        options["client_kwargs"] = client | {"timeout": aiohttp.ClientTimeout(sock_connect=_WITHOUT_ANSWER_S, sock_read=_WITHOUT_ANSWER_S)}
    elif fs.asynchronous:
        return fs
    return type(fs)(*fs.storage_args, **(options | {"asynchronous": True}))


def fractal_fsspec_store(url: str, fractal_token: str | None = None, client_kwargs: Mapping[str, Any] | None = None) -> Any:
    """An fsspec mapper for an OME-Zarr behind HTTP (Zarr format 2 or 3), for every function that opens one.

    Nothing is asked of the server here: a wrong token is a `RemoteAccessError` when the mapper is opened. No message shows the token.

    Parameters
    ----------
    url
        The group's URL.
    fractal_token
        Sent as a bearer token with each request.
    client_kwargs
        Passed on to the HTTP client (aiohttp), such as ``{"headers": {...}}``.

    Examples
    --------
    >>> store = fractal_fsspec_store("https://example.org/image.zarr/", fractal_token="secret")
    >>> store.root
    'https://example.org/image.zarr'
    """
    client = dict(client_kwargs or {})
    if fractal_token is not None:
        client["headers"] = dict(client.get("headers", {})) | {"Authorization": f"Bearer {fractal_token}"}
    over_http = url.startswith(("http://", "https://"))
    return fsspec.get_mapper(url.rstrip("/"), **({"client_kwargs": client} if over_http else {}))
