"""A well. Knows: its fields, which acquisition each belongs to. Does not know: pixels, the rest of the plate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.container import OmeZarrContainer
from omexp.containers.html import html_table
from omexp.containers.plates.documents import add_field, add_field_to_well, remove_fields
from omexp.containers.plates.report import PlateReport
from omexp.containers.strictness import opened_strictly
from omexp.errors import ArgumentError, NameNotFoundError, OmexpError, StoreNotFoundError, warn_caller
from omexp.metadata.plate import WellMeta
from omexp.metadata.problems import Problems
from omexp.metadata.versions import DEFAULT_VERSION, decode_plate, decode_well, encode_well, kind_of, writable_version
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike
from omexp.storage.swap import new_group

__all__ = ["OmeZarrWell", "create_empty_well", "fields_on_disk", "open_ome_zarr_well", "require_kind", "warn_of"]


def open_ome_zarr_well(
    store: StoreLike,
    mode: str = "r+",
    device: DeviceLike = None,
    cache: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> OmeZarrWell:
    """Open a well. Parameters and errors as in `open_ome_zarr_container`."""
    group = open_group(store, mode, cache=cache, storage_options=storage_options)
    with opened_strictly(require_kind(group, "well"), strict):
        return OmeZarrWell(group, resolve_backend(device))


def create_empty_well(
    store: StoreLike, ngff_version: str = DEFAULT_VERSION, cache: bool = False, overwrite: bool = False, *, device: DeviceLike = None
) -> OmeZarrWell:
    """Create a well without fields, apart from any plate. See `OmeZarrWell.add_image`; in a plate, use `OmeZarrPlate.add_well`.

    Examples
    --------
    >>> import omexp
    >>> well = omexp.create_empty_well("well.zarr", overwrite=True)
    >>> _ = well.add_image("0")
    >>> well.paths()
    ['0']
    """
    version = writable_version(ngff_version)
    backend = resolve_backend(device)
    with new_group(store, zarr_format=version.zarr_format, overwrite=overwrite) as group:
        group.put_attributes(encode_well(WellMeta(()), version.tag))
    return OmeZarrWell(open_group(store, cache=cache), backend)


class OmeZarrWell:
    """The fields of one well. `plate` and `path` say which plate it was reached through, if it was."""

    def __init__(self, group: Group, backend: Backend, plate: Group | None = None, path: str = "") -> None:
        """`group` was opened just now: its document is not read again."""
        self._group, self._backend, self._plate, self._path = group, backend, plate, path
        _, self._seen, problems = decode_well(group.attributes_at_opening, group.zarr_format, group.where)
        warn_of(problems, group.where)

    @property
    def where(self) -> str:
        """The well's place: a path or URL."""
        return self._group.where

    @property
    def device(self) -> str:
        """Where arrays live: "cpu", "cuda:0"."""
        return self._backend.name

    @property
    def group(self) -> Group:
        """The group, as the storage floor sees it."""
        return self._group

    @property
    def meta(self) -> WellMeta:
        """What the metadata says."""
        return decode_well(self._group.attributes, self._group.zarr_format, self.where)[1]

    @property
    def meta_at_opening(self) -> WellMeta:
        """What the metadata said when the well was opened; nothing is read."""
        return self._seen

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
        return self.meta.paths(acquisition)

    def get_image_acquisition_id(self, image_path: str | int) -> int | None:
        """The acquisition that a field belongs to; None if it says none. Raises `NameNotFoundError`."""
        images = {image.path: image for image in self.meta.images}
        if str(image_path) not in images:
            raise self._unknown(str(image_path), list(images))
        return images[str(image_path)].acquisition

    def get_image(self, image_path: str | int) -> OmeZarrContainer:
        """A field; 0 is also "0". Raises `NameNotFoundError` if it is not in the list, `StoreNotFoundError` if it is not on disk."""
        return self.field_of(self.meta, str(image_path))

    def field_of(self, meta: WellMeta, path: str) -> OmeZarrContainer:
        """`get_image`, by a document of the well that was read just now."""
        if path not in meta.paths():
            raise self._unknown(path, meta.paths())
        group = self._group.find(path)
        if group is None:
            raise StoreNotFoundError(
                "the field is listed but not on disk", where=f"{self.where}/{path}", hint="Create it at get_image_store."
            )
        return OmeZarrContainer(group, self._backend)

    def get_images(self, acquisition: int | None = None) -> dict[str, OmeZarrContainer]:
        """Field path -> image, for those that are on disk; the others are named in an `OmexpWarning`."""
        report = PlateReport(self.where)
        found = fields_on_disk(self._group, self.paths(acquisition), self._backend, report)
        report.tell()
        return found

    def get_image_store(self, image_path: str | int) -> StoreLike:
        """The place of a field, listed or not, to pass as ``store=`` to a creator. Nothing is created."""
        return self._group.place(str(image_path))

    def add_image(self, image_path: str | int, acquisition_id: int | None = None, strict: bool = True) -> StoreLike:
        """Put a field on the well's list; where the well was reached through its plate, the plate's counts follow.

        Parameters
        ----------
        image_path
            Letters and digits; "_", "-" and "." are taken with a warning before OME-Zarr 0.6, where they are allowed.
        acquisition_id
            The acquisition it belongs to.
        strict
            The acquisition must be one of the plate's; without a plate, one that the well has.

        Returns
        -------
        The place of the image, to pass as ``store=`` to a creator. Nothing is created there.

        Raises
        ------
        ArgumentError
            A name or an acquisition that cannot be.
        AlreadyExistsError
            There is such a field.
        ReadOnlyError
            The store is read-only.
        """
        path = str(image_path)
        if strict and acquisition_id is not None:
            self._require_acquisition(acquisition_id)
        if self._plate is None:
            add_field_to_well(self._group, path, acquisition_id)
        else:
            row, _, column = self._path.rpartition("/")
            add_field(self._plate, row, column, path, acquisition_id, None)
        self._group.refresh()
        return self.get_image_store(path)

    atomic_add_image = add_image

    def remove_image(self, image_path: str | int, *, delete_data: bool = False) -> None:
        """Take a field off the list of a well that was reached through its plate. See `OmeZarrPlate.remove_image`."""
        if self._plate is None:
            raise ArgumentError("this well was opened without its plate", where=self.where, hint="Use remove_image of the plate.")
        remove_fields(self._plate, {self._path: [str(image_path)]}, delete_data=delete_data)
        self._group.refresh()

    def _require_acquisition(self, acquisition_id: int) -> None:
        known = self.acquisition_ids
        if self._plate is not None:
            plate = decode_plate(self._plate.attributes, self._plate.zarr_format, self._plate.where)[1]
            known = [a.id for a in plate.acquisitions]
        if acquisition_id not in known:
            raise ArgumentError(
                "there is no such acquisition",
                where=self.where,
                got=repr(acquisition_id),
                allowed=", ".join(map(str, known)) or "none yet",
                hint="Add it with plate.add_acquisition, or pass strict=False.",
            )

    def _unknown(self, path: str, listed: list[str]) -> NameNotFoundError:
        return NameNotFoundError("there is no such field", where=self.where, got=repr(path), allowed=", ".join(listed))

    def _repr_html_(self) -> str:
        return html_table(self.where, {"fields": ", ".join(self.paths())})

    def __repr__(self) -> str:
        return f"OmeZarrWell({self.where}, fields={self.paths()})"


