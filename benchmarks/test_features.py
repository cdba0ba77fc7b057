"""Features of objects against scikit-image's regionprops_table, tables compared before timing.

`python benchmarks/test_features.py [--size 4096] [--objects 10000] [--repeats 3] [--json [PATH]]` prints seconds and ratios: 10,000 tilted
ellipses, 4 channels of Poisson noise in uint16. omexp reads label and image from a local store; regionprops_table has them in memory. One
process, in turn; best of the repeats, wall and CPU seconds of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp

RESULTS = Path(__file__).parent / "results" / "features.json"
CHANNELS = 4
SETS = {
    "12 features": [
        "area",
        "bbox",
        "centroid",
        "equivalent_diameter_area",
        "intensity_mean",
        "intensity_min",
        "intensity_max",
        "intensity_std",
        "axis_major_length",
        "eccentricity",
        "solidity",
        "perimeter",
    ],
    "12 without hull and perimeter": [
        "area",
        "bbox",
        "centroid",
        "equivalent_diameter_area",
        "intensity_mean",
        "intensity_min",
        "intensity_max",
        "intensity_std",
        "axis_major_length",
        "axis_minor_length",
        "eccentricity",
        "extent",
    ],
    "median": ["intensity_median"],
}


def ellipses(size: int, per_side: int) -> np.ndarray:
    """`per_side` squared tilted ellipses on a size x size label, ids from 1 in random order."""
    generator = np.random.default_rng(0)
    cell = size // per_side
    y, x = np.mgrid[:cell, :cell] - (cell - 1) / 2
    labels = np.zeros((size, size), "uint32")
    for number, place in enumerate(generator.permutation(per_side**2), 1):
        tilt, long, flat = generator.uniform(0, np.pi), cell * generator.uniform(0.3, 0.48), generator.uniform(0.5, 1)
        u, v = y * np.cos(tilt) + x * np.sin(tilt), x * np.cos(tilt) - y * np.sin(tilt)
        row, column = (cell * index for index in divmod(place, per_side))
        labels[row : row + cell, column : column + cell][u**2 + (v / flat) ** 2 < long**2] = number
    return labels


def stored(folder: Path, labels: np.ndarray, image: np.ndarray) -> tuple[omexp.Label, omexp.Image]:
    """The label, and the image (y, x, c), as a store; levels do not matter."""
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    container = omexp.create_ome_zarr_from_array(folder, planes, axes_names="cyx", xy_pixelsize=0.5, levels=1)
    label = container.derive_label("objects")
    label.set_array(labels)
    return label, container.get_image()


def compare(label: omexp.Label, image: omexp.Image, labels: np.ndarray, pixels: np.ndarray, names: list[str]) -> None:
    """Raise unless both tables have the same columns, equal to 1e-6."""
    from skimage.measure import regionprops_table

    found = omexp.measure(label, image, names).dataframe.reset_index()
    expected = regionprops_table(labels, pixels, ["label", *names])
    assert list(found) == list(expected)
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-6, atol=1e-6, err_msg=name)


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_both_tables_are_equal(names: list[str], tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    labels = ellipses(256, 8)
    pixels = np.random.default_rng(0).poisson(200, (256, 256, 2)).astype("uint16")
    compare(*stored(tmp_path / "image.zarr", labels, pixels), labels, pixels, names)


def test_a_comparison_finds_one_wrong_pixel(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    labels = ellipses(128, 4)
    pixels = np.random.default_rng(0).poisson(200, (128, 128, 1)).astype("uint16")
    label, image = stored(tmp_path / "image.zarr", labels, pixels)
    wrong = pixels.copy()
    wrong[np.nonzero(labels == 3)[0][0], np.nonzero(labels == 3)[1][0]] += 1
    with pytest.raises(AssertionError, match="intensity_mean-0"):
        compare(label, image, labels, wrong, ["intensity_mean"])


def measured(size: int, objects: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    from skimage.measure import regionprops_table

    labels = ellipses(size, round(objects**0.5))
    pixels = np.random.default_rng(0).poisson(200, (size, size, CHANNELS)).astype("uint16")
    label, image = stored(folder / "image.zarr", labels, pixels)
    rows = []
    for title, names in SETS.items():
        compare(label, image, labels, pixels, names)
        ways: dict[str, Callable[[], Any]] = {
            "omexp": lambda names=names: omexp.measure(label, image, names),
            "omexp, 1 worker": lambda names=names: omexp.measure(label, image, names, workers=1),
            "regionprops_table": lambda names=names: regionprops_table(labels, pixels, ["label", *names]),
        }
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, work in ways.items():
                runs[way].append(seconds(work))
        best = {way: tuple(min(column) for column in zip(*found, strict=True)) for way, found in runs.items()}
        wall, cpu = (best["regionprops_table"][k] / best["omexp"][k] for k in (0, 1))
        row = {"features": title, "names": names, "seconds": best, "times_faster": wall, "times_less_cpu": cpu}
        rows.append(row)
        print(f"{title:32}{wall:8.1f} x faster, {cpu:6.1f} x less CPU  ", {way: round(t[0], 3) for way, t in best.items()}, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, nargs="?", const=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(options.size, options.objects, options.repeats, Path(folder))
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load_average": load}
    if options.json:
        results = {"machine": machine, "size": options.size, "objects": options.objects, "channels": CHANNELS, "rows": rows}
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
