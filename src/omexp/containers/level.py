"""One resolution level of an image or label. Knows: reading and writing by axis name. Does not know: channels, labels, masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from omexp.backend import Backend, DeviceLike, backend_of, cuda_backend, dtype_of, numpy_backend
from omexp.containers import consolidation
from omexp.containers.consolidation import Touched
from omexp.containers.level_info import LevelInfo
from omexp.containers.roi import Roi
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.geometry import Region
from omexp.kernels.axes import from_stored, to_stored
from omexp.kernels.merging import Merge, require_merge
from omexp.kernels.methods import Methods
from omexp.pyramid import Built, Progress
from omexp.selection import Arrangement, Selection, arrange, arranged_shape, select
from omexp.storage.lazy import as_lazy_patch, computed, computed_block, dask_array, delayed_array
from omexp.storage.reading import choose_reader, is_dense, read_selection
from omexp.storage.writing import write_selection

__all__ = ["Level"]


class Level(LevelInfo):
    """One level: an array on disk, its axes, its pixel size. Arrays come and go on the container's device.

    Users get an `Image` or a `Label`; everything here belongs to both.
    """

    default_method = "mean"

    # --------------------------------------------------------------------------------------------------- reading
    def get_as_numpy(self, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """Pixels as a NumPy array, whatever the container's device.

        Parameters
        ----------
        axes_order
            Axis names of the result. None: stored order without axes that an int removed. Listed axes that are not there have size 1;
            axes left out must have size 1.
        **slicing
            Axis name -> int (drops the axis), slice (NumPy's rules), list of ints, or None (all).

        Raises
        ------
        SelectionError, ArgumentError
            An axis, index or order that does not fit.
        """
        return self._get(numpy_backend, axes_order, slicing)

    def get_as_cupy(self, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """Pixels as a CuPy array. Raises `DeviceUnavailableError` without CUDA. See `get_as_numpy`."""
        return self._get(cuda_backend(self._backend), axes_order, slicing)

    def get_as_dask(self, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """Pixels as a lazy dask array whose blocks are whole chunks, read on the container's device. See `get_as_numpy`."""
        selection, arrangement = self._select(slicing, axes_order)
        return dask_array(self._reader, self.where, self._stored.chunks, selection, arrangement)

    def get_array(self, *, mode: str | None = None, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """Pixels as `mode` says: None (an array on the container's device), "numpy", "cupy", "dask" or "delayed". See `get_as_numpy`."""
        if mode == "dask":
            return self.get_as_dask(axes_order=axes_order, **slicing)
        if mode == "delayed":
            return delayed_array(lambda: self._get(self._backend, axes_order, slicing), self.where)
        return self._get(self._backend_for(mode), axes_order, slicing)

    def get_roi(self, roi: Roi, *, mode: str | None = None, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """The pixels of a region, clipped to the image; axis keywords replace the region's own interval. See `get_array`."""
        return self.get_array(mode=mode, axes_order=axes_order, **self._roi_slicing(roi, slicing))

    def get_roi_as_numpy(self, roi: Roi, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """`get_roi` as NumPy."""
        return self.get_as_numpy(axes_order=axes_order, **self._roi_slicing(roi, slicing))

    def get_roi_as_dask(self, roi: Roi, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> Any:
        """`get_roi` as dask."""
        return self.get_as_dask(axes_order=axes_order, **self._roi_slicing(roi, slicing))

    # --------------------------------------------------------------------------------------------------- writing
    def set_array(self, patch: Any, *, axes_order: Sequence[str] | None = None, merge: Merge | None = None, **slicing: Any) -> None:
        """Write pixels to this level (only this one; see `consolidate`).

        Parameters
        ----------
        patch
            An array on the container's device, a dask array or a dask delayed object, of exactly the selected shape. A dask array is
            computed and written block by block, unless it reads this very level: then it is computed whole, first. Its dtype must
            be the level's, or one whose every value the level's dtype holds (uint8 into uint16).
        axes_order, **slicing
            As in `get_as_numpy`: what reads a selection writes it back.
        merge
            How the patch is put together with what is there: "max", "min", "sum" (integers wrap), "keep_nonzero" (the patch where it is not
            0), or a function of the existing pixels and the patch that treats each pixel for itself: it is called for parts of the patch,
            over all stored axes, on the container's device. None: the patch replaces what is there.

        Raises
        ------
        ArgumentError, DTypeError, BackendMismatchError
            Shape, dtype or place of the patch does not fit, or `merge` is none; nothing is written.
        ReadOnlyError
            The store is read-only.
        """
        selection, arrangement = self._select(slicing, axes_order)
        selection.require_distinct(self.where)
        if merge is not None:
            require_merge(merge)
        lazy = as_lazy_patch(patch)
        if lazy is not None:  # before anything is computed
            self._check_patch(lazy.shape, lazy.dtype, selection, arrangement)
        if lazy is None or not selection.is_box or lazy.reads(self.where):
            self._write_checked(computed(patch, self._backend), selection, arrangement, merge)
            return

        def write(part: Selection, pixels: Any) -> None:
            self._write_checked(computed_block(pixels, self._backend), part, arrange(part, arrangement.names, where=self.where), merge)

        lazy.store(selection, arrangement, self._stored.write_unit, write)

    def set_roi(self, roi: Roi, patch: Any, *, axes_order: Sequence[str] | None = None, merge: Merge | None = None, **slicing: Any) -> None:
        """Write the pixels of a region (clipped to the image, as `get_roi` reads it). See `set_array`."""
        self.set_array(patch, axes_order=axes_order, merge=merge, **self._roi_slicing(roi, slicing))

    def consolidate(
        self,
        method: str | None = None,
        *,
        regions: Iterable[Roi | Mapping[str, Any]] | None = None,
        device: DeviceLike = "auto",
        workers: int | None = None,
        max_memory: int | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Built:
        """Rebuild every coarser level from this one, in one pass.

        Levels keep the shapes that they have on disk; finer levels are never touched.

        Parameters
        ----------
        method
            A method of `omexp.downsample`, by any of its names (`omexp.Methods`). None: the one that the metadata names; else mean for
            images, nearest for labels.
        regions
            Only what depends on these parts of the level, the others being right already: `Roi`s, or axis name -> slice or int. Exactly the
            pixels of a full rebuild. All is rebuilt where they touch more than half of the image, where the metadata names another method,
            and where an earlier rebuild broke off.
        device
            Where the reduction runs; "auto" takes a GPU where it gains. The pixels are the same.
        workers
            Threads; None for all CPUs.
        max_memory
            Bytes of pixels in flight, projected before anything is read; None: 256 MiB, or 64 MiB for each worker.
        resume
            Go on with a rebuild that was killed (local disks): what it has finished is not done again. It trusts that this level has not
            been written to since.
        progress
            Called with (bytes done, bytes in all) of this level; see `omexp.progress_bar`.

        Returns
        -------
        Built
            Bytes read and written, seconds, device and why.

        Raises
        ------
        ArgumentError
            An option that cannot be, or levels that are no pyramid of whole windows; nothing is written.
        AlreadyExistsError
            Another process is rebuilding this image.
        """
        boxes = None if regions is None else [self._pixels_of(region) for region in regions]
        options: dict[str, Any] = {"device": device, "workers": workers, "max_memory": max_memory, "resume": resume, "progress": progress}
        return consolidation.consolidate(self, method, regions=boxes, **options)

    def takes(self, method: Methods) -> bool:
        """Whether a method that the metadata names is taken when none is given."""
        return True

    @contextmanager
    def track_writes(self, method: str | None = None, **options: Any) -> Iterator[Touched]:
        """Hear of every write through this object inside the block, and rebuild at its end what they touched: `consolidate(regions=)`.

        `method` and `options` are those of `consolidate`. The levels are rebuilt even if the block raises: its writes have happened.

        Examples
        --------
        >>> import numpy, omexp
        >>> image = omexp.create_empty_ome_zarr("tracked.zarr", (256, 256), xy_pixelsize=1.0, overwrite=True).get_image()
        >>> with image.track_writes() as touched:
        ...     image.set_array(numpy.ones((2, 2), "uint16"), y=slice(0, 2), x=slice(0, 2))
        >>> len(touched.regions)
        1
        """

        def rebuilt(regions: list[Region]) -> Built:
            return self.consolidate(method, regions=[dict(zip(self.axes, r.slices, strict=True)) for r in regions], **options)

        yield from consolidation.tracked(self, self._listeners, rebuilt)

    # ------------------------------------------------------------------------------------------------- machinery
    def _names(self, slicing: dict[str, Any]) -> dict[str, Any]:
        """Axis keywords under their stored names."""
        canonical = self._facts.canonical
        return {(name if name in self.axes else canonical.get(name, name)): value for name, value in slicing.items()}

    def _select(self, slicing: dict[str, Any], axes_order: Sequence[str] | None) -> tuple[Selection, Arrangement]:
        selection = select(self.axes, self.shape, self._names(slicing), where=self.where)
        if isinstance(axes_order, Iterable):  # `arrange` refuses what is none
            canonical = self._facts.canonical
            axes_order = [name if name in self.axes else canonical.get(name, name) for name in axes_order]
        return selection, arrange(selection, axes_order, where=self.where)

    def _roi_slicing(self, roi: Roi, slicing: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(roi, Roi):
            raise ArgumentError("this is no Roi", where=self.where, got=type(roi).__name__, allowed="omexp.Roi")
        facts = self._facts
        sizes = dict(zip(facts.axes, self.shape, strict=True))
        sizes |= {letter: sizes[name] for letter, name in facts.canonical.items() if letter not in sizes and letter != "c"}
        return self._names(roi.to_slicing(facts.pixel_size, sizes)) | self._names(slicing)

    def _backend_for(self, mode: str | None) -> Backend:
        """Where the array of a `mode` lives."""
        if mode is None:
            return self._backend
        if mode not in ("numpy", "cupy"):
            raise ArgumentError(
                "mode is not understood", where=self.where, got=repr(mode), allowed="None, 'numpy', 'cupy', 'dask', 'delayed'"
            )
        return numpy_backend if mode == "numpy" else cuda_backend(self._backend)

    def _get(self, backend: Backend, axes_order: Sequence[str] | None, slicing: dict[str, Any]) -> Any:
        selection, arrangement = self._select(slicing, axes_order)
        reader = self._reader if backend == self._backend else choose_reader(self._stored, backend, cached=True)
        with backend.active():
            return from_stored(read_selection(reader, selection), selection, arrangement)

    def checked_patch(self, patch: Any, selection: Selection, arrangement: Arrangement) -> Any:
        """The patch over all stored axes, in the level's dtype, or an error."""
        try:
            backend = backend_of(patch)
        except BackendMismatchError as error:
            raise BackendMismatchError(
                "the patch is not an array", where=self.where, got=type(patch).__name__, allowed=f"an array on {self.device}, dask, delayed"
            ) from error
        if backend != self._backend:
            raise BackendMismatchError(
                "the patch lives on another device than the container",
                where=self.where,
                got=f"{type(patch).__name__} on {backend.name}",
                allowed=self.device,
                hint="Bring it over with omexp.to_host or omexp.from_host, or open the container with another device.",
            )
        self._check_patch(tuple(patch.shape), dtype_of(patch), selection, arrangement)
        if dtype_of(patch) != self.dtype:
            patch = backend.xp.astype(patch, backend.dtype(self.dtype))
        return to_stored(patch, selection, arrangement)

    def _check_patch(self, shape: tuple[int, ...], dtype: Any, selection: Selection, arrangement: Arrangement) -> None:
        wanted = arranged_shape(selection, arrangement)
        if shape != wanted:
            raise ArgumentError(
                "the patch does not have the shape of the selection",
                where=self.where,
                got=f"{shape}",
                allowed=f"{wanted} over axes {', '.join(arrangement.names)}",
                hint="Patches are never broadcast.",
            )
        if not self._stored.holds(dtype):
            raise DTypeError(
                "the level's dtype does not hold every value of the patch's",
                where=self.where,
                got=str(dtype),
                allowed=f"{self.dtype} or a dtype inside it",
                hint=f"Round or clip as you mean it, then convert: patch.astype('{self.dtype}').",
            )

    def _write_checked(self, patch: Any, selection: Selection, arrangement: Arrangement, merge: Merge | None) -> None:
        with self._backend.active():
            self._write(self.checked_patch(patch, selection, arrangement), selection, merge=merge)

    def announce(self, region: Region) -> None:
        """Say to all who track writes that a region is about to be written."""
        for touched in list(self._listeners):
            touched.add(region)

    def _write(self, pixels: Any, selection: Selection, *, mask: Any = None, merge: Merge | None = None) -> None:
        if self._listeners:  # before: a write that breaks off has changed pixels, too
            for region in [selection.bounds] if is_dense(selection) else [piece for piece, _ in selection.pieces()]:
                self.announce(region)
        write_selection(self._stored, selection, pixels, mask=mask, merge=merge)

    def _pixels_of(self, region: Roi | Mapping[str, Any]) -> Region:
        """The pixels of a region of `consolidate`."""
        slicing = self._names(dict(region)) if isinstance(region, Mapping) else self._roi_slicing(region, {})
        return select(self.axes, self.shape, slicing, where=self.where).bounds
