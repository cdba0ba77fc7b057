"""Documents in the words of another version. Knows: which sections there are, what a version cannot say. Does not know: stores, arrays.

Everything that is no section of OME-Zarr stays where it is. What the other version cannot say is refused: nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.multiscale import Multiscale, parse_multiscale
from omexp.metadata.problems import Problems
from omexp.metadata.versions import Version, tag_of, version_of, writable_version

__all__ = ["SECTIONS", "translate", "unsayable"]

SECTIONS = ("multiscales", "omero", "labels", "image-label", "plate", "well", "bioformats2raw.layout", "series")


def translate(document: Mapping[str, Any], zarr_format: int, version: str, where: str) -> dict[str, Any]:
    """The document of an OME-Zarr group of any kind in another version.

    Parameters
    ----------
    document
        A group's attributes.
    zarr_format
        Of the group.
    version
        "0.4", "0.5" or "0.6".
    where
        The group, for messages.

    Raises
    ------
    ArgumentError
        The version cannot be written, or cannot say what the document says.
    InvalidMetadataError, UnsupportedVersionError
        The document cannot be used.

    Examples
    --------
    >>> translate({"well": {"images": [{"path": "0"}], "version": "0.4"}}, 2, "0.5", "a well")
    {'ome': {'version': '0.5', 'well': {'images': [{'path': '0'}], 'version': '0.5'}}}
    """
    new = writable_version(version)
    if not _is_ours(document):
        return dict(document)
    old = version_of(document, zarr_format, where)
    if old == new and tag_of(document) == new.tag:
        return dict(document)
    sections = old.sections(document)
    if old.namespaced:
        beside, inside = {k: v for k, v in document.items() if k != "ome"}, {k: v for k, v in sections.items() if k != "version"}
    else:
        beside, inside = ({k: v for k, v in document.items() if (k in SECTIONS) is known} for known in (False, True))
    if "multiscales" in inside:
        inside["multiscales"] = [_multiscale(entry, i, old, new, where) for i, entry in enumerate(inside["multiscales"])]
    for block in ("omero", "image-label", "plate", "well"):
        if isinstance(inside.get(block), Mapping):
            inside[block] = new.tagged(block, {k: v for k, v in inside[block].items() if k != "version"})
    if new.namespaced:
        return beside | {"ome": {"version": new.tag} | inside}
    taken = sorted(beside.keys() & inside.keys())
    if taken:
        raise ArgumentError(
            f"OME-Zarr {new.tag} keeps its keys beside other programs'", where=where, got=", ".join(taken), hint="Rename those."
        )
    return beside | inside


def _is_ours(document: Mapping[str, Any]) -> bool:
    return "ome" in document or any(key in document for key in SECTIONS)


def _multiscale(entry: Any, number: int, old: Version, new: Version, where: str) -> dict[str, Any]:
    problems = Problems(version=old.tag)
    multiscale = parse_multiscale(entry, problems, f"multiscales.{number}", old.spelling)
    if multiscale is None:
        problems.raise_errors(where)
        raise AssertionError("an unusable multiscale comes with an error")
    if multiscale.scale_is_implied:
        raise ArgumentError(
            "the document says no scales, so it cannot be put into other words alone", where=where, hint="Convert to a new store."
        )
    lost = unsayable(multiscale) if new.spelling != "systems" else []
    if lost:
        raise ArgumentError(
            f"OME-Zarr {new.tag} cannot say all that the document says",
            where=where,
            got=", ".join(lost),
            hint="Convert to a new store: what is left out is warned about then.",
        )
    spelled = multiscale.to_json_in_systems(new.tag) if new.spelling == "systems" else multiscale.to_json(new.tag)
    return new.tagged("multiscales", spelled)


def unsayable(multiscale: Multiscale) -> list[str]:
    """What only 0.6 can say."""
    frame = multiscale.frame
    found = [f"coordinate system {system.name!r}" for system in frame.others]
    found += [f"a transformation to {link.output.name!r}" for link in frame.links if link.output is not None]
    found += [f"the transformation of level {d.path!r}" for d in multiscale.datasets if d.given is not None and d.given.matrix is not None]
    return found
