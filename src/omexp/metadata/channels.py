"""Channels and how to show them. Knows: the `omero` block. Does not know: pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omexp.errors import ArgumentError, NameNotFoundError
from omexp.metadata.problems import Problems, shown

__all__ = ["Channel", "ChannelsMeta", "Window", "default_channels", "dtype_limits", "parse_channels"]

_BY_NAME = (
    (r"dapi|hoechst|bfp|405", "0000FF"),
    (r"gfp|fitc|alexa.?488|488|nanog", "00FF00"),
    (r"cy3|tritc|rfp|mcherry|alexa.?5[46]|5[56]\d", "FF0000"),
    (r"cy5|alexa.?6|6[34]\d", "FF00FF"),
    (r"bright.?field|phase|dic|trans", "FFFFFF"),
)
_CYCLE = ("00FFFF", "FF00FF", "FFFF00", "00FF00", "FF0000", "0000FF", "FFA500", "FFFFFF")


@dataclass(frozen=True, slots=True)
class Window:
    """Display window: `start` to `end` is shown, `min` to `max` is what the slider offers; `extra` keeps the rest."""

    min: float
    max: float
    start: float
    end: float
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        return {"min": self.min, "max": self.max, "start": self.start, "end": self.end} | dict(self.extra)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: label, colour (six hex digits), display window; `wavelength_id` is Fractal's key; `extra` keeps the rest."""

    label: str
    color: str = "FFFFFF"
    window: Window | None = None
    active: bool = True
    wavelength_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"label": self.label, "color": self.color, "active": self.active}
        if self.wavelength_id is not None:
            entry["wavelength_id"] = self.wavelength_id
        if self.window is not None:
            entry["window"] = self.window.to_json()
        return entry | dict(self.extra)


