"""Reports for people at a terminal. Knows: rich, descriptions, demo reports. Does not know: stores, pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from omexp.containers.container import OmeZarrContainer
from omexp.demo import DemoReport
from omexp.pyramid import Built

__all__ = ["make_console", "print_built", "print_converted", "print_demo", "print_description"]

FILE_WIDTH = 180  # columns where the output is no terminal, so that no line breaks


def make_console() -> Console:
    """A console on standard output."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=FILE_WIDTH)


# ----------------------------------------------------------------------------------------------------------- work
def print_demo(console: Console, report: DemoReport) -> None:
    """What the demo did, what each step cost, and where the results lie."""
    table = _table("step", "how many", "seconds", "GB/s", "on", "why there", right=(1, 2, 3))
    for step in report.steps:
        row = (step.name, _counted(step.count, step.unit), f"{step.seconds:.2f}", f"{step.gb_per_s:.3f}" if step.bytes else "", step.device)
        table.add_row(*map(escape, (*row, step.reason)))
    table.add_section()
    table.add_row("all", _counted(report.images, "images"), f"{report.seconds:.2f}", "", "", "")
    console.print(table)
    console.print(f"reader   {escape(f'{report.reader}: {report.reader_reason}')}", soft_wrap=True)
    tables = f"tables {report.label}_ROI, {report.label}_features"
    console.print(escape(f"label    {report.label}, from channel {report.segmented_in}; {tables}"), soft_wrap=True)
    for name, path in (("plate", report.plate), ("objects", report.objects_plate), ("picture", report.overview)):
        console.print(f"{name:8} {escape(str(path))}", soft_wrap=True)


def _counted(count: int, unit: str) -> str:
    """Nuclei have no plural s."""
    return f"{count} {unit.removesuffix('s') if count == 1 else unit}"


def print_built(console: Console, built: Sequence[tuple[str, str, Built]]) -> None:
    """What rebuilding pyramids cost: place, method, figures."""
    table = _table("image", "method", "MB read", "MB written", "seconds", "GB/s", "on", "why there", right=(2, 3, 4, 5))
    for place, method, one in built:
        rate = (one.bytes_read + one.bytes_written) / one.seconds / 1e9 if one.seconds else 0.0
        figures = (f"{one.bytes_read / 1e6:.1f}", f"{one.bytes_written / 1e6:.1f}", f"{one.seconds:.2f}", f"{rate:.3f}")
        table.add_row(*map(escape, (place, method, *figures, one.device, one.reason)))
    console.print(table)


def print_converted(console: Console, made: Sequence[OmeZarrContainer], nbytes: int, seconds: float) -> None:
    """The images that a conversion wrote, and what it cost: bytes of the finest levels, before compression."""
    table = _table("image", "shape", "dtype", "pixel size", "levels", right=(4,))
    for one in made:
        image, meta = one.get_image(), one.image_meta
        shape = ", ".join(f"{axis} {size}" for axis, size in zip(meta.axes, image.shape, strict=True))
        size = ", ".join(f"{axis} {image.pixel_size.get(axis):g}" for axis in meta.axes if axis != "c")
        table.add_row(*map(escape, (one.where, shape, str(image.dtype), size, str(meta.levels))))
    console.print(table)
    for one in made:
        inside = {"name": one.image_meta.name, "labels": ", ".join(one.list_labels()), "tables": ", ".join(one.list_tables())}
        for what, names in inside.items():
            _print_line(console, what, f"{names} ({one.where})" if names and len(made) > 1 else names or "")
    rate = nbytes / seconds / 1e9 if seconds else 0.0
    console.print(f"{nbytes / 1e6:.1f} MB of pixels in {seconds:.2f} s, {rate:.3f} GB/s", soft_wrap=True)


