"""Regions of images in other units than micrometers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import omexp
from omexp.containers.tables import GenericTable, MaskingRoiTable, RoiTable
from omexp.containers.tables.concatenation import concatenate
from omexp.world import PixelSize, convert


def image_in(space: str | None, time: str | None = "second") -> Any:
    """Pixels of 65 units and 2 units of time."""
    options: dict[str, Any] = {"xy_pixelsize": 65.0, "time_spacing": 2.0, "space_unit": space, "time_unit": time}
    return omexp.create_empty_ome_zarr({}, (3, 16, 16), axes_names="tyx", levels=1, **options)


def test_a_nanometer_image_writes_micrometers_and_its_regions_stay_in_nanometers() -> None:
    image = image_in("nanometer", "millisecond")
    roi = omexp.Roi.from_values({"t": (0, 2), "y": (4, 8), "x": (2, 10)}, "a", space="pixel").to_world(image.get_image().pixel_size)
    for name, table in (("plain", RoiTable([roi])), ("known", RoiTable([roi], space_unit="nanometer", time_unit="millisecond"))):
        image.add_table(name, table)
        stored = image.get_table_as(name, GenericTable).dataframe.loc["a"]
        assert stored["len_y_micrometer"] == 0.52 and stored["x_micrometer"] == 0.13
        assert (stored["t_second"], stored["len_t_second"]) == (0.0, 0.004)
        back = image.get_roi_table(name)
        assert back.space_unit == "nanometer" and back.dataframe.loc["a", "len_y_micrometer"] == 0.52
        assert back.get("a")["y"] == roi["y"] and back.get("a")["t"] == roi["t"]
        assert image.get_image().get_roi(back.get("a")).shape == (2, 8, 10)
    assert table.dataframe.loc["a", "len_y_micrometer"] == 0.52
    assert image.build_image_roi_table().dataframe["len_x_micrometer"].tolist() == [1.04]


def test_boxes_of_objects_are_found_again_in_a_nanometer_image() -> None:
    image = image_in("nanometer")
    image.derive_label("cells").set_array(np.eye(16, dtype="uint32")[None].repeat(3, 0) * 5)
    image.add_table("masks", image.build_masking_roi_table("cells"))
    assert image.get_table_as("masks", GenericTable).dataframe["len_x_micrometer"].tolist() == [1.04]
    assert image.get_masked_image("cells", "masks").get_roi(label=5).shape[-2:] == (16, 16)


@pytest.mark.parametrize("space", ["micrometer", None, "nanometer"])
def test_a_table_that_says_nothing_of_units_is_in_those_of_its_image(space: str | None) -> None:
    image = image_in(space)
    image.add_table("t", RoiTable([omexp.Roi.from_values({"y": (65.0, 130.0), "x": (0.0, 65.0)}, "a")]))
    if space == "nanometer":  # as ngio writes it
        image.add_table("t", RoiTable.from_dataframe(image.get_table("t").dataframe.mul(1000.0)), overwrite=True)
    group = image.group.group("tables/t")
    group.put_attributes({key: value for key, value in group.attributes.items() if key != "omexp_units"})
    back = image.get_roi_table("t")
    assert back.get("a")["y"] == omexp.RoiSlice("y", 65.0, 130.0)
    assert back.dataframe.loc["a", "y_micrometer"] == (0.065 if space == "nanometer" else 65.0)


def test_a_table_goes_from_image_to_image_and_keeps_its_size() -> None:
    source, target = image_in("nanometer"), image_in("micrometer")
    source.add_table("t", RoiTable([omexp.Roi.from_values({"y": (65.0, 130.0), "x": (0.0, 65.0)}, "a")]))
    target.add_table("t", source.get_table("t"))
    assert target.get_roi_table("t").get("a")["y"] == omexp.RoiSlice("y", 0.065, 0.13)
    both = concatenate({"nm": source, "um": target}, "t", index_key="index")
    assert both.space_unit == "nanometer" and both.dataframe["len_y_micrometer"].tolist() == [0.13, 0.13]
    assert [roi["y"].length for roi in both.rois()] == [130.0, 130.0]


def test_ids_and_further_columns_are_not_converted() -> None:
    image = image_in("nanometer")
    box = omexp.Roi.from_values({"y": (0.0, 65.0), "x": (0.0, 65.0)}, label=7, area=3.5, x_micrometer_original=-1.5)
    image.add_table("m", MaskingRoiTable([box], "cells"))
    back = image.get_masking_roi_table("m").get_label(7)
    assert back.extra == {"area": 3.5, "x_micrometer_original": -1.5} and back["x"].length == 65.0


def test_every_unit_is_known_and_others_are_left_alone() -> None:
    assert convert(1.0, "inch", "centimeter") == 2.54 and convert(1.0, "day", "hour") == 24.0
    assert convert(3.0, "second", "meter") == convert(3.0, None, "meter") == 3.0
    assert convert(pd.Series([1.0, 2.5]), "millimeter", "micrometer").tolist() == [1000.0, 2500.0]
    sizes = [PixelSize(2.0, 2.0), PixelSize(500.0, 500.0, 500.0, space_unit="nanometer"), PixelSize(1.0, 1.0)]
    assert [size.x for size in sorted(sizes)] == [500.0, 1.0, 2.0]
