"""Label images. Knows: the `labels` list and the `image-label` block. Does not know: pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.problems import Problems, shown

__all__ = ["ImageLabel", "parse_image_label", "parse_labels_list", "require_name"]

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def require_name(name: str, what: str) -> str:
    """A name that is safe as a key in every store. Raises `ArgumentError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(f"the {what} cannot be used", got=repr(name), allowed="letters, digits, '_', '-', '.', not first a '.'")
    return name


@dataclass(frozen=True, slots=True)
class ImageLabel:
    """The `image-label` block: which image was segmented, colours and properties of label values."""

    source_image: str | None = "../../"
    colors: tuple[Mapping[str, Any], ...] = ()
    properties: tuple[Mapping[str, Any], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Empty lists are left out: the schemas want at least one entry."""
        entry: dict[str, Any] = {"source": {"image": self.source_image}} if self.source_image else {}
        if self.colors:
            entry["colors"] = [dict(c) for c in self.colors]
        if self.properties:
            entry["properties"] = [dict(p) for p in self.properties]
        return entry | dict(self.extra)


def parse_image_label(value: Any, problems: Problems, loc: str = "image-label") -> ImageLabel:
    """An `image-label` block, leniently: what is not an object or a list is noted and left out."""
    if not isinstance(value, dict):
        problems.warn(loc, f"expected an object, got {shown(value)}")
        return ImageLabel(None)
    source = value.get("source")
    lists = {}
    for key in ("colors", "properties"):
        entries = [] if value.get(key) is None else value[key]
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            problems.warn(f"{loc}.{key}", f"expected a list of objects, got {shown(entries)}")
            entries = []
        # "Each ... object MUST contain 'label-value' ... an integer" (0.4, 0.5)
        bad = [e.get("label-value") for e in entries if type(e.get("label-value")) is not int]
        if bad:
            problems.warn(f"{loc}.{key}", f"label-value must be an integer, got {shown(bad[0])}")
        lists[key] = tuple(entries)
    extra = {k: v for k, v in value.items() if k not in ("source", "colors", "properties", "version")}
    image = problems.text(source.get("image"), f"{loc}.source.image") if isinstance(source, dict) else None
    return ImageLabel(image, lists["colors"], lists["properties"], extra)


def parse_labels_list(value: Any, problems: Problems, loc: str = "labels") -> list[str]:
    """The names in a `labels` (or `tables`) list; an empty list where the key is absent. Numbers are names, too.

    Anything else is an error: a list that is read as empty would be lost when the next name is written.
    """
    if value is None:
        return []
    named = isinstance(value, Sequence) and not isinstance(value, str)
    if not named or not all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in value):
        problems.error(loc, f"expected a list of names, got {shown(value)}")
        return []
    return list(dict.fromkeys(map(str, value)))
