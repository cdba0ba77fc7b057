"""Rules of stores: for every one a hierarchy that keeps it and one that breaks it, at the level that the specification gives it."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from zarr.buffer import cpu

import omexp
from omexp.checking import validate
from omexp.metadata.rules import RULES, STORE_RULES
from omexp.storage.groups import create_group
from tests.hierarchies import VERSIONS, Store, change, document_of, group_of, make_image, remove, sound, write


def image(version: str = "0.5") -> Store:
    return sound("image", version)


def plate(version: str = "0.5") -> Store:
    return sound("plate", version)


def collection(version: str = "0.5") -> Store:
    """Two images as bioformats2raw writes them."""
    store: Store = {}
    group = create_group(store, 2 if version == "0.4" else 3)
    sections: dict[str, Any] = {"bioformats2raw.layout": 3}
    group.put_attributes(sections if version == "0.4" else {"ome": {"version": version} | sections})
    for name in ("0", "1"):
        make_image(version, label=False, levels=1, place=group.place(name))
    about = group.require_group("OME")
    about.put_attributes({"series": ["0", "1"]} if version == "0.4" else {"ome": {"version": version, "series": ["0", "1"]}})
    write(store, "OME/METADATA.ome.xml", b"<OME/>")
    return store


def scene() -> Store:
    """A 0.6 scene that connects the systems of two images."""
    store: Store = {}
    group = create_group(store, 3)
    for name in ("a", "b"):
        make_image("0.6", label=False, levels=1, place=group.place(name))
    ends = {"input": {"path": "a", "name": "physical"}, "output": {"path": "b", "name": "physical"}}
    group.put_attributes({"ome": {"version": "0.6", "scene": {"coordinateTransformations": [{"type": "identity"} | ends]}}})
    return store


def axes_of(sections: dict[str, Any]) -> Any:
    return sections["multiscales"][0]["axes"]


def datasets_of(sections: dict[str, Any]) -> Any:
    return sections["multiscales"][0]["datasets"]


def drop(sections: dict[str, Any], *keys: str) -> None:
    for key in keys:
        sections.pop(key, None)


def put_label(store: Store, name: str, **options: Any) -> Store:
    """A further group of a multiscale in the labels group, which does not list it."""
    pixels = options.pop("pixels", np.zeros((32, 32), "uint32"))
    place = group_of(store).place(f"labels/{name}")
    omexp.create_ome_zarr_from_array(place, pixels, xy_pixelsize=0.5, levels=options.pop("levels", 2), chunks=16, name=name, **options)
    change(store, f"labels/{name}", lambda s: (s.pop("omero"), s.update({"image-label": {"source": {"image": "../../"}}})))
    return store


def listed(store: Store, name: str) -> Store:
    return change(store, "labels", lambda s: s["labels"].append(name))


def stale(store: Store) -> Store:
    """Consolidated, then changed by a program that does not know of it."""
    group_of(store).consolidate()
    return change(store, "labels/nuclei", lambda s: s.update(note=1))


def without(store: Store, key: str) -> Store:
    del store[key]
    return store


def cut_chunk(store: Store) -> Store:
    store["0/c/0/0/0"] = cpu.Buffer.from_bytes(store["0/c/0/0/0"].to_bytes()[:-4])
    return store


def stray_chunk(store: Store) -> Store:
    store["0/c/9/9/9"] = store["0/c/0/0/0"]
    return store


def two_dtypes(store: Store, version: str) -> Store:
    return change(store, "1", lambda d: d.update({"dtype": "<u4"} if version == "0.4" else {"data_type": "uint32"}))


def in_format_2(store: Store) -> Store:
    remove(store, "labels/nuclei")
    write(store, "labels/nuclei/.zgroup", {"zarr_format": 2})
    return store


Broken = Callable[[], Store]
BROKEN: dict[str, list[Broken]] = {
    "json": [
        lambda: (s := image(), write(s, "labels/nuclei/zarr.json", b'{"zarr_format": 3, // no'))[0],
        lambda: (s := image(), write(s, "1/zarr.json", b'{"a": NaN}'))[0],
        lambda: (s := image("0.4"), write(s, "labels/.zattrs", b"[]"))[0],
        lambda: (s := image(), write(s, "tables/rois/zarr.json", b'{"zarr_format": 4}'))[0],
    ],
    "path-inside": [
        lambda: listed(image(), "../../secret"),
        lambda: change(plate(), "A/01", lambda s: s["well"]["images"].append({"path": "a\\..\\..\\b"})),
    ],
    "member-missing": [
        lambda: remove(image(), "labels/nuclei"),
        lambda: remove(plate(), "A/01"),
        lambda: remove(plate(), "B/02/1"),
        lambda: remove(collection(), "1"),
        lambda: remove(scene(), "b"),
    ],
    "member-kind": [
        lambda: change(plate(), "A/01/0", lambda s: (drop(s, "multiscales"), s.update(labels=[]))),
        lambda: change(plate(), "A/01", lambda s: (drop(s, "well"), s.update(series=[]))),
        lambda: change(plate(), "A/01", lambda s: s["well"]["images"].append({"path": "x", "acquisition": 0})) | {
            "A/01/x/zarr.json": plate()["A/01/0/0/zarr.json"]},
    ],
    "hierarchy-version": [lambda: change(image("0.5"), "labels", lambda s: s.update(version="0.6"))],
    "hierarchy-format": [
        lambda: in_format_2(image()),
        lambda: (s := remove(image("0.4"), "0"), write(s, "0/zarr.json", {"zarr_format": 3, "node_type": "array"}))[0],
    ],
    "consolidated-stale": [lambda: stale(image("0.4")), lambda: stale(image("0.5"))],
    "array-missing": [
        lambda: remove(image(), "1"),
        lambda: without(image("0.4"), "labels/nuclei/1/.zarray"),
        lambda: change(image(), "", lambda s: datasets_of(s)[1].update(path="labels")),
    ],
    "array-readable": [
        lambda: change(image(), "1", lambda d: d["codecs"].append({"name": "nothing-known"})),
        lambda: change(image("0.4"), "0", lambda d: d["compressor"].update(id="nothing-known")),
        lambda: change(image(), "0", lambda d: d.update(data_type="float99")),
        lambda: change(image(), "0", lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[1, 1])),
    ],
    "array-axes": [lambda: change(image(), "", lambda s: (axes_of(s).pop(0), [d.update(coordinateTransformations=[{
        "type": "scale", "scale": [2**i, 2**i]}]) for i, d in enumerate(datasets_of(s))]))],
    "array-dtype": [lambda: two_dtypes(image("0.4"), "0.4"), lambda: two_dtypes(image("0.6"), "0.6")],
    "array-shapes": [lambda: change(image(), "1", lambda d: d.update(shape=[2, 32, 33]))],
    "array-scales": [lambda: change(image(), "1", lambda d: d.update(shape=[2, 16, 9]))],
    "array-names": [
        lambda: change(image("0.5"), "0", lambda d: d.pop("dimension_names")),
        lambda: change(image("0.6"), "1", lambda d: d.update(dimension_names=["c", "x", "y"])),
        lambda: change(image("0.5"), "labels/nuclei/0", lambda d: d.update(dimension_names=[None, "x"])),
    ],
    "array-separator": [lambda: change(image("0.4"), "0", lambda d: d.update(dimension_separator="."))],
    "array-fill": [lambda: change(image("0.4"), "0", lambda d: d.update(fill_value="0"))],
    "chunk-damaged": [lambda: cut_chunk(image())],
    "chunk-stray": [lambda: stray_chunk(image())],
    "labels-key": [
        lambda: change(image("0.5"), "labels", lambda s: drop(s, "labels")),
        lambda: change(image("0.4"), "labels", lambda s: drop(s, "labels")),
    ],
    "labels-unlisted": [lambda: put_label(image(), "others")],
    "labels-between": [
        lambda: (s := listed(put_label(image(), "deep/er"), "deep/er"), write(s, "labels/deep/zarr.json", {
            "zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", "labels": ["er"]}}}))[0],
    ],
    "label-block-missing": [lambda: change(image(), "labels/nuclei", lambda s: drop(s, "image-label"))],
    "label-dtype": [lambda: listed(put_label(image(), "soft", pixels=np.zeros((32, 32), "float32")), "soft")],
    "label-levels": [lambda: listed(put_label(image(), "flat", levels=1), "flat")],
    "label-grid": [
        lambda: listed(put_label(image(), "small", pixels=np.zeros((16, 16), "uint8")), "small"),
        lambda: listed(put_label(image(), "moving", pixels=np.zeros((2, 32, 32), "uint8"), axes_names="tyx"), "moving"),
    ],
    "label-source-there": [
        lambda where=where: change(image(), "labels/nuclei", lambda s: s["image-label"]["source"].update(image=where))
        for where in ("../../../../etc", "../../labels", "/", "../../nothing")
    ],
    "tables-missing": [lambda: remove(image(), "tables/rois")],
    "tables-unlisted": [lambda: (s := image(), write(s, "tables/zarr.json", {
        "zarr_format": 3, "node_type": "group", "attributes": {"tables": []}}))[0]],
    "table-region": [lambda: (s := image(), d := document_of(s, "tables/rois"), write(s, d[0], d[1] | {"attributes": d[1]["attributes"] | {
        "region": {"path": "../labels/nobody"}}}))[0]],
    "plate-row-group": [lambda: without(plate(), "A/zarr.json")],
    "plate-field-count-true": [lambda: change(plate(), "", lambda s: s["plate"].update(field_count=1))],
    "acquisition-fieldcount-true": [lambda: change(plate(), "", lambda s: s["plate"]["acquisitions"][0].update(maximumfieldcount=1))],
    "well-acquisition-known": [
        lambda: change(plate("0.4"), "A/01", lambda s: s["well"]["images"][0].update(acquisition=7)),
        lambda: change(plate(), "A/01", lambda s: s["well"]["images"][0].pop("acquisition")),
    ],
    "collection-xml": [lambda: without(collection(), "OME/METADATA.ome.xml")],
    "scene-system": [lambda: change(scene(), "", lambda s: s["scene"]["coordinateTransformations"][0]["input"].update(name="nowhere"))],
}  # fmt: skip
IN_FILES = {"levels-unfinished", *(rule for rule in STORE_RULES if rule.startswith("archive-"))}  # `test_validating` has these
SOUND = [lambda v=v: image(v) for v in VERSIONS] + [lambda v=v: plate(v) for v in VERSIONS] + [collection, lambda: collection("0.4"), scene]


@pytest.mark.parametrize("make", SOUND)
def test_a_sound_hierarchy_breaks_no_rule_of_stores(make: Broken) -> None:
    report = validate(make(), data=True)
    assert report.valid
    assert [str(found) for found in report if found.rule in STORE_RULES] == []


@pytest.mark.parametrize(("rule", "make"), [pytest.param(r, m, id=f"{r}-{i}") for r, ms in BROKEN.items() for i, m in enumerate(ms)])
def test_a_broken_rule_is_found_at_its_level(rule: str, make: Broken) -> None:
    store = make()
    before = {key: zlib.crc32(value.to_bytes()) for key, value in store.items()}
    report = validate(store, data=rule.startswith("chunk"))
    mine = [found for found in report if found.rule == rule]
    assert mine, repr(report)
    assert {found.level for found in mine} <= {RULES[rule].level(version) for version in VERSIONS}
    assert report.valid == (not report.errors)
    assert not validate(store, strict=True, data=rule.startswith("chunk")).valid
    assert {key: zlib.crc32(value.to_bytes()) for key, value in store.items()} == before  # looking changes nothing
    assert copy.deepcopy(report.to_json()) == report.to_json()


def test_every_rule_of_stores_is_tried() -> None:
    assert set(BROKEN) | IN_FILES == set(STORE_RULES)
