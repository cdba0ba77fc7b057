"""The command `omexp`. Knows: commands, options, exit statuses. Does not know: how anything is done.

Errors that omexp raises on purpose are one line on standard error and exit status 1; what was tolerated is one line, too.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import omexp
from omexp.convert import convert
from omexp.errors import ArgumentError, OmexpError, OmexpWarning
from omexp.kernels.methods import Methods
from omexp.metadata.versions import DEFAULT_VERSION, WRITABLE, kind_of
from omexp.storage.groups import open_group
from omexp.storage.places import as_store

__all__ = ["main", "run"]

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
METHODS = [m.value for m in Methods if m.kernel == m.value]


_OPTIONS = {"pixel_size": "--pixel-size", "axes_names": "--axes", "overwrite=True": "--overwrite", "resume=True": "--resume"}
_ARGUMENT = re.compile(rf"(?<![\w./-])({'|'.join(_OPTIONS)})(?![\w/-]|\.\w)")  # not where it is part of a path


def _with_options(message: object) -> str:
    """A message with the command's options in place of Python's arguments."""
    return _ARGUMENT.sub(lambda found: _OPTIONS[found[1]], str(message))


class _Commands(click.Group):
    """Turns omexp's errors and warnings into lines."""

    def invoke(self, ctx: click.Context) -> Any:
        shown: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            name = "Note" if issubclass(category, OmexpWarning) else category.__name__
            if str(message) not in shown:
                click.echo(f"{name}: {_with_options(message)}", err=True)
            shown.add(str(message))

        with warnings.catch_warnings():
            warnings.simplefilter("always", OmexpWarning)
            warnings.showwarning = show
            try:
                return super().invoke(ctx)
            except OmexpError as error:
                raise click.ClickException(_with_options(error)) from error
            except KeyboardInterrupt:
                click.echo("\nInterrupted.", err=True)
                ctx.exit(INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(omexp.__version__, prog_name="omexp", message="%(prog)s %(version)s")
def main() -> None:
    """OME-Zarr images, labels and plates, on the CPU or a GPU."""


@main.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("omexp-demo"),
    show_default=True,
    help="Folder for the results.",
)
@click.option("--input", type=click.Path(path_type=Path), help="An OME-Zarr plate to work on (it is copied); without it one is made up.")
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda|cuda:N|auto", help="Where pixels are worked on.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the plate that is made up.")
@click.option("--size", type=click.IntRange(min=32), default=512, show_default=True, help="Pixels along a side of a field that is made up.")
@click.option("--ngff-version", type=click.Choice(WRITABLE), default="0.5", show_default=True, help="Of the plate that is made up.")
def demo(output: Path, input: Path | None, device: str, seed: int, size: int, ngff_version: str) -> None:
    """Run the main job on a whole plate.

    Makes a plate or copies one; for each image builds the pyramid, segments nuclei into a label, cuts out and rewrites each nucleus and
    measures it; draws the plate. Writes demo-plate.zarr, demo-objects.zarr and demo-overview.png, replacing those of an earlier run.
    """
    from rich.progress import Progress

    from omexp.demo import MadePlate, run_demo
    from omexp.printing import make_console, print_demo

    console = make_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("start", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=f"{name:24}", completed=done, total=total)

        made = MadePlate(seed=seed, size=size, ngff_version=ngff_version)
        report = run_demo(output, input, device=device, plate=made, progress=progress)
    print_demo(console, report)


@main.command()
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(store: str, as_json: bool) -> None:
    """Say what a plate, well, image or label holds: a path, a URL or a zip file (.ozx, .zip)."""
    from omexp.description import describe
    from omexp.printing import make_console, print_description

    found = describe(as_store(store)) | {"store": store}
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_description(make_console(), found)


@main.command()
@click.argument("store")
@click.option("--method", type=click.Choice(METHODS), help="How pixels are reduced; default: mean for images, nearest for labels.")
@click.option("--device", default="auto", show_default=True, metavar="cpu|cuda|cuda:N|auto", help="Where they are reduced.")
def pyramid(store: str, method: str | None, device: str) -> None:
    """Rebuild all levels of an image or label from its finest one, or those of all images of a plate or well."""
    from omexp.printing import make_console, print_built
    from omexp.progress import progress_bar

    levels = list(_finest_levels(store))
    if not levels:
        raise ArgumentError("there is no image on disk", where=store)
    built = []
    for place, level in levels:
        with progress_bar(place) as progress:
            built.append((place, method or level.default_method, level.consolidate(method, device=device, progress=progress)))
    print_built(make_console(), built)


