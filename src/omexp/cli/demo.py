"""`omexp demo`. Knows: options of the main job. Does not know: what the job does."""

from __future__ import annotations

from pathlib import Path

import click

from omexp.metadata.versions import WRITABLE

__all__ = ["command"]


@click.command("demo")
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
def command(output: Path, input: Path | None, device: str, seed: int, size: int, ngff_version: str) -> None:
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
