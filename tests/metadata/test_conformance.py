"""Every published OME-Zarr document of the versions that are read, and documents of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omexp.errors import OmexpError, UnsupportedVersionError
from omexp.metadata.labels import parse_image_label
from omexp.metadata.problems import Problems
from omexp.metadata.versions import decode_image, decode_names, decode_plate, decode_well, encode_image, kind_of, version_of

CASES = Path(__file__).resolve().parents[3] / "shared" / "conformance"
FORMATS = {"0.1": 2, "0.2": 2, "0.3": 2, "0.4": 2, "0.5": 3, "0.6": 3}
DECODERS = {"image": decode_image, "label": decode_image, "plate": decode_plate, "well": decode_well}


def cases(*versions: str, verdict: str = "*") -> list[Any]:
    """Published documents by version and verdict ("valid", "invalid"); one skipped case where they are not there."""
    found = sorted(path for version in versions for path in CASES.glob(f"{version}/*/{verdict}/*.json"))
    params = [pytest.param(path, id=str(path.relative_to(CASES).with_suffix(""))) for path in found]
    return params or [pytest.param(None, marks=pytest.mark.skip(f"the published documents are not there: {CASES}"))]


def load(path: Path) -> tuple[dict[str, Any], int]:
    return json.loads(path.read_text()), FORMATS[path.relative_to(CASES).parts[0]]


@pytest.mark.parametrize("path", cases("0.4", "0.5", verdict="valid"))
def test_a_valid_document_is_read(path: Path) -> None:
    if str(path.relative_to(CASES).with_suffix("")) in json.loads((CASES / "contested.json").read_text()):
        pytest.skip("contradicts the text of its own version")
    document, zarr_format = load(path)
    kind = kind_of(document)
    if "label" in path.parts[-3]:  # these hold nothing but the block
        problems = Problems()
        parse_image_label(version_of(document, zarr_format, "here").sections(document)["image-label"], problems)
        assert problems.found == []
        return
    if kind not in DECODERS:
        assert path.parts[-3] in ("examples_bf2raw", "examples_ome")
        assert version_of(document, zarr_format, "here").zarr_format == zarr_format
        return
    decoded = DECODERS[kind](document, zarr_format, "here")
    assert not decoded[-1].errors
    if kind == "image":
        meta = decoded[0]
        assert decode_image(encode_image(meta, document), zarr_format, "here")[0] == meta


@pytest.mark.parametrize("path", cases("0.4", "0.5", verdict="invalid"))
def test_an_invalid_document_gives_our_errors_or_is_read(path: Path) -> None:
    document, zarr_format = load(path)
    assert kind_of(document) in {*DECODERS, None}
    assert isinstance(decode_names(document, "labels"), list)
    for decode in (decode_image, decode_plate, decode_well):
        try:
            problems = decode(document, zarr_format, "here")[-1]
            assert not problems.errors
        except OmexpError as error:
            assert "here" in str(error)


@pytest.mark.parametrize("path", cases("0.1", "0.2", "0.3", "0.6", verdict="valid"))
def test_a_valid_image_of_another_version_is_refused(path: Path) -> None:
    document, zarr_format = load(path)
    if kind_of(document) not in ("image", "label") and zarr_format == 2:
        assert kind_of(document) in ("plate", "well")  # without a tag they look like those of 0.4
        return
    with pytest.raises(UnsupportedVersionError, match="allowed: 0.4 .Zarr format 2., 0.5 .Zarr format 3."):
        version_of(document, zarr_format, "here")
