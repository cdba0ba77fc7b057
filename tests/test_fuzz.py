"""Stores that anything may have happened to: our own errors or a reading, never a hang, and nothing written outside.

`pytest -m slow tests/test_fuzz.py` tries 10,000 of them.
"""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from zarr.errors import ZarrUserWarning

import omexp
from omexp.description import describe
from omexp.errors import OmexpError, OmexpWarning
from tests.stores import files

# zarr leaves coroutines behind when a write of documents breaks off
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited")

HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, -(2**63), 2**64, 10**30, 10**400, 0.5, -1.5, 1e308, math.nan, math.inf,
    "", "0", "-1", "1e999", "nan", "..", "../..", "../../outside", "/", "/etc", "a/../../b", "\\", "\0", "é", "x" * 5000, "zarr.json", ".",
    "0.4", "0.5", "0.6", "9.9", "latest",
    [], {}, [None], [[]], [0] * 40, ["x"] * 5, {"name": "x"}, {"": {}}, [1, "2", None], {"type": "scale", "scale": [0, -1]},
]  # fmt: skip
DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
A_SECOND = 20  # of seconds: what does not end in it hangs


def make_image(folder: Path, version: str, **options: Any) -> None:
    pixels = np.arange(2 * 40 * 30, dtype="uint16").reshape(2, 40, 30)
    container = omexp.create_ome_zarr_from_array(
        folder, pixels, axes_names="cyx", xy_pixelsize=0.5, levels=2, chunks=(1, 16, 16), ngff_version=version, **options
    )
    ids = np.zeros((40, 30), "uint32")
    ids[2:9, 3:9], ids[20:30, 10:25] = 1, 7
    label = container.derive_label("cells")
    label.set_array(ids)
    label.consolidate()
    container.add_table(
        "sizes", omexp.FeatureTable(pd.DataFrame({"label": [1, 7], "area": [42, 150]}), reference_label="cells"), backend="csv"
    )
    container.add_table("objects", container.build_masking_roi_table("cells"))


def make_plate(folder: Path, version: str) -> None:
    plate = omexp.create_empty_plate(folder, "screen", [omexp.ImageInWellPath("A", i, "0", 0, "run") for i in (1, 2)], ngff_version=version)
    for i in (1, 2):
        omexp.create_ome_zarr_from_array(
            plate.get_image_store("A", i, "0"), np.full((8, 8), i, "uint8"), xy_pixelsize=1.0, levels=2, ngff_version=version
        )


