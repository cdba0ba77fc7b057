"""The demo: what it makes on disk, what it says it did, and that its input stays as it was."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

import omexp
from omexp.demo import DemoReport, MadePlate, Step, run_demo
from omexp.demo.job import nuclear_channel
from omexp.demo.ledger import Ledger
from omexp.errors import ArgumentError, DeviceUnavailableError, OmexpWarning, StoreNotFoundError
from omexp.metadata.channels import default_channels
from omexp.overview import BACKGROUND, EMPTY, OUTLINE, Field, draw_overview, plate_overview

SMALL = MadePlate(rows=1, columns=2, fields=1, planes=2, size=128, seed=3)


def digests(folder: Path) -> dict[str, str]:
    """Path -> digest of every file below a folder."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    return run_demo(tmp_path_factory.mktemp("demo"), plate=SMALL)


@pytest.fixture(scope="module")
def image(report: DemoReport) -> omexp.OmeZarrContainer:
    return omexp.open_ome_zarr_plate(report.plate, mode="r").get_image("A", 1, "0")


# ---------------------------------------------------------------------------------------------------- what is made
def test_the_plate_has_the_wells_and_channels_that_were_asked_for(report: DemoReport, image: omexp.OmeZarrContainer) -> None:
    plate = omexp.open_ome_zarr_plate(report.plate, mode="r")
    assert plate.images_paths() == ["A/01/0", "A/02/0"]
    assert image.get_image().shape == (3, 2, 128, 128)
    assert image.meta.channels_meta.channel_labels == ["DAPI", "GFP", "Cy5"]


def test_every_level_is_the_mean_of_the_one_before(image: omexp.OmeZarrContainer) -> None:
    fine, coarse = (image.get_image(path).get_as_numpy() for path in ("0", "1"))
    assert np.array_equal(coarse, omexp.downsample(fine, (1, 1, 2, 2)))


def test_every_level_of_the_label_is_the_mode_of_the_one_before(image: omexp.OmeZarrContainer) -> None:
    fine, coarse = (image.get_label("nuclei", path).get_as_numpy() for path in ("0", "1"))
    assert fine.max() >= 2
    assert np.array_equal(coarse, omexp.downsample(fine, (1, 2, 2), method="mode"))


def test_the_tables_have_a_row_for_each_nucleus(image: omexp.OmeZarrContainer) -> None:
    count = int(image.get_label("nuclei").get_as_numpy().max())
    features = image.get_feature_table("nuclei_features").dataframe
    assert image.list_tables() == ["nuclei_ROI", "nuclei_features"]
    assert [roi.label for roi in image.get_masking_roi_table("nuclei_ROI").rois()] == features.index.tolist() == list(range(1, count + 1))


def test_the_features_are_those_of_the_pixels(image: omexp.OmeZarrContainer) -> None:
    features = image.get_feature_table("nuclei_features").dataframe
    pixels, ids = image.get_image().get_as_numpy(c=1), image.get_label("nuclei").get_as_numpy()
    assert features["area"].tolist() == [np.count_nonzero(ids == i) for i in features.index]
    assert features["mean_GFP"].tolist() == pytest.approx([pixels[ids == i].mean() for i in features.index])


def test_rewritten_objects_have_one_mean_and_nothing_is_between_them(report: DemoReport, image: omexp.OmeZarrContainer) -> None:
    written = omexp.open_ome_zarr_plate(report.objects_plate, mode="r").get_image("A", 1, "0").get_image().get_as_numpy(c=0)
    ids = image.get_label("nuclei").get_as_numpy()
    assert not written[ids == 0].any()
    assert [written[ids == i].mean() for i in range(1, int(ids.max()) + 1)] == pytest.approx([16384] * int(ids.max()), rel=1e-3)


def test_the_picture_has_the_wells_in_colour_and_outlines(report: DemoReport) -> None:
    with Picture.open(report.overview) as picture:
        pixels = np.array(picture)
    assert pixels.shape[2] == 3
    assert np.count_nonzero((pixels == OUTLINE).all(axis=2)) > 100
    assert pixels[..., 2].max() > 200  # DAPI is blue


# ------------------------------------------------------------------------------------------------ what is reported
def test_the_report_says_what_how_many_and_where(report: DemoReport) -> None:
    steps = {step.name: step for step in report.steps}
    names = ["make the plate", "pyramids of images", "segment nuclei", "labels with pyramids", "cut and rewrite objects"]
    assert list(steps) == [*names, "measure objects", "draw the plate"]
    assert steps["make the plate"].bytes == 2 * 3 * 2 * 128 * 128 * 2
    assert steps["segment nuclei"].count == steps["measure objects"].count == report.objects > 4
    assert all(step.device == "cpu" and step.seconds > 0 for step in report.steps)
    assert report.reader == "host"
    assert "blosc" in report.reader_reason
    assert report.seconds > sum(step.seconds for step in report.steps) * 0.99


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    run_demo(tmp_path, plate=MadePlate(rows=1, columns=1, fields=1, planes=1, size=64), progress=lambda *news: heard.append(news))
    assert heard[-1] == ("draw the plate", 9, 9)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_a_rate_without_time_is_zero_and_steps_add_up() -> None:
    ledger = Ledger(total=2)
    for _ in range(2):
        with ledger.timed("a", "images"):
            ledger.add("a", 1, 500, device="cpu", reason="")
    assert (ledger.steps["a"].count, ledger.steps["a"].bytes, ledger.done) == (2, 1000, 2)
    assert Step("b", "images", bytes=5).gb_per_s == 0


