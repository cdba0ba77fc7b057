"""What a store holds, in plain values. Knows: plates, wells, images, labels, tables. Does not know: how it is shown."""

from __future__ import annotations

import warnings
from typing import Any

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.container import OmeZarrContainer
from omexp.containers.plate import OmeZarrPlate, OmeZarrWell
from omexp.errors import MissingArrayError, OmexpWarning, StoreNotFoundError
from omexp.metadata.versions import decode_names, kind_of, version_of
from omexp.storage.groups import Group, StoreLike, open_group

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
    attributes = group.attributes
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
    images = plate.images_paths()
    wells = {well: [path.removeprefix(f"{well}/") for path in images if path.startswith(f"{well}/")] for well in meta.wells}
    layout = group.attributes.get("ome", group.attributes).get(_BF2RAW)
    return {
        "name": meta.name,
        "bioformats2raw": layout,
        "rows": list(meta.rows),
        "columns": list(meta.columns),
        "wells": wells,
        "acquisitions": [a.to_json() for a in meta.acquisitions],
        "first_image": _first(group, images, backend),
    }


def _well(group: Group, backend: Backend) -> dict[str, Any]:
    well = OmeZarrWell(group, backend)
    return {"images": well.paths(), "acquisitions": well.acquisition_ids, "first_image": _first(group, well.paths(), backend)}


def _collection(group: Group, backend: Backend) -> dict[str, Any]:
    images = [name for name in group.members() if (found := group.find(name)) is not None and kind_of(found.attributes) == "image"]
    return {"images": images, "first_image": _first(group, images, backend)}


def _first(group: Group, paths: list[str], backend: Backend) -> dict[str, Any] | None:
    """The first image that is on disk."""
    found = next((group.group(path) for path in paths if group.find(path) is not None), None)
    return None if found is None else {"store": found.where, "kind": "image", "zarr_format": found.zarr_format} | _image(found, backend)


def _labels_group(group: Group, backend: Backend) -> dict[str, Any]:
    names = decode_names(group.attributes, "labels")
    return {"labels": [_label(group, name, backend) for name in names]}


def _label(group: Group, name: str, backend: Backend) -> dict[str, Any]:
    found = group.find(name)
    return {"name": name, "problem": "listed but not on disk"} if found is None else _image(found, backend) | {"name": name}


def _image(group: Group, backend: Backend) -> dict[str, Any]:
    container = OmeZarrContainer(group, backend)
    meta = container.meta
    described: dict[str, Any] = {
        "name": meta.name,
        "version": meta.version,
        "axes": [{"name": a.name, "type": a.type, "unit": a.unit} for a in meta.multiscale.axes],
        "levels": [_level(container, path) for path in meta.paths],
    }
    if meta.image_label is not None:
        return described | {"source_image": meta.image_label.source_image}
    labels = group.find("labels")
    return described | {
        "channels": [c.to_json() for c in meta.channels_meta.channels] if meta.channels_meta else [],
        "labels": [] if labels is None else [_label(labels, name, backend) for name in container.list_labels()],
        "tables": [_table(group, name) for name in container.list_tables()],
    }


def _level(container: OmeZarrContainer, path: str) -> dict[str, Any]:
    try:
        image = container.get_image(path)
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
    attributes = {} if found is None else found.attributes
    described = {"name": name, "type": attributes.get("type"), "backend": attributes.get("backend")}
    return described if found is not None else described | {"problem": "listed but not on disk"}
