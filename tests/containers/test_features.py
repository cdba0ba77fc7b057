"""Measuring stored labels and images: the table equals that of plain loops, on every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError, NameNotFoundError, SelectionError
from omexp.geometry import Region
from omexp.storage.reading import HostReader
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


# ------------------------------------------------------------------------------------------------ features by name
NUCLEUS = np.pad(np.array([[0, 7, 7, 7], [7, 7, 7, 0], [0, 0, 7, 0]], "uint32"), ((2, 3), (5, 7)))


def make_plane(folder: Path, device: object = "cpu") -> tuple[omexp.Label, omexp.Image]:
    """A label of one plane, z of size 1, and an image of three channels over it."""
    pixels = np.random.default_rng(0).integers(0, 500, (3, 1, *NUCLEUS.shape)).astype("uint16")
    container = omexp.create_ome_zarr_from_array(
        folder / "plane.zarr", pixels, axes_names="czyx", xy_pixelsize=0.5, channel_labels=["DAPI", "GFP", "RFP"], levels=1, chunks=4
    )
    container.derive_label("nuclei").set_array(NUCLEUS[None])
    container = omexp.open_ome_zarr_container(folder / "plane.zarr", device=device)
    return container.get_label("nuclei"), container.get_image()


@pytest.fixture
def plane(tmp_path: Path) -> tuple[omexp.Label, omexp.Image]:
    return make_plane(tmp_path)


def test_a_label_of_one_plane_is_measured_in_two_dimensions(tmp_path: Path, backend: Case) -> None:
    regionprops_table = pytest.importorskip("skimage.measure").regionprops_table
    label, image = make_plane(tmp_path, backend.backend)
    names = ["bbox", "centroid", "orientation", "perimeter", "solidity", "intensity_mean", "intensity_median"]
    pixels = np.moveaxis(image.get_as_numpy(z=0), 0, -1)
    for spacing, size in (("physical", 0.5), (None, 1.0), ((0.25, 0.25), 0.25)):
        frame = omexp.measure(label, image, names, spacing=spacing).dataframe
        expected = regionprops_table(NUCLEUS.astype("int32"), pixels, ["label", *names], spacing=(size, size))
        assert [frame.index.name, *frame.columns] == list(expected)
        for name, column in list(expected.items())[1:]:
            np.testing.assert_allclose(frame[name], column, rtol=1e-9, err_msg=name)


def test_channels_keep_their_own_number_or_label(plane: tuple[omexp.Label, omexp.Image]) -> None:
    label, image = plane
    assert list(omexp.measure(label, image, ["intensity_max"], channels=["RFP", 0]).dataframe) == ["intensity_max-2", "intensity_max-0"]
    default = omexp.measure(label, image, channels="GFP", percentiles=(25,)).dataframe
    assert [name for name in default if name.endswith(("DAPI", "RFP"))] == []
    assert {"mean_GFP", "percentile_25_GFP"} <= set(default)
    both = omexp.measure(label, image, [], channels=1, percentiles=(25,)).dataframe
    assert both["intensity_percentile_25-1"].tolist() == default["percentile_25_GFP"].tolist()
    with pytest.raises(NameNotFoundError, match="CY5"):
        omexp.measure(label, image, channels=["CY5"])
    with pytest.raises(SelectionError, match="there is no such channel; got 3; allowed: 0 to 2, or a label"):
        omexp.measure(label, image, channels=3)
    with pytest.raises(ArgumentError, match="channels need an image"):
        omexp.measure(label, channels=0)


def test_functions_of_ones_own_get_mask_and_pixels_of_each_object(tmp_path: Path, backend: Case) -> None:
    label, image = make_plane(tmp_path, backend.backend)
    ids = NUCLEUS.copy()
    ids[0, 0] = 300
    label.set_array(backend.array(ids[None]))
    xp = backend.backend.xp

    def brightest(mask: object, pixels: object) -> dict[str, object]:
        assert backend.holds(mask)
        assert pixels.shape == (*mask.shape, 2)
        return {"first": xp.max(pixels[..., 0][mask]), "rows": mask.shape[0]}

    asked = {"of": brightest, "pixels": lambda mask, _: backend.host(xp.sum(xp.astype(mask, xp.int64))).item()}
    for features in (None, ["area"]):
        frame = omexp.measure(label, image, features, channels=[1, 2], functions=asked, workers=2).dataframe
        green = image.get_as_numpy(c=1, z=0)
        assert frame["of_first"].tolist() == [green[ids == number].max() for number in (7, 300)]
        assert (frame["of_rows"].tolist(), frame["pixels"].tolist()) == ([3, 1], frame["area"].tolist())
        assert not any(name.startswith("bbox-") for name in frame)


def test_functions_that_fail_or_give_no_number_say_for_which_object(plane: tuple[omexp.Label, omexp.Image]) -> None:
    label, _ = plane
    with pytest.raises(ArgumentError, match=r"functions\['shape'\], object 7: a function of an object must give a number.*got tuple"):
        omexp.measure(label, functions={"shape": lambda mask, pixels: mask.shape})
    with pytest.raises(ZeroDivisionError) as caught:
        omexp.measure(label, functions={"bad": lambda mask, pixels: 1 / 0})
    assert caught.value.__notes__ == ["functions['bad'], object 7"]
    with pytest.raises(ArgumentError, match=r"a function has the name of another column; got \['area'\]"):
        omexp.measure(label, functions={"area": lambda mask, pixels: 1})


def test_little_memory_and_many_workers_give_the_same_table(plane: tuple[omexp.Label, omexp.Image]) -> None:
    label, image = plane
    names = ["area", "centroid", "perimeter", "area_convex", "intensity_median"]
    table = omexp.measure(label, image, names).dataframe
    for limits in ({"max_memory": 2000, "workers": 4}, {"workers": 1}):
        heard: list[tuple[int, int]] = []
        assert omexp.measure(label, image, names, progress=lambda *now: heard.append(now), **limits).dataframe.equals(table)  # noqa: B023
        assert heard[-1] == (8 * 16 * (4 + 3 * 2),) * 2
    with pytest.raises(ArgumentError, match="max_memory: a block of one chunk takes more memory; got 20; allowed: at least"):
        omexp.measure(label, image, names, max_memory=20)


@pytest.mark.parametrize(("chunk", "reads"), [(1, 3), (2, 2), (3, 1)])
def test_channels_of_one_chunk_are_decoded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, reads: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 500, (3, 8, 8)).astype("uint16")
    container = omexp.create_ome_zarr_from_array(
        tmp_path / "a.zarr", pixels, axes_names="cyx", xy_pixelsize=1, levels=1, chunks=(chunk, 8, 8)
    )
    label, image = container.derive_label("cells"), container.get_image()
    label.set_array(np.ones((8, 8), "uint32"))
    seen: list[tuple[int, ...]] = []
    read = HostReader.read

    def noted(reader: HostReader, region: Region) -> object:
        seen.append(region.shape)
        return read(reader, region)

    monkeypatch.setattr(HostReader, "read", noted)
    frame = omexp.measure(label, image, ["intensity_sum"]).dataframe
    assert frame.loc[1].tolist() == pixels.sum(axis=(1, 2)).tolist()
    assert len([shape for shape in seen if len(shape) == 3]) == reads


def test_what_cannot_be_measured_is_refused(plane: tuple[omexp.Label, omexp.Image], tmp_path: Path) -> None:
    label, image = plane
    for more, message in (
        ({"features": ["volume"]}, "there is no such feature"),
        (
            {"features": ["area"], "spacing": (1, 2, 3)},
            "spacing: spacing is not understood.*allowed: None, 'physical', or 2 positive numbers",
        ),
        ({"features": ["area"], "spacing": "metres"}, "spacing: spacing is not understood"),
        ({"workers": 0}, "workers must be an int"),
    ):
        with pytest.raises(ArgumentError, match=message):
            omexp.measure(label, image, **more)
    movie = omexp.create_ome_zarr_from_array(
        tmp_path / "t.zarr", np.ones((2, 4, 4), "uint8"), axes_names="tyx", xy_pixelsize=1, levels=1
    ).derive_label("cells")
    with pytest.raises(ArgumentError, match="features are those of one time point"):
        omexp.measure(movie, features=["area"])
    assert "bbox_min_t" in omexp.measure(movie).dataframe
