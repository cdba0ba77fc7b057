"""Coarser levels made anew: what was touched and no more, exactly as a full rebuild does it; and what is said where one broke off."""

from __future__ import annotations

import itertools
import math
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import omexp
from omexp.containers import consolidation
from omexp.errors import AlreadyExistsError, ArgumentError, OmexpWarning, ReadOnlyError
from omexp.geometry import Region, factors_between
from omexp.pyramid.rebuilding import units_to_rebuild
from omexp.storage.journal import JOURNAL
from tests.reference_pyramid import CountingStore, pyramid_reference
from tests.stores import arrays, documents, files

METHODS = ("mean", "gaussian", "mode", "median", "max", "nearest", "label_image")


def make(
    folder: Path, shapes: list[tuple[int, ...]], *, chunks: Any, shards: Any = None, dtype: str = "uint16", version: str = "0.5"
) -> Path:
    """An image with levels of any shapes, as other writers leave them; every pixel is 0."""
    axes = "zyx"[-len(shapes[0]) :]
    group = zarr.create_group(folder, zarr_format=3 if version == "0.5" else 2)
    scale, datasets = [1.0] * len(axes), []
    for k, shape in enumerate(shapes):
        group.create_array(str(k), shape=shape, dtype=dtype, chunks=chunks[k], shards=shards[k] if shards else None, fill_value=0)
        if k:
            scale = [s * f for s, f in zip(scale, factors_between(shapes[k - 1], shape), strict=True)]
        datasets.append({"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]})
    multiscales = [{"axes": [{"name": a, "type": "space", "unit": "micrometer"} for a in axes], "datasets": datasets, "version": "0.4"}]
    if version == "0.5":
        del multiscales[0]["version"]
    group.attrs.update({"ome": {"version": "0.5", "multiscales": multiscales}} if version == "0.5" else {"multiscales": multiscales})
    return folder


def random_pixels(shape: tuple[int, ...], dtype: str, seed: int, most: int = 60000) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return (
        draw.normal(0, 9, shape).astype(dtype) if dtype.startswith("f") else draw.integers(0, min(most, np.iinfo(dtype).max), shape, dtype)
    )


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    ndim = draw(st.integers(2, 3))
    shapes = [tuple(draw(st.integers(3, 30 if ndim == 2 else 10)) for _ in range(ndim))]
    for _ in range(draw(st.integers(1, 3))):
        wanted, down = [draw(st.integers(1, 3)) for _ in range(ndim)], draw(st.booleans())
        shapes.append(tuple(max(n // f if down else -(-n // f), 1) for n, f in zip(shapes[-1], wanted, strict=True)))
    chunks = [tuple(draw(st.integers(1, max(1, n // 2 + 1))) for n in shape) for shape in shapes]
    version = draw(st.sampled_from(["0.4", "0.5"]))
    shards = [tuple(c * draw(st.integers(1, 2)) for c in chunk) for chunk in chunks] if version == "0.5" and draw(st.booleans()) else None
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32"]))
    return {"shapes": shapes, "chunks": chunks, "shards": shards, "version": version, "dtype": dtype}


def picks_of(draw: st.DrawFn, n: int) -> Any:
    """A box, a step, a list or an int along an axis."""
    a = draw(st.integers(0, n - 1))
    b = draw(st.integers(a + 1, n))
    kind = draw(st.sampled_from(["box", "box", "step", "list", "int"]))
    choices = {"box": slice(a, b), "step": slice(a, b, 2), "int": a, "list": sorted({a, b - 1, draw(st.integers(0, n - 1))})}
    return choices[kind]


@given(data=st.data(), case=stores(), method=st.sampled_from(METHODS))
@settings(max_examples=15)
def test_tracked_writes_leave_the_store_that_a_full_rebuild_leaves(data: st.DataObject, case: dict[str, Any], method: str) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = make(folder / "a.zarr", **case)
        image = omexp.open_ome_zarr_container(store).get_image()
        few = 4 if method in ("mode", "label_image") else 60000
        image.set_array(random_pixels(image.shape, case["dtype"], 0, few))
        image.consolidate(method, workers=1)
        with image.track_writes(method, workers=data.draw(st.sampled_from([1, 2]))) as touched:
            for seed in range(1, data.draw(st.integers(1, 3)) + 1):
                picked = {axis: picks_of(data.draw, n) for axis, n in zip(image.axes, image.shape, strict=True)}
                patch = random_pixels(image.get_array(**picked).shape, case["dtype"], seed, few)
                image.set_array(da.from_array(patch, chunks=2) if patch.ndim and data.draw(st.booleans()) else patch, **picked)
        assert touched.regions and touched.built is not None
        shutil.copytree(store, folder / "b.zarr")
        omexp.open_ome_zarr_container(folder / "b.zarr").get_image().consolidate(method, workers=1)
        assert files(store) == files(folder / "b.zarr")
        if math.prod(image.shape) < 200:
            factors = [factors_between(a, b) for a, b in itertools.pairwise(case["shapes"])]
            expected = pyramid_reference(image.get_as_numpy(), case["shapes"], factors, method)
            for k, level in enumerate(expected):
                np.testing.assert_array_equal(arrays(store)[str(k)], level)


@given(data=st.data(), case=stores(), method=st.sampled_from(["mean", "gaussian"]))
@settings(max_examples=10)
def test_only_units_that_depend_on_the_regions_are_written_each_once(data: st.DataObject, case: dict[str, Any], method: str) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder / "a.zarr", **case)
        container = omexp.open_ome_zarr_container(folder / "a.zarr")
        container.get_image().set_array(random_pixels(case["shapes"][0], case["dtype"], 0))
        container.get_image().consolidate(method)
        store = CountingStore(folder / "a.zarr").count()
        image = omexp.open_ome_zarr_container(store).get_image()
        start = tuple(data.draw(st.integers(0, n - 1)) for n in image.shape)
        stop = tuple(data.draw(st.integers(a + 1, min(n, a + 3))) for a, n in zip(start, image.shape, strict=True))
        region, before = Region(start, stop), arrays(folder / "a.zarr")
        store.count()
        image.consolidate(method, regions=[dict(zip(image.axes, region.slices, strict=True))], workers=2)
        assert set(store.sets.values()) <= {1}
        after = arrays(folder / "a.zarr")
        assert all((pixels == after[path]).all() for path, pixels in before.items())
        units = case["shards"] or case["chunks"]
        factors = [factors_between(a, b) for a, b in itertools.pairwise(case["shapes"])]
        depend = units_to_rebuild([region], case["shapes"], factors, units, method)
        levels = [zarr.open_array(folder / "a.zarr" / str(k), mode="r") for k in range(len(case["shapes"]))]
        allowed = {f"{k}/{levels[k].metadata.encode_chunk_key(i)}" for k, indices in enumerate(depend, 1) for i in indices}
        total = math.prod(-(-n // u) for n, u in zip(case["shapes"][1], units[1], strict=True))
        if 2 * len(depend[0]) <= total:  # else all is rebuilt
            assert set(store.sets) <= allowed
        assert not any(key.startswith("0/") for key in store.sets)


# ------------------------------------------------------------------------------------------------------------- writes
@pytest.fixture
def image(tmp_path: Path) -> omexp.Image:
    pixels = np.random.default_rng(0).integers(0, 999, (256, 250), "uint16")
    options: dict[str, Any] = {"xy_pixelsize": 0.5, "levels": 4, "chunks": 16, "percentiles": None}
    return omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels, **options).get_image()


def all_levels(image: omexp.Image) -> list[np.ndarray]:
    container = omexp.open_ome_zarr_container(image.group)
    return [container.get_image(path=path).get_as_numpy() for path in container.levels_paths]


def is_right(image: omexp.Image, method: str = "mean") -> bool:
    levels = all_levels(image)
    shapes = [level.shape for level in levels]
    expected = pyramid_reference(levels[0], shapes, [(2, 2)] * (len(shapes) - 1), method)
    return all((a == b).all() for a, b in zip(levels, expected, strict=True))


def test_regions_of_interest_are_tracked_like_boxes(image: omexp.Image) -> None:
    roi = omexp.Roi.from_values({"y": (5.0, 4.0), "x": (100.0, 4.0)})
    with image.track_writes() as touched:
        image.set_roi(roi, np.full((8, 8), 7, "uint16"))
    assert touched.regions == [Region((10, 200), (18, 208))]
    assert repr(touched) == "Touched(1 regions)"
    assert touched.built is not None and touched.built.bytes_written < 8000
    assert is_right(image)
    image.set_roi(roi, np.full((8, 8), 9, "uint16"))
    assert not is_right(image)
    image.consolidate(regions=[roi])
    assert is_right(image)


def test_masked_writes_are_tracked(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(
        tmp_path / "a.zarr", np.zeros((64, 64), "uint16"), xy_pixelsize=1.0, levels=3, chunks=16, percentiles=None
    )
    ids = np.zeros((64, 64), "uint32")
    ids[3:10, 40:47] = 5
    label = container.derive_label("nuclei")
    with label.track_writes() as touched:
        label.set_array(ids)
    assert touched.built is not None
    assert omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_label("nuclei", path="1").get_as_numpy()[2, 20] == 5
    masked = container.get_masked_image("nuclei")
    with masked.track_writes(workers=1) as touched:
        masked.set_roi_masked(5, np.full((7, 7), 300, "uint16"))
        masked.set_roi(5, masked.get_roi(5) + np.uint16(1))
    assert len(touched.regions) == 2
    assert is_right(container.get_image())
    assert container.get_image(path="2").get_as_numpy().max() > 200


def test_a_body_that_raises_still_rebuilds_what_it_has_written(image: omexp.Image) -> None:
    with pytest.raises(ZeroDivisionError), image.track_writes():
        image.set_array(np.zeros((20, 20), "uint16"), y=slice(3, 23), x=slice(3, 23))
        raise ZeroDivisionError
    assert is_right(image)


def test_a_write_that_breaks_off_is_rebuilt_as_far_as_it_came(image: omexp.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    put, calls = type(image.stored._place).put, itertools.count()

    def breaking(self: Any, *args: Any, **keywords: Any) -> None:
        if next(calls) == 3:
            raise OSError(5, "Input/output error")
        put(self, *args, **keywords)

    with pytest.raises(OSError, match="Input/output"), image.track_writes() as touched, monkeypatch.context() as patched:
        patched.setattr(type(image.stored._place), "put", breaking)
        image.set_array(np.zeros((100, 100), "uint16"), y=slice(0, 100), x=slice(0, 100))
    assert touched.regions
    assert (image.get_as_numpy(y=slice(0, 16), x=slice(0, 16)) == 0).all()
    assert is_right(image)


def test_a_block_that_writes_nothing_rebuilds_nothing(image: omexp.Image) -> None:
    before = files(image.group.local_path)
    with image.track_writes() as touched:
        image.get_as_numpy(y=0)
        image.set_array(np.zeros((0, 250), "uint16"), y=slice(5, 5))
    assert touched.regions == [] and touched.built is None
    assert files(image.group.local_path) == before
    assert image.consolidate(regions=[]).bytes_written == 0
    assert files(image.group.local_path) == before


def test_blocks_hear_of_the_writes_inside_them_also_those_of_blocks_inside(image: omexp.Image) -> None:
    ones = np.ones((2, 2), "uint16")
    with image.track_writes() as outer:
        image.set_array(ones, y=slice(0, 2), x=slice(0, 2))
        with image.track_writes() as inner:
            image.set_array(ones, y=slice(100, 102), x=slice(0, 2))
        image.set_array(ones, y=slice(200, 202), x=slice(0, 2))
    assert [r.start[0] for r in outer.regions] == [0, 100, 200]
    assert [r.start[0] for r in inner.regions] == [100]
    assert is_right(image)
    with image.track_writes() as later:
        image.set_array(ones + np.uint16(5), y=slice(50, 52), x=slice(0, 2))
    image.set_array(ones, y=slice(60, 62), x=slice(0, 2))  # heard by nobody
    assert len(later.regions) == 1 and len(outer.regions) == 3
    image.consolidate(regions=[{"y": slice(60, 62)}])
    assert is_right(image)


def test_pixels_far_apart_touch_only_the_units_that_they_lie_in(image: omexp.Image) -> None:
    with image.track_writes() as touched:
        image.set_array(np.ones((2, 2), "uint16"), y=[0, 255], x=[0, 249])
    assert sum(r.size for r in touched.regions) == 4
    assert touched.built is not None and touched.built.bytes_written <= 2 * 3 * 4 * 16 * 16
    assert is_right(image)


def test_methods_are_kept_in_the_document_by_track_writes_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"xy_pixelsize": 1.0, "levels": 2, "chunks": 16, "percentiles": None}
    image = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.zeros((64, 64), "uint8"), **options).get_image()
    with image.track_writes("max"):
        image.set_array(np.ones((1, 1), "uint8"), y=slice(63, 64), x=slice(0, 1))
    assert image.meta.multiscale.type == "max"
    assert documents(tmp_path / "a.zarr")["zarr.json"]["attributes"]["ome"]["multiscales"][0]["type"] == "max"
    assert is_right(image, "max")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": [], "resume": True}, "pass regions or resume, not both"),
        ({"method": "average"}, "there is no such downsampling method"),
        ({"workers": 0}, "workers must be an int of at least 1"),
        ({"workers": 0, "regions": [{"y": 0}]}, "workers must be an int of at least 1"),
        ({"max_memory": -5}, "max_memory must be a number of bytes"),
        ({"max_memory": 100}, "the pyramid cannot be built in so little memory; got 100 bytes; allowed: at least"),
        ({"max_memory": 100, "regions": [{"y": 0}]}, "the levels cannot be rebuilt in so little memory; got 100 bytes; allowed: at least"),
        ({"regions": [{"q": slice(0, 5)}]}, "there is no axis 'q'"),
        ({"regions": [5]}, "this is no Roi"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(options: dict[str, Any], message: str, image: omexp.Image) -> None:
    image.set_array(np.zeros((256, 250), "uint16"))
    before = files(image.group.local_path)
    with pytest.raises(Exception, match=message):
        image.consolidate(**options)
    assert files(image.group.local_path) == before


def test_little_memory_gives_the_same_pixels(image: omexp.Image) -> None:
    image.set_array(np.random.default_rng(1).integers(0, 999, (256, 250), "uint16"))
    for kind in ("mean", "gaussian"):
        image.consolidate(kind, max_memory=1 << 20, workers=8)
        tight = all_levels(image)
        image.consolidate(kind)
        assert all((a == b).all() for a, b in zip(all_levels(image), tight, strict=True))


# --------------------------------------------------------------------------------------------------------- unfinished
class Stopped(Exception):
    pass


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        yield


def stop_after(tiles: int) -> Any:
    """A progress callback that breaks the work off."""
    calls = itertools.count(1)

    def progress(done: int, total: int) -> None:
        if next(calls) > tiles:
            raise Stopped

    return progress


@pytest.fixture
def large(tmp_path: Path) -> omexp.Image:
    """An image of 32 tiles in little memory."""
    pixels = np.random.default_rng(0).integers(0, 999, (2048, 2048), "uint16")
    options: dict[str, Any] = {"xy_pixelsize": 0.5, "levels": 4, "chunks": 256, "percentiles": None}
    image = omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels, **options).get_image()
    image.set_array(pixels[::-1])
    return image


LITTLE: dict[str, Any] = {"max_memory": 4 << 20, "workers": 1}


def test_levels_that_were_left_unfinished_are_told_at_opening_and_gone_on_with(large: omexp.Image, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        large.consolidate(progress=stop_after(5), **LITTLE)
    assert (tmp_path / "a.zarr" / JOURNAL).is_file()
    with pytest.warns(
        OmexpWarning, match=r"a.zarr: the coarser levels are unfinished: making them broke off. image.consolidate\(resume=True\)"
    ):
        image = omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image()
    assert len((tmp_path / "a.zarr" / JOURNAL).read_text().splitlines()) >= 4
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()}
    heard: list[tuple[int, int]] = []
    image.consolidate(resume=True, progress=lambda *t: heard.append(t), **LITTLE)
    written = [p for p in (tmp_path / "a.zarr" / "1").rglob("*") if p.is_file() and p.stat().st_mtime_ns != times.get(p)]
    assert 0 < len(written) < 16  # units of level 1 that were finished are not written again
    assert heard[-1] == (1 << 23, 1 << 23)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    found = all_levels(image)
    image.consolidate()
    assert all((a == b).all() for a, b in zip(all_levels(image), found, strict=True))
    assert not (tmp_path / "a.zarr" / JOURNAL).exists()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("options", [{"method": "max", "resume": True}, {"resume": False}], ids=str)
def test_another_method_begins_anew(options: dict[str, Any], large: omexp.Image) -> None:
    with pytest.raises(Stopped):
        large.consolidate(progress=stop_after(5), **LITTLE)
    large.consolidate(**options)
    found = all_levels(large)
    large.consolidate(options.get("method"))
    assert all((a == b).all() for a, b in zip(all_levels(large), found, strict=True))


@pytest.mark.usefixtures("quiet")
def test_other_workers_and_memory_go_on_and_give_the_same_pixels(large: omexp.Image) -> None:
    for attempt in ({"workers": 2, "max_memory": 8 << 20}, {"workers": 1, "max_memory": 4 << 20}, {"workers": 3, "max_memory": 6 << 20}):
        with pytest.raises(Stopped):
            large.consolidate(resume=True, progress=stop_after(2), **attempt)
    large.consolidate(resume=True)
    found = all_levels(large)
    large.consolidate()
    assert all((a == b).all() for a, b in zip(all_levels(large), found, strict=True))


def test_a_label_that_was_left_unfinished_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    container = omexp.create_ome_zarr_from_array(
        tmp_path / "a.zarr", np.zeros((1024, 1024), "uint8"), xy_pixelsize=1.0, levels=3, chunks=256
    )
    label = container.derive_label("nuclei")
    with pytest.raises(Stopped):
        label.consolidate(progress=stop_after(2), **LITTLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        container = omexp.open_ome_zarr_container(tmp_path / "a.zarr")
    with pytest.warns(OmexpWarning, match="labels/nuclei: the coarser levels are unfinished"):
        container.get_label("nuclei").consolidate(resume=True)


def test_files_that_were_cut_off_go_with_the_next_run(large: omexp.Image, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        large.consolidate(progress=stop_after(5), **LITTLE)
    cut = tmp_path / "a.zarr" / "1" / "c" / "0" / f"1.{'0a' * 16}.partial"
    cut.write_bytes(b"half")
    large.consolidate()
    assert not cut.exists()


def test_a_second_process_is_refused_and_openers_are_told(large: omexp.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consolidation, "WAIT_S", 0.2)  # a rebuild of a region waits so long for the other one to end
    inside, go_on = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        inside.set()
        assert go_on.wait(timeout=30)

    first = threading.Thread(target=lambda: large.consolidate(progress=progress, **LITTLE))
    first.start()
    assert inside.wait(timeout=30)
    try:
        with pytest.warns(OmexpWarning, match="a.zarr: another process is making the coarser levels"):
            image = omexp.open_ome_zarr_container(tmp_path / "a.zarr").get_image()
        for options in ({}, {"resume": True}, {"regions": [{"y": slice(0, 5), "x": slice(0, 5)}]}):
            with pytest.raises(AlreadyExistsError, match="a.zarr: another process is writing here. Wait until it has ended"):
                image.consolidate(**options)
    finally:
        go_on.set()
        first.join(timeout=30)
    found = all_levels(large)
    image.consolidate()
    assert all((a == b).all() for a, b in zip(all_levels(large), found, strict=True))


def test_only_local_disks_can_be_gone_on_with_and_a_closed_store_is_refused(tmp_path: Path) -> None:
    memory: dict[str, Any] = {}
    image = omexp.create_ome_zarr_from_array(memory, np.zeros((64, 64), "uint8"), xy_pixelsize=1.0, levels=2).get_image()
    with pytest.raises(ArgumentError, match="only work on a local disk can be gone on with"):
        image.consolidate(resume=True)
    image.consolidate()
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", np.ones((64, 64), "uint8"), xy_pixelsize=1.0, levels=2)
    before = files(tmp_path)
    for options in ({}, {"regions": [{"y": slice(0, 5), "x": slice(0, 5)}]}):
        with pytest.raises(ReadOnlyError, match="the store is read-only"):
            omexp.open_ome_zarr_container(tmp_path / "a.zarr", mode="r").get_image().consolidate(**options)
    assert files(tmp_path) == before
