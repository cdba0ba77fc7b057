"""OME-XML. Knows: images, pixel sizes, channels of any schema version. Does not know: pixels, TIFF.

What OME-Zarr's metadata has no place for (instruments, regions, annotations) is named in `OmeImage.left_out`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from omexp.importers.imported import ChannelNotes
from omexp.importers.units import seconds, space_sizes
from omexp.world import is_positive

__all__ = ["OmeImage", "images_of"]

_CARRIED = {"Image", "Pixels", "Channel", "TiffData", "BinData", "MetadataOnly", "UUID"}


@dataclass(frozen=True, slots=True)
class OmeImage:
    """What one `Image` element says. `pixel_size` in `space_unit`, t in seconds; one entry of `channels` per `Channel`."""

    name: str | None
    pixel_size: dict[str, float]
    space_unit: str | None
    channels: tuple[ChannelNotes, ...]
    left_out: tuple[str, ...]


def images_of(xml: str) -> list[OmeImage]:
    """The images of a document, in its order; none for what is no XML."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return []
    beside = tuple(dict.fromkeys(_tag(e) for e in root if _tag(e) not in _CARRIED))
    return [_image(element, beside) for element in root if _tag(element) == "Image" and _children(element, "Pixels")]


def _image(element: ElementTree.Element, beside: tuple[str, ...]) -> OmeImage:
    pixels = _children(element, "Pixels")[0]
    sizes = {}
    for axis in "xyz":
        size = _number(pixels.get(f"PhysicalSize{axis.upper()}"))
        if size is not None:
            sizes[axis] = (size, pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm"))
    found, unit = space_sizes(sizes)
    step = _number(pixels.get("TimeIncrement"))
    interval = None if step is None else seconds(step, pixels.get("TimeIncrementUnit", "s"))
    if interval is not None:
        found["t"] = interval
    inside = [_tag(e) for e in (*element, *pixels) if _tag(e) not in _CARRIED]
    return OmeImage(element.get("Name"), found, unit, tuple(_channels(pixels)), tuple(dict.fromkeys((*inside, *beside))))


def _channels(pixels: ElementTree.Element) -> Iterator[ChannelNotes]:
    for channel in _children(pixels, "Channel"):
        emission = _number(channel.get("EmissionWavelength"))
        unit = channel.get("EmissionWavelengthUnit", "nm")
        if emission is not None and unit != "nm":
            micrometers, name = space_sizes({"x": (emission, unit), "y": (1.0, "µm")})
            emission = micrometers["x"] * 1000 if name else None
        yield ChannelNotes(channel.get("Name") or channel.get("Fluor"), _color(channel.get("Color")), emission)


def _color(value: str | None) -> str | None:
    """Six hex digits of a signed RGBA integer: -16776961 is 0xFF0000FF, red and opaque."""
    try:
        return None if value is None else f"{(int(value) & 0xFFFFFFFF) >> 8:06X}"
    except ValueError:
        return None


def _number(value: str | None) -> float | None:
    try:
        number: Any = None if value is None else float(value)
    except ValueError:
        return None
    return number if is_positive(number) else None


def _tag(element: ElementTree.Element) -> str:
    """The name without its namespace, which has the schema's version in it."""
    return element.tag.rpartition("}")[2]


def _children(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [child for child in element if _tag(child) == tag]
