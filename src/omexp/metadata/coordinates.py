"""Transformations between coordinate systems (0.6). Knows: each kind as a record, its map of points. Does not know: systems, versions.

Identity, scale, translation, mapAxis, affine, rotation, sequence and byDimension are understood; every other one is `Kept` as it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from omexp.metadata.axes import MOST_AXES
from omexp.metadata.matrices import Matrix, composed, diagonal, identity_matrix
from omexp.metadata.problems import Problems, shown

__all__ = [
    "Affine",
    "ByDimension",
    "Identity",
    "Kept",
    "MapAxis",
    "Part",
    "Rotation",
    "Scale",
    "Sequence",
    "Transformation",
    "Translation",
    "parse_transformation",
]

Vector = tuple[float, ...]
MOST_DEEP = 32  # transformations inside each other; deeper ones are kept as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformation:
    """What all kinds share: `extra` holds the keys that are no parameters, such as `name`."""

    extra: Mapping[str, Any] = field(default_factory=dict)

    def matrix(self, ndim: int) -> Matrix | None:
        """The map of points of `ndim` coordinates; None where it cannot be applied to them."""
        raise TypeError(f"{type(self).__name__} is no kind of transformation")

    def to_json(self) -> dict[str, Any]:
        """The transformation as 0.6 spells it."""
        raise TypeError(f"{type(self).__name__} is no kind of transformation")


@dataclass(frozen=True, slots=True)
class Identity(Transformation):
    """Nothing changes."""

    def matrix(self, ndim: int) -> Matrix | None:
        return identity_matrix(ndim)

    def to_json(self) -> dict[str, Any]:
        return {"type": "identity"} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Scale(Transformation):
    """Each coordinate times its factor."""

    scale: Vector

    def matrix(self, ndim: int) -> Matrix | None:
        return diagonal(self.scale, (0.0,) * ndim) if len(self.scale) == ndim else None

    def to_json(self) -> dict[str, Any]:
        return {"type": "scale", "scale": list(self.scale)} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Translation(Transformation):
    """Each coordinate plus its offset."""

    translation: Vector

    def matrix(self, ndim: int) -> Matrix | None:
        return diagonal((1.0,) * ndim, self.translation) if len(self.translation) == ndim else None

    def to_json(self) -> dict[str, Any]:
        return {"type": "translation", "translation": list(self.translation)} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class MapAxis(Transformation):
    """Coordinates in another order: output i is input ``axes[i]``."""

    axes: tuple[int, ...]

    def matrix(self, ndim: int) -> Matrix | None:
        if sorted(self.axes) != list(range(ndim)):
            return None
        return tuple((*(1.0 if j == a else 0.0 for j in range(ndim)), 0.0) for a in self.axes)

    def to_json(self) -> dict[str, Any]:
        return {"type": "mapAxis", "mapAxis": list(self.axes)} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Affine(Transformation):
    """One row per output: a factor per input, then the offset."""

    rows: Matrix

    def matrix(self, ndim: int) -> Matrix | None:
        return self.rows if all(len(row) == ndim + 1 for row in self.rows) else None

    def to_json(self) -> dict[str, Any]:
        return {"type": "affine", "affine": [list(row) for row in self.rows]} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Rotation(Transformation):
    """One row per output: a factor per input."""

    rows: Matrix

    def matrix(self, ndim: int) -> Matrix | None:
        return tuple((*row, 0.0) for row in self.rows) if len(self.rows) == ndim else None

    def to_json(self) -> dict[str, Any]:
        return {"type": "rotation", "rotation": [list(row) for row in self.rows]} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Sequence(Transformation):
    """One after the other, the first one first."""

    steps: tuple[Transformation, ...]

    def matrix(self, ndim: int) -> Matrix | None:
        total = identity_matrix(ndim)
        for step in self.steps:
            matrix = step.matrix(len(total))
            if matrix is None:
                return None
            total = composed(total, matrix)
        return total

    def to_json(self) -> dict[str, Any]:
        return {"type": "sequence", "transformations": [step.to_json() for step in self.steps]} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of `ByDimension`: which inputs go through it and become which outputs."""

    transformation: Transformation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        axes = {"inputAxes": list(self.inputs), "outputAxes": list(self.outputs)}
        return {"transformation": self.transformation.to_json()} | axes | dict(self.extra)


