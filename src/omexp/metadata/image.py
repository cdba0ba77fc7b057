"""An image's whole document. Knows: multiscale, channels, label block, version. Does not know: pixels, stores."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from omexp.metadata.channels import ChannelsMeta
from omexp.metadata.labels import ImageLabel
from omexp.metadata.multiscale import Multiscale
from omexp.world import PixelSize

__all__ = ["ImageMeta"]


@dataclass(frozen=True, slots=True)
class ImageMeta:
    """What the metadata of an image or label says, whatever its version.

    `version` is the OME-Zarr version of the group ("0.4", "0.5"). `channels_meta` is None for labels, `image_label` for images.
    """

    version: str
    multiscale: Multiscale
    channels_meta: ChannelsMeta | None = None
    image_label: ImageLabel | None = None

    def __str__(self) -> str:
        channels = "" if self.channels_meta is None else f", channels={self.channels_meta.channel_labels}"
        levels = ", ".join(f"{path}: {self.pixel_size(path)}" for path in self.paths)
        return f"ImageMeta(OME-Zarr {self.version}, name={self.name!r}, axes={', '.join(self.axes)}{channels}, levels: {levels})"

    @property
    def name(self) -> str | None:
        return self.multiscale.name

    @property
    def levels(self) -> int:
        return len(self.multiscale.datasets)

    @property
    def paths(self) -> list[str]:
        """Level paths in the order of the document."""
        return list(self.multiscale.paths)

    @property
    def axes(self) -> tuple[str, ...]:
        return self.multiscale.axes.names

    @property
    def space_unit(self) -> str | None:
        return self.pixel_size(self.paths[0]).space_unit

    @property
    def time_unit(self) -> str | None:
        return self.multiscale.axes.unit_of("t")

    def pixel_size(self, path: str) -> PixelSize:
        """The pixel size of the level at `path`."""
        return self.multiscale.pixel_size(path)

    def ratios(self, paths: Sequence[str]) -> list[tuple[float, ...]]:
        """The scale of each level over that of the one before, per axis."""
        scales = [self.multiscale.datasets[self.paths.index(path)].transform.scale for path in paths]
        return [tuple(b / a for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(scales)]

    @property
    def finest(self) -> str:
        """The path of the level with the smallest pixels (the first of equals)."""
        return min(self.paths, key=lambda p: sum(v * v for v in self.pixel_size(p).zyx))

    @property
    def by_resolution(self) -> list[str]:
        """Level paths, finest first."""
        return sorted(self.paths, key=lambda p: sum(v * v for v in self.pixel_size(p).zyx))

    def nearest(self, pixel_size: PixelSize) -> str:
        """The path of the level whose pixel size is nearest over z, y, x (the first of equals)."""
        return min(self.paths, key=lambda p: pixel_size.distance(self.pixel_size(p)))
