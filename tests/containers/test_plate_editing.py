"""Plates that grow and shrink: what is listed, what stays, what a kill in between leaves, and what nobody loses."""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import omexp
from omexp.containers.plates import documents as plate_documents
from omexp.errors import AlreadyExistsError, ArgumentError, NameNotFoundError, ReadOnlyError
from omexp.storage.groups import Group
from tests.stores import files

VERSIONS = ["0.4", "0.5", "0.6"]


@pytest.fixture(params=VERSIONS)
def grown(request: pytest.FixtureRequest, tmp_path: Path) -> omexp.OmeZarrPlate:
    """A/01: 0 and 1 of runs 0 and 1; B/03: 0 of run 0. No pixels."""
    plate = omexp.create_empty_plate(tmp_path / "plate.zarr", "screen", ngff_version=request.param)
    for row, column, field, run in [("B", 3, "0", 0), ("A", 1, "0", 0), ("A", 1, "1", 1)]:
        plate.add_image(row, column, field, run, f"run {run}")
    return plate


def block(folder: Path | str, key: str) -> dict[str, Any]:
    """The block of a plate's or well's document, wherever its version keeps it."""
    place = Path(folder)
    if (place / "zarr.json").exists():
        return json.loads((place / "zarr.json").read_text())["attributes"]["ome"][key]
    return json.loads((place / ".zattrs").read_text())[key]


def edit(folder: Path | str, change: Callable[[dict[str, Any]], Any], key: str = "plate") -> None:
    place = Path(folder)
    path = place / ("zarr.json" if (place / "zarr.json").exists() else ".zattrs")
    document = json.loads(path.read_text())
    change(document["attributes"]["ome"][key] if path.name == "zarr.json" else document[key])
    path.write_text(json.dumps(document))


def write(plate: omexp.OmeZarrPlate, row: str, column: int, field: str, value: int = 1) -> omexp.OmeZarrContainer:
    return omexp.create_ome_zarr_from_array(
        plate.get_image_store(row, column, field), np.full((8, 8), value, "uint8"), xy_pixelsize=1, levels=1, ngff_version=plate.version
    )


# ---------------------------------------------------------------------------------------------------------- adding
def test_a_plate_grows_image_by_image_with_rows_columns_and_counts_in_order(grown: omexp.OmeZarrPlate) -> None:
    assert (grown.rows, grown.columns, grown.wells_paths()) == (["A", "B"], ["01", "03"], ["A/01", "B/03"])
    assert grown.images_paths() == ["A/01/0", "A/01/1", "B/03/0"]
    assert grown.meta.field_count == 2
    assert [(a.id, a.name, a.maximumfieldcount) for a in grown.acquisitions] == [(0, "run 0", 1), (1, "run 1", 1)]
    document = block(grown.where, "plate")
    assert document["wells"] == [{"path": "A/01", "rowIndex": 0, "columnIndex": 0}, {"path": "B/03", "rowIndex": 1, "columnIndex": 1}]
    assert omexp.open_ome_zarr_plate(grown.where).meta == grown.meta


def test_images_are_written_where_they_were_added_and_read_back(grown: omexp.OmeZarrPlate) -> None:
    write(grown, "A", 1, "1", 7)
    with pytest.warns(omexp.OmexpWarning, match=r"fields that are listed but not on disk: A/01/0, B/03/0$"):
        images = grown.get_images()
    assert list(images) == ["A/01/1"]
    assert (images["A/01/1"].get_image().get_as_numpy() == 7).all()


def test_what_is_there_is_not_added_twice(grown: omexp.OmeZarrPlate) -> None:
    before = files(Path(grown.where))
    with pytest.raises(AlreadyExistsError, match=r"A/01: the well has such a field; got '0'"):
        grown.add_image("A", "01", "0")
    grown.add_row("A").add_column(1).add_acquisition(0, "run 0")
    assert grown.add_well("A", 1).paths() == ["0", "1"]
    assert files(Path(grown.where)) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.add_image("A/B", 1, "0"), "this cannot name a row; got 'A/B'"),
        (lambda p: p.add_image("A", "..", "0"), "this cannot name a column; got '..'"),
        (lambda p: p.add_image("A", -1, "0"), "this cannot name a column; got '-1'"),
        (lambda p: p.add_image("A", 1, "../x"), "this cannot name a field; got '../x'"),
        (lambda p: p.add_image("A", 1, "9", acquisition_id=-1), "this cannot identify an acquisition; got -1"),
        (lambda p: p.add_image("A", 1, "9", 0, "other"), r"one acquisition has two names; got \['run 0', 'other'"),
        (lambda p: p.add_acquisition(5, endtime=-3), "endtime is no integer of 0 or more; got -3"),
        (lambda p: p.add_acquisition("5"), "this cannot identify an acquisition; got '5'"),
        (lambda p: p.add_row("ä"), "this cannot name a row"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path, call: Any, message: str) -> None:
    plate = omexp.create_empty_plate(tmp_path / "plate.zarr", "p")
    plate.add_image("A", 1, "0", 0, "run 0")
    before = files(tmp_path)
    with pytest.raises(ArgumentError, match=message):
        call(plate)
    assert files(tmp_path) == before


