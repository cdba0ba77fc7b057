"""`omexp validate`. Knows: options, exit statuses, how a report is shown. Does not know: rules, stores."""

from __future__ import annotations

import json
from typing import Any

import click

from omexp.checking import Finding, Report, validate
from omexp.errors import OmexpError

__all__ = ["command"]

UNREADABLE = 2  # 0 is valid, 1 is invalid
_PLACES = 5  # of one rule, unless all are asked for
_COLORS = {"error": "red", "warning": "yellow"}


@click.command("validate")
@click.argument("path")
@click.option("--strict", is_flag=True, help="What the specification only recommends counts, too.")
@click.option("--data", is_flag=True, help="Decode every chunk, and count those that are missing.")
@click.option("--version", "version", metavar="VERSION", help="The version of OME-Zarr that it must have.")
@click.option("--all", "every", is_flag=True, help=f"List every place, not the first {_PLACES} of each rule.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, path: str, strict: bool, data: bool, version: str | None, every: bool, as_json: bool) -> None:
    """Say what is wrong with an OME-Zarr store, any group in it, or a JSON document of a group.

    Exit status: 0 valid, 1 invalid, 2 it cannot be read.
    """
    try:
        report = validate(path, strict, data=data, version=version)
    except OmexpError as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(UNREADABLE)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print(report, None if every else _PLACES)
    ctx.exit(0 if report.valid else 1)


def _print(report: Report, most: int | None) -> None:
    """The findings by rule: what is wrong, what to do, where."""
    from omexp.printing import make_console

    console = make_console()

    def line(text: str, **style: Any) -> None:
        console.print(text, markup=False, soft_wrap=True, **style)

    for (level, rule), found in report.by_rule().items():
        count = f" x {len(found)}" if len(found) > 1 else ""
        line(f"{level}  {rule}{count}: {found[0].fix}", style=_COLORS[level])
        for finding in found[:most]:
            line(f"  {_place(finding)}")
        if most is not None and len(found) > most:
            line(f"  ... and {len(found) - most} more", style="dim")
    for count_of in (c for c in report.chunks if c.missing):
        line(f"note  {count_of.location}: {count_of.missing} of {count_of.chunks} chunks are not stored; they read as the fill value")
    if report.chunks:
        line(f"chunks  {sum(c.stored for c in report.chunks)} stored, {sum(c.missing for c in report.chunks)} not stored")
    line(f"{report.where}: {report.summary}", style="bold green" if report.valid else "bold red")


def _place(finding: Finding) -> str:
    return str(finding).replace("\n", " ")