class _PerAxis(click.ParamType):
    """One number, one per axis ("1,512,512"), or by name ("y=512,x=512")."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number
        self.name = "N|N,N,...|axis=N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",")]
        try:
            if all("=" in part for part in parts):
                return {axis.strip(): self.number(size) for axis, size in (part.split("=") for part in parts)}
            sizes = tuple(self.number(part) for part in parts)
        except ValueError:
            self.fail(f"{value!r} is not a number, one number per axis, or axis=number, ...", param, ctx)
        return sizes[0] if len(sizes) == 1 else sizes


@main.command("convert")
@click.argument("source")
@click.argument("target")
@click.option("--chunks", type=_PerAxis(int), help="Pixels per chunk; default: powers of two near 1 MiB, 1 along t and c.")
@click.option("--shards", type=_PerAxis(int), help="Pixels per shard (OME-Zarr 0.5); default: none.")
@click.option("--codec", metavar="NAME[:LEVEL]|none", help="blosc, zstd, gzip, lz4 or none, such as zstd:3; default: blosc.")
@click.option("--levels", type=click.IntRange(min=1), help="At most so many; default: 5, or those of an OME-Zarr source.")
@click.option("--factors", type=_PerAxis(int), help="From level to level; default: 2 along y and x, or those of an OME-Zarr source.")
@click.option(
    "--method", type=click.Choice(METHODS), help="How pixels are reduced; default: mean (labels: nearest), or what the source says."
)
@click.option("--version", type=click.Choice(WRITABLE), default=DEFAULT_VERSION, show_default=True, help="Of OME-Zarr.")
@click.option(
    "--pixel-size", type=_PerAxis(float), help="In micrometers (t: seconds), in place of the source's: one for y and x, or by axis."
)
@click.option("--axes", metavar="LETTERS", help='The source\'s axes, such as "tyx" or "yxs", where it does not name them.')
@click.option("--name", help="Of the image; default: the source's.")
@click.option("--series", help="One of several images, by number or name; default: all.")
@click.option("--device", default="auto", show_default=True, metavar="cpu|cuda|cuda:N|auto", help="Where pixels are reduced.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads; default: all CPUs.")
@click.option("--resume", is_flag=True, help="Go on with what an earlier run that was killed left (one image, local disk).")
@click.option("--overwrite", is_flag=True, help="Replace what is there, once the new image is complete.")
def convert_command(source: str, target: str, **given: Any) -> None:
    """Write TIFF, OME-TIFF, PNG, JPEG, NumPy, Zarr or OME-Zarr of another version or layout as OME-Zarr with a pyramid."""
    from omexp.printing import make_console, print_converted
    from omexp.progress import progress_bar

    same = ("chunks", "shards", "levels", "factors", "method", "workers", "name")
    options = {key: given[key] for key in same if given[key] is not None}
    if given["codec"] is not None:
        options["compressors"] = None if given["codec"] == "none" else given["codec"]
    if given["series"] is not None:
        options["series"] = int(given["series"]) if given["series"].isdigit() else given["series"]
    if isinstance(given["pixel_size"], tuple):
        options["pixel_size"] = dict(zip("zyx"[-len(given["pixel_size"]) :], given["pixel_size"], strict=False))
    elif given["pixel_size"] is not None:
        options["pixel_size"] = given["pixel_size"]
    start, seen = time.perf_counter(), [0]
    with progress_bar(target) as show:

        def progress(done: int, total: int) -> None:
            seen[0] = total
            show(done, total)

        made = convert(
            source,
            target,
            axes_names=given["axes"],
            version=given["version"],
            device=given["device"],
            overwrite=given["overwrite"],
            resume=given["resume"],
            progress=progress,
            **options,
        )
    print_converted(make_console(), made if isinstance(made, list) else [made], seen[0], time.perf_counter() - start)


def _finest_levels(store: str) -> Iterator[tuple[str, omexp.Image | omexp.Label]]:
    """(place, finest level) of every image or label that is meant."""
    group = open_group(store, "r+")
    kind = kind_of(group.attributes)
    if kind == "plate":
        found = omexp.open_ome_zarr_plate(store).get_images()
    elif kind == "well":
        found = omexp.open_ome_zarr_well(store).get_images()
    else:
        found = {store: omexp.open_ome_zarr_container(store)}
    for place, container in found.items():
        if kind == "label":
            yield place, omexp.Label(container.group, container.meta, container.meta.finest, omexp.resolve_backend("cpu"))
        else:
            yield place, container.get_image()


def run() -> None:
    """The command as a process: after Ctrl-C it ends at once, without the last words of zarr's event loop, whose call was cut."""
    try:
        main()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    run()
