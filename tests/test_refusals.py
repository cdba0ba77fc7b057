"""Bad input: a clear error that says what, where, got and what to do, and not one byte on disk changes."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import array_api_strict
import dask
import dask.array as da
import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs
from zarr.storage import LocalStore

import omexp
from omexp.backend import Backend
from omexp.errors import (
    AlreadyExistsError,
    ArgumentError,
    BackendMismatchError,
    DeviceUnavailableError,
    DTypeError,
    InvalidMetadataError,
    MissingArrayError,
    NameNotFoundError,
    OmexpError,
    ReadOnlyError,
    SelectionError,
    StoredDataError,
    StoreNotFoundError,
    UnsupportedVersionError,
)
from omexp.geometry import blocks
from omexp.storage.groups import Group
from tests.stores import SHAPE, files, make_sample, sample_ids, sample_pixels

TWINS: dict[type[OmexpError], type[Exception]] = {
    ArgumentError: ValueError,
    SelectionError: IndexError,
    DTypeError: TypeError,
    BackendMismatchError: TypeError,
    StoreNotFoundError: FileNotFoundError,
    NameNotFoundError: KeyError,
    AlreadyExistsError: FileExistsError,
    ReadOnlyError: PermissionError,
    StoredDataError: ValueError,
    InvalidMetadataError: ValueError,
    UnsupportedVersionError: ValueError,
    MissingArrayError: FileNotFoundError,
    DeviceUnavailableError: RuntimeError,
}
DEVICE1 = Backend(array_api_strict, array_api_strict.Device("device1"))
ZEROS = np.zeros(SHAPE, "uint16")


Call = Callable[["World"], Any]


# ------------------------------------------------------------------------------------------------------- the world
class World:
    """A folder of stores, good and bad: `image.zarr` is a sample with a label and tables, the others are what their names say."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # few files, since each refusal reads them all: one shard per level, no folders between
        disk = {"chunks": (1, 2, 8, 16), "shards": (2, 4, 24, 32), "dimension_separator": "."}
        self.create(sample_pixels(), "image.zarr", z_spacing=2.0, levels=3, channel_labels=["DAPI", "GFP"], **disk)
        self.container.derive_label("nuclei").set_array(sample_ids())
        self.label.consolidate(workers=1)
        self.container.add_table("nuclei_table", self.container.build_masking_roi_table("nuclei"))
        self.container.add_table("doses", {"well": ["A1", "B1"], "dose": [0.5, 1.0]})
        images = [omexp.ImageInWellPath("A", 1, "0"), omexp.ImageInWellPath("B", 2, "0")]
        plate = omexp.create_empty_plate(home / "plate.zarr", "screen", images)
        omexp.create_empty_ome_zarr(plate.get_image_store("A", 1, "0"), (8, 8), xy_pixelsize=1)
        zarr.create_array(home / "array.zarr", shape=(4, 4), dtype="uint8")
        (home / "folder").mkdir()
        (home / "folder" / "notes.txt").write_text("kept")
        (home / "file.zarr").write_text("no store")
        zarr.create_group(home / "group.zarr", zarr_format=3)
        (home / "empty").mkdir()
        for name in ("broken.zarr", "nameless.zarr", "old.zarr", "holes.zarr", "flat.zarr", "thin.zarr"):
            small = omexp.create_empty_ome_zarr(home / name, (2, 1, 16, 16), axes_names="czyx", xy_pixelsize=1, levels=2)
            small.derive_label("nuclei")
        (home / "broken.zarr" / "zarr.json").write_text('{"zarr_format": 3,')
        omexp.create_empty_ome_zarr(home / "broken_v2.zarr", (8, 8), xy_pixelsize=1, ngff_version="0.4")
        (home / "broken_v2.zarr" / ".zattrs").write_text("no JSON")
        self.edit("nameless.zarr", lambda ome: ome["multiscales"][0].pop("axes"))
        self.edit("old.zarr", lambda ome: ome.update(version="0.7"))
        shutil.rmtree(home / "holes.zarr" / "1")
        shutil.rmtree(home / "flat.zarr" / "0")
        zarr.create_array(home / "flat.zarr" / "0", shape=(20, 30), dtype="uint16")
        shutil.rmtree(home / "thin.zarr" / "1")
        zarr.create_array(home / "thin.zarr" / "1", shape=(10, 15), dtype="uint16")
        self.seen = files(home)

    def changes(self) -> list[str]:
        """What has changed on disk since the last look: names and bytes of every file in the stores and beside them."""
        before, self.seen = self.seen, files(self.home)
        return sorted(name for name in {*before, *self.seen} if before.get(name) != self.seen.get(name))

    def edit(self, store: str, change: Callable[[dict[str, Any]], Any]) -> None:
        path = self.home / store / "zarr.json"
        document = json.loads(path.read_text())
        change(document["attributes"]["ome"])
        path.write_text(json.dumps(document))

    def open(self, store: str = "image.zarr", **options: Any) -> omexp.OmeZarrContainer:
        return omexp.open_ome_zarr_container(self.home / store, **options)

    def plate(self, store: str = "plate.zarr", **options: Any) -> omexp.OmeZarrPlate:
        return omexp.open_ome_zarr_plate(self.home / store, **options)

    def create(self, array: Any = ZEROS, store: str = "new.zarr", **options: Any) -> Any:
        given = {"axes_names": "czyx", "xy_pixelsize": 0.5, "workers": 1} | options  # ... leaves an option out
        return omexp.create_ome_zarr_from_array(self.home / store, array, **{k: v for k, v in given.items() if v is not ...})

    def empty(self, shape: Any = SHAPE, store: str = "new.zarr", **options: Any) -> Any:
        given = {"axes_names": "czyx", "xy_pixelsize": 0.5} | options
        return omexp.create_empty_ome_zarr(self.home / store, shape, **{k: v for k, v in given.items() if v is not ...})

    def derive(self, **options: Any) -> Any:
        return self.container.derive_image(self.home / "new.zarr", **options)

    @cached_property
    def container(self) -> omexp.OmeZarrContainer:
        return self.open()

    @property
    def image(self) -> omexp.Image:
        return self.container.get_image()

    @property
    def label(self) -> omexp.Label:
        return self.container.get_label("nuclei")

    @property
    def masked(self) -> omexp.MaskedImage:
        return self.container.get_masked_image("nuclei")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world for every refusal: none may change it."""
    return World(tmp_path_factory.mktemp("refusals"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that must be refused: its error's class, and the parts of its message."""

    what: str
    where: str
    error: type[OmexpError]
    got: str
    call: Call

    def __str__(self) -> str:
        return f"{self.what}-{self.where}-{self.got}".replace("/", "|")


def rows(what: str, where: str, error: type[OmexpError], *calls: tuple[str, Call]) -> list[Refusal]:
    """One refusal per (got, call)."""
    return [Refusal(what, where, error, got, call) for got, call in calls]


def values(what: str, where: str, error: type[OmexpError], call: Callable[[World, Any], Any], *bad: Any) -> list[Refusal]:
    """One refusal per bad value, which the message must show."""
    return [Refusal(what, where, error, repr(value), lambda world, value=value: call(world, value)) for value in bad]


# fmt: off
ROI = omexp.Roi.from_values({"y": (0, 2), "x": (0, 2)})
SMALL = np.zeros((2, 3, 4, 4), "uint16")  # what ROI selects
OBJECT = np.zeros((2, 2, 5, 7), "uint16")  # the box of object 1
STRICT = array_api_strict.zeros(SHAPE, dtype=array_api_strict.uint16)
FIELD = omexp.ImageInWellPath("A", 1, "0")

