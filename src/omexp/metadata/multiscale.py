"""A multiscale image: its axes and its levels. Knows: the `multiscales` entry. Does not know: arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omexp.errors import ArgumentError, NameNotFoundError
from omexp.metadata.axes import CANONICAL, Axes, parse_axes
from omexp.metadata.levels import Dataset, Spelling, parse_levels, parse_levels_in
from omexp.metadata.matrices import Matrix, Point, applied, composed, inverted
from omexp.metadata.problems import Problems, shown
from omexp.metadata.systems import Frame, parse_links, parse_systems
from omexp.metadata.transforms import ScaleTranslation, parse_transforms
from omexp.world import PixelSize

__all__ = ["Dataset", "Multiscale", "method_metadata", "parse_multiscale"]


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image at several resolutions, finest first.

    `datasets` hold the whole transform (that of the dataset, then that of the multiscale). `type` and `metadata` say how the
    levels were made. `extra` keeps keys we do not know, `frame` the coordinate systems of 0.6, `outer` the transforms of the multiscale as
    0.4 and 0.5 spell them. `scale_is_implied` where the document says none: `with_shapes` takes it from the arrays.
    """

    axes: Axes
    datasets: tuple[Dataset, ...]
    name: str | None = None
    type: str | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    frame: Frame = field(default_factory=Frame)
    outer: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    scale_is_implied: bool = field(default=False, compare=False)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(d.path for d in self.datasets)

    def pixel_size(self, path: str) -> PixelSize:
        """The pixel size of a level along x, y, z and t; axes that are not there are 1."""
        transform = self.datasets[self.paths.index(path)].transform
        sizes = {a: transform.scale[i] for a in "xyzt" if (i := self.axes.index(a)) is not None}
        return PixelSize(
            **({"x": 1.0, "y": 1.0} | sizes),
            space_unit=self.axes.unit_of("x") or self.axes.unit_of("y"),
            time_unit=self.axes.unit_of("t"),
        )

    def with_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Multiscale:
        """The multiscale of a document without scales (0.1 to 0.3): each is the ratio of the finest level's shape to its own.

        Five axes are implied there; arrays of fewer have the last ones of t, c, z, y, x.
        """
        sizes = [tuple(shapes[path]) for path in self.paths]
        axes, ndim = self.axes, len(sizes[0])
        if len(axes) != ndim <= len(CANONICAL) and axes.names == CANONICAL:
            axes = Axes(axes.items[len(axes) - ndim :])
        if any(len(size) != len(axes) for size in sizes):
            return self
        scales = [tuple(a / b if a and b else 1.0 for a, b in zip(sizes[0], size, strict=True)) for size in sizes]
        datasets = tuple(
            replace(d, transform=ScaleTranslation(scale, (0.0,) * ndim)) for d, scale in zip(self.datasets, scales, strict=True)
        )
        return replace(self, axes=axes, datasets=datasets)

    # -------------------------------------------------------------------------------------------------------- points
    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the coordinate systems; before 0.6 the one of the axes."""
        return tuple(system.name for system in self.frame.systems(self.axes))

    def matrix(self, path: str, system: str | None = None) -> Matrix:
        """The map from the pixel indices of a level to world units, in the system of the axes or another one of the document.

        Raises
        ------
        NameNotFoundError
            There is no such level or system.
        ArgumentError
            No transforms that omexp applies lead to the system.
        """
        if path not in self.paths:
            raise NameNotFoundError("there is no such level", got=repr(path), allowed=", ".join(self.paths))
        own = self.datasets[self.paths.index(path)].matrix
        if system is None or system == self.frame.name:
            return own
        if system not in self.systems:
            raise NameNotFoundError("there is no such coordinate system", got=repr(system), allowed=", ".join(self.systems))
        way = self.frame.way(self.axes, system)
        if way is None:
            raise ArgumentError("no transforms that can be applied lead to that coordinate system", got=repr(system))
        return composed(own, way)

    def to_physical(self, points: Iterable[Sequence[float]], path: str, system: str | None = None) -> list[Point]:
        """Pixel indices of a level (one number per axis; the centre of a pixel is its index) in world units. Raises as `matrix`."""
        return applied(self.matrix(path, system), points)

    def to_pixels(self, points: Iterable[Sequence[float]], path: str, system: str | None = None) -> list[Point]:
        """World units as pixel indices of a level, fractions included. Raises as `matrix`, and where there is no way back."""
        return applied(self.matrix_back(path, system), points)

    def matrix_back(self, path: str, system: str | None = None) -> Matrix:
        """The map from world units to the pixel indices of a level. Raises as `matrix`, and where there is no way back."""
        back = inverted(self.matrix(path, system))
        if back is None:
            raise ArgumentError("the transform has no inverse", got=f"level {path!r} to {system or self.frame.name!r}")
        return back

    # ------------------------------------------------------------------------------------------------------ documents
    def to_json(self, version: str = "0.5") -> dict[str, Any]:
        """The entry as 0.4 and 0.5 spell it (0.4 adds its version)."""
        given = all(d.is_as_given(version) for d in self.datasets)
        entry = self._begun() | {"axes": self.axes.to_json()}
        entry["datasets"] = [d.to_json(given=given or (not self.outer and d.is_as_given(version))) for d in self.datasets]
        if given and self.outer:
            entry["coordinateTransformations"] = list(self.outer)
        return self._ended(entry)

    def to_json_in_systems(self, version: str = "0.6") -> dict[str, Any]:
        """The entry as 0.6 spells it."""
        frame = self.frame
        entry = self._begun() | {"coordinateSystems": [system.to_json() for system in frame.systems(self.axes)]}
        entry["datasets"] = [d.to_json_in(frame.name, version) for d in self.datasets]
        if frame.links:
            entry["coordinateTransformations"] = [link.to_json() for link in frame.links]
        return self._ended(entry)

    def _begun(self) -> dict[str, Any]:
        return {"name": self.name} if self.name else {}

    def _ended(self, entry: dict[str, Any]) -> dict[str, Any]:
        if self.type is not None:
            entry["type"] = self.type
        if self.metadata is not None:
            entry["metadata"] = dict(self.metadata)
        return entry | {k: v for k, v in self.extra.items() if k not in entry}


def method_metadata(description: str) -> dict[str, Any]:
    """The `metadata` entry that says how levels were made: `description` is the method's, in one sentence."""
    return {"description": f"{description} Windows lie on the level before, anchored at the origin.", "method": "omexp.downsample"}


