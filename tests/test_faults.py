"""Kills, full disks, read-only places, sources that fail: what was there stays, what is unfinished says so and can be gone on with."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

import omexp
from omexp.errors import AlreadyExistsError, ArgumentError, OmexpWarning, ReadOnlyError, StorageFullError, StoreNotFoundError
from omexp.geometry import Region
from omexp.storage.journal import JOURNAL, journal_of, scratch_of, unfinished_beside
from omexp.storage.units import _Files
from tests import fault_jobs
from tests.fault_jobs import IMAGE, JOBS, LITTLE, REFUSED, SHAPE, pixels, prepare
from tests.stores import arrays, documents, files, interruptible

PAUSE_S = 0.004


# ------------------------------------------------------------------------------------------------------------- kills
class Worker:
    """A process that runs jobs one after the other, each in a fork of itself."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[1]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(Path(omexp.__file__).parents[1]), str(root)]),
            "PYTHONWARNINGS": "ignore",
        }
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.process = subprocess.Popen([sys.executable, fault_jobs.__file__], env=environment, **pipes)

    def begin(self, job: str, target: Path, *, resume: bool = False, pause_s: float = 0.0, step: int = -1) -> int:
        """The process's number. `pause_s`: before each write unit; `step`: the file operation before which it kills itself."""
        self._say(f"{job} {target} {resume} {pause_s} {step}")
        return self._number()

    def status(self) -> int:
        """The exit status of the job that was begun; minus the signal that ended it."""
        self._say("")
        return os.waitstatus_to_exitcode(self._number())

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")

    def _number(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[Worker, Worker]]:
    both = Worker(), Worker()
    yield both
    for one in both:
        one.close()


@dataclass(frozen=True)
class Run:
    """What is there before a job, what a run that nobody disturbs leaves, how many file operations and seconds it takes (slowed down)."""

    before: Path
    after: Path
    steps: int
    seconds: float

    def begin(self, target: Path) -> Path:
        target.parent.mkdir(exist_ok=True)
        if self.before.exists():
            shutil.copytree(self.before, target)
        return target


