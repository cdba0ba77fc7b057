"""Margins, merges and grids of masked images, ids of every dtype, and which chunks a write touches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError, NameNotFoundError
from tests.conftest import Case
from tests.stores import SHAPE, arrays, make_sample, sample_ids, sample_pixels

BOX = {1: (slice(0, 2), slice(2, 7), slice(5, 12)), 300: (slice(0, 2), slice(2, 9), slice(3, 12))}  # z, y, x


def masked_sample(store: Path, case: Case) -> omexp.MaskedImage:
    return omexp.open_ome_zarr_container(store, device=case.backend).get_masked_image("nuclei")


def widened(box: tuple[slice, ...], by: tuple[int, int, int]) -> tuple[slice, ...]:
    return (slice(None), *(slice(max(s.start - m, 0), min(s.stop + m, n)) for s, m, n in zip(box, by, SHAPE[1:], strict=True)))


# -------------------------------------------------------------------------------------------------------------- margin
@pytest.mark.parametrize(("margin", "by"), [(0, (0, 0, 0)), (3, (0, 3, 3)), (100, (0, 100, 100)), ({"z": 1, "x": 4}, (1, 0, 4))])
def test_a_margin_is_pixels_on_every_side_clipped_to_the_image(
    one_store: Path, backend: Case, margin: Any, by: tuple[int, int, int]
) -> None:
    image = masked_sample(one_store, backend)
    place = widened(BOX[1], by)
    only = np.where(sample_ids() == 1, sample_pixels(), 0).astype("uint16")
    np.testing.assert_array_equal(backend.host(image.get_roi(1, margin=margin)), sample_pixels()[place])
    np.testing.assert_array_equal(image.get_roi_as_numpy(1, margin=margin), sample_pixels()[place])
    np.testing.assert_array_equal(backend.host(image.get_roi_masked(1, margin=margin)), only[place], strict=True)
    image.set_roi_masked(1, image.get_roi_masked(1, margin=margin), margin=margin)
    image.set_roi(1, image.get_roi(1, margin=margin), margin=margin)
    np.testing.assert_array_equal(arrays(one_store)["0"], sample_pixels())


def test_a_margin_is_of_the_level_and_comes_after_the_zoom(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_masked_image("nuclei", path="1")
    plain, wide = image.get_roi(300, 1.2), image.get_roi(300, 1.2, margin={"x": 1})
    assert wide.shape == (*plain.shape[:3], plain.shape[3] + 2)
    np.testing.assert_array_equal(wide[..., 1:-1], plain)
    lazy = image.get_roi_as_dask(300, 1.2, margin={"x": 1})
    np.testing.assert_array_equal(lazy.compute(), wide)


@pytest.mark.parametrize("margin", [-1, 1.5, True, False, "1", {"c": 1}, {"x": -2}, None])
def test_what_is_no_margin_is_refused(one_store: Path, margin: Any) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_masked_image("nuclei")
    with pytest.raises(ArgumentError, match="the margin is not understood; got margin="):
        image.get_roi_masked(1, margin=margin)


# --------------------------------------------------------------------------------------------------------------- merge
@pytest.mark.parametrize("merge", ["max", lambda old, new: old - new])
def test_a_merge_acts_inside_the_object_only(one_store: Path, backend: Case, merge: Any) -> None:
    image, place = masked_sample(one_store, backend), (slice(None), *BOX[300])
    patch = np.random.default_rng(1).integers(0, 2, sample_pixels()[place].shape).astype("uint16") * 30000
    rules = {"max": np.maximum, "sum": np.add, "keep_nonzero": lambda old, new: np.where(new != 0, new, old)}
    image.set_roi_masked(300, backend.array(patch), merge=merge)
    expected = sample_pixels()
    new = rules.get(merge, merge)(expected[place], patch) if isinstance(merge, str) else merge(expected[place], patch)
    expected[place] = np.where(sample_ids()[BOX[300]] == 300, new, expected[place])
    np.testing.assert_array_equal(arrays(one_store)["0"], expected)


def test_a_merge_that_works_in_place_changes_nothing_outside_the_object(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_masked_image("nuclei")

    def in_place(existing: np.ndarray, patch: np.ndarray) -> np.ndarray:
        existing[...] = 5
        return existing

    image.set_roi_masked(300, image.get_roi_masked(300), merge=in_place)
    np.testing.assert_array_equal(arrays(one_store)["0"], np.where(sample_ids() == 300, 5, sample_pixels()))


def test_a_merge_goes_with_boxes_steps_lists_and_lazy_patches(one_store: Path, backend: Case) -> None:
    import dask.array as da

    image, expected = masked_sample(one_store, backend).get_roi, sample_pixels()
    level = omexp.open_ome_zarr_container(one_store, device=backend.backend).get_image()
    for slicing in ({"y": slice(3, 17)}, {"x": slice(1, None, 3)}, {"z": [2, 0], "c": 1}, {"y": [0, 19], "x": [0, 29]}):
        patch = np.full(level.get_as_numpy(**slicing).shape, 40000, "uint16")
        level.set_array(backend.array(patch), merge="min", **slicing)
        place = (slicing.get("c", slice(None)), *(slicing.get(a, slice(None)) for a in "zyx"))
        if isinstance(place[2], list) and isinstance(place[3], list):
            place = (slice(None), slice(None), np.array(place[2])[:, None], np.array(place[3]))
        expected[place] = np.minimum(expected[place], 40000)
        np.testing.assert_array_equal(arrays(one_store)["0"], expected)
    level.set_array(da.full(SHAPE, 50000, dtype="uint16", chunks=7), merge="max")
    np.testing.assert_array_equal(arrays(one_store)["0"], np.maximum(expected, 50000))
    assert backend.holds(image(1))


def test_a_merge_that_is_none_is_refused_before_anything_is_written(one_store: Path) -> None:
    image, before = omexp.open_ome_zarr_container(one_store).get_masked_image("nuclei"), arrays(one_store)["0"]
    patch = image.get_roi_masked(1)
    for write in (lambda **k: image.set_roi_masked(1, patch, **k), lambda **k: image.set_roi(1, patch, **k)):
        with pytest.raises(ArgumentError, match="merge is not understood; got 'mean'"):
            write(merge="mean")
        with pytest.raises(ArgumentError, match="the merge changed the shape"):
            write(merge=lambda old, new: old[:1, :1])
    np.testing.assert_array_equal(arrays(one_store)["0"], before)


# --------------------------------------------------------------------------------------------------------------- grids
def test_another_grid_is_refused_when_it_may_not_be_rescaled(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    same, other = (container.get_masked_image("nuclei", path=path) for path in ("0", "1"))
    np.testing.assert_array_equal(same.get_roi_masked(1, allow_rescaling=False), same.get_roi_masked(1))
    np.testing.assert_array_equal(other.get_roi_masked(1, allow_rescaling=False), other.get_roi_masked(1))  # the label has that level
    ref = omexp.create_empty_ome_zarr({}, (3, 10, 15), xy_pixelsize=1.0, z_spacing=2.0, levels=1).get_image()
    container.derive_label("coarse", ref_image=ref).set_array(sample_ids()[:, ::2, ::2])
    coarse = container.get_masked_image("coarse")
    patch = coarse.get_roi_masked(1)
    message = "the masking label lies on another grid; got pixels of y: 1 on 0.5, x: 1 on 0.5"
    with pytest.raises(ArgumentError, match=message):
        coarse.get_roi_masked(1, allow_rescaling=False)
    with pytest.raises(ArgumentError, match=message):
        coarse.set_roi_masked(1, patch, allow_rescaling=False)


# ----------------------------------------------------------------------------------------------------------------- ids
@pytest.mark.parametrize(
    ("dtype", "ids"), [("int8", [-128, -1, 5]), ("int64", [-(2**40), 2**40 + 1]), ("uint64", [2**40, 2**64 - 1]), ("bool", [1])]
)
def test_ids_of_any_integer_dtype_are_read_and_written(tmp_path: Path, backend: Case, dtype: str, ids: list[int]) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (6, 6), xy_pixelsize=1, levels=1, device=backend.backend)
    labels = np.zeros((6, 6), dtype)
    for i, label in enumerate(ids):
        labels[2 * i, i : i + 3] = labels.dtype.type(label)
    container.derive_label("any", dtype=dtype).set_array(backend.array(labels))
    image = container.get_masked_image("any")
    assert image.labels() == sorted(ids)
    expected = np.zeros((6, 6), "uint16")
    for value, label in enumerate(ids, 1):
        patch = backend.array(np.full((1, 3), value, "uint16"))
        image.set_roi_masked(label, patch)
        image.set_roi_masked(label if dtype == "bool" else labels.dtype.type(label), patch)  # NumPy's own integers are ids, too
        expected[labels == labels.dtype.type(label)] = value
    np.testing.assert_array_equal(image.get_as_numpy(), expected)
    with pytest.raises(NameNotFoundError):
        image.get_roi_masked(77)


# ------------------------------------------------------------------------------------------------------------ laziness
def test_delayed_objects_are_read_when_computed(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    later, lazy = image.get_roi_masked(1, mode="delayed", fill_value=3), image.get_roi_masked_as_dask(1, fill_value=3)
    image.set_roi_masked(1, backend.array(np.full((2, 2, 5, 7), 8, "uint16")))
    expected = np.full((2, 2, 5, 7), 8)
    np.testing.assert_array_equal(backend.host(later.compute(scheduler="sync")), expected)
    if backend.backend.is_host:
        np.testing.assert_array_equal(lazy.compute(scheduler="sync"), expected)


# -------------------------------------------------------------------------------------------------------------- writes
def test_chunks_without_a_pixel_of_the_object_are_not_written(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (32, 32), xy_pixelsize=1, levels=1, chunks=(8, 8))
    ids = np.zeros((32, 32), "uint32")
    ids[1, 1:30] = ids[1:30, 1] = 4  # an L: its box is 29 x 29, its pixels lie in the first row and column of chunks
    container.derive_label("cells").set_array(ids)
    container.get_image().set_array(np.full((32, 32), 9, "uint16"))
    before = {p: p.stat().st_ino for p in (tmp_path / "a.zarr" / "0").rglob("*") if p.is_file()}
    container.get_masked_image("cells").set_roi_masked(4, np.full((29, 29), 5, "uint16"))
    written = [p for p, inode in before.items() if p.stat().st_ino != inode]
    assert len(written) == 4 + 3
    np.testing.assert_array_equal(container.get_image().get_array(), np.where(ids == 4, 5, 9))


def test_every_write_of_an_object_is_heard_of(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_masked_image("nuclei")
    with image.track_writes(workers=1) as touched:
        image.set_roi_masked(1, image.get_roi_masked(1) // 2, merge="min")
    assert len(touched.regions) == 1
    np.testing.assert_array_equal(arrays(one_store)["1"], omexp.downsample(arrays(one_store)["0"], (1, 1, 2, 2)))


def test_disjoint_writes_give_the_same_in_any_order(tmp_path: Path) -> None:
    found = []
    for order in ([1, 7, 300], [300, 7, 1], [7, 1, 300]):
        folder = make_sample(tmp_path / f"{order[0]}.zarr", "0.4")
        image = omexp.open_ome_zarr_container(folder).get_masked_image("nuclei")
        for label in order:
            image.set_roi_masked(label, np.full(image.get_roi_masked(label).shape, label, "uint16"))
        found.append(arrays(folder)["0"])
    np.testing.assert_array_equal(found[0], np.where(sample_ids() > 0, sample_ids(), sample_pixels()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
