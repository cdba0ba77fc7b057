"""Conversion to OME-Zarr: every source gives equal pixels and metadata, is read lazily, and nothing is dropped in silence."""

from __future__ import annotations

import json
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

import omexp
from omexp.backend import resolve_backend
from omexp.convert import convert
from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    DeviceUnavailableError,
    NameNotFoundError,
    OmexpWarning,
    StoredDataError,
    StoreNotFoundError,
)
from omexp.geometry import Region
from omexp.importers import plates
from omexp.importers.imported import arranged, unique
from omexp.importers.mapped import MappedReader
from omexp.importers.ome_xml import images_of
from omexp.importers.tiff_reader import TiffReader, series_reader
from omexp.importers.units import in_micrometers, seconds, space_sizes, unit_problem
from omexp.storage.arrays import StoredArray
from omexp.storage.groups import Group
from omexp.storage.kept import Kept
from tests.stores import arrays, documents, files, make_sample, sample_ids, sample_pixels

tifffile = pytest.importorskip("tifffile")
DRAW = np.random.default_rng(0)


def pixels(*shape: int, dtype: str = "uint16") -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return DRAW.normal(0, 100, shape).astype(dtype)
    return DRAW.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def quietly(source: Any, target: Path, **options: Any) -> omexp.OmeZarrContainer:
    """The converted image, for sources without a pixel size, whose warning is tested once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        made = convert(source, target, **options)
    assert not isinstance(made, list)
    return made


def of(container: omexp.OmeZarrContainer, path: str | None = None) -> np.ndarray:
    return container.get_image(path).get_array()


# ------------------------------------------------------------------------------------------------------------ TIFF
TIFFS: dict[str, tuple[tuple[int, ...], str, dict[str, Any]]] = {
    "one-strip": ((90, 70), "yx", {}),
    "strips": ((90, 70), "yx", {"rowsperstrip": 7}),
    "strips-zlib": ((90, 70), "yx", {"rowsperstrip": 7, "compression": "zlib"}),
    "tiles": ((90, 70), "yx", {"tile": (32, 16)}),
    "tiles-zlib": ((90, 70), "yx", {"tile": (32, 16), "compression": "zlib"}),
    "predictor": ((90, 70), "yx", {"tile": (32, 16), "compression": "zlib", "predictor": True}),
    "rgb": ((90, 70, 3), "yxs", {"tile": (32, 16), "photometric": "rgb", "compression": "zlib"}),
    "rgb-strips": ((90, 70, 3), "yxs", {"photometric": "rgb"}),
    "planar-rgb": ((3, 90, 70), "syx", {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 16, "compression": "zlib"}),
    "stack": ((4, 90, 70), "zyx", {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}),
    "stack-zlib": (
        (2, 3, 90, 70),
        "tcyx",
        {"photometric": "minisblack", "metadata": {"axes": "TCYX"}, "tile": (32, 32), "compression": "zlib"},
    ),
    "stack-in-one-page": ((3, 90, 70), "zyx", {"photometric": "rgb", "planarconfig": "separate", "metadata": {"axes": "ZYX"}}),
    "volume-tiles": ((6, 90, 70), "zyx", {"volumetric": True, "tile": (4, 32, 32), "metadata": {"axes": "ZYX"}}),
}


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", TIFFS)
def test_a_tiff_of_any_layout_gives_its_pixels(layout: str, byteorder: str, tmp_path: Path) -> None:
    shape, axes, options = TIFFS[layout]
    for dtype in ("uint8", "uint16", "float32") if byteorder == "<" and layout in ("strips", "tiles-zlib", "stack") else ("uint16",):
        x, path = pixels(*shape, dtype=dtype), tmp_path / f"{dtype}.tif"
        tifffile.imwrite(path, x, byteorder=byteorder, **options)
        made = quietly(path, tmp_path / f"{dtype}.zarr", pixel_size=0.5)
        wanted = np.moveaxis(x, axes.index("s"), 0) if "s" in axes else x
        assert made.get_image().axes == tuple("cyx" if "s" in axes else axes)
        assert of(made).dtype == np.dtype(dtype)
        np.testing.assert_array_equal(of(made), wanted)


def test_a_big_tiff_gives_its_pixels(tmp_path: Path) -> None:
    x = pixels(40, 50)
    tifffile.imwrite(tmp_path / "b.tif", x, bigtiff=True, tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(of(quietly(tmp_path / "b.tif", tmp_path / "b.zarr")), x)


def test_the_levels_are_those_of_the_same_array_in_memory(tmp_path: Path) -> None:
    x = pixels(3, 200, 150)
    tifffile.imwrite(tmp_path / "a.tif", x, photometric="minisblack", metadata={"axes": "ZYX"}, tile=(64, 64), compression="zlib")
    quietly(tmp_path / "a.tif", tmp_path / "a.zarr", pixel_size=0.5, levels=3, chunks=32)
    omexp.create_ome_zarr_from_array(tmp_path / "b.zarr", x, xy_pixelsize=0.5, levels=3, chunks=32, name="a")
    assert arrays(tmp_path / "a.zarr").keys() == {"0", "1", "2"}
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")


OME = {
    "axes": "TCYX",
    "Name": "cells",
    "PhysicalSizeX": 250.0,
    "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": 0.0005,
    "PhysicalSizeYUnit": "mm",
    "TimeIncrement": 500.0,
    "TimeIncrementUnit": "ms",
    "Channel": {"Name": ["DAPI", "mCherry"], "Color": [65535, -16776961], "EmissionWavelength": [461.0, 610.0]},
}


def test_ome_xml_gives_sizes_units_names_colours_and_wavelengths(tmp_path: Path) -> None:
    x = pixels(3, 2, 40, 50)
    tifffile.imwrite(tmp_path / "a.ome.tif", x, metadata=OME)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OmexpWarning)
        made = convert(tmp_path / "a.ome.tif", tmp_path / "a.zarr")
    np.testing.assert_array_equal(of(made), x)
    size = made.get_image().pixel_size
    assert (size.x, size.y, size.t, size.space_unit, size.time_unit) == (0.25, 0.5, 0.5, "micrometer", "second")
    channels = made.get_image().channels_meta.channels
    assert [(c.label, c.color, c.wavelength_id) for c in channels] == [("DAPI", "0000FF", "461"), ("mCherry", "FF0000", "610")]
    assert made.image_meta.name == "cells"


@pytest.mark.parametrize("order", ["XYZCT", "XYZTC", "XYCTZ", "XYCZT", "XYTCZ", "XYTZC"])
def test_every_dimension_order_becomes_tczyx(order: str, tmp_path: Path) -> None:
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 20, "X": 30}
    axes = order[::-1]
    x = pixels(*(sizes[a] for a in axes))
    tifffile.imwrite(tmp_path / "a.ome.tif", x, metadata={"axes": axes})
    made = quietly(tmp_path / "a.ome.tif", tmp_path / "a.zarr")
    assert made.get_image().axes == tuple("tczyx")
    np.testing.assert_array_equal(of(made), x.transpose([axes.index(a) for a in "TCZYX"]))


@pytest.mark.parametrize("planar", [False, True])
def test_channels_whose_pixels_are_coloured_become_that_many_channels(planar: bool, tmp_path: Path) -> None:
    x = pixels(2, 3, 40, 50, dtype="uint8")  # two channels of red, green, blue
    data, axes = (x, "CSYX") if planar else (x.transpose(0, 2, 3, 1), "CYXS")
    options = {"planarconfig": "separate"} if planar else {}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": axes}, photometric="rgb", tile=(16, 16), **options)
    made = quietly(tmp_path / "a.ome.tif", tmp_path / "a.zarr")
    np.testing.assert_array_equal(of(made), x.reshape(6, 40, 50))
    assert [c.color for c in made.get_image().channels_meta.channels] == ["FF0000", "00FF00", "0000FF"] * 2
    np.testing.assert_array_equal(made.get_image().get_array(c=slice(2, 5)), x.reshape(6, 40, 50)[2:5])


def test_several_series_become_a_collection_in_their_order_with_their_ome_xml(tmp_path: Path) -> None:
    first, second = pixels(40, 50), pixels(2, 20, 30, dtype="uint8")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(first, metadata={"axes": "YX", "Name": "overview", "PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0})
        tiff.write(second, metadata={"axes": "CYX", "Name": "detail", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    calls: list[tuple[int, int]] = []
    made = convert(tmp_path / "a.ome.tif", tmp_path / "a.zarr", progress=lambda done, total: calls.append((done, total)))
    assert isinstance(made, list)
    assert [m.image_meta.name for m in made] == ["overview", "detail"]
    np.testing.assert_array_equal(of(made[0]), first)
    np.testing.assert_array_equal(of(made[1]), second)
    assert [m.get_image().pixel_size.x for m in made] == [2.0, 0.5]
    total = first.nbytes + second.nbytes
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    found = documents(tmp_path / "a.zarr")
    assert found["zarr.json"]["attributes"]["ome"] == {"version": "0.5", "bioformats2raw.layout": 3}
    assert found["OME/zarr.json"]["attributes"]["ome"] == {"version": "0.5", "series": ["0", "1"]}
    assert 'Name="detail"' in (tmp_path / "a.zarr" / "OME" / "METADATA.ome.xml").read_text()


@pytest.mark.parametrize("series", [1, "detail"])
def test_one_of_several_series_is_an_image_of_its_own(series: int | str, tmp_path: Path) -> None:
    second = pixels(2, 20, 30)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(pixels(40, 50), metadata={"axes": "YX", "Name": "overview"})
        tiff.write(second, metadata={"axes": "CYX", "Name": "detail"})
    np.testing.assert_array_equal(of(quietly(tmp_path / "a.ome.tif", tmp_path / "a.zarr", series=series)), second)
    with pytest.raises(NameNotFoundError, match=r"0 \(overview\), 1 \(detail\)"):
        convert(tmp_path / "a.ome.tif", tmp_path / "b.zarr", series=2)
    assert not (tmp_path / "b.zarr").exists()


def test_a_failing_series_leaves_no_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(pixels(40, 50), metadata={"axes": "YX"})
        tiff.write(pixels(20, 30), metadata={"axes": "YX"})
    whole = TiffReader.read
    monkeypatch.setattr(TiffReader, "read", lambda self, region: 1 / 0 if self.shape == (20, 30) else whole(self, region))
    with pytest.raises(ZeroDivisionError), pytest.warns(OmexpWarning):
        convert(tmp_path / "a.ome.tif", tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tif"]


def test_an_ome_tiff_of_several_files_is_one_image(tmp_path: Path) -> None:
    x = pixels(2, 40, 50)
    uuids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + n for n in "12"]
    data = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="c{i}.ome.tif">{uuids[i]}</UUID></TiffData>' for i in range(2)
    )
    for i in range(2):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[i]}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="50" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">'
            f'<Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>{data}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"c{i}.ome.tif", x[i], description=xml, metadata=None, tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(of(quietly(tmp_path / "c0.ome.tif", tmp_path / "a.zarr")), x)
    (tmp_path / "c1.ome.tif").unlink()
    with pytest.warns(OmexpWarning, match="some planes are missing"):
        made = convert(tmp_path / "c0.ome.tif", tmp_path / "b.zarr", pixel_size=1)
    np.testing.assert_array_equal(of(made), [x[0], np.zeros_like(x[0])])


def test_a_pyramidal_ome_tiff_is_read_at_its_finest_level_and_built_anew(tmp_path: Path) -> None:
    x = pixels(128, 128, dtype="uint8")
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as tiff:
        tiff.write(x, subifds=1, tile=(32, 32), metadata={"axes": "YX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0})
        tiff.write(np.zeros((64, 64), "uint8"), subfiletype=1, tile=(32, 32))
    made = convert(tmp_path / "p.ome.tif", tmp_path / "p.zarr", levels=2)
    np.testing.assert_array_equal(of(made), x)
    assert of(made, "1").any()


def test_an_imagej_hyperstack_gives_spacing_interval_unit_and_colours(tmp_path: Path) -> None:
    x = pixels(2, 3, 2, 40, 50)
    ramp = np.arange(256, dtype="uint8")
    tables = [np.stack([ramp * 0, ramp, ramp * 0]), np.stack([ramp, ramp * 0, ramp])]
    told = {"axes": "TZCYX", "spacing": 1.5, "unit": "\\u00B5m", "finterval": 0.2, "LUTs": tables, "Info": "taken on Monday"}
    tifffile.imwrite(tmp_path / "i.tif", x, imagej=True, resolution=(4.0, 2.0), metadata=told)
    with pytest.warns(OmexpWarning, match="not carried over: ImageJ Info"):
        made = convert(tmp_path / "i.tif", tmp_path / "i.zarr")
    np.testing.assert_array_equal(of(made), x.transpose(0, 2, 1, 3, 4))
    size = made.get_image().pixel_size
    assert (size.x, size.y, size.z, size.t, size.space_unit) == (0.25, 0.5, 1.5, 0.2, "micrometer")
    assert [c.color for c in made.get_image().channels_meta.channels] == ["00FF00", "FF00FF"]


def test_resolution_tags_in_centimeters_and_inches_give_micrometers(tmp_path: Path) -> None:
    for name, resolution, unit in (("cm", 20000, "CENTIMETER"), ("inch", 50800, "INCH")):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels(20, 30), resolution=(resolution, resolution), resolutionunit=unit)
        size = convert(tmp_path / f"{name}.tif", tmp_path / f"{name}.zarr").get_image().pixel_size
        assert (size.x, size.y, size.space_unit) == (0.5, 0.5, "micrometer")


@pytest.mark.parametrize("options", [{}, {"resolution": (72, 72), "resolutionunit": "INCH"}])
def test_a_file_without_a_pixel_size_gets_one_pixel_without_a_unit_and_a_warning(options: dict[str, Any], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(20, 30), **options)
    with pytest.warns(OmexpWarning, match="no pixel size"):
        size = convert(tmp_path / "a.tif", tmp_path / "a.zarr").get_image().pixel_size
    assert (size.x, size.y, size.space_unit) == (1.0, 1.0, None)


def test_a_pixel_size_that_is_known_along_z_only_is_kept(tmp_path: Path) -> None:
    with pytest.warns(OmexpWarning, match="so it is 1 micrometer along y and x"):
        size = convert(pixels(3, 20, 30), tmp_path / "a.zarr", pixel_size={"z": 2.5}).get_image().pixel_size
    assert (size.zyx, size.space_unit) == ((2.5, 1.0, 1.0), "micrometer")
    with pytest.warns(OmexpWarning, match="so it is 1 without a unit"):
        size = convert(pixels(20, 30), tmp_path / "b.zarr", pixel_size={"z": 2.5}).get_image().pixel_size
    assert (size.yx, size.space_unit) == ((1.0, 1.0), None)


def test_a_pixel_size_in_other_units_becomes_micrometers_and_seconds(tmp_path: Path) -> None:
    given = omexp.PixelSize(x=325, y=650, z=1000, t=50, space_unit="nanometer", time_unit="millisecond")
    size = convert(pixels(2, 3, 20, 30), tmp_path / "a.zarr", axes_names="tzyx", pixel_size=given).get_image().pixel_size
    assert (size.tzyx, size.space_unit, size.time_unit) == ((0.05, 1.0, 0.65, 0.325), "micrometer", "second")
    assert in_micrometers(omexp.PixelSize(x=1, y=2, space_unit=None, time_unit=None)) == {"z": 1.0, "y": 2.0, "x": 1.0, "t": 1.0}
    for units in ({"space_unit": "pixel"}, {"time_unit": "frame"}):
        with pytest.raises(ArgumentError, match="a unit of the pixel size is not understood"):
            convert(pixels(20, 30), tmp_path / "b.zarr", pixel_size=omexp.PixelSize(x=1, y=1, **units))
    assert not (tmp_path / "b.zarr").exists()


def test_units_that_ome_zarr_does_not_name_are_told_with_what_they_should_be() -> None:
    assert unit_problem("µm") == "'µm' is no unit that OME-Zarr names; it should be 'micrometer'"
    assert unit_problem("ms") == "'ms' is no unit that OME-Zarr names; it should be 'millisecond'"
    assert unit_problem("lightyears") == "'lightyears' is no unit that OME-Zarr names; it should be such as micrometer or second"
    assert [unit_problem(unit) for unit in (None, "micrometer", "second", "angstrom", "hour")] == [None] * 5


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(0.3, (1.5, 0.3, 0.3)), ({"z": 3.0}, (3.0, 0.5, 0.25)), (omexp.PixelSize(x=0.1, y=0.2, z=0.4), (0.4, 0.2, 0.1))],
)
def test_pixel_size_wins_over_the_file(given: Any, wanted: tuple[float, ...], tmp_path: Path) -> None:
    told = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 1.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels(3, 20, 30), metadata=told)
    assert convert(tmp_path / "a.ome.tif", tmp_path / "a.zarr", pixel_size=given).get_image().pixel_size.zyx == wanted


def test_an_axis_without_a_name_is_z_and_said_so_and_axes_names_settle_it(tmp_path: Path) -> None:
    x = pixels(3, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", x, photometric="minisblack", metadata=None)
    with pytest.warns(OmexpWarning, match="taken for z"):
        assert convert(tmp_path / "a.tif", tmp_path / "a.zarr", pixel_size=1).get_image().axes == tuple("zyx")
    assert quietly(tmp_path / "a.tif", tmp_path / "b.zarr", axes_names="tyx").get_image().axes == tuple("tyx")
    with pytest.raises(ArgumentError, match="one each of t, c, z, y, x"):
        convert(tmp_path / "a.tif", tmp_path / "c.zarr", axes_names="yx")


# ------------------------------------------------------------------------------------------------- lazy, from threads
def reader_of(path: Path) -> tuple[TiffReader, Any]:
    file = tifffile.TiffFile(path)
    reader = series_reader(file.series[0], str(path))
    assert isinstance(reader, TiffReader)
    return reader, file


def test_a_box_decodes_only_the_tiles_that_it_meets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = pixels(2, 128, 128)
    tifffile.imwrite(tmp_path / "a.tif", x, tile=(32, 32), compression="zlib", metadata={"axes": "ZYX"})
    decoded: list[int] = []
    decode = TiffReader._decode
    monkeypatch.setattr(TiffReader, "_decode", lambda self, page, index: (decoded.append(index), decode(self, page, index))[1])
    reader, file = reader_of(tmp_path / "a.tif")
    with file:
        np.testing.assert_array_equal(reader.read(Region((1, 32, 64), (2, 64, 128))), x[1:2, 32:64, 64:128])
        assert sorted(decoded) == [6, 7]
        np.testing.assert_array_equal(reader.read(Region((0, 30, 30), (1, 34, 34))), x[0:1, 30:34, 30:34])
        assert sorted(decoded[2:]) == [0, 1, 4, 5]
        reader.read(Region((0, 33, 33), (1, 64, 64)))  # what was cut is kept
        assert len(decoded) == 6


def test_a_conversion_decodes_every_tile_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(300, 500), tile=(48, 80), compression="zlib")
    decoded: list[int] = []
    decode = TiffReader._decode
    monkeypatch.setattr(TiffReader, "_decode", lambda self, page, index: (decoded.append(index), decode(self, page, index))[1])
    quietly(tmp_path / "a.tif", tmp_path / "a.zarr", chunks=64)
    assert sorted(decoded) == list(range(7 * 7))


def test_kept_tiles_stay_within_their_bytes_but_one_is_always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(100)
    asked: list[int] = []

    def get(key: int, size: int) -> None:
        kept.get((0, key), lambda: (asked.append(key), np.zeros(size, "uint8"))[1])

    for key in (1, 2, 3, 3, 1):
        get(key, 40)
    assert (asked, kept.bytes) == ([1, 2, 3, 1], 80)
    get(4, 1000)
    get(4, 1000)
    assert (asked[4:], kept.bytes) == ([4], 1000)


def test_two_threads_that_want_one_tile_decode_it_once_and_hear_of_one_failure_each() -> None:
    kept, begun, calls = Kept(100), threading.Event(), []

    def decode() -> np.ndarray:
        calls.append(1)
        begun.wait(5)
        raise StoredDataError("damaged")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(kept.get, (0, 0), decode)
        while not calls:
            pass
        second = pool.submit(kept.get, (0, 0), decode)
        begun.set()
        assert isinstance(first.exception(), StoredDataError)
        assert isinstance(second.exception(), StoredDataError)
    assert kept.get((0, 0), lambda: None) is None


@pytest.fixture(scope="module", params=sorted(TIFFS))
def series(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, np.ndarray]]:
    """A reader over the series' own axes, and the whole array as tifffile reads it."""
    shape, _, options = TIFFS[request.param]
    path = tmp_path_factory.mktemp("series") / "a.tif"
    tifffile.imwrite(path, pixels(*shape), **options)
    with tifffile.TiffFile(path) as file:
        yield series_reader(file.series[0], "a.tif"), tifffile.imread(path)


