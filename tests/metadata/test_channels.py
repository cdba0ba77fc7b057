"""The `omero` block: channels of new images and what documents may say."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from omexp.errors import ArgumentError, NameNotFoundError
from omexp.metadata.channels import Channel, ChannelsMeta, Window, default_channels, dtype_limits, parse_channels
from omexp.metadata.problems import Problems

WINDOW = {"min": 0.0, "max": 255.0, "start": 10.0, "end": 200.0}
DAPI = {"label": "DAPI", "color": "0000FF", "active": True, "wavelength_id": "A01_C01", "window": WINDOW}


def parsed(value: Any, count: int | None = 1, dtype: str = "uint8") -> tuple[ChannelsMeta, list[str]]:
    """(channels, warnings); there are never errors: channels are optional."""
    problems = Problems()
    channels = parse_channels(value, count, dtype, problems)
    assert problems.errors == ()
    return channels, [str(p) for p in problems.found]


def channel(**changes: Any) -> tuple[Channel, list[str]]:
    """DAPI with changes; a value of None is kept, ... removes the key."""
    entry = {k: v for k, v in (DAPI | changes).items() if v is not ...}
    channels, warnings = parsed({"channels": [entry]})
    return channels.channels[0], warnings


# ------------------------------------------------------------------------------------------------------------- new
@pytest.mark.parametrize(
    ("dtype", "limits"),
    [("uint8", (0, 255)), ("uint16", (0, 65535)), ("int8", (-128, 127)), ("int64", (-(2.0**63), 2.0**63)), ("float64", (0, 1))],
)
def test_a_slider_offers_the_whole_range_of_integers_and_0_to_1_else(dtype: str, limits: tuple[float, float]) -> None:
    assert dtype_limits(dtype) == limits


def test_new_channels_have_names_colours_and_the_range_of_the_dtype() -> None:
    channels = default_channels(3, "uint8")
    assert channels.channel_labels == channels.channel_wavelength_ids == ["channel_0", "channel_1", "channel_2"]
    assert [c.color for c in channels.channels] == ["00FFFF", "FF00FF", "FFFF00"]
    assert {c.window for c in channels.channels} == {Window(0, 255, 0, 255)}
    assert all(c.active for c in channels.channels)


def test_colours_are_guessed_from_names_or_given() -> None:
    names = ["DAPI", "Alexa 488", "mCherry", "Cy5", "bright field", "??"]
    assert [c.color for c in default_channels(6, "uint8", labels=names).channels] == [
        "0000FF",
        "00FF00",
        "FF0000",
        "FF00FF",
        "FFFFFF",
        "0000FF",
    ]
    assert [c.color for c in default_channels(2, "uint8", colors=["#00ffAa", "ffffff"]).channels] == ["00FFAA", "FFFFFF"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": ["a"]}, "channel_labels must have one entry per channel; got .'a'.; allowed: 2 entries"),
        ({"labels": ["a", "a"]}, "channel_labels must be unique; got .'a', 'a'."),
        ({"wavelength_ids": ["a"]}, "channel_wavelengths must have one entry per channel"),
        ({"colors": ["red", "blue"]}, "channel_colors: a colour must be six hex digits; got 'red'; allowed: such as '00FFAA'"),
        ({"colors": ["FFF", "FFF"]}, "a colour must be six hex digits"),
    ],
)
def test_lists_that_do_not_fit_the_channels_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        default_channels(2, "uint8", **given)


# ------------------------------------------------------------------------------------------------------- documents
def test_channels_are_written_as_they_were_read() -> None:
    value = {"channels": [DAPI | {"coefficient": 1, "family": "linear"}], "rdefs": {"model": "color"}, "id": 7}
    channels, warnings = parsed(value)
    assert channels.to_json() == value
    assert warnings == []
    assert parsed(channels.to_json())[0] == channels


def test_a_missing_block_gives_default_channels_without_a_warning() -> None:
    assert parsed(None, 2) == (default_channels(2, "uint8"), [])


@pytest.mark.parametrize("value", ["omero", [], {}, {"channels": None}, {"channels": {"0": DAPI}}])
def test_a_block_without_a_list_of_channels_gives_default_channels(value: Any) -> None:
    assert parsed(value, 2) == (default_channels(2, "uint8"), ["omero: expected an object with a list of channels"])


def test_channels_that_are_missing_are_made_up_and_those_too_many_are_left_out() -> None:
    channels, warnings = parsed({"channels": [DAPI]}, 3)
    assert channels.channel_labels == ["DAPI", "channel_1", "channel_2"]
    assert warnings == ["omero.channels: expected 3 channels, as the c axis has, got 1"]
    channels, warnings = parsed({"channels": [DAPI, DAPI, DAPI]}, 1)
    assert channels.channel_labels == ["DAPI"]
    assert warnings == ["omero.channels: expected 1 channels, as the c axis has, got 3"]


def test_without_a_count_there_are_as_many_channels_as_are_listed() -> None:
    assert len(parsed({"channels": [DAPI, DAPI]}, None)[0]) == 2
    assert len(parsed(None, None)[0]) == len(parsed("omero", None)[0]) == 1


@pytest.mark.parametrize("key", ["label", "color", "window", "active", "wavelength_id"])
@pytest.mark.parametrize("absent", [..., None])
def test_a_field_that_is_missing_or_null_is_made_up_without_a_warning(key: str, absent: Any) -> None:
    found, warnings = channel(**{key: absent})
    default = default_channels(1, "uint8").channels[0]
    assert getattr(found, key) == (None if key == "wavelength_id" else getattr(default, key))
    assert warnings == []


def test_numbers_for_names_are_read_as_strings() -> None:
    found, warnings = channel(label=3, wavelength_id=488)
    assert (found.label, found.wavelength_id, warnings) == ("3", "488", [])


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"label": ["DAPI"]}, "omero.channels.0.label: expected a string, got ['DAPI']"),
        ({"wavelength_id": {"a": 1}}, "omero.channels.0.wavelength_id: expected a string, got {'a': 1}"),
        ({"color": "blue"}, "omero.channels.0.color: expected six hex digits, got 'blue'"),
        ({"color": [0, 0, 255]}, "omero.channels.0.color: expected a string, got [0, 0, 255]"),
        ({"window": [0, 1]}, "omero.channels.0.window: expected numbers min, max, start, end, got [0, 1]"),
        ({"window": "min"}, "omero.channels.0.window: expected numbers min, max, start, end, got 'min'"),
        ({"window": WINDOW | {"min": "low"}}, "omero.channels.0.window: expected numbers min, max, start, end"),
        ({"window": WINDOW | {"end": math.nan}}, "omero.channels.0.window: expected numbers min, max, start, end"),
        ({"window": WINDOW | {"end": "inf"}}, "omero.channels.0.window: expected numbers min, max, start, end"),
        ({"window": WINDOW | {"end": 10**400}}, "omero.channels.0.window: expected numbers min, max, start, end"),
    ],
)
def test_a_field_that_cannot_be_used_is_made_up_with_a_warning(changes: dict[str, Any], warning: str) -> None:
    found, warnings = channel(**changes)
    default = default_channels(1, "uint8").channels[0]
    (key,) = changes
    assert getattr(found, key) == (None if key == "wavelength_id" else getattr(default, key))
    assert warnings[0].startswith(warning)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_channel_that_is_no_object_is_made_up() -> None:
    channels, warnings = parsed({"channels": ["DAPI", DAPI]}, 2)
    assert channels.channel_labels == ["channel_0", "DAPI"]
    assert warnings == ["omero.channels.0: expected an object, got 'DAPI'"]


def test_windows_may_be_strings_or_incomplete_and_colours_may_have_a_hash() -> None:
    found, warnings = channel(window={"min": "0", "end": "12.5"}, color="#00ff00")
    assert (found.window, found.color, warnings) == (Window(0, 255, 0, 12.5), "00ff00", [])


def test_a_channel_may_be_switched_off() -> None:
    assert [channel(active=v)[0].active for v in (True, False, 1, 0)] == [True, False, True, False]


# --------------------------------------------------------------------------------------------------------- finding
def test_a_channel_is_found_by_label_or_wavelength() -> None:
    channels = default_channels(2, "uint8", labels=["DAPI", "GFP"], wavelength_ids=["405", "488"])
    assert channels.get_channel_idx("GFP") == channels.get_channel_idx(wavelength_id="488") == 1


def test_a_channel_that_is_not_there_or_there_twice_is_an_error_that_lists_all() -> None:
    channels = ChannelsMeta((Channel("DAPI"), Channel("GFP"), Channel("DAPI")))
    with pytest.raises(NameNotFoundError, match="no channel has that name; got 'Cy5'; allowed: DAPI, GFP, DAPI. Select by index along c"):
        channels.get_channel_idx("Cy5")
    with pytest.raises(NameNotFoundError, match="several channels have that name; got 'DAPI'"):
        channels.get_channel_idx("DAPI")
    for given in ({}, {"channel_label": "a", "wavelength_id": "b"}):
        with pytest.raises(ArgumentError, match="pass exactly one of channel_label and wavelength_id"):
            channels.get_channel_idx(**given)
