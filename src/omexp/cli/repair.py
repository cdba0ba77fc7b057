"""`omexp repair`. Knows: options, exit statuses, how repairs are shown. Does not know: rules, stores."""

from __future__ import annotations

import json
from collections import Counter

import click

from omexp.checking import Repairs, repair
from omexp.errors import OmexpError

__all__ = ["command"]

UNREADABLE = 2


@click.command("repair")
@click.argument("path")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--remove-missing", is_flag=True, help="Take labels and tables that are not there off their lists.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, path: str, dry_run: bool, remove_missing: bool, as_json: bool) -> None:
    """Put the metadata of an OME-Zarr store right where there is one right way; pixels are never changed.

    Exit status: 0 no error is left, 1 some are, 2 it cannot be read or written.
    """
    try:
        repairs = repair(path, dry_run, remove_missing=remove_missing)
    except OmexpError as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(UNREADABLE)
    if as_json:
        click.echo(json.dumps(repairs.to_json(), indent=2))
    else:
        _print(repairs)
    ctx.exit(1 if any(finding.level == "error" for finding in repairs.left) else 0)


def _print(repairs: Repairs) -> None:
    """What was done, each in a line; what was left, by rule."""
    from omexp.printing import make_console

    console = make_console()
    for one in repairs:
        console.print(f"{'would repair' if repairs.dry_run else 'repaired'}  {one}", markup=False, soft_wrap=True, style="green")
    for (level, rule, why), count in Counter((f.level, f.rule, repairs.why_left(f)) for f in repairs.left).items():
        times = f" x {count}" if count > 1 else ""
        console.print(f"left {level}  {rule}{times}: {why}", markup=False, soft_wrap=True, style="red" if level == "error" else "yellow")
    if not repairs and not repairs.left:
        console.print("nothing to repair", style="green")
