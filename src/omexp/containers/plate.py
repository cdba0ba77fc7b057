"""Plates and wells. Knows: rows, columns, wells, fields, acquisitions. Does not know: pixels."""

from __future__ import annotations

from collections.abc import Sequence

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.container import OmeZarrContainer
from omexp.containers.html import html_table
from omexp.errors import NameNotFoundError, StoreNotFoundError, warn_caller
from omexp.metadata.plate import Acquisition, ImageInWellPath, PlateMeta, WellMeta, new_plate
from omexp.metadata.problems import Problems
from omexp.metadata.versions import DEFAULT_VERSION, decode_plate, decode_well, encode_plate, encode_well, kind_of, writable_version
from omexp.storage.groups import Group, StoreLike, open_group
from omexp.storage.swap import new_group

__all__ = ["OmeZarrPlate", "OmeZarrWell", "create_empty_plate", "open_ome_zarr_plate", "open_ome_zarr_well"]


def open_ome_zarr_plate(store: StoreLike, mode: str = "r+", device: DeviceLike = None, cache: bool = False) -> OmeZarrPlate:
    """Open a plate. Parameters and errors as in `open_ome_zarr_container`.

    Examples
    --------
    >>> import omexp
    >>> images = [omexp.ImageInWellPath("A", 1, "0"), omexp.ImageInWellPath("B", 1, "0")]
    >>> _ = omexp.create_empty_plate("plate.zarr", "screen", images, overwrite=True)
    >>> omexp.open_ome_zarr_plate("plate.zarr").images_paths()
    ['A/01/0', 'B/01/0']
    """
    return OmeZarrPlate(_require_kind(open_group(store, mode, cache=cache), "plate"), resolve_backend(device))


def open_ome_zarr_well(store: StoreLike, mode: str = "r+", device: DeviceLike = None, cache: bool = False) -> OmeZarrWell:
    """Open a well. Parameters and errors as in `open_ome_zarr_container`."""
    return OmeZarrWell(_require_kind(open_group(store, mode, cache=cache), "well"), resolve_backend(device))


def create_empty_plate(
    store: StoreLike,
    name: str,
    images: Sequence[ImageInWellPath],
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str | int] | None = None,
    ngff_version: str = DEFAULT_VERSION,
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
        Where each image will lie. Integer columns get two digits.
    rows, columns
        All of the physical plate, as the specification wants them; None: those that the images use.
    ngff_version
        "0.4" or "0.5".
    overwrite
        Replace what is there.
    device
        Where arrays live; None is the default device.

    Raises
    ------
    ArgumentError
        No image, an image twice, or a name that is not alphanumeric.
    AlreadyExistsError
        Something is there and `overwrite` is False.
    """
    version = writable_version(ngff_version)
    plate, wells = new_plate(name, images, rows, columns)
    backend = resolve_backend(device)
    with new_group(store, zarr_format=version.zarr_format, overwrite=overwrite) as group:
        for row in plate.rows:
            group.require_group(row)
        for path, well in wells.items():
            group.require_group(path).put_attributes(encode_well(well, version.tag))
        group.put_attributes(encode_plate(plate, version.tag))
    return OmeZarrPlate(open_group(store), backend)


def _require_kind(group: Group, kind: str) -> Group:
    found = kind_of(group.attributes)
    if found != kind:
        raise StoreNotFoundError(
            f"this group is no OME-Zarr {kind}",
            where=group.where,
            got=f"{'an' if found == 'image' else 'a'} {found} group" if found else "a Zarr group without OME-Zarr metadata",
            hint="Open it with open_ome_zarr_container, open_ome_zarr_plate or open_ome_zarr_well, whichever fits.",
        )
    return group


def _warn(problems: Problems, where: str) -> None:
    for problem in problems.found:
        warn_caller(f"{where}: {problem}")


class OmeZarrWell:
    """The fields of one well."""

    def __init__(self, group: Group, backend: Backend) -> None:
        self._group, self._backend = group, backend
        _warn(decode_well(group.attributes, group.zarr_format, group.where)[2], group.where)

    @property
    def where(self) -> str:
        """The well's place: a path or URL."""
        return self._group.where

    @property
    def meta(self) -> WellMeta:
        """What the metadata says."""
        return decode_well(self._group.attributes, self._group.zarr_format, self.where)[1]

    @property
    def acquisition_ids(self) -> list[int]:
        """Ids of the acquisitions that have a field here, ascending."""
        return sorted({i.acquisition for i in self.meta.images if i.acquisition is not None})

    @property
    def images(self) -> list[str]:
        """The same as `paths()`."""
        return self.paths()

    def paths(self, acquisition: int | None = None) -> list[str]:
        """Paths of the fields; of one acquisition, if given."""
        return [i.path for i in self.meta.images if acquisition is None or i.acquisition == acquisition]

    def get_image(self, image_path: str | int) -> OmeZarrContainer:
        """A field; 0 is also "0". Raises `NameNotFoundError` if it is not in the list, `StoreNotFoundError` if it is not on disk."""
        image_path = str(image_path)
        if image_path not in self.paths():
            raise NameNotFoundError("there is no such field", where=self.where, got=repr(image_path), allowed=", ".join(self.paths()))
        group = self._group.find(image_path)
        if group is None:
            raise StoreNotFoundError(
                "the field is listed but not on disk", where=f"{self.where}/{image_path}", hint="Create it at get_image_store."
            )
        return OmeZarrContainer(group, self._backend)

    def get_images(self, acquisition: int | None = None) -> dict[str, OmeZarrContainer]:
        """Field path -> image, for those that are on disk; the others are named in an `OmexpWarning`."""
        return _present({path: path for path in self.paths(acquisition)}, self._group, self._backend)

    def _repr_html_(self) -> str:
        return html_table(self.where, {"fields": ", ".join(self.paths())})

    def __repr__(self) -> str:
        return f"OmeZarrWell({self.where}, fields={self.paths()})"


