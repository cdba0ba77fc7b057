"""What a build asks of its source and its store, and what a plan costs. Knows: counts, seconds, memory. Does not know: peers."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from zarr.storage import WrapperStore

import omexp
from benchmarks.pyramid_inputs import NoiseSource, noise
from benchmarks.pyramid_measure import measured
from omexp.geometry import Region, ceil_div
from omexp.ngff import to_multiscales
from tests.reference_pyramid import CountingSource, CountingStore

__all__ = ["counted", "grown", "planned", "rebuilt"]


def counted(out: str, size: int, chunk: int, method: str, shard: int | None = None) -> dict[str, Any]:
    """Store operations of `create` and of `consolidate`: the most that any pixel of the source was read, reads and writes per stored unit.

    (2, size, size) pixels in (1, chunk, chunk) chunks and 4 levels, through a store that counts.
    """
    source, store = CountingSource(noise((2, size, size))), CountingStore(Path(out)).count()
    shards = None if shard is None else (1, shard, shard)
    container = omexp.create_ome_zarr_from_array(
        WrapperStore(store),  # what is built in a local folder is built beside it, in a store of its own, and renamed
        source,
        axes_names="cyx",
        xy_pixelsize=1.0,
        levels=4,
        method=method,
        chunks=(1, chunk, chunk),
        shards=shards,
    )
    unit = shard or chunk
    shapes = [container.get_image(path).shape for path in container.levels_paths]
    units = [math.prod(ceil_div(n, u) for n, u in zip(shape, (1, unit, unit), strict=True)) for shape in shapes]
    result: dict[str, Any] = {
        "units": units,
        "pixel_reads_most": int(source.reads.max()),
        "pixel_reads_mean": float(source.reads.mean()),
        "create_writes": _spread(store.sets, sum(units)),
    }
    image = omexp.open_ome_zarr_container(store.count(), mode="r+").get_image()
    image.consolidate(method)
    first = {key: n for key, n in store.gets.items() if key[0].startswith(f"{container.levels_paths[0]}/")}
    result["consolidate_reads"] = _spread(first, units[0])
    result["consolidate_reads_of_other_levels"] = sum(store.gets.values()) - sum(first.values())
    result["consolidate_writes"] = _spread(store.sets, sum(units[1:]))
    return result


def _spread(counts: dict[Any, int], expected: int) -> dict[str, float]:
    """How many units were met, of how many; the most and the mean of one."""
    return {"units": len(counts), "of": expected, "most": max(counts.values(), default=0), "mean": sum(counts.values()) / max(expected, 1)}


class _Stop(Exception):
    """The first pixels were asked for: all planning is done."""


class _Stopping(NoiseSource):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.asked_s = math.inf

    def read(self, region: Region) -> np.ndarray:
        self.asked_s = min(self.asked_s, time.perf_counter())
        raise _Stop


def planned(out: str, across: int, chunk: int = 64) -> dict[str, Any]:
    """From the call to the first pixels that are asked for: an image of across x across chunks; and `to_multiscales` of the same."""
    source = _Stopping((across * chunk, across * chunk))
    omexp.create_empty_ome_zarr(f"{out}.warm", (64, 64), xy_pixelsize=1.0)
    found: dict[str, Any] = {}
    start = time.perf_counter()
    with measured(found):
        try:
            omexp.create_ome_zarr_from_array(out, source, xy_pixelsize=1.0, chunks=(chunk, chunk), workers=1)
        except _Stop:
            plan_s = source.asked_s - start
    result = {"chunks": across**2, "plan_s": plan_s, "plan_peak_bytes": found["peak_bytes"], "until_refused_s": found["wall_s"]}
    pixels = np.broadcast_to(np.uint16(1), source.shape)
    to_multiscales(np.zeros((64, 64), "uint16"), [2, 4])  # dask is imported at its first use
    lazy: dict[str, Any] = {}
    with measured(lazy):
        to_multiscales(pixels, [2, 4, 8, 16], chunks=chunk)
    return result | {"to_multiscales_s": lazy["wall_s"], "to_multiscales_peak_bytes": lazy["peak_bytes"]}


def grown(out: str, size: int) -> dict[str, Any]:
    """(size, size) noise that is made while it is read, written with its pyramid: seconds and memory. The store stays."""
    result: dict[str, Any] = {}
    _warmed(out)
    source = NoiseSource((size, size))
    with measured(result):
        omexp.create_ome_zarr_from_array(out, source, xy_pixelsize=1.0)
    return result


def rebuilt(out: str) -> dict[str, Any]:
    """The pyramid of a store rebuilt from its finest level: seconds and memory."""
    result: dict[str, Any] = {}
    _warmed(out)
    with measured(result):
        omexp.open_ome_zarr_container(out).get_image().consolidate()
    return result


def _warmed(out: str) -> None:
    omexp.create_ome_zarr_from_array(f"{out}.warm", NoiseSource((512, 512)), xy_pixelsize=1.0, overwrite=True).get_image().consolidate()
