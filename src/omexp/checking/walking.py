"""The walk over a hierarchy. Knows: which documents a group leads to, in which order they are read. Does not know: files, pixels.

Each document is asked for once. What is missing is looked for once, too: an image may have labels and tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omexp.checking.arrays import Levels, check_label, check_levels
from omexp.checking.labels import check_label_names, check_source, check_tables
from omexp.checking.plates import PlateFacts, check_collection, check_plate, check_scene, check_well
from omexp.checking.report import Finding, Findings
from omexp.metadata.problems import shown
from omexp.metadata.validation import Examined, examine_document
from omexp.metadata.versions import tag_of
from omexp.storage.journal import is_unfinished
from omexp.storage.nodes import ArrayFacts, Documents, Node, facts_of, inside, parsed_json, remembered

__all__ = ["Visit", "Walk"]

_SECTION = {"image": "multiscales", "label": "multiscales", "well": "well", "labels": "labels"}  # of what a list leads to
CheckData = Callable[[str, Findings], None]


@dataclass(frozen=True, slots=True)
class Visit:
    """One group on the way: its node, what it must be (None: anything), the image or plate that led to it."""

    node: Node
    expected: str | None = None
    image: Levels | None = None
    plate: PlateFacts | None = None


class Walk:
    """A walk over the documents below a group.

    Parameters
    ----------
    documents
        Where they are read.
    version
        The OME-Zarr version that the first group must have; None: any.
    data
        Called with the path of every array that can be read.
    alone
        Look at the first group and its arrays only.
    """

    def __init__(self, documents: Documents, *, version: str | None = None, data: CheckData | None = None, alone: bool = False) -> None:
        self.documents, self._wanted, self._data, self.alone = documents, version, data, alone
        self.version: str | None = None  # of the first group
        self.visited: dict[str, Visit] = {}  # groups that can be used, by path
        self.levels: dict[str, Levels] = {}  # of the first multiscale of each image
        self.fields: dict[str, PlateFacts] = {}  # of each plate
        self.tables: dict[str, Node] = {}  # the groups of tables
        self._copies: Mapping[str, Any] | None = None
        self._stale: list[str] = []

    def run(self) -> list[Finding]:
        """Every finding, in the order of the hierarchy."""
        (root,) = self.documents.groups([""])
        self._copies = _consolidated(self.documents, root)
        found = self.group(Visit(root))
        if self._stale:
            summary = Findings(self.version or "0.5")
            first = ", ".join(map(repr, sorted(self._stale)[:3]))
            summary.broken("consolidated-stale", "", "consolidated_metadata", f"the copy differs for {len(self._stale)} of them: {first}")
            found += summary.findings
        return found

    def visit(self, node: Node, expected: str, *, image: Levels | None = None, plate: PlateFacts | None = None) -> Visit:
        """A group that a list leads to."""
        return Visit(node, expected, image, plate)

    def nodes(self, paths: Sequence[str]) -> list[Node]:
        """The groups at some paths, compared with the consolidated copies of their documents."""
        nodes = self.documents.groups(paths)
        self._compare(nodes)
        return nodes

    # ------------------------------------------------------------------------------------------------------ groups
    def group(self, visit: Visit) -> list[Finding]:
        """What is wrong with a group that is there and all that it leads to."""
        node = visit.node
        if node.damage is not None:
            return self._one("json", node.path, "", node.damage)
        if node.kind is None:  # of the first group only: Zarr opens some damaged ones
            return self._one("json", node.path, "", f"there is no document of Zarr format {self.documents.zarr_format}")
        if node.kind == "array":
            return self._one("member-kind", node.path, "", f"expected a group{_named(visit.expected)}, got an array")
        self.visited[node.path] = visit
        tagged = tag_of(node.attributes) is not None
        wanted = self._wanted if self.version is None else None if tagged else self.version
        examined = _examined(node.raw, self.documents.zarr_format, wanted)
        found = Findings(examined.version.tag if examined.version is not None else self.version or "0.5")
        if self.version is None:
            self.version = found.version
        self._take(visit, examined, found)
        if tagged and examined.version is not None and found.version != self.version:
            message = f"expected {self.version}, as the hierarchy has, got {found.version}"
            found.broken("hierarchy-version", node.path, "version", message)
        self._descend(visit, examined, found, tagged)
        return found.findings

    def _one(self, rule: str, path: str, loc: str, message: str) -> list[Finding]:
        found = Findings(self.version or "0.5")
        found.broken(rule, path, loc, message)
        return found.findings

    def _take(self, visit: Visit, examined: Examined, found: Findings) -> None:
        """The document's own problems, and whether it is what it must be."""
        node, problems, key = visit.node, examined.problems, _SECTION.get(visit.expected or "")
        if visit.expected == "labels" and "labels" not in examined.sections:
            problems = tuple(p for p in problems if p.rule != "known-kind")
            found.broken("labels-key", node.path, "labels", "missing; expected a list of names")
        elif key is not None and key not in examined.sections and not any(p.rule == "known-kind" for p in problems):
            what = ", ".join(sorted(k for k in examined.sections if k != "version")) or "nothing"
            found.broken("member-kind", node.path, key, f"expected {visit.expected} metadata, got {shown(what)}")
        found.take(node.path, problems)

    def _descend(self, visit: Visit, examined: Examined, found: Findings, tagged: bool) -> None:
        sections, parsed, only = examined.sections, examined.parsed, _SECTION.get(visit.expected or "")
        if "multiscales" in sections and only in (None, "multiscales"):
            self._image(visit, examined, found, tagged)
        if self.alone:
            return
        if "labels" in sections and only in (None, "labels"):
            check_label_names(self, visit, parsed["labels"] or [], found)
        if only is not None and only != "well":
            return
        if parsed.get("well") is not None:
            check_well(self, visit, parsed["well"], found)
        if only is None and parsed.get("plate") is not None:
            check_plate(self, visit.node, parsed["plate"], found)
            check_tables(self, visit.node.path, self.nodes([_below(visit.node.path, "tables")])[0], None, found)
        elif only is None and "bioformats2raw.layout" in sections and "plate" not in sections:
            check_collection(self, visit.node, found)
        if only is None and parsed.get("scene"):
            check_scene(self, visit.node, parsed["scene"], found)

    # ------------------------------------------------------------------------------------------------------ images
    def _image(self, visit: Visit, examined: Examined, found: Findings, tagged: bool) -> None:
        """The arrays of an image or label; then the labels and tables of an image."""
        node = visit.node
        multiscales = [multiscale for multiscale in examined.parsed["multiscales"] or [] if multiscale is not None]
        levels = list(dict.fromkeys(path for multiscale in multiscales for path in multiscale.paths))
        arrays = self._arrays(node.path, levels, found)
        for multiscale in multiscales:
            check_levels(Levels(node.path, multiscale, arrays), found, tagged=tagged)
        first = Levels(node.path, multiscales[0], arrays) if multiscales else None
        if first is not None:
            self.levels[node.path] = first
            _check_channels(examined.sections.get("omero"), first, found)
        if self.documents.folder is not None and is_unfinished(Path(self.documents.folder) / node.path):
            found.broken("levels-unfinished", node.path, "multiscales", "making the coarser levels broke off, or is going on")
        is_label = visit.expected == "label" or "image-label" in examined.sections
        if is_label:
            self._label(visit, examined, first, found)
        elif not self.alone:
            labels, tables = self.nodes([_below(node.path, "labels"), _below(node.path, "tables")])
            names = None
            if labels.kind is not None or labels.foreign:
                names = self._labels(Visit(labels, "labels", first), found)
            check_tables(self, node.path, tables, names or [], found)

    def _arrays(self, path: str, levels: Sequence[str], found: Findings) -> dict[str, ArrayFacts]:
        """What the arrays of an image say, by level; those that cannot be read are found."""
        places = {level: inside(path, level) for level in levels}
        usable = {level: place for level, place in places.items() if place is not None}
        nodes = self.documents.arrays(list(usable.values()))
        self._compare(nodes)
        arrays = {}
        for level, node in zip(usable, nodes, strict=True):
            if node.kind != "array" and node.damage is None:
                there = "a group" if node.kind == "group" else "an array in the other Zarr format" if node.foreign else "nothing"
                rule = "hierarchy-format" if node.foreign else "array-missing"
                found.broken(rule, path, "multiscales", f"level {shown(level)}: expected an array, found {there}")
                continue
            facts, why = facts_of(node)
            if facts is None:
                found.broken("array-readable" if node.damage is None else "json", node.path, "", why or "")
                continue
            arrays[level] = facts
            if self._data is not None:
                self._data(node.path, found)
        return arrays

    def _labels(self, visit: Visit, found: Findings) -> list[str]:
        """The group of an image's labels; the names in its list."""
        if visit.node.foreign:
            found.broken("hierarchy-format", visit.node.path, "", "a group in the other Zarr format")
            return []
        found.findings += self.group(visit)
        if visit.node.damage is not None or visit.node.kind != "group":
            return []
        wanted = None if tag_of(visit.node.attributes) is not None else self.version
        return _examined(visit.node.raw, self.documents.zarr_format, wanted).parsed.get("labels") or []

    def _label(self, visit: Visit, examined: Examined, levels: Levels | None, found: Findings) -> None:
        block = examined.sections.get("image-label")
        if "image-label" not in examined.sections:
            found.broken("label-block-missing", visit.node.path, "image-label", "missing")
        if levels is not None and visit.image is not None:
            check_label(levels, visit.image, found)
        if isinstance(block, Mapping) and not self.alone:
            check_source(self, visit, block.get("source"), found)

    # ------------------------------------------------------------------------------------------------- consolidated
    def _compare(self, nodes: Sequence[Node]) -> None:
        """Note nodes whose consolidated copy is missing or another one."""
        if self._copies is None:
            return
        for node in nodes:
            if node.damage is None and not node.foreign and not _same(node, self._copies, self.documents.zarr_format):
                self._stale.append(node.path)


