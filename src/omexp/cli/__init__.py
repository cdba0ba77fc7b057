"""The command `omexp`. Knows: names of commands, exit statuses, how errors are shown. Does not know: options, how anything is done.

Each command is a module of this package, loaded when it is asked for. Errors that omexp raises on purpose are one line on standard error
and exit status 1; what was tolerated is one line, too.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from typing import Any

import click

from omexp import __version__
from omexp.errors import OmexpError, OmexpWarning

__all__ = ["COMMANDS", "main", "run"]

COMMANDS = (
    "convert",
    "demo",
    "info",
    "pyramid",
    "repair",
    "thumbnail",
    "validate",
)  # name: that of its module, which holds it as `command`
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_OPTIONS = {"pixel_size": "--pixel-size", "axes_names": "--axes", "overwrite=True": "--overwrite", "resume=True": "--resume"}
_ARGUMENT = re.compile(rf"(?<![\w./-])({'|'.join(_OPTIONS)})(?![\w/-]|\.\w)")  # not where it is part of a path


def _with_options(message: object) -> str:
    """A message with the command's options in place of Python's arguments."""
    return _ARGUMENT.sub(lambda found: _OPTIONS[found[1]], str(message))


class _Commands(click.Group):
    """Turns omexp's errors and warnings into lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return importlib.import_module(f"omexp.cli.{name}").command if name in COMMANDS else None

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
@click.version_option(__version__, prog_name="omexp", message="%(prog)s %(version)s")
def main() -> None:
    """OME-Zarr images, labels and plates, on the CPU or a GPU."""


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