# ---------------------------------------------------------------------------------------------------------- reading
_KNOWN = ("axes", "datasets", "name", "type", "metadata", "version", "coordinateTransformations")


def parse_multiscale(value: Any, problems: Problems, loc: str, spelling: Spelling = "axes") -> Multiscale | None:
    """A multiscale from an entry of `multiscales`. None if it cannot be used; every broken rule is noted."""
    entry = problems.expect_dict(value, loc)
    if entry is None:
        return None
    parse = _parse_in_systems if spelling == "systems" else _parse_with_axes
    found = parse(entry, problems, loc, spelling)
    name, kind = (problems.text_of(entry, key, loc) for key in ("name", "type"))
    problems.no_null(entry, loc, "metadata", "coordinateTransformations")
    how = entry.get("metadata")
    if not isinstance(how, (dict, type(None))):
        problems.broken("multiscale-metadata-object", f"{loc}.metadata", f"expected an object, got {shown(how)}")
        how = None
    # "SHOULD contain 'name'", "'type' ... the type of downscaling method", "'metadata' ... additional information" (all versions)
    for key, given in (("name", name), ("type", kind), ("metadata", how)):
        if given is None:
            problems.broken(f"multiscale-{key}", f"{loc}.{key}", "missing")
    problems.expect_version(entry, "version-multiscales", loc)
    if found is None:
        return None
    _check_levels(found.datasets, found.axes, problems, f"{loc}.datasets")
    if problems.unusable:
        return None
    known = (*_KNOWN, "coordinateSystems") if spelling == "systems" else _KNOWN
    return replace(found, name=name, type=kind, metadata=how, extra={k: v for k, v in entry.items() if k not in known})


