"""Objects read and written one call at a time, by omexp and by ngio; what they give is compared before anything is timed.

`python benchmarks/masked_single.py [--objects 1000] [--planes 1] [--folder /tmp] [--json PATH]` prints the table. The image is as Fractal
writes it: 2160 x 2560 pixels, one chunk per plane, Zarr format 2, Blosc lz4; the label (uint32) and a masking ROI table likewise. ngio is
timed over a part of the objects, for it decodes each chunk for each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import omexp

PLANE = (2160, 2560)


def make_plane(folder: Path, objects: int, planes: int = 1, shape: tuple[int, int] = PLANE) -> Path:
    """A noisy image of one channel with `objects` ellipses in a grid, a label "nuclei" of them and a table of their boxes."""
    draw = np.random.default_rng(0)
    rows = int(np.ceil(np.sqrt(objects * shape[0] / shape[1])))
    cell_y, cell_x = shape[0] // rows, shape[1] // -(-objects // rows)
    y, x = np.mgrid[:cell_y, :cell_x]
    ids = np.zeros(shape, "uint32")
    for number in range(objects):
        row, column = divmod(number, shape[1] // cell_x)
        radius_y, radius_x = draw.uniform(0.3, 0.48, 2) * (cell_y, cell_x)
        inside = ((y - cell_y / 2 + 0.5) / radius_y) ** 2 + ((x - cell_x / 2 + 0.5) / radius_x) ** 2 < 1
        ids[row * cell_y : (row + 1) * cell_y, column * cell_x : (column + 1) * cell_x][inside] = number + 1
    pixels = draw.poisson(200 + 100 * (ids > 0), (1, planes, *shape)).astype("uint16")
    options: dict[str, Any] = {"xy_pixelsize": 0.1625, "z_spacing": 1.0, "levels": 1, "ngff_version": "0.4", "percentiles": None}
    container = omexp.create_ome_zarr_from_array(
        folder, pixels, axes_names="czyx", channel_labels=["DAPI"], chunks=(1, 1, *shape), **options
    )
    container.derive_label("nuclei", chunks=(1, *shape)).set_array(np.repeat(ids[None], planes, axis=0))
    container.add_table("nuclei_boxes", container.build_masking_roi_table("nuclei"))
    return folder


def opened(folder: Path, library: Any) -> Any:
    """The masked image of omexp or of ngio."""
    return library.open_ome_zarr_container(folder).get_masked_image("nuclei")


def read_all(image: Any, labels: Iterable[int]) -> list[np.ndarray]:
    """Each object by one call."""
    return [image.get_roi_masked(label=label, c=0) for label in labels]


def write_all(image: Any, labels: Iterable[int], patches: Iterable[np.ndarray]) -> None:
    """Each object by one call."""
    for label, patch in zip(labels, patches, strict=True):
        image.set_roi_masked(label=label, patch=patch, c=0)


def seconds(work: Callable[[], Any], runs: int = 1) -> float:
    """The best of some runs."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def measure(folder: Path, objects: int, peer_objects: int, *, planes: int = 1, shape: tuple[int, int] = PLANE) -> dict[str, Any]:
    """Milliseconds per object of each way, with the ratios. `folder` must not exist; it is left there."""
    import ngio

    store = make_plane(folder, objects, planes, shape)
    labels = list(range(1, objects + 1))
    some = labels[:: max(1, objects // peer_objects)][:peer_objects]
    ours, theirs = opened(store, omexp), opened(store, ngio)
    for a, b in zip(read_all(ours, some), read_all(theirs, some), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    omexp.chunk_cache.clear()
    time.sleep(0.05)  # files that were just written are not kept
    cold = seconds(lambda: read_all(opened(store, omexp), labels))
    warm = seconds(lambda: read_all(ours, labels), 3)
    peer = seconds(lambda: read_all(theirs, some)) / len(some) * objects

    patches = [patch + 1 for patch in read_all(ours, some)]
    copy = Path(shutil.copytree(store, folder.with_name(f"{folder.name}.copy")))
    write_theirs = seconds(lambda: write_all(opened(copy, ngio), some, patches)) / len(some)
    write_ours = seconds(lambda: write_all(ours, some, patches)) / len(some)
    np.testing.assert_array_equal(ours.get_as_numpy(), opened(copy, ngio).get_as_numpy(), strict=True)
    shutil.rmtree(copy)
    return {
        "objects": objects,
        "planes": planes,
        "ngio objects": len(some),
        "read_ms": {"omexp": cold / objects * 1e3, "omexp, kept": warm / objects * 1e3, "ngio": peer / objects * 1e3},
        "read_ratio": peer / cold,
        "write_ms": {"omexp": write_ours * 1e3, "ngio": write_theirs * 1e3},
        "write_ratio": write_theirs / write_ours,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--objects", type=int, default=1000)
    options.add_argument("--planes", type=int, default=1)
    options.add_argument("--peer-objects", type=int, default=40)
    options.add_argument("--folder", type=Path)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = measure(Path(folder) / "plane.zarr", chosen.objects, chosen.peer_objects, planes=chosen.planes)
    found |= {"machine": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    for work in ("read", "write"):
        times = ", ".join(f"{name} {value:.3f} ms" for name, value in found[f"{work}_ms"].items())
        print(f"{work} an object: {times}; {found[f'{work}_ratio']:.1f} x")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
