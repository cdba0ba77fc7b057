"""An image from elsewhere. Knows: a reader, its axes, what its file says of it. Does not know: files, OME-Zarr on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from omexp.backend import Backend, from_host, numpy_backend
from omexp.errors import ArgumentError, warn_caller
from omexp.geometry import Region, Shape
from omexp.metadata.axes import CANONICAL
from omexp.metadata.channels import default_channels
from omexp.storage.reading import Reader

__all__ = ["ChannelNotes", "Imported", "OnDevice", "arranged"]


@dataclass(frozen=True, slots=True)
class ChannelNotes:
    """What a file says of one channel: a name, six hex digits, the emission wavelength in nanometers."""

    label: str | None = None
    color: str | None = None
    emission_nm: float | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """One image to write: its pixels box by box, and what `create_ome_zarr_from_array` is told of them.

    reader: over `axes`, letters of t, c, z, y, x in this order.
    pixel_size: axis -> size; x, y, z in `space_unit`, t in seconds. Empty where the file says nothing.
    channels: one entry per channel, or none.
    left_out: names of what the file holds and OME-Zarr metadata does not.
    """

    reader: Reader
    axes: str
    name: str | None = None
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    space_unit: str | None = "micrometer"
    channels: tuple[ChannelNotes, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return math.prod(self.reader.shape) * self.reader.dtype.itemsize

    def with_pixel_size(self, sizes: Mapping[str, float]) -> Imported:
        """With other sizes along some axes, in micrometers and seconds; a size in another unit is not kept beside them."""
        if not sizes:
            return self
        kept = {a: s for a, s in self.pixel_size.items() if a == "t" or self.space_unit == "micrometer"}
        space_unit = "micrometer" if set(sizes) & set("zyx") else self.space_unit
        return replace(
            self, pixel_size=(kept if space_unit == "micrometer" else dict(self.pixel_size)) | dict(sizes), space_unit=space_unit
        )

    def options(self, where: str) -> dict[str, Any]:
        """`ImageOptions` that say what the file says. A file without pixel size along y and x gets 1, and a warning."""
        sizes = dict(self.pixel_size)
        space_unit = self.space_unit
        if "x" not in sizes and "y" not in sizes:
            space_unit = self.space_unit if "z" in sizes and "z" in self.axes else None  # that of z, which axes of space share
            unit = f"1 {space_unit} along y and x" if space_unit else "1 without a unit"
            warn_caller(f"{where}: the source has no pixel size, so it is {unit}; set pixel_size to change it")
            sizes |= {"x": 1.0, "y": 1.0}
        x, y = sizes.get("x", sizes.get("y")), sizes.get("y", sizes.get("x"))
        found: dict[str, Any] = {"pixelsize": (y, x), "space_unit": space_unit, "axes_names": tuple(self.axes), "name": self.name}
        found |= {key: sizes[axis] for key, axis in (("z_spacing", "z"), ("time_spacing", "t")) if axis in sizes and axis in self.axes}
        if "t" in self.axes and "t" not in sizes:
            found["time_unit"] = None  # without an interval the step is 1, of no unit
        return found | self._channel_options()

    def _channel_options(self) -> dict[str, Any]:
        count = self.reader.shape[self.axes.index("c")] if "c" in self.axes else 1
        if len(self.channels) != count or not any((c.label, c.color, c.emission_nm) != (None, None, None) for c in self.channels):
            return {}
        labels = unique([c.label or f"channel_{i}" for i, c in enumerate(self.channels)])
        guessed = default_channels(count, self.reader.dtype.name, labels=labels).channels
        found: dict[str, Any] = {
            "channel_labels": labels,
            "channel_colors": [c.color or g.color for c, g in zip(self.channels, guessed, strict=True)],
        }
        if any(c.emission_nm for c in self.channels):
            found["channel_wavelengths"] = [
                f"{c.emission_nm:g}" if c.emission_nm else n for c, n in zip(self.channels, labels, strict=True)
            ]
        return found


def unique(names: Sequence[str]) -> list[str]:
    """The names, those that come again numbered: channels are found by their label.

    Examples
    --------
    >>> unique(["DAPI", "GFP", "DAPI"])
    ['DAPI', 'GFP', 'DAPI (2)']
    """
    found: list[str] = []
    for name in names:
        made, count = name, 1
        while made in found:
            count += 1
            made = f"{name} ({count})"
        found.append(made)
    return found


# --------------------------------------------------------------------------------------------------------- readers
def arranged(reader: Reader, axes: str, where: str) -> tuple[Reader, str]:
    """The reader with its axes in the order t, c, z, y, x, samples ("s") joined with the channels.

    `axes` has one letter of t, c, z, y, x, s per axis of the reader. Raises `ArgumentError` for other letters or a wrong number.
    """
    if len(axes) != len(reader.shape) or len(set(axes)) != len(axes) or not set(axes) <= {*CANONICAL, "s"} or not {"y", "x"} <= set(axes):
        raise ArgumentError(
            "the axes do not fit the pixels",
            where=where,
            got=f"axes {axes!r} for shape {reader.shape}",
            allowed="one each of t, c, z, y, x (and s for samples such as red, green, blue), with y and x",
            hint="Pass axes_names, such as axes_names='tyx'.",
        )
    wanted = "".join(a for a in (*CANONICAL[:2], "s", *CANONICAL[2:]) if a in axes)
    if wanted != axes:
        reader = _Arranged(reader, tuple(axes.index(a) for a in wanted))
    if "c" in wanted and "s" in wanted:
        reader, wanted = _JoinedSamples(reader, wanted.index("c")), wanted.replace("s", "")
    return reader, wanted.replace("s", "c")


class _Wrapped:
    """A reader that changes what another one gives."""

    def __init__(self, inner: Reader, shape: Shape) -> None:
        self.inner, self.shape = inner, shape
        self.name, self.reason, self.dtype, self.backend = inner.name, inner.reason, inner.dtype, inner.backend


class _Arranged(_Wrapped):
    """The same pixels with the axes in another order: axis i here is axis ``order[i]`` of the inner reader."""

    def __init__(self, inner: Reader, order: Shape) -> None:
        super().__init__(inner, tuple(inner.shape[i] for i in order))
        self.order, self.back = order, tuple(order.index(i) for i in range(len(order)))

    def read(self, region: Region) -> Any:
        start, stop = (tuple(corner[i] for i in self.back) for corner in (region.start, region.stop))
        return self.backend.xp.permute_dims(self.inner.read(Region(start, stop)), self.order)


class _JoinedSamples(_Wrapped):
    """Channels whose pixels have samples (c, s at `position`, `position` + 1) as one axis of c * s channels."""

    def __init__(self, inner: Reader, position: int) -> None:
        self.at, self.samples = position, inner.shape[position + 1]
        super().__init__(inner, (*inner.shape[:position], inner.shape[position] * self.samples, *inner.shape[position + 2 :]))

    def read(self, region: Region) -> Any:
        at, samples = self.at, self.samples
        first, last = region.start[at] // samples, -(-region.stop[at] // samples)
        box = Region((*region.start[:at], first, 0, *region.start[at + 1 :]), (*region.stop[:at], last, samples, *region.stop[at + 1 :]))
        joined = self.backend.xp.reshape(self.inner.read(box), (*region.shape[:at], (last - first) * samples, *region.shape[at + 1 :]))
        skipped = region.start[at] - first * samples
        return joined[(slice(None),) * at + (slice(skipped, skipped + region.shape[at]),)]


class OnDevice(_Wrapped):
    """A host reader whose boxes are uploaded: levels are then reduced on that device."""

    def __init__(self, inner: Reader, backend: Backend) -> None:
        super().__init__(inner, inner.shape)
        self.backend, self.reason = backend, f"{inner.reason}, one upload to {backend.name}"

    def read(self, region: Region) -> Any:
        return from_host(np.ascontiguousarray(self.inner.read(region)), self.backend)


class InMemory:
    """An array that is in memory already."""

    name, reason, backend = "memory", "the source is read whole", numpy_backend

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype.newbyteorder("=")

    def read(self, region: Region) -> Any:
        return self.array[region.slices].astype(self.dtype, copy=False)
