"""Boxes of labelled objects: every dtype, every cut, every backend."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.geometry import blocks
from omexp.kernels import labels as labels_module
from omexp.kernels.labels import LabelBoxes, label_boxes, label_runs, merge_boxes
from tests import reference_labels as reference

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=6)
small_labels = shapes.flatmap(lambda shape: hnp.arrays(st.sampled_from(["uint8", "int32", "uint64"]), shape, elements=st.integers(0, 4)))
labels_and_block = small_labels.flatmap(
    lambda labels: st.tuples(st.just(labels), st.tuples(*(st.integers(1, size + 1) for size in labels.shape)))
)


def as_dict(backend, found: LabelBoxes) -> dict:
    ids, start, stop = (backend.host(part) for part in (found.ids, found.start, found.stop))
    assert start.dtype == stop.dtype == np.int64
    assert start.shape == stop.shape == (len(ids), start.shape[1])
    assert ids.tolist() == sorted(ids.tolist())
    return {number: (tuple(a), tuple(b)) for number, a, b in zip(ids.tolist(), start.tolist(), stop.tolist(), strict=True)}


@given(labels=small_labels)
def test_boxes_equal_a_loop_over_the_pixels(backend, labels):
    found = label_boxes(backend.array(labels))
    assert as_dict(backend, found) == reference.boxes(labels)
    assert backend.host(found.ids).dtype == labels.dtype
    assert all(backend.holds(part) for part in (found.ids, found.start, found.stop))


@given(case=labels_and_block)
def test_boxes_of_a_whole_array_equal_the_merge_over_any_cut(backend, case):
    labels, block = case
    parts = [label_boxes(backend.array(labels[region.slices]), origin=region.start) for region in blocks(labels.shape, block)]
    assert as_dict(backend, merge_boxes(parts)) == reference.boxes(labels)


@given(labels=small_labels, tile=st.integers(1, 20))
def test_boxes_do_not_depend_on_the_tiles_inside(labels, tile):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels_module, "_TILE", tile)
        patch.setattr(labels_module, "_ROWS", 3)
        found = label_boxes(labels)
    whole = label_boxes(labels)
    assert found.ids.tolist() == whole.ids.tolist()
    assert found.start.tolist() == whole.start.tolist()
    assert found.stop.tolist() == whole.stop.tolist()


@given(labels=hnp.arrays("int32", hnp.array_shapes(min_dims=2, max_dims=3, max_side=8), elements=st.integers(0, 5)))
def test_boxes_equal_scipy_find_objects(labels):
    found = label_boxes(labels)
    expected = {n + 1: box for n, box in enumerate(ndimage.find_objects(labels)) if box is not None}
    boxes = [tuple(map(slice, a, b)) for a, b in zip(found.start.tolist(), found.stop.tolist(), strict=True)]
    assert dict(zip(found.ids.tolist(), boxes, strict=True)) == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_extremes_of_every_dtype_are_ids(backend, dtype):
    low, high = (False, True) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    labels = np.array([[low, high, True, 0], [0, high, 0, low]], dtype)
    found = label_boxes(backend.array(labels))
    assert as_dict(backend, found) == reference.boxes(labels)
    assert backend.host(found.ids).dtype == dtype


def test_ids_above_two_to_the_53_stay_apart(backend):
    ids = [2**53, 2**53 + 1, 2**63, 2**64 - 1]
    labels = np.array([[ids[1], 0, ids[0]], [ids[3], ids[2], ids[2]]], "uint64")
    found = label_boxes(backend.array(labels))
    assert backend.host(found.ids).tolist() == ids
    assert as_dict(backend, found) == reference.boxes(labels)


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 2)])
def test_an_empty_array_has_no_boxes(backend, shape):
    found = label_boxes(backend.array(np.zeros(shape, "uint16")))
    assert found.ids.shape == (0,)
    assert found.start.shape == found.stop.shape == (0, len(shape))
    assert backend.host(found.ids).dtype == np.uint16


def test_background_alone_has_no_boxes_and_adds_none(backend):
    empty = label_boxes(backend.array(np.zeros((3, 4), "uint8")))
    assert as_dict(backend, empty) == {}
    one = label_boxes(backend.array(np.ones((3, 4), "uint8")))
    assert as_dict(backend, merge_boxes([empty, one, empty])) == {1: ((0, 0), (3, 4))}


def test_the_origin_moves_starts_and_stops(backend):
    labels = backend.array(np.array([[0, 2], [0, 2]], "int16"))
    assert as_dict(backend, label_boxes(labels, origin=(10, -3))) == {2: ((10, -2), (12, -1))}


def test_areas_and_centroids_are_exact_and_parts_add_up(backend):
    labels = np.array([[0, 2, 2], [0, 2, 5]], "int16")
    whole = label_boxes(backend.array(labels), origin=(10, -3))
    parts = merge_boxes([label_boxes(backend.array(labels[i : i + 1]), origin=(10 + i, -3)) for i in (0, 1)])
    for found in (whole, parts):
        assert backend.host(found.area).tolist() == [3, 1]
        assert backend.host(found.total).tolist() == [[31, -5], [11, -1]]
        np.testing.assert_allclose(backend.host(found.centroid), [[31 / 3, -5 / 3], [11, -1]], rtol=1e-6)
        assert backend.holds(found.centroid)


def test_views_that_are_not_contiguous_have_the_boxes_of_their_copy(backend):
    labels = np.random.default_rng(3).integers(0, 5, (7, 9, 4)).astype("uint32")
    view = backend.array(labels)[::2, ::-1, 1:]
    assert as_dict(backend, label_boxes(view)) == reference.boxes(labels[::2, ::-1, 1:])
    transposed = backend.backend.xp.permute_dims(backend.array(labels), (2, 0, 1))
    assert as_dict(backend, label_boxes(transposed)) == reference.boxes(labels.transpose(2, 0, 1))


def test_runs_are_the_foreground_in_order(backend):
    labels = np.array([[4, 4, 0, 2], [2, 2, 4, 0]], "uint8")
    runs = label_runs(backend.array(labels), origin=(10, 100))
    assert backend.host(runs.ids).tolist() == [4, 2, 2, 4]
    assert backend.host(runs.length).tolist() == [2, 1, 2, 1]
    assert [backend.host(start).tolist() for start in runs.start] == [[10, 10, 11, 11], [100, 103, 100, 102]]
    assert backend.host(runs.pixels(backend.array(labels * 10))).tolist() == [40, 40, 20, 20, 20, 40]
    assert backend.host(runs.segments.lengths).tolist() == [2, 1, 2, 1]


def test_the_cost_does_not_depend_on_the_largest_id():
    labels = np.zeros((512, 512), "uint64")
    labels[10:20, 10:20], labels[100, 100] = 2**63, 7
    label_boxes(labels)  # imports and caches are not the array's cost
    tracemalloc.start()
    found = label_boxes(labels)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.ids.tolist() == [7, 2**63]
    assert peak_bytes < 4 * labels.size  # a bool per pixel and some words per run, against 2**63 entries of a table by id


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_labels_must_be_integers(backend, dtype):
    with pytest.raises(DTypeError, match=f"labels must be integers; got {dtype}"):
        label_boxes(backend.array(np.ones((2, 2), dtype)))


def test_wrong_arguments_say_what_is_allowed(backend):
    labels = backend.array(np.ones((2, 2), "uint8"))
    with pytest.raises(ArgumentError, match="origin must have one entry per axis"):
        label_boxes(labels, origin=(1,))
    with pytest.raises(ArgumentError, match="labels must have an axis"):
        label_boxes(backend.array(np.uint8(1)))
    with pytest.raises(BackendMismatchError, match="not an array"):
        label_boxes([[1, 2]])


def test_boxes_merge_where_ids_and_axes_agree(backend):
    flat, wide = (label_boxes(backend.array(np.ones(shape, "uint8"))) for shape in [(2, 2), (2, 2, 2)])
    other = label_boxes(backend.array(np.ones((2, 2), "int64")))
    for parts in ([], [flat, wide], [flat, other]):
        with pytest.raises(ArgumentError, match="boxes can be merged where ids and axes agree"):
            merge_boxes(parts)