def test_a_field_name_of_fractal_is_taken_with_a_warning_before_0_6(grown: omexp.OmeZarrPlate) -> None:
    if grown.version == "0.6":
        assert grown.add_image("A", 1, "0_mip") == "A/01/0_mip"
        return
    with pytest.warns(omexp.OmexpWarning, match="'0_mip' has other characters than letters and digits"):
        grown.add_image("A", 1, "0_mip")
    assert grown.get_well("A", 1).paths() == ["0", "1", "0_mip"]


def test_columns_are_spelled_as_the_plate_spells_them(tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "plate.zarr", "p", [omexp.ImageInWellPath("A", "3")], columns=["3", "12"])
    assert plate.add_image("A", 3, "1") == "A/3/1"
    assert plate.add_image("A", 4, "0") == "A/4/0"
    assert plate.columns == ["3", "4", "12"]
    assert plate.get_well("A", "03").paths() == ["0", "1"]


def test_acquisitions_carry_their_times_and_stay_as_they_were(grown: omexp.OmeZarrPlate) -> None:
    grown.add_acquisition(2, "late", starttime=1_700_000_000, endtime=1_700_000_500, description="after washing", maximumfieldcount=4)
    late = grown.acquisitions[2]
    assert (late.starttime, late.endtime, late.maximumfieldcount, late.description) == (1_700_000_000, 1_700_000_500, 4, "after washing")
    grown.add_acquisition(2, endtime=1_700_000_900)
    assert (grown.acquisitions[2].name, grown.acquisitions[2].starttime, grown.acquisitions[2].endtime) == (
        "late", 1_700_000_000, 1_700_000_900,
    )  # fmt: skip


def test_a_well_reached_through_its_plate_keeps_the_plates_counts(grown: omexp.OmeZarrPlate) -> None:
    well = grown.get_well("B", 3)
    with pytest.raises(ArgumentError, match="there is no such acquisition; got 7; allowed: 0, 1"):
        well.add_image("1", acquisition_id=7)
    well.add_image("1", acquisition_id=0)
    place = well.add_image("2", acquisition_id=0)
    assert (well.paths(), well.get_image_acquisition_id("2")) == (["0", "1", "2"], 0)
    assert (grown.meta.field_count, grown.acquisitions[0].maximumfieldcount) == (3, 3)
    omexp.create_empty_ome_zarr(place, (8, 8), xy_pixelsize=1, ngff_version=grown.version)
    assert grown.get_image("B", 3, "2").get_image().shape == (8, 8)
    well.remove_image("1")
    assert well.paths() == ["0", "2"]


def test_a_well_apart_from_any_plate(tmp_path: Path) -> None:
    well = omexp.create_empty_well(tmp_path / "well.zarr", ngff_version="0.4")
    assert (tmp_path / "well.zarr" / ".zgroup").exists() and well.paths() == []
    with pytest.raises(ArgumentError, match="there is no such acquisition; got 1; allowed: none yet"):
        well.add_image("0", acquisition_id=1)
    well.add_image("0", acquisition_id=1, strict=False)
    well.add_image(1, acquisition_id=1)
    assert omexp.open_ome_zarr_well(tmp_path / "well.zarr").paths(acquisition=1) == ["0", "1"]
    with pytest.raises(ArgumentError, match="opened without its plate"):
        well.remove_image("0")


# -------------------------------------------------------------------------------------------------------- removing
def test_removing_a_field_leaves_its_data_unless_told(grown: omexp.OmeZarrPlate) -> None:
    for field in ("0", "1"):
        write(grown, "A", 1, field)
    home = Path(grown.where) / "A" / "01"
    grown.remove_image("A", 1, "0")
    assert (grown.get_well("A", 1).paths(), (home / "0").is_dir()) == (["1"], True)
    assert grown.meta.field_count == 1
    grown.remove_image("A", 1, "1", delete_data=True)
    assert (grown.wells_paths(), (home / "1").exists()) == (["B/03"], False)
    assert (grown.rows, grown.columns) == (["A", "B"], ["01", "03"])
    assert [a.maximumfieldcount for a in grown.acquisitions] == [1, None]
    assert grown.add_image("A", 1, "7") == "A/01/7"
    assert grown.get_well("A", 1).paths() == ["7"]  # those that were removed do not come back


