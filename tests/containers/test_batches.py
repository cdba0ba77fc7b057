"""Many objects at once, against one call for each: `get_roi_masked`, `get_roi`, `set_roi_masked`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omexp
from omexp.containers.masking.regions import Boxes
from omexp.containers.roi import Roi, RoiSlice
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError, FunctionError, NameNotFoundError, ReadOnlyError, SelectionError
from omexp.geometry import Region
from omexp.storage.arrays import StoredArray
from omexp.world import PixelSize
from tests.conftest import Case
from tests.stores import arrays, sample_ids, sample_pixels

UM = 0.5


def masked_sample(store: Any, case: Case | None = None) -> omexp.MaskedImage:
    return omexp.open_ome_zarr_container(store, device=case.backend if case else None).get_masked_image("nuclei")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[Any]]:
    """Boxes that are read and write units that are stored, by array."""
    seen: dict[str, Counter[Any]] = {"reads": Counter(), "units": Counter()}
    read, store = StoredArray.read, StoredArray._store

    def counting_read(self: StoredArray, region: Region, *args: Any, **keywords: Any) -> Any:
        seen["reads"][self.where, region] += 1
        return read(self, region, *args, **keywords)

    def counting_store(self: StoredArray, held: Region, *args: Any, **keywords: Any) -> Any:
        seen["units"][self.where, self._index_of(held)] += 1
        return store(self, held, *args, **keywords)

    monkeypatch.setattr(StoredArray, "read", counting_read)
    monkeypatch.setattr(StoredArray, "_store", counting_store)
    return seen


# -------------------------------------------------------------------------------------------- equal to single calls
@st.composite
def scenes(draw: Any) -> tuple[Any, list[str]]:
    """An image in memory with a masking label, on one grid or another, and its axes."""
    axes = draw(st.sampled_from(["yx", "cyx", "zyx", "tczyx", "czyx"]))
    sizes = {"t": 2, "c": 2, "z": draw(st.sampled_from([1, 3])), "y": draw(st.integers(9, 20)), "x": draw(st.integers(9, 20))}
    shape = tuple(sizes[a] for a in axes)
    chunks = tuple(draw(st.integers(3, 12)) if a in "yx" else draw(st.integers(1, 2)) for a in axes)
    shards = {"shards": tuple(2 * n for n in chunks), "ngff_version": "0.5"} if draw(st.booleans()) else {"ngff_version": "0.4"}
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    image = omexp.create_ome_zarr_from_array(
        {}, rng.integers(0, 9999, shape).astype("uint16"), axes_names=axes, xy_pixelsize=UM, chunks=chunks, levels=2, **shards
    )
    spatial = [a for a in axes if a not in "c"]
    factor = draw(st.sampled_from([1.0, 2.0, 0.5, 1.5]))
    label_axes = spatial if draw(st.booleans()) else [a for a in spatial if a in "zyx"]
    label_shape = tuple(max(1, int(np.ceil(sizes[a] / factor))) if a in "yx" else sizes[a] for a in label_axes)
    ids = rng.integers(0, 4, label_shape).astype("uint32") * np.uint32(2**30 + 1)
    other = omexp.create_ome_zarr_from_array({}, ids, axes_names="".join(label_axes), xy_pixelsize=UM * factor, levels=1)
    label = image.derive_label("nuclei", ref_image=other.get_image())
    label.set_array(ids)
    return image, list(axes)


@given(data=st.data())
@settings(max_examples=12)
def test_every_object_is_what_a_call_for_it_alone_gives(data: Any) -> None:
    container, axes = data.draw(scenes())
    image = container.get_masked_image("nuclei", path="0")
    keywords: dict[str, Any] = {"zoom_factor": data.draw(st.sampled_from([1.0, 0.6, 1.7])), "margin": data.draw(st.sampled_from([0, 2]))}
    if "c" in axes:
        keywords |= data.draw(st.sampled_from([{}, {"c": 1}, {"c": [1, 0]}, {"c": 0, "axes_order": "xyzt"}]))
    if "z" in axes:
        keywords |= data.draw(st.sampled_from([{}, {"z": 0}]))
    keywords |= data.draw(st.sampled_from([{}, {"y": [5, 0]}, {"x": slice(None, None, -2)}, {"y": slice(2, 7)}]))
    options = {"order": data.draw(st.sampled_from(["chunks", "given"])), "max_memory": data.draw(st.sampled_from([None, 20_000]))}
    fill = data.draw(st.sampled_from([0, 7]))
    labels = image.labels()[::-1]
    reader = image.iter_rois(labels, fill_value=fill, **keywords, **options)
    found = dict(reader)
    assert len(reader) == len(labels)
    assert sorted(found) == sorted(labels)
    for label, pixels in found.items():
        np.testing.assert_array_equal(pixels, image.get_roi_masked(label, fill_value=fill, **keywords), strict=True)
    for label, pixels in image.iter_rois(masked=False, **keywords, **options):
        np.testing.assert_array_equal(pixels, image.get_roi(label, **keywords), strict=True)


@given(data=st.data())
@settings(max_examples=6)
def test_writing_by_map_is_a_loop_of_single_writes_and_one_rebuild(data: Any) -> None:
    container, axes = data.draw(scenes())
    keywords: dict[str, Any] = {"zoom_factor": data.draw(st.sampled_from([1.0, 1.7]))}
    keywords |= data.draw(st.sampled_from([{}, {"y": slice(2, 7)}, {"x": [4, 1]}]))
    if "c" in axes:
        keywords |= data.draw(st.sampled_from([{}, {"c": 1}, {"c": [1, 0]}]))
    masked, workers = data.draw(st.booleans()), data.draw(st.sampled_from([1, 2]))
    image = container.get_masked_image("nuclei", path="0")
    calls = {label: (image.get_roi_masked if masked else image.get_roi)(label, **keywords) // 2 + 1 for label in image.labels()}
    before = image.get_array()
    for label, patch in calls.items():
        image.set_roi_masked(label, patch, **keywords)
    image.consolidate()
    expected = [container.get_image(path=p).get_array() for p in container.levels_paths]
    image.set_array(before)
    image.consolidate()
    done = image.map(lambda pixels: pixels // 2 + 1, output=image, masked=masked, workers=workers, **keywords)
    for path, pixels in zip(container.levels_paths, expected, strict=True):
        np.testing.assert_array_equal(container.get_image(path=path).get_array(), pixels)
    assert dict(done) == {}


def test_objects_through_ten_planes_that_do_not_fit_decode_each_plane_once(counted: dict[str, Counter[Any]]) -> None:
    container = omexp.create_ome_zarr_from_array(
        {}, np.random.default_rng(0).integers(0, 999, (10, 64, 64)).astype("uint16"), xy_pixelsize=UM, levels=1, chunks=(1, 64, 64)
    )
    y, x = np.mgrid[:64, :64]
    ids = np.where((y % 8 < 5) & (x % 8 < 5), 1 + y // 8 * 8 + x // 8, 0).astype("uint32")
    container.derive_label("nuclei").set_array(np.broadcast_to(ids, (10, 64, 64)).copy())
    image = container.get_masked_image("nuclei")
    alone = {label: image.get_roi_masked(label) for label in image.labels()}
    counted["reads"].clear()
    for order in ("chunks", "given"):
        reader = image.iter_rois(order=order, max_memory=132_000, workers=1)  # the planes are 246 KB, the crops 96 KB
        for label, pixels in reader:
            np.testing.assert_array_equal(pixels, alone[label], strict=True)
        assert (reader.plan.decoded, reader.plan.decoded_again) == (20, 0)
        assert sorted(counted["reads"].values()) == [1] * 20
        counted["reads"].clear()
    batch = image.gather(shape=(10, 5, 5), max_memory=132_000, workers=1)
    assert batch.plan.takers
    assert batch.plan.decoded_again == 0
    np.testing.assert_array_equal([int(row.sum()) for row in batch.pixels], [int(alone[label].sum()) for label in batch.labels])
    with pytest.warns(omexp.OmexpWarning, match="decodes 20 chunks 80 times in all. Allow a larger max_memory, or take order='chunks'"):
        assert len(image.iter_rois(order="given", max_memory=45_000, workers=1)) == 64


@st.composite
def rois(draw: Any) -> Roi:
    number = st.floats(-9, 40).map(lambda v: round(v, 3))
    spans = {axis: (draw(st.none() | number), draw(st.none() | number.map(abs))) for axis in draw(st.sampled_from(["yx", "zyx", "xz"]))}
    slices = tuple(RoiSlice(axis, start, length) for axis, (start, length) in spans.items())
    return Roi(None, slices, label=1, space=draw(st.sampled_from(["world", "pixel"])))


@given(boxes=st.lists(rois(), max_size=5), zoom=st.sampled_from([1.0, 0.7, 2.5]), margin=st.sampled_from([{}, {"z": 1, "y": 3}]))
def test_boxes_of_tables_become_pixels_as_one_by_one(boxes: list[Roi], zoom: float, margin: dict[str, int]) -> None:
    shape, size = {"z": 6, "y": 30, "x": 40}, PixelSize(x=0.65, y=0.65, z=2.0)
    many = Boxes((1,) * len(boxes), tuple(boxes), zoom, margin, {})
    axes = {a: many.axis(a, i, n, size.get(a)) for i, (a, n) in enumerate(shape.items())}
    found = many.regions(Region.whole(tuple(shape.values())), axes)
    for roi, region in zip(boxes, found, strict=True):
        zoomed = (roi.zoom(zoom) if zoom != 1 else roi).to_pixel(size)
        grown = [
            s
            if s.length is None or not margin.get(s.axis_name)
            else RoiSlice(s.axis_name, (s.start or 0) - margin[s.axis_name], s.length + 2 * margin[s.axis_name])
            for s in zoomed.slices
        ]
        slicing = Roi(None, tuple(grown), space="pixel").to_slicing(size, shape)
        assert region.slices == tuple(slicing.get(a, slice(0, n)) for a, n in shape.items())


# ------------------------------------------------------------------------------------------------- on every device
def test_objects_come_on_the_device_of_the_container(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    for keywords in ({}, {"c": 1, "axes_order": "xyz"}, {"y": [19, 0]}, {"fill_value": 5, "zoom_factor": 2.0}):
        for label, pixels in image.iter_rois(**keywords):
            assert backend.holds(pixels)
            np.testing.assert_array_equal(backend.host(pixels), backend.host(image.get_roi_masked(label, **keywords)), strict=True)
    for label, pixels in image.iter_rois([7, 300], masked=False):
        assert backend.holds(pixels)
        np.testing.assert_array_equal(backend.host(pixels), backend.host(image.get_roi(label)), strict=True)
    assert all(type(pixels) is np.ndarray for _, pixels in image.iter_rois(mode="numpy"))


def test_each_chunk_goes_to_the_device_once(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    image.labels()
    objects = image.iter_rois(zoom_factor=40.0)  # every box is the whole plane
    with omexp.counting_transfers() as transfers:
        shapes = [pixels.shape for _, pixels in objects]
    assert len(shapes) == 3
    expected = 0 if backend.backend.is_host else objects.plan.decoded_bytes
    assert (transfers.to_device_bytes, transfers.to_host_calls) == (expected, 0)
    assert objects.plan.decoded_again == 0
    whole = sample_pixels().nbytes + sample_ids().nbytes
    assert objects.plan.decoded_bytes == whole


def test_a_batch_is_cut_padded_and_masked_as_numpy_would(one_store: Path, backend: Case) -> None:
    image, pixels, ids = masked_sample(one_store, backend), sample_pixels(), sample_ids()
    for masked, pad, fill in ((True, 0, 0), (True, 3, 8), (False, 3, 0)):
        batch = image.gather([300, 7, 1], shape=(2, 9, 7), pad=pad, masked=masked, fill_value=fill)
        assert backend.holds(batch.pixels)
        assert backend.holds(batch.masks)
        assert (batch.labels, batch.axes, batch.cut) == ((300, 7, 1), ("n", "c", "z", "y", "x"), (True, True, False))
        for row, (label, origin) in enumerate(zip(batch.labels, batch.origins, strict=True)):
            lows_highs = [(int(p.min()), int(p.max()) + 1) for p in np.nonzero(ids == label)]
            assert origin == tuple((a + b - n) // 2 for (a, b), n in zip(lows_highs, (2, 9, 7), strict=True))
            around = tuple(slice(a + 20, a + 20 + n) for a, n in zip(origin, (2, 9, 7), strict=True))
            mask = np.pad(ids == label, 20)[around]
            kept = np.where(ids == label, pixels, fill) if masked else pixels
            expected = np.pad(kept, [(0, 0), *[(20, 20)] * 3], constant_values=pad)[(slice(None), *around)]
            np.testing.assert_array_equal(backend.host(batch.masks)[row], mask, strict=True)
            np.testing.assert_array_equal(backend.host(batch.pixels)[row], expected.astype("uint16"), strict=True)


def test_a_function_gets_and_gives_arrays_of_the_device_and_units_are_written_there(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    two = backend.backend.full((), 2, "uint16")
    image.map(lambda pixels: pixels * two, output=image)
    ids, pixels = sample_ids(), sample_pixels()
    np.testing.assert_array_equal(arrays(one_store)["0"], np.where(ids > 0, pixels * 2, pixels))


# ------------------------------------------------------------------------------------------------------ batches
def test_a_batch_of_planes_leaves_out_axes_of_size_one_and_selected_ones(one_store: Path) -> None:
    image = masked_sample(one_store)
    batch = image.gather(shape={"y": 8, "x": 6}, z=1, c=0)
    assert (batch.axes, batch.pixels.shape, batch.masks.shape) == (("n", "y", "x"), (3, 8, 6), (3, 8, 6))
    assert image.gather([1], shape=(8, 6), z=1, c=[1, 0]).pixels.shape == (1, 2, 8, 6)
    np.testing.assert_array_equal(
        image.gather([1], shape=(8, 6), z=1, c=[1, 0]).pixels[0, 1], image.gather([1], shape=(8, 6), z=1, c=0).pixels[0]
    )
    empty = image.gather([], shape=(8, 6), z=1)
    assert (len(empty), empty.pixels.shape, empty.labels) == (0, (0, 2, 8, 6), ())


def test_batches_of_k_hold_the_rows_of_the_one_batch(one_store: Path, counted: dict[str, Counter[Any]]) -> None:
    image = masked_sample(one_store)
    whole = image.gather(shape=(2, 8, 8))
    counted["reads"].clear()
    for order in ("chunks", "given"):
        parts = list(image.iter_batches(size=2, shape=(2, 8, 8), order=order))
        assert [len(part) for part in parts] == [2, 1]
        labels = [label for part in parts for label in part.labels]
        assert sorted(labels) == [1, 7, 300]
        rows = np.concatenate([part.pixels for part in parts])
        for row, label in zip(rows, labels, strict=True):
            np.testing.assert_array_equal(row, whole.pixels[whole.labels.index(label)])
    assert set(counted["reads"].values()) == {2}  # once for either order


def test_a_label_of_one_plane_masks_all_planes_of_a_batch() -> None:
    pixels = np.arange(3 * 12 * 12, dtype="uint16").reshape(3, 12, 12)
    ids = np.zeros((1, 12, 12), "uint8")
    ids[0, 2:6, 3:7] = 9
    container = omexp.create_ome_zarr_from_array({}, pixels, axes_names="zyx", xy_pixelsize=UM)
    plane = omexp.create_ome_zarr_from_array({}, ids, axes_names="zyx", xy_pixelsize=UM).get_image()
    container.derive_label("nuclei", ref_image=plane).set_array(ids)
    batch = container.get_masked_image("nuclei").gather(shape=(3, 4, 4))
    np.testing.assert_array_equal(batch.pixels[0], pixels[:, 2:6, 3:7])
    assert batch.masks.all()


@pytest.mark.parametrize(
    ("shape", "keywords", "complaint"),
    [
        ((4,), {"z": 0}, None),
        ((0, 4), {"z": 0}, "shape of the crops is not understood"),
        ((1, 1, 4, 4), {}, "shape of the crops is not understood"),
        ("ab", {}, "shape of the crops is not understood"),
        ({"q": 4}, {}, "shape of the crops is not understood"),
        ((4, 4), {"z": 0, "y": 1}, "y is in shape and selected, too"),
        ((4, 4), {}, "objects reach along z, so a batch needs a size for it"),
        ((4, 4), {"z": slice(0, 2)}, "objects reach along z"),
    ],
)
def test_shapes_that_make_no_batch_are_refused(one_store: Path, shape: Any, keywords: dict[str, Any], complaint: str | None) -> None:
    image = masked_sample(one_store)
    with pytest.raises(ArgumentError, match=complaint or "objects reach along y"):
        image.gather(shape=shape, **keywords)


# -------------------------------------------------------------------------------------------------------- counts
def test_each_chunk_is_read_once_and_each_write_unit_written_once(store: Path, counted: dict[str, Counter[Any]]) -> None:
    image = masked_sample(store)
    image.labels()
    for counter in counted.values():
        counter.clear()
    done = image.map(lambda pixels: pixels + np.uint16(1), output=image, consolidate=False, workers=2)
    label_reads = [n for (where, _), n in counted["reads"].items() if "labels" in where]
    assert set(label_reads) == {1}
    assert set(counted["units"].values()) == {1}
    assert len(counted["units"]) == done.units
    mine = Counter(where for where, _ in counted["reads"].elements() if "labels" not in where)
    assert sum(mine.values()) == done.plan.decoded - len(label_reads) + done.units  # a unit is read once more, to be changed


def test_the_coarser_levels_are_rebuilt_only_where_something_was_written(one_store: Path) -> None:
    image = masked_sample(one_store)
    done = image.map(lambda pixels: pixels + np.uint16(1), [7], output=image)
    assert done.built is not None
    after = arrays(one_store)
    image.consolidate()
    np.testing.assert_equal(arrays(one_store), after)
    assert image.map(np.sum, [7]).built is None


def test_a_small_budget_decodes_again_and_says_so(one_store: Path, counted: dict[str, Counter[Any]]) -> None:
    image = masked_sample(one_store)
    image.labels()
    counted["reads"].clear()
    objects = image.iter_rois([300, 7, 300, 7], order="given", max_memory=2_000)
    assert objects.plan.decoded_again > 0
    assert objects.plan.peak_bytes <= 2_000
    assert f"{objects.plan.decoded_again} of them again" in repr(objects)
    assert not counted["reads"]
    assert [label for label, _ in objects] == [300, 7, 300, 7]
    assert counted["reads"].total() == objects.plan.decoded
    with pytest.raises(ArgumentError, match="so little memory"):
        image.iter_rois(max_memory=10)
    with pytest.raises(ArgumentError, match="and what is to be written"):
        image.map(lambda pixels: pixels, output=image, max_memory=2_000)


def test_leaving_the_loop_ends_the_decoding(one_store: Path) -> None:
    objects = masked_sample(one_store).iter_rois(workers=2)
    assert next(objects)[0] in (1, 7, 300)
    objects.close()
    assert list(objects) == []


# ------------------------------------------------------------------------------------------------ reading and writing
def test_no_call_sees_what_another_one_has_given(one_store: Path) -> None:
    image = masked_sample(one_store)
    before = {label: image.get_roi(label, zoom_factor=3.0) for label in image.labels()}
    seen = {}

    def function(label: int, pixels: Any, mask: Any) -> Any:
        seen[label] = pixels.copy()
        return np.zeros_like(pixels)

    image.map(function, output=image, masked=False, with_mask=True, zoom_factor=3.0)
    assert sorted(seen) == sorted(before)
    for label, pixels in before.items():
        np.testing.assert_array_equal(seen[label], pixels)
    np.testing.assert_array_equal(arrays(one_store)["0"], np.where(sample_ids() > 0, 0, sample_pixels()))


def test_pixels_of_an_image_make_a_label_of_fewer_axes(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    bright = container.derive_label("bright")
    masks = {}

    def segment(label: int, pixels: Any, mask: Any) -> Any:
        masks[label] = mask
        return np.where(pixels > 30_000, label, 0).astype("uint32")

    container.get_masked_image("nuclei").map(segment, output=bright, c=1, with_mask=True)
    ids = sample_ids()
    np.testing.assert_array_equal(arrays(one_store)["labels/bright/0"], np.where(sample_pixels()[1] > 30_000, ids, 0))
    assert masks[1].shape == (2, 5, 7)
    assert masks[1].all()


def test_results_without_an_output_come_by_label_in_the_given_order(one_store: Path) -> None:
    image = masked_sample(one_store)
    done = image.map(lambda pixels: int(pixels.max()), [300, 1, 7], workers=2)
    assert list(done) == [300, 1, 7]
    assert done[7] == int(image.get_roi_masked(7).max())
    masks = image.map(lambda label, pixels, mask: (label, mask.shape, pixels.shape), with_mask=True, masked=False)
    assert masks[1] == (1, (1, 2, 5, 7), (2, 2, 5, 7))


def test_a_masked_label_is_changed_too(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    container.derive_label("cells").set_array(sample_ids())
    cells = container.get_masked_label("cells", masking_label_name="nuclei")
    cells.map(lambda ids: ids * np.uint32(2), output=cells)
    np.testing.assert_array_equal(arrays(one_store)["labels/cells/0"], sample_ids() * 2)


# ------------------------------------------------------------------------------------------------------- failures
def test_a_function_that_fails_is_named_with_its_label_and_leaves_whole_units(one_store: Path) -> None:
    image, before = masked_sample(one_store), arrays(one_store)

    def function(label: int, pixels: Any, mask: Any) -> Any:
        if label == 7:
            raise ZeroDivisionError("by seven")
        return pixels + np.uint16(1)

    message = r"the function failed for label 7; got ZeroDivisionError: by seven\. \d+ of \d+ write units had been written, each whole"
    with pytest.raises(FunctionError, match=message) as raised:
        image.map(function, [300, 1, 7], output=image, with_mask=True, order="given")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    after, ids = arrays(one_store), sample_ids()
    complete = np.where((ids == 300) | (ids == 1), before["0"] + 1, before["0"])
    changed = after["0"] != before["0"]
    np.testing.assert_array_equal(after["0"][changed], complete[changed])
    image.consolidate()
    np.testing.assert_equal(arrays(one_store), after)  # the coarser levels fitted what was written
    with pytest.raises(FunctionError, match="label 7"):
        image.map(lambda pixels: 1 / 0, [7])


@pytest.mark.parametrize(
    ("result", "complaint"),
    [(lambda p: p[..., :1], "does not have the shape of the selection"), (lambda p: p / 2, "dtype"), (lambda p: 5, "not an array")],
)
def test_what_cannot_be_written_is_refused_with_its_label(one_store: Path, result: Callable[[Any], Any], complaint: str) -> None:
    image, before = masked_sample(one_store), arrays(one_store)
    with pytest.raises(FunctionError, match=f"for label .*{complaint}"):
        image.map(result, output=image)
    np.testing.assert_equal(arrays(one_store), before)


def test_outputs_on_another_grid_device_or_read_only_are_refused(one_store: Path) -> None:
    import array_api_strict

    image = masked_sample(one_store)
    container = omexp.open_ome_zarr_container(one_store)
    with pytest.raises(ArgumentError, match="the output lies on another grid"):
        image.map(lambda pixels: pixels, output=container.get_image(path="1"))
    with pytest.raises(ArgumentError, match="the output is no image or label"):
        image.map(lambda pixels: pixels, output=np.zeros(3))
    with pytest.raises(BackendMismatchError, match="the output lives on another device"):
        image.map(lambda pixels: pixels, output=omexp.open_ome_zarr_container(one_store, device=array_api_strict).get_image())
    with pytest.raises(ReadOnlyError):
        image.map(lambda pixels: pixels, output=omexp.open_ome_zarr_container(one_store, mode="r").get_image())
    with pytest.raises(SelectionError, match="names an index twice"):
        image.map(lambda pixels: pixels, output=image, c=[0, 0])
    with pytest.raises(ArgumentError, match="map calls a function"):
        image.map(5)


def test_arguments_that_cannot_be_are_refused_before_anything_is_read(one_store: Path) -> None:
    image = masked_sample(one_store)
    for keywords, error, complaint in [
        ({"labels": [1, 5]}, NameNotFoundError, "no such object; got label 5"),
        ({"labels": ["a"]}, ArgumentError, "integer id"),
        ({"order": "random"}, ArgumentError, "the order is not understood"),
        ({"zoom_factor": 0}, ArgumentError, "zoom_factor"),
        ({"margin": -1}, ArgumentError, "margin"),
        ({"max_memory": 0}, ArgumentError, "max_memory must be a whole number"),
        ({"workers": 0}, ArgumentError, "workers must be a whole number"),
        ({"mode": "dask"}, ArgumentError, "not lazily"),
        ({"mode": "torch"}, ArgumentError, "mode is not understood"),
        ({"fill_value": -1}, DTypeError, "cannot hold the fill value"),
        ({"c": 9}, SelectionError, "outside axis 'c'"),
        ({"q": 0}, SelectionError, "there is no axis 'q'"),
    ]:
        with pytest.raises(error, match=complaint):
            image.iter_rois(**keywords)
    with pytest.raises(ArgumentError, match="workers must be a whole number"):
        image.map(np.sum, workers=0)
    with pytest.raises(ArgumentError, match="size of a batch"):
        image.iter_batches(size=0, shape=(2, 4, 4))
    assert list(image.iter_rois([])) == []


def test_boxes_are_found_anew_after_writes_to_the_label_that_masks() -> None:
    container = omexp.create_empty_ome_zarr({}, (32, 32), xy_pixelsize=UM, levels=1)
    container.derive_label("cells").set_array(np.full((6, 6), 3, "uint32"), y=slice(4, 10), x=slice(4, 10))
    own = container.get_masked_label("cells", "cells")
    assert own.labels() == [3]
    own.set_array(np.full((2, 2), 8, "uint32"), y=slice(20, 22), x=slice(20, 22))
    assert own.labels() == [3, 8]
    own.map(lambda ids: np.where(ids == 3, 9, ids).astype("uint32"), output=own)
    assert own.labels() == [8, 9]
    own.set_roi_masked(9, np.zeros((6, 6), "uint32"))
    image = container.get_masked_image("cells")
    assert own.labels() == image.labels() == [8]
    image.map(lambda pixels: np.full(pixels.shape, 5, "uint32"), output=image.masking_label)
    assert image.labels() == [5]


def test_a_pad_that_the_dtype_does_not_hold_is_named_and_a_failure_ends_in_one_full_stop(one_store: Path) -> None:
    image = masked_sample(one_store)
    with pytest.raises(DTypeError, match="^pad: uint16 cannot hold the pad; got -1"):
        image.gather(shape=(2, 4, 4), pad=-1)

    def fails(pixels: Any) -> Any:
        raise ValueError("It ends.")

    with pytest.raises(FunctionError, match=r"got ValueError: It ends\. 0 of"):
        image.map(fails, output=image)


def test_progress_counts_the_objects_boxes(one_store: Path) -> None:
    image = masked_sample(one_store)
    told: list[tuple[int, int]] = []
    image.map(np.sum, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] == sum(pixels.nbytes for _, pixels in image.iter_rois())


def test_a_pixel_of_two_names_for_one_object_takes_the_later_one(one_store: Path) -> None:
    image = masked_sample(one_store)
    values = iter([np.uint16(3), np.uint16(4)])
    image.map(lambda pixels: np.full_like(pixels, next(values)), [1, 1], output=image, order="given")
    assert (image.get_roi_masked(1) == 4).all()