AXES = [
    *rows("the axis names do not fit", "axes_names", ArgumentError,
        ("q, z, y, x", lambda w: w.create(axes_names="qzyx")),
        ("z, z, y, x", lambda w: w.create(axes_names="zzyx")),
        ("z, y, x for 4 axes", lambda w: w.create(axes_names="zyx")),
        ("z, y, x for 2 axes", lambda w: w.empty((8, 8), axes_names="zyx")),
        ("5 for 2 axes", lambda w: w.empty((8, 8), axes_names=5)),
        ("0, 1 for 2 axes", lambda w: w.empty((8, 8), axes_names=[0, 1])),
        ("q, t, c, z, y, x for 6 axes", lambda w: w.create(np.zeros((1,) * 6, "uint8"), axes_names="qtczyx")),
        ("c, z, y, x for 0 axes", lambda w: w.create(np.uint8(3))),
        ("c, z, y, x for 6 axes", lambda w: w.derive(shape=(1,) * 6)),
    ),
    *rows("axes must be ordered time, channel, space", "axes_names", ArgumentError,
        ("z, c, y, x", lambda w: w.create(axes_names="zcyx")),
        ("c, t, y, x", lambda w: w.create(axes_names="ctyx")),
        ("got x", lambda w: w.create(np.zeros(8, "uint8"), axes_names="x")),
        ("got t, c, x", lambda w: w.empty((2, 3, 8), axes_names="tcx")),
    ),
    *rows("has 2 to 5 axes", "shape", ArgumentError,
        ("0 axes", lambda w: w.create(np.zeros((), "uint8"), axes_names=None)),
        ("1 axes", lambda w: w.create(np.zeros(8, "uint8"), axes_names=None)),
        ("6 axes", lambda w: w.create(np.zeros((1,) * 6, "uint8"), axes_names=None)),
    ),
]

SHAPES = [
    *values("shape must be one non-negative int per axis", "new image", ArgumentError, lambda w, v: w.empty(v),
        (2, 3, -20, 30), (2, 3, 20.5, 30), 64, "abcd", None),
    *values("shape must be one non-negative int per axis", "new image", ArgumentError, lambda w, v: w.derive(shape=v), (-1, 4), 5),
    *rows("the patch does not have the shape of the selection", "image.zarr/0", ArgumentError,
        ("(2, 3, 20, 29)", lambda w: w.image.set_array(ZEROS[..., :-1])),
        ("(1, 1, 1, 1)", lambda w: w.image.set_array(np.ones((1, 1, 1, 1), "uint16"))),
        ("got (); allowed: (2, 3, 20, 30)", lambda w: w.image.set_array(np.ones((), "uint16"))),
        ("got ();", lambda w: w.image.set_array(np.uint16(3))),
        ("(30, 20, 3, 2)", lambda w: w.image.set_array(ZEROS.T)),
        ("got (1, 3, 20, 30); allowed: (3, 20, 30)", lambda w: w.image.set_array(ZEROS[:1], c=0)),
        ("(3, 20, 30)", lambda w: w.image.set_array(ZEROS[0], c=[0])),
        ("(2, 2)", lambda w: w.image.set_array(da.zeros((2, 2), dtype="uint16"))),
        ("(4, 4)", lambda w: w.image.set_array(dask.delayed(np.zeros)((4, 4), "uint16"))),
        ("(2, 3, 20, 30); allowed: (2, 3, 4, 4)", lambda w: w.image.set_roi(ROI, ZEROS)),
        ("(2, 3, 20, 30); allowed: (2, 2, 5, 7)", lambda w: w.masked.set_roi(1, ZEROS)),
        ("(2, 2, 5, 1); allowed: (2, 2, 5, 7)", lambda w: w.masked.set_roi_masked(1, OBJECT[..., :1])),
    ),
    *rows("the patch does not have the shape of the selection", "image.zarr/labels/nuclei/0", ArgumentError,
        ("(2, 20, 30)", lambda w: w.label.set_array(sample_ids()[1:])),
    ),
]

NAMES = [
    *values("there is no such label", "image.zarr", NameNotFoundError, lambda w, v: w.container.get_label(v), "cells", "", "..", 3),
    *values("there is no such label", "image.zarr", NameNotFoundError, lambda w, v: w.container.delete_label(v), "cells", "..", "a/b"),
    *rows("there is no such label", "image.zarr", NameNotFoundError,
        ("'cells'", lambda w: w.container.get_masked_image("cells")),
        ("'cells'", lambda w: w.container.get_masked_label("nuclei", "cells")),
        ("'cells'", lambda w: w.container.get_masked_label("cells", "nuclei")),
        ("'cells'", lambda w: w.container.build_masking_roi_table("cells")),
    ),
    *values("there is no such level", "image.zarr", NameNotFoundError, lambda w, v: w.container.get_image(v), "9", -1, "", "labels"),
    *rows("there is no such level", "image.zarr", NameNotFoundError,
        ("'9'", lambda w: w.container.get_label("nuclei", "9")),
        ("'9'", lambda w: w.container.get_masked_image("nuclei", path="9")),
    ),
    *rows("there is no such table", "image.zarr", NameNotFoundError,
        ("'cells'", lambda w: w.container.get_table("cells")),
        ("'cells'", lambda w: w.container.get_roi_table("cells")),
        ("'cells'", lambda w: w.container.delete_table("cells")),
        ("'..'", lambda w: w.container.delete_table("..")),
        ("'cells'", lambda w: w.container.get_masked_image("nuclei", "cells")),
    ),
    *rows("columns of a ROI table are missing", "image.zarr/tables/doses", StoredDataError,
        ("dose", lambda w: w.container.get_masked_image("nuclei", "doses")),
    ),
    *rows("the table is of another type", "image.zarr/tables/doses", ArgumentError,
        ("generic_table", lambda w: w.container.get_roi_table("doses")),
    ),
    *rows("name a masking label or a masking table", "image.zarr", ArgumentError, ("neither", lambda w: w.container.get_masked_image())),
    *rows("no channel has that name", "image.zarr/0", NameNotFoundError,
        ("'Cy5'", lambda w: w.image.get_channel_idx("Cy5")),
        ("'A09'", lambda w: w.image.get_channel_idx(wavelength_id="A09")),
        ("'Cy5'", lambda w: w.image.get_array(channel_selection="Cy5")),
        ("'Cy5'", lambda w: w.image.get_as_dask(channel_selection=["DAPI", "Cy5"])),
        ("'Cy5'", lambda w: w.image.set_array(ZEROS[0], channel_selection="Cy5")),
    ),
    *rows("pass exactly one of channel_label and wavelength_id", "image.zarr/0", ArgumentError,
        ("None, None", lambda w: w.image.get_channel_idx()),
        ("'DAPI', 'A01'", lambda w: w.image.get_channel_idx("DAPI", "A01")),
    ),
    *rows("there is no such object", "image.zarr/0", NameNotFoundError,
        ("label 999", lambda w: w.masked.get_roi(999)),
        ("label 999", lambda w: w.masked.get_roi_as_dask(999)),
        ("label 999", lambda w: w.masked.get_roi_masked(999)),
        ("label 0", lambda w: w.masked.get_roi_masked(0)),
        ("label 999", lambda w: w.masked.set_roi(999, OBJECT)),
        ("label -1", lambda w: w.masked.set_roi_masked(-1, OBJECT)),
    ),
    *values("label must be an integer id", "image.zarr/0", ArgumentError, lambda w, v: w.masked.get_roi(v), 1.5, "1", [1]),
    *values("label must be an integer id", "image.zarr/0", ArgumentError, lambda w, v: w.masked.set_roi_masked(v, OBJECT), 1.5, "1"),
    *rows("pass an object's label", "image.zarr/0", ArgumentError,
        ("label=None", lambda w: w.masked.get_roi(None)),
        ("label=None", lambda w: w.masked.get_roi_masked(None)),
        ("label=None", lambda w: w.masked.set_roi_masked(None, OBJECT)),
    ),
    *rows("there is no such well", "plate.zarr", NameNotFoundError,
        ("Z/1", lambda w: w.plate().get_well("Z", 1)),
        ("A/7", lambda w: w.plate().get_well("A", 7)),
        ("A/02", lambda w: w.plate().get_well("A", "02")),
        ("A/1.5", lambda w: w.plate().get_well("A", 1.5)),
        ("Z/1", lambda w: w.plate().get_well_images("Z", 1)),
        ("Z/1", lambda w: w.plate().get_image("Z", 1, "0")),
        ("Z/1", lambda w: w.plate().get_image_store("Z", 1, "0")),
    ),
    *rows("there is no such field", "plate.zarr/A/01", NameNotFoundError, ("'9'", lambda w: w.plate().get_image("A", 1, "9"))),
    *rows("the field is listed", "plate.zarr/B/02/0", StoreNotFoundError, ("not on disk", lambda w: w.plate().get_image("B", 2, "0"))),
    *rows("there is no such option", "new image", ArgumentError,
        ("pixel_size", lambda w: w.empty(pixel_size=0.5)),
        ("chunk", lambda w: w.create(chunk=4)),
    ),
    *rows("there is no such option", "derive", ArgumentError,
        ("levels", lambda w: w.container.derive_label("cells", levels=2)),
        ("chunk", lambda w: w.derive(chunk=4)),
    ),
]