def test_removing_wells_rows_columns_and_acquisitions(grown: omexp.OmeZarrPlate) -> None:
    home = Path(grown.where)
    write(grown, "B", 3, "0")
    grown.remove_acquisition(1)
    assert (grown.acquisition_ids, grown.images_paths()) == ([0], ["A/01/0", "B/03/0"])
    grown.remove_well("B", 3, delete_data=True)
    assert (grown.wells_paths(), (home / "B" / "03").exists(), grown.rows) == (["A/01"], False, ["A", "B"])
    grown.remove_row("B")
    grown.remove_column(1)
    assert (grown.rows, grown.columns, grown.wells_paths(), (home / "A" / "01").is_dir()) == (["A"], ["03"], [], True)
    assert "field_count" not in block(home, "plate")


def test_what_is_not_there_is_not_removed(grown: omexp.OmeZarrPlate) -> None:
    before = files(Path(grown.where))
    for call, message in [
        (lambda: grown.remove_image("A", 1, "9"), "there is no such field; got '9'; allowed: 0, 1"),
        (lambda: grown.remove_image("C", 1, "0"), "there is no such well; got C/1; allowed: A/01, B/03"),
        (lambda: grown.remove_row("C"), "there is no such row; got C; allowed: A, B"),
        (lambda: grown.remove_column(9), "there is no such column; got 9"),
        (lambda: grown.remove_acquisition(9), "there is no such acquisition; got 9; allowed: 0, 1"),
    ]:
        with pytest.raises(NameNotFoundError, match=message):
            call()
    read_only = omexp.open_ome_zarr_plate(grown.where, mode="r")
    for refused in (lambda: read_only.add_image("A", 1, "5"), lambda: read_only.remove_image("A", 1, "0"), lambda: read_only.add_row("C")):
        with pytest.raises(ReadOnlyError):
            refused()
    assert files(Path(grown.where)) == before


def test_a_well_that_is_only_listed_can_be_taken_off_the_list(grown: omexp.OmeZarrPlate) -> None:
    shutil.rmtree(Path(grown.where) / "B" / "03")
    grown.remove_well("B", 3)
    assert grown.wells_paths() == ["A/01"]


# ------------------------------------------------------------------------------------------- nothing else is touched
def test_keys_that_are_not_ours_are_kept(grown: omexp.OmeZarrPlate) -> None:
    home = Path(grown.where)
    edit(home, lambda plate: plate.update(barcode="X1", rows=[{"name": "A", "note": "top"}, {"name": "B"}]))
    edit(home, lambda plate: plate["wells"][0].update(dose=3))
    edit(home / "A" / "01", lambda well: well.update(kind="round", images=[{"path": "0", "acquisition": 0, "x": 1}, {"path": "1"}]), "well")
    grown.add_image("A", 1, "2")
    grown.add_image("C", 5, "0")
    grown.remove_image("B", 3, "0")
    plate, well = block(home, "plate"), block(home / "A" / "01", "well")
    assert (plate["barcode"], plate["rows"], plate["wells"][0]["dose"]) == (
        "X1", [{"name": "A", "note": "top"}, {"name": "B"}, {"name": "C"}], 3,
    )  # fmt: skip
    assert (well["kind"], well["images"]) == ("round", [{"path": "0", "acquisition": 0, "x": 1}, {"path": "1"}, {"path": "2"}])


def test_consolidated_metadata_is_kept_right(grown: omexp.OmeZarrPlate) -> None:
    with _quiet():
        grown.consolidate_metadata()
        grown.add_image("A", 1, "2")
        grown.add_image("C", 5, "0")
        grown.remove_well("B", 3, delete_data=True)
        seen = zarr.open_consolidated(str(grown.where))
    assert {"A/01", "C/05"} <= set(seen.metadata.consolidated_metadata.flattened_metadata)
    assert "B/03" not in seen.metadata.consolidated_metadata.flattened_metadata
    members = seen.metadata.consolidated_metadata.flattened_metadata["A/01"].attributes
    assert [image["path"] for image in members.get("ome", members)["well"]["images"]] == ["0", "1", "2"]


def _quiet() -> Any:
    return warnings.catch_warnings(action="ignore")


# ------------------------------------------------------------------------------------------------- kills and crowds
class Killed(BaseException):
    """Stands for kill -9: nothing in the package catches it."""


