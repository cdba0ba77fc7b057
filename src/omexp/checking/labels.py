"""Lists of labels and tables, and where labels come from. Knows: names in lists, groups behind them. Does not know: arrays, files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omexp.checking.report import Findings
from omexp.metadata.labels import parse_labels_list
from omexp.metadata.problems import Problems, shown
from omexp.metadata.tables import parse_table
from omexp.metadata.versions import kind_of
from omexp.storage.nodes import Node, inside

if TYPE_CHECKING:
    from omexp.checking.walking import Visit, Walk

__all__ = ["check_label_names", "check_source", "check_tables", "members_at"]


def members_at(walk: Walk, path: str, names: Sequence[str], loc: str, found: Findings, missing: str = "member-missing") -> list[Node]:
    """The groups that a list names, below a path: those that are there; what leads outside is never followed."""
    places = {name: inside(path, name) for name in names}
    outside = [name for name, place in places.items() if place is None]
    for name in outside if loc not in ("labels", "series") else ():  # of these the document itself tells
        found.broken("path-inside", path, loc, f"leads outside the group: {shown(name)}")
    nodes = walk.nodes([place for place in places.values() if place is not None])
    for node in nodes:
        if node.foreign:
            found.broken("hierarchy-format", node.path, "", "it is there in the other Zarr format")
        elif node.kind is None:
            found.broken(missing, path, loc, f"{shown(node.path.removeprefix(path).strip('/'))} is listed, and not there")
    return [node for node in nodes if node.kind is not None]


def check_label_names(walk: Walk, visit: Visit, names: Sequence[str], found: Findings) -> None:
    """The labels that a labels group lists, those that it does not, and the groups between."""
    path = visit.node.path
    for node in members_at(walk, path, names, "labels", found):
        found.findings += walk.group(walk.visit(node, "label", image=visit.image))
    nested = [name for name in names if inside(path, name) is not None]
    between = sorted({name[:i] for name in nested for i, letter in enumerate(name) if letter == "/" and i})
    # "intermediate groups ... MUST NOT contain metadata" (0.5, 0.6: labels)
    for node in walk.nodes([f"{path}/{name}".strip("/") for name in between]):
        if kind_of(node.attributes) is not None:
            found.broken("labels-between", node.path, "", f"metadata of kind {kind_of(node.attributes)!r} between labels and a label")
    others = [name for name in walk.documents.names(path) if name not in names and name not in between]
    for node in walk.documents.groups([f"{path}/{name}".strip("/") for name in others]):
        # "All label images SHOULD be listed" (0.5, 0.6)
        if kind_of(node.attributes) in ("image", "label"):
            found.broken("labels-unlisted", path, "labels", f"{shown(node.path.rpartition('/')[2])} is there, and not in the list")


def check_source(walk: Walk, visit: Visit, source: Any, found: Findings) -> None:
    """The image that a label says it was made from."""
    image, path = source.get("image") if isinstance(source, Mapping) else None, visit.node.path
    if not isinstance(image, str) or visit.image is None:
        return
    place = posixpath.normpath(posixpath.join("/", "#", path, image)).removeprefix("/#").strip("/")
    outside = not posixpath.normpath(posixpath.join("/#", path, image)).startswith("/#") or image.startswith("/") or "\0" in image
    if not outside and place == visit.image.path:
        return
    if outside:
        message = f"{shown(image)} leads outside the store"
    else:
        (node,) = walk.documents.groups([place])
        if kind_of(node.attributes) == "image":
            return
        message = f"there is no image at {shown(image)}"
    found.broken("label-source-there", path, "image-label.source.image", message)


def check_tables(walk: Walk, path: str, tables: Node, labels: Sequence[str] | None, found: Findings) -> None:
    """Fractal's tables below an image or a plate; `labels` are the image's labels, None where tables refer to none."""
    if tables.kind != "group":
        if tables.foreign:
            found.broken("hierarchy-format", tables.path, "", "it is there in the other Zarr format")
        return
    if tables.damage is not None:
        found.broken("json", tables.path, "", tables.damage)
        return
    walk.tables[tables.path] = tables
    inner = tables.attributes.get("ome")
    value = inner["tables"] if isinstance(inner, Mapping) and "tables" in inner else tables.attributes.get("tables")
    problems = Problems(version=found.version, checking=True)
    names = parse_labels_list(value, problems, "tables")
    found.take(tables.path, problems.found)
    for node in members_at(walk, tables.path, names, "tables", found, missing="tables-missing"):
        if node.damage is not None:
            found.broken("json", node.path, "", node.damage)
            continue
        label = parse_table(node.attributes).reference_label
        if label is not None and labels is not None and label not in labels:
            found.broken("table-region", node.path, "region.path", f"there is no label {shown(label)}")
    others = [name for name in walk.documents.names(tables.path) if name not in names]
    for name in others:
        found.broken("tables-unlisted", tables.path, "tables", f"{shown(name)} is there, and not in the list")
