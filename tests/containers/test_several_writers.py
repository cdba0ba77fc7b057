"""Several writers at one image: each marks the coarser levels as unfinished from its first write until it has rebuilt them."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omexp
from omexp.errors import ArgumentError, OmexpWarning
from omexp.storage import journal as journals
from omexp.storage.journal import JOURNAL, Journal, is_unfinished
from tests.reference_pyramid import pyramid_reference
from tests.stores import arrays


@pytest.fixture
def image(tmp_path: Path) -> omexp.Image:
    pixels = np.random.default_rng(0).integers(0, 999, (256, 250), "uint16")
    options: dict[str, Any] = {"xy_pixelsize": 0.5, "levels": 3, "chunks": 16, "percentiles": None}
    return omexp.create_ome_zarr_from_array(tmp_path / "a.zarr", pixels, **options).get_image()


def is_right(image: omexp.Image) -> bool:
    found = [pixels for _, pixels in sorted(arrays(image.group.local_path).items())]
    expected = pyramid_reference(found[0], [level.shape for level in found], [(2, 2)] * 2, "mean")
    return all((a == b).all() for a, b in zip(found, expected, strict=True))


def test_a_rebuild_of_most_of_an_image_waits_for_another_one_as_that_of_little_does(image: omexp.Image, monkeypatch: Any) -> None:
    path = image.group.local_path / JOURNAL
    other = Journal.locked(path, "a.zarr")
    monkeypatch.setattr(journals.time, "sleep", lambda seconds: other.close(finished=True) if seconds == 0.05 else None)
    with image.track_writes():
        image.set_array(np.ones((256, 250), "uint16"))
    assert is_right(image) and not path.exists()


def patch_rows(image: omexp.Image, start: int, value: int) -> None:
    image.set_array(np.full((4, 250), value, "uint16"), y=slice(start, start + 4))


def marks(image: omexp.Image) -> list[Path]:
    return sorted(image.group.local_path.glob(f"{JOURNAL}*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process that is killed is forked")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of forks beside threads
@pytest.mark.parametrize("again", ["track_writes", "resume", "consolidate"])
def test_a_process_killed_while_it_writes_leaves_a_mark_and_the_next_rebuild_makes_all_anew(again: str, image: omexp.Image) -> None:
    child = os.fork()
    if not child:
        with image.track_writes():
            patch_rows(image, 0, 7)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not is_right(image) and len(marks(image)) == 1 and is_unfinished(image.group.local_path)
    with pytest.warns(OmexpWarning, match="a.zarr: the coarser levels are unfinished"):
        image = omexp.open_ome_zarr_container(image.group.local_path).get_image()
    if again == "track_writes":
        with image.track_writes():
            patch_rows(image, 200, 9)
    else:
        image.consolidate(resume=again == "resume")
    assert is_right(image) and not marks(image)


def test_each_of_two_writers_has_a_mark_which_the_other_ones_rebuild_leaves_alone(image: omexp.Image) -> None:
    other = omexp.open_ome_zarr_container(image.group.local_path).get_image()
    with image.track_writes():
        patch_rows(image, 0, 7)
        before = marks(image)
        with other.track_writes():
            assert marks(image) == before
            patch_rows(other, 200, 9)
            assert len(marks(image)) == 2
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # both are alive
                omexp.open_ome_zarr_container(image.group.local_path)
        assert marks(image) == before
    assert is_right(image) and not marks(image)


def test_a_rebuild_that_fails_leaves_the_mark(image: omexp.Image) -> None:
    with pytest.raises(ArgumentError, match="workers"), image.track_writes(workers=0):
        patch_rows(image, 0, 7)
    assert len(marks(image)) == 1
    image.consolidate()
    assert is_right(image) and not marks(image)
