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
    source_extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Empty lists are left out: the schemas want at least one entry."""
        source = ({"image": self.source_image} if self.source_image else {}) | dict(self.source_extra)
        entry: dict[str, Any] = {"source": source} if source else {}
        if self.colors:
            entry["colors"] = [dict(c) for c in self.colors]
        if self.properties:
            entry["properties"] = [dict(p) for p in self.properties]
        return entry | dict(self.extra)


def parse_image_label(value: Any, problems: Problems, loc: str = "image-label") -> ImageLabel:
    """An `image-label` block, leniently: what is not an object or a list is noted and left out."""
    if not isinstance(value, dict):
        problems.broken("label-block", loc, f"expected an object, got {shown(value)}")
        return ImageLabel(None)
    colors, properties = (_parse_values(value, key, problems, f"{loc}.{key}") for key in ("colors", "properties"))
    # "The image-label object SHOULD contain the 'colors' key" and 'version' (0.2 to 0.5)
    if "colors" not in value:
        problems.broken("label-colors", f"{loc}.colors", "missing")
    problems.expect_version(value, "label-version", loc)
    problems.no_null(value, loc, "source", "colors", "properties")
    source = value.get("source")
    if source is not None and not isinstance(source, dict):
        problems.broken("label-source", f"{loc}.source", f"expected an object, got {shown(source)}")
    inside = source if isinstance(source, dict) else {}
    extra = {k: v for k, v in value.items() if k not in ("source", "colors", "properties", "version")}
    image = problems.text_of(inside, "image", f"{loc}.source")
    return ImageLabel(image, colors, properties, extra, {k: v for k, v in inside.items() if k != "image"})


def _parse_values(value: dict[str, Any], key: str, problems: Problems, loc: str) -> tuple[Mapping[str, Any], ...]:
    """`colors` or `properties`: objects with a label value each."""
    entries = [] if value.get(key) is None else value[key]
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        problems.broken("label-list", loc, f"expected a list of objects, got {shown(entries)}")
        return ()
    if key in value and not entries:
        problems.broken("label-list-empty", loc, "empty; expected at least one entry, or no such key")
    # "Each ... object MUST contain 'label-value' ... an integer" (0.4, 0.5)
    values = [e.get("label-value") for e in entries]
    bad = [v for v in values if type(v) is not int]
    if bad:
        problems.broken("label-value", loc, f"label-value must be an integer, got {shown(bad[0])}")
    elif len(set(values)) != len(values) and key == "colors":
        problems.broken("label-value-unique", loc, f"label values are not unique: {shown(values)}")
    for i, entry in enumerate(entries):
        rgba = entry.get("rgba", [0] * 4)
        # "'rgba' ... MUST be an array of 4 integers between 0 and 255" (0.4 to 0.6: colors)
        if key == "colors" and not (isinstance(rgba, list) and len(rgba) == 4 and all(type(v) is int and 0 <= v <= 255 for v in rgba)):
            problems.broken("label-rgba", f"{loc}.{i}.rgba", f"expected four integers from 0 to 255, got {shown(rgba)}")
    return tuple(entries)


def parse_labels_list(value: Any, problems: Problems, loc: str = "labels") -> list[str]:
    """The names in a `labels` (or `tables`) list; an empty list where the key is absent. Numbers are names, too.

    Anything else is an error: a list that is read as empty would be lost when the next name is written.
    """
    if value is None:
        return []
    named = isinstance(value, Sequence) and not isinstance(value, str)
    if not named or not all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in value):
        problems.broken("labels-names", loc, f"expected a list of names, got {shown(value)}")
        return []
    names = list(dict.fromkeys(map(str, value)))
    # "labels ... a list of paths (strings)" to label images below the group (0.4 to 0.6: labels)
    for i, name in enumerate(value):
        if not isinstance(name, str):
            problems.broken("labels-text", f"{loc}.{i}", f"expected a string, got {shown(name)}")
        elif name.startswith("/"):
            problems.broken("labels-relative", f"{loc}.{i}", f"expected a path below the group, got {shown(name)}")
    if len(names) < len(value):
        problems.broken("labels-unique", loc, f"a path is listed twice: {shown(list(value))}")
    return names
