"""Writing a blueprint. Knows: the order of writing: arrays, pixels, display windows, attributes last. Does not know: options."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omexp.backend import to_host
from omexp.containers.blueprint import Blueprint
from omexp.errors import AlreadyExistsError, MissingArrayError, NameNotFoundError, StoredDataError, StoreNotFoundError
from omexp.geometry import Region, Shape
from omexp.kernels.methods import Methods
from omexp.kernels.quantiles import display_range
from omexp.metadata.channels import ChannelsMeta, Window
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import method_metadata
from omexp.metadata.versions import decode_image, encode_image, kind_of, without_image, writable_version
from omexp.pyramid import Built, Progress, build, require_same
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group, open_group
from omexp.storage.journal import WAIT_S, Journal
from omexp.storage.layout import Layout, create_array
from omexp.storage.locating import StoreLike, location, place_name
from omexp.storage.reading import Reader, choose_reader, default_workers, worker_reader
from omexp.storage.swap import long_work
from omexp.storage.tensorstore_writing import through
from omexp.storage.workers import run_in_order

__all__ = ["How", "write_image", "write_levels"]

COMPARED = 8  # tiles of an unfinished image with a source that is not in memory
SAMPLE_PX = 1 << 22  # of a channel; an image of one level must not be sorted whole for its display window


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How an image is written: the method of its levels, threads, memory, who hears of progress, and what happens when it breaks off.

    percentiles: of the coarsest level, which become the channels' display windows. max_memory: bytes of pixels in flight. resume: go on
    with what an earlier run of the same work left. engine: "auto", or "tensorstore" where pixels shall be encoded and stored by
    TensorStore. attributes: further ones of the group; the image's own, and those that are kept, stand above them. consolidated: put a
    copy of the members' documents into the group's, unless the store would hold the group's twice then (a zip file).
    """

    method: Methods = Methods.MEAN
    percentiles: tuple[float, float] | None = None
    workers: int | None = None
    max_memory: int | None = None
    progress: Progress | None = None
    resume: bool = False
    engine: str = "auto"
    attributes: Mapping[str, Any] | None = None
    consolidated: bool = False


def write_image(
    store: StoreLike,
    blueprint: Blueprint,
    *,
    path: str = "",
    overwrite: bool = False,
    source: Reader | None = None,
    how: How = How(),
) -> Built | None:
    """Write a blueprint's image at `path` below `store`, its levels made from `source` if there is one. See `write_levels`."""
    return write_levels(store, blueprint, [source] + [None] * (len(blueprint.layouts) - 1), path=path, overwrite=overwrite, how=how)


def write_levels(
    store: StoreLike,
    blueprint: Blueprint,
    sources: Sequence[Reader | None],
    *,
    path: str = "",
    overwrite: bool | str = False,
    how: How = How(),
) -> Built | None:
    """Write a blueprint's image; the group takes its place when it is complete.

    Parameters
    ----------
    sources
        One per level: where its pixels come from; None: made from the level before it, by ``blueprint.factors``. All None: no pixels.
    overwrite
        True replaces all that is there; "keep" replaces an image, and keeps all other members and attributes of its group (labels, tables,
        files).

    Raises
    ------
    AlreadyExistsError
        Something is there and `overwrite` is False; or it would keep members of another Zarr format.
    """
    meta, built = blueprint.meta, None
    zarr_format = writable_version(meta.version).zarr_format
    before, kept = _kept(store, path, blueprint) if overwrite == "keep" else ({}, None)
    work = _work(blueprint, sources, how.method) if sources[0] is not None else None
    last = _consolidated if how.consolidated else None
    options: dict[str, Any] = {"kept": kept, "last": last, "work": work, "resume": how.resume}
    options["wait_s"] = WAIT_S if work is None else 0.0  # without pixels it takes no time
    with long_work(store, path, zarr_format=zarr_format, overwrite=bool(overwrite), **options) as (group, journal):
        datasets = meta.multiscale.datasets
        arrays = [_array(group, d.path, layout, meta, journal) for d, layout in zip(datasets, blueprint.layouts, strict=True)]
        if sources[0] is not None:
            built = _filled(arrays, sources, blueprint.factors, how, journal)
            if how.percentiles is not None and meta.channels_meta is not None:
                coarsest = choose_reader(arrays[-1], sources[0].backend)
                meta = replace(meta, channels_meta=_with_windows(meta, meta.channels_meta, coarsest, how.percentiles))
        name = meta.multiscale.name or place_name(store, path)
        multiscale = replace(meta.multiscale, name=name)
        others = len(sources) > 1 and None not in sources  # levels that were all given were made by others
        if multiscale.type is None and not others:
            multiscale = replace(multiscale, type=how.method.value, metadata=method_metadata(how.method.description))
        group.put_attributes({**(how.attributes or {}), **encode_image(replace(meta, multiscale=multiscale), before)})
    return built


def _consolidated(group: Group) -> None:
    if group.zarr.store.supports_deletes:
        group.consolidate()


def _array(group: Group, path: str, layout: Layout, meta: ImageMeta, journal: Journal | None) -> StoredArray:
    """A new array, or the one that an earlier run of the same work has made."""
    if journal is not None and journal.resumed:
        if above := path.rpartition("/")[0]:
            group.require_group(above)  # whose document may have been the one that was not written any more
        try:
            return group.array(path)
        except MissingArrayError:
            pass
    return create_array(group, path, layout, axes=meta.axes)


