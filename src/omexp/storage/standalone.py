"""A Zarr array that stands alone, in no image. Knows: how to find it, what it calls its axes. Does not know: images."""

from __future__ import annotations

from pathlib import Path

import zarr
from zarr.errors import BaseZarrError, NodeTypeValidationError
from zarr.storage import LocalStore

from omexp.errors import OmexpError, StoredDataError
from omexp.storage.arrays import StoredArray, place_shown
from omexp.storage.groups import DAMAGED
from omexp.storage.locating import StoreLike, location

__all__ = ["dimension_names", "find_array"]


def find_array(store: StoreLike) -> StoredArray | None:
    """The array (Zarr format 2 or 3) at a place itself, opened for reading; None where there is none. Raises `StoredDataError`."""
    if isinstance(store, zarr.Array):
        return StoredArray(store)
    place = location(store)
    if isinstance(place.store, LocalStore) and not Path(place.store.root).exists():
        return None  # zarr would make the folder
    try:
        return StoredArray(zarr.open_array(place, mode="r"))
    except OmexpError:
        raise
    except (FileNotFoundError, NotADirectoryError, NodeTypeValidationError, BaseZarrError):
        return None
    except DAMAGED as error:
        raise StoredDataError(f"the metadata cannot be used ({type(error).__name__}: {error})", where=place_shown(place)) from None


def dimension_names(stored: StoredArray) -> tuple[str, ...] | None:
    """What an array calls its axes: its dimension names (Zarr format 3), or xarray's attribute (Zarr format 2); None: nothing."""
    names = getattr(stored.zarr.metadata, "dimension_names", None) or stored.attributes.get("_ARRAY_DIMENSIONS")
    whole = isinstance(names, (list, tuple)) and len(names) == len(stored.shape) and all(isinstance(n, str) for n in names)
    return tuple(map(str, names)) if whole else None  # type: ignore[arg-type]
