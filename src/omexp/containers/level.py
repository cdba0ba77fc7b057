"""One resolution level of an image or label. Knows: reading and writing by axis name. Does not know: channels, labels, masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omexp.backend import Backend, DeviceLike, backend_of, cuda_backend, dtype_of, numpy_backend
from omexp.containers.dimensions import Dimensions
from omexp.containers.html import html_table
from omexp.containers.multiscale import level_array
from omexp.containers.roi import Roi
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.geometry import factors_between
from omexp.kernels.axes import from_stored, to_stored
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import method_metadata
from omexp.metadata.versions import revise_multiscale
from omexp.pyramid import Built, build, choose_backend, require_method
from omexp.selection import Arrangement, Selection, arrange, arranged_shape, select
from omexp.storage.groups import Group
from omexp.storage.lazy import as_lazy_patch, computed, computed_block, dask_array, delayed_array
from omexp.storage.reading import Reader, choose_reader, read_selection
from omexp.storage.writing import write_selection
from omexp.world import PixelSize

__all__ = ["Level"]

_METHOD_KEYS = ("description", "method", "version", "args", "kwargs")  # of `metadata`: what the specification's example says of a method


class Level:
    """One level: an array on disk, its axes, its pixel size. Arrays come and go on the container's device.

    Users get an `Image` or a `Label`; everything here belongs to both.
    """

    default_method = "mean"

    def __init__(self, group: Group, meta: ImageMeta, path: str, backend: Backend) -> None:
        self._group, self._meta, self._path, self._backend = group, meta, path, backend
        self._stored = level_array(group, meta, path)
        self._reader = choose_reader(self._stored, backend)

    # ------------------------------------------------------------------------------------------------ what it is
    @property
    def path(self) -> str:
        """The level's path in the image group, such as "0"."""
        return self._path

    @property
    def where(self) -> str:
        """The array's place, for messages."""
        return f"{self._group.where}/{self._path}"

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
        return self._meta.axes

    def has_axis(self, name: str) -> bool:
        return self._meta.multiscale.axes.index(name) is not None

    @property
    def pixel_size(self) -> PixelSize:
        return self._meta.pixel_size(self._path)

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
        }
        return html_table(f"{type(self).__name__} of {self._group.where}", rows)

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
    def set_array(self, patch: Any, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> None:
        """Write pixels to this level (only this one; see `consolidate`).

        Parameters
        ----------
        patch
            An array on the container's device, a dask array or a dask delayed object, of exactly the selected shape. A dask array is
            computed and written block by block, unless it reads this very level: then it is computed whole, first. Its dtype must
            be the level's, or one whose every value the level's dtype holds (uint8 into uint16).
        axes_order, **slicing
            As in `get_as_numpy`: what reads a selection writes it back.

        Raises
        ------
        ArgumentError, DTypeError, BackendMismatchError
            Shape, dtype or place of the patch does not fit; nothing is written.
        ReadOnlyError
            The store is read-only.
        """
        selection, arrangement = self._select(slicing, axes_order)
        selection.require_distinct(self.where)
        lazy = as_lazy_patch(patch)
        if lazy is not None:  # before anything is computed
            self._check_patch(lazy.shape, lazy.dtype, selection, arrangement)
        if lazy is None or not selection.is_box or lazy.reads(self.where):
            self._write_checked(computed(patch, self._backend), selection, arrangement)
            return

        def write(part: Selection, pixels: Any) -> None:
            self._write_checked(computed_block(pixels, self._backend), part, arrange(part, arrangement.names, where=self.where))

        lazy.store(selection, arrangement, self._stored.write_unit, write)

    def set_roi(self, roi: Roi, patch: Any, *, axes_order: Sequence[str] | None = None, **slicing: Any) -> None:
        """Write the pixels of a region (clipped to the image, as `get_roi` reads it). See `set_array`."""
        self.set_array(patch, axes_order=axes_order, **self._roi_slicing(roi, slicing))

    def consolidate(
        self,
        method: str | None = None,
        *,
        device: DeviceLike = "auto",
        workers: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Built:
        """Rebuild every coarser level from this one, in one pass.

        Levels keep the shapes that they have on disk; finer levels are never touched.

        Parameters
        ----------
        method
            "mean", "median", "mode", "min", "max", "nearest". None: mean for images, nearest for labels.
        device
            Where the reduction runs; "auto" takes a GPU where it gains. The pixels are the same.
        workers
            Threads; None for all CPUs.
        progress
            Called with the number of bytes read each time some are done.

        Returns
        -------
        Built
            Bytes read and written, seconds, device and why.
        """
        method = require_method(method or self.default_method)
        paths = self._meta.by_resolution
        paths = paths[paths.index(self._path) :]
        levels = [self._stored, *[level_array(self._group, self._meta, p) for p in paths[1:]]]
        steps = zip(itertools.pairwise(levels), self._meta.ratios(paths), strict=True)
        factors = [factors_between(a.shape, b.shape, ratios=r, where=self.where) for (a, b), r in steps]
        backend, reason = choose_backend(device, method, self._stored.zarr.nbytes)
        source = choose_reader(self._stored, backend)
        built = build(
            levels,
            source,
            method,
            factors=factors,
            store_first=False,
            reopen=choose_reader,
            workers=workers,
            progress=progress,
            reason=reason,
        )
        self._record_method(method)
        return built

    # ------------------------------------------------------------------------------------------------- machinery
    def _names(self, slicing: dict[str, Any]) -> dict[str, Any]:
        """Axis keywords under their stored names."""
        canonical = self._meta.multiscale.axes.canonical
        return {(name if name in self.axes else canonical.get(name, name)): value for name, value in slicing.items()}

    def _select(self, slicing: dict[str, Any], axes_order: Sequence[str] | None) -> tuple[Selection, Arrangement]:
        selection = select(self.axes, self.shape, self._names(slicing), where=self.where)
        if isinstance(axes_order, Iterable):  # `arrange` refuses what is none
            canonical = self._meta.multiscale.axes.canonical
            axes_order = [name if name in self.axes else canonical.get(name, name) for name in axes_order]
        return selection, arrange(selection, axes_order, where=self.where)

    def _roi_slicing(self, roi: Roi, slicing: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(roi, Roi):
            raise ArgumentError("this is no Roi", where=self.where, got=type(roi).__name__, allowed="omexp.Roi")
        axes = self._meta.multiscale.axes
        sizes = {a: n for a in ("t", "z", "y", "x", *self.axes) if (i := axes.index(a)) is not None and (n := self.shape[i]) is not None}
        return self._names(roi.to_slicing(self.pixel_size, sizes)) | self._names(slicing)  # type: ignore[arg-type]

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
        reader = self._reader if backend == self._backend else choose_reader(self._stored, backend)
        with backend.active():
            return from_stored(read_selection(reader, selection), selection, arrangement)

    def _checked_patch(self, patch: Any, selection: Selection, arrangement: Arrangement) -> Any:
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

    def _write_checked(self, patch: Any, selection: Selection, arrangement: Arrangement) -> None:
        with self._backend.active():
            self._write(self._checked_patch(patch, selection, arrangement), selection)

    def _write(self, pixels: Any, selection: Selection) -> None:
        write_selection(self._stored, self._reader, selection, pixels)

    def _record_method(self, method: str) -> None:
        """Keep `type` and `metadata` true where the document has them for another method."""
        if self._meta.multiscale.type in (None, method):
            return
        before = self._meta.multiscale.metadata
        kept = {k: v for k, v in before.items() if k not in _METHOD_KEYS} if isinstance(before, Mapping) else {}
        how: dict[str, Any] = {"type": method, "metadata": kept | method_metadata(method)}
        self._meta = replace(self._meta, multiscale=replace(self._meta.multiscale, **how))
        self._group.put_attributes(revise_multiscale(self._group.attributes, self._group.zarr_format, self._group.where, **how))
