"""Reading and writing levels by axis name, on every backend, against plain NumPy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omexp
from omexp.backend import dtype_of, resolve_backend, to_host
from omexp.errors import ArgumentError, BackendMismatchError, DeviceUnavailableError, DTypeError, SelectionError
from tests.conftest import Case
from tests.reference import downsample_reference
from tests.stores import SHAPE, arrays, sample_ids, sample_pixels

AXES = ("c", "z", "y", "x")


def opened(store: Path, case: Case, path: str | None = None) -> omexp.Image:
    return omexp.open_ome_zarr_container(store, device=case.backend).get_image(path)


def check(case: Case, array: Any, expected: np.ndarray) -> None:
    """The array lives on the backend, has the dtype of the expected one, and its values."""
    assert case.holds(array)
    assert dtype_of(array) == expected.dtype
    np.testing.assert_array_equal(to_host(array), expected, strict=True)


# ------------------------------------------------------------------------------------------------ what comes out
def test_every_way_of_reading_gives_arrays_on_the_containers_device(store: Path, backend: Case) -> None:
    image, pixels = opened(store, backend), sample_pixels()
    roi = omexp.Roi.from_values({"y": (1.0, 5.0), "x": (2.5, 3.0)})
    check(backend, image.get_array(), pixels)
    check(backend, image.get_array(c=1, z=-1), pixels[1, -1])
    check(backend, image.get_array(c=[1, 0], y=slice(None, None, -3)), pixels[[1, 0]][:, :, ::-3])
    check(backend, image.get_roi(roi), pixels[:, :, 2:12, 5:11])
    check(backend, image.get_roi(roi, c=0, axes_order="xyz"), pixels[0, :, 2:12, 5:11].transpose(2, 1, 0))
    check(backend, image.get_array(mode="delayed").compute(), pixels)


def test_get_as_numpy_gives_numpy_whatever_the_device(one_store: Path, backend: Case) -> None:
    image, pixels = opened(one_store, backend), sample_pixels()
    roi = omexp.Roi.from_values({"y": (1.0, 5.0), "x": (2.5, 3.0)})
    for got, expected in [
        (image.get_as_numpy(c=0), pixels[0]),
        (image.get_array(mode="numpy", c=0), pixels[0]),
        (image.get_roi_as_numpy(roi), pixels[:, :, 2:12, 5:11]),
        (image.get_roi(roi, mode="numpy"), pixels[:, :, 2:12, 5:11]),
    ]:
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, expected, strict=True)


def test_get_as_cupy_gives_cupy_or_says_what_is_missing(one_store: Path, backend: Case) -> None:
    image = opened(one_store, backend)
    try:
        cuda = resolve_backend("cuda")
    except DeviceUnavailableError:
        for read in (image.get_as_cupy, lambda: image.get_array(mode="cupy")):
            with pytest.raises(DeviceUnavailableError, match="device 'cuda:0' cannot be used.*allowed: 'cpu'"):
                read()
    else:
        assert image.get_as_cupy().device == cuda.device


def test_dask_blocks_are_whole_chunks_on_the_containers_device(one_store: Path, backend: Case) -> None:
    if backend.backend.library == "array_api_strict":
        pytest.skip("dask compares dtypes of blocks with NumPy's, which array-api-strict refuses; NumPy and CuPy blocks work")
    image, pixels = opened(one_store, backend), sample_pixels()
    lazy = image.get_as_dask(c=1, y=slice(3, None))
    assert (lazy.shape, lazy.dtype) == ((3, 17, 30), np.dtype("uint16"))
    assert lazy.chunks == ((2, 1), (5, 8, 4), (16, 14))
    for index in [(0, 0, 0), (1, 2, 1)]:
        part = tuple(slice(sum(c[:i]), sum(c[: i + 1])) for c, i in zip(lazy.chunks, index, strict=True))
        check(backend, lazy.blocks[index].compute(), pixels[1, :, 3:][part])


def test_dask_arrays_equal_numpy_for_any_selection(one_store: Path) -> None:
    image, pixels = omexp.open_ome_zarr_container(one_store).get_image(), sample_pixels()
    lazy = image.get_as_dask(c=[1, 0, 1], z=-1, y=slice(15, 2, -4), x=slice(-3, None), axes_order="xyct")
    np.testing.assert_array_equal(lazy.compute(), pixels[[1, 0, 1], -1][:, 15:2:-4, -3:].transpose(2, 1, 0)[..., None], strict=True)
    assert image.get_array(mode="dask", x=slice(4, 4)).compute().shape == (2, 3, 20, 0)


def test_an_unknown_mode_is_refused(one_store: Path) -> None:
    with pytest.raises(ArgumentError, match=r"image.zarr/0: mode is not understood; got 'torch'; allowed: None, 'numpy'"):
        omexp.open_ome_zarr_container(one_store).get_image().get_array(mode="torch")


# --------------------------------------------------------------------------------------------- NumPy's slice rules
def picks(size: int, *, distinct: bool = False) -> st.SearchStrategy[Any]:
    bound = st.none() | st.integers(-size - 2, size + 2)
    slices = st.builds(slice, bound, bound, st.none() | st.integers(-3, 4).filter(bool))
    index = st.integers(-size, size - 1)
    many = st.lists(st.integers(0, size - 1), max_size=5, unique=True) if distinct else st.lists(index, max_size=5)
    as_arrays = many.map(lambda found: np.array(found, dtype="int32"))
    return st.none() | slices | index | index.map(np.int64) | many | as_arrays | many.map(tuple)


@st.composite
def selections(draw: Any, *, distinct: bool = False) -> tuple[dict[str, Any], list[str] | None]:
    slicing = {axis: draw(picks(n, distinct=distinct)) for axis, n in zip(AXES, SHAPE, strict=True) if draw(st.booleans())}
    if draw(st.booleans()):
        slicing["t"] = draw(st.sampled_from([None, 0, -1, slice(None), [0]]))
    order = draw(st.none() | st.permutations([*AXES, "t"]))
    return slicing, order


def in_order(array: np.ndarray, slicing: dict[str, Any]) -> np.ndarray:
    """The selection over all of c, z, y, x: one axis after another by NumPy's own rules, integers keeping size 1."""
    for axis, name in enumerate(AXES):
        pick = slicing.get(name)
        if isinstance(pick, (int, np.integer)):
            pick = [pick]
        pick = slice(None) if pick is None else pick if isinstance(pick, slice) else np.array(pick, dtype=int)
        array = array[(slice(None),) * axis + (pick,)]
    return array


