"""Points of an image in world units and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError, NameNotFoundError
from tests.conftest import Case


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_points_come_in_world_units_and_go_back_on_every_device(tmp_path: Path, version: str, backend: Case) -> None:
    made = omexp.create_ome_zarr_from_array(
        tmp_path / "a.zarr", np.zeros((3, 16, 16), "uint8"), pixelsize=(0.5, 0.25), z_spacing=2.0, levels=2, ngff_version=version
    )
    image = omexp.open_ome_zarr_container(made.where, device=backend.backend).get_image("1")
    points = np.array([[0, 0, 0], [2, 1, 3]], "int64")
    expected = np.array([[0.0, 0.25, 0.125], [4.0, 1.25, 1.625]])
    got = image.to_physical(backend.array(points))
    assert backend.holds(got)
    np.testing.assert_array_equal(backend.host(got), expected)
    np.testing.assert_array_equal(backend.host(image.to_pixels(got)), points)
    assert image.to_physical([2, 1, 3]).tolist() == expected[1].tolist()


def test_points_go_to_another_coordinate_system(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.zeros((8, 8), "uint8"), xy_pixelsize=0.5, levels=1, ngff_version="0.6")
    path = tmp_path / "a.zarr" / "zarr.json"
    document = json.loads(path.read_text())
    entry: dict[str, Any] = document["attributes"]["ome"]["multiscales"][0]
    entry["coordinateSystems"].append(entry["coordinateSystems"][0] | {"name": "turned"})
    ends = {"input": {"name": "physical"}, "output": {"name": "turned"}}
    entry["coordinateTransformations"] = [{"type": "rotation", "rotation": [[0, 1], [-1, 0]]} | ends]
    path.write_text(json.dumps(document))
    image = omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image()
    assert image.to_physical([(2, 4)], system="turned").tolist() == [[2.0, -1.0]]
    assert image.to_pixels([(2, -1)], system="turned").tolist() == [[2.0, 4.0]]
    with pytest.raises(NameNotFoundError, match="there is no such coordinate system; got 'world'; allowed: physical, turned"):
        image.to_physical([(2, 4)], system="world")


@pytest.mark.parametrize("points", [[1, 2, 3], [[[1, 2]]], [["a", "b"]], [True, False], "yx", None, [[1], [1, 2]]])
def test_what_is_no_point_is_refused(tmp_path: Path, points: Any) -> None:
    image = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (8, 8), xy_pixelsize=0.5).get_image()
    with pytest.raises(ArgumentError, match="points need one number per axis"):
        image.to_physical(points)
