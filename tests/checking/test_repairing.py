"""What is put right, what is left, and that nothing else changes."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from omexp.checking import repair, validate
from omexp.checking.remedies import FIXES
from omexp.cli import main
from omexp.errors import OmexpError, ReadOnlyError
from omexp.metadata.rules import RULES
from tests.hierarchies import Store, change, document_of, group_of, remove, sound, write

Edit = Callable[[dict[str, Any]], Any]
SOUND = [("image", "0.4"), ("image", "0.5"), ("image", "0.6"), ("plate", "0.4"), ("plate", "0.5")]


def checksums(store: Store) -> dict[str, int]:
    return {key: zlib.crc32(value.to_bytes()) for key, value in store.items()}


def attributes(store: Store, path: str) -> dict[str, Any]:
    key, document = document_of(store, path)
    return document if key.endswith(".zattrs") else document["attributes"]


def channel(s: dict[str, Any]) -> dict[str, Any]:
    return s["omero"]["channels"][0]


def axis(s: dict[str, Any]) -> dict[str, Any]:
    return s["multiscales"][0]["axes"][1]


def label(s: dict[str, Any]) -> dict[str, Any]:
    return s["image-label"]


def strip(version: str) -> Edit:
    return lambda s: [s.pop("version", None), *(entry.pop("version", None) for entry in s["multiscales"])]


# rule -> kind of store, version, path, how it is hurt, what repairing must say
HURT: list[tuple[str, str, str, str, Edit, str]] = [
    ("null", "image", "0.5", "", lambda s: axis(s).update(unit=None), "multiscales.0.axes.1.unit: None -> nothing"),
    ("string-number", "image", "0.4", "", lambda s: s["multiscales"][0]["datasets"][1].update(path=1),
     "multiscales.0.datasets.1.path: 1 -> '1'"),
    ("string-number", "plate", "0.5", "A/01", lambda s: s["well"]["images"][0].update(path=0), "A/01: well.images.0.path: 0 -> '0'"),
    ("version-missing", "image", "0.5", "", lambda s: s.pop("version"), "ome.version: nothing -> '0.5'"),
    ("version-missing", "image", "0.6", "", lambda s: s.pop("version"), "ome.version: nothing -> '0.6'"),
    ("version-multiscales", "image", "0.4", "", strip("0.4"), "multiscales.0.version: nothing -> '0.4'"),
    ("version-plate", "plate", "0.4", "", lambda s: s["plate"].pop("version"), "plate.version: nothing -> '0.4'"),
    ("version-same", "plate", "0.5", "", lambda s: s["plate"].update(version="0.4"), "plate.version: '0.4' -> '0.5'"),
    ("label-version", "image", "0.5", "labels/nuclei", lambda s: label(s).pop("version"),
     "labels/nuclei: image-label.version: nothing -> '0.5'"),
    ("label-list-empty", "image", "0.5", "labels/nuclei", lambda s: label(s).update(properties=[]),
     "labels/nuclei: image-label.properties: [] -> nothing"),
    ("transforms-empty", "image", "0.5", "", lambda s: s["multiscales"][0].update(coordinateTransformations=[]),
     "multiscales.0.coordinateTransformations: [] -> nothing"),
    ("axis-type", "image", "0.4", "", lambda s: axis(s).pop("type"), "multiscales.0.axes.1.type: nothing -> 'space'"),
    ("omero-color-hash", "image", "0.5", "", lambda s: channel(s).update(color="#00FF00"), "omero.channels.0.color: '#00FF00' -> '00FF00'"),
    ("omero-color-hex", "image", "0.5", "", lambda s: channel(s).update(color="0f0"), "omero.channels.0.color: '0f0' -> '00ff00'"),
    ("omero-color-hex", "image", "0.4", "", lambda s: channel(s).update(color="00FF00FF"),
     "omero.channels.0.color: '00FF00FF' -> '00FF00'"),
    ("string-number", "image", "0.5", "", lambda s: channel(s).update(color=255), "omero.channels.0.color: 255 -> '0000FF'"),
    ("omero-color", "image", "0.5", "", lambda s: channel(s).pop("color"), "omero.channels.0.color: nothing -> '00FFFF'"),
    ("omero-window", "image", "0.5", "", lambda s: channel(s).pop("window"),
     "omero.channels.0.window: nothing -> {'end': 65535, 'max': 65535, 'min': 0, 'start': 0}"),
    ("omero-window", "image", "0.5", "", lambda s: channel(s).update(window={"start": 5, "end": 9, "own": 1}),
     "omero.channels.0.window: {'end': 9, 'own': 1, 'start': 5} -> {'end': 9, 'max': 65535, 'min': 0, 'own': 1, ...}"),
    ("omero-window-text", "image", "0.4", "", lambda s: channel(s)["window"].update(start="1.5", end="200"), "-> {'end': 200"),
    ("omero-active", "image", "0.5", "", lambda s: channel(s).update(active="True"), "omero.channels.0.active: 'True' -> True"),
    ("omero-count", "image", "0.5", "", lambda s: s["omero"]["channels"].pop(), "omero.channels: [{"),
    ("plate-well-indices", "plate", "0.5", "", lambda s: s["plate"]["wells"][1].update(rowIndex=7, note="x"), "plate.wells.1: {"),
    ("plate-field-count-missing", "plate", "0.5", "", lambda s: s["plate"].pop("field_count"), "plate.field_count: nothing -> 3"),
    ("plate-field-count-true", "plate", "0.5", "", lambda s: s["plate"].update(field_count=1), "plate.field_count: 1 -> 3"),
    ("plate-field-count", "plate", "0.4", "", lambda s: s["plate"].update(field_count="2"), "plate.field_count: '2' -> 3"),
    ("acquisition-fieldcount-missing", "plate", "0.5", "", lambda s: s["plate"]["acquisitions"][0].pop("maximumfieldcount"),
     "plate.acquisitions.0.maximumfieldcount: nothing -> 2"),
    ("label-value", "image", "0.5", "labels/nuclei", lambda s: label(s).update(colors=[{"label-value": 1.0, "rgba": [0, 0, 0, 9]}]),
     "labels/nuclei: image-label.colors: [{"),
    ("label-rgba", "image", "0.5", "labels/nuclei", lambda s: label(s).update(colors=[{"label-value": 1, "rgba": [0.0, 1.0, 2.0, 255.0]}]),
     "labels/nuclei: image-label.colors.0.rgba: [0.0, 1.0, 2.0, 255.0] -> [0, 1, 2, 255]"),
    ("labels-key", "image", "0.5", "labels", lambda s: s.pop("labels"), "labels: labels: nothing -> ['nuclei']"),
    ("labels-key", "image", "0.4", "labels", lambda s: s.pop("labels"), "labels: labels: nothing -> ['nuclei']"),
    ("labels-unlisted", "image", "0.5", "labels", lambda s: s["labels"].clear(), "labels: labels: [] -> ['nuclei']"),
    ("label-block-missing", "image", "0.5", "labels/nuclei", lambda s: s.pop("image-label"),
     "labels/nuclei: image-label: nothing -> {'source': {'image': '../../'}, 'version': '0.5'}"),
    ("array-names", "image", "0.5", "1", lambda d: d.pop("dimension_names"), "1: dimension_names: None -> c, y, x"),
    ("array-names", "image", "0.6", "labels/nuclei/0", lambda d: d.update(dimension_names=["a", "b"]),
     "labels/nuclei/0: dimension_names: ['a', 'b'] -> y, x"),
]  # fmt: skip
ELSEWHERE = {
    "known-kind", "version-well", "acquisitions-empty", "omero-window-ends", "acquisition-fieldcount", "acquisition-fieldcount-true",
    "layout-number", "series-paths", "tables-unlisted", "tables-missing", "member-missing",
}  # fmt: skip


@pytest.mark.parametrize(("rule", "kind", "version", "path", "hurt", "said"), HURT, ids=[f"{h[0]}-{i}" for i, h in enumerate(HURT)])
def test_a_broken_rule_is_put_right_once(rule: str, kind: str, version: str, path: str, hurt: Edit, said: str) -> None:
    store = change(sound(kind, version), path, hurt)
    before, report = checksums(store), validate(store)
    assert rule in [found.rule for found in report]
    planned = repair(store, dry_run=True)
    assert checksums(store) == before
    done = repair(store)
    assert planned.to_json() | {"dry_run": False} == done.to_json()
    assert rule in [one.rule for one in done]
    assert any(said in str(one) for one in done), list(map(str, done))
    after = validate(store)
    assert rule not in [found.rule for found in after]
    assert len(after.errors) <= len(report.errors)
    assert len(after) < len(report) or rule in (
        "label-block-missing",
        "labels-unlisted",
        "labels-key",
    )  # a label without colours is told of
    touched = {key for key, one in checksums(store).items() if one != before.get(key)}
    assert {key.rpartition("/")[2] for key in touched} <= {"zarr.json", ".zattrs"}
    settled = checksums(store)
    assert len(repair(store)) == 0
    assert checksums(store) == settled


def test_every_remedy_is_tried() -> None:
    assert {hurt[0] for hurt in HURT} | ELSEWHERE == set(FIXES) | {"array-names"}
    assert set(FIXES) <= set(RULES)


@pytest.mark.parametrize("color", ["#0f00", "#green", "red", -1, 111111, 0x1000000, 2.5])
def test_a_color_that_could_be_another_one_stays_as_it_is(color: Any) -> None:
    store = change(sound("image"), "", lambda s: channel(s).update(color=color))
    assert [one.location for one in repair(store) if "color" in one.location] == []
    assert channel(attributes(store, "")["ome"])["color"] == color


def test_what_lies_beside_the_namespace_is_moved_into_it() -> None:
    store = sound("image")
    key, document = document_of(store, "")
    inner = document["attributes"].pop("ome")
    document["attributes"] = {"mine": {"a": [1]}, "omero": inner["omero"], "multiscales": inner["multiscales"]}
    write(store, key, document)
    assert not validate(store).valid
    assert [one.rule for one in repair(store)] == ["version-missing", "known-kind"] or [one.rule for one in repair(store)] == []
    assert validate(store).valid
    assert attributes(store, "") == {"mine": {"a": [1]}, "ome": inner}


def test_a_list_of_labels_beside_the_namespace_is_moved_into_it() -> None:
    store = sound("image")
    write(store, "labels/zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"labels": ["nuclei"], "note": 7}})
    repair(store)
    assert attributes(store, "labels") == {"note": 7, "ome": {"version": "0.5", "labels": ["nuclei"]}}
    assert validate(store).valid


def test_lists_name_what_is_there_and_keep_what_is_not_unless_asked() -> None:
    store = sound("image")
    change(store, "labels", lambda s: s.update(labels=["gone", "nuclei"]))
    key, document = document_of(store, "tables")
    write(store, key, document | {"attributes": document["attributes"] | {"tables": ["lost"]}})
    done = repair(store)
    assert [str(one) for one in done] == ["tables: tables: ['lost'] -> ['lost', 'rois']"]
    assert [(found.rule, found.level) for found in done.left if "missing" in found.rule] == [
        ("member-missing", "error"), ("tables-missing", "warning"),
    ]  # fmt: skip
    assert next(done.why_left(found) for found in done.left) == "what is missing or damaged cannot be made up"
    assert [one.rule for one in repair(store, remove_missing=True)] == ["member-missing", "tables-missing"]
    assert (attributes(store, "labels")["ome"]["labels"], attributes(store, "tables")["tables"]) == (["nuclei"], ["rois"])
    assert validate(store).valid


def test_wells_and_fields_that_are_missing_stay_on_their_lists() -> None:
    store = remove(remove(sound("plate"), "A/01/1"), "B/02")
    done = repair(store, remove_missing=True)
    assert (len(done), [found.rule for found in done.left]) == (0, ["member-missing", "member-missing"])


def test_a_label_that_is_broken_is_not_listed() -> None:
    store = change(
        change(sound("image"), "labels", lambda s: s["labels"].clear()), "labels/nuclei/0", lambda d: d.update(data_type="float99")
    )
    done = repair(store)
    assert len(done) == 0
    assert [found.rule for found in done.left] == ["labels-unlisted"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_consolidated_metadata_is_brought_up_to_date(version: str) -> None:
    store = sound("image", version)
    group_of(store).consolidate()
    assert validate(store).valid
    assert len(repair(store)) == 0
    change(store, "labels/nuclei", lambda s: s.update(note=1))
    change(store, "", lambda s: channel(s).pop("color"))
    assert [one.rule for one in repair(store)] == ["omero-color", "consolidated-stale"]
    assert "consolidated-stale" not in [found.rule for found in validate(store)]
    change(store, "labels/nuclei", lambda s: s.update(note=2))
    assert [one.rule for one in repair(store, dry_run=True)] == ["consolidated-stale"]
    assert "consolidated-stale" in [found.rule for found in validate(store)]
    repair(store)
    document = document_of(store, "")[1] if version == "0.5" else json.loads(store[".zmetadata"].to_bytes())
    copies = document["consolidated_metadata"]["metadata"] if version == "0.5" else document["metadata"]
    copy_of = copies["labels/nuclei"]["attributes"]["ome"] if version == "0.5" else copies["labels/nuclei/.zattrs"]
    assert copy_of["note"] == 2


def test_no_copy_is_made_of_members_that_are_damaged() -> None:
    store = sound("image")
    group_of(store).consolidate()
    change(store, "labels/nuclei/0", lambda d: d.update(data_type="float99"))
    change(store, "", lambda s: channel(s).pop("color"))
    done = repair(store)
    assert [one.rule for one in done] == ["omero-color"]
    assert {found.rule for found in done.left} >= {"consolidated-stale", "array-readable"}
    assert "consolidated_metadata" in document_of(store, "")[1]
    assert len(repair(store)) == 0


def test_nothing_unknown_is_lost() -> None:
    store = sound("plate", "0.4")
    change(store, "", lambda s: (s.update(mine=[1]), s["plate"].update(own={"a": 1}), s["plate"]["wells"][0].update(rowIndex=9, z=3)))
    expected = copy.deepcopy(attributes(store, ""))
    expected["plate"]["wells"][0]["rowIndex"] = 0
    repair(store)
    assert attributes(store, "") == expected


def test_what_is_read_only_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    store = change(sound("image"), "", lambda s: channel(s).pop("color"))
    closed = group_of(store).zarr.store.with_read_only(True)
    with pytest.raises(ReadOnlyError):
        repair(closed)
    assert [one.rule for one in repair(closed, dry_run=True)] == ["omero-color"]


@pytest.mark.parametrize("depth", [50, 110, 700])
def test_a_document_that_is_nested_too_deeply_is_left(depth: int) -> None:
    store = sound("image")
    key, document = document_of(store, "")
    channel(document["attributes"]["ome"]).pop("color")
    raw = json.dumps(document | {"attributes": document["attributes"] | {"deep": "DEEP"}})
    write(store, key, raw.replace('"DEEP"', "[" * depth + "]" * depth).encode())
    before = checksums(store)
    assert (len(repair(store)), checksums(store) == before) == ((1, False) if depth < 99 else (0, True))


def test_the_command_says_what_was_done_and_what_was_left(tmp_path: Path) -> None:
    store = change(change(sound("image"), "", lambda s: channel(s).pop("color")), "labels", lambda s: s["labels"].append("gone"))
    for key, value in store.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(value.to_bytes())
    run = CliRunner().invoke
    dry = run(main, ["repair", str(tmp_path), "--dry-run"])
    assert dry.exit_code == 1
    assert "would repair  omero.channels.0.color: nothing -> '00FFFF'" in dry.output
    told = json.loads(run(main, ["repair", str(tmp_path), "--json"]).stdout)
    assert [set(one) for one in told["done"]] == [{"location", "rule", "message"}]
    assert "why" in told["left"][0]
    assert "left error  member-missing: what is missing" in run(main, ["repair", str(tmp_path)]).output
    fixed = run(main, ["repair", str(tmp_path), "--remove-missing"])
    assert (fixed.exit_code, "repaired  labels: labels: ['nuclei', 'gone'] -> ['nuclei']" in fixed.output) == (0, True)
    assert run(main, ["repair", str(tmp_path / "nothing")]).exit_code == 2


JSON = (
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False) | st.sampled_from(["", "0", "a", "#fff", "../x", [], {}])
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, inner in children for deeper in places_in(inner, (*path, key)))]


@settings(max_examples=settings.default.max_examples // 2)
@given(st.data())
def test_whatever_is_wrong_repairing_makes_it_no_worse_and_has_an_end(data: st.DataObject) -> None:
    kind, version = data.draw(st.sampled_from(SOUND))
    store = sound(kind, version)
    keys = sorted(key for key in store if key.rpartition("/")[2] in (".zattrs", ".zarray", "zarr.json"))
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(st.sampled_from(keys))
        document = json.loads(store[key].to_bytes())
        *path, last = data.draw(st.sampled_from([p for p in places_in(document) if p] or [("x",)]))
        here = document
        for part in path:
            here = here[part]
        if isinstance(here, dict) and data.draw(st.booleans()):
            here.pop(last, None)
        else:
            here[last] = data.draw(JSON)
        write(store, key, document)
    try:
        before = validate(store)
        repairs = repair(store)
    except OmexpError:
        return
    after, settled = validate(store), checksums(store)
    assert len(after.errors) <= len(before.errors)
    assert {f.to_json()["location"] for f in repairs.left} == {f.location for f in after}
    assert len(repair(store)) == 0
    assert checksums(store) == settled