@pytest.fixture(scope="module")
def runs(workers: tuple[Worker, Worker], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    found = {}
    for job in JOBS:
        folder = tmp_path_factory.mktemp(job)
        before, after = folder / "before" / "img.zarr", folder / "after" / "img.zarr"
        before.parent.mkdir()
        prepare(job, before)
        Run(before, after, 0, 0.0).begin(after)
        start = time.perf_counter()
        workers[0].begin(job, after, pause_s=PAUSE_S)
        assert workers[0].status() == 0
        found[job] = Run(before, after, int((after.parent / "steps").read_text()), time.perf_counter() - start)
    return found


def opened_quietly(target: Path) -> omexp.OmeZarrContainer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        return omexp.open_ome_zarr_container(target)


def finished_units(journal: Path, folder: Path, level_name: str = "{}") -> set[str]:
    """Paths of the write units whose tiles a journal says are on disk."""
    lines = journal.read_text().split("\n")[1:-1] if journal.is_file() else []
    found = set()
    for level, start, stop in map(json.loads, lines):
        cells = itertools.product(*[range(a // 128, -(-b // 128)) for a, b in zip(start, stop, strict=True)])
        found |= {str(folder / level_name.format(level) / "c" / str(i) / str(j)) for i, j in cells}
    return found


def check_after_kill(job: str, target: Path, before: Path, after: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Old, unfinished or new, and what it says; then it is gone on with."""
    old, new, found = (files(p) if p.exists() else None for p in (before, after, target))
    in_place = job == "consolidate"
    journal = target / JOURNAL if in_place else journal_of(target)
    folder = target if in_place else scratch_of(target)
    unfinished = journal.is_file() if in_place else unfinished_beside(target) is not None
    if in_place:  # the finest level and what is not of the image stay; the document says the new method last
        assert old is not None and new is not None and found is not None
        made = ("1", "2", "3", "zarr.", JOURNAL)
        assert {k: v for k, v in found.items() if not k.startswith(made)} == {k: v for k, v in old.items() if not k.startswith(made)}
        assert found["zarr.json"] in (old["zarr.json"], new["zarr.json"])
        assert unfinished or found in (old, new)
        if unfinished:
            with pytest.warns(OmexpWarning, match=r"the coarser levels are unfinished.*image.consolidate\(resume=True\) goes on"):
                omexp.open_ome_zarr_container(target)
    else:
        assert found in (old, new)
    if found is None:
        with pytest.raises(StoreNotFoundError, match="resume=True goes on with it" if unfinished else "The path does not exist"):
            omexp.open_ome_zarr_container(target)
    else:
        opened_quietly(target).get_image().get_as_numpy()
    done = finished_units(journal, folder, "scale{}/image" if job == "ngff" else "{}") if unfinished else set()
    put, puts = _Files.put, list[str]()

    def counting(self: _Files, index: Any, data: Any, *, fast: bool = False) -> None:
        puts.append(f"{self.folder}/{self.metadata.encode_chunk_key(index)}")
        put(self, index, data, fast=fast)

    if found != new or in_place:
        with monkeypatch.context() as patched, warnings.catch_warnings():
            warnings.simplefilter("ignore", OmexpWarning)
            patched.setattr(_Files, "put", counting)
            JOBS[job](target, True)
        assert len(puts) == len(set(puts))
        assert not done & set(puts)
    assert files(target) == new
    if found == new and not in_place:
        with pytest.raises(AlreadyExistsError) if job == "create" else warnings.catch_warnings():
            JOBS[job](target, False)  # takes away what is left of the one that was killed
    rest = {p.name for p in target.parent.iterdir()} - {target.name}
    assert rest <= ({scratch_of(target).name, journal_of(target).name} if job == "create" and found == new else set())
    return "unfinished" if unfinished else "new" if found == new else "old"


def kill_in(job: str, moment: float, by_step: bool, workers: Any, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What was found after a kill at a moment: a part of the run's file operations, or of its duration."""
    target = run.begin(folder / "killed" / "img.zarr")
    process = workers[0].begin(job, target, **{"step": int(moment * run.steps)} if by_step else {"pause_s": PAUSE_S})
    if not by_step:
        time.sleep(moment * run.seconds)
        os.kill(process, signal.SIGKILL)
    assert workers[0].status() in (-signal.SIGKILL, 0)
    (target.parent / "steps").unlink(missing_ok=True)
    state = check_after_kill(job, target, run.before, run.after, monkeypatch)
    shutil.rmtree(target.parent)
    return state


@pytest.mark.parametrize("job", JOBS)
def test_a_process_killed_at_any_moment_leaves_the_old_state_or_one_that_is_gone_on_with(
    job: str, workers: Any, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (workers, runs[job], tmp_path, monkeypatch)
    states = [kill_in(job, (i + 0.5) / 3, True, *arguments) for i in range(3)] + [kill_in(job, 0.4, False, *arguments)]
    assert "unfinished" in states


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("by_step", [True, False], ids=["by step", "by time"])
@pytest.mark.parametrize("job", JOBS)
def test_a_process_killed_at_fifty_random_moments_loses_nothing(
    job: str, by_step: bool, workers: Any, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [random.Random(f"{job} {i}").uniform(0, 1.02) for i in range(50)]
    states = [kill_in(job, moment, by_step, workers, runs[job], tmp_path, monkeypatch) for moment in moments]
    assert states.count("unfinished") >= (10 if by_step else 1)  # how long a run takes depends on what else the machine does


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("job", JOBS)
def test_no_step_of_the_beginning_and_the_end_is_a_bad_one_to_be_killed_at(
    job: str, workers: Any, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs[job]
    steps = {*range(40), *range(max(0, run.steps - 60), run.steps)}
    states = [kill_in(job, (step + 0.5) / run.steps, True, workers, run, tmp_path, monkeypatch) for step in sorted(steps)]
    assert states[0] == "old" and states[-1] in ("new", "unfinished")


@pytest.mark.parametrize("job", JOBS)
def test_a_run_that_goes_on_may_be_killed_again_and_again(job: str, workers: Any, runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs[job]
    target = run.begin(tmp_path / "img.zarr")
    for attempt in range(4):
        workers[0].begin(job, target, resume=attempt > 0, step=int((0.3 + 0.1 * attempt) * run.steps))
        assert workers[0].status() == -signal.SIGKILL or attempt == 3
        if attempt == 3 and target.exists() and files(target) == files(run.after):
            return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        JOBS[job](target, True)
    assert files(target) == files(run.after)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


def test_garbage_of_a_killed_run_goes_with_the_next_one_whatever_it_is(workers: Any, runs: dict[str, Run], tmp_path: Path) -> None:
    target = tmp_path / "img.zarr"
    workers[0].begin("create", target, step=runs["create"].steps // 2)
    assert workers[0].status() == -signal.SIGKILL
    assert {p.name for p in tmp_path.iterdir()} == {scratch_of(target).name, journal_of(target).name}
    omexp.create_empty_ome_zarr(target, (8, 8), xy_pixelsize=1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


@pytest.mark.parametrize("job", JOBS)
def test_of_two_processes_at_one_target_one_writes_and_the_other_is_refused(
    job: str, workers: Any, runs: dict[str, Run], tmp_path: Path
) -> None:
    target = runs[job].begin(tmp_path / "img.zarr")
    (tmp_path / "hold").touch()  # the first one waits inside until the second has been refused, however busy the cores are
    for one in workers:
        one.begin(job, target)
    assert sorted(one.status() for one in workers) == [0, REFUSED]
    assert files(target) == files(runs[job].after)
    assert {p.name for p in target.parent.iterdir()} == {"img.zarr", "steps"}


INTERRUPTED = """
import sys, threading, numpy, omexp
pixels = numpy.tile(numpy.random.default_rng(0).integers(0, 60000, (1024, 1024), "uint16"), (8, 8))
def progress(done, total):
    if done > total // 10 and not told:
        told.append(print("writing", flush=True))
told = []
options = {"xy_pixelsize": 1.0, "workers": 2, "method": sys.argv[2], "compressors": "zstd:3", "progress": progress, "overwrite": True}
omexp.create_ome_zarr_from_array(sys.argv[1], pixels, **options)
"""


@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_ctrl_c_ends_within_a_second_and_cleans_up(method: str, tmp_path: Path) -> None:
    target = tmp_path / "img.zarr"
    omexp.create_empty_ome_zarr(target, (8, 8), xy_pixelsize=1.0)
    before = files(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(Path(omexp.__file__).parents[1])}
    seconds = []
    while not seconds or (seconds[-1] >= 1 and len(seconds) < 5):  # other processes may have the cores
        command = [sys.executable, "-c", INTERRUPTED, str(target), method]
        with interruptible():
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        seconds.append(time.perf_counter() - start)
        assert process.returncode == -signal.SIGINT
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert files(tmp_path) == before
    assert seconds[-1] < 1


# --------------------------------------------------------------------------------------------------------- full disks
@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of 6 MB, where this process may mount one."""
    folder = tmp_path_factory.mktemp("disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(small_disk: Path) -> Iterator[Path]:
    yield small_disk
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    for path in small_disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


NOISE = np.random.default_rng(0).integers(0, 65535, (1024, 1000), "uint16")  # 2 MB: three times with coarser levels are too much


ENGINES = pytest.mark.parametrize("use_tensorstore", [False, pytest.param(True, marks=pytest.mark.peers)])


@ENGINES
@pytest.mark.parametrize("options", [{}, {"shards": (256, 256)}, {"compressors": "zstd:1"}, {"levels": 1}], ids=str)
def test_a_full_disk_is_a_clear_error_and_what_was_there_stays(options: dict[str, Any], use_tensorstore: bool, disk: Path) -> None:
    if use_tensorstore:
        pytest.importorskip("tensorstore")
    options = {"xy_pixelsize": 1.0, "chunks": 64, "workers": 2, "use_tensorstore": use_tensorstore} | options
    omexp.create_ome_zarr_from_array(disk / "a.zarr", NOISE, xy_pixelsize=1.0, chunks=128)
    (disk / "filler").write_bytes(b"x" * (1 << 20))
    before = files(disk)
    for target, overwrite in ((disk / "b.zarr", False), (disk / "a.zarr", True), (disk / "c" / "d" / "e.zarr", False)):
        with pytest.raises(StorageFullError, match="there is no space left to write to .*. Make room, or write to another disk") as caught:
            omexp.create_ome_zarr_from_array(target, NOISE, overwrite=overwrite, **options)
        assert caught.value.errno == errno.ENOSPC
        assert files(disk) == before


def test_a_write_that_fills_the_disk_is_gone_on_with_when_there_is_room(disk: Path) -> None:
    (disk / "filler").write_bytes(b"x" * (5 << 20))
    options: dict[str, Any] = {"xy_pixelsize": 1.0, "chunks": 64, "resume": True} | LITTLE
    with pytest.raises(StorageFullError):
        omexp.create_ome_zarr_from_array(disk / "a.zarr", NOISE, **options)
    with pytest.raises(StoreNotFoundError, match="resume=True goes on with it"):
        omexp.open_ome_zarr_container(disk / "a.zarr")
    (disk / "filler").unlink()
    omexp.create_ome_zarr_from_array(disk / "a.zarr", NOISE, **options)
    assert [p.name for p in disk.iterdir()] == ["a.zarr"]
    np.testing.assert_array_equal(arrays(disk / "a.zarr")["0"], NOISE)


def test_patches_and_coarser_levels_on_a_full_disk_stay_or_become_whole(disk: Path) -> None:
    container = omexp.create_ome_zarr_from_array(disk / "a.zarr", NOISE // 256, xy_pixelsize=1.0, chunks=64, levels=4)
    image, before = container.get_image(), arrays(disk / "a.zarr")
    room = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(b"x" * (room - (room % 4096) - 300 * 1024))
    with pytest.raises(StorageFullError):
        image.set_array(NOISE)
    after = arrays(disk / "a.zarr")
    for y, x in itertools.product(range(0, 1024, 64), range(0, 1000, 64)):
        unit = after["0"][y : y + 64, x : x + 64].tobytes()
        assert unit in (before["0"][y : y + 64, x : x + 64].tobytes(), NOISE[y : y + 64, x : x + 64].tobytes())
    assert [p for p in (disk / "a.zarr").rglob("*.partial")] == []
    with pytest.raises(StorageFullError):
        for seed in range(20):  # noise does not shrink, so the coarser levels do not fit either
            noise = np.random.default_rng(seed).integers(0, 65535, (64, 64), "uint16")
            image.set_array(noise, y=slice(0, 64), x=slice(seed * 32, seed * 32 + 64))
            image.consolidate("nearest", **LITTLE)
    np.testing.assert_array_equal(arrays(disk / "a.zarr")["0"].shape, (1024, 1000))
    (disk / "filler").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        omexp.open_ome_zarr_container(disk / "a.zarr").get_image().consolidate("nearest", resume=True, **LITTLE)
    found = arrays(disk / "a.zarr")
    np.testing.assert_array_equal(found["1"], found["0"][::2, ::2])
    np.testing.assert_array_equal(found["3"], found["0"][::8, ::8])
    assert not (disk / "a.zarr" / JOURNAL).exists()


@pytest.mark.parametrize("room", [0, 1, 1000, 60_000, 500_000, 900_000])
@pytest.mark.parametrize("overwrite", [False, True])
def test_wherever_the_space_ends_nothing_is_lost_and_nothing_is_left(
    room: int, overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "img.zarr"
    if overwrite:
        omexp.create_ome_zarr_from_array(target, pixels(0)[:128], **IMAGE)
    before, write, lock, left = files(tmp_path), os.write, threading.Lock(), [room]

    def filling(descriptor: int, data: Any) -> int:
        with lock:
            taken = min(left[0], len(data))
            left[0] -= taken
        if taken == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, memoryview(data)[:taken])

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(StorageFullError):
        omexp.create_ome_zarr_from_array(target, pixels(1), overwrite=overwrite, **IMAGE, **LITTLE)
    monkeypatch.undo()
    assert files(tmp_path) == before


# ---------------------------------------------------------------------------------------------------- read-only places
def test_on_a_read_only_disk_everything_is_read_and_nothing_written(disk: Path) -> None:
    container = omexp.create_ome_zarr_from_array(disk / "a.zarr", NOISE, xy_pixelsize=1.0, chunks=128)
    container.derive_label("cells")
    before = files(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    container = omexp.open_ome_zarr_container(disk / "a.zarr")
    np.testing.assert_array_equal(container.get_image().get_as_numpy(), NOISE)
    image = container.get_image()
    tries: list[Callable[[], Any]] = [
        lambda: omexp.create_ome_zarr_from_array(disk / "b.zarr", NOISE, xy_pixelsize=1.0),
        lambda: omexp.create_ome_zarr_from_array(disk / "a.zarr", NOISE, xy_pixelsize=1.0, overwrite=True, resume=True),
        lambda: omexp.create_empty_ome_zarr(disk / "c" / "b.zarr", (8, 8), xy_pixelsize=1.0),
        lambda: image.set_array(NOISE),
        lambda: image.set_array(np.zeros((128, 128), "uint16"), y=slice(0, 128), x=slice(0, 128)),
        lambda: image.consolidate(),
        lambda: image.consolidate(regions=[{"y": slice(0, 9), "x": slice(0, 9)}]),
        lambda: image.consolidate(resume=True),
        lambda: container.derive_label("nuclei"),
        lambda: container.delete_label("cells"),
    ]
    for attempt in tries:
        with pytest.raises(ReadOnlyError, match="cannot be written .*Read-only file system"):
            attempt()
    assert files(disk) == before


# -------------------------------------------------------------------------------------------------------------- sources
class Unplugged(Exception):
    pass


def failing(at: int) -> da.Array:
    """A dask array that raises in its block number `at`."""
    calls = itertools.count()

    def block(x: np.ndarray) -> np.ndarray:
        if next(calls) >= at:
            raise Unplugged("the microscope is gone")
        return x

    return da.from_array(pixels(1), chunks=128).map_blocks(block, dtype="uint16", meta=np.empty((0, 0), "uint16"))


@pytest.mark.parametrize("at", [0, 5, 40])
@pytest.mark.parametrize("method", ["mean", "gaussian"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_source_that_fails_says_its_own_error_and_what_was_there_stays(at: int, method: str, overwrite: bool, tmp_path: Path) -> None:
    target = tmp_path / "img.zarr"
    if overwrite:
        prepare("replace", target)
    before = files(tmp_path)
    with pytest.raises(Unplugged, match="the microscope is gone"):
        omexp.create_ome_zarr_from_array(target, failing(at), method=method, overwrite=overwrite, **IMAGE, **LITTLE)
    assert files(tmp_path) == before


def test_a_source_that_fails_is_gone_on_with(tmp_path: Path) -> None:
    target = tmp_path / "img.zarr"
    with pytest.raises(Unplugged):
        omexp.create_ome_zarr_from_array(target, failing(40), resume=True, **IMAGE, **LITTLE)
    assert len(journal_of(target).read_text().splitlines()) > 2
    source = da.from_array(pixels(1), chunks=128)
    omexp.create_ome_zarr_from_array(target, source, resume=True, **IMAGE, **LITTLE)
    np.testing.assert_array_equal(arrays(target)["0"], pixels(1))
    assert [p.name for p in tmp_path.iterdir()] == ["img.zarr"]


# ------------------------------------------------------------------------------------------------------------- resume
@pytest.fixture
def broken_off(tmp_path: Path) -> Path:
    """The place of an image whose writing broke off after some tiles."""

    class Stopped(Exception):
        pass

    def progress(done: int, total: int) -> None:
        if done > total * 0.6:
            raise Stopped

    with pytest.raises(Stopped):
        omexp.create_ome_zarr_from_array(tmp_path / "img.zarr", pixels(1), resume=True, progress=progress, **IMAGE, **LITTLE)
    assert len(journal_of(tmp_path / "img.zarr").read_text().splitlines()) > 2
    return tmp_path / "img.zarr"


def changed_in(tile: str) -> np.ndarray:
    """Other pixels than those of the unfinished image: one, in its first tile or in its last that is finished; or all."""
    other = pixels(1)
    if tile == "all":
        return pixels(2)
    other[(0, 0) if tile == "first" else (300, 999)] ^= 1
    return other


@pytest.mark.parametrize("tile", ["first", "middle", "all"])
@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_other_pixels_are_refused(tile: str, kind: str, broken_off: Path) -> None:
    other = changed_in(tile)
    before = files(broken_off.parent)
    with pytest.raises(ArgumentError, match="was made from other pixels; got box .* differs. Write it anew, without resume=True"):
        omexp.create_ome_zarr_from_array(
            broken_off, other if kind == "numpy" else da.from_array(other, chunks=256), resume=True, **IMAGE, **LITTLE
        )
    assert files(broken_off.parent) == before
    omexp.create_ome_zarr_from_array(broken_off, other, **IMAGE, **LITTLE)
    np.testing.assert_array_equal(arrays(broken_off)["0"], other)
    assert [p.name for p in broken_off.parent.iterdir()] == ["img.zarr"]


OTHERS: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": 64},
    "codec": {"compressors": "zstd"},
    "shards": {"chunks": 64, "shards": (128, 128)},
    "levels": {"levels": 3},
    "method": {"method": "max"},
    "pixel size": {"xy_pixelsize": 0.7},
    "version": {"ngff_version": "0.4"},
    "fill value": {"fill_value": 9},
    "workers": {"workers": 1},
    "memory": {"max_memory": 16 << 20},
    "as it was": {},
    "TensorStore": {"use_tensorstore": True},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_run_with_another_layout_or_method_begins_anew_and_one_with_other_workers_goes_on(
    kind: str, broken_off: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "TensorStore":
        pytest.importorskip("tensorstore")
    options = IMAGE | LITTLE | OTHERS[kind]
    done = finished_units(journal_of(broken_off), scratch_of(broken_off))
    put, puts = _Files.put, set[str]()

    def counting(self: _Files, index: Any, data: Any, *, fast: bool = False) -> None:
        puts.add(f"{self.folder}/{self.metadata.encode_chunk_key(index)}")
        assert not fast or kind not in ("workers", "memory", "as it was")  # a finished unit must not be cut off by the next kill
        put(self, index, data, fast=fast)

    monkeypatch.setattr(_Files, "put", counting)
    omexp.create_ome_zarr_from_array(broken_off, pixels(1), resume=True, **options)
    monkeypatch.undo()
    omexp.create_ome_zarr_from_array(broken_off.with_name("whole.zarr"), pixels(1), **options | {"use_tensorstore": False})
    if kind == "shards":  # of small chunks: zarrs puts these into a shard in the order in which its threads end
        found, wanted = arrays(broken_off), arrays(broken_off.with_name("whole.zarr"))
        assert found.keys() == wanted.keys() and all(np.array_equal(found[level], wanted[level]) for level in wanted)
        assert documents(broken_off) == documents(broken_off.with_name("whole.zarr"))
    else:
        assert files(broken_off) == files(broken_off.with_name("whole.zarr"))
    assert {p.name for p in broken_off.parent.iterdir()} == {"img.zarr", "whole.zarr"}
    if kind == "as it was":
        assert done and not done & puts


def test_progress_of_a_run_that_goes_on_rises_to_the_end(broken_off: Path) -> None:
    heard: list[tuple[int, int]] = []
    omexp.create_ome_zarr_from_array(broken_off, pixels(1), resume=True, progress=lambda *t: heard.append(t), **IMAGE, **LITTLE)
    total = pixels(1).nbytes
    assert heard == sorted(heard) and heard[-1] == (total, total) and len(heard) < 9


def test_resume_without_anything_to_go_on_with_is_a_plain_write(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels(1), resume=True, **IMAGE)
    np.testing.assert_array_equal(arrays(tmp_path / "a.zarr")["0"], pixels(1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    with pytest.raises(ArgumentError, match="only work on a local disk can be gone on with"):
        omexp.create_ome_zarr_from_array({}, pixels(1), resume=True, **IMAGE)


# -------------------------------------------------------------------------------------------------------------- memory
@pytest.mark.parametrize("max_memory", [1 << 20, 2 << 20, 5 << 20, 1 << 30])
@pytest.mark.parametrize("method", ["mean", "gaussian", "mode"])
def test_any_budget_that_is_possible_gives_the_same_store(max_memory: int, method: str, tmp_path: Path) -> None:
    options = IMAGE | {"method": method, "workers": 8}
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels(1), **options)
    try:
        omexp.create_ome_zarr_from_array(tmp_path / "b.zarr", pixels(1), max_memory=max_memory, **options)
    except ArgumentError as error:
        least = int(str(error).partition("at least ")[2].split()[0])
        assert max_memory < least < 4 << 20
        assert {p.name for p in tmp_path.iterdir()} == {"a.zarr"}
        omexp.create_ome_zarr_from_array(tmp_path / "b.zarr", pixels(1), max_memory=least, **options)
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")


@pytest.mark.parametrize(
    "limits", [{"max_memory": 1000}, {"max_memory": 0}, {"max_memory": 1.5}, {"workers": 0}, {"workers": "all"}], ids=str
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_limits_that_cannot_be_are_refused_before_anything_is_on_disk(limits: dict[str, Any], overwrite: bool, tmp_path: Path) -> None:
    if overwrite:
        prepare("replace", tmp_path / "img.zarr")
    before = files(tmp_path)
    with pytest.raises(ArgumentError, match="max_memory|workers"):
        omexp.create_ome_zarr_from_array(tmp_path / "img.zarr", pixels(1), overwrite=overwrite, **IMAGE | limits)
    assert files(tmp_path) == before


def test_the_shape_of_the_jobs_is_that_of_their_pixels() -> None:
    assert pixels(0).shape == SHAPE and Region.whole(SHAPE).size * 2 == pixels(0).nbytes