# ---------------------------------------------------------------------------------------------------------- stores
def print_description(console: Console, found: dict[str, Any]) -> None:
    """What `omexp.description.describe` found."""
    name = f" {found['name']}" if found.get("name") else ""
    console.print(
        f"[bold]{found['kind']}[/bold]{escape(name)}: OME-Zarr {found['version']}, Zarr format {found['zarr_format']}", soft_wrap=True
    )
    console.print(escape(found["store"]), style="dim", soft_wrap=True)
    kind = found["kind"]
    if kind == "plate":
        _print_plate(console, found)
    elif kind in ("well", "bioformats2raw"):
        _print_line(console, "images", ", ".join(found["images"]) or "none")
        _print_line(console, "acquisitions", ", ".join(map(str, found.get("acquisitions", []))))
    elif kind == "labels":
        for label in found["labels"]:
            console.print(f"\n[bold]label[/bold] {escape(label['name'])}")
            _print_image(console, label)
    else:
        _print_image(console, found)
    if found.get("first_image"):
        console.print(f"\n[bold]first image[/bold] {escape(found['first_image']['store'])}", soft_wrap=True)
        _print_image(console, found["first_image"])
    for problem in found["problems"]:
        console.print(f"note: {escape(problem)}", style="yellow", soft_wrap=True)


def _print_plate(console: Console, found: dict[str, Any]) -> None:
    images = sum(map(len, found["wells"].values()))
    layout = f", bioformats2raw layout {found['bioformats2raw']}" if found["bioformats2raw"] is not None else ""
    rows, columns = found["rows"], found["columns"]
    _print_line(console, "wells", f"{len(found['wells'])} of a grid of {len(rows)} x {len(columns)}, {images} images{layout}")
    acquisitions = [f"{a['id']}{' ' + a['name'] if a.get('name') else ''}" for a in found["acquisitions"]]
    _print_line(console, "acquisitions", ", ".join(acquisitions))
    table = _table("fields", *columns, right=range(1, len(columns) + 1))
    for row in rows:
        fields = [found["wells"].get(f"{row}/{column}") for column in columns]
        table.add_row(escape(row), *("." if paths is None else str(len(paths)) for paths in fields))
    console.print(table)


def _print_image(console: Console, found: dict[str, Any]) -> None:
    if "problem" in found:
        _print_line(console, "problem", found["problem"])
        return
    _print_line(console, "axes", ", ".join(f"{a['name']} ({a['unit'] or a['type'] or 'no unit'})" for a in found["axes"]))
    channels = [f"{c['label']} #{c['color']}{_window(c)}" for c in found.get("channels", [])]
    _print_line(console, "channels", ", ".join(channels))
    _print_line(console, "source", found.get("source_image") or "")
    _print_levels(console, found["levels"])
    readers = list(dict.fromkeys(f"{level['reader']}: {level['reason']}" for level in found["levels"] if "reader" in level))
    for reader in readers:
        _print_line(console, "reader", reader)
    for writer in dict.fromkeys(level["writer"] for level in found["levels"] if "writer" in level):
        _print_line(console, "writer", writer)
    for label in found.get("labels", []):
        _print_line(console, "label", f"{label['name']}: {_label_text(label)}")
    for table in found.get("tables", []):
        _print_line(
            console, "table", f"{table['name']}: {table.get('problem') or ', '.join(filter(None, (table['type'], table['backend'])))}"
        )


def _window(channel: dict[str, Any]) -> str:
    window = channel.get("window")
    return f" {window['start']:g} to {window['end']:g}" if window else ""


def _print_levels(console: Console, levels: Sequence[dict[str, Any]]) -> None:
    table = _table("level", "shape", "dtype", "chunks", "shards", "codec", "pixel size", right=())
    for level in levels:
        if "problem" in level:
            table.add_row(escape(level["path"]), level["problem"])
            continue
        size = ", ".join(f"{axis} {value:g}" for axis, value in level["pixel_size"].items())
        shards = _by(level["shards"]) if level["shards"] else "none"
        table.add_row(
            *map(escape, (level["path"], _by(level["shape"]), level["dtype"], _by(level["chunks"]), shards, level["codec"], size))
        )
    console.print(table)


def _label_text(label: dict[str, Any]) -> str:
    if "problem" in label:
        return str(label["problem"])
    finest = label["levels"][0]
    return f"{len(label['levels'])} levels, " + (finest.get("problem") or f"{_by(finest['shape'])} {finest['dtype']}")


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _print_line(console: Console, name: str, text: str) -> None:
    if text:
        console.print(f"{name:13}{escape(text)}", soft_wrap=True)


def _table(*columns: str, right: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if i in right else "left", overflow="fold")
    return table
