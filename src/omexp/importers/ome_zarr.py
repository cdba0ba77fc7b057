"""OME-Zarr images to convert. Knows: what an image group holds, how it is said in another version. Does not know: other formats, plates.

Every level is copied as it is, in the source's chunks, shards and codec unless others are told. Only other levels, factors or another
method mean that levels are built anew from the finest. What is not carried over is warned about by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omexp.backend import DeviceLike
from omexp.backend import numpy_backend as _HOST
from omexp.containers.blueprint import Blueprint, LayoutOptions
from omexp.containers.building import How, write_image, write_levels
from omexp.containers.consolidation import warn_if_unfinished
from omexp.containers.derived import plan_derived_image
from omexp.containers.labels import LabelsCollection
from omexp.containers.multiscale import arrays_of, image_paths, read_meta
from omexp.errors import ArgumentError, warn_caller
from omexp.importers.beside import carry_array_attributes, carry_unknown_keys, copy_tables, strangers
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import Dataset
from omexp.metadata.problems import Problems
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.translation import unsayable
from omexp.metadata.versions import encode_image, encode_names, kind_of, version_of
from omexp.pyramid import choose_backend
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.storage.reading import choose_reader

__all__ = ["CopyOptions", "Running", "SourceImage", "copy_image", "image_groups", "open_image"]

PERCENTILES = (0.1, 99.9)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How an image is written anew. `layout` are `ImageOptions`; `pixel_size` overrides sizes by axis (micrometers, seconds)."""

    version: str
    layout: Mapping[str, Any]
    pixel_size: Mapping[str, float]
    method: Methods | None
    device: DeviceLike
    workers: int | None
    max_memory: int | None = None
    use_tensorstore: bool = False

    @property
    def builds_levels(self) -> bool:
        """Whether levels are asked for that the source may not have."""
        return self.method is not None or not {"levels", "scaling_factors"}.isdisjoint(self.layout)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image, or a label, whose document has been read. `missing`: labels that are listed but not on disk."""

    group: Group
    meta: ImageMeta
    problems: Problems
    own_bytes: int
    labels: Mapping[str, SourceImage]
    missing: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the finest level, and of those of the labels."""
        return self.own_bytes + sum(label.own_bytes for label in self.labels.values())


def image_groups(group: Group) -> list[tuple[str, Group]]:
    """(name, group) of the images that a group means: itself, or those of a bioformats2raw collection. Refuses wells."""
    kind = kind_of(group.attributes)
    if kind == "well":
        raise ArgumentError("a well is part of a plate", where=group.where, hint="Convert the plate, or the well's images one by one.")
    if kind != "bioformats2raw":
        return [(group.name, group)]
    return [(path, group.group(path)) for path in image_paths(group)]


def open_image(group: Group) -> SourceImage:
    """An image with its labels. Raises as `read_meta`, and `MissingArrayError`."""
    image = _opened(group)
    names = LabelsCollection(group, image.meta.version).list()
    found, damaged = group.find_many(f"labels/{name}" for name in names)
    for error in damaged.values():
        raise error
    labels = {path.removeprefix("labels/"): _opened(label) for path, label in found.items()}
    return replace(image, labels=labels, missing=tuple(name for name in names if name not in labels))


def _opened(group: Group) -> SourceImage:
    meta, problems = read_meta(group)
    return SourceImage(group, meta, problems, group.array(meta.finest).nbytes, {})


def copy_image(source: SourceImage, target: Group, options: CopyOptions, progress: Progress | None) -> None:
    """Write an image into the empty group `target`, with its labels and tables."""
    group, meta = source.group, source.meta
    for image in (source, *source.labels.values()):
        for text in dict.fromkeys(map(str, image.problems.found)):
            warn_caller(f"{image.group.where}: {text}")
        warn_if_unfinished(image.group)
    report, anew = Running(progress, source.nbytes), options.builds_levels
    left_out = [f"label {name!r}, which is listed but not on disk" for name in source.missing]
    carried = _copy_levels(source, target, options, report, anew=anew)
    inside: list[str] = []
    if source.labels:
        labels, about = target.require_group("labels"), group.group("labels")
        for name, label in source.labels.items():
            kept = _copy_levels(label, labels.require_group(name), _for_label(options, meta), report, anew=anew)
            inside += strangers(label.group, label.meta, kept, None, f"labels/{name}/")
            inside += unsayable(label.meta.multiscale) if options.version != "0.6" else []
        labels.put_attributes(encode_names({}, "labels", list(source.labels), options.version))
        carry_unknown_keys(about, labels, options.version)
    left_out += copy_tables(group, target, options.version)
    left_out += strangers(group, meta, carried, list(source.labels))
    left_out += unsayable(meta.multiscale) if options.version != "0.6" else []
    left_out += inside
    if left_out:
        warn_caller(f"{group.where}: not carried over: {', '.join(left_out)}")


