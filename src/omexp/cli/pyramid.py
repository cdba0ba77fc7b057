"""`omexp pyramid`. Knows: which images are meant. Does not know: how levels are made."""

from __future__ import annotations

from collections.abc import Iterator

import click

import omexp
from omexp.cli.options import METHODS
from omexp.errors import ArgumentError
from omexp.metadata.versions import kind_of
from omexp.storage.groups import open_group

__all__ = ["command"]


@click.command("pyramid")
@click.argument("store")
@click.option("--method", type=click.Choice(METHODS), help="How pixels are reduced; default: mean for images, nearest for labels.")
@click.option("--device", default="auto", show_default=True, metavar="cpu|cuda|cuda:N|auto", help="Where they are reduced.")
def command(store: str, method: str | None, device: str) -> None:
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