NO_SIZES = (0, -0.5, math.nan, math.inf, True, 10**400)
PIXEL_SIZES = [
    *rows("pass path or pixel_size, not both", "image.zarr", ArgumentError,
        ("path='0'", lambda w: w.container.get_image("0", omexp.PixelSize(1, 1))),
        ("path='1'", lambda w: w.container.get_masked_image("nuclei", path="1", pixel_size=omexp.PixelSize(1, 1))),
    ),
    *rows("no level has that pixel size", "image.zarr", NameNotFoundError,
        ("x=0.3", lambda w: w.container.get_image(pixel_size=omexp.PixelSize(0.3, 0.3, 2), strict=True)),
        ("x=9", lambda w: w.container.get_label("nuclei", pixel_size=omexp.PixelSize(9, 9), strict=True)),
    ),
    *values("this is no pixel size", "image.zarr", ArgumentError, lambda w, v: w.container.get_image(pixel_size=v), 0.5, (1, 1), "1"),
    *rows("the pixel size is", "new image", ArgumentError,
        ("missing", lambda w: w.empty(xy_pixelsize=...)),
        ("missing", lambda w: w.create(xy_pixelsize=...)),
        ("missing", lambda w: w.empty(xy_pixelsize=None)),
    ),
    *rows("xy_pixelsize and pixelsize are the same thing", "new image", ArgumentError,
        ("both", lambda w: w.empty(pixelsize=0.5)),
        ("both", lambda w: w.derive(xy_pixelsize=1, pixelsize=1)),
    ),
    *values("along y must be a positive number", "new image", ArgumentError, lambda w, v: w.empty(xy_pixelsize=v), *NO_SIZES),
    *values("the pixel size along y must be a positive number", "new image", ArgumentError, lambda w, v: w.derive(xy_pixelsize=v), 0, -1),
    *values("the pixel size along z must be a positive number", "new image", ArgumentError, lambda w, v: w.empty(z_spacing=v), 0, -1, "2"),
    *values("a pixel size must be a positive number", "new image", ArgumentError, lambda w, v: w.empty(xy_pixelsize=v),
        "a", "ab", (1, 2, 3)),
    *rows("must be a positive number", "new image", ArgumentError,
        ("along x must be a positive number; got 0", lambda w: w.empty(xy_pixelsize=..., pixelsize=(1, 0))),
        ("along y must be a positive number; got 'a'", lambda w: w.empty(xy_pixelsize=..., pixelsize=("a", 1))),
        ("along t must be a positive number; got -1", lambda w: w.empty((4, 8, 8), axes_names="tyx", time_spacing=-1)),
        ("along z must be a positive number; got -1", lambda w: w.empty((4, 8, 8), axes_names="tyx", z_spacing=-1)),
    ),
    *values("must be a positive number", "PixelSize", ArgumentError, lambda w, v: omexp.PixelSize(v, 1), 0, -1, math.nan, "a", None),
]

OPENERS: tuple[Callable[[World], omexp.OmeZarrContainer], ...] = (
    lambda w: w.open(mode="r"),
    lambda w: omexp.open_ome_zarr_container(LocalStore(w.home / "image.zarr", read_only=True)),
)
WRITERS: tuple[tuple[str, Callable[[omexp.OmeZarrContainer], Any]], ...] = (
    ("image.zarr/0", lambda c: c.get_image().set_array(ZEROS)),
    ("image.zarr/0", lambda c: c.get_image().set_array(da.zeros(SHAPE, dtype="uint16"))),
    ("image.zarr/0", lambda c: c.get_image().set_roi(ROI, SMALL)),
    ("image.zarr/0", lambda c: c.get_masked_image("nuclei").set_roi(1, OBJECT)),
    ("image.zarr/0", lambda c: c.get_masked_image("nuclei").set_roi_masked(1, OBJECT)),
    ("image.zarr/labels/nuclei/0", lambda c: c.get_label("nuclei").set_array(sample_ids())),
    ("image.zarr/1", lambda c: c.get_image().consolidate(workers=1)),
    ("image.zarr/labels/nuclei/1", lambda c: c.get_label("nuclei").consolidate("mode", workers=2)),
    ("image.zarr", lambda c: c.get_image("2").consolidate("max", workers=1)),
    ("image.zarr/labels", lambda c: c.derive_label("cells")),
    ("image.zarr/labels", lambda c: c.derive_label("nuclei", overwrite=True)),
    ("image.zarr/labels", lambda c: c.delete_label("nuclei")),
    ("image.zarr", lambda c: c.add_table("more", {"a": [1]})),
    ("image.zarr", lambda c: c.add_table("doses", {"a": [1]}, overwrite=True)),
    ("image.zarr", lambda c: c.delete_table("doses")),
)
READ_ONLY = [
    *[
        Refusal("the store is", where, ReadOnlyError, "read-only", lambda w, opened=opened, write=write: write(opened(w)))
        for opened in OPENERS for where, write in WRITERS
    ],
    *rows("the store is read-only", ".zarr", ReadOnlyError,  # nothing may be created over it
        ("new.zarr", lambda w: omexp.create_empty_ome_zarr(LocalStore(w.home / "new.zarr", read_only=True), (8, 8), xy_pixelsize=1)),
        ("image.zarr", lambda w: omexp.create_ome_zarr_from_array(
            LocalStore(w.home / "image.zarr", read_only=True), ZEROS, xy_pixelsize=1, overwrite=True)),
        ("new.zarr", lambda w: omexp.create_empty_plate(LocalStore(w.home / "new.zarr", read_only=True), "p", [FIELD])),
        ("new.zarr", lambda w: w.container.derive_image(LocalStore(w.home / "new.zarr", read_only=True))),
        ("plate.zarr/B/02/0", lambda w: omexp.create_empty_ome_zarr(
            w.plate(mode="r").get_image_store("B", 2, "0"), (8, 8), xy_pixelsize=1)),
    ),
]

