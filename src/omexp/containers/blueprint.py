"""Blueprints of new images. Knows: options, axes, levels, layouts. Does not know: pixels, files.

Everything that can be refused is refused here, before anything is on disk.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypedDict

from omexp.errors import ArgumentError
from omexp.geometry import Shape
from omexp.metadata.axes import Axes, default_axes
from omexp.metadata.channels import ChannelsMeta, default_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import Dataset, Multiscale
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.versions import DEFAULT_VERSION, writable_version
from omexp.pyramid import plan_levels
from omexp.storage.layout import Layout, plan_layouts
from omexp.world import is_positive

__all__ = ["Blueprint", "ImageOptions", "LabelOptions", "channels_of", "layouts_of", "plan_image", "require_known", "scale_of", "sizes_of"]


class LayoutOptions(TypedDict, total=False):
    """How arrays lie on disk; `omexp.storage.layout.plan_layout` has the details.

    chunks: "auto" (powers of two near 1 MiB, 1 along t and c), one int for the spatial axes, one int per axis, or axis -> int.
    shards: None, "auto" (up to 32 MiB or the whole level, 1 along t and c), one int per axis, or axis -> int. OME-Zarr 0.5.
    chunks_per_shard: in place of shards, in chunks: one int for all axes, one int per axis, or axis -> int (1 where not named).
    compressors: "auto" (Blosc lz4, bitshuffle), None, a name such as "zstd", "zstd:7", "blosc:zstd:5", a codec's document or object.
    Each of these four may be a mapping from level number to any of its forms: chunks={0: (1, 512, 512), 2: 64}. Levels that are not named
    take the default.
    fill_value: the value of pixels that were never written, 0 unless told; chunks of nothing else are not stored.
    dimension_separator: "/" or ".", between the indices in chunk keys.
    """

    chunks: Any
    shards: Any
    chunks_per_shard: Any
    compressors: Any
    fill_value: Any
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
    shape = sizes_of(shape)
    if axes is None:
        units = {"space_unit": options.get("space_unit", "micrometer"), "time_unit": options.get("time_unit", "second")}
        axes = default_axes(len(shape), options.get("axes_names"), **units)
    if options.get("xy_pixelsize") is None and options.get("pixelsize") is None:
        raise ArgumentError("the pixel size is missing", where="new image", hint="Pass xy_pixelsize=0.325, say, in micrometers.")
    scale = scale_of(axes, options, (1.0,) * len(axes))
    version = writable_version(options.get("ngff_version", DEFAULT_VERSION))
    dtype = options.get("dtype", "uint16")
    factors = _factors(options.get("scaling_factors", "auto"), axes)
    levels = options.get("levels", 5)
    shapes = plan_levels(shape, factors, levels)
    transforms = [ScaleTranslation(scale, tuple(origin or (0.0,) * len(shape)))]
    for _ in shapes[1:]:
        transforms.append(transforms[-1].reduced(factors))
    datasets = tuple(Dataset(str(i), t) for i, t in enumerate(transforms))
    layouts = layouts_of(shapes, dtype, axes, version.zarr_format, options, most=levels)
    channels = channels_of(axes, layouts[0], options)
    return Blueprint(
        ImageMeta(version.tag, Multiscale(axes, datasets, options.get("name")), channels), layouts, (factors,) * (len(shapes) - 1)
    )


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


def sizes_of(shape: Any) -> Shape:
    """A shape as ints of at least 0."""
    try:
        sizes = tuple(operator.index(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if min(sizes, default=0) < 0:
        raise ArgumentError("shape must be one non-negative int per axis", where="new image", got=repr(shape), allowed="2 to 5 ints")
    return sizes


def layouts_of(
    shapes: Sequence[Shape], dtype: Any, axes: Axes, zarr_format: int, options: Mapping[str, Any], *, most: int | None = None
) -> tuple[Layout, ...]:
    """A layout per level from `LayoutOptions`; `most` levels may be named in them, even where there are fewer."""
    given = {key: options[key] for key in LayoutOptions.__annotations__ if key in options}
    separator = given.pop("dimension_separator", "/")
    return plan_layouts(shapes, dtype, _letters(axes), zarr_format=zarr_format, most=most, separator=separator, **given)


def _letters(axes: Axes) -> list[str]:
    """Each axis by its canonical letter, where it has one."""
    letters = {stored: letter for letter, stored in axes.canonical.items()}
    return [letters.get(name, name) for name in axes.names]


def channels_of(axes: Axes, finest: Layout, options: Mapping[str, Any]) -> ChannelsMeta:
    """The channels of a new image, from the options or by default."""
    position = axes.index("c")
    return default_channels(
        1 if position is None else finest.shape[position],
        finest.dtype.name,
        labels=options.get("channel_labels"),
        wavelength_ids=options.get("channel_wavelengths"),
        colors=options.get("channel_colors"),
    )


def scale_of(axes: Axes, options: Mapping[str, Any], inherited: Sequence[float]) -> tuple[float, ...]:
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
    for letter, default in zip(_letters(axes), inherited, strict=True):
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
