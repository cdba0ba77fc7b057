"""OME-Zarr versions: what each document is, round trips, leniencies, refusals."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omexp.errors import ArgumentError, InvalidMetadataError, UnsupportedVersionError
from omexp.metadata.axes import default_axes
from omexp.metadata.channels import default_channels
from omexp.metadata.image import ImageMeta
from omexp.metadata.labels import ImageLabel
from omexp.metadata.multiscale import Dataset, Multiscale
from omexp.metadata.plate import ImageInWellPath
from omexp.metadata.plate_editing import new_plate
from omexp.metadata.transforms import ScaleTranslation
from omexp.metadata.versions import (
    DEFAULT_VERSION,
    READABLE,
    WRITABLE,
    decode_image,
    decode_names,
    decode_plate,
    decode_well,
    encode_image,
    encode_names,
    encode_plate,
    encode_well,
    kind_of,
    revise_multiscale,
    version_of,
    writable_version,
)

FORMATS = {"0.4": 2, "0.5": 3, "0.6": 3}
BOTH = pytest.mark.parametrize("version", ["0.4", "0.5"])
ALL = pytest.mark.parametrize("version", FORMATS)


def multiscale(**changes: Any) -> dict[str, Any]:
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    levels = [{"path": p, "coordinateTransformations": [{"type": "scale", "scale": [s, s]}]} for p, s in (("0", 1.0), ("1", 2.0))]
    return {"axes": axes, "datasets": levels, "name": "img"} | changes


def document(version: str, **sections: Any) -> dict[str, Any]:
    """The attributes of a group with these sections."""
    if version == "0.5":
        return {"ome": {"version": "0.5", **sections}}
    tagged = {k: [v[0] | {"version": "0.4"}, *v[1:]] if k == "multiscales" else v for k, v in sections.items()}
    return {k: v | {"version": "0.4"} if k in ("plate", "well", "image-label") else v for k, v in tagged.items()}


def decoded(doc: dict[str, Any], version: str, **given: Any) -> ImageMeta:
    return decode_image(doc, FORMATS[version], "here", **given)[0]


# ------------------------------------------------------------------------------------------------------ round trips
@st.composite
def images(draw: st.DrawFn) -> ImageMeta:
    """Any image or label that this package may write."""
    names = draw(st.sampled_from(["yx", "zyx", "cyx", "tzyx", "czyx", "tczyx"]))
    axes = default_axes(len(names), names, space_unit=draw(st.sampled_from(["micrometer", None, "pixel"])))
    first = ScaleTranslation(tuple(draw(st.floats(0.01, 100)) for _ in names), tuple(draw(st.floats(-5, 5)) for _ in names))
    levels = [first]
    for _ in range(draw(st.integers(0, 3))):
        levels.append(levels[-1].reduced(tuple(draw(st.integers(1, 4)) for _ in names)))
    datasets = tuple(Dataset(f"s{i}", t) for i, t in enumerate(levels))
    extra = draw(st.dictionaries(st.sampled_from(["_creator", "@type"]), st.text(max_size=3)))
    method = draw(st.sampled_from([None, "mean"]))
    entry = Multiscale(axes, datasets, draw(st.sampled_from([None, "img"])), method, {"f": 2} if method else None, extra)
    version = draw(st.sampled_from(WRITABLE))
    if "c" in names or draw(st.booleans()):
        return ImageMeta(version, entry, default_channels(draw(st.integers(1, 4)), "uint16"))
    return ImageMeta(version, entry, None, ImageLabel(colors=({"label-value": 1},), extra={"k": [1]}))


@given(images())
def test_what_is_written_is_read_back_equal(meta: ImageMeta) -> None:
    written = encode_image(meta)
    count = len(meta.channels_meta) if meta.channels_meta else 1
    again, problems = decode_image(written, FORMATS[meta.version], "here", channels=count)
    assert again == meta
    assert problems.found == []
    assert encode_image(again) == written


@given(images())
def test_a_document_says_what_kind_and_version_it_is(meta: ImageMeta) -> None:
    written = encode_image(meta)
    assert kind_of(written) == ("label" if meta.image_label else "image")
    assert version_of(written, FORMATS[meta.version], "here").tag == meta.version


@BOTH
def test_what_a_document_holds_besides_is_kept_when_it_is_written_again(version: str) -> None:
    omero = {"channels": [{"label": "a", "color": "FFFFFF", "active": True, "window": {"min": 0, "max": 1, "start": 0, "end": 1}}]}
    doc = document(version, multiscales=[multiscale(_creator="x")], omero=omero | {"rdefs": {}}, other=1) | {
        "bioformats2raw.layout": 3,
        "k": {"a": 1},
    }
    before = copy.deepcopy(doc)
    again = encode_image(decoded(doc, version), doc)
    again_sections, sections = (d["ome"] if version == "0.5" else d for d in (again, doc))
    assert again_sections.keys() == sections.keys()
    assert again_sections["multiscales"] == sections["multiscales"]
    assert again_sections["other"] == 1
    assert {k: again[k] for k in ("bioformats2raw.layout", "k")} == {"bioformats2raw.layout": 3, "k": {"a": 1}}
    assert again_sections["omero"]["rdefs"] == {}
    assert doc == before


@BOTH
def test_revising_a_multiscale_changes_only_what_is_named(version: str) -> None:
    doc = document(version, multiscales=[multiscale(_creator="x"), multiscale(name="second")], omero={"id": 1}) | {"k": 1}
    before = copy.deepcopy(doc)
    again = revise_multiscale(doc, FORMATS[version], "here", type="mean")
    assert doc == before
    sections = again["ome"] if version == "0.5" else again
    assert sections["multiscales"][0].pop("type") == "mean"
    assert again == before


@ALL
def test_plates_and_wells_are_read_back_equal(version: str) -> None:
    plate, wells = new_plate("P1", [ImageInWellPath("A", 1, p, 0, "run") for p in "01"])
    written = encode_plate(plate, version, {"k": 1})
    assert written["k"] == 1
    assert kind_of(written) == "plate"
    assert decode_plate(written, FORMATS[version], "here")[:2] == (version, plate)
    well = encode_well(wells["A/01"], version)
    assert kind_of(well) == "well"
    assert decode_well(well, FORMATS[version], "here")[:2] == (version, wells["A/01"])


def test_sections_lie_where_the_version_wants_them() -> None:
    meta = ImageMeta("0.4", Multiscale(default_axes(2), (Dataset("0", ScaleTranslation.identity(2)),)), None, ImageLabel())
    old = encode_image(meta)
    assert old["multiscales"][0]["version"] == old["image-label"]["version"] == "0.4"
    new = encode_image(ImageMeta("0.5", meta.multiscale, None, ImageLabel()))
    assert list(new) == ["ome"]
    assert new["ome"]["version"] == "0.5"
    assert "version" not in new["ome"]["multiscales"][0]


# -------------------------------------------------------------------------------------------------------- leniencies
def test_a_tag_is_compared_by_prefix() -> None:
    for tag in ("0.4", "0.4.1", "0.4-dev-spatialdata", 0.4):
        assert version_of({"multiscales": [multiscale(version=tag)]}, 2, "here").tag == "0.4"
    for tag in ("0.5", "0.5.2", "0.5-dev-spatialdata"):
        assert version_of({"ome": {"version": tag}}, 3, "here").tag == "0.5"


@pytest.mark.parametrize(
    ("doc", "zarr_format", "tag"),
    [
        ({"multiscales": [multiscale()]}, 2, "0.4"),
        ({"plate": {"rows": []}}, 2, "0.4"),
        ({"well": {"images": []}}, 2, "0.4"),
        ({"labels": ["a"]}, 2, "0.4"),
        ({}, 2, "0.4"),
        ({"ome": {"multiscales": [multiscale()]}}, 3, "0.5"),
        ({"ome": {"labels": []}}, 3, "0.5"),
        ({}, 3, "0.5"),
    ],
)
def test_without_a_tag_the_zarr_format_decides(doc: dict[str, Any], zarr_format: int, tag: str) -> None:
    assert version_of(doc, zarr_format, "here").tag == tag


def test_an_image_of_spatialdata_is_read() -> None:
    outer = [{"type": "identity", "input": {"name": "cyx"}, "output": {"name": "global"}}]
    omero = {"channels": [{"label": 0}]}
    doc = {"multiscales": [multiscale(version="0.4-dev-spatialdata", coordinateTransformations=outer)], "omero": omero}
    meta, problems = decode_image(doc, 2, "here")
    assert (meta.version, meta.channels_meta.channel_labels if meta.channels_meta else None) == ("0.4", ["0"])
    assert [str(p) for p in problems.found] == ["version: '0.4-dev-spatialdata' is no released version; it is read as 0.4"]
    assert encode_image(meta, doc)["multiscales"][0]["coordinateTransformations"] == outer


@BOTH
def test_the_first_of_several_multiscales_is_read(version: str) -> None:
    assert decoded(document(version, multiscales=[multiscale(name="a"), multiscale(name="b")]), version).name == "a"


@BOTH
def test_a_label_has_no_channels_and_an_image_as_many_as_its_axis(version: str) -> None:
    label = decoded(document(version, multiscales=[multiscale()], **{"image-label": {}}), version, channels=3)
    assert (label.channels_meta, label.image_label) == (None, ImageLabel(None))
    image = decoded(document(version, multiscales=[multiscale()]), version, channels=3, dtype_name="uint8")
    assert image.channels_meta == default_channels(3, "uint8")


def test_names_are_found_under_ome_and_above_it() -> None:
    assert decode_names({"labels": ["a"]}, "labels") == ["a"]
    assert decode_names({"ome": {"version": "0.5", "labels": ["a"]}}, "labels") == ["a"]
    assert decode_names({"ome": {"version": "0.5"}, "labels": ["b"]}, "labels") == ["b"]  # written by those who forget `ome`
    assert decode_names({"ome": {"labels": ["a"]}, "labels": ["b"]}, "labels") == ["a"]
    assert decode_names({"ome": "x", "tables": ["t"]}, "tables") == ["t"]
    assert decode_names({}, "labels") == []


def test_a_list_of_names_that_is_none_is_refused_so_that_writing_the_next_name_loses_nothing() -> None:
    with pytest.raises(InvalidMetadataError, match="its list of names cannot be used; got labels: expected a list of names"):
        decode_names({"labels": {"a": 1}}, "labels")


def test_names_are_written_where_the_version_wants_them_and_tables_at_the_top() -> None:
    assert encode_names({"k": 1}, "labels", ["a"], "0.4") == {"k": 1, "labels": ["a"]}
    assert encode_names({"k": 1, "labels": ["old"]}, "labels", ["a"], "0.5") == {"k": 1, "ome": {"version": "0.5", "labels": ["a"]}}
    for version in WRITABLE:
        assert encode_names({"ome": {"x": 1}}, "tables", ["t"], version) == {"ome": {"x": 1}, "tables": ["t"]}


@pytest.mark.parametrize(
    ("doc", "kind"),
    [
        ({}, None),
        ({"ome": {"version": "0.5"}}, None),
        ({"labels": []}, "labels"),
        ({"ome": {"labels": []}}, "labels"),
        ({"bioformats2raw.layout": 3}, "bioformats2raw"),
        ({"bioformats2raw.layout": 3, "plate": {}}, "plate"),
        ({"ome": {"bioformats2raw.layout": 3}}, "bioformats2raw"),
        ({"multiscales": []}, "image"),
        ({"multiscales": [], "image-label": {}}, "label"),
        ({"ome": {"well": {}}}, "well"),
    ],
)
def test_a_document_tells_its_kind(doc: dict[str, Any], kind: str | None) -> None:
    assert kind_of(doc) == kind


# ---------------------------------------------------------------------------------------------------------- refusals
OTHERS = {
    "0.40": ({"multiscales": [multiscale(version="0.40")]}, 2),
    "latest": ({"ome": {"version": "latest"}}, 3),
    "1.0": ({"ome": {"version": "1.0"}}, 3),
    "['0.5']": ({"ome": {"version": ["0.5"]}}, 3),
}


@pytest.mark.parametrize("tag", OTHERS)
def test_another_version_is_refused_and_the_message_names_what_can_be_read(tag: str) -> None:
    doc, zarr_format = OTHERS[tag]
    for decode in (decode_image, decode_plate, decode_well, version_of):
        with pytest.raises(UnsupportedVersionError) as caught:
            decode(doc, zarr_format, "here")
        assert str(caught.value) == (
            f"here: this OME-Zarr version cannot be read; got version {tag} in a Zarr format {zarr_format} group; "
            "allowed: 0.1 (Zarr format 2), 0.2 (Zarr format 2), 0.3 (Zarr format 2), 0.4 (Zarr format 2), 0.5 (Zarr format 3), "
            "0.6 (Zarr format 3), 0.9 (Zarr format 3). Correct the version, or convert the store with the program that wrote it."
        )


def test_a_version_in_the_wrong_zarr_format_is_refused() -> None:
    with pytest.raises(UnsupportedVersionError, match="got version 0.4 in a Zarr format 3 group"):
        version_of({"multiscales": [multiscale(version="0.4")]}, 3, "here")
    with pytest.raises(UnsupportedVersionError, match="got version 0.5 in a Zarr format 2 group"):
        version_of({"ome": {"version": "0.5"}}, 2, "here")


def test_a_version_that_is_unknown_cannot_be_written() -> None:
    assert READABLE == ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.9")
    assert (WRITABLE, DEFAULT_VERSION) == (("0.4", "0.5", "0.6"), "0.5")
    with pytest.raises(ArgumentError, match="ngff_version: that OME-Zarr version cannot be written; got '0.3'; allowed: 0.4, 0.5, 0.6"):
        writable_version("0.3")


@pytest.mark.parametrize(
    ("doc", "got"),
    [
        ({"ome": {"version": "0.5"}}, "multiscales: missing; expected a list"),
        ({"ome": {"version": "0.5", "multiscales": []}}, "multiscales: empty; expected at least one entry"),
        ({"ome": {"version": "0.5", "multiscales": {}}}, "multiscales: expected a list, got {}"),
        ({"ome": {"version": "0.5", "multiscales": [5]}}, "multiscales.0: expected an object, got 5"),
        ({"ome": {"version": "0.5", "multiscales": [multiscale(axes=[])]}}, "multiscales.0.axes: empty; expected 2 to 5 axes"),
        ({"ome": []}, "multiscales: missing; expected a list"),
    ],
)
def test_a_document_without_a_usable_image_is_an_error_that_names_every_problem(doc: dict[str, Any], got: str) -> None:
    with pytest.raises(InvalidMetadataError) as caught:
        decode_image(doc, 3, "here")
    assert str(caught.value) == f"here: the OME-Zarr metadata cannot be used; got {got}. Correct the group's attributes."
    assert [str(p) for p in caught.value.problems] == [got]


def test_a_group_that_is_no_plate_or_well_is_an_error() -> None:
    with pytest.raises(InvalidMetadataError, match="here: this group is not a usable plate; got plate: missing; expected an object"):
        decode_plate({}, 3, "here")
    with pytest.raises(InvalidMetadataError, match="here: this group is not a usable well; got well: missing; expected an object"):
        decode_well({}, 2, "here")


def test_a_message_lists_the_first_of_many_problems_and_the_error_has_them_all() -> None:
    with pytest.raises(InvalidMetadataError, match="axes.19.name: .*; and 9980 more. Correct") as caught:
        decode_image({"ome": {"version": "0.5", "multiscales": [multiscale(axes=[5] * 10_000)]}}, 3, "here")
    assert len([p for p in caught.value.problems if p.level == "error"]) == 10_000
