"""An OME-Zarr image with its labels and tables. Knows: levels, labels, masks, tables by name. Does not know: pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.blueprint import ImageOptions, LabelOptions
from omexp.containers.building import write_image
from omexp.containers.consolidation import warn_if_unfinished
from omexp.containers.derived import plan_derived_image, plan_derived_label
from omexp.containers.html import html_table
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.labels import LabelsCollection
from omexp.containers.masking.access import MaskedAccess
from omexp.containers.multiscale import arrays_of, level_path, problems_at_opening, read_document, read_level, read_meta
from omexp.containers.pictures import Pictured
from omexp.containers.strictness import opened_strictly
from omexp.errors import MissingArrayError, warn_caller
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import require_name
from omexp.metadata.problems import Problems
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike, require_apart
from omexp.world import PixelSize

__all__ = ["OmeZarrContainer", "open_ome_zarr_container"]


def open_ome_zarr_container(
    store: StoreLike,
    mode: str = "r+",
    device: DeviceLike = None,
    cache: bool = False,
    multiscale: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> OmeZarrContainer:
    """Open an OME-Zarr image.

    Parameters
    ----------
    store
        A path, URL, fsspec mapper, dict, zarr store or group.
    mode
        "r" or "r+"; a store that is itself read-only opens for reading either way.
    device
        Where the arrays that you get live: "cpu", "cuda", "cuda:1", "auto". None: what `omexp.default_device` says, else "cpu".
    cache
        False: metadata is read from the store each time it is asked for. True: read once, until `refresh`.
    multiscale
        The name of the one that is meant, where a group holds several; None: the first.
    storage_options
        Of a URL, for fsspec: credentials, ``{"anon": True}``, ``{"client_kwargs": {"headers": {...}}}``.
    strict
        True: a document that breaks a MUST of its version, and everything that is tolerated with a warning otherwise, is an error.

    Raises
    ------
    StoreNotFoundError
        Nothing there, or no Zarr group, or a group that is no image (the message says what it is).
    InvalidMetadataError, UnsupportedVersionError
        The metadata cannot be used.
    RemoteError
        A remote store cannot be reached, refuses (`RemoteAccessError`) or does not answer (`RemoteTimeoutError`).
    DeviceUnavailableError
        CUDA was asked for and cannot be used here.

    Examples
    --------
    >>> import numpy, omexp
    >>> _ = omexp.create_ome_zarr_from_array("a.zarr", numpy.ones((64, 64), "uint8"), xy_pixelsize=0.5, overwrite=True)
    >>> omexp.open_ome_zarr_container("a.zarr").get_image(path="1").pixel_size.yx
    (1.0, 1.0)
    """
    group = open_group(store, mode, cache=cache, storage_options=storage_options)
    with opened_strictly(group, strict):
        return OmeZarrContainer(group, resolve_backend(device), multiscale)


class OmeZarrContainer(MaskedAccess, Pictured):
    """An image at several resolutions, with labels and tables. Made by `open_ome_zarr_container` and the creators."""

    def __init__(self, group: Group, backend: Backend, multiscale: str | None = None, *, arrays: bool = True) -> None:
        """`group` was opened just now: its document is not read again. Without `arrays` no array is looked at before it is asked for."""
        self._group, self._backend, self._multiscale = group, backend, multiscale
        self._told: set[str] = set()
        self.tell(problems_at_opening(group, multiscale, arrays=arrays))
        warn_if_unfinished(group)

    def tell(self, problems: Problems) -> None:
        """Warn of what is tolerated, of each once."""
        for text in dict.fromkeys(map(str, problems.found)):
            if text not in self._told:
                self._told.add(text)
                warn_caller(f"{self.where}: {text}")

    # ------------------------------------------------------------------------------------------------ what it is
    @property
    def where(self) -> str:
        """The image's place: a path or URL."""
        return self._group.where

    @property
    def group(self) -> Group:
        """The group, as the storage floor sees it."""
        return self._group

    @property
    def backend(self) -> Backend:
        """The array library and device."""
        return self._backend

    @property
    def device(self) -> str:
        """Where arrays live: "cpu", "cuda:0"."""
        return self._backend.name

    @property
    def image_meta(self) -> ImageMeta:
        """What the metadata says: version, name, axes, levels, channels."""
        return read_meta(self._group, self._multiscale)[0]

    @property
    def meta(self) -> ImageMeta:
        """The same as `image_meta`."""
        return self.image_meta

    @property
    def levels(self) -> int:
        """The number of resolution levels."""
        return read_document(self._group, self._multiscale).levels

    @property
    def levels_paths(self) -> list[str]:
        """The levels' paths, as the metadata lists them."""
        return read_document(self._group, self._multiscale).paths

    @property
    def level_paths(self) -> list[str]:
        """The same as `levels_paths`."""
        return self.levels_paths

    @property
    def is_2d(self) -> bool:
        """At most one z plane."""
        return self.get_image().is_2d

    @property
    def is_3d(self) -> bool:
        """More than one z plane."""
        return self.get_image().is_3d

    @property
    def is_time_series(self) -> bool:
        """More than one time point."""
        return self.get_image().is_time_series

    @property
    def is_2d_time_series(self) -> bool:
        return self.is_2d and self.is_time_series

    @property
    def is_3d_time_series(self) -> bool:
        return self.is_3d and self.is_time_series

    @property
    def is_multi_channels(self) -> bool:
        """More than one channel."""
        return self.get_image().is_multi_channels

    @property
    def space_unit(self) -> str | None:
        return read_document(self._group, self._multiscale).space_unit

    @property
    def time_unit(self) -> str | None:
        return read_document(self._group, self._multiscale).time_unit

    def refresh(self) -> None:
        """Forget metadata that was read (with ``cache=True``)."""
        self._group.refresh()

    def __repr__(self) -> str:
        parts = [f"levels={self.levels}"]
        for what, names in (("labels", self.list_labels()), ("tables", self.list_tables())):
            if names:
                parts.append(f"{what}={names}" if len(names) <= 4 else f"#{what}={len(names)}")
        return f"OmeZarrContainer({', '.join(parts)}, device={self.device})"

    def _repr_html_(self) -> str:
        meta = self.image_meta
        rows = {
            "OME-Zarr": meta.version,
            "levels": [self._level_text(path) for path in meta.paths],
            "labels": ", ".join(self.list_labels()) or "none",
            "tables": ", ".join(self.list_tables()) or "none",
            "device": self.device,
        }
        return html_table(self.where, rows)

    def _level_text(self, path: str) -> str:
        try:
            image = self.get_image(path)
        except MissingArrayError:
            return f"{path}: the array is missing"
        return f"{path}: {image.dimensions}, {image.dtype}, {image.pixel_size}"

    # ---------------------------------------------------------------------------------------------------- images
    def get_image(self, path: str | None = None, pixel_size: PixelSize | None = None, strict: bool = False) -> Image:
        """One level: the finest, that at `path`, or that whose pixel size is nearest to `pixel_size`.

        Parameters
        ----------
        path
            As in `levels_paths`.
        pixel_size
            Compared over z, y, x.
        strict
            With `pixel_size`: it must match (within 0.01 %).

        Raises
        ------
        ArgumentError
            Both are given.
        NameNotFoundError
            No such path, or no level of that pixel size.
        MissingArrayError
            The metadata names a level whose array is not there.
        """
        return self.image_at(lambda meta: level_path(meta, path, pixel_size, strict, self.where))

    def image_at(self, choose: Callable[[ImageMeta], str]) -> Image:
        """One level, chosen by the metadata: two documents are read, the group's and the array's."""
        meta, level, stored = self._level(choose)
        return Image(self._group, meta, level, self._backend, stored)

    def _level(self, choose: Callable[[ImageMeta], str]) -> tuple[ImageMeta, str, StoredArray]:
        found = read_level(self._group, choose, self._multiscale)
        self.tell(found[3])
        return found[:3]

    # ---------------------------------------------------------------------------------------------------- labels
    def list_labels(self) -> list[str]:
        """The names of the labels; none where there is no `labels` group."""
        return self._labels().list()

    def get_label(self, name: str, path: str | None = None, pixel_size: PixelSize | None = None, strict: bool = False) -> Label:
        """One level of a label. Parameters and errors as in `get_image`; an unknown name is a `NameNotFoundError`."""
        group, meta, level, stored = self._label_level(name, path, pixel_size, strict)
        return Label(group, meta, level, self._backend, stored)

    def _label_level(
        self, name: str, path: str | None, pixel_size: PixelSize | None, strict: bool
    ) -> tuple[Group, ImageMeta, str, StoredArray]:
        group = self._labels().group(name)
        at_opening = group.attributes_at_opening
        found = read_level(group, lambda meta: level_path(meta, path, pixel_size, strict, group.where), None, at_opening)
        return group, *found[:3]

    def derive_label(
        self, name: str, *, ref_image: Image | Label | None = None, overwrite: bool = False, **options: Unpack[LabelOptions]
    ) -> Label:
        """Create an empty label on the grid of the image: its axes without c, its levels, its chunks; uint32 unless told.

        Parameters
        ----------
        name
            Letters, digits, "_", "-", ".".
        ref_image
            An image or label to take the levels from; None: this container's image.
        overwrite
            Replace a label of that name; it stays until the new one is complete.
        **options
            dtype, chunks, shards, chunks_per_shard, compressors, fill_value, dimension_separator.

        Returns
        -------
        Label
            Its finest level.

        Raises
        ------
        ArgumentError, DTypeError
            A name or option that cannot be written; nothing is on disk.
        AlreadyExistsError
            There is such a label.
        ReadOnlyError
            The store is read-only.
        """
        require_name(name, "label name")
        own = self.image_meta
        version, meta = own.version, own if ref_image is None else ref_image.meta
        group = self._group if ref_image is None else ref_image.group
        blueprint = plan_derived_label(replace(meta, version=version), arrays_of(group, meta), name, options)
        self._labels(version).create(name, blueprint, overwrite=overwrite)
        self._group.update_consolidated()
        return self.get_label(name)

    def delete_label(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove a label from the list and from the store. Raises `NameNotFoundError` unless `missing_ok`."""
        self._labels(self.image_meta.version).delete(name, missing_ok=missing_ok)
        self._group.update_consolidated()

    def _labels(self, version: str = "") -> LabelsCollection:
        """The labels; the version is for changing their list."""
        return LabelsCollection(self._group, version)

    # ------------------------------------------------------------------------------------------------- new images
    def derive_image(
        self,
        store: StoreLike,
        *,
        shape: Sequence[int] | None = None,
        overwrite: bool = False,
        device: DeviceLike = None,
        **options: Unpack[ImageOptions],
    ) -> OmeZarrContainer:
        """Create an empty image like this one; pixels, labels and tables are not copied.

        Parameters
        ----------
        store, overwrite, **options
            As in `create_empty_ome_zarr`; what is not given is inherited (levels, pixel sizes, axes, channels, dtype, layout, version).
        shape
            Of the finest level. With fewer entries than axes, the leading axes (t, c) keep their size.
        device
            Where the new container's arrays live; None: where this one's do.

        Examples
        --------
        >>> import omexp
        >>> first = omexp.create_empty_ome_zarr("first.zarr", (2, 64, 64), axes_names="cyx", xy_pixelsize=1, overwrite=True)
        >>> first.derive_image("second.zarr", shape=(32, 32), overwrite=True).get_image().shape
        (2, 32, 32)
        """
        backend = self._backend if device is None else resolve_backend(device)
        meta = self.image_meta
        blueprint = plan_derived_image(meta, arrays_of(self._group, meta), shape, options)
        require_apart(store, self._group)
        write_image(store, blueprint, overwrite=overwrite)
        return open_ome_zarr_container(store, device=backend)
