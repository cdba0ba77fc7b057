"""Boxes of labelled objects, and labels made of labels, against scipy and scikit-image; outputs compared before timing.

`python benchmarks/test_labels.py [--json PATH] [--device cuda]` prints the tables, best of several runs after one warm-up.

Boxes: 8192 x 8192 pixels with 10,000 discs, as dense uint32 ids and as the same ids scattered up to 2**40 in uint64; omexp gives areas and
centroids, too. find_objects makes a list as long as the largest id, so scattered ids must be relabelled for it first: with numpy.unique,
with scikit-image's relabel_sequential, or with pandas.factorize, a hash table, the fastest that we know.

Operations: the dense label, 4096 x 4096 pixels of it, in memory; omexp works block by block and on all CPUs.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage import measure as sk_measure
from skimage import metrics, morphology, segmentation

import omexp
from omexp.backend import Backend, from_host, resolve_backend, to_host
from omexp.finding import find_boxes
from omexp.storage.sources import source_of
from omexp.storage.writing import default_workers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:skimage.*")  # scikit-image 0.26 on NumPy 2.5

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
    found = find_boxes(source_of(labels), (512, 4096), workers=default_workers())
    ids, start, stop = (to_host(part).tolist() for part in (found.ids, found.start, found.stop))
    return {number: tuple(map(slice, a, b)) for number, a, b in zip(ids, start, stop, strict=True)}


def with_find_objects(labels: np.ndarray) -> Boxes:
    return {number: box for number, box in enumerate(ndimage.find_objects(labels), 1) if box is not None}


def with_unique_and_find_objects(labels: np.ndarray) -> Boxes:
    ids, dense = np.unique(labels, return_inverse=True)  # the labels hold background, so ids[0] is 0 and dense ids start at 1
    return {int(ids[number]): box for number, box in with_find_objects(dense.reshape(labels.shape)).items()}


def with_skimage_and_find_objects(labels: np.ndarray) -> Boxes:
    dense, _, old = segmentation.relabel_sequential(labels)
    return {int(old[number]): box for number, box in with_find_objects(dense.astype("int64")).items()}


def with_factorize_and_find_objects(labels: np.ndarray) -> Boxes:
    dense, ids = pd.factorize(labels.reshape(-1))
    zero = int(np.flatnonzero(ids == 0)[0])  # numbered by first pixel: background takes one, too
    boxes = with_find_objects((dense + 1).reshape(labels.shape))
    return {int(ids[number - 1]): box for number, box in boxes.items() if number - 1 != zero}


RELABELLED: dict[str, Way] = {
    "unique + find_objects": with_unique_and_find_objects,
    "skimage relabel + find_objects": with_skimage_and_find_objects,
    "factorize + find_objects": with_factorize_and_find_objects,
}
WAYS: dict[str, dict[str, Way]] = {
    "dense uint32": {"omexp": with_omexp, "find_objects": with_find_objects, "factorize + find_objects": with_factorize_and_find_objects},
    "scattered uint64": {"omexp": with_omexp, **RELABELLED},
}


QUICK = ("omexp", "find_objects")  # the others take up to half a minute: one run


def pairs_by_contingency(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = metrics.contingency_table(a, b).tocoo()
    rows = np.stack([found.row, found.col, found.data.astype("int64")], axis=1)
    return rows[(rows[:, 0] > 0) & (rows[:, 1] > 0)]


def pairs_by_omexp(a: Any, b: Any) -> np.ndarray:
    found = omexp.overlap_table(a, b)
    return np.stack([to_host(column).astype("int64") for column in (found.a, found.b, found.pixels)], axis=1)


# What is timed: the work of omexp, that of the peer, and what of both must be equal. `a` holds the discs, `b` the same ones moved.
OPERATIONS: dict[str, tuple[str, Callable[[Any, Any], Any], Callable[[Any, Any], Any], Callable[[np.ndarray], Any]]] = {
    "relabel_sequential": (
        "skimage relabel_sequential",
        lambda a, b: omexp.relabel_sequential(a)[0],
        lambda a, b: segmentation.relabel_sequential(a)[0],
        np.asarray,
    ),
    "remove_small_objects": (
        "skimage remove_small_objects",
        lambda a, b: omexp.remove_small_objects(a, 2000),
        lambda a, b: morphology.remove_small_objects(a, max_size=1999),
        np.asarray,
    ),
    "remove_border_objects": (
        "skimage clear_border",
        lambda a, b: omexp.remove_border_objects(a, 10),
        lambda a, b: segmentation.clear_border(a, 10),
        np.asarray,
    ),
    "expand_labels by 5": (
        "skimage expand_labels",
        lambda a, b: omexp.expand_labels(a, 5),
        lambda a, b: segmentation.expand_labels(a, 5),
        lambda labels: labels > 0,  # at equal distances skimage takes one or the other
    ),
    "expand_labels by 20": (
        "skimage expand_labels",
        lambda a, b: omexp.expand_labels(a, 20),
        lambda a, b: segmentation.expand_labels(a, 20),
        lambda labels: labels > 0,
    ),
    "label_components of a mask": (
        "scipy ndimage.label",
        lambda a, b: omexp.label_components(a > 0),
        lambda a, b: ndimage.label(a > 0)[0],
        np.asarray,
    ),
    "label_components of a label": (
        "skimage measure.label",
        lambda a, b: omexp.label_components(a),
        lambda a, b: sk_measure.label(a, background=0, connectivity=1),
        np.asarray,
    ),
    "overlap_table": ("skimage contingency_table", pairs_by_omexp, pairs_by_contingency, np.asarray),
}


def moved(labels: np.ndarray, pixels: int) -> np.ndarray:
    return np.roll(labels, pixels, (0, 1))


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


@pytest.mark.parametrize("work", OPERATIONS)
def test_operations_equal_those_of_the_peer(work: str) -> None:
    labels = discs(256, 8, 12)
    _, ours, peers, seen = OPERATIONS[work]
    np.testing.assert_array_equal(seen(ours(labels, moved(labels, 7))), seen(peers(labels, moved(labels, 7))))


def timed(run: Callable[[], Any], repeats: int) -> tuple[Any, dict[str, float]]:
    """A result, and the best of some runs: seconds, CPU seconds of all threads, and what NumPy and Python allocate at most."""
    seconds, cpu, peak = [], [], 0.0
    for turn in range(repeats):
        if turn == 0:
            tracemalloc.start()
        begin, begin_cpu = time.perf_counter(), time.process_time()
        found = run()
        seconds.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
        if turn == 0:
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
    return found, {"seconds": min(seconds), "cpu_seconds": min(cpu), "host_peak_mib": peak}


def measure(case: str, labels: np.ndarray, backend: Backend, repeats: int) -> Iterator[dict[str, Any]]:
    """One row per way; omexp works on `backend`, the others on the host."""
    expected = with_factorize_and_find_objects(labels)
    for name, way in WAYS[case].items():
        given = from_host(labels, backend) if way is with_omexp else labels
        found, figures = timed(functools.partial(way, given), repeats if name in QUICK else 1)
        if found != expected:
            raise AssertionError(f"{name} gives other boxes for {case}")
        yield {
            "work": f"boxes of {len(expected)} objects, {case} {labels.shape}",
            "way": name,
            "device": backend.name if way is with_omexp else "cpu",
            **figures,
        }


def measure_operations(labels: np.ndarray, backend: Backend, repeats: int) -> Iterator[dict[str, Any]]:
    """Two rows per operation: omexp on `backend`, the peer on the host."""
    other = moved(labels, 7)
    for work, (peer, ours, theirs, seen) in OPERATIONS.items():
        given = from_host(labels, backend), from_host(other, backend)
        runs = {"omexp": functools.partial(ours, *given), peer: functools.partial(theirs, labels, other)}
        done = {name: timed(run, repeats) for name, run in runs.items()}
        found, expected = (result if isinstance(result, np.ndarray) else to_host(result) for result, _ in done.values())
        np.testing.assert_array_equal(seen(found), seen(expected), err_msg=work)
        for name, (_, figures) in done.items():
            yield {"work": f"{work}, {labels.shape}", "way": name, "device": backend.name if name == "omexp" else "cpu", **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--device", default="cpu", help="where omexp works: cpu, cuda or auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    backend = resolve_backend(options.device)
    print(f"{'work':58} {'way':30} {'device':7} {'s':>8} {'x omexp':>8} {'CPU s':>8} {'x omexp':>8} {'peak MiB':>9}")
    rows: list[dict[str, Any]] = []
    tables = [measure(case, labels, backend, options.repeats) for case, labels in cases(8192, 100, 30).items()]
    ours: dict[str, Any] = {}
    for row in itertools.chain(*tables, measure_operations(discs(4096, 50, 30), backend, options.repeats)):
        ours = row if row["way"] == "omexp" else ours
        rows.append(row | {f"times_omexp_{what}": row[what] / ours[what] for what in ("seconds", "cpu_seconds")})
        times = " ".join(f"{row[what]:8.3f} {row[what] / ours[what]:8.1f}" for what in ("seconds", "cpu_seconds"))
        print(f"{row['work']:58} {row['way']:30} {row['device']:7} {times} {row['host_peak_mib']:9.1f}", flush=True)
    if options.json:
        machine = {"python": platform.python_version(), "numpy": np.__version__, "processor": platform.processor() or platform.machine()}
        options.json.write_text(
            json.dumps({"machine": machine, "unit": "seconds, best of the repeats; load " + str(os.getloadavg()), "rows": rows}, indent=2)
        )


if __name__ == "__main__":
    main()
