"""One table of the tables of many images. Knows: which image a row is from, columns that differ. Does not know: plates, pixels.

Tables of one form (the same columns, types and backend) are joined as they were read and become a frame in one step; what differs between
forms is brought to one type (`unify`). Images and their tables are not changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from omexp.containers.tables.collection import class_of, listed, made, read_as
from omexp.containers.tables.columns import cells
from omexp.containers.tables.roi_columns import IN_FILES, Units, in_other_units
from omexp.containers.tables.rois import GenericRoiTable, MaskingRoiTable
from omexp.containers.tables.stored import StoredTable
from omexp.containers.tables.table import GenericTable, Table
from omexp.containers.tables.unify import stacked
from omexp.errors import ArgumentError, NameNotFoundError, warn_caller
from omexp.storage.trees import read_tree

if TYPE_CHECKING:
    import pandas as pd

    from omexp.containers.container import OmeZarrContainer

__all__ = [
    "concatenate",
    "concatenate_async",
    "concatenate_image_tables",
    "concatenate_image_tables_as",
    "concatenate_image_tables_async",
    "list_image_tables",
]

T = TypeVar("T", bound=Table)
Images = Mapping[str, "OmeZarrContainer"]
Extras = Mapping[str, Mapping[str, Any]]
_SHOWN = 8


def concatenate(
    images: Images,
    name: str,
    *,
    table_type: type[Table] | None = None,
    lazy: bool = False,
    index_key: str | None = None,
    strict: bool = True,
    extras: Extras | None = None,
    max_workers: int | None = None,
) -> Table:
    """One table of the tables of that name of many images, with columns that say which image a row is from.

    Parameters
    ----------
    images
        Key -> image. A key such as "B/03/0" gives the columns row, column and path_in_well; any other key the column "image".
    name
        The table's name in each image.
    table_type
        The class of the result; None: that of the first table. A masking ROI table without `index_key` becomes a `GenericRoiTable`: the
        ids of different images are not unique.
    lazy
        Read now only which images have the table and what its attributes say; read the columns when they are first asked for.
    index_key
        The name of an index that is unique: the values of the extra columns and the row's own index (or its number), joined by "_", such as
        "B_03_0_17". The old index becomes a column. None: rows keep the index they have.
    strict
        True: an image without the table is an error. False: such images are named in one `OmexpWarning`, and their rows are not there.
    extras
        Key -> columns in place of those from the keys, such as ``{"B/03/0": {"plate": "p1", "acquisition": 1}}``.
    max_workers
        Threads that read; None: 1 on a local disk (reading small files is the work of Python itself), else 16.

    Returns
    -------
    Table
        Rows in the order of the images. A column that some tables lack is missing there, in a type that can be (int64 -> Int64); types
        that differ become one that holds every value.

    Raises
    ------
    NameNotFoundError
        An image (strict) or every image lacks the table.
    DTypeError
        No type holds the values of a column in all tables.
    StoredDataError
        A table is damaged.
    ArgumentError
        No image, extras that do not fit, or a table that cannot be of that class.
    """
    keys, columns = list(images), _extras(images, extras)
    workers = max_workers or (1 if all(image.group.local_path is not None for image in images.values()) else 16)
    there = _each(lambda key: name in listed(images[key].group), keys, workers)
    missing = [key for key, found in zip(keys, there, strict=True) if not found]
    present = [key for key, found in zip(keys, there, strict=True) if found]
    if missing and (strict or not present):
        where = f"{len(missing)} of {len(keys)} images" if len(keys) > 1 else missing[0]
        hint = "Pass strict=False to leave them out." if strict and present else "See list_tables()."
        raise NameNotFoundError(f"the images have no table {name!r}", where=where, got=_shown(missing), hint=hint)
    if missing:
        warn_caller(f"{len(missing)} of {len(keys)} images have no table {name!r}: {_shown(missing)}")

    def read(key: str, cls: type[Table] | None = None) -> StoredTable:
        return read_as(read_tree(images[key].group, f"tables/{name}"), cls)

    first = read(present[0], table_type)
    cls = _result_class(table_type or class_of(first.meta), index_key)
    regions = issubclass(cls, GenericRoiTable)
    meta = replace(first.meta, type=cls.table_type(), index_key=index_key or first.meta.index_key)
    meta = replace(meta, index_type="str" if index_key else first.meta.index_type)

    def make() -> Table:
        tables = [first, *_each(lambda key: read(key, table_type), present[1:], workers)]
        unsaid = [None if not regions or t.in_micrometers else images[key].tables.units for key, t in zip(present, tables, strict=True)]
        table = cls.from_dataframe(_joined(tables, present, columns, index_key, unsaid), meta)
        return table.with_units(*images[present[0]].tables.units) if isinstance(table, GenericRoiTable) else table

    return cls.deferred(make, cls.meta_for(meta)) if lazy else make()


async def concatenate_async(images: Images, name: str, **options: Any) -> Table:
    """`concatenate` in a thread of its own, so that an event loop goes on."""
    return await asyncio.to_thread(concatenate, images, name, **options)


def _joined(
    tables: Sequence[StoredTable], keys: Sequence[str], extras: Extras, index_key: str | None, units: Sequence[Units | None]
) -> pd.DataFrame:
    """All rows in the order of the images, with the columns of `extras` and the new index; regions from their units to micrometers."""
    import pandas as pd

    groups: dict[Any, list[int]] = {}
    for place, table in enumerate(tables):
        groups.setdefault((table.form, units[place]), []).append(place)
    frames = [
        in_other_units(made([tables[i] for i in places], GenericTable)._frame, unit or IN_FILES, IN_FILES)
        for (_, unit), places in groups.items()
    ]
    owner = np.concatenate([np.repeat(places, [len(tables[i]) for i in places]) for places in groups.values()])
    own_name = next((f.index.name for f in frames if f.index.name is not None), None)
    own = pd.concat([f.index.to_series() for f in frames]) if len(frames) > 1 else frames[0].index.to_series()
    whole = stacked(frames, [keys[places[0]] for places in groups.values()])
    counted = [isinstance(f.index, pd.RangeIndex) and f.index.name is None for f in frames]
    if len(groups) > 1:
        order = np.argsort(owner, kind="stable")
        whole, own, owner = whole.iloc[order].reset_index(drop=True), own.iloc[order], owner[order]
    values = {name: [extras[key].get(name) for key in keys] for name in dict.fromkeys(n for key in keys for n in extras[key])}
    added = {name: pd.Series(column).take(owner).reset_index(drop=True) for name, column in values.items()}
    clash = [name for name in added if name in whole.columns]
    whole = whole.drop(columns=clash).assign(**added)  # the tables may hold them already, as ngio's do
    if index_key is None:
        whole.index = pd.RangeIndex(len(whole)) if all(counted) else pd.Index(own.array, name=own_name)
        return whole
    if own_name is not None and own_name not in whole.columns:
        whole.insert(0, own_name, pd.Series(own.array))
    rows = _numbers(owner).tolist() if all(counted) else cells(own)
    prefixes = ["_".join(str(values[name][i]) for name in values) for i in range(len(keys))]
    whole.index = pd.Index(
        _unique([f"{prefixes[i]}_{row}" for i, row in zip(owner.tolist(), rows, strict=True)]),
        name=index_key,
        dtype=None if len(whole) else object,
    )
    return whole


def _numbers(owner: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal values."""
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]]) if owner.size else np.empty(0, int)
    return np.arange(owner.size) - np.repeat(starts, np.diff(np.r_[starts, owner.size]))


