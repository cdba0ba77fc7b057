"""Every code block of ngio's user pages runs with `ngio` replaced by `omexp`, on NumPy and on a device, and gives the right values.

The download is replaced by a local copy of the same plate's image, the two remote stores by a local HTTP server.
"""

from __future__ import annotations

import ast
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest
import zarr

import omexp
from omexp.backend import Backend, backend_of, from_host, numpy_backend, to_host
from tests.docs_blocks import PYTHON, Block, blocks_of

PAGES = Path(__file__).resolve().parents[2] / "shared" / "user-docs"
STORE = "cardiomyocyte_B03_mip_v04.zarr"
TOKEN = "**your_secret_token**"
DEVICE = Backend(array_api_strict, array_api_strict.Device("device1"))

# On a device the container hands out that device's arrays. Where a page gives them to NumPy or Matplotlib, or gives NumPy arrays back, the
# script must say so; these are all the places: text -> text, and why.
ON_A_DEVICE = {
    r"np\.squeeze\((\w+)\)": (r"np.squeeze(omexp.to_host(\1))", "Matplotlib draws NumPy arrays"),
    r"(np\.random\.randint\(0, 255, masked_data\.shape, dtype=np\.uint8\))": (
        r"omexp.from_host(\1, DEVICE)",
        "the page makes the patch with NumPy",
    ),
    r"image\.set_array\(data": (r"image.set_array(omexp.from_host(data, DEVICE)", "the page read it with get_as_numpy"),
}
NOT_ON_A_DEVICE = {"get_as_dask": "dask compares dtypes with NumPy's, which array-api-strict refuses (NumPy and CuPy blocks work)"}


# ----------------------------------------------------------------------------------------------------- the blocks
def page(name: str) -> list[Block]:
    path = PAGES / f"{name}.md"
    if not path.exists():
        pytest.skip(f"the user pages are not there: {path}")
    return [block for block in blocks_of(path.read_text(encoding="utf-8")) if block.language in PYTHON]


def fences(name: str) -> int:
    """How many code blocks a page opens, in tabs and admonitions, too."""
    return len(re.findall(r"^ *```py\w+", (PAGES / f"{name}.md").read_text(encoding="utf-8"), re.MULTILINE))


def statements(code: str) -> str:
    """The code of a block; of a block of prompts, what follows the prompts."""
    lines = code.splitlines()
    if not any(line.startswith(">>>") for line in lines):
        return code
    return "\n".join(line[4:] for line in lines if line.startswith((">>> ", "... ")))


def run(code: str, names: dict[str, Any]) -> None:
    """As at a prompt: the value of an expression is shown."""
    for statement in ast.parse(code).body:
        exec(compile(ast.Interactive([statement]), "page", "single"), names)


class Session:
    """A page's blocks, run in order in one namespace. Blocks that the page does not run itself get a copy of the names."""

    def __init__(self, url: str, device: Any) -> None:
        self.url, self.device = url, device
        self.names: dict[str, Any] = {"omexp": omexp, "DEVICE": device, "download_ome_zarr_dataset": local_plate}
        self.ran = self.skipped = 0

    def run(self, blocks: list[Block], after: dict[str, Callable[[dict[str, Any]], None]]) -> None:
        """`after` maps a piece of a block's text to a check of the names that the block leaves."""
        checked = set()
        for block in blocks:
            if not self.device.is_host and any(text in block.code for text in NOT_ON_A_DEVICE):
                self.skipped += 1
                continue
            names = self.names if "exec=" in block.attributes else dict(self.names)
            run(self._changed(statements(block.code)), names)
            self.ran += 1
            for text, check in after.items():
                if text in block.code:
                    check(names)
                    checked.add(text)
        assert checked == set(after), f"no block has {set(after) - checked}"

    def _changed(self, code: str) -> str:
        code = code.replace("from ngio.utils import download_ome_zarr_dataset", "").replace("ngio", "omexp")
        code = code.replace("https://raw.githubusercontent.com/", f"{self.url}/public/").replace(
            "https://fractal_url...", f"{self.url}/private/{STORE}"
        )
        if self.device.is_host:
            return code
        for old, (new, _) in ON_A_DEVICE.items():
            code = re.sub(old, new, code)
        return code


