"""Plates and wells: new ones and what documents may say."""

from __future__ import annotations

from typing import Any

import pytest

from omexp.errors import ArgumentError
from omexp.metadata.plate import Acquisition, ImageInWellPath, PlateMeta, WellImage, WellMeta, parse_plate, parse_well
from omexp.metadata.plate_editing import new_plate
from omexp.metadata.problems import Problems

PLATE = {
    "name": "P1",
    "rows": [{"name": "A"}, {"name": "B"}],
    "columns": [{"name": "01"}, {"name": "02"}],
    "wells": [{"path": "A/01", "rowIndex": 0, "columnIndex": 0}, {"path": "B/02", "rowIndex": 1, "columnIndex": 1}],
    "acquisitions": [{"id": 0, "name": "first", "maximumfieldcount": 2}, {"id": 3}],
    "field_count": 2,
    "plate_kind": "384",
}
WELL = {"images": [{"path": "0", "acquisition": 0}, {"path": "1", "note": "x"}], "well_kind": "round"}


def plate(**changes: Any) -> tuple[PlateMeta | None, list[str], list[str]]:
    """(plate, errors, warnings) of the good plate with changes; ... removes a key."""
    problems = Problems()
    found = parse_plate({k: v for k, v in (PLATE | changes).items() if v is not ...}, problems)
    return found, [str(p) for p in problems.errors], [str(p) for p in problems.found if p.level == "warning"]


def well(**changes: Any) -> tuple[WellMeta | None, list[str], list[str]]:
    problems = Problems()
    found = parse_well(WELL | changes, problems)
    return found, [str(p) for p in problems.errors], [str(p) for p in problems.found if p.level == "warning"]


# ---------------------------------------------------------------------------------------------------- reading plates
def test_a_plate_is_written_as_it_was_read() -> None:
    found, errors, warnings = plate(version="0.4")
    assert found is not None
    assert (found.to_json(), errors, warnings) == (PLATE, [], [])


def test_what_is_optional_may_be_missing_or_null() -> None:
    for absent in (..., None):
        found, errors, warnings = plate(name=absent, acquisitions=absent, field_count=absent)
        assert found is not None
        assert (found.name, found.acquisitions, found.field_count, errors, warnings) == (None, (), None, [], [])
        assert {"name", "acquisitions", "field_count"}.isdisjoint(found.to_json())


def test_names_that_are_numbers_are_read_as_strings() -> None:
    found, errors, _ = plate(name=7, columns=[{"name": 1}, {"name": 2}], wells=[{"path": "A/1", "rowIndex": 0, "columnIndex": 0}])
    assert found is not None
    assert (found.name, found.columns, found.wells, errors) == ("7", ("1", "2"), ("A/1",), [])


@pytest.mark.parametrize("indices", [{"rowIndex": 1, "columnIndex": 1}, {"rowIndex": "1"}, {}])
def test_wrong_indices_are_noted_and_the_path_is_trusted(indices: dict[str, Any]) -> None:
    found, errors, warnings = plate(wells=[{"path": "B/01", **indices}])
    assert found is not None
    assert (found.wells, errors) == (("B/01",), [])
    assert warnings == ["plate.wells.0: rowIndex, columnIndex should be (1, 0) for 'B/01'"]
    assert found.to_json()["wells"] == [{"path": "B/01", "rowIndex": 1, "columnIndex": 0}]


def test_what_is_listed_twice_is_taken_once_with_a_warning() -> None:
    found, errors, warnings = plate(wells=[PLATE["wells"][0]] * 2, acquisitions=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])
    assert found is not None
    assert (found.wells, found.acquisitions, errors) == (("A/01",), (Acquisition(1, "a"),), [])
    assert warnings == ["plate.wells.1.path: 'A/01' is listed twice", "plate.acquisitions.1.id: 1 is listed twice"]


