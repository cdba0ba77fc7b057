"""Images and labels seen through a label. Knows: objects by id, masks on the image's grid. Does not know: how ids came to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from omexp.backend import Backend
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.level import Level
from omexp.containers.objects import Objects
from omexp.containers.roi import Roi
from omexp.errors import ArgumentError
from omexp.geometry import Region
from omexp.grids import nearest_indices
from omexp.kernels.axes import align, from_stored
from omexp.kernels.masks import keep_outside, mask_of_label, masked, take_nearest
from omexp.metadata.image import ImageMeta
from omexp.selection import Selection, arranged_shape
from omexp.storage.groups import Group
from omexp.storage.lazy import computed, dask_of_read, delayed_array
from omexp.storage.reading import choose_reader, read_selection

__all__ = ["MaskedImage", "MaskedLabel", "Objects"]


class _Masked(Level):
    """What masked images and masked labels share."""

    def __init__(self, group: Group, meta: ImageMeta, path: str, backend: Backend, *, mask: Label, objects: Objects) -> None:
        super().__init__(group, meta, path, backend)
        self._mask, self._objects = mask, objects
        foreign = [a for a in mask.axes if a not in self.axes and mask.dimensions.get(a) != 1]
        if foreign:
            raise ArgumentError(
                "the masking label has axes that the image has not",
                where=self.where,
                got=f"label axes {', '.join(mask.axes)}",
                allowed=f"axes {', '.join(self.axes)}",
            )

    @property
    def masking_label(self) -> Label:
        """The label level that masks: the one whose pixels are nearest to this level's."""
        return self._mask

    @property
    def objects(self) -> Objects:
        """The objects' boxes and where they come from."""
        return self._objects

    def labels(self) -> list[int]:
        """The ids of the objects, ascending."""
        return sorted(self._objects.boxes)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, masked by {self._mask.meta.name or self._mask.where})"

    # --------------------------------------------------------------------------------------------------- boxes
    def get_roi(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        mode: str | None = None,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> Any:
        """The pixels of an object's bounding box, neighbours and background included.

        Parameters
        ----------
        label, roi
            The object's id; or a `Roi`, which reads as `Image.get_roi` does. An object of a label with one plane (z or t) is a column
            through all planes of the image.
        zoom_factor
            Scales the box along x and y about its centre, then it is clipped to the image.
        mode, axes_order, **slicing
            As in `Image.get_array`; an axis keyword replaces the box's own interval.

        Raises
        ------
        NameNotFoundError
            There is no such object.
        """
        return super().get_roi(self._box(label, zoom_factor, roi), mode=mode, axes_order=axes_order, **slicing)

    def get_roi_as_numpy(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> Any:
        """`get_roi` as NumPy."""
        return super().get_roi_as_numpy(self._box(label, zoom_factor, roi), axes_order=axes_order, **slicing)

    def get_roi_as_dask(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> Any:
        """`get_roi` as dask."""
        return super().get_roi_as_dask(self._box(label, zoom_factor, roi), axes_order=axes_order, **slicing)

    def set_roi(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        patch: Any = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> None:
        """Write the pixels of an object's whole bounding box. See `set_roi_masked` for the object alone."""
        super().set_roi(self._box(label, zoom_factor, roi), patch, axes_order=axes_order, **slicing)

    # ---------------------------------------------------------------------------------------------------- masks
    def get_roi_masked(
        self,
        label: int,
        zoom_factor: float = 1.0,
        *,
        fill_value: Any = 0,
        mode: str | None = None,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> Any:
        """The pixels of one object: those whose label is `label` keep their value, all others are `fill_value`.

        Shapes, dtype and device are those of `get_roi`. The label is brought to the image's grid by nearest index.
        """
        roi_slicing = self._roi_slicing(self._box(label, zoom_factor), slicing)
        selection, arrangement = self._select(roi_slicing, axes_order)

        def read(backend: Backend) -> Any:
            with backend.active():
                pixels = masked(self._pixels(selection, backend), self._mask_of(label, selection, backend), fill_value)
                return from_stored(pixels, selection, arrangement)

        if mode == "dask":
            return dask_of_read(lambda: read(self._backend), self.where, arranged_shape(selection, arrangement), self.dtype, self._backend)
        if mode == "delayed":
            return delayed_array(lambda: read(self._backend), self.where)
        return read(self._backend_for(mode))

    def get_roi_masked_as_numpy(self, label: int, zoom_factor: float = 1.0, **keywords: Any) -> Any:
        """`get_roi_masked` as NumPy."""
        return self.get_roi_masked(label, zoom_factor, mode="numpy", **keywords)

    def get_roi_masked_as_dask(self, label: int, zoom_factor: float = 1.0, **keywords: Any) -> Any:
        """`get_roi_masked` as dask (one block)."""
        return self.get_roi_masked(label, zoom_factor, mode="dask", **keywords)

    def set_roi_masked(
        self, label: int, patch: Any, zoom_factor: float = 1.0, *, axes_order: Sequence[str] | None = None, **slicing: Any
    ) -> None:
        """Write one object: only pixels whose label is `label` change, everything else stays as it is.

        Parameters
        ----------
        label
            The object's id.
        patch
            An array of the shape that `get_roi_masked` gives for the same arguments, on the container's device, in the level's dtype
            or one whose values it holds; a dask array or delayed object is computed.
        zoom_factor, axes_order, **slicing
            As in `get_roi_masked`.

        Raises
        ------
        NameNotFoundError, ArgumentError, DTypeError, BackendMismatchError, ReadOnlyError
            As `set_array`; nothing is written.
        """
        selection, arrangement = self._select(self._roi_slicing(self._box(label, zoom_factor), slicing), axes_order)
        selection.require_distinct(self.where)
        with self._backend.active():
            new = self._checked_patch(computed(patch, self._backend), selection, arrangement)
            old = self._pixels(selection, self._backend)
            self._write(keep_outside(old, new, self._mask_of(label, selection, self._backend)), selection)

    # ------------------------------------------------------------------------------------------------ machinery
    def _box(self, label: int | Roi | None, zoom_factor: float, roi: Roi | None = None) -> Roi:
        if (label is None) == (roi is None):
            raise ArgumentError(
                "pass an object's label, or a roi", where=self.where, got=f"label={label!r}, roi={roi!r}", allowed="one of the two"
            )
        named = roi or label
        box = named if isinstance(named, Roi) else self._over_planes(self._objects.box(_as_id(label, self.where), self.where))
        return box if zoom_factor == 1 else box.zoom(zoom_factor)

    def _over_planes(self, box: Roi) -> Roi:
        """The box without t or z where it is the label's only plane: that plane stands for all of the image's."""
        mask = self._mask
        only = [s.axis_name for s in box.to_pixel(mask.pixel_size).slices if (s.start, s.length) == (0, 1)]
        flat = [axis for axis in only if axis in ("t", "z") and mask.dimensions.get(axis) == 1]
        return replace(box, slices=tuple(s for s in box.slices if s.axis_name not in flat))

    def _pixels(self, selection: Selection, backend: Backend) -> Any:
        reader = self._reader if backend == self._backend else choose_reader(self._stored, backend)
        return read_selection(reader, selection)

    def _mask_of(self, label: int, selection: Selection, backend: Backend) -> Any:
        """True where the pixel's label is `label`, over all stored axes of the image (size 1 where the label has no such axis)."""
        mask = self._mask
        picked = dict(zip(selection.axes, selection.picks, strict=True))
        indices = [self._label_indices(axis, n, picked.get(axis, range(1))) for axis, n in zip(mask.axes, mask.shape, strict=True)]
        low = [min(i, default=0) for i in indices]
        high = [max(i, default=-1) + 1 for i in indices]
        reader = mask.reader if backend == mask.backend else choose_reader(mask.stored, backend)
        ids = reader.read(Region(tuple(low), tuple(high)))
        ids = take_nearest(ids, [_shifted(i, a) for i, a in zip(indices, low, strict=True)])
        kept = tuple(axis for axis in mask.axes if axis in self.axes)
        ids = backend.xp.reshape(ids, tuple(n for axis, n in zip(mask.axes, ids.shape, strict=True) if axis in kept))
        return align(mask_of_label(ids, label), kept, self.axes)

    def _label_indices(self, axis: str, size: int, picked: Sequence[int]) -> Sequence[int]:
        """For picked image indices along an axis, the label's indices; a label of size 1 stands for all of them."""
        if size == 1 or axis not in self.axes:
            return range(1)
        ratio = self.pixel_size.get(axis) / self._mask.pixel_size.get(axis)
        if isinstance(picked, range) and picked.step == 1:
            return nearest_indices(picked.start, picked.stop, ratio, size)
        return [nearest_indices(i, i + 1, ratio, size)[0] for i in picked]


def _shifted(indices: Sequence[int], offset: int) -> Sequence[int]:
    if isinstance(indices, range):
        return range(indices.start - offset, indices.stop - offset, indices.step)
    return [i - offset for i in indices]


def _as_id(label: Any, where: str) -> int:
    try:
        return label.__index__()
    except AttributeError:
        raise ArgumentError("label must be an integer id", where=where, got=repr(label), allowed="an int, see labels()") from None


class MaskedImage(_Masked, Image):
    """An `Image` whose objects, those of a label, are read and written by id. Usable wherever an `Image` is."""


class MaskedLabel(_Masked, Label):
    """A `Label` whose objects, those of another label, are read and written by id. Usable wherever a `Label` is."""