@given(data=st.data())
def test_every_box_is_that_of_imread(series: tuple[Any, np.ndarray], data: st.DataObject) -> None:
    reader, whole = series
    assert reader.shape == whole.shape
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in whole.shape]
    region = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    np.testing.assert_array_equal(reader.read(region), whole[region.slices])


def test_many_threads_read_equal_boxes(tmp_path: Path) -> None:
    x = pixels(5, 200, 200)
    tifffile.imwrite(tmp_path / "a.tif", x, tile=(48, 48), compression="zlib", metadata={"axes": "ZYX"})
    reader, file = reader_of(tmp_path / "a.tif")
    regions = [Region((z, a, b), (z + 1, a + 70, b + 90)) for z in range(5) for a in (0, 31, 130) for b in (0, 17, 110)]
    with file, ThreadPoolExecutor(8) as pool:
        for region, found in zip(regions, pool.map(reader.read, regions), strict=True):
            np.testing.assert_array_equal(found, x[region.slices])


# ---------------------------------------------------------------------------------------------------- damaged sources
def test_a_compression_without_its_package_is_an_error_that_names_it(tmp_path: Path) -> None:
    if _has_imagecodecs():
        pytest.skip("imagecodecs is installed")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(40, 50))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(5)  # LZW
    with pytest.raises(DeviceUnavailableError, match="compression LZW needs the package imagecodecs"):
        convert(path, tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def _has_imagecodecs() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_cut_tiff_is_an_error_that_names_the_file_and_leaves_nothing(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(200, 200), compression=compression, rowsperstrip=50)
    path.write_bytes(path.read_bytes()[:-30000])
    with pytest.raises(StoredDataError, match="a.tif"):
        quietly(path, tmp_path / "a.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def cut(path: Path, share: float) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
@pytest.mark.parametrize("kind", ["imagej", "ome", "pages"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_cut_tiff_of_many_pages_loses_no_plane_in_silence(kind: str, options: dict[str, Any], share: float, tmp_path: Path) -> None:
    path, x = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif"), pixels(8, 40, 50)
    if kind == "pages":
        with tifffile.TiffWriter(path) as tiff:
            for plane in x:
                tiff.write(plane, metadata=None, contiguous=False, **options)
    else:
        tifffile.imwrite(path, x, imagej=kind == "imagej", metadata={"axes": "ZYX"}, **options)
    with pytest.raises(StoredDataError, match="a.*tif: the TIFF"):
        quietly(cut(path, share), tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_imagej_file_with_fewer_planes_than_it_tells_is_refused(compression: str | None, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for plane in pixels(3, 40, 50):
            told = {"description": "ImageJ=1.54f\nimages=5\nslices=5\n", "metadata": None}
            tiff.write(plane, compression=compression, contiguous=False, **told)
    with pytest.raises(StoredDataError, match="the TIFF is not whole"):
        quietly(tmp_path / "a.tif", tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()


def test_images_of_a_tiff_that_does_not_name_them_are_numbered(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "cells.tif") as tiff:
        for size in (40, 50):
            tiff.write(pixels(size, size), metadata=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = convert(tmp_path / "cells.tif", tmp_path / "a.zarr")
    assert isinstance(made, list)
    names = [one.image_meta.name or "" for one in made]
    assert len(set(names)) == 2
    assert not any("method" in name for name in names)
    assert any("cells.tif, series 1: " in str(w.message) for w in caught)


# --------------------------------------------------------------------------------------------------- URLs
def test_stores_behind_urls_are_read(tmp_path: Path) -> None:
    x = pixels(40, 50)
    quietly(x, tmp_path / "a.zarr", pixel_size=0.5)
    memory = fsspec.filesystem("memory")
    for path in (p for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()):
        memory.pipe(f"/for-convert/{path.relative_to(tmp_path)}", path.read_bytes())
    np.testing.assert_array_equal(of(quietly("memory://for-convert/a.zarr", tmp_path / "m.zarr")), x)
    np.testing.assert_array_equal(of(quietly(f"file://{tmp_path}/a.zarr", tmp_path / "f.zarr")), x)
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = quietly(f"http://127.0.0.1:{server.server_port}/a.zarr", tmp_path / "h.zarr")
        server.shutdown()
    np.testing.assert_array_equal(of(made), x)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.PNG", "a.npy"])
def test_files_behind_urls_are_refused_with_what_to_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="only Zarr can be read from a URL.*Download the file"):
        convert(f"https://example.org/{name}", tmp_path / "a.zarr")


def test_an_image_in_memory_is_sent_to_its_own_writer(tmp_path: Path) -> None:
    image = omexp.to_ngff_image(np.zeros((8, 8), "uint8"))
    theirs = type("NgffMultiscales", (), {})()
    for source in (image, omexp.to_multiscales(image, [2]), theirs):
        with pytest.raises(ArgumentError, match=f"got {type(source).__name__}. Write it with to_ngff_zarr"):
            convert(source, tmp_path / "a.zarr")


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"\x93NUMPY", b"\x89PNG\r\n", b"PK\3\4"])
def test_a_file_that_only_begins_well_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / ("a.npz" if content.startswith(b"PK") else "a.bin")
    path.write_bytes(content)
    with pytest.raises(StoredDataError, match=path.name):
        convert(path, tmp_path / "a.zarr")


def test_what_cannot_be_converted_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ArgumentError, match="no file that can be converted"):
        convert(tmp_path / "a.txt", tmp_path / "a.zarr")
    with pytest.raises(StoreNotFoundError, match="no such file or store"):
        convert(tmp_path / "nothing", tmp_path / "a.zarr")
    with pytest.raises(ArgumentError, match="zip files are written as .ozx"):
        convert(np.zeros((4, 5)), tmp_path / "a.zip", pixel_size=1.0)
    for options in ({"pixel_size": -1}, {"pixel_size": {"c": 1}}, {"ngff_version": "0.4"}, {"version": "0.1"}, {"axes_names": "qyx"}):
        with pytest.raises(ArgumentError):
            convert(np.zeros((3, 4, 5)), tmp_path / "a.zarr", **options)
    with pytest.raises(ArgumentError, match="progress cannot be called; got int"):
        convert(np.zeros((3, 4, 5)), tmp_path / "a.zarr", progress=3)
    assert not (tmp_path / "a.zarr").exists()


def test_progress_true_is_a_bar(tmp_path: Path) -> None:
    x = pixels(20, 30)
    np.testing.assert_array_equal(of(quietly(x, tmp_path / "a.zarr", progress=True)), x)


def test_what_is_there_stays_unless_told(tmp_path: Path) -> None:
    x = pixels(20, 30)
    quietly(x, tmp_path / "a.zarr")
    before = files(tmp_path / "a.zarr")
    with pytest.raises(AlreadyExistsError):
        quietly(x + 1, tmp_path / "a.zarr")
    assert files(tmp_path / "a.zarr") == before
    np.testing.assert_array_equal(of(quietly(x // 2, tmp_path / "a.zarr", overwrite=True)), x // 2)


# --------------------------------------------------------------------------------------------------- other sources
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_gives_the_pixels_that_pillow_reads(name: str, mode: str, tmp_path: Path) -> None:
    x = pixels(40, 50, dtype="uint8") if mode == "L" else pixels(40, 50, 3, dtype="uint8")
    Picture.fromarray(x).save(tmp_path / name)
    made = quietly(tmp_path / name, tmp_path / "a.zarr")
    wanted = np.asarray(Picture.open(tmp_path / name))
    np.testing.assert_array_equal(of(made), wanted if mode == "L" else np.moveaxis(wanted, -1, 0))
    if mode == "RGB":
        assert made.get_image().channel_labels == ["red", "green", "blue"]


def test_an_alpha_channel_is_kept_unless_it_is_opaque_everywhere(tmp_path: Path) -> None:
    x = pixels(40, 50, 4, dtype="uint8")
    Picture.fromarray(x).save(tmp_path / "clear.png")
    assert quietly(tmp_path / "clear.png", tmp_path / "clear.zarr").get_image().channel_labels == ["red", "green", "blue", "alpha"]
    x[..., 3] = 255
    Picture.fromarray(x).save(tmp_path / "opaque.png")
    with pytest.warns(OmexpWarning, match="not carried over: the alpha channel, which is opaque everywhere"):
        made = convert(tmp_path / "opaque.png", tmp_path / "opaque.zarr", pixel_size=1)
    assert not isinstance(made, list)
    np.testing.assert_array_equal(of(made), np.moveaxis(x[..., :3], -1, 0))


def test_a_palette_becomes_colours_and_grey_of_sixteen_bits_stays(tmp_path: Path) -> None:
    palette = Picture.fromarray(pixels(40, 50, 3, dtype="uint8")).quantize(16)
    palette.save(tmp_path / "p.png")
    wanted = np.moveaxis(np.asarray(palette.convert("RGB")), -1, 0)
    np.testing.assert_array_equal(of(quietly(tmp_path / "p.png", tmp_path / "p.zarr")), wanted)
    x = pixels(40, 50)
    Picture.fromarray(x).save(tmp_path / "g.png")
    found = of(quietly(tmp_path / "g.png", tmp_path / "g.zarr"))
    np.testing.assert_array_equal(found, x)


def test_a_picture_of_sixteen_bits_per_colour_is_refused_rather_than_cut_to_eight(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels(4, 3).astype(">u2").tobytes() for _ in range(2))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0))
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    with pytest.raises(ArgumentError, match="16 bits per colour"):
        convert(tmp_path / "d.png", tmp_path / "d.zarr")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4", "|b1"])
def test_npy_files_of_either_order_and_byte_order(dtype: str, order: str, tmp_path: Path) -> None:
    x = np.array(pixels(3, 40, 50) > 9 if dtype == "|b1" else pixels(3, 40, 50), dtype=dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", x)
    made = quietly(tmp_path / "a.npy", tmp_path / "a.zarr", axes_names="yxz" if order == "F" else "cyx")
    wanted = x.transpose(2, 0, 1) if order == "F" else x
    np.testing.assert_array_equal(of(made), wanted)
    assert of(made).dtype == np.dtype(dtype).newbyteorder("=")


def test_a_mapped_box_is_that_of_the_array(tmp_path: Path) -> None:
    x = pixels(3, 40, 50)
    (tmp_path / "a.raw").write_bytes(b"head" + x.astype(">u2").tobytes())
    reader = MappedReader(str(tmp_path / "a.raw"), 4, x.shape, np.dtype(">u2"))
    np.testing.assert_array_equal(reader.read(Region((1, 3, 7), (3, 40, 50))), x[1:3, 3:40, 7:50])
    assert reader.read(Region((1, 3, 7), (1, 40, 50))).shape == (0, 37, 43)


def test_the_arrays_of_an_npz_file_are_series(tmp_path: Path) -> None:
    first, second = pixels(20, 30), pixels(2, 10, 12, dtype="uint8")
    np.savez_compressed(tmp_path / "a.npz", first=first, second=second)
    with pytest.warns(OmexpWarning):
        made = convert(tmp_path / "a.npz", tmp_path / "a.zarr")
    assert isinstance(made, list)
    assert [m.image_meta.name for m in made] == ["first", "second"]
    np.testing.assert_array_equal(of(made[0]), first)
    np.testing.assert_array_equal(of(quietly(tmp_path / "a.npz", tmp_path / "b.zarr", series="second")), second)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_alone_is_an_image(zarr_format: int, tmp_path: Path) -> None:
    x = pixels(2, 40, 50)
    named = {"dimension_names": ["t", "y", "x"]} if zarr_format == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["T", "Y", "X"]}}
    made = zarr.create_array(str(tmp_path / "raw.zarr"), data=x, chunks=(1, 16, 16), zarr_format=zarr_format, **named)
    for source in (tmp_path / "raw.zarr", made):
        image = quietly(source, tmp_path / "a.zarr", overwrite=True).get_image()
        assert image.axes == tuple("tyx")
        np.testing.assert_array_equal(image.get_array(), x)
    with pytest.raises(ArgumentError, match="into itself"):
        convert(tmp_path / "raw.zarr", tmp_path / "raw.zarr", overwrite=True)


def test_arrays_in_memory_of_any_library(tmp_path: Path) -> None:
    import array_api_strict
    import dask.array as da

    x = pixels(2, 40, 50)
    for made in (x, da.from_array(x, chunks=(1, 16, 16)), array_api_strict.asarray(x)):
        np.testing.assert_array_equal(of(quietly(made, tmp_path / "a.zarr", axes_names="cyx", overwrite=True)), x)


def test_the_pixels_are_equal_wherever_levels_are_reduced(backend: Any, tmp_path: Path) -> None:
    if not backend.supports("uint16"):
        pytest.skip("no uint16")
    x = pixels(2, 60, 50)
    tifffile.imwrite(tmp_path / "a.tif", x, metadata={"axes": "CYX"}, tile=(16, 16), compression="zlib")
    quietly(tmp_path / "a.tif", tmp_path / "a.zarr", device="cpu")
    quietly(tmp_path / "a.tif", tmp_path / "b.zarr", device=backend.backend)
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")


# --------------------------------------------------------------------------------------------------------- OME-Zarr
@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Path]:
    """A store with everything that an image can have: label with colours, tables, custom keys, channel extras, translation."""

    def make(layout: str) -> Path:
        path = make_sample(tmp_path / f"{layout}.zarr", layout)
        container = omexp.open_ome_zarr_container(path)
        container.add_table("nuclei_ROI", container.build_masking_roi_table("nuclei"))
        container.add_table("doses", {"well": ["A1", "B1"], "dose": [0.5, 1.0]}, backend="csv")
        for group, edit in ((container.group, _edit_image), (container.group.group("labels/nuclei"), _edit_label)):
            document = group.attributes
            edit(document.get("ome", document))
            group.put_attributes(document | {"custom": {"operator": "me"}})
        return path

    return make


def _edit_image(sections: dict[str, Any]) -> None:
    for dataset in sections["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"].append({"type": "translation", "translation": [0.0, 10.0, 20.0, 30.0]})
        dataset["coordinateTransformations"] = dataset["coordinateTransformations"][:1] + dataset["coordinateTransformations"][-1:]
    sections["omero"]["channels"][0] |= {"color": "ABCDEF", "emissionWave": 461, "window": {"min": 0, "max": 9, "start": 1, "end": 5}}
    sections["omero"]["rdefs"] = {"model": "color"}


def _edit_label(sections: dict[str, Any]) -> None:
    sections["image-label"] |= {"colors": [{"label-value": 7, "rgba": [1, 2, 3, 4]}], "properties": [{"label-value": 7, "area": 5}]}


@pytest.mark.parametrize(("layout", "version"), [("0.4", "0.5"), ("0.5", "0.4"), ("0.5-sharded", "0.5"), ("0.4", "0.4")])
def test_ome_zarr_to_ome_zarr_carries_everything_over(layout: str, version: str, sample: Callable[[str], Path], tmp_path: Path) -> None:
    source = sample(layout)
    before = files(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OmexpWarning)
        made = convert(source, tmp_path / "new.zarr", version=version)
    assert files(source) == before
    old, new = omexp.open_ome_zarr_container(source), omexp.open_ome_zarr_container(tmp_path / "new.zarr")
    assert isinstance(made, omexp.OmeZarrContainer)
    assert new.image_meta.version == version
    np.testing.assert_array_equal(of(new), sample_pixels())
    np.testing.assert_array_equal(new.get_label("nuclei").get_array(), sample_ids())
    for level in old.level_paths[1:]:
        np.testing.assert_array_equal(of(new, level), of(old, level))
        np.testing.assert_array_equal(new.get_label("nuclei", level).get_array(), old.get_label("nuclei", level).get_array())
    a, b = old.image_meta, new.image_meta
    assert a.multiscale.axes == b.multiscale.axes
    assert (a.multiscale.name, a.channels_meta) == (b.multiscale.name, b.channels_meta)
    assert b.multiscale.datasets[0].transform.translation == (0.0, 10.0, 20.0, 30.0)
    assert a.multiscale.datasets[0] == b.multiscale.datasets[0]
    assert old.get_label("nuclei").meta.image_label == new.get_label("nuclei").meta.image_label
    assert new.list_tables() == ["nuclei_ROI", "doses"]
    assert new.get_masking_roi_table("nuclei_ROI").get("300") == old.get_masking_roi_table("nuclei_ROI").get("300")
    assert new.get_table("doses").dataframe.equals(old.get_table("doses").dataframe)
    assert new.get_table("doses").meta.backend == "csv"
    assert new.group.attributes["custom"] == new.group.group("labels/nuclei").attributes["custom"] == {"operator": "me"}


def test_there_and_back_is_the_same_store(sample: Callable[[str], Path], tmp_path: Path) -> None:
    first = convert(sample("0.4"), tmp_path / "first.zarr", version="0.5")
    convert(tmp_path / "first.zarr", tmp_path / "back.zarr", version="0.4")
    convert(tmp_path / "back.zarr", tmp_path / "again.zarr", version="0.5")
    assert isinstance(first, omexp.OmeZarrContainer)
    one, two = files(tmp_path / "first.zarr"), files(tmp_path / "again.zarr")
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name] and not name.startswith("tables/")} == set()


def test_layout_levels_and_pixel_size_of_an_ome_zarr_image_can_be_told(sample: Callable[[str], Path], tmp_path: Path) -> None:
    made = convert(
        sample("0.4"),
        tmp_path / "new.zarr",
        chunks=(1, 1, 10, 15),
        levels=2,
        factors=(1, 2, 2, 2),
        pixel_size={"x": 0.1},
        compressors="zstd",
        channel_labels=["a", "b"],
    )
    image, label = made.get_image(), made.get_label("nuclei")
    assert (image.chunks, label.chunks) == ((1, 1, 10, 15), (1, 10, 15))
    assert (made.get_image("1").shape, made.get_label("nuclei", "1").shape) == ((2, 2, 10, 15), (2, 10, 15))
    assert image.pixel_size.zyx == (2.0, 0.5, 0.1)
    assert made.get_label("nuclei").pixel_size.zyx == (2.0, 0.5, 0.1)
    assert made.get_image("1").pixel_size.zyx == (4.0, 1.0, 0.2)
    assert image.channel_labels == ["a", "b"]


SOURCES: dict[str, tuple[int, dict[str, Any]]] = {
    "order-F": (2, {"order": "F"}),
    "big-endian": (2, {"dtype": ">u2"}),
    "delta-zlib": (2, {"filters": [numcodecs.Delta("<u2")], "compressors": numcodecs.Zlib(1)}),
    "gzip-minus-1": (2, {"compressors": numcodecs.GZip(-1)}),
    "uncompressed": (2, {"compressors": None}),
    "nan-filled": (2, {"dtype": "f4", "fill_value": float("nan")}),
    "larger-than-the-array": (2, {"chunks": (2, 64, 64)}),
    "sharded": (3, {"shards": (2, 32, 24), "compressors": zarr.codecs.ZstdCodec(level=7)}),
}


def odd_levels(path: Path, kind: str) -> list[np.ndarray]:
    """An image whose coarser levels are no reduction of the finest: floor shapes, odd factors, other pixels, keys of other programs."""
    zarr_format, given = SOURCES[kind]
    how = {"dtype": "<u2", "chunks": (1, 16, 12), "fill_value": 0} | given
    group, found = zarr.open_group(path, mode="w", zarr_format=zarr_format), []
    for level, shape in (("full", (2, 33, 45)), ("half", (2, 16, 22)), ("last", (1, 3, 2))):
        array = group.create_array(level, shape=shape, **how)
        array[...] = pixels(*shape).astype(how["dtype"])
        array.attrs["stage"] = level
        found.append(np.asarray(array[...]))
    scales = {"full": [1.0, 0.5, 0.5], "half": [1.0, 1.03125, 1.0227], "last": [2.0, 5.5, 11.25]}
    levels = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}], "made_by": "me"} for path, scale in scales.items()
    ]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    entry = {"name": "odd", "axes": axes, "datasets": levels, "type": "median", "metadata": {"kernel": 3}, "ours": 1}
    group.attrs.update(
        {"ome": {"version": "0.5", "multiscales": [entry]}} if zarr_format == 3 else {"multiscales": [entry | {"version": "0.4"}]}
    )
    return found


