"""`omexp info`. Knows: how a description is asked for. Does not know: what is described."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command("info")
@click.argument("store")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(store: str, as_json: bool) -> None:
    """Say what a plate, well, image or label holds: a path, a URL or a zip file (.ozx, .zip)."""
    from omexp.description import describe
    from omexp.printing import make_console, print_description

    found = describe(store) | {"store": store}
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_description(make_console(), found)
