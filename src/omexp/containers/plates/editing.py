"""Adding to plates and removing from them. Knows: the verbs, what each refuses. Does not know: documents, pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omexp.backend import Backend
from omexp.containers.plates.documents import add_field, add_well, change_plate, remove_fields, remove_wells, wells_of
from omexp.containers.plates.well import OmeZarrWell
from omexp.errors import NameNotFoundError
from omexp.metadata.plate import PlateMeta
from omexp.metadata.plate_editing import new_plate, well_path, with_acquisition, with_column, with_row, without_acquisition, without_names
from omexp.metadata.versions import decode_plate, encode_plate, writable_version
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike, require_apart
from omexp.storage.swap import new_group

__all__ = ["PlateEditing", "derive_ome_zarr_plate"]


class PlateEditing:
    """Every change keeps others out of the plate's documents while it is made: processes on a local disk, else threads of this one."""

    _group: Group
    _backend: Backend

    @property
    def _meta_now(self) -> PlateMeta:
        return decode_plate(self._group.attributes, self._group.zarr_format, self._group.where)[1]

    # ---------------------------------------------------------------------------------------------------------- add
    def add_image(
        self,
        row: str,
        column: str | int,
        image_path: str | int,
        acquisition_id: int | None = None,
        acquisition_name: str | None = None,
    ) -> str:
        """Put a field on the lists, with its well, row, column and acquisition as far as they are not there. Write it at `get_image_store`.

        Parameters
        ----------
        row, column
            Column 3 is the plate's "03" or "3"; a new one is written as its others.
        image_path
            Letters and digits; "_", "-" and "." are taken with a warning before OME-Zarr 0.6, where they are allowed.
        acquisition_id, acquisition_name
            The acquisition it belongs to.

        Returns
        -------
        The image's path below the plate, such as "B/03/0".

        Raises
        ------
        ArgumentError
            A name that cannot be, or an acquisition that has another name. Nothing is written.
        AlreadyExistsError
            There is such a field.
        ReadOnlyError
            The store is read-only.

        Examples
        --------
        >>> import omexp
        >>> plate = omexp.create_empty_plate("growing.zarr", "screen", overwrite=True)
        >>> plate.add_image("B", 3, "0", acquisition_id=0, acquisition_name="first run")
        'B/03/0'
        >>> plate.rows, plate.columns, plate.acquisitions_names
        (['B'], ['03'], ['first run'])
        """
        path = add_field(self._group, row, column, str(image_path), acquisition_id, acquisition_name)
        self.refresh()
        return f"{path}/{image_path}"

    atomic_add_image = add_image

    def add_well(self, row: str, column: str | int) -> OmeZarrWell:
        """Put a well without fields on the list; one that is there stays as it is. Raises as `add_image`."""
        path = add_well(self._group, row, column)
        self.refresh()
        return OmeZarrWell(self._group.group(path), self._backend, self._group, path)

    def add_row(self, row: str) -> Any:
        """Put a row on the list, in its order; one that is there stays. Returns the plate."""
        change_plate(self._group, lambda plate: with_row(plate, row))
        self.refresh()
        return self

    def add_column(self, column: str | int) -> Any:
        """Put a column on the list, in its order; one that is there stays. Returns the plate."""
        change_plate(self._group, lambda plate: with_column(plate, column))
        self.refresh()
        return self

    def add_acquisition(
        self,
        acquisition_id: int,
        acquisition_name: str | None = None,
        *,
        maximumfieldcount: int | None = None,
        starttime: int | None = None,
        endtime: int | None = None,
        description: str | None = None,
    ) -> Any:
        """Put an acquisition on the list, or say more of one that is there. Returns the plate.

        Parameters
        ----------
        acquisition_id
            0 or more.
        acquisition_name
            Of one that has no name yet, or the name that it has.
        maximumfieldcount
            The largest number of fields a well has of it; adding images keeps it right.
        starttime, endtime
            Seconds or milliseconds since 1970.
        description
            In words.

        Raises
        ------
        ArgumentError
            The acquisition has another name, or a number is none that can be.
        """
        given = {"maximumfieldcount": maximumfieldcount, "starttime": starttime, "endtime": endtime, "description": description}
        change_plate(self._group, lambda plate: with_acquisition(plate, acquisition_id, acquisition_name, given))
        self.refresh()
        return self

    # ------------------------------------------------------------------------------------------------------- remove
    def remove_image(self, row: str, column: str | int, image_path: str | int, *, delete_data: bool = False) -> None:
        """Take a field off the lists; its well, too, if it was the last one there. Rows, columns and acquisitions stay.

        Parameters
        ----------
        delete_data
            Also remove the image from the store. It is off the lists before that is begun.

        Raises
        ------
        NameNotFoundError
            There is no such well or field; nothing is changed.
        ReadOnlyError
            The store is read-only.
        """
        path = self._known_well(row, column)
        remove_fields(self._group, {path: [str(image_path)]}, delete_data=delete_data)
        self.refresh()

    atomic_remove_image = remove_image

    def remove_well(self, row: str, column: str | int, *, delete_data: bool = False) -> None:
        """Take a well off the list, on disk or not. Row and column stay. See `remove_image`."""
        remove_wells(self._group, [self._known_well(row, column)], lambda plate: plate, delete_data=delete_data)
        self.refresh()

    def remove_row(self, row: str, *, delete_data: bool = False) -> None:
        """Take a row off the list, with its wells. See `remove_image`."""
        self._remove_line("rows", row, -2, delete_data)

    def remove_column(self, column: str | int, *, delete_data: bool = False) -> None:
        """Take a column off the list, with its wells. See `remove_image`."""
        named = [name for name in self._meta_now.columns if name == str(column) or (name.isdecimal() and name.lstrip("0") == str(column))]
        self._remove_line("columns", named[0] if named else str(column), -1, delete_data)

    def remove_acquisition(self, acquisition_id: int, *, delete_data: bool = False) -> None:
        """Take an acquisition off the list, with all its fields. See `remove_image`."""
        meta = self._meta_now
        known = [a.id for a in meta.acquisitions]
        if acquisition_id not in known:
            raise self._unknown("acquisition", acquisition_id, known)
        fields = {path: well.paths(acquisition_id) for path, well in wells_of(self._group, meta.wells).items()}
        remove_fields(self._group, {path: names for path, names in fields.items() if names}, delete_data=delete_data)
        change_plate(self._group, lambda plate: without_acquisition(plate, acquisition_id))
        self.refresh()

    # ------------------------------------------------------------------------------------------------------- derive
    def derive_plate(
        self,
        store: StoreLike,
        plate_name: str | None = None,
        ngff_version: str | None = None,
        keep_acquisitions: bool = False,
        cache: bool = False,
        overwrite: bool = False,
    ) -> Any:
        """Create a plate with the rows and columns of this one, and no wells: they come with `add_image`.

        Parameters
        ----------
        plate_name, ngff_version
            None: as here.
        keep_acquisitions
            Take over the list of acquisitions, too.
        store, cache, overwrite
            As in `create_empty_plate`; not this plate's own place.
        """
        group = self._group
        found, meta, _ = decode_plate(group.attributes, group.zarr_format, group.where)
        version = writable_version(ngff_version or found)
        plate, _ = new_plate(plate_name or meta.name or "plate", (), meta.rows, meta.columns)
        plate = replace(plate, acquisitions=meta.acquisitions if keep_acquisitions else ())
        require_apart(store, group)
        with new_group(store, zarr_format=version.zarr_format, overwrite=overwrite) as made:
            made.put_attributes(encode_plate(plate, version.tag))
        return type(self)(open_group(store, cache=cache), self._backend)  # type: ignore[call-arg]

    def consolidate_metadata(self) -> None:
        """Put a copy of all documents below the plate into its own, for readers that fetch few things slowly; every later change of the
        plate through this package renews it. Images that are written into the plate do not: call this when they are done."""
        self._group.consolidate()

    def refresh(self) -> None:
        """Forget metadata that was read (with ``cache=True``)."""
        self._group.refresh()

    def _known_well(self, row: str, column: str | int) -> str:
        meta = self._meta_now
        path = well_path(meta, row, column)
        if path not in meta.wells:
            raise self._unknown("well", f"{row}/{column}", list(meta.wells))
        return path

    def _remove_line(self, what: str, name: str, part: int, delete_data: bool) -> None:
        meta = self._meta_now
        names = getattr(meta, what)
        if name not in names:
            raise self._unknown(what.removesuffix("s"), name, list(names))
        gone = [path for path in meta.wells if path.split("/")[part] == name]
        remove_wells(self._group, gone, lambda plate: without_names(plate, what, name), delete_data=delete_data)
        self.refresh()

    def _unknown(self, what: str, got: Any, allowed: list[Any]) -> NameNotFoundError:
        return NameNotFoundError(
            f"there is no such {what}", where=self._group.where, got=str(got), allowed=", ".join(map(str, allowed)) or "none"
        )


def derive_ome_zarr_plate(ome_zarr_plate: Any, store: StoreLike, *given: Any, **options: Any) -> Any:
    """`OmeZarrPlate.derive_plate` as a function, as ngio has it."""
    return ome_zarr_plate.derive_plate(store, *given, **options)