@pytest.mark.filterwarnings("ignore::omexp.errors.OmexpWarning")
@pytest.mark.parametrize("kind", SOURCES)
def test_every_level_is_copied_as_it_is_through_all_versions(kind: str, tmp_path: Path) -> None:
    wanted = odd_levels(tmp_path / "0", kind)
    source = StoredArray(zarr.open_array(tmp_path / "0/full", mode="r"))
    for number, version in enumerate(("0.5", "0.6", "0.4"), start=1):
        made = convert(tmp_path / str(number - 1), tmp_path / str(number), version=version)
        assert isinstance(made, omexp.OmeZarrContainer)
        for level, old in zip(("full", "half", "last"), wanted, strict=True):
            array = StoredArray(zarr.open_array(tmp_path / str(number) / level, mode="r"))
            np.testing.assert_array_equal(array.zarr[...], old)
            assert (array.chunks, array.attributes["stage"]) == (source.chunks, level)
            assert array.shards == (None if version == "0.4" else source.shards)
            assert array.codec == ("blosc:lz4" if kind in ("delta-zlib", "gzip-minus-1") else source.codec)  # these are not in format 3
        multiscale = made.meta.multiscale
        assert [d.transform.scale for d in multiscale.datasets] == [(1.0, 0.5, 0.5), (1.0, 1.03125, 1.0227), (2.0, 5.5, 11.25)]
        assert all(d.extra == {"made_by": "me"} for d in multiscale.datasets)
        assert (multiscale.type, multiscale.metadata, multiscale.extra["ours"]) == ("median", {"kernel": 3}, 1)


