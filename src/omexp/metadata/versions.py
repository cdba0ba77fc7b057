"""Where each OME-Zarr version keeps things. Knows: 0.4 and 0.5 documents. Does not know: stores.

The only module that knows versions: the others (0.1-0.3, 0.6) join here. A *document* is the attributes of one group; its *sections*
are the keys `multiscales`, `omero`, `labels`, `image-label`, `plate`, `well`, wherever the version puts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omexp.errors import ArgumentError, UnsupportedVersionError
from omexp.metadata.channels import parse_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import parse_image_label, parse_labels_list
from omexp.metadata.multiscale import parse_multiscale
from omexp.metadata.plate import PlateMeta, WellMeta, parse_plate, parse_well
from omexp.metadata.problems import Problems, shown

__all__ = [
    "DEFAULT_VERSION",
    "READABLE",
    "WRITABLE",
    "Version",
    "decode_image",
    "decode_names",
    "decode_plate",
    "decode_well",
    "encode_image",
    "encode_names",
    "encode_plate",
    "encode_well",
    "kind_of",
    "revise_multiscale",
    "version_of",
    "writable_version",
]


@dataclass(frozen=True, slots=True)
class Version:
    """One OME-Zarr version: its tag, its Zarr format, and whether everything lies under the key `ome`."""

    tag: str
    zarr_format: int
    namespaced: bool

    def sections(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a document where this version keeps its keys."""
        inner = document.get("ome") if self.namespaced else document
        return dict(inner) if isinstance(inner, Mapping) else {}

    def with_sections(self, document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """The document with some sections set; everything else in it is kept."""
        if not self.namespaced:
            return dict(document) | dict(changes)
        return dict(document) | {"ome": {"version": self.tag} | self.sections(document) | dict(changes)}

    def tagged(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An entry with the version inside it, where this version wants that."""
        return dict(entry) if self.namespaced else dict(entry) | {"version": self.tag}


_VERSIONS = {v.tag: v for v in (Version("0.4", 2, False), Version("0.5", 3, True))}
READABLE = WRITABLE = tuple(_VERSIONS)
DEFAULT_VERSION = "0.5"


def writable_version(tag: str) -> Version:
    """The version to write. Raises `ArgumentError` for one that cannot be written."""
    if tag not in WRITABLE:
        raise ArgumentError("that OME-Zarr version cannot be written", where="ngff_version", got=repr(tag), allowed=", ".join(WRITABLE))
    return _VERSIONS[tag]


def version_of(document: Mapping[str, Any], zarr_format: int, where: str) -> Version:
    """The version of a group's document: the tag it carries (by prefix, so "0.4-dev-x" is 0.4), else what its Zarr format means.

    Raises
    ------
    UnsupportedVersionError
        The tag, or the shape of the document, is that of a version that cannot be read.
    """
    tag = _tag(document)
    text = str(tag)[:80] if isinstance(tag, (str, int, float)) else shown(tag)
    version = _VERSIONS.get(".".join(text.split("-")[0].split(".")[:2])) if tag is not None else None
    if tag is None and not _is_other_shape(document):
        version = next(v for v in _VERSIONS.values() if v.zarr_format == zarr_format)
    if version is None or version.zarr_format != zarr_format:
        raise UnsupportedVersionError(
            "this OME-Zarr version cannot be read",
            where=where,
            got=f"{'no version' if tag is None else f'version {text}'} in a Zarr format {zarr_format} group",
            allowed=", ".join(f"{v.tag} (Zarr format {v.zarr_format})" for v in _VERSIONS.values()),
            hint="Convert it, for example with ngff-zarr upgrade.",
        )
    return version


def _tag(document: Mapping[str, Any]) -> Any:
    inner = document.get("ome")
    if isinstance(inner, Mapping):
        return inner.get("version")
    multiscales = document.get("multiscales")
    first = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    for entry in (first, document.get("plate"), document.get("well"), document.get("image-label")):
        if isinstance(entry, Mapping) and entry.get("version") is not None:
            return entry["version"]
    return None


def _is_other_shape(document: Mapping[str, Any]) -> bool:
    """True for untagged documents that only other versions write: no axes (0.1, 0.2), axes of strings (0.3), coordinateSystems (0.6)."""
    inner = document.get("ome", document)
    multiscales = inner.get("multiscales") if isinstance(inner, Mapping) else None
    first = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    if not isinstance(first, Mapping):
        return False
    axes = first.get("axes")
    return "coordinateSystems" in first or axes is None or (isinstance(axes, list) and all(isinstance(a, str) for a in axes))


def kind_of(document: Mapping[str, Any]) -> str | None:
    """ "plate", "well", "label", "image", "labels", "bioformats2raw" or None: what a group's document says the group is."""
    inner = document.get("ome")
    keys = dict(document) | (dict(inner) if isinstance(inner, Mapping) else {})
    if "plate" in keys:
        return "plate"
    if "well" in keys:
        return "well"
    if "multiscales" in keys:
        return "label" if "image-label" in keys else "image"
    return next((kind for key, kind in (("labels", "labels"), ("bioformats2raw.layout", "bioformats2raw")) if key in keys), None)


# -------------------------------------------------------------------------------------------------------- images
def decode_image(
    document: Mapping[str, Any], zarr_format: int, where: str, *, channels: int | None = None, dtype_name: str = "uint16"
) -> tuple[ImageMeta, Problems]:
    """An image or label document as records, and the problems that did not stop us. `channels` of None: as many as are listed.

    Raises
    ------
    InvalidMetadataError
        The document breaks rules without which the image cannot be used; every one is named.
    UnsupportedVersionError
        It is of a version that cannot be read.
    """
    problems = Problems()
    version = version_of(document, zarr_format, where)
    sections = version.sections(document)
    entries = problems.expect_list(sections.get("multiscales"), "multiscales")
    if entries is not None and not entries:
        problems.error("multiscales", "empty; expected at least one entry")
    multiscale = parse_multiscale(entries[0], problems, "multiscales.0") if entries else None
    if multiscale is None:
        problems.raise_errors(where)
        raise AssertionError("an unusable multiscale comes with an error")
    label = parse_image_label(sections["image-label"], problems) if "image-label" in sections else None
    channels_meta = parse_channels(sections.get("omero"), channels, dtype_name, problems) if label is None else None
    return ImageMeta(version.tag, multiscale, channels_meta, label), problems


def encode_image(meta: ImageMeta, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document of an image or label, put into `document` (attributes that are there already are kept)."""
    version = writable_version(meta.version)
    changes: dict[str, Any] = {"multiscales": [version.tagged(meta.multiscale.to_json())]}
    if meta.channels_meta is not None:
        changes["omero"] = meta.channels_meta.to_json()
    if meta.image_label is not None:
        # "image-label.version" SHOULD be there in 0.4 and 0.5 (gone in 0.6)
        changes["image-label"] = meta.image_label.to_json() | {"version": version.tag}
    return version.with_sections(document or {}, changes)


def without_image(document: Mapping[str, Any]) -> dict[str, Any]:
    """What else a group's document holds: neither its image nor OME-Zarr's namespace with it, so that `encode_image` can put a new one
    there."""
    inner = document.get("ome")
    ours = ("multiscales", "omero", "image-label", "version")
    rest = {k: v for k, v in document.items() if k not in (*ours[:3], "ome")}
    others = {k: v for k, v in inner.items() if k not in ours} if isinstance(inner, Mapping) else {}
    return rest | ({"ome": others} if others else {})


def revise_multiscale(document: Mapping[str, Any], zarr_format: int, where: str, **changes: Any) -> dict[str, Any]:
    """The document with some keys of its first multiscale set; everything else in it is kept."""
    version = version_of(document, zarr_format, where)
    entries = list(version.sections(document)["multiscales"])
    return version.with_sections(document, {"multiscales": [dict(entries[0]) | changes, *entries[1:]]})


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
    problems = Problems()
    version = version_of(document, zarr_format, where)
    plate = parse_plate(version.sections(document).get("plate"), problems)
    problems.raise_errors(where, "this group is not a usable plate")
    assert plate is not None
    return version.tag, plate, problems


def decode_well(document: Mapping[str, Any], zarr_format: int, where: str) -> tuple[str, WellMeta, Problems]:
    """(version, well, problems). Raises `InvalidMetadataError` naming every rule without which it cannot be used."""
    problems = Problems()
    version = version_of(document, zarr_format, where)
    well = parse_well(version.sections(document).get("well"), problems)
    problems.raise_errors(where, "this group is not a usable well")
    assert well is not None
    return version.tag, well, problems


def encode_plate(plate: PlateMeta, version: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The plate's document. The 0.5 text wants a version inside the block, too; writing it satisfies text and schema."""
    return writable_version(version).with_sections(document or {}, {"plate": plate.to_json() | {"version": version}})


def encode_well(well: WellMeta, version: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The well's document."""
    return writable_version(version).with_sections(document or {}, {"well": well.to_json() | {"version": version}})
