"""Label images: names, the `image-label` block, lists of names."""

from __future__ import annotations

from typing import Any

import pytest

from omexp.errors import ArgumentError
from omexp.metadata.labels import ImageLabel, parse_image_label, parse_labels_list, require_name
from omexp.metadata.problems import Problems


def parsed(value: Any) -> tuple[ImageLabel, list[str]]:
    """(image-label, warnings); there are never errors: the block is optional."""
    problems = Problems()
    label = parse_image_label(value, problems)
    assert problems.errors == ()
    return label, [str(p) for p in problems.found]


@pytest.mark.parametrize("name", ["nuclei", "0", "cell_1.v2", "A-b", "_x"])
def test_names_that_every_store_can_hold_are_taken(name: str) -> None:
    assert require_name(name, "label name") == name


@pytest.mark.parametrize("name", ["", ".", "..", ".zattrs", "a/b", "a b", "nuclei\n", "é", 3, None])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(
        ArgumentError, match="the label name cannot be used; got .*; allowed: letters, digits, '_', '-', '.', not first a '.'"
    ):
        require_name(name, "label name")


def test_a_block_is_written_as_it_was_read() -> None:
    value = {
        "source": {"image": "../../"},
        "colors": [{"label-value": 1, "rgba": [0, 0, 0, 255], "note": "x"}],
        "properties": [{"label-value": 1, "area": 5.5}],
        "method": "cellpose",
    }
    label, warnings = parsed(value | {"version": "0.4"})
    assert label.to_json() == value
    assert warnings == []
    assert parsed(label.to_json())[0] == label


def test_empty_lists_are_not_written_since_the_schemas_want_an_entry() -> None:
    assert parsed({"colors": [], "properties": None})[0].to_json() == {}
    assert ImageLabel().to_json() == {"source": {"image": "../../"}}


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("nuclei", "image-label: expected an object, got 'nuclei'"),
        ({"colors": {"1": "red"}}, "image-label.colors: expected a list of objects, got {'1': 'red'}"),
        ({"properties": [1]}, "image-label.properties: expected a list of objects, got [1]"),
        ({"colors": [{"rgba": [0, 0, 0, 0]}]}, "image-label.colors: label-value must be an integer, got None"),
        ({"colors": [{"label-value": 1}, {"label-value": 1.5}]}, "image-label.colors: label-value must be an integer, got 1.5"),
        ({"properties": [{"label-value": True}]}, "image-label.properties: label-value must be an integer, got True"),
        ({"source": {"image": ["../.."]}}, "image-label.source.image: expected a string, got ['../..']"),
    ],
)
def test_what_is_wrong_in_a_block_is_noted_and_the_rest_is_read(value: Any, warning: str) -> None:
    label, warnings = parsed(value)
    assert warnings == [warning]
    assert label.source_image is None


@pytest.mark.parametrize("source", [None, "..", [], {}])
def test_a_source_that_names_no_image_is_none(source: Any) -> None:
    assert parsed({"source": source}) == (ImageLabel(None), [])


@pytest.mark.parametrize(
    ("value", "names", "refused"),
    [
        (None, [], False),
        ([], [], False),
        (["a", "b", "a"], ["a", "b"], False),
        ("nuclei", [], True),
        ([1, 2], ["1", "2"], False),
        (["a", None], [], True),
        ({"a": 1}, [], True),
    ],
)
def test_a_list_of_names_is_read_once_each(value: Any, names: list[str], refused: bool) -> None:
    problems = Problems()
    assert parse_labels_list(value, problems) == names
    assert bool(problems.errors) == refused