@pytest.mark.parametrize("count", ["4", 0, -1, 2.5, True, [4]])
def test_a_field_count_that_is_no_positive_integer_is_noted_and_left_out(count: Any) -> None:
    found, errors, warnings = plate(field_count=count)
    assert found is not None
    assert (found.field_count, errors) == (None, [])
    assert warnings == [f"plate.field_count: expected a positive integer, got {count!r}"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"rows": ...}, "plate.rows: missing; expected a list"),
        ({"columns": "01"}, "plate.columns: expected a list, got '01'"),
        ({"wells": ...}, "plate.wells: missing; expected a list"),
        ({"rows": ["A", "B"]}, "plate.rows: every entry needs a name of its own"),
        ({"rows": [{"name": "A"}, {"name": None}]}, "plate.rows: every entry needs a name of its own"),
        ({"rows": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}, "plate.rows: every entry needs a name of its own"),
        ({"wells": ["A/01"]}, "plate.wells.0.path: expected row/column of this plate, got None"),
        ({"wells": [{"path": 5}]}, "plate.wells.0.path: expected row/column of this plate, got 5"),
        ({"wells": [{"path": "C/01"}]}, "plate.wells.0.path: expected row/column of this plate, got 'C/01'"),
        ({"wells": [{"path": "A/1"}]}, "plate.wells.0.path: expected row/column of this plate, got 'A/1'"),
        ({"wells": [{"path": "run/A/01"}]}, "plate.wells.0.path: expected row/column of this plate, got 'run/A/01'"),
        ({"wells": [{"path": "../A"}]}, "plate.wells.0.path: expected row/column of this plate, got '../A'"),
        ({"acquisitions": {"id": 0}}, "plate.acquisitions: expected a list, got {'id': 0}"),
        ({"acquisitions": [0]}, "plate.acquisitions.0.id: expected an object with an integer id, got 0"),
        ({"acquisitions": [{"name": "a"}]}, "plate.acquisitions.0.id: expected an object with an integer id, got {'name': 'a'}"),
        ({"acquisitions": [{"id": "0"}]}, "plate.acquisitions.0.id: expected an object with an integer id, got {'id': '0'}"),
        ({"acquisitions": [{"id": True}]}, "plate.acquisitions.0.id: expected an object with an integer id, got {'id': True}"),
    ],
)
def test_a_plate_that_cannot_be_used_is_none_and_an_error(changes: dict[str, Any], error: str) -> None:
    found, errors, _ = plate(**changes)
    assert found is None
    assert error in errors


@pytest.mark.parametrize("value", [None, [], "plate"])
def test_a_block_that_is_no_object_is_an_error(value: Any) -> None:
    for parse in (parse_plate, parse_well):
        problems = Problems()
        assert parse(value, problems) is None
        assert len(problems.errors) == 1


# ----------------------------------------------------------------------------------------------------- reading wells
def test_a_well_is_written_as_it_was_read() -> None:
    found, errors, warnings = well(version="0.4")
    assert found is not None
    assert (found.to_json(), errors, warnings) == (WELL, [], [])


def test_integer_paths_of_early_fractal_are_read_as_strings() -> None:
    found, *_ = well(images=[{"path": 0}])
    assert found is not None
    assert found.images == (WellImage("0"),)


@pytest.mark.parametrize("run", ["0", 1.5, True, [0]])
def test_an_acquisition_that_is_no_integer_is_noted_and_left_out(run: Any) -> None:
    found, errors, warnings = well(images=[{"path": "0", "acquisition": run}])
    assert found is not None
    assert (found.images, errors) == ((WellImage("0"),), [])
    assert warnings == [f"well.images.0.acquisition: expected an integer, got {run!r}"]


def test_an_image_listed_twice_is_taken_once_with_a_warning() -> None:
    found, errors, warnings = well(images=[{"path": "0", "acquisition": 1}, {"path": 0, "acquisition": 2}])
    assert found is not None
    assert (found.images, errors, warnings) == ((WellImage("0", 1),), [], ["well.images.1.path: 0 is listed twice"])


