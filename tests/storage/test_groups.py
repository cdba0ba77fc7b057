"""Zarr groups in every kind of store: opening, attributes, members, refusals."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore, StorePath, ZipStore

from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    MissingArrayError,
    NameNotFoundError,
    ReadOnlyError,
    StoredDataError,
    StoreNotFoundError,
)
from omexp.geometry import Region
from omexp.storage.blobs import read_blob, write_blob
from omexp.storage.groups import create_group, open_group, permitted, writing
from omexp.storage.locating import location, place_name

FORMATS = pytest.mark.parametrize("zarr_format", [2, 3])
ATTRIBUTES = {"a": 1, "nested": {"b": [1, 2.5, None, "ü"]}}


def fill(store: Any, zarr_format: int = 3) -> Any:
    """A group with attributes, a sub-group and an array, made by zarr; the store is given back."""
    group = zarr.create_group(store, overwrite=not isinstance(store, ZipStore), zarr_format=zarr_format, attributes=ATTRIBUTES)
    group.create_group("sub", attributes={"b": 2})
    group.create_array("arr", shape=(3, 4), chunks=(2, 2), dtype="uint16")[:] = np.arange(12).reshape(3, 4)
    return store


def files(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


KINDS: dict[str, Callable[[Path, int], Any]] = {
    "str": lambda p, f: fill(str(p / "img.zarr"), f),
    "Path": lambda p, f: Path(fill(str(p / "img.zarr"), f)),
    "file URL": lambda p, f: "file://" + fill(str(p / "img.zarr"), f),
    "memory URL": lambda p, f: fill(f"memory://{p.name}{f}/img.zarr", f),
    "mapper": lambda p, f: fill(fsspec.get_mapper(f"memory://{p.name}{f}/mapped/img.zarr"), f),
    "dict": lambda p, f: fill({}, f),
    "MemoryStore": lambda p, f: fill(MemoryStore(), f),
    "LocalStore": lambda p, f: LocalStore(fill(str(p / "img.zarr"), f)),
    "StorePath": lambda p, f: fill(StorePath(LocalStore(p), "img.zarr"), f),
    "ZipStore": lambda p, f: fill(ZipStore(p / "img.zip", mode="w"), f),
    "zarr.Group": lambda p, f: zarr.open_group(fill(str(p / "img.zarr"), f)),
    "Group": lambda p, f: open_group(fill(str(p / "img.zarr"), f)),
    "read-only store": lambda p, f: LocalStore(fill(str(p / "img.zarr"), f), read_only=True),
    "read-only zarr.Group": lambda p, f: zarr.open_group(fill(str(p / "img.zarr"), f), mode="r"),
}
READ_ONLY = ("read-only store", "read-only zarr.Group")


# --------------------------------------------------------------------------------------------------------- opening
@FORMATS
@pytest.mark.parametrize("kind", KINDS)
def test_a_group_opens_from_every_kind_of_store(kind: str, zarr_format: int, tmp_path: Path) -> None:
    group = open_group(KINDS[kind](tmp_path, zarr_format))
    assert group.zarr_format == zarr_format
    assert group.read_only == (kind in READ_ONLY)
    assert group.attributes == ATTRIBUTES
    assert group.group("sub").attributes == {"b": 2}
    assert group.array("arr").read(Region.whole((3, 4))).tolist() == np.arange(12).reshape(3, 4).tolist()
    assert group.members() == ["arr", "sub"]
    assert group.find("nothing") is None
    if kind not in READ_ONLY and kind != "ZipStore":  # a zip file keeps every version of a key
        group.put_attributes({"new": 1})
        assert group.attributes == open_group(group).attributes == {"new": 1}


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "ZipStore"])
def test_a_group_opened_to_read_refuses_every_write(kind: str, tmp_path: Path) -> None:
    group = open_group(KINDS[kind](tmp_path, 3), "r")
    assert group.read_only
    assert group.group("sub").read_only
    for write in (
        lambda: group.put_attributes({}),
        lambda: group.require_group("new"),
        lambda: group.delete("sub"),
        lambda: write_blob(group, "table.csv", b"x"),
        lambda: group.array("arr").write(Region.whole((3, 4)), np.zeros((3, 4), "uint16")),
    ):
        with pytest.raises(ReadOnlyError, match="the store is read-only. Open it with mode='r.'"):
            write()
    assert group.require_group("sub").name == "sub"
    assert (group.attributes, group.members()) == (ATTRIBUTES, ["arr", "sub"])


def test_a_store_that_cannot_be_made_read_only_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="this store cannot be opened read-only; got mode='r'. Pass mode='r.', or the store's path"):
        open_group(KINDS["ZipStore"](tmp_path, 3), "r")


def test_a_group_given_back_is_the_same_one_unless_it_is_to_be_read_only(tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.zarr")))
    assert open_group(group) is group
    assert open_group(group, "r").read_only
    assert not group.read_only


def test_consolidated_metadata_is_never_trusted(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        path = fill(str(tmp_path / f"{zarr_format}.zarr"), zarr_format)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not part of the Zarr format 3 specification
            zarr.consolidate_metadata(path, zarr_format=zarr_format)
        zarr.open_group(path, use_consolidated=False).create_group("late").attrs["k"] = 1
        group = open_group(zarr.open_group(path))
        assert group.members() == ["arr", "late", "sub"]
        assert group.group("late").attributes == {"k": 1}


# ---------------------------------------------------------------------------------------------------- what is wrong
def broken(path: Path, name: str, content: str | bytes, **others: str) -> Path:
    path.mkdir()
    (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    for other, text in others.items():
        (path / f".{other}").write_text(text)
    return path


def test_a_place_without_a_group_is_an_error_that_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    broken(tmp_path / "folder", "data.csv", "1,2")
    (tmp_path / "empty").mkdir()
    for name, hint in {
        "missing": "The path does not exist",
        "empty": "The path exists; a Zarr group holds zarr.json or .zgroup",
        "folder": "The path exists and holds data.csv; a Zarr group holds zarr.json or .zgroup",
        "file": "The path is a file; a Zarr group is a folder that holds zarr.json or .zgroup",
    }.items():
        for place in (tmp_path / name, f"file://{tmp_path / name}", LocalStore(tmp_path / name)):
            with pytest.raises(StoreNotFoundError) as caught:
                open_group(place)
            assert str(caught.value) == f"{tmp_path / name}: there is no Zarr group. {hint}."


@pytest.mark.parametrize("store", ["memory://nothing/here.zarr", {}, MemoryStore()], ids=["URL", "dict", "MemoryStore"])
def test_a_store_without_a_group_is_an_error(store: Any) -> None:
    with pytest.raises(StoreNotFoundError, match="memory://.*: there is no Zarr group. Check the URL or store"):
        open_group(store)


@FORMATS
def test_an_array_is_no_group(zarr_format: int, tmp_path: Path) -> None:
    path = fill(str(tmp_path / "img.zarr"), zarr_format)
    with pytest.raises(StoreNotFoundError, match="img.zarr/arr: there is no Zarr group. The path is a Zarr array"):
        open_group(f"{path}/arr")
    assert open_group(path).find("arr") is None
    with pytest.raises(NameNotFoundError, match="img.zarr: there is no such group; got 'arr'"):
        open_group(path).group("arr")


DOCUMENTS: dict[str, str | bytes] = {
    "no JSON": "{",
    "empty": "",
    "not UTF-8": b"\xff\xfe\x00",
    "a list": "[]",
    "a number": "5",
    "attributes of another kind": '{"zarr_format": 3, "node_type": "group", "attributes": 5}',
    "another format": '{"zarr_format": 4, "node_type": "group"}',
    "too deep": '{"zarr_format": 3, "node_type": "group", "attributes": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}",
    "a number too long": '{"zarr_format": 3, "node_type": "group", "attributes": {"a": ' + "9" * 5000 + "}}",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_metadata_that_cannot_be_used_is_an_error_that_says_where(document: str, tmp_path: Path) -> None:
    broken(tmp_path / "img.zarr", "zarr.json", DOCUMENTS[document])
    with pytest.raises(StoredDataError, match="img.zarr: the group's metadata cannot be used .*Error: .*"):
        open_group(tmp_path / "img.zarr")
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(StoredDataError, match="/img.zarr: the group's metadata cannot be used"):
        open_group(tmp_path).find("img.zarr")


@pytest.mark.parametrize("attributes", ["{", "[1]", "5"])
def test_attributes_of_format_2_that_cannot_be_used_are_an_error(attributes: str, tmp_path: Path) -> None:
    path = broken(tmp_path / "img.zarr", ".zgroup", '{"zarr_format": 2}', zattrs="{}")
    group = open_group(path)
    (path / ".zattrs").write_text(attributes)
    with pytest.raises(StoredDataError, match="img.zarr: the group's metadata cannot be used"):
        group.attributes  # noqa: B018
    with pytest.raises(StoredDataError, match="img.zarr: the group's metadata cannot be used"):
        open_group(path)


def test_attributes_too_deep_to_copy_are_an_error(tmp_path: Path) -> None:
    depth = 990  # Python 3.12 parses JSON of this depth, and has not calls enough left to copy it; 3.11 does not parse it
    text = '{"zarr_format": 3, "node_type": "group", "attributes": {"a": ' + "[" * depth + "]" * depth + "}}"
    path = broken(tmp_path / "img.zarr", "zarr.json", text)
    with pytest.raises(StoredDataError, match="nested too deeply|cannot be used"):
        open_group(path).attributes  # noqa: B018


def test_a_group_that_was_removed_is_an_error(tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.zarr"))).group("sub")
    (tmp_path / "img.zarr" / "sub" / "zarr.json").unlink()
    with pytest.raises(StoreNotFoundError, match="img.zarr/sub: the group is no longer there"):
        group.attributes  # noqa: B018


@pytest.mark.parametrize("mode", ["w", "a", "", None])
def test_another_mode_is_refused(mode: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="mode is not understood; got .*; allowed: 'r' .read only., 'r.' .read and write.. Use create_"):
        open_group(tmp_path, mode)


@pytest.mark.parametrize("store", [None, 5, b"img.zarr", ["img.zarr"], np.zeros(3)])
def test_what_is_no_store_is_refused(store: Any) -> None:
    for use in (open_group, location, lambda s: create_group(s, 3), place_name):
        with pytest.raises(ArgumentError, match="this is no store; got .*; allowed: path, URL, fsspec mapper, dict, zarr store or group"):
            use(store)


def test_a_protocol_that_fsspec_does_not_know_is_refused() -> None:
    with pytest.raises(ArgumentError, match="nope://x: the URL cannot be opened .*nope.* Check its protocol"):
        open_group("nope://x")


# -------------------------------------------------------------------------------------------------------- look-ups
@FORMATS
def test_looking_something_up_creates_nothing(zarr_format: int, tmp_path: Path) -> None:
    path = Path(fill(str(tmp_path / "img.zarr"), zarr_format))
    before = files(tmp_path)
    group = open_group(path)
    assert [group.find(name) for name in ("nothing", "sub/nothing", "arr", ".", "..", "../img.zarr", "sub/../..")] == [None] * 7
    assert group.find("") is not None
    assert read_blob(group, "table.csv") is None
    for look in (
        lambda: group.group("nothing"),
        lambda: group.array("nothing"),
        lambda: group.array("../img.zarr"),
        lambda: open_group(tmp_path / "other.zarr"),
        lambda: open_group(LocalStore(tmp_path / "other.zarr")),
        lambda: open_group(StorePath(LocalStore(tmp_path / "other.zarr"), "inner")),
    ):
        with pytest.raises((NameNotFoundError, MissingArrayError, StoredDataError, StoreNotFoundError)):
            look()
    assert group.place("new").path.endswith("new")
    assert files(tmp_path) == before


def test_a_group_is_required_once_and_has_the_format_of_its_parent(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        group = create_group(tmp_path / f"{zarr_format}.zarr", zarr_format)
        made = group.require_group("labels")
        made.put_attributes({"k": 1})
        assert made.zarr_format == zarr_format
        assert group.require_group("labels").attributes == {"k": 1}
        group.delete("labels")
        assert group.find("labels") is None


@FORMATS
def test_what_is_no_member_is_not_listed(zarr_format: int, tmp_path: Path) -> None:
    path = Path(fill(str(tmp_path / "img.zarr"), zarr_format))
    (path / "OME").mkdir()
    (path / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    (path / "notes.txt").write_text("x")
    assert open_group(path).members() == ["arr", "sub"]
    assert open_group(path).group("sub").members() == []


def test_names_and_places_are_told_for_messages(tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.ome.zarr")))
    assert (group.where, group.name, group.local_path) == (str(tmp_path / "img.ome.zarr"), "img.ome.zarr", tmp_path / "img.ome.zarr")
    assert repr(group.group("sub")) == f"Group('{tmp_path}/img.ome.zarr/sub', zarr format 3)"
    remote = open_group(fill("memory://here/img.zarr"))
    assert (remote.where, remote.name, remote.local_path, remote.in_memory) == ("memory:///here/img.zarr", "img.zarr", None, False)
    assert open_group(fill({})).in_memory
    assert remote.array("arr").where == "memory:///here/img.zarr/arr"


def test_a_place_gives_a_name_to_what_lies_there(tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.ome.zarr")))
    named = {
        place_name(s) for s in (group, group.zarr, str(tmp_path / "img.zarr"), tmp_path / "img", "s/img.ome.zarr/", "memory://a/img.zarr")
    }
    assert named == {"img"}
    assert place_name(group, "A/01/0") == "0"
    assert place_name(StorePath(MemoryStore(), "a/img.zarr")) == "img"
    assert {place_name({}), place_name(MemoryStore()), place_name(open_group(fill({})))} == {"image"}


# ------------------------------------------------------------------------------------------------------- attributes
@FORMATS
def test_attributes_are_read_fresh_or_once(zarr_format: int, tmp_path: Path) -> None:
    path = fill(str(tmp_path / "img.zarr"), zarr_format)
    fresh, cached = open_group(path), open_group(path, cache=True)
    assert fresh.attributes == cached.attributes == ATTRIBUTES
    zarr.open_group(path).attrs.put({"changed": 1})
    assert fresh.attributes == {"changed": 1}
    assert cached.attributes == ATTRIBUTES
    cached.refresh()
    assert cached.attributes == {"changed": 1}
    cached.put_attributes({"own": 1})
    assert cached.attributes == fresh.attributes == {"own": 1}
    assert cached.group("sub").cache


def test_attributes_given_out_or_taken_are_copies(tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.zarr")), cache=True)
    group.attributes["nested"]["b"].append("spoilt")
    assert group.attributes == ATTRIBUTES
    given = {"k": {"list": [1]}}
    group.put_attributes(given)
    given["k"]["list"].append(2)
    group.refresh()
    assert group.attributes == {"k": {"list": [1]}}


def test_attributes_are_written_in_one_store_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for zarr_format, document in ((2, ".zattrs"), (3, "zarr.json")):
        group = open_group(fill(str(tmp_path / f"{zarr_format}.zarr"), zarr_format))
        keys: list[str] = []
        kept = LocalStore.set

        async def counted(self: LocalStore, key: str, value: Any, keys: list[str] = keys, kept: Any = kept) -> None:
            keys.append(key)
            await kept(self, key, value)

        monkeypatch.setattr(LocalStore, "set", counted)
        group.put_attributes({"b": 1})
        monkeypatch.undo()
        assert keys.count(document) == 1
        assert set(keys) <= {document, ".zgroup"}
        assert open_group(tmp_path / f"{zarr_format}.zarr").attributes == {"b": 1}


# --------------------------------------------------------------------------------------------------------- creating
@FORMATS
def test_a_group_is_created_empty_where_there_is_none(zarr_format: int, tmp_path: Path) -> None:
    group = create_group(tmp_path / "new.zarr", zarr_format)
    assert (group.attributes, group.members(), group.zarr_format) == ({}, [], zarr_format)
    group.put_attributes({"a": 1})
    with pytest.raises(AlreadyExistsError, match="new.zarr: something is there already. Pass overwrite=True to replace it"):
        create_group(tmp_path / "new.zarr", zarr_format)
    assert create_group(tmp_path / "new.zarr", zarr_format, overwrite=True).attributes == {}


# ---------------------------------------------------------------------------------------------------- arrays, blobs
@pytest.mark.parametrize(("zarr_format", "document"), [(2, ".zarray"), (3, "zarr.json")])
def test_an_array_whose_metadata_cannot_be_used_is_an_error_that_says_where(zarr_format: int, document: str, tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.zarr"), zarr_format))
    path = tmp_path / "img.zarr" / "arr" / document
    sound = json.loads(path.read_text())
    broken_ones = [
        "{",
        "[]",
        "5",
        "{}",
        re.sub("zstd|blosc", "nope", json.dumps(sound)),
        json.dumps(sound).replace("uint16", "q8").replace("<u2", "<q8"),
    ]
    needed = (
        ("shape", "data_type", "chunk_grid", "codecs", "fill_value") if zarr_format == 3 else ("shape", "dtype", "chunks", "fill_value")
    )
    broken_ones += [json.dumps({k: v for k, v in sound.items() if k != key}) for key in needed]
    for text in broken_ones:
        path.write_text(text)
        with pytest.raises(StoredDataError, match="img.zarr/arr: the array's metadata cannot be used .*Error: ") as caught:
            group.array("arr")
        assert not isinstance(caught.value, MissingArrayError)


@FORMATS
def test_an_array_that_is_not_there_is_an_error_with_its_name(zarr_format: int, tmp_path: Path) -> None:
    group = open_group(fill(str(tmp_path / "img.zarr"), zarr_format))
    for name in ("7", "sub/0"):
        with pytest.raises(
            MissingArrayError, match=f"img.zarr: the metadata names an array that is not there; got '{name}'. The write may be"
        ):
            group.array(name)
    with pytest.raises(StoredDataError, match="img.zarr"):
        group.array("sub")


def test_a_blob_is_read_back_and_absent_where_there_is_none(tmp_path: Path) -> None:
    for store in (tmp_path / "img.zarr", MemoryStore(), f"memory://{tmp_path.name}/blob.zarr"):
        group = create_group(store, 3)
        assert read_blob(group, "table.csv") is None
        write_blob(group, "table.csv", b"a,b\n1,2\n")
        write_blob(group, "table.csv", b"a,b\n3,4\n")
        assert read_blob(group, "table.csv") == b"a,b\n3,4\n"


def test_what_a_read_only_directory_says_becomes_our_error(tmp_path: Path) -> None:
    group = create_group(tmp_path / "img.zarr", 3)
    for number in (1, 13, 30):  # EPERM, EACCES, EROFS
        with (
            pytest.raises(ReadOnlyError, match="img.zarr: the store cannot be written .*. Copy it to a place that can be written"),
            writing(group),
        ):
            raise OSError(number, "no")
    with pytest.raises(OSError, match="disk full") as caught, permitted("here"):
        raise OSError(28, "disk full")
    assert not isinstance(caught.value, ReadOnlyError)
