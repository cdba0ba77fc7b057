"""Scales and translations. Knows: `coordinateTransformations` lists. Does not know: pixels, pyramids."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omexp.metadata.problems import Problems, shown

__all__ = ["ScaleTranslation", "parse_transforms", "parse_vector"]


@dataclass(frozen=True, slots=True)
class ScaleTranslation:
    """``world = scale * index + translation`` per axis; the index of a pixel is its centre."""

    scale: tuple[float, ...]
    translation: tuple[float, ...]

    @classmethod
    def identity(cls, ndim: int) -> ScaleTranslation:
        return cls((1.0,) * ndim, (0.0,) * ndim)

    @property
    def is_usable(self) -> bool:
        """Scales above 0 and everything finite: composing transforms may leave the range of floats."""
        return all(0 < s < math.inf for s in self.scale) and all(map(math.isfinite, self.translation))

    def then(self, outer: ScaleTranslation) -> ScaleTranslation:
        """This transform followed by `outer`."""
        return ScaleTranslation(
            tuple(a * b for a, b in zip(self.scale, outer.scale, strict=True)),
            tuple(t * s + o for t, s, o in zip(self.translation, outer.scale, outer.translation, strict=True)),
        )

    def reduced(self, factors: Sequence[int]) -> ScaleTranslation:
        """The transform of the next level: scale times factor; the centre of a window of f pixels lies (f - 1) / 2 further on."""
        return ScaleTranslation(
            tuple(s * f for s, f in zip(self.scale, factors, strict=True)),
            tuple(t + (f - 1) / 2 * s for s, t, f in zip(self.scale, self.translation, factors, strict=True)),
        )

    def to_json(self) -> list[dict[str, Any]]:
        """One scale, then a translation where it is not zero."""
        scale: list[dict[str, Any]] = [{"type": "scale", "scale": list(self.scale)}]
        return [*scale, {"type": "translation", "translation": list(self.translation)}] if any(self.translation) else scale


def parse_transforms(value: Any, ndim: int, problems: Problems, loc: str, *, required: bool) -> ScaleTranslation | None:
    """Scale and translation from a 0.4 / 0.5 list; identity where it is absent and not `required`. None if unusable."""
    if value == [] and not required:
        problems.broken("transforms-empty", loc, "empty; expected a list with one scale, or no such key")
    if value is None or value == []:  # MoBIE and n5 write an empty list for "none"
        # "They MUST contain exactly one 'scale' transformation" (0.4, 0.5: datasets)
        if required:
            problems.broken("transforms-missing", loc, "missing; expected a list with one scale")
            return None
        return ScaleTranslation.identity(ndim)
    entries = problems.expect_list(value, loc)
    if entries is None:
        return None
    total, seen = ScaleTranslation.identity(ndim), []
    for i, entry in enumerate(entries):
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind not in ("scale", "translation", "identity"):
            problems.broken("transform-type", f"{loc}.{i}.type", f"expected scale or translation, got {shown(kind)}")
            return None
        seen.append(kind)
        if kind == "identity":
            # "MUST contain only 'scale' and 'translation'" (0.4, 0.5); SpatialData writes it
            problems.broken("transform-identity", f"{loc}.{i}.type", "expected scale or translation, got 'identity'")
            continue
        vector = parse_vector(entry.get(kind), ndim, problems, f"{loc}.{i}.{kind}", positive=kind == "scale")
        if vector is None:
            return None
        step = ScaleTranslation(vector, (0.0,) * ndim) if kind == "scale" else ScaleTranslation((1.0,) * ndim, vector)
        total = total.then(step)
    # "exactly one 'scale' ... It MAY contain exactly one 'translation'... after the scale" (0.4, 0.5)
    steps = [kind for kind in seen if kind != "identity"]
    if steps not in (["scale"], ["scale", "translation"]) and (steps or required):
        problems.broken("transforms-order", loc, f"expected one scale, then at most one translation, got {', '.join(seen)}")
    return total


def parse_vector(value: Any, ndim: int, problems: Problems, loc: str, *, positive: bool) -> tuple[float, ...] | None:
    """A scale or translation of `ndim` finite numbers; None, and a broken rule, if it is something else."""
    # "the length of the 'scale'/'translation' array MUST be the same as the length of 'axes'" (0.4, 0.5)
    is_numbers = isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if not is_numbers or len(value) != ndim:
        problems.broken("transform-vector", loc, f"expected {ndim} numbers, got {shown(value)}")
        return None
    if not all(abs(v) <= sys.float_info.max for v in value) or (positive and not all(v > 0 for v in value)):
        problems.broken("transform-vector", loc, f"expected finite{' positive' if positive else ''} numbers, got {shown(value)}")
        return None
    return tuple(float(v) for v in value)
