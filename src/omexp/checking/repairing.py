"""Stores put right. Knows: what the store says about each document, when a document is written. Does not know: which value is right.

The walk of the validation runs over documents that exist in memory only, until nothing more can be put right. Then each one that is
another is written, in one step that is atomic on a local disk, if nobody has changed it meanwhile. Pixels are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omexp.checking.mending import Repair, is_deep, mended
from omexp.checking.remedies import FIXES, Case
from omexp.checking.report import Finding
from omexp.checking.walking import Visit, Walk
from omexp.errors import InvalidMetadataError, OmexpError
from omexp.metadata.problems import shown
from omexp.metadata.versions import decode_names, kind_of
from omexp.storage.blobs import read_blob, write_blob
from omexp.storage.groups import Group, StoreLike, open_group, writing
from omexp.storage.locks import exclusive
from omexp.storage.nodes import Documents, Node, inside

__all__ = ["Repairs", "repair"]

_ROUNDS = 8  # what is put right may show more to put right: a list that was mended leads to a label
_PIXELS = ("array-", "chunk-", "levels-", "label-dtype", "label-grid", "label-levels")
_UNCOPIED = ("json", "array-readable", "hierarchy-format")  # where members break these, Zarr makes no copy, or half of one
_MISSING = ("member-missing", "tables-missing", "array-missing", "json", "plate-row-group", "collection-xml")


@dataclass(frozen=True)
class Repairs:
    """What `repair` did, and what it left; as a sequence, what it did.

    Parameters
    ----------
    done
        Each with its location, rule, and the value before and after.
    left
        Findings that remain, as `validate` reports them.
    dry_run
        Nothing was written.
    """

    done: tuple[Repair, ...]
    left: tuple[Finding, ...]
    dry_run: bool = False

    def __iter__(self) -> Iterator[Repair]:
        return iter(self.done)

    def __len__(self) -> int:
        return len(self.done)

    def __getitem__(self, i: int) -> Repair:
        return self.done[i]

    def why_left(self, finding: Finding) -> str:
        """Why a finding was left."""
        if finding.rule.startswith(_PIXELS) and finding.rule not in _MISSING:
            return "it is a matter of pixels or of how they are stored, which are never changed"
        if finding.rule in _MISSING:
            return "what is missing or damaged cannot be made up"
        return "what is right there cannot be known from the store"

    def to_json(self) -> dict[str, Any]:
        """``{"dry_run", "done": [{"location", "rule", "message"}], "left": [problems of `validate`, with "why"]}``."""
        left = [finding.to_json() | {"why": self.why_left(finding)} for finding in self.left]
        return {"dry_run": self.dry_run, "done": [one.to_json() for one in self.done], "left": left}

    def __repr__(self) -> str:
        lines = [f"  {one}" for one in self.done]
        verb = "would be repaired" if self.dry_run else "repaired"
        return "\n".join([f"Repairs({len(self.done)} {verb}, {len(self.left)} left)", *lines])


def repair(store: StoreLike, dry_run: bool = False, *, remove_missing: bool = False) -> Repairs:
    """Put right what has one remedy only; never a pixel, and nothing that is not known is lost.

    Labels and tables that are there and not listed, versions in the wrong place or missing, row and column indices, field counts, missing
    display windows and colours, numbers written as text and text as numbers, nulls and empty lists, types of the axes t, c, z, y, x,
    `dimension_names` of arrays, `image-label` of a label, consolidated metadata that is out of date. Doing it again does nothing.

    Parameters
    ----------
    store
        A path, zarr store or group, as for `validate`.
    dry_run
        Say what would be done.
    remove_missing
        Take labels and tables that are not there off their lists.

    Returns
    -------
    Repairs
        `done`, `left`; a sequence of what was done.

    Raises
    ------
    StoreNotFoundError, ReadOnlyError
        There is nothing there, or it cannot be written.

    Examples
    --------
    >>> import omexp
    >>> group = omexp.create_empty_ome_zarr("hurt.zarr", (64, 64), xy_pixelsize=0.5, levels=1, overwrite=True).group
    >>> document = group.attributes
    >>> document["ome"]["omero"]["channels"][0]["color"] = "#00FF00"
    >>> group.put_attributes(document)
    >>> print(*repair("hurt.zarr"))
    omero.channels.0.color: '#00FF00' -> '00FF00'
    >>> len(repair("hurt.zarr"))
    0
    """
    group = open_group(store, "r" if dry_run else "r+")
    if not dry_run:
        with writing(group):  # a read-only store says so before anything is looked for
            documents = Documents(group)
    else:
        documents = Documents(group)
    done: list[Repair] = []
    walk = Walk(documents)
    findings = walk.run()
    for _ in range(_ROUNDS):
        before = dict(documents.changed)
        fresh = _round(walk, findings, remove_missing)
        walk = Walk(documents)
        found = walk.run() if fresh else findings
        if not fresh or _errors(found) > _errors(findings):
            documents.changed = before
            break
        done, findings = [*done, *fresh], found
    if not dry_run:
        _write(group, documents)
    stale = [finding for finding in findings if finding.rule == "consolidated-stale"]
    copyable = not any(finding.rule in _UNCOPIED for finding in findings)
    if stale and copyable and (dry_run or _consolidated(group)):
        done.append(Repair(stale[0].location, stale[0].rule, "the documents of the members are copied again"))
        findings = [finding for finding in findings if finding not in stale]
    return Repairs(tuple(done), tuple(findings), dry_run)


def _errors(findings: Sequence[Finding]) -> int:
    return sum(finding.level == "error" for finding in findings)


def _round(walk: Walk, findings: Sequence[Finding], remove_missing: bool) -> list[Repair]:
    """Put right what each document alone says, and what the store says about it; the documents are changed in memory."""
    done = []
    for path, visit in walk.visited.items():
        mine = [finding for finding in findings if finding.path == path and finding.rule in FIXES]
        if not mine:
            continue
        document, fresh = mended(_case(walk, visit, mine, remove_missing), mine)
        if fresh:
            walk.documents.change_group(visit.node, document)
        done += fresh
    for path, tables in walk.tables.items():
        mine = [finding for finding in findings if finding.path == path and finding.rule in FIXES]
        document, fresh = mended(_case(walk, Visit(tables, "tables"), mine, remove_missing), mine) if mine else ({}, [])
        if fresh:
            walk.documents.change_group(tables, document)
        done += fresh
    return done + _named(walk, findings)


def _named(walk: Walk, findings: Sequence[Finding]) -> list[Repair]:
    """Arrays that get the names of their image's axes."""
    wanted = {finding.path: finding for finding in findings if finding.rule == "array-names"}
    wrong = {finding.path for finding in findings if finding.rule == "array-axes"}
    done = []
    for levels in walk.levels.values():
        names = levels.multiscale.axes.names
        for level in levels.arrays:
            finding = wanted.pop(inside(levels.path, level) or "", None)
            if finding is None or finding.path in wrong:
                continue
            (node,) = walk.documents.arrays([finding.path])
            if is_deep(node.document):
                continue
            walk.documents.change_array(node, {"dimension_names": list(names)})
            done.append(Repair(finding.location, finding.rule, f"{shown(node.document.get('dimension_names'))} -> {', '.join(names)}"))
    return done


