"""Objects read and written by id, against plain NumPy: where(label == id, image, 0), cropped to the object's box."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import omexp
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError, NameNotFoundError
from tests.conftest import Case
from tests.stores import arrays, sample_ids, sample_pixels

PIXEL_UM = 0.5


def masked_sample(store: Path, case: Case) -> omexp.MaskedImage:
    return omexp.open_ome_zarr_container(store, device=case.backend).get_masked_image("nuclei")


def box_of(ids: np.ndarray, label: int) -> tuple[slice, ...]:
    return tuple(slice(int(p.min()), int(p.max()) + 1) for p in np.nonzero(ids == label))


# --------------------------------------------------------------------------------------------------- one sample
@pytest.mark.parametrize("label", [1, 7, 300])
def test_an_object_is_its_box_and_its_masked_pixels(store: Path, backend: Case, label: int) -> None:
    image, pixels, ids = masked_sample(store, backend), sample_pixels(), sample_ids()
    box = (slice(None), *box_of(ids, label))
    plain, masked = image.get_roi(label), image.get_roi_masked(label)
    assert backend.holds(plain)
    assert backend.holds(masked)
    np.testing.assert_array_equal(backend.host(plain), pixels[box], strict=True)
    np.testing.assert_array_equal(backend.host(masked), np.where(ids == label, pixels, 0).astype("uint16")[box], strict=True)


def test_axes_channels_and_order_are_selected_as_in_an_image(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    masked = np.where(sample_ids() == 7, sample_pixels(), 0)[:, 1:3, 0:20, 20:30]
    got = backend.host(image.get_roi_masked(7, c=1, axes_order="xyzc"))
    np.testing.assert_array_equal(got, masked[1].transpose(2, 1, 0)[..., None])
    np.testing.assert_array_equal(backend.host(image.get_roi_masked(7, channel_selection="GFP", z=2)), masked[1, 1])
    whole_x = np.where(sample_ids() == 7, sample_pixels(), 0)[:, 1:3, 0:20]
    np.testing.assert_array_equal(backend.host(image.get_roi_masked(7, x=slice(None, None, -2))), whole_x[..., ::-2])
    np.testing.assert_array_equal(backend.host(image.get_roi_masked(7, y=[19, 0])), masked[:, :, [19, 0]])


def test_numpy_comes_out_when_asked_for(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    for got in (
        image.get_roi_masked_as_numpy(1),
        image.get_roi_masked(1, mode="numpy"),
        image.get_roi_as_numpy(1),
        image.get_roi(1, mode="numpy"),
    ):
        assert type(got) is np.ndarray
    np.testing.assert_array_equal(image.get_roi_masked_as_numpy(1), backend.host(image.get_roi_masked(1)))
    with pytest.raises(ArgumentError, match="mode is not understood; got 'torch'"):
        image.get_roi_masked(1, mode="torch")


def test_dask_comes_out_when_asked_for(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_masked_image("nuclei")
    for lazy, now in [
        (image.get_roi_masked_as_dask(7, c=0), image.get_roi_masked(7, c=0)),
        (image.get_roi_as_dask(7, 1.5), image.get_roi(7, 1.5)),
        (image.get_roi_masked(7, mode="dask", axes_order="tzyxc"), image.get_roi_masked(7, axes_order="tzyxc")),
    ]:
        assert (lazy.shape, lazy.dtype) == (now.shape, now.dtype)
        np.testing.assert_array_equal(lazy.compute(), now)


def test_pixels_outside_are_the_fill_value(one_store: Path, backend: Case) -> None:
    got = backend.host(masked_sample(one_store, backend).get_roi_masked(300, fill_value=9))
    box = box_of(sample_ids(), 300)
    np.testing.assert_array_equal(got, np.where(sample_ids() == 300, sample_pixels(), 9)[(slice(None), *box)])
    with pytest.raises(DTypeError, match="uint16 cannot hold the fill value; got -1"):
        masked_sample(one_store, backend).get_roi_masked(300, fill_value=-1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_writing_an_object_changes_its_pixels_only(store: Path, backend: Case, dtype: str) -> None:
    image, before = masked_sample(store, backend), arrays(store)
    box = (slice(None), *box_of(sample_ids(), 300))
    patch = sample_pixels(dtype, seed=5)[box]
    image.set_roi_masked(300, backend.array(patch))
    expected = before["0"].copy()
    expected[box] = np.where(sample_ids()[box[1:]] == 300, patch, expected[box])
    after = arrays(store)
    np.testing.assert_array_equal(after.pop("0"), expected)
    for path, array in after.items():
        np.testing.assert_array_equal(array, before[path])
    np.testing.assert_array_equal(backend.host(image.get_roi_masked(300)), np.where(sample_ids()[box[1:]] == 300, patch, 0))


def test_what_was_read_masked_can_be_written_back(one_store: Path, backend: Case) -> None:
    image, before = masked_sample(one_store, backend), arrays(one_store)
    for keywords in ({}, {"c": 0, "axes_order": "xyz"}, {"zoom_factor": 2}, {"y": slice(None, None, -1)}):
        image.set_roi_masked(7, image.get_roi_masked(7, **keywords), **keywords)
    np.testing.assert_array_equal(arrays(one_store)["0"], before["0"])


def test_lazy_patches_of_an_object_are_computed_and_written(one_store: Path, backend: Case) -> None:
    import dask
    import dask.array as da

    image = masked_sample(one_store, backend)
    box = (slice(None), *box_of(sample_ids(), 1))
    patch = np.full(sample_pixels()[box].shape, 5, "uint16")
    image.set_roi_masked(1, da.from_array(patch))
    assert (backend.host(image.get_roi_masked(1)) == 5).all()
    image.set_roi_masked(1, dask.delayed(lambda: backend.array(patch + 1))())
    assert (backend.host(image.get_roi_masked(1)) == 6).all()


def test_writing_a_box_changes_the_whole_box(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    box = (slice(None), *box_of(sample_ids(), 300))
    patch = np.zeros(sample_pixels()[box].shape, "uint16")
    image.set_roi(300, backend.array(patch))
    expected = sample_pixels()
    expected[box] = 0
    np.testing.assert_array_equal(arrays(one_store)["0"], expected)


def test_a_masked_label_reads_and_writes_ids(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    cells = np.arange(1800, dtype="uint32").reshape(3, 20, 30)
    container.derive_label("cells").set_array(backend.array(cells))
    masked = container.get_masked_label("cells", masking_label_name="nuclei")
    box = box_of(sample_ids(), 1)
    got = masked.get_roi_masked(1)
    assert backend.holds(got)
    np.testing.assert_array_equal(backend.host(got), cells[box], strict=True)  # object 1 fills its box
    masked.set_roi_masked(300, backend.array(np.zeros((2, 7, 9), "uint32")))
    np.testing.assert_array_equal(arrays(one_store)["labels/cells/0"], np.where(sample_ids() == 300, 0, cells))
    assert isinstance(masked, omexp.Label)


# ------------------------------------------------------------------------------------------ usable as an Image
def test_a_masked_image_is_usable_wherever_an_image_is(one_store: Path, backend: Case) -> None:
    image, pixels = masked_sample(one_store, backend), sample_pixels()
    assert isinstance(image, omexp.Image)
    roi = omexp.Roi.from_values({"y": (1.0, 5.0), "x": (2.5, 3.0)})
    np.testing.assert_array_equal(backend.host(image.get_roi(roi)), pixels[:, :, 2:12, 5:11])
    np.testing.assert_array_equal(image.get_roi_as_numpy(roi, c=0), pixels[0, :, 2:12, 5:11])
    image.set_roi(roi, backend.array(np.zeros((2, 3, 10, 6), "uint16")))
    pixels[:, :, 2:12, 5:11] = 0
    np.testing.assert_array_equal(backend.host(image.get_array()), pixels)
    image.set_array(backend.array(pixels[0]), c=1)
    image.consolidate(device=backend.backend, workers=1)
    np.testing.assert_array_equal(arrays(one_store)["1"], omexp.downsample(pixels[[0, 0]], (1, 1, 2, 2)))
    assert image.channel_labels == ["DAPI", "GFP"]
    assert repr(image).startswith("MaskedImage(path=0, c: 2")
    assert repr(image).endswith("masked by nuclei)")


def test_the_objects_are_known_by_id_with_where_their_boxes_come_from(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    image = container.get_masked_image("nuclei")
    assert image.labels() == [1, 7, 300]
    assert image.objects.source == "the pixels of label 'nuclei'"
    container.add_table("boxes", container.build_masking_roi_table("nuclei"))
    assert container.get_masked_image("nuclei").objects.source == "a masking ROI table"
    assert container.get_masked_image(masking_table_name="boxes").masking_label.meta.name == "nuclei"


def test_boxes_from_a_table_and_from_the_label_agree(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    found = container.get_masked_image("nuclei")
    container.add_table("boxes", container.build_masking_roi_table("nuclei"))
    listed = container.get_masked_image("nuclei", masking_table_name="boxes")
    assert found.labels() == listed.labels()
    for label in found.labels():
        for level in ("0", "1", "2"):
            a, b = (container.get_masked_image("nuclei", masking_table_name=t, path=level) for t in ("boxes", None))
            np.testing.assert_array_equal(a.get_roi_masked_as_numpy(label), b.get_roi_masked_as_numpy(label))
        np.testing.assert_array_equal(found.get_roi_masked_as_numpy(label, 1.7), listed.get_roi_masked_as_numpy(label, 1.7))


def test_a_table_of_another_label_is_refused(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    container.derive_label("cells")
    container.add_table("boxes", container.build_masking_roi_table("nuclei"))
    with pytest.raises(ArgumentError, match=r"tables/boxes: the table refers to another label; got 'nuclei'; allowed: 'cells'"):
        container.get_masked_image("cells", "boxes")
    with pytest.raises(ArgumentError, match="name a masking label or a masking table; got neither.*say what there is"):
        container.get_masked_image()


def test_an_unknown_object_is_refused_with_some_that_there_are(one_store: Path, backend: Case) -> None:
    image = masked_sample(one_store, backend)
    patch = image.get_roi_masked(1)
    for label in (2, 0, -1, 2**40, np.int64(5)):
        message = rf"no such object; got label {int(label)}; allowed: 3 ids, such as 1, 7, 300. Boxes come from"
        for get in (image.get_roi, image.get_roi_masked, lambda i: image.set_roi_masked(i, patch)):
            with pytest.raises(NameNotFoundError, match=message):
                get(label)


def test_what_is_no_id_or_does_not_fit_is_refused(one_store: Path, backend: Case) -> None:
    image, before = masked_sample(one_store, backend), arrays(one_store)["0"]
    patch = backend.host(image.get_roi_masked(1))
    with pytest.raises(ArgumentError, match="label must be an integer id; got '1'"):
        image.get_roi("1")
    with pytest.raises(ArgumentError, match="zoom_factor must be a positive number"):
        image.get_roi_masked(1, zoom_factor=0)
    with pytest.raises(ArgumentError, match=r"the patch does not have the shape of the selection; got \(1,\)"):
        image.set_roi_masked(1, backend.array(patch.reshape(-1)[:1]))
    with pytest.raises(DTypeError, match="got float32"):
        image.set_roi_masked(1, backend.array(patch.astype("float32")))
    if not backend.backend.is_host:
        with pytest.raises(BackendMismatchError, match="the patch lives on another device"):
            image.set_roi_masked(1, patch)
    np.testing.assert_array_equal(arrays(one_store)["0"], before)


# ---------------------------------------------------------------------------------------------------------- zoom
@settings(max_examples=10)
@given(zoom=st.floats(0.1, 6.0), label=st.sampled_from([1, 7, 300]))
def test_zoom_scales_x_and_y_about_the_centre_then_clips(samples: dict[str, Path], backend: Case, zoom: float, label: int) -> None:
    image = masked_sample(samples["0.4"], backend)
    box = box_of(sample_ids(), label)
    spans = [box[0]]
    for s, n in zip(box[1:], (20, 30), strict=True):
        grown = (zoom - 1) * (s.stop - s.start) / 2
        low, high = s.start - grown, s.stop + grown
        assume(all(abs(abs(v - round(v)) - 0.01) > 1e-6 for v in (low, high)))  # not on the border of the snapping rule
        low, high = (round(v) if abs(v - round(v)) <= 0.01 else f(v) for v, f in ((low, math.floor), (high, math.ceil)))
        spans.append(slice(min(max(low, 0), n), min(max(high, 0), n)))
    expected = np.where(sample_ids() == label, sample_pixels(), 0)[(slice(None), *spans)]
    np.testing.assert_array_equal(backend.host(image.get_roi_masked(label, zoom)), expected)
    np.testing.assert_array_equal(backend.host(image.get_roi(label, zoom_factor=zoom)), sample_pixels()[(slice(None), *spans)])


def test_zoom_keeps_the_centre_of_the_box() -> None:
    roi = omexp.Roi.from_values({"z": (1.0, 2.0), "y": (10.0, 5.0), "x": (0.0, 4.0)}, label=3)
    for zoom in (0.5, 1, 2, 3.7):
        zoomed = roi.zoom(zoom)
        for axis, scale in (("z", 1), ("y", zoom), ("x", zoom)):
            assert zoomed[axis].start + zoomed[axis].length / 2 == pytest.approx(roi[axis].start + roi[axis].length / 2)
            assert zoomed[axis].length == pytest.approx(scale * roi[axis].length)


# ---------------------------------------------------------------------------------------- labels on other grids
@st.composite
def grids(draw: Any) -> dict[str, Any]:
    """An image, a label on another grid over it, and the pixel size of the label in image pixels."""
    axes = draw(st.sampled_from(["yx", "zyx", "cyx", "tzyx", "tczyx"]))
    sizes = {"t": 2, "c": 2, "z": draw(st.integers(1, 3)), "y": draw(st.integers(2, 9)), "x": draw(st.integers(2, 9))}
    ratio = draw(st.sampled_from([1.0, 2.0, 3.0, 1.5, 0.5, 1 / 3, 2 / 3]))  # label pixel / image pixel
    label_axes = [a for a in axes if a != "c" and (a in "yx" or draw(st.booleans()))]
    if "t" in label_axes and "z" in axes and "z" not in label_axes:
        label_axes.insert(1, "z")
    label_sizes = {a: max(1, math.ceil(sizes[a] / ratio)) if a in "yx" else draw(st.sampled_from([1, sizes[a]])) for a in label_axes}
    draw_ids = np.random.default_rng(draw(st.integers(0, 999)))
    ids = draw_ids.choice([0, 3, 2**31, 2**63 + 1], [label_sizes[a] for a in label_axes]).astype("uint64")
    ids.flat[0] = 3  # there is an object
    pixels = draw_ids.integers(1, 250, [sizes[a] for a in axes], dtype="uint8")
    return {"axes": axes, "pixels": pixels, "label_axes": "".join(label_axes), "ids": ids, "ratio": ratio}


def on_image_grid(grid: dict[str, Any]) -> np.ndarray:
    """The label over all axes of the image: nearest by the rule of the docs, broadcast along axes where it has none or one."""
    axes, label_axes, ids, shape = grid["axes"], grid["label_axes"], grid["ids"], grid["pixels"].shape
    for axis in "yx":
        at = label_axes.index(axis)
        ids = np.take(ids, [nearest(i, 1 / grid["ratio"], ids.shape[at]) for i in range(shape[axes.index(axis)])], axis=at)
    ids = ids.reshape([ids.shape[label_axes.index(a)] if a in label_axes else 1 for a in axes])
    return np.broadcast_to(ids, shape)


def nearest(index: int, ratio: float, size: int) -> int:
    """A whole ratio takes the first pixel of the window, a whole inverse the enlarged one, else the one that holds the centre."""
    if abs(ratio - round(ratio)) < 1e-6:
        found = index * round(ratio)
    elif abs(1 / ratio - round(1 / ratio)) < 1e-6:
        found = index // round(1 / ratio)
    else:
        found = math.floor((index + 0.5) * ratio)
    return min(found, size - 1)


def make_grid(grid: dict[str, Any], case: Case) -> omexp.OmeZarrContainer:
    container = omexp.create_ome_zarr_from_array(
        {}, grid["pixels"], axes_names=grid["axes"], xy_pixelsize=PIXEL_UM, levels=1, percentiles=None, device=case.backend, workers=1
    )
    other = omexp.create_empty_ome_zarr(
        {}, grid["ids"].shape, axes_names=grid["label_axes"], xy_pixelsize=PIXEL_UM * grid["ratio"], levels=1, device=case.backend
    )
    container.derive_label("cells", ref_image=other.get_image(), dtype="uint64").set_array(case.array(grid["ids"]))
    return container


def box_on_image(grid: dict[str, Any], label: int) -> tuple[slice, ...]:
    """The box of an object in image pixels: that of its label pixels, scaled; all of an axis where the label has none or one pixel."""
    found = dict(zip(grid["label_axes"], box_of(grid["ids"], label), strict=True))
    spans = []
    for axis, n in zip(grid["axes"], grid["pixels"].shape, strict=True):
        if axis not in found or grid["ids"].shape[grid["label_axes"].index(axis)] == 1:
            spans.append(slice(0, n))
            continue
        ratio = grid["ratio"] if axis in "yx" else 1
        low, high = found[axis].start * ratio, found[axis].stop * ratio
        spans.append(slice(min(math.floor(low + 1e-6), n), min(math.ceil(high - 1e-6), n)))
    return tuple(spans)


@settings(max_examples=6)
@given(grid=grids())
def test_a_label_on_another_grid_masks_by_nearest_index(backend: Case, grid: dict[str, Any]) -> None:
    image = make_grid(grid, backend).get_masked_image("cells")
    ids = on_image_grid(grid)
    for label in image.labels():
        box = box_on_image(grid, label)
        got = image.get_roi_masked(label)
        assert backend.holds(got)
        np.testing.assert_array_equal(backend.host(got), np.where(ids == label, grid["pixels"], 0).astype("uint8")[box], strict=True)


@settings(max_examples=6)
@given(grid=grids(), zoom=st.sampled_from([1, 2]))
def test_writing_through_a_label_on_another_grid_changes_the_object_only(backend: Case, grid: dict[str, Any], zoom: int) -> None:
    container = make_grid(grid, backend)
    image, ids = container.get_masked_image("cells"), on_image_grid(grid)
    label = image.labels()[-1]
    patch = np.full(image.get_roi_masked(label, zoom).shape, 255, "uint8")
    image.set_roi_masked(label, backend.array(patch), zoom)
    box = box_on_image(grid, label) if zoom == 1 else (slice(None),) * ids.ndim
    changed = np.zeros(ids.shape, bool)
    changed[box] = (ids == label)[box]
    after = image.get_as_numpy()
    if zoom == 1:
        np.testing.assert_array_equal(after, np.where(changed, 255, grid["pixels"]))
    np.testing.assert_array_equal(after[~changed], grid["pixels"][~changed])
    np.testing.assert_array_equal(
        backend.host(image.get_roi_masked(label, zoom)), np.where(image.get_roi_masked_as_numpy(label, zoom) > 0, 255, 0)
    )


def test_a_label_with_one_plane_stands_for_the_whole_stack(backend: Case) -> None:
    pixels = np.arange(5 * 4 * 4, dtype="uint16").reshape(5, 4, 4)
    container = omexp.create_ome_zarr_from_array({}, pixels, xy_pixelsize=1, z_spacing=2, levels=1, device=backend.backend)
    flat = omexp.create_empty_ome_zarr({}, (1, 4, 4), xy_pixelsize=1, z_spacing=2, levels=1)
    label = container.derive_label("cells", ref_image=flat.get_image())
    ids = np.zeros((1, 4, 4), "uint32")
    ids[0, 1:3, 2:4] = 4
    label.set_array(backend.array(ids))
    found = container.get_masked_image("cells")
    container.add_table("boxes", container.build_masking_roi_table("cells"))
    for image in (found, container.get_masked_image("cells")):
        np.testing.assert_array_equal(image.get_roi_masked_as_numpy(4), pixels[:, 1:3, 2:4])
        np.testing.assert_array_equal(image.get_roi_masked_as_numpy(4, z=2), pixels[2, 1:3, 2:4])


def test_a_label_with_axes_that_the_image_lacks_is_refused(backend: Case) -> None:
    container = omexp.create_empty_ome_zarr({}, (4, 4), xy_pixelsize=1, levels=1, device=backend.backend)
    stack = omexp.create_empty_ome_zarr({}, (3, 4, 4), xy_pixelsize=1, levels=1)
    container.derive_label("cells", ref_image=stack.get_image())
    with pytest.raises(
        ArgumentError, match="the masking label has axes that the image has not; got label axes z, y, x; allowed: axes y, x"
    ):
        container.get_masked_image("cells")


@pytest.mark.parametrize(
    ("dtype", "ids"), [("uint32", [2**31, 2**32 - 1]), ("uint64", [2**31, 2**63 + 1, 2**63 + 3]), ("bool", [1]), ("int16", [5])]
)
def test_ids_of_any_size_are_exact(tmp_path: Path, backend: Case, dtype: str, ids: list[int]) -> None:
    pixels = np.arange(1, 26, dtype="uint16").reshape(5, 5)
    container = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels, xy_pixelsize=1, levels=1, device=backend.backend)
    labels = np.zeros((5, 5), dtype)
    for i, label in enumerate(ids):
        labels[i, i : i + 2] = label
    container.derive_label("big", dtype=dtype).set_array(backend.array(labels))
    image = container.get_masked_image("big")
    assert image.labels() == ids
    for label in ids:
        expected = np.where(labels == labels.dtype.type(label), pixels, 0)
        np.testing.assert_array_equal(backend.host(image.get_roi_masked(label, 9)), expected)


def test_an_id_in_a_table_that_the_label_cannot_hold_has_no_pixels(tmp_path: Path, backend: Case) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (5, 5), xy_pixelsize=1, levels=1, device=backend.backend)
    container.derive_label("small", dtype="uint8")
    roi = omexp.Roi.from_values({"y": (0, 2.0), "x": (0, 3.0)}, label=70000)
    from omexp.containers.tables import MaskingRoiTable

    container.add_table("boxes", MaskingRoiTable([roi], reference_label="small"))
    got = container.get_masked_image("small").get_roi_masked(70000)
    assert got.shape == (2, 3)
    assert not backend.host(got).any()
