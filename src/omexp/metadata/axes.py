"""Axes of a multiscale. Knows: names, types, units and their rules. Does not know: sizes, scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omexp.errors import ArgumentError
from omexp.metadata.problems import Problems, shown

__all__ = ["CANONICAL", "Axes", "Axis", "default_axes", "parse_axes"]

CANONICAL = ("t", "c", "z", "y", "x")
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: a name, a type (space, time, channel or the writer's own) and a unit; `extra` keeps keys we do not know."""

    name: str
    type: str | None = None
    unit: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

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
    """Axes from a 0.4 / 0.5 document. None if they cannot be used; every broken rule is noted."""
    entries = problems.expect_list(value, loc)
    if entries is None:
        return None
    axes = []
    for i, entry in enumerate(entries):
        # "Each axis MUST contain the field 'name'" (0.4, 0.5)
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
            problems.error(f"{loc}.{i}.name", f"expected an object with a name, got {shown(entry)}")
            continue
        extra = {k: v for k, v in entry.items() if k not in ("name", "type", "unit")}
        kind = problems.text(entry.get("type"), f"{loc}.{i}.type") or _TYPES.get(entry["name"].lower())
        axes.append(Axis(entry["name"], kind, problems.text(entry.get("unit"), f"{loc}.{i}.unit"), extra))
    names = [a.name for a in axes]
    # "The values MUST be unique across all 'name' fields" (0.4, 0.5)
    if len(set(names)) != len(names):
        problems.error(loc, f"axis names are not unique: {shown(names)}")
        return None
    # "The length of 'axes' must be between 2 and 5" (0.4, 0.5); more is read, since 0.9 lifts the limit
    if not entries:
        problems.error(loc, "empty; expected 2 to 5 axes")
    elif not 2 <= len(entries) <= 5:
        problems.warn(loc, f"expected 2 to 5 axes, got {len(entries)}")
    return Axes(tuple(axes)) if len(axes) == len(entries) and axes else None
