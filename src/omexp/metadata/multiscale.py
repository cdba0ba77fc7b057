"""A multiscale image: its axes and its levels. Knows: the `multiscales` entry. Does not know: array shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omexp.metadata.axes import Axes, parse_axes
from omexp.metadata.problems import Problems, shown
from omexp.metadata.transforms import ScaleTranslation, parse_transforms
from omexp.world import PixelSize

__all__ = ["Dataset", "Multiscale", "method_metadata", "parse_multiscale"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One level: where its array lies under the group, and what its pixels mean in world units."""

    path: str
    transform: ScaleTranslation


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image at several resolutions, finest first.

    `datasets` hold the whole transform (that of the dataset, then that of the multiscale). `type` and `metadata` say how the
    levels were made. `extra` keeps keys we do not know.
    """

    axes: Axes
    datasets: tuple[Dataset, ...]
    name: str | None = None
    type: str | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

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

    def to_json(self) -> dict[str, Any]:
        """The entry as 0.4 and 0.5 spell it (0.4 adds its version)."""
        entry: dict[str, Any] = {"name": self.name} if self.name else {}
        entry["axes"] = self.axes.to_json()
        entry["datasets"] = [{"path": d.path, "coordinateTransformations": d.transform.to_json()} for d in self.datasets]
        if self.type is not None:
            entry["type"] = self.type
        if self.metadata is not None:
            entry["metadata"] = dict(self.metadata)
        return entry | dict(self.extra)


def method_metadata(description: str) -> dict[str, Any]:
    """The `metadata` entry that says how levels were made: `description` is the method's, in one sentence."""
    return {"description": f"{description} Windows lie on the level before, anchored at the origin.", "method": "omexp.downsample"}


_KNOWN = ("axes", "datasets", "name", "type", "metadata", "version", "coordinateTransformations")


def parse_multiscale(value: Any, problems: Problems, loc: str) -> Multiscale | None:
    """A multiscale from a 0.4 / 0.5 entry. None if it cannot be used; every broken rule is noted."""
    entry = problems.expect_dict(value, loc)
    if entry is None:
        return None
    axes = parse_axes(entry.get("axes"), problems, f"{loc}.axes")
    datasets = problems.expect_list(entry.get("datasets"), f"{loc}.datasets")
    if datasets is not None and not datasets:
        problems.error(f"{loc}.datasets", "empty; expected at least one level")
    if axes is None or not datasets:
        return None
    outer = parse_transforms(
        entry.get("coordinateTransformations"), len(axes), problems, f"{loc}.coordinateTransformations", required=False
    )
    levels = []
    for i, dataset in enumerate(datasets):
        place = f"{loc}.datasets.{i}"
        # "Each dictionary in 'datasets' MUST contain the field 'path'" (0.4, 0.5); early Fractal wrote integers
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if not isinstance(path, (str, int)) or isinstance(path, bool) or str(path).strip("/") == "":
            problems.error(f"{place}.path", f'expected a string such as "{i}", got {shown(path)}')
            continue
        if ".." in str(path).split("/"):
            problems.error(f"{place}.path", f"leads outside the group: {shown(path)}")
            continue
        own = parse_transforms(
            dataset.get("coordinateTransformations"), len(axes), problems, f"{place}.coordinateTransformations", required=True
        )
        if own is None or outer is None:
            continue
        whole = own.then(outer)
        if not whole.is_usable:
            problems.error(f"{place}.coordinateTransformations", "the product of the scales is not a finite positive number")
        levels.append(Dataset(str(path).strip("/"), whole))
    if len({d.path for d in levels}) != len(levels):
        problems.error(f"{loc}.datasets", f"paths are not unique: {shown([d.path for d in levels])}")
    if problems.errors:
        return None
    extra = {k: v for k, v in entry.items() if k not in _KNOWN}
    how = entry.get("metadata")
    if not isinstance(how, (dict, type(None))):
        problems.warn(f"{loc}.metadata", f"expected an object, got {shown(how)}")
        how = None
    name, kind = (problems.text(entry.get(key), f"{loc}.{key}") for key in ("name", "type"))
    return Multiscale(axes, tuple(levels), name, kind, how, extra)
