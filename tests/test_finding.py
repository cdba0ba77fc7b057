"""Boxes, areas and centroids of stored labels: every cut, every number of threads, every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import omexp
from omexp.backend import from_host
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, DTypeError
from omexp.finding import find_boxes
from omexp.geometry import Region
from omexp.kernels import labels as labels_module
from omexp.kernels.labels import LabelBoxes
from omexp.storage.sources import source_of
from tests import reference_labels as reference
from tests.conftest import Case

IDS = {"int64": [0, -(2**63), -1, 5, 2**40], "uint64": [0, 1, 2**53 + 1, 2**63, 2**64 - 1], "bool": [False, True]}
shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)
drawn_labels = st.tuples(st.sampled_from(list(IDS)), shapes).flatmap(
    lambda kind: hnp.arrays(kind[0], kind[1], elements=st.sampled_from(IDS[kind[0]]))
)
labels_and_block = drawn_labels.flatmap(lambda a: st.tuples(st.just(a), st.tuples(*(st.integers(1, n + 1) for n in a.shape))))


class Counted:
    """A host array read through a backend; counts what is asked for."""

    def __init__(self, array: np.ndarray, case: Case) -> None:
        self.array, self.backend, self.shape, self.dtype = array, case.backend, array.shape, array.dtype
        self.regions: list[Region] = []

    def read(self, region: Region) -> Any:
        self.regions.append(region)
        return from_host(self.array[region.slices], self.backend)


def as_dict(case: Case, found: LabelBoxes) -> dict[Any, Any]:
    columns = [case.host(part).tolist() for part in (found.ids, found.start, found.stop, found.area, found.centroid)]
    return {i: (tuple(a), tuple(b), n, tuple(c)) for i, a, b, n, c in zip(*columns, strict=True)}


def expected(labels: np.ndarray) -> dict[Any, Any]:
    boxes = reference.boxes(labels)
    return {
        i: (*boxes[i], len(places), tuple(sum(c) / len(c) for c in zip(*places, strict=True)))
        for i, places in reference.pixels_by_id(labels).items()
    }


@pytest.mark.parametrize("backend", ["numpy", "strict-device1", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
@settings(max_examples=15)
@given(case=labels_and_block, workers=st.integers(1, 3))
def test_boxes_areas_and_centroids_equal_a_loop_over_the_pixels(backend: Case, case: Any, workers: int) -> None:
    labels, block = case
    reader = Counted(labels, backend)
    found = find_boxes(reader, block, workers=workers)
    assert as_dict(backend, found) == expected(labels)
    assert backend.holds(found.start)
    assert len(reader.regions) == len({region.start for region in reader.regions})


@settings(max_examples=20)
@given(labels=hnp.arrays("int32", hnp.array_shapes(min_dims=2, max_dims=3, max_side=8), elements=st.integers(0, 5)))
def test_areas_and_centroids_equal_those_of_scipy(labels: np.ndarray) -> None:
    found = find_boxes(source_of(labels), (3,) * labels.ndim)
    np.testing.assert_array_equal(found.area, ndimage.sum_labels(labels > 0, labels, found.ids))
    np.testing.assert_allclose(found.centroid, np.reshape(ndimage.center_of_mass(labels > 0, labels, found.ids), found.centroid.shape))


def test_rows_that_wait_are_bounded_by_the_objects_not_by_the_blocks(monkeypatch: pytest.MonkeyPatch, backend: Case) -> None:
    monkeypatch.setattr(labels_module, "_ROWS", 4)
    merged: list[int] = []
    merge = labels_module.merge_boxes

    def counting(parts: list[LabelBoxes]) -> LabelBoxes:
        merged.append(sum(part.ids.shape[0] for part in parts))
        return merge(parts)

    monkeypatch.setattr("omexp.finding.merge_boxes", counting)
    found = find_boxes(Counted(np.tile(np.array([[1, 2]], "uint8"), (64, 1)), backend), (1, 2))
    assert backend.host(found.stop).tolist() == [[64, 1], [64, 2]]
    assert len(merged) > 10
    assert max(merged) <= 6


@pytest.mark.parametrize("shape", [(0, 4), (3, 3)])
def test_where_there_is_no_object_there_are_no_rows(backend: Case, shape: tuple[int, int]) -> None:
    found = find_boxes(Counted(np.zeros(shape, "uint32"), backend), (2, 2))
    assert (found.ids.shape, found.start.shape, found.area.shape, found.centroid.shape) == ((0,), (0, 2), (0,), (0, 2))
    assert backend.host(found.ids).dtype == np.uint32


def test_floats_are_refused_before_anything_is_read(backend: Case) -> None:
    reader = Counted(np.ones((2, 2), "float32"), backend)
    with pytest.raises(DTypeError, match="labels must be integers; got float32"):
        find_boxes(reader, (1, 1))
    assert reader.regions == []


@pytest.mark.parametrize("block", [(0, 1), (1,), (1, 1, 1), (2, -1)])
def test_blocks_must_have_one_positive_entry_per_axis(block: tuple[int, ...]) -> None:
    reader: BoxReader = source_of(np.ones((2, 2), "uint8"))
    with pytest.raises(ArgumentError, match="block_shape: a block must have one positive entry per axis"):
        find_boxes(reader, block)


def test_a_masking_roi_table_holds_boxes_areas_and_centroids(tmp_path: Any) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (16, 16), xy_pixelsize=0.5)
    label = container.derive_label("cells", dtype="uint64")
    ids = np.zeros((16, 16), "uint64")
    ids[2:6, 4:7], ids[8, 8] = 2**40, 3
    label.set_array(ids)
    table = container.build_masking_roi_table("cells")
    assert table.reference_label == "cells"
    assert [roi.label for roi in table.rois()] == [3, 2**40]
    big = table.get_label(2**40)
    assert (big["y"].start, big["y"].length, big["x"].start, big["x"].length) == (1.0, 2.0, 2.0, 1.5)
    assert big.extra == {"area": 12, "centroid_y": 3.5, "centroid_x": 5.0}
    container.add_table("cells_ROI", table)
    assert container.get_masked_image("cells").objects.source == "a masking ROI table"
    stored = container.get_masking_roi_table("cells_ROI").get_label(2**40)
    assert (stored.extra["area"], stored.extra["centroid_x"]) == (12, 5.0)
