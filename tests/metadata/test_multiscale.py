"""The `multiscales` entry and what an image's document says as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from omexp.metadata.axes import default_axes
from omexp.metadata.image import ImageMeta
from omexp.metadata.multiscale import Dataset, Multiscale, parse_multiscale
from omexp.metadata.problems import Problems
from omexp.metadata.transforms import ScaleTranslation
from omexp.world import PixelSize

AXES = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]


def dataset(path: Any, *scale: float) -> dict[str, Any]:
    return {"path": path, "coordinateTransformations": [{"type": "scale", "scale": list(scale or (1.0, 1.0))}]}


def entry(**changes: Any) -> dict[str, Any]:
    return {"axes": AXES, "datasets": [dataset("0", 0.5, 0.5), dataset("1", 1.0, 1.0)], "name": "img"} | changes


def parsed(value: Any) -> tuple[Multiscale | None, list[str], list[str]]:
    """(multiscale, errors, warnings)."""
    problems = Problems()
    multiscale = parse_multiscale(value, problems, "m")
    return multiscale, [str(p) for p in problems.errors], [str(p) for p in problems.found if p.level == "warning"]


def usable(value: Any) -> Multiscale:
    multiscale, errors, _ = parsed(value)
    assert multiscale is not None, errors
    return multiscale


# --------------------------------------------------------------------------------------------------------- reading
def test_a_multiscale_is_written_as_it_was_read() -> None:
    value = entry(type="mean", metadata={"method": "skimage"}, _creator={"name": "bf2raw"}, **{"@type": "ngff:Image"})
    multiscale, errors, warnings = parsed(value)
    assert multiscale is not None
    assert multiscale.to_json() == value
    assert (errors, warnings) == ([], [])


def test_a_version_inside_the_entry_is_not_kept_as_an_unknown_key() -> None:
    assert "version" not in usable(entry(version="0.4")).to_json()


def test_integer_paths_of_early_fractal_are_read_as_strings() -> None:
    assert usable(entry(datasets=[dataset(0), dataset(1, 2, 2)])).paths == ("0", "1")


def test_slashes_around_a_path_do_not_count_and_nested_paths_are_fine() -> None:
    assert usable(entry(datasets=[dataset("/scale0/image/"), dataset("1")])).paths == ("scale0/image", "1")


def test_transforms_of_the_multiscale_come_after_those_of_the_level() -> None:
    level = {
        "path": "0",
        "coordinateTransformations": [*dataset("0", 2, 3)["coordinateTransformations"], {"type": "translation", "translation": [1, 1]}],
    }
    outer = [{"type": "scale", "scale": [10, 10]}, {"type": "translation", "translation": [5, 0]}]
    multiscale = usable(entry(datasets=[level], coordinateTransformations=outer))
    assert multiscale.datasets == (Dataset("0", ScaleTranslation((20, 30), (15, 10))),)
    assert multiscale.to_json() == entry(datasets=[level], coordinateTransformations=outer)  # in its own words
    assert multiscale.to_json("0.4")["datasets"] == [
        dataset("0", 20, 30) | {"coordinateTransformations": multiscale.datasets[0].transform.to_json()}
    ]
    assert "coordinateTransformations" not in multiscale.to_json("0.4")  # in another version it is in the levels


@pytest.mark.parametrize("outer", [None, [], [{"type": "identity"}]])
def test_a_multiscale_without_transforms_of_its_own_changes_nothing(outer: Any) -> None:
    assert usable(entry(coordinateTransformations=outer)) == usable(entry())


@pytest.mark.parametrize(("key", "value"), [("name", 5), ("type", 5)])
def test_a_number_for_a_string_is_read_as_one(key: str, value: Any) -> None:
    assert getattr(usable(entry(**{key: value})), key) == "5"


@pytest.mark.parametrize(("key", "value"), [("name", ["a"]), ("type", {"a": 1}), ("metadata", "gaussian"), ("metadata", [1])])
def test_what_is_no_string_or_object_is_noted_and_left_out(key: str, value: Any) -> None:
    multiscale, errors, warnings = parsed(entry(**{key: value}))
    assert multiscale is not None
    assert (getattr(multiscale, key), errors) == (None, [])
    assert warnings[0].startswith(f"m.{key}: expected ")
    assert usable(multiscale.to_json()) == multiscale


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "m: missing; expected an object"),
        ("img", "m: expected an object, got 'img'"),
        ({"axes": AXES}, "m.datasets: missing; expected a list"),
        ({"datasets": [dataset("0")]}, "m.axes: missing; expected a list"),
        (entry(axes=[]), "m.axes: empty; expected 2 to 5 axes"),
        (entry(datasets=[]), "m.datasets: empty; expected at least one level"),
        (entry(datasets={"path": "0"}), "m.datasets: expected a list, got {'path': '0'}"),
        (entry(datasets=["0"]), "m.datasets.0.path: expected a string such as \"0\", got None"),
        (entry(datasets=[dataset("0"), {"coordinateTransformations": []}]), "m.datasets.1.path: expected a string such as \"1\", got None"),
        (entry(datasets=[dataset("")]), "m.datasets.0.path: expected a string such as \"0\", got ''"),
        (entry(datasets=[dataset("/")]), "m.datasets.0.path: expected a string such as \"0\", got '/'"),
        (entry(datasets=[dataset(True)]), "m.datasets.0.path: expected a string such as \"0\", got True"),
        (entry(datasets=[dataset("../0")]), "m.datasets.0.path: leads outside the group: '../0'"),
        (entry(datasets=[dataset("0"), dataset("/0")]), "m.datasets: paths are not unique: ['0', '0']"),
        (entry(datasets=[{"path": "0"}]), "m.datasets.0.coordinateTransformations: missing; expected a list with one scale"),
        (entry(datasets=[dataset("0", 1)]), "m.datasets.0.coordinateTransformations.0.scale: expected 2 numbers, got [1]"),
        (entry(coordinateTransformations=[{"type": "scale"}]), "m.coordinateTransformations.0.scale: expected 2 numbers, got None"),
        (
            entry(datasets=[dataset("0", 1e-300, 1)], coordinateTransformations=[{"type": "scale", "scale": [1e-300, 1]}]),
            "m.datasets.0.coordinateTransformations: the product of the scales is not a finite positive number",
        ),
    ],
)  # fmt: skip
def test_a_multiscale_that_cannot_be_used_is_none_and_an_error(value: Any, error: str) -> None:
    multiscale, errors, _ = parsed(value)
    assert multiscale is None
    assert error in errors


def test_every_broken_rule_is_named_at_once() -> None:
    _, errors, _ = parsed(entry(datasets=[dataset(None), dataset("1", 1), dataset("..")]))
    assert [e.split(":")[0] for e in errors] == ["m.datasets.0.path", "m.datasets.1.coordinateTransformations.0.scale", "m.datasets.2.path"]


# ----------------------------------------------------------------------------------------------------- pixel sizes
def image(*scales: tuple[float, ...], names: str = "tczyx") -> ImageMeta:
    axes = default_axes(len(names), names, space_unit="nanometer", time_unit="minute")
    levels = [Dataset(str(i), ScaleTranslation(scale, (0.0,) * len(names))) for i, scale in enumerate(scales)]
    return ImageMeta("0.5", Multiscale(axes, tuple(levels), "img"))


def test_the_pixel_size_of_a_level_is_its_scale_along_x_y_z_and_t_with_the_units_of_the_axes() -> None:
    meta = image((60.0, 7.0, 4.0, 2.0, 1.0), (60.0, 7.0, 4.0, 4.0, 2.0))
    assert meta.pixel_size("1") == PixelSize(x=2.0, y=4.0, z=4.0, t=60.0, space_unit="nanometer", time_unit="minute")
    assert (meta.space_unit, meta.time_unit, meta.name, meta.levels, meta.axes) == ("nanometer", "minute", "img", 2, tuple("tczyx"))


def test_axes_that_are_not_there_have_pixel_size_1() -> None:
    meta = image((2.0, 3.0), names="yx")
    assert meta.pixel_size("0") == PixelSize(x=3.0, y=2.0, space_unit="nanometer", time_unit=None)


def test_levels_are_ordered_by_resolution_whatever_the_order_of_the_document() -> None:
    meta = image((2.0, 2.0), (0.5, 0.5), (1.0, 1.0), (0.5, 0.5), names="yx")
    assert meta.paths == ["0", "1", "2", "3"]
    assert meta.by_resolution == ["1", "3", "2", "0"]
    assert meta.finest == "1"


def test_the_nearest_level_is_the_one_with_the_nearest_pixel_size() -> None:
    meta = image((1.0, 1.0), (2.0, 2.0), (4.0, 4.0), names="yx")
    assert meta.nearest(PixelSize(1.4, 1.4, space_unit="nanometer")) == "0"
    assert meta.nearest(PixelSize(3.1, 3.1, space_unit="nanometer")) == "2"
    assert meta.nearest(PixelSize(0.002, 0.002, z=0.001, space_unit="micrometer")) == "1"


def test_the_ratio_of_two_levels_is_that_of_their_scales() -> None:
    meta = image((1.0, 0.5, 0.5), (1.0, 2.0, 1.5), (2.0, 2.0, 3.0), names="zyx")
    assert meta.ratios(["0", "1", "2"]) == [(1.0, 4.0, 3.0), (2.0, 1.0, 2.0)]
    assert meta.ratios(["2"]) == []
