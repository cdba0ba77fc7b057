"""Many processes at one store: nothing is lost, nothing is left over, and a process that is killed holds nobody up."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import omexp
from omexp.storage.groups import open_group
from tests import writer_jobs
from tests.fault_jobs import REFUSED
from tests.writer_jobs import ROWS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked from one that has imported all")


class Writers:
    """A process that forks processes."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[1]
        paths = os.pathsep.join([str(Path(omexp.__file__).parents[1]), str(root)])
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.process = subprocess.Popen([sys.executable, writer_jobs.__file__], env=environment, **pipes)

    def run(self, jobs: list[tuple[str, Path, str, int]]) -> list[int]:
        """The exit statuses of processes that begin at once; one with a step kills itself before that file operation."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([[work, str(target), name, step] for work, target, name, step in jobs]) + "\n")
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    one = Writers()
    yield one
    one.process.communicate()


def new_image(folder: Path, version: str, *, consolidated: bool) -> Path:
    target = folder / "image.zarr"
    omexp.create_ome_zarr_from_array(target, np.ones((32, 32), "uint8"), xy_pixelsize=0.5, levels=2, ngff_version=version)
    if consolidated:
        open_group(target).consolidate()
    return target


def new_plate(folder: Path) -> Path:
    omexp.create_empty_plate(folder / "plate.zarr", "screen", [omexp.ImageInWellPath("A", 1, "first")])
    return folder / "plate.zarr"


def check_whole(target: Path, tables: set[str], labels: set[str]) -> None:
    """Every name is listed once and can be read; nothing else lies there; what other readers trust names all of it."""
    container = omexp.open_ome_zarr_container(target)
    assert sorted(container.list_tables()) == sorted(tables)
    assert sorted(container.list_labels()) == sorted(labels)
    for name in tables:
        values = container.get_table(name).dataframe["value"].tolist()
        assert len(values) == ROWS and len(set(values)) == 1
        assert values[0] == name or name == "shared"
    for name in labels:
        assert set(np.unique(container.get_label(name).get_as_numpy()).tolist()) <= {0, len(name)}
    for folder, names in (("tables", tables), ("labels", labels)):
        if names:
            assert {p.name for p in (target / folder).iterdir() if p.is_dir()} == names
    group = open_group(target)
    if group.is_consolidated:
        seen = zarr.open_group(target, mode="r", use_consolidated=True)
        assert {f"tables/{name}" for name in tables} | {f"labels/{name}" for name in labels} <= {name for name, _ in seen.members(None)}


def check_plate(target: Path, images: set[str]) -> None:
    plate = omexp.open_ome_zarr_plate(target)
    assert set(plate.images_paths()) == images | {"A/01/first"}
    for path in images:
        row, column, field = path.split("/")
        assert plate.get_image(row, column, field).get_image().get_as_numpy().sum() == 64


# --------------------------------------------------------------------------------------------------------- in all runs
@pytest.mark.parametrize(("version", "consolidated"), [("0.4", False), ("0.5", True)])
def test_tables_and_labels_added_by_six_processes_at_once_are_all_there(
    version: str, consolidated: bool, writers: Writers, tmp_path: Path
) -> None:
    target = new_image(tmp_path, version, consolidated=consolidated)
    tables, labels = [f"t{i}" for i in range(3)], [f"l{'x' * i}" for i in range(3)]
    jobs = [("table", target, n, -1) for n in tables] + [("label", target, n, -1) for n in labels]
    assert writers.run(jobs) == [0] * 6
    check_whole(target, set(tables), set(labels))


def test_images_and_wells_added_by_six_processes_at_once_are_all_there(writers: Writers, tmp_path: Path) -> None:
    target = new_plate(tmp_path)
    images = ["A/01/0", "A/01/1", "B/01/0", "B/02/0", "C/03/0", "C/03/1"]
    assert writers.run([("image", target, name, -1) for name in images]) == [0] * 6
    check_plate(target, set(images))


def killed(writers: Writers, target: Path, work: str, step: int) -> None:
    """A process dies at a step; what is there is old or new, the next one is held up by nothing and leaves nothing over."""
    old = omexp.open_ome_zarr_container(target).get_table("shared").dataframe["value"].tolist()
    assert writers.run([(work, target, "new", step)])[0] in (-signal.SIGKILL, 0)
    container = omexp.open_ome_zarr_container(target)
    if work == "replaced_table":
        assert container.get_table("shared").dataframe["value"].tolist() in (old, ["new"] * ROWS)
    assert container.get_label("shared").get_as_numpy().shape == (32, 32)
    again = ("replaced_table", target, "again", -1), ("replaced_label", target, "", -1)
    assert writers.run(list(again)) == [0, 0]
    assert container.get_table("shared").dataframe["value"].tolist() == ["again"] * ROWS
    check_whole(target, {"shared"}, {"shared"})


@pytest.fixture
def shared(writers: Writers, tmp_path: Path) -> Path:
    """An image with a table and a label that others replace."""
    target = new_image(tmp_path, "0.5", consolidated=False)
    assert writers.run([("replaced_table", target, "old", -1), ("replaced_label", target, "", -1)]) == [0, 0]
    return target


@pytest.mark.parametrize(("work", "step"), [("replaced_table", 12), ("replaced_table", 25), ("replaced_label", 30)])
def test_a_process_killed_while_it_replaces_leaves_the_old_or_the_new(work: str, step: int, writers: Writers, shared: Path) -> None:
    killed(writers, shared, work, step)


def test_a_reader_never_waits_and_finds_one_table_or_the_other_while_writers_take_turns(writers: Writers, shared: Path) -> None:
    done = threading.Event()

    def write() -> None:
        try:
            for _ in range(2):
                statuses = writers.run([("replaced_table", shared, name, -1) for name in "ab"])
                assert statuses == [0, 0]  # the second waits for the first
        finally:
            done.set()

    container = omexp.open_ome_zarr_container(shared)
    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(container.get_table("shared").dataframe["value"].tolist())
    writer.join()
    assert all(values in ([name] * ROWS for name in ("old", "a", "b")) for values in seen)


# ------------------------------------------------------------------------------------------------------------- at length
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("round_", range(20))
def test_sixteen_processes_lose_nothing(round_: int, writers: Writers, tmp_path: Path) -> None:
    target, plate = new_image(tmp_path, ("0.4", "0.5")[round_ % 2], consolidated=round_ % 4 < 2), new_plate(tmp_path)
    tables, labels = [f"t{i}" for i in range(6)], [f"l{'x' * i}" for i in range(5)]
    images = ["A/01/0", "A/02/0", "B/01/0", "B/01/1", "C/12/0"]
    jobs = [("table", target, n, -1) for n in tables] + [("label", target, n, -1) for n in labels]
    assert writers.run(jobs + [("image", plate, n, -1) for n in images]) == [0] * 16
    check_whole(target, set(tables), set(labels))
    check_plate(plate, set(images))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("round_", range(20))
def test_sixteen_processes_of_which_four_are_killed_lose_nothing_of_the_others(round_: int, writers: Writers, tmp_path: Path) -> None:
    target, chance = new_image(tmp_path, ("0.4", "0.5")[round_ % 2], consolidated=False), random.Random(round_)
    names = [("table", f"t{i}") for i in range(8)] + [("label", f"l{'x' * i}") for i in range(8)]
    doomed = set(chance.sample(range(16), 4))
    jobs = [(work, target, name, chance.randrange(60) if i in doomed else -1) for i, (work, name) in enumerate(names)]
    statuses = writers.run(jobs)
    assert all(status == 0 or (i in doomed and status == -signal.SIGKILL) for i, status in enumerate(statuses))
    container = omexp.open_ome_zarr_container(target)
    listed = {"table": set(container.list_tables()), "label": set(container.list_labels())}
    for (work, name), status in zip(names, statuses, strict=True):
        assert status != 0 or name in listed[work]
    for name in listed["table"]:
        assert container.get_table(name).dataframe["value"].tolist() == [name] * ROWS
    for name in listed["label"]:
        assert container.get_label(name).get_as_numpy().shape == (32, 32)
    assert writers.run([("table", target, "last", -1), ("label", target, "last", -1)]) == [0, 0]
    assert "last" in container.list_tables() and "last" in container.list_labels()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("work", ["replaced_table", "replaced_label"])
def test_no_step_of_a_replacement_is_a_bad_one_to_be_killed_at(work: str, writers: Writers, shared: Path) -> None:
    for step in range(0, 80, 2):
        killed(writers, shared, work, step)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("round_", range(20))
def test_writers_and_removers_of_one_name_leave_it_whole_or_gone(round_: int, writers: Writers, shared: Path) -> None:
    works = ["replaced_table"] * 8 + ["taken_away_table"] * 8
    random.Random(round_).shuffle(works)
    statuses = writers.run([(work, shared, str(i), -1) for i, work in enumerate(works)])
    assert set(statuses) <= {0, REFUSED}
    container = omexp.open_ome_zarr_container(shared)
    there = container.list_tables()
    assert there in ([], ["shared"])
    assert {p.name for p in (shared / "tables").iterdir() if p.is_dir()} == set(there)
    if there:
        assert len(set(container.get_table("shared").dataframe["value"])) == 1
