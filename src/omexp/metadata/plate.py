"""Plates and wells. Knows: the `plate` and `well` blocks. Does not know: images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.problems import Problems, shown

__all__ = ["FIELD", "NAME", "Acquisition", "ImageInWellPath", "PlateMeta", "WellImage", "WellMeta", "parse_plate", "parse_well"]

NAME = re.compile(r"[A-Za-z0-9]+")
FIELD = re.compile(r"(?!__)(?!\.+$)[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of the microscope over the plate. `extra` keeps its other keys, as they are written."""

    id: int
    name: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def maximumfieldcount(self) -> int | None:
        """The largest number of fields that a well has of it."""
        return self._number("maximumfieldcount")

    @property
    def starttime(self) -> int | None:
        """When it began: seconds or milliseconds since 1970."""
        return self._number("starttime")

    @property
    def endtime(self) -> int | None:
        """When it ended: seconds or milliseconds since 1970."""
        return self._number("endtime")

    @property
    def description(self) -> str | None:
        found = self.extra.get("description")
        return found if isinstance(found, str) else None

    def _number(self, key: str) -> int | None:
        found = self.extra.get(key)
        return found if type(found) is int else None

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id} | ({"name": self.name} if self.name else {}) | dict(self.extra)


@dataclass(frozen=True, slots=True)
class ImageInWellPath:
    """Where an image of a plate lies: row, column, path inside the well, and the acquisition it belongs to.

    Examples
    --------
    >>> ImageInWellPath(row="B", column=3, path="0").well_path
    'B/03'
    """

    row: str
    column: str | int
    path: str = "0"
    acquisition_id: int | None = None
    acquisition_name: str | None = None

    def __post_init__(self) -> None:
        column = f"{self.column:02d}" if isinstance(self.column, int) and not isinstance(self.column, bool) else str(self.column)
        object.__setattr__(self, "column", column)
        # "The name MUST contain only alphanumeric characters" (0.4 to 0.6: plate rows, columns)
        for what, name in (("row", self.row), ("column", column)):
            if not NAME.fullmatch(str(name)):
                raise ArgumentError(f"{what} must be alphanumeric", where="ImageInWellPath", got=repr(name), allowed="letters and digits")
        if not FIELD.fullmatch(str(self.path)):  # in 0.6; 0.4 and 0.5 want letters and digits, see `field_problem`
            raise ArgumentError(
                "this cannot name a field", where="ImageInWellPath", got=repr(self.path), allowed="letters, digits, '.', '_', '-'"
            )

    @property
    def well_path(self) -> str:
        return f"{self.row}/{self.column}"


@dataclass(frozen=True, slots=True)
class PlateMeta:
    """The `plate` block. `wells` are paths such as ``"B/03"``.

    `details` keeps the keys that we do not know of rows, columns and wells, by place: ``{"rows/A": {...}, "wells/A/01": {...}}``.
    """

    name: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[str, ...]
    acquisitions: tuple[Acquisition, ...] = ()
    field_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": self.name} if self.name else {}
        entry["rows"] = [{"name": r} | self._detail("rows", r) for r in self.rows]
        entry["columns"] = [{"name": c} | self._detail("columns", c) for c in self.columns]
        entry["wells"] = [self._well(path) for path in self.wells]
        if self.acquisitions:
            entry["acquisitions"] = [a.to_json() for a in self.acquisitions]
        if self.field_count:
            entry["field_count"] = self.field_count
        return entry | dict(self.extra)

    def _well(self, path: str) -> dict[str, Any]:
        row, column = path.rsplit("/", 2)[-2:]
        indices = {"rowIndex": self.rows.index(row), "columnIndex": self.columns.index(column)}
        return {"path": path} | indices | self._detail("wells", path)

    def _detail(self, what: str, name: str) -> dict[str, Any]:
        return dict(self.details.get(f"{what}/{name}", {}))


@dataclass(frozen=True, slots=True)
class WellImage:
    """One field of a well."""

    path: str
    acquisition: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path} | ({} if self.acquisition is None else {"acquisition": self.acquisition}) | dict(self.extra)