@remembered(512)
def _examined(raw: bytes, zarr_format: int, version: str | None) -> Examined:
    """A document that was read, examined. Equal fields of a plate have equal documents."""
    document = parsed_json(raw)[0] if raw else {}
    return examine_document(document.get("attributes", {}) if zarr_format == 3 else document, zarr_format=zarr_format, version=version)


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _named(expected: str | None) -> str:
    return f" of a {expected}" if expected else ""


def _check_channels(omero: Any, levels: Levels, found: Findings) -> None:
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    array, position = levels.arrays.get(levels.multiscale.paths[0]), levels.multiscale.axes.index("c")
    if not isinstance(channels, list) or array is None or len(array.shape) != len(levels.multiscale.axes):
        return
    count = 1 if position is None else array.shape[position]
    # "'channels' ... an array of channels, one per index of the c axis" (all versions: omero)
    if len(channels) != count:
        found.broken("omero-count", levels.path, "omero.channels", f"expected {count}, as the c axis has, got {len(channels)}")


def _consolidated(documents: Documents, root: Node) -> Mapping[str, Any] | None:
    """The copies of the members' documents that the first group holds; None where it holds none."""
    if documents.zarr_format == 3:
        found = root.document.get("consolidated_metadata")
    else:
        raw = documents.blob(".zmetadata")
        found = parsed_json(raw)[0] if raw is not None else None
    copies = found.get("metadata") if isinstance(found, Mapping) else None
    return copies if isinstance(copies, Mapping) else None


def _same(node: Node, copies: Mapping[str, Any], zarr_format: int) -> bool:
    """Whether a node has a copy that says the same (what Zarr spells out in one and not in the other counts for nothing)."""
    if zarr_format == 3:
        copy = copies.get(node.path)
        keys: tuple[str, ...] = ("shape", "data_type", "dimension_names") if node.kind == "array" else ()
        mine: Mapping[str, Any] = node.document
        if node.kind == "group" and isinstance(copy, Mapping) and copy.get("attributes", {}) != node.attributes:
            return False
    elif node.kind == "group":
        return _below(node.path, ".zgroup") in copies and (copies.get(_below(node.path, ".zattrs")) or {}) == node.attributes
    else:
        copy, keys, mine = copies.get(_below(node.path, ".zarray")), ("shape", "dtype"), node.document
    if node.kind is None:
        return copy is None
    return isinstance(copy, Mapping) and all(copy.get(key) == mine.get(key) for key in keys)
