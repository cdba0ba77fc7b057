"""Places for new groups. Knows: whether a place is free, what may be replaced. Does not know: how a group is built."""

from __future__ import annotations

from pathlib import Path

from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

from omexp.errors import AlreadyExistsError, ArgumentError, ReadOnlyError
from omexp.storage.archives import WRITTEN, ArchiveStore, is_archive
from omexp.storage.arrays import place_shown
from omexp.storage.groups import open_group
from omexp.storage.locating import ZIPPED, StoreLike, location

__all__ = ["DOCUMENTS", "is_free", "place_for", "require_zarr", "taken_error"]

DOCUMENTS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def require_zarr(place: StorePath) -> None:
    """Refuse to replace what is not a Zarr group or array: a mistyped path must not cost a folder of something else."""
    archive = isinstance(place.store, LocalStore) and _is_zarr_archive(Path(place.store.root) / place.path)
    if not archive and not any(sync((place / name).exists()) for name in DOCUMENTS):
        raise AlreadyExistsError(
            "what is there is no Zarr, so it is not replaced", where=place_shown(place), hint="Choose another place, or remove it yourself."
        )


def _is_zarr_archive(path: Path) -> bool:
    """Whether a file is what `write_archive` replaces: many files begin as zip files do."""
    return path.suffix == WRITTEN and is_archive(path) and sync(ArchiveStore(path).exists("zarr.json"))


def taken_error(place: StorePath) -> AlreadyExistsError:
    hint = "Pass overwrite=True to replace it." if place.store.supports_deletes else "This store cannot delete; write to a new one."
    return AlreadyExistsError("something is there already", where=place_shown(place), hint=hint)


def place_for(store: StoreLike, path: str) -> StorePath:
    """Where a new group will lie. Raises `ReadOnlyError`, and `ArgumentError` for a zip file that is no .ozx file."""
    place = location(store)
    if isinstance(place.store, ArchiveStore) and not place.path and not path:
        place = StorePath(LocalStore(place.store.path))  # it is replaced as a whole
    if isinstance(place.store, LocalStore) and str(place.store.root).endswith(ZIPPED) and (path or place.path):
        raise ReadOnlyError("an archive is written once, as a whole", where=place_shown(place), hint="Write a folder.")
    if isinstance(place.store, LocalStore) and not path and str(place.store.root).endswith(".zip"):
        raise ArgumentError("zip files are written as .ozx", where=place_shown(place), hint="Name it .ozx.")
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
            return False  # such as an archive
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