PLACES = [
    *rows("there is no Zarr group", "missing.zarr", StoreNotFoundError,
        ("does not exist", lambda w: w.open("missing.zarr")),
        ("does not exist", lambda w: w.open("missing.zarr", mode="r")),
        ("does not exist", lambda w: omexp.open_ome_zarr_container(LocalStore(w.home / "missing.zarr"))),
        ("does not exist", lambda w: w.plate("missing.zarr")),
        ("does not exist", lambda w: omexp.open_ome_zarr_well(w.home / "missing.zarr", mode="r")),
    ),
    *rows("there is no Zarr group", "file.zarr", StoreNotFoundError,
        ("is a file", lambda w: w.open("file.zarr")),
        ("is a file", lambda w: w.plate("file.zarr")),
        ("does not exist", lambda w: w.open("file.zarr/0")),
    ),
    *rows("there is no Zarr group", "folder", StoreNotFoundError, ("holds notes.txt", lambda w: w.open("folder"))),
    *rows("there is no Zarr group", "empty", StoreNotFoundError, ("The path exists", lambda w: w.open("empty"))),
    *rows("there is no Zarr group", "array.zarr", StoreNotFoundError, ("a Zarr array", lambda w: w.open("array.zarr"))),
    *rows("there is no Zarr group", "image.zarr/0", StoreNotFoundError, ("a Zarr array", lambda w: w.open("image.zarr/0"))),
    *rows("there is no Zarr group", "broken_v2.zarr/0", StoreNotFoundError, ("a Zarr array", lambda w: w.plate("broken_v2.zarr/0"))),
    *rows("this group is no OME-Zarr image", ".zarr", StoreNotFoundError,
        ("a Zarr group without multiscales", lambda w: w.open("group.zarr")),
        ("a plate group", lambda w: w.open("plate.zarr")),
        ("a well group", lambda w: w.open("plate.zarr/A/01")),
    ),
    *rows("this group is no OME-Zarr plate", ".zarr", StoreNotFoundError,
        ("an image group", lambda w: w.plate("image.zarr")),
        ("a well group", lambda w: w.plate("plate.zarr/A/01")),
        ("a Zarr group without OME-Zarr metadata", lambda w: w.plate("group.zarr")),
    ),
    *rows("this group is no OME-Zarr well", ".zarr", StoreNotFoundError,
        ("an image group", lambda w: omexp.open_ome_zarr_well(w.home / "image.zarr")),
        ("a plate group", lambda w: omexp.open_ome_zarr_well(w.home / "plate.zarr")),
    ),
    *values("this is no store", "store", ArgumentError, lambda w, v: omexp.open_ome_zarr_container(v), 3, None, b"a.zarr"),
    *values("this is no store", "store", ArgumentError, lambda w, v: omexp.create_empty_ome_zarr(v, (8, 8), xy_pixelsize=1), 3, None),
    *rows("the URL cannot be opened", "nonsense://host/a.zarr", ArgumentError,
        ("nonsense", lambda w: omexp.open_ome_zarr_container("nonsense://host/a.zarr")),
    ),
    *values("mode is not understood", "mode", ArgumentError, lambda w, v: w.open(mode=v), "w", "a", "", None),
    *values("mode is not understood", "mode", ArgumentError, lambda w, v: w.plate(mode=v), "w"),
]

STORED = [
    *rows("the group's metadata cannot be used", "broken", StoredDataError,
        ("JSONDecodeError", lambda w: w.open("broken.zarr")),
        ("JSONDecodeError", lambda w: w.plate("broken.zarr")),
        ("JSONDecodeError", lambda w: w.open("broken_v2.zarr")),
    ),
    *rows("the OME-Zarr metadata cannot be used", "nameless.zarr", InvalidMetadataError,
        ("multiscales.0.axes: missing", lambda w: w.open("nameless.zarr")),
    ),
    *rows("this OME-Zarr version cannot be read", "old.zarr", UnsupportedVersionError, ("version 0.7", lambda w: w.open("old.zarr"))),
    *rows("the metadata names an array that is not there", "holes.zarr", MissingArrayError,
        ("'1'", lambda w: w.open("holes.zarr").get_image("1")),
        ("'1'", lambda w: w.open("holes.zarr").get_masked_image("nuclei", path="1")),
        ("'1'", lambda w: w.open("holes.zarr").get_image().consolidate(workers=1)),
        ("'1'", lambda w: w.open("holes.zarr").derive_label("cells")),
        ("'1'", lambda w: w.open("holes.zarr").derive_image(w.home / "new.zarr")),
    ),
    *rows("the array does not have the axes", "flat.zarr/0", InvalidMetadataError,
        ("(20, 30)", lambda w: w.open("flat.zarr").get_image()),
        ("(20, 30)", lambda w: w.open("flat.zarr").get_masked_image("nuclei")),
        ("(20, 30)", lambda w: w.open("flat.zarr").derive_label("cells")),
        ("(20, 30)", lambda w: w.open("flat.zarr").derive_image(w.home / "new.zarr")),
        ("(20, 30)", lambda w: w.open("flat.zarr").derive_image(w.home / "new.zarr", shape=(8, 8))),
    ),
    *rows("the array does not have the axes", "thin.zarr/1", InvalidMetadataError,
        ("(10, 15)", lambda w: w.open("thin.zarr").get_image().consolidate(workers=1)),
    ),
]

