"""An array in memory to a pyramid of 5 levels on disk: omexp and its peers, each with its defaults; outputs compared before timing.

`python benchmarks/test_pyramid.py [--size 4096] [--repeats 3] [--json PATH]` prints seconds (best of several runs after one warm-up), GB/s
of input, and how far each is from the floor: encoding the same chunks with the bare codec on all cores, without a disk.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import omexp
from omexp.geometry import blocks
from omexp.kernels.windows import downsample
from omexp.storage.layout import default_chunks
from omexp.storage.writing import default_workers

FACTORS, LEVELS, PIXEL_SIZE = (1, 2, 2), 5, 0.65


def omexp_default(array: np.ndarray, path: Path) -> None:
    omexp.create_ome_zarr_from_array(path, array, xy_pixelsize=PIXEL_SIZE, axes_names="cyx", levels=LEVELS, overwrite=True)


def omexp_sharded(array: np.ndarray, path: Path) -> None:
    shards = tuple(4 * c if a != "c" else c for a, c in zip("cyx", default_chunks(array.shape, "cyx", array.itemsize), strict=True))
    options: dict[str, Any] = {"shards": shards, "axes_names": "cyx", "levels": LEVELS, "xy_pixelsize": PIXEL_SIZE}
    omexp.create_ome_zarr_from_array(path, array, overwrite=True, **options)


def ngio_default(array: np.ndarray, path: Path) -> None:
    ngio = pytest.importorskip("ngio")
    ngio.create_ome_zarr_from_array(str(path), array, pixelsize=PIXEL_SIZE, levels=LEVELS, axes_names=list("cyx"), overwrite=True)


def ngff_zarr_by(method: str) -> Callable[[np.ndarray, Path], None]:
    def run(array: np.ndarray, path: Path) -> None:
        ngff_zarr = pytest.importorskip("ngff_zarr")
        image = ngff_zarr.to_ngff_image(array, dims=("c", "y", "x"), scale={"c": 1.0, "y": PIXEL_SIZE, "x": PIXEL_SIZE})
        factors = [2**k for k in range(1, LEVELS)]
        ngff_zarr.to_ngff_zarr(
            str(path), ngff_zarr.to_multiscales(image, scale_factors=factors, method=ngff_zarr.Methods[method]), version="0.5"
        )

    return run


def ome_zarr_py(array: np.ndarray, path: Path) -> None:
    writer = pytest.importorskip("ome_zarr.writer")
    writer.write_image(array, str(path), axes="cyx")


@dataclass(frozen=True)
class Writer:
    """One library; `within` is how far its level 1 may be from the exact mean (None: it computes something else)."""

    run: Callable[[np.ndarray, Path], None]
    within: int | None

    def __call__(self, array: np.ndarray, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peers' own
            self.run(array, path)


WRITERS = {
    "omexp": Writer(omexp_default, 0),
    "omexp, shards": Writer(omexp_sharded, 0),
    "ngio": Writer(ngio_default, 1),
    "ngff-zarr DASK_BIN_SHRINK": Writer(ngff_zarr_by("DASK_BIN_SHRINK"), 1),
    "ngff-zarr ITKWASM_BIN_SHRINK": Writer(ngff_zarr_by("ITKWASM_BIN_SHRINK"), 1),
    "ome-zarr-py": Writer(ome_zarr_py, None),
}


def pixels_of(size: int) -> np.ndarray:
    """Two channels of Poisson noise, as a camera gives: little to compress."""
    return np.random.default_rng(0).poisson(200, (2, size, size)).astype("uint16")


def levels_of(path: Path) -> list[zarr.Array[Any]]:
    """The arrays that the metadata names, finest first."""
    group = zarr.open_group(str(path), mode="r", use_consolidated=False)
    attributes: Any = group.attrs.asdict()
    datasets = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
    return [zarr.open_array(str(path / d["path"]), mode="r") for d in datasets]


def check(name: str, array: np.ndarray, path: Path) -> None:
    """Level 0 is the array; level 1 its mean, as far as the library computes one; every level is there."""
    levels = levels_of(path)
    assert [tuple(level.shape) for level in levels] == [(2, *(-(-n // 2**k) for n in array.shape[1:])) for k in range(LEVELS)]
    np.testing.assert_array_equal(levels[0][:], array)
    within = WRITERS[name].within
    if within is not None:
        assert np.abs(levels[1][:].astype(int) - mean_of(array).astype(int)).max() <= within


def mean_of(array: np.ndarray) -> np.ndarray:
    tensorstore = pytest.importorskip("tensorstore")
    return tensorstore.downsample(tensorstore.array(array), FACTORS, "mean").read().result()


@pytest.mark.peers
@pytest.mark.parametrize("name", WRITERS)
def test_all_peers_store_the_same_pixels(name: str, tmp_path: Path) -> None:
    array = pixels_of(128)
    WRITERS[name](array, tmp_path / "img.zarr")
    check(name, array, tmp_path / "img.zarr")


# ------------------------------------------------------------------------------------------------------- full form
def timed(run: Callable[[], Any], repeats: int, before: Callable[[], Any] = lambda: None) -> tuple[float, float]:
    """(seconds, CPU seconds of all threads), each of the best run after one warm-up; CPU time says more on a busy machine."""
    wall, cpu = [], []
    for _ in range(repeats + 1):
        before()
        start, start_cpu = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return min(wall[1:]), min(cpu[1:])


def floor_of(array: np.ndarray, repeats: int) -> tuple[float, float]:
    """(seconds, CPU seconds) to encode omexp's chunks of all levels with its default codec, on all cores; the levels are there already."""
    levels = [array]
    for _ in range(LEVELS - 1):
        levels.append(downsample(levels[-1], FACTORS))
    codec = numcodecs.Blosc("lz4", 5, numcodecs.Blosc.BITSHUFFLE)
    numcodecs.blosc.set_nthreads(1)
    chunks = [level[b.slices] for level in levels for b in blocks(level.shape, default_chunks(level.shape, "cyx", 2))]
    with ThreadPoolExecutor(default_workers()) as pool:
        return timed(lambda: list(pool.map(lambda chunk: codec.encode(np.ascontiguousarray(chunk)), chunks)), repeats)


