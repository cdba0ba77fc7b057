"""Opening with strict=True: what the specification forbids and what is tolerated otherwise is an error; sound stores open."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import InvalidMetadataError, OmexpWarning

OPENERS = {"image": omexp.open_ome_zarr_container, "plate": omexp.open_ome_zarr_plate, "well": omexp.open_ome_zarr_well}


def stores(folder: Path, version: str) -> dict[str, Any]:
    plate = omexp.create_empty_plate(folder / "p.zarr", "screen", [omexp.ImageInWellPath("A", 1, "0")], ngff_version=version)
    pixels = np.ones((8, 8), "uint8")
    image = omexp.create_ome_zarr_from_array(plate.get_image_store("A", 1, "0"), pixels, xy_pixelsize=1.0, ngff_version=version)
    return {"plate": folder / "p.zarr", "well": folder / "p.zarr/A/01", "image": image.where}


def break_rows(sections: dict[str, Any]) -> None:
    sections["plate"]["wells"][0]["rowIndex"] = 4


def break_images(sections: dict[str, Any]) -> None:
    sections["well"]["images"] *= 2


def break_path(sections: dict[str, Any]) -> None:
    sections["multiscales"][0]["datasets"][0]["path"] = 0


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize(
    ("kind", "damage", "rule"), [("plate", break_rows, "rowIndex"), ("well", break_images, "images"), ("image", break_path, "path")]
)
def test_what_is_read_leniently_is_refused_strictly(version: str, kind: str, damage: Any, rule: str, tmp_path: Path) -> None:
    store = stores(tmp_path, version)[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = OPENERS[kind](store, strict=True)._group
    document = group.attributes
    damage(document if version == "0.4" else document["ome"])
    group.put_attributes(document)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        OPENERS[kind](store)
    with pytest.raises(
        InvalidMetadataError, match=f"the metadata breaks the specification; got .*{rule}.*Open it without strict=True"
    ) as caught:
        OPENERS[kind](store, strict=True)
    assert caught.value.problems


def test_a_warning_of_opening_is_an_error_and_none_afterwards(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.ones((2, 8, 8), "uint8"), axes_names="cyx", xy_pixelsize=1.0)
    document = container.group.attributes
    document["ome"]["omero"]["channels"].pop()
    container.group.put_attributes(document)
    with pytest.warns(OmexpWarning):
        omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    with pytest.raises(InvalidMetadataError, match="a.zarr: .*channels.*tolerated without strict=True"):
        omexp.open_ome_zarr_container(tmp_path / "a.zarr", strict=True)
    with pytest.warns(OmexpWarning):
        omexp.open_ome_zarr_container(tmp_path / "a.zarr")