def _parse_with_axes(entry: dict[str, Any], problems: Problems, loc: str, spelling: Spelling) -> Multiscale | None:
    """The axes and levels of 0.1 to 0.5."""
    listed = entry.get("axes")
    if spelling == "implied" and listed is None:
        listed = list(CANONICAL)
    if spelling in ("implied", "names") and isinstance(listed, list):
        # "'axes' MUST be a list of strings" (0.3)
        if not all(isinstance(name, str) for name in listed):
            problems.broken("axis-string", f"{loc}.axes", f"expected names, got {shown(listed)}")
        listed = [{"name": name} if isinstance(name, str) else name for name in listed]
    axes = parse_axes(listed, problems, f"{loc}.axes")
    entries = _listed_levels(entry, problems, loc)
    if axes is None or not entries:
        return None
    place, given = f"{loc}.coordinateTransformations", entry.get("coordinateTransformations")
    outer = parse_transforms(given, len(axes), problems, place, required=False)
    required = spelling == "axes"
    whole = outer or ScaleTranslation.identity(len(axes))
    levels = parse_levels(entries, len(axes), whole, problems, f"{loc}.datasets", required=required)
    if outer is None:
        return None
    implied = not required and not any(level.given for level in levels)
    return Multiscale(axes, tuple(levels), outer=tuple(given or ()), scale_is_implied=implied)


def _parse_in_systems(entry: dict[str, Any], problems: Problems, loc: str, spelling: Spelling) -> Multiscale | None:
    """The coordinate systems and levels of 0.6."""
    systems = parse_systems(entry.get("coordinateSystems"), problems, f"{loc}.coordinateSystems")
    entries = _listed_levels(entry, problems, loc)
    if not entries:
        return None
    levels, intrinsic = parse_levels_in(entries, systems, problems, f"{loc}.datasets")
    place, given = f"{loc}.coordinateTransformations", entry.get("coordinateTransformations")
    if given == []:
        problems.broken("transforms-empty", place, "empty; expected a transform, or no such key")
    if given is not None and not isinstance(given, list):
        problems.broken("transform-known", place, f"expected a list, got {shown(given)}")
        given = None
    links = parse_links(given or [], systems, problems, place, intrinsic=intrinsic.name if intrinsic else None)
    if intrinsic is None:
        return None
    others = tuple(system for system in systems if system.name != intrinsic.name)
    frame = Frame(intrinsic.name, systems.index(intrinsic), intrinsic.extra, others, links)
    return Multiscale(intrinsic.axes, tuple(levels), frame=frame)


def _listed_levels(entry: dict[str, Any], problems: Problems, loc: str) -> Sequence[Any] | None:
    listed = problems.expect_list(entry.get("datasets"), f"{loc}.datasets")
    if listed is not None and not listed:
        problems.broken("datasets-empty", f"{loc}.datasets", "empty; expected at least one level")
    return listed


def _check_levels(levels: Sequence[Dataset], axes: Axes, problems: Problems, loc: str) -> None:
    paths = [level.path for level in levels]
    if len(set(paths)) != len(paths):
        problems.broken("dataset-path-unique", loc, f"paths are not unique: {shown(paths)}")
    # "The 'path's MUST be ordered from largest (i.e. highest resolution) to smallest" (all versions: datasets)
    space = [i for i, axis in enumerate(axes) if axis.type == "space"]
    sizes = [sum(level.transform.scale[i] for i in space) for level in levels]
    if any(b < a for a, b in itertools.pairwise(sizes)):
        problems.broken("datasets-order", loc, "expected the finest level first")
