"""Pictures of plates and images: which level is read, what is shown where, what is left dark."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as Picture

import omexp
from omexp.cli import main
from omexp.errors import NameNotFoundError
from omexp.overview import BACKGROUND, EMPTY, page, plate_overview
from omexp.overview.page import draw_overview, fitting_tile
from omexp.storage.arrays import StoredArray


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate of 2 x 3 with images in A/01 (two fields) and B/03: one channel above, one below. B/02 is listed and not on disk."""
    folder = tmp_path_factory.mktemp("pictures") / "plate.zarr"
    places = [("A", 1, "0"), ("A", 1, "1"), ("B", 2, "0"), ("B", 3, "0")]
    plate = omexp.create_empty_plate(folder, "drawn", [omexp.ImageInWellPath(*p) for p in places], columns=[1, 2, 3])
    pixels = np.zeros((2, 256, 256), "uint8")
    pixels[0, :128], pixels[1, 128:] = np.random.default_rng(0).integers(50, 250, (2, 128, 256))
    for place in places:
        if place[1] != 2:
            omexp.create_ome_zarr_from_array(
                plate.get_image_store(*place), pixels, axes_names="cyx", xy_pixelsize=0.5, levels=4, channel_labels=["up", "down"]
            )
    shutil.rmtree(folder / "B" / "02")
    return folder


def shape_of_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the arrays that are read from then on."""
    seen: list[tuple[int, ...]] = []
    real = StoredArray.read

    def read(self: StoredArray, *args: Any, **kwargs: Any) -> Any:
        seen.append(self.shape)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(StoredArray, "read", read)
    return seen


def is_in(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((picture == np.array(colour, "uint8")).all(axis=-1).any())


def test_a_plate_becomes_an_array_and_a_file_of_about_the_size_that_was_asked_for(made: Path, tmp_path: Path) -> None:
    plate = omexp.open_ome_zarr_plate(made, mode="r")
    with pytest.warns(omexp.OmexpWarning, match="not on disk: B/02"):
        picture = plate.thumbnail(size=900, path=tmp_path / "p.png")
    assert (picture.dtype, picture.shape[2]) == (np.dtype("uint8"), 3) and 700 <= picture.shape[1] <= 900
    with Picture.open(tmp_path / "p.png") as stored:
        np.testing.assert_array_equal(np.array(stored), picture)
    assert is_in(picture, EMPTY) and is_in(picture, BACKGROUND)


def test_the_coarsest_level_that_fits_is_read_once_per_image(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plate = omexp.open_ome_zarr_plate(made)
    images = plate.get_well_images("A", 1)
    seen = shape_of_reads(monkeypatch)
    for width, side in ((2000, 256), (500, 64), (300, 32)):
        seen.clear()
        plate_overview(plate, images={f"A/01/{path}": image for path, image in images.items()}, width_px=width)
        assert seen == [(2, side, side)] * 2, width
    seen.clear()
    images["0"].thumbnail(level=0)
    images["0"].thumbnail(level="3")
    images["0"].thumbnail(size=100)
    assert seen == [(2, 256, 256), (2, 32, 32), (2, 128, 128)]


def test_channels_are_chosen_by_name_or_number(made: Path) -> None:
    image = omexp.open_ome_zarr_plate(made).get_image("A", 1, "0")
    both, up, down = image.thumbnail(), image.thumbnail(["up"]), image.thumbnail([1])
    assert both.shape == up.shape == (256, 256, 3)
    assert up[:120].any() and not up[136:].any()
    assert down[136:].any() and not down[:120].any()
    np.testing.assert_array_equal(np.maximum(up, down), both)
    for wrong in (["left"], [5]):
        with pytest.raises(NameNotFoundError):
            image.thumbnail(wrong)
    with pytest.raises(NameNotFoundError, match="no such level"):
        image.thumbnail(level=9)


def test_a_large_image_is_made_small_and_a_small_one_stays(tmp_path: Path) -> None:
    image = omexp.create_ome_zarr_from_array({}, np.ones((40, 400), "uint16"), xy_pixelsize=1, levels=1)
    assert image.thumbnail(size=100).shape == (10, 100, 3)
    assert image.thumbnail(size=1000).shape == (40, 400, 3)


def test_pages_of_large_plates_keep_their_width_and_their_names_apart() -> None:
    rows, columns = [chr(65 + i) for i in range(16)], [f"{i:02d}" for i in range(1, 25)]
    for across in (1, 2, 3):
        tile = fitting_tile(rows, columns, across, 1800)
        picture = draw_overview("x" * 300, rows, columns, {}, tile_px=tile * across)
        assert picture.width <= 1900
    font = page._name_font([f"{i}" for i in range(48)], (30, 26))
    assert page._named_every([f"{i}" for i in range(48)], font, 34) == 1
    assert page._named_every(["100000"] * 3, font, 20) > 1


def test_the_command_draws_plates_and_images_and_refuses_the_rest(made: Path, tmp_path: Path) -> None:
    def run(*given: Any) -> Any:
        return CliRunner().invoke(main, ["thumbnail", *map(str, given)])

    image = made / "A" / "01" / "0"
    done = run(image, "--output", tmp_path / "i.png", "--size", 64, "--channels", "up,1")
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'i.png'}: 64 x 64 pixels\n")
    done = run(made, "-o", tmp_path / "p.png", "--size", 400, "--level", "3", "--acquisition", "0")
    assert done.exit_code == 0, done.output
    for given, message in [
        ((made, "-o", tmp_path / "p.jpg"), "only PNG files are written"),
        ((image, "-o", tmp_path / "n.png", "--label", "x"), "are for plates"),
        ((image, "-o", tmp_path / "n.png", "--level", "7"), "there is no such level"),
        ((tmp_path / "nothing.zarr", "-o", tmp_path / "n.png"), "there is no Zarr group"),
    ]:
        done = run(*given)
        assert done.exit_code == 1 and message in done.output
    assert not (tmp_path / "n.png").exists()


def test_images_that_cannot_be_read_or_lack_a_channel_are_left_empty_and_named(tmp_path: Path) -> None:
    places = [omexp.ImageInWellPath("A", 1, str(field)) for field in range(3)]
    plate = omexp.create_empty_plate(tmp_path / "p.zarr", "p", places)
    for field, name in enumerate(("DAPI", "DAPI", "GFP")):
        pixels = np.full((1, 64, 64), 999, "uint16")
        store = plate.get_image_store("A", 1, str(field))
        omexp.create_ome_zarr_from_array(store, pixels, axes_names="cyx", xy_pixelsize=1.0, levels=1, channel_labels=[name])
    chunk = next(p for p in (tmp_path / "p.zarr/A/01/0/0").rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr")))
    chunk.write_bytes(b"garbage!" * 4)
    with pytest.warns(omexp.OmexpWarning, match="2 of 3 images are not drawn: A/01/0: .*; A/01/2: .*no channel has that name") as caught:
        picture = plate.thumbnail(channels=["DAPI"])
    assert len(caught) == 1
    assert is_in(picture, EMPTY)
    with pytest.raises(NameNotFoundError):
        plate.thumbnail(channels=["Cy5"])
