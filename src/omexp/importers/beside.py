"""What lies beside the pixels of an OME-Zarr group. Knows: keys of other programs, tables, members that are no part of it. Does not know:
levels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from omexp.containers.tables import TablesCollection
from omexp.errors import OmexpError
from omexp.metadata.image import ImageMeta
from omexp.metadata.translation import SECTIONS
from omexp.metadata.versions import version_of, writable_version
from omexp.storage.groups import Group, writing

__all__ = ["carry_array_attributes", "carry_unknown_keys", "copy_tables", "strangers"]

_OURS = {*SECTIONS, "ome", "version"}
_DIMENSIONS = "_ARRAY_DIMENSIONS"  # xarray's names of the axes, which the document and Zarr format 3 say by themselves


def carry_unknown_keys(source: Group, target: Group, version: str, *, without: Collection[str] = ()) -> None:
    """Put what other programs wrote beside the document's own keys where it was: beside `ome`, or inside it."""
    document = source.attributes
    beside = {k: v for k, v in document.items() if k not in _OURS and k not in without}
    inner = document.get("ome")
    inside = {k: v for k, v in inner.items() if k not in _OURS} if isinstance(inner, Mapping) else {}
    if beside or inside:
        found = target.attributes | beside
        target.put_attributes(writable_version(version).with_sections(found, inside) if inside else found)


def carry_array_attributes(source: Group, target: Group, paths: Mapping[str, str]) -> None:
    """Put the attributes of the arrays at some paths on those of the target."""
    for path, new in paths.items():
        attributes = {k: v for k, v in source.array(path).attributes.items() if k != _DIMENSIONS}
        if attributes:
            with writing(target):
                target.array(new).zarr.attrs.put(attributes)


def copy_tables(source: Group, target: Group, version: str) -> list[str]:
    """Copy all tables of a group; the names of those that cannot be read, each with the reason."""
    failed, begun, made = [], TablesCollection(source, version), TablesCollection(target, version)
    for name in begun.list():
        try:
            table = begun.get(name)
            made.add(name, table)
        except OmexpError as error:
            failed.append(f"table {name!r} ({error})")
    about, new = source.find("tables"), target.find("tables")
    if about is not None and new is not None:
        carry_unknown_keys(about, new, version, without=("tables",))
    return failed


def strangers(group: Group, meta: ImageMeta, carried: Collection[str], labels: Collection[str] | None, prefix: str = "") -> list[str]:
    """What lies in the group of an image, or of a label (`labels` is None), and is no part of the copy, by name after `prefix`.

    `carried` are the paths of the arrays whose attributes come along.
    """
    document = group.attributes
    multiscales = version_of(document, group.zarr_format, group.where).sections(document)["multiscales"]
    found = [f"{prefix}multiscales.{i}" for i in range(1, len(multiscales))]
    members = set(group.members())
    inside = set() if labels is None else {"labels", "tables"}
    known = {path.partition("/")[0] for path in meta.paths} | inside
    found += [f"group or array {prefix + name!r}" for name in sorted(members - known)]
    listed = {"labels": labels or (), "tables": TablesCollection(group, meta.version).list() if "tables" in members & inside else ()}
    for what in sorted(members & inside):
        there = group.find(what)
        found += [f"{what}/{name}, which is not listed" for name in (there.members() if there else []) if name not in listed[what]]
    for path in meta.paths:
        if path not in carried:
            names = sorted(set(group.array(path).attributes) - {_DIMENSIONS})
            found += [f"array attribute {name!r} of level {prefix + path!r}" for name in names]
    return found