NUMBERS = ("float32", "float64", "int64", "int16", "uint32", "complex64")
BAD_DTYPES = (*NUMBERS, "object", "<U3", "|S3", "datetime64[s]", "timedelta64[s]", "|V2")
PATCHES = [
    *rows("the level's dtype does not hold every value of the patch's", "image.zarr/0", DTypeError,
        *[(name, lambda w, name=name: w.image.set_array(np.zeros(SHAPE, name))) for name in BAD_DTYPES],
        ("[('a', 'u1')]", lambda w: w.image.set_array(np.zeros(SHAPE, [("a", "u1")]))),
        ("float64", lambda w: w.image.set_array(da.zeros(SHAPE))),
        ("float64", lambda w: w.image.set_array(dask.delayed(np.zeros)(SHAPE))),
        ("float64", lambda w: w.image.set_roi(ROI, SMALL.astype(float))),
        ("float64", lambda w: w.masked.set_roi(1, OBJECT.astype(float))),
        ("float64", lambda w: w.masked.set_roi_masked(1, OBJECT.astype(float))),
    ),
    *rows("the level's dtype does not hold every value of the patch's", "image.zarr/labels/nuclei/0", DTypeError,
        ("int64", lambda w: w.label.set_array(sample_ids().astype("int64"))),
        ("float32", lambda w: w.label.set_array(sample_ids().astype("float32"))),
    ),
    *rows("the patch lives on another device than the container", "image.zarr/0", BackendMismatchError,
        ("array_api_strict", lambda w: w.image.set_array(STRICT)),
        ("array_api_strict", lambda w: w.image.set_roi(ROI, STRICT[:, :, :4, :4])),
        ("array_api_strict", lambda w: w.masked.set_roi_masked(1, STRICT[:, :2, :5, :7])),
        ("ndarray on cpu; allowed: array_api_strict", lambda w: w.open(device=DEVICE1).get_image().set_array(ZEROS)),
        ("ndarray on cpu", lambda w: w.open(device=DEVICE1).get_image().set_roi(ROI, SMALL)),
        ("ndarray on cpu", lambda w: w.open(device=DEVICE1).get_masked_image("nuclei").set_roi_masked(1, OBJECT)),
        ("CPU_DEVICE", lambda w: w.open(device=DEVICE1).get_image().set_array(STRICT)),
    ),
    *rows("the patch is not an array", "image.zarr/0", BackendMismatchError,
        *[(type(v).__name__, lambda w, v=v: w.image.set_array(v)) for v in ([[0]], 3, None, "zeros", 2.5, {"a": 1}, memoryview(b"ab"))],
        ("list", lambda w: w.image.set_roi(ROI, [[0]])),
        ("NoneType", lambda w: w.masked.set_roi_masked(1, None)),
        ("list", lambda w: w.image.set_array(dask.delayed(list)((1, 2)))),
        ("list", lambda w: w.masked.set_roi_masked(1, dask.delayed(list)((1, 2)))),
    ),
    *rows("this is no array that can be written", "array", ArgumentError,
        *[(type(v).__name__, lambda w, v=v: w.create(v)) for v in ([[0]], 3, None, "zeros", {"a": 1})],
        ("Array", lambda w: w.create(da.ones((4, 4))[da.ones(4) > 0], axes_names="yx")),
    ),
]

CHANNELS = [
    *values("channel_labels must have one entry per channel", "channel_labels", ArgumentError, lambda w, v: w.create(channel_labels=v),
        ["a"], ["a", "b", "c"], []),
    *values("channel_labels must be a list", "channel_labels", ArgumentError, lambda w, v: w.create(channel_labels=v), "ab", 2),
    *values("channel_labels must be unique", "channel_labels", ArgumentError, lambda w, v: w.create(channel_labels=v), ["a", "a"]),
    *values("channel_wavelengths must have one entry per channel", "channel_wavelengths", ArgumentError,
        lambda w, v: w.create(channel_wavelengths=v), ["A01"]),
    *values("channel_colors must have one entry per channel", "channel_colors", ArgumentError, lambda w, v: w.create(channel_colors=v),
        ["FF0000"]),
    *values("a colour must be six hex digits", "channel_colors", ArgumentError, lambda w, v: w.create(channel_colors=[v, "FF0000"]),
        "red", "FF00", 0xFF, "FF00001", "GG0000"),
    *rows("must have one entry per channel", "channel_labels", ArgumentError,
        ("['a', 'b']; allowed: 1", lambda w: w.empty((8, 8), axes_names="yx", channel_labels=["a", "b"])),
        ("['a']; allowed: 2", lambda w: w.derive(channel_labels=["a"])),
    ),
]

OPTIONS = [
    *values("levels must be an int of at least 1", "levels", ArgumentError, lambda w, v: w.empty(levels=v), 0, -1, 2.5, "3", None),
    *values("scaling_factors is not understood", "scaling_factors", ArgumentError, lambda w, v: w.empty(scaling_factors=v), "big"),
    *values("scaling_factors must be ints of at least 1", "scaling_factors", ArgumentError, lambda w, v: w.empty(scaling_factors=v),
        (2, 2), (1, 1, 0, 2), (1, 1, -2, 2), (1, 1, 1.5, 2), (1, 1, "2", 2)),
    *rows("scaling_factors", "c, z, y, x", ArgumentError,
        ("(2,)", lambda w: w.empty(scaling_factors=2)),
        ("(None,)", lambda w: w.empty(scaling_factors=None)),
        ("(1, 1, 0, 1)", lambda w: w.empty(scaling_factors={"y": 0})),
        ("has not; got q", lambda w: w.empty(scaling_factors={"q": 2})),
        ("has not; got 1", lambda w: w.empty(scaling_factors={1: 2})),
    ),
    *values("chunks must be one positive int per axis", "chunks", ArgumentError, lambda w, v: w.empty(chunks=v),
        2.5, "big", True, (1, 8), (1, 1, 0, 8), (1, 1, 2.5, 8)),
    *rows("chunks must be one positive int per axis", "chunks", ArgumentError,
        ("(1, 0, 0, 0)", lambda w: w.empty(chunks=0)),
        ("(1, -1, -1, -1)", lambda w: w.create(chunks=-1)),
        ("(0, 0, 0)", lambda w: w.container.derive_label("cells", chunks=0)),
        ("(4, 4)", lambda w: w.derive(chunks=(4, 4))),
    ),
    *rows("shards need Zarr format 3", "shards", ArgumentError,
        ("0.4", lambda w: w.empty(ngff_version="0.4", chunks=(1, 1, 4, 4), shards=(1, 1, 8, 8))),
        ("0.4", lambda w: w.derive(ngff_version="0.4", shards=(1, 1, 8, 8))),
    ),
    *values("shards must be whole multiples of the chunks", "shards", ArgumentError, lambda w, v: w.create(chunks=(1, 1, 4, 4), shards=v),
        (1, 1, 6, 8), (1, 1, 2, 2)),
    *values("shards must be whole multiples of the chunks", "shards", ArgumentError,
        lambda w, v: w.container.derive_label("cells", shards=v), (1, 7, 7)),
    *values("shards must be one positive int per axis", "shards", ArgumentError, lambda w, v: w.empty(chunks=(1, 1, 4, 4), shards=v),
        True, 0, (8, 8), (1, 1, 0, 8)),
    *values("compressors is not understood", "compressors", ArgumentError, lambda w, v: w.empty(compressors=v), "snappy", ""),
    *values("this codec does not fit Zarr format 3", "compressors", ArgumentError, lambda w, v: w.create(compressors=v),
        5, numcodecs.BZ2()),
    *rows("this codec does not fit Zarr format 3", "compressors", ArgumentError,
        ("got 5", lambda w: w.empty(compressors=["zstd", 5])),
    ),
    *rows("this codec does not fit Zarr format 2", "compressors", ArgumentError,
        ("Crc32cCodec", lambda w: w.empty(ngff_version="0.4", compressors=zarr.codecs.Crc32cCodec())),
    ),
    *rows("Zarr format 2 takes one compressor", "compressors", ArgumentError,
        ("2", lambda w: w.empty(ngff_version="0.4", compressors=["zstd", "gzip"])),
    ),
    *values("dimension_separator is not understood", "dimension_separator", ArgumentError, lambda w, v: w.empty(dimension_separator=v),
        "-", "", None, 3),
    *values("that OME-Zarr version cannot be written", "ngff_version", ArgumentError, lambda w, v: w.empty(ngff_version=v),
        "0.3", "0.7", 0.5, None, ""),
    *values("that OME-Zarr version cannot be written", "ngff_version", ArgumentError, lambda w, v: w.derive(ngff_version=v), "0.1"),
    *values("that OME-Zarr version cannot be written", "ngff_version", ArgumentError,
        lambda w, v: omexp.create_empty_plate(w.home / "new.zarr", "p", [FIELD], ngff_version=v), "0.1", 0.4),
    *rows("this cannot be the dtype of an OME-Zarr image", "dtype", DTypeError,
        *[(d, lambda w, d=d: w.empty(dtype=d)) for d in ("complex64", "datetime64[s]", "object", "|S4", "<U4")],
        *[(d, lambda w, d=d: w.create(np.zeros(SHAPE, d))) for d in ("complex128", "timedelta64[s]", "object", "|S4", "<U4")],
        ("[('a', 'u1')]", lambda w: w.create(np.zeros(SHAPE, [("a", "u1")]))),
        ("complex64", lambda w: w.derive(dtype="complex64")),
        ("complex64", lambda w: w.container.derive_label("cells", dtype="complex64")),
    ),
    *values("dtype is not understood", "dtype", DTypeError, lambda w, v: w.empty(dtype=v), "nonsense", 5),
    *rows("a label holds integers", "label 'cells'", DTypeError, ("float32", lambda w: w.container.derive_label("cells", dtype="float32"))),
    *rows("the dtype is the array's", "create_ome_zarr_from_array", ArgumentError, ("dtype='uint8'", lambda w: w.create(dtype="uint8"))),
    *values("percentiles must be two rising numbers", "create_ome_zarr_from_array", ArgumentError, lambda w, v: w.create(percentiles=v),
        (5, 1), (0,), (0, 101), (-1, 50), 5, "ab", (math.nan, 5)),
    *values("there is no such downsampling method", "method", ArgumentError, lambda w, v: w.create(method=v), "lanczos", "", None, 3),
    *values("there is no such downsampling method", "method", ArgumentError, lambda w, v: w.image.consolidate(v), "lanczos", 3),
    *values("there is no such downsampling method", "method", ArgumentError, lambda w, v: w.label.consolidate(v), "bicubic"),
    *values("there is no such downsampling method", "method", ArgumentError,
        lambda w, v: omexp.downsample(ZEROS, 2, method=v), "lanczos", None),
    *values("factors do not fit the array", "downsample", ArgumentError, lambda w, v: omexp.downsample(ZEROS, v),
        0, -1, 1.5, (2, 2), "2", None),
    *rows("pixels of this dtype", "downsample", DTypeError, ("complex64", lambda w: omexp.downsample(ZEROS.astype("complex64"), 2))),
    *rows("not an array", "array", BackendMismatchError, ("list", lambda w: omexp.downsample([[0]], 2))),
    *values("name must be text", "new image", ArgumentError, lambda w, v: w.empty(name=v), 5, b"a"),
    *values("space_unit must be text", "new image", ArgumentError, lambda w, v: w.empty(space_unit=v), 5),
    *values("workers must be an int of at least 1", "workers", ArgumentError, lambda w, v: w.create(workers=v), 0, -1, 1.5, "2"),
    *values("workers must be an int of at least 1", "workers", ArgumentError, lambda w, v: w.image.consolidate(workers=v), 0, "2"),
]

