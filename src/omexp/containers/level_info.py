"""What one resolution level is. Knows: its array, axes, pixel size, reader. Does not know: how pixels are read and written.

Users meet it as part of an `Image` or a `Label`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omexp.backend import Backend
from omexp.containers.consolidation import Touched
from omexp.containers.dimensions import Dimensions
from omexp.containers.html import html_table
from omexp.containers.multiscale import level_array
from omexp.containers.points import mapped
from omexp.containers.roi import Roi
from omexp.metadata.image import ImageMeta
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.storage.reading import Reader, choose_reader
from omexp.world import PixelSize

__all__ = ["LevelInfo"]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What follows from the metadata: worked out once, for reading a box asks for it many times."""

    meta: ImageMeta
    axes: tuple[str, ...]
    canonical: dict[str, str]
    pixel_size: PixelSize


class LevelInfo:
    """An array on disk as a level of an image: where it lies, what its axes and pixels are."""

    def __init__(self, group: Group, meta: ImageMeta, path: str, backend: Backend, stored: StoredArray | None = None) -> None:
        self._group, self._meta, self._path, self._backend = group, meta, path, backend
        self._stored = level_array(group, meta, path) if stored is None else stored
        self._reader = choose_reader(self._stored, backend, cached=True)
        self._listeners: list[Touched] = []  # `track_writes` blocks that are open
        self._where = f"{group.where}/{path}"
        self._known: _Facts | None = None

    # ------------------------------------------------------------------------------------------------ what it is
    @property
    def path(self) -> str:
        """The level's path in the image group, such as "0"."""
        return self._path

    @property
    def where(self) -> str:
        """The array's place, for messages."""
        return self._where

    @property
    def shape(self) -> tuple[int, ...]:
        return self._stored.shape

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the pixels."""
        return self._stored.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """The unit of decoding."""
        return self._stored.chunks

    @property
    def write_granularity(self) -> tuple[int, ...]:
        """The unit of writing: the shard where there are shards, else the chunk."""
        return self._stored.write_unit

    @property
    def zarr_array(self) -> Any:
        """The zarr array."""
        return self._stored.zarr

    @property
    def meta(self) -> ImageMeta:
        return self._meta

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names in stored order."""
        return self._facts.axes

    def has_axis(self, name: str) -> bool:
        return self._meta.multiscale.axes.index(name) is not None

    @property
    def pixel_size(self) -> PixelSize:
        return self._facts.pixel_size

    def to_physical(self, points: Any, system: str | None = None) -> Any:
        """Pixel indices of this level in world units: the centre of a pixel is its index.

        Parameters
        ----------
        points
            (n, axes) or (axes,): one number per axis, in stored order; an array or lists.
        system
            A coordinate system of the document (0.6); None: that of the axes.

        Returns
        -------
        Array of float64
            On the device of `points` (float32 where that has no float64).

        Raises
        ------
        ArgumentError, NameNotFoundError
            Other shapes; no such system, or none that transforms lead to.
        """
        return mapped(points, self._meta.multiscale.matrix(self._path, system), self.where)

    def to_pixels(self, points: Any, system: str | None = None) -> Any:
        """World units as pixel indices of this level, fractions included. See `to_physical`."""
        return mapped(points, self._meta.multiscale.matrix_back(self._path, system), self.where)

    @property
    def dimensions(self) -> Dimensions:
        return Dimensions(self._meta.multiscale.axes, self.shape, self.pixel_size)

    @property
    def space_unit(self) -> str | None:
        return self._meta.space_unit

    @property
    def time_unit(self) -> str | None:
        return self._meta.time_unit

    @property
    def is_2d(self) -> bool:
        return self.dimensions.is_2d

    @property
    def is_3d(self) -> bool:
        return self.dimensions.is_3d

    @property
    def is_time_series(self) -> bool:
        return self.dimensions.is_time_series

    @property
    def is_multi_channels(self) -> bool:
        return self.dimensions.is_multi_channels

    @property
    def device(self) -> str:
        """Where arrays live: "cpu", "cuda:0"."""
        return self._backend.name

    @property
    def reader(self) -> Reader:
        """How bytes become arrays: `reader.name` and `reader.reason`."""
        return self._reader

    @property
    def writer(self) -> str:
        """What encodes and stores pixels, and why."""
        return self._stored.writer

    @property
    def stored(self) -> Any:
        """The array on disk, as the storage floor sees it."""
        return self._stored

    @property
    def group(self) -> Group:
        """The group that the level lies in, as the storage floor sees it."""
        return self._group

    @property
    def backend(self) -> Backend:
        """The array library and device."""
        return self._backend

    def roi(self, name: str | None = "image") -> Roi:
        """The whole extent over t, z, y, x, in world units from the image corner."""
        sizes = {a: self.dimensions.get(a) for a in "tzyx"}
        return Roi.from_values({a: (0, n) for a, n in sizes.items() if n is not None}, name, space="pixel").to_world(self.pixel_size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(path={self._path}, {self.dimensions}, {self.dtype}, {self.pixel_size}, device={self.device})"

    def _repr_html_(self) -> str:
        rows = {
            "path": self._path,
            "shape": str(self.dimensions),
            "dtype": str(self.dtype),
            "chunks": str(self.chunks),
            "pixel size": str(self.pixel_size),
            "device": self.device,
            "reader": f"{self.reader.name}: {self.reader.reason}",
            "writer": self.writer,
        }
        return html_table(f"{type(self).__name__} of {self._group.where}", rows)

    @property
    def _facts(self) -> _Facts:
        meta, known = self._meta, self._known
        if known is None or known.meta is not meta:
            known = _Facts(meta, meta.axes, meta.multiscale.axes.canonical, meta.pixel_size(self._path))
            self._known = known
        return known

    def revise(self, meta: ImageMeta) -> None:
        """Take other metadata for the same levels (they are on disk already)."""
        self._meta = meta
