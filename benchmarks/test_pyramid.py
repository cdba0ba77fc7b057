"""Writing and rebuilding pyramids: omexp beside its peers and beside the bare codec; outputs compared before timing.

`python benchmarks/test_pyramid.py [--rows 1 2 ...] [--size 8192] [--repeats 5] [--json PATH] [--plot PATH]` prints a table with a part for
each row of the project's figures to reach. Each run is a process of its own; seconds are medians; memory is what the process took beyond
its input. A work that has taken longer than `PATIENCE_S` is not repeated. The full size goes to benchmarks/results/pyramid.json and .png.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, too

from benchmarks import pyramid_report as report  # noqa: E402
from benchmarks.pyramid_counts import counted  # noqa: E402
from benchmarks.pyramid_inputs import NoiseSource  # noqa: E402
from benchmarks.pyramid_measure import alone, here, measured  # noqa: E402
from benchmarks.pyramid_peers import compare  # noqa: E402
from benchmarks.pyramid_rows import ROWS, Row, Work  # noqa: E402
from omexp.geometry import Region  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
ALL_ROWS, FULL_SIZE = range(1, 10), 8192
PATIENCE_S = 20.0
WITH_FLOOR = (2, 4, 5)  # 1 has row 3
SMALL = 256


# ------------------------------------------------------------------------------------------------------ the rows
def compared(row: Row, size: int, folder: Path, repeats: int) -> dict[str, Any]:
    """Rows 1, 2, 4, 5, 6: every library does the same work. First small, and compared; then timed, in turn, and compared again."""
    small = row.pixels(SMALL)
    for number, work in enumerate(row.works):
        row.check(work, small, folder / f"small{number}.zarr")
    shape, nbytes = _saved(row, size, folder)
    runs: dict[str, list[dict[str, Any]]] = {work.name: [] for work in row.works}
    for _, work in itertools.product(range(repeats), row.works):
        if sum(run["wall_s"] for run in runs[work.name]) < PATIENCE_S:
            runs[work.name].append(_timed(row, work, folder, len(runs[work.name])))
    return {
        "row": row.number,
        "title": row.title,
        "shape": shape,
        "input_bytes": nbytes,
        "least": row.least,
        "pairs": row.pairs,
        "works": [{"name": name, "runs": len(found), **_medians(found)} for name, found in runs.items()],
        **(_floor(row, folder, 3) if row.number in WITH_FLOOR else {}),
    }


def _saved(row: Row, size: int, folder: Path) -> tuple[tuple[int, ...], int]:
    """The input as a file; its shape and bytes."""
    array = row.pixels(size)
    np.save(folder / "array.npy", array)
    return array.shape, array.nbytes


def _timed(row: Row, work: Work, folder: Path, number: int) -> dict[str, Any]:
    return alone(
        "pyramid_measure:written",
        out=str(folder / f"{row.works.index(work)}.{number}.zarr"),
        call=work.call,
        options=work.options,
        array=str(folder / "array.npy"),
        before=work.before or (),
        compare=None if number else row.comparison(work),
    )


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]} | {"walls_s": [run["wall_s"] for run in runs]}


def _floor(row: Row, folder: Path, repeats: int) -> dict[str, Any]:
    """omexp in turn with the bare codec on its own chunks."""
    ours = row.works[0]
    rounds = alone(
        "pyramid_measure:beside_the_floor",
        out=str(folder / "floor.zarr"),
        call=ours.call,
        options=ours.options,
        array=str(folder / "array.npy"),
        repeats=repeats,
    )["rounds"]
    found: dict[str, Any] = {}
    for floor, key in itertools.product(("floor", "floor_and_files"), ("wall_s", "cpu_s")):
        found[f"{floor}_{key}"] = statistics.median(r[floor][key] for r in rounds)
        found[f"x_{floor}_{key.removesuffix('_s')}"] = statistics.median(r["omexp"][key] / r[floor][key] for r in rounds)
    return found


def floor(size: int, folder: Path, repeats: int) -> dict[str, Any]:
    """Row 3: the work of row 1 beside the bare codec."""
    shape, nbytes = _saved(ROWS[0], size, folder)
    return {
        "row": 3,
        "title": "2-D image, defaults, beside its floor",
        "shape": shape,
        "input_bytes": nbytes,
        **_floor(ROWS[0], folder, repeats + 2),
    }


def sizes(size: int, folder: Path, repeats: int) -> dict[str, Any]:
    """Row 7: square images of (2 size)^2, (4 size)^2 and (8 size)^2: memory and seconds per byte."""
    found = []
    for k, side in enumerate((2 * size, 4 * size, 8 * size)):
        runs: dict[str, list[dict[str, Any]]] = {"create": [], "consolidate": []}
        for number in range(max(1, min(repeats, 3) - k)):
            out = str(folder / f"{side}.{number}.zarr")
            runs["create"].append(alone("pyramid_counts:grown", out=out, size=side))
            runs["consolidate"].append(alone("pyramid_counts:rebuilt", out=out))
        found.append({"bytes": 2 * side**2, "runs": len(runs["create"]), **{name: _medians(of) for name, of in runs.items()}})
    return {"row": 7, "title": "memory and seconds per byte", "sizes": found}


def operations(size: int, folder: Path) -> dict[str, Any]:
    """Row 8: what is read and written, counted, of images of several tiles."""
    cases: dict[str, dict[str, Any]] = {"mean": {}, "mean, shards": {"shard": 1024}, "gaussian": {}}
    common = {"size": size // 2, "chunk": min(512, size // 4)}
    return {
        "row": 8,
        "title": "store operations",
        "cases": {
            name: counted(str(folder / f"{number}.zarr"), method=name.partition(",")[0], **common, **more)
            for number, (name, more) in enumerate(cases.items())
        },
    }


def planning(size: int, folder: Path) -> dict[str, Any]:
    """Row 9: 100,000 chunks of 64 x 64."""
    found = alone("pyramid_counts:planned", out=str(folder / "plan.zarr"), across=min(317, size // 16))
    return {"row": 9, "title": "planning", **found}


# -------------------------------------------------------------------------------------------------- the small form
@pytest.mark.peers
@pytest.mark.parametrize(("row", "work"), [pytest.param(r, w, id=f"{r.title}: {w.name}") for r in ROWS for w in r.works])
def test_every_work_gives_the_pixels_that_its_method_means(row: Row, work: Work, tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    for library in ("ngio", "ngff_zarr", "ome_zarr"):
        pytest.importorskip(library)
    row.check(work, row.pixels(SMALL), tmp_path / "image.zarr")


def test_a_comparison_finds_one_wrong_pixel(tmp_path: Path) -> None:
    row = next(r for r in ROWS if r.method == "gaussian")
    array = row.pixels(SMALL)
    row.check(row.works[0], array, tmp_path / "image.zarr")
    image = omexp.open_ome_zarr_container(tmp_path / "image.zarr").get_image(path="1")
    image.set_array(image.get_array(z=0, y=0, x=slice(0, 1)) + np.uint16(1), z=0, y=0, x=slice(0, 1))
    with pytest.raises(AssertionError, match="level 1 of image.zarr: .* off by more than 0"):
        compare(tmp_path / "image.zarr", array, **row.comparison(row.works[0]))


def test_noise_that_is_made_while_it_is_read_is_the_same_in_every_cut() -> None:
    source = NoiseSource((3000, 2500))
    whole = source.read(Region.whole(source.shape))
    np.testing.assert_array_equal(source.read(Region((1000, 2000), (2100, 2500))), whole[1000:2100, 2000:])
    assert abs(whole.mean() - 200) < 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_memory_beyond_the_input_is_that_of_the_block() -> None:
    found: dict[str, Any] = {}
    held = np.ones(16 << 20, "uint8")
    with measured(found):
        np.ones(64 << 20, "uint8")
    assert held.size < 60 << 20 < found["peak_bytes"] < 96 << 20


def test_a_row_is_measured_in_processes_of_its_own_beside_its_floor(tmp_path: Path) -> None:
    label = next(row for row in ROWS if row.kind == "label")
    ours = replace(label, works=label.works[:1], rivals=((label.works[0].name, (label.works[0].name,)),), method="max", levels=2)
    ours = replace(ours, works=(replace(ours.works[0], options={"axes": "yx", "levels": 2, "method": "max"}),))
    found = compared(ours, SMALL, tmp_path, repeats=1)
    assert found["works"][0]["wall_s"] > 0
    assert found["floor_wall_s"] > 0
    assert [t["got"] for t in report.targets([found])] == [1.0]


@pytest.mark.slow
def test_the_floor_is_below_what_is_measured_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "alone", here)
    found = floor(SMALL, tmp_path, repeats=1)
    assert found["x_floor_cpu"] > 1
    assert report.targets([found])[0]["cpu"] == round(found["x_floor_cpu"], 3)


def test_each_unit_is_read_once_and_written_once(tmp_path: Path) -> None:
    found = operations(512, tmp_path)
    assert [t["got"] for t in report.targets([found])] == [1.0, 1.0, 1.0]
    assert all(t["reached"] for t in report.targets([found]))


def test_memory_and_planning_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "alone", here)  # a process takes a second to start
    found = [sizes(64, tmp_path, 1), planning(SMALL, tmp_path)]
    assert [size["bytes"] for size in found[0]["sizes"]] == [2 * n * n for n in (128, 256, 512)]
    assert found[1]["chunks"] == 256
    assert {t["row"]: t["reached"] for t in report.targets(found)}[9] is False  # so few chunks prove nothing


def test_results_become_a_table_a_verdict_and_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    stored = json.loads((RESULTS / "pyramid.json").read_text())
    text = "\n".join([report.machine_line(stored["machine"]), *map(report.lines, stored["rows"]), report.verdict(stored["targets"])])
    assert "2-D image, defaults" in text
    assert report.targets(stored["rows"]) == stored["targets"]
    report.plot(stored, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


# --------------------------------------------------------------------------------------------------- the full form
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=list(ALL_ROWS))
    parser.add_argument("--size", type=int, default=FULL_SIZE, help="pixels along y and x of the 2-D image")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where stores are written, about 30 GB; default: the temporary folder")
    parser.add_argument("--json", type=Path, help="rows of that size that it holds and that are not measured now stay")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    machine = report.machine()
    measured_now = dict(_rows(options.rows, options.size, options.repeats, options.folder))
    text = options.json or (RESULTS / "pyramid.json" if options.size == FULL_SIZE else None)
    before = json.loads(text.read_text()) if text and text.exists() else {}
    kept = {row["row"]: row for row in before.get("rows", []) if before.get("size") == options.size}
    rows = [row for _, row in sorted((kept | measured_now).items())]
    results = {"machine": machine, "size": options.size, "rows": rows, "targets": report.targets(rows)}
    print(report.verdict(results["targets"]))
    if text:
        text.parent.mkdir(exist_ok=True)
        text.write_text(json.dumps(results, indent=1) + "\n")
        report.plot(results, options.plot or text.with_suffix(".png"))


def _rows(numbers: Sequence[int], size: int, repeats: int, where: Path | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, what was found) of each row, printed as it comes. Stores stay until the end: see `pyramid_measure.written`."""
    others = {
        3: lambda folder: floor(size, folder, repeats),
        7: lambda folder: sizes(size, folder, repeats),
        8: lambda folder: operations(size, folder),
        9: lambda folder: planning(size, folder),
    }
    by_number = {row.number: row for row in ROWS}
    print(report.machine_line(report.machine()), flush=True)
    with tempfile.TemporaryDirectory(dir=where) as name:
        for number in sorted(numbers):
            folder = Path(name) / str(number)
            folder.mkdir()
            load = report.machine()["load_average"]
            found = compared(by_number[number], size, folder, repeats) if number in by_number else others[number](folder)
            print(report.lines(found), flush=True)
            yield number, {**found, "load_average": load}


if __name__ == "__main__":
    main()
