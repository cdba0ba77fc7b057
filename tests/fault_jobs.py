"""Work that tests break off. Knows: a small image in many tiles, and what is done to it. Does not know: when it is killed.

Run as a script it reads lines ``JOB TARGET RESUME PAUSE_S STEP`` and forks a process for each, which takes milliseconds where an import
takes a second; it says the process's number, waits for a line, and says the status with which the process ended.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import omexp
from omexp.errors import AlreadyExistsError
from omexp.ngff import to_multiscales, to_ngff_image, to_ngff_zarr
from omexp.storage.units import _Files

SHAPE = (1024, 1000)  # of uint16, 8 tiles of 256 KiB
LITTLE: dict[str, Any] = {"max_memory": 4 << 20, "workers": 2}
IMAGE: dict[str, Any] = {"xy_pixelsize": 0.5, "levels": 4, "chunks": 128, "name": "img"}
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "os.scandir", "os.listdir", "ctypes.dlsym"}
REFUSED = 3  # the exit status of a process that found another one at work


def pixels(seed: int) -> np.ndarray:
    """Pixels of one of two images, no tile of which is alike."""
    return np.random.default_rng(seed).integers(0, 60000, SHAPE, "uint16")


def create(target: Path, resume: bool) -> None:
    omexp.create_ome_zarr_from_array(target, pixels(1), resume=resume, **IMAGE, **LITTLE)


def replace(target: Path, resume: bool) -> None:
    omexp.create_ome_zarr_from_array(target, pixels(1), resume=resume, overwrite=True, method="gaussian", **IMAGE, **LITTLE)


def consolidate(target: Path, resume: bool) -> None:
    omexp.open_ome_zarr_container(target).get_image().consolidate("max", resume=resume, **LITTLE)


def ngff(target: Path, resume: bool) -> None:
    image = to_ngff_image(pixels(1), dims=("y", "x"), name="img")
    to_ngff_zarr(target, to_multiscales(image, [2, 4, 8], chunks=128), overwrite=True, resume=resume, **LITTLE)


JOBS: dict[str, Callable[[Path, bool], None]] = {"create": create, "replace": replace, "consolidate": consolidate, "ngff": ngff}


def prepare(job: str, target: Path) -> None:
    """What is there before a job: nothing, or an image with a label and a file of somebody else's."""
    if job == "create":
        return
    container = omexp.create_ome_zarr_from_array(target, pixels(0), **IMAGE)
    container.derive_label("cells").set_array(np.ones(SHAPE, "uint32"))
    (target / "notes.txt").write_text("mine")


def slow_down(pause_s: float, hold: Path) -> None:
    """Let each write unit take longer, so that there is something to kill, and wait as long as the file `hold` is there."""
    put = _Files.put

    def slow(self: _Files, *args: Any, **keywords: Any) -> None:
        time.sleep(pause_s)
        until = time.monotonic() + 60
        while hold.exists() and time.monotonic() < until:
            time.sleep(0.01)
        put(self, *args, **keywords)

    _Files.put = slow  # type: ignore[method-assign]


def die_at(step: int) -> Iterator[int]:
    """Kill this process before its file operation of that number. A count that goes on with each."""
    count = itertools.count()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return count


def run(job: str, target: str, resume: str, pause_s: str, step: str) -> int:
    """The exit status of a job."""
    hold = Path(target).parent / "hold"
    slow_down(float(pause_s), hold)
    steps = die_at(int(step))
    try:
        JOBS[job](Path(target), resume == "True")
    except AlreadyExistsError as error:
        assert "another process is writing here" in str(error) or "something is there already" in str(error)
        hold.unlink(missing_ok=True)  # the one that is at work goes on
        return REFUSED
    (Path(target).parent / "steps").write_text(str(next(steps)))
    return 0


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = run(*line.split())
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print(child, flush=True)
        sys.stdin.readline()  # until then its number belongs to it, even if it has ended
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
