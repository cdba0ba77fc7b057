"""The levels of a multiscale. Knows: the `datasets` list, what a level's transforms mean. Does not know: array shapes, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omexp.metadata.coordinates import Identity, Scale, Transformation, Translation, parse_transformation
from omexp.metadata.coordinates import Sequence as Steps
from omexp.metadata.matrices import Matrix, diagonal
from omexp.metadata.problems import Problems, shown
from omexp.metadata.systems import CoordinateSystem, parse_reference
from omexp.metadata.transforms import ScaleTranslation, parse_transforms

__all__ = ["Dataset", "Given", "Spelling", "parse_levels", "parse_levels_in"]

# How a version says what the axes are: not at all (0.1, 0.2), by names (0.3), by objects (0.4, 0.5), by coordinate systems (0.6)
Spelling = Literal["implied", "names", "axes", "systems"]


@dataclass(frozen=True, slots=True)
class Given:
    """A level's transforms in the words of its document, with what they mean.

    They are written back for as long as they mean it, and the document keeps its version. `matrix` is there where they are more than a
    scale and a translation.
    """

    version: str
    entries: tuple[Any, ...]
    meaning: ScaleTranslation
    matrix: Matrix | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """One level: where its array lies under the group, and what its pixels mean in world units. `extra` keeps keys we do not know."""

    path: str
    transform: ScaleTranslation
    extra: Mapping[str, Any] = field(default_factory=dict)
    given: Given | None = field(default=None, compare=False, repr=False)

    def is_as_given(self, version: str) -> bool:
        """True where the document's own words, of that version, still say what the transform is."""
        return self.given is not None and self.given.version == version and self.given.meaning == self.transform

    @property
    def matrix(self) -> Matrix:
        """The map from pixel indices to world units."""
        given = self.given
        if given is not None and given.matrix is not None and given.meaning == self.transform:
            return given.matrix
        return diagonal(self.transform.scale, self.transform.translation)

    def to_json(self, *, given: bool) -> dict[str, Any]:
        """The level as 0.4 and 0.5 spell it; `given`: in the document's own words."""
        transforms = list(self.given.entries) if given and self.given is not None else self.transform.to_json()
        return {"path": self.path, "coordinateTransformations": transforms} | dict(self.extra)

    def to_json_in(self, system: str, version: str) -> dict[str, Any]:
        """The level as 0.6 spells it: one transform from the array to the system."""
        ends = {"input": {"path": self.path}, "output": {"name": system}}
        if self.is_as_given(version) and self.given is not None and all(isinstance(e, Mapping) for e in self.given.entries):
            transforms = [dict(entry) | {k: _end(entry.get(k), v) for k, v in ends.items()} for entry in self.given.entries]
        else:
            steps = self.transform.to_json()
            whole = steps[0] if len(steps) == 1 else {"type": "sequence", "transformations": steps}
            transforms = [whole | ends]
        return {"path": self.path, "coordinateTransformations": transforms} | dict(self.extra)


def _end(given: Any, wanted: dict[str, str]) -> dict[str, Any]:
    """An end of a transform with what it must name; other keys of it stay."""
    return (dict(given) if isinstance(given, Mapping) else {}) | wanted


# ---------------------------------------------------------------------------------------------------------- reading
def parse_path(dataset: Any, i: int, problems: Problems, loc: str) -> str | None:
    """The path of a level's array; None if it cannot be used."""
    # "Each dictionary in 'datasets' MUST contain the field 'path'" (0.4, 0.5); early Fractal wrote integers
    path = dataset.get("path") if isinstance(dataset, dict) else None
    if not isinstance(path, (str, int)) or isinstance(path, bool) or str(path).strip("/") == "":
        problems.broken("dataset-path", f"{loc}.path", f'expected a string such as "{i}", got {shown(path)}')
        return None
    if not isinstance(path, str):
        problems.broken("string-number", f"{loc}.path", f"expected a string, got {shown(path)}")
    if {".."} & set(str(path).replace("\\", "/").split("/")):
        problems.broken("dataset-path-inside", f"{loc}.path", f"leads outside the group: {shown(path)}")
        return None
    return str(path).strip("/")


