"""Every code block of ngff-zarr's two user pages runs with `ngff_zarr` replaced by `omexp`, and prints what the pages show.

The picture, the volume and the plates that the pages name are made here. Blocks that read or convert run on a copy of the page's names,
since a page that opens the store it has just written and writes there again would overwrite what it reads from.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import omexp
from tests.docs_blocks import Block, blocks_of

imageio = pytest.importorskip("imageio.v3")
PAGES = Path(__file__).resolve().parents[2] / "shared" / "user-docs"
NAMES = ("ngff-python-interface", "ngff-python-array-api")
# Where the two packages print something else: theirs -> ours, and why.
OTHER_WORDS = {"rechunk-merge": ("array|gaussian", "levels are read from a reader, no task of dask cuts them anew")}


def page(name: str) -> list[Block]:
    path = PAGES / f"{name}.md"
    if not path.exists():
        pytest.skip(f"the user pages are not there: {path}")
    return [block for block in blocks_of(path.read_text(encoding="utf-8")) if block.language == "python"]


def examples(code: str) -> Iterator[tuple[str, str]]:
    """(statement, what the page shows below it) of a session; a statement goes on in lines that are indented, prompts or not."""
    for part in re.split(r"^>>> ", code, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        count = 1
        while count < len(lines) and lines[count].startswith("    ") and "(" in lines[0] and not lines[0].rstrip().endswith(")"):
            count += 1
        yield "\n".join(lines[:count]), "\n".join(lines[count:])


def words(text: str) -> list[str]:
    """The text without its white space and without the order of names in a dict."""
    text = re.sub(r"\{'x': ([\d.]+), 'y': ([\d.]+)\}", r"{'y': \2, 'x': \1}", text)
    return re.sub(r"\s", "", text).split(",")


def run(block: Block, names: dict[str, Any]) -> None:
    """Run a block and compare what it prints with what the page shows."""
    code = re.sub(r"\bngff_zarr\b", "omexp", block.code)
    if not block.is_session:
        exec(compile(code, f"line {block.line}", "exec"), names)
        return
    for statement, shown in examples(code):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(statement, f"line {block.line}", "exec"), names)
        if shown.strip():
            expected, found = words(shown), words(printed.getvalue())
            assert len(found) == len(expected)
            for one, other in zip(expected, found, strict=True):
                pattern = re.escape(one)
                for theirs, (ours, _) in OTHER_WORDS.items():
                    pattern = pattern.replace(re.escape(theirs), f"({ours})")
                assert re.fullmatch(pattern, other), f"line {block.line}: {other} where the page shows {one}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the picture of the pages."""
    monkeypatch.chdir(tmp_path)
    picture = np.add.outer(np.arange(256), np.arange(256)) // 2
    imageio.imwrite("cthead1.png", picture.astype("uint8"))
    return tmp_path


def make_plate(place: str) -> None:
    """Wells A/1 and B/2 with two fields each, of two acquisitions."""
    runs = [(0, "first"), (1, "second")]
    fields = [omexp.ImageInWellPath(r, c, str(i), i, n) for r, c in (("A", "1"), ("B", "2")) for i, n in runs]
    made = omexp.create_empty_plate(place, "screen", fields)
    for field in fields:
        pyramid = omexp.to_multiscales(np.full((1, 32, 48), int(field.path), "uint8"), [2])
        omexp.to_ngff_zarr(made.get_image_store(field.row, field.column, field.path), pyramid)


def test_the_interface_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_plate("screening_plate.ome.zarr")
    make_plate("plate.ome.zarr")
    names: dict[str, Any] = {"from_ngff_zarr": omexp.from_ngff_zarr, "to_ngff_zarr": omexp.to_ngff_zarr}
    blocks = page("ngff-python-interface")
    omexp.to_ngff_zarr("cthead1.ome.zarr", omexp.to_multiscales(imageio.imread("cthead1.png"), [2, 4], chunks=64))
    volume = omexp.to_multiscales(np.zeros((260, 128, 256), "uint8"), [2], "mean", chunks=64)
    for block in blocks:
        own = names if "from_ngff_zarr(" not in block.code else dict(names)
        if "lightsheet" in block.code:
            own = names | {"multiscales": volume}
        run(block, own)
        names.update({key: value for key, value in own.items() if key in ("version",)})
        if "chunks_per_shard={" in block.code:
            assert zarr.open_array("lightsheet.ome.zarr/scale0/image").shards == (256, 128, 128)
        if "cthead1_zarr" in block.code:
            version, place = ("0.5", "cthead1_zarr3") if "zarr3" in block.code else ("0.4", "cthead1_zarr2")
            assert omexp.from_ngff_zarr(f"{place}.ome.zarr").metadata.version == version
    assert len(blocks) == 17
    picture = imageio.imread("cthead1.png")
    for place in ("cthead1", "cthead1_zarr2", "cthead1_zarr3"):
        assert np.array_equal(omexp.from_ngff_zarr(f"{place}.ome.zarr").images[0].data.compute(), picture)
    said = capsys.readouterr().out
    for line in ("Plate: screen", "Wells: 2", "Well A/1 has 2 field(s)", "Image shape: (1, 32, 48)", "Field 1: (1, 32, 48)"):
        assert line in said
    assert "Acquisition 1: second" in said
    assert names["image"].images[0].data.max().compute() == 0  # field 0 of acquisition 0


def test_the_array_api_page(folder: Path) -> None:
    names: dict[str, Any] = {}
    blocks = page("ngff-python-array-api")
    for block in blocks:
        run(block, names)
    assert len(blocks) == 4
    found = omexp.from_ngff_zarr("cthead1.ome.zarr")
    assert np.array_equal(found.images[0].data.compute(), imageio.imread("cthead1.png"))
    assert found.images[2].translation == {"y": 1.5, "x": 1.5}


@pytest.mark.parametrize("name", NAMES)
def test_no_block_of_a_page_is_left_out(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8") if (PAGES / f"{name}.md").exists() else pytest.skip("no pages")
    assert len(re.findall(r"^```python", text, re.MULTILINE)) == len(page(name))
