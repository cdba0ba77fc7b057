"""Coordinate systems (0.6). Knows: systems, the transformations between them, the way to another. Does not know: levels, arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omexp.metadata.axes import Axes, parse_axes
from omexp.metadata.coordinates import Kept, Transformation, parse_transformation
from omexp.metadata.matrices import Matrix, composed, identity_matrix, inverted
from omexp.metadata.problems import Problems, shown

__all__ = ["CoordinateSystem", "Frame", "Link", "Reference", "parse_links", "parse_reference", "parse_systems"]


@dataclass(frozen=True, slots=True)
class CoordinateSystem:
    """A named system of axes."""

    name: str
    axes: Axes
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "axes": self.axes.to_json()} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Reference:
    """An end of a transformation: a coordinate system of this group, or, with a path, of a group or array below it."""

    name: str | None = None
    path: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        known = {"path": self.path, "name": self.name}
        return {k: v for k, v in known.items() if v is not None} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Link:
    """A transformation from one coordinate system to another."""

    transformation: Transformation
    input: Reference | None
    output: Reference | None

    def to_json(self) -> Any:
        document = self.transformation.to_json()
        ends = {key: end.to_json() for key, end in (("input", self.input), ("output", self.output)) if end is not None}
        return document | ends if isinstance(document, dict) else document


@dataclass(frozen=True, slots=True)
class Frame:
    """What 0.6 says beside the axes of the levels: the name of their ("intrinsic") coordinate system, its place in the list, the others.

    `links` lead from one system to another; their numbers are kept, and used by `way`.
    """

    name: str = "physical"
    position: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[CoordinateSystem, ...] = ()
    links: tuple[Link, ...] = ()

    def systems(self, axes: Axes) -> list[CoordinateSystem]:
        """All systems in their order, `axes` being those of the levels."""
        found = list(self.others)
        found.insert(self.position, CoordinateSystem(self.name, axes, self.extra))
        return found

    def way(self, axes: Axes, target: str) -> Matrix | None:
        """The map from the intrinsic system to another one, along the links, back where they can be inverted; None if there is none."""
        sizes = {system.name: len(system.axes) for system in self.systems(axes)}
        if self.name not in sizes or target not in sizes:
            return None
        doors: dict[str, list[Link]] = {}
        for link in self.links:
            for end in {end.name for end in (link.input, link.output) if end is not None and not end.path and end.name in sizes}:
                doors.setdefault(str(end), []).append(link)
        reached, frontier = {self.name: identity_matrix(len(axes))}, [self.name]
        while frontier and target not in reached:
            here = frontier.pop(0)
            for link in doors.get(here, ()):
                neighbour, matrix = _step(link, here, sizes)
                if matrix is not None and neighbour not in reached and len(matrix) == sizes.get(neighbour):
                    reached[neighbour] = composed(reached[here], matrix)
                    frontier.append(neighbour)
        return reached.get(target)


def _step(link: Link, here: str, sizes: Mapping[str, int]) -> tuple[str, Matrix | None]:
    """The system at the other end of a link, and the map to it; None where it cannot be gone that way."""
    if link.input is None or link.output is None or link.input.path or link.output.path or link.input.name not in sizes:
        return "", None
    start, end = str(link.input.name), str(link.output.name)
    matrix = link.transformation.matrix(sizes[start])
    if here == start:
        return end, matrix
    return start, None if matrix is None else inverted(matrix)


# ---------------------------------------------------------------------------------------------------------- reading
def parse_systems(value: Any, problems: Problems, loc: str) -> list[CoordinateSystem]:
    """The coordinate systems of a list, those that can be used."""
    # "'coordinateSystems' MUST be a list of at least one" (0.6)
    if not isinstance(value, list) or not value:
        problems.broken("systems-missing", loc, f"expected a list of coordinate systems, got {shown(value)}")
        return []
    found: dict[str, CoordinateSystem] = {}
    for i, entry in enumerate(value):
        place = f"{loc}.{i}"
        name = entry.get("name") if isinstance(entry, dict) else None
        # "MUST contain 'name' ... a non-empty string, unique" (0.6: coordinateSystems)
        if not isinstance(name, str) or not name:
            problems.broken("system-name", f"{place}.name", f"expected an object with a name, got {shown(entry)}")
            continue
        if name in found:
            problems.broken("system-name-unique", f"{place}.name", f"{name!r} is listed twice")
            continue
        axes = parse_axes(entry.get("axes"), problems, f"{place}.axes")
        if axes is not None:
            found[name] = CoordinateSystem(name, axes, {k: v for k, v in entry.items() if k not in ("name", "axes")})
    return list(found.values())


def parse_reference(value: Any, key: str, problems: Problems, loc: str) -> Reference | None:
    """`input` or `output` of a transformation. The tags before 0.6rc0 wrote a bare string: the `key` of the object it became."""
    if isinstance(value, str):
        # "input and output MUST be objects" (0.6)
        problems.broken("transform-ends", loc, f"expected an object with {key!r}, got {shown(value)}")
        return Reference(name=value or None) if key == "name" else Reference(path=value or None)
    if not isinstance(value, dict):
        problems.broken("transform-ends", loc, f"expected an object with {key!r}, got {shown(value)}")
        return None
    name, path = problems.text_of(value, "name", loc), problems.text_of(value, "path", loc)
    return Reference(name, path, {k: v for k, v in value.items() if k not in ("name", "path")})


def parse_links(
    value: Any, systems: Sequence[CoordinateSystem], problems: Problems, loc: str, *, intrinsic: str | None
) -> tuple[Link, ...]:
    """Transformations between coordinate systems: those of a multiscale (`intrinsic` is the system of its levels), or of a scene."""
    sizes = {system.name: len(system.axes) for system in systems}
    links = []
    for i, entry in enumerate(value):
        place = f"{loc}.{i}"
        source = entry if isinstance(entry, dict) else {}
        ends = [parse_reference(source.get(key), "name", problems, f"{place}.{key}") for key in ("input", "output")]
        for key, end in zip(("input", "output"), ends, strict=True):
            # "input and output MUST name coordinate systems of the same document, or of the group at 'path'" (0.6)
            if end is not None and (end.name is None or (not end.path and end.name not in sizes)):
                problems.broken("transform-system", f"{place}.{key}", f"there is no coordinate system {shown(end.name)}")
        at_home = ends[0] is not None and not ends[0].path
        ndim = sizes.get(str(ends[0].name)) if ends[0] is not None and at_home else None
        found = parse_transformation(entry, ndim, problems, place)
        if isinstance(found, Kept) and not problems.checking:
            problems.warn(place, f"a {shown(source.get('type'))} transformation is kept, and not applied")
        links.append(Link(found, *ends))
    if intrinsic is not None and links:
        _check_graph(links, sizes, intrinsic, problems, loc)
    return tuple(links)


def _check_graph(links: Sequence[Link], sizes: Mapping[str, int], intrinsic: str, problems: Problems, loc: str) -> None:
    names = [{str(e.name) for e in (link.input, link.output) if e is not None and not e.path} for link in links]
    # "one of input and output MUST be the intrinsic coordinate system" (0.6: transformations of a multiscale)
    for i, pair in enumerate(names):
        if intrinsic not in pair:
            problems.broken(
                "transform-intrinsic", f"{loc}.{i}", f"expected {intrinsic!r} as input or output, got {', '.join(sorted(pair))}"
            )
    # "coordinate systems MUST be connected": every one that a link names leads to that of the levels (0.6)
    beside: dict[str, set[str]] = {}
    for pair in names:
        for name in pair:
            beside.setdefault(name, set()).update(pair)
    reached, frontier = {intrinsic}, [intrinsic]
    while frontier:
        fresh = beside.get(frontier.pop(), set()) - reached
        reached |= fresh
        frontier += fresh
    lost = sorted(name for name in beside if name in sizes and name not in reached)
    if lost:
        problems.broken("transform-graph", loc, f"no way from {intrinsic!r} to {', '.join(map(repr, lost))}")