def expected_of(array: np.ndarray, slicing: dict[str, Any], order: list[str] | None) -> np.ndarray:
    if order is not None:
        return in_order(array, slicing)[None].transpose([("t", *AXES).index(a) for a in order])
    dropped = tuple(i for i, a in enumerate(AXES) if isinstance(slicing.get(a), (int, np.integer)))
    return in_order(array, slicing).squeeze(dropped)


@given(chosen=selections())
def test_reading_a_selection_equals_numpy(samples: dict[str, Path], backend: Case, chosen: tuple[dict[str, Any], list[str] | None]) -> None:
    slicing, order = chosen
    image = opened(samples["0.5-sharded"], backend)
    check(backend, image.get_array(axes_order=order, **slicing), expected_of(sample_pixels(), slicing, order))


@settings(max_examples=20)
@given(chosen=selections(distinct=True), lazy=st.booleans())
def test_writing_a_selection_equals_numpy(
    one_store: Path, backend: Case, chosen: tuple[dict[str, Any], list[str] | None], lazy: bool
) -> None:
    slicing, order = chosen
    image = opened(one_store, backend)
    before = image.get_as_numpy()
    values = np.random.default_rng(before.sum()).integers(0, 2**16, expected_of(before, slicing, order).shape, dtype="uint16")
    image.set_array(da.from_array(values, chunks=16) if lazy and values.ndim else backend.array(values), axes_order=order, **slicing)
    indices = in_order(np.arange(before.size).reshape(SHAPE), slicing)
    stored_order = values if order is None else values.transpose([order.index(a) for a in ("t", *AXES)])
    before.reshape(-1)[indices.reshape(-1)] = stored_order.reshape(-1)
    np.testing.assert_array_equal(image.get_as_numpy(), before)
    check(backend, image.get_array(axes_order=order, **slicing), values)


