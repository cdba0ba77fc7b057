"""`omexp convert`. Knows: options of a conversion. Does not know: formats."""

from __future__ import annotations

import time
from typing import Any

import click
from click.core import ParameterSource

from omexp import OmeZarrPlate
from omexp.cli.options import METHODS, PerAxis
from omexp.convert import convert
from omexp.metadata.versions import DEFAULT_VERSION, WRITABLE
from omexp.versioning import change_version

__all__ = ["command"]


@click.command("convert")
@click.argument("source")
@click.argument("target", required=False)
@click.option("--chunks", type=PerAxis(int), help="Pixels per chunk; default: an OME-Zarr source's, else powers of two near 1 MiB.")
@click.option("--shards", type=PerAxis(int), help="Pixels per shard (OME-Zarr 0.5); default: an OME-Zarr source's, else none.")
@click.option(
    "--codec",
    metavar="NAME[:LEVEL]|none",
    help="blosc, zstd, gzip, lz4 or none, such as zstd:3; default: an OME-Zarr source's, else blosc.",
)
@click.option("--levels", type=click.IntRange(min=1), help="At most so many; default: 5; those of an OME-Zarr source are copied.")
@click.option(
    "--factors", type=PerAxis(int), help="From level to level; default: 2 along y and x; the levels of an OME-Zarr source are copied."
)
@click.option(
    "--method", type=click.Choice(METHODS), help="How pixels are reduced; default: mean (labels: nearest), or what the source says."
)
@click.option("--version", type=click.Choice(WRITABLE), default=DEFAULT_VERSION, show_default=True, help="Of OME-Zarr.")
@click.option(
    "--pixel-size", type=PerAxis(float), help="In micrometers (t: seconds), in place of the source's: one for y and x, or by axis."
)
@click.option("--axes", metavar="LETTERS", help='The source\'s axes, such as "tyx" or "yxs", where it does not name them.')
@click.option("--name", help="Of the image; default: the source's.")
@click.option("--series", help="One of several images, by number or name; default: all.")
@click.option("--device", default="auto", show_default=True, metavar="cpu|cuda|cuda:N|auto", help="Where pixels are reduced.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads; default: all CPUs.")
@click.option("--resume", is_flag=True, help="Go on with what an earlier run that was killed left (one image, local disk).")
@click.option("--overwrite", is_flag=True, help="Replace what is there, once the new image is complete.")
@click.pass_context
def command(context: click.Context, source: str, target: str | None, **given: Any) -> None:
    """Write TIFF, OME-TIFF, PNG, JPEG, NumPy, Zarr or OME-Zarr of another version or layout as OME-Zarr with a pyramid; whole plates, too.

    Without TARGET an OME-Zarr store changes its version in place: its documents are written anew, no pixel is touched. A TARGET that ends
    in .ozx becomes one zip file.
    """
    from omexp.printing import make_console, print_converted
    from omexp.progress import progress_bar

    if target is None:
        _in_place(context, source, given["version"])
        return
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
    seconds = time.perf_counter() - start
    if isinstance(made, OmeZarrPlate):
        fields, rate = len(made.images_paths()), seen[0] / seconds / 1e9
        click.echo(f"{target}: plate of {len(made.wells)} wells, {fields} fields, OME-Zarr {made.version}")
        click.echo(f"{seen[0] / 1e6:.1f} MB of pixels in {seconds:.2f} s, {rate:.3f} GB/s")
    else:
        print_converted(make_console(), made if isinstance(made, list) else [made], seen[0], seconds)


def _in_place(context: click.Context, source: str, version: str) -> None:
    asked = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if "version" not in asked:
        raise click.UsageError("Name a TARGET, or the --version that the store should have in place.")
    others = [f"--{name.replace('_', '-')}" for name in asked if name not in ("source", "version")]
    if others:
        raise click.UsageError(f"Without a TARGET only the version can be changed, in place; got {', '.join(others)}.")
    changed = change_version(source, version)
    click.echo(f"{source}: {f'OME-Zarr {version} now, {len(changed)} documents written' if changed else f'OME-Zarr {version} already'}")
