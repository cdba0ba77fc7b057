"""ngio and omexp on one store: masked objects, tables, derived images and labels, pyramids; each reads and writes what the other made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import omexp
from omexp.containers.tables import FeatureTable
from tests.stores import LAYOUTS, SHAPE, make_sample, sample_ids, sample_pixels

pytestmark = [
    pytest.mark.peers,
    # ngio 1.1 announces its next default, at the caller's line
    pytest.mark.filterwarnings("ignore:Pyramid consolidation still builds every level through dask:FutureWarning"),
    # anndata 0.13 deprecates zarr_write_format, which ngio sets and the fixture below puts back
    pytest.mark.filterwarnings("ignore:This setting will be removed in 0.14:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data will no longer be the default:UserWarning"),
    # anndata consolidates the metadata of every table that it writes
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part in the Zarr format 3:UserWarning"),
]

BIG = 2**31 + 5
OBJECTS = (1, 7, 300, BIG)


@pytest.fixture
def ngio() -> Iterator[Any]:
    """ngio, with the process-wide settings of anndata, which its tables change, put back afterwards."""
    found, anndata = pytest.importorskip("ngio"), pytest.importorskip("anndata")
    before = anndata.settings.zarr_write_format, anndata.settings.auto_shard_zarr_v3
    yield found
    anndata.settings.auto_shard_zarr_v3 = False  # anndata takes True only with format 3
    anndata.settings.zarr_write_format, anndata.settings.auto_shard_zarr_v3 = before


@pytest.fixture(scope="module", params=list(LAYOUTS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with a fourth object, whose id is negative where a reader takes int32, and a masking ROI table made by us."""
    folder = make_sample(tmp_path_factory.mktemp("made") / "image.zarr", request.param)
    container = omexp.open_ome_zarr_container(folder)
    label, ids = container.get_label("nuclei"), sample_ids()
    ids[1:, 9:13, 14:19] = BIG
    label.set_array(ids)
    label.consolidate(workers=1)
    container.add_table("nuclei_boxes", container.build_masking_roi_table("nuclei"))
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy to write to."""
    return Path(shutil.copytree(made, tmp_path / "image.zarr"))


# ---------------------------------------------------------------------------------------------------------- masks
@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_a_masked_object_read_by_ngio_equals_ours(store: Path, ngio: Any, level: str) -> None:
    ours = omexp.open_ome_zarr_container(store, mode="r").get_masked_image("nuclei", path=level)
    theirs = ngio.open_ome_zarr_container(store, mode="r").get_masked_image("nuclei", path=level)
    for label in OBJECTS:
        np.testing.assert_array_equal(theirs.get_roi_masked_as_numpy(label), ours.get_roi_masked_as_numpy(label), strict=True)
        np.testing.assert_array_equal(theirs.get_roi_as_numpy(label), ours.get_roi_as_numpy(label), strict=True)
        assert ours.get_roi_masked_as_numpy(label).any()


def test_an_object_written_by_ngio_changes_the_same_pixels_as_written_by_us(store: Path, ngio: Any, tmp_path: Path) -> None:
    other = shutil.copytree(store, tmp_path / "other.zarr")
    by_ngio = ngio.open_ome_zarr_container(store).get_masked_image("nuclei")
    by_us = omexp.open_ome_zarr_container(other).get_masked_image("nuclei")
    for label in OBJECTS:
        patch = 65535 - by_us.get_roi_masked_as_numpy(label)
        by_us.set_roi_masked(label, patch)
        by_ngio.set_roi_masked(label, patch)
    read = omexp.open_ome_zarr_container(store, mode="r")
    whole, ids = read.get_image().get_as_numpy(), read.get_label("nuclei").get_as_numpy()
    np.testing.assert_array_equal(whole, by_us.get_as_numpy(), strict=True)
    np.testing.assert_array_equal(whole, np.where(ids > 0, 65535 - sample_pixels(), sample_pixels()), strict=True)


# --------------------------------------------------------------------------------------------------------- tables
def test_ngio_reads_our_feature_table_and_our_boxes(store: Path, ngio: Any) -> None:
    ours = omexp.open_ome_zarr_container(store)
    ours.add_table("features", omexp.measure(ours.get_label("nuclei"), ours.get_image()))
    theirs = ngio.open_ome_zarr_container(store, mode="r")
    features, wanted = theirs.get_feature_table("features").dataframe, ours.get_feature_table("features").dataframe
    assert features.index.tolist() == wanted.index.tolist() == list(OBJECTS)
    pd.testing.assert_frame_equal(features[list(wanted)], wanted, check_dtype=False, check_index_type=False)  # ids as int64
    boxes, masks = theirs.get_masking_roi_table("nuclei_boxes"), ours.get_masking_roi_table("nuclei_boxes")
    assert boxes.reference_label == "nuclei"
    for label in OBJECTS:
        spans = [(s.axis_name, s.start, s.length) for s in boxes.get_label(label).slices]
        assert sorted(spans) == sorted((s.axis_name, s.start, s.length) for s in masks.get_label(label).slices)


def test_we_read_the_feature_table_and_the_boxes_that_ngio_makes(store: Path, ngio: Any) -> None:
    plain = omexp.open_ome_zarr_container(store).derive_label("plain")
    plain.set_array(sample_ids())  # without BIG: ngio finds boxes with SciPy, in memory that grows with the largest id
    theirs = ngio.open_ome_zarr_container(store)
    areas = pd.DataFrame({"area": [1.5, 2.5]}, pd.Index([7, BIG], name="label"))
    theirs.add_table("features", ngio.FeatureTable(areas, reference_label="nuclei"))
    theirs.add_table("their_boxes", theirs.build_masking_roi_table("plain"))
    ours = omexp.open_ome_zarr_container(store)
    table = ours.get_table("features")
    assert isinstance(table, FeatureTable) and table.reference_label == "nuclei"
    assert table.dataframe["area"].to_dict() == {7: 1.5, BIG: 2.5}
    by_them, by_us = ours.get_masked_image(masking_table_name="their_boxes"), ours.get_masked_image("nuclei", "nuclei_boxes")
    assert by_them.labels() == [1, 7, 300]
    for label in (1, 7, 300):
        np.testing.assert_array_equal(by_them.get_roi_masked_as_numpy(label), by_us.get_roi_masked_as_numpy(label), strict=True)


# -------------------------------------------------------------------------------------------- derived, consolidated
def test_what_ngio_derives_from_our_image_opens_with_our_sizes_and_names(store: Path, ngio: Any, tmp_path: Path) -> None:
    pixels = sample_pixels(seed=1)
    derived = ngio.open_ome_zarr_container(store).derive_image(tmp_path / "theirs.zarr")
    derived.get_image().set_array(pixels)
    derived.get_image().consolidate()
    source, ours = omexp.open_ome_zarr_container(store, mode="r"), omexp.open_ome_zarr_container(tmp_path / "theirs.zarr", mode="r")
    assert (ours.image_meta.version, ours.levels) == (source.image_meta.version, source.levels)
    for path, like in zip(ours.levels_paths, source.levels_paths, strict=True):
        image, first = ours.get_image(path), source.get_image(like)
        assert (image.axes, image.shape, image.chunks) == (first.axes, first.shape, first.chunks)
        assert image.pixel_size.is_close(first.pixel_size) and image.channel_labels == ["DAPI", "GFP"]
        np.testing.assert_array_equal(image.get_as_numpy(), derived.get_image(path=path).get_as_numpy(), strict=True)
    np.testing.assert_array_equal(ours.get_image().get_as_numpy(), pixels, strict=True)


def test_labels_that_either_makes_stand_beside_each_other(store: Path, ngio: Any) -> None:
    theirs = ngio.open_ome_zarr_container(store).derive_label("theirs", dtype="uint32")
    theirs.set_array(sample_ids() * 2)
    theirs.consolidate()
    ours = omexp.open_ome_zarr_container(store).derive_label("ours", dtype="uint32")
    ours.set_array(sample_ids() * 3)
    ours.consolidate(workers=1)
    assert ngio.open_ome_zarr_container(store, mode="r").list_labels() == ["nuclei", "theirs", "ours"]
    read = omexp.open_ome_zarr_container(store, mode="r")
    assert read.list_labels() == ["nuclei", "theirs", "ours"]
    np.testing.assert_array_equal(read.get_label("theirs").get_as_numpy(), sample_ids() * 2, strict=True)
    again = ngio.open_ome_zarr_container(store, mode="r").get_label("ours")
    np.testing.assert_array_equal(again.get_as_numpy(), sample_ids() * 3, strict=True)


def test_ngio_reads_the_levels_that_we_made_anew(store: Path, ngio: Any) -> None:
    theirs = ngio.open_ome_zarr_container(store).get_image()
    theirs.set_array(sample_pixels(seed=2))
    ours = omexp.open_ome_zarr_container(store)
    ours.get_image().consolidate(workers=1)
    wanted = [sample_pixels(seed=2)]
    for _ in range(2):
        wanted.append(omexp.downsample(wanted[-1], (1, 1, 2, 2)))
    for path, pixels in zip(ours.levels_paths, wanted, strict=True):
        read = ngio.open_ome_zarr_container(store, mode="r").get_image(path=path).get_as_numpy()
        np.testing.assert_array_equal(read, pixels, strict=True)


def test_we_read_the_levels_that_ngio_made_anew(store: Path, ngio: Any) -> None:
    ours = omexp.open_ome_zarr_container(store)
    ours.get_image().set_array(np.full(SHAPE, 9, "uint16"))
    ngio.open_ome_zarr_container(store).get_image().consolidate()
    for path in ours.levels_paths:
        assert np.unique(ours.get_image(path).get_as_numpy()).tolist() == [9]
        assert ours.get_image(path).pixel_size.yx == (0.5 * 2 ** int(path), 0.5 * 2 ** int(path))