def _unique(names: list[str]) -> list[str]:
    """The names; one that is there already gets _2, _3, ..."""
    taken = set(names)
    if len(taken) == len(names):
        return names
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = count = seen.get(name, 0) + 1
        new = name
        while count > 1 and (new := f"{name}_{count}") in taken:
            count += 1
        seen[name] = max(count, 1)
        taken.add(new)
        found.append(new)
    return found


def _result_class(cls: type[Table], index_key: str | None) -> type[Table]:
    return GenericRoiTable if issubclass(cls, MaskingRoiTable) and index_key is None else cls


def _extras(images: Images, extras: Extras | None) -> Extras:
    if not images:
        raise ArgumentError("there are no images to take tables from", got="no image")
    if extras is None:
        parts = {key: str(key).split("/") for key in images}
        if all(len(p) == 3 for p in parts.values()):
            return {key: dict(zip(("row", "column", "path_in_well"), p, strict=True)) for key, p in parts.items()}
        return {key: {"image": str(key)} for key in images}
    lacking = [key for key in images if key not in extras]
    if lacking:
        raise ArgumentError("an image has no extras", where="extras", got=_shown(lacking), hint="Give each image its columns.")
    return extras


def _each(function: Callable[[str], Any], keys: Sequence[str], workers: int) -> list[Any]:
    if workers == 1 or len(keys) < 2:
        return [function(key) for key in keys]
    with ThreadPoolExecutor(min(workers, len(keys))) as pool:
        return list(pool.map(function, keys))


