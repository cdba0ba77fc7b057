"""What to do about a broken rule. Knows: which rules have one remedy, and what it is. Does not know: how a document is walked, files.

A fix takes the value at the place of a finding and gives the value that belongs there, `ABSENT` where none does, or `LEAVE` where there is
no telling. It never invents what only the data's author knows, and nothing that it does not know is lost.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omexp.metadata.channels import default_channels, dtype_limits
from omexp.metadata.versions import guess_version, tag_of, version_of_tag

__all__ = ["ABSENT", "FIXES", "LEAVE", "Case", "value_at"]

ABSENT: Any = object()
LEAVE: Any = object()
_SECTIONS = ("multiscales", "omero", "image-label", "labels", "plate", "well", "bioformats2raw.layout", "series")
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_TRUTHS = {"true": True, "false": False, 1: True, 0: False}


@dataclass(frozen=True)
class Case:
    """A group's document and what the store says about it.

    Parameters
    ----------
    document
        The group's attributes.
    zarr_format, version
        Of the hierarchy.
    channels, dtype
        Of the image's finest array; None where it is no image, or cannot be read.
    labels, tables
        Those that are there and may be listed.
    gone
        Names that are to be taken off the lists.
    fields
        Fields by acquisition of each well, for a plate.
    source
        The way from a label to its image.
    """

    document: Mapping[str, Any]
    zarr_format: int
    version: str
    channels: int | None = None
    dtype: str | None = None
    labels: Sequence[str] = ()
    tables: Sequence[str] = ()
    gone: Sequence[str] = ()
    fields: Mapping[str, Counter[int | None]] = field(default_factory=dict)
    source: str = "../../"


Fix = Callable[[Any, Case, str], Any]


def value_at(holder: Any, key: Any) -> Any:
    if key is None:
        return holder
    if isinstance(holder, list):
        return holder[key] if isinstance(key, int) and key < len(holder) else ABSENT
    return holder.get(key, ABSENT) if isinstance(holder, dict) else ABSENT


def _removed(value: Any, case: Case, place: str) -> Any:
    return ABSENT if value in (None, []) else LEAVE


def _as_text(value: Any, case: Case, place: str) -> Any:
    if place.startswith("omero.channels.") and place.endswith(".color"):
        return _hex_digits(value, case, place)
    return str(value) if type(value) in (int, float) and math.isfinite(value) else LEAVE


def _version(value: Any, case: Case, place: str) -> Any:
    """The version of the document; where it names none, what it looks like, unless only its arrays could tell."""
    tag = tag_of(case.document)
    found = guess_version(case.document, case.zarr_format) if tag is None else version_of_tag(tag)
    if found is None or found.zarr_format != case.zarr_format:
        return LEAVE
    if tag is None and not found.namespaced and not _looks_like_04(case.document):
        return LEAVE
    return found.tag


def _looks_like_04(document: Mapping[str, Any]) -> bool:
    entries, plate = document.get("multiscales"), document.get("plate")
    if isinstance(entries, list) and entries and isinstance(entries[0], Mapping):
        return isinstance(entries[0].get("axes"), list)
    wells = plate.get("wells") if isinstance(plate, Mapping) else None
    return isinstance(wells, list) and any(isinstance(well, Mapping) and "rowIndex" in well for well in wells)


def _moved(value: Any, case: Case, place: str) -> Any:
    """What lies beside `ome` put into it (0.5 and later)."""
    inner = value.get("ome", {})
    found = {key: value[key] for key in _SECTIONS if key in value}
    if case.zarr_format != 3 or not found or not isinstance(inner, dict) or set(found) & set(inner):
        return LEAVE
    return {key: kept for key, kept in value.items() if key not in found} | {"ome": inner | found}


def _axis_type(value: Any, case: Case, place: str) -> Any:
    axis = _in(case, place.rpartition(".")[0])
    name = axis.get("name") if isinstance(axis, Mapping) else None
    return _TYPES.get(name.lower(), LEAVE) if value is ABSENT and isinstance(name, str) else LEAVE


def _in(case: Case, place: str) -> Any:
    """What a document holds at a place of its sections."""
    here: Any = case.document.get("ome") if case.zarr_format == 3 else case.document
    for part in place.split("."):
        here = value_at(here, int(part) if part.isdigit() else part)
    return here


def _hex_digits(value: Any, case: Case, place: str) -> Any:
    """Six hex digits of "#RRGGBB", "RGB", "RRGGBBAA", or of a number, unless it is written as six digits: it could be those."""
    if type(value) is int:
        return f"{value:06X}" if 0 <= value <= 0xFFFFFF and len(str(value)) != 6 else LEAVE
    digits = value.removeprefix("#") if isinstance(value, str) else ""
    if not re.fullmatch("[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8}", digits):
        return LEAVE
    return "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits[:6]


def _color(value: Any, case: Case, place: str) -> Any:
    channels = _in(case, "omero.channels")
    if value not in (ABSENT, None) or not isinstance(channels, list):
        return LEAVE
    return _channel(channels, int(place.split(".")[2])).color


def _channel(channels: Sequence[Any], i: int, dtype: str = "uint16") -> Any:
    """The channel that would be made up at a position, by the labels that are there."""
    labels = [c.get("label") if isinstance(c, Mapping) else None for c in channels]
    labels += [None] * (i + 1 - len(labels))
    names = [label if isinstance(label, str) and labels.index(label) == k else f"channel_{k}" for k, label in enumerate(labels)]
    unique = names if len(set(names)) == len(names) else None
    return default_channels(len(labels), dtype, labels=unique).channels[i]


def _window(value: Any, case: Case, place: str) -> Any:
    """A window with all four numbers: the ends from the limits, the limits from the dtype, as far as they are missing."""
    if case.dtype is None or not (value in (ABSENT, None) or isinstance(value, dict)):
        return LEAVE
    given = {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else {}
    numbers = {k: v for k, v in given.items() if k in ("min", "max", "start", "end")}
    if not all(type(v) in (int, float) for v in numbers.values()):
        return LEAVE
    low, high = (int(n) if float(n).is_integer() else n for n in dtype_limits(case.dtype))
    least, most = min([low, *numbers.values()]), max([high, *numbers.values()])
    limits = {"min": numbers.get("min", least), "max": numbers.get("max", most)}
    return {"start": limits["min"], "end": limits["max"]} | limits | given


def _window_numbers(value: Any, case: Case, place: str) -> Any:
    if not isinstance(value, dict) or any(isinstance(v, bool) for v in value.values()):
        return LEAVE
    try:
        numbers = {k: _number(v) for k, v in value.items() if k in ("min", "max", "start", "end") and isinstance(v, str)}
    except ValueError:
        return LEAVE
    return value | numbers if all(map(math.isfinite, numbers.values())) else LEAVE


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _truth(value: Any, case: Case, place: str) -> Any:
    key = value.lower() if isinstance(value, str) else value
    return _TRUTHS.get(key, LEAVE) if isinstance(key, (str, int)) else LEAVE


def _more_channels(value: Any, case: Case, place: str) -> Any:
    if not isinstance(value, list) or case.channels is None or not len(value) < case.channels <= 4096:
        return LEAVE
    return [*value, *(_channel(value, i, case.dtype or "uint16").to_json() for i in range(len(value), case.channels))]


def _indices(value: Any, case: Case, place: str) -> Any:
    """A well with the positions of its row and column."""
    names = [_names(_in(case, f"plate.{key}")) for key in ("rows", "columns")]
    parts = str(value.get("path")).split("/") if isinstance(value, dict) else []
    if len(parts) != 2 or any(part not in listed for part, listed in zip(parts, names, strict=True)):
        return LEAVE
    return value | {"rowIndex": names[0].index(parts[0]), "columnIndex": names[1].index(parts[1])}


def _names(entries: Any) -> list[Any]:
    return [entry.get("name") if isinstance(entry, Mapping) else None for entry in entries] if isinstance(entries, list) else []


def _field_count(value: Any, case: Case, place: str) -> Any:
    return max((sum(fields.values()) for fields in case.fields.values()), default=0) or LEAVE


def _run_count(value: Any, case: Case, place: str) -> Any:
    run = _in(case, place.rpartition(".")[0])
    identity = run.get("id") if isinstance(run, Mapping) else None
    return max((fields[identity] for fields in case.fields.values()), default=0) or LEAVE


def _layout(value: Any, case: Case, place: str) -> Any:
    return 3 if value in ("3", 3.0) and not isinstance(value, bool) else LEAVE


def _series(value: Any, case: Case, place: str) -> Any:
    if not isinstance(value, list) or not all(type(path) in (str, int) for path in value):
        return LEAVE
    return [str(path) for path in value]


def _label_values(value: Any, case: Case, place: str) -> Any:
    """Entries whose label values are whole numbers written in another way."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return LEAVE
    return [entry | {"label-value": _whole(entry["label-value"])} if "label-value" in entry else entry for entry in value]


