"""The in-memory model: one resolution, a pyramid, their metadata. Knows: plain records that print. Does not know: files, kernels, dask.

The vocabulary is ngff-zarr's: mutable dataclasses, `dims` as names, `scale` and `translation` as dicts. Translations are of the centre of
the first pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from omexp.errors import ArgumentError
from omexp.geometry import Shape
from omexp.kernels.methods import Methods
from omexp.metadata.labels import ImageLabel

__all__ = [
    "LPS",
    "RAS",
    "AnatomicalOrientation",
    "Axis",
    "Dataset",
    "Identity",
    "Metadata",
    "Multiscales",
    "NgffImage",
    "NgffMultiscales",
    "Omero",
    "OmeroChannel",
    "OmeroWindow",
    "Record",
    "Scale",
    "Step",
    "Transform",
    "Translation",
]

LINE = 80  # characters; a record that needs more has a line per field
QUIET = {"quiet": True}  # a field that is not printed while it is empty


class Record:
    """A dataclass that prints one field per line where one line is too short; fields marked quiet only where they are set."""

    def __repr__(self) -> str:
        return _lines(self, 0)


def _lines(value: Any, indent: int) -> str:
    flat = _flat(value)
    if indent + len(flat) <= LINE or not (is_dataclass(value) or (isinstance(value, list) and value)):
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _lines(item, indent + 4) for item in value) + "\n" + " " * indent + "]"
    parts = [f"{inner}{name}={_lines(item, indent + 4)}" for name, item in _shown(value)]
    return f"{type(value).__name__}(\n" + ",\n".join(parts) + "\n" + " " * indent + ")"


def _flat(value: Any) -> str:
    if isinstance(value, Record):
        return f"{type(value).__name__}({', '.join(f'{name}={_flat(item)}' for name, item in _shown(value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    if hasattr(value, "shape") and not hasattr(value, "chunks"):  # pixels must not be printed, nor brought from a device
        return f"{type(value).__name__}(shape={tuple(value.shape)}, dtype={value.dtype})"
    return repr(value)


def _shown(record: Any) -> list[tuple[str, Any]]:
    shown = []
    for part in fields(record):
        value = getattr(record, part.name)
        if part.repr and not (part.metadata.get("quiet") and (value is None or value == {})):
            shown.append((part.name, value))
    return shown


# ------------------------------------------------------------------------------------------------------- one resolution
@dataclass(repr=False)
class AnatomicalOrientation(Record):
    """Where an axis leads in the body (RFC-4), such as "right-to-left"."""

    value: str
    type: str = "anatomical"

    def __post_init__(self) -> None:
        if not isinstance(self.value, str) or not re.fullmatch(r"[a-z]+-to-[a-z]+", self.value):
            raise ArgumentError("this is no orientation", where="orientation", got=repr(self.value), allowed="such as 'right-to-left'")


LPS = {axis: AnatomicalOrientation(f"{a}-to-{b}") for axis, a, b in (("x", "right", "left"), ("y", "anterior", "posterior"))}
LPS["z"] = AnatomicalOrientation("inferior-to-superior")
RAS = {axis: AnatomicalOrientation(f"{a}-to-{b}") for axis, a, b in (("x", "left", "right"), ("y", "posterior", "anterior"))}
RAS["z"] = AnatomicalOrientation("inferior-to-superior")


@dataclass(repr=False, eq=False)
class NgffImage(Record):
    """One resolution of an image.

    `data` is a dask array, or an array of a library that dask cannot hold. `scale` is the distance of pixel centres, `translation` the
    place of the first pixel's centre; axes that they leave out have 1.0 and 0.0.
    """

    data: Any
    dims: Sequence[str]
    scale: dict[str, float]
    translation: dict[str, float]
    name: str = "image"
    axes_units: dict[str, str | None] | None = None
    axes_orientations: dict[str, AnatomicalOrientation] | None = field(default=None, metadata=QUIET)
    channel_names: list[str] | None = field(default=None, metadata=QUIET)
    channel_colors: list[str] | None = field(default=None, metadata=QUIET)
    computed_callbacks: list[Callable[[], Any]] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------ metadata
@dataclass(repr=False)
class Axis(Record):
    """One axis: t, c, z, y or x; its type (time, channel, space) and unit. `extra` keeps keys of a document that we do not know."""

    name: str
    type: str | None = None
    unit: str | None = None
    orientation: AnatomicalOrientation | None = field(default=None, metadata=QUIET)
    extra: dict[str, Any] = field(default_factory=dict, metadata=QUIET)


@dataclass(repr=False)
class Identity(Record):
    """A transform that changes nothing."""

    type: str = "identity"


@dataclass(repr=False)
class Scale(Record):
    """A factor per axis, in the order of the axes."""

    scale: list[float]
    type: str = "scale"


@dataclass(repr=False)
class Translation(Record):
    """A distance per axis, in world units, applied after the scale."""

    translation: list[float]
    type: str = "translation"


Transform = Identity | Scale | Translation


@dataclass(repr=False)
class Dataset(Record):
    """One level: where its array lies, and what its pixels mean."""

    path: str
    coordinateTransformations: list[Transform]


@dataclass(repr=False)
class OmeroWindow(Record):
    """Display window: `start` to `end` is shown, `min` to `max` is what the slider offers."""

    min: float
    max: float
    start: float
    end: float


@dataclass(repr=False)
class OmeroChannel(Record):
    """One channel: colour (six hex digits), display window, label. `extra` keeps keys of a document that we do not know."""

    color: str
    window: OmeroWindow
    label: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, metadata=QUIET)

    def validate_color(self) -> None:
        """Raise `ArgumentError` unless the colour is six hex digits."""
        if not re.fullmatch(r"[0-9A-Fa-f]{6}", self.color):
            raise ArgumentError("a colour must be six hex digits", where="OmeroChannel", got=repr(self.color), allowed="such as '00FFAA'")


@dataclass(repr=False)
class Omero(Record):
    """The channels of an image, in the order of its c axis."""

    channels: list[OmeroChannel]
    extra: dict[str, Any] = field(default_factory=dict, metadata=QUIET)


@dataclass(repr=False)
class Metadata(Record):
    """The metadata of a pyramid. `type` and `metadata` say how the levels were made; `version` is that of the store it was read from."""

    axes: list[Axis]
    datasets: list[Dataset]
    coordinateTransformations: list[Transform] | None = None
    omero: Omero | None = field(default=None, metadata=QUIET)
    name: str | None = "image"
    version: str = "0.4"
    type: str | None = field(default=None, repr=False)
    metadata: dict[str, Any] | None = field(default=None, repr=False)
    image_label: ImageLabel | None = field(default=None, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, metadata=QUIET)

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """The names of the axes, in order."""
        return tuple(axis.name for axis in self.axes)


# -------------------------------------------------------------------------------------------------------------- pyramids
@dataclass(frozen=True)
class Step:
    """How a level is made: `level` from the level `parent`, one pixel for each window of `factors` pixels."""

    level: int
    parent: int
    factors: Shape


@dataclass(repr=False, eq=False)
class Multiscales(Record):
    """An image at several resolutions, finest first, and their metadata.

    `generated_data_keys` tells the levels that `to_multiscales` made, by the name of their dask array: a level whose data was replaced is
    written as it is, the others are made from what is written. `root_attributes` are a store's attributes that are no OME-Zarr; they
    are written back.
    """

    images: list[NgffImage]
    metadata: Metadata
    scale_factors: int | Sequence[Any] | None = None
    method: Methods | None = None
    chunks: Mapping[str, int] | None = None
    generated_data_keys: dict[str, Step] | None = field(default=None, repr=False)
    root_attributes: dict[str, Any] | None = field(default=None, metadata=QUIET)


NgffMultiscales = Multiscales
