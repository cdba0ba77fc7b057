"""A plate of 384 wells x 4 fields: open it, list it, one table over all of it, make one; omexp beside ngio, outputs compared before timing.

`python benchmarks/test_plate.py [--wells 384] [--fields 4] [--objects 100] [--backend anndata] [--repeats 3] [--json PATH]` prints a table
with seconds and CPU seconds (best of the repeats), ratios and the number of files that were opened for it. ngio runs with
`max_workers=None` (one at a time) and "auto" (a pool); the better one counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.description import describe

LEAST = 5.0
ROWS = "ABCDEFGHIJKLMNOP"
_opened = {"folder": "", "count": 0}
_guard = threading.Lock()
_listening: list[bool] = []


def make_plate(folder: Path, wells: int, fields: int, objects: int, backend: str) -> list[str]:
    """A plate whose fields are copies of one small image with a table of features. Returns the paths of the fields."""
    columns = 24 if wells > 96 else 12 if wells > 6 else 3
    names = [(ROWS[i // columns], i % columns + 1) for i in range(wells)]
    images = [omexp.ImageInWellPath(row, column, str(field), 0, "run") for row, column in names for field in range(fields)]
    plate = omexp.create_empty_plate(folder, "benchmark", images)
    first = images[0]
    store = plate.get_image_store(first.row, first.column, first.path)
    image = omexp.create_ome_zarr_from_array(store, np.ones((2, 32, 32), "uint8"), axes_names="cyx", xy_pixelsize=1, levels=2)
    draw = np.random.default_rng(0)
    values = {f"mean_{c}": draw.normal(100, 10, objects).astype("float32") for c in range(6)}
    image.add_table(
        "features", omexp.FeatureTable({"label": np.arange(1, objects + 1), **values}, reference_label="nuclei"), backend=backend
    )
    for other in images[1:]:
        shutil.copytree(folder / first.well_path / first.path, folder / other.well_path / other.path)
    return [f"{i.well_path}/{i.path}" for i in images]


# ----------------------------------------------------------------------------------------------------------- works
def _of_ngio(folder: Path) -> Any:
    import ngio

    return ngio.open_ome_zarr_plate(folder, mode="r")


def _grown(make: Callable[[Path], Any], folder: Path, wells: int, fields: int) -> Any:
    """A plate that is made image by image, safe against others who do the same."""
    plate = make(folder)
    for i in range(wells):
        for field in range(fields):
            plate.atomic_add_image(ROWS[i // 24], i % 24 + 1, str(field), 0, "run")
    return sorted(plate.images_paths(max_workers=1))


def _new_of_ngio(folder: Path) -> Any:
    import ngio

    return ngio.create_empty_plate(folder, "grown", ngff_version="0.5", overwrite=True)


def works(folder: Path, wells: int, fields: int) -> dict[str, tuple[Callable[[], Any], dict[str, Callable[[], Any]]]]:
    """Name -> omexp's way, and ngio's ways by name. Equal values come out of all of them."""
    pools = {"ngio": None, "ngio, pool": "auto"}
    spare = folder.with_name("grown.zarr")

    def ngios(call: Callable[[Any, Any], Any]) -> dict[str, Callable[[], Any]]:
        return {name: lambda pool=pool: call(_of_ngio(folder), pool) for name, pool in pools.items()}  # type: ignore[misc]

    return {
        "open": (
            lambda: omexp.open_ome_zarr_plate(folder, "r").rows,
            {"ngio": lambda: _of_ngio(folder).rows},
        ),
        "list the images": (
            lambda: sorted(omexp.open_ome_zarr_plate(folder, "r").images_paths()),
            ngios(lambda plate, pool: sorted(plate.images_paths(max_workers=pool))),
        ),
        "open all images": (
            lambda: {k: v.levels for k, v in sorted(omexp.open_ome_zarr_plate(folder, "r").get_images().items())},
            ngios(lambda plate, pool: {k: v.levels for k, v in sorted(plate.get_images(max_workers=pool).items())}),
        ),
        "list the tables": (
            lambda: sorted(omexp.open_ome_zarr_plate(folder, "r").list_image_tables()),
            ngios(lambda plate, pool: sorted(plate.list_image_tables(max_workers=pool))),
        ),
        "one table over all": (
            lambda: _shown(omexp.open_ome_zarr_plate(folder, "r").concatenate_image_tables("features")),
            ngios(lambda plate, pool: _shown(plate.concatenate_image_tables("features", max_workers=pool))),
        ),
        "make a plate image by image": (
            lambda: _grown(lambda at: omexp.create_empty_plate(at, "grown", overwrite=True), spare, max(1, wells // 4), 1),
            {"ngio": lambda: _grown(_new_of_ngio, spare, max(1, wells // 4), 1)},
        ),
    }


def _shown(table: Any) -> tuple[int, dict[str, float]]:
    """Rows, and the sum of each column of numbers: tables of both libraries in one form."""
    frame = table.dataframe.reset_index()
    return len(frame), {name: round(float(frame[name].sum()), 2) for name in sorted(frame.columns) if frame[name].dtype.kind == "f"}


# --------------------------------------------------------------------------------------------------------- measuring
def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened["folder"] and str(arguments[0]).startswith(str(_opened["folder"])) and os.path.isfile(arguments[0]):
        with _guard:
            _opened["count"] += 1  # type: ignore[operator]


@contextmanager
def counted(folder: Path) -> Iterator[Callable[[], int]]:
    """How many files below a folder are opened in the block."""
    if not _listening:
        sys.addaudithook(_hear)
        _listening.append(True)
    _opened.update(folder=str(folder), count=0)
    try:
        yield lambda: int(_opened["count"])
    finally:
        _opened["folder"] = ""


def _timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """(value, seconds, CPU seconds of all threads)."""
    start, cpu = time.perf_counter(), time.process_time()
    value = call()
    return value, time.perf_counter() - start, time.process_time() - cpu


def run(folder: Path, wells: int, fields: int, repeats: int, patience_s: float = 60.0) -> list[dict[str, Any]]:
    """One record per work: values compared, then the best of the repeats, each way in its turn, and the files that were opened."""
    records = []
    for name, (ours, theirs) in works(folder, wells, fields).items():
        ways: dict[str, Callable[[], Any]] = {"omexp": ours, **theirs}
        value = None
        found: dict[str, dict[str, Any]] = {way: {"seconds": [], "cpu": []} for way in ways}
        for round_ in range(repeats):
            for way, call in ways.items():
                if sum(found[way]["seconds"]) > patience_s:
                    continue
                with counted(folder) as files:
                    got, seconds, cpu = _timed(call)
                    found[way]["files"] = files()
                found[way]["seconds"].append(seconds)
                found[way]["cpu"].append(cpu)
                value = got if value is None else value
                assert got == value, f"{name}: {way} gives something else in round {round_}"
        best = {way: {"seconds": min(f["seconds"]), "cpu": min(f["cpu"]), "files": f["files"]} for way, f in found.items()}
        mine = best.pop("omexp")
        ratios = {f"{key}_ratio": min(one[key] for one in best.values()) / mine[key] for key in ("seconds", "cpu")}
        records.append({"work": name, "omexp": mine, "peers": best, **ratios})
    return records


def show(records: list[dict[str, Any]]) -> None:
    head = f"{'work':30} {'omexp s':>8} {'CPU s':>7} {'files':>6} {'ngio s':>8} {'pool s':>8} {'CPU s':>7} {'files':>6}"
    print(f"{head} {'ngio/omexp':>11} {'CPU':>6}")
    for r in records:
        mine, serial, pool = r["omexp"], r["peers"]["ngio"], r["peers"].get("ngio, pool")
        print(
            f"{r['work']:30} {mine['seconds']:8.3f} {mine['cpu']:7.3f} {mine['files']:6} {serial['seconds']:8.3f} "
            f"{pool['seconds'] if pool else float('nan'):8.3f} {serial['cpu']:7.3f} {serial['files']:6} "
            f"{r['seconds_ratio']:10.1f}x {r['cpu_ratio']:5.1f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wells", type=int, default=384)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--backend", default="anndata")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # ngio announces its next defaults
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "plate.zarr"
        paths = make_plate(folder, given.wells, given.fields, given.objects, given.backend)
        assert _of_ngio(folder).rows and _shown(
            omexp.open_ome_zarr_container(folder / paths[0]).get_table("features")
        )  # libraries are loaded
        records = run(folder, given.wells, given.fields, given.repeats)
        info_s = min(_timed(lambda: describe(folder))[1] for _ in range(3))
    load = os.getloadavg()[0]
    print(f"{given.wells} wells x {given.fields} fields, {given.objects} rows per table, {given.backend}; load {load:.1f}")
    show(records)
    print(f"omexp info: {info_s:.3f} s")
    if given.json:
        about = {"python": platform.python_version(), "cpus": os.cpu_count(), "load": load, **{k: str(v) for k, v in vars(given).items()}}
        given.json.write_text(json.dumps({"about": about, "info_s": info_s, "works": records}, indent=1) + "\n")


# ----------------------------------------------------------------------------------------------------- a small form
@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_ngio_and_omexp_say_the_same_of_a_plate_and_omexp_opens_each_document_once(tmp_path: Path) -> None:
    pytest.importorskip("ngio")
    folder = tmp_path / "plate.zarr"
    paths = make_plate(folder, 3, 2, 5, "json")
    assert len(paths) == 6
    files = {}
    for name, (ours, theirs) in works(folder, 4, 2).items():
        with counted(folder) as opened:
            value, files[name] = ours(), opened()
        assert value and all(call() == value for call in theirs.values()), name
    assert files == {
        "open": 2,  # to open it, for its rows
        "list the images": 2 + 3,  # and one per well
        "open all images": 2 + 3 + 6 + 6,  # one per image, and again for the number of levels
        "list the tables": 2 + 3 + 6 + 6,  # of each image the list of tables
        "one table over all": 2 + 3 + 6 + 3 * 6,  # the table, and the document that holds its content
        "make a plate image by image": 0,
    }


if __name__ == "__main__":
    main()
