"""Regions as columns. Knows: the column names of Fractal's ROI tables, units. Does not know: tables, files.

The names say micrometer and second, and so the values are; regions are in the units of their image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.containers.roi import Roi, RoiSlice
from omexp.containers.tables.columns import cells, inferred, whole
from omexp.errors import ArgumentError
from omexp.world import convert

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IN_FILES", "Units", "check_frame", "frame_of_rois", "in_other_units", "rois_of_frame"]

Units = tuple[str | None, str | None]  # of space and of time
IN_FILES: Units = ("micrometer", "second")

_SPACE = {axis: (f"{axis}_micrometer", f"len_{axis}_micrometer") for axis in "zyx"}
_TIME = ("t_second", "len_t_second")
_REQUIRED = ("x_micrometer", "y_micrometer", "z_micrometer", "len_x_micrometer", "len_y_micrometer", "len_z_micrometer")
_NAME = "FieldIndex"


def frame_of_rois(rois: Sequence[Roi], index_key: str) -> pd.DataFrame:
    """One row per region, named by its label where `index_key` is "label", else by its name; numbers as they are. Without z: z 0, length 1.

    Raises
    ------
    ArgumentError
        A region in pixels, without x or y, open, over another axis, without label where one is needed, or with an extra column that
        has the name of another column.
    """
    import pandas as pd

    intervals = [_intervals(roi) for roi in rois]
    columns: dict[str, Any] = {}
    for name in _REQUIRED:
        axis = name.removeprefix("len_")[0]
        columns[name] = np.array([i[axis][name.startswith("len_")] for i in intervals], dtype="float64")
    if any("t" in i for i in intervals):
        for place, name in enumerate(_TIME):
            columns[name] = np.array([i.get("t", (np.nan, np.nan))[place] for i in intervals], dtype="float64")
    by_label = index_key == "label"
    keys = [roi.label for roi in rois] if by_label else [roi.get_name() for roi in rois]
    if by_label and any(roi.name not in (None, str(roi.label)) for roi in rois):
        columns[_NAME] = inferred([roi.name for roi in rois])
    if not by_label and any(roi.label is not None for roi in rois):
        columns["label"] = inferred([roi.label for roi in rois])
    for name in dict.fromkeys(key for roi in rois for key in roi.extra):
        if name in (*_REQUIRED, *_TIME, "label", _NAME, index_key):
            raise ArgumentError("an extra value has the name of a column of its own", where="Roi.extra", got=repr(name))
        columns[name] = inferred([roi.extra.get(name) for roi in rois])
    index = pd.Index(keys, name=index_key, dtype=None if keys else ("int64" if by_label else object))
    frame = pd.DataFrame(columns)
    frame.index = index
    return frame


def _intervals(roi: Roi) -> dict[str, tuple[float, float]]:
    """Axis -> (start, length); z added where it lacks."""
    where = roi.get_name()
    if roi.space != "world":
        raise ArgumentError("a ROI table holds world coordinates", where=where, got=roi.space, hint="Call roi.to_world(pixel_size) first.")
    unknown = [axis for axis in roi.axes if axis not in "tzyx"]
    if unknown or not {"y", "x"} <= set(roi.axes):
        raise ArgumentError("a ROI table has no place for these axes", where=where, got=list(roi.axes), allowed="y and x, with z, with t")
    return {"z": (0.0, 1.0)} | {s.axis_name: _bounds(s, where) for s in roi.slices}


def _bounds(interval: RoiSlice, where: str) -> tuple[float, float]:
    if interval.length is None:
        raise ArgumentError(
            "a ROI table cannot hold an open interval",
            where=where,
            got=f"axis {interval.axis_name!r} without length",
            hint="Give a length.",
        )
    return (interval.start or 0.0, interval.length)


def in_other_units(frame: pd.DataFrame, source: Units, target: Units) -> pd.DataFrame:
    """The frame with the numbers of regions in other units of space and time; itself where nothing changes."""
    if _same(source, target):
        return frame
    changed = {
        name: convert(frame[name], source[name in _TIME], target[name in _TIME]) for name in (*_REQUIRED, *_TIME) if name in frame.columns
    }
    return frame.assign(**changed)


def _same(source: Units, target: Units) -> bool:
    return all(convert(1.0, a, b) == 1.0 for a, b in zip(source, target, strict=True))


def check_frame(frame: pd.DataFrame) -> None:
    """Raise `ArgumentError` where a column is missing, or holds something that cannot bound a region."""
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        raise ArgumentError("columns of a ROI table are missing", where="ROI table", got=list(frame.columns), allowed=f"also {missing}")
    for name in (*_REQUIRED, *_times(frame)):
        values = _floats(frame, name, gaps=name in _TIME)
        if name.startswith("len_") and (values < 0).any():
            row = int(np.argmax(values < 0))
            raise ArgumentError("a length must not be negative", where=f"column {name!r}, row {frame.index[row]!r}", got=values[row].item())
    if frame.index.name != "label":
        _labels(frame)


def _times(frame: pd.DataFrame) -> tuple[str, ...]:
    return _TIME if set(_TIME) <= set(frame.columns) else ()


def rois_of_frame(frame: pd.DataFrame, units: Units = (None, None)) -> list[Roi]:
    """One region per row, over t, z, y, x (t where the table has it), in these units. Columns with other names become `Roi.extra`.

    The frame is one that `check_frame` found nothing wrong with.
    """
    by_label = frame.index.name == "label"
    taken = {*_REQUIRED, *_times(frame), "label", *([_NAME] if by_label else [])}
    numbers = {axis: [_listed(frame, name, units[0], "micrometer") for name in names] for axis, names in _SPACE.items()}
    if _times(frame):
        numbers = {"t": [_listed(frame, name, units[1], "second") for name in _TIME]} | numbers
    keys = cells(frame.index)
    labels = keys if by_label else _labels(frame)
    names = cells(frame[_NAME]) if by_label and _NAME in frame.columns else [None] * len(keys)
    extras = {str(name): _values(frame[name]) for name in frame.columns if name not in taken}
    return [
        Roi(
            name=str(keys[row]) if names[row] is None else names[row],
            slices=tuple(RoiSlice(axis, s[row], n[row]) for axis, (s, n) in numbers.items() if s[row] is not None),
            label=labels[row],
            extra={name: values[row] for name, values in extras.items()},
        )
        for row in range(len(keys))
    ]


def _listed(frame: pd.DataFrame, name: str, unit: str | None, stored: str) -> list[float | None]:
    """A column as numbers in a unit, None for what is missing."""
    values = convert(_floats(frame, name, gaps=True), stored, unit)
    return [v if known else None for v, known in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)]


def _labels(frame: pd.DataFrame) -> list[int | None]:
    if "label" not in frame.columns:
        return [None] * len(frame)
    return [None if v is None else whole(v, "column 'label'") for v in cells(frame["label"])]


def _values(column: pd.Series) -> list[Any]:
    """Python values; NaN stays NaN in a column of floats."""
    return column.tolist() if column.dtype.kind == "f" and isinstance(column.dtype, np.dtype) else cells(column)


def _floats(frame: pd.DataFrame, name: str, *, gaps: bool = False) -> np.ndarray:
    try:
        values = frame[name].to_numpy(dtype="float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"a column of a ROI table holds no numbers ({error})", where=f"column {name!r}") from None
    finite = np.isfinite(values)
    if not gaps and not finite.all():
        row = int(np.argmin(finite))
        raise ArgumentError("a region has no finite bound", where=f"column {name!r}, row {frame.index[row]!r}", got=values[row].item())
    return values
