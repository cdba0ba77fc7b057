"""A small image with a label in every layout. Knows: which stores container tests start from. Does not know: backends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.stores import LAYOUTS, make_sample


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One sample per layout; copied, never written to."""
    folder = tmp_path_factory.mktemp("samples")
    return {layout: make_sample(folder / f"{layout}.zarr", layout) for layout in LAYOUTS}


@pytest.fixture(params=list(LAYOUTS))
def store(request: pytest.FixtureRequest, samples: dict[str, Path], tmp_path: Path) -> Path:
    """A sample of each layout in turn, to write to."""
    return Path(shutil.copytree(samples[request.param], tmp_path / "image.zarr"))


@pytest.fixture
def one_store(samples: dict[str, Path], tmp_path: Path) -> Path:
    """A sample of one layout (0.5, sharded), where the layout does not matter."""
    return Path(shutil.copytree(samples["0.5-sharded"], tmp_path / "image.zarr"))
