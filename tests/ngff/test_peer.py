"""ngff-zarr and omexp on the same arrays and stores: the same pixels, ladders, scales and plates, each reading what the other wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
import omexp.ngff as ours

theirs = pytest.importorskip("ngff_zarr")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::DeprecationWarning:ngff_zarr")]


def pixels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def both(shape: tuple[int, ...], dims: str, **options: Any) -> tuple[Any, Any]:
    """The pyramids of the same pixels by omexp and by ngff-zarr."""
    scale = {d: 0.5 + i for i, d in enumerate(dims) if d in "zyx"}
    made = []
    for library in (ours, theirs):
        image = library.to_ngff_image(pixels(shape), list(dims), scale, {"x": 10.0, "y": 0.0, **({"z": 1.0} if "z" in dims else {})})
        named = {k: library.Methods[v] if k == "method" else v for k, v in options.items()}
        made.append(library.to_multiscales(image, **named))
    return made[0], made[1]


def places(multiscales: Any) -> list[Any]:
    return [(tuple(i.dims), i.data.shape, {d: (i.scale[d], i.translation[d]) for d in i.dims if d in "zyx"}) for i in multiscales.images]


@pytest.mark.parametrize(
    "shape,dims,chunks",
    [
        ((64, 1024, 512), "zyx", (32, 64, 64)),
        ((64, 1024, 512), "zyx", None),
        ((1024, 1024), "yx", None),
        ((2, 3, 32, 512, 256), "tczyx", None),
        ((512, 512, 3), "yxc", 128),
        ((8, 256, 256), "zyx", 16),
    ],
)
def test_one_int_gives_the_same_ladder_and_places(shape: tuple[int, ...], dims: str, chunks: Any) -> None:
    one, other = both(shape, dims, chunks=chunks, method="ITKWASM_BIN_SHRINK")
    assert one.scale_factors == other.scale_factors
    assert places(one) == places(other)


@pytest.mark.parametrize("least", [1, 16, 128, 1000])
@pytest.mark.parametrize("shape", [(96, 300), (33, 65), (40, 70, 90), (7, 128, 64)])
def test_the_same_ladder_for_any_least_number_of_pixels(least: int, shape: tuple[int, ...]) -> None:
    dims = "zyx"[-len(shape) :]
    one, other = both(shape, dims, scale_factors=least, chunks=8, method="ITKWASM_BIN_SHRINK")
    assert one.scale_factors == other.scale_factors


@pytest.mark.parametrize("method", ["ITKWASM_GAUSSIAN", "ITKWASM_BIN_SHRINK", "DASK_BIN_SHRINK", "DASK_IMAGE_MODE"])
@pytest.mark.parametrize("factors", [[2, 4], [{"z": 1, "y": 2, "x": 2}, {"z": 2, "y": 4, "x": 4}], [3]])
def test_pixels_differ_by_rounding_at_most(method: str, factors: Any) -> None:
    one, other = both((12, 48, 96), "zyx", scale_factors=factors, chunks=24, method=method)
    assert places(one) == places(other)
    for k, (a, b) in enumerate(zip(one.images[1:], other.images[1:], strict=True), 1):
        difference = np.abs(a.data.compute().astype(int) - b.data.compute().astype(int))
        assert difference.max() <= (0 if method == "DASK_IMAGE_MODE" else k)  # each level may add one


def assert_same_stored(one: Any, other: Any) -> None:
    assert len(one.images) == len(other.images)
    for a, b in zip(one.images, other.images, strict=True):
        assert np.array_equal(a.data.compute(), b.data.compute())
        assert (list(a.dims), a.scale, a.translation) == (list(b.dims), b.scale, b.translation)
    assert [d.path for d in one.metadata.datasets] == [d.path for d in other.metadata.datasets]
    assert one.metadata.name == other.metadata.name


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shape,dims", [((45, 70), "yx"), ((2, 5, 45, 70), "czyx"), ((2, 2, 5, 45, 70), "tczyx")])
def test_they_read_what_we_write(version: str, shape: tuple[int, ...], dims: str, tmp_path: Path) -> None:
    made = both(shape, dims, scale_factors=[2, 4], chunks=16, method="ITKWASM_GAUSSIAN")[0]
    ours.to_ngff_zarr(tmp_path / "a.ome.zarr", made, version=version)
    read = theirs.from_ngff_zarr(str(tmp_path / "a.ome.zarr"))
    assert_same_stored(ours.from_ngff_zarr(tmp_path / "a.ome.zarr"), read)
    assert np.array_equal(read.images[2].data.compute(), made.images[2].data.compute())
    assert read.method == theirs.Methods.ITKWASM_GAUSSIAN


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shape,dims", [((45, 70), "yx"), ((2, 5, 45, 70), "czyx")])
def test_we_read_what_they_write(version: str, shape: tuple[int, ...], dims: str, tmp_path: Path) -> None:
    made = both(shape, dims, scale_factors=[2, 4], chunks=16, method="ITKWASM_BIN_SHRINK")[1]
    theirs.to_ngff_zarr(str(tmp_path / "a.ome.zarr"), made, version=version)
    read = ours.from_ngff_zarr(tmp_path / "a.ome.zarr", validate=True)
    assert_same_stored(read, theirs.from_ngff_zarr(str(tmp_path / "a.ome.zarr")))
    assert read.method == ours.Methods.ITKWASM_BIN_SHRINK


def test_they_read_our_shards(tmp_path: Path) -> None:
    made = both((16, 64, 64), "zyx", scale_factors=[2], chunks=8, method="ITKWASM_BIN_SHRINK")[0]
    ours.to_ngff_zarr(tmp_path / "a.ome.zarr", made, chunks_per_shard={"z": 2, "y": 4, "x": 3})
    assert_same_stored(ours.from_ngff_zarr(tmp_path / "a.ome.zarr"), theirs.from_ngff_zarr(str(tmp_path / "a.ome.zarr")))


def test_an_image_of_theirs_is_written_by_us_after_copying_its_fields(tmp_path: Path) -> None:
    image = theirs.to_ngff_image(pixels((45, 70)), ["y", "x"], {"y": 0.5, "x": 0.5}, {"y": 0.0, "x": 3.0})
    made = ours.to_multiscales(ours.NgffImage(image.data, image.dims, image.scale, image.translation), [2], theirs.Methods.DASK_BIN_SHRINK)
    ours.to_ngff_zarr(tmp_path / "a.ome.zarr", made)
    assert np.array_equal(made.images[1].data.compute(), omexp.downsample(pixels((45, 70)), 2))
    assert theirs.from_ngff_zarr(str(tmp_path / "a.ome.zarr")).images[1].translation == {"y": 0.25, "x": 3.25}


def test_a_store_that_they_read_from_is_not_overwritten_by_us(tmp_path: Path) -> None:
    ours.to_ngff_zarr(tmp_path / "a.ome.zarr", both((45, 70), "yx", scale_factors=[2], method="ITKWASM_BIN_SHRINK")[0])
    read = theirs.from_ngff_zarr(str(tmp_path / "a.ome.zarr"))
    with pytest.raises(omexp.OmexpError, match="the images read from the store"):
        ours.to_ngff_zarr(tmp_path / "a.ome.zarr", ours.to_multiscales(read.images[0].data, [2]))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_plates_are_the_same_to_both(version: str, tmp_path: Path) -> None:
    fields = [omexp.ImageInWellPath("A", 1, "0", 0, "first"), omexp.ImageInWellPath("B", 2, "0", 0, "first")]
    made = omexp.create_empty_plate(tmp_path / "p.zarr", "screen", fields, ngff_version=version)
    for field in fields:
        pyramid = ours.to_multiscales(pixels((45, 70)), [2])
        ours.to_ngff_zarr(made.get_image_store(field.row, field.column, field.path), pyramid, version=version)
    one, other = ours.from_hcs_zarr(tmp_path / "p.zarr", validate=True), theirs.from_hcs_zarr(str(tmp_path / "p.zarr"))
    assert (one.name, one.field_count) == (other.name, other.field_count)
    for ours_part, theirs_part in ((one.rows, other.rows), (one.columns, other.columns), (one.wells, other.wells)):
        assert [vars(part) for part in ours_part] == [vars(part) for part in theirs_part]
    assert [(a.id, a.name) for a in one.acquisitions] == [(a.id, a.name) for a in other.acquisitions]
    wells = [plate.get_well("B", "02") for plate in (one, other)]
    assert [image.path for image in wells[0].images] == [image.path for image in wells[1].images]
    assert_same_stored(wells[0].get_image(0), wells[1].get_image(0))
    assert other.get_well("B", "1") is one.get_well("B", "1") is None
