"""The rows of the pyramid benchmark as data. Knows: who does what, and how near its pixels must be. Does not know: clocks, tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pyramid_peers as peers
from benchmarks.pyramid_inputs import discs, noise

__all__ = ["ROWS", "Row", "Work"]

OFF = math.inf  # computes something else: only level 0 and the shapes are compared


@dataclass(frozen=True, slots=True)
class Work:
    """One library's way to do a row's work; `method` is what its levels are compared with, `within` the grey values they may be off."""

    name: str
    call: str
    options: dict[str, Any] = field(default_factory=dict)
    within: float = 0
    method: str = ""
    before: tuple[str, dict[str, Any]] | None = None

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("omexp")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the issue: `least` is how many times faster than the fastest of its rivals one of our works must be.

    rivals: which of our works against which peers; none named: the first work against all peers.
    """

    number: int
    title: str
    least: float
    kind: str  # image, volume or label
    works: tuple[Work, ...]
    method: str = "mean"
    levels: int = 5
    most: float = 0.0  # the share of pixels that may be off: label methods differ where several labels meet
    rivals: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def factors(self) -> tuple[int, ...]:
        return {"image": (1, 2, 2), "volume": (2, 2, 2), "label": (2, 2)}[self.kind]

    @property
    def pairs(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(one of our works, the peers that it is held against)."""
        return self.rivals or ((self.works[0].name, tuple(work.name for work in self.works if not work.is_ours)),)

    def pixels(self, size: int) -> np.ndarray:
        """(4, size, size) noise; (size / 128, size / 4, size / 4) noise; (size / 2, size / 2) discs."""
        if self.kind == "label":
            return discs(size // 2)
        return noise((4, size, size) if self.kind == "image" else (max(8, size // 128), size // 4, size // 4))

    def comparison(self, work: Work) -> dict[str, Any]:
        """Options of `pyramid_peers.compare`."""
        return {
            "factors": self.factors,
            "levels": self.levels,
            "method": work.method or self.method,
            "within": work.within,
            "most": 0.0 if work.is_ours else self.most,
        }

    def check(self, work: Work, array: np.ndarray, path: Path) -> None:
        """Do the work here and compare. Raises `AssertionError`."""
        if work.before:
            peers.call(work.before[0], array, path, **work.before[1])
        peers.call(work.call, array, path, **work.options)
        peers.compare(path, array, **self.comparison(work))


CYX: dict[str, Any] = {"axes": "cyx"}
CHUNKS = {"chunks": [1, 1024, 1024]}
ZYX: dict[str, Any] = {"axes": "zyx", "levels": 4}
LABEL: dict[str, Any] = {"axes": "yx"}

ROWS = (
    Row(
        1,
        "2-D image, defaults",
        6.0,
        "image",
        (
            Work("omexp", "omexp_image", CYX),
            Work("omexp, shards", "omexp_image", CYX | {"shards": "auto"}),
            Work("ngio", "ngio_image", CYX, within=1),
            Work("ngff-zarr, DASK_BIN_SHRINK", "ngff_zarr_image", CYX | {"method": "DASK_BIN_SHRINK"}, within=1),
            Work("ngff-zarr", "ngff_zarr_image", CYX | {"method": None}, within=1, method="gaussian"),
            Work("ome-zarr-py", "ome_zarr_py_image", CYX, within=OFF),
        ),
    ),
    Row(
        2,
        "2-D image, all zstd, equal chunks",
        1.4,
        "image",
        (
            Work("omexp", "omexp_image", CYX | CHUNKS | {"codec": "zstd:0"}),
            Work("ngio", "ngio_image", CYX | CHUNKS | {"codec": 0, "version": "0.5"}, within=1),
            Work("ngff-zarr, DASK_BIN_SHRINK", "ngff_zarr_image", CYX | CHUNKS | {"method": "DASK_BIN_SHRINK"}, within=1),
            Work("ome-zarr-py", "ome_zarr_py_image", CYX | CHUNKS, within=OFF),
        ),
    ),
    Row(
        4,
        "3-D image, gaussian",
        4.0,
        "volume",
        (
            Work("omexp", "omexp_image", ZYX | {"factors": [2, 2, 2], "method": "gaussian"}),
            Work("ngff-zarr", "ngff_zarr_image", ZYX | {"method": None}, within=1),
        ),
        method="gaussian",
        levels=4,
    ),
    Row(
        5,
        "label",
        10.0,
        "label",
        (
            Work("omexp, mode", "omexp_image", LABEL | {"method": "mode"}),
            Work("ngff-zarr, ITKWASM_LABEL_IMAGE", "ngff_zarr_image", LABEL | {"method": "ITKWASM_LABEL_IMAGE"}, method="label_image"),
            Work("ngff-zarr, DASK_IMAGE_MODE", "ngff_zarr_image", LABEL | {"method": "DASK_IMAGE_MODE"}),
        ),
        method="mode",
        most=0.1,
        rivals=(("omexp, mode", ("ngff-zarr, ITKWASM_LABEL_IMAGE",)),),
    ),
    Row(
        6,
        "2-D image, consolidate",
        5.0,
        "image",
        (
            Work("omexp", "omexp_consolidate", before=("omexp_image", CYX)),
            Work("omexp, ngio's store", "omexp_consolidate", before=("ngio_image", CYX)),
            Work("ngio, omexp's store", "ngio_consolidate", within=1, before=("omexp_image", CYX)),
            Work("ngio", "ngio_consolidate", within=1, before=("ngio_image", CYX)),
        ),
        rivals=(("omexp", ("ngio, omexp's store",)), ("omexp, ngio's store", ("ngio",))),
    ),
)
