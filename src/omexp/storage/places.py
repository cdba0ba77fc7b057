"""Places for new groups. Knows: whether a place is free, what may be replaced. Does not know: how a group is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

from omexp.errors import AlreadyExistsError, ArgumentError, ReadOnlyError
from omexp.storage.arrays import place_shown
from omexp.storage.groups import StoreLike, location, open_group

__all__ = ["DOCUMENTS", "ZIPPED", "as_store", "is_free", "place_for", "require_zarr", "taken_error"]

DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
ZIPPED = (".ozx", ".zip")


def require_zarr(place: StorePath) -> None:
    """Refuse to replace what is not a Zarr group or array: a mistyped path must not cost a folder of something else."""
    if not any(sync((place / name).exists()) for name in DOCUMENTS):
        raise AlreadyExistsError(
            "what is there is no Zarr, so it is not replaced", where=place_shown(place), hint="Choose another place, or remove it yourself."
        )


def taken_error(place: StorePath) -> AlreadyExistsError:
    hint = "Pass overwrite=True to replace it." if place.store.supports_deletes else "This store cannot delete; write to a new one."
    return AlreadyExistsError("something is there already", where=place_shown(place), hint=hint)


def as_store(store: StoreLike) -> Any:
    """What to open for a path, URL or store: local zip files (.ozx, .zip) are read in place."""
    text = str(store).removeprefix("file://")
    if isinstance(store, (str, Path)) and "://" not in text and text.endswith(ZIPPED) and Path(text).is_file():
        return fsspec.get_mapper(f"zip://::{Path(text).resolve().as_uri()}")
    return store


def place_for(store: StoreLike, path: str) -> StorePath:
    """Where a new group will lie. Raises `ReadOnlyError`, and `ArgumentError` for a path that would look like a zip file."""
    place = location(store)
    if isinstance(place.store, LocalStore) and not path and str(place.store.root / place.path).endswith(ZIPPED):
        raise ArgumentError("zip files cannot be written", where=place_shown(place), hint="Write a folder, then zip it.")
    if place.read_only:
        raise ReadOnlyError(
            "the store is read-only", where=place_shown(place), hint="Open it with mode='r+' from a place that can be written."
        )
    return place / path if path else place


def is_free(place: StorePath) -> bool:
    """Nothing there, or a group without attributes and members (what `get_image_store` makes)."""
    if isinstance(place.store, LocalStore):
        directory = Path(place.store.root) / place.path
        if not directory.exists():
            return True
        if not directory.is_dir():
            return False
        return {p.name for p in directory.iterdir()} <= set(DOCUMENTS) and not _has_attributes(place)
    keys = sync(_first_keys(place))
    return {k.removeprefix(place.path).strip("/") for k in keys} <= set(DOCUMENTS) and not _has_attributes(place)


def _has_attributes(place: StorePath) -> bool:
    try:
        return bool(open_group(place).attributes)
    except Exception:  # whatever it is, it is not an empty group
        return any(sync((place / name).exists()) for name in DOCUMENTS)


async def _first_keys(place: StorePath, most: int = 4) -> list[str]:
    keys: list[str] = []
    if not place.store.supports_listing:
        return keys
    async for key in place.store.list_prefix(f"{place.path}/" if place.path else ""):
        keys.append(key)
        if len(keys) >= most:
            break
    return keys
