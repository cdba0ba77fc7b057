"""The group of an image or label. Knows: its document, its arrays, which level is meant. Does not know: pixels, devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from omexp.errors import ArgumentError, InvalidMetadataError, MissingArrayError, NameNotFoundError, StoreNotFoundError
from omexp.metadata.image import ImageMeta
from omexp.metadata.problems import Problems
from omexp.metadata.series import numbered
from omexp.metadata.versions import decode_image, decode_series, kind_of
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.world import PixelSize

__all__ = [
    "arrays_of",
    "image_paths",
    "level_array",
    "level_path",
    "problems_at_opening",
    "read_document",
    "read_level",
    "read_meta",
    "require_image",
]


def read_meta(group: Group, name: str | None = None, attributes: dict[str, Any] | None = None) -> tuple[ImageMeta, Problems]:
    """The document of an image or label group; the finest array says how many channels there are and of which dtype.

    `name` says which of several multiscales; None: the first. `attributes` are the group's, where they were read just now.
    """
    attributes = group.attributes if attributes is None else attributes
    meta, problems = _decoded(group, attributes, name=name)
    if meta.channels_meta is None:
        return meta, problems
    try:
        array = group.array(meta.finest)
    except MissingArrayError:
        return meta, problems
    return _with_channels_of(array, group, attributes, meta, problems, name)


def problems_at_opening(group: Group, name: str | None = None, *, arrays: bool = True) -> Problems:
    """What is tolerated in a document that was read just now; without `arrays` nothing more is read, so their channels are not counted.

    Raises as `require_image` where the group is none.
    """
    attributes = group.attributes_at_opening
    require_image(group, attributes)
    if arrays:
        return read_meta(group, name, attributes)[1]
    return decode_image(attributes, group.zarr_format, group.where, name=name)[1]


def read_level(
    group: Group, choose: Callable[[ImageMeta], str], name: str | None = None, attributes: dict[str, Any] | None = None
) -> tuple[ImageMeta, str, StoredArray, Problems]:
    """The document of an image or label group, and one of its levels: two documents are read, the group's and the array's.

    `choose` gives the level's path. Raises as `level_array`, and what `choose` raises.
    """
    attributes = group.attributes if attributes is None else attributes
    meta, problems = _decoded(group, attributes, name=name)
    path = choose(meta)
    stored = level_array(group, meta, path)
    if meta.channels_meta is not None:
        meta, problems = _with_channels_of(stored, group, attributes, meta, problems, name)
    return meta, path, stored, problems


def read_document(group: Group, name: str | None = None) -> ImageMeta:
    """The document alone: no array is read (before 0.4 all are: their shapes are the scales), so its channels are not counted."""
    return _decoded(group, group.attributes, name=name)[0]


def _with_channels_of(
    array: StoredArray, group: Group, attributes: dict[str, Any], meta: ImageMeta, problems: Problems, name: str | None
) -> tuple[ImageMeta, Problems]:
    """The document once more, now that it is known how many channels there are and of which dtype."""
    if len(array.shape) != len(meta.axes):
        return meta, problems
    position = meta.multiscale.axes.index("c")
    count = 1 if position is None else array.shape[position]
    return _decoded(group, attributes, channels=count, dtype_name=array.dtype.name, name=name)


def _decoded(group: Group, attributes: dict[str, Any], **options: Any) -> tuple[ImageMeta, Problems]:
    """The document as records; where it has no scales (before 0.4), they are those of the arrays' shapes."""
    meta, problems = decode_image(attributes, group.zarr_format, group.where, **options)
    if not meta.multiscale.scale_is_implied:
        return meta, problems
    try:
        shapes = {path: group.array(path).shape for path in meta.paths}
    except MissingArrayError:
        return meta, problems
    return replace(meta, multiscale=meta.multiscale.with_shapes(shapes)), problems


def image_paths(group: Group) -> list[str]:
    """Where the images of a bioformats2raw collection lie below its group: as its `OME` group lists them, else "0", "1", ..."""
    about = group.find("OME")
    listed = None if about is None else decode_series(about.attributes)
    if listed is not None:
        return listed
    return sorted((name for name in group.members() if name.isdecimal()), key=int) or numbered(lambda names: _there(group, names))


def _there(group: Group, names: Sequence[str]) -> set[str]:
    """Those of the names that lie in a group, also damaged ones; over HTTP, where nothing can be listed, each is looked for."""
    groups, damaged = group.find_many(names)
    return {*groups, *damaged}


def require_image(group: Group, attributes: dict[str, Any]) -> None:
    """Raise `StoreNotFoundError` where the group is no image or label; the message says what it is, and what to open instead."""
    kind = kind_of(attributes)
    if kind in ("image", "label"):
        return
    images = f" of the images {', '.join(image_paths(group))}" if kind == "bioformats2raw" else ""
    hints = {"plate": "Open it with open_ome_zarr_plate.", "well": "Open it with open_ome_zarr_well."}
    raise StoreNotFoundError(
        "this group is no OME-Zarr image",
        where=group.where,
        got=f"a {kind} group{images}" if kind else "a Zarr group without multiscales",
        hint=hints.get(kind or "", "Open one of the images below it."),
    )


def arrays_of(group: Group, meta: ImageMeta) -> list[StoredArray]:
    """The stored levels, in the order of the document. Raises as `level_array`."""
    return [level_array(group, meta, path) for path in meta.paths]


def level_array(group: Group, meta: ImageMeta, path: str) -> StoredArray:
    """One stored level. Raises `MissingArrayError`, or `InvalidMetadataError` if its axes are not those of the document."""
    array = group.array(path)
    if len(array.shape) != len(meta.axes):
        raise InvalidMetadataError(
            "the array does not have the axes that the metadata names",
            where=f"{group.where}/{path}",
            got=f"shape {array.shape}",
            allowed=f"axes {', '.join(meta.axes)}",
        )
    return array


def level_path(meta: ImageMeta, path: str | None, pixel_size: PixelSize | None, strict: bool, where: str) -> str:
    """The path of the level that is meant: the finest, that at `path`, or that nearest to `pixel_size`."""
    if path is not None and pixel_size is not None:
        raise ArgumentError(
            "pass path or pixel_size, not both",
            where=where,
            got=f"path={path!r}, pixel_size={pixel_size}",
            hint=f"The levels are {', '.join(meta.paths)}.",
        )
    if not isinstance(pixel_size, PixelSize | None):
        raise ArgumentError("this is no pixel size", where=where, got=repr(pixel_size), allowed="omexp.PixelSize")
    if path is not None:
        if str(path) not in meta.paths:
            raise NameNotFoundError("there is no such level", where=where, got=repr(path), allowed=", ".join(meta.paths))
        return str(path)
    if pixel_size is None:
        return meta.finest
    if not isinstance(pixel_size, PixelSize):
        raise ArgumentError("pixel_size is no PixelSize", where=where, got=repr(pixel_size), hint="Pass PixelSize(x=..., y=...).")
    nearest = meta.nearest(pixel_size)
    found = meta.pixel_size(nearest)
    if strict and not found.is_close(pixel_size if meta.multiscale.axes.index("z") is not None else replace(pixel_size, z=found.z)):
        raise NameNotFoundError(
            "no level has that pixel size",
            where=where,
            got=str(pixel_size),
            allowed="; ".join(f"{p}: {meta.pixel_size(p)}" for p in meta.paths),
            hint="Pass strict=False for the nearest.",
        )
    return nearest