@pytest.mark.filterwarnings("ignore::omexp.errors.OmexpWarning")
def test_another_layout_or_pixel_size_keeps_the_pixels_of_all_levels(tmp_path: Path) -> None:
    wanted = odd_levels(tmp_path / "a", "sharded")
    layouts: list[dict[str, Any]] = [{"chunks": 8, "compressors": "gzip"}, {"shards": 20}, {"pixel_size": {"x": 2.0}}, {"shards": None}]
    made = []
    for number, told in enumerate(layouts):
        made.append(quietly(tmp_path / "a", tmp_path / str(number), **told))
        for level, old in zip(made[-1].level_paths, wanted, strict=True):
            np.testing.assert_array_equal(of(made[-1], level), old)
    assert made[0].get_image().chunks == (2, 8, 8)
    assert made[1].get_image().zarr_array.shards == (2, 20, 20)
    assert made[3].get_image().zarr_array.shards is None
    scales = [d.transform.scale for d in made[2].meta.multiscale.datasets]
    assert [s[2] for s in scales] == pytest.approx([2.0, 4.0908, 45.0])
    assert [s[1] for s in scales] == [0.5, 1.03125, 5.5]


def test_other_levels_factors_or_another_method_are_made_from_the_finest(tmp_path: Path) -> None:
    wanted = odd_levels(tmp_path / "a", "sharded")
    made = quietly(tmp_path / "a", tmp_path / "b", method="max", factors=2, levels=2)
    np.testing.assert_array_equal(of(made), wanted[0])
    assert (made.get_image("1").shape, made.meta.multiscale.type) == ((2, 17, 23), "max")
    assert of(made, "1")[0, 0, 0] == wanted[0][0, :2, :2].max()


