"""Reducing windows of pixels in memory, one thread: omexp, TensorStore, NumPy's reshape().mean(); outputs compared before timing.

TensorStore has no gaussian and no label_image: there the peer is ngff-zarr (ITK in WebAssembly, dask's synchronous scheduler).

`python benchmarks/test_windows.py [--json PATH]` prints GB/s of input, best of several runs after one warm-up.
"""

from __future__ import annotations

import argparse
import json
import platform
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omexp.kernels.windows import downsample


@dataclass(frozen=True)
class Work:
    """One row of the table; `small` is its shape as a test."""

    pixels: str
    dtype: str
    factors: tuple[int, ...]
    method: str
    shape: tuple[int, ...] = (8, 2048, 2048)
    small: tuple[int, ...] = (2, 66, 64)

    def __str__(self) -> str:
        return f"{self.method} of {self.dtype} {self.pixels} {self.shape} by {self.factors}"


WORKS = [
    Work("noise", "uint16", (1, 2, 2), "mean"),
    Work("noise", "uint16", (2, 2, 2), "mean"),
    Work("noise", "uint8", (1, 2, 2), "mean"),
    Work("noise", "uint16", (1, 3, 3), "mean", (8, 2049, 2049)),
    Work("noise", "uint16", (1, 2, 2), "mean", (8, 2047, 2047), (2, 65, 63)),
    Work("noise", "float32", (1, 2, 2), "mean", (4, 2048, 2048)),
    Work("noise", "uint64", (1, 2, 2), "mean", (2, 2048, 2048)),
    Work("noise", "uint16", (1, 2, 2), "max"),
    Work("noise", "uint16", (1, 2, 2), "median"),
    Work("labels", "uint32", (1, 2, 2), "mode", (4, 2048, 2048)),
    Work("labels", "uint32", (2, 2, 2), "mode", (4, 2048, 2048)),
    Work("noise", "uint16", (1, 2, 2), "nearest"),
    Work("noise", "uint16", (1, 2, 2), "gaussian"),
    Work("noise", "uint16", (2, 2, 2), "gaussian", (64, 512, 512), (8, 16, 18)),
    Work("noise", "uint16", (1, 3, 3), "gaussian", (8, 2049, 2049), (2, 66, 63)),
    Work("noise", "float32", (1, 2, 2), "gaussian", (4, 2048, 2048)),
    Work("labels", "uint32", (1, 2, 2), "label_image", (1, 512, 512)),
    Work("labels", "uint32", (1, 4, 4), "label_image", (1, 512, 512), (1, 64, 64)),
]
BY_NGFF_ZARR = ("gaussian", "label_image")


def pixels_of(work: Work, shape: tuple[int, ...]) -> np.ndarray:
    """Noise over the whole range, or discs of 40 pixels every 48, each with a label of its own, on background 0."""
    if work.pixels == "noise":
        return np.random.default_rng(0).integers(0, 2**16, shape).astype(work.dtype)
    z, y, x = np.ogrid[tuple(map(slice, shape))]
    names = (y // 48) * (shape[2] // 48 + 1) + x // 48 + 1
    return np.where((y % 48 - 24) ** 2 + (x % 48 - 24) ** 2 < 20**2, names, 0 * z).astype(work.dtype)


def tensorstore_of(array: np.ndarray, work: Work) -> np.ndarray:
    tensorstore = pytest.importorskip("tensorstore")
    source = tensorstore.array(array, context=tensorstore.Context({"data_copy_concurrency": {"limit": 1}}))
    return tensorstore.downsample(source, work.factors, "stride" if work.method == "nearest" else work.method).read().result()


def ngff_zarr_of(array: np.ndarray, work: Work) -> np.ndarray:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    import dask

    method = ngff_zarr.Methods(f"itkwasm_{work.method}")
    image, factors = ngff_zarr.to_ngff_image(array, dims="zyx"), dict(zip("zyx", work.factors, strict=True))
    with dask.config.set(scheduler="synchronous"):
        return ngff_zarr.to_multiscales(image, scale_factors=[factors], method=method).images[1].data.compute()


def reshape_mean_of(array: np.ndarray, work: Work) -> np.ndarray:
    """The usual NumPy answer; through float64, so that integers up to 2**53 round half to even."""
    split = [part for n, f in zip(array.shape, work.factors, strict=True) for part in (n // f, f)]
    return np.rint(array.reshape(split).mean(axis=(1, 3, 5))).astype(array.dtype)


def peers_of(array: np.ndarray, work: Work) -> dict[str, Callable[[], np.ndarray]]:
    """What to time; reshape() cannot split ragged axes and adds floats in another order."""
    peers = {"omexp": lambda: downsample(array, work.factors, method=work.method)}
    if work.method in BY_NGFF_ZARR:
        return {**peers, "ngff_zarr": lambda: ngff_zarr_of(array, work)}
    peers["tensorstore"] = lambda: tensorstore_of(array, work)
    if work.method == "mean" and array.dtype.kind == "u" and not any(n % f for n, f in zip(array.shape, work.factors, strict=True)):
        peers["reshape_mean"] = lambda: reshape_mean_of(array, work)
    return peers


def assert_alike(found: np.ndarray, expected: np.ndarray, work: Work) -> None:
    """Equal; ITK adds the taps of a gaussian in another order, so that an integer may round the other way."""
    if work.method != "gaussian":
        np.testing.assert_array_equal(found, expected)
    elif found.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    else:
        assert found.dtype == expected.dtype
        assert np.abs(found.astype("int64") - expected).max() <= 1


@pytest.mark.peers
@pytest.mark.parametrize("work", WORKS, ids=str)
def test_all_peers_give_the_same_pixels(work: Work) -> None:
    array = pixels_of(work, work.small)
    ours, *others = (run() for run in peers_of(array, work).values())
    assert ours.dtype == array.dtype
    for other in others:
        assert_alike(ours, other, work)


def measure(work: Work, repeats: int) -> dict[str, Any]:
    array, row = pixels_of(work, work.shape), {"work": str(work)}
    expected = downsample(array, work.factors, method=work.method)
    for name, run in peers_of(array, work).items():
        assert_alike(run(), expected, work)
        row[name] = array.nbytes / min(timeit.repeat(run, number=1, repeat=repeats)) / 1e9
    return {**row, "ratio": row["omexp"] / row.get("tensorstore", row.get("ngff_zarr"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    columns = ("omexp", "tensorstore", "ngff_zarr", "reshape_mean")
    print(f"{'work':58} {' '.join(f'{name:>12}' for name in columns)} {'ratio':>6}   (GB/s of input)")
    rows = []
    for work in WORKS:
        rows.append(row := measure(work, options.repeats))
        figures = " ".join(f"{row[name]:12.4g}" if name in row else " " * 12 for name in columns)
        print(f"{row['work']:58} {figures} {row['ratio']:6.1f}", flush=True)
    if options.json:
        machine = {"python": platform.python_version(), "numpy": np.__version__, "processor": platform.processor() or platform.machine()}
        options.json.write_text(json.dumps({"machine": machine, "unit": "GB/s of input, one thread", "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
