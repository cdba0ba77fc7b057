"""Blueprints of new images and labels. Knows: options, axes, levels, layouts, what a derived image inherits. Does not know: pixels, files.

Everything that can be refused is refused here, before anything is on disk.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, TypedDict

from omexp.errors import ArgumentError, DTypeError
from omexp.geometry import Shape, factors_between
from omexp.metadata.axes import Axes, default_axes
from omexp.metadata.channels import ChannelsMeta, default_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import ImageLabel
from omexp.metadata.multiscale import Dataset, Multiscale
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.versions import DEFAULT_VERSION, writable_version
from omexp.pyramid import plan_levels
from omexp.storage.arrays import StoredArray
from omexp.storage.layout import Layout, plan_layout
from omexp.world import is_positive

__all__ = ["Blueprint", "ImageOptions", "LabelOptions", "plan_derived_image", "plan_derived_label", "plan_image"]


class LayoutOptions(TypedDict, total=False):
    """How arrays lie on disk; see `omexp.storage.layout.plan_layout`.

    chunks: "auto", one int, or one int per axis. shards: None or one int per axis. compressors: "auto", None, a name or codecs.
    dimension_separator: "/" or ".".
    """

    chunks: Any
    shards: Any
    compressors: Any
    dimension_separator: str


class LabelOptions(LayoutOptions, total=False):
    """Options of a new label: layout and dtype (default uint32)."""

    dtype: Any


class ImageOptions(LayoutOptions, total=False):
    """Options of a new image.

    xy_pixelsize, pixelsize: the pixel size in `space_unit` along y and x (one of the two; `pixelsize` may be (y, x)).
    z_spacing, time_spacing: along z (in `space_unit`) and t (in `time_unit`).
    levels: at most so many; fewer where a level would equal the one before.
    scaling_factors: "auto" (2 along y and x), one int per axis, or axis -> int.
    axes_names: from t, c, z, y, x in the order of the array; default: the last ones, so that 3 axes are z, y, x.
    space_unit, time_unit: default micrometer and second.
    channel_labels, channel_wavelengths, channel_colors: one entry per channel.
    name: the image's name in its metadata; default: the store's name.
    dtype: bool, integer or float.
    ngff_version: "0.4" (Zarr format 2) or "0.5" (Zarr format 3).
    """

    xy_pixelsize: float
    pixelsize: float | tuple[float, float]
    z_spacing: float
    time_spacing: float
    levels: int
    scaling_factors: Any
    axes_names: Sequence[str]
    space_unit: str | None
    time_unit: str | None
    channel_labels: Sequence[str]
    channel_wavelengths: Sequence[str]
    channel_colors: Sequence[str]
    name: str
    dtype: Any
    ngff_version: str


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A new image or label: its metadata, a layout per level, and the window that leads from each level to the next.

    A copy of another image's levels has no windows: nothing is reduced, and the levels need not be a pyramid of whole windows.
    """

    meta: ImageMeta
    layouts: tuple[Layout, ...]
    factors: tuple[Shape, ...]


def plan_image(
    shape: Sequence[int], options: Mapping[str, Any], *, axes: Axes | None = None, origin: Sequence[float] | None = None
) -> Blueprint:
    """The blueprint of an image from the shape of its finest level and `ImageOptions`. Raises `ArgumentError`, `DTypeError`.

    `axes` stand in for the options on axes; `origin` is the translation of the finest level, 0 unless told.
    """
    require_known(options, ImageOptions, "new image")
    shape = _sizes(shape)
    if axes is None:
        units = {"space_unit": options.get("space_unit", "micrometer"), "time_unit": options.get("time_unit", "second")}
        axes = default_axes(len(shape), options.get("axes_names"), **units)
    if options.get("xy_pixelsize") is None and options.get("pixelsize") is None:
        raise ArgumentError("the pixel size is missing", where="new image", hint="Pass xy_pixelsize=0.325, say, in micrometers.")
    scale = _scale(axes, options, (1.0,) * len(axes))
    version = writable_version(options.get("ngff_version", DEFAULT_VERSION))
    dtype = options.get("dtype", "uint16")
    factors = _factors(options.get("scaling_factors", "auto"), axes)
    shapes = plan_levels(shape, factors, options.get("levels", 5))
    transforms = [ScaleTranslation(scale, tuple(origin or (0.0,) * len(shape)))]
    for _ in shapes[1:]:
        transforms.append(transforms[-1].reduced(factors))
    datasets = tuple(Dataset(str(i), t) for i, t in enumerate(transforms))
    layouts = tuple(plan_layout(s, dtype, axes.names, zarr_format=version.zarr_format, **_layout(options)) for s in shapes)
    channels = _channels(axes, shapes[0], layouts[0], options)
    return Blueprint(
        ImageMeta(version.tag, Multiscale(axes, datasets, options.get("name")), channels), layouts, (factors,) * (len(shapes) - 1)
    )


