"""Tables: written, read and joined, beside ngio. Run as a script for the full form; as tests only the results are compared.

python benchmarks/test_tables.py [--rows 10000] [--tables 1536] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import omexp
from omexp.containers.tables.concatenation import concatenate

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, too

from benchmarks import pyramid_report as report  # noqa: E402

BACKENDS = ("anndata_v1", "parquet", "csv", "json")
KINDS = ("features", "regions")
RESULTS = ROOT / "benchmarks" / "results"
BOX = ("z", "y", "x")


def features(rows: int) -> pd.DataFrame:
    """Eight measurements, an id, a count, a truth and a name per object."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"f{i}": random.random(rows) for i in range(8)}
    columns |= {"count": np.arange(rows), "edge": np.arange(rows) % 3 == 0, "kind": [f"class {i % 5}" for i in range(rows)]}
    return pd.DataFrame(columns, index=pd.Index(np.arange(1, rows + 1), name="label"))


def boxes(rows: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(1)
    places, sizes = random.integers(0, 1000, (rows, 3)) / 2.0, random.integers(1, 40, (rows, 3)) / 2.0
    return [
        {"name": f"roi {i}", "label": i + 1, "slices": dict(zip(BOX, zip(p, s, strict=True), strict=True))}
        for i, (p, s) in enumerate(zip(places.tolist(), sizes.tolist(), strict=True))
    ]


def ours(kind: str, rows: int) -> Any:
    if kind == "features":
        return omexp.FeatureTable(features(rows), "nuclei")
    return omexp.RoiTable([omexp.Roi.from_values(**box) for box in boxes(rows)])


def theirs(kind: str, rows: int) -> Any:
    import ngio

    if kind == "features":
        return ngio.tables.FeatureTable(features(rows), reference_label="nuclei")
    return ngio.tables.RoiTable([ngio.Roi.from_values(**box, space="world") for box in boxes(rows)])


def opened(place: Path, *, by_us: bool) -> Any:
    if by_us:
        return omexp.open_ome_zarr_container(place)
    import ngio

    return ngio.open_ome_zarr_container(place)


def new_image(place: Path) -> Path:
    omexp.create_empty_ome_zarr(place, (64, 64), xy_pixelsize=0.5, levels=1)
    return place


def read(container: Any, name: str) -> Any:
    """The columns of features, the regions of regions: what each is read for."""
    table = container.get_table(name)
    return table.rois() if hasattr(table, "rois") else table.dataframe


def same(kind: str, one: Any, other: Any) -> None:
    """Raise where two readers do not find the same."""
    if kind == "features":
        first, second = (table[list(features(1))].astype({"kind": object}) for table in (one, other))  # ngio makes categories of text
        assert_frame_equal(first, second, check_dtype=False, check_column_type=False)
        return
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.get_name(), a.label) == (b.get_name(), b.label)
        assert all((a[axis].start, a[axis].length) == (b[axis].start, b[axis].length) for axis in BOX)


def compared(kind: str, backend: str, rows: int, folder: Path) -> None:
    """Each reads what each wrote."""
    place = new_image(folder / "image.zarr")
    opened(place, by_us=True).add_table("ours", ours(kind, rows), backend=backend)
    opened(place, by_us=False).add_table("theirs", theirs(kind, rows), backend=backend)
    first = read(opened(place, by_us=True), "ours")
    for name in ("ours", "theirs"):
        for by_us in (True, False):
            same(kind, first, read(opened(place, by_us=by_us), name))


def plate(folder: Path, tables: int, rows: int, backend: str) -> dict[str, Path]:
    """Images with one table each: "row/column/field" -> place."""
    one = new_image(folder / "one.zarr")
    opened(one, by_us=True).add_table("features", ours("features", rows), backend=backend)
    found = {f"{'ABCDEFGHIJKLMNOP'[i // 96]}/{i // 4 % 24 + 1:02}/{i % 4}": folder / f"{i}.zarr" for i in range(tables)}
    for place in found.values():
        shutil.copytree(one, place)
    return found


def joined_by_us(places: dict[str, Path]) -> pd.DataFrame:
    images = {key: opened(place, by_us=True) for key, place in places.items()}
    return concatenate(images, "features", index_key="index").dataframe


def joined_by_ngio(places: dict[str, Path]) -> pd.DataFrame:
    from ngio.images import concatenate_image_tables

    images = [opened(place, by_us=False) for place in places.values()]
    extras = [dict(zip(("row", "column", "path_in_well"), key.split("/"), strict=True)) for key in places]
    return concatenate_image_tables(images, extras, "features", index_key="index", max_workers=1).dataframe