@pytest.mark.parametrize(
    "images", [None, "0", ["0"], [{}], [{"path": None}], [{"path": True}], [{"path": ""}], [{"path": "../A"}], [{"path": "."}]]
)
def test_a_well_that_cannot_be_used_is_none_and_an_error(images: Any) -> None:
    found, errors, _ = well(images=images)
    assert found is None
    assert errors[0].startswith("well.images")


# ---------------------------------------------------------------------------------------------------------- new ones
def test_a_new_plate_lists_rows_columns_wells_and_acquisitions_in_natural_order() -> None:
    images = [
        ImageInWellPath("B", 3, "0", 1, "second"),
        ImageInWellPath("AA", 12, "0"),
        ImageInWellPath("B", 3, "1", 0, "first"),
        ImageInWellPath("A", 3, "0", 1, "second"),
    ]
    found, wells = new_plate("P1", images)
    assert (found.rows, found.columns, found.wells) == (("A", "B", "AA"), ("03", "12"), ("A/03", "B/03", "AA/12"))
    assert found.acquisitions == (Acquisition(0, "first", {"maximumfieldcount": 1}), Acquisition(1, "second", {"maximumfieldcount": 1}))
    assert found.field_count == 2
    assert wells["B/03"].images == (WellImage("0", 1), WellImage("1", 0))
    assert wells["AA/12"].to_json() == {"images": [{"path": "0"}]}


def test_a_new_plate_is_read_back_equal_without_a_word() -> None:
    images = [ImageInWellPath(r, c, p, a, f"run {a}") for r in "AB" for c in (1, 12) for a, p in enumerate(("0", "1"))]
    found, wells = new_plate("P1", images)
    problems = Problems()
    assert parse_plate(found.to_json(), problems) == found
    assert {path: parse_well(w.to_json(), problems) for path, w in wells.items()} == wells
    assert problems.found == []


def test_an_integer_column_has_two_digits_and_a_string_is_taken_as_it_is() -> None:
    assert [ImageInWellPath("A", c).well_path for c in (1, 12, 100, "1", "01")] == ["A/01", "A/12", "A/100", "A/1", "A/01"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("A/B", 1), "ImageInWellPath: row must be alphanumeric; got 'A/B'; allowed: letters and digits"),
        (("", 1), "row must be alphanumeric; got ''"),
        (("A", "1-2"), "column must be alphanumeric; got '1-2'"),
        (("A", -1), "column must be alphanumeric; got '-1'"),
        (("A", 1.5), "column must be alphanumeric; got '1.5'"),
        (("A", 1, "../0"), "this cannot name a field; got '../0'"),
    ],
)
def test_names_that_a_plate_cannot_hold_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ImageInWellPath(*given)


def test_images_that_make_no_plate_are_refused() -> None:
    with pytest.raises(ArgumentError, match="the same image is named twice; got .'A/01/0', 'A/01/0'."):
        new_plate("P1", [ImageInWellPath("A", 1), ImageInWellPath("A", "01")])
    with pytest.raises(ArgumentError, match="acquisition 0: one acquisition has two names; got .'a', 'b'."):
        new_plate("P1", [ImageInWellPath("A", 1, "0", 0, "a"), ImageInWellPath("A", 1, "1", 0, "b")])


def test_rows_and_columns_of_the_physical_plate_may_be_given() -> None:
    plate, _ = new_plate("P1", [ImageInWellPath("B", 3)], rows="ABCD", columns=range(1, 7))
    assert (plate.rows, plate.columns) == (("A", "B", "C", "D"), ("01", "02", "03", "04", "05", "06"))
    assert plate.to_json()["wells"] == [{"path": "B/03", "rowIndex": 1, "columnIndex": 2}]
    for wrong in ({"rows": "AC"}, {"columns": [1, 2]}, {"rows": "BB"}, {"columns": ["3", "03", "a b"]}):
        with pytest.raises(ArgumentError, match="must name every one of the plate once"):
            new_plate("P1", [ImageInWellPath("B", 3)], **wrong)
