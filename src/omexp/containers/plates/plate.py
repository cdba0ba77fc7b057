"""Plates. Knows: rows, columns, wells, fields, acquisitions, and how all of them are reached. Does not know: pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.container import OmeZarrContainer
from omexp.containers.html import html_table
from omexp.containers.plates.editing import PlateEditing
from omexp.containers.plates.report import PlateReport
from omexp.containers.plates.tables import PlateTables
from omexp.containers.plates.well import OmeZarrWell, create_empty_well, fields_on_disk, open_ome_zarr_well, require_kind, warn_of
from omexp.containers.plates.work import map_images
from omexp.containers.strictness import opened_strictly
from omexp.errors import NameNotFoundError, OmexpError, StoreNotFoundError, warn_caller
from omexp.metadata.plate import Acquisition, ImageInWellPath, PlateMeta
from omexp.metadata.plate_editing import field_problem, new_plate, well_path
from omexp.metadata.versions import DEFAULT_VERSION, decode_plate, encode_plate, encode_well, writable_version
from omexp.overview import picture_of_plate
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike
from omexp.storage.swap import new_group

__all__ = ["OmeZarrPlate", "OmeZarrWell", "create_empty_plate", "create_empty_well", "open_ome_zarr_plate", "open_ome_zarr_well"]

MaxWorkers = int | str | None


def open_ome_zarr_plate(
    store: StoreLike,
    mode: str = "r+",
    device: DeviceLike = None,
    cache: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> OmeZarrPlate:
    """Open a plate. Parameters and errors as in `open_ome_zarr_container`.

    Examples
    --------
    >>> import omexp
    >>> images = [omexp.ImageInWellPath("A", 1, "0"), omexp.ImageInWellPath("B", 1, "0")]
    >>> _ = omexp.create_empty_plate("plate.zarr", "screen", images, overwrite=True)
    >>> omexp.open_ome_zarr_plate("plate.zarr").images_paths()
    ['A/01/0', 'B/01/0']
    """
    group = open_group(store, mode, cache=cache, storage_options=storage_options)
    with opened_strictly(require_kind(group, "plate"), strict):
        return OmeZarrPlate(group, resolve_backend(device))


def create_empty_plate(
    store: StoreLike,
    name: str,
    images: Sequence[ImageInWellPath] | None = None,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str | int] | None = None,
    ngff_version: str = DEFAULT_VERSION,
    cache: bool = False,
    overwrite: bool = False,
    device: DeviceLike = None,
) -> OmeZarrPlate:
    """Create a plate with its wells, for images that are written later at `OmeZarrPlate.get_image_store`.

    Parameters
    ----------
    store
        Anything that `open_ome_zarr_container` takes; must be free unless `overwrite`.
    name
        The plate's name.
    images
        Where each image will lie. Integer columns get two digits. None: no wells yet; see `OmeZarrPlate.add_image`.
    rows, columns
        All of the physical plate, as the specification wants them; None: those that the images use.
    ngff_version
        "0.4", "0.5" or "0.6".
    cache
        As in `open_ome_zarr_container`, for the plate that is returned.
    overwrite
        Replace what is there.
    device
        Where arrays live; None is the default device.

    Raises
    ------
    ArgumentError
        An image twice, or a name that is not alphanumeric.
    AlreadyExistsError
        Something is there and `overwrite` is False.
    """
    version = writable_version(ngff_version)
    plate, wells = new_plate(name, images or (), rows, columns)
    backend = resolve_backend(device)
    for problem in dict.fromkeys(field_problem(image.path, version.tag) for image in images or ()):
        if problem:
            warn_caller(f"plate {name!r}: {problem}")
    with new_group(store, zarr_format=version.zarr_format, overwrite=overwrite) as group:
        for row in dict.fromkeys(path.partition("/")[0] for path in wells):
            group.require_group(row)
        for path, well in wells.items():
            group.require_group(path).put_attributes(encode_well(well, version.tag))
        group.put_attributes(encode_plate(plate, version.tag))
    return OmeZarrPlate(open_group(store, cache=cache), backend)


class OmeZarrPlate(PlateEditing, PlateTables):
    """Wells in rows and columns, each with its fields."""

    def __init__(self, group: Group, backend: Backend) -> None:
        """`group` was opened just now: its document is not read again."""
        self._group, self._backend = group, backend
        self._kept: dict[str, Group] = {}  # with cache=True: the groups of wells and fields that were found
        warn_of(decode_plate(group.attributes_at_opening, group.zarr_format, group.where)[2], group.where)

    @property
    def where(self) -> str:
        """The plate's place: a path or URL."""
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
    def meta(self) -> PlateMeta:
        """What the metadata says."""
        return decode_plate(self._group.attributes, self._group.zarr_format, self.where)[1]

    @property
    def version(self) -> str:
        """The OME-Zarr version."""
        return decode_plate(self._group.attributes, self._group.zarr_format, self.where)[0]

    @property
    def rows(self) -> list[str]:
        return list(self.meta.rows)

    @property
    def columns(self) -> list[str]:
        return list(self.meta.columns)

    @property
    def acquisition_ids(self) -> list[int]:
        return [a.id for a in self.meta.acquisitions]

    @property
    def acquisitions_names(self) -> list[str | None]:
        return [a.name for a in self.meta.acquisitions]

    @property
    def acquisitions(self) -> list[Acquisition]:
        """Each with ``id, name, maximumfieldcount, starttime, endtime, description`` (None where not given)."""
        return list(self.meta.acquisitions)

    @property
    def wells(self) -> list[str]:
        """The same as `wells_paths()`."""
        return self.wells_paths()

    def wells_paths(self) -> list[str]:
        """Paths of the wells, such as "B/03"."""
        return list(self.meta.wells)

    def images_paths(self, acquisition: int | None = None, max_workers: MaxWorkers = None) -> list[str]:
        """Paths of all fields, such as "B/03/0", from the wells' lists. What is missing is named in an `OmexpWarning`."""
        report = PlateReport(self.where)
        paths = self._fields(self._wells(report, max_workers), acquisition)
        report.tell()
        return paths

    def well_images_paths(self, row: str, column: str | int, acquisition: int | None = None) -> list[str]:
        """Paths of the fields of one well, such as "B/03/0"."""
        path, well = self._well(row, column)
        return [f"{path}/{field}" for field in well.meta_at_opening.paths(acquisition)]

    def get_well(self, row: str, column: str | int) -> OmeZarrWell:
        """A well; column 3 is also "03". Raises `NameNotFoundError` or, if it is listed but not on disk, `StoreNotFoundError`."""
        return self._well(row, column)[1]

    def get_wells(self, max_workers: MaxWorkers = None) -> dict[str, OmeZarrWell]:
        """Well path -> well, for those that are on disk; the others are named in an `OmexpWarning`."""
        report = PlateReport(self.where)
        wells = self._wells(report, max_workers)
        report.tell()
        return wells

    def get_image(self, row: str, column: str | int, image_path: str | int) -> OmeZarrContainer:
        """A field of a well. Errors as `get_well` and `OmeZarrWell.get_image`."""
        well = self.get_well(row, column)
        return well.field_of(well.meta_at_opening, str(image_path))

    def get_images(self, acquisition: int | None = None, max_workers: MaxWorkers = None) -> dict[str, OmeZarrContainer]:
        """Field path -> image, for those that can be used. What cannot is named in one `OmexpWarning`, with the reason.

        The documents of the plate, of its wells and of its images are read once each, concurrently; no array is looked at.

        Parameters
        ----------
        acquisition
            Only fields of this one.
        max_workers
            Reads at a time; None and "auto": 32.
        """
        return self._images(acquisition, max_workers)

    def get_well_images(self, row: str, column: str | int, acquisition: int | None = None) -> dict[str, OmeZarrContainer]:
        """Field path -> image of one well."""
        return self.get_well(row, column).get_images(acquisition)

    def get_image_acquisition_id(self, row: str, column: str | int, image_path: str | int) -> int | None:
        """The acquisition that a field belongs to; None if it says none."""
        return self.get_well(row, column).get_image_acquisition_id(image_path)

    def get_image_store(self, row: str, column: str | int, image_path: str | int) -> StoreLike:
        """The place of a field, to pass as ``store=`` to a creator. Nothing is created. Raises as `get_well`."""
        return self._group.group(self._listed(row, column)).place(str(image_path))

    def map(
        self,
        function: Callable[[str, OmeZarrContainer], Any],
        *,
        images: Mapping[str, OmeZarrContainer] | Iterable[str] | None = None,
        acquisition: int | None = None,
        workers: int | None = None,
        executor: str = "threads",
        progress: Any = None,
    ) -> dict[str, Any]:
        """Call a function for each image, several at a time; a failure costs nothing but its own image.

        Parameters
        ----------
        function
            Called as ``function("B/03/0", container)``. With processes it must be one that can be imported there.
        images
            Paths, or what `get_images` gave; None: all that are on disk.
        acquisition
            Only fields of this one.
        workers
            Images at a time; None: the CPUs.
        executor
            "threads" suit omexp, NumPy and devices, which let each other run. "processes" suit Python code that does not: each opens
            the plate itself, so the store must be a local folder or a URL, and only results travel.
        progress
            True for a bar at a terminal, or a function of (done, total) images.

        Returns
        -------
        Image path -> result, in the plate's order.

        Raises
        ------
        FailuresError
            Some images failed; all others were worked on all the same. Its `failures` are the exceptions by path, its `results` the rest.
        ArgumentError
            Another executor, or a store that other processes cannot open.

        Examples
        --------
        >>> import numpy, omexp
        >>> plate = omexp.create_empty_plate("mapped.zarr", "p", [omexp.ImageInWellPath("A", 1)], overwrite=True)
        >>> _ = omexp.create_ome_zarr_from_array(plate.get_image_store("A", 1, "0"), numpy.ones((8, 8), "uint8"), xy_pixelsize=1, levels=1)
        >>> plate.map(lambda path, image: int(image.get_image().get_as_numpy().sum()))
        {'A/01/0': 64}
        """
        chosen = images if isinstance(images, Mapping) else self._images(acquisition, None, None if images is None else list(images))
        return map_images(function, chosen, workers=workers, executor=executor, progress=progress, where=self.where)

    def thumbnail(
        self,
        channels: Sequence[int | str] | None = None,
        level: str | int | None = None,
        size: int = 1800,
        *,
        label: str | None = None,
        acquisition: int | None = None,
        path: Any = None,
    ) -> Any:
        """A picture of the plate: its wells in their grid with names, fields tiled, channels in their colours and windows.

        Parameters
        ----------
        channels
            Labels or indices of those that are shown; None: the active ones.
        level
            A path or index of the images' levels; None: the coarsest with a pixel for each of the picture's.
        size
            About how many pixels wide.
        label
            A label whose objects are outlined, where an image has it.
        acquisition
            Only fields of this one.
        path
            A PNG file to write it to, as well.

        Returns
        -------
        (height, width, 3) of uint8: a NumPy array, whatever the device.

        Raises
        ------
        NameNotFoundError
            An image has no such channel or level.
        """
        images = self.get_images(acquisition)
        return picture_of_plate(self, images=images, channels=channels, level=level, width_px=size, label=label, path=path)

    def refresh(self) -> None:
        """Forget metadata that was read (with ``cache=True``)."""
        self._group.refresh()
        self._kept.clear()

    # ------------------------------------------------------------------------------------------------------- within
    def _wells(self, report: PlateReport, max_workers: MaxWorkers) -> dict[str, OmeZarrWell]:
        meta = self.meta
        groups, broken = self._group.find_many((p for p in meta.wells if p not in self._kept), _threads(max_workers))
        groups |= {path: self._kept[path] for path in meta.wells if path in self._kept}
        if self._group.cache:
            self._kept |= groups
        wells, known = {}, {a.id for a in meta.acquisitions}
        report.wells += [path for path in meta.wells if path not in groups and path not in broken]
        report.unusable |= {path: error.what for path, error in broken.items()}
        for path in (p for p in meta.wells if p in groups):
            try:
                wells[path] = OmeZarrWell(groups[path], self._backend, self._group, path)
            except OmexpError as error:
                report.unusable[path] = str(error.got or error.what)
                continue
            for image in wells[path].meta_at_opening.images:
                if image.acquisition is not None and image.acquisition not in known:
                    report.strangers.setdefault(image.acquisition, []).append(f"{path}/{image.path}")
        return wells

    def _images(self, acquisition: int | None, max_workers: MaxWorkers, only: Sequence[str] | None = None) -> dict[str, OmeZarrContainer]:
        """The images that can be used; `only` these, all of which there must be: no other one is opened."""
        report = PlateReport(self.where)
        fields = self._fields(self._wells(report, max_workers), acquisition)
        wanted = fields if only is None else [path for path in only if path in fields]
        found = fields_on_disk(self._group, wanted, self._backend, report, _threads(max_workers), self._kept)
        report.tell()
        if unknown := [path for path in only or () if path not in found]:
            raise NameNotFoundError("there is no such image", where=self.where, got=unknown, allowed=fields)
        return found

    def _fields(self, wells: Mapping[str, OmeZarrWell], acquisition: int | None) -> list[str]:
        return [f"{path}/{field}" for path, well in wells.items() for field in well.meta_at_opening.paths(acquisition)]

    def _well(self, row: str, column: str | int) -> tuple[str, OmeZarrWell]:
        path = self._listed(row, column)
        group = self._group.find(path)
        if group is None:
            raise StoreNotFoundError("the well is listed but not on disk", where=f"{self.where}/{path}", hint="The copy may be partial.")
        return path, OmeZarrWell(group, self._backend, self._group, path)

    def _listed(self, row: str, column: str | int) -> str:
        meta = self.meta
        path = well_path(meta, row, column)
        if path not in meta.wells:
            raise NameNotFoundError("there is no such well", where=self.where, got=f"{row}/{column}", allowed=", ".join(meta.wells))
        return path

    def __repr__(self) -> str:
        meta = self.meta
        return f"OmeZarrPlate({meta.name or self.where}, rows={list(meta.rows)}, columns={list(meta.columns)}, wells={len(meta.wells)})"

    def _repr_html_(self) -> str:
        meta = self.meta
        wells = {row: " ".join(c for c in meta.columns if f"{row}/{c}" in meta.wells) for row in meta.rows}
        return html_table(meta.name or self.where, wells)


def _threads(max_workers: MaxWorkers) -> int | None:
    return max_workers if isinstance(max_workers, int) else None