MAKERS: dict[str, Callable[[Path], None]] = {
    "0.4": lambda folder: make_image(folder, "0.4"),
    "0.5 zstd": lambda folder: make_image(folder, "0.5", compressors="zstd"),
    "0.6 shards": lambda folder: make_image(folder, "0.6", shards=(1, 32, 32)),
    "plate 0.4": lambda folder: make_plate(folder, "0.4"),
    "plate 0.5": lambda folder: make_plate(folder, "0.5"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, make in MAKERS.items():
        found[name] = tmp_path_factory.mktemp("sound") / "a.zarr"
        make(found[name])
    return found


# ------------------------------------------------------------------------------------------------------------- damage
def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON document."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*at, i))


def hurt_document(path: Path, draw: random.Random) -> str:
    document = json.loads(path.read_text())
    at = draw.choice(list(places(document)))
    kind = draw.choice(["value", "value", "value", "gone", "deep", "text"])
    if kind == "text":
        text = path.read_text()
        cut = draw.randrange(len(text))
        path.write_text(text[:cut] + draw.choice(["", "{", "\0", '"', "[" * 3000, "9" * 5000]) + text[cut + draw.randrange(3) :])
        return f"{path.name}: text cut at {cut}"
    value: Any = draw.choice(HOSTILE)
    if kind == "deep":
        value = {}
        for _ in range(draw.choice([50, 900, 3000])):
            value = [value]
    if not at:
        document = value
    else:
        place = document
        for key in at[:-1]:
            place = place[key]
        if kind == "gone":
            del place[at[-1]]
        else:
            place[at[-1]] = copy.copy(value)
    try:
        path.write_text(json.dumps(document))
    except RecursionError:
        path.write_text("[" * 100_000)
    return f"{path.name}: {kind} at {at}: {str(value)[:60]!r}"


def hurt_bytes(path: Path, draw: random.Random) -> str:
    data = bytearray(path.read_bytes())
    kind = draw.choice(["cut", "flip", "longer", "empty", "gone", "noise"])
    at = draw.randrange(len(data) + 1)
    if kind == "cut":
        data = data[:at]
    elif kind == "flip" and at < len(data):
        data[at] ^= 1 << draw.randrange(8)
    elif kind == "longer":
        data += draw.randbytes(40)
    elif kind == "empty":
        data = bytearray()
    elif kind == "noise":
        data = bytearray(draw.randbytes(len(data)))
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(data)
    return f"{path.name}: {kind} at {at}"


def hurt(store: Path, draw: random.Random) -> list[str]:
    said = []
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        found = sorted(p for p in store.rglob("*") if p.is_file())
        documents = [p for p in found if p.name in DOCUMENTS]
        path = draw.choice(documents if draw.random() < 0.75 and documents else found)
        try:
            damage = hurt_document if path.name in DOCUMENTS and draw.random() < 0.9 else hurt_bytes
            said.append(f"{path.relative_to(store).parent}/{damage(path, draw)}")
        except (ValueError, RecursionError):  # it was hurt before
            said.append(f"{path.relative_to(store).parent}/{hurt_bytes(path, draw)}")
    return said


# ---------------------------------------------------------------------------------------------------------------- use
def use_image(container: omexp.OmeZarrContainer) -> None:
    corner = {"y": slice(0, 20), "x": slice(0, 20)}
    for path in container.levels_paths:
        attempt(lambda path=path: container.get_image(path=path).get_as_numpy(**corner))
    attempt(lambda: container.get_image().to_physical([[0.0] * len(container.get_image().axes)]))
    attempt(lambda: container.get_image().channel_labels)
    for name in attempt(container.list_labels) or []:
        attempt(lambda name=name: container.get_label(name).get_as_numpy(**corner))
        attempt(lambda name=name: container.get_masked_image(name).get_roi_masked(7))
    for name in attempt(container.list_tables) or []:
        attempt(lambda name=name: container.get_table(name).dataframe)
    attempt(lambda: container.get_image().set_array(np.zeros((2, 2, 2), "uint16"), y=slice(0, 2), x=slice(0, 2)))
    attempt(lambda: container.get_image().consolidate(max_memory=1 << 24, workers=1))
    attempt(lambda: container.derive_label("new", overwrite=True))


def use_plate(store: Path) -> None:
    plate = omexp.open_ome_zarr_plate(store)
    for image in (attempt(plate.get_images) or {}).values():
        use_image(image)
    attempt(lambda: plate.get_image("A", 1, "0"))


def attempt(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except OmexpError as error:
        assert str(error)
        return None


def use(store: Path) -> None:
    """All that can be done with a store, each thing by itself. Only our errors may come, from any of them."""
    beside = store.with_name("converted.zarr")
    attempt(lambda: describe(store))
    attempt(lambda: json.dumps(omexp.validate(store, data=True).to_json()))
    attempt(lambda: omexp.convert(store, beside, version="0.5", max_memory=1 << 24, workers=1))
    attempt(lambda: use_image(omexp.open_ome_zarr_container(store)))
    attempt(lambda: use_plate(store))
    attempt(lambda: omexp.from_ngff_zarr(store))
    attempt(lambda: omexp.change_version(store, "0.6", dry_run=True))
    attempt(lambda: json.dumps(omexp.repair(store).to_json()))
    attempt(lambda: omexp.change_version(store, "0.6"))


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def around(folder: Path) -> dict[str, Any]:
    """What lies in neither the store nor its conversion."""
    own = ("inside/a.zarr", "inside/converted.zarr")
    return {name: data for name, data in files(folder).items() if not name.startswith(own)}


def one(sound: dict[str, Path], number: int) -> None:
    draw = random.Random(number)
    name = draw.choice(sorted(sound))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as temporary:
        store = Path(temporary) / "inside" / "a.zarr"
        shutil.copytree(sound[name], store)
        (Path(temporary) / "outside").mkdir()
        (Path(temporary) / "outside" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {"secret": 1}}')
        said = hurt(store, draw)
        before = around(Path(temporary))
        try:
            with warnings.catch_warnings(), in_time(A_SECOND):
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", OmexpWarning)
                warnings.filterwarnings("ignore", category=ZarrUserWarning)  # of what zarr itself tolerates
                warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
                warnings.filterwarnings("ignore", message="The 'future.infer_string' option is deprecated", category=DeprecationWarning)
                use(store)
        except Exception as error:
            raise AssertionError(f"damage {number} to {name}, {said}: {type(error).__name__}: {error}") from error
        assert around(Path(temporary)) == before, f"damage {number} to {name}, {said}: something was written outside"


@pytest.mark.parametrize("tenth", range(10))
def test_a_damaged_store_is_read_or_refused_by_us(tenth: int, sound: dict[str, Path]) -> None:
    for number in range(tenth * 6, tenth * 6 + 6):
        one(sound, number)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tenth", range(10))
def test_ten_thousand_damaged_stores_are_read_or_refused_by_us(tenth: int, sound: dict[str, Path]) -> None:
    for number in range(1000 + tenth * 1000, 2000 + tenth * 1000):
        one(sound, number)


def test_sound_stores_can_be_used_whole(sound: dict[str, Path], tmp_path: Path) -> None:
    for name, store in sound.items():
        shutil.copytree(store, tmp_path / name)
        assert omexp.validate(tmp_path / name).valid
        use(tmp_path / name)
