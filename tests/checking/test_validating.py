"""What may be validated, what is read for it, how it is told."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import omexp
from omexp.checking import ChunkCount, validate
from omexp.cli import main
from omexp.errors import ArgumentError, OmexpError, StoreNotFoundError
from omexp.metadata.rules import RULES
from omexp.storage.journal import JOURNAL
from omexp.storage.nodes import parsed_json
from tests.hierarchies import VERSIONS, change, document_of, group_of, make_image, sound, write
from tests.servers import http_server

WELL = {"ome": {"version": "0.5", "well": {"images": [{"path": "0"}], "version": "0.5"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a label and a table on disk: not to be changed."""
    place = tmp_path_factory.mktemp("stores") / "cells.zarr"
    make_image(table=True, place=place)
    return place


# ------------------------------------------------------------------------------------------------------- documents
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_dict_of_attributes_is_a_document(version: str) -> None:
    report = validate(WELL if version == "0.5" else WELL["ome"] | {"version": None}, version="0.5" if version == "0.5" else None)
    assert (report.where, report.documents) == ("document", 1)
    assert report.valid == (version == "0.5")


def test_a_whole_zarr_json_is_a_document_and_a_stores_keys_are_a_store() -> None:
    whole = {"zarr_format": 3, "node_type": "group", "attributes": WELL}
    assert validate(whole, strict=True).valid
    assert [found.rule for found in validate(whole | {"node_type": "array"})] == ["member-kind"]
    assert [found.rule for found in validate(whole | {"zarr_format": 2})] == ["version-format"]
    assert validate(sound("image")).documents > 5
    assert [found.rule for found in validate({})] == ["known-kind"]


def test_warnings_count_when_strict() -> None:
    document = {"ome": {"version": "0.5", "well": {"images": [{"path": "0"}]}}}
    assert validate(document).valid
    assert not validate(document, strict=True).valid
    assert [found.rule for found in validate(document, strict=True).warnings] == ["version-well"]


def test_another_version_than_wanted_is_an_error(folder: Path) -> None:
    assert [found.rule for found in validate(WELL, version="0.4").errors] == ["version-wanted"]
    assert [found.rule for found in validate(folder, version="0.6").errors] == ["version-wanted"]
    assert validate(folder, version="0.5").valid