def require_kind(group: Group, kind: str) -> Group:
    """The group, which was opened just now. Raises `StoreNotFoundError` where it is of another kind."""
    found = kind_of(group.attributes_at_opening)
    if found != kind:
        raise StoreNotFoundError(
            f"this group is no OME-Zarr {kind}",
            where=group.where,
            got=f"{'an' if found == 'image' else 'a'} {found} group" if found else "a Zarr group without OME-Zarr metadata",
            hint="Open it with open_ome_zarr_container, open_ome_zarr_plate or open_ome_zarr_well, whichever fits.",
        )
    return group


def warn_of(problems: Problems, where: str) -> None:
    """One `OmexpWarning` per problem."""
    for problem in problems.found:
        warn_caller(f"{where}: {problem}")


def fields_on_disk(
    group: Group,
    paths: Iterable[str],
    backend: Backend,
    report: PlateReport,
    threads: int | None = None,
    kept: dict[str, Group] | None = None,
) -> dict[str, OmeZarrContainer]:
    """The images below a group that are on disk, by path: each one's document is read once, concurrently, and no array.

    `kept` are groups that were found before; new ones are added to it where the group caches."""
    wanted, kept = list(paths), {} if kept is None else kept
    groups, broken = group.find_many((path for path in wanted if path not in kept), threads)
    groups |= {path: kept[path] for path in wanted if path in kept}
    if group.cache:
        kept |= groups
    found = {}
    for path in wanted:
        if path not in groups:
            _note(report, path, broken.get(path))
            continue
        try:
            found[path] = OmeZarrContainer(groups[path], backend, arrays=False)
        except OmexpError as error:  # an image that cannot be used is no reason to keep the others back
            _note(report, path, None if kind_of(groups[path].attributes_at_opening) is None else error)
    return found


def _note(report: PlateReport, path: str, error: OmexpError | None) -> None:
    if error is None:  # also a group that a converter has made, and not yet filled
        report.fields.append(path)
    else:
        report.unusable[path] = error.what