TAKEN = [
    *rows("something is there", "image.zarr", AlreadyExistsError,
        ("already", lambda w: w.empty(store="image.zarr")),
        ("already", lambda w: w.create(store="image.zarr")),
        ("already", lambda w: omexp.create_empty_plate(w.home / "image.zarr", "p", [FIELD])),
    ),
    *rows("something is there", "image.zarr/labels/nuclei", AlreadyExistsError, ("already", lambda w: w.container.derive_label("nuclei"))),
    *rows("something is there", "image.zarr/tables/doses", AlreadyExistsError,
        ("already", lambda w: w.container.add_table("doses", {"a": [1]}))),
    *rows("something is there", "plate.zarr", AlreadyExistsError,
        ("already", lambda w: w.empty(store="plate.zarr")),
        ("already", lambda w: w.container.derive_image(w.home / "plate.zarr")),
        ("already", lambda w: omexp.create_empty_plate(w.home / "plate.zarr", "p", [FIELD])),
        ("already", lambda w: omexp.create_empty_ome_zarr(w.plate().get_image_store("A", 1, "0"), (8, 8), xy_pixelsize=1)),
    ),
    *[
        Refusal("something is there", name, AlreadyExistsError, "already", lambda w, name=name: w.empty(store=name))
        for name in ("folder", "file.zarr", "array.zarr", "broken.zarr", "broken_v2.zarr")
    ],
    *rows("an image cannot be derived into itself", "image.zarr", ArgumentError,
        ("image.zarr", lambda w: w.container.derive_image(w.home / "image.zarr")),
        ("image.zarr", lambda w: w.container.derive_image(w.home / "image.zarr", overwrite=True)),
    ),
    *rows("a file stands where a folder is needed", "file.zarr/new.zarr", AlreadyExistsError,
        ("file.zarr", lambda w: w.empty(store="file.zarr/new.zarr")),
        ("file.zarr", lambda w: w.create(store="file.zarr/new.zarr", overwrite=True)),
    ),
    *values("the label name cannot be used", "label name", ArgumentError, lambda w, v: w.container.derive_label(v),
        "", "a/b", "..", ".hidden", 3, None),
    *values("this cannot name a table", "name", ArgumentError, lambda w, v: w.container.add_table(v, {"a": [1]}),
        "", "a/b", "..", ".hidden", 3, None),
    *rows("this is no table", "table", ArgumentError,
        *[(type(v).__name__, lambda w, v=v: w.container.add_table("t", v)) for v in (5, None, "text", [1, 2])]),
    *rows("these are no columns", "table", ArgumentError,
        ("of the same length", lambda w: w.container.add_table("t", {"a": [1], "b": [1, 2]}))),
    *values("there is no such table backend", "backend", ArgumentError,
        lambda w, v: w.container.add_table("t", {"a": [1]}, backend=v), "hdf5"),
    *rows("the same image is named twice", "images", ArgumentError,
        ("A/01/0", lambda w: omexp.create_empty_plate(w.home / "new.zarr", "p", [FIELD, FIELD]))),
    *rows("this does not say where an image lies", "images", ArgumentError,
        ("'A/1/0'", lambda w: omexp.create_empty_plate(w.home / "new.zarr", "p", ["A/1/0"]))),
    *rows("must be alphanumeric", "ImageInWellPath", ArgumentError,
        ("row must be alphanumeric; got 'A/B'", lambda w: omexp.ImageInWellPath("A/B", 1, "0")),
        ("column must be alphanumeric; got '..'", lambda w: omexp.ImageInWellPath("A", "..", "0")),
    ),
]

