"""The command line: what it prints, its exit statuses, and that looking changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

import omexp
from omexp.cli import COMMANDS, main
from omexp.demo import DemoReport, MadePlate, run_demo
from omexp.description import describe
from omexp.errors import DeviceUnavailableError, InvalidMetadataError
from tests.stores import interruptible

READABLE = {
    "cardiomyocyte_B03_mip_v04.zarr": ("image", "0.4"),
    "challenge_hcs_v04.zarr": ("plate", "0.4"),
    "dsb2018_nuclei_v05.zarr": ("image", "0.5"),
    "human_ht29_sharded_v05.zarr": ("image", "0.5"),
    "human_ht29_v04.zarr": ("image", "0.4"),
    "human_ht29_v05.ozx": ("image", "0.5"),
    "mri_zyx_bigendian_zstd_v04.zarr": ("image", "0.4"),
    "ngio_tczyx_v05.zarr": ("image", "0.5"),
    "transfluor_plate_v04.zarr": ("plate", "0.4"),
    "transfluor_plate_v05.zarr": ("plate", "0.5"),
    "transfluor_plate_v05.zarr/O/01": ("well", "0.5"),
    "transfluor_plate_v05.zarr/O/01/0": ("image", "0.5"),
    "transfluor_plate_v04.zarr/O/01/0/labels": ("labels", "0.4"),
    "transfluor_plate_v05.zarr/O/01/0/labels/spots": ("label", "0.5"),
    "tubhiswt4D_sub_v04.zarr": ("image", "0.4"),
    "human_ht29_v06.zarr": ("image", "0.6"),
    "ome_zarr_py_v1.zarr": ("image", "0.1"),
    "ome_zarr_py_v2.zarr": ("image", "0.2"),
}


def run(*arguments: object) -> Result:
    """The command's result; an exception that is no exit goes through."""
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def with_omexp() -> dict[str, str]:
    """The environment of a process in another folder that finds the package under test."""
    return os.environ | {"PYTHONPATH": str(Path(omexp.__file__).parents[1])}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module", params=["0.4", "0.5"])
