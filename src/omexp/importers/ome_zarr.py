"""OME-Zarr images to convert. Knows: what an image group holds, how it is said in another version. Does not know: other formats.

Pixels, axes, units, scales, translations, names, channels, display windows, label colours, tables and unknown keys are carried over.
Levels are built anew. What is not carried over is warned about by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omexp.backend import DeviceLike
from omexp.backend import numpy_backend as _HOST
from omexp.containers.blueprint import Blueprint, LayoutOptions
from omexp.containers.building import How, write_image
from omexp.containers.container import OmeZarrContainer
from omexp.containers.derived import plan_derived_image
from omexp.containers.multiscale import arrays_of, read_meta
from omexp.containers.tables import TablesCollection
from omexp.errors import ArgumentError, OmexpError, warn_caller
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import Dataset
from omexp.metadata.versions import encode_names, kind_of, version_of, writable_version
from omexp.pyramid import choose_backend
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.storage.reading import choose_reader

__all__ = ["CopyOptions", "copy_image", "image_bytes", "image_groups"]

_SECTIONS = {"multiscales", "omero", "labels", "image-label", "plate", "well", "bioformats2raw.layout", "series", "ome", "version"}
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


def image_groups(group: Group) -> list[tuple[str, Group]]:
    """(name, group) of the images that a group means: itself, or those of a bioformats2raw collection. Refuses plates and wells."""
    kind = kind_of(group.attributes)
    if kind in ("plate", "well"):
        raise ArgumentError(
            f"a {kind} cannot be converted as a whole yet",
            where=group.where,
            hint="Convert its images one by one: open_ome_zarr_plate(...).get_images() lists them.",
        )
    if kind != "bioformats2raw":
        return [(group.name, group)]
    about = group.find("OME")
    document = {} if about is None else about.attributes
    listed = (document.get("ome") or document).get("series")
    paths = listed if isinstance(listed, list) else sorted((m for m in group.members() if m.isdigit()), key=int)
    return [(str(path), group.group(str(path))) for path in paths]


def image_bytes(group: Group) -> int:
    """Bytes of the finest level of an image and of its labels."""
    container = OmeZarrContainer(group, _HOST)
    labels = [container.get_label(name) for name in container.list_labels()]
    return sum(int(level.zarr_array.nbytes) for level in (container.get_image(), *labels))


def copy_image(source: Group, target: Group, options: CopyOptions, progress: Progress | None) -> None:
    """Write the image of `source` into the empty group `target`, with its labels and tables."""
    meta, _ = read_meta(source)
    report = _Running(progress, image_bytes(source))
    _copy_level_zero(source, meta, target, options, report, windows=_has_windows(source))
    container = OmeZarrContainer(source, _HOST)
    names = container.list_labels()
    if names:
        labels = target.require_group("labels")
        for name in names:
            group = source.group(f"labels/{name}")
            _copy_level_zero(group, read_meta(group)[0], labels.require_group(name), _for_label(options, meta), report, windows=True)
        labels.put_attributes(encode_names({}, "labels", names, options.version))
    left_out = _copy_tables(container.tables, TablesCollection(target, options.version))
    left_out += _strangers(source, meta, names, container.list_tables())
    if left_out:
        warn_caller(f"{source.where}: not carried over: {', '.join(left_out)}")


# ------------------------------------------------------------------------------------------------------- one image
def _copy_level_zero(source: Group, meta: ImageMeta, target: Group, options: CopyOptions, report: _Running, *, windows: bool) -> None:
    """An image or label: its finest level, with a pyramid built from it, and its document."""
    arrays = arrays_of(source, meta)
    finest = arrays[meta.paths.index(meta.finest)]
    is_label = meta.image_label is not None
    method = options.method or _recorded_method(meta) or (Methods.NEAREST if is_label else Methods.MEAN)
    backend, _ = choose_backend(options.device, method, int(finest.zarr.nbytes))
    write_image(
        target,
        _planned(meta, arrays, options, source.name),
        source=choose_reader(finest, backend),
        how=How(
            method=method,
            percentiles=None if windows else PERCENTILES,
            workers=options.workers,
            max_memory=options.max_memory,
            progress=report.part(int(finest.zarr.nbytes)),
            engine="tensorstore" if options.use_tensorstore else "auto",
        ),
    )
    _carry_unknown_keys(source, target, options.version)


def _planned(meta: ImageMeta, arrays: Sequence[StoredArray], options: CopyOptions, name: str) -> Blueprint:
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
    )
    new = replace(blueprint.meta, multiscale=planned, image_label=meta.image_label)
    return replace(blueprint, meta=replace(new, channels_meta=None) if meta.image_label is not None else new)


def _with_pixel_size(meta: ImageMeta, sizes: Mapping[str, float]) -> ImageMeta:
    """The metadata with other sizes along some axes of the finest level, in micrometers and seconds."""
    axes, at = meta.multiscale.axes, meta.paths.index(meta.finest)
    places = {axes.index(axis): float(size) for axis, size in sizes.items() if axes.index(axis) is not None}
    datasets, transform = list(meta.multiscale.datasets), meta.multiscale.datasets[at].transform
    scale = tuple(places.get(i, s) for i, s in enumerate(transform.scale))
    datasets[at] = replace(datasets[at], transform=replace(transform, scale=scale))
    items = tuple(replace(a, unit="second" if a.type == "time" else "micrometer") if i in places else a for i, a in enumerate(axes.items))
    return replace(meta, multiscale=replace(meta.multiscale, axes=replace(axes, items=items), datasets=tuple(datasets)))


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


# -------------------------------------------------------------------------------------------------- all the rest
def _carry_unknown_keys(source: Group, target: Group, version: str) -> None:
    """Put what other programs wrote beside the document's own keys where it was: beside `ome`, or inside it."""
    document = source.attributes
    beside = {k: v for k, v in document.items() if k not in _SECTIONS}
    inner = document.get("ome")
    inside = {k: v for k, v in inner.items() if k not in _SECTIONS} if isinstance(inner, Mapping) else {}
    if beside or inside:
        found = target.attributes | beside
        target.put_attributes(writable_version(version).with_sections(found, inside) if inside else found)


