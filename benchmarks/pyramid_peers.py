"""How each library writes a pyramid, and how what it wrote is compared. Knows: omexp, ngio, ngff-zarr, ome-zarr-py. Does not know: clocks.

Writers take an array in memory, a path that is free, and the axes; whatever else is left to them is the library's default.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import omexp

__all__ = ["bytes_on_disk", "call", "compare", "levels_of"]

PIXEL_SIZE = 0.65


# -------------------------------------------------------------------------------------------------------- writers
def omexp_image(
    array: Any,
    path: Path,
    *,
    axes: str,
    levels: int = 5,
    method: str = "mean",
    factors: Sequence[int] | None = None,
    chunks: Any = "auto",
    shards: Any = None,
    codec: str | None = None,
) -> None:
    options: dict[str, Any] = {"chunks": tuple(chunks) if isinstance(chunks, list) else chunks, "shards": shards, "z_spacing": 1.0}
    if factors:
        options["scaling_factors"] = tuple(factors)
    if codec:
        options["compressors"] = codec
    omexp.create_ome_zarr_from_array(path, array, xy_pixelsize=PIXEL_SIZE, axes_names=axes, levels=levels, method=method, **options)


def ngio_image(
    array: Any, path: Path, *, axes: str, levels: int = 5, chunks: Sequence[int] | None = None, codec: Any = None, version: str = "0.4"
) -> None:
    import ngio
    from zarr.codecs import ZstdCodec

    options: dict[str, Any] = {} if chunks is None else {"chunks": tuple(chunks)}
    if codec:
        options["compressors"] = ZstdCodec(level=codec)
    ngio.create_ome_zarr_from_array(
        str(path), array, pixelsize=PIXEL_SIZE, levels=levels, axes_names=list(axes), ngff_version=version, **options
    )


def ngff_zarr_image(array: Any, path: Path, *, axes: str, method: str | None, levels: int = 5, chunks: Sequence[int] | None = None) -> None:
    """With chunks given, the codec is zstd of level 0 already: ngff-zarr's default."""
    import ngff_zarr

    scale = {axis: PIXEL_SIZE if axis in "yx" else 1.0 for axis in axes}
    image = ngff_zarr.to_ngff_image(array, dims=tuple(axes), scale=scale)
    chosen = None if method is None else ngff_zarr.Methods[method]
    options: dict[str, Any] = {} if chunks is None else {"chunks": dict(zip(axes, chunks, strict=True))}
    multiscales = ngff_zarr.to_multiscales(image, scale_factors=[2**k for k in range(1, levels)], method=chosen, **options)
    ngff_zarr.to_ngff_zarr(str(path), multiscales)


def ome_zarr_py_image(array: Any, path: Path, *, axes: str, chunks: Sequence[int] | None = None) -> None:
    """Its default is 5 levels, without a choice of a codec needed: zarr's default, zstd of level 0."""
    from ome_zarr import writer

    options: dict[str, Any] = {} if chunks is None else {"storage_options": {"chunks": tuple(chunks)}}
    writer.write_image(array, str(path), axes=axes, **options)


def omexp_consolidate(array: Any, path: Path) -> None:
    omexp.open_ome_zarr_container(path).get_image().consolidate()


def ngio_consolidate(array: Any, path: Path) -> None:
    import ngio

    ngio.open_ome_zarr_container(str(path)).get_image().consolidate()


def call(name: str, array: Any, path: Path, **options: Any) -> None:
    """Run a writer of this file by its name; the peers' own warnings are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        globals()[name](array, path, **options)


# ----------------------------------------------------------------------------------------------------- comparing
def levels_of(path: Path) -> list[zarr.Array[Any]]:
    """The arrays that the metadata names, finest first."""
    group = zarr.open_group(str(path), mode="r", use_consolidated=False)
    attributes: Any = group.attrs.asdict()
    datasets = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
    return [zarr.open_array(str(path / d["path"]), mode="r") for d in datasets]


def bytes_on_disk(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


@functools.cache
def _reference(method: str) -> Callable[[np.ndarray, Sequence[int]], np.ndarray]:
    """TensorStore's driver for the methods that it has, an independent implementation; else omexp's kernel."""
    if method not in ("mean", "mode"):
        return lambda pixels, factors: omexp.downsample(pixels, tuple(factors), method=method)
    import tensorstore

    return lambda pixels, factors: tensorstore.downsample(tensorstore.array(pixels), list(factors), method).read().result()


def compare(path: Path, array: np.ndarray, *, factors: Sequence[int], levels: int, method: str, within: float, most: float = 0.0) -> None:
    """Raise `AssertionError` unless level 0 is the array and each level what the method makes of the one before.

    Parameters
    ----------
    within
        Grey values that a pixel of a coarser level may be off. Infinity for a library that computes something else: only shapes count.
    most
        The share of pixels that may be off by more.
    """
    stored = levels_of(path)
    shapes = [tuple(-(-n // f**k) for n, f in zip(array.shape, factors, strict=True)) for k in range(levels)]
    assert [tuple(level.shape) for level in stored] == shapes
    finer = stored[0][:]
    np.testing.assert_array_equal(finer, array)
    for k, level in enumerate(stored[1:], 1):
        coarser = level[:]
        if within < np.inf:
            expected = _reference(method)(finer, factors)
            off = np.maximum(coarser, expected) - np.minimum(coarser, expected) > within
            assert off.mean() <= most, f"level {k} of {path.name}: {off.mean():.2%} of the pixels are off by more than {within}"
        finer = coarser
