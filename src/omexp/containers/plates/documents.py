"""Changes of a plate's and its wells' documents. Knows: their locks, the order of writing. Does not know: images.

One thread of one process at a time changes a plate: its lock is taken first, then the lock of a well. What is added is written inside out
(the well, then the plate), what is removed is taken off the well's list, then off the plate's, then its data go: a process that is killed
in between leaves a plate that opens, and the same call again brings it to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omexp.errors import AlreadyExistsError, ArgumentError, NameNotFoundError, StoredDataError, StoreNotFoundError, warn_caller
from omexp.metadata.plate import PlateMeta, WellMeta
from omexp.metadata.plate_editing import (
    counted,
    field_problem,
    well_path,
    with_acquisition,
    with_field,
    with_well,
    without_fields,
    without_wells,
)
from omexp.metadata.versions import decode_plate, decode_well, encode_plate, encode_well, kind_of, writable_version
from omexp.storage.groups import Group
from omexp.storage.locks import exclusive

__all__ = ["add_field", "add_field_to_well", "add_well", "change_plate", "remove_fields", "remove_wells", "wells_of"]


def change_plate(group: Group, change: Callable[[PlateMeta], PlateMeta]) -> PlateMeta:
    """Read, change and write the plate's document, what others do to it meanwhile kept out. Nothing is written where nothing changes."""
    with exclusive(group):
        found = _plate(group)
        after = change(found.plate)
        if after != found.plate:
            _put(group, found, after)
    return after


def add_well(group: Group, row: str, column: str | int) -> str:
    """Put a well into a plate: its group with an empty list of fields, then the plate's list. One that is there stays as it is.
    Returns its path."""
    with exclusive(group):
        found = _plate(group)
        path = well_path(found.plate, row, column)
        changed = with_well(found.plate, path)  # judges the names before anything is written
        well = _require_well(group, path)
        with exclusive(well):
            document, before = _well(well)
            if kind_of(document) is None:
                well.put_attributes(encode_well(before, found.version, document))
        _put(group, found, changed)
    return path


def add_field(group: Group, row: str, column: str | int, field: str, acquisition: int | None, acquisition_name: str | None) -> str:
    """Put a field into a well of a plate, with its well, row, column and acquisition as far as they are not there. Returns the well's path.

    Raises
    ------
    AlreadyExistsError
        The well has such a field.
    """
    with exclusive(group):
        found = _plate(group)
        version, plate = found.version, found.plate
        path, problem = well_path(plate, row, column), field_problem(field, version)
        changed = with_well(plate, path)
        if acquisition is not None:
            changed = with_acquisition(changed, acquisition, acquisition_name)
        well = _require_well(group, path)
        with exclusive(well):
            document, before = _well(well)
            known = next((image for image in before.images if image.path == field), None)
            begun = path not in plate.wells or counted(changed, [before]) != plate  # by a call that did not get to the plate's document
            if known is not None and (known.acquisition != acquisition or not begun):
                raise AlreadyExistsError(
                    "the well has such a field",
                    where=f"{group.where}/{path}",
                    got=repr(field),
                    hint="Remove it first, or choose another path.",
                )
            after = with_field(before, field, acquisition)
            well.put_attributes(encode_well(after, version, document))
        _put(group, found, counted(changed, [after]))
    if problem:
        warn_caller(f"{group.where}/{path}/{field}: {problem}")
    return path


def add_field_to_well(well: Group, field: str, acquisition: int | None) -> None:
    """Put a field into a well that is looked at without its plate. Raises `AlreadyExistsError`."""
    with exclusive(well):
        document = well.attributes
        version, before, _ = decode_well(document, well.zarr_format, well.where)
        problem = field_problem(field, version)
        if any(image.path == field for image in before.images):
            raise AlreadyExistsError("the well has such a field", where=well.where, got=repr(field))
        well.put_attributes(encode_well(with_field(before, field, acquisition), version, document))
    if problem:
        warn_caller(f"{well.where}/{field}: {problem}")


