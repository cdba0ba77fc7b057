"""Stored images as the in-memory model. Knows: which group is meant, lazy levels, foreign attributes. Does not know: versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omexp.backend import resolve_backend
from omexp.checking import require_valid
from omexp.containers.consolidation import warn_if_unfinished
from omexp.containers.multiscale import arrays_of, image_paths, read_meta
from omexp.errors import ArgumentError, StoreNotFoundError, warn_caller
from omexp.importers.units import unit_problem
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.problems import Problems
from omexp.metadata.versions import decode_plate, kind_of, version_of
from omexp.ngff.arrays import held
from omexp.ngff.model import Metadata, Multiscales, NgffImage
from omexp.ngff.records import metadata_of
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike, location
from omexp.storage.reading import choose_reader

__all__ = ["from_ngff_zarr", "image_of_group", "noted", "open_store", "with_options"]

_OURS = {"ome", "multiscales", "omero", "image-label", "labels", "plate", "well", "bioformats2raw.layout"}  # keys of a group's attributes


def from_ngff_zarr(
    store: StoreLike, validate: bool = False, version: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> Multiscales:
    """Open an OME-Zarr image: all levels, lazily.

    Parameters
    ----------
    store
        A path (also of a zip file: .ozx, .zip), URL, dict, zarr store or group. A bioformats2raw folder of one image stands for that image.
    validate
        Raise for every MUST of the specification that the metadata or the arrays break, as `omexp.validate` finds them; otherwise what can
        be read is read, with warnings. Units that the specification does not name are a warning.
    version
        The OME-Zarr version that the store must have; None: any that can be read.
    storage_options
        Passed on to fsspec with a URL: credentials and such.

    Returns
    -------
    Multiscales
        `data` of each image is a dask array with the stored chunks, on `omexp.default_device`; paths, name and channels are those of the
        store; `method` is what its `type` names, if that is one of `Methods`. A transform of the whole multiscale is in each level's.

    Raises
    ------
    StoreNotFoundError
        Nothing there, or a group that is no image: a plate or several images; the message lists paths to open instead.
    InvalidMetadataError, UnsupportedVersionError, MissingArrayError
        The metadata cannot be used or, with `validate`, breaks rules.
    ArgumentError
        The store has another version than `version`.

    Examples
    --------
    >>> import numpy, omexp
    >>> _ = omexp.create_ome_zarr_from_array("a.zarr", numpy.ones((64, 64), "uint8"), xy_pixelsize=0.5, levels=2, overwrite=True)
    >>> [image.scale for image in from_ngff_zarr("a.zarr").images]
    [{'y': 0.5, 'x': 0.5}, {'y': 1.0, 'x': 1.0}]
    """
    group = open_store(store, storage_options)
    kind = kind_of(group.attributes)
    if kind == "plate":
        raise _no_image(group, "a plate", decode_plate(group.attributes, group.zarr_format, group.where)[1].wells, "from_hcs_zarr")
    if kind not in ("image", "label"):
        inside = _images_below(group, kind)
        if len(inside) != 1:
            raise _no_image(group, f"a {kind} group" if kind else "a Zarr group without multiscales", inside, "from_ngff_zarr")
        group = group.group(inside[0])
    return image_of_group(group, validate=validate, version=version)


def _images_below(group: Group, kind: str | None) -> list[str]:
    """The paths of the images of a collection, or of those that happen to lie in a group."""
    paths = image_paths(group) if kind == "bioformats2raw" else group.members()
    return [path for path in paths if (child := group.find(path)) and kind_of(child.attributes) == "image"]


def open_store(store: StoreLike, storage_options: Mapping[str, Any] | None = None) -> Group:
    """The group at a store, for reading; `storage_options` go to fsspec."""
    return open_group(with_options(store, storage_options), "r")


def with_options(store: StoreLike, storage_options: Mapping[str, Any] | None) -> StoreLike:
    """The store of a URL with fsspec's options for it. Raises `ArgumentError` for options with anything else."""
    return location(store, storage_options) if storage_options else store


def noted(problems: Problems, where: str) -> None:
    """Warn of what was read leniently."""
    for problem in problems.found:
        warn_caller(f"{where}: {problem}")


def image_of_group(group: Group, *, validate: bool = False, version: str | None = None) -> Multiscales:
    """The image or label that a group is. Errors as `from_ngff_zarr`."""
    if validate:
        require_valid(group)
    meta, problems = read_meta(group)
    noted(problems, group.where)
    warn_if_unfinished(group)
    if version is not None and version != meta.version:
        raise ArgumentError("the store has another OME-Zarr version", where=group.where, got=meta.version, allowed=version)
    document = group.attributes
    sections = version_of(document, group.zarr_format, group.where).sections(document)
    metadata = metadata_of(meta, with_channels="omero" in sections)
    for axis in metadata.axes if validate else ():
        if (problem := unit_problem(axis.unit)) is not None:  # SHOULD, so no error
            warn_caller(f"{group.where}: axis {axis.name}: {problem}")
    dims, units = list(meta.axes), {axis.name: axis.unit for axis in metadata.axes}
    backend, images = resolve_backend(None), []
    for dataset, stored in zip(meta.multiscale.datasets, arrays_of(group, meta), strict=True):
        scale, translation = (dict(zip(dims, values, strict=True)) for values in (dataset.transform.scale, dataset.transform.translation))
        reader = choose_reader(stored, backend)
        image = NgffImage(held(reader, stored.chunks, "zarr"), list(dims), scale, translation, meta.name or "image")
        image.axes_units = dict(units) if any(units.values()) else None
        image.channel_names, image.channel_colors = _channels(metadata)
        image.axes_orientations = {a.name: a.orientation for a in metadata.axes if a.orientation is not None} or None
        images.append(image)
    foreign = {key: value for key, value in document.items() if key not in _OURS}
    return Multiscales(images, metadata, method=_method(meta.multiscale.type), root_attributes=foreign or None)


def _channels(metadata: Metadata) -> tuple[list[str] | None, list[str] | None]:
    """Names and colours of all channels; no names where one has none."""
    if metadata.omero is None:
        return None, None
    names = [channel.label for channel in metadata.omero.channels if channel.label is not None]
    return names if len(names) == len(metadata.omero.channels) else None, [channel.color for channel in metadata.omero.channels]


def _method(kind: str | None) -> Methods | None:
    try:
        return resolve_method(kind)
    except ArgumentError:
        return None


def _no_image(group: Group, what: str, inside: Any, function: str) -> StoreNotFoundError:
    paths = [f"{group.where}/{path}" for path in list(inside)[:6]]
    hint = f"Open it with {function}." if function == "from_hcs_zarr" else "Open one of the images below it."
    listed = f", with {', '.join(paths)}{' and more' if len(inside) > 6 else ''}" if paths else ""
    return StoreNotFoundError("this group is no OME-Zarr image", where=group.where, got=f"{what}{listed}", hint=hint)
