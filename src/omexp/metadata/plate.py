"""Plates and wells. Knows: the `plate` and `well` blocks. Does not know: images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.problems import Problems, shown

__all__ = ["Acquisition", "ImageInWellPath", "PlateMeta", "WellImage", "WellMeta", "new_plate", "parse_plate", "parse_well"]

_NAME = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of the microscope over the plate."""

    id: int
    name: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

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
        # "The name MUST contain only alphanumeric characters" (0.4, 0.5: plate rows, columns; well images)
        for what, name in (("row", self.row), ("column", column), ("path", self.path)):
            if not _NAME.fullmatch(str(name)):
                raise ArgumentError(f"{what} must be alphanumeric", where="ImageInWellPath", got=repr(name), allowed="letters and digits")

    @property
    def well_path(self) -> str:
        return f"{self.row}/{self.column}"


@dataclass(frozen=True, slots=True)
class PlateMeta:
    """The `plate` block. `wells` are paths such as ``"B/03"``."""

    name: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[str, ...]
    acquisitions: tuple[Acquisition, ...] = ()
    field_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": self.name} if self.name else {}
        entry["rows"] = [{"name": r} for r in self.rows]
        entry["columns"] = [{"name": c} for c in self.columns]
        entry["wells"] = [self._well(path) for path in self.wells]
        if self.acquisitions:
            entry["acquisitions"] = [a.to_json() for a in self.acquisitions]
        if self.field_count:
            entry["field_count"] = self.field_count
        return entry | dict(self.extra)

    def _well(self, path: str) -> dict[str, Any]:
        row, column = path.rsplit("/", 2)[-2:]
        return {"path": path, "rowIndex": self.rows.index(row), "columnIndex": self.columns.index(column)}


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

    def to_json(self) -> dict[str, Any]:
        return {"images": [i.to_json() for i in self.images]} | dict(self.extra)


def new_plate(
    name: str, images: Sequence[ImageInWellPath], rows: Sequence[str] | None = None, columns: Sequence[str | int] | None = None
) -> tuple[PlateMeta, dict[str, WellMeta]]:
    """A plate document and the documents of its wells, for images that are to be written.

    Raises
    ------
    ArgumentError
        No image, the same image twice, one acquisition id with two names, or a row or column that is not among those given.
    """
    if not images:
        raise ArgumentError("a plate needs at least one image", where="images", hint="Pass a list of ImageInWellPath.")
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
        max(len(w.images) for w in wells.values()),
    )
    return plate, wells


def _all_names(what: str, given: Sequence[str | int] | None, used: set[str]) -> tuple[str, ...]:
    """Rows or columns in their order: those given, which must hold all that are used, else those that are used."""
    if given is None:
        return tuple(sorted(used, key=_natural))
    names = tuple(f"{n:02d}" if isinstance(n, int) else str(n) for n in given)
    if len(set(names)) != len(names) or not used <= set(names) or not all(_NAME.fullmatch(n) for n in names):
        raise ArgumentError(f"{what} must name every one of the plate once", where=what, got=list(names), allowed=f"all of {sorted(used)}")
    return names


def _natural(name: str) -> tuple[int, str]:
    """A before B before AA, 2 before 10."""
    return len(name.lstrip("0")), name.lstrip("0")