def test_a_document_without_a_method_gets_none_when_its_only_level_is_copied(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a", pixels(20, 20), xy_pixelsize=1, levels=1)
    group = omexp.open_ome_zarr_container(tmp_path / "a").group
    document = group.attributes
    del document["ome"]["multiscales"][0]["type"], document["ome"]["multiscales"][0]["metadata"]
    group.put_attributes(document)
    quietly(tmp_path / "a", tmp_path / "b")
    assert zarr.open_group(tmp_path / "b", mode="r").attrs.asdict() == document


def a_plate(path: Path, columns: int) -> list[omexp.OmeZarrContainer]:
    plate = omexp.create_empty_plate(path, "screen", [omexp.ImageInWellPath("A", i + 1, "0") for i in range(columns)])
    stores = [plate.get_image_store("A", i + 1, "0") for i in range(columns)]
    return [omexp.create_ome_zarr_from_array(store, pixels(20, 20), xy_pixelsize=1, levels=2) for store in stores]


def test_a_plate_keeps_foreign_attributes_of_all_its_groups_and_names_what_it_leaves(tmp_path: Path) -> None:
    a_plate(tmp_path / "p", 1)[0].derive_label("cells")
    places = ("", "A", "A/01", "A/01/0", "A/01/0/labels", "A/01/0/labels/cells")
    for place in places:
        zarr.open_group(tmp_path / "p" / place, mode="r+").attrs["operator"] = f"me at {place}"
    for place in ("left", "A/left", "A/01/left", "A/01/0/left", "A/01/0/labels/cells/left"):
        zarr.open_group(tmp_path / "p" / place, mode="w")
    with pytest.warns(OmexpWarning, match="not carried over") as caught:
        convert(tmp_path / "p", tmp_path / "q", version="0.4")
    message = " ".join(str(w.message) for w in caught)
    assert all(f"group or array {name!r}" in message for name in ("left", "A/left", "A/01/left", "labels/cells/left"))
    for place in places:
        assert zarr.open_group(tmp_path / "q" / place, mode="r").attrs["operator"] == f"me at {place}"


def test_each_group_of_a_plate_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_plate(tmp_path / "p", 2)
    opened, find = [], Group.find

    def counted(group: Group, path: str) -> Group | None:
        opened.append(f"{group.where}/{path}")
        return find(group, path)

    monkeypatch.setattr(Group, "find", counted)
    convert(tmp_path / "p", tmp_path / "q")
    assert sorted(place for place in opened if place.endswith(("p/A", "/A/01", "/A/02", "/0")) and "/p/" in place) == [
        f"{tmp_path}/p/{place}" for place in ("A", "A/01", "A/01/0", "A/02", "A/02/0")
    ]


def test_what_is_not_carried_over_is_warned_about_by_name(sample: Callable[[str], Path], tmp_path: Path) -> None:
    path = sample("0.5")
    zarr.open_group(path, mode="r+").create_group("points")
    zarr.open_group(path / "labels", mode="r+").create_group("draft")
    zarr.open_group(path / "labels/nuclei", mode="r+").create_group("skeleton")
    zarr.open_array(path / "1", mode="r+").attrs["stage"] = "A"
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"].append(document["attributes"]["ome"]["multiscales"][0])
    (path / "zarr.json").write_text(json.dumps(document))
    shutil.rmtree(path / "tables" / "doses")
    with pytest.warns(OmexpWarning, match="not carried over") as caught:
        made = convert(path, tmp_path / "new.zarr", levels=2)
    message = " ".join(str(w.message) for w in caught)
    for name in ("table 'doses'", "'points'", "labels/draft", "'labels/nuclei/skeleton'", "'stage' of level '1'", "multiscales.1"):
        assert name in message
    assert made.list_tables() == ["nuclei_ROI"]


def test_an_image_without_channels_block_gets_its_windows_from_its_pixels(tmp_path: Path) -> None:
    omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels(64, 64) // 100, xy_pixelsize=1)
    group = omexp.open_ome_zarr_container(tmp_path / "a.zarr").group
    document = group.attributes
    del document["ome"]["omero"]
    group.put_attributes(document)
    window = convert(tmp_path / "a.zarr", tmp_path / "b.zarr").get_image().channels_meta.channels[0].window
    assert window is not None
    assert 300 < window.end <= 655


@pytest.mark.parametrize("name", ["cardiomyocyte_B03_mip_v04.zarr", "mri_zyx_bigendian_zstd_v04.zarr", "human_ht29_v05.ozx"])
def test_real_stores_keep_their_finest_pixels(name: str, shared_data: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)
        made = convert(shared_data / name, tmp_path / "new.zarr", version="0.4" if name.endswith("ozx") else "0.5")
        old = omexp.open_ome_zarr_container(shared_data / name, mode="r")
    np.testing.assert_array_equal(of(made), of(old))
    assert made.list_labels() == old.list_labels()
    assert made.list_tables() == old.list_tables()


@pytest.mark.parametrize(("name", "version"), [("transfluor_plate_v05.zarr", "0.4"), ("challenge_hcs_v04.zarr", "0.6")])
@pytest.mark.filterwarnings("ignore::omexp.errors.OmexpWarning")
def test_a_plate_is_converted_with_all_that_is_in_it(name: str, version: str, shared_data: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    made = convert(shared_data / name, tmp_path / "a.zarr", version=version, progress=lambda *t: heard.append(t))
    old = omexp.open_ome_zarr_plate(shared_data / name, mode="r")
    assert isinstance(made, omexp.OmeZarrPlate)
    assert (made.version, made.rows, made.columns, made.images_paths()) == (version, old.rows, old.columns, old.images_paths())
    assert made.acquisition_ids == old.acquisition_ids and made.meta.name == old.meta.name
    before = old.get_images()
    for path, image in made.get_images().items():
        np.testing.assert_array_equal(image.get_image().get_as_numpy(), before[path].get_image().get_as_numpy())
        assert (image.list_labels(), image.list_tables()) == (before[path].list_labels(), before[path].list_tables())
        for label in image.list_labels():
            np.testing.assert_array_equal(image.get_label(label).get_as_numpy(), before[path].get_label(label).get_as_numpy())
    assert heard == sorted(heard) and heard[-1][0] == heard[-1][1]


@pytest.mark.filterwarnings("ignore::omexp.errors.OmexpWarning")
def test_a_plate_whose_conversion_broke_off_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wells, x = [omexp.ImageInWellPath("A", i, "0") for i in (1, 2, 3)], pixels(40, 50)
    plate = omexp.create_empty_plate(tmp_path / "p.zarr", "screen", wells)
    for i in (1, 2, 3):
        omexp.create_ome_zarr_from_array(plate.get_image_store("A", i, "0"), x + i, xy_pixelsize=0.5, levels=2)
    written, copy = [], plates.copy_image

    class Stopped(Exception):
        pass

    def stops(source: Any, target: Any, *rest: Any) -> None:
        written.append(target.where.rpartition(".partial/")[2])
        copy(source, target, *rest)
        if len(written) == 2:
            raise Stopped

    monkeypatch.setattr(plates, "copy_image", stops)
    with pytest.raises(Stopped):
        convert(tmp_path / "p.zarr", tmp_path / "q.zarr", version="0.4", resume=True)
    assert not (tmp_path / "q.zarr").exists()
    made = convert(tmp_path / "p.zarr", tmp_path / "q.zarr", version="0.4", resume=True)
    assert written == ["A/01/0", "A/02/0", "A/02/0", "A/03/0"]
    assert isinstance(made, omexp.OmeZarrPlate)
    for i in (1, 2, 3):
        np.testing.assert_array_equal(made.get_image("A", i, "0").get_image().get_as_numpy(), x + i)
    assert {p.name for p in tmp_path.iterdir()} == {"p.zarr", "q.zarr"}


def test_what_only_another_version_can_say_is_named_when_it_is_left_out(tmp_path: Path) -> None:
    made = convert(pixels(40, 50), tmp_path / "a.zarr", axes_names="yx", pixel_size=0.5, version="0.6")
    assert isinstance(made, omexp.OmeZarrContainer)
    document = made.group.attributes
    document["ome"]["multiscales"][0]["coordinateSystems"].append({"name": "stage", "axes": [{"name": "y"}, {"name": "x"}]})
    made.group.put_attributes(document)
    with pytest.warns(OmexpWarning, match="not carried over: coordinate system 'stage'"):
        convert(tmp_path / "a.zarr", tmp_path / "b.zarr", version="0.5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = convert(tmp_path / "a.zarr", tmp_path / "c.zarr", version="0.6")
    assert isinstance(again, omexp.OmeZarrContainer)
    assert again.meta.multiscale.systems == ("physical", "stage")


def test_a_collection_becomes_a_collection(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(pixels(40, 50), metadata={"axes": "YX", "PhysicalSizeX": 2.0})
        tiff.write(pixels(20, 30), metadata={"axes": "YX", "PhysicalSizeX": 2.0})
    first = convert(tmp_path / "a.ome.tif", tmp_path / "a.zarr")
    second = convert(tmp_path / "a.zarr", tmp_path / "b.zarr", version="0.4")
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert [m.image_meta.version for m in second] == ["0.4", "0.4"]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(of(a), of(b))
    assert (tmp_path / "b.zarr/OME/METADATA.ome.xml").read_bytes() == (tmp_path / "a.zarr/OME/METADATA.ome.xml").read_bytes()
    assert json.loads((tmp_path / "b.zarr/.zattrs").read_text()) == {"bioformats2raw.layout": 3}


def test_an_image_is_not_converted_into_itself(sample: Callable[[str], Path]) -> None:
    path = sample("0.5")
    before = files(path)
    for target in (path, path / "copy"):
        with pytest.raises(ArgumentError, match="into itself"):
            convert(path, target, overwrite=True)
    assert files(path) == before


def test_a_store_in_memory_is_a_target_and_a_source(tmp_path: Path) -> None:
    x, store = pixels(40, 50), {}
    quietly(x, store)
    np.testing.assert_array_equal(of(convert(store, tmp_path / "a.zarr")), x)


# ------------------------------------------------------------------------------------------------------ small parts
def test_units_are_micrometers_where_they_can_be() -> None:
    assert space_sizes({"x": (2.0, "inch"), "y": (2.0, "inch")}) == ({"x": 2.0, "y": 2.0}, "inch")
    assert space_sizes({"x": (1.0, "pixel")}) == ({"x": 1.0}, None)
    assert space_sizes({"x": (0.1, "nm"), "z": (1.0, "cm")}) == ({"x": 0.0001, "z": 10000.0}, "micrometer")
    assert (seconds(5, "min"), seconds(1, "ms"), seconds(1, "week")) == (300.0, 0.001, None)


def test_ome_xml_that_is_broken_or_odd_is_read_as_far_as_it_goes() -> None:
    assert images_of("<OME><Image") == []
    pixels = '<Pixels PhysicalSizeX="nan" TimeIncrement="-1"><Channel Color="red" Fluor="Cy5"/></Pixels>'
    (image,) = images_of(f'<OME><Instrument/><Image Name="a">{pixels}</Image></OME>')
    assert (image.pixel_size, image.left_out) == ({}, ("Instrument",))
    assert (image.channels[0].label, image.channels[0].color) == ("Cy5", None)


def test_names_that_come_again_are_numbered() -> None:
    assert unique(["a", "a", "a (2)", "a"]) == ["a", "a (2)", "a (2) (2)", "a (3)"]


@given(data=st.data())
def test_rearranged_axes_give_the_boxes_of_the_transposed_array(data: st.DataObject) -> None:
    axes = "".join(data.draw(st.permutations("tcsyx")))
    whole = np.arange(2 * 3 * 4 * 5 * 6, dtype="uint16").reshape(2, 3, 4, 5, 6)
    reader, found = arranged(omexp.storage.sources.source_of(whole), axes, "array")
    assert found == "tcyx"
    ordered = whole.transpose([axes.index(a) for a in "tcsyx"])
    wanted = ordered.reshape(ordered.shape[0], -1, *ordered.shape[3:])
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in wanted.shape]
    region = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    np.testing.assert_array_equal(reader.read(region), wanted[region.slices])


def test_a_gpu_that_is_not_there_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    try:
        resolve_backend("cuda")
        pytest.skip("there is a usable GPU")
    except DeviceUnavailableError:
        pass
    with pytest.raises(DeviceUnavailableError):
        convert(np.zeros((4, 5)), tmp_path / "a.zarr", device="cuda")
    assert not (tmp_path / "a.zarr").exists()