@pytest.mark.parametrize("version", ["0.4", "0.6"])  # both Zarr formats
@pytest.mark.parametrize(
    "job",
    [
        lambda p: p.add_image("C", 5, "0", 3, "new"),
        lambda p: p.add_image("A", 1, "2", 0),
        lambda p: p.remove_image("B", 3, "0", delete_data=True),
        lambda p: p.remove_well("A", 1, delete_data=True),
        lambda p: p.remove_acquisition(1),
    ],
    ids=["new-well", "new-field", "last-field", "well", "acquisition"],
)
def test_a_kill_between_any_two_writes_leaves_a_plate_that_opens_and_the_call_can_be_made_again(
    job: Any, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh(folder: Path) -> omexp.OmeZarrPlate:
        images = [("A", 1, "0", 0), ("A", 1, "1", 1), ("B", 3, "0", 0)]
        made = [omexp.ImageInWellPath(r, c, f, a, f"run {a}") for r, c, f, a in images]
        plate = omexp.create_empty_plate(folder, "p", made, ngff_version=version)
        write(plate, "B", 3, "0")
        return plate

    whole = fresh(tmp_path / "whole.zarr")
    job(whole)
    writes, steps = [0], [10**6]
    for name in ("put_attributes", "delete", "require_group"):
        real = getattr(Group, name)

        def counted(self: Group, *args: Any, _real: Any = real, **kwargs: Any) -> Any:
            if writes[0] >= steps[0]:
                raise Killed
            writes[0] += 1
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(Group, name, counted)
    for step in range(12):
        steps[0] = 10**6
        plate = fresh(tmp_path / f"{step}.zarr")
        writes[0], steps[0] = 0, step
        try:
            job(plate)
        except Killed:
            steps[0] = 10**6
            with _quiet():
                omexp.open_ome_zarr_plate(plate.where).get_images()  # it opens, whatever is half done
                with contextlib.suppress(NameNotFoundError, AlreadyExistsError):  # the lists were done; data may still be there
                    job(plate)
                assert _lists(plate) == _lists(whole)
        else:
            break
    else:
        raise AssertionError("the job has more steps than were tried")


def _lists(plate: omexp.OmeZarrPlate) -> Any:
    with _quiet():
        wells = {path: well.paths() for path, well in plate.get_wells().items()}
        return plate.meta, wells


def test_threads_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    for store in (tmp_path / "plate.zarr", {}):
        plate = omexp.create_empty_plate(store, "p")

        def add(i: int, store: Any = store) -> str:
            return omexp.open_ome_zarr_plate(store).add_image("ABCD"[i % 4], i // 4 % 2 + 1, str(i), i % 3, f"run {i % 3}")

        with ThreadPoolExecutor(8) as pool:
            paths = list(pool.map(add, range(24)))
        assert sorted(plate.images_paths()) == sorted(paths) and len(set(paths)) == 24
        assert (plate.acquisition_ids, plate.meta.field_count) == (sorted(plate.acquisition_ids), 3) or len(plate.acquisition_ids) == 3


# --------------------------------------------------------------------------------------------------------- deriving
def test_a_derived_plate_has_rows_and_columns_and_no_wells(grown: omexp.OmeZarrPlate, tmp_path: Path) -> None:
    grown.add_row("H")
    made = grown.derive_plate(tmp_path / "other.zarr", "results", keep_acquisitions=True)
    assert (made.meta.name, made.version, made.rows, made.columns) == ("results", grown.version, ["A", "B", "H"], ["01", "03"])
    assert (made.wells_paths(), made.acquisitions_names) == ([], ["run 0", "run 1"])
    made.add_image("A", 1, "0", 0)
    assert made.images_paths() == ["A/01/0"]
    other = grown.derive_plate(tmp_path / "third.zarr", ngff_version="0.5")
    assert (other.meta.name, other.version, other.acquisition_ids) == ("screen", "0.5", [])
    with pytest.raises(ArgumentError, match="cannot be derived into itself"):
        grown.derive_plate(grown.where, overwrite=True)
    assert grown.images_paths() == ["A/01/0", "A/01/1", "B/03/0"]


def test_every_change_is_made_under_the_plates_lock(grown: omexp.OmeZarrPlate, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []
    real = plate_documents.exclusive

    @contextlib.contextmanager
    def noted(group: Group) -> Any:
        held.append(group.where)
        with real(group):
            yield

    put = Group.put_attributes

    def checked(self: Group, attributes: Any) -> None:
        assert grown.where in held
        put(self, attributes)

    monkeypatch.setattr(plate_documents, "exclusive", noted)
    monkeypatch.setattr(Group, "put_attributes", checked)
    for change in (lambda: grown.add_image("D", 1, "0"), lambda: grown.add_acquisition(8), lambda: grown.remove_row("D")):
        held.clear()
        change()
        assert held[0] == grown.where
