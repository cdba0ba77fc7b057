"""Where the tables under test lie: both Zarr formats, on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from zarr.storage import LocalStore, MemoryStore

from omexp.containers.tables import TablesCollection
from omexp.storage.groups import Group, create_group


def _image(place: tuple[int, str], folder: Path) -> Group:
    return create_group(folder / "image.zarr" if place[1] == "disk" else {}, place[0])


def _tables(image: Group) -> TablesCollection:
    return TablesCollection(image, "0.4" if image.zarr_format == 2 else "0.5")


@pytest.fixture(params=[(2, "disk"), (3, "memory")], ids=["v2-disk", "v3-memory"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Group:
    """An empty image group: each Zarr format once, each kind of store once."""
    return _image(request.param, tmp_path)


@pytest.fixture
def tables(image: Group) -> TablesCollection:
    """The tables of `image`."""
    return _tables(image)


@pytest.fixture(params=[(2, "disk"), (2, "memory"), (3, "disk"), (3, "memory")], ids=lambda p: f"v{p[0]}-{p[1]}")
def every_image(request: pytest.FixtureRequest, tmp_path: Path) -> Group:
    """An empty image group: every Zarr format on every kind of store."""
    return _image(request.param, tmp_path)


@pytest.fixture
def every_tables(every_image: Group) -> TablesCollection:
    """The tables of `every_image`."""
    return _tables(every_image)


@pytest.fixture
def contents() -> Callable[[Group], dict[str, bytes]]:
    """``contents(group)``: every key of the group's store with its bytes."""

    def read(group: Group) -> dict[str, bytes]:
        store = group.zarr.store
        if isinstance(store, LocalStore):
            root = Path(store.root)
            return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else b"" for p in root.rglob("*")}
        assert isinstance(store, MemoryStore)
        return {key: value.to_bytes() for key, value in store._store_dict.items()}

    return read
