"""A function over the images of a plate: results, failures, threads, processes, devices, progress."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError, FailuresError, NameNotFoundError
from tests.conftest import Case
from tests.plate_jobs import second_fails, total

PATHS = ["A/01/0", "A/01/1", "A/02/0", "B/01/0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images, all pixels of which are 1, 2, 3, 4; the second one of run 1."""
    folder = tmp_path_factory.mktemp("work") / "plate.zarr"
    plate = omexp.create_empty_plate(folder, "p")
    for value, path in enumerate(PATHS, 1):
        row, column, field = path.split("/")
        plate.add_image(row, int(column), field, int(field), f"run {field}")
        pixels = np.full((4, 4), value, "uint8")
        omexp.create_ome_zarr_from_array(plate.get_image_store(row, int(column), field), pixels, xy_pixelsize=1, levels=1)
    return folder


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_results_come_by_path_in_the_plates_order_and_failures_at_the_end(made: Path, executor: str) -> None:
    plate = omexp.open_ome_zarr_plate(made)
    with pytest.raises(FailuresError) as caught:
        plate.map(second_fails, executor=executor, workers=1)
    assert caught.value.results == {"A/01/0": 16, "A/02/0": 48, "B/01/0": 64}
    assert list(caught.value.failures) == ["A/01/1"] and isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "1 of 4 images failed:\n  A/01/1: ZeroDivisionError: nothing to divide by" in str(caught.value)
    if executor == "threads":
        assert plate.map(total) == dict(zip(PATHS, [16, 32, 48, 64], strict=True))


def test_images_are_chosen_by_path_by_acquisition_or_given(made: Path) -> None:
    plate = omexp.open_ome_zarr_plate(made)
    assert plate.map(total, images=["B/01/0", "A/01/1"]) == {"B/01/0": 64, "A/01/1": 32}
    assert plate.map(total, acquisition=1) == {"A/01/1": 32}
    assert plate.map(total, images={"mine": plate.get_image("A", 2, "0")}) == {"mine": 48}
    assert plate.map(total, images=[]) == {}
    with pytest.raises(NameNotFoundError, match="there is no such image"):
        plate.map(total, images=["Z/01/0"])


def test_only_the_images_that_are_asked_for_are_opened(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    init = omexp.OmeZarrContainer.__init__
    monkeypatch.setattr(
        omexp.OmeZarrContainer, "__init__", lambda self, group, *a, **k: opened.append(group.where) or init(self, group, *a, **k)
    )
    omexp.open_ome_zarr_plate(made).map(total, images=["A/02/0"])
    assert [place.split("plate.zarr/")[1] for place in opened] == ["A/02/0"]


def test_no_more_workers_than_asked_for_and_progress_counts_images(made: Path) -> None:
    running, most, lock, heard = [0], [0], threading.Lock(), []

    def work(path: str, image: omexp.OmeZarrContainer) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1

    omexp.open_ome_zarr_plate(made).map(work, workers=2, progress=lambda done, of: heard.append((done, of)))
    assert most[0] <= 2 and heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_arrays_are_on_the_plates_device(made: Path, backend: Case) -> None:
    plate = omexp.open_ome_zarr_plate(made, device=backend.backend)
    found = plate.map(lambda path, image: image.get_image().get_array())
    assert all(backend.holds(array) for array in found.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"executor": "cluster"}, "there is no such executor; got 'cluster'; allowed: 'threads', 'processes'"),
        ({"workers": 0}, "workers must be an int of at least 1; got 0"),
        ({"progress": 3}, "progress cannot be called"),
        ({"function": 3}, "this cannot be called; got int"),
        ({"executor": "processes", "function": lambda path, image: 1}, "the function cannot be sent to another process"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_called(made: Path, given: dict[str, Any], message: str) -> None:
    called: list[str] = []
    options = {"function": lambda path, image: called.append(path)} | given
    with pytest.raises(ArgumentError, match=message):
        omexp.open_ome_zarr_plate(made).map(**options)
    assert called == []


def test_a_plate_in_memory_cannot_be_sent_to_processes() -> None:
    plate = omexp.create_empty_plate({}, "p", [omexp.ImageInWellPath("A", 1)])
    omexp.create_empty_ome_zarr(plate.get_image_store("A", 1, "0"), (8, 8), xy_pixelsize=1)
    with pytest.raises(ArgumentError, match="another process cannot open this store"):
        plate.map(total, executor="processes")
    assert plate.map(total) == {"A/01/0": 0}


def test_missing_images_are_named_and_the_others_worked_on(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plate.zarr"
    shutil.copytree(made, folder)
    shutil.rmtree(folder / "A" / "02" / "0")
    shutil.rmtree(folder / "B" / "01")
    with pytest.warns(omexp.OmexpWarning, match=r"wells that .* not on disk: B/01; fields that .* not on disk: A/02/0$") as caught:
        assert omexp.open_ome_zarr_plate(folder).map(total) == {"A/01/0": 16, "A/01/1": 32}
    assert len(caught) == 1