@dataclass(frozen=True, slots=True)
class WellMeta:
    """The `well` block."""

    images: tuple[WellImage, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def paths(self, acquisition: int | None = None) -> list[str]:
        """Paths of the fields; of one acquisition, if given."""
        return [i.path for i in self.images if acquisition is None or i.acquisition == acquisition]

    def to_json(self) -> dict[str, Any]:
        return {"images": [i.to_json() for i in self.images]} | dict(self.extra)


def parse_plate(value: Any, problems: Problems, loc: str = "plate") -> PlateMeta | None:
    """A plate from its block. None if it cannot be used. Wrong row and column indices are noted and the path is trusted."""
    entry = problems.expect_dict(value, loc)
    if entry is None:
        return None
    details: dict[str, Mapping[str, Any]] = {}
    rows, columns = (_parse_names(entry, key, details, problems, f"{loc}.{key}") for key in ("rows", "columns"))
    wells = _parse_wells(entry, rows, columns, details, problems, f"{loc}.wells")
    acquisitions = _parse_acquisitions(entry.get("acquisitions"), problems, f"{loc}.acquisitions")
    # "MAY contain 'field_count' ... the maximum number of fields per view across all wells" (all versions), a positive integer
    problems.no_null(entry, loc, "field_count", "acquisitions")
    count = entry.get("field_count")
    if count is None:
        problems.broken("plate-field-count-missing", f"{loc}.field_count", "missing")
    elif type(count) is not int or count < 1:
        problems.broken("plate-field-count", f"{loc}.field_count", f"expected a positive integer, got {shown(count)}")
        count = None
    # "The plate dictionary SHOULD contain a 'name'" (all versions)
    name = problems.text_of(entry, "name", loc)
    if name is None:
        problems.broken("plate-name", f"{loc}.name", "missing")
    problems.expect_version(entry, "version-plate", loc)
    if problems.unusable:
        return None
    known = ("name", "rows", "columns", "wells", "acquisitions", "field_count", "version")
    extra = {k: v for k, v in entry.items() if k not in known}
    return PlateMeta(name, tuple(rows), tuple(columns), tuple(wells), tuple(acquisitions.values()), count, extra, details)


def _parse_names(entry: dict[str, Any], key: str, details: dict[str, Mapping[str, Any]], problems: Problems, loc: str) -> list[str]:
    """The names of rows or columns."""
    listed = problems.expect_list(entry.get(key), loc)
    entries = listed or ()
    texts = [problems.text(e.get("name"), loc) if isinstance(e, dict) else None for e in entries]
    names = [name for name in texts if name]
    # "rows ... MUST be a list of objects defining the rows", each with a unique 'name' (0.4 to 0.6)
    if listed is not None and not entries:
        problems.broken("plate-empty", loc, "empty; expected at least one")
    if len(names) != len(entries) or len(set(names)) != len(names):
        problems.broken("plate-rows", loc, "every entry needs a name of its own")
    for i, name in enumerate(texts):
        # "It MUST contain only alphanumeric characters" (0.4 to 0.6)
        if name and not NAME.fullmatch(name):
            problems.broken("plate-alphanumeric", f"{loc}.{i}.name", f"expected letters and digits, got {shown(name)}")
        if name and (others := {k: v for k, v in entries[i].items() if k != "name"}):
            details[f"{key}/{name}"] = others
    # "Care SHOULD be taken to avoid collisions on case-insensitive filesystems" (0.4 to 0.6)
    if len({name.casefold() for name in names}) != len(set(names)):
        problems.broken("plate-case", loc, "some names differ in case only")
    return names


def _parse_wells(
    entry: dict[str, Any], rows: list[str], columns: list[str], details: dict[str, Mapping[str, Any]], problems: Problems, loc: str
) -> list[str]:
    """The paths of the wells. Before 0.4 a path may have leading folders and rows that are not listed: these are added."""
    wells: dict[str, None] = {}
    places = [{name: i for i, name in reversed(list(enumerate(names)))} for names in (rows, columns)]
    listed = problems.expect_list(entry.get("wells"), loc)
    if listed is not None and not listed:
        problems.broken("plate-empty", loc, "empty; expected at least one")
    old = problems.version < "0.4"
    for i, well in enumerate(listed or ()):
        path = well.get("path") if isinstance(well, dict) else None
        parts = path.strip("/").split("/") if isinstance(path, str) else []
        if old and isinstance(path, str) and len(parts) >= 2 and not {"", ".", ".."} & set(parts):
            path = path.strip("/")
            for names, known, part in zip((rows, columns), places, parts[-2:], strict=True):
                if known.setdefault(part, len(names)) == len(names):
                    names.append(part)
        # "path ... MUST be the row name, a separator '/', and the column name" (0.4, 0.5)
        elif path != "/".join(parts) or len(parts) != 2 or parts[0] not in places[0] or parts[1] not in places[1]:
            problems.broken("plate-well-path", f"{loc}.{i}.path", f"expected row/column of this plate, got {shown(path)}")
            continue
        indices = (places[0][parts[-2]], places[1][parts[-1]])
        given = [well.get("rowIndex"), well.get("columnIndex")]
        # "rowIndex ... columnIndex MUST be an integer ... the index into the rows/columns list" (0.4 to 0.6)
        if given != list(indices) or any(isinstance(index, bool) for index in given):
            problems.broken("plate-well-indices", f"{loc}.{i}", f"rowIndex, columnIndex should be {indices} for {path!r}")
        if path in wells:
            problems.broken("plate-well-unique", f"{loc}.{i}.path", f"{path!r} is listed twice")
            continue
        wells[str(path)] = None
        if others := {k: v for k, v in well.items() if k not in ("path", "rowIndex", "columnIndex")}:
            details[f"wells/{path}"] = others
    return list(wells)


def _parse_acquisitions(value: Any, problems: Problems, loc: str) -> dict[int, Acquisition]:
    found: dict[int, Acquisition] = {}
    if value == []:
        problems.broken("acquisitions-empty", loc, "empty; expected at least one, or no such key")
    for i, entry in enumerate(() if value is None else problems.expect_list(value, loc) or ()):
        place = f"{loc}.{i}"
        # "Each acquisition object MUST contain an 'id' ... a unique integer identifier, 0 or more" (0.4 to 0.6)
        if not isinstance(entry, dict) or type(entry.get("id")) is not int:
            problems.broken("acquisition-id", f"{place}.id", f"expected an object with an integer id, got {shown(entry)}")
            continue
        if entry["id"] < 0:
            problems.broken("acquisition-id-positive", f"{place}.id", f"expected 0 or more, got {shown(entry['id'])}")
        # "starttime ... endtime ... MUST be an integer, the epoch timestamp" (0.4 to 0.6); 0.1 to 0.3 had "startime"
        problems.no_null(entry, place, "maximumfieldcount")
        for key in ("starttime", "endtime"):
            if key in entry and (type(entry[key]) is not int or entry[key] < 0):
                problems.broken("acquisition-time", f"{place}.{key}", f"expected an integer of 0 or more, got {shown(entry[key])}")
        most = entry.get("maximumfieldcount")
        # "SHOULD contain 'maximumfieldcount'", "MUST be a positive integer"; "SHOULD contain 'name'" (0.4 to 0.6)
        if most is None:
            problems.broken("acquisition-fieldcount-missing", f"{place}.maximumfieldcount", "missing")
        elif type(most) is not int or most < 1:
            problems.broken("acquisition-fieldcount", f"{place}.maximumfieldcount", f"expected a positive integer, got {shown(most)}")
        name = problems.text_of(entry, "name", place)
        if name is None:
            problems.broken("acquisition-name", f"{place}.name", "missing")
        if entry["id"] in found:
            problems.broken("acquisition-id-unique", f"{place}.id", f"{shown(entry['id'])} is listed twice")
            continue
        found[entry["id"]] = Acquisition(entry["id"], name, {k: v for k, v in entry.items() if k not in ("id", "name")})
    return found


def parse_well(value: Any, problems: Problems, loc: str = "well") -> WellMeta | None:
    """A well from its block. None if it cannot be used."""
    entry = problems.expect_dict(value, loc)
    if entry is None:
        return None
    images: dict[str, WellImage] = {}
    listed = problems.expect_list(entry.get("images"), f"{loc}.images")
    if listed is not None and not listed:
        problems.broken("well-empty", f"{loc}.images", "empty; expected at least one field")
    # "MUST contain only alphanumeric characters" (0.4, 0.5); "a-zA-Z0-9-_.", not only dots, not starting with "__" (0.6)
    allowed = NAME if problems.version < "0.6" else FIELD
    for i, image in enumerate(listed or ()):
        path = image.get("path") if isinstance(image, dict) else None
        place = f"{loc}.images.{i}"
        if not isinstance(path, (str, int)) or isinstance(path, bool) or {"", "..", "."} & set(str(path).split("/")):
            problems.broken("well-path", f"{place}.path", f"expected a name such as {str(i)!r}, got {shown(path)}")
            continue
        if not isinstance(path, str):
            problems.broken("string-number", f"{place}.path", f"expected a string, got {shown(path)}")
        elif not allowed.fullmatch(path):
            problems.broken("well-path-characters", f"{place}.path", f"expected letters and digits, got {shown(path)}")
        # "The value of 'path' MUST be ... unique" (0.4, 0.5: well images)
        if str(path) in images:
            problems.broken("well-path-unique", f"{place}.path", f"{shown(path)} is listed twice")
            continue
        problems.no_null(image, place, "acquisition")
        run = image.get("acquisition")
        if run is not None and type(run) is not int:
            problems.broken("well-acquisition", f"{place}.acquisition", f"expected an integer, got {shown(run)}")
            run = None
        images[str(path)] = WellImage(str(path), run, {k: v for k, v in image.items() if k not in ("path", "acquisition")})
    problems.expect_version(entry, "version-well", loc)
    if problems.unusable:
        return None
    return WellMeta(tuple(images.values()), {k: v for k, v in entry.items() if k not in ("images", "version")})