def test_writing_changes_this_level_only(store: Path) -> None:
    before, values = arrays(store), sample_pixels(seed=4)
    omexp.open_ome_zarr_container(store).get_image().set_array(values[1, :, 3:], c=1, y=slice(3, None))
    before["0"][1, :, 3:] = values[1, :, 3:]
    after = arrays(store)
    assert before.keys() == after.keys()
    for path, array in after.items():
        np.testing.assert_array_equal(array, before[path], err_msg=path)


def test_what_was_read_can_be_written_back_as_it_is(store: Path, backend: Case) -> None:
    image = opened(store, backend)
    for selection in ({}, {"c": 0}, {"z": [2, 0], "axes_order": "xyzct"}, {"y": slice(None, None, -1), "x": -1}):
        image.set_array(image.get_array(**selection), **selection)
    np.testing.assert_array_equal(arrays(store)["0"], sample_pixels())


def test_axes_have_the_names_that_the_store_gives_them_and_the_usual_ones(tmp_path: Path) -> None:
    path = tmp_path / "upper.zarr"
    pixels = sample_pixels()
    omexp.create_ome_zarr_from_array(path, pixels, axes_names="czyx", xy_pixelsize=1, ngff_version="0.4", levels=1)
    attributes = path / ".zattrs"
    attributes.write_text(attributes.read_text().replace('"name": "x"', '"name": "X"').replace('"name": "c"', '"name": "wave"'))
    image = omexp.open_ome_zarr_container(path).get_image()
    assert image.axes == ("wave", "z", "y", "X")
    np.testing.assert_array_equal(image.get_array(x=3, wave=0), pixels[0, ..., 3])
    np.testing.assert_array_equal(image.get_array(c=1, X=slice(2), axes_order="Xyz"), pixels[1, ..., :2].transpose(2, 1, 0))
    np.testing.assert_array_equal(image.get_roi(omexp.Roi.from_values({"x": (1, 4)})), pixels[..., 1:5])


@pytest.mark.parametrize(
    ("slicing", "message"),
    [
        ({"c": 2}, "index 2 is outside axis 'c'; got 2; allowed: -2 to 1"),
        ({"y": [0, -21]}, "index -21 is outside axis 'y'"),
        ({"t": 1}, "no axis 't'"),
        ({"q": 0}, "there is no axis 'q'; got q=0; allowed: axes c, z, y, x"),
        ({"x": 1.5}, "axis 'x' cannot be indexed with that; got 1.5; allowed: int, slice, list of ints, None"),
        ({"x": [True] * 30}, "axis 'x' cannot be indexed with that"),
        ({"x": slice(0.5, 3.0)}, "integer bounds. Physical coordinates go into a Roi"),
    ],
)
def test_a_selection_that_the_image_cannot_give_is_refused(one_store: Path, slicing: dict[str, Any], message: str) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_image()
    with pytest.raises(SelectionError, match=message):
        image.get_array(**slicing)
    with pytest.raises(SelectionError, match=r"image\.zarr/0"):
        image.set_array(np.zeros(SHAPE, "uint16"), **slicing)


