"""Writing a blueprint. Knows: the order of writing: arrays, pixels, display windows, attributes last. Does not know: options."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from omexp.backend import to_host
from omexp.containers.blueprint import Blueprint
from omexp.geometry import Region, Shape
from omexp.kernels.quantiles import display_range
from omexp.metadata.channels import ChannelsMeta, Window
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import method_metadata
from omexp.metadata.versions import encode_image, writable_version
from omexp.pyramid import Built, build
from omexp.storage.groups import StoreLike, place_name
from omexp.storage.layout import create_array
from omexp.storage.reading import Reader, choose_reader
from omexp.storage.swap import new_group

__all__ = ["write_image"]

SAMPLE_PX = 1 << 22  # of a channel; an image of one level must not be sorted whole for its display window


def write_image(
    store: StoreLike,
    blueprint: Blueprint,
    *,
    path: str = "",
    overwrite: bool = False,
    source: Reader | None = None,
    method: str = "mean",
    percentiles: tuple[float, float] | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Built | None:
    """Write a blueprint's image at `path` below `store`, its levels filled from `source` if there is one.

    The group takes its place when it is complete. `percentiles` of the coarsest level become the channels' display windows.
    """
    meta, built = blueprint.meta, None
    with new_group(store, path, zarr_format=writable_version(meta.version).zarr_format, overwrite=overwrite) as group:
        datasets = meta.multiscale.datasets
        arrays = [create_array(group, d.path, layout, axes=meta.axes) for d, layout in zip(datasets, blueprint.layouts, strict=True)]
        if source is not None:
            built = build(
                arrays,
                source,
                method,
                factors=blueprint.factors,
                store_first=True,
                reopen=choose_reader,
                workers=workers,
                progress=progress,
            )
            if percentiles is not None and meta.channels_meta is not None:
                coarsest = choose_reader(arrays[-1], source.backend)
                meta = replace(meta, channels_meta=_with_windows(meta, meta.channels_meta, coarsest, percentiles))
        name = meta.multiscale.name or place_name(store, path)
        multiscale = replace(meta.multiscale, name=name, type=method, metadata=method_metadata(method))
        group.put_attributes(encode_image(replace(meta, multiscale=multiscale)))
    return built


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
