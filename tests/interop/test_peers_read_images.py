"""Images and labels that omexp writes, opened by ngio, ngff-zarr, ome-zarr-py and TensorStore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp

pytestmark = [
    pytest.mark.peers,
    # ome-zarr 0.18 builds its own deprecated Scaler when it is imported
    pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning:ome_zarr.writer"),
]

# Odd sizes: every level and every shard is cut by the far edge. Floats with a NaN: its bits must arrive, too.
CASES = {"cyx": ((2, 23, 35), "uint8"), "czyx": ((2, 3, 23, 35), "uint16"), "tczyx": ((2, 2, 2, 23, 35), "float32")}
LAYOUTS: dict[str, dict[str, Any]] = {"0.4": {}, "0.5": {}, "0.5-sharded": {"shards": (32, 32)}}
SIZES, UNITS = {"t": 3.0, "z": 2.0, "y": 0.5, "x": 0.5}, {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
BIG = 2**31 + 5  # an id that is negative where a reader takes int32


@dataclass(frozen=True)
class Seen:
    """What a reader says of an image, level by level; what it does not say is None."""

    pixels: list[np.ndarray]
    names: tuple[str, ...] | None = None
    sizes: list[dict[str, float]] | None = None
    shifts: list[dict[str, float]] | None = None
    units: dict[str, str] | None = None
    channels: list[str] | None = None


def by_ngio(folder: Path, label: str | None) -> Seen:
    ngio = pytest.importorskip("ngio")
    container = ngio.open_ome_zarr_container(folder, mode="r")
    image = container.get_image() if label is None else container.get_label(label)
    levels = [container.get_image(path=p) if label is None else container.get_label(label, path=p) for p in container.level_paths]
    names = image.axes
    sizes = [{a: getattr(level.pixel_size, a) for a in names if a != "c"} for level in levels]
    units = {a: image.time_unit if a == "t" else image.space_unit for a in names if a != "c"}
    return Seen([level.get_as_numpy() for level in levels], names, sizes, None, units, None if label else container.channel_labels)


def by_ngff_zarr(folder: Path, label: str | None) -> Seen:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    multiscales = ngff_zarr.from_ngff_zarr(folder if label is None else folder / "labels" / label)
    images = multiscales.images
    return Seen(
        [np.asarray(image.data) for image in images],
        tuple(images[0].dims),
        [_without_c(image.scale) for image in images],
        [_without_c(image.translation) for image in images],
        _without_c(images[0].axes_units),
        None if label else [c.label for c in multiscales.metadata.omero.channels],
    )


def by_ome_zarr_py(folder: Path, label: str | None) -> Seen:
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = {Path(str(node.zarr.path)).name: node for node in Reader(parse_url(str(folder)))()}
    assert set(nodes) == {folder.name, "labels", "nuclei"}
    node = nodes[label or folder.name]
    axes = node.metadata["axes"]
    names = tuple(axis["name"] for axis in axes)
    transforms = [{t["type"]: t[t["type"]] for t in level} for level in node.metadata["coordinateTransformations"]]
    none = [0.0] * len(names)
    return Seen(
        [np.asarray(level) for level in node.data],
        names,
        [_without_c(dict(zip(names, t["scale"], strict=True))) for t in transforms],
        [_without_c(dict(zip(names, t.get("translation", none), strict=True))) for t in transforms],
        {axis["name"]: axis["unit"] for axis in axes if axis["name"] != "c"},
        node.metadata.get("channel_names"),
    )


def by_tensorstore(folder: Path, label: str | None) -> Seen:
    levels = [open_in_tensorstore(folder / (f"labels/{label}" if label else "") / str(i)) for i in range(3)]
    labels = {level.domain.labels for level in levels}
    assert len(labels) == 1
    return Seen([level.read().result() for level in levels], None if not any(levels[0].domain.labels) else labels.pop())


PEERS: dict[str, Callable[[Path, str | None], Seen]] = {
    "ngio": by_ngio,
    "ngff-zarr": by_ngff_zarr,
    "ome-zarr-py": by_ome_zarr_py,
    "tensorstore": by_tensorstore,
}


def open_in_tensorstore(folder: Path) -> Any:
    tensorstore = pytest.importorskip("tensorstore")
    driver = "zarr3" if (folder / "zarr.json").exists() else "zarr"
    return tensorstore.open({"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}, read=True).result()


def _without_c(values: dict[str, Any]) -> dict[str, Any]:
    return {axis: value for axis, value in values.items() if axis != "c"}


# -------------------------------------------------------------------------------------------------- what we write
@dataclass(frozen=True)
class Store:
    """A store of ours, and the finest pixels that went into it."""

    folder: Path
    axes: str
    pixels: np.ndarray
    ids: np.ndarray
    version: str
    sharded: bool

    @property
    def container(self) -> omexp.OmeZarrContainer:
        return omexp.open_ome_zarr_container(self.folder, mode="r")


def _pixels(axes: str) -> np.ndarray:
    shape, dtype = CASES[axes]
    draw = np.random.default_rng(len(axes))
    if dtype == "float32":
        pixels = draw.normal(0, 100, shape).astype(dtype)
        pixels[..., 3, 4] = np.nan
        return pixels
    return draw.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _ids(axes: str) -> np.ndarray:
    shape = tuple(n for n, axis in zip(CASES[axes][0], axes, strict=True) if axis != "c")
    return np.random.default_rng(1).choice(np.asarray([0, 7, BIG, 2**32 - 1], "uint32"), shape)


def _write(folder: Path, axes: str, layout: str, *, derived: bool) -> Store:
    pixels, ids, version = _pixels(axes), _ids(axes), layout.partition("-")[0]
    options = {key: (1,) * (len(axes) - 2) + value for key, value in LAYOUTS[layout].items()} | {
        "chunks": (1,) * (len(axes) - 2) + (16, 16)
    }
    spacing = {name: SIZES[axis] for name, axis in (("z_spacing", "z"), ("time_spacing", "t")) if axis in axes}
    container = omexp.create_ome_zarr_from_array(
        folder / "image.zarr", pixels, axes_names=axes, xy_pixelsize=0.5, levels=3, channel_labels=["DAPI", "GFP"], ngff_version=version,
        workers=1, **spacing, **options,
    )  # fmt: skip
    if derived:
        pixels = pixels[::-1].copy()
        container = container.derive_image(folder / "derived.zarr")
        container.get_image().set_array(pixels)
        container.get_image().consolidate(workers=1)
    label = container.derive_label("nuclei")
    label.set_array(ids)
    label.consolidate(workers=1)
    return Store(Path(container.where), axes, pixels, ids, version, "shards" in options)


KINDS = [(axes, layout, False) for axes in CASES for layout in LAYOUTS] + [("czyx", layout, True) for layout in ("0.4", "0.5-sharded")]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join([*kind[:2], *["derived"] * kind[2]]))
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    axes, layout, derived = request.param
    return _write(tmp_path_factory.mktemp("ours"), axes, layout, derived=derived)


@pytest.fixture(params=list(PEERS))
def peer(request: pytest.FixtureRequest) -> Callable[[Path, str | None], Seen]:
    return PEERS[request.param]


# ---------------------------------------------------------------------------------------------------------- tests
def test_a_peer_sees_the_pixels_of_every_level(store: Store, peer: Callable[[Path, str | None], Seen]) -> None:
    seen, ours = peer(store.folder, None), store.container
    assert len(seen.pixels) == ours.levels == 3
    np.testing.assert_array_equal(seen.pixels[0], store.pixels, strict=True)
    for path, pixels in zip(ours.levels_paths, seen.pixels, strict=True):
        np.testing.assert_array_equal(pixels, ours.get_image(path).get_as_numpy(), strict=True)


def test_a_peer_sees_the_ids_of_every_level_of_a_label(store: Store, peer: Callable[[Path, str | None], Seen]) -> None:
    seen, ours = peer(store.folder, "nuclei"), store.container
    np.testing.assert_array_equal(seen.pixels[0], store.ids, strict=True)
    for path, ids in zip(ours.levels_paths, seen.pixels, strict=True):
        np.testing.assert_array_equal(ids, ours.get_label("nuclei", path).get_as_numpy(), strict=True)
        assert {BIG, 2**32 - 1} <= set(np.unique(ids).tolist()) <= {0, 7, BIG, 2**32 - 1}


@pytest.mark.parametrize("label", [None, "nuclei"])
def test_a_peer_sees_axes_pixel_sizes_units_and_channel_names(
    store: Store, peer: Callable[[Path, str | None], Seen], label: str | None
) -> None:
    seen = peer(store.folder, label)
    names = tuple(store.axes) if label is None else tuple(axis for axis in store.axes if axis != "c")
    world = [axis for axis in names if axis != "c"]
    fine = {axis: SIZES[axis] for axis in world}
    if seen.names is None:  # TensorStore knows no OME-Zarr, and Zarr format 2 has no names
        assert peer is by_tensorstore and store.version == "0.4"
    else:
        assert seen.names == names
    if peer is by_tensorstore:
        return
    assert seen.sizes == [fine | {"y": 0.5 * f, "x": 0.5 * f} for f in (1, 2, 4)]
    assert seen.units == {axis: UNITS[axis] for axis in world}
    assert seen.channels == (["DAPI", "GFP"] if label is None else None)
    if peer is not by_ngio:  # ngio has no translations; by the convention of pixel centres a window of f moves them by (f - 1) / 2
        assert seen.shifts == [dict.fromkeys(world, 0.0) | {"y": s, "x": s} for s in (0.0, 0.25, 0.75)]


def test_tensorstore_makes_each_level_from_the_one_before_bit_for_bit(store: Store) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    window = [1] * (len(store.axes) - 2) + [2, 2]
    for folder, factors, method in ((store.folder, window, "mean"), (store.folder / "labels/nuclei", window[1:], "stride")):
        for level in (0, 1):
            theirs = tensorstore.downsample(open_in_tensorstore(folder / str(level)), factors, method).read().result()
            np.testing.assert_array_equal(open_in_tensorstore(folder / str(level + 1)).read().result(), theirs, strict=True)


def test_tensorstore_reads_and_writes_in_the_units_that_we_say(store: Store) -> None:
    pytest.importorskip("tensorstore")
    for path in store.container.levels_paths:
        ours, theirs = store.container.get_image(path), open_in_tensorstore(store.folder / path).chunk_layout
        assert (theirs.read_chunk.shape, theirs.write_chunk.shape) == (ours.chunks, ours.write_granularity)
    finest = store.container.get_image()
    assert (finest.chunks != finest.write_granularity) == store.sharded


@pytest.mark.parametrize(("compressors", "separator"), [("auto", "."), ("zstd", "/"), ("gzip", "/"), (None, "/")])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_tensorstore_reads_every_codec_and_separator_that_we_write(version: str, compressors: Any, separator: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    pixels, options = _pixels("cyx"), {"chunks": (1, 16, 16), "compressors": compressors, "dimension_separator": separator}
    omexp.create_ome_zarr_from_array(
        tmp_path / "i.zarr", pixels, axes_names="cyx", xy_pixelsize=1, levels=1, ngff_version=version, **options
    )
    np.testing.assert_array_equal(open_in_tensorstore(tmp_path / "i.zarr" / "0").read().result(), pixels, strict=True)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "uint64", "float16", "float64"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_tensorstore_reads_every_dtype_that_we_write_and_zeros_where_nothing_is_stored(version: str, dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    image = omexp.create_empty_ome_zarr(
        tmp_path / "i.zarr", (23, 35), axes_names="yx", xy_pixelsize=1, levels=1, dtype=dtype, chunks=16, ngff_version=version
    ).get_image()
    wanted = np.zeros((23, 35), dtype)
    wanted[:5, :7] = np.arange(35).reshape(5, 7).astype(dtype)
    image.set_array(wanted[:5, :7], y=slice(5), x=slice(7))
    np.testing.assert_array_equal(open_in_tensorstore(tmp_path / "i.zarr" / "0").read().result(), wanted, strict=True)