def remove_fields(group: Group, fields: Mapping[str, Iterable[str]], *, delete_data: bool) -> None:
    """Take fields (well -> paths) off the lists, wells that are left without any, too; with `delete_data` also out of the store.

    Raises
    ------
    NameNotFoundError
        A well has no such field; nothing has been changed.
    """
    with exclusive(group):
        found = _plate(group)
        wells = {path: _existing(group, path) for path in fields}
        for path, well in wells.items():
            listed = [image.path for image in _well(well)[1].images]
            if listed and (unknown := sorted(set(fields[path]) - set(listed))):  # none at all: left by a call that did not get further
                raise NameNotFoundError("there is no such field", where=well.where, got=repr(unknown[0]), allowed=", ".join(listed))
        left = {path: _take_fields(well, fields[path], found.version) for path, well in wells.items()}
        changed = without_wells(found.plate, [path for path, well in left.items() if not well.images])
        _put(group, found, counted(changed, wells_of(group, changed.wells).values(), anew=True))
        for path in fields if delete_data else ():
            _delete(group, [f"{path}/{field}" for field in fields[path]])
            if path not in changed.wells and not wells[path].members():
                _delete(group, [path])
        if delete_data:
            group.update_consolidated()


def remove_wells(group: Group, paths: Iterable[str], change: Callable[[PlateMeta], PlateMeta], *, delete_data: bool) -> None:
    """Take wells off the plate's list, then change what else `change` says; with `delete_data` remove them from the store, too."""
    gone = list(paths)
    with exclusive(group):
        found = _plate(group)
        for path in gone if not delete_data else ():
            if (well := group.find(path)) is not None:  # or the next field that is added there would bring its old ones back
                _take_fields(well, [image.path for image in _well(well)[1].images], found.version)
        changed = without_wells(found.plate, gone)
        _put(group, found, change(counted(changed, wells_of(group, changed.wells).values(), anew=True)))
        if delete_data:
            _delete(group, gone)
            group.update_consolidated()


def wells_of(group: Group, paths: Iterable[str]) -> dict[str, WellMeta]:
    """The documents of the wells that are there and can be used."""
    found = {}
    for path, well in group.find_many(paths)[0].items():
        try:
            found[path] = decode_well(well.attributes_at_opening, well.zarr_format, well.where)[1]
        except StoredDataError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class _Found:
    """A plate's document as it is now, and what it says."""

    document: dict[str, Any]
    version: str
    plate: PlateMeta


def _plate(group: Group) -> _Found:
    document = group.attributes
    version, plate, _ = decode_plate(document, group.zarr_format, group.where)
    return _Found(document, writable_version(version).tag, plate)


def _well(group: Group) -> tuple[dict[str, Any], WellMeta]:
    """A well's document as it is now, and what it says: an empty list of fields where its group was just made."""
    attributes = group.attributes
    kind = kind_of(attributes)
    if kind not in (None, "well"):
        raise ArgumentError(
            "what lies there is no well", where=group.where, got=f"a group with {kind}", hint="Choose another row or column."
        )
    return attributes, decode_well(attributes, group.zarr_format, group.where)[1] if kind else WellMeta(())


def _require_well(group: Group, path: str) -> Group:
    """The group of a well, made with its row's if it is not there."""
    found = group.find(path)
    if found is not None:
        return found
    group.require_group(path.rpartition("/")[0])
    return group.require_group(path)


def _existing(group: Group, path: str) -> Group:
    found = group.find(path)
    if found is None:
        raise StoreNotFoundError(
            "the well is listed but not on disk", where=f"{group.where}/{path}", hint="remove_well takes it off the list."
        )
    return found


def _take_fields(well: Group, fields: Iterable[str], version: str) -> WellMeta:
    with exclusive(well):
        document, before = _well(well)
        after = without_fields(before, fields)
        if after != before:
            well.put_attributes(encode_well(after, version, document))
    return after


def _put(group: Group, before: _Found, after: PlateMeta) -> None:
    """Write the plate's document where it has changed; a copy of its members' documents is brought up to date in any case."""
    if after != before.plate:
        group.put_attributes(encode_plate(after, before.version, before.document))
    else:
        group.update_consolidated()


def _delete(group: Group, paths: Iterable[str]) -> None:
    for path in paths:
        if group.find(path) is not None:
            group.delete(path)
