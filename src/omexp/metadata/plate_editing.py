"""New plates, and plates with something added or taken away. Knows: the records and what must agree among them. Does not know: stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.plate import FIELD, NAME, Acquisition, ImageInWellPath, PlateMeta, WellImage, WellMeta

__all__ = [
    "counted",
    "field_problem",
    "new_plate",
    "well_path",
    "with_acquisition",
    "with_column",
    "with_field",
    "with_row",
    "with_well",
    "without_acquisition",
    "without_fields",
    "without_names",
    "without_wells",
]


def new_plate(
    name: str, images: Sequence[ImageInWellPath], rows: Sequence[str] | None = None, columns: Sequence[str | int] | None = None
) -> tuple[PlateMeta, dict[str, WellMeta]]:
    """A plate document and the documents of its wells, for images that are to be written; without images it has no wells yet.

    Raises
    ------
    ArgumentError
        The same image twice, one acquisition id with two names, or a row or column that is not among those given.
    """
    strangers = [i for i in images if not isinstance(i, ImageInWellPath)]
    if strangers:
        raise ArgumentError("this does not say where an image lies", where="images", got=repr(strangers[0]), allowed="ImageInWellPath")
    if len({(i.well_path, i.path) for i in images}) != len(images):
        raise ArgumentError(
            "the same image is named twice",
            where="images",
            got=[f"{i.well_path}/{i.path}" for i in images],
            hint="Give the fields of a well different paths.",
        )
    acquisitions: dict[int, str | None] = {}
    for image in images:
        if image.acquisition_id is None:
            continue
        known = acquisitions.setdefault(image.acquisition_id, image.acquisition_name)
        if known != image.acquisition_name:
            raise ArgumentError(
                "one acquisition has two names", where=f"acquisition {image.acquisition_id}", got=[known, image.acquisition_name]
            )
    wells: dict[str, WellMeta] = {}
    for image in sorted(images, key=lambda i: (_natural(i.row), _natural(str(i.column)))):
        before = wells.get(image.well_path, WellMeta(()))
        wells[image.well_path] = replace(before, images=(*before.images, WellImage(image.path, image.acquisition_id)))
    plate = PlateMeta(
        name,
        _all_names("rows", rows, {i.row for i in images}),
        _all_names("columns", columns, {str(i.column) for i in images}),
        tuple(wells),
        tuple(
            Acquisition(i, n, {"maximumfieldcount": max(sum(w.acquisition == i for w in well.images) for well in wells.values())})
            for i, n in sorted(acquisitions.items())
        ),
        max((len(w.images) for w in wells.values()), default=None),
    )
    return plate, wells


def _all_names(what: str, given: Sequence[str | int] | None, used: set[str]) -> tuple[str, ...]:
    """Rows or columns in their order: those given, which must hold all that are used, else those that are used."""
    if given is None:
        return tuple(sorted(used, key=_natural))
    names = tuple(f"{n:02d}" if isinstance(n, int) else str(n) for n in given)
    if len(set(names)) != len(names) or not used <= set(names) or not all(NAME.fullmatch(n) for n in names):
        raise ArgumentError(f"{what} must name every one of the plate once", where=what, got=list(names), allowed=f"all of {sorted(used)}")
    return names


def _natural(name: str) -> tuple[int, str]:
    """A before B before AA, 2 before 10."""
    return len(name.lstrip("0")), name.lstrip("0")


# ---------------------------------------------------------------------------------------------------------- names
def field_problem(path: str, version: str) -> str | None:
    """What speaks against a field's name; None if nothing does. Raises `ArgumentError` for a name that no version allows.

    Fractal's "0_mip" breaks the letter of 0.4 and 0.5 and is read everywhere, so it is no error.
    """
    if not isinstance(path, str) or not FIELD.fullmatch(path):
        raise ArgumentError("this cannot name a field", where="image_path", got=repr(path), allowed="letters, digits, '.', '_', '-'")
    if version < "0.6" and not NAME.fullmatch(path):
        return f"the name {path!r} has other characters than letters and digits, which OME-Zarr {version} does not allow"
    return None


def well_path(plate: PlateMeta, row: str, column: str | int) -> str:
    """The path that a plate has, or would have, for a well: column 3 is the "03" or "3" that it has; new ones are written as its others."""
    for known in plate.wells:
        if known.rsplit("/", 2)[-2:] in ([row, name] for name in _spellings(column)):
            return known
    listed = next((name for name in _spellings(column) if name in plate.columns), None)
    return f"{row}/{_new_column(plate, column) if listed is None else listed}"


def _spellings(column: str | int) -> list[str]:
    text = str(column)
    return [text, f"{int(text):02d}", str(int(text))] if text.isdecimal() else [text]


def _new_column(plate: PlateMeta, column: str | int) -> str:
    if not isinstance(column, int):
        return column
    unpadded = any(len(name) == 1 and name.isdecimal() for name in plate.columns)
    return str(column) if unpadded else f"{column:02d}"


# ------------------------------------------------------------------------------------------------------- additions
def with_row(plate: PlateMeta, row: str) -> PlateMeta:
    """The plate with a row; as it is if it has that row."""
    return plate if row in plate.rows else replace(plate, rows=_placed(plate.rows, _checked("row", row)))


def with_column(plate: PlateMeta, column: str | int) -> PlateMeta:
    """The plate with a column; as it is if it has that column."""
    if any(name in plate.columns for name in _spellings(column)):
        return plate
    return replace(plate, columns=_placed(plate.columns, _checked("column", _new_column(plate, column))))


def with_well(plate: PlateMeta, path: str) -> PlateMeta:
    """The plate with a well, its row and its column."""
    if path in plate.wells:
        return plate
    row, _, column = path.rpartition("/")
    plate = with_column(with_row(plate, row), column)
    wells = (*plate.wells, path)
    in_order = list(plate.wells) == sorted(plate.wells, key=_place_of)
    return replace(plate, wells=tuple(sorted(wells, key=_place_of)) if in_order else wells)


def with_acquisition(plate: PlateMeta, acquisition_id: int, name: str | None = None, details: Mapping[str, Any] | None = None) -> PlateMeta:
    """The plate with an acquisition; one that it has gets the name and the details that are given.

    Raises
    ------
    ArgumentError
        No integer of 0 or more; or the acquisition has another name.
    """
    if type(acquisition_id) is not int or acquisition_id < 0:
        raise ArgumentError("this cannot identify an acquisition", where="acquisition_id", got=repr(acquisition_id), allowed="0, 1, 2, ...")
    given = {key: value for key, value in (details or {}).items() if value is not None}
    _check_details(given)
    known = next((a for a in plate.acquisitions if a.id == acquisition_id), None)
    if known is None:
        return replace(plate, acquisitions=(*plate.acquisitions, Acquisition(acquisition_id, name, given)))
    if None not in (name, known.name) and name != known.name:
        raise ArgumentError("one acquisition has two names", where=f"acquisition {acquisition_id}", got=[known.name, name])
    changed = replace(known, name=known.name or name, extra={**known.extra, **given})
    return replace(plate, acquisitions=tuple(changed if a.id == acquisition_id else a for a in plate.acquisitions))


def with_field(well: WellMeta, path: str, acquisition: int | None = None) -> WellMeta:
    """The well with a field; as it is if it has a field of that path."""
    if any(image.path == path for image in well.images):
        return well
    return replace(well, images=(*well.images, WellImage(path, acquisition)))


def counted(plate: PlateMeta, wells: Iterable[WellMeta], *, anew: bool = False) -> PlateMeta:
    """The plate whose counts of fields are those of its wells (`anew`), or at least those of the wells that are given.

    A count that a plate does not give is not made up, unless the wells are all there are.
    """
    wells = list(wells)
    most = max((len(well.images) for well in wells), default=0)
    if anew or plate.field_count is not None or len(plate.wells) <= len(wells):
        plate = replace(plate, field_count=(most if anew else max(most, plate.field_count or 0)) or None)
    acquisitions = []
    for one in plate.acquisitions:
        here = max((sum(image.acquisition == one.id for image in well.images) for well in wells), default=0)
        count = here if anew else max(here, one.maximumfieldcount or 0)
        kept = {key: value for key, value in one.extra.items() if key != "maximumfieldcount"}
        acquisitions.append(replace(one, extra={**kept, **({"maximumfieldcount": count} if count else {})}))
    return replace(plate, acquisitions=tuple(acquisitions))


# -------------------------------------------------------------------------------------------------------- removals
def without_wells(plate: PlateMeta, paths: Iterable[str]) -> PlateMeta:
    """The plate without some wells; their rows and columns stay: they are those of the physical plate."""
    gone = set(paths)
    return replace(plate, wells=tuple(path for path in plate.wells if path not in gone), details=_details_without("wells", gone, plate))


def without_acquisition(plate: PlateMeta, acquisition_id: int) -> PlateMeta:
    """The plate without an acquisition that no field belongs to."""
    return replace(plate, acquisitions=tuple(a for a in plate.acquisitions if a.id != acquisition_id))


def without_names(plate: PlateMeta, what: str, name: str) -> PlateMeta:
    """The plate without a row or a column ("rows", "columns") that no well lies in."""
    changes: dict[str, Any] = {what: tuple(n for n in getattr(plate, what) if n != name)}
    return replace(plate, **changes, details=_details_without(what, {name}, plate))


def without_fields(well: WellMeta, paths: Iterable[str]) -> WellMeta:
    """The well without some fields."""
    gone = set(paths)
    return replace(well, images=tuple(image for image in well.images if image.path not in gone))


def _details_without(what: str, names: set[str], plate: PlateMeta) -> dict[str, Mapping[str, Any]]:
    return {key: value for key, value in plate.details.items() if key.partition("/")[0] != what or key.partition("/")[2] not in names}


def _placed(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The names with one more, in its place where they are in order, else at the end."""
    every = (*names, name)
    return tuple(sorted(every, key=_natural)) if list(names) == sorted(names, key=_natural) else every


def _place_of(path: str) -> tuple[Any, ...]:
    row, column = path.rsplit("/", 2)[-2:]
    return _natural(row), _natural(column)


def _checked(what: str, name: str) -> str:
    # "It MUST contain only alphanumeric characters", "MUST NOT be a duplicate" (0.4 to 0.6)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ArgumentError(f"this cannot name a {what}", where=what, got=repr(name), allowed="letters and digits")
    return name


_DETAILS = {"starttime": 0, "endtime": 0, "maximumfieldcount": 1}


def _check_details(details: Mapping[str, Any]) -> None:
    for key, least in _DETAILS.items():
        if key in details and (type(details[key]) is not int or details[key] < least):
            raise ArgumentError(f"{key} is no integer of {least} or more", where="acquisition", got=repr(details[key]))