def _rgba(value: Any, case: Case, place: str) -> Any:
    return [_whole(v) for v in value] if isinstance(value, list) else LEAVE


def _whole(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _label_names(value: Any, case: Case, place: str) -> Any:
    """The list with all labels that are there; in 0.5 it may lie beside `ome`."""
    beside = case.document.get("labels") if case.zarr_format == 3 else None
    listed = value if isinstance(value, list) else beside if isinstance(beside, list) else []
    return _listed([str(name) for name in listed], case.labels, case.gone)


def _table_names(value: Any, case: Case, place: str) -> Any:
    return LEAVE if not (value is ABSENT or isinstance(value, list)) else _listed([] if value is ABSENT else value, case.tables, case.gone)


def _listed(listed: Sequence[Any], there: Sequence[str], gone: Sequence[str]) -> list[Any]:
    names = [name for name in listed if name not in gone]
    return [*names, *(name for name in there if name not in names)]


def _fewer_names(value: Any, case: Case, place: str) -> Any:
    """A list of labels without those that are to be taken off; no other list loses entries."""
    if place not in ("labels", "tables") or not isinstance(value, list) or not case.gone:
        return LEAVE
    return _listed(value, (), case.gone)


def _label_block(value: Any, case: Case, place: str) -> Any:
    found = version_of_tag(case.version)
    block: dict[str, Any] = {"source": {"image": case.source}}
    return LEAVE if value is not ABSENT or found is None else found.tagged("image-label", block)


FIXES: dict[str, Fix] = {
    "null": _removed,
    "string-number": _as_text,
    "known-kind": _moved,
    **dict.fromkeys(("version-missing", "version-multiscales", "version-plate", "version-well", "label-version", "version-same"), _version),
    **dict.fromkeys(("acquisitions-empty", "label-list-empty", "transforms-empty"), _removed),
    "axis-type": _axis_type,
    **dict.fromkeys(("omero-color-hash", "omero-color-hex"), _hex_digits),
    "omero-color": _color,
    "omero-window": _window,
    "omero-window-ends": _window,
    "omero-window-text": _window_numbers,
    "omero-active": _truth,
    "omero-count": _more_channels,
    "plate-well-indices": _indices,
    **dict.fromkeys(("plate-field-count", "plate-field-count-missing", "plate-field-count-true"), _field_count),
    **dict.fromkeys(("acquisition-fieldcount", "acquisition-fieldcount-missing", "acquisition-fieldcount-true"), _run_count),
    "layout-number": _layout,
    "series-paths": _series,
    "label-value": _label_values,
    "label-rgba": _rgba,
    "labels-key": _label_names,
    "labels-unlisted": _label_names,
    "label-block-missing": _label_block,
    "tables-unlisted": _table_names,
    "tables-missing": _fewer_names,
    "member-missing": _fewer_names,
}