# ------------------------------------------------------------------------------------- what replaces the network
def local_plate(name: str, download_dir: Path) -> Path:
    """A plate folder with the shared image at B/03/0, and the labels that the page names beside "nuclei"."""
    assert name == "CardiomyocyteSmallMip"
    return Path(download_dir).absolute() / "plate.zarr"


@pytest.fixture
def plate(copy_store: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    folder = tmp_path / "data" / "plate.zarr" / "B" / "03"
    folder.mkdir(parents=True)
    copy_store(STORE, folder).rename(folder / "0")
    container = omexp.open_ome_zarr_container(folder / "0")
    for label in ("wf_2_labels", "wf_3_labels", "wf_4_labels"):
        container.derive_label(label)
    return folder / "0"


class Handler(SimpleHTTPRequestHandler):
    """Serves the shared store below any URL whose last folder is a .zarr; /private wants the token."""

    def translate_path(self, path: str) -> str:
        return str(Path(self.directory) / STORE / path.partition(".zarr")[2].strip("/"))

    def do_GET(self) -> None:
        if self.path.startswith("/private") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def url(shared_data: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(shared_data)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=[pytest.param(numpy_backend, id="cpu"), pytest.param(DEVICE, id="device1")])
def session(request: pytest.FixtureRequest, url: str, no_hidden_transfers: None) -> Iterator[Session]:
    with omexp.default_device(request.param):
        yield Session(url, request.param)


# ------------------------------------------------------------------------------------------------------ the pages
def test_the_container_and_the_images_page(plate: Path, session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    raw = {path: zarr.open_array(str(plate / path), mode="r") for path in ("1", "labels/nuclei/1")}
    pixels = raw["1"][...]

    def shown() -> str:
        return capsys.readouterr().out

    def container_opened(names: dict[str, Any]) -> None:
        container = names["ome_zarr_container"]
        assert container.device == session.device.name
        assert container.get_image().shape == (3, 1, 1080, 1280)

    def remote(names: dict[str, Any]) -> None:
        container = names["ome_zarr_container"]
        assert container.where.startswith("http")
        assert container.list_labels() == ["nuclei"]
        np.testing.assert_array_equal(container.get_image("2").get_as_numpy(), zarr.open_array(str(plate / "2"), mode="r")[...])

    def of_shape(name: str, shape: tuple[int, ...], size: tuple[float, ...] | None = None) -> Callable[[dict[str, Any]], None]:
        def check(names: dict[str, Any]) -> None:
            image = names[name].get_image()
            assert image.shape == shape
            assert size is None or image.pixel_size.zyx == size

        return check

    session.run(
        page("ome-zarr-container"),
        {
            "image_path = hcs_path": container_opened,
            "ome_zarr_container.levels #": lambda names: _equal(shown().split()[-2:], ["3", "3"]),
            "levels_paths": lambda names: _equal(shown().splitlines(), ["['1', '2', '3']"] * 2),
            "is_3d": lambda names: _equal(shown().split(), ["False"] * 2),
            "is_time_series": lambda names: _equal(shown().split(), ["False"] * 2),
            "channels_meta.channel_labels": lambda names: _equal(shown().splitlines()[-2:], ["['DAPI', 'nanog', 'Lamin B1']"] * 2),
            'derive_image("data/new_ome.zarr", overwrite=True)': of_shape("new_image", (3, 1, 1080, 1280), (1.0, 0.65, 0.65)),
            "new_image = ome_zarr_container.derive_image(\n": of_shape("new_image", (3, 16, 128, 128), (1.0, 0.65, 0.65)),
            "create_ome_zarr_from_array(": lambda names: np.testing.assert_array_equal(
                names["new_ome_zarr_image"].get_image().get_as_numpy(), names["x"]
            ),
            "create_empty_ome_zarr(": of_shape("new_ome_zarr_image", (16, 128, 128), (1.0, 0.65, 0.65)),
            "fractal_fsspec_store(url=url)": remote,
            "fractal_token": remote,
        },
    )

    def level_found(names: dict[str, Any]) -> None:
        assert (names["image"].path, names["image"].device) == ("1", session.device.name)

    def label_found(names: dict[str, Any]) -> None:
        assert (names["label_nuclei"].path, names["label_nuclei"].shape) == ("1", (1, 1080, 1280))
        np.testing.assert_array_equal(names["label_nuclei"].get_as_numpy(), raw["labels/nuclei/1"][...])

    def same_pixels(names: dict[str, Any]) -> None:
        assert type(names["data"]) is np.ndarray
        np.testing.assert_array_equal(names["data"], pixels, strict=True)

    def sliced(names: dict[str, Any]) -> None:
        np.testing.assert_array_equal(names["image_slice"], pixels[0, :, :, :128][None, ..., None])
        assert names["image_slice"].shape == (1, 1, 1080, 128, 1)

    def written_back(names: dict[str, Any]) -> None:
        assert names["data"].shape == (1, 128, 128, 1)
        np.testing.assert_array_equal(names["image"].get_as_numpy(), pixels)
        consolidated = names["ome_zarr_container"].get_image("2").get_as_numpy()
        np.testing.assert_array_equal(consolidated, omexp.downsample(pixels, (1, 1, 2, 2)))

    def label_made(names: dict[str, Any]) -> None:
        assert (names["new_label"].shape, names["new_label"].axes) == ((1, 1080, 1280), ("z", "y", "x"))
        assert "new_label" in names["ome_zarr_container"].list_labels()

    session.run(
        page("images-and-labels"),
        {
            'get_image(path="1")': lambda names: _equal(shown().count("Image(path=1") >= 2, True),
            "x=0.65, y=0.65, z=1.0)\n>>> ome_zarr_container.get_image": level_found,
            "x=0.60, y=0.60, z=1.0)\n>>> ome_zarr_container.get_image": level_found,
            "image.dimensions": lambda names: _equal(shown().splitlines()[-1], "c: 3, z: 1, y: 1080, x: 1280"),
            "image.pixel_size\n": lambda names: _equal(shown().splitlines()[-1][:33], "PixelSize(x=0.65, y=0.65, z=1, t="),
            "image.shape, image.dtype, image.chunks": lambda names: _equal(
                shown().splitlines()[-1], "(3, 1, 1080, 1280) uint16 (1, 1, 1080, 1280)"
            ),
            "data = image.get_as_numpy() #": same_pixels,
            'get_array(mode="numpy")': same_pixels,
            "image_slice.shape": sliced,
            "some_function": written_back,
            "list_labels()": lambda names: _equal(shown().splitlines()[-2], "['nuclei', 'wf_2_labels', 'wf_3_labels', 'wf_4_labels']"),
            "x=0.65, y=0.65, z=1.0)\n>>> ome_zarr_container.get_label": label_found,
            "x=0.60, y=0.60, z=1.0)\n>>> ome_zarr_container.get_label": label_found,
            'derive_label("new_label", overwrite=True)': label_made,
        },
    )
    assert session.ran + session.skipped == fences("ome-zarr-container") + fences("images-and-labels")
    assert session.skipped == (0 if session.device.is_host else 1)


def test_the_masked_images_page(plate: Path, session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="the page draws with Matplotlib")
    pixels, ids = (zarr.open_array(str(plate / path), mode="r")[...] for path in ("1", "labels/nuclei/1"))
    box = (slice(0, 1), slice(366, 386), slice(689, 710))  # the table's box of object 1009, in pixels of 0.65
    twice = (slice(0, 1), slice(356, 395), slice(678, 721))
    inside = ids == 1009

    def equals(name: str, expected: np.ndarray) -> Callable[[dict[str, Any]], None]:
        def check(names: dict[str, Any]) -> None:
            got = names[name]
            if not isinstance(got, np.ndarray):  # not yet brought to Matplotlib
                assert backend_of(got) == session.device
                got = to_host(got)
            np.testing.assert_array_equal(got, expected, strict=True)
            assert expected.any()

        return check

    def written(names: dict[str, Any]) -> None:
        changed = names["masked_image"].get_as_numpy()
        expected = pixels.copy()
        expected[0][box] = np.where(inside[box], to_host(names["masked_data"]), pixels[0][box])
        np.testing.assert_array_equal(changed, expected)
        assert (changed != pixels).any()

    session.run(
        page("masked-images-and-labels"),
        {
            'get_masked_image("nuclei")': lambda names: _equal(type(names["masked_image"]), omexp.MaskedImage),
            "roi_data = masked_image.get_roi(label=1009, c=0)\n": equals("roi_data", pixels[0][box]),
            '("Label 1009 ROI")': equals("image_data", pixels[0][box].squeeze()),
            "roi_data = masked_image.get_roi(label=1009, c=0, zoom_factor=2)": equals("roi_data", pixels[0][twice]),
            "Zoomed out": equals("image_data", pixels[0][twice].squeeze()),
            "masked_roi_data.shape": equals("masked_roi_data", np.where(inside, pixels[0], 0).astype("uint16")[twice]),
            '("Masked Label 1009 ROI")': equals("masked_roi_data", np.where(inside, pixels[0], 0).astype("uint16")[twice].squeeze()),
            "set_roi_masked(": written,
            "wf_2_labels": lambda names: _equal(type(names["masked_label"]), omexp.MaskedLabel),
        },
    )
    assert (session.ran, session.skipped) == (fences("masked-images-and-labels"), 0)
    assert capsys.readouterr().out.count("</svg>") == 4
    matplotlib.pyplot.close("all")


def _equal(got: Any, expected: Any) -> None:
    assert got == expected


# ------------------------------------------------------------------------------------------------- around the pages
def test_a_numpy_patch_from_a_page_is_refused_on_a_device(plate: Path) -> None:
    image = omexp.open_ome_zarr_container(plate, device=DEVICE).get_image()
    data = image.get_as_numpy(c=0, x=slice(0, 8), y=slice(0, 8))
    with pytest.raises(omexp.OmexpError, match=r"the patch lives on another device.*Bring it over with omexp.to_host or omexp.from_host"):
        image.set_array(data, c=0, x=slice(0, 8), y=slice(0, 8))
    image.set_array(from_host(data, DEVICE), c=0, x=slice(0, 8), y=slice(0, 8))


def test_a_private_store_wants_its_token(url: str) -> None:
    from omexp.utils import fractal_fsspec_store

    for token in (None, "wrong"):
        with pytest.raises(omexp.OmexpError, match=rf"{url}/private.*401"):
            omexp.open_ome_zarr_container(fractal_fsspec_store(url=f"{url}/private/{STORE}", fractal_token=token))
    store = fractal_fsspec_store(url=f"{url}/private/{STORE}/", fractal_token=TOKEN)
    assert omexp.open_ome_zarr_container(store).levels == 3


def test_a_public_url_opens_without_a_mapper(url: str, shared_data: Path) -> None:
    container = omexp.open_ome_zarr_container(f"{url}/public/{STORE}")
    np.testing.assert_array_equal(container.get_image("3").get_as_numpy(), zarr.open_array(str(shared_data / STORE / "3"), mode="r")[...])
    assert container.get_masked_image("nuclei").get_roi(1009, c=0).shape == (1, 20, 21)
    with pytest.raises(omexp.OmexpError, match="there is no Zarr group"):
        omexp.open_ome_zarr_container(f"{url}/public/{STORE}/nothing")
