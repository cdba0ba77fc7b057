"""Images and labels that ngio, ngff-zarr, ome-zarr-py and TensorStore write, opened by omexp."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import omexp

pytestmark = [
    pytest.mark.peers,
    # ome-zarr 0.18 builds its own deprecated Scaler when it is imported; 0.18 and 0.21 tell that c has no scale
    pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning:ome_zarr.writer"),
    pytest.mark.filterwarnings("ignore:Scale value not provided for ax:UserWarning"),
    # ngio 1.1 announces its next default, at the caller's line
    pytest.mark.filterwarnings("ignore:Pyramid consolidation still builds every level through dask:FutureWarning"),
]

SHAPES = {"cyx": (2, 23, 35), "czyx": (2, 3, 23, 35), "tczyx": (2, 2, 2, 23, 35)}
SIZES, UNITS = {"t": 3.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}, {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
BIG = 2**31 + 5


@dataclass(frozen=True)
class Job:
    """What a peer shall write: pixels and ids over named axes, in a version, with or without shards."""

    folder: Path
    axes: str
    version: str
    sharded: bool

    @property
    def pixels(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 65535, SHAPES[self.axes], "uint16", endpoint=True)

    @property
    def ids(self) -> np.ndarray:
        shape = tuple(n for n, axis in zip(SHAPES[self.axes], self.axes, strict=True) if axis != "c")
        return np.random.default_rng(1).choice(np.asarray([0, 7, BIG, 2**32 - 1], "uint32"), shape)

    @property
    def label_axes(self) -> str:
        return self.axes.replace("c", "")

    @property
    def units(self) -> dict[str, str]:
        return {axis: UNITS[axis] for axis in self.label_axes}

    def sizes(self, axes: str) -> dict[str, float]:
        return {axis: SIZES[axis] for axis in axes}

    def layout(self, axes: str, chunk: str = "chunks", shard: str = "shards") -> dict[str, tuple[int, ...]]:
        """Chunks of one plane, shards of 2 x 2 of them."""
        lead = (1,) * (len(axes) - 2)
        return {chunk: (*lead, 16, 16)} | ({shard: (*lead, 32, 32)} if self.sharded else {})


@dataclass(frozen=True)
class Wanted:
    """What the peer itself says of what it wrote; its levels need not be cut as ours."""

    sizes: list[dict[str, float]]
    origin: dict[str, float]
    paths: list[str]
    has_label: bool = True
    has_channels: bool = True


def by_ngio(job: Job) -> Wanted:
    ngio = pytest.importorskip("ngio")
    spacing = {name: SIZES[axis] for name, axis in (("z_spacing", "z"), ("time_spacing", "t")) if axis in job.axes}
    container = ngio.create_ome_zarr_from_array(
        job.folder, job.pixels, pixelsize=(0.5, 0.25), levels=3, axes_names=job.axes, channels_meta=["DAPI", "GFP"],
        ngff_version=job.version, **spacing, **job.layout(job.axes),
    )  # fmt: skip
    label = container.derive_label("nuclei", dtype="uint32")  # its chunks and shards are the image's
    label.set_array(job.ids)
    label.consolidate()
    images = [container.get_image(path=path) for path in container.level_paths]
    sizes = [{axis: getattr(image.pixel_size, axis) for axis in job.label_axes} for image in images]
    return Wanted(sizes, {}, ["0", "1", "2"])


def by_ngff_zarr(job: Job) -> Wanted:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    from ngff_zarr.v04.zarr_metadata import Omero, OmeroChannel, OmeroWindow

    origin = {axis: 10.0 for axis in job.label_axes}
    image = ngff_zarr.to_ngff_image(job.pixels, tuple(job.axes), job.sizes(job.axes), {"c": 0.0} | origin, "nuclei", job.units)
    windows = [{axis: n if axis in "yx" else 1 for axis in job.axes} for n in (2, 4)]
    multiscales = ngff_zarr.to_multiscales(image, windows, ngff_zarr.Methods.DASK_BIN_SHRINK, chunks=16)
    multiscales.metadata.omero = Omero([OmeroChannel("FF0000", OmeroWindow(0, 65535, 0, 65535), name) for name in ("DAPI", "GFP")])
    ngff_zarr.to_ngff_zarr(job.folder, multiscales, version=job.version, **({"chunks_per_shard": 2} if job.sharded else {}))
    sizes = [{axis: image.scale[axis] for axis in job.label_axes} for image in multiscales.images]
    return Wanted(sizes, origin, [f"scale{i}/nuclei" for i in range(3)], has_label=False)


def by_ome_zarr_py(job: Job) -> Wanted:
    pytest.importorskip("ome_zarr")
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image, write_labels
    from ome_zarr_models.common.omero import Omero

    form = FormatV04() if job.version == "0.4" else FormatV05()
    group = zarr.open_group(job.folder, mode="w", zarr_format=form.zarr_format)
    window = {"min": 0, "max": 65535, "start": 0, "end": 65535}
    channels = [{"label": name, "color": "FF0000", "window": window, "active": True} for name in ("DAPI", "GFP")]
    write_image(
        job.pixels, group, fmt=form, axes=job.axes, scale_factors=[2, 4], scale=job.sizes(job.axes), axes_units=job.units,
        storage_options=job.layout(job.axes), omero=Omero.model_validate({"channels": channels}),
    )  # fmt: skip
    write_labels(  # scaler=None: with its default one, 0.18 writes five levels, whatever scale_factors says
        job.ids, group, name="nuclei", fmt=form, axes=job.label_axes, scaler=None, scale_factors=[2, 4], scale=job.sizes(job.label_axes),
        axes_units=job.units, storage_options=job.layout(job.label_axes),
    )  # fmt: skip
    document = dict(group.attrs)
    levels = document.get("ome", document)["multiscales"][0]["datasets"]
    scales = [dict(zip(job.axes, level["coordinateTransformations"][0]["scale"], strict=True)) for level in levels]
    return Wanted([{axis: scale[axis] for axis in job.label_axes} for scale in scales], {}, [level["path"] for level in levels])


def by_tensorstore(job: Job) -> Wanted:
    """TensorStore writes the arrays and makes the levels; the documents are written by hand from the specification."""
    tensorstore = pytest.importorskip("tensorstore")
    for folder, array, axes, method in ((job.folder, job.pixels, job.axes, "mean"), (_label(job), job.ids, job.label_axes, "stride")):
        for level in range(3):
            window = [2**level if axis in "yx" else 1 for axis in axes]
            pixels = tensorstore.downsample(tensorstore.array(array), window, method).read().result()
            _create_in_tensorstore(folder / str(level), pixels, axes, job).write(pixels).result()
    sizes = [{axis: SIZES[axis] * (2**i if axis in "yx" else 1) for axis in job.axes} for i in range(3)]
    for folder, axes, extra in ((job.folder, job.axes, {}), (_label(job), job.label_axes, {"image-label": {}})):
        datasets = [
            {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [s[axis] for axis in axes]}]}
            for i, s in enumerate(sizes)
        ]
        kinds = {"t": "time", "c": "channel"}
        named = [{"name": axis, "type": kinds.get(axis, "space")} | ({"unit": UNITS[axis]} if axis != "c" else {}) for axis in axes]
        _write_group(folder, {"multiscales": [{"axes": named, "datasets": datasets, "version": job.version}]} | extra, job.version)
    _write_group(_label(job).parent, {"labels": ["nuclei"]}, job.version)
    return Wanted([{axis: size[axis] for axis in job.label_axes} for size in sizes], {}, ["0", "1", "2"], has_channels=False)


def _label(job: Job) -> Path:
    return job.folder / "labels" / "nuclei"


def _create_in_tensorstore(folder: Path, pixels: np.ndarray, axes: str, job: Job) -> Any:
    tensorstore = pytest.importorskip("tensorstore")
    store, layout = {"driver": "file", "path": str(folder)}, job.layout(axes)
    if job.version == "0.4":
        blosc = {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2}
        shape = {"shape": list(pixels.shape), "chunks": layout["chunks"], "dtype": pixels.dtype.str}
        spec = {"driver": "zarr", "kvstore": store, "metadata": shape | {"dimension_separator": "/", "compressor": blosc}}
    else:
        inner: list[dict[str, Any]] = [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 3}}]
        sharding = {
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": layout["chunks"], "codecs": inner, "index_location": "start"},
        }
        metadata: dict[str, Any] = {"shape": list(pixels.shape), "data_type": pixels.dtype.name, "dimension_names": list(axes)}
        metadata["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": layout.get("shards", layout["chunks"])}}
        metadata["codecs"] = [sharding] if job.sharded else inner
        spec = {"driver": "zarr3", "kvstore": store, "metadata": metadata}
    return tensorstore.open(spec, create=True).result()


def _write_group(folder: Path, document: dict[str, Any], version: str) -> None:
    if version == "0.4":
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(document))
        return
    attributes = {"ome": {"version": version} | document}
    (folder / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}))


WRITERS: dict[str, Callable[[Job], Wanted]] = {
    "ngio": by_ngio,
    "ngff-zarr": by_ngff_zarr,
    "ome-zarr-py": by_ome_zarr_py,
    "tensorstore": by_tensorstore,
}
CASES = [*product(SHAPES, ("0.4", "0.5-sharded")), ("czyx", "0.5")]
LAYOUTS = {"0.4": ("0.4", False), "0.5": ("0.5", False), "0.5-sharded": ("0.5", True)}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("axes", "layout"), CASES)
def test_what_a_peer_writes_opens_with_its_pixels_sizes_names_and_labels(writer: str, axes: str, layout: str, tmp_path: Path) -> None:
    job = Job(tmp_path / "image.zarr", axes, *LAYOUTS[layout])
    wanted = WRITERS[writer](job)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of it is odd to us
        ours = omexp.open_ome_zarr_container(job.folder, mode="r")
    assert (ours.image_meta.version, ours.levels_paths) == (job.version, wanted.paths)
    assert ours.image_meta.axes == tuple(axes)
    assert (ours.space_unit, ours.time_unit) == ("micrometer", "second" if "t" in axes else None)
    np.testing.assert_array_equal(ours.get_image().get_as_numpy(), job.pixels, strict=True)
    assert (ours.get_image().chunks != ours.get_image().write_granularity) == job.sharded
    assert ours.get_image().channel_labels == (["DAPI", "GFP"] if wanted.has_channels else ["channel_0", "channel_1"])
    for path, dataset, sizes in zip(wanted.paths, ours.image_meta.multiscale.datasets, wanted.sizes, strict=True):
        image = ours.get_image(path)
        np.testing.assert_array_equal(image.get_as_numpy(), zarr.open_array(job.folder / path, mode="r")[...], strict=True)
        assert {axis: image.pixel_size.get(axis) for axis in job.label_axes} == sizes
        if wanted.origin and path == wanted.paths[0]:
            assert dict(zip(axes, dataset.transform.translation, strict=True)) == {"c": 0.0} | wanted.origin
    assert ours.list_labels() == (["nuclei"] if wanted.has_label else [])
    for path, sizes in zip(wanted.paths if wanted.has_label else [], wanted.sizes, strict=False):
        label = ours.get_label("nuclei", path)
        np.testing.assert_array_equal(label.get_as_numpy(), zarr.open_array(_label(job) / path, mode="r")[...], strict=True)
        assert {axis: label.pixel_size.get(axis) for axis in job.label_axes} == sizes
    if wanted.has_label:
        np.testing.assert_array_equal(ours.get_label("nuclei").get_as_numpy(), job.ids, strict=True)


def read_by_ngio(folder: Path, paths: list[str]) -> list[np.ndarray]:
    container = pytest.importorskip("ngio").open_ome_zarr_container(folder, mode="r")
    return [container.get_image(path=path).get_as_numpy() for path in paths]


def read_by_ngff_zarr(folder: Path, paths: list[str]) -> list[np.ndarray]:
    return [np.asarray(image.data) for image in pytest.importorskip("ngff_zarr").from_ngff_zarr(folder).images]


READERS = {"ngio": read_by_ngio, "ngff-zarr": read_by_ngff_zarr}  # both floor: 23 and 35 become 11 and 17, where we make 12 and 18


@pytest.mark.parametrize(("peer", "layout"), list(product(READERS, LAYOUTS)))
def test_our_pyramid_of_what_a_peer_wrote_keeps_its_shapes_and_opens_in_the_peer(peer: str, layout: str, tmp_path: Path) -> None:
    job = Job(tmp_path / "image.zarr", "czyx", *LAYOUTS[layout])
    paths = WRITERS[peer](job).paths
    image = omexp.open_ome_zarr_container(job.folder).get_image()
    image.set_array(job.pixels[::-1].copy())
    image.consolidate("min", workers=1)
    wanted = [job.pixels[::-1]]
    for shape in ((2, 3, 11, 17), (2, 3, 5, 8)):
        reduced = omexp.downsample(wanted[-1], (1, 1, 2, 2), method="min")
        wanted.append(reduced[tuple(slice(n) for n in shape)])
    for theirs, ours in zip(READERS[peer](job.folder, paths), wanted, strict=True):
        np.testing.assert_array_equal(theirs, ours, strict=True)