# ------------------------------------------------------------------------------------------------------ same again
def test_the_same_seed_gives_the_same_plate_and_an_earlier_run_is_replaced(report: DemoReport, tmp_path: Path) -> None:
    run_demo(tmp_path, plate=MadePlate(rows=1, columns=1, fields=1, planes=1, size=64))
    again = run_demo(tmp_path, plate=SMALL)
    pixels = [omexp.open_ome_zarr_plate(one.plate, mode="r").get_image("A", 2, "0").get_image().get_as_numpy() for one in (report, again)]
    assert np.array_equal(*pixels)
    assert again.objects == report.objects
    assert digests(again.plate).keys() == digests(report.plate).keys()


def test_columns_further_right_have_fewer_cells() -> None:
    plate = MadePlate(rows=1, columns=2, fields=1, planes=1, size=256)
    left, right = (plate.pixels(where)[0].astype(float).sum() for where in plate.images)
    assert left > 1.1 * right


# ------------------------------------------------------------------------------------------------------- an input
@pytest.fixture
def source(report: DemoReport, tmp_path: Path) -> Path:
    return Path(shutil.copytree(report.plate, tmp_path / "source.zarr"))


def test_an_input_stays_as_it_was_and_its_own_label_is_kept(source: Path, tmp_path: Path) -> None:
    before = digests(source)
    report = run_demo(tmp_path / "out", source)
    assert digests(source) == before
    image = omexp.open_ome_zarr_plate(report.plate, mode="r").get_image("A", 1, "0")
    assert report.label == "nuclei_omexp"
    assert sorted(image.list_labels()) == ["nuclei", "nuclei_omexp"]
    assert np.array_equal(image.get_label("nuclei").get_as_numpy(), image.get_label("nuclei_omexp").get_as_numpy())


def test_wells_of_an_input_that_are_not_on_disk_are_named_and_left_out(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "A" / "02")
    with pytest.warns(OmexpWarning, match="not on disk: A/02"):
        report = run_demo(tmp_path / "out", source)
    assert report.images == 1
    assert report.overview.stat().st_size > 1000


def test_an_output_inside_the_input_is_refused_and_nothing_is_written(source: Path) -> None:
    before = digests(source)
    with pytest.raises(ArgumentError, match="into the input"):
        run_demo(source / "A", source)
    assert digests(source) == before


def test_an_output_that_would_replace_the_input_is_refused(report: DemoReport) -> None:
    with pytest.raises(ArgumentError, match="into the input"):
        run_demo(report.plate.parent, report.plate)
    assert (report.plate / "zarr.json").is_file()


def test_an_input_that_is_no_plate_says_so(source: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no OME-Zarr plate"):
        run_demo(tmp_path / "out", source / "A" / "01" / "0")
    with pytest.raises(StoreNotFoundError, match="does not exist"):
        run_demo(tmp_path / "out", tmp_path / "nothing")
    assert not (tmp_path / "out").exists()


def test_a_plate_without_images_is_refused(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "empty.zarr", "empty", [omexp.ImageInWellPath("A", 1)])
    with pytest.raises(ArgumentError, match="no image on disk"):
        run_demo(tmp_path / "out", tmp_path / "empty.zarr")


def test_an_input_with_time_gets_ids_that_are_unique_over_time(tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "time.zarr", "time", [omexp.ImageInWellPath("A", 1)], ngff_version="0.4")
    fields = [MadePlate(1, 1, 1, 1, 128, seed).pixels(omexp.ImageInWellPath("A", 1, "0"))[0, 0] for seed in range(2)]
    store = plate.get_image_store("A", 1, "0")
    omexp.create_ome_zarr_from_array(store, np.stack(fields), axes_names="tyx", xy_pixelsize=0.5, ngff_version="0.4", levels=2)
    report = run_demo(tmp_path / "out", tmp_path / "time.zarr")
    ids = omexp.open_ome_zarr_plate(report.plate, mode="r").get_image("A", 1, "0").get_label("nuclei").get_as_numpy()
    first, second = (set(np.unique(frame).tolist()) - {0} for frame in ids)
    assert not first & second
    assert report.objects == len(first | second)


@pytest.mark.parametrize("name", ["transfluor_plate_v04.zarr", "transfluor_plate_v05.zarr"])
def test_the_demo_works_on_a_real_plate(name: str, copy_store: Callable[[str, Path], Path], tmp_path: Path) -> None:
    source = copy_store(name, tmp_path)
    for column in ("02", "12", "24"):
        shutil.rmtree(source / "O" / column)
    before = digests(source)
    with pytest.warns(OmexpWarning, match="O/02, O/12, O/24"):
        report = run_demo(tmp_path / "out", source)
    assert digests(source) == before
    assert report.images == 2
    assert report.objects > 10
    images = omexp.open_ome_zarr_plate(report.objects_plate, mode="r").get_images()
    assert [image.get_image().shape for image in images.values()] == [(1, 512, 512)] * 2


# -------------------------------------------------------------------------------------------------------- refusals
def test_cuda_without_cuda_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    try:
        omexp.resolve_backend("cuda")
        pytest.skip("there is a usable GPU")
    except DeviceUnavailableError:
        pass
    with pytest.raises(DeviceUnavailableError, match="cuda:0"):
        run_demo(tmp_path / "out", device="cuda", plate=SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"rows": 17}, {"columns": 0}, {"planes": 0}, {"size": 16}, {"seed": -1}], ids=str)
