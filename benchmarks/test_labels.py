"""Boxes of labelled objects against scipy.ndimage.find_objects, outputs compared before timing.

`python benchmarks/test_labels.py [--json PATH] [--device cuda]` prints the table, best of several runs after one warm-up:
8192 x 8192 pixels with 10,000 discs, as dense uint32 ids and as the same ids scattered up to 2**40 in uint64. find_objects makes a
list as long as the largest id, so scattered ids must be relabelled for it first, with numpy.unique.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import timeit
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from omexp.backend import Backend, from_host, resolve_backend, to_host
from omexp.kernels.labels import label_boxes

Boxes = dict[int, tuple[slice, ...]]
Way = Callable[[np.ndarray], Boxes]


def discs(size: int, per_side: int, radius: int) -> np.ndarray:
    """`per_side` squared discs on a size x size uint32 label, dense ids from 1 in random order."""
    generator = np.random.default_rng(0)
    cell = size // per_side
    disc = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
    labels = np.zeros((size, size), "uint32")
    for number, place in enumerate(generator.permutation(per_side**2)):
        y, x = (cell * index + generator.integers(0, cell - len(disc) + 1) for index in divmod(place, per_side))
        labels[y : y + len(disc), x : x + len(disc)][disc] = number + 1
    return labels


def scattered(labels: np.ndarray, top: int = 2**40) -> np.ndarray:
    """The same objects with distinct ids up to `top`, in uint64."""
    generator = np.random.default_rng(1)
    ids = np.unique(generator.integers(1, top, 2 * labels.max() + 16, dtype="uint64"))
    return np.concatenate([np.zeros(1, "uint64"), generator.permutation(ids)[: labels.max()]])[labels]


def with_omexp(labels: Any) -> Boxes:
    found = label_boxes(labels)
    ids, start, stop = (to_host(part).tolist() for part in (found.ids, found.start, found.stop))
    return {number: tuple(map(slice, a, b)) for number, a, b in zip(ids, start, stop, strict=True)}


def with_find_objects(labels: np.ndarray) -> Boxes:
    return {number: box for number, box in enumerate(ndimage.find_objects(labels), 1) if box is not None}


def with_unique_and_find_objects(labels: np.ndarray) -> Boxes:
    ids, dense = np.unique(labels, return_inverse=True)  # the labels hold background, so ids[0] is 0 and dense ids start at 1
    return {int(ids[number]): box for number, box in with_find_objects(dense.reshape(labels.shape)).items()}


WAYS: dict[str, dict[str, Way]] = {
    "dense uint32": {"omexp": with_omexp, "find_objects": with_find_objects, "unique + find_objects": with_unique_and_find_objects},
    "scattered uint64": {"omexp": with_omexp, "unique + find_objects": with_unique_and_find_objects},
}


def cases(size: int, per_side: int, radius: int) -> dict[str, np.ndarray]:
    labels = discs(size, per_side, radius)
    return {"dense uint32": labels, "scattered uint64": scattered(labels)}


@pytest.mark.parametrize("case", WAYS)
def test_boxes_equal_those_of_find_objects(case: str) -> None:
    labels = cases(256, 8, 12)[case]
    expected = with_unique_and_find_objects(labels)
    assert len(expected) == 64
    for name, way in WAYS[case].items():
        assert way(labels) == expected, name


def peak_mib(run: Callable[[], Any]) -> float:
    """What NumPy and Python allocate at most while it runs."""
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def measure(case: str, labels: np.ndarray, backend: Backend, repeats: int) -> Iterator[dict[str, Any]]:
    """One row per way; omexp works on `backend`, the others on the host."""
    expected = with_unique_and_find_objects(labels)
    for name, way in WAYS[case].items():
        given = from_host(labels, backend) if way is with_omexp else labels
        if way(given) != expected:
            raise AssertionError(f"{name} gives other boxes for {case}")
        run = functools.partial(way, given)
        seconds = min(timeit.repeat(run, number=1, repeat=repeats))
        yield {
            "work": f"boxes of {len(expected)} objects, {case} {labels.shape}",
            "way": name,
            "device": backend.name if way is with_omexp else "cpu",
            "seconds": seconds,
            "gpx_per_s": labels.size / seconds / 1e9,
            "host_peak_mib": peak_mib(run),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--device", default="cpu", help="where omexp works: cpu, cuda or auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    backend = resolve_backend(options.device)
    print(f"{'work':58} {'way':22} {'device':7} {'seconds':>8} {'Gpx/s':>7} {'peak MiB':>9}")
    rows = []
    for case, labels in cases(8192, 100, 30).items():
        for row in measure(case, labels, backend, options.repeats):
            rows.append(row)
            figures = f"{row['seconds']:8.3f} {row['gpx_per_s']:7.3f} {row['host_peak_mib']:9.1f}"
            print(f"{row['work']:58} {row['way']:22} {row['device']:7} {figures}", flush=True)
    if options.json:
        machine = {"python": platform.python_version(), "numpy": np.__version__, "processor": platform.processor() or platform.machine()}
        options.json.write_text(json.dumps({"machine": machine, "unit": "seconds, best of the repeats", "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
