"""Stores in another OME-Zarr version, in place. Knows: which documents there are, in which order they change. Does not know: pixels.

Only documents are written: chunks stay as they are, where they are. Everything is worked out before anything is written, and the outermost
document changes last; a change that breaks off leaves a store that opens, and is finished by the same call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.translation import translate
from omexp.metadata.versions import decode_image, kind_of, version_of, writable_version
from omexp.storage.format3 import array_in_format3
from omexp.storage.groups import Group, open_group, parent_of, writing
from omexp.storage.locating import StoreLike
from omexp.storage.locks import exclusive
from omexp.storage.upgrading import Node, nodes_below, put_document, read_node, remove_format2

__all__ = ["change_version"]


@dataclass(frozen=True, slots=True)
class _Change:
    """One document to write; of an array, the names of its axes are known, too."""

    path: str
    name: str
    document: dict[str, Any]
    names: tuple[str, ...] | None


def change_version(store: StoreLike, version: str, *, dry_run: bool = False) -> list[str]:
    """Say an image, plate, well or collection in another OME-Zarr version, without touching a pixel.

    Between 0.5 and 0.6 the documents change. From 0.4 to 0.5 or 0.6 each array gets a document of Zarr format 3 that names its chunks by
    the keys of format 2. Labels, tables, unknown keys and other programs' groups come along.

    Parameters
    ----------
    store
        Anything that `open_ome_zarr_container` takes, writable.
    version
        "0.4" (for 0.1 to 0.3), "0.5" or "0.6".
    dry_run
        Work everything out, refuse what must be refused, write nothing.

    Returns
    -------
    list of str
        The places whose documents have changed (or would), innermost first; empty where the store is in that version already.

    Raises
    ------
    ArgumentError
        It cannot be done in place: the version cannot say what the documents say (transforms of 0.6 in 0.5), Zarr format 3 has no such
        codec, or a store of format 3 should become 0.4. Nothing is written; `omexp.convert` writes a new store.
    InvalidMetadataError, UnsupportedVersionError, StoreNotFoundError, ReadOnlyError
        The store cannot be used, or not be written.

    Examples
    --------
    >>> import numpy, omexp
    >>> options = {"xy_pixelsize": 1, "levels": 1, "ngff_version": "0.4", "overwrite": True}
    >>> _ = omexp.create_ome_zarr_from_array("v.zarr", numpy.ones((8, 8), "uint8"), **options)
    >>> len(omexp.change_version("v.zarr", "0.6")), omexp.open_ome_zarr_container("v.zarr").meta.version
    (2, '0.6')
    """
    new = writable_version(version)
    root = open_group(store, "r" if dry_run else "r+")
    if root.zarr_format == 3 and new.zarr_format == 2:
        raise ArgumentError(
            "Zarr format 3 does not become format 2 in place", where=root.where, got=f"version={version!r}", hint="Convert to a new store."
        )
    if not root.zarr.store.supports_listing:
        raise ArgumentError("a store that cannot be listed is not changed in place", where=root.where, hint="Convert to a new store.")
    _require_whole(root)
    if dry_run:
        return [f"{root.where}/{change.path}".rstrip("/") for change in _planned(root, nodes_below(root), version)]
    with exclusive(root), writing(root):
        consolidated, done = root.is_consolidated, dict[str, None]()
        while changes := _planned(root, nodes_below(root), version):  # again, for what somebody has put there meanwhile
            for change in changes:
                _write(root, change, version)
            done |= dict.fromkeys(change.path for change in changes)
        if new.zarr_format == 3:
            remove_format2(root, [node for node in nodes_below(root) if node.is_new])
        root = open_group(store)
        if consolidated:
            root.consolidate()
    return [f"{root.where}/{path}".rstrip("/") for path in done]


def _require_whole(root: Group) -> None:
    """Refuse a part of an image, well or plate: what is around it would no longer find it."""
    place = root
    for _ in range(3):
        above = parent_of(place)
        if above is None:
            return
        kind = kind_of(above.attributes)
        if kind in ("plate", "well", "labels", "image", "bioformats2raw"):
            raise ArgumentError(
                "this is part of something whose other documents would keep their version",
                where=root.where,
                got=f"inside of the {kind} {above.where}",
                hint="Change the version of the outermost one.",
            )
        place = above


def _write(root: Group, change: _Change, version: str) -> None:
    """Write what a node says now in the other version, under the lock of its group."""
    group = root if not change.path else root.find(change.path)
    with exclusive(group) if group is not None else nullcontext():
        for new in _changes_of(root, read_node(root, change.path), change.names, version):
            put_document(root, new.path, new.name, new.document)


def _planned(root: Group, nodes: Sequence[Node], version: str) -> list[_Change]:
    """What is to be written, innermost first."""
    names: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        names |= _dimension_names(root, node)
    return [change for node in nodes for change in _changes_of(root, node, names.get(node.path), version)]


def _changes_of(root: Group, node: Node, names: tuple[str, ...] | None, version: str) -> list[_Change]:
    """The document of a node that has to change; none where it is right already. A folder without documents becomes a group."""
    to, where = writable_version(version).zarr_format, f"{root.where}/{node.path}".rstrip("/")
    documents = node.documents
    attributes = documents.get(".zattrs", {})
    if node.is_new:
        name, old = "zarr.json", documents["zarr.json"]
        given = old.get("attributes", {})
        if node.is_array:
            new = old | {"dimension_names": list(names)} if names and not old.get("dimension_names") else old
        else:
            new = old | {"attributes": translate(given if isinstance(given, Mapping) else {}, 3, version, where)}
            new = {key: value for key, value in new.items() if key != "consolidated_metadata"} if new != old else new
    elif to == 2:
        name, old = ".zattrs", attributes
        new = old if node.is_array or not node.documents else translate(old, 2, version, where)
    else:
        name, old = "zarr.json", {}
        if node.is_array:
            new = array_in_format3(documents[".zarray"], attributes, where, names)
        else:
            new = {"zarr_format": 3, "node_type": "group", "attributes": translate(attributes, 2, version, where)}
    return [_Change(node.path, name, new, names)] if new != old else []


def _dimension_names(root: Group, node: Node) -> dict[str, tuple[str, ...]]:
    """Path of a level -> names of its axes, for the levels of all multiscales of an image."""
    document = node.documents.get("zarr.json", {}).get("attributes") if node.is_new else node.documents.get(".zattrs")
    if not isinstance(document, Mapping) or kind_of(document) not in ("image", "label"):
        return {}
    zarr_format, where = 3 if node.is_new else 2, f"{root.where}/{node.path}".rstrip("/")
    version = version_of(document, zarr_format, where)
    entries = version.sections(document).get("multiscales")
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries if isinstance(entries, list) else []:
        alone = version.with_sections(document, {"multiscales": [entry]})
        meta, _ = decode_image(alone, zarr_format, where)
        found |= {f"{node.path}/{level}".lstrip("/"): tuple(meta.multiscale.axes.names) for level in meta.paths}
    return found
