"""Label images. Knows: ids per pixel, their boxes. Does not know: intensities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omexp.backend import numpy_backend, to_host
from omexp.batching import Grid
from omexp.containers.labelling.colors import MOST, add_colors, are_ours, checked, color_of, put_colors
from omexp.containers.level import Level
from omexp.containers.multiscale import read_meta
from omexp.containers.roi import Roi
from omexp.containers.tables import MaskingRoiTable
from omexp.finding import find_boxes
from omexp.geometry import Region, grow_block
from omexp.kernels.labels import LabelBoxes, label_boxes
from omexp.kernels.methods import Methods
from omexp.metadata.labels import ImageLabel
from omexp.pyramid import Built
from omexp.storage.lazy import BLOCK_BYTES
from omexp.storage.reading import default_workers, worker_reader
from omexp.storage.workers import run_in_order

__all__ = ["Label"]

_MOST_PIXELS = 1 << 28  # of a label whose objects get colours by themselves: about half a second


class Label(Level):
    """One level of a label image: an integer id per pixel, 0 for background.

    Reads and writes as `Image` does. `consolidate` takes the first pixel of each window ("nearest"), so ids never mix; pass "mode" for
    the most frequent one.
    """

    default_method = "nearest"

    def takes(self, method: Methods) -> bool:
        """Ids are never averaged because some metadata says so."""
        return method.kernel not in ("mean", "gaussian")

    @property
    def image_label(self) -> ImageLabel | None:
        """Source, colours and properties, as the document has them."""
        return self._meta.image_label

    def set_colors(self, colors: Mapping[int, Sequence[int]] | None = None) -> None:
        """Say in which colour viewers show each object.

        `consolidate` does it by itself, for labels of at most 1000 objects that have no colours of somebody else's.

        Parameters
        ----------
        colors
            Id -> (red, green, blue) or (red, green, blue, alpha), integers from 0 to 255. None: a colour of its own for every object of the
            label. Empty: none, so that viewers choose.

        Raises
        ------
        ArgumentError
            A colour that cannot be.
        ReadOnlyError
            The store is read-only.

        Examples
        --------
        >>> import numpy, omexp
        >>> container = omexp.create_empty_ome_zarr("colored.zarr", (8, 8), xy_pixelsize=1.0, overwrite=True)
        >>> label = container.derive_label("cells")
        >>> label.set_colors({1: (255, 0, 0)})
        >>> container.get_label("cells").image_label.colors
        ({'label-value': 1, 'rgba': [255, 0, 0, 255]},)
        """
        found = {i: color_of(i) for i in self._ids()} if colors is None else checked(colors, self.where)
        put_colors(self._group, found)

    def consolidate(  # type: ignore[override]
        self, method: str | None = None, *, regions: Iterable[Roi | Mapping[str, Any]] | None = None, **options: Any
    ) -> Built:
        """Rebuild every coarser level from this one. See `Level.consolidate`; colours of objects are kept up to date, see `set_colors`.

        With `regions` the label is read nowhere else: objects that appear there get colours, those that went keep theirs until the whole is
        rebuilt.
        """
        parts = None if regions is None else list(regions)
        built = super().consolidate(method, regions=parts, **options)
        self._keep_colors(None if parts is None else [self._pixels_of(part) for part in parts])
        return built

    def _keep_colors(self, regions: Sequence[Region] | None) -> None:
        """A colour for each object, where nobody else has chosen any and there are at most 1000. `regions`: where there may be new ones."""
        block = read_meta(self._group)[0].image_label
        if block is None or not are_ours(block.colors) or math.prod(self.shape) > _MOST_PIXELS:
            return
        if regions is None:
            ids = self._ids()
            put_colors(self._group, {i: color_of(i) for i in ids} if len(ids) <= MOST else {})
        elif block.colors:
            add_colors(self._group, self._ids_near(regions))

    def _ids_near(self, regions: Sequence[Region]) -> set[int]:
        """The ids in the chunks that regions meet, each read once."""
        grid, reader = Grid(self.shape, self.chunks, self.dtype.itemsize), worker_reader(self._stored, numpy_backend)
        cells = {cell for region in regions if region.size for cell in grid.cells(region, grid.cut_axes)}
        parts = run_in_order(lambda cell: label_boxes(reader.read(grid.box(cell))).ids.tolist(), sorted(cells), default_workers())
        return {int(i) for ids in parts for i in ids}

    def _ids(self) -> list[int]:
        found = find_boxes(worker_reader(self._stored, numpy_backend), self.block_shape(), workers=default_workers())
        return [int(i) for i in found.ids.tolist()]

    def block_shape(self) -> tuple[int, ...]:
        """Blocks of whole chunks that are read at a time when the label is gone through."""
        return grow_block(self.chunks, self.shape, BLOCK_BYTES // self.dtype.itemsize)

    def find_objects(self, *, workers: int | None = None) -> LabelBoxes:
        """The box, area and centroid of each object, as arrays on the container's device.

        One pass over the label, block by block: O(pixels) time, O(objects) memory, for ids of any size.

        Parameters
        ----------
        workers
            Threads; None for all CPUs.

        Returns
        -------
        LabelBoxes
            `ids` ascending, `start`, `stop` (pixels of this level), `area` (pixels), `centroid` (pixel 0 has its centre at 0).

        Examples
        --------
        >>> import numpy, omexp
        >>> container = omexp.create_empty_ome_zarr("found.zarr", (8, 8), xy_pixelsize=1.0, overwrite=True)
        >>> label = container.derive_label("cells", dtype="uint64")
        >>> label.set_array(numpy.full((2, 3), 2**40, "uint64"), y=slice(4, 6), x=slice(0, 3))
        >>> found = label.find_objects()
        >>> found.ids.tolist(), found.start.tolist(), found.stop.tolist(), found.area.tolist(), found.centroid.tolist()
        ([1099511627776], [[4, 0]], [[6, 3]], [6], [[4.5, 1.0]])
        """
        reader = worker_reader(self._stored, self._backend)
        return find_boxes(reader, self.block_shape(), workers=workers or default_workers())

    def boxes(self) -> dict[int, Roi]:
        """The bounding box of each object, in pixels of this level, by id, ascending. See `find_objects`."""
        return {roi.label: roi for roi in self._rois(self.find_objects())}  # type: ignore[misc]

    def build_masking_roi_table(self, reference_label: str | None = None) -> MaskingRoiTable:
        """The boxes of the objects as a table, with their `area` and `centroid_*` in pixels beside them; not stored, see `add_table`.

        Parameters
        ----------
        reference_label
            The name of the label that the table refers to; None: this one's.
        """
        found = self.find_objects()
        columns = {"area": to_host(found.area).tolist()}
        columns |= {f"centroid_{axis}": to_host(found.centroid[:, i]).tolist() for i, axis in enumerate(self.axes)}
        extras = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        rois = [replace(roi.to_world(self.pixel_size), extra=extra) for roi, extra in zip(self._rois(found), extras, strict=True)]
        label = reference_label or self.meta.name
        return MaskingRoiTable(rois, label, space_unit=self.space_unit, time_unit=self.time_unit)

    def _rois(self, found: LabelBoxes) -> Iterator[Roi]:
        ids, starts, stops = (to_host(a).tolist() for a in (found.ids, found.start, found.stop))
        for label, start, stop in zip(ids, starts, stops, strict=True):
            spans: dict[str, Any] = {axis: (a, b - a) for axis, a, b in zip(self.axes, start, stop, strict=True)}
            yield Roi.from_values(spans, str(label), label, space="pixel")
