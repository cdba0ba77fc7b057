"""Documents of groups and arrays on a local disk, past zarr's event loop. Knows: where a format keeps them. Does not know: what they say.

zarr opens a group or an array in 0.5 to 1 ms, most of it the way into its event loop and back; the file itself takes 0.03 ms, and a plate
has thousands. Whatever is not as plain as usual is left to zarr, which has the right words for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import zarr
from zarr.core.array import AsyncArray
from zarr.core.group import AsyncGroup, GroupMetadata
from zarr.storage import LocalStore, StorePath

__all__ = ["LEFT_TO_ZARR", "LOCAL_THREADS", "THREADS", "plain_array", "plain_group", "read_all"]

T = TypeVar("T")

LEFT_TO_ZARR = object()
_KEYS = {"zarr_format", "node_type", "attributes", "consolidated_metadata"}
THREADS, LOCAL_THREADS = 32, 4  # what waits for a network does not need the CPUs; a file system may be one, too


def plain_group(place: StorePath, zarr_format: int | None) -> zarr.Group | object | None:
    """The group at a place of a local folder; None if nothing is there; LEFT_TO_ZARR where it takes more to say."""
    if type(place.store) is not LocalStore or zarr_format not in (2, 3):
        return LEFT_TO_ZARR
    folder = f"{place.store.root}/{place.path}" if place.path else str(place.store.root)
    try:
        found = _format_2(folder) if zarr_format == 2 else _format_3(folder)
    except (OSError, ValueError, RecursionError):
        return LEFT_TO_ZARR
    if not isinstance(found, dict):
        return found
    return zarr.Group(AsyncGroup(GroupMetadata(attributes=found, zarr_format=zarr_format), place))  # type: ignore[arg-type]


def plain_array(place: StorePath, zarr_format: int) -> zarr.Array[Any] | None:
    """The array at a place of a local folder; None where it takes zarr to say what is there."""
    if type(place.store) is not LocalStore or zarr_format not in (2, 3):
        return None
    folder = f"{place.store.root}/{place.path}"
    try:
        document = _json(f"{folder}/{'.zarray' if zarr_format == 2 else 'zarr.json'}")
        if not isinstance(document, dict) or document.get("zarr_format") != zarr_format:
            return None
        if zarr_format == 2:
            document["attributes"] = _json(f"{folder}/.zattrs") or {}
        elif document.get("node_type") != "array":
            return None
        return zarr.Array(AsyncArray(metadata=document, store_path=place))  # type: ignore[call-overload]
    except Exception:  # whatever it is: zarr comes upon it again, and says it in the words that are known
        return None


def _format_3(folder: str) -> dict[str, Any] | object | None:
    document = _json(f"{folder}/zarr.json")
    if document is None:
        return None
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        return LEFT_TO_ZARR
    attributes = document.get("attributes", {})
    plain = document.get("zarr_format") == 3 and document.get("node_type") == "group" and isinstance(attributes, dict)
    return attributes if plain else LEFT_TO_ZARR


def _format_2(folder: str) -> dict[str, Any] | object | None:
    document = _json(f"{folder}/.zgroup")
    if document is None:
        return None
    attributes = _json(f"{folder}/.zattrs")
    attributes = {} if attributes is None else attributes
    return attributes if document == {"zarr_format": 2} and isinstance(attributes, dict) else LEFT_TO_ZARR


def _json(path: str) -> Any:
    """A file's JSON; None where there is none."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


def read_all(read: Callable[[str], T], names: Iterable[str], threads: int) -> dict[str, T]:
    """`read(name)` of each name, in their order, by at most so many threads."""
    every = list(names)
    count = min(threads, len(every))
    if count <= 1:
        return {name: read(name) for name in every}

    def portion(start: int) -> list[T]:
        return [read(name) for name in every[start::count]]

    with ThreadPoolExecutor(count, thread_name_prefix="omexp-documents") as pool:
        portions = list(pool.map(portion, range(count)))
    return {name: portions[i % count][i // count] for i, name in enumerate(every)}