_UNITS = ("space_unit", "time_unit")
_REPLANS = ("xy_pixelsize", "pixelsize", "z_spacing", "time_spacing", "levels", "scaling_factors", "axes_names", *_UNITS)


def plan_derived_image(
    meta: ImageMeta, arrays: Sequence[StoredArray], shape: Sequence[int] | None, options: Mapping[str, Any]
) -> Blueprint:
    """An image like another one: everything that is not given is inherited; pixels are not copied.

    Without a shape, pixel size, unit, levels, factors or axes the new image has the same levels, level for level. Else its levels are
    planned anew from the finest one. A shape with fewer entries than axes leaves out the leading axes, which keep their size; with other
    axes than the reference's, the shape needs all of them, and chunks, shards and factors are not inherited.
    """
    require_known(options, ImageOptions, "derive_image")
    finest = arrays[meta.paths.index(meta.finest)]
    inherited = _inherited_layout(meta, finest, options)
    if shape is None and not any(key in options for key in _REPLANS):
        return _copied(meta, arrays, range(len(meta.axes)), options, inherited)
    axes = meta.multiscale.axes
    names = [canonical for name in axes.names for canonical, stored in axes.canonical.items() if stored == name]
    given = options.get("axes_names", names)
    same_axes = isinstance(given, Iterable) and list(given) == names
    shape = finest.shape if shape is None else _sizes(shape)
    if same_axes:
        shape = finest.shape[: max(0, len(names) - len(shape))] + shape
    scale = _scale(axes, options, meta.multiscale.datasets[meta.paths.index(meta.finest)].transform.scale)
    sizes = dict(zip(axes.names, scale, strict=True))
    order = meta.by_resolution
    if not same_axes:
        inherited = {key: value for key, value in inherited.items() if key not in ("chunks", "shards")}
    elif "scaling_factors" not in options and len(order) > 1:
        inherited["scaling_factors"] = factors_between(
            finest.shape, arrays[meta.paths.index(order[1])].shape, ratios=meta.ratios(order[:2])[0], where="derive_image"
        )
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
    """A label over the axes of an image without c, level for level."""
    require_known(options, LabelOptions, "derive_label")
    position = meta.multiscale.axes.index("c")
    kept = [i for i in range(len(meta.axes)) if i != position]
    finest = arrays[meta.paths.index(meta.finest)]
    inherited = {"compressors": "auto", "dimension_separator": finest.separator, "chunks": tuple(finest.chunks[i] for i in kept)}
    blueprint = _copied(meta, arrays, kept, {"dtype": "uint32"} | dict(options), inherited)
    dtype = blueprint.layouts[0].dtype
    if dtype.kind not in "biu":  # 0.5 allows integers only; bool is read and written, too
        raise DTypeError("a label holds integers", where=f"label {name!r}", got=dtype.name, allowed="integers and bool")
    multiscale = replace(blueprint.meta.multiscale, name=name)
    return replace(blueprint, meta=replace(blueprint.meta, multiscale=multiscale, channels_meta=None, image_label=ImageLabel()))


# ------------------------------------------------------------------------------------------------------------ parts
def require_known(options: Mapping[str, Any], record: Any, where: str) -> None:
    """Raise `ArgumentError` for options that the record has not."""
    allowed = sorted(record.__optional_keys__)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ArgumentError("there is no such option", where=where, got=", ".join(unknown), allowed=", ".join(allowed))
    for name in ("name", "space_unit", "time_unit"):
        if not isinstance(options.get(name), str | None):
            raise ArgumentError(f"{name} must be text", where=where, got=repr(options[name]), allowed="a str or None")


def _sizes(shape: Any) -> Shape:
    """A shape as ints of at least 0."""
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if min(sizes, default=0) < 0:
        raise ArgumentError("shape must be one non-negative int per axis", where="new image", got=repr(shape), allowed="2 to 5 ints")
    return sizes


def _copied(
    meta: ImageMeta, arrays: Sequence[StoredArray], kept: Sequence[int], options: Mapping[str, Any], inherited: Mapping[str, Any]
) -> Blueprint:
    """The same levels over the kept axes."""
    axes = Axes(tuple(meta.multiscale.axes.items[i] for i in kept))
    version = writable_version(options.get("ngff_version", meta.version))
    layout = _layout(dict(inherited) | dict(options))
    datasets, layouts = [], []
    for path in meta.by_resolution:
        at = meta.paths.index(path)
        array, transform = arrays[at], meta.multiscale.datasets[at].transform
        datasets.append(
            Dataset(path, ScaleTranslation(tuple(transform.scale[i] for i in kept), tuple(transform.translation[i] for i in kept)))
        )
        shape = tuple(array.shape[i] for i in kept)
        layouts.append(plan_layout(shape, options.get("dtype", array.dtype), axes.names, zarr_format=version.zarr_format, **layout))
    multiscale = Multiscale(axes, tuple(datasets), options.get("name"))
    new = ImageMeta(version.tag, multiscale, _channels(axes, layouts[0].shape, layouts[0], options))
    same_dtype = layouts[0].dtype == arrays[0].dtype
    return Blueprint(_with_channels_of(meta, new, options, same_dtype=same_dtype), tuple(layouts), ())