def test_leaving_out_an_axis_that_is_not_of_size_1_is_refused(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_image()
    with pytest.raises(ArgumentError, match="axes_order leaves out an axis that is not of size 1.*left out z.*for example c=0"):
        image.get_array(c=0, axes_order="yx")
    with pytest.raises(ArgumentError, match="names an axis twice"):
        image.get_array(axes_order="czyxx")


# --------------------------------------------------------------------------------------------------- channels
def test_channels_are_selected_by_name_index_or_list(one_store: Path, backend: Case) -> None:
    image, pixels = opened(one_store, backend), sample_pixels()
    assert image.channel_labels == ["DAPI", "GFP"]
    assert image.num_channels == 2
    check(backend, image.get_array(channel_selection="GFP"), pixels[1])
    check(backend, image.get_array(channel_selection=["GFP", 0]), pixels[[1, 0]])
    check(backend, image.get_array(channel_selection=np.int64(1)), pixels[1])
    image.set_array(backend.array(pixels[0]), channel_selection="GFP")
    check(backend, image.get_array(), pixels[[0, 0]])
    with pytest.raises(omexp.OmexpError, match="no channel has that name; got 'RFP'; allowed: DAPI, GFP"):
        image.get_array(channel_selection="RFP")
    with pytest.raises(ArgumentError, match="both c and channel_selection"):
        image.get_array(channel_selection="GFP", c=0)


# ------------------------------------------------------------------------------------------------------ patches
@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_a_patch_whose_every_value_fits_is_stored_in_the_levels_dtype(one_store: Path, backend: Case, dtype: str) -> None:
    image, values = opened(one_store, backend), sample_pixels(dtype)[0]
    image.set_array(backend.array(values), c=0)
    check(backend, image.get_array(c=0), values.astype("uint16"))


def test_a_patch_whose_values_may_not_fit_is_refused(one_store: Path, backend: Case) -> None:
    image = opened(one_store, backend)
    for dtype in ("int16", "uint32", "float32"):
        with pytest.raises(DTypeError, match=rf"got {dtype}; allowed: uint16 or a dtype inside it.*patch.astype\('uint16'\)"):
            image.set_array(backend.array(np.zeros(SHAPE, dtype)))
        with pytest.raises(DTypeError, match=f"got {dtype}"):
            image.set_array(da.zeros(SHAPE, dtype=dtype))
    np.testing.assert_array_equal(arrays(one_store)["0"], sample_pixels())


def test_a_patch_from_another_device_is_refused(one_store: Path, backend: Case) -> None:
    image = opened(one_store, backend)
    other = omexp.from_host(np.zeros(SHAPE, "uint16"), "cpu") if not backend.backend.is_host else _strict_zeros()
    with pytest.raises(BackendMismatchError, match=r"the patch lives on another device.*omexp.to_host or omexp.from_host"):
        image.set_array(other)
    with pytest.raises(BackendMismatchError, match="the patch is not an array; got list"):
        image.set_array([[1, 2]])
    np.testing.assert_array_equal(arrays(one_store)["0"], sample_pixels())


def _strict_zeros() -> Any:
    import array_api_strict

    return array_api_strict.zeros(SHAPE, dtype=array_api_strict.uint16)


def test_a_patch_of_another_shape_is_never_broadcast(one_store: Path, backend: Case) -> None:
    image = opened(one_store, backend)
    for shape in [(2, 3, 20), (1, 3, 20, 30), (3, 20, 30), ()]:
        with pytest.raises(ArgumentError, match=r"allowed: \(2, 3, 20, 30\) over axes c, z, y, x. Patches are never broadcast"):
            image.set_array(backend.array(np.zeros(shape, "uint16")))
    np.testing.assert_array_equal(arrays(one_store)["0"], sample_pixels())


def test_writing_one_pixel_twice_is_refused(one_store: Path) -> None:
    image = omexp.open_ome_zarr_container(one_store).get_image()
    with pytest.raises(SelectionError, match="axis 'c' names an index twice"):
        image.set_array(np.zeros((2, 3, 20, 30), "uint16"), c=[0, 0])


def test_delayed_patches_are_computed_and_written(one_store: Path, backend: Case) -> None:
    import dask

    image, values = opened(one_store, backend), sample_pixels(seed=1)
    image.set_array(dask.delayed(lambda: backend.array(values[0]))(), c=0)
    image.set_array(dask.delayed(lambda: values[1])(), c=1)  # NumPy from dask is brought to the device
    np.testing.assert_array_equal(arrays(one_store)["0"], values)


def test_a_dask_array_is_written_block_by_block_of_whole_shards(one_store: Path, backend: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.lazy.BLOCK_BYTES", 1024)
    image, values = opened(one_store, backend), sample_pixels(seed=2)
    written: list[tuple[int, ...]] = []
    write = type(image.stored).write

    def noted(stored: Any, region: Any, pixels: Any, **how: Any) -> None:
        written.append(region.start)
        write(stored, region, pixels, **how)

    monkeypatch.setattr(type(image.stored), "write", noted)
    image.set_array(da.from_array(values, chunks=(1, 3, 7, 30)))
    np.testing.assert_array_equal(arrays(one_store)["0"], values)
    assert len(written) > 4
    assert all(s % u == 0 for start in written for s, u in zip(start, image.write_granularity, strict=True))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint64", "float16", "float32", "float64"])
def test_every_dtype_goes_in_and_comes_out(tmp_path: Path, backend: Case, dtype: str) -> None:
    if not backend.supports(dtype):
        pytest.skip(f"{backend.name} has no {dtype}")
    values = sample_pixels(dtype)
    container = omexp.create_empty_ome_zarr(
        tmp_path / "a.zarr", SHAPE, axes_names="czyx", xy_pixelsize=1, dtype=dtype, levels=2, device=backend.backend
    )
    image = container.get_image()
    assert image.dtype == np.dtype(dtype)
    image.set_array(backend.array(values))
    check(backend, image.get_array(), values)
    image.consolidate(device=backend.backend, workers=1)
    check(backend, container.get_image("1").get_array(), omexp.downsample(values, (1, 1, 2, 2)))


def test_a_dtype_that_the_device_lacks_is_refused(tmp_path: Path, backend: Case) -> None:
    if backend.supports("float64"):
        pytest.skip("this backend has float64")
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (8, 8), xy_pixelsize=1, dtype="float64", device=backend.backend)
    with pytest.raises(DTypeError, match="float64"):
        container.get_image().get_array()
    assert container.get_image().get_as_numpy().dtype == np.float64


# ---------------------------------------------------------------------------------------------------------- regions
def test_a_roi_is_snapped_clipped_and_written_where_it_was_read(one_store: Path, backend: Case) -> None:
    image, pixels = opened(one_store, backend), sample_pixels()
    roi = omexp.Roi.from_values({"z": (2.0, 100.0), "y": (-3.0, 6.2), "x": (13.0000001, 1.9999999)}, name="edge")
    got = image.get_roi(roi)
    check(backend, got, pixels[:, 1:, 0:7, 26:30])
    image.set_roi(roi, got[:, :, ::-1, :])
    expected = pixels.copy()
    expected[:, 1:, 0:7, 26:30] = pixels[:, 1:, 0:7, 26:30][:, :, ::-1]
    np.testing.assert_array_equal(arrays(one_store)["0"], expected)


def test_a_roi_means_the_same_place_on_every_level(one_store: Path, backend: Case) -> None:
    roi = omexp.Roi.from_values({"y": (2.0, 4.0), "x": (4.0, 8.0)})
    stored = arrays(one_store)
    for path, step in (("0", 1), ("1", 2), ("2", 4)):
        expected = stored[path][:, :, 4 // step : 12 // step, 8 // step : 24 // step]
        check(backend, opened(one_store, backend, path).get_roi(roi), expected)


def test_a_roi_outside_the_image_is_empty_and_an_axis_keyword_replaces_its_interval(one_store: Path, backend: Case) -> None:
    image = opened(one_store, backend)
    assert image.get_roi(omexp.Roi.from_values({"y": (100.0, 4.0)})).shape == (2, 3, 0, 30)
    assert image.get_roi(omexp.Roi.from_values({"y": (0.0, 4.0)}), y=slice(None), c=0).shape == (3, 20, 30)
    with pytest.raises(ArgumentError, match="this is no Roi; got tuple; allowed: omexp.Roi"):
        image.get_roi((0, 1))


def test_the_whole_image_is_a_roi(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    roi = container.get_image().roi("all")
    assert {s.axis_name: (s.start, s.length) for s in roi.slices} == {"z": (0.0, 6.0), "y": (0.0, 10.0), "x": (0.0, 15.0)}
    assert container.get_image("2").get_roi(roi).shape == (2, 3, 5, 8)


# ------------------------------------------------------------------------------------------------------- pyramids
@pytest.mark.parametrize("method", [None, "median", "max"])
def test_consolidate_rebuilds_every_coarser_level(one_store: Path, backend: Case, method: str | None) -> None:
    image, values = opened(one_store, backend), sample_pixels(seed=3)
    image.set_array(backend.array(values))
    image.consolidate(method, device=backend.backend, workers=2)
    level1 = downsample_reference(values, (1, 1, 2, 2), method or "mean")
    stored = arrays(one_store)
    np.testing.assert_array_equal(stored["1"], level1)
    np.testing.assert_array_equal(stored["2"], downsample_reference(level1, (1, 1, 2, 2), method or "mean"))
    assert omexp.open_ome_zarr_container(one_store).meta.multiscale.type == (method or "mean")


def test_consolidate_from_a_coarser_level_leaves_the_finer_one(one_store: Path, backend: Case) -> None:
    middle = opened(one_store, backend, "1")
    values = np.full(middle.shape, 9, "uint16")
    middle.set_array(backend.array(values))
    middle.consolidate(device=backend.backend)
    stored = arrays(one_store)
    np.testing.assert_array_equal(stored["0"], sample_pixels())
    assert (stored["1"] == 9).all()
    assert (stored["2"] == 9).all()


def test_consolidate_says_what_it_did_and_reports_progress(one_store: Path) -> None:
    seen: list[tuple[int, int]] = []
    built = omexp.open_ome_zarr_container(one_store).get_image().consolidate(workers=1, progress=lambda *p: seen.append(p))
    sizes = {path: array.nbytes for path, array in arrays(one_store).items()}
    assert (built.bytes_read, built.bytes_written, built.device) == (sizes["0"], sizes["1"] + sizes["2"], "cpu")
    assert built.seconds > 0
    assert seen[-1] == (sizes["0"], sizes["0"])


def test_labels_consolidate_by_first_pixel_or_mode(one_store: Path, backend: Case) -> None:
    label = omexp.open_ome_zarr_container(one_store, device=backend.backend).get_label("nuclei")
    label.consolidate(device=backend.backend)
    np.testing.assert_array_equal(arrays(one_store)["labels/nuclei/1"], sample_ids()[:, ::2, ::2])
    label.consolidate("mode", device=backend.backend)
    np.testing.assert_array_equal(arrays(one_store)["labels/nuclei/1"], downsample_reference(sample_ids(), (1, 2, 2), "mode"))


# ------------------------------------------------------------------------------------------------------- properties
def test_an_image_says_what_it_is(store: Path) -> None:
    image = omexp.open_ome_zarr_container(store).get_image("1")
    assert (image.path, image.shape, image.dtype, image.axes) == ("1", (2, 3, 10, 15), np.dtype("uint16"), AXES)
    assert image.pixel_size == omexp.PixelSize(x=1.0, y=1.0, z=2.0, time_unit=None)
    assert image.chunks == (1, 2, 8, 15)
    assert image.write_granularity == ((1, 2, 16, 15) if image.stored.shards else image.chunks)
    assert (image.is_3d, image.is_2d, image.is_time_series, image.is_multi_channels) == (True, False, False, True)
    assert (image.has_axis("c"), image.has_axis("t")) == (True, False)
    assert (image.dimensions.get("y"), image.dimensions.get("t"), image.dimensions.get("t", 1)) == (10, None, 1)
    assert (image.space_unit, image.time_unit, image.device) == ("micrometer", None, "cpu")
    assert repr(image).startswith("Image(path=1, c: 2, z: 3, y: 10, x: 15, uint16, PixelSize(x=1, y=1, z=2")
    html = image._repr_html_()
    assert "reader" in html
    assert "host decode" in html
    assert image.zarr_array.shape == image.shape


def test_the_reader_says_how_bytes_become_arrays(store: Path, backend: Case) -> None:
    reader = opened(store, backend).reader
    assert reader.name == "host"
    assert "host decode of blosc:lz4 by zarrs" in reader.reason
    assert ("one upload to" in reader.reason) == (not backend.backend.is_host)