class OmeZarrPlate:
    """Wells in rows and columns, each with its fields."""

    def __init__(self, group: Group, backend: Backend) -> None:
        self._group, self._backend = group, backend
        _warn(decode_plate(group.attributes, group.zarr_format, group.where)[2], group.where)

    @property
    def where(self) -> str:
        """The plate's place: a path or URL."""
        return self._group.where

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
        return list(self.meta.acquisitions)

    @property
    def wells(self) -> list[str]:
        """The same as `wells_paths()`."""
        return self.wells_paths()

    def wells_paths(self) -> list[str]:
        """Paths of the wells, such as "B/03"."""
        return list(self.meta.wells)

    def images_paths(self, acquisition: int | None = None) -> list[str]:
        """Paths of all fields, such as "B/03/0", from the wells' lists; wells that are not on disk are named in an `OmexpWarning`."""
        return [f"{path}/{field}" for path, well in self.get_wells().items() for field in well.paths(acquisition)]

    def get_well(self, row: str, column: str | int) -> OmeZarrWell:
        """A well; column 3 is also "03". Raises `NameNotFoundError` or, if it is listed but not on disk, `StoreNotFoundError`."""
        path = self._well_path(row, column)
        group = self._group.find(path)
        if group is None:
            raise StoreNotFoundError("the well is listed but not on disk", where=f"{self.where}/{path}", hint="The copy may be partial.")
        return OmeZarrWell(group, self._backend)

    def get_wells(self) -> dict[str, OmeZarrWell]:
        """Well path -> well, for those that are on disk; the others are named in an `OmexpWarning`."""
        found = {path: self._group.find(path) for path in self.wells_paths()}
        _warn_missing([path for path, group in found.items() if group is None], self.where, "wells")
        return {path: OmeZarrWell(group, self._backend) for path, group in found.items() if group is not None}

    def get_image(self, row: str, column: str | int, image_path: str | int) -> OmeZarrContainer:
        """A field of a well. Errors as `get_well` and `OmeZarrWell.get_image`."""
        return self.get_well(row, column).get_image(image_path)

    def get_images(self, acquisition: int | None = None) -> dict[str, OmeZarrContainer]:
        """Field path -> image, for those that are on disk; the others are named in an `OmexpWarning`."""
        return _present({path: path for path in self.images_paths(acquisition)}, self._group, self._backend)

    def get_well_images(self, row: str, column: str | int, acquisition: int | None = None) -> dict[str, OmeZarrContainer]:
        """Field path -> image of one well."""
        return self.get_well(row, column).get_images(acquisition)

    def get_image_store(self, row: str, column: str | int, image_path: str) -> StoreLike:
        """The place of a field, to pass as ``store=`` to a creator. Nothing is created. Raises as `get_well`."""
        well = self._well_path(row, column)
        return self._group.group(well).place(image_path)

    def _well_path(self, row: str, column: str | int) -> str:
        names = [f"{row}/{column}", f"{row}/{column:02d}"] if isinstance(column, int) else [f"{row}/{column}"]
        if isinstance(column, str) and column.isdigit():
            names.append(f"{row}/{int(column):02d}")
        found = [n for n in names if n in self.meta.wells]
        if not found:
            raise NameNotFoundError("there is no such well", where=self.where, got=names[0], allowed=", ".join(self.meta.wells))
        return found[0]

    def __repr__(self) -> str:
        meta = self.meta
        return f"OmeZarrPlate({meta.name or self.where}, rows={list(meta.rows)}, columns={list(meta.columns)}, wells={len(meta.wells)})"

    def _repr_html_(self) -> str:
        meta = self.meta
        wells = {row: " ".join(c for c in meta.columns if f"{row}/{c}" in meta.wells) for row in meta.rows}
        return html_table(meta.name or self.where, wells)


def _present(paths: dict[str, str], group: Group, backend: Backend) -> dict[str, OmeZarrContainer]:
    found = {name: group.find(path) for name, path in paths.items()}
    _warn_missing([name for name, image in found.items() if image is None], group.where, "fields")
    return {name: OmeZarrContainer(image, backend) for name, image in found.items() if image is not None}


def _warn_missing(names: list[str], where: str, what: str) -> None:
    if names:
        warn_caller(f"{where}: {what} that are listed but not on disk: {', '.join(names)}")
