"""Between the in-memory model and the house's metadata records. Knows: both. Does not know: versions' documents, pixels, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.channels import ChannelsMeta, Window, default_channels, parse_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import parse_multiscale
from omexp.metadata.problems import Problems
from omexp.metadata.transforms import ScaleTranslation
from omexp.ngff.model import (
    AnatomicalOrientation,
    Axis,
    Dataset,
    Metadata,
    NgffImage,
    Omero,
    OmeroChannel,
    OmeroWindow,
    Scale,
    Transform,
    Translation,
)

__all__ = ["axes_of", "image_meta_of", "metadata_of", "transforms_of"]

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def axes_of(image: NgffImage) -> list[Axis]:
    """The axes of an image, typed by their names."""
    units, orientations = image.axes_units or {}, image.axes_orientations or {}
    return [Axis(dim, _TYPES.get(dim), units.get(dim), orientations.get(dim)) for dim in image.dims]


def transforms_of(transform: ScaleTranslation) -> list[Transform]:
    """A level's transform as the model spells it."""
    return [Scale(list(transform.scale)), Translation(list(transform.translation))]


def metadata_of(meta: ImageMeta, *, with_channels: bool) -> Metadata:
    """The house's record of an image as the model's; `with_channels` tells whether its document lists channels."""
    multiscale = meta.multiscale
    axes = []
    for axis in multiscale.axes:
        extra = dict(axis.extra)
        axes.append(Axis(axis.name, axis.type, axis.unit, _orientation(extra), extra))
    return Metadata(
        axes,
        [Dataset(d.path, transforms_of(d.transform)) for d in multiscale.datasets],
        omero=_omero_of(meta.channels_meta) if with_channels and meta.channels_meta is not None else None,
        name=multiscale.name,
        version=meta.version,
        type=multiscale.type,
        metadata=None if multiscale.metadata is None else dict(multiscale.metadata),
        image_label=meta.image_label,
        extra=dict(multiscale.extra),
    )


def _omero_of(channels: ChannelsMeta) -> Omero:
    """The house's channels as the model's."""
    found = []
    for channel in channels.channels:
        shown = channel.window or Window(0.0, 1.0, 0.0, 1.0)
        window = {"min": shown.min, "max": shown.max, "start": shown.start, "end": shown.end}
        others = {k: v for k, v in channel.to_json().items() if k not in ("color", "window", "label")}
        found.append(OmeroChannel(channel.color, OmeroWindow(**window), channel.label, others))
    return Omero(found, dict(channels.extra))


def image_meta_of(metadata: Metadata, image: NgffImage, version: str) -> ImageMeta:
    """The model's metadata as the house's record, to be written with that version; `image` is the finest level.

    Raises
    ------
    ArgumentError
        It breaks rules of the specification; every one is named.
    """
    problems = Problems(checking=True)  # every MUST counts: what is written is to be valid
    multiscale = parse_multiscale(_document(metadata), problems, "metadata")
    count = image.data.shape[list(image.dims).index("c")] if "c" in image.dims else 1
    dtype_name = str(image.data.dtype).rpartition(".")[2]
    channels = None
    if metadata.omero is not None:
        channels = parse_channels(_omero_document(metadata.omero), count, dtype_name, problems, "metadata.omero")
    elif (image.channel_names or image.channel_colors) and metadata.image_label is None:
        channels = default_channels(count, dtype_name, labels=image.channel_names, colors=image.channel_colors)
    if problems.errors or multiscale is None:
        raise ArgumentError("the metadata breaks the specification", where="metadata", got="; ".join(map(str, problems.errors)))
    return ImageMeta(version, multiscale, channels, metadata.image_label)


def _document(metadata: Metadata) -> dict[str, Any]:
    """The metadata as a multiscales entry, for the house's parser."""
    entry: dict[str, Any] = {
        "axes": [_axis_document(axis) for axis in metadata.axes],
        "datasets": [{"path": d.path, "coordinateTransformations": _transforms(d.coordinateTransformations)} for d in metadata.datasets],
    }
    about = {"name": metadata.name, "type": metadata.type, "metadata": metadata.metadata}
    entry |= {key: value for key, value in about.items() if value is not None}
    if metadata.coordinateTransformations:
        entry["coordinateTransformations"] = _transforms(metadata.coordinateTransformations)
    return dict(metadata.extra) | entry


def _axis_document(axis: Axis) -> dict[str, Any]:
    known: dict[str, Any] = {"name": axis.name, "type": axis.type, "unit": axis.unit}
    if axis.orientation is not None:
        known["orientation"] = {"type": axis.orientation.type, "value": axis.orientation.value}
    return dict(axis.extra) | {k: v for k, v in known.items() if v is not None}


def _transforms(transforms: Sequence[Transform]) -> list[dict[str, Any]]:
    return [{key: value for key, value in vars(transform).items()} for transform in transforms]


def _omero_document(omero: Omero) -> dict[str, Any]:
    channels = []
    for channel in omero.channels:
        channel.validate_color()
        entry = {"color": channel.color, "window": vars(channel.window)} | ({} if channel.label is None else {"label": channel.label})
        channels.append(dict(channel.extra) | entry)
    return dict(omero.extra) | {"channels": channels}


def _orientation(extra: dict[str, Any]) -> AnatomicalOrientation | None:
    """The orientation among an axis's unknown keys, which it leaves if it can be read."""
    found = extra.get("orientation")
    if not isinstance(found, Mapping) or set(found) != {"type", "value"}:
        return None
    try:
        read = AnatomicalOrientation(found["value"], found["type"])
    except ArgumentError:
        return None
    del extra["orientation"]
    return read