def parse_plate(value: Any, problems: Problems, loc: str = "plate") -> PlateMeta | None:
    """A plate from a 0.4 / 0.5 block. None if it cannot be used. Wrong row and column indices are noted and the path is trusted."""
    entry = problems.expect_dict(value, loc)
    if entry is None:
        return None
    names: dict[str, tuple[str, ...]] = {}
    for key in ("rows", "columns"):
        entries = problems.expect_list(entry.get(key), f"{loc}.{key}") or ()
        found = [problems.text(e.get("name"), f"{loc}.{key}") if isinstance(e, dict) else None for e in entries]
        names[key] = tuple(name for name in found if name)
        if len(names[key]) != len(entries) or len(set(names[key])) != len(names[key]):
            problems.error(f"{loc}.{key}", "every entry needs a name of its own")
    wells: list[str] = []
    for i, well in enumerate(problems.expect_list(entry.get("wells"), f"{loc}.wells") or ()):
        path = well.get("path") if isinstance(well, dict) else None
        parts = path.split("/") if isinstance(path, str) else []
        # "path ... MUST be the row name, a separator '/', and the column name" (0.4, 0.5)
        if len(parts) != 2 or parts[0] not in names["rows"] or parts[1] not in names["columns"]:
            problems.error(f"{loc}.wells.{i}.path", f"expected row/column of this plate, got {shown(path)}")
            continue
        indices = (names["rows"].index(parts[0]), names["columns"].index(parts[1]))
        if (well.get("rowIndex"), well.get("columnIndex")) != indices:
            problems.warn(f"{loc}.wells.{i}", f"rowIndex, columnIndex should be {indices} for {path!r}")
        if path in wells:
            problems.warn(f"{loc}.wells.{i}.path", f"{path!r} is listed twice")
            continue
        wells.append(str(path))
    acquisitions: dict[int, Acquisition] = {}
    listed = entry.get("acquisitions")
    for i, a in enumerate(() if listed is None else problems.expect_list(listed, f"{loc}.acquisitions") or ()):
        place = f"{loc}.acquisitions.{i}"
        # "Each acquisition object MUST contain an 'id' ... a unique integer identifier" (0.4, 0.5)
        if not isinstance(a, dict) or type(a.get("id")) is not int:
            problems.error(f"{place}.id", f"expected an object with an integer id, got {shown(a)}")
            continue
        if a["id"] in acquisitions:
            problems.warn(f"{place}.id", f"{shown(a['id'])} is listed twice")
            continue
        others = {k: v for k, v in a.items() if k not in ("id", "name")}
        acquisitions[a["id"]] = Acquisition(a["id"], problems.text(a.get("name"), f"{place}.name"), others)
    count = entry.get("field_count")
    if count is not None and (type(count) is not int or count < 1):
        problems.warn(f"{loc}.field_count", f"expected a positive integer, got {shown(count)}")
        count = None
    if problems.errors:
        return None
    name = problems.text(entry.get("name"), f"{loc}.name")
    extra = {k: v for k, v in entry.items() if k not in ("name", "rows", "columns", "wells", "acquisitions", "field_count", "version")}
    return PlateMeta(name, names["rows"], names["columns"], tuple(wells), tuple(acquisitions.values()), count, extra)


def parse_well(value: Any, problems: Problems, loc: str = "well") -> WellMeta | None:
    """A well from a 0.4 / 0.5 block. None if it cannot be used."""
    entry = problems.expect_dict(value, loc)
    if entry is None:
        return None
    images: dict[str, WellImage] = {}
    for i, image in enumerate(problems.expect_list(entry.get("images"), f"{loc}.images") or ()):
        path = image.get("path") if isinstance(image, dict) else None
        if not isinstance(path, (str, int)) or isinstance(path, bool) or {"", "..", "."} & set(str(path).split("/")):
            problems.error(f"{loc}.images.{i}.path", f"expected a name such as {str(i)!r}, got {shown(path)}")
            continue
        # "The value of 'path' MUST be ... unique" (0.4, 0.5: well images)
        if str(path) in images:
            problems.warn(f"{loc}.images.{i}.path", f"{shown(path)} is listed twice")
            continue
        run = image.get("acquisition")
        if run is not None and type(run) is not int:
            problems.warn(f"{loc}.images.{i}.acquisition", f"expected an integer, got {shown(run)}")
            run = None
        images[str(path)] = WellImage(str(path), run, {k: v for k, v in image.items() if k not in ("path", "acquisition")})
    return None if problems.errors else WellMeta(tuple(images.values()), {k: v for k, v in entry.items() if k not in ("images", "version")})
