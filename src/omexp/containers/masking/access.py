"""Masked images and labels by name, as an image has them. Knows: which label and which table mask. Does not know: pixels, masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omexp.backend import Backend
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.masking.masked import MaskedImage, MaskedLabel
from omexp.containers.masking.objects import Objects, masking_label_and_table
from omexp.containers.multiscale import level_path
from omexp.containers.table_access import TableAccess
from omexp.containers.tables import MaskingRoiTable, RoiTable
from omexp.containers.tiling import Tail, grid_rois
from omexp.world import PixelSize

__all__ = ["MaskedAccess"]


class MaskedAccess(TableAccess):
    """Whoever has levels, labels and tables as `OmeZarrContainer` has them."""

    _backend: Backend
    _level: Callable[..., Any]
    _label_level: Callable[..., Any]
    get_image: Callable[..., Image]
    get_label: Callable[..., Label]

    def get_masked_image(
        self,
        masking_label_name: str | None = None,
        masking_table_name: str | None = None,
        path: str | None = None,
        pixel_size: PixelSize | None = None,
        strict: bool = False,
    ) -> MaskedImage:
        """An image level whose objects are read and written by id.

        Parameters
        ----------
        masking_label_name
            The label that says which pixel belongs to which object; None: the one that the table refers to.
        masking_table_name
            A masking ROI table with the objects' boxes. None: the first one that refers to the label; without one the boxes are found
            in the label when first needed. `masked.objects.source` says which.
        path, pixel_size, strict
            As in `get_image`.
        """
        meta, level, stored = self._level(lambda meta: level_path(meta, path, pixel_size, strict, self._group.where))
        mask, objects = self._mask(masking_label_name, masking_table_name, meta.pixel_size(level))
        return MaskedImage(self._group, meta, level, self._backend, stored, mask=mask, objects=objects)

    def get_masked_label(
        self,
        label_name: str,
        masking_label_name: str | None = None,
        masking_table_name: str | None = None,
        path: str | None = None,
        pixel_size: PixelSize | None = None,
        strict: bool = False,
    ) -> MaskedLabel:
        """A label level whose pixels are read and written by the objects of another label. See `get_masked_image`."""
        group, meta, level, stored = self._label_level(label_name, path, pixel_size, strict)
        mask, objects = self._mask(masking_label_name, masking_table_name, meta.pixel_size(level))
        return MaskedLabel(group, meta, level, self._backend, stored, mask=mask, objects=objects)

    def build_masking_roi_table(self, label: str) -> MaskingRoiTable:
        """The boxes of a label's objects as a table (not stored; see `add_table`), with `area` and `centroid_*` in pixels beside them."""
        return self.get_label(label).build_masking_roi_table(label)

    def build_image_roi_table(self, name: str = "image") -> RoiTable:
        """The whole image as a table of one ROI (not stored; see `add_table`)."""
        image = self.get_image()
        return RoiTable([image.roi(name)], space_unit=image.space_unit, time_unit=image.time_unit)

    def build_grid_roi_table(
        self, sizes: Mapping[str, int], strides: Mapping[str, int] | None = None, tail: Tail = "clip", base_name: str = "tile"
    ) -> RoiTable:
        """Tiles of the finest level as a table of ROIs (not stored; see `add_table`). Parameters and errors as `tiling.grid_rois`.

        Examples
        --------
        >>> import omexp
        >>> image = omexp.create_empty_ome_zarr({}, (64, 64), xy_pixelsize=0.5)
        >>> image.build_grid_roi_table({"y": 32, "x": 32}).get("tile_1_0")["y"]
        RoiSlice(axis_name='y', start=16.0, length=16.0)
        """
        image = self.get_image()
        shape = {axis: n for axis in "tzyx" if (n := image.dimensions.get(axis)) is not None}
        rois = grid_rois(shape, sizes, image.pixel_size, strides=strides, tail=tail, base_name=base_name)
        return RoiTable(rois, space_unit=image.space_unit, time_unit=image.time_unit)

    def _mask(self, label_name: str | None, table_name: str | None, pixel_size: PixelSize) -> tuple[Label, Objects]:
        name, table = masking_label_and_table(self.tables, self._group.where, label_name, table_name)
        mask = self.get_label(name, pixel_size=pixel_size)
        if table is not None:
            return mask, Objects.of_table(table)
        meta = mask.meta
        return mask, Objects.of_label(mask if mask.path == meta.finest else Label(mask.group, meta, meta.finest, self._backend))