def bytes_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def measure(name: str, array: np.ndarray, floor_s: float, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "img.zarr"
        wall, cpu = timed(lambda: WRITERS[name](array, path), repeats, before=lambda: shutil.rmtree(path, ignore_errors=True))
        check(name, array, path)
        return {
            "work": name,
            "seconds": wall,
            "cpu_s": cpu,
            "GB/s": array.nbytes / wall / 1e9,
            "x floor": wall / floor_s,
            "bytes": bytes_of(path),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="pixels along y and x")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(WRITERS), help="names of rows")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    options = parser.parse_args()
    array = pixels_of(options.size)
    floor_s, floor_cpu_s = floor_of(array, options.repeats)
    print(f"{array.shape} uint16, {array.nbytes >> 20} MiB, {default_workers()} threads; floor {floor_s:.3f} s, {floor_cpu_s:.3f} CPU s")
    print(f"{'work':30} {'seconds':>8} {'CPU s':>7} {'GB/s':>6} {'x floor':>8} {'/ omexp':>8} {'MB on disk':>11}")
    rows: list[dict[str, Any]] = []
    for name in options.only:
        rows.append(row := measure(name, array, floor_s, options.repeats))
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
        speed = f"{row['seconds']:8.3f} {row['cpu_s']:7.3f} {row['GB/s']:6.2f} {row['x floor']:8.2f}"
        print(f"{name:30} {speed} {row['ratio']:8.2f} {row['bytes'] / 1e6:11.1f}", flush=True)
    if options.json:
        packages = ("numpy", "zarr", "zarrs", "ngio", "ngff-zarr", "ome-zarr", "tensorstore")
        machine = {"python": platform.python_version(), "threads": default_workers()} | {p: version(p) for p in packages}
        options.json.write_text(
            json.dumps({"machine": machine, "shape": array.shape, "floor_s": floor_s, "floor_cpu_s": floor_cpu_s, "rows": rows}, indent=2)
        )


if __name__ == "__main__":
    main()
