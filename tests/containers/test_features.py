"""Measuring stored labels and images: the table equals that of plain loops, on every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError
from tests import reference_labels
from tests.conftest import Case
from tests.stores import sample_ids, sample_pixels


@pytest.fixture(autouse=True)
def _needs_float64(request: pytest.FixtureRequest) -> None:
    if "backend" in request.fixturenames and not request.getfixturevalue("backend").supports("float64"):
        pytest.skip("statistics are float64, which this device has not")


def test_the_table_is_that_of_the_pixels(store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(store, device=backend.backend)
    table = omexp.measure(container.get_label("nuclei"), container.get_image())
    expected = reference_labels.objects(
        sample_ids(), {"DAPI": sample_pixels()[0], "GFP": sample_pixels()[1]}, axes="zyx", spacing=(2.0, 0.5, 0.5)
    )
    frame = table.dataframe.reset_index()
    assert sorted(frame.columns) == sorted(expected)
    for name, column in expected.items():
        np.testing.assert_allclose(frame[name].to_numpy(), [float(v) for v in column], rtol=1e-12, err_msg=name)
    assert table.reference_label == "nuclei"


def test_every_device_measures_the_same_numbers(one_store: Path, backend: Case) -> None:
    def measured(device: object) -> object:
        container = omexp.open_ome_zarr_container(one_store, device="cpu")
        return omexp.measure(container.get_label("nuclei"), container.get_image(), device=device).dataframe

    here, on_cpu = measured(backend.backend), measured("cpu")
    exact = [name for name in on_cpu.columns if not name.startswith("std")]
    assert here[exact].equals(on_cpu[exact])
    np.testing.assert_allclose(here.to_numpy(), on_cpu.to_numpy(), rtol=1e-12)


def test_shapes_alone_and_coarser_levels_are_measured(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    table = omexp.measure(container.get_label("nuclei", "1")).dataframe
    assert list(table.columns)[:2] == ["area", "volume"]
    counts = {i: int((sample_ids()[:, ::2, ::2] == i).sum()) for i in (1, 7, 300)}
    assert table["area"].to_dict() == counts
    assert table["volume"].to_dict() == {i: n * 2.0 for i, n in counts.items()}


def test_the_table_can_be_stored_and_read(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    table = omexp.measure(container.get_label("nuclei"), container.get_image())
    container.add_table("features", table)
    again = container.get_feature_table("features")
    assert again.reference_label == "nuclei"
    np.testing.assert_allclose(again.dataframe.to_numpy(), table.dataframe.to_numpy())
    assert again.dataframe.index.tolist() == [1, 7, 300]


def test_a_label_without_objects_gives_an_empty_table_with_all_columns(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    table = omexp.measure(container.derive_label("none"), container.get_image()).dataframe
    assert len(table) == 0
    assert {"area", "centroid_x", "mean_DAPI", "sum_GFP"} <= set(table.columns)


def test_an_image_without_channels_is_measured_under_its_one_name(tmp_path: Path, backend: Case) -> None:
    pixels = np.arange(64, dtype="uint8").reshape(8, 8)
    container = omexp.create_ome_zarr_from_array(
        tmp_path / "a.zarr", pixels, xy_pixelsize=1, channel_labels=["BF"], levels=1, device=backend.backend
    )
    ids = np.zeros((8, 8), "uint32")
    ids[2:4, 2:4] = 5
    label = container.derive_label("cells")
    label.set_array(backend.array(ids))
    frame = omexp.measure(label, container.get_image()).dataframe
    assert frame.loc[5, "sum_BF"] == pixels[2:4, 2:4].sum()


def test_levels_on_different_grids_are_refused(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    with pytest.raises(ArgumentError, match=r"are not on the same grid.*label z: 3, y: 10, x: 15.*get_label\(name, pixel_size"):
        omexp.measure(container.get_label("nuclei", "1"), container.get_image())


def test_what_is_no_label_is_refused(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_image()
    with pytest.raises(ArgumentError, match=r"measure: this is no label; got Image. Take it from container.get_label"):
        omexp.measure(image, image)
