"""Plates, wells, collections, scenes. Knows: the groups that they list, and what these must agree on. Does not know: arrays, files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omexp.checking.labels import members_at
from omexp.checking.report import Finding, Findings
from omexp.metadata.multiscale import Multiscale
from omexp.metadata.plate import PlateMeta, WellMeta
from omexp.metadata.problems import shown
from omexp.metadata.series import numbered
from omexp.metadata.systems import Link
from omexp.metadata.validation import examine_document
from omexp.metadata.versions import decode_series
from omexp.storage.nodes import Node, inside

if TYPE_CHECKING:
    from omexp.checking.walking import Visit, Walk

__all__ = ["PlateFacts", "check_collection", "check_plate", "check_scene", "check_well"]


@dataclass(frozen=True, slots=True)
class PlateFacts:
    """What wells are compared with: the plate's acquisitions. `fields` gets, per well, how many fields each acquisition has."""

    acquisitions: tuple[int, ...]
    fields: dict[str, Counter[int | None]] = field(default_factory=dict)


def check_plate(walk: Walk, node: Node, plate: PlateMeta, found: Findings) -> None:
    """The wells that a plate lists, and how many fields they have."""
    facts = walk.fields[node.path] = PlateFacts(tuple(a.id for a in plate.acquisitions))
    rows = list(dict.fromkeys(path.rsplit("/", 1)[0] for path in plate.wells))
    for row in walk.nodes([place for name in rows if (place := inside(node.path, name)) is not None]):
        if row.kind is None and not row.foreign:
            found.broken("plate-row-group", row.path, "", "there is no Zarr group for the row")
    wells = members_at(walk, node.path, plate.wells, "plate.wells", found)

    def check(well: Node) -> list[Finding]:
        return walk.group(walk.visit(well, "well", plate=facts))

    for listed in walk.documents.each(check, wells):
        found.findings += listed
    _check_counts(plate, facts, node.path, found)


def _check_counts(plate: PlateMeta, facts: PlateFacts, path: str, found: Findings) -> None:
    """The numbers of fields that a plate names against those of its wells."""
    most = max((sum(fields.values()) for fields in facts.fields.values()), default=0)
    if plate.field_count is not None and plate.field_count < most:
        found.broken("plate-field-count-true", path, "plate.field_count", f"{plate.field_count}, where a well has {most} fields")
    for i, run in enumerate(plate.acquisitions):
        most = max((fields[run.id] for fields in facts.fields.values()), default=0)
        told = run.extra.get("maximumfieldcount")
        if type(told) is int and told < most:
            place = f"plate.acquisitions.{i}.maximumfieldcount"
            found.broken("acquisition-fieldcount-true", path, place, f"{told}, where a well has {most} fields of it")


def check_well(walk: Walk, visit: Visit, well: WellMeta, found: Findings) -> None:
    """The fields that a well lists, and the acquisitions that they belong to."""
    path, plate = visit.node.path, visit.plate
    if plate is not None:
        plate.fields[path] = Counter(image.acquisition for image in well.images)
        for i, image in enumerate(well.images):
            place = f"well.images.{i}.acquisition"
            # "MUST contain 'acquisition' where there are several in the plate", "MUST match one of the acquisition objects" (0.4 to 0.6)
            if image.acquisition is None and len(plate.acquisitions) > 1:
                found.broken("well-acquisition-known", path, place, f"missing; the plate has {len(plate.acquisitions)} acquisitions")
            elif image.acquisition is not None and image.acquisition not in plate.acquisitions:
                listed = ", ".join(map(str, plate.acquisitions)) or "none"
                found.broken("well-acquisition-known", path, place, f"{shown(image.acquisition)} is none of the plate's: {listed}")
    for image_node in members_at(walk, path, [image.path for image in well.images], "well.images", found):
        found.findings += walk.group(walk.visit(image_node, "image"))


def check_collection(walk: Walk, node: Node, found: Findings) -> None:
    """The images of a bioformats2raw collection."""
    place = inside(node.path, "OME")
    assert place is not None
    (about,) = walk.nodes([place])
    listed = None
    if about.kind == "group" and about.damage is None and about.attributes:
        found.take(place, examine_document(about.attributes, zarr_format=walk.documents.zarr_format).problems)
        listed = decode_series(about.attributes)
    if about.damage is not None:
        found.broken("json", place, "", about.damage)
    # "'OME/METADATA.ome.xml' SHOULD be present" (0.4 to 0.6: bioformats2raw.layout)
    if not walk.documents.exists(f"{place}/METADATA.ome.xml"):
        found.broken("collection-xml", place, "METADATA.ome.xml", "missing")
    images = _numbered(walk, node.path) if listed is None else members_at(walk, node.path, listed, "series", found)
    for image in images:
        found.findings += walk.group(walk.visit(image, "image"))


def _numbered(walk: Walk, path: str) -> list[Node]:
    """The images of a collection that lists none."""
    nodes: dict[str, Node] = {}

    def there(names: Sequence[str]) -> Collection[str]:
        found = walk.nodes([f"{path}/{name}".strip("/") for name in names])
        nodes.update((name, node) for name, node in zip(names, found, strict=True) if node.kind is not None)
        return nodes

    return [nodes[name] for name in numbered(there)]


def check_scene(walk: Walk, node: Node, links: Sequence[Link], found: Findings) -> None:
    """The images whose coordinate systems a scene connects."""
    ends = [(f"scene.coordinateTransformations.{i}.{key}", end) for i, link in enumerate(links) for key, end in _ends(link)]
    paths = list(dict.fromkeys(end.path for _, end in ends if end.path))
    systems: dict[str, list[str]] = {}
    for image in members_at(walk, node.path, paths, "scene.coordinateTransformations", found):
        found.findings += walk.group(walk.visit(image, "image"))
        systems[image.path] = _systems_of(image)
    for place, end in ends:
        path = inside(node.path, end.path) if end.path else None
        # "'name' MUST be a coordinate system of the image at 'path'" (0.6: scene)
        if path in systems and end.name not in systems[path]:
            found.broken("scene-system", node.path, place, f"the image at {shown(end.path)} has no system {shown(end.name)}")


def _ends(link: Link) -> list[tuple[str, Any]]:
    return [(key, end) for key, end in (("input", link.input), ("output", link.output)) if end is not None]


def _systems_of(node: Node) -> list[str]:
    parsed = examine_document(node.attributes, zarr_format=3).parsed.get("multiscales") or [] if node.damage is None else []
    return [name for multiscale in parsed if isinstance(multiscale, Multiscale) for name in multiscale.systems]
