"""Processes that write to one store at once. Knows: what each adds, at which file operation one dies. Does not know: what is expected.

Run as a script it reads lines of JSON, lists of ``[WORK, TARGET, NAME, STEP]``, forks a process for each, lets all of them begin at
once, and says with which statuses they ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import omexp
from omexp.errors import AlreadyExistsError
from tests.fault_jobs import REFUSED, die_at

ROWS = 50


def table(target: Path, name: str) -> None:
    omexp.open_ome_zarr_container(target).add_table(name, {"value": [name] * ROWS}, backend="csv")


def replaced_table(target: Path, name: str) -> None:
    backend = "csv" if name == "a" else "json"
    omexp.open_ome_zarr_container(target).add_table("shared", {"value": [name] * ROWS}, backend=backend, overwrite=True)


def taken_away_table(target: Path, name: str) -> None:
    omexp.open_ome_zarr_container(target).delete_table("shared", missing_ok=True)


def label(target: Path, name: str) -> None:
    omexp.open_ome_zarr_container(target).derive_label(name).set_array(np.full((32, 32), len(name), "uint32"))


def replaced_label(target: Path, name: str) -> None:
    omexp.open_ome_zarr_container(target).derive_label("shared", overwrite=True)


def image(target: Path, name: str) -> None:
    """A field of a well that may not be there yet; `name` is such as "A/01/0"."""
    row, column, path = name.split("/")
    plate = omexp.open_ome_zarr_plate(target)
    plate.add_image(row, column, path)
    store = plate.get_image_store(row, column, path)
    omexp.create_ome_zarr_from_array(store, np.ones((8, 8), "uint8"), xy_pixelsize=1.0, levels=1, ngff_version=plate.version)


WORKS: dict[str, Callable[[Path, str], None]] = {
    work.__name__: work for work in (table, replaced_table, taken_away_table, label, replaced_label, image)
}


def run(work: str, target: str, name: str, step: int, gate: int) -> int:
    """The exit status of one process, which begins when the gate opens."""
    os.read(gate, 1)
    die_at(step)
    try:
        WORKS[work](Path(target), name)
    except AlreadyExistsError as error:
        assert "another process is writing here" in str(error)
        return REFUSED
    return 0


def fork(job: list[Any], gate: tuple[int, int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    os.close(gate[1])
    try:
        status = run(*job, gate=gate[0])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main() -> None:
    for line in sys.stdin:
        gate = os.pipe()
        children = [fork(job, gate) for job in json.loads(line)]
        for end in (gate[1], gate[0]):  # the gate opens: a read of a pipe without writers ends
            os.close(end)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)


if __name__ == "__main__":
    main()