@dataclass(frozen=True, slots=True)
class ChannelsMeta:
    """The channels of an image, in the order of its c axis."""

    channels: tuple[Channel, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channel_labels(self) -> list[str]:
        return [c.label for c in self.channels]

    @property
    def channel_wavelength_ids(self) -> list[str | None]:
        return [c.wavelength_id for c in self.channels]

    def __len__(self) -> int:
        return len(self.channels)

    def get_channel_idx(self, channel_label: str | None = None, wavelength_id: str | None = None, *, where: str = "channels") -> int:
        """The position of the channel with that label or wavelength id (exactly one of the two); `where` is named in messages.

        Raises
        ------
        ArgumentError
            Both or neither are given.
        NameNotFoundError
            No channel, or more than one, has it.
        """
        if (channel_label is None) == (wavelength_id is None):
            raise ArgumentError(
                "pass exactly one of channel_label and wavelength_id",
                where=where,
                got=f"{channel_label!r}, {wavelength_id!r}",
                allowed=f"labels {', '.join(self.channel_labels)}",
            )
        names: Sequence[str | None] = self.channel_labels if wavelength_id is None else self.channel_wavelength_ids
        wanted = channel_label if wavelength_id is None else wavelength_id
        found = [i for i, n in enumerate(names) if n == wanted]
        if len(found) != 1:
            what = "no channel has that name" if not found else "several channels have that name"
            raise NameNotFoundError(
                what, where=where, got=repr(wanted), allowed=", ".join(map(str, names)), hint="Select by index along c instead."
            )
        return found[0]

    def to_json(self) -> dict[str, Any]:
        return dict(self.extra) | {"channels": [c.to_json() for c in self.channels]}


def dtype_limits(dtype_name: str) -> tuple[float, float]:
    """The range that a slider offers for a dtype: all of an integer type, 0 to 1 for bool and floats."""
    match = re.fullmatch(r"(u?)int(\d+)", dtype_name)
    if not match:
        return 0.0, 1.0
    bits = int(match[2])
    return (0.0, float(2**bits - 1)) if match[1] else (float(-(2 ** (bits - 1))), float(2 ** (bits - 1) - 1))


def default_channels(
    count: int,
    dtype_name: str,
    *,
    labels: Sequence[str] | None = None,
    wavelength_ids: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
) -> ChannelsMeta:
    """Channels with a label, a colour guessed from it and the dtype's whole range as window.

    Raises
    ------
    ArgumentError
        A list whose length is not `count`, labels that are not unique, or a colour that is not six hex digits.
    """
    for name, given in (("channel_labels", labels), ("channel_wavelengths", wavelength_ids), ("channel_colors", colors)):
        if given is not None and (isinstance(given, str) or not isinstance(given, Collection)):
            raise ArgumentError(f"{name} must be a list", got=repr(given), allowed=f"{count} entries, one per channel")
        if given is not None and len(given) != count:
            raise ArgumentError(f"{name} must have one entry per channel", got=list(given), allowed=f"{count} entries")
    labels = [f"channel_{i}" for i in range(count)] if labels is None else [str(label) for label in labels]
    if len(set(labels)) != count:
        raise ArgumentError("channel_labels must be unique", got=labels, hint="Channels are found by their label.")
    low, high = dtype_limits(dtype_name)
    window = Window(low, high, low, high)
    chosen = [_color(c) for c in colors] if colors is not None else [_guess_color(label, i) for i, label in enumerate(labels)]
    ids = wavelength_ids if wavelength_ids is not None else labels
    return ChannelsMeta(tuple(Channel(n, c, window, True, str(w)) for n, c, w in zip(labels, chosen, ids, strict=True)))


def _guess_color(label: str, index: int) -> str:
    return next((color for pattern, color in _BY_NAME if re.search(pattern, label, re.IGNORECASE)), _CYCLE[index % len(_CYCLE)])


def _color(value: str) -> str:
    text = str(value).removeprefix("#").upper()
    if not re.fullmatch(r"[0-9A-F]{6}", text):
        raise ArgumentError("a colour must be six hex digits", where="channel_colors", got=repr(value), allowed="such as '00FFAA'")
    return text


def parse_channels(value: Any, count: int | None, dtype_name: str, problems: Problems, loc: str = "omero") -> ChannelsMeta:
    """Channels from an `omero` block, always `count` of them: what is missing is made up, what is too much is left out, with a warning.

    `count` of None takes as many as are listed.
    """
    if count is None:
        listed = value.get("channels") if isinstance(value, dict) else None
        count = len(listed) if isinstance(listed, list) else 1
    defaults = default_channels(count, dtype_name)
    if not isinstance(value, dict) or not isinstance(value.get("channels"), list):
        if value is not None:
            problems.broken("omero-channels", loc, "expected an object with a list of channels")
        return defaults
    entries = value["channels"]
    if len(entries) != count:
        problems.broken("omero-count", f"{loc}.channels", f"expected {count} channels, as the c axis has, got {len(entries)}")
    parsed = [_parse_channel(e, defaults.channels[i], problems, f"{loc}.channels.{i}") for i, e in enumerate(entries[:count])]
    extra = {k: v for k, v in value.items() if k != "channels"}
    return ChannelsMeta((*parsed, *defaults.channels[len(parsed) :]), extra)


def _parse_channel(entry: Any, default: Channel, problems: Problems, loc: str) -> Channel:
    if not isinstance(entry, dict):
        problems.broken("omero-channel", loc, f"expected an object, got {shown(entry)}")
        return default
    problems.no_null(entry, loc, "label", "active", "inverted")
    # "Each channel ... MUST contain the field 'color'" and "'window'" (0.4 to 0.6: omero)
    for key in ("color", "window"):
        if entry.get(key) is None:
            problems.broken(f"omero-{key}", f"{loc}.{key}", "missing")
    for key in ("active", "inverted"):
        if not isinstance(entry.get(key), bool | None):
            problems.broken("omero-active", f"{loc}.{key}", f"expected true or false, got {shown(entry[key])}")
    color = problems.text(entry.get("color"), f"{loc}.color") or default.color
    if color.startswith("#"):
        problems.broken("omero-color-hash", f"{loc}.color", f"expected no '#', got {shown(color)}")
        color = color.removeprefix("#")
    # "'color' ... MUST be a string of 6 hexadecimal digits" (0.4, 0.5: omero)
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", color):
        problems.broken("omero-color-hex", f"{loc}.color", f"expected six hex digits, got {shown(color)}")
        color = default.color
    window = entry.get("window")
    known = ("label", "color", "window", "active", "wavelength_id")
    return Channel(
        problems.text(entry.get("label"), f"{loc}.label") or default.label,
        color,
        _parse_window(window, default.window, problems, f"{loc}.window") if window is not None else default.window,
        entry.get("active") is None or bool(entry["active"]),
        problems.text(entry.get("wavelength_id"), f"{loc}.wavelength_id"),
        {k: v for k, v in entry.items() if k not in known},
    )


_ENDS = ("min", "max", "start", "end")


def _parse_window(value: Any, default: Window | None, problems: Problems, loc: str) -> Window | None:
    try:  # windows are written as strings, too
        numbers = {k: float(value[k]) for k in _ENDS if value.get(k) is not None}
    except (AttributeError, TypeError, ValueError, OverflowError):
        numbers = {"min": math.nan}
    if not all(map(math.isfinite, numbers.values())):
        problems.broken("omero-window-numbers", loc, f"expected numbers min, max, start, end, got {shown(value)}")
        return default
    # "'window' MUST contain 'min', 'max', 'start', 'end'" as numbers (0.4 to 0.6: omero); 0.9 asks for the last two
    missing = [k for k in _ENDS if k not in numbers]
    if missing:
        problems.broken("omero-window", loc, f"missing: {', '.join(missing)}")
    if {"start", "end"} & set(missing):
        problems.broken("omero-window-ends", loc, f"missing: {', '.join(missing)}")
    if any(isinstance(value[k], (str, bool)) for k in numbers):
        problems.broken("omero-window-text", loc, f"expected numbers, got {shown(value)}")
    extra = {k: v for k, v in value.items() if k not in _ENDS}
    return replace(default, **numbers, extra=extra) if default is not None else None
