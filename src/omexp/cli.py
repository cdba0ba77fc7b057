"""The command `omexp`. Knows: commands, options, exit statuses. Does not know: how anything is done.

Errors that omexp raises on purpose are one line on standard error and exit status 1; what was tolerated is one line, too.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import fsspec

import omexp
from omexp.errors import ArgumentError, OmexpError, OmexpWarning
from omexp.kernels.windows import METHODS
from omexp.metadata.versions import WRITABLE, kind_of
from omexp.storage.groups import open_group

__all__ = ["main"]


class _Commands(click.Group):
    """Turns omexp's errors and warnings into lines."""

    def invoke(self, ctx: click.Context) -> Any:
        shown: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            name = "Note" if issubclass(category, OmexpWarning) else category.__name__
            if str(message) not in shown:
                click.echo(f"{name}: {message}", err=True)
            shown.add(str(message))

        with warnings.catch_warnings():
            warnings.simplefilter("always", OmexpWarning)
            warnings.showwarning = show
            try:
                return super().invoke(ctx)
            except OmexpError as error:
                raise click.ClickException(str(error)) from error


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

    found = describe(_opened(store)) | {"store": store}
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_description(make_console(), found)


@main.command()
@click.argument("store")
@click.option("--method", type=click.Choice(sorted(METHODS)), help="How pixels are reduced; default: mean for images, nearest for labels.")
@click.option("--device", default="auto", show_default=True, metavar="cpu|cuda|cuda:N|auto", help="Where they are reduced.")
def pyramid(store: str, method: str | None, device: str) -> None:
    """Rebuild all levels of an image or label from its finest one, or those of all images of a plate or well."""
    from omexp.printing import make_console, print_built

    levels = list(_finest_levels(store))
    if not levels:
        raise ArgumentError("there is no image on disk", where=store)
    built = [(place, method or level.default_method, level.consolidate(method, device=device)) for place, level in levels]
    print_built(make_console(), built)


def _opened(store: str) -> Any:
    """The store to open for what was typed: zip files are read in place."""
    if "://" not in store and store.endswith((".ozx", ".zip")) and Path(store).is_file():
        return fsspec.get_mapper(f"zip://::{Path(store).resolve().as_uri()}")
    return store


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


if __name__ == "__main__":
    sys.exit(main())
