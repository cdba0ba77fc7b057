"""Real servers on the loopback, for tests of remote stores. Knows: HTTP over a folder that can misbehave and counts, S3 by moto. Does not
know: Zarr.

>>> with http_server(folder, token="secret", fail={503: 2}) as server:      # doctest: +SKIP
...     omexp.open_ome_zarr_container(f"{server.url}/a.zarr", storage_options=...)
...     assert len(server.requests) < 20
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

__all__ = ["Request", "Served", "ServedS3", "http_server", "s3_server"]


@dataclass(frozen=True)
class Request:
    """One request: its path below the server's folder, its Range header, the status it got, the bytes it got."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int


@dataclass
class Served:
    """A running server: its address, and what it was asked for."""

    url: str
    requests: list[Request] = field(default_factory=list)
    at_once: int = 0  # the most requests that were under way at the same time
    misbehaving: bool = True  # False: as a good server, from now on

    def count(self, *, method: str = "GET", status: int | None = None, suffix: str = "") -> int:
        """Requests of that kind."""
        return sum(r.method == method and status in (None, r.status) and r.path.endswith(suffix) for r in self.requests)


def _wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and stop of what a Range header asks for; None for one that cannot be satisfied."""
    if not header:
        return 0, size
    first, _, last = header.removeprefix("bytes=").partition("-")
    start, stop = (int(first), min(int(last) + 1, size) if last else size) if first else (max(size - int(last), 0), size)
    return (start, stop) if start < stop else None


@contextlib.contextmanager
def http_server(
    folder: Path,
    *,
    delay_s: float = 0.0,
    token: str | None = None,
    ranges: bool = True,
    listing: bool = False,
    missing: int = 404,
    forbidden: Callable[[str], bool] = lambda path: False,
    fail: dict[int, int] | None = None,
    fail_where: Callable[[str], bool] = lambda path: True,
    drop: int = 0,
    cut: int = 0,
    retry_after: str | None = None,
) -> Iterator[Served]:
    """Serve a folder's files at ``.url``.

    Parameters
    ----------
    delay_s
        Seconds before each answer (of those paths that `fail_where` takes).
    token
        Without this bearer token: 401.
    ranges
        Whether Range headers count; without, all of a file is sent each time.
    listing
        Whether folders answer with a page of links; without, they are missing.
    missing
        The status of what is not there (403: S3 without permission to list).
    forbidden
        Paths that answer 403.
    fail
        {status: how often}: each path (of those that `fail_where` takes) answers this status so often before it answers well.
    drop, cut
        So often each path's connection is reset before an answer, or closed in the middle of one.
    retry_after
        The Retry-After header of failures.
    """
    root = folder.resolve()
    turns: Counter[tuple[str, str]] = Counter()
    guard, under_way = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _turn(self, kind: str, path: str, times: int) -> bool:
            """True for the first so many requests of a path."""
            with guard:
                turns[kind, path] += 1
                return served.misbehaving and fail_where(path) and turns[kind, path] <= times

        def _answer(self, *, body: bool) -> None:
            with guard:
                under_way[0] += 1
                served.at_once = max(served.at_once, under_way[0])
            try:
                if delay_s and fail_where(unquote(self.path)):
                    time.sleep(delay_s)
                self._respond(unquote(self.path), body)
            except ConnectionError:
                self.close_connection = True
            finally:
                with guard:
                    under_way[0] -= 1

        def _respond(self, path: str, body: bool) -> None:
            if self._turn("drop", path, drop):
                served.requests.append(Request(self.command, path, self.headers["Range"], 0, 0))
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a plain end
                self.close_connection = True
                self.connection.close()
                return
            for status, times in (fail or {}).items():
                if self._turn(f"status {status}", path, times):
                    return self._send(status, b"", body, {"Retry-After": retry_after} if retry_after else {})
            if token is not None and self.headers["Authorization"] != f"Bearer {token}":
                return self._send(401, b"", body, {"WWW-Authenticate": "Bearer"})
            if forbidden(path):
                return self._send(403, b"", body)
            target = (root / path.partition("?")[0].strip("/")).resolve()
            if target.is_dir() and listing:
                page = "".join(f'<a href="{p.name}{"/" * p.is_dir()}">{p.name}</a>' for p in sorted(target.iterdir()))
                return self._send(200, page.encode(), body, {"Content-Type": "text/html"})
            if not target.is_file() or not target.is_relative_to(root):
                return self._send(missing, b"", body)
            data = target.read_bytes()
            wanted = _wanted(self.headers["Range"] if ranges else None, len(data))
            if wanted is None:
                return self._send(416, b"", body)
            start, stop = wanted
            partial = ranges and self.headers["Range"] is not None
            headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"} if partial else {}
            self._send(206 if partial else 200, data[start:stop], body, headers)

        def _send(self, status: int, data: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
            served.requests.append(Request(self.command, unquote(self.path), self.headers["Range"], status, len(data)))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), "Content-Type": "application/octet-stream", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if not body:
                return
            if data and self._turn("cut", unquote(self.path), cut):
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Quiet: clients that hang up are part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class ServedS3:
    """A running S3 server: the storage_options that reach it, and the requests it got ("GET /bucket/a.zarr/zarr.json", ...)."""

    options: dict[str, Any]
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def s3_server() -> Iterator[ServedS3]:
    """An S3 server with an empty bucket "bucket". Skips where moto or s3fs is not installed."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    log = logging.getLogger("werkzeug")
    server.start()
    host, port = server.get_host_and_port()
    served = ServedS3({"key": "testing", "secret": "testing-secret", "endpoint_url": f"http://{host}:{port}"})
    told = logging.Handler()
    told.emit = lambda record: served.requests.append(
        re.sub(r"\x1b\[\d+m", "", record.getMessage().partition('"')[2]).partition(" HTTP")[0]
    )  # type: ignore[method-assign]
    level, log.propagate = log.level, False
    log.setLevel(logging.INFO)
    log.addHandler(told)
    try:
        s3fs.S3FileSystem(**served.options).mkdir("bucket")
        yield served
    finally:
        server.stop()
        log.removeHandler(told)
        log.setLevel(level)
        log.propagate = True
