"""Validation of documents. Knows: which sections a document has, and which walk each one takes. Does not know: stores, arrays.

The rules are in `rules.py`, the walks are those of the readers (`parse_multiscale`, `parse_plate`, ...): here they run with all rules on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omexp.metadata.channels import parse_channels
from omexp.metadata.labels import parse_image_label, parse_labels_list
from omexp.metadata.multiscale import Multiscale, parse_multiscale
from omexp.metadata.plate import PlateMeta, WellMeta, parse_plate, parse_well
from omexp.metadata.problems import Problem, Problems, shown
from omexp.metadata.systems import Link, parse_links, parse_systems
from omexp.metadata.versions import Version, check_tag, guess_version, kind_of, tag_of, version_of_tag

__all__ = ["Examined", "check_document", "examine_document", "is_valid"]


@dataclass(frozen=True, slots=True)
class Examined:
    """A document that was checked: its problems, its version (None where that cannot be known), and its sections as records.

    `parsed` has, by the section's key: `multiscales` a list of `Multiscale`, None for one that cannot be used; `plate` a `PlateMeta`,
    `well` a `WellMeta`, `labels` and `series` lists of names; a section that cannot be used is None.
    """

    problems: tuple[Problem, ...]
    version: Version | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
    parsed: Mapping[str, Any] = field(default_factory=dict)


def check_document(document: Any, *, zarr_format: int | None = None, version: str | None = None) -> tuple[Problem, ...]:
    """Every rule of its version that a group's document breaks: a MUST as an error, a SHOULD as a warning.

    Parameters
    ----------
    document
        The attributes of a group: what `.zattrs` holds, or `attributes` of `zarr.json`, with the key `ome` from 0.5 on.
    zarr_format
        2 or 3, where it is known: a version has one of them.
    version
        The version that the document must have, such as "0.4"; None: any.

    Examples
    --------
    >>> [str(problem) for problem in check_document({"ome": {"version": "0.5", "labels": "nuclei"}})]
    ["labels: expected a list of names, got 'nuclei'"]
    >>> check_document({"ome": {"version": "0.5", "labels": ["nuclei"]}})
    ()
    """
    return examine_document(document, zarr_format=zarr_format, version=version).problems


def examine_document(document: Any, *, zarr_format: int | None = None, version: str | None = None) -> Examined:
    """`check_document`, with what the document says."""
    problems = Problems(checking=True)
    if not isinstance(document, Mapping):
        problems.broken("object", "document", f"expected an object, got {shown(document)}")
        return Examined(tuple(problems.found))
    found = _version(document, zarr_format, version, problems)
    if found is None:
        return Examined(tuple(problems.found))
    problems.version = found.tag
    sections = found.sections(document)
    parsed = _check_sections(sections, document, problems)
    return Examined(tuple(problems.found), found, sections, parsed)


def is_valid(problems: tuple[Problem, ...], *, strict: bool = False) -> bool:
    """True without errors; `strict`: without warnings, too."""
    return not any(strict or problem.level == "error" for problem in problems)


def _version(document: Mapping[str, Any], zarr_format: int | None, wanted: str | None, problems: Problems) -> Version | None:
    """The version to check against; None, and an error, where it cannot be known."""
    tag = tag_of(document)
    guess = version_of_tag(wanted) or guess_version(document, zarr_format)
    found = guess if tag is None else version_of_tag(tag)
    place = "ome.version" if isinstance(document.get("ome"), Mapping) else "version"
    if found is None:
        problems.broken("version-known", place, f"expected a version of OME-Zarr, got {shown(tag)}")
        return None
    problems.version = found.tag
    # "The OME-Zarr version MUST be a string under ome.version" (0.5, 0.6)
    if tag is None and found.namespaced:
        problems.broken("version-missing", place, "missing")
    elif tag is not None and not isinstance(tag, str):
        problems.broken("string-number", place, f"expected a string, got {shown(tag)}")
    check_tag(tag, found, problems)
    if zarr_format is not None and found.zarr_format != zarr_format:
        problems.broken("version-format", place, f"{found.tag} is a version of Zarr format {found.zarr_format}, and this is {zarr_format}")
    if wanted is not None and wanted != found.tag:
        problems.broken("version-wanted", place, f"expected {wanted}, got {found.tag}")
    return found


def _check_sections(sections: Mapping[str, Any], document: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Every section that is there. "MUST contain ... the metadata of one of" image, label, plate, well, scene, collection."""
    walked = [key for key in _WALKS if key in sections]
    parsed = {}
    for key in walked:
        problems.unusable = False  # each by itself
        parsed[key] = _WALKS[key](sections[key], sections, problems)
    if not set(walked) - {"omero"}:
        kind = kind_of(document)
        misplaced = f"there is metadata of kind {kind!r}, not where {problems.version} keeps it" if kind else "no OME-Zarr metadata"
        problems.broken("known-kind", "document", misplaced)
    return parsed


