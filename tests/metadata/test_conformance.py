"""Every published OME-Zarr document of the versions that are read, and documents of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omexp.errors import OmexpError
from omexp.metadata.labels import parse_image_label
from omexp.metadata.problems import Problems
from omexp.metadata.validation import check_document, is_valid
from omexp.metadata.versions import WRITABLE, decode_image, decode_names, decode_plate, decode_well, encode_image, kind_of, version_of

CASES = Path(__file__).resolve().parents[3] / "shared" / "conformance"
FORMATS = {"0.1": 2, "0.2": 2, "0.3": 2, "0.4": 2, "0.5": 3, "0.6": 3, "0.9.dev1": 3}
DECODERS = {"image": decode_image, "label": decode_image, "plate": decode_plate, "well": decode_well}


def cases(*versions: str, verdict: str = "*") -> list[Any]:
    """Published documents by version and verdict ("valid", "invalid"); one skipped case where they are not there."""
    found = sorted(path for version in versions for path in CASES.glob(f"{version}/*/{verdict}/*.json"))
    params = [pytest.param(path, id=str(path.relative_to(CASES).with_suffix(""))) for path in found]
    return params or [pytest.param(None, marks=pytest.mark.skip(f"the published documents are not there: {CASES}"))]


def load(path: Path) -> tuple[dict[str, Any], int]:
    return json.loads(path.read_text()), FORMATS[path.relative_to(CASES).parts[0]]


@pytest.mark.parametrize("path", cases(*FORMATS, verdict="valid"))
def test_a_valid_document_is_read(path: Path) -> None:
    if str(path.relative_to(CASES).with_suffix("")) in json.loads((CASES / "contested.json").read_text()):
        pytest.skip("contradicts the text of its own version")
    document, zarr_format = load(path)
    kind = kind_of(document)
    if "label" in path.parts[-3]:  # these hold nothing but the block
        problems = Problems(version=version_of(document, zarr_format, "here").tag)
        parse_image_label(version_of(document, zarr_format, "here").sections(document)["image-label"], problems)
        assert problems.found == []
        return
    if kind not in DECODERS:
        assert path.parts[-3] in ("examples_bf2raw", "examples_ome", "examples_scene", "scene")
        assert version_of(document, zarr_format, "here").zarr_format == zarr_format
        return
    decoded = DECODERS[kind](document, zarr_format, "here")
    assert not decoded[-1].errors
    if kind == "image" and decoded[0].version in WRITABLE:
        meta = decoded[0]
        again = encode_image(meta, document)
        assert decode_image(again, zarr_format, "here")[0] == meta
        entry, before = (version_of(d, zarr_format, "here").sections(d)["multiscales"][0] for d in (again, document))
        assert without_made_up_types(entry) == without_made_up_types(before) | ({"version": "0.4"} if meta.version == "0.4" else {})


def without_made_up_types(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry whose axes of canonical names have the type that we give them."""
    types = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
    axes = [{"type": types[a["name"]]} | a if a["name"] in types else a for a in entry.get("axes", [])]
    return entry | ({"axes": axes} if "axes" in entry else {})


@pytest.mark.parametrize("path", cases(*FORMATS, verdict="invalid"))
def test_an_invalid_document_gives_our_errors_or_is_read(path: Path) -> None:
    document, zarr_format = load(path)
    assert kind_of(document) in {*DECODERS, "scene", None}
    assert isinstance(decode_names(document, "labels"), list)
    for decode in (decode_image, decode_plate, decode_well):
        try:
            problems = decode(document, zarr_format, "here")[-1]
            assert not problems.errors
        except OmexpError as error:
            assert "here" in str(error)


def verdict(path: Path) -> bool:
    """True where we find what the publishers say. Cases of the suites `strict_*` are of the SHOULD level."""
    problems = check_document(json.loads(path.read_text()))
    if path.parent.name == "valid":
        return is_valid(problems)
    return not is_valid(problems, strict=path.parts[-3].startswith("strict_"))


def test_every_uncontested_case_gets_the_right_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    if not CASES.is_dir():
        pytest.skip(f"the published documents are not there: {CASES}")
    contested = json.loads((CASES / "contested.json").read_text())
    right: dict[str, list[bool]] = {}
    wrong = []
    for path in sorted(CASES.glob("*/*/*/*.json")):
        name = str(path.relative_to(CASES).with_suffix(""))
        if name in contested:
            continue
        right.setdefault(path.relative_to(CASES).parts[0], []).append(verdict(path))
        wrong += [] if verdict(path) else [name]
    with capsys.disabled():
        print("\nright verdicts: " + ", ".join(f"{version} {sum(found)}/{len(found)}" for version, found in right.items()))
    assert wrong == []
    assert {version: len(found) for version, found in right.items()} == {
        "0.1": 26, "0.2": 14, "0.3": 20, "0.4": 96, "0.5": 96, "0.6": 145, "0.9.dev1": 6,
    }  # fmt: skip