@dataclass(frozen=True, slots=True)
class ByDimension(Transformation):
    """Groups of coordinates, each through its own transformation. Every output comes from exactly one of them."""

    parts: tuple[Part, ...]

    def matrix(self, ndim: int) -> Matrix | None:
        rows: dict[int, tuple[float, ...]] = {}
        for part in self.parts:
            inner = part.transformation.matrix(len(part.inputs))
            if inner is None or len(inner) != len(part.outputs) or any(not 0 <= i < ndim for i in part.inputs):
                return None
            for output, row in zip(part.outputs, inner, strict=True):
                if output in rows:
                    return None
                factors = dict(zip(part.inputs, row, strict=False))
                rows[output] = (*(factors.get(j, 0.0) for j in range(ndim)), row[-1])
        return tuple(rows[i] for i in range(len(rows))) if sorted(rows) == list(range(len(rows))) else None

    def to_json(self) -> dict[str, Any]:
        return {"type": "byDimension", "transformations": [part.to_json() for part in self.parts]} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Kept(Transformation):
    """A transformation that is written back and not applied: another kind, or one whose numbers lie in an array."""

    document: Any

    def matrix(self, ndim: int) -> Matrix | None:
        return None

    def to_json(self) -> dict[str, Any]:
        return dict(self.document) if isinstance(self.document, Mapping) else self.document


# ---------------------------------------------------------------------------------------------------------- reading
ENDS = ("input", "output")


def parse_transformation(value: Any, ndim: int | None, problems: Problems, loc: str, depth: int = 0) -> Transformation:
    """A transformation of points of `ndim` coordinates (None: not known), without its ends. What is not understood is kept."""
    entry = value if isinstance(value, Mapping) else {}
    kind = entry.get("type")
    parse = _KINDS.get(kind) if isinstance(kind, str) else None
    if parse is None or depth > MOST_DEEP:
        problems.broken(
            "transform-known", f"{loc}.type", f"expected a transform of the specification, got {shown(entry.get('type', value))}"
        )
        return Kept(_without_ends(value))
    found = parse(entry, ndim, problems, loc, depth)
    if found is None:
        return Kept(_without_ends(value))
    if ndim is not None and not isinstance(found, Kept) and found.matrix(ndim) is None and not _waits(found):
        problems.broken("transform-known", loc, f"its parameters do not fit {ndim} axes")
    return found


def _waits(found: Transformation) -> bool:
    """True where a part is kept only: then there is no map, and nothing wrong with it."""
    if isinstance(found, Sequence):
        return any(_waits(step) for step in found.steps)
    if isinstance(found, ByDimension):
        return any(_waits(part.transformation) for part in found.parts)
    return isinstance(found, Kept)


def _without_ends(value: Any) -> Any:
    return {k: v for k, v in value.items() if k not in ENDS} if isinstance(value, Mapping) else value


def _extra(entry: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k not in ("type", *ENDS, *known)}


def is_numbers(value: Any) -> TypeGuard[list[float]]:
    """A list of finite numbers."""
    return isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= sys.float_info.max and not math.isnan(v) for v in value
    )


def _is_indices(value: Any) -> TypeGuard[list[int]]:
    """A list of different whole numbers of at least 0."""
    good = isinstance(value, (list, tuple)) and all(type(v) is int and 0 <= v < MOST_AXES for v in value)
    return good and len(set(value)) == len(value)


def _numbers(entry: Mapping[str, Any], key: str, problems: Problems, loc: str, *, positive: bool = False) -> Vector | None:
    value = entry.get(key)
    if not is_numbers(value) or (positive and not all(v > 0 for v in value)):
        problems.broken("transform-known", f"{loc}.{key}", f"expected {'positive ' * positive}numbers, got {shown(value)}")
        return None
    return tuple(float(v) for v in value)