def _filled(
    arrays: Sequence[StoredArray], sources: Sequence[Reader | None], factors: Sequence[Shape], how: How, journal: Journal | None
) -> Built:
    """Fill the levels: each source's, and those that are made from it, in one walk."""
    starts = [k for k, source in enumerate(sources) if source is not None]
    done: list[Built] = []
    total = sum(math.prod(arrays[k].shape) * arrays[k].dtype.itemsize for k in starts)
    for begin, end in itertools.pairwise([*starts, len(arrays)]):
        source = sources[begin]
        assert source is not None
        marks = journal.level(begin) if journal is not None else None
        if marks is not None and marks.resumed:
            _require_same_pixels(arrays[begin], source, marks.tiles(0), how.workers)
        before = sum(math.prod(arrays[k].shape) * arrays[k].dtype.itemsize for k in starts if k < begin)
        levels = [through(array, how.engine) for array in arrays[begin:end]]
        done.append(
            build(
                levels,
                source,
                how.method,
                factors=factors[begin : end - 1],
                store_first=True,
                reopen=worker_reader,
                workers=how.workers,
                max_memory=how.max_memory,
                progress=None if how.progress is None else partial(_told, how.progress, before, total),
                marks=marks,
            )
        )
    sums = {field: sum(getattr(d, field) for d in done) for field in ("bytes_read", "bytes_written", "seconds")}
    return replace(done[0], **sums)


def _told(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(min(before + done, total), total)


def _require_same_pixels(array: StoredArray, source: Reader, tiles: Sequence[Region], workers: int | None) -> None:
    """Raise `ArgumentError` if finished tiles of an earlier run do not hold the source's pixels.

    All of them where the source is in memory; some, spread over the image, where it has to be computed or read. A source that has to be
    read in order is compared while it is.
    """
    if getattr(source, "in_order", False):
        return
    if getattr(source, "lazy", True):
        tiles = [*tiles[:: max(1, len(tiles) // COMPARED)], *tiles[-1:]]

    def compare(tile: Region) -> None:
        require_same(array, tile, source.read(tile))

    for _ in run_in_order(compare, tiles, workers or default_workers()):
        pass


def _work(blueprint: Blueprint, sources: Sequence[Reader | None], method: Methods) -> dict[str, Any]:
    """What is being made, as JSON: two runs with the same work can go on with each other's tiles."""
    layouts = [
        [str(part) for part in (o.shape, o.dtype, o.chunks, o.shards, o.compressors, o.fill_value, o.separator)] for o in blueprint.layouts
    ]
    given = [None if s is None else [list(s.shape), str(s.dtype)] for s in sources]
    return {"image": encode_image(blueprint.meta), "layouts": layouts, "sources": given, "method": method.value}


def _kept(store: StoreLike, path: str, blueprint: Blueprint) -> tuple[dict[str, Any], Callable[[str], bool] | None]:
    """(attributes that stay, which members stay) where an image is replaced and all else in its group is kept."""
    try:
        place = location(store)
        group = open_group(place / path if path else place)
    except StoreNotFoundError:
        return {}, None
    if kind_of(group.attributes) not in ("image", "label", None):
        raise AlreadyExistsError(
            f"a {kind_of(group.attributes)} is not replaced by an image",
            where=group.where,
            hint="Choose another place, or remove it yourself.",
        )
    try:
        before = list(decode_image(group.attributes, group.zarr_format, group.where)[0].paths)
    except (StoredDataError, NameNotFoundError):
        before = []
    replaced = {p.partition("/")[0] for p in (*before, *blueprint.meta.paths)} - {"labels", "tables"}
    version = writable_version(blueprint.meta.version)
    stay = sorted(set(group.members()) - replaced)
    if stay and version.zarr_format != group.zarr_format:
        raise AlreadyExistsError(
            f"members of Zarr format {group.zarr_format} cannot stay in an image of OME-Zarr {version.tag}",
            where=group.where,
            got=", ".join(stay),
            hint="Keep the version, choose another place, or replace everything (overwrite='all').",
        )
    return without_image(group.attributes), lambda name: name not in replaced


def _with_windows(meta: ImageMeta, channels: ChannelsMeta, coarsest: Reader, percentiles: tuple[float, float]) -> ChannelsMeta:
    position = meta.multiscale.axes.index("c")
    shown = []
    for i, channel in enumerate(channels.channels):
        pixels = coarsest.read(_sample(coarsest.shape, position, i))
        low, high = map(float, to_host(display_range(pixels, percentiles[0] / 100, percentiles[1] / 100)).tolist())
        end = high if high > low else low + 1.0  # equal ends make viewers divide by zero
        window = channel.window or Window(low, end, low, end)
        shown.append(replace(channel, window=Window(min(window.min, low), max(window.max, end), low, end)))
    return replace(channels, channels=tuple(shown))


def _sample(shape: Shape, position: int | None, channel: int) -> Region:
    """The box of one channel that its window is taken from: all of it, or its middle, halved along its longest axis until it is small."""
    sizes = [1 if axis == position else n for axis, n in enumerate(shape)]
    while math.prod(sizes) > SAMPLE_PX:
        longest = sizes.index(max(sizes))
        sizes[longest] = -(-sizes[longest] // 2)
    start = [channel if axis == position else (n - size) // 2 for axis, (n, size) in enumerate(zip(shape, sizes, strict=True))]
    return Region(tuple(start), tuple(a + size for a, size in zip(start, sizes, strict=True)))
