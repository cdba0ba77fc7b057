"""How many documents are read: committed numbers, counted at the file system, so that nobody reads a plate twice by accident."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.description import describe

DOCUMENTS = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
_watched: dict[str, Any] = {"folder": None, "found": Counter()}
_lock = threading.Lock()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    folder = _watched["folder"]
    if event == "open" and folder is not None and isinstance(arguments[0], (str, Path)) and isinstance(arguments[1], str | None):
        path = str(arguments[0])
        if path.startswith(folder) and path.endswith(DOCUMENTS) and os.path.exists(path):
            with _lock:
                _watched["found"][path.removeprefix(folder).lstrip("/")] += 1


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    sys.addaudithook(_hear)  # stays for good, and is deaf without a folder


def reads(folder: Path, call: Callable[[], Any]) -> Counter[str]:
    """The documents below a folder that are opened while a function is called, and how often each."""
    _watched.update(folder=str(folder), found=Counter())
    try:
        call()
    finally:
        _watched["folder"] = None
    return Counter(_watched["found"])


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 x 3 wells of 2 fields, each with a table and a label; Zarr format 3."""
    folder = tmp_path_factory.mktemp("counted") / "plate.zarr"
    images = [omexp.ImageInWellPath(row, column, field) for row in "AB" for column in (1, 2, 3) for field in "01"]
    made = omexp.create_empty_plate(folder, "counted", images)
    for image in images:
        store = made.get_image_store(image.row, image.column, image.path)
        container = omexp.create_ome_zarr_from_array(store, np.ones((2, 8, 8), "uint8"), axes_names="cyx", xy_pixelsize=1, levels=2)
        container.derive_label("nuclei")
        container.add_table("doses", {"dose": [1.0, 2.0]}, backend="json")
    return folder


def test_opening_a_plate_reads_its_document_once(plate: Path) -> None:
    assert reads(plate, lambda: omexp.open_ome_zarr_plate(plate)) == {"zarr.json": 1}


def test_all_images_of_a_plate_cost_one_document_each_and_one_per_well(plate: Path) -> None:
    opened = omexp.open_ome_zarr_plate(plate)
    found = reads(plate, opened.get_images)
    wells = [f"{row}/0{column}" for row in "AB" for column in (1, 2, 3)]
    fields = [f"{well}/{field}" for well in wells for field in "01"]
    assert found == {"zarr.json": 1} | {f"{place}/zarr.json": 1 for place in [*wells, *fields]}


def test_listing_the_images_reads_no_image(plate: Path) -> None:
    found = reads(plate, omexp.open_ome_zarr_plate(plate).images_paths)
    assert found.total() == 7 and max(found.values()) == 1


def test_info_on_a_plate_reads_each_document_once_but_for_the_plate_and_the_finest_level(plate: Path) -> None:
    found = reads(plate, lambda: describe(plate))
    assert {path: count for path, count in found.items() if count > 1} == {
        "zarr.json": 3,  # to open it, for its list, for its wells
        "A/01/0/0/zarr.json": 2,  # for the number of channels, as a level
    }
    assert found.total() == 3 + 6 + 1 + 3 + 4 + 2  # plate, wells, image, its arrays, its label, its table


def test_one_table_over_all_images_reads_each_document_once(plate: Path) -> None:
    opened = omexp.open_ome_zarr_plate(plate)
    found = reads(plate, lambda: opened.concatenate_image_tables("doses"))
    assert max(found.values()) == 1
    assert found.total() == 1 + 6 + 12 + 3 * 12  # plate, wells, images; of each image the list of tables, the table and its content


@pytest.mark.parametrize(
    ("name", "call", "counts"),
    [
        ("open", lambda place: omexp.open_ome_zarr_container(place), {"zarr.json": 1, "0/zarr.json": 1}),
        ("image", lambda c: c.get_image(), {"zarr.json": 1, "0/zarr.json": 1}),
        ("coarse", lambda c: c.get_image(path="1"), {"zarr.json": 1, "1/zarr.json": 1}),
        ("labels", lambda c: c.list_labels(), {"labels/zarr.json": 1}),
        ("label", lambda c: c.get_label("nuclei"), {"labels/zarr.json": 1, "labels/nuclei/zarr.json": 1, "labels/nuclei/0/zarr.json": 1}),
        ("tables", lambda c: c.list_tables(), {"tables/zarr.json": 1}),
        (
            "masked",
            lambda c: c.get_masked_image("nuclei"),
            {
                **{"zarr.json": 1, "0/zarr.json": 1, "tables/zarr.json": 1, "tables/doses/zarr.json": 1},
                **{"labels/zarr.json": 1, "labels/nuclei/zarr.json": 1, "labels/nuclei/0/zarr.json": 1},
            },
        ),
    ],
)  # fmt: skip
def test_an_image_reads_what_it_needs_each_time_it_is_asked_and_nothing_twice(
    plate: Path, name: str, call: Any, counts: dict[str, int]
) -> None:
    place = plate / "A/01/0"
    subject = place if name == "open" else omexp.open_ome_zarr_container(place)
    assert reads(place, lambda: call(subject)) == counts
    if name != "open":  # cache=False: a change from elsewhere is seen by the next call
        assert reads(place, lambda: call(subject)) == counts


def test_a_cached_plate_reads_nothing_the_second_time(plate: Path) -> None:
    opened = omexp.open_ome_zarr_plate(plate, cache=True)
    opened.get_images()
    assert reads(plate, opened.get_images) == {}
    opened.refresh()
    assert reads(plate, opened.get_images).total() == 1 + 6 + 12