def parse_levels(
    entries: Sequence[Any], ndim: int, outer: ScaleTranslation, problems: Problems, loc: str, *, required: bool
) -> list[Dataset]:
    """The levels of 0.4 and 0.5 (and of before, where no transforms are `required`), `outer` being the transform of all of them."""
    levels = []
    for i, entry in enumerate(entries):
        place = f"{loc}.{i}"
        path = parse_path(entry, i, problems, place)
        if path is None:
            continue
        listed = entry.get("coordinateTransformations")
        own = parse_transforms(listed, ndim, problems, f"{place}.coordinateTransformations", required=required)
        if own is None:
            continue
        whole = own.then(outer)
        if not whole.is_usable:
            message = "the product of the scales is not a finite positive number"
            problems.broken("transform-range", f"{place}.coordinateTransformations", message)
        given = Given(problems.version, tuple(listed), whole) if listed else None
        levels.append(Dataset(path, whole, _extra(entry), given))
    return levels


def parse_levels_in(
    entries: Sequence[Any], systems: Sequence[CoordinateSystem], problems: Problems, loc: str
) -> tuple[list[Dataset], CoordinateSystem | None]:
    """The levels of 0.6, and the ("intrinsic") system that they all lead to."""
    levels, intrinsic = [], None
    for i, entry in enumerate(entries):
        place = f"{loc}.{i}"
        path = parse_path(entry, i, problems, place)
        if path is None:
            continue
        listed = entry.get("coordinateTransformations")
        place = f"{place}.coordinateTransformations"
        # "'coordinateTransformations' MUST contain exactly one transformation" (0.6: datasets)
        if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
            problems.broken("transforms-missing", place, f"expected a list with one transform, got {shown(listed)}")
            continue
        if len(listed) > 1:
            problems.broken("level-transform", place, f"expected one transform, got {len(listed)}")
        goal = _ends_of(listed[0], path, systems, intrinsic, problems, f"{place}.0")
        intrinsic = intrinsic or goal
        if intrinsic is None:
            continue
        level = _level_in(listed, len(intrinsic.axes), problems, f"{place}.0")
        levels.append(Dataset(path, level.meaning, _extra(entry), level))
    return levels, intrinsic


def _ends_of(
    entry: dict[str, Any], path: str, systems: Sequence[CoordinateSystem], intrinsic: CoordinateSystem | None, problems: Problems, loc: str
) -> CoordinateSystem | None:
    """The system that a level's transform leads to, else the first one there is."""
    start = parse_reference(entry.get("input"), "path", problems, f"{loc}.input")
    # "'input' MUST be an object with 'path' ... the same as that of the dataset" (0.6)
    if start is None or (start.path or "").strip("/") != path:
        problems.broken("level-input", f"{loc}.input", f"expected {{'path': {path!r}}}, got {shown(entry.get('input'))}")
    end = parse_reference(entry.get("output"), "name", problems, f"{loc}.output")
    found = next((s for s in systems if end is not None and s.name == end.name), None)
    # "'output' MUST have the 'name' of a coordinate system, the same for all datasets" (0.6)
    if systems and (found is None or (intrinsic is not None and found.name != intrinsic.name)):
        allowed = intrinsic.name if intrinsic is not None else ", ".join(s.name for s in systems)
        problems.broken("level-output", f"{loc}.output", f"expected the name of {allowed}, got {shown(entry.get('output'))}")
    return found or (systems[0] if systems else None)


def _level_in(listed: list[Any], ndim: int, problems: Problems, loc: str) -> Given:
    """What the one transform of a level means; a scale and a translation stand for it where it is more."""
    found = parse_transformation(listed[0], ndim, problems, loc)
    version, words = problems.version, tuple(listed)
    # "MUST be of type 'scale', 'identity' or 'sequence' of one 'scale' and one 'translation'" (0.6: datasets)
    if not _is_simple(found):
        problems.broken("level-transform", loc, f"expected identity, scale, or scale and translation, got {shown(listed[0].get('type'))}")
    matrix = found.matrix(ndim)
    if matrix is None or len(matrix) != ndim:
        problems.broken("transform-vector", loc, f"it has no meaning for {ndim} axes")
        return Given(version, words, ScaleTranslation.identity(ndim))
    own = tuple(abs(matrix[i][i]) or 1.0 for i in range(ndim))
    meaning = ScaleTranslation(own, tuple(row[-1] for row in matrix))
    if not meaning.is_usable:
        problems.broken("transform-range", loc, "the product of the scales is not a finite positive number")
    more = matrix != diagonal(meaning.scale, meaning.translation)
    return Given(version, words, meaning, matrix if more else None)


def _is_simple(found: Transformation) -> bool:
    if isinstance(found, Steps):
        return [type(step) for step in found.steps] == [Scale, Translation]
    return isinstance(found, (Identity, Scale))


def _extra(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k not in ("path", "coordinateTransformations")}