def pristine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two wells of a grid of four, one image each, with a label and a table."""
    path = tmp_path_factory.mktemp("pristine") / "screen.zarr"
    wells = [omexp.ImageInWellPath("A", 1, "0", 0, "first"), omexp.ImageInWellPath("B", 2, "0", 0, "first")]
    made = omexp.create_empty_plate(path, "screen", wells, ngff_version=request.param)
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 64, 96), "uint16")
    for where in wells:
        image = omexp.create_ome_zarr_from_array(
            made.get_image_store(where.row, where.column, where.path),
            pixels,
            axes_names="cyx",
            xy_pixelsize=0.325,
            channel_labels=["DAPI", "GFP"],
            levels=3,
            chunks=32,
            ngff_version=request.param,
        )
        nuclei = image.derive_label("nuclei")
        nuclei.set_array((pixels[0] > 3900).astype("uint32"))
        nuclei.consolidate()
        image.add_table("nuclei_ROI", image.build_masking_roi_table("nuclei"))
    return path


@pytest.fixture
def plate(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(pristine, tmp_path / "screen.zarr"))


# ------------------------------------------------------------------------------------------------------------ info
def test_info_of_a_plate_shows_its_grid_and_its_first_image(plate: Path) -> None:
    result = run("info", plate)
    assert result.exit_code == 0
    for shown in ("plate screen", "2 of a grid of 2 x 2, 2 images", "0 first", "2 x 64 x 96", "1 x 32 x 32", "y 0.325, x 0.325"):
        assert shown in result.output
    for shown in (
        "blosc:lz4",
        "DAPI #0000FF",
        "reader",
        "host decode",
        "nuclei: 3 levels, 64 x 96 uint32",
        "nuclei_ROI: masking_roi_table",
    ):
        assert shown in result.output


def test_info_as_json_holds_the_same_and_is_json(plate: Path) -> None:
    found = json.loads(run("info", plate, "--json").output)
    assert found["store"] == str(plate)
    assert found["wells"] == {"A/01": ["0"], "B/02": ["0"]}
    level = found["first_image"]["levels"][1]
    assert (level["shape"], level["chunks"], level["dtype"], level["shards"]) == ([2, 32, 48], [1, 32, 32], "uint16", None)
    assert level["pixel_size"] == {"y": 0.65, "x": 0.65}
    assert level["reader"] == "host"


def test_info_changes_nothing(plate: Path) -> None:
    before = contents(plate)
    run("info", plate)
    assert contents(plate) == before


@pytest.mark.parametrize(
    ("inside", "kind"), [("A/01", "well"), ("A/01/0", "image"), ("A/01/0/labels", "labels"), ("A/01/0/labels/nuclei", "label")]
)
def test_info_of_a_part_of_a_plate(inside: str, kind: str, plate: Path) -> None:
    assert describe(plate / inside)["kind"] == kind
    result = run("info", plate / inside)
    assert result.exit_code == 0
    assert result.output.startswith(kind)
    assert "64 x 96" in result.output


def test_info_shows_shards(tmp_path: Path) -> None:
    omexp.create_empty_ome_zarr(tmp_path / "s.zarr", (64, 64), xy_pixelsize=1, chunks=16, shards=(32, 32), compressors="zstd", levels=1)
    level = describe(tmp_path / "s.zarr")["levels"][0]
    assert (level["chunks"], level["shards"], level["codec"]) == ([16, 16], [32, 32], "zstd")
    assert "32 x 32" in run("info", tmp_path / "s.zarr").output


def test_info_names_what_is_listed_but_missing(plate: Path) -> None:
    shutil.rmtree(plate / "B")
    shutil.rmtree(plate / "A" / "01" / "0" / "1")
    shutil.rmtree(plate / "A" / "01" / "0" / "labels" / "nuclei")
    shutil.rmtree(plate / "A" / "01" / "0" / "tables" / "nuclei_ROI")
    result = run("info", plate)
    assert result.exit_code == 0
    assert "wells that are listed but not on disk: B/02" in result.output
    assert "the array is missing" in result.output
    assert "nuclei: listed but not on disk" in result.output
    assert "nuclei_ROI: listed but not on disk" in result.output


def test_info_of_a_plate_without_any_image_shows_the_grid_alone(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "p.zarr", "bare", [omexp.ImageInWellPath("C", 7)])
    result = run("info", tmp_path / "p.zarr")
    assert result.exit_code == 0
    assert "1 of a grid of 1 x 1, 1 image" in result.output
    assert "first image" not in result.output


def test_info_of_a_bioformats2raw_collection_lists_its_images(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "c.zarr", mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    for name in ("0", "1"):
        omexp.create_empty_ome_zarr(tmp_path / "c.zarr" / name, (32, 32), xy_pixelsize=1, ngff_version="0.4", levels=1)
    result = run("info", tmp_path / "c.zarr")
    assert result.exit_code == 0
    assert result.output.startswith("bioformats2raw")
    assert "0, 1" in result.output


def test_info_of_a_zip_reads_it_in_place(plate: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "image"), "zip", plate / "A" / "01" / "0")
    result = run("info", archive)
    assert result.exit_code == 0
    assert "2 x 64 x 96" in result.output


@pytest.mark.parametrize("name", READABLE)
def test_info_works_on_every_real_store_of_a_version_that_is_read(name: str, shared_data: Path) -> None:
    result = run("info", shared_data / name)
    assert result.exit_code == 0, result.output
    kind, version = READABLE[name]
    assert result.output.startswith(kind)
    assert f"OME-Zarr {version}" in result.output
    assert "host decode" in result.output


# --------------------------------------------------------------------------------------------------------- pyramid
def test_pyramid_of_a_plate_rebuilds_the_levels_of_all_its_images(plate: Path) -> None:
    images = omexp.open_ome_zarr_plate(plate).get_images()
    for image in images.values():
        image.get_image("1").set_array(np.zeros((2, 32, 48), "uint16"))
    result = run("pyramid", plate, "--method", "max")
    assert result.exit_code == 0
    assert "A/01/0" in result.output
    assert "B/02/0" in result.output
    for image in images.values():
        assert np.array_equal(
            image.get_image("1").get_as_numpy(), omexp.downsample(image.get_image("0").get_as_numpy(), (1, 2, 2), method="max")
        )


@pytest.mark.parametrize(("inside", "method"), [("A/01/0", "mean"), ("A/01/0/labels/nuclei", "nearest"), ("A/01", "mean")])
def test_pyramid_takes_the_method_that_fits_images_and_labels(inside: str, method: str, plate: Path) -> None:
    result = run("pyramid", plate / inside, "--device", "cpu")
    assert result.exit_code == 0
    assert f" {method} " in result.output
    group: Any = zarr.open_group(plate / "A/01/0" / ("labels/nuclei" if "labels" in inside else ""), mode="r")
    fine, coarse = group["0"][:], group["1"][:]
    assert np.array_equal(coarse, omexp.downsample(fine, (1,) * (fine.ndim - 2) + (2, 2), method=method))


def test_pyramid_of_a_plate_without_images_is_an_error(tmp_path: Path) -> None:
    omexp.create_empty_plate(tmp_path / "p.zarr", "bare", [omexp.ImageInWellPath("C", 7)])
    result = run("pyramid", tmp_path / "p.zarr")
    assert result.exit_code == 1
    assert "no image on disk" in result.stderr


def test_pyramid_refuses_a_method_that_there_is_not(plate: Path) -> None:
    result = run("pyramid", plate, "--method", "blur")
    assert result.exit_code == 2
    assert "'mean'" in result.stderr


# ------------------------------------------------------------------------------------------------------------ demo
def test_demo_prints_what_how_many_how_fast_and_where(tmp_path: Path, plate: Path) -> None:
    result = run("demo", "--input", plate, "--output", tmp_path / "out")
    assert result.exit_code == 0
    for shown in (
        "step",
        "how many",
        "seconds",
        "GB/s",
        "2 images",
        "reader   host: host decode of",
        "demo-plate.zarr",
        "demo-overview.png",
    ):
        assert shown in result.output
    assert (tmp_path / "out" / "demo-overview.png").is_file()


def test_demo_makes_up_a_plate_of_the_size_and_version_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_one_well(*arguments: Any, plate: MadePlate, **keywords: Any) -> DemoReport:
        assert len(plate.images) == 12
        return run_demo(*arguments, plate=replace(plate, rows=1, columns=1, fields=1), **keywords)

    monkeypatch.setattr("omexp.demo.run_demo", of_one_well)
    result = run("demo", "--output", tmp_path, "--size", 64, "--seed", 4, "--ngff-version", "0.4")
    assert result.exit_code == 0
    assert "1 field " in result.output
    assert "made up from seed 4" in result.output
    found = describe(tmp_path / "demo-plate.zarr")
    assert (found["version"], found["wells"]) == ("0.4", {"A/01": ["0"]})
    assert found["first_image"]["levels"][0]["shape"][-2:] == [64, 64]


def test_demo_on_cuda_without_cuda_is_one_line_and_status_one(tmp_path: Path) -> None:
    try:
        omexp.resolve_backend("cuda")
        pytest.skip("there is a usable GPU")
    except DeviceUnavailableError:
        pass
    result = run("demo", "--device", "cuda", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: device 'cuda:0' cannot be used")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------------------------------------- convert
def test_convert_passes_on_every_option_and_says_what_it_wrote(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 4000, (3, 64, 96), "uint16")
    np.save(tmp_path / "a.npy", x)
    options = ["--axes", "cyx", "--chunks", "1,16,32", "--shards", "1,32,64", "--codec", "zstd", "--levels", 2, "--factors", "y=2,x=4"]
    options += ["--method", "max", "--pixel-size", "0.25", "--name", "cells", "--device", "cpu", "--workers", 1]
    result = run("convert", tmp_path / "a.npy", tmp_path / "a.zarr", *options)
    assert result.exit_code == 0, result.output
    for shown in ("cells", "c 3, y 64, x 96", "y 0.25, x 0.25", "uint16", "0.0 MB of pixels", "GB/s"):
        assert shown in result.stdout
    assert result.stderr == ""
    made = omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    image = made.get_image()
    np.testing.assert_array_equal(image.get_array(), x)
    np.testing.assert_array_equal(made.get_image("1").get_array(), x.reshape(3, 32, 2, 24, 4).max((2, 4)))
    assert (image.chunks, image.write_granularity, image.stored.codec) == ((1, 16, 32), (1, 32, 64), "zstd")
    assert (made.levels, image.pixel_size.yx, made.image_meta.name) == (2, (0.25, 0.25), "cells")


def test_convert_to_another_version_and_codec_none(plate: Path, tmp_path: Path) -> None:
    version = "0.4" if (plate / "zarr.json").exists() else "0.5"
    result = run("convert", plate / "A/01/0", tmp_path / "a.zarr", "--version", version, "--codec", "none", "--pixel-size", "2,0.5,0.5")
    assert result.exit_code == 0, result.output
    made = omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    assert (made.image_meta.version, made.get_image().stored.codec) == (version, "none")
    assert made.get_image().pixel_size.yx == (0.5, 0.5)
    assert (made.list_labels(), made.list_tables()) == (["nuclei"], ["nuclei_ROI"])
    assert "nuclei_ROI" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chunks", "a"], "is not a number"),
        (["--chunks", "1,2,3,4"], "chunks"),
        (["--codec", "zip"], "Error: "),
        (["--series", "3"], "there is no such series"),
        (["--axes", "abc"], "one each of t, c, z, y, x"),
    ],
)
def test_convert_refuses_what_cannot_be_and_writes_nothing(options: list[str], message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 64, 96), "uint8"))
    result = run("convert", tmp_path / "a.npy", tmp_path / "a.zarr", *options)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_convert_asks_before_it_replaces_and_notes_what_it_assumed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 96), "uint8"))
    first = run("convert", tmp_path / "a.npy", tmp_path / "a.zarr")
    assert first.exit_code == 0
    assert first.stderr.startswith("Note: ")
    assert "no pixel size" in first.stderr
    second = run("convert", tmp_path / "a.npy", tmp_path / "a.zarr", "--pixel-size", 1)
    assert second.exit_code == 1
    assert "something is there already" in second.stderr
    assert run("convert", tmp_path / "a.npy", tmp_path / "a.zarr", "--pixel-size", 1, "--overwrite").exit_code == 0


def test_convert_takes_one_number_for_shards(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 100, 100), "uint8"))
    result = run("convert", tmp_path / "a.npy", tmp_path / "a.zarr", "--axes", "cyx", "--shards", 64, "--pixel-size", 1)
    assert result.exit_code == 0, result.output
    assert omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image().write_granularity == (1, 64, 64)
    np.save(tmp_path / "b.npy", np.zeros((1000, 1000), "uint8"))
    result = run("convert", tmp_path / "b.npy", tmp_path / "b.zarr", "--shards", "y=512,x=512", "--pixel-size", 1)
    assert result.exit_code == 0, result.output


def test_the_command_speaks_of_its_own_options(tmp_path: Path) -> None:
    np.save(tmp_path / "pixel_size.npy", np.zeros((64, 96), "uint8"))
    first = run("convert", tmp_path / "pixel_size.npy", tmp_path / "a.zarr")
    assert "pixel_size.npy: the source has no pixel size, so it is 1 without a unit; set --pixel-size to change it" in first.stderr
    second = run("convert", tmp_path / "pixel_size.npy", tmp_path / "a.zarr", "--pixel-size", 1)
    assert "Pass --overwrite to replace it" in second.stderr
    third = run("convert", tmp_path / "pixel_size.npy", tmp_path / "b.zarr", "--axes", "abc")
    assert "Pass --axes, such as --axes='tyx'" in third.stderr


def test_what_convert_prints_fits_80_columns(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    told = {"axes": "CZYX", "PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325, "PhysicalSizeZ": 1.0}
    tifffile.imwrite(tmp_path / "cells.ome.tif", np.zeros((2, 5, 300, 400), "uint16"), metadata=told)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = run("convert", "cells.ome.tif", "cells.zarr")
    assert "c 2, z 5, y 300, x 400" in result.stdout
    assert max(len(line.strip()) for line in result.stdout.splitlines()) <= 80


def test_convert_as_a_command_of_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 96), "uint8"))
    command = [sys.executable, "-m", "omexp.cli", "convert", "a.npy", "a.zarr", "--pixel-size", "0.5"]
    done = subprocess.run(command, cwd=tmp_path, env=with_omexp(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image().pixel_size.yx == (0.5, 0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_is_one_line_and_status_130_and_leaves_no_image(tmp_path: Path) -> None:
    planes = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype="uint16", shape=(400, 2048, 2048))  # mostly a hole of 3 GB
    planes[:2] = 1
    planes.flush()
    command = [sys.executable, "-m", "omexp.cli", "convert", "a.npy", "a.zarr", "--pixel-size", "1", "--workers", "1"]
    with interruptible():
        running = subprocess.Popen(command, cwd=tmp_path, env=with_omexp(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not any("c" in p.parts for p in tmp_path.rglob("*")) and time.monotonic() < until:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said.strip()) == (130, "Interrupted.")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


# ---------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("command", ["info", "pyramid"])
def test_an_error_is_one_line_with_status_one_and_no_traceback(command: str, tmp_path: Path) -> None:
    result = run(command, tmp_path / "nothing.zarr")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "does not exist" in result.stderr
    assert "Traceback" not in result.output


def test_a_group_without_ome_zarr_metadata_says_what_it_holds(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "g.zarr", mode="w").create_group("pictures")
    result = run("info", tmp_path / "g.zarr")
    assert result.exit_code == 1
    assert "members pictures" in result.stderr


def test_broken_metadata_is_named_with_its_place(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "b.zarr", mode="w", attributes={"ome": {"version": "0.5", "multiscales": [{"axes": [], "datasets": []}]}})
    with pytest.raises(InvalidMetadataError):
        describe(tmp_path / "b.zarr")
    result = run("info", tmp_path / "b.zarr")
    assert result.exit_code == 1
    assert "multiscales.0.datasets" in result.stderr


def test_a_note_is_printed_once(plate: Path, tmp_path: Path) -> None:
    shutil.rmtree(plate / "B")
    result = run("demo", "--input", plate, "--output", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr.count("not on disk: B/02") == 1
    assert result.stderr.startswith("Note: ")


def test_version_is_that_of_the_package() -> None:
    assert run("--version").output == f"omexp {omexp.__version__}\n"


def test_help_lists_only_commands_that_there_are() -> None:
    shown = run("--help").output.split("Commands:")[1].split("\n")
    names = [line.split()[0] for line in shown if line.strip()]
    assert names == sorted(COMMANDS)


def test_convert_without_a_target_changes_the_version_in_place(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.ones((8, 8), "uint8"), xy_pixelsize=1.0, ngff_version="0.4", levels=1)
    said = run("convert", str(tmp_path / "a.zarr"), "--version", "0.6")
    assert said.exit_code == 0 and "a.zarr: OME-Zarr 0.6 now, 2 documents written" in said.output
    assert "OME-Zarr 0.6 already" in run("convert", str(tmp_path / "a.zarr"), "--version", "0.6").output
    unsaid = run("convert", str(tmp_path / "a.zarr"))
    assert unsaid.exit_code == 2 and "Name a TARGET, or the --version that the store should have in place." in unsaid.output
    refused = run("convert", str(tmp_path / "a.zarr"), "--version", "0.5", "--levels", "2", "--overwrite")
    message = "Without a TARGET only the version can be changed, in place; got --levels, --overwrite."
    assert refused.exit_code == 2 and message in refused.output


def test_convert_writes_a_plate_and_an_archive(shared_data: Path, tmp_path: Path) -> None:
    said = run("convert", str(shared_data / "challenge_hcs_v04.zarr"), str(tmp_path / "p.ozx"))
    assert re.search(r"p.ozx: plate of \d+ wells, \d+ fields, OME-Zarr 0.5\n[\d.]+ MB of pixels in", said.output)
    assert omexp.open_ome_zarr_plate(tmp_path / "p.ozx").meta.name == "Plate Name 0"