def _case(walk: Walk, visit: Visit, findings: Sequence[Finding], remove_missing: bool) -> Case:
    """What the store says about a group's document, as far as its findings ask for it."""
    node, rules = visit.node, {finding.rule for finding in findings}
    case = Case(node.attributes, walk.documents.zarr_format, walk.version or "0.5")
    if rules & {"labels-key", "labels-unlisted"}:
        case = replace(case, labels=_sound_labels(walk, visit))
    if "tables-unlisted" in rules:
        case = replace(case, tables=walk.documents.names(node.path))
    if remove_missing and rules & {"member-missing", "tables-missing"}:
        case = replace(case, gone=_gone(walk, node))
    if node.path in walk.fields:
        case = replace(case, fields=walk.fields[node.path].fields)
    if visit.expected == "label":
        below = node.path.split("/labels/")[-1] if "/labels/" in f"/{node.path}" else node.path
        case = replace(case, source="../" * (len(below.removeprefix("labels/").split("/")) + 1))
    levels = walk.levels.get(node.path)
    finest = None if levels is None else levels.arrays.get(levels.multiscale.paths[0])
    if levels is None or finest is None:
        return case
    position = levels.multiscale.axes.index("c")
    fits = len(finest.shape) == len(levels.multiscale.axes)
    count = None if not fits else 1 if position is None else finest.shape[position]
    return replace(case, channels=count, dtype=finest.dtype)


def _sound_labels(walk: Walk, visit: Visit) -> list[str]:
    """The names of images below a labels group in which no MUST is broken: a list that names a broken one is no better."""
    names = walk.documents.names(visit.node.path)
    nodes = walk.documents.groups([f"{visit.node.path}/{name}".strip("/") for name in names])
    images = [(name, node) for name, node in zip(names, nodes, strict=True) if kind_of(node.attributes) in ("image", "label")]

    def is_sound(node: Node) -> bool:
        probe = Walk(walk.documents)
        probe.version = walk.version
        return not _errors(probe.group(Visit(node, "label", visit.image)))

    return [name for name, node in images if is_sound(node)]


def _gone(walk: Walk, node: Node) -> list[str]:
    """The names of a list that nothing lies behind."""
    try:
        listed = [name for key in ("labels", "tables") for name in decode_names(node.attributes, key)]
    except InvalidMetadataError:
        return []
    places = {name: place for name in listed if (place := inside(node.path, name)) is not None}
    found = dict(zip(places, walk.documents.groups(list(places.values())), strict=True))
    return [name for name, member in found.items() if member.kind is None and not member.foreign]


# -------------------------------------------------------------------------------------------------------- writing
def _write(group: Group, documents: Documents) -> None:
    """Write the documents that are others now, the deepest first: a list is written after what it names.

    One that somebody else has changed meanwhile is left as they wrote it.
    """
    for change in sorted(documents.changes(), key=lambda change: -change.path.count("/") - bool(change.path)):
        holder = group.find(change.path) if change.is_group and change.path else group
        if holder is None:
            continue
        with exclusive(holder):
            if read_blob(group, change.key) != change.before:
                continue
            write_blob(group, change.key, change.after)


def _consolidated(group: Group) -> bool:
    """Make the copy of the members' documents anew; False where it is out of date still, or Zarr cannot make it."""
    try:
        group.consolidate()
    except OmexpError:
        raise
    except Exception:  # zarr's words for documents that it cannot read are of many classes
        return False
    return not any(finding.rule == "consolidated-stale" for finding in Walk(Documents(group)).run())
