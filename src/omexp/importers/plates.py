"""OME-Zarr plates to convert. Knows: what a plate holds, which fields are done. Does not know: how a field is copied.

Groups are found concurrently and each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from omexp.errors import warn_caller
from omexp.geometry import Region
from omexp.importers.beside import carry_unknown_keys, copy_tables
from omexp.importers.ome_zarr import CopyOptions, Running, SourceImage, copy_image, open_image
from omexp.metadata.translation import translate
from omexp.metadata.versions import decode_plate, decode_well
from omexp.storage.documents import LOCAL_THREADS, THREADS, read_all
from omexp.storage.groups import Group
from omexp.storage.journal import Journal

__all__ = ["SourcePlate", "copy_plate", "open_plate"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SourcePlate:
    """A plate with its rows, wells and fields, by their paths below it; `missing` are those that are listed but not on disk."""

    group: Group
    rows: Mapping[str, Group]
    wells: Mapping[str, Group]
    fields: Mapping[str, SourceImage]
    missing: tuple[str, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the finest levels of all fields and labels."""
        return sum(field.nbytes for field in self.fields.values())


def open_plate(group: Group) -> SourcePlate:
    """Everything that is to be copied, opened. Raises `StoredDataError` for groups that cannot be used."""
    listed = decode_plate(group.attributes, group.zarr_format, group.where)[1].wells
    wells = _found(group, listed)
    rows = _found(group, dict.fromkeys(path.partition("/")[0] for path in wells))
    paths: list[str] = []
    for path, well in wells.items():
        images = decode_well(well.attributes, well.zarr_format, well.where)[1].images
        paths += [f"{path}/{image.path}" for image in images]
    fields = _found(group, paths)
    missing = [path for path in listed if path not in wells] + [path for path in paths if path not in fields]
    opened = read_all(lambda path: open_image(fields[path]), fields, _threads(group))
    return SourcePlate(group, rows, wells, opened, tuple(missing))


def copy_plate(source: SourcePlate, target: Group, options: CopyOptions, progress: Progress | None, journal: Journal | None) -> None:
    """Write a plate into `target`: every field as `copy_image` does, every document in the words of the new version.

    `journal` keeps which fields are whole.
    """
    group = source.group
    if source.missing:
        warn_caller(f"{group.where}: not carried over, because they are listed but not on disk: {', '.join(source.missing)}")
    report = Running(progress, source.nbytes)
    for number, (path, field) in enumerate(source.fields.items()):
        mark, heard = Region((number,), (number + 1,)), report.part(field.nbytes)
        if journal is not None and journal.has(0, mark):
            continue
        if target.find(path) is not None:  # an earlier run was killed in the middle of it
            target.delete(path)
        copy_image(field, target.require_group(path), options, heard)
        if journal is not None:
            journal.add(0, mark)
    left_out = copy_tables(group, target, options.version)
    for path, well in source.wells.items():
        document = translate(well.attributes, well.zarr_format, options.version, well.where)
        target.require_group(path).put_attributes(document)
    for path, row in source.rows.items():
        carry_unknown_keys(row, target.require_group(path), options.version)
    target.put_attributes(translate(group.attributes, group.zarr_format, options.version, group.where))
    left_out += _strangers(source)
    if left_out:
        warn_caller(f"{group.where}: not carried over: {', '.join(left_out)}")


def _strangers(plate: SourcePlate) -> list[str]:
    """What lies in the plate, its rows and its wells and is no part of them, by name."""
    fields = ("/".join(path.split("/")[:3]) for path in plate.fields)  # row, column, and the first part of what may have more
    known = {"tables", *plate.rows, *plate.wells, *fields}
    groups = {"": plate.group, **plate.rows, **plate.wells}
    members = read_all(lambda path: groups[path].members(), groups, _threads(plate.group))
    found = [f"{path}/{name}".lstrip("/") for path, names in members.items() for name in names]
    return [f"group or array {path!r}" for path in found if path not in known]


def _found(group: Group, paths: Iterable[str]) -> dict[str, Group]:
    found, damaged = group.find_many(paths)
    for error in damaged.values():
        raise error
    return found


def _threads(group: Group) -> int:
    return LOCAL_THREADS if group.local_path else THREADS