SELECTIONS = [
    *rows("is outside axis 'c'", "image.zarr/0", SelectionError,
        ("index 5", lambda w: w.image.get_array(c=5)),
        ("index -3", lambda w: w.image.get_array(c=-3)),
        ("index 5", lambda w: w.image.get_as_dask(c=[0, 5])),
        ("index 5", lambda w: w.image.get_array(channel_selection=5)),
        ("index 2", lambda w: w.image.set_array(ZEROS[0], c=2)),
        ("index 2", lambda w: w.image.set_roi(ROI, SMALL[0], c=2)),
        ("index 2", lambda w: w.masked.set_roi_masked(1, OBJECT[0], c=2)),
    ),
    *values("axis 'c' cannot be indexed with that", "image.zarr/0", SelectionError, lambda w, v: w.image.get_array(c=v),
        1.5, True, np.True_, [True, False], np.array([True, False]), "DAPI", [[0, 1]], {"a": 1}, object),
    *values("axis 'c' cannot be indexed with that", "image.zarr/0", SelectionError, lambda w, v: w.image.set_array(ZEROS, c=v), True, 0.0),
    *values("axis 'c' cannot be sliced with that", "image.zarr/0", SelectionError, lambda w, v: w.image.get_array(c=v),
        slice(0.5, 2), slice("a", "b"), slice(0, 2, 0)),
    *values("axis 'y' cannot be sliced with that", "image.zarr/0", SelectionError, lambda w, v: w.image.set_array(ZEROS, y=v),
        slice(0.0, 20.0)),
    *rows("axis 'c' names an index twice", "image.zarr/0", SelectionError,
        ("[0, 0]", lambda w: w.image.set_array(ZEROS, c=[0, 0])),
        ("[1, 1]", lambda w: w.image.set_array(ZEROS, c=[1, -1])),
        ("[0, 0]", lambda w: w.image.set_array(da.zeros(SHAPE, dtype="uint16"), c=[0, 0])),
        ("[0, 0]", lambda w: w.masked.set_roi_masked(1, OBJECT, c=[0, 0])),
    ),
    *rows("there is no axis", "image.zarr/0", SelectionError,
        ("q=0", lambda w: w.image.get_array(q=0)),
        ("q=0", lambda w: w.image.get_as_dask(q=0)),
        ("q=0", lambda w: w.image.get_roi(ROI, q=0)),
        ("q=0", lambda w: w.image.set_array(ZEROS, q=0)),
    ),
    *rows("index 1 is outside axis 't'", "image.zarr/0", SelectionError, ("allowed: -1 to 0", lambda w: w.image.get_array(t=1))),
    *rows("there is no axis 'channel_selection'", "image.zarr/labels/nuclei/0", SelectionError,
        ("'DAPI'", lambda w: w.label.get_array(channel_selection="DAPI"))),
    *rows("both c and channel_selection are given", "image.zarr/0", ArgumentError,
        ("c=0, channel_selection='DAPI'", lambda w: w.image.get_array(c=0, channel_selection="DAPI"))),
    *rows("axes_order names an axis twice", "image.zarr/0", ArgumentError,
        ("c, z, y, x, x", lambda w: w.image.get_array(axes_order="czyxx"))),
    *rows("axes_order names an axis that is not there", "image.zarr/0", ArgumentError,
        ("got q", lambda w: w.image.get_array(axes_order="czyxq")),
        ("0, 1, 2, 3", lambda w: w.image.get_array(axes_order=[0, 1, 2, 3])),
        ("got q", lambda w: w.image.set_array(ZEROS, axes_order="zyxq")),
    ),
    *rows("axes_order leaves out an axis", "image.zarr/0", ArgumentError,
        ("left out c, z", lambda w: w.image.get_array(axes_order="yx")),
        ("left out c", lambda w: w.image.get_as_dask(axes_order="zyx")),
        ("left out c", lambda w: w.image.set_array(ZEROS[0], axes_order="zyx")),
    ),
    *values("axes_order is not understood", "image.zarr/0", ArgumentError, lambda w, v: w.image.get_array(axes_order=v), 5),
    *values("mode is not understood", "image.zarr/0", ArgumentError, lambda w, v: w.image.get_array(mode=v), "torch", "", 3),
    *values("mode is not understood", "image.zarr/0", ArgumentError, lambda w, v: w.image.get_roi(ROI, mode=v), "torch"),
    *values("mode is not understood", "image.zarr/0", ArgumentError, lambda w, v: w.masked.get_roi_masked(1, mode=v), "torch"),
    *rows("this is no Roi", "image.zarr/0", ArgumentError,
        *[(type(v).__name__, lambda w, v=v: w.image.get_roi(v)) for v in (5, "FOV_1", None, {"x": (0, 1)})],
        ("int", lambda w: w.image.get_roi_as_numpy(1)),
        ("int", lambda w: w.image.get_roi_as_dask(1)),
        ("tuple", lambda w: w.image.set_roi((0, 1), ZEROS)),
    ),
    *rows("a Roi names an axis twice", "Roi", ArgumentError, ("x", lambda w: omexp.Roi(None, (omexp.RoiSlice("x", 0, 1),) * 2))),
    *rows("a length must not be negative", "Roi axis 'x'", ArgumentError, ("-1", lambda w: omexp.Roi.from_values({"x": (0, -1)}))),
    *rows("a start must be a number", "Roi axis 'x'", ArgumentError,
        ("nan", lambda w: omexp.Roi.from_values({"x": (math.nan, 1)})),
        ("'a'", lambda w: omexp.Roi.from_values({"x": ("a", 1)})),
    ),
    *values("this is no interval", "Roi axis 'x'", ArgumentError, lambda w, v: omexp.Roi.from_values({"x": v}),
        "0:5", slice("a", "b"), slice(0, 4, 2), None, (1, 2, 3)),
    *values("the space of a Roi is not understood", "Roi over x", ArgumentError,
        lambda w, v: omexp.Roi.from_values({"x": (0, 1)}, space=v), "voxel", None),
    *rows("the Roi says nothing about that axis", "Roi over yx", NameNotFoundError, ("z", lambda w: ROI["z"])),
    *rows("two Rois in different spaces", "Roi over yx", ArgumentError,
        ("world, pixel", lambda w: ROI.union(omexp.Roi.from_values({"x": (0, 1)}, space="pixel")))),
    *values("zoom_factor must be a positive number", "zoom_factor", ArgumentError, lambda w, v: w.masked.get_roi(1, v),
        0, -1, math.nan, math.inf, "2", None),
    *values("zoom_factor must be a positive number", "zoom_factor", ArgumentError, lambda w, v: w.masked.get_roi_masked(1, v), -2.0, "2"),
    *values("zoom_factor must be a positive number", "zoom_factor", ArgumentError,
        lambda w, v: w.masked.set_roi_masked(1, OBJECT, v), 0, -1),
    *values("uint16 cannot hold the fill value", "fill_value", DTypeError, lambda w, v: w.masked.get_roi_masked(1, fill_value=v),
        70000, -1, 0.5, "a", None),
    *rows("this is no label", "measure", ArgumentError, ("Image", lambda w: omexp.measure(w.image))),
    *rows("this is no image", "measure", ArgumentError,
        ("Label", lambda w: omexp.measure(w.label, w.label)), ("int", lambda w: omexp.measure(w.label, 5))),
    *rows("label and image are not on the same grid", "image.zarr/1", ArgumentError,
        ("y: 10", lambda w: omexp.measure(w.label, w.container.get_image("1")))),
]

DEVICES = [
    *values("device is not understood", "device", ArgumentError, lambda w, v: w.open(device=v), "gpu", "cuda:", "cuda:x", "", 3, b"cpu"),
    *values("device is not understood", "device", ArgumentError, lambda w, v: w.plate(device=v), "gpu"),
    *values("device is not understood", "device", ArgumentError, lambda w, v: w.create(device=v), "gpu", 3),
    *values("device is not understood", "device", ArgumentError, lambda w, v: w.empty(device=v), "gpu", 3),
    *values("device is not understood", "device", ArgumentError, lambda w, v: w.derive(device=v), "gpu"),
    *values("device is not understood", "device", ArgumentError,
        lambda w, v: omexp.create_empty_plate(w.home / "new.zarr", "p", [FIELD], device=v), "gpu"),
    *values("device is not understood", "device", ArgumentError, lambda w, v: w.image.consolidate(device=v), "gpu"),
    *values("device is not understood", "device", ArgumentError, lambda w, v: omexp.measure(w.label, device=v), "gpu"),
    *values("device is not understood", "device", ArgumentError, lambda w, v: omexp.from_host(ZEROS, v), "gpu"),
    *rows("not an array-API namespace", "device", ArgumentError, ("math", lambda w: w.open(device=math))),
]

