"""Many objects of a masked level at once: read, changed, batched. Knows: which objects and keywords are meant. Does not know: how it is
done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omexp.containers.label import Label
from omexp.containers.level import Level
from omexp.containers.masking.gathering import ObjectBatch, batches, windows
from omexp.containers.masking.mapping import Call, Mapped, map_objects, output_regions
from omexp.containers.masking.objects import Objects
from omexp.containers.masking.reader import Crops, ObjectReader, handed_out
from omexp.containers.masking.regions import Boxes, MaskGrid, ObjectRegions
from omexp.containers.roi import Roi
from omexp.errors import ArgumentError
from omexp.kernels.masks import checked_fill
from omexp.pyramid import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Batches"]


class Batches(Level):
    """What masked images and masked labels do with many objects."""

    _mask: Label
    _objects: Objects
    if TYPE_CHECKING:  # of the masked level itself

        def _box(self, label: int | Roi | None, zoom_factor: float, roi: Roi | None = None, margin: Any = 0) -> Roi: ...
        def _require_one_grid(self) -> None: ...

    def iter_rois(
        self,
        labels: Iterable[int] | None = None,
        *,
        masked: bool = True,
        zoom_factor: float = 1.0,
        margin: int | Mapping[str, int] = 0,
        order: str = "chunks",
        fill_value: Any = 0,
        mode: str | None = None,
        axes_order: Sequence[str] | None = None,
        allow_rescaling: bool = True,
        max_memory: int | None = None,
        workers: int | None = None,
        **slicing: Any,
    ) -> ObjectReader:
        """The pixels of many objects, one after the other, with each chunk decoded once.

        Each array is what `get_roi_masked` (or `get_roi`) gives for the same label and keywords.

        Parameters
        ----------
        labels
            The objects' ids; None: all. One that is named twice comes twice.
        masked
            False: the whole box, neighbours and background included.
        zoom_factor, margin, fill_value, axes_order, allow_rescaling, **slicing
            As in `get_roi_masked`.
        order
            "chunks": as they lie in the chunks, which is fastest; "given": the order of `labels`.
        mode
            None (the container's device), "numpy" or "cupy".
        max_memory
            Bytes of decoded chunks, or of crops that wait for more of them, that are held at most; None: 512 MiB. Where that is too little
            for either, chunks are decoded again: `plan.decoded_again` of what comes back says how often, before anything is read, and
            an `OmexpWarning` where that is more than once for each.
        workers
            Threads that decode ahead; None: all CPUs.

        Returns
        -------
        ObjectReader
            An iterator of (label, array). The arrays are the caller's own.

        Raises
        ------
        NameNotFoundError, ArgumentError, SelectionError, DTypeError
            As `get_roi_masked`, before anything is read; so little memory that it does not hold one chunk of image and label.

        Examples
        --------
        >>> import numpy, omexp
        >>> ids = numpy.zeros((64, 64), "uint32")
        >>> ids[2:6, 3:8], ids[40:50, 40:44] = 1, 7
        >>> container = omexp.create_ome_zarr_from_array({}, ids * 100, xy_pixelsize=1.0)
        >>> container.derive_label("nuclei").set_array(ids)
        >>> objects = container.get_masked_image("nuclei").iter_rois()
        >>> [(label, pixels.shape, int(pixels.max())) for label, pixels in objects]
        [(1, (4, 5), 100), (7, (10, 4), 700)]
        """
        crops = self._crops(labels, zoom_factor, margin, axes_order, slicing, masks=masked, mode=mode)
        plan = crops.plan(order, max_memory, workers)
        if masked:
            self._check_fill(crops, fill_value)
            if not allow_rescaling:
                self._require_one_grid()
        return ObjectReader(plan, handed_out(crops, plan, fill_value))

    def map(
        self,
        function: Callable[..., Any],
        labels: Iterable[int] | None = None,
        *,
        output: Level | None = None,
        with_mask: bool = False,
        masked: bool = True,
        zoom_factor: float = 1.0,
        margin: int | Mapping[str, int] = 0,
        order: str = "chunks",
        fill_value: Any = 0,
        axes_order: Sequence[str] | None = None,
        allow_rescaling: bool = True,
        consolidate: bool = True,
        max_memory: int | None = None,
        workers: int = 1,
        progress: Progress | None = None,
        **slicing: Any,
    ) -> Mapped:
        """Call a function with each object; keep what it gives, or write it into an output.

        All objects are read as they were before: also where the output is this very level, no call sees what another one has given.

        Parameters
        ----------
        function
            Called with the pixels of one object, as `iter_rois` gives them; ``with_mask=True``: with (label, pixels, mask), the mask being
            bool and broadcasting to the pixels.
        labels, masked, zoom_factor, margin, order, fill_value, axes_order, allow_rescaling, **slicing
            As in `iter_rois`.
        output
            A level (image, label or masked) of the same grid: what the function gives, of the shape and dtype that `output.set_roi` takes
            for these keywords (axes that the output has not are left out), is written where the object is and nowhere else. The pixels
            are those of a loop of `set_roi_masked`. Each write unit is read, changed and stored once.
        consolidate
            Rebuild the output's coarser levels at the end, once, where they depend on what was written.
        max_memory
            Bytes of decoded chunks, and of patches that wait for their write unit; None: 512 MiB, or what is needed at least.
        workers
            Threads that call the function; 1: the caller's. Decoding and writing have threads of their own.
        progress
            Called with (bytes done, bytes in all) of the objects' boxes; see `omexp.progress_bar`.

        Returns
        -------
        Mapped
            A dict: label -> what the function gave, in the order of `labels`; empty with an output. `plan`, `units` and `built` say what
            was decoded, written and rebuilt.

        Raises
        ------
        FunctionError
            The function raised, or gave what cannot be written; the message names the label and says how many write units had been
            written. Each of these is whole, the others are as they were; the coarser levels fit them.
        NameNotFoundError, ArgumentError, BackendMismatchError, ReadOnlyError
            As `iter_rois`; the output is on another grid or device. Nothing is written.

        Examples
        --------
        >>> import numpy, omexp
        >>> ids = numpy.zeros((64, 64), "uint32")
        >>> ids[2:6, 3:8], ids[40:50, 40:44] = 1, 7
        >>> container = omexp.create_ome_zarr_from_array({}, ids * 100, xy_pixelsize=1.0)
        >>> container.derive_label("nuclei").set_array(ids)
        >>> image = container.get_masked_image("nuclei")
        >>> image.map(lambda pixels: int(pixels.sum()))
        {1: 2000, 7: 28000}
        >>> image.map(lambda pixels: pixels + 5, output=image).units
        1
        """
        if not callable(function):
            raise ArgumentError("map calls a function", where="function", got=type(function).__name__)
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ArgumentError("workers must be a whole number", where="workers", got=repr(workers), allowed="1 or more")
        needs_masks = masked or with_mask or output is not None
        crops = self._crops(labels, zoom_factor, margin, axes_order, slicing, masks=needs_masks)
        if masked:
            self._check_fill(crops, fill_value)
        if needs_masks and not allow_rescaling:
            self._require_one_grid()
        target = None if output is None else output_regions(output, crops, axes_order, slicing)
        try:
            return map_objects(
                crops,
                Call(function, with_mask, masked, fill_value),
                target=target,
                order=order,
                workers=workers,
                max_memory=max_memory,
                consolidate=consolidate,
                progress=progress,
            )
        finally:
            if output is not None:
                self._forget_boxes_of(output)

    def gather(
        self,
        labels: Iterable[int] | None = None,
        *,
        shape: Sequence[int] | Mapping[str, int],
        pad: Any = 0,
        masked: bool = True,
        fill_value: Any = 0,
        max_memory: int | None = None,
        workers: int | None = None,
        **slicing: Any,
    ) -> ObjectBatch:
        """Crops of one shape about many objects, in one array on the container's device.

        Parameters
        ----------
        labels
            The objects' ids, one row each; None: all.
        shape
            Pixels along (y, x) or (z, y, x), or axis -> pixels. A window is centred on the object's box: it begins at
            ``(start + stop - size) // 2``. Of an object that is larger the middle is taken, and `cut` says so.
        pad
            The value beyond the image.
        masked
            Pixels that are not the object's are `fill_value`; False: they stay.
        max_memory, workers
            As in `iter_rois`; the batch itself is beside that.
        **slicing
            As in `get_roi_masked`, for axes that are not in `shape`.

        Returns
        -------
        ObjectBatch
            `pixels`, `masks`, `labels`, `origins`, `cut`. Axes of size 1 that are neither in `shape` nor c are left out.

        Raises
        ------
        NameNotFoundError, ArgumentError, SelectionError, DTypeError
            As `iter_rois`; a shape that leaves out an axis along which objects differ, or that is selected.

        Examples
        --------
        >>> import numpy, omexp
        >>> ids = numpy.zeros((64, 64), "uint32")
        >>> ids[2:6, 3:8], ids[40:50, 40:44] = 1, 7
        >>> container = omexp.create_ome_zarr_from_array({}, ids * 100, xy_pixelsize=1.0)
        >>> container.derive_label("nuclei").set_array(ids)
        >>> batch = container.get_masked_image("nuclei").gather(shape=(8, 8))
        >>> batch.pixels.shape, batch.labels, batch.origins, batch.cut
        ((2, 8, 8), (1, 7), ((0, 1), (41, 38)), (False, True))
        """
        crops = self._crops(labels, 1.0, 0, None, slicing, masks=True)
        view = windows(crops, shape)
        plan = view.crops.plan("chunks", max_memory, workers)
        rows = max(len(crops.boxes.labels), 1)
        made = batches(view, plan, rows, masked=masked, pad=pad, fill_value=fill_value, rows_as_given=True)
        return next(made)

    def iter_batches(
        self,
        labels: Iterable[int] | None = None,
        *,
        size: int,
        shape: Sequence[int] | Mapping[str, int],
        pad: Any = 0,
        masked: bool = True,
        order: str = "chunks",
        fill_value: Any = 0,
        max_memory: int | None = None,
        workers: int | None = None,
        **slicing: Any,
    ) -> Generator[ObjectBatch, None, None]:
        """`gather` in batches of `size` objects (the last one may be smaller), with each chunk decoded once for all of them.

        The rows are in the order that `order` says, as in `iter_rois`; each batch is made anew and is the caller's own.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError("the size of a batch must be a whole number", where="size", got=repr(size), allowed="1 or more")
        view = windows(self._crops(labels, 1.0, 0, None, slicing, masks=True), shape)
        plan = view.crops.plan(order, max_memory, workers)
        return batches(view, plan, size, masked=masked, pad=pad, fill_value=fill_value)

    # ------------------------------------------------------------------------------------------------ machinery
    def _crops(
        self,
        labels: Iterable[int] | None,
        zoom_factor: float,
        margin: int | Mapping[str, int],
        axes_order: Sequence[str] | None,
        slicing: Mapping[str, Any],
        *,
        masks: bool,
        mode: str | None = None,
    ) -> Crops:
        """The objects that are meant, and where they are."""
        if mode in ("dask", "delayed"):
            raise ArgumentError("many objects are read at once, not lazily", where="mode", got=repr(mode), allowed="None, 'numpy', 'cupy'")
        backend = self._backend_for(mode)
        boxes = self._boxes(labels, zoom_factor, margin)
        pixels = ObjectRegions.of(self, boxes, axes_order, slicing)
        return Crops(boxes, pixels, MaskGrid.of(self._mask, pixels) if masks else None, backend)

    def _boxes(self, labels: Iterable[int] | None, zoom_factor: float, margin: int | Mapping[str, int]) -> Boxes:
        known = self._objects.boxes
        if labels is None:
            ids: tuple[int, ...] = tuple(sorted(known))
        else:
            ids = tuple(label.__index__() if hasattr(label, "__index__") else label for label in labels)
        if ids:
            self._box(ids[0], zoom_factor, None, margin)  # refuses what they cannot be
        rois = tuple(known[i] if i in known else self._box(i, 1.0) for i in ids)
        wider = dict(margin) if isinstance(margin, Mapping) else {"y": margin, "x": margin}
        one_plane = [axis for axis in ("t", "z") if self._mask.dimensions.get(axis) == 1]
        flat = {axis: self._mask.pixel_size.get(axis) for axis in one_plane}
        return Boxes(ids, rois, zoom_factor, {axis: n for axis, n in wider.items() if n}, flat)

    def _forget_boxes_of(self, written: Level) -> None:
        """The objects may lie elsewhere now, where the label that masks was written."""
        if written.group.where == self._mask.group.where:
            self._objects.refresh()

    def _check_fill(self, crops: Crops, fill_value: Any) -> None:
        checked_fill(crops.backend, crops.backend.empty((0,), self.dtype), fill_value)
