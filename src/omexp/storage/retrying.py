"""When a remote store fails. Knows: which failures pass, how long to wait, what to tell the user. Does not know: keys, bytes, stores.

Libraries below (aiohttp, botocore, obstore, ...) are told apart by the names of their errors and the HTTP status that these carry, so that
none of them has to be imported. Their errors are never chained to ours: they print addresses with signatures and headers with tokens.
"""

from __future__ import annotations

import asyncio
import errno
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from omexp.errors import OmexpError, RemoteAccessError, RemoteError, RemoteTimeoutError

__all__ = ["ABSENT", "ATTEMPTS", "patiently", "redacted"]

T = TypeVar("T")
sleep = asyncio.sleep

ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)  # what is not there; never retried, never another error
ATTEMPTS = 5
PAUSE_S = 0.2  # before the second attempt; doubled each time
LONGEST_S = 10.0
TOTAL_S = 60.0  # no attempt begins later than that after the first

_PASSING = (408, 429, 500, 502, 503, 504)
_RESET = (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT)
# Names of errors: of aiohttp, botocore and aiobotocore, requests and urllib3, httpx
_BROKEN_OFF = {
    "ChunkedEncodingError",
    "ClientPayloadError",
    "ConnectionClosedError",
    "HttpProcessingError",
    "IncompleteRead",
    "IncompleteReadError",
    "ProtocolError",
    "ReadError",
    "RemoteProtocolError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
}
_TIMED_OUT = {"TimeoutError", "ServerTimeoutError", "ReadTimeoutError", "ConnectTimeoutError", "ReadTimeout", "ConnectTimeout", "Timeout"}
_UNTRUSTED = {"ClientConnectorCertificateError", "ClientConnectorSSLError", "ClientSSLError", "SSLError", "SSLCertVerificationError"}
_NO_NAME = {"ClientConnectorDNSError", "gaierror", "NameResolutionError"}
_NO_CONNECTION = {
    "ClientConnectorError",
    "ClientConnectionError",
    "EndpointConnectionError",
    "ConnectionError",
    "ConnectError",
    "GenericError",
}
_NO_LOGIN = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "DefaultCredentialsError", "UnauthenticatedError"}
_LOGIN, _QUERY = re.compile(r"://[^/@]*@"), re.compile(r"[?#].*", re.DOTALL)
_STATUS = re.compile(r"status(?: code)?:? (\d{3})\b")


@dataclass(frozen=True)
class Failure:
    """What an error of a library below means: the words for it, whether it may pass, how long the server asks to wait."""

    kind: type[RemoteError]
    what: str
    hint: str
    status: int | None = None
    passing: bool = False
    wait_s: float = 0.0

    def error(self, where: str, attempts: int) -> RemoteError:
        """The error to raise after so many attempts."""
        tried = f", {attempts} times" if attempts > 1 else ""
        error = self.kind(f"{self.what}{tried}", where=where, hint=self.hint)
        error.status = self.status
        return error


async def patiently(call: Callable[[], Awaitable[T]], where: str, attempts: int = ATTEMPTS) -> T:
    """What `call` gives; it is called again, after growing pauses with jitter, while it fails in a way that may pass.

    Raises
    ------
    RemoteError
        It failed for good, or too often. What is not there (`ABSENT`) and errors that say nothing of a remote store are raised as they are.
    """
    begun, attempt = time.monotonic(), 0
    while True:
        attempt += 1
        try:
            return await call()
        except (*ABSENT, OmexpError):
            raise
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
        pause = max(min(PAUSE_S * 2 ** (attempt - 1), LONGEST_S) * random.uniform(0.5, 1.0), failure.wait_s)
        if not failure.passing or attempt >= attempts or time.monotonic() - begun + pause > TOTAL_S:
            raise failure.error(where, attempt)  # outside of the except: no context that would be printed, and with it a token
        await sleep(pause)


