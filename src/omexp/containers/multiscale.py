"""The group of an image or label. Knows: its document, its arrays, which level is meant. Does not know: pixels, devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omexp.errors import ArgumentError, InvalidMetadataError, MissingArrayError, NameNotFoundError, StoreNotFoundError
from omexp.metadata.image import ImageMeta
from omexp.metadata.problems import Problems
from omexp.metadata.versions import decode_image, decode_series, kind_of
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.world import PixelSize

__all__ = ["arrays_of", "image_paths", "level_array", "level_path", "read_meta", "require_image"]


def read_meta(group: Group, name: str | None = None) -> tuple[ImageMeta, Problems]:
    """The document of an image or label group; the finest array says how many channels there are and of which dtype.

    `name` says which of several multiscales; None: the first.
    """
    attributes = group.attributes
    meta, problems = _decoded(group, attributes, name=name)
    if meta.channels_meta is None:
        return meta, problems
    try:
        array = group.array(meta.finest)
    except MissingArrayError:
        return meta, problems
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
    return listed if listed is not None else sorted((name for name in group.members() if name.isdigit()), key=int)


def require_image(group: Group) -> None:
    """Raise `StoreNotFoundError` where the group is no image or label; the message says what it is, and what to open instead."""
    kind = kind_of(group.attributes)
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
