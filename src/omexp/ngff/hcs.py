"""Plates as the in-memory model. Knows: wells by name and position, fields by index and acquisition. Does not know: versions, pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omexp.checking import require_valid
from omexp.errors import NameNotFoundError, StoreNotFoundError
from omexp.metadata.plate import PlateMeta, WellMeta
from omexp.metadata.versions import decode_plate, decode_well, kind_of
from omexp.ngff.model import Multiscales, Record
from omexp.ngff.reading import image_of_group, noted, open_store
from omexp.storage.groups import Group
from omexp.storage.locating import StoreLike

__all__ = [
    "HCSPlate",
    "HCSWell",
    "Plate",
    "PlateAcquisition",
    "PlateColumn",
    "PlateRow",
    "PlateWell",
    "Well",
    "WellImage",
    "from_hcs_zarr",
]


@dataclass(repr=False)
class PlateRow(Record):
    """A row of a plate."""

    name: str


@dataclass(repr=False)
class PlateColumn(Record):
    """A column of a plate."""

    name: str


@dataclass(repr=False)
class PlateWell(Record):
    """A well: its path, and where it lies in the rows and columns."""

    path: str
    rowIndex: int
    columnIndex: int


@dataclass(repr=False)
class PlateAcquisition(Record):
    """One run of the microscope over the plate; times are milliseconds since 1970."""

    id: int
    name: str | None = None
    maximumfieldcount: int | None = None
    description: str | None = None
    starttime: int | None = None
    endtime: int | None = None


@dataclass(repr=False)
class Plate(Record):
    """What the metadata of a plate says."""

    columns: list[PlateColumn]
    rows: list[PlateRow]
    wells: list[PlateWell]
    version: str = "0.4"
    acquisitions: list[PlateAcquisition] | None = None
    field_count: int | None = None
    name: str | None = None


@dataclass(repr=False)
class WellImage(Record):
    """A field of a well."""

    path: str
    acquisition: int | None = None


@dataclass(repr=False)
class Well(Record):
    """What the metadata of a well says."""

    images: list[WellImage] = field(default_factory=list)
    version: str = "0.4"


def from_hcs_zarr(
    store: StoreLike,
    validate: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    well_cache_size: int | None = None,
    image_cache_size: int | None = None,
) -> HCSPlate:
    """Open a plate. Wells and fields are opened when they are asked for.

    Parameters
    ----------
    store
        A path, URL, dict, zarr store or group.
    validate
        Raise for every MUST of the specification that is broken, as `omexp.validate` finds them: the plate's here, a well's or image's when
        it is opened.
    storage_options
        Passed on to fsspec with a URL.
    well_cache_size, image_cache_size
        Accepted for ngff-zarr's scripts. Nothing is cached.

    Raises
    ------
    StoreNotFoundError
        Nothing there, or a group that is no plate.
    InvalidMetadataError, UnsupportedVersionError
        The metadata cannot be used or, with `validate`, breaks rules.

    Examples
    --------
    >>> import omexp
    >>> _ = omexp.create_empty_plate("plate.zarr", "screen", [omexp.ImageInWellPath("A", 1, "0")], overwrite=True)
    >>> plate = from_hcs_zarr("plate.zarr")
    >>> plate.name, [well.path for well in plate.wells], plate.get_well("B", "1")
    ('screen', ['A/01'], None)
    """
    group = open_store(store, storage_options)
    kind = kind_of(group.attributes)
    if kind != "plate":
        found = f"{'an' if kind == 'image' else 'a'} {kind} group" if kind else "a Zarr group without OME-Zarr metadata"
        raise StoreNotFoundError("this group is no OME-Zarr plate", where=group.where, got=found, hint="Open images with from_ngff_zarr.")
    return HCSPlate(group, validate=validate)


class HCSPlate:
    """Wells in rows and columns. Made by `from_hcs_zarr`."""

    def __init__(self, group: Group, *, validate: bool = False) -> None:
        self._group, self._validate = group, validate
        if validate:
            require_valid(group)
        version, meta, problems = decode_plate(group.attributes, group.zarr_format, group.where)
        noted(problems, group.where)
        self.metadata = _plate(meta, version)

    @property
    def name(self) -> str | None:
        return self.metadata.name

    @property
    def rows(self) -> list[PlateRow]:
        return self.metadata.rows

    @property
    def columns(self) -> list[PlateColumn]:
        return self.metadata.columns

    @property
    def wells(self) -> list[PlateWell]:
        return self.metadata.wells

    @property
    def acquisitions(self) -> list[PlateAcquisition] | None:
        return self.metadata.acquisitions

    @property
    def field_count(self) -> int | None:
        return self.metadata.field_count

    def get_well(self, row_name: str, column_name: str | int) -> HCSWell | None:
        """The well of a row and a column, "1" and 1 meaning "01" where there is no "1"; None if the plate lists none.

        Raises `StoreNotFoundError` if it is listed but not on disk.
        """
        column = str(column_name)
        for name in (column, column.zfill(2)):
            for well in self.wells:
                if well.path == f"{row_name}/{name}":
                    return self._well(well)
        return None

    def get_well_by_indices(self, row_index: int, column_index: int) -> HCSWell | None:
        """The well at a position, counted from 0; None if the plate lists none there. Raises as `get_well`."""
        for well in self.wells:
            if (well.rowIndex, well.columnIndex) == (row_index, column_index):
                return self._well(well)
        return None

    def _well(self, well: PlateWell) -> HCSWell:
        return HCSWell(_member(self._group, well.path, "well"), well, validate=self._validate)

    def __repr__(self) -> str:
        return f"HCSPlate({self.name or self._group.where}, rows={len(self.rows)}, columns={len(self.columns)}, wells={len(self.wells)})"


class HCSWell:
    """The fields of one well. Made by `HCSPlate.get_well`."""

    def __init__(self, group: Group, place: PlateWell, *, validate: bool = False) -> None:
        self._group, self._validate = group, validate
        self.path, self.row_index, self.column_index = place.path, place.rowIndex, place.columnIndex
        if validate:
            require_valid(group)
        version, meta, problems = decode_well(group.attributes, group.zarr_format, group.where)
        noted(problems, group.where)
        self.metadata = _well(meta, version)

    @property
    def images(self) -> list[WellImage]:
        """The fields, in the order of the document."""
        return self.metadata.images

    def get_image(self, field_index: int = 0) -> Multiscales | None:
        """A field by its position in `images`; None if there are not so many. Raises `StoreNotFoundError` if it is not on disk."""
        return self._image(self.images, field_index)

    def get_image_by_acquisition(self, acquisition_id: int, field_index: int = 0) -> Multiscales | None:
        """A field by its position among those of an acquisition; None if there is none. Raises as `get_image`."""
        return self._image([image for image in self.images if image.acquisition == acquisition_id], field_index)

    def _image(self, images: list[WellImage], index: int) -> Multiscales | None:
        if not 0 <= index < len(images):
            return None
        return image_of_group(_member(self._group, images[index].path, "field"), validate=self._validate)

    def __repr__(self) -> str:
        return f"HCSWell({self.path}, fields={[image.path for image in self.images]})"


def _member(group: Group, path: str, what: str) -> Group:
    try:
        return group.group(path)
    except NameNotFoundError:
        raise StoreNotFoundError(
            f"the {what} is listed but not on disk", where=f"{group.where}/{path}", hint="The copy may be partial."
        ) from None


def _plate(meta: PlateMeta, version: str) -> Plate:
    wells = []
    for path in meta.wells:
        row, column = path.split("/")
        wells.append(PlateWell(path, meta.rows.index(row), meta.columns.index(column)))
    acquisitions = []
    for run in meta.acquisitions:
        known = {k: run.extra.get(k) for k in ("maximumfieldcount", "description", "starttime", "endtime")}
        acquisitions.append(PlateAcquisition(run.id, run.name, **known))
    columns, rows = [PlateColumn(name) for name in meta.columns], [PlateRow(name) for name in meta.rows]
    return Plate(columns, rows, wells, version, acquisitions or None, meta.field_count, meta.name)


def _well(meta: WellMeta, version: str) -> Well:
    return Well([WellImage(image.path, image.acquisition) for image in meta.images], version)