def test_a_plate_that_cannot_be_made_up_says_what_is_allowed(wrong: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="allowed: 1 to 16 rows"):
        MadePlate(**wrong)


# -------------------------------------------------------------------------------------------------------- overview
def one_field(value: int = 1000, labels: np.ndarray | None = None, size: int = 128) -> Field:
    channels = default_channels(1, "uint16", colors=["FF0000"]).channels
    pixels = np.zeros((1, size, size), "uint16")
    pixels[:, size // 2 :] = value
    return Field(pixels, channels, labels, 100.0, "micrometer")


def colours(picture: Picture.Image) -> dict[tuple[int, ...], int]:
    values, counts = np.unique(np.array(picture).reshape(-1, 3), axis=0, return_counts=True)
    return dict(zip(map(tuple, values.tolist()), counts.tolist(), strict=True))


def test_a_channel_is_shown_in_its_colour_and_a_missing_well_is_dark() -> None:
    found = colours(draw_overview("p", ["A"], ["1", "2"], {"A/1": [one_field()]}, tile_px=128))
    assert found[255, 0, 0] >= 0.9 * 128 * 64
    assert found[EMPTY] == 128 * 128
    assert found[BACKGROUND] > 0


def test_objects_are_outlined_one_pixel_wide_but_not_in_small_tiles() -> None:
    labels = np.zeros((128, 128), "uint32")
    labels[32:64, 32:64] = 5
    large = colours(draw_overview("p", ["A"], ["1"], {"A/1": [one_field(labels=labels)]}, tile_px=128))
    small = colours(draw_overview("p", ["A"], ["1"], {"A/1": [one_field(labels=labels)]}, tile_px=64))
    legend = 200  # a dot in the legend
    assert 4 * 32 - 4 <= large[OUTLINE] <= 4 * 32 + legend
    assert OUTLINE not in small


def test_fields_of_a_well_lie_beside_each_other() -> None:
    one = draw_overview("p", ["A"], ["1"], {"A/1": [one_field()]}, tile_px=400)
    four = draw_overview("p", ["A"], ["1"], {"A/1": [one_field()] * 4}, tile_px=400)
    assert four.width - one.width == four.height - one.height == 402


def test_a_window_that_is_the_whole_range_is_replaced_by_percentiles() -> None:
    dim = colours(draw_overview("p", ["A"], ["1"], {"A/1": [one_field(value=12)]}, tile_px=128))
    assert (255, 0, 0) in dim


def test_a_plate_whose_images_are_all_missing_is_drawn_dark(tmp_path: Path) -> None:
    plate = omexp.create_empty_plate(tmp_path / "e.zarr", "none yet", [omexp.ImageInWellPath("A", 1), omexp.ImageInWellPath("B", 2)])
    with pytest.warns(OmexpWarning, match="not on disk"):
        found = colours(plate_overview(plate))
    assert found[EMPTY] == 4 * 288 * 288


def test_importing_omexp_imports_no_terminal_or_picture_library() -> None:
    program = "import sys, omexp; print([m for m in ('rich', 'click', 'PIL', 'scipy') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize(("names", "index"), [(["GFP", "Hoechst 33342"], 1), (["DAPI", "GFP"], 0), (["a", "b"], 0)])
def test_nuclei_are_sought_in_the_channel_named_as_a_nuclear_stain(tmp_path: Path, names: list[str], index: int) -> None:
    options = {"axes_names": "cyx", "xy_pixelsize": 1.0, "channel_labels": names}
    image = omexp.create_empty_ome_zarr(tmp_path / "i.zarr", (2, 16, 16), **options).get_image()
    assert nuclear_channel(image) == index
