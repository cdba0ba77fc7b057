"""What a store holds, in plain values. Knows: plates, wells, images, labels, tables. Does not know: how it is shown."""

from __future__ import annotations

import warnings
from typing import Any

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.container import OmeZarrContainer
from omexp.containers.image import Image
from omexp.containers.multiscale import read_meta
from omexp.containers.plates.plate import OmeZarrPlate, OmeZarrWell
from omexp.errors import MissingArrayError, OmexpWarning, StoreNotFoundError
from omexp.metadata.image import ImageMeta
from omexp.metadata.versions import decode_names, kind_of, version_of
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike

__all__ = ["describe"]

_BF2RAW = "bioformats2raw.layout"


def describe(store: StoreLike, device: DeviceLike = "cpu") -> dict[str, Any]:
    """What an OME-Zarr store holds, as values that JSON can hold. Nothing but metadata is read; nothing is changed.

    Parameters
    ----------
    store
        A plate, well, image, label, a group of labels or a bioformats2raw collection: whatever `open_ome_zarr_container` takes as store.
    device
        The readers are those that a container on this device would use.

    Returns
    -------
    ``store``, ``kind`` ("plate", "well", "image", "label", "labels", "bioformats2raw"), ``version``, ``zarr_format``, ``problems`` (what
    was tolerated), and by kind: plates ``name, rows, columns, wells, acquisitions, first_image``; wells ``images, acquisitions,
    first_image``; images and labels ``name, axes, levels, channels, labels, tables``; label groups ``labels``; collections ``images,
    first_image``. Each level has ``path, shape, dtype, chunks, shards, codec, pixel_size, reader, reason, writer``,
    or ``problem``.

    Raises
    ------
    StoreNotFoundError
        Nothing there, or nothing of OME-Zarr in it.
    UnsupportedVersionError, InvalidMetadataError
        It is of a version that cannot be read, or broken.

    Examples
    --------
    >>> import omexp
    >>> _ = omexp.create_empty_ome_zarr("described.zarr", (2, 64, 64), axes_names="cyx", xy_pixelsize=0.5, overwrite=True)
    >>> found = describe("described.zarr")
    >>> found["kind"], found["version"], found["levels"][1]["shape"]
    ('image', '0.5', [2, 32, 32])
    """
    group, backend = open_group(store, "r"), resolve_backend(device)
    attributes = group.attributes_at_opening
    kind = kind_of(attributes)
    if kind is None:
        raise StoreNotFoundError(
            "this Zarr group holds no OME-Zarr metadata", where=group.where, got=f"members {', '.join(group.members()) or 'none'}"
        )
    head = {
        "store": group.where,
        "kind": kind,
        "version": version_of(attributes, group.zarr_format, group.where).tag,
        "zarr_format": group.zarr_format,
    }
    makers = {"plate": _plate, "well": _well, "image": _image, "label": _image, "labels": _labels_group, "bioformats2raw": _collection}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OmexpWarning)
        body = makers[kind](group, backend)
    return head | body | {"problems": list(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, OmexpWarning)))}


def _plate(group: Group, backend: Backend) -> dict[str, Any]:
    plate = OmeZarrPlate(group, backend)
    meta = plate.meta
    found = {path: well.meta_at_opening.paths() for path, well in plate.get_wells().items()}
    attributes = group.attributes_at_opening
    return {
        "name": meta.name,
        "bioformats2raw": attributes.get("ome", attributes).get(_BF2RAW),
        "rows": list(meta.rows),
        "columns": list(meta.columns),
        "wells": {well: found.get(well, []) for well in meta.wells},
        "acquisitions": [a.to_json() for a in meta.acquisitions],
        "first_image": _first(group, [f"{well}/{field}" for well, fields in found.items() for field in fields], backend),
    }


def _well(group: Group, backend: Backend) -> dict[str, Any]:
    meta = OmeZarrWell(group, backend).meta_at_opening
    acquisitions = sorted({i.acquisition for i in meta.images if i.acquisition is not None})
    return {"images": meta.paths(), "acquisitions": acquisitions, "first_image": _first(group, meta.paths(), backend)}


def _collection(group: Group, backend: Backend) -> dict[str, Any]:
    found = group.find_many(group.members())[0]
    images = [name for name, one in found.items() if kind_of(one.attributes_at_opening) == "image"]
    return {"images": images, "first_image": _first(group, images, backend)}


def _first(group: Group, paths: list[str], backend: Backend) -> dict[str, Any] | None:
    """The first image that is on disk."""
    found = next((one for path in paths if (one := group.find(path)) is not None), None)
    return None if found is None else {"store": found.where, "kind": "image", "zarr_format": found.zarr_format} | _image(found, backend)


def _labels_group(group: Group, backend: Backend) -> dict[str, Any]:
    names = decode_names(group.attributes_at_opening, "labels")
    return {"labels": [_label(group, name, backend) for name in names]}


def _label(group: Group, name: str, backend: Backend, folder: str = "") -> dict[str, Any]:
    found = group.find(f"{folder}{name}")
    return {"name": name, "problem": "listed but not on disk"} if found is None else _image(found, backend) | {"name": name}


def _image(group: Group, backend: Backend) -> dict[str, Any]:
    container = OmeZarrContainer(group, backend, arrays=False)
    meta, problems = read_meta(group, attributes=group.attributes_at_opening)
    container.tell(problems)
    described: dict[str, Any] = {
        "name": meta.name,
        "version": meta.version,
        "axes": [{"name": a.name, "type": a.type, "unit": a.unit} for a in meta.multiscale.axes],
        "levels": [_level(group, meta, path, backend) for path in meta.paths],
    }
    if meta.image_label is not None:
        return described | {"source_image": meta.image_label.source_image}
    return described | {
        "channels": [c.to_json() for c in meta.channels_meta.channels] if meta.channels_meta else [],
        "labels": [_label(group, name, backend, "labels/") for name in container.list_labels()],
        "tables": [_table(group, name) for name in container.list_tables()],
    }


def _level(group: Group, meta: ImageMeta, path: str, backend: Backend) -> dict[str, Any]:
    try:
        image = Image(group, meta, path, backend)
    except MissingArrayError:
        return {"path": path, "problem": "the array is missing"}
    stored, size = image.stored, image.pixel_size
    return {
        "path": path,
        "shape": list(stored.shape),
        "dtype": stored.dtype.name,
        "chunks": list(stored.chunks),
        "shards": None if stored.shards is None else list(stored.shards),
        "codec": stored.codec,
        "pixel_size": {axis: size.get(axis) for axis in "tzyx" if image.has_axis(axis)},
        "reader": image.reader.name,
        "reason": image.reader.reason,
        "writer": image.writer,
    }


def _table(group: Group, name: str) -> dict[str, Any]:
    found = group.find(f"tables/{name}")
    attributes = {} if found is None else found.attributes_at_opening
    described = {"name": name, "type": attributes.get("type"), "backend": attributes.get("backend")}
    return described if found is not None else described | {"problem": "listed but not on disk"}
