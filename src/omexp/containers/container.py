"""An OME-Zarr image with its labels and tables. Knows: levels, labels, masks, tables by name. Does not know: pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.blueprint import ImageOptions, LabelOptions
from omexp.containers.building import write_image
from omexp.containers.consolidation import warn_at_opening
from omexp.containers.derived import plan_derived_image, plan_derived_label
from omexp.containers.html import html_table
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.labels import LabelsCollection
from omexp.containers.masked import MaskedImage, MaskedLabel
from omexp.containers.multiscale import arrays_of, level_path, read_meta, require_image
from omexp.containers.objects import Objects, masking_label_and_table
from omexp.containers.tables import FeatureTable, MaskingRoiTable, RoiTable, Table, TablesCollection
from omexp.errors import MissingArrayError
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import require_name
from omexp.storage.groups import Group, StoreLike, open_group, require_apart
from omexp.world import PixelSize

__all__ = ["OmeZarrContainer", "open_ome_zarr_container"]


def open_ome_zarr_container(
    store: StoreLike, mode: str = "r+", device: DeviceLike = None, cache: bool = False, multiscale: str | None = None
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

    Raises
    ------
    StoreNotFoundError
        Nothing there, or no Zarr group, or a group that is no image (the message says what it is).
    InvalidMetadataError, UnsupportedVersionError
        The metadata cannot be used.
    DeviceUnavailableError
        CUDA was asked for and cannot be used here.

    Examples
    --------
    >>> import numpy, omexp
    >>> _ = omexp.create_ome_zarr_from_array("a.zarr", numpy.ones((64, 64), "uint8"), xy_pixelsize=0.5, overwrite=True)
    >>> omexp.open_ome_zarr_container("a.zarr").get_image(path="1").pixel_size.yx
    (1.0, 1.0)
    """
    return OmeZarrContainer(open_group(store, mode, cache=cache), resolve_backend(device), multiscale)


class OmeZarrContainer:
    """An image at several resolutions, with labels and tables. Made by `open_ome_zarr_container` and the creators."""

    def __init__(self, group: Group, backend: Backend, multiscale: str | None = None) -> None:
        self._group, self._backend, self._multiscale = group, backend, multiscale
        self._tables: TablesCollection | None = None
        require_image(group)
        warn_at_opening(group, multiscale)

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
        return self.image_meta.levels

    @property
    def levels_paths(self) -> list[str]:
        """The levels' paths, as the metadata lists them."""
        return self.image_meta.paths

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
        return self.image_meta.space_unit

    @property
    def time_unit(self) -> str | None:
        return self.image_meta.time_unit

    def refresh(self) -> None:
        """Forget metadata that was read (with ``cache=True``)."""
        self._group.refresh()
        self._tables = None

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
        meta = self.image_meta
        return Image(self._group, meta, level_path(meta, path, pixel_size, strict, self.where), self._backend)

    # ---------------------------------------------------------------------------------------------------- labels
    def list_labels(self) -> list[str]:
        """The names of the labels; none where there is no `labels` group."""
        return self._labels().list()

    def get_label(self, name: str, path: str | None = None, pixel_size: PixelSize | None = None, strict: bool = False) -> Label:
        """One level of a label. Parameters and errors as in `get_image`; an unknown name is a `NameNotFoundError`."""
        group = self._labels().group(name)
        meta, _ = read_meta(group)
        return Label(group, meta, level_path(meta, path, pixel_size, strict, group.where), self._backend)

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
        version = self.image_meta.version
        meta = self.image_meta if ref_image is None else ref_image.meta
        group = self._group if ref_image is None else ref_image.group
        blueprint = plan_derived_label(replace(meta, version=version), arrays_of(group, meta), name, options)
        self._labels().create(name, blueprint, overwrite=overwrite)
        self._group.update_consolidated()
        return self.get_label(name)

    def delete_label(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove a label from the list and from the store. Raises `NameNotFoundError` unless `missing_ok`."""
        self._labels().delete(name, missing_ok=missing_ok)
        self._group.update_consolidated()

    def _labels(self) -> LabelsCollection:
        return LabelsCollection(self._group, self.image_meta.version)

    # ---------------------------------------------------------------------------------------------------- masks
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
        meta = self.image_meta
        level = level_path(meta, path, pixel_size, strict, self.where)
        mask, objects = self._mask(masking_label_name, masking_table_name, meta.pixel_size(level))
        return MaskedImage(self._group, meta, level, self._backend, mask=mask, objects=objects)

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
        group = self._labels().group(label_name)
        meta, _ = read_meta(group)
        level = level_path(meta, path, pixel_size, strict, group.where)
        mask, objects = self._mask(masking_label_name, masking_table_name, meta.pixel_size(level))
        return MaskedLabel(group, meta, level, self._backend, mask=mask, objects=objects)

    def build_masking_roi_table(self, label: str) -> MaskingRoiTable:
        """The boxes of a label's objects as a table (not stored; see `add_table`)."""
        finest = self.get_label(label)
        return MaskingRoiTable([roi.to_world(finest.pixel_size) for roi in finest.boxes().values()], reference_label=label)

    def build_image_roi_table(self, name: str = "image") -> RoiTable:
        """The whole image as a table of one ROI (not stored; see `add_table`)."""
        return RoiTable([self.get_image().roi(name)])

    def _mask(self, label_name: str | None, table_name: str | None, pixel_size: PixelSize) -> tuple[Label, Objects]:
        name, table = masking_label_and_table(self.tables, self.where, label_name, table_name)
        objects = Objects.of_label(self.get_label(name)) if table is None else Objects.of_table(table)
        return self.get_label(name, pixel_size=pixel_size), objects

    # ---------------------------------------------------------------------------------------------------- tables
    @property
    def tables(self) -> TablesCollection:
        """The image's tables."""
        if self._tables is None:
            self._tables = TablesCollection(self._group, self.image_meta.version)
        return self._tables

    def list_tables(self, filter_types: str | Sequence[str] | None = None) -> list[str]:
        """The names of the tables; of those types only, if given."""
        return self.tables.list(filter_types)

    def get_table(self, name: str) -> Table:
        """A table, of the class that its type asks for. Raises `NameNotFoundError`."""
        return self.tables.get(name)

    def get_roi_table(self, name: str) -> RoiTable:
        """A table that must be a ROI table."""
        return self.tables.require(name, RoiTable)

    def get_masking_roi_table(self, name: str) -> MaskingRoiTable:
        """A table that must be a masking ROI table."""
        return self.tables.require(name, MaskingRoiTable)

    def get_feature_table(self, name: str) -> FeatureTable:
        """A table that must be a feature table."""
        return self.tables.require(name, FeatureTable)

    def add_table(self, name: str, table: Any, backend: str | None = None, overwrite: bool = False) -> None:
        """Write a table (of this package, a DataFrame, an AnnData or a dict of columns); a failing write leaves the old one as it was."""
        self.tables.add(name, table, backend=backend, overwrite=overwrite)
        self._group.update_consolidated()

    def delete_table(self, name: str, missing_ok: bool = False) -> None:
        """Remove a table. Raises `NameNotFoundError` unless `missing_ok`."""
        self.tables.delete(name, missing_ok=missing_ok)
        self._group.update_consolidated()

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
