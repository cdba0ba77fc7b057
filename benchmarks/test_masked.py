"""Per-object work: one call at a time, many at once, and writing back, by omexp and by ngio; what they give is compared before anything
is timed.

`python benchmarks/test_masked.py [--objects 1000] [--peer-objects 40] [--repeats 15] [--folder PATH] [--json [PATH]]` prints the table; it
goes to benchmarks/results/masked.json with ``--json``. The image is as Fractal writes it (see `masked_single`). ngio is timed over a part
of the objects, evenly taken, for it decodes and encodes a whole chunk for each of them. Seconds are the least of some runs. One read of
the image and the label is the floor; `iter_rois` and `gather` decode the two at once, so a busy machine takes more from them than from it.
Boxes and label operations are in test_labels.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, too

from benchmarks import masked_single as single  # noqa: E402
from benchmarks.pyramid_report import machine, machine_line  # noqa: E402
from omexp.storage.arrays import StoredArray  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
CROP = (64, 64)
TARGETS = {"single calls": 10, "iter_rois": 50, "gather": 50, "map": 50}


def in_windows(image: Any, labels: list[int], boxes: list[np.ndarray], origins: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Masked boxes, which single calls gave, in windows of `CROP` that begin at the origins."""
    batch = np.zeros((len(labels), *CROP), image.dtype)
    for row, label, box, origin in zip(batch, labels, boxes, origins, strict=True):
        roi = image.objects.box(label, "benchmark").to_pixel(image.pixel_size)
        offsets = [int(roi[axis].start) - begin for axis, begin in zip("yx", origin, strict=True)]
        inside = tuple(slice(max(-a, 0), n - a) for a, n in zip(offsets, CROP, strict=True))
        kept = box.reshape(box.shape[-2:])[inside]
        row[tuple(slice(max(a, 0), max(a, 0) + n) for a, n in zip(offsets, kept.shape, strict=True))] = kept
    return batch


