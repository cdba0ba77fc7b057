"""Axes of a multiscale. Knows: names, types, units and their rules. Does not know: sizes, scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.orientation import Orientation, orientation_of
from omexp.metadata.problems import Problems, shown

__all__ = ["CANONICAL", "MOST_AXES", "SPACE_UNITS", "TIME_UNITS", "Axes", "Axis", "default_axes", "parse_axes"]

CANONICAL = ("t", "c", "z", "y", "x")
SPACE_UNITS = frozenset({  # UDUNITS-2, as 0.4 to 0.6 list them
    "angstrom", "attometer", "centimeter", "decimeter", "exameter", "femtometer", "foot", "gigameter", "hectometer", "inch", "kilometer",
    "megameter", "meter", "micrometer", "mile", "millimeter", "nanometer", "parsec", "petameter", "picometer", "terameter", "yard",
    "yoctometer", "yottameter", "zeptometer", "zettameter",
})  # fmt: skip
TIME_UNITS = frozenset({
    "attosecond", "centisecond", "day", "decisecond", "exasecond", "femtosecond", "gigasecond", "hectosecond", "hour", "kilosecond",
    "megasecond", "microsecond", "millisecond", "minute", "nanosecond", "petasecond", "picosecond", "second", "terasecond", "yoctosecond",
    "yottasecond", "zeptosecond", "zettasecond",
})  # fmt: skip
MOST_AXES = 64  # of an array, in NumPy
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: a name, a type (space, time, channel or the writer's own) and a unit; `extra` keeps keys we do not know."""

    name: str
    type: str | None = None
    unit: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def orientation(self) -> Orientation | None:
        """Where the axis leads in the body (RFC-4), from the key `orientation`; None where it says nothing known."""
        return orientation_of(self.extra.get("orientation"))

    def oriented(self, orientation: Orientation | None) -> Axis:
        """The axis with another orientation; None takes it away.

        Examples
        --------
        >>> Axis("x", "space").oriented(Orientation("left-to-right")).to_json()
        {'name': 'x', 'type': 'space', 'orientation': {'type': 'anatomical', 'value': 'left-to-right'}}
        """
        others = {k: v for k, v in self.extra.items() if k != "orientation"}
        return replace(self, extra=others if orientation is None else others | {"orientation": orientation.to_json()})

    def to_json(self) -> dict[str, Any]:
        known = {"name": self.name, "type": self.type, "unit": self.unit}
        return {k: v for k, v in known.items() if v is not None} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a multiscale in stored order."""

    items: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Axis]:
        return iter(self.items)

    @property
    def canonical(self) -> dict[str, str]:
        """t, c, z, y, x -> stored name, by lower-cased name, else by type where only one axis has it."""
        found = {a.name.lower(): a.name for a in self.items if a.name.lower() in CANONICAL}
        for letter, kind in (("t", "time"), ("c", "channel")):
            of_kind = [a.name for a in self.items if a.type == kind]
            if letter not in found and len(of_kind) == 1:
                found[letter] = of_kind[0]
        return found

    def index(self, name: str) -> int | None:
        """The position of an axis by its stored or canonical name; None if there is none."""
        stored = name if name in self.names else self.canonical.get(name)
        return None if stored is None else self.names.index(stored)

    def unit_of(self, name: str) -> str | None:
        position = self.index(name)
        return None if position is None else self.items[position].unit

    def without(self, names: Sequence[str]) -> Axes:
        """The axes whose canonical name is not among `names`."""
        dropped = {self.canonical.get(n) for n in names}
        return Axes(tuple(a for a in self.items if a.name not in dropped))

    def to_json(self) -> list[dict[str, Any]]:
        return [a.to_json() for a in self.items]


def default_axes(
    ndim: int, names: Sequence[str] | None = None, *, space_unit: str | None = "micrometer", time_unit: str | None = "second"
) -> Axes:
    """Axes for a new image: the last `ndim` of t, c, z, y, x, or the given names, typed and with units.

    Raises
    ------
    ArgumentError
        Names that are not unique, are not one of t, c, z, y, x, do not fit `ndim`, or are out of the order time, channel, space.
    """
    if names is None:
        if not 2 <= ndim <= 5:
            raise ArgumentError("an OME-Zarr image has 2 to 5 axes", where="shape", got=f"{ndim} axes", hint="Split or squeeze the array.")
        names = CANONICAL[-ndim:]
    names = tuple(map(str, names)) if isinstance(names, Iterable) else (str(names),)
    order = [CANONICAL.index(n) for n in names if n in CANONICAL]
    if len(names) != ndim or len(set(names)) != ndim or len(order) != ndim:
        raise ArgumentError(
            "the axis names do not fit the array",
            where="axes_names",
            got=f"{', '.join(names)} for {ndim} axes",
            allowed="one each of t, c, z, y, x",
        )
    # "The 'axes' MUST be ordered by type: first time, then channel or custom, then space" (0.4, 0.5: multiscales metadata)
    groups = [min(o, 2) for o in order]
    if groups != sorted(groups) or sum(g == 2 for g in groups) < 2:
        raise ArgumentError(
            "axes must be ordered time, channel, space, with 2 or 3 of space",
            where="axes_names",
            got=", ".join(names),
            hint="Transpose the array, for example to t, c, z, y, x.",
        )
    units = {"t": time_unit, "c": None}
    return Axes(tuple(Axis(n, _TYPES[n], units.get(n, space_unit)) for n in names))


def parse_axes(value: Any, problems: Problems, loc: str) -> Axes | None:
    """Axes from a list of objects (0.4 to 0.6; those of other versions are brought to this form). None if they cannot be used."""
    entries = problems.expect_list(value, loc)
    if entries is None:
        return None
    axes = []
    for i, entry in enumerate(entries):
        # "Each axis MUST contain the field 'name'" (0.4, 0.5)
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
            problems.broken("axis-name", f"{loc}.{i}.name", f"expected an object with a name, got {shown(entry)}")
            continue
        axes.append(_parse_axis(entry, problems, f"{loc}.{i}"))
    names = [a.name for a in axes]
    # "The values MUST be unique across all 'name' fields" (0.4, 0.5)
    if len(set(names)) != len(names):
        problems.broken("axis-name-unique", loc, f"axis names are not unique: {shown(names)}")
        return None
    # "The length of 'axes' must be between 2 and 5" (0.4, 0.5); more is read, since 0.9 lifts the limit
    if not entries:
        problems.broken("axes-empty", loc, "empty; expected 2 to 5 axes")
    elif not 2 <= len(entries) <= 5:
        problems.broken("axes-count", loc, f"expected 2 to 5 axes, got {len(entries)}")
    if len(axes) > MOST_AXES:
        problems.broken("axes-most", loc, f"expected at most {MOST_AXES} axes, got {len(axes)}")
        return None
    if len(axes) != len(entries) or not axes:
        return None
    found = Axes(tuple(axes))
    _check_kinds(found, [entry.get("type") for entry in entries], problems, loc)
    _check_orientations(found, problems, loc)
    return found


def _parse_axis(entry: dict[str, Any], problems: Problems, loc: str) -> Axis:
    name: str = entry["name"]
    # "If part of ..., the value MUST be one of t, c, z, y, x" (0.3: axes)
    if name not in CANONICAL:
        problems.broken("axis-name-known", f"{loc}.name", f"expected one of {', '.join(CANONICAL)}, got {shown(name)}")
    # "It SHOULD contain the field 'type'" (0.4 to 0.6: axes)
    kind = problems.text_of(entry, "type", loc)
    if kind is None:
        problems.broken("axis-type", f"{loc}.type", "missing; expected space, time, channel or another type")
        kind = _TYPES.get(name.lower())
    # "The field 'unit' SHOULD contain one of the following" (0.4 to 0.6: axes of type space and time)
    unit, known = problems.text_of(entry, "unit", loc), {"space": SPACE_UNITS, "time": TIME_UNITS}.get(kind or "")
    if unit is None and known is not None:
        problems.broken("axis-unit", f"{loc}.unit", f"missing; expected a unit of {kind}")
    if unit is not None and known is not None and unit not in known:
        problems.broken("axis-unit-known", f"{loc}.unit", f"expected a UDUNITS-2 name of {kind}, got {shown(unit)}")
    if not isinstance(entry.get("discrete", False), bool):
        problems.broken("axis-discrete", f"{loc}.discrete", f"expected true or false, got {shown(entry['discrete'])}")
    return Axis(name, kind, unit, {k: v for k, v in entry.items() if k not in ("name", "type", "unit")})


def _check_kinds(axes: Axes, written: Sequence[Any], problems: Problems, loc: str) -> None:
    """How many axes of which type in which order. An axis without a type is what its canonical name says; for 0.6 that is not enough."""
    kinds = [axis.type for axis in axes]
    told = [kind if kind is not None or problems.version == "0.6" else axis.type for kind, axis in zip(written, axes, strict=True)]
    spaces, of_arrays = told.count("space"), told.count("array") >= 2
    # "The 'axes' MUST contain 2 or 3 entries of 'type:space'" (0.4 to 0.6); the 0.6 schema takes two of 'type:array', too
    if spaces not in (2, 3) and not (of_arrays and spaces == 0 and problems.version == "0.6"):
        problems.broken("axes-space", loc, f"expected 2 or 3 axes of type space, got {spaces}")
    # "MAY contain one additional entry of 'type:time' and ... one of 'type:channel' or a null / custom type" (0.4 to 0.6)
    if kinds.count("time") > 1:
        problems.broken("axes-time", loc, f"expected at most one axis of type time, got {kinds.count('time')}")
    ranks = [{"time": 0, "space": 2, "array": 2}.get(kind or "", 1) for kind in kinds]
    if ranks.count(1) > 1:
        problems.broken("axes-channel", loc, f"expected at most one axis of type channel or custom, got {ranks.count(1)}")
    # "MUST be ordered by 'type' where the 'time' axis must come first, followed by 'channel' or custom type, then 'space'" (0.4, 0.5)
    if ranks != sorted(ranks):
        problems.broken("axes-order", loc, f"expected time, channel, space, got {', '.join(axes.names)}")
    # "If there are three spatial axes ... SHOULD be ordered as 'zyx'" (0.4 to 0.6); 0.3 has the order tczyx only
    letters = [a.name.lower() for a in axes if a.name.lower() in ("z", "y", "x")]
    if letters != sorted(letters, reverse=True):
        problems.broken("axes-zyx", loc, f"expected z, y, x, got {', '.join(letters)}")


def _check_orientations(axes: Axes, problems: Problems, loc: str) -> None:
    directions: list[str] = []
    for i, axis in enumerate(axes):
        given = axis.extra.get("orientation")
        if given is None:
            continue
        place = f"{loc}.{i}.orientation"
        # "'orientation' MUST NOT be on axes that are not of type space"; "MUST have 'type' and 'value' from the list" (RFC-4)
        if axis.type != "space":
            problems.broken("orientation-space", place, f"an axis of type {shown(axis.type)} has no orientation")
        if axis.orientation is None:
            problems.broken("orientation-value", place, f"expected type 'anatomical' and a value of RFC-4, got {shown(given)}")
        elif axis.orientation.direction in directions:
            problems.broken("orientation-unique", place, f"another axis lies along {axis.orientation.direction}, too")
        else:
            directions.append(axis.orientation.direction)
