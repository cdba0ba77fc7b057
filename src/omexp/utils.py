"""Stores that users open by other libraries' helpers. Knows: HTTP mappers with a token. Does not know: OME-Zarr."""

from __future__ import annotations

from typing import Any

import fsspec

__all__ = ["fractal_fsspec_store"]


def fractal_fsspec_store(url: str, fractal_token: str | None = None, client_kwargs: dict[str, Any] | None = None) -> Any:
    """An fsspec mapper for an OME-Zarr behind HTTP, for `open_ome_zarr_container`.

    Parameters
    ----------
    url
        The group's URL; Zarr format 2 and 3.
    fractal_token
        Sent as a bearer token.
    client_kwargs
        Passed on to the HTTP client, such as ``{"headers": {...}}``.

    Examples
    --------
    >>> store = fractal_fsspec_store("https://example.org/image.zarr", fractal_token="secret")
    >>> store.root
    'https://example.org/image.zarr'
    """
    client = dict(client_kwargs or {})
    if fractal_token is not None:
        client["headers"] = dict(client.get("headers", {})) | {"Authorization": f"Bearer {fractal_token}"}
    protocol = url.split("://", 1)[0]
    return fsspec.get_mapper(url.rstrip("/"), **({"client_kwargs": client} if protocol in ("http", "https") else {}))
