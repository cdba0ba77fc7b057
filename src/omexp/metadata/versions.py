"""Where each OME-Zarr version keeps things. Knows: documents of 0.1 to 0.6 and of 0.9.dev1. Does not know: stores.

The only module that knows versions. A *document* is the attributes of one group; its *sections* are the keys `multiscales`, `omero`,
`labels`, `image-label`, `plate`, `well`, wherever the version puts them. What is read is brought into one model, whatever the version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from omexp.errors import ArgumentError, NameNotFoundError, UnsupportedVersionError
from omexp.metadata.channels import parse_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import parse_image_label, parse_labels_list
from omexp.metadata.levels import Spelling
from omexp.metadata.multiscale import Multiscale, parse_multiscale
from omexp.metadata.plate import PlateMeta, WellMeta, parse_plate, parse_well
from omexp.metadata.problems import Problems, shown

__all__ = [
    "DEFAULT_VERSION",
    "READABLE",
    "WRITABLE",
    "Version",
    "check_tag",
    "decode_image",
    "decode_names",
    "decode_plate",
    "decode_series",
    "decode_well",
    "encode_image",
    "encode_names",
    "encode_plate",
    "encode_well",
    "guess_version",
    "kind_of",
    "revise_image_label",
    "revise_multiscale",
    "tag_of",
    "version_of",
    "version_of_tag",
    "writable_version",
]

Record = TypeVar("Record")

_RELEASED = re.compile(r"\d+\.\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Version:
    """One OME-Zarr version: its tag, its Zarr format, how it spells axes, and in which blocks it repeats its tag."""

    tag: str
    zarr_format: int
    spelling: Spelling
    tagged_blocks: tuple[str, ...] = ()

    @property
    def namespaced(self) -> bool:
        """Whether everything lies under the key `ome`."""
        return self.zarr_format == 3

    def sections(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a document where this version keeps its keys."""
        inner = document.get("ome") if self.namespaced else document
        return dict(inner) if isinstance(inner, Mapping) else {}

    def with_sections(self, document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """The document with some sections set; everything else in it is kept. It carries this version's tag, or that of a patch of it."""
        if not self.namespaced:
            return dict(document) | dict(changes)
        inner = self.sections(document)
        tag = str(inner.get("version", ""))
        mine = tag if _RELEASED.fullmatch(tag) and version_of_tag(tag) == self else self.tag
        return dict(document) | {"ome": {"version": mine} | inner | {"version": mine} | dict(changes)}

    def tagged(self, block: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An entry with the version inside it, where this version wants that."""
        return dict(entry) | {"version": self.tag} if block in self.tagged_blocks else dict(entry)


_BLOCKS = ("image-label", "plate", "well")  # 0.5 has the tag in its text for plates, and omexp writes it into all three
_VERSIONS = {
    v.tag: v
    for v in (
        Version("0.1", 2, "implied", ("multiscales", *_BLOCKS)),
        Version("0.2", 2, "implied", ("multiscales", *_BLOCKS)),
        Version("0.3", 2, "names", ("multiscales", *_BLOCKS)),
        Version("0.4", 2, "axes", ("multiscales", *_BLOCKS)),
        Version("0.5", 3, "axes", _BLOCKS),
        Version("0.6", 3, "systems"),
        Version("0.9", 3, "systems"),
    )
}
READABLE = tuple(_VERSIONS)
WRITABLE = ("0.4", "0.5", "0.6")
DEFAULT_VERSION = "0.5"


def writable_version(tag: str) -> Version:
    """The version to write. Raises `ArgumentError` for one that cannot be written."""
    if tag not in WRITABLE:
        raise ArgumentError("that OME-Zarr version cannot be written", where="ngff_version", got=repr(tag), allowed=", ".join(WRITABLE))
    return _VERSIONS[tag]


def version_of_tag(tag: Any) -> Version | None:
    """The version that a tag belongs to, by its first two numbers: "0.6", "0.6.1", "0.6rc0" and "0.6-dev-x" are 0.6. None if unknown."""
    match = re.match(r"\d+\.\d+", tag if isinstance(tag, str) else str(tag)) if isinstance(tag, (str, int, float)) else None
    return _VERSIONS.get(match[0]) if match else None


def version_of(document: Mapping[str, Any], zarr_format: int, where: str) -> Version:
    """The version of a group's document: the tag it carries, else what it looks like.

    Raises
    ------
    UnsupportedVersionError
        The tag is that of a version that cannot be read, or of one that has another Zarr format.
    """
    tag = tag_of(document)
    version = guess_version(document, zarr_format) if tag is None else version_of_tag(tag)
    if version is None or version.zarr_format != zarr_format:
        text = str(tag)[:80] if isinstance(tag, (str, int, float)) else shown(tag)
        raise UnsupportedVersionError(
            "this OME-Zarr version cannot be read",
            where=where,
            got=f"{'no version' if tag is None else f'version {text}'} in a Zarr format {zarr_format} group",
            allowed=", ".join(f"{v.tag} (Zarr format {v.zarr_format})" for v in _VERSIONS.values()),
            hint="Correct the version, or convert the store with the program that wrote it.",
        )
    return version


def tag_of(document: Mapping[str, Any]) -> Any:
    """The version that a document names, as it is written; None if it names none."""
    inner = document.get("ome")
    if isinstance(inner, Mapping):
        return inner.get("version")
    first = _first_multiscale(document)
    for entry in (first, *(document.get(key) for key in ("plate", "well", "image-label", "omero"))):
        if isinstance(entry, Mapping) and entry.get("version") is not None:
            return entry["version"]
    return None


def guess_version(document: Mapping[str, Any], zarr_format: int | None = None) -> Version:
    """The version of a document without a tag, by what only that version writes; without anything of the kind 0.4 or 0.5."""
    inner = document.get("ome")
    if zarr_format == 3 or (zarr_format is None and isinstance(inner, Mapping)):
        found = _first_multiscale(inner) if isinstance(inner, Mapping) else None
        return _VERSIONS["0.6" if found is not None and "coordinateSystems" in found else "0.5"]
    found = _first_multiscale(document)
    if found is None:
        return _VERSIONS["0.4"]
    axes = found.get("axes")
    if axes is None:  # 0.1 and 0.2 differ in their chunk keys only, which the arrays know
        return _VERSIONS["0.2"]
    return _VERSIONS["0.3" if isinstance(axes, list) and axes and all(isinstance(a, str) for a in axes) else "0.4"]


def _first_multiscale(sections: Mapping[str, Any]) -> Mapping[str, Any] | None:
    entries = sections.get("multiscales")
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, Mapping) else None


def kind_of(document: Mapping[str, Any]) -> str | None:
    """What a group's document says the group is: "plate", "well", "label", "image", "labels", "bioformats2raw", "scene", "series", None."""
    inner = document.get("ome")
    keys = dict(document) | (dict(inner) if isinstance(inner, Mapping) else {})
    if "plate" in keys:
        return "plate"
    if "well" in keys:
        return "well"
    if "multiscales" in keys:
        return "label" if "image-label" in keys else "image"
    return next((kind for key, kind in _OTHER_KINDS if key in keys), None)


_OTHER_KINDS = (("labels", "labels"), ("bioformats2raw.layout", "bioformats2raw"), ("scene", "scene"), ("series", "series"))


# -------------------------------------------------------------------------------------------------------- images
def decode_image(
    document: Mapping[str, Any],
    zarr_format: int,
    where: str,
    *,
    channels: int | None = None,
    dtype_name: str = "uint16",
    name: str | None = None,
) -> tuple[ImageMeta, Problems]:
    """An image or label document as records, and the problems that did not stop us.

    Parameters
    ----------
    channels
        The size of the c axis; None: as many as are listed.
    dtype_name
        That of the pixels: the range of display windows that the document does not give.
    name
        Which of several multiscales; None: the first.

    Raises
    ------
    InvalidMetadataError
        The document breaks rules without which the image cannot be used; every one is named.
    UnsupportedVersionError
        It is of a version that cannot be read.
    NameNotFoundError
        No multiscale has that name.
    """
    version = version_of(document, zarr_format, where)
    problems = _problems(document, version)
    sections = version.sections(document)
    entries = problems.expect_list(sections.get("multiscales"), "multiscales")
    if entries is not None and not entries:
        problems.broken("multiscales-empty", "multiscales", "empty; expected at least one entry")
    at = _position(entries or (), name, where)
    multiscale = parse_multiscale(entries[at], problems, f"multiscales.{at}", version.spelling) if entries else None
    if multiscale is None:
        problems.raise_errors(where)
        raise AssertionError("an unusable multiscale comes with an error")
    label = parse_image_label(sections["image-label"], problems) if "image-label" in sections else None
    channels_meta = parse_channels(sections.get("omero"), channels, dtype_name, problems) if label is None else None
    return ImageMeta(version.tag, multiscale, channels_meta, label), problems


def _problems(document: Mapping[str, Any], version: Version) -> Problems:
    """A collector for a document of that version; an early tag is noted."""
    problems, tag = Problems(version=version.tag), tag_of(document)
    check_tag(tag, version, problems)
    return problems


def check_tag(tag: Any, version: Version, problems: Problems) -> None:
    """Note a tag that is no released one: development versions had other documents under it."""
    if tag is not None and not _RELEASED.fullmatch(str(tag)):
        problems.broken("version-released", "version", f"{shown(str(tag))} is no released version; it is read as {version.tag}")


def _position(entries: Sequence[Any], name: str | None, where: str) -> int:
    """Which multiscale has a name; the first one for None."""
    if name is None:
        return 0
    names = [entry.get("name") if isinstance(entry, Mapping) else None for entry in entries]
    if name not in names:
        raise NameNotFoundError("no multiscale has that name", where=where, got=repr(name), allowed=", ".join(map(str, names)))
    return names.index(name)


def encode_image(meta: ImageMeta, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document of an image or label, put into `document` (attributes that are there already are kept, other multiscales, too)."""
    version = writable_version(meta.version)
    entry = version.tagged("multiscales", _spelled(meta.multiscale, version))
    changes: dict[str, Any] = {"multiscales": _among_others(entry, document or {}, version)}
    if meta.channels_meta is not None:
        changes["omero"] = meta.channels_meta.to_json()
    if meta.image_label is not None:
        changes["image-label"] = version.tagged("image-label", meta.image_label.to_json())
    return version.with_sections(document or {}, changes)


def _spelled(multiscale: Multiscale, version: Version) -> dict[str, Any]:
    return multiscale.to_json_in_systems(version.tag) if version.spelling == "systems" else multiscale.to_json(version.tag)


def _among_others(entry: dict[str, Any], document: Mapping[str, Any], version: Version) -> list[Any]:
    """The entry in the place of the one that has its name, else of the first; a document of another version has no place for it."""
    before = version.sections(document).get("multiscales")
    if not isinstance(before, list) or not before or version_of_tag(tag_of(document)) != version:
        return [entry]
    names = [other.get("name") if isinstance(other, Mapping) else None for other in before]
    at = names.index(entry.get("name")) if entry.get("name") in names else 0
    return [*before[:at], entry, *before[at + 1 :]]


def without_image(document: Mapping[str, Any]) -> dict[str, Any]:
    """What else a group's document holds: neither its image nor OME-Zarr's namespace with it, so that `encode_image` can put a new one
    there."""
    inner = document.get("ome")
    ours = ("multiscales", "omero", "image-label", "version")
    rest = {k: v for k, v in document.items() if k not in (*ours[:3], "ome")}
    others = {k: v for k, v in inner.items() if k not in ours} if isinstance(inner, Mapping) else {}
    return rest | ({"ome": others} if others else {})


def revise_multiscale(
    document: Mapping[str, Any], zarr_format: int, where: str, *, multiscale: str | None = None, **changes: Any
) -> dict[str, Any]:
    """The document with some keys of one multiscale set, that of a name, else the first; everything else in it is kept."""
    version = version_of(document, zarr_format, where)
    sections = version.sections(document)
    entries = list(sections["multiscales"])
    names = [entry.get("name") if isinstance(entry, Mapping) else None for entry in entries]
    at = names.index(multiscale) if multiscale is not None and multiscale in names else 0
    changed = {"multiscales": [*entries[:at], dict(entries[at]) | changes, *entries[at + 1 :]]}
    return dict(document) | ({"ome": sections | changed} if version.namespaced else changed)


def revise_image_label(document: Mapping[str, Any], zarr_format: int, where: str, **changes: Any) -> dict[str, Any]:
    """The document with some keys of its `image-label` set, those that are None removed; everything else in it is kept."""
    version = version_of(document, zarr_format, where)
    sections = version.sections(document)
    before = sections.get("image-label")
    block = (dict(before) if isinstance(before, Mapping) else {}) | changes
    block = {k: v for k, v in block.items() if v is not None or k not in changes}
    changed = {"image-label": block}
    return dict(document) | ({"ome": sections | changed} if version.namespaced else changed)


# ------------------------------------------------------------------------------------------------- lists of names
def decode_names(document: Mapping[str, Any], key: str) -> list[str]:
    """The list under `labels` or `tables`: below `ome` (0.5), else at the top (0.4, Fractal tables, and 0.5 writers that forget).

    Raises
    ------
    InvalidMetadataError
        It is no list of names.
    """
    problems = Problems()
    inner = document.get("ome")
    value = inner[key] if isinstance(inner, Mapping) and key in inner else document.get(key)
    names = parse_labels_list(value, problems, key)
    problems.raise_errors(f"the group of {key}", "its list of names cannot be used")
    return names


def encode_names(document: Mapping[str, Any], key: str, names: Sequence[str], version: str) -> dict[str, Any]:
    """The document with that list set: labels go where the version keeps them, Fractal's tables always at the top."""
    if key != "labels":
        return dict(document) | {key: list(names)}
    cleaned = {k: v for k, v in document.items() if k != key} if writable_version(version).namespaced else document
    return writable_version(version).with_sections(cleaned, {key: list(names)})


# ---------------------------------------------------------------------------------------------------------- plates
def decode_plate(document: Mapping[str, Any], zarr_format: int, where: str) -> tuple[str, PlateMeta, Problems]:
    """(version, plate, problems). Raises `InvalidMetadataError` naming every rule without which it cannot be used."""
    return _decoded(document, zarr_format, where, "plate", parse_plate)


def decode_well(document: Mapping[str, Any], zarr_format: int, where: str) -> tuple[str, WellMeta, Problems]:
    """(version, well, problems). Raises `InvalidMetadataError` naming every rule without which it cannot be used."""
    return _decoded(document, zarr_format, where, "well", parse_well)


def _decoded(
    document: Mapping[str, Any], zarr_format: int, where: str, kind: str, parse: Callable[[Any, Problems], Record | None]
) -> tuple[str, Record, Problems]:
    """The record under one key of a document, which only that key is needed for."""
    version = version_of(document, zarr_format, where)
    problems = _problems(document, version)
    record = parse(version.sections(document).get(kind), problems)
    problems.raise_errors(where, f"this group is not a usable {kind}")
    assert record is not None
    return version.tag, record, problems


def encode_plate(plate: PlateMeta, version: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The plate's document. The 0.5 text wants a version inside the block, too; writing it satisfies text and schema."""
    writable = writable_version(version)
    return writable.with_sections(document or {}, {"plate": writable.tagged("plate", plate.to_json())})


def encode_well(well: WellMeta, version: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The well's document."""
    writable = writable_version(version)
    return writable.with_sections(document or {}, {"well": writable.tagged("well", well.to_json())})


# ------------------------------------------------------------------------------------------------------ collections
def decode_series(document: Mapping[str, Any]) -> list[str] | None:
    """The images that the `OME` group of a bioformats2raw collection lists; None where it lists none: they are "0", "1", ... then.

    Examples
    --------
    >>> decode_series({"ome": {"version": "0.5", "series": ["0", "1"]}})
    ['0', '1']
    """
    inner = document.get("ome")
    listed = (inner if isinstance(inner, Mapping) and "series" in inner else document).get("series")
    if not isinstance(listed, list) or not all(isinstance(path, (str, int)) and not isinstance(path, bool) for path in listed):
        return None
    inside = [str(path).strip("/") for path in listed if ".." not in str(path).split("/")]
    return list(dict.fromkeys(path for path in inside if path))
