"""Labels: deriving, listing, deleting, boxes of objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import omexp
from omexp.errors import AlreadyExistsError, ArgumentError, DTypeError, NameNotFoundError, NotFoundError
from omexp.storage.arrays import StoredArray
from tests import reference_labels
from tests.conftest import Case
from tests.stores import arrays, documents, files, sample_ids


def document_of(folder: Path) -> dict[str, Any]:
    found = documents(folder)
    return found.get(".zattrs") or found["zarr.json"]["attributes"]["ome"]


# ------------------------------------------------------------------------------------------------------- deriving
def test_a_derived_label_has_the_grid_of_the_image_without_channels(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    label = container.derive_label("cells")
    assert (label.shape, label.axes, label.dtype) == ((3, 20, 30), ("z", "y", "x"), np.dtype("uint32"))
    assert label.chunks == (2, 8, 16)
    assert label.pixel_size == container.get_image().pixel_size
    assert [container.get_label("cells", path=p).shape for p in container.levels_paths] == [(3, 20, 30), (3, 10, 15), (3, 5, 8)]
    assert not label.get_array().any()
    image, derived = document_of(store)["multiscales"][0], document_of(store / "labels" / "cells")["multiscales"][0]
    assert derived["axes"] == image["axes"][1:]
    for own, reference in zip(derived["datasets"], image["datasets"], strict=True):
        assert own["path"] == reference["path"]
        for a, b in zip(own["coordinateTransformations"], reference["coordinateTransformations"], strict=True):
            assert a[a["type"]] == b[b["type"]][1:]
    assert derived["name"] == "cells"


def test_a_derived_label_is_listed_and_says_that_it_is_a_label(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    container.derive_label("cells")
    assert document_of(store / "labels")["labels"] == ["nuclei", "cells"]
    own = document_of(store / "labels" / "cells")
    assert own["image-label"] == {"source": {"image": "../../"}, "version": container.meta.version}
    assert "omero" not in own
    assert container.get_label("cells").image_label.source_image == "../../"


def test_layout_and_dtype_of_a_derived_label_can_be_given(one_store: Path, backend: Case) -> None:
    options: dict[str, Any] = {"dtype": "uint16", "chunks": (3, 10, 10), "compressors": "zstd"}
    if (one_store / "zarr.json").exists():
        options["shards"] = (3, 20, 30)
    label = omexp.open_ome_zarr_container(one_store, device=backend.backend).derive_label("cells", **options)
    assert (label.dtype, label.chunks, label.stored.codec) == (np.dtype("uint16"), (3, 10, 10), "zstd")
    assert label.stored.shards == options.get("shards")
    ids = sample_ids().astype("uint16")
    label.set_array(backend.array(ids))
    assert backend.holds(label.get_array())
    np.testing.assert_array_equal(backend.host(label.get_array()), ids, strict=True)


def test_a_label_can_be_derived_from_another_level_set(store: Path, tmp_path: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    small = container.derive_image(tmp_path / "small.zarr", shape=(3, 10, 10), levels=1)
    label = container.derive_label("cells", ref_image=small.get_image())
    assert (label.shape, container.list_labels()) == ((3, 10, 10), ["nuclei", "cells"])
    assert container.derive_label("again", ref_image=label).shape == (3, 10, 10)


@pytest.mark.parametrize("other", ["0.4", "0.5"])
def test_a_derived_label_has_the_version_of_its_image_whatever_the_reference_has(store: Path, tmp_path: Path, other: str) -> None:
    reference = omexp.create_empty_ome_zarr(tmp_path / "other.zarr", (8, 8), xy_pixelsize=1, ngff_version=other, chunks=4)
    container = omexp.open_ome_zarr_container(store)
    label = container.derive_label("cells", ref_image=reference.get_image())
    assert label.meta.version == container.meta.version
    assert (label.shape, label.chunks) == ((8, 8), (4, 4))


def test_a_label_that_is_there_is_replaced_only_when_told(store: Path) -> None:
    container, before = omexp.open_ome_zarr_container(store), files(store)
    with pytest.raises(AlreadyExistsError, match=r"labels/nuclei: something is there already. Pass overwrite=True"):
        container.derive_label("nuclei")
    assert files(store) == before
    assert not container.derive_label("nuclei", overwrite=True).get_array().any()
    assert container.list_labels() == ["nuclei"]


def test_a_label_that_cannot_be_made_leaves_no_trace(store: Path, tmp_path: Path) -> None:
    bare = omexp.create_empty_ome_zarr(tmp_path / "bare.zarr", (8, 8), xy_pixelsize=1)
    for container in (omexp.open_ome_zarr_container(store), bare):
        before = files(Path(container.where))
        for name in ("", ".hidden", "a/b", "../up", "with space", "ä", 3):
            with pytest.raises(ArgumentError, match=r"the label name cannot be used; got .*; allowed: letters, digits"):
                container.derive_label(name)
        for options, message in [
            ({"dtype": "float32"}, "a label holds integers; got float32"),
            ({"dtype": "nonsense"}, "dtype is not understood; got 'nonsense'"),
            ({"chunks": (0, 1)}, "chunks must be one positive int per axis"),
            ({"compressors": "rar"}, "compressors is not understood; got 'rar'; allowed: auto, none"),
            ({"nonsense": 1}, "there is no such option; got nonsense; allowed: chunks, chunks_per_shard, compressors"),
        ]:
            with pytest.raises(ArgumentError, match=message):
                container.derive_label("cells", **options)
        assert files(Path(container.where)) == before


def test_labels_hold_any_integer(tmp_path: Path) -> None:
    container = omexp.create_empty_ome_zarr(tmp_path / "a.zarr", (8, 8), xy_pixelsize=1)
    for dtype in ("uint8", "int32", "uint64", "bool"):
        assert container.derive_label(f"as_{dtype}", dtype=dtype).dtype == np.dtype(dtype)


# -------------------------------------------------------------------------------------------------- finding, deleting
def test_an_unknown_label_is_refused_with_the_ones_there_are(store: Path, tmp_path: Path) -> None:
    container, before = omexp.open_ome_zarr_container(store), files(store)
    for get in (container.get_label, container.get_masked_image, container.build_masking_roi_table, container.delete_label):
        with pytest.raises(NameNotFoundError, match=r"image\.zarr: there is no such label; got 'cells'; allowed: nuclei"):
            get("cells")
    assert files(store) == before
    bare = omexp.create_empty_ome_zarr(tmp_path / "bare.zarr", (8, 8), xy_pixelsize=1)
    assert bare.list_labels() == []
    with pytest.raises(NameNotFoundError, match="allowed: none: the image has no labels"):
        bare.get_label("cells")
    assert not (tmp_path / "bare.zarr" / "labels").exists()


def test_a_label_that_is_listed_but_not_on_disk_is_named_as_such(one_store: Path) -> None:
    container = omexp.open_ome_zarr_container(one_store)
    container.derive_label("cells")
    (one_store / "labels" / "cells" / "zarr.json").unlink()
    with pytest.raises(NotFoundError, match=r"image\.zarr/labels/cells: the label is listed but not on disk"):
        container.get_label("cells")
    container.delete_label("cells")
    assert container.list_labels() == ["nuclei"]


def test_a_label_is_deleted_from_the_list_and_the_disk(store: Path) -> None:
    container = omexp.open_ome_zarr_container(store)
    container.derive_label("cells")
    container.delete_label("nuclei")
    assert container.list_labels() == ["cells"]
    assert not (store / "labels" / "nuclei").exists()
    container.delete_label("nuclei", missing_ok=True)
    with pytest.raises(NameNotFoundError, match="there is no such label; got 'nuclei'; allowed: cells"):
        container.delete_label("nuclei")


# ---------------------------------------------------------------------------------------------------------- boxes
def spans(boxes: dict[int, omexp.Roi]) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    return {i: (tuple(int(s.start) for s in box.slices), tuple(int(s.start + s.length) for s in box.slices)) for i, box in boxes.items()}


def test_boxes_of_objects_are_those_of_their_pixels(store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(store, device=backend.backend)
    boxes = container.get_label("nuclei").boxes()
    assert spans(boxes) == reference_labels.boxes(sample_ids())
    assert boxes[7].axes == ("z", "y", "x")
    assert (boxes[7].label, boxes[7].name, boxes[7].space) == (7, "7", "pixel")
    assert spans(container.get_label("nuclei", "1").boxes()) == reference_labels.boxes(sample_ids()[:, ::2, ::2])


BIG_IDS = [0, 1, 2**31, 2**53 + 1, 2**63 + 1, 2**64 - 1]


@settings(max_examples=15)
@given(ids=hnp.arrays("uint64", hnp.array_shapes(min_dims=2, max_dims=3, max_side=7), elements=st.sampled_from(BIG_IDS)))
def test_boxes_do_not_depend_on_how_large_ids_are(backend: Case, ids: np.ndarray) -> None:
    container = omexp.create_empty_ome_zarr({}, ids.shape, xy_pixelsize=1, levels=1, device=backend.backend)
    label = container.derive_label("big", dtype="uint64", chunks=3)
    label.set_array(backend.array(ids))
    assert spans(label.boxes()) == reference_labels.boxes(ids)


def test_an_empty_label_has_no_boxes(one_store: Path, backend: Case) -> None:
    container = omexp.open_ome_zarr_container(one_store, device=backend.backend)
    assert container.derive_label("none").boxes() == {}
    assert container.build_masking_roi_table("none").rois() == []


def test_image_methods_of_labels_work_alike(one_store: Path, backend: Case) -> None:
    label = omexp.open_ome_zarr_container(one_store, device=backend.backend).get_label("nuclei")
    ids = sample_ids()
    assert backend.holds(label.get_array(z=0))
    np.testing.assert_array_equal(label.get_as_numpy(z=0, axes_order="xyc"), ids[0].T[..., None], strict=True)
    roi = omexp.Roi.from_values({"y": (1.0, 5.0)})
    label.set_roi(roi, backend.array(np.full((3, 10, 30), 5, "uint32")))
    ids[:, 2:12] = 5
    np.testing.assert_array_equal(arrays(one_store)["labels/nuclei/0"], ids)
    assert repr(label).startswith("Label(path=0, z: 3, y: 20, x: 30, uint32")


def test_a_label_written_as_floats_is_refused(one_store: Path, backend: Case) -> None:
    label = omexp.open_ome_zarr_container(one_store, device=backend.backend).get_label("nuclei")
    with pytest.raises(DTypeError, match="got float32; allowed: uint32"):
        label.set_array(backend.array(np.zeros((3, 20, 30), "float32")))


# ---------------------------------------------------------------------------------------------------------- colours
def test_a_rebuilt_region_gives_new_objects_colours_and_reads_no_other_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    container = omexp.create_empty_ome_zarr({}, (64, 64), xy_pixelsize=1.0, chunks=(16, 16))
    label = container.derive_label("cells", chunks=(16, 16))
    label.set_array(np.ones((4, 4), "uint32"), y=slice(0, 4), x=slice(0, 4))
    label.consolidate()
    read: set[Any] = set()
    before = StoredArray.read
    monkeypatch.setattr(StoredArray, "read", lambda self, region, *a, **k: read.add((self.where, region)) or before(self, region, *a, **k))

    def colored() -> list[int]:
        block = container.get_label("cells").image_label
        assert block is not None
        return [entry["label-value"] for entry in block.colors]

    with label.track_writes():
        label.set_array(np.full((2, 2), 7, "uint32"), y=slice(40, 42), x=slice(40, 42))
    assert colored() == [1, 7]
    finest = {region for where, region in read if where == label.where}
    assert {(r.start[0] // 16, r.start[1] // 16) for r in finest} == {(2, 2)}
    label.set_array(np.zeros((4, 4), "uint32"), y=slice(0, 4), x=slice(0, 4))
    label.consolidate(regions=iter([{"y": slice(0, 4), "x": slice(0, 4)}]))
    assert colored() == [1, 7]  # nothing is dropped
    label.consolidate()
    assert colored() == [7]
    label.set_array(np.arange(1, 1025, dtype="uint32").reshape(32, 32), y=slice(0, 32), x=slice(0, 32))
    label.consolidate(regions=[{"y": slice(0, 32), "x": slice(0, 32)}])
    assert colored() == []  # too many: viewers choose, for all of them


@pytest.mark.parametrize("colors", [{}, {1: (1, 2, 3)}])
def test_a_rebuilt_region_leaves_no_colours_and_those_of_somebody_else_alone(colors: dict[int, tuple[int, int, int]]) -> None:
    container = omexp.create_empty_ome_zarr({}, (64, 64), xy_pixelsize=1.0, chunks=(16, 16))
    label = container.derive_label("cells", chunks=(16, 16))
    label.set_colors(colors)
    before = container.get_label("cells").image_label
    with label.track_writes():
        label.set_array(np.full((2, 2), 7, "uint32"), y=slice(40, 42), x=slice(40, 42))
    assert container.get_label("cells").image_label == before
