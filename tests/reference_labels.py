"""Slow, obvious references for objects in label arrays: plain loops over pixels, exact arithmetic."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

Box = tuple[tuple[int, ...], tuple[int, ...]]


def pixels_by_id(labels: np.ndarray) -> dict[Any, list[tuple[int, ...]]]:
    """The places of each object's pixels, ids ascending."""
    found: dict[Any, list[tuple[int, ...]]] = defaultdict(list)
    for place in np.ndindex(labels.shape):
        if labels[place] != 0:
            found[labels[place].item()].append(place)
    return dict(sorted(found.items()))


def boxes(labels: np.ndarray) -> dict[Any, Box]:
    """The start and exclusive stop of each object."""
    return {
        number: (tuple(min(column) for column in zip(*places, strict=True)), tuple(max(column) + 1 for column in zip(*places, strict=True)))
        for number, places in pixels_by_id(labels).items()
    }


def objects(labels: np.ndarray, images: Mapping[str, np.ndarray], axes: str, spacing: Sequence[float]) -> dict[str, list[Any]]:
    """The columns of `omexp.measuring.measure_objects`, from exact fractions."""
    columns: dict[str, list[Any]] = defaultdict(list)
    for number, places in pixels_by_id(labels).items():
        columns["label"].append(number)
        columns["area"].append(len(places))
        columns["volume"].append(len(places) * math.prod(spacing))
        for axis, coordinates in zip(axes, zip(*places, strict=True), strict=True):
            columns[f"bbox_min_{axis}"].append(min(coordinates))
            columns[f"bbox_max_{axis}"].append(max(coordinates) + 1)
            columns[f"centroid_{axis}"].append(sum(coordinates) / len(places))
        for channel, image in images.items():
            values = [Fraction(image[place].item()) for place in places]
            mean = sum(values) / len(values)
            columns[f"mean_{channel}"].append(float(mean))
            columns[f"std_{channel}"].append(math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)))
            columns[f"min_{channel}"].append(min(values))
            columns[f"max_{channel}"].append(max(values))
            columns[f"sum_{channel}"].append(sum(values))
    return dict(columns)


def fold(values: Sequence[float], op: Any) -> float:
    """Neighbours paired by position, then the pairs, until one value is left; one without a neighbour stays."""
    row = list(values)
    while len(row) > 1:
        row = [op(row[i], row[i + 1]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]
