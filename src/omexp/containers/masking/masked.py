"""Images and labels seen through a label. Knows: objects by id, masks on the image's grid. Does not know: how ids came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from omexp.backend import Backend, numpy_backend
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.masking.batches import Batches
from omexp.containers.masking.objects import Objects
from omexp.containers.roi import Roi, RoiSlice
from omexp.errors import ArgumentError
from omexp.geometry import Region
from omexp.grids import nearest_indices
from omexp.kernels.axes import align, from_stored
from omexp.kernels.masks import mask_of_label, masked, take_nearest
from omexp.kernels.merging import Merge, require_merge
from omexp.metadata.image import ImageMeta
from omexp.selection import Arrangement, Selection, arranged_shape
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.storage.lazy import computed, dask_of_read, delayed_array
from omexp.storage.reading import choose_reader, read_selection
from omexp.world import pixel_span

__all__ = ["Margin", "MaskedImage", "MaskedLabel", "Objects"]

Margin = int | Mapping[str, int]  # pixels on every side, along x and y or by axis


class _Masked(Batches):
    """What masked images and masked labels share."""

    def __init__(
        self,
        group: Group,
        meta: ImageMeta,
        path: str,
        backend: Backend,
        stored: StoredArray | None = None,
        *,
        mask: Label,
        objects: Objects,
    ) -> None:
        super().__init__(group, meta, path, backend, stored)
        self._mask, self._objects = mask, objects
        self._one_plane = [axis for axis in ("t", "z") if mask.dimensions.get(axis) == 1]
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
        margin: Margin = 0,
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
        margin
            Pixels of this level by which the (zoomed) box grows on every side, before it is clipped: along x and y, or a dict such as
            ``{"z": 1, "y": 8, "x": 8}``.
        mode, axes_order, **slicing
            As in `Image.get_array`; an axis keyword replaces the box's own interval.

        Raises
        ------
        NameNotFoundError
            There is no such object.
        """
        return super().get_roi(self._box(label, zoom_factor, roi, margin), mode=mode, axes_order=axes_order, **slicing)

    def get_roi_as_numpy(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        margin: Margin = 0,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> Any:
        """`get_roi` as NumPy."""
        return super().get_roi_as_numpy(self._box(label, zoom_factor, roi, margin), axes_order=axes_order, **slicing)

    def get_roi_as_dask(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        margin: Margin = 0,
        axes_order: Sequence[str] | None = None,
        **slicing: Any,
    ) -> Any:
        """`get_roi` as dask."""
        return super().get_roi_as_dask(self._box(label, zoom_factor, roi, margin), axes_order=axes_order, **slicing)

    def set_roi(  # type: ignore[override]
        self,
        label: int | Roi | None = None,
        patch: Any = None,
        zoom_factor: float = 1.0,
        *,
        roi: Roi | None = None,
        margin: Margin = 0,
        axes_order: Sequence[str] | None = None,
        merge: Merge | None = None,
        **slicing: Any,
    ) -> None:
        """Write the pixels of an object's whole bounding box. See `set_roi_masked` for the object alone."""
        super().set_roi(self._box(label, zoom_factor, roi, margin), patch, axes_order=axes_order, merge=merge, **slicing)

    # ---------------------------------------------------------------------------------------------------- masks
    def get_roi_masked(
        self,
        label: int,
        zoom_factor: float = 1.0,
        *,
        fill_value: Any = 0,
        margin: Margin = 0,
        mode: str | None = None,
        axes_order: Sequence[str] | None = None,
        allow_rescaling: bool = True,
        **slicing: Any,
    ) -> Any:
        """The pixels of one object: those whose label is `label` keep their value, all others are `fill_value`.

        Shapes, dtype and device are those of `get_roi`, as are `zoom_factor`, `margin`, `mode`, `axes_order` and axis keywords. The label
        is brought to the image's grid by nearest index; ``allow_rescaling=False`` raises `ArgumentError` where that is needed.

        Examples
        --------
        >>> import numpy, omexp
        >>> ids = numpy.array([[0, 7, 7], [0, 0, 7]], "uint32")
        >>> image = omexp.create_ome_zarr_from_array({}, ids * 10, xy_pixelsize=1, levels=1)
        >>> image.derive_label("nuclei").set_array(ids)
        >>> image.get_masked_image("nuclei").get_roi_masked(7).tolist()
        [[70, 70], [0, 70]]
        """
        selection, arrangement = self._object(label, zoom_factor, margin, axes_order, allow_rescaling, slicing)

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
        self,
        label: int,
        patch: Any,
        zoom_factor: float = 1.0,
        *,
        margin: Margin = 0,
        axes_order: Sequence[str] | None = None,
        allow_rescaling: bool = True,
        merge: Merge | None = None,
        **slicing: Any,
    ) -> None:
        """Write one object: only pixels whose label is `label` change, everything else stays as it is.

        Chunks (shards) that hold none of its pixels are not written; in the others nothing that somebody else writes meanwhile is lost (see
        `docs/cache.md`). The coarser levels stay as they are: see `consolidate` and `track_writes`.

        Parameters
        ----------
        label
            The object's id.
        patch
            An array of the shape that `get_roi_masked` gives for the same arguments, on the container's device, in the level's dtype
            or one whose values it holds; a dask array or delayed object is computed.
        zoom_factor, margin, axes_order, allow_rescaling, **slicing
            As in `get_roi_masked`.
        merge
            As in `set_array`, inside the object.

        Raises
        ------
        NameNotFoundError, ArgumentError, DTypeError, BackendMismatchError, ReadOnlyError
            As `set_array`; nothing is written.
        """
        if merge is not None:
            require_merge(merge)
        selection, arrangement = self._object(label, zoom_factor, margin, axes_order, allow_rescaling, slicing)
        selection.require_distinct(self.where)
        with self._backend.active():
            new = self.checked_patch(computed(patch, self._backend), selection, arrangement)
            self._write(new, selection, mask=self._mask_of(label, selection, numpy_backend), merge=merge)

    # ------------------------------------------------------------------------------------------------ machinery
    def _write(self, pixels: Any, selection: Selection, *, mask: Any = None, merge: Merge | None = None) -> None:
        try:
            super()._write(pixels, selection, mask=mask, merge=merge)
        finally:
            self._forget_boxes_of(self)

    def _object(
        self,
        label: int,
        zoom_factor: float,
        margin: Margin,
        axes_order: Sequence[str] | None,
        allow_rescaling: bool,
        slicing: dict[str, Any],
    ) -> tuple[Selection, Arrangement]:
        """The pixels of an object's box, and how the caller wants to see them."""
        if not allow_rescaling:
            self._require_one_grid()
        return self._select(self._roi_slicing(self._box(label, zoom_factor, None, margin), slicing), axes_order)

    def _box(self, label: int | Roi | None, zoom_factor: float, roi: Roi | None = None, margin: Margin = 0) -> Roi:
        if (label is None) == (roi is None):
            raise ArgumentError(
                "pass an object's label, or a roi", where=self.where, got=f"label={label!r}, roi={roi!r}", allowed="one of the two"
            )
        named = label if roi is None else roi
        box = named if isinstance(named, Roi) else self._over_planes(self._objects.box(_as_id(named, self.where), self.where))
        if zoom_factor != 1:
            box = box.zoom(zoom_factor)
        return box if margin == 0 and margin is not False else _grown(box.to_pixel(self.pixel_size), margin, self.where)

    def _over_planes(self, box: Roi) -> Roi:
        """The box without t or z where it is the label's only plane: that plane stands for all of the image's."""
        sizes = self._mask.pixel_size
        flat = [
            interval.axis_name
            for interval in box.slices
            if interval.axis_name in self._one_plane
            and interval.length is not None
            and pixel_span(interval.start or 0, interval.length, sizes.get(interval.axis_name)) == (0, 1)
        ]
        return replace(box, slices=tuple(s for s in box.slices if s.axis_name not in flat)) if flat else box

    def _pixels(self, selection: Selection, backend: Backend) -> Any:
        reader = self._reader if backend == self._backend else choose_reader(self._stored, backend, cached=True)
        return read_selection(reader, selection)

    def _mask_of(self, label: int, selection: Selection, backend: Backend) -> Any:
        """True where the pixel's label is `label`, over all stored axes of the image (size 1 where the label has no such axis)."""
        mask, axes, own = self._mask, self._mask.axes, self.axes
        picked = dict(zip(selection.axes, selection.picks, strict=True))
        ours, theirs = self.pixel_size, mask.pixel_size
        indices = [  # a label of size 1 along an axis stands for all of the image's pixels
            range(1) if n == 1 or axis not in own else _nearest(picked[axis], ours.get(axis) / theirs.get(axis), n)
            for axis, n in zip(axes, mask.shape, strict=True)
        ]
        spans = [_span(chosen) for chosen in indices]
        reader = mask.reader if backend == mask.backend else choose_reader(mask.stored, backend, cached=True)
        ids = reader.read(Region(tuple(low for low, _ in spans), tuple(high for _, high in spans)))
        if not all(isinstance(chosen, range) and chosen.step == 1 for chosen in indices):
            ids = take_nearest(ids, [_shifted(chosen, low) for chosen, (low, _) in zip(indices, spans, strict=True)])
        kept = tuple(axis for axis in axes if axis in own)
        if kept != axes:
            ids = backend.xp.reshape(ids, tuple(n for axis, n in zip(axes, ids.shape, strict=True) if axis in kept))
        return align(mask_of_label(ids, label), kept, own)

    def _require_one_grid(self) -> None:
        shared = [axis for axis in self._mask.axes if axis in self.axes and self._mask.dimensions.get(axis) != 1]
        sizes = [(axis, self.pixel_size.get(axis), self._mask.pixel_size.get(axis)) for axis in shared]
        other = [f"{axis}: {theirs:g} on {ours:g}" for axis, ours, theirs in sizes if nearest_indices(0, 2, ours / theirs, 2) != range(2)]
        if other:
            raise ArgumentError(
                "the masking label lies on another grid",
                where=self.where,
                got=f"pixels of {', '.join(other)}",
                hint="Leave out allow_rescaling=False, or take the level of the label's pixel size.",
            )