# ---------------------------------------------------------------------------------------------------------- levels
def _copy_levels(source: SourceImage, target: Group, options: CopyOptions, report: Running, *, anew: bool) -> list[str]:
    """An image or label, its levels copied or built `anew`, and its document; the levels whose array attributes came along."""
    meta, arrays = source.meta, arrays_of(source.group, source.meta)
    is_label = meta.image_label is not None
    method = options.method or _recorded_method(meta) or (Methods.NEAREST if is_label else Methods.MEAN)
    how = How(
        method=method,
        percentiles=None if is_label or _has_windows(source.group) else PERCENTILES,
        workers=options.workers,
        max_memory=options.max_memory,
        progress=report.part(source.own_bytes),
        engine="tensorstore" if options.use_tensorstore else "auto",
    )
    finest_first = [arrays[meta.paths.index(path)] for path in meta.by_resolution]
    if anew:
        blueprint = _built(meta, arrays, options, source.group.name)
        backend, _ = choose_backend(options.device, method, source.own_bytes)
        write_image(target, blueprint, source=choose_reader(finest_first[0], backend), how=how)
        paths = {meta.finest: blueprint.meta.paths[0]}
    else:
        blueprint = _copied(meta, arrays, options, source.group.name)
        write_levels(target, blueprint, [choose_reader(array, _HOST) for array in finest_first], how=how)
        if meta.multiscale.type is None and meta.levels == 1:  # which `write_levels` takes for one of ours
            written = replace(read_meta(target)[0], multiscale=blueprint.meta.multiscale)
            target.put_attributes(encode_image(written, target.attributes))
        paths = dict(zip(meta.by_resolution, blueprint.meta.paths, strict=True))
    carry_unknown_keys(source.group, target, options.version)
    carry_array_attributes(source.group, target, paths)
    return list(paths)


def _copied(meta: ImageMeta, arrays: Sequence[StoredArray], options: CopyOptions, name: str) -> Blueprint:
    """The same levels, each in its own chunks, shards and codec unless others are told."""
    told = {"dimension_separator": "/", "ngff_version": options.version} | dict(options.layout)
    try:
        blueprint = plan_derived_image(meta, arrays, None, told)
    except ArgumentError:
        if "shards" not in told or "chunks" in told:
            raise
        blueprint = plan_derived_image(meta, arrays, None, told | {"chunks": "auto"})  # sizes that divide the shards
    layouts = blueprint.layouts
    if {"chunks", "shards", "chunks_per_shard"}.isdisjoint(told):  # also those that are larger than the array
        stored = [arrays[meta.paths.index(path)] for path in meta.by_resolution]
        layouts = tuple(
            replace(layout, chunks=array.chunks, shards=array.shards if layout.zarr_format == 3 else None)
            for layout, array in zip(layouts, stored, strict=True)
        )
    sized = _with_pixel_size(meta, options.pixel_size).multiscale
    datasets = tuple(sized.datasets[meta.paths.index(path)] for path in meta.by_resolution)
    multiscale = replace(sized, datasets=datasets, name=told.get("name") or meta.name or name)
    channels = None if meta.image_label is not None else blueprint.meta.channels_meta
    if channels is not None and options.version != meta.version:  # only before 0.5 the block names its version
        channels = replace(channels, extra={key: value for key, value in channels.extra.items() if key != "version"})
    return replace(
        blueprint,
        meta=replace(blueprint.meta, multiscale=multiscale, channels_meta=channels, image_label=meta.image_label),
        layouts=layouts,
    )


