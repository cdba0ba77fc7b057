"""Writing through TensorStore: the same pixels, the same units, and refusals that say what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr.storage import MemoryStore

import omexp
from omexp.errors import ArgumentError, ReadOnlyError
from omexp.geometry import Region
from omexp.storage.groups import create_group, open_group
from omexp.storage.layout import create_array, plan_layout
from omexp.storage.tensorstore_writing import through
from tests.stores import arrays, documents, files

LAYOUTS: dict[str, dict[str, Any]] = {
    "0.5": {},
    "0.4": {"ngff_version": "0.4"},
    "0.4 with points": {"ngff_version": "0.4", "dimension_separator": "."},
    "shards": {"chunks": (1, 8, 8), "shards": (2, 16, 32)},
    "zstd": {"compressors": "zstd:1"},
    "uncompressed": {"compressors": None},
    "fill value": {"fill_value": 7},
}


def pixels_of(dtype: str) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 50, 41)).astype(dtype)
    pixels[0] = 0
    pixels[1, :20] = 7
    if dtype.startswith("f"):
        pixels[2, :20] = -0.0
    return pixels


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "bool"])
@pytest.mark.parametrize("kind", LAYOUTS)
def test_tensorstore_writes_the_same_store(kind: str, dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    if dtype == "bool" and kind == "fill value":
        pytest.skip("7 is no bool")
    pixels = pixels_of(dtype)
    options: dict[str, Any] = {"xy_pixelsize": 1.0, "levels": 3, "workers": 2, "chunks": (1, 16, 16), "name": "x"} | LAYOUTS[kind]
    omexp.create_ome_zarr_from_array(tmp_path / "ours.zarr", pixels, **options)
    omexp.create_ome_zarr_from_array(tmp_path / "theirs.zarr", pixels, use_tensorstore=True, **options)
    ours, theirs = arrays(tmp_path / "ours.zarr"), arrays(tmp_path / "theirs.zarr")
    assert documents(tmp_path / "ours.zarr") == documents(tmp_path / "theirs.zarr")
    assert files(tmp_path / "ours.zarr").keys() >= {name for name, data in files(tmp_path / "theirs.zarr").items() if data}
    for path, expected in ours.items():
        assert theirs[path].tobytes() == expected.tobytes()


@pytest.mark.peers
def test_boxes_that_cut_units_change_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    group = create_group(tmp_path / "a.zarr", 3)
    stored = through(create_array(group, "0", plan_layout((20, 30), "uint16", "yx", zarr_format=3, chunks=8), axes="yx"), "tensorstore")
    expected = np.arange(600, dtype="uint16").reshape(20, 30)
    stored.write(Region.whole((20, 30)), expected)
    stored.write(Region((3, 5), (11, 29)), np.full((8, 24), 9, "uint16"))
    stored.write(Region((3, 5), (3, 29)), np.empty((0, 24), "uint16"))
    expected[3:11, 5:29] = 9
    np.testing.assert_array_equal(open_group(group).array("0").read(Region.whole((20, 30))), expected)


@pytest.mark.peers
def test_what_tensorstore_cannot_do_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    layout = plan_layout((4, 4), "uint8", "yx", zarr_format=3)
    stored = create_array(create_group(MemoryStore(), 3), "0", layout, axes="yx")
    with pytest.raises(ArgumentError, match="TensorStore writing takes local folders only. Leave out use_tensorstore"):
        through(stored, "tensorstore")
    create_array(create_group(tmp_path / "a.zarr", 3), "0", layout, axes="yx")
    before = files(tmp_path)
    closed = through(open_group(tmp_path / "a.zarr", "r").array("0"), "tensorstore")
    with pytest.raises(ReadOnlyError, match="a.zarr/0: the store is read-only"):
        closed.write(Region.whole((4, 4)), np.ones((4, 4), "uint8"))
    assert files(tmp_path) == before


def test_an_engine_that_there_is_not_is_refused_and_the_usual_one_is_the_array_itself() -> None:
    stored = create_array(create_group(MemoryStore(), 3), "0", plan_layout((4, 4), "uint8", "yx", zarr_format=3), axes="yx")
    assert through(stored, "auto") is stored
    with pytest.raises(ArgumentError, match="there is no such engine; got 'zarrs'; allowed: 'auto', 'tensorstore'"):
        through(stored, "zarrs")


def test_without_tensorstore_the_error_says_what_to_install_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(ArgumentError, match="TensorStore is not installed; got .*. pip install tensorstore, or leave it out"):
        omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.zeros((4, 4), "uint8"), xy_pixelsize=1.0, use_tensorstore=True)
    assert list(tmp_path.iterdir()) == []