def _grown(box: Roi, margin: Margin, where: str) -> Roi:
    """A box in pixels, larger by a margin on every side."""
    by_axis = dict(margin) if isinstance(margin, Mapping) else {"y": margin, "x": margin}
    for axis, pixels in by_axis.items():
        if axis not in ("t", "z", "y", "x") or isinstance(pixels, bool) or not isinstance(pixels, Integral) or pixels < 0:
            raise ArgumentError(
                "the margin is not understood",
                where=where,
                got=f"margin={margin!r}",
                allowed="pixels, 0 or more; or a dict of them by axis, of t, z, y, x",
            )
    return replace(box, slices=tuple(s if s.length is None else _wider(s, int(by_axis.get(s.axis_name, 0))) for s in box.slices))


def _wider(interval: RoiSlice, pixels: int) -> RoiSlice:
    return RoiSlice(interval.axis_name, (interval.start or 0) - pixels, (interval.length or 0) + 2 * pixels)


def _nearest(picked: Sequence[int], ratio: float, size: int) -> Sequence[int]:
    """For picked image indices along an axis, the label's."""
    if isinstance(picked, range) and picked.step == 1:
        return nearest_indices(picked.start, picked.stop, ratio, size)
    return [nearest_indices(i, i + 1, ratio, size)[0] for i in picked]


def _span(chosen: Sequence[int]) -> tuple[int, int]:
    """The smallest interval that holds all indices."""
    if not len(chosen):
        return 0, 0
    ends = (chosen[0], chosen[-1]) if isinstance(chosen, range) else chosen
    return min(ends), max(ends) + 1


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