def _built(meta: ImageMeta, arrays: Sequence[StoredArray], options: CopyOptions, name: str) -> Blueprint:
    """The finest level with levels that are made from it, as many and by the same factors as the source's unless others are told."""
    finest = arrays[meta.paths.index(meta.finest)]
    # the default layout, whatever the source's was; "scaling_factors" and "levels" are the source's unless told
    told = {"chunks": "auto", "shards": None, "compressors": "auto", "dimension_separator": "/", "ngff_version": options.version}
    told |= {"levels": meta.levels} | dict(options.layout)
    try:
        blueprint = plan_derived_image(meta, arrays, finest.shape, told)
    except ArgumentError:
        if "scaling_factors" in told:
            raise
        blueprint = plan_derived_image(meta, arrays, finest.shape, told | {"scaling_factors": "auto"})  # levels of no whole windows
    multiscale = _with_pixel_size(meta, options.pixel_size).multiscale
    transforms = [multiscale.datasets[meta.paths.index(meta.finest)].transform]
    for factors in blueprint.factors:
        transforms.append(transforms[-1].reduced(factors))
    planned = replace(
        blueprint.meta.multiscale,
        axes=multiscale.axes,
        datasets=tuple(Dataset(d.path, t) for d, t in zip(blueprint.meta.multiscale.datasets, transforms, strict=True)),
        name=told.get("name") or meta.name or name,
        extra=meta.multiscale.extra,
        frame=meta.multiscale.frame,
    )
    new = replace(blueprint.meta, multiscale=planned, image_label=meta.image_label)
    return replace(blueprint, meta=replace(new, channels_meta=None) if meta.image_label is not None else new)


def _with_pixel_size(meta: ImageMeta, sizes: Mapping[str, float]) -> ImageMeta:
    """The metadata with other sizes along some axes of the finest level, in micrometers and seconds; the levels keep their ratios."""
    axes = meta.multiscale.axes
    places = {i: float(size) for axis, size in sizes.items() if (i := axes.index(axis)) is not None}
    finest = meta.multiscale.datasets[meta.paths.index(meta.finest)].transform

    def sized(one: ScaleTranslation) -> ScaleTranslation:
        scale, translation = list(one.scale), list(one.translation)
        for i, size in places.items():
            scale[i] = size * (one.scale[i] / finest.scale[i])
            translation[i] = finest.translation[i] + (one.translation[i] - finest.translation[i]) / finest.scale[i] * size
        return ScaleTranslation(tuple(scale), tuple(translation))

    datasets = tuple(replace(d, transform=sized(d.transform)) for d in meta.multiscale.datasets)
    items = tuple(replace(a, unit="second" if a.type == "time" else "micrometer") if i in places else a for i, a in enumerate(axes.items))
    return replace(meta, multiscale=replace(meta.multiscale, axes=replace(axes, items=items), datasets=datasets))


def _for_label(options: CopyOptions, image: ImageMeta) -> CopyOptions:
    """The options for a label, which has no channels: what is said per axis of the image is said without c; no name, no channels."""
    at = image.multiscale.axes.index("c")
    kept = {"levels", "scaling_factors", *LayoutOptions.__optional_keys__}

    def without_c(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: without_c(v) for key, v in value.items() if key != "c"}  # keys are axes, or numbers of levels
        per_axis = isinstance(value, (tuple, list)) and len(value) == len(image.axes) and all(isinstance(v, int) for v in value)
        return tuple(v for i, v in enumerate(value) if i != at) if per_axis and at is not None else value

    layout = {key: without_c(value) for key, value in options.layout.items() if key in kept}
    return replace(options, layout=layout, method=None)


def _recorded_method(meta: ImageMeta) -> Methods | None:
    """The method that the levels were made by, where the metadata says one that omexp knows."""
    try:
        return resolve_method(meta.multiscale.type)
    except ArgumentError:
        return None


def _has_windows(group: Group) -> bool:
    """Whether the document says how channels are shown; otherwise the pixels will."""
    document = group.attributes
    channels = (version_of(document, group.zarr_format, group.where).sections(document).get("omero") or {}).get("channels")
    return isinstance(channels, list) and any(isinstance(c, dict) and c.get("window") for c in channels)


class Running:
    """One progress for several parts."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.before = progress, total, 0

    def part(self, nbytes: int) -> Progress | None:
        """The progress of the next part, of so many bytes; it may count in others."""
        begun, self.before = self.before, self.before + nbytes
        progress, total = self.progress, self.total
        return None if progress is None else lambda done, of: progress(begun + (nbytes * done // of if of else nbytes), total)
