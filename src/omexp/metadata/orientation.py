"""Anatomical orientation of axes (RFC-4). Knows: the terms and which exclude each other. Does not know: axes, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DIRECTIONS", "Orientation", "orientation_of"]

_PAIRS = (
    ("left", "right"), ("anterior", "posterior"), ("inferior", "superior"), ("dorsal", "ventral"), ("dorsal", "palmar"),
    ("dorsal", "plantar"), ("rostral", "caudal"), ("cranial", "caudal"), ("proximal", "distal"), ("superficial", "deep"),
    ("apical", "basal"), ("apex", "base"),
)  # fmt: skip
# term -> the anatomical axis that it runs along: both ways of one axis share it
DIRECTIONS = {term: f"{a}/{b}" for a, b in _PAIRS for term in (f"{a}-to-{b}", f"{b}-to-{a}")}


@dataclass(frozen=True, slots=True)
class Orientation:
    """Where an axis leads in the body, as in ``Orientation("left-to-right")``: from small indices to large ones."""

    value: str
    type: str = "anatomical"

    @property
    def direction(self) -> str:
        """The anatomical axis, the same for both ways along it.

        Examples
        --------
        >>> Orientation("right-to-left").direction
        'left/right'
        """
        return DIRECTIONS[self.value]

    def to_json(self) -> dict[str, str]:
        return {"type": self.type, "value": self.value}


def orientation_of(value: Any) -> Orientation | None:
    """An axis's `orientation` as a record; None where it is absent or not one of RFC-4."""
    if not isinstance(value, Mapping) or value.get("type") != "anatomical":
        return None
    term = value.get("value")
    return Orientation(term) if isinstance(term, str) and term in DIRECTIONS else None