def _inherited_layout(meta: ImageMeta, finest: StoredArray, options: Mapping[str, Any]) -> dict[str, Any]:
    inherited: dict[str, Any] = {"chunks": finest.chunks, "dimension_separator": finest.separator}
    if options.get("ngff_version", meta.version) == meta.version:  # codecs and shards belong to one Zarr format
        inherited |= {"compressors": finest.compressors or None, "shards": finest.shards}
    return inherited


def _with_channels_of(meta: ImageMeta, new: ImageMeta, options: Mapping[str, Any], *, same_dtype: bool) -> ImageMeta:
    """The reference's channels, where their number is the same and none are given; display windows belong to a dtype."""
    given = any(key in options for key in ("channel_labels", "channel_wavelengths", "channel_colors"))
    if given or meta.channels_meta is None or new.channels_meta is None or len(meta.channels_meta) != len(new.channels_meta):
        return new
    windows = meta.channels_meta if same_dtype else new.channels_meta
    channels = tuple(replace(c, window=w.window) for c, w in zip(meta.channels_meta.channels, windows.channels, strict=True))
    return replace(new, channels_meta=replace(meta.channels_meta, channels=channels))


def _channels(axes: Axes, shape: Shape, layout: Layout, options: Mapping[str, Any]) -> ChannelsMeta:
    position = axes.index("c")
    return default_channels(
        1 if position is None else shape[position],
        layout.dtype.name,
        labels=options.get("channel_labels"),
        wavelength_ids=options.get("channel_wavelengths"),
        colors=options.get("channel_colors"),
    )


def _layout(options: Mapping[str, Any]) -> dict[str, Any]:
    layout = {key: options[key] for key in ("chunks", "shards", "compressors") if key in options}
    return layout | {"separator": options.get("dimension_separator", "/")}


def _scale(axes: Axes, options: Mapping[str, Any], inherited: Sequence[float]) -> tuple[float, ...]:
    """One pixel size per axis: from the options, else inherited."""
    sizes: dict[str, Any] = {"z": options.get("z_spacing"), "t": options.get("time_spacing")}
    if options.get("xy_pixelsize") is not None and options.get("pixelsize") is not None:
        raise ArgumentError("xy_pixelsize and pixelsize are the same thing", where="new image", got="both", hint="Pass one of them.")
    plane = options.get("pixelsize") if options.get("xy_pixelsize") is None else options["xy_pixelsize"]
    if plane is not None:
        both = (plane, plane) if isinstance(plane, Real) else plane
        if not isinstance(both, Sequence) or isinstance(both, str) or len(both) != 2:
            raise ArgumentError("a pixel size must be a positive number", where="new image", got=repr(plane), allowed="one, or (y, x)")
        sizes |= {"y": both[0], "x": both[1]}
    for letter, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not is_positive(size)):
            raise ArgumentError(
                f"the pixel size along {letter} must be a positive number", where="new image", got=repr(size), allowed="finite, above 0"
            )
    found = []
    for name, default in zip(axes.names, inherited, strict=True):
        letter = next((c for c, stored in axes.canonical.items() if stored == name), name)
        size = sizes.get(letter)
        found.append(default if size is None else float(size))
    return tuple(found)


def _factors(scaling_factors: Any, axes: Axes) -> Shape:
    if isinstance(scaling_factors, str):
        if scaling_factors != "auto":
            raise ArgumentError(
                "scaling_factors is not understood", got=repr(scaling_factors), allowed="'auto', one int per axis, axis -> int"
            )
        return tuple(2 if name in ("y", "x") else 1 for name in axes.names)
    if isinstance(scaling_factors, Mapping):
        unknown = sorted(map(str, set(scaling_factors) - set(axes.names)))
        if unknown:
            raise ArgumentError(
                "scaling_factors names an axis that the image has not", got=", ".join(unknown), allowed=", ".join(axes.names)
            )
        scaling_factors = [scaling_factors.get(name, 1) for name in axes.names]
    factors = tuple(scaling_factors) if isinstance(scaling_factors, Iterable) else (scaling_factors,)
    if len(factors) != len(axes) or any(not isinstance(f, Integral) or isinstance(f, bool) or f < 1 for f in factors):
        raise ArgumentError("scaling_factors must be ints of at least 1", got=factors, allowed=f"one for each of {', '.join(axes.names)}")
    return tuple(int(f) for f in factors)
