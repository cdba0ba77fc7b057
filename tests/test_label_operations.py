"""Labels made of labels, block by block, against the obvious whole-image result: scipy.ndimage, scikit-image, loops."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import measure, segmentation

import omexp
from omexp.backend import counting_transfers
from omexp.containers.labelling import operations as ops
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError, NameNotFoundError
from omexp.geometry import Region, blocks
from omexp.kernels import _host_labels
from omexp.kernels.expansion import expand, metric_of
from omexp.label_operations import find_overlaps, join_components, join_tiles
from omexp.storage.sources import source_of
from tests.conftest import Case

shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)
two_backends = pytest.mark.parametrize("backend", ["numpy", "strict-device1", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
blobs = shapes.flatmap(lambda shape: hnp.arrays(st.sampled_from(["uint8", "int64"]), shape, elements=st.sampled_from([0, 0, 1, 1, 2])))
sparse = shapes.flatmap(lambda shape: hnp.arrays("uint16", shape, elements=st.integers(0, 4), fill=st.just(0)))


def with_block(labels: st.SearchStrategy[np.ndarray]) -> st.SearchStrategy[tuple[np.ndarray, tuple[int, ...]]]:
    return labels.flatmap(lambda a: st.tuples(st.just(a), st.tuples(*(st.integers(1, n + 1) for n in a.shape))))


def by_first_pixel(labels: np.ndarray) -> np.ndarray:
    """The same objects numbered 1, 2, ... in the order of their first pixels in C order."""
    ids, first = np.unique(labels, return_index=True)
    order = ids[ids != 0][np.argsort(first[ids != 0])]
    numbers = {0: 0} | {number: i for i, number in enumerate(order.tolist(), 1)}
    return np.array([numbers[i] for i in labels.ravel().tolist()], int).reshape(labels.shape)


# --------------------------------------------------------------------------------------------------- components, stitching
@two_backends
@settings(max_examples=6)
@given(case=with_block(blobs), workers=st.integers(1, 2))
def test_components_of_any_cut_equal_those_of_scipy_and_skimage(backend: Case, case: Any, workers: int) -> None:
    labels, block = case
    for connectivity in range(1, labels.ndim + 1):
        found = join_components(source_of(backend.array(labels)), block, connectivity, workers=workers)
        whole = found.read(Region.whole(labels.shape))
        assert backend.holds(whole)
        expected = by_first_pixel(measure.label(labels, background=0, connectivity=connectivity))
        np.testing.assert_array_equal(backend.host(whole), expected)
        mask = join_components(source_of(backend.array(labels != 0)), block, connectivity).read(Region.whole(labels.shape))
        structure = ndimage.generate_binary_structure(labels.ndim, connectivity)
        np.testing.assert_array_equal(backend.host(mask), ndimage.label(labels, structure)[0])


@settings(max_examples=10)
@given(case=with_block(blobs), other=st.integers(1, 8))
def test_joined_labels_may_be_read_by_any_boxes(case: Any, other: int) -> None:
    labels, block = case
    found = join_components(source_of(labels), block, 1)
    for box in blocks(labels.shape, (other,) * labels.ndim):
        np.testing.assert_array_equal(found.read(box), found.read(Region.whole(labels.shape))[box.slices])


@two_backends
@settings(max_examples=8)
@given(case=with_block(blobs))
def test_tiles_labelled_by_themselves_are_stitched_to_the_whole(backend: Case, case: Any) -> None:
    mask, tile = case
    tiles = np.zeros(mask.shape, "uint32")
    for box in blocks(mask.shape, tile):  # every tile counts from 1
        tiles[box.slices] = ndimage.label(mask[box.slices])[0]
    found = omexp.stitch(backend.array(tiles), tile)
    np.testing.assert_array_equal(backend.host(found), ndimage.label(mask)[0])


def test_the_threshold_is_the_intersection_over_union_at_the_seam() -> None:
    tiles = np.array([[1, 1, 1, 1, 0, 2, 2], [0, 1, 1, 1, 1, 0, 2]])  # 1 and 1: 3 of 5 pixels face each other; 2 and 2: 1 of 2
    for threshold, joined in [(0.0, (1, 2)), (0.5, (1, 2)), (0.55, (1,)), (0.6, (1,)), (0.61, ())]:
        found = omexp.stitch(tiles, (1, 7), threshold)
        for number, column in ((1, 2), (2, 6)):
            assert (found[0, column] == found[1, column]) == (number in joined), threshold
    assert omexp.stitch(tiles, (1, 7), 1.0).max() == 4


def test_one_object_may_join_several_and_a_chain_is_one_object() -> None:
    planes = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 2, 2], [5, 0, 0, 6, 0]])
    assert omexp.stitch(planes, (1, 5)).tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 0, 0, 1, 0]]
    assert omexp.stitch(planes, (1, 5), axes=[1]).tolist() == [[1, 1, 1, 1, 1], [2, 2, 0, 3, 3], [4, 0, 0, 5, 0]]


def test_pixels_are_joined_along_the_axes_that_are_named_only() -> None:
    labels = np.ones((2, 2, 3), bool)
    assert omexp.label_components(labels, axes=[1, 2])[:, 0, 0].tolist() == [1, 2]
    assert omexp.label_components(labels, 3, axes=[0, 2])[0, :, 0].tolist() == [1, 2]
    with pytest.raises(ArgumentError, match="axes: pixels are always joined along the last axis"):
        omexp.label_components(labels, axes=[0, 1])


def test_the_numbers_take_the_smallest_dtype_or_the_one_asked_for() -> None:
    row = np.arange(600) % 2 == 0
    assert omexp.label_components(row).dtype == np.uint16
    assert omexp.label_components(row[:400], dtype="int64").dtype == np.int64
    with pytest.raises(DTypeError, match="dtype: the dtype does not hold the last id; got uint8; allowed: uint16"):
        omexp.label_components(row, dtype="uint8")


# -------------------------------------------------------------------------------------------------------- ids
@two_backends
@settings(max_examples=10)
@given(labels=hnp.arrays("uint64", shapes, elements=st.sampled_from([0, 1, 9, 2**40, 2**64 - 1])), offset=st.integers(1, 300))
def test_relabelling_equals_skimage_and_tells_the_old_ids(backend: Case, labels: np.ndarray, offset: int) -> None:
    found, ids = omexp.relabel_sequential(backend.array(labels), offset)
    old = np.unique(labels[labels != 0])
    np.testing.assert_array_equal(backend.host(ids), old)
    small = np.searchsorted(np.concatenate([np.zeros(1, "uint64"), old]), labels)  # skimage's tables are as long as the largest id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scikit-image 0.26 on NumPy 2.5
        np.testing.assert_array_equal(backend.host(found), segmentation.relabel_sequential(small, offset)[0])
    assert backend.host(found).dtype.itemsize == (1 if offset + len(old) <= 256 else 2)


def test_negative_ids_and_masks_are_renumbered_too() -> None:
    found, ids = omexp.relabel_sequential(np.array([3, -7, 0, -7], "int8"), dtype="int16")
    assert (found.tolist(), found.dtype.name, ids.tolist()) == ([2, 1, 0, 1], "int16", [-7, 3])
    found, ids = omexp.relabel_sequential(np.array([True, False]), 5)
    assert (found.tolist(), ids.tolist()) == ([5, 0], [True])


@two_backends
@settings(max_examples=10)
@given(labels=blobs, least=st.integers(0, 9), buffer=st.integers(0, 2))
def test_small_and_border_objects_are_those_of_the_obvious_loops(backend: Case, labels: np.ndarray, least: int, buffer: int) -> None:
    array = backend.array(labels)
    large = [i for i in (1, 2) if (labels == i).sum() >= least]
    np.testing.assert_array_equal(backend.host(omexp.remove_small_objects(array, least)), np.where(np.isin(labels, large), labels, 0))
    inner = np.zeros(labels.shape, bool)
    inner[tuple(slice(buffer + 1, n - buffer - 1) if n > 1 else slice(None) for n in labels.shape)] = True
    kept = [i for i in (1, 2) if inner[labels == i].all()]
    np.testing.assert_array_equal(backend.host(omexp.remove_border_objects(array, buffer)), np.where(np.isin(labels, kept), labels, 0))


@settings(max_examples=10)
@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=3, min_side=3, max_side=8)), least=st.integers(0, 5))
def test_connected_objects_are_removed_as_by_skimage(mask: np.ndarray, least: int) -> None:
    labels = measure.label(mask)
    np.testing.assert_array_equal(omexp.remove_border_objects(labels), segmentation.clear_border(labels))
    mended = np.concatenate([labels, labels * 0, labels * 0])  # a second object: skimage warns where it finds one only
    mended[-1, -1] = labels.max() + 1
    expected = skimage.morphology.remove_small_objects(mended, max_size=max(0, least - 1))[: len(labels)]
    np.testing.assert_array_equal(omexp.remove_small_objects(labels, least), expected)


def test_sizes_may_be_physical_and_an_exact_size_stays() -> None:
    labels = np.repeat([1, 0, 2], [12, 1, 11])
    assert set(omexp.remove_small_objects(labels, 1.2, spacing=[0.1])) == {0, 1}  # 12 * 0.1 is 1.2000000000000002
    assert set(omexp.remove_small_objects(labels, 1.1, spacing=[0.1])) == {0, 1, 2}


def test_objects_are_kept_or_removed_by_id(backend: Case) -> None:
    labels = np.array([[-1, 0, 3], [200, 3, 7]], "int16")
    array, ids = backend.array(labels), [3, -1, 99, 0, 2**40]
    assert backend.host(omexp.keep_objects(array, ids)).tolist() == [[-1, 0, 3], [0, 3, 0]]
    assert backend.host(omexp.remove_objects(array, ids)).tolist() == [[0, 0, 0], [200, 0, 7]]
    on_device = backend.array(np.array([3, 2**40, 65535, -1, 3]))  # 65535 would be -1 in int16
    assert backend.host(omexp.remove_objects(array, on_device)).tolist() == [[0, 0, 0], [200, 0, 7]]
    assert backend.host(omexp.remove_objects(backend.array(np.array([True, False])), [1])).tolist() == [False, False]
    assert backend.host(omexp.keep_objects(array, [])).tolist() == [[0, 0, 0], [0, 0, 0]]


# ------------------------------------------------------------------------------------------------------ expansion
def nearest(labels: np.ndarray, distance: float, spacing: tuple[float | None, ...]) -> np.ndarray:
    """A loop over pixels and objects: (squared distance, id), the least of all."""
    grown, places = labels.copy(), [tuple(p) for p in np.argwhere(labels != 0).tolist()]
    for pixel in np.ndindex(labels.shape):
        found = []
        for place in places:
            steps = [(a - b, size) for a, b, size in zip(pixel, place, spacing, strict=True)]
            if all(size is not None or step == 0 for step, size in steps):
                found.append((round(sum((step * (size or 0)) ** 2 for step, size in steps), 6), labels[place].item()))
        if labels[pixel] == 0 and found and min(found)[0] <= distance**2 + 1e-6:
            grown[pixel] = min(found)[1]
    return grown


@two_backends
@settings(max_examples=10)
@given(labels=sparse, distance=st.sampled_from([0, 1, 1.5, 2, 3.2]), tile=st.sampled_from([4, 1 << 18]), data=st.data())
def test_objects_grow_to_the_nearest_pixels_and_the_smaller_id_wins(
    backend: Case, labels: np.ndarray, distance: float, tile: int, data: Any
) -> None:
    spacing = tuple(data.draw(st.sampled_from([1.0, 1.0, 2.0, 0.3, None])) for _ in labels.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host_labels, "_EXPANDED", tile)
        found = expand(backend.array(labels), metric_of(distance, spacing))
    np.testing.assert_array_equal(backend.host(found), nearest(labels, distance, spacing))


@settings(max_examples=10)
@given(case=with_block(sparse), distance=st.sampled_from([1, 2.5]))
def test_any_cut_grows_the_same_pixels_as_skimage(case: Any, distance: float) -> None:
    labels, block = case
    whole = omexp.expand_labels(labels, distance)
    reader = ops.ExpandedReader(source_of(labels), distance, (1.0,) * labels.ndim)
    for box in blocks(labels.shape, block):
        np.testing.assert_array_equal(reader.read(box), whole[box.slices])
    np.testing.assert_array_equal(whole != 0, segmentation.expand_labels(labels, distance) != 0)


def test_a_distance_that_is_whole_pixels_but_for_rounding_errors_is_whole_pixels() -> None:
    row = np.array([1, 0, 0, 0, 0])
    assert omexp.expand_labels(row, 0.3, spacing=[0.1]).tolist() == [1, 1, 1, 1, 0]  # 0.3 / 0.1 is 2.9999999999999996
    assert omexp.expand_labels(np.array([[2**40, 0], [0, 0]]), 1, axes=[1]).tolist() == [[2**40, 2**40], [0, 0]]


# -------------------------------------------------------------------------------------------------------- overlaps
@two_backends
@settings(max_examples=10)
@given(case=with_block(blobs), data=st.data())
def test_overlaps_equal_the_counted_pairs(backend: Case, case: Any, data: Any) -> None:
    a, block = case
    b = data.draw(hnp.arrays("uint32", a.shape, elements=st.sampled_from([0, 7, 2**32 - 1])))
    found = find_overlaps(source_of(backend.array(a)), source_of(backend.array(b)), block, workers=2)
    rows = list(zip(*(backend.host(column).tolist() for column in found.columns().values()), strict=True))
    expected = []
    for i, j in itertools.product((1, 2), (7, 2**32 - 1)):
        both, of_a, of_b = ((a == i) & (b == j)).sum(), (a == i).sum(), (b == j).sum()
        if both:
            expected.append((i, j, both, of_a, of_b, pytest.approx(both / (of_a + of_b - both))))
    assert rows == expected
    assert all(backend.holds(column) for column in found.columns().values())


def test_labels_that_do_not_fit_each_other_are_refused(backend: Case) -> None:
    array = backend.array(np.ones((2, 2), "uint8"))
    with pytest.raises(ArgumentError, match=r"the two labels must have the same shape; got \(2, 2\) and \(2, 3\)"):
        omexp.overlap_table(array, backend.array(np.ones((2, 3), "uint8")))
    with pytest.raises(DTypeError, match="labels must be integers; got float32"):
        omexp.overlap_table(array, backend.array(np.ones((2, 2), "float32")))
    if not backend.backend.is_host:
        with pytest.raises(BackendMismatchError, match="the two labels live in different places"):
            omexp.overlap_table(array, np.ones((2, 2), "uint8"))


def test_pixels_stay_on_the_device() -> None:
    """Numbers that decide how large an array is come to the host, one at a time; pixels never do."""
    import array_api_strict

    device = omexp.Backend(array_api_strict, array_api_strict.Device("device1"))
    labels = omexp.from_host(np.random.default_rng(0).integers(0, 4, (32, 32)).astype("uint16"), device)
    with counting_transfers() as transfers:
        omexp.relabel_sequential(labels)
        omexp.expand_labels(labels, 2)
        omexp.remove_border_objects(labels)
        omexp.overlap_table(labels, labels)
    assert (transfers.to_host_bytes, transfers.to_device_bytes) == (0, 0)
    with counting_transfers() as transfers:
        omexp.label_components(labels)
    assert transfers.to_host_bytes <= 8 * transfers.to_host_calls < 8 * 30


# --------------------------------------------------------------------------------------------------------- on disk
@pytest.fixture
def nuclei(tmp_path: Path) -> Any:
    """A label over (t, z, y, x) with objects of 2**40 and more, in small chunks, its pyramid made."""
    container = omexp.create_empty_ome_zarr(
        tmp_path / "a.zarr", (2, 3, 24, 32), axes_names="tzyx", xy_pixelsize=0.5, z_spacing=1.0, levels=2, chunks=(1, 2, 16, 16)
    )
    ids = measure.label(ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(2, 3, 24, 32)), (0, 1, 2, 2)) > 0.05)
    label = container.derive_label("nuclei", dtype="uint64")
    label.set_array(np.where(ids > 0, ids.astype("uint64") + 2**40, 0))
    label.consolidate(workers=1)
    return container, label


def test_every_operation_writes_a_label_that_equals_that_of_the_array(nuclei: Any) -> None:
    container, label = nuclei
    ids = label.get_as_numpy()
    some = np.unique(ids)[1:4].tolist()
    planes = ids.copy()
    for t, z in np.ndindex(2, 3):
        planes[t, z] = measure.label(ids[t, z])
    container.derive_label("planes", dtype="uint64").set_array(planes)
    each_t = np.stack([omexp.stitch(plane, (1, 24, 32), 0.3) for plane in planes])
    second = np.where(each_t[1] > 0, each_t[1] + each_t[0].max(), 0)  # numbered over both time points
    grown = np.stack([omexp.expand_labels(i, 1.0, spacing=(1, 0.5, 0.5)) for i in ids])
    expected: dict[str, tuple[Any, Any]] = {
        "a": (omexp.relabel_sequential(label, output="a")[0], omexp.relabel_sequential(ids)[0]),
        "b": (omexp.remove_small_objects(label, 20, output="b", workers=2), omexp.remove_small_objects(ids, 20)),
        "c": (omexp.remove_border_objects(label, 1, axes="yx", output="c"), omexp.remove_border_objects(ids, 1, axes=[2, 3])),
        "d": (omexp.keep_objects(label, some, output="d"), omexp.keep_objects(ids, some)),
        "e": (omexp.remove_objects(label, some, output="e"), omexp.remove_objects(ids, some)),
        "f": (omexp.expand_labels(label, 1.0, spacing="world", output="f", workers=2), grown),
        "g": (omexp.label_components(label, 3, output="g", workers=2), omexp.label_components(ids, 3, axes=[1, 2, 3])),
        "h": (omexp.stitch(container.get_label("planes"), (1, 1, 24, 32), 0.3, output="h"), np.stack([each_t[0], second])),
    }
    assert container.list_labels() == ["nuclei", "planes", *expected]
    for name, (made, pixels) in expected.items():
        np.testing.assert_array_equal(made.get_as_numpy(), pixels, err_msg=name)
        assert made.chunks == label.chunks
        np.testing.assert_array_equal(container.get_label(name, "1").get_as_numpy(), pixels[:, :, ::2, ::2], err_msg=name)
    np.testing.assert_array_equal(label.get_as_numpy(), ids)
    overlaps = omexp.overlap_table(label, label)
    np.testing.assert_array_equal(overlaps.a, np.unique(ids)[1:])
    container.add_table("overlaps", overlaps.columns())
    assert container.get_table("overlaps").dataframe["iou"].eq(1).all()


def test_a_label_is_replaced_by_its_own_result_when_told(nuclei: Any) -> None:
    container, label = nuclei
    ids = label.get_as_numpy()
    with pytest.raises(omexp.OmexpError, match="something is there already"):
        omexp.expand_labels(label, 2, output="nuclei")
    np.testing.assert_array_equal(label.get_as_numpy(), ids)
    grown = omexp.expand_labels(label, 2, output="nuclei", overwrite=True)
    np.testing.assert_array_equal(grown.get_as_numpy(), np.stack([omexp.expand_labels(i, 2) for i in ids]))
    assert container.list_labels() == ["nuclei"]


def test_physical_sizes_are_those_of_the_label(nuclei: Any) -> None:
    _, label = nuclei
    by_volume = omexp.remove_small_objects(label, 5.0, spacing="world", output="large")  # a pixel is 0.25 units
    np.testing.assert_array_equal(by_volume.get_as_numpy(), omexp.remove_small_objects(label.get_as_numpy(), 20))


def test_a_result_without_a_place_is_refused_and_nothing_is_written(nuclei: Any) -> None:
    container, label = nuclei
    for call, message in [
        (lambda: omexp.expand_labels(label), "say where the result goes; got no output. Pass output="),
        (lambda: omexp.expand_labels(container.get_label("nuclei", "1"), output="a"), "a new label is made of the finest level"),
        (lambda: omexp.expand_labels(label, output="a/b"), "the label name cannot be used"),
        (lambda: omexp.expand_labels(label, output="a", nonsense=1), "there is no such option; got nonsense"),
        (lambda: omexp.expand_labels(np.ones(3, int), output="a"), "there is no such option; got output; allowed: workers"),
        (lambda: omexp.expand_labels(label, axes="c", output="a"), "the label has no such axis; got c; allowed: t, z, y, x"),
        (lambda: omexp.expand_labels(np.ones(3, int), axes=[1]), "axes: an array has no such axis"),
        (lambda: omexp.expand_labels(np.ones(3, int), -1), "distance: a distance must be a finite number, not negative"),
        (lambda: omexp.expand_labels(np.ones(3, int), spacing=[0]), "spacing: spacing must have one positive entry per axis"),
        (lambda: omexp.expand_labels(np.ones(3, int), spacing="world"), "spacing: spacing is not understood; got world"),
        (lambda: omexp.remove_border_objects(np.ones(3, int), -1), "buffer: a buffer is a number of pixels"),
        (lambda: omexp.relabel_sequential(np.ones(3, int), 0), "offset: new ids must be positive"),
        (lambda: omexp.label_components(np.ones(3, int), 2), "connectivity: connectivity must be a number of axes; got 2; allowed: 1 to 1"),
        (lambda: omexp.stitch(np.ones(3, int), (2,), 2), "threshold: a threshold is a share; got 2; allowed: 0 to 1"),
        (lambda: omexp.stitch(np.ones(3, int), (0,)), "a block must have one positive entry per axis"),
        (lambda: join_tiles(source_of(np.ones((2, 2), int)), (2,), 0.0), "a block must have one positive entry per axis"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            call()
    assert container.list_labels() == ["nuclei"]
    with pytest.raises(DTypeError, match="labels must be integers; got float64"):
        omexp.expand_labels(np.ones(3))
    with pytest.raises(DTypeError, match="dtype is not understood; got 'nonsense'"):
        omexp.relabel_sequential(np.ones(3, int), dtype="nonsense")
    with pytest.raises(NameNotFoundError):
        container.get_label("a")


@two_backends
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_empty_labels_stay_empty(backend: Case, shape: tuple[int, ...]) -> None:
    empty = backend.array(np.zeros(shape, "int32"))
    for found in (
        omexp.relabel_sequential(empty)[0],
        omexp.remove_small_objects(empty, 3),
        omexp.remove_border_objects(empty),
        omexp.expand_labels(empty, 2),
        omexp.label_components(empty),
        omexp.stitch(empty, (2,) * len(shape)),
    ):
        assert found.shape == shape
        assert backend.holds(found)
    assert omexp.overlap_table(empty, empty).a.shape == (0,)
