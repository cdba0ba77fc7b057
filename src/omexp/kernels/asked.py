"""Which features are asked for. Knows: names, percentiles, what scikit-image refuses. Does not know: pixels."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from omexp.errors import ArgumentError
from omexp.kernels.reductions import INTENSITIES
from omexp.kernels.segments import Columns
from omexp.kernels.shapes import FEATURES, Counted

__all__ = ["Asked", "asked_features"]

MEDIAN = "intensity_median"
OF_CHANNELS = (*(f"intensity_{name}" for name in INTENSITIES), MEDIAN)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a table is to show: `names` (None: the default columns) and `percentiles` of each channel."""

    names: tuple[str, ...] | None
    percentiles: tuple[float, ...]

    @property
    def needs(self) -> set[str]:
        """What must be counted beside areas and boxes: keys of `neighbours.PATTERNS`, "moments", "hull", "feret"."""
        return {need for name in self.names or () if name in FEATURES for need in FEATURES[name].needs}

    @property
    def intensities(self) -> tuple[str, ...]:
        """Of `INTENSITIES`, those that are shown."""
        return INTENSITIES if self.names is None else tuple(name for name in INTENSITIES if f"intensity_{name}" in self.names)

    @property
    def ranks(self) -> tuple[float, ...]:
        """The percentiles that must be found, the median among them."""
        return (*((50.0,) if MEDIAN in (self.names or ()) else ()), *self.percentiles)

    def columns(self, columns: Columns, channels: Sequence[str], spacing: Sequence[float]) -> Columns:
        """The table by scikit-image's names, from host columns over the axes "0", "1", ... and of the channels."""
        counted = Counted(columns, tuple(spacing))
        table: dict[str, Any] = {"label": columns["label"]}
        for name in self.names or ():
            if name in FEATURES:
                table |= FEATURES[name].of(name, counted)
                continue
            kind = "percentile_50" if name == MEDIAN else name.removeprefix("intensity_")
            for channel in channels:
                column = columns[f"{kind}_{channel}"]
                table[_joined(name, channel)] = column.astype(np.float64) if kind in ("min", "max") else column
        for channel, q in ((channel, q) for channel in channels for q in self.percentiles):
            table[_joined(f"intensity_percentile_{q:g}", channel)] = columns[f"percentile_{q:g}_{channel}"]
        return table


def _joined(name: str, channel: str) -> str:
    return f"{name}-{channel}" if channel else name


def asked_features(
    names: Sequence[str] | None, percentiles: Sequence[float] = (), *, ndim: int, spacing: Sequence[float], has_image: bool
) -> Asked:
    """The features, checked before any pixel is read.

    Raises
    ------
    ArgumentError
        A name that is unknown or there twice, that these axes or this spacing cannot have, or that needs an image; a percentile that is
        none.

    Examples
    --------
    >>> asked_features(["area", "perimeter"], ndim=2, spacing=(1, 1), has_image=False).needs
    {'perimeter'}
    """
    if isinstance(percentiles, Real):
        percentiles = (percentiles,)  # type: ignore[assignment]
    if any(not isinstance(q, Real) or not 0 <= q <= 100 for q in percentiles):
        raise ArgumentError("a percentile must lie between 0 and 100", where="percentiles", got=tuple(percentiles), allowed="0 to 100")
    percentiles = tuple(dict.fromkeys(float(q) for q in percentiles))
    if percentiles and not has_image:
        raise ArgumentError("percentiles need an image", where="percentiles", got=percentiles, hint="Pass the image, too.")
    if names is None:
        return Asked(None, percentiles)
    if isinstance(names, str):
        raise ArgumentError("features must be a list of names", where="features", got=repr(names), hint=f"Write [{names!r}].")
    kept = tuple(name for name in dict.fromkeys(names) if name != "label")  # ids are always there
    for name in kept:
        _check(name, ndim, tuple(spacing), has_image)
    return Asked(kept, percentiles)


def _check(name: str, ndim: int, spacing: tuple[float, ...], has_image: bool) -> None:
    if name in OF_CHANNELS:
        if not has_image:
            raise ArgumentError("this feature needs an image", where="features", got=repr(name), hint="Pass the image, too.")
        return
    feature = FEATURES.get(name)
    if feature is None:
        known = (*FEATURES, *OF_CHANNELS)
        near = difflib.get_close_matches(str(name), known, 1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}?" if near else None
        raise ArgumentError("there is no such feature", where="features", got=repr(name), allowed=", ".join(known), hint=hint)
    if ndim not in ((2,) if feature.flat else (2, 3)):
        raise ArgumentError(
            "this feature is not defined for so many axes",
            where="features",
            got=f"{name!r} of {ndim} axes",
            allowed="2 axes" if feature.flat else "2 or 3 axes",
            hint="Leave it out; axes of size 1 do not count.",
        )
    if feature.square and not math.isclose(*spacing):
        raise ArgumentError(
            "this feature needs pixels of one size along both axes", where="features", got=f"{name!r} with spacing {spacing}"
        )