def _shown(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f", ... ({len(keys)} in all)" if len(keys) > _SHOWN else "")


# ------------------------------------------------------------------------------------------------------ ngio's names
def concatenate_image_tables(
    images: Sequence[OmeZarrContainer],
    extras: Sequence[Mapping[str, Any]],
    name: str,
    index_key: str | None = None,
    strict: bool = True,
    mode: Literal["eager", "lazy"] = "eager",
    max_workers: int | None = None,
) -> Table:
    """`concatenate` for images in a list, with the columns to add to each. "lazy" reads the columns when they are asked for.

    Raises
    ------
    ArgumentError
        Lists of different lengths or another mode; else as `concatenate`.
    """
    return concatenate_image_tables_as(images, extras, name, None, index_key, strict, mode, max_workers)


def concatenate_image_tables_as(
    images: Sequence[OmeZarrContainer],
    extras: Sequence[Mapping[str, Any]],
    name: str,
    table_cls: type[Table] | None,
    index_key: str | None = None,
    strict: bool = True,
    mode: Literal["eager", "lazy"] = "eager",
    max_workers: int | None = None,
) -> Table:
    """The same as a table of a class."""
    if len(images) != len(extras):
        raise ArgumentError("each image needs its extras", got=f"{len(images)} images, {len(extras)} extras")
    if mode not in ("eager", "lazy"):
        raise ArgumentError("mode is not understood", got=repr(mode), allowed="'eager', 'lazy'")
    keys = [f"{i} ({image.where})" for i, image in enumerate(images)]
    return concatenate(
        dict(zip(keys, images, strict=True)),
        name,
        table_type=table_cls,
        lazy=mode == "lazy",
        index_key=index_key,
        strict=strict,
        extras=dict(zip(keys, extras, strict=True)),
        max_workers=max_workers,
    )


async def concatenate_image_tables_async(
    images: Sequence[OmeZarrContainer], extras: Sequence[Mapping[str, Any]], name: str, **options: Any
) -> Table:
    """`concatenate_image_tables` in a thread of its own."""
    return await asyncio.to_thread(concatenate_image_tables, images, extras, name, **options)


def list_image_tables(
    images: Iterable[OmeZarrContainer],
    filter_types: str | None = None,
    mode: Literal["common", "all"] = "common",
    max_workers: int | None = None,
) -> list[str]:
    """The names of the tables that every image has ("common"), or that any has ("all"), in the order in which they come up.

    Raises
    ------
    ArgumentError
        No image, or another mode.
    """
    every = list(images)
    if not every or mode not in ("common", "all"):
        raise ArgumentError("these tables cannot be listed", got=f"{len(every)} images, mode {mode!r}", allowed="images; 'common' or 'all'")
    local = all(image.group.local_path is not None for image in every)
    numbers = [str(i) for i in range(len(every))]
    found = _each(lambda i: every[int(i)].tables.list(filter_types), numbers, max_workers or (1 if local else 16))
    names = list(dict.fromkeys(name for one in found for name in one))
    return names if mode == "all" else [name for name in names if all(name in one for one in found)]