def _copy_tables(source: TablesCollection, target: TablesCollection) -> list[str]:
    """Copy all tables; the names of those that cannot be read, each with the reason."""
    failed = []
    for name in source.list():
        try:
            table = source.get(name)
            target.add(name, table)
        except OmexpError as error:
            failed.append(f"table {name!r} ({error})")
    return failed


def _strangers(group: Group, meta: ImageMeta, labels: Sequence[str], tables: Sequence[str]) -> list[str]:
    """What lies in the group and is no part of the image, by name."""
    document = group.attributes
    multiscales = version_of(document, group.zarr_format, group.where).sections(document)["multiscales"]
    found = [f"multiscales.{i}" for i in range(1, len(multiscales))]
    known = {path.partition("/")[0] for path in meta.paths} | {"labels", "tables"}
    found += [f"group or array {name!r}" for name in group.members() if name not in known]
    for what, names in (("labels", labels), ("tables", tables)):
        inside = group.find(what)
        found += [f"{what}/{name}, which is not listed" for name in (inside.members() if inside else []) if name not in names]
    attributes = set(group.array(meta.finest).zarr.attrs) - {"_ARRAY_DIMENSIONS"}
    return found + [f"array attribute {name!r}" for name in sorted(attributes)]


class _Running:
    """One progress for several parts."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.before = progress, total, 0

    def part(self, nbytes: int) -> Progress | None:
        """The progress of the next part, of so many bytes."""
        begun, self.before = self.before, self.before + nbytes
        progress, total = self.progress, self.total
        return None if progress is None else lambda done, _: progress(begun + done, total)