def failure_of(error: BaseException) -> Failure | None:
    """What the error of a library below means; None where it says nothing of a remote store."""
    chain = _chain(error)
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    numbers = {number for one in chain if (number := getattr(one, "errno", None)) is not None}
    if names & _BROKEN_OFF:  # before the status: aiohttp gives answers that are cut off one of its own, 400
        return Failure(RemoteError, "the connection broke off", "Try again later, or check the network.", passing=True)
    status = next((found for one in chain if (found := _status(one))), None)
    if status is not None:
        return _of_status(status, _retry_after(chain))
    if names & _NO_LOGIN:
        return Failure(RemoteAccessError, "no credentials were found", "Give some, or pass storage_options={'anon': True} for public data.")
    if "PermissionDeniedError" in names or (isinstance(error, PermissionError) and error.errno is None):
        return _of_status(403, 0.0)
    if names & _UNTRUSTED and not _reason(chain):
        return Failure(RemoteError, "no secure connection could be made", "Check whether the server speaks https at that port.")
    if names & _UNTRUSTED:
        return Failure(
            RemoteError,
            f"the server's certificate is not trusted{_reason(chain)}",
            "Check the address, or the certificates of this system.",
        )
    if names & _NO_NAME:
        return Failure(RemoteError, "no server of that name is known", "Check the address and the network.")
    if names & _TIMED_OUT:
        return Failure(RemoteTimeoutError, "the server did not answer in time", "Try again later, or check the network.", passing=True)
    if numbers & set(_RESET):
        return Failure(RemoteError, "the connection broke off", "Try again later, or check the network.", passing=True)
    if names & _NO_CONNECTION or numbers & {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}:
        refused = "the connection was refused" if errno.ECONNREFUSED in numbers else "the server cannot be reached"
        return Failure(RemoteError, refused, "Check the address and the port, and whether the server runs.")
    return None


def _of_status(status: int, wait_s: float) -> Failure:
    if status == 401:
        hint = "Pass a token (fractal_fsspec_store(url, fractal_token=...)) or credentials (storage_options)."
        return Failure(RemoteAccessError, "the server wants a valid login (401)", hint, 401)
    if status == 403:
        hint = "Check the token or the permissions; S3 without permission to list gives this answer for what is not there, too."
        return Failure(RemoteAccessError, "the server refuses access (403)", hint, 403)
    if status in (408, 504):
        return Failure(RemoteTimeoutError, f"the server did not answer in time ({status})", "Try again later.", status, True, wait_s)
    if status in (429, 503):
        return Failure(RemoteError, f"the server is busy ({status})", "Try again later.", status, True, wait_s)
    what = "failed" if status >= 500 else "did not understand the request"
    return Failure(
        RemoteError, f"the server {what} ({status})", "Try again later, or check the address.", status, status in _PASSING, wait_s
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An error, and what it was raised from."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and len(found) < 6:
        found.append(one)
        one = one.__cause__ or getattr(one, "os_error", None) or one.__context__
    return found


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error carries; 200 and such are none."""
    response = getattr(error, "response", None)  # botocore: a dict; requests, httpx: an object
    inside = (
        response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else getattr(response, "status_code", None)
    )
    for value in (inside, next((getattr(error, name) for name in ("status", "status_code", "code") if hasattr(error, name)), None)):
        if str(value).isdigit() and 400 <= int(str(value)) < 600:
            return int(str(value))
    found = _STATUS.search(str(error)) if type(error).__module__.startswith("obstore") else None
    return int(found[1]) if found else None


def _retry_after(chain: list[BaseException]) -> float:
    """How many seconds the server asks to wait: a number, or a date."""
    for error in chain:
        response: Any = getattr(error, "response", None)
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders") if isinstance(response, dict) else getattr(error, "headers", None)
        asked = next((str(v) for k, v in dict(headers or {}).items() if str(k).lower() == "retry-after"), "")
        if asked.isdigit():
            return float(asked)
        if asked:
            try:
                until = parsedate_to_datetime(asked)
            except ValueError:
                return 0.0
            return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0


def _reason(chain: list[BaseException]) -> str:
    """What the TLS library says is wrong with a certificate."""
    found = next((str(m) for one in chain if (m := getattr(one, "verify_message", None))), "")
    return f" ({found})" if found else ""


def redacted(url: str) -> str:
    """An address without what is secret in it: the login, and the query (signatures, tokens) of HTTP.

    Examples
    --------
    >>> redacted("https://me:secret@example.org/a.zarr?sig=abc")
    'https://example.org/a.zarr?...'
    """
    public = _LOGIN.sub("://", url, count=1)
    return _QUERY.sub("?...", public) if public.startswith(("http://", "https://")) else public