def _identity(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    return Identity(extra=_extra(entry))


def _scale(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    vector = _numbers(entry, "scale", problems, loc, positive=True)
    return None if vector is None else Scale(vector, extra=_extra(entry, "scale"))


def _translation(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    vector = _numbers(entry, "translation", problems, loc)
    return None if vector is None else Translation(vector, extra=_extra(entry, "translation"))


def _map_axis(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    value = entry.get("mapAxis")
    # "the array ... MUST be a permutation": each index of an input once (0.6: mapAxis)
    if not _is_indices(value) or sorted(value) != list(range(len(value))) or len(value) < 2:
        problems.broken("transform-known", f"{loc}.mapAxis", f"expected the indices of all input axes, got {shown(value)}")
        return None
    return MapAxis(tuple(value), extra=_extra(entry, "mapAxis"))


def _rows(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    """affine and rotation: rows of numbers in the document, or the path of an array."""
    kind = entry["type"]
    rows = entry.get(kind)
    if rows is None and isinstance(entry.get("path"), str):
        return Kept(_without_ends(entry))
    good = isinstance(rows, (list, tuple)) and bool(rows) and all(is_numbers(r) and len(r) == len(rows[0]) for r in rows)
    # "rotation ... MUST be square" (0.6), of 2 to 5 rows in the schema
    if not good or (kind == "rotation" and (len(rows) != len(rows[0]) or len(rows) < 2)):
        problems.broken("transform-known", f"{loc}.{kind}", f"expected rows of numbers, got {shown(rows)}")
        return None
    record = Affine if kind == "affine" else Rotation
    return record(tuple(tuple(float(v) for v in row) for row in rows), extra=_extra(entry, kind))


def _sequence(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    steps = []
    for i, step in enumerate(_listed(entry, problems, loc)):
        found = parse_transformation(step, ndim, problems, f"{loc}.transformations.{i}", depth + 1)
        steps.append(found)
        matrix = None if ndim is None else found.matrix(ndim)
        ndim = None if matrix is None else len(matrix)
    return Sequence(tuple(steps), extra=_extra(entry, "transformations")) if steps else None


def _listed(entry: Mapping[str, Any], problems: Problems, loc: str) -> list[Any]:
    steps = entry.get("transformations")
    if isinstance(steps, list) and steps:
        return steps
    problems.broken("transform-known", f"{loc}.transformations", f"expected a list of transforms, got {shown(steps)}")
    return []


def _by_dimension(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    parts = []
    for i, part in enumerate(_listed(entry, problems, loc)):
        place = f"{loc}.transformations.{i}"
        inner = part if isinstance(part, Mapping) else {}
        inputs, outputs = inner.get("inputAxes"), inner.get("outputAxes")
        # "transformation", "inputAxes" and "outputAxes" MUST be there (0.6: byDimension); earlier tags named axes
        if "transformation" not in inner or not _is_indices(inputs) or not _is_indices(outputs):
            problems.broken("transform-known", place, f"expected transformation, inputAxes and outputAxes, got {shown(part)}")
            return None
        step = parse_transformation(inner["transformation"], len(inputs), problems, f"{place}.transformation", depth + 1)
        others = {k: v for k, v in inner.items() if k not in ("transformation", "inputAxes", "outputAxes")}
        parts.append(Part(step, tuple(inputs), tuple(outputs), others))
    return ByDimension(tuple(parts), extra=_extra(entry, "transformations")) if parts else None


def _project_axis(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    given = [entry[key] for key in ("droppedInputs", "createdOutputs") if key in entry]
    good = given and all(_is_indices(v) and 1 <= len(v) <= 3 and max(v) <= 4 for v in given)
    if not good:
        problems.broken("transform-known", loc, f"expected droppedInputs or createdOutputs, up to 3 different indices, got {shown(given)}")
    return Kept(_without_ends(entry))


def _bijection(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    for key in ("forward", "inverse"):
        parse_transformation(entry.get(key), None, problems, f"{loc}.{key}", depth + 1)
    return Kept(_without_ends(entry))


def _field(entry: Any, ndim: int | None, problems: Problems, loc: str, depth: int) -> Transformation | None:
    if not isinstance(entry.get("path"), str) or entry.get("interpolation", "linear") not in ("nearest", "linear", "cubic"):
        problems.broken("transform-known", loc, "expected the path of an array; interpolation nearest, linear or cubic")
    return Kept(_without_ends(entry))


_KINDS = {
    "identity": _identity, "scale": _scale, "translation": _translation, "mapAxis": _map_axis, "affine": _rows, "rotation": _rows,
    "sequence": _sequence, "byDimension": _by_dimension, "projectAxis": _project_axis, "bijection": _bijection, "displacements": _field,
    "coordinates": _field,
}  # fmt: skip
