"""`omexp thumbnail`. Knows: how a picture is asked for. Does not know: how it is drawn."""

from __future__ import annotations

from pathlib import Path

import click

from omexp.errors import ArgumentError
from omexp.metadata.versions import kind_of
from omexp.storage.groups import open_group
from omexp.storage.locating import location

__all__ = ["command"]


@click.command("thumbnail")
@click.argument("store")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The PNG file to write.")
@click.option("--channels", metavar="NAME,...", help="Labels or numbers of the channels that are shown; default: the active ones.")
@click.option("--level", metavar="PATH|N", help="The level that is read; default: the coarsest that fits.")
@click.option(
    "--size", type=click.IntRange(min=16), help="Width of a plate's page in pixels; longer side of an image. Default: 1800, 1024."
)
@click.option("--label", help="A label whose objects are outlined, where an image of the plate has it.")
@click.option("--acquisition", type=int, help="Only fields of this one.")
def command(
    store: str, output: Path, channels: str | None, level: str | None, size: int | None, label: str | None, acquisition: int | None
) -> None:
    """Draw a plate, all wells in their grid, or one image, as a PNG file."""
    from omexp.containers.container import open_ome_zarr_container
    from omexp.containers.plates.plate import open_ome_zarr_plate

    if output.suffix.lower() != ".png":
        raise ArgumentError("only PNG files are written", where="--output", got=str(output), hint="End its name with .png.")
    place = location(store)
    kind = kind_of(open_group(place, "r").attributes_at_opening)
    shown = None if channels is None else [name.strip() for name in channels.split(",")]
    if kind == "plate":
        plate = open_ome_zarr_plate(place, "r")
        picture = plate.thumbnail(shown, level, size or 1800, label=label, acquisition=acquisition, path=output)
    elif label is not None or acquisition is not None:
        raise ArgumentError("--label and --acquisition are for plates", where=store)
    else:
        picture = open_ome_zarr_container(place, "r").thumbnail(shown, level, size or 1024, path=output)
    height, width = picture.shape[:2]
    click.echo(f"{output}: {width} x {height} pixels")