CUDA: list[Call] = [
    lambda w: w.open(device="cuda"),
    lambda w: w.plate(device="cuda"),
    lambda w: w.create(device="cuda"),
    lambda w: w.empty(device="cuda"),
    lambda w: w.create(store="image.zarr", device="cuda", overwrite=True),
    lambda w: w.derive(device="cuda"),
    lambda w: omexp.create_empty_plate(w.home / "new.zarr", "p", [FIELD], device="cuda"),
    lambda w: w.image.consolidate(device="cuda"),
    lambda w: w.image.get_as_cupy(),
    lambda w: w.image.get_array(mode="cupy"),
    lambda w: w.masked.get_roi_masked(1, mode="cupy"),
    lambda w: omexp.measure(w.label, device="cuda"),
    lambda w: omexp.from_host(ZEROS, "cuda"),
    lambda w: omexp.resolve_backend("cuda"),
]
# fmt: on

REFUSALS = [*AXES, *SHAPES, *NAMES, *PIXEL_SIZES, *READ_ONLY, *PLACES, *STORED]
REFUSALS += [*PATCHES, *CHANNELS, *OPTIONS, *TAKEN, *SELECTIONS, *DEVICES]


# ------------------------------------------------------------------------------------------------------- refusals
def refused(world: World, call: Call, error: type[OmexpError]) -> OmexpError:
    """The error of a call that left everything on disk as it was."""
    with pytest.raises(OmexpError) as raised:
        call(world)
    assert world.changes() == []
    assert type(raised.value) is error
    assert isinstance(raised.value, TWINS[error])
    return raised.value


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_bad_input_is_refused_with_what_where_got_and_what_to_do_and_nothing_on_disk_changes(world: World, case: Refusal) -> None:
    found = refused(world, case.call, case.error)
    for part in (case.what, case.where, case.got):
        assert part
        assert part in str(found)
    assert found.allowed is not None or found.hint is not None


@pytest.mark.parametrize("call", CUDA)
def test_cuda_where_there_is_none_names_what_is_missing_and_what_to_install(world: World, call: Call) -> None:
    if not omexp.resolve_backend("auto").is_host:
        pytest.skip("there is a GPU")
    found = refused(world, call, DeviceUnavailableError)
    assert "device 'cuda:0' cannot be used" in str(found)
    assert any(missing in str(found) for missing in ("cupy", "driver", "device"))
    assert any(step in str(found) for step in ("pip install", "nvidia-smi"))
    assert "'cpu'" in str(found)


# --------------------------------------------------------------------------------------------- errors on the way
class Breaking:
    """An array that raises when the given number of boxes with pixels has been taken."""

    def __init__(self, pixels: np.ndarray, boxes: int, error: BaseException) -> None:
        self.pixels, self.boxes, self.error = pixels, boxes, error
        self.shape, self.dtype = pixels.shape, pixels.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        part = self.pixels[index]
        if part.size and self.boxes == 0:
            raise self.error
        self.boxes -= bool(part.size)
        return part


BIG = np.ones((4, 1500, 1500), "uint16")  # 18 MB: more than one tile
ERRORS = [OSError("the source is gone"), KeyboardInterrupt("stop")]


@pytest.mark.parametrize("error", ERRORS, ids=["error", "interrupt"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("target", ["image.zarr", "new.zarr", "far/away/new.zarr"])
def test_a_source_that_breaks_half_way_leaves_what_was_there_and_no_trace(
    world: World, error: BaseException, workers: int, target: str
) -> None:
    source = Breaking(BIG, 1, error)
    with pytest.raises(type(error)) as raised:
        world.create(source, target, axes_names="zyx", chunks=(1, 500, 500), levels=2, workers=workers, overwrite=True, compressors=None)
    assert raised.value is error
    assert source.boxes == 0  # a block was read, and written, before
    assert world.changes() == []


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_interrupt_while_an_image_is_made_leaves_no_trace(world: World, version: str) -> None:
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        seen.append(len(files(world.home)) - len(world.seen))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.create(store="new.zarr", ngff_version=version, progress=stop)
    assert seen[0] > 5  # it was half-written
    assert world.changes() == []


def test_an_interrupt_while_an_image_is_made_in_memory_leaves_no_key() -> None:
    store: dict[str, Any] = {}
    with pytest.raises(KeyboardInterrupt):
        omexp.create_ome_zarr_from_array(store, Breaking(BIG, 1, KeyboardInterrupt()), xy_pixelsize=1, workers=1)
    assert store == {}


@pytest.mark.parametrize("make", ["derive_label", "add_table"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_interrupt_while_a_label_or_table_is_made_leaves_what_was_there(
    world: World, make: str, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Group.put_attributes

    def interrupted(group: Group, attributes: Any) -> None:
        put(group, attributes)
        if ".partial" in group.where:
            raise KeyboardInterrupt

    monkeypatch.setattr(Group, "put_attributes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        if make == "derive_label":
            world.container.derive_label("nuclei" if overwrite else "cells", overwrite=overwrite)
        else:
            world.container.add_table("doses" if overwrite else "cells", {"a": [1, 2]}, overwrite=overwrite)
    assert world.changes() == []


@pytest.mark.parametrize("write", ["set_array", "set_roi", "set_roi_masked"])
@pytest.mark.parametrize("kind", ["array", "delayed"])
def test_a_dask_patch_whose_compute_raises_changes_nothing(world: World, write: str, kind: str) -> None:
    shape = {"set_array": SHAPE, "set_roi": SMALL.shape, "set_roi_masked": OBJECT.shape}[write]
    patch = dask.delayed(_raising)(None)
    if kind == "array":
        patch = da.from_delayed(patch, shape, "uint16")
    with pytest.raises(OSError, match="no pixels today"):
        if write == "set_array":
            world.image.set_array(patch)
        elif write == "set_roi":
            world.image.set_roi(ROI, patch)
        else:
            world.masked.set_roi_masked(1, patch)
    assert world.changes() == []


def _raising(_: Any) -> Any:
    raise OSError("no pixels today")


def test_a_dask_patch_that_breaks_half_way_leaves_every_write_unit_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omexp.storage.lazy.BLOCK_BYTES", 1)  # a block is one write unit
    image = omexp.open_ome_zarr_container(make_sample(tmp_path / "image.zarr", "0.5-sharded")).get_image()
    old, new = image.get_array(), sample_pixels(seed=1)
    good = da.from_array(new[:1], chunks=(1, 3, 20, 30))
    patch = da.concatenate([good, da.from_delayed(dask.delayed(_raising)(None), (1, 3, 20, 30), "uint16")])
    names = list(files(tmp_path))
    with pytest.raises(OSError, match="no pixels today"):
        image.set_array(patch)
    got = image.get_array()
    np.testing.assert_array_equal(got[1], old[1])
    for box in blocks(SHAPE, image.write_granularity):
        assert any((got[box.slices] == pixels[box.slices]).all() for pixels in (old, new))
    assert list(files(tmp_path)) == names