def _check_multiscales(value: Any, sections: Mapping[str, Any], problems: Problems) -> list[Multiscale | None]:
    entries, version = problems.expect_list(value, "multiscales"), version_of_tag(problems.version)
    assert version is not None
    # "The 'multiscales' key MUST be a list of at least one" (all versions)
    if entries is not None and not entries:
        problems.broken("multiscales-empty", "multiscales", "empty; expected at least one entry")
    found = []
    for i, entry in enumerate(entries or ()):
        problems.unusable = False  # each by itself
        found.append(parse_multiscale(entry, problems, f"multiscales.{i}", version.spelling))
    return found


def _check_omero(value: Any, sections: Mapping[str, Any], problems: Problems) -> None:
    parse_channels(value, None, "uint16", problems)
    if value is None:
        problems.broken("omero-channels", "omero", "expected an object with a list of channels, got null")


def _check_label(value: Any, sections: Mapping[str, Any], problems: Problems) -> None:
    parse_image_label(value, problems)
    if "multiscales" not in sections:
        problems.broken("label-multiscales", "multiscales", "missing")


def _check_labels(value: Any, sections: Mapping[str, Any], problems: Problems) -> list[str]:
    if value is None:
        problems.broken("labels-null", "labels", "null; expected a list of names")
    names = parse_labels_list(value, problems)
    _check_inside(names, "labels", problems)
    return names


def _check_inside(paths: list[str], loc: str, problems: Problems) -> None:
    """Paths of groups below this one. "path ... relative to the group" (all versions)"""
    for i, path in enumerate(paths):
        if {"", ".", ".."} & set(path.replace("\\", "/").strip("/").split("/")) or "\0" in path:
            problems.broken("path-inside", f"{loc}.{i}", f"leads outside the group: {shown(path)}")


def _check_plate(value: Any, sections: Mapping[str, Any], problems: Problems) -> PlateMeta | None:
    return parse_plate(value, problems)


def _check_well(value: Any, sections: Mapping[str, Any], problems: Problems) -> WellMeta | None:
    return parse_well(value, problems)


def _check_layout(value: Any, sections: Mapping[str, Any], problems: Problems) -> None:
    # "MUST contain 'bioformats2raw.layout' ... the value MUST be 3" (0.4 to 0.6: transitional)
    if type(value) is not int or value != 3:
        problems.broken("layout-number", "bioformats2raw.layout", f"expected 3, got {shown(value)}")


def _check_series(value: Any, sections: Mapping[str, Any], problems: Problems) -> list[str] | None:
    # "'series' MUST be a list of string paths" (0.4 to 0.6: transitional)
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        problems.broken("series-paths", "series", f"expected a list of paths, got {shown(value)}")
        return None
    _check_inside(value, "series", problems)
    return value


def _check_scene(value: Any, sections: Mapping[str, Any], problems: Problems) -> tuple[Link, ...]:
    scene = problems.expect_dict(value, "scene")
    if scene is None:
        return ()
    systems = []
    if "coordinateSystems" in scene:
        systems = parse_systems(scene["coordinateSystems"], problems, "scene.coordinateSystems")
    listed = scene.get("coordinateTransformations")
    # "'scene' MUST contain 'coordinateTransformations'" (0.6)
    if not isinstance(listed, list) or not listed:
        problems.broken("scene-transforms", "scene.coordinateTransformations", f"expected a list of transforms, got {shown(listed)}")
        return ()
    return parse_links(listed, systems, problems, "scene.coordinateTransformations", intrinsic=None)


_WALKS = {
    "multiscales": _check_multiscales,
    "omero": _check_omero,
    "image-label": _check_label,
    "labels": _check_labels,
    "plate": _check_plate,
    "well": _check_well,
    "bioformats2raw.layout": _check_layout,
    "series": _check_series,
    "scene": _check_scene,
}