def test_a_file_is_a_document(folder: Path, tmp_path: Path) -> None:
    assert validate(folder / "zarr.json").valid
    assert validate(str(folder / "labels" / "zarr.json")).valid
    (tmp_path / "a.json").write_text("{'a': 1} // no JSON")
    assert [found.rule for found in validate(tmp_path / "a.json")] == ["json"]
    (tmp_path / ".zattrs").write_text(json.dumps(WELL))
    assert [found.rule for found in validate(tmp_path / ".zattrs")] == ["version-format"]
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(StoreNotFoundError, match="no Zarr and no JSON document"):
        validate(tmp_path / "a.tif")


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no store"):
        validate(5)  # type: ignore[arg-type]
    with pytest.raises(StoreNotFoundError):
        validate(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- stores
@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_group_is_validated_by_itself(version: str, tmp_path: Path) -> None:
    make_image(version, place=tmp_path / "a")
    for path in ("", "labels", "labels/nuclei"):
        assert validate(tmp_path / "a" / path).valid
    plate = sound("plate", version)
    for path in ("", "A/01", "A/01/0"):
        assert validate(group_of(plate) if not path else group_of(plate).group(path), strict=True).valid
    assert [found.rule for found in validate(group_of(plate).group("A"))] == ["known-kind"] or version != "0.4"


def test_a_zip_file_and_a_zarr_group_are_stores(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.ozx", "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    expected = validate(folder).to_json()
    assert [found.to_json() for found in validate(tmp_path / "a.ozx") if found.place != "archive"] == expected["problems"]
    assert validate(zarr.open_group(str(folder), mode="r")).to_json() == expected
    assert validate(f"file://{folder}").to_json() == expected


ZIPPED = {
    "archive-root": {"folder": "in/"},
    "archive-nested": {"more": "labels/x.zip"},
    "archive-compressed": {"compression": zipfile.ZIP_DEFLATED},
    "archive-order": {"order": lambda name: name},
    "archive-comment": {"comment": b'{"ome": {"version": "0.6"}}'},
}


@pytest.mark.parametrize("rule", [None, *ZIPPED])
def test_rules_of_archives(rule: str | None, folder: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = ZIPPED.get(rule or "", {})
    names = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
    first = how.get("order", lambda name: (not name.endswith("zarr.json"), name.count("/"), name))
    with zipfile.ZipFile(tmp_path / "a.ozx", "w", how.get("compression", zipfile.ZIP_STORED)) as archive:
        archive.comment = how.get("comment", b'{"ome": {"version": "0.5"}}')
        for name in sorted(names, key=first):
            archive.write(folder / name, how.get("folder", "") + name)
        if "more" in how:
            archive.writestr(how["more"], b"")
    found = {found.rule: found.level for found in validate(tmp_path / "a.ozx") if found.place == "archive"}
    assert found == ({} if rule is None else {rule: RULES[rule].level("0.5")}) | {"archive-zip64": "warning"}


def test_a_root_document_that_is_damaged_is_an_error(tmp_path: Path) -> None:
    make_image(place=tmp_path / "a", label=False)
    (tmp_path / "a" / "zarr.json").write_text("{")
    report = validate(tmp_path / "a")
    assert [(found.location, found.rule) for found in report] == [(".", "json")]


def test_levels_that_are_unfinished_are_told(tmp_path: Path) -> None:
    make_image(place=tmp_path / "a")
    assert "levels-unfinished" not in [found.rule for found in validate(tmp_path / "a")]
    (tmp_path / "a" / JOURNAL).write_text("")
    assert [(found.location, found.rule, found.level) for found in validate(tmp_path / "a") if found.rule == "levels-unfinished"] == [
        ("multiscales", "levels-unfinished", "warning")
    ]


def test_locations_name_the_group_and_the_place_in_it() -> None:
    store = sound("plate")
    change(store, "B/02/1", lambda s: s["multiscales"][0]["axes"][0].pop("type"))
    change(store, "B/02/1/0", lambda d: d.pop("dimension_names"))
    report = validate(store)
    assert [(f.location, f.path, f.place, f.rule) for f in report] == [
        ("B/02/1: multiscales.0.axes.0.type", "B/02/1", "multiscales.0.axes.0.type", "axis-type"),
        ("B/02/1/0: dimension_names", "B/02/1/0", "dimension_names", "array-names"),
    ]


def test_an_image_without_version_in_its_arrays_alone_is_no_error() -> None:
    """0.1 and 0.2 differ in their chunk keys: a document that names no version may be either."""
    store = make_image("0.4", label=False)
    for level in ("0", "1"):
        change(store, level, lambda d: d.update(dimension_separator="."))
    sections = {"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}
    write(store, ".zattrs", sections)
    assert "array-separator" not in [found.rule for found in validate(store)]
    write(store, ".zattrs", {"multiscales": [sections["multiscales"][0] | {"version": "0.2"}]})
    assert [found.location for found in validate(store) if found.rule == "array-separator"] == [
        "0: dimension_separator",
        "1: dimension_separator",
    ]


def test_documents_are_read_once_each() -> None:
    """A plate of 2 wells: itself, rows, wells, 5 fields of two arrays each; a look for tables, and 5 for labels and tables each."""
    looks = 1 + 5 * 2
    assert validate(sound("plate")).documents == 1 + 2 + 2 + 5 + 10 + looks * 3  # what is missing is looked for in Zarr format 2, too
    assert validate(sound("plate", "0.4")).documents == 2 * (1 + 2 + 2 + 5) + 10 + looks * 4 + 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_foreign_stores_get_their_verdict(version: str, shared_data: Path) -> None:
    wrong = {p.name: repr(r) for p in sorted(shared_data.iterdir()) if p.suffix in (".zarr", ".ozx") and not (r := validate(p)).valid}
    assert list(wrong) == ["ngio_tczyx_v05.zarr"]  # its labels group lacks the key `ome`
    assert "labels-key" in wrong["ngio_tczyx_v05.zarr"] or "expected a list of names" in wrong["ngio_tczyx_v05.zarr"]
    assert validate(shared_data / "human_ht29_v06.zarr", strict=True, data=True).valid


# ------------------------------------------------------------------------------------------------------------ data
def test_chunks_that_are_not_stored_are_counted(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64), "uint8")
    pixels[:16, :40] = 7
    for name, options in {"plain": {}, "shards": {"shards": (32, 32)}, "only zarr decodes": {"ngff_version": "0.4"}}.items():
        omexp.create_ome_zarr_from_array(tmp_path / name, pixels, xy_pixelsize=1, levels=1, chunks=16, name="a", **options)
        if "ngff_version" in options:
            made = {"shape": (64, 64), "chunks": (16, 16), "dtype": "u1", "order": "F", "fill_value": 0}
            path = str(tmp_path / name / "0")
            zarr.create(store=path, zarr_format=2, dimension_separator="/", overwrite=True, **made)[:16, :40] = 7
        assert validate(tmp_path / name).chunks == ()
        report = validate(tmp_path / name, data=True)
        assert report.valid
        assert report.chunks == (ChunkCount("0", 16, 3),)
        assert report.to_json()["chunks"] == [{"location": "0", "chunks": 16, "stored": 3, "missing": 13}]


@pytest.mark.parametrize("options", [{}, {"shards": (32, 32)}, {"ngff_version": "0.4"}, {"compressors": "zstd"}])
def test_every_damaged_chunk_is_found(options: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    omexp.create_ome_zarr_from_array(tmp_path / "a", pixels, xy_pixelsize=1, levels=1, chunks=16, name="a", **options)
    files = sorted(p for p in (tmp_path / "a" / "0").rglob("*") if p.is_file() and p.name.isdigit())
    for file in files[:2]:
        file.write_bytes(file.read_bytes()[:-3])
    report = validate(tmp_path / "a", data=True)
    keys = [str(file.relative_to(tmp_path / "a" / "0")) for file in files[:2]]
    assert [(found.path, found.place) for found in report if found.rule == "chunk-damaged"] == [("0", key) for key in keys]
    assert not report.valid
    assert validate(tmp_path / "a").valid


# --------------------------------------------------------------------------------------------------------- hostile
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, inner in children for deeper in places_in(inner, (*path, key)))]


@settings(max_examples=settings.default.max_examples // 2)
@given(st.data())
def test_a_damaged_hierarchy_gives_a_report(data: st.DataObject) -> None:
    version, kind = data.draw(st.sampled_from(["0.4", "0.5"])), data.draw(st.sampled_from(["image", "plate"]))
    store = sound(kind, version)
    keys = sorted(key for key in store if key.rpartition("/")[2] in (".zattrs", ".zarray", ".zgroup", "zarr.json"))
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(keys))
        document = json.loads(store[key].to_bytes())
        *path, last = data.draw(st.sampled_from([p for p in places_in(document) if p] or [("x",)]))
        here = document
        for part in path:
            here = here[part]
        here[last] = data.draw(JSON | st.sampled_from(["../../x", "/etc", "a\0b", 10**400, [[[[]]]] * 3, "x" * 5000]))
        write(store, key, document)
    try:
        report = validate(store, data=True)
    except OmexpError:
        return
    assert json.loads(json.dumps(report.to_json()))["valid"] == report.valid


@pytest.mark.parametrize("raw", [b"[" * 200_000, b"9" * 9999, b"\xff\xfe", b"", b'{"a":' * 9999, b"null", b'"x"'])
@pytest.mark.parametrize("key", ["zarr.json", "labels/zarr.json", "0/zarr.json", "labels/nuclei/zarr.json", "tables/zarr.json"])
def test_what_is_no_document_at_all_is_an_error(key: str, raw: bytes) -> None:
    store = sound("image")
    write(store, key, raw)
    try:
        assert [found.path for found in validate(store) if found.rule == "json"] == [key.rpartition("/")[0]]
    except StoreNotFoundError:
        assert key == "zarr.json"


def test_paths_that_lead_out_of_the_store_are_never_followed(tmp_path: Path) -> None:
    make_image(place=tmp_path / "secret", label=False)
    make_image(place=tmp_path / "a", label=True)
    for edit in (lambda s: s["labels"].append("../../secret"), lambda s: s["labels"].append("nuclei/../../../secret")):
        store = json.loads((tmp_path / "a" / "labels" / "zarr.json").read_text())
        edit(store["attributes"]["ome"])
        (tmp_path / "a" / "labels" / "zarr.json").write_text(json.dumps(store))
    before = validate(tmp_path / "a")
    shutil.rmtree(tmp_path / "secret")
    assert validate(tmp_path / "a").to_json() == before.to_json()
    assert [found.rule for found in before.errors] == ["path-inside", "path-inside"]


# ------------------------------------------------------------------------------------------------------ how it is told
def test_a_report_shows_itself() -> None:
    store = sound("image")
    change(store, "", lambda s: s["multiscales"][0]["axes"][0].update(name="<b>"))
    report = validate(store)
    assert repr(report).splitlines()[0].endswith("invalid: 2 errors, 1 warning)")
    assert "&lt;b&gt;" in report._repr_html_()
    assert "<b>'" not in report._repr_html_()
    assert len(report) == len(list(report)) == 3
    assert list(report.by_rule()) == [("error", "array-names"), ("warning", "label-colors")]


def test_the_command_prints_a_verdict(folder: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    fine = run(main, ["validate", str(folder)])
    assert fine.exit_code == 0
    assert "valid: 0 errors" in fine.output
    assert run(main, ["validate", str(folder), "--strict"]).exit_code == 1
    broken = shutil.copytree(folder, tmp_path / "b")
    shutil.rmtree(broken / "1")
    told = run(main, ["validate", str(broken), "--data"])
    assert told.exit_code == 1
    assert "error  array-missing: Write the array" in told.output
    assert "chunks  " in told.output
    for strange in (str(tmp_path / "nothing"), str(folder / "0" / "c" / "0" / "0" / "0"), "no-such-protocol://x"):
        unread = run(main, ["validate", strange])
        assert (unread.exit_code, unread.stdout) == (2, "")
        assert unread.stderr.startswith("Error: ")


def test_the_command_prints_json(folder: Path) -> None:
    result = CliRunner().invoke(main, ["validate", str(folder / "labels" / "nuclei"), "--json", "--strict"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == validate(folder / "labels" / "nuclei", strict=True).to_json()
    assert set(json.loads(result.stdout)) == {"valid", "problems"}
    assert [set(problem) for problem in json.loads(result.stdout)["problems"]] == [{"location", "level", "rule", "message", "fix"}]


def test_the_command_lists_every_place_when_asked_to(tmp_path: Path) -> None:
    store = sound("plate")
    for field in ("A/01/0", "A/01/1", "A/01/2", "B/02/0", "B/02/1"):
        change(store, field, lambda s: [s["multiscales"][0]["axes"][i].pop("type") for i in (0, 1)])
    for key, value in store.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(value.to_bytes())
    few, many = (CliRunner().invoke(main, ["validate", str(tmp_path), *options]).output for options in ([], ["--all"]))
    assert (few.count(".type: missing"), many.count(".type: missing")) == (5, 10)
    assert "... and 5 more" in few


def test_the_document_of_a_store_is_found() -> None:
    assert document_of(sound("image", "0.4"), "0")[0] == "0/.zarray"


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    for name, begin, why in (("film.bin", b"\0", "this is no Zarr"), ("document.json", b"{", "too large for a JSON document")):
        with (tmp_path / name).open("wb") as file:
            file.write(begin)
            file.truncate(1 << 40)  # of holes: it takes no place, and no memory would hold it
        with pytest.raises(StoreNotFoundError, match=why):
            validate(tmp_path / name)


def test_a_mapper_is_a_store_and_is_not_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    mapper = fsspec.get_mapper(str(folder))
    monkeypatch.setattr(type(mapper.fs), "find", lambda *_, **__: pytest.fail("it was listed"))
    assert validate(mapper).valid


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_collection_that_lists_no_images_is_walked_where_nothing_can_be_listed(version: str, tmp_path: Path) -> None:
    images = {str(i): np.full((8, 8), i, "uint8") for i in range(18)}
    np.savez(tmp_path / "a.npz", **images)
    made = omexp.convert(tmp_path / "a.npz", tmp_path / "a.zarr", axes_names="yx", pixel_size=1, levels=1, version=version)
    shutil.rmtree(tmp_path / "a.zarr" / "OME")
    assert isinstance(made, list)
    with http_server(tmp_path) as server:
        url = f"{server.url}/a.zarr"
        local, remote = validate(tmp_path / "a.zarr"), validate(url)
        assert [f.location for f in remote] == [f.location for f in local]
        with pytest.raises(StoreNotFoundError, match="of the images 0, 1, 2, .*, 17"):
            omexp.open_ome_zarr_container(url)
        copied = omexp.convert(url, tmp_path / "b.zarr")
    assert isinstance(copied, list)
    assert [int(image.get_image().get_as_numpy().max()) for image in copied] == list(range(18))


def test_what_large_documents_mean_is_not_kept() -> None:
    for size, is_kept in ((100, True), (1 << 19, False)):
        raw = json.dumps({"a": "x" * size}).encode()
        assert (parsed_json(raw)[0] is parsed_json(raw)[0]) is is_kept
        assert parsed_json(raw) == ({"a": "x" * size}, None)