def many(store: Path, objects: int, peer_objects: int, repeats: int) -> dict[str, Any]:
    """Every object by `iter_rois` and by `gather`, beside single calls of ngio and one read of image and label."""
    import ngio

    ours, theirs = single.opened(store, omexp), single.opened(store, ngio)
    labels = ours.labels()
    some = labels[:: max(1, objects // peer_objects)][:peer_objects]
    boxes = single.read_all(theirs, some)
    for (label, pixels), box in zip(ours.iter_rois(some, c=0, order="given"), boxes, strict=True):
        np.testing.assert_array_equal(pixels, box, strict=True, err_msg=f"label {label}")
    batch = ours.gather(some, shape=CROP, c=0)
    np.testing.assert_array_equal(batch.pixels, in_windows(ours, some, boxes, batch.origins), strict=True)
    image, mask = omexp.open_ome_zarr_container(store).get_image(), ours.masking_label

    def read() -> None:
        image.get_array()
        mask.get_array()

    ways: dict[str, Callable[[], Any]] = {
        "one read": read,
        "iter_rois": lambda: [None for _ in ours.iter_rois(c=0)],
        "gather": lambda: ours.gather(shape=CROP, c=0),
    }
    walls: dict[str, list[float]] = {name: [] for name in ways}
    cpus: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):  # in turn, so that all of them meet the same load
        for name, work in ways.items():
            start = time.process_time()
            walls[name].append(single.seconds(work))
            cpus[name].append(time.process_time() - start)
    best, least = ({name: min(found) for name, found in seconds.items()} for seconds in (walls, cpus))
    peer = single.seconds(lambda: single.read_all(theirs, some)) / len(some) * objects
    return {
        "seconds": best | {"ngio": peer},
        "x_ngio": {name: peer / best[name] for name in ("iter_rois", "gather")},
        "cpu_seconds": least,
        "x_one_read_cpu": {name: least[name] / least["one read"] for name in ("iter_rois", "gather")},
        "x_one_read": {name: best[name] / best["one read"] for name in ("iter_rois", "gather")},
        "plan": repr(ours.iter_rois(c=0).plan),
    }


def through_planes(folder: Path, objects: int, planes: int = 10, shape: tuple[int, int] = single.PLANE) -> dict[str, Any]:
    """Every object of some planes, each plane being a chunk, by `iter_rois`, beside one read of image and label."""
    store = single.make_plane(folder, objects, planes, shape)
    ours = single.opened(store, omexp)
    image, mask = omexp.open_ome_zarr_container(store).get_image(), ours.masking_label
    read = single.seconds(lambda: (image.get_array(), mask.get_array()), 3)
    wall = single.seconds(lambda: [None for _ in ours.iter_rois(c=0)], 3)
    return {"planes": planes, "one read": read, "iter_rois": wall, "x_one_read": wall / read, "plan": repr(ours.iter_rois(c=0).plan)}


def written(store: Path, objects: int, peer_objects: int) -> dict[str, Any]:
    """Every object changed by `map`, beside single calls of ngio: compared where both did, and the write units counted."""
    import ngio

    mine, other = (Path(shutil.copytree(store, store.with_name(f"{store.name}.{who}"))) for who in ("omexp", "ngio"))
    theirs = single.opened(other, ngio)
    labels = single.opened(store, omexp).labels()
    some = labels[:: max(1, objects // peer_objects)][:peer_objects]

    def changed(pixels: Any) -> Any:
        return pixels + np.uint16(1)

    patches = [changed(box) for box in single.read_all(theirs, some)]
    peer = single.seconds(lambda: single.write_all(theirs, some, patches)) / len(some) * objects
    image = single.opened(mine, omexp)
    image.map(changed, some, output=image, c=0)
    np.testing.assert_array_equal(image.get_as_numpy(), theirs.get_as_numpy(), strict=True)
    units: Counter[Any] = Counter()
    with _counting(units):
        done = image.map(changed, output=image, c=0)
    wall = single.seconds(lambda: image.map(changed, output=image, c=0), 3)
    for copy in (mine, other):
        shutil.rmtree(copy)
    return {
        "seconds": {"map": wall, "ngio": peer},
        "x_ngio": {"map": peer / wall},
        "write_units": done.units,
        "most_writes_of_a_unit": max(units.values()),
    }


class _counting:
    """Count how often each write unit is stored inside the block."""

    def __init__(self, units: Counter[Any]) -> None:
        self.units = units

    def __enter__(self) -> None:
        self.before = StoredArray._store
        units, store = self.units, self.before

        def counted(array: StoredArray, held: Any, *rest: Any, **more: Any) -> Any:
            units[array.where, array._index_of(held)] += 1
            return store(array, held, *rest, **more)

        StoredArray._store = counted  # type: ignore[method-assign]

    def __exit__(self, *_: Any) -> None:
        StoredArray._store = self.before  # type: ignore[method-assign]


def measured(folder: Path, objects: int, peer_objects: int, repeats: int, shape: tuple[int, int] = single.PLANE) -> dict[str, Any]:
    """All rows, and which targets are reached."""
    found: dict[str, Any] = {"objects": objects, "shape": list(shape), "peer_objects": peer_objects, "crop": list(CROP)}
    found["single calls"] = single.measure(folder / "single.zarr", objects, peer_objects, shape=shape)
    found["many"] = many(folder / "single.zarr", objects, peer_objects, repeats)
    found["written"] = written(folder / "single.zarr", objects, peer_objects)
    return found | {"targets": targets(found)}


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The project's figures, and which are reached."""
    got = {"single calls": found["single calls"]["read_ratio"], **found["many"]["x_ngio"], **found["written"]["x_ngio"]}
    rows = [{"what": f"{name}, x ngio", "got": got[name], "target": f">= {n}", "reached": got[name] >= n} for name, n in TARGETS.items()]
    for name, ratio in found["many"]["x_one_read"].items():
        rows.append({"what": f"{name}, x one read", "got": ratio, "target": "<= 2", "reached": ratio <= 2})
    writes = found["written"]["most_writes_of_a_unit"]
    rows.append({"what": "writes of a unit", "got": writes, "target": "1", "reached": writes == 1})
    return rows


def lines(found: dict[str, Any]) -> str:
    """The table."""
    text = [f"{found['objects']} objects in {found['shape']} pixels, ngio over {found['peer_objects']} of them"]
    for part in ("many", "written"):
        text += [f"  {name:12} {value:9.4f} s" for name, value in found[part]["seconds"].items()]
    text += [f"  {name:12} {value:9.4f} CPU s" for name, value in found["many"]["cpu_seconds"].items()]
    text += [f"  {t['what']:24} {t['got']:9.2f}   {t['target']:6} {'reached' if t['reached'] else 'MISSED'}" for t in found["targets"]]
    return "\n".join(text)


# --------------------------------------------------------------------------------------------------- the small form
@pytest.mark.filterwarnings("ignore")
def test_both_give_the_same_and_each_unit_is_written_once(tmp_path: Path) -> None:
    found = measured(tmp_path, 6, 6, 1, (180, 192))
    reached = {target["what"]: target["reached"] for target in found["targets"]}
    assert reached["writes of a unit"]
    assert found["written"]["write_units"] == 1
    assert "2 chunks decoded, 0 of them again" in found["many"]["plan"]
    assert lines(found).count("\n") == 9 + len(found["targets"])


def test_objects_through_ten_planes_decode_each_of_them_once(tmp_path: Path) -> None:
    assert "20 chunks decoded, 0 of them again" in through_planes(tmp_path / "planes.zarr", 6, 10, (90, 96))["plan"]


def test_the_committed_figures_are_those_of_a_full_run() -> None:
    stored = json.loads((RESULTS / "masked.json").read_text())
    assert (stored["objects"], stored["shape"]) == (1000, list(single.PLANE))
    assert targets(stored) == stored["targets"]
    assert stored["written"]["most_writes_of_a_unit"] == 1
    assert min(stored["many"]["x_ngio"].values()) >= 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--peer-objects", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where stores are written; default: the temporary folder")
    parser.add_argument("--json", type=Path, nargs="?", const=RESULTS / "masked.json")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    about = machine()
    print(machine_line(about), flush=True)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = measured(Path(folder), chosen.objects, chosen.peer_objects, chosen.repeats)
        found["planes"] = through_planes(Path(folder) / "planes.zarr", chosen.objects)
    print(lines(found))
    print("  {planes} planes: iter_rois {iter_rois:.3f} s, one read {one read:.3f} s, {plan}".format(**found["planes"]))
    if chosen.json:
        chosen.json.parent.mkdir(exist_ok=True)
        chosen.json.write_text(json.dumps({"machine": about, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