# -------------------------------------------------------------------------------------------------- the small form
@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Any:
    """ngio's warnings off, and anndata's settings, which it changes, put back."""
    pytest.importorskip("ngio")
    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata 0.13, too, which announces the end of these settings
        before = anndata.settings.zarr_write_format, anndata.settings.auto_shard_zarr_v3
        yield
        anndata.settings.auto_shard_zarr_v3 = False
        anndata.settings.zarr_write_format = before[0]
        anndata.settings.auto_shard_zarr_v3 = before[1]


@pytest.mark.peers
@pytest.mark.parametrize(("kind", "backend"), [*[("features", backend) for backend in BACKENDS], ("regions", "anndata_v1")])
def test_each_reads_what_each_wrote(kind: str, backend: str, tmp_path: Path) -> None:
    compared(kind, backend, 7, tmp_path)


@pytest.mark.peers
@pytest.mark.parametrize("backend", ["anndata_v1", "csv"])  # those that are timed
def test_one_table_of_many_is_the_same(backend: str, tmp_path: Path) -> None:
    places = plate(tmp_path, 5, 3, backend)
    one, other = joined_by_us(places), joined_by_ngio(places)
    assert list(one) == list(other)
    assert_frame_equal(one, other, check_dtype=False, check_column_type=False, check_index_type=False)


def test_a_comparison_finds_one_wrong_value() -> None:
    wrong = features(3)
    wrong.loc[2, "f3"] += 1e-3
    with pytest.raises(AssertionError):
        same("features", features(3), wrong)


# --------------------------------------------------------------------------------------------------- the full form
def fastest(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds and seconds of the processor: on a busy machine only the second says how long it takes."""
    found = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(w for w, _ in found), min(p for _, p in found)


def measured(kind: str, backend: str, rows: int, repeats: int, folder: Path) -> dict[str, Any]:
    """(Seconds, of the processor) to write a table over an old one, and to read it, of omexp and ngio in turn."""
    place, found = new_image(folder / "image.zarr"), {}
    for name, by_us, table in (("omexp", True, ours(kind, rows)), ("ngio", False, theirs(kind, rows))):
        container = opened(place, by_us=by_us)
        container.add_table(name, table, backend=backend)
        found[name] = {
            "write_s": fastest(lambda c=container, t=table, n=name: c.add_table(n, t, backend=backend, overwrite=True), repeats),
            "read_s": fastest(lambda c=by_us, n=name: read(opened(place, by_us=c), n), repeats),
        }
    return {"work": f"{kind}, {backend}", "rows": rows, **found}


def measured_plate(tables: int, rows: int, backend: str, repeats: int, folder: Path) -> dict[str, Any]:
    places = plate(folder, tables, rows, backend)
    both = {"omexp": joined_by_us, "ngio": joined_by_ngio}
    found = {name: {"read_s": fastest(lambda j=join: j(places), repeats)} for name, join in both.items()}
    return {"work": f"{tables} tables, {backend}: open and join", "rows": rows, **found}


def line(row: dict[str, Any]) -> str:
    parts = [f"{row['work']:44} {row['rows']:6}"]
    for what in ("write_s", "read_s"):
        mine, other = row["omexp"].get(what), row["ngio"].get(what)
        if mine:
            parts.append(f"{what[:-2]:5} {mine[0]:8.4f} {other[0]:8.4f} {other[0] / mine[0]:6.1f} x, CPU {other[1] / mine[1]:6.1f} x")
    return "  ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--tables", type=int, default=1536)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=RESULTS / "tables.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("ngio:ngio").setLevel(logging.ERROR)
    machine, rows = report.machine(), []
    print(report.machine_line(machine))
    print(f"{'':52} {'':5} {'omexp':>8} {'ngio':>8}  times faster, and of the processor's time", flush=True)
    works: list[Callable[[Path], dict[str, Any]]] = [
        lambda folder, k=kind, b=backend: measured(k, b, options.rows, options.repeats, folder) for kind in KINDS for backend in BACKENDS
    ]
    works += [lambda folder, b=backend: measured_plate(options.tables, 100, b, 1, folder) for backend in ("anndata_v1", "csv")]
    with tempfile.TemporaryDirectory() as name:
        for number, work in enumerate(works):
            folder = Path(name) / str(number)
            folder.mkdir()
            rows.append({**work(folder), "load_average": report.machine()["load_average"]})
            print(line(rows[-1]), flush=True)
            shutil.rmtree(folder)
    options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
