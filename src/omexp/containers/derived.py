"""Blueprints of images and labels like another one. Knows: what is inherited, when levels are replanned. Does not know: pixels, files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omexp.containers.blueprint import (
    Blueprint,
    ImageOptions,
    LabelOptions,
    channels_of,
    layouts_of,
    plan_image,
    require_known,
    scale_of,
    sizes_of,
)
from omexp.errors import DTypeError, InvalidMetadataError
from omexp.geometry import factors_between
from omexp.metadata.axes import Axes
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import ImageLabel
from omexp.metadata.multiscale import Dataset, Multiscale
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.versions import writable_version
from omexp.storage.arrays import StoredArray
from omexp.storage.codecs import codecs_like
from omexp.storage.layout import holds_value, image_dtype

__all__ = ["plan_derived_image", "plan_derived_label"]

_UNITS = ("space_unit", "time_unit")
_REPLANS = ("xy_pixelsize", "pixelsize", "z_spacing", "time_spacing", "levels", "scaling_factors", "axes_names", *_UNITS)


def plan_derived_image(
    meta: ImageMeta, arrays: Sequence[StoredArray], shape: Sequence[int] | None, options: Mapping[str, Any]
) -> Blueprint:
    """An image like another one: everything that is not given is inherited; pixels are not copied.

    Without a shape, pixel size, unit, levels, factors or axes the new image has the same levels, level for level, each with its own chunks,
    shards and codec. Else its levels are planned anew from the finest one, whose layout they all take. A shape with fewer entries than
    axes leaves out the leading axes, which keep their size; with other axes than the reference's, the shape needs all of them, and
    chunks, shards and factors are not inherited. A layout option that is given stands for all levels. New chunks keep the number of
    chunks per shard. Another version keeps the codec where its Zarr format has it, and else takes the default; Zarr format 2 has no shards.
    A fill value that a new dtype does not hold becomes 0.
    """
    require_known(options, ImageOptions, "derive_image")
    stored = _finest_first(meta, arrays)
    finest = stored[0]
    if shape is None and not any(key in options for key in _REPLANS):
        return _copied(meta, stored, range(len(meta.axes)), _by_level([_layout_like(a, meta, options) for a in stored]) | dict(options))
    axes = meta.multiscale.axes
    if not {"y", "x"} <= set(axes.canonical):
        raise InvalidMetadataError("an image has axes y and x", where=meta.name or "axes", got=", ".join(axes.names))
    names = [letter for name in axes.names for letter, own in axes.canonical.items() if own == name]
    given = options.get("axes_names", names)
    same_axes = isinstance(given, Iterable) and list(given) == names
    shape = finest.shape if shape is None else sizes_of(shape)
    if same_axes:
        shape = finest.shape[: max(0, len(names) - len(shape))] + shape
    scale = scale_of(axes, options, meta.multiscale.datasets[meta.paths.index(meta.finest)].transform.scale)
    sizes = dict(zip(axes.names, scale, strict=True))
    inherited = _layout_like(finest, meta, options)
    if not same_axes:
        inherited = {key: value for key, value in inherited.items() if key not in ("chunks", "chunks_per_shard")}
    elif "scaling_factors" not in options and len(stored) > 1:
        ratios = meta.ratios(meta.by_resolution[:2])[0]
        inherited["scaling_factors"] = factors_between(finest.shape, stored[1].shape, ratios=ratios, where="derive_image")
    planned: dict[str, Any] = {
        "axes_names": names,
        "pixelsize": (sizes[axes.canonical["y"]], sizes[axes.canonical["x"]]),
        "space_unit": meta.space_unit,
        "time_unit": meta.time_unit,
        "levels": meta.levels,
        "dtype": finest.dtype,
        "ngff_version": meta.version,
    }
    planned |= {key: sizes[axes.canonical[a]] for key, a in (("z_spacing", "z"), ("time_spacing", "t")) if a in axes.canonical}
    plain = {k: v for k, v in options.items() if k not in ("xy_pixelsize", "pixelsize")}
    if same_axes and "axes_names" not in options and not any(unit in options for unit in _UNITS) and len(shape) == len(axes):
        origin = meta.multiscale.datasets[meta.paths.index(meta.finest)].transform.translation
        blueprint = plan_image(shape, planned | inherited | plain, axes=axes, origin=origin)
    else:
        blueprint = plan_image(shape, planned | inherited | plain)
    return replace(blueprint, meta=_with_channels_of(meta, blueprint.meta, options, same_dtype=finest.dtype == blueprint.layouts[0].dtype))


def plan_derived_label(meta: ImageMeta, arrays: Sequence[StoredArray], name: str, options: Mapping[str, Any]) -> Blueprint:
    """A label over the axes of an image without c, level for level, with the chunks of each; no shards, and filled with 0, unless told."""
    require_known(options, LabelOptions, "derive_label")
    position = meta.multiscale.axes.index("c")
    kept = [i for i in range(len(meta.axes)) if i != position]
    stored = _finest_first(meta, arrays)
    inherited = {"chunks": {k: tuple(a.chunks[i] for i in kept) for k, a in enumerate(stored)}}
    plain = {"dtype": "uint32", "dimension_separator": stored[0].separator}
    blueprint = _copied(meta, stored, kept, inherited | plain | dict(options))
    dtype = blueprint.layouts[0].dtype
    if dtype.kind not in "biu":  # 0.5 allows integers only; bool is read and written, too
        raise DTypeError("a label holds integers", where=f"label {name!r}", got=dtype.name, allowed="integers and bool")
    multiscale = replace(blueprint.meta.multiscale, name=name)
    return replace(blueprint, meta=replace(blueprint.meta, multiscale=multiscale, channels_meta=None, image_label=ImageLabel()))


# ------------------------------------------------------------------------------------------------------------ parts
def _finest_first(meta: ImageMeta, arrays: Sequence[StoredArray]) -> list[StoredArray]:
    return [arrays[meta.paths.index(path)] for path in meta.by_resolution]


def _copied(meta: ImageMeta, stored: Sequence[StoredArray], kept: Sequence[int], options: Mapping[str, Any]) -> Blueprint:
    """The same levels over the kept axes."""
    axes = Axes(tuple(meta.multiscale.axes.items[i] for i in kept))
    version = writable_version(options.get("ngff_version", meta.version))
    datasets = []
    for path in meta.by_resolution:
        transform = meta.multiscale.datasets[meta.paths.index(path)].transform
        scale, translation = (tuple(values[i] for i in kept) for values in (transform.scale, transform.translation))
        datasets.append(Dataset(path, ScaleTranslation(scale, translation)))
    shapes = [tuple(array.shape[i] for i in kept) for array in stored]
    layouts = layouts_of(shapes, options.get("dtype", stored[0].dtype), axes, version.zarr_format, options)
    multiscale = Multiscale(axes, tuple(datasets), options.get("name"))
    new = ImageMeta(version.tag, multiscale, channels_of(axes, layouts[0], options))
    return Blueprint(_with_channels_of(meta, new, options, same_dtype=layouts[0].dtype == stored[0].dtype), layouts, ())


def _layout_like(array: StoredArray, meta: ImageMeta, options: Mapping[str, Any]) -> dict[str, Any]:
    """`LayoutOptions` that lay a level out like a stored one, as far as the new dtype and version have it and no other option forbids."""
    zarr_format = writable_version(options.get("ngff_version", meta.version)).zarr_format
    dtype = image_dtype(options.get("dtype", array.dtype))
    like: dict[str, Any] = {
        "chunks": array.chunks,
        "compressors": codecs_like(array.compressors, zarr_format, dtype),
        "dimension_separator": array.separator,
        "fill_value": array.fill_value if holds_value(dtype, array.fill_value) else 0,
    }
    if array.shards and zarr_format == 3 and "shards" not in options:
        like["chunks_per_shard"] = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
    return like


def _by_level(layouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layouts of all levels as one: what may differ from level to level by level number, the rest of the finest."""
    levels = {
        key: {k: one[key] for k, one in enumerate(layouts) if key in one}
        for key in ("chunks", "chunks_per_shard", "compressors")
        if any(key in one for one in layouts)
    }
    return dict(layouts[0]) | levels


def _with_channels_of(meta: ImageMeta, new: ImageMeta, options: Mapping[str, Any], *, same_dtype: bool) -> ImageMeta:
    """The reference's channels, where their number is the same and none are given; display windows belong to a dtype."""
    given = any(key in options for key in ("channel_labels", "channel_wavelengths", "channel_colors"))
    if given or meta.channels_meta is None or new.channels_meta is None or len(meta.channels_meta) != len(new.channels_meta):
        return new
    windows = meta.channels_meta if same_dtype else new.channels_meta
    channels = tuple(replace(c, window=w.window) for c, w in zip(meta.channels_meta.channels, windows.channels, strict=True))
    return replace(new, channels_meta=replace(meta.channels_meta, channels=channels))
