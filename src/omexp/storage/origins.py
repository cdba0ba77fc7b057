"""Where pixels come from. Knows: the stored arrays that an array or reader reads. Does not know: images, how to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zarr.storage import MemoryStore, StorePath

from omexp.storage.arrays import place_shown
from omexp.storage.locating import StoreLike, location

__all__ = ["origins", "reads_from"]

_LINKS = ("_omexp_source", "reader", "inner", "stored", "array", "zarr")  # from a dask array or reader to what it reads


def origins(array: Any) -> list[StorePath]:
    """The places of the stored arrays that an array or reader reads, as far as its links and its dask graph tell."""
    found: dict[str, StorePath] = {}
    waiting, seen = [array], set()
    while waiting:
        link = waiting.pop()
        if id(link) in seen or isinstance(link, str | bytes):
            continue
        seen.add(id(link))
        place = getattr(link, "store_path", None)  # of zarr arrays, and a path in those of zarrista's adapters (ngff-zarr)
        if isinstance(place, StorePath | str | Path):
            found[f"{id(getattr(place, 'store', None))}/{place}"] = location(place)
            continue
        if hasattr(link, "__dask_graph__"):
            waiting += _constants(link)
        waiting += [value for name in _LINKS if (value := getattr(link, "__dict__", {}).get(name)) is not None]
    return list(found.values())


def _constants(lazy: Any) -> Iterator[Any]:
    """What a dask graph holds beside its tasks: the arrays that `from_array` was given."""
    for layer in getattr(lazy.__dask_graph__(), "layers", {}).values():
        inputs = getattr(layer, "indices", None)  # of a Blockwise layer: (what, its axes), no axes for a constant
        values = [what for what, axes in inputs if axes is None] if inputs is not None else layer.values() if len(layer) == 1 else ()
        for value in values:
            yield getattr(value, "value", value)


def reads_from(array: Any, store: StoreLike) -> StorePath | None:
    """The place at, in or around `store` that an array reads, if there is one: writing to the store would change what is read."""
    target = _parts(location(store))
    for place in origins(array):
        if all(a == b for a, b in zip(_parts(place), target, strict=False)):  # one is the other, or lies in it
            return place
    return None


def _parts(place: StorePath) -> tuple[Any, ...]:
    """A place as names that tell whether it is, holds or lies in another one; of a local disk whichever class of store it is in."""
    if isinstance(place.store, MemoryStore):
        return (id(place.store._store_dict), *filter(None, place.path.split("/")))
    shown = place_shown(place)
    return tuple(shown.split("/")) if "://" in shown else Path(shown).resolve().parts
