"""The main job on a whole plate, end to end. Knows: the steps, their order, what each cost. Does not know: how results are printed.

A plate is made up (or a given one copied); then each image gets its pyramid, nuclei are segmented into a label with its pyramid, objects
are cut out and rewritten, measured into a table; a picture of the plate ends it.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omexp.backend import Array, Backend, DeviceLike, backend_of, resolve_backend, to_host
from omexp.containers.container import OmeZarrContainer
from omexp.containers.features.measure import measure
from omexp.containers.image import Image
from omexp.containers.level import Level
from omexp.containers.masking.masked import MaskedImage
from omexp.containers.plates.plate import OmeZarrPlate, open_ome_zarr_plate
from omexp.demo.ledger import Ledger, Progress, Step
from omexp.demo.plate import MadePlate, copy_plate, images_of_input, path_of, plate_like
from omexp.overview import plate_overview
from omexp.segmentation import segment_nuclei

__all__ = ["DemoReport", "run_demo"]

MADE, BUILT, SEGMENTED, LABELLED, REWRITTEN, MEASURED, DRAWN = (
    "make the plate",
    "pyramids of images",
    "segment nuclei",
    "labels with pyramids",
    "cut and rewrite objects",
    "measure objects",
    "draw the plate",
)
_NUCLEAR = re.compile(r"dapi|hoechst|nucle|draq|h2b", re.IGNORECASE)
HERE = "where the container's arrays live"
OBJECT_MEAN = 16384  # of each rewritten object: a quarter of uint16, so that four times the mean still fits


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What `run_demo` made and what it cost. `label` is the name of the label; its tables are ``{label}_ROI`` and ``{label}_features``."""

    plate: Path
    objects_plate: Path
    overview: Path
    label: str
    segmented_in: str
    images: int
    objects: int
    steps: tuple[Step, ...]
    reader: str
    reader_reason: str
    seconds: float


def run_demo(
    output: str | Path,
    input: str | Path | None = None,
    *,
    device: DeviceLike = "cpu",
    plate: MadePlate | None = None,
    progress: Progress | None = None,
) -> DemoReport:
    """Carry out the main job on a plate.

    For every image: build the pyramid; segment nuclei in the channel named as a nuclear stain (else the first); write them as a label with
    its pyramid and a table of their boxes; cut out each nucleus, scale it to the same mean and write it into an image of a second
    plate, where only nuclei are; measure each nucleus in every channel into a feature table. At last draw the plate.

    Parameters
    ----------
    output
        A folder, made if need be. Three things in it are written, and replaced if they are there: ``demo-plate.zarr``,
        ``demo-objects.zarr`` and ``demo-overview.png``.
    input
        An OME-Zarr plate on a local disk. It is copied, never changed. None: a plate is made up.
    device
        Where pixels are worked on: "cpu", "cuda", "auto".
    plate
        The plate to make up where there is no input; None for 2 x 3 wells of 2 fields.
    progress
        Called with the step's name, how much is done, and how much there is in all.

    Raises
    ------
    DeviceUnavailableError
        CUDA was asked for and cannot be used; nothing is written.
    StoreNotFoundError, ArgumentError
        The input is no plate on a local disk, or lies where the output is to be written; nothing is written.

    Examples
    --------
    >>> from omexp.demo.plate import MadePlate
    >>> report = run_demo("demo", plate=MadePlate(rows=1, columns=1, fields=1, planes=2, size=96))
    >>> report.images, [step.name for step in report.steps][:3]
    (1, ['make the plate', 'pyramids of images', 'segment nuclei'])
    """
    start = time.perf_counter()
    backend = resolve_backend(device)
    folder = Path(output)
    target, objects_target, picture = folder / "demo-plate.zarr", folder / "demo-objects.zarr", folder / "demo-overview.png"
    if input is None:
        made = plate or MadePlate()
        ledger = Ledger(6 * len(made.images) + 3, progress)
        opened, images = _made(target, made, backend, ledger)
    else:
        ledger = Ledger(5 * len(images_of_input(Path(input), folder)) + 3, progress)
        opened, images = _copied(Path(input), target, device, ledger)
    with ledger.timed(MADE, "fields"):
        objects_plate = plate_like(opened, objects_target, images)

    # a label of an input keeps its pixels: the tables that refer to it would no longer fit
    label = "nuclei_omexp" if any("nuclei" in image.list_labels() for image in images.values()) else "nuclei"
    for path, image in images.items():
        _process(image, objects_plate.get_image_store(*path.split("/")), label, device, ledger)
    with ledger.timed(DRAWN, "pictures"):
        plate_overview(opened, label=label).save(picture, optimize=True)
        ledger.add(DRAWN, 1, 0, device="cpu", reason="")
    reader = next(iter(images.values())).get_image().reader
    return DemoReport(
        plate=target,
        objects_plate=objects_target,
        overview=picture,
        label=label,
        segmented_in=_told_channel(next(iter(images.values())).get_image()),
        images=len(images),
        objects=ledger.steps[SEGMENTED].count,
        steps=tuple(ledger.steps.values()),
        reader=reader.name,
        reader_reason=reader.reason,
        seconds=time.perf_counter() - start,
    )


# -------------------------------------------------------------------------------------------------------- plates
def _made(target: Path, made: MadePlate, backend: Backend, ledger: Ledger) -> tuple[OmeZarrPlate, dict[str, OmeZarrContainer]]:
    """The plate that is made up, each image written with its pyramid."""
    with ledger.timed(MADE, "fields"):
        plate = made.create(target, backend)
    images = {}
    for where in made.images:
        with ledger.timed(MADE, "fields"):
            pixels = made.pixels(where)
            ledger.add(MADE, 1, pixels.nbytes, device="cpu", reason=f"made up from seed {made.seed}")
        with ledger.timed(BUILT, "images"):
            image = images[path_of(where)] = made.write(plate, where, pixels, backend)
            stored = sum(_bytes(image.get_image(path)) for path in image.level_paths)
            ledger.add(BUILT, 1, stored, device=backend.name, reason="where the array lives")
    return plate, images


def _copied(source: Path, target: Path, device: DeviceLike, ledger: Ledger) -> tuple[OmeZarrPlate, dict[str, OmeZarrContainer]]:
    """The copy of a plate, each image's pyramid rebuilt."""
    with ledger.timed(MADE, "plates"):
        ledger.add(MADE, 1, copy_plate(source, target), device="cpu", reason=f"copied from {source}")
    plate = open_ome_zarr_plate(target, device=device)
    images = plate.get_images()
    for image in images.values():
        with ledger.timed(BUILT, "images"):
            built = image.get_image().consolidate(device=device)
            ledger.add(BUILT, 1, built.bytes_read + built.bytes_written, device=built.device, reason=built.reason)
    return plate, images


# -------------------------------------------------------------------------------------------------------- images
def _process(container: OmeZarrContainer, objects_store: Any, label_name: str, device: DeviceLike, ledger: Ledger) -> None:
    """All that is done with one image once its pyramid is there."""
    image = container.get_image()
    with ledger.timed(SEGMENTED, "objects"):
        stacks, found = _segmented(image)
        pixels = image.dtype.itemsize * sum(math.prod(ids.shape) for ids in stacks)
        ledger.add(SEGMENTED, found, pixels, device=container.device, reason=HERE)
    with ledger.timed(LABELLED, "labels"):
        label = container.derive_label(label_name, overwrite=True)
        for time_point, ids in enumerate(stacks):
            label.set_array(ids, axes_order="zyx", **_selected(label, t=time_point))
        built = label.consolidate("mode", device=device)
        container.add_table(f"{label_name}_ROI", container.build_masking_roi_table(label_name), overwrite=True)
        ledger.add(LABELLED, 1, _bytes(label) + built.bytes_read + built.bytes_written, device=built.device, reason=built.reason)
    with ledger.timed(REWRITTEN, "objects"):
        masked = container.get_masked_image(label_name, f"{label_name}_ROI")
        written = _rewritten(masked, _empty_like(container, image, objects_store))
        built = written.consolidate(device=device)
        # each pixel of the written image was cut out at most once, and written at most once
        ledger.add(REWRITTEN, found, 2 * _bytes(written) + built.bytes_written, device=container.device, reason=HERE)
    with ledger.timed(MEASURED, "objects"):
        table = measure(label, image, device=label.backend)
        container.add_table(f"{label_name}_features", table, overwrite=True)
        ledger.add(MEASURED, len(table.dataframe), _bytes(label) + _bytes(image), device=container.device, reason=HERE)


def nuclear_channel(image: Image) -> int:
    """The index of the first channel whose name is a nuclear stain's; 0 if there is none."""
    return next((i for i, name in enumerate(image.channel_labels) if _NUCLEAR.search(name)), 0)


def _told_channel(image: Image) -> str:
    name = image.channel_labels[nuclear_channel(image)]
    return name if _NUCLEAR.search(name) else f"{name} (no channel is named as a nuclear stain: objects are its bright bodies)"


def _segmented(image: Image) -> tuple[list[Array], int]:
    """One (z, y, x) array of labels per time point, ids unique over time; and the number of objects."""
    stacks: list[Array] = []
    found = 0
    for time_point in range(image.dimensions.get("t", 1) or 1):
        pixels = image.get_array(axes_order="zyx", **_selected(image, t=time_point, c=nuclear_channel(image)))
        xp = backend_of(pixels).xp
        ids = segment_nuclei(pixels)
        stacks.append(xp.where(ids > 0, ids + found, ids))
        found += int(to_host(xp.max(ids)))
    return stacks, found


def _empty_like(container: OmeZarrContainer, image: Image, store: Any) -> Image:
    """The finest level of a new image of one uint16 channel on the same grid."""
    at = image.meta.multiscale.axes.index("c")
    shape = tuple(1 if i == at else n for i, n in enumerate(image.shape))
    return container.derive_image(
        store, shape=shape, dtype="uint16", channel_labels=[f"{image.channel_labels[nuclear_channel(image)]}, equal means"], overwrite=True
    ).get_image()


def _rewritten(source: MaskedImage, target: Image) -> Image:
    """The target, with each object of the source's nuclear channel in it, scaled to `OBJECT_MEAN`."""
    objects = MaskedImage(target.group, target.meta, target.path, target.backend, mask=source.masking_label, objects=source.objects)
    for number in source.labels():
        pixels = source.get_roi_masked(label=number, **_selected(source, c=nuclear_channel(source)))
        backend = backend_of(pixels)
        xp = backend.xp
        values = xp.astype(pixels, backend.dtype("float32"))
        inside = xp.sum(xp.astype(pixels != 0, values.dtype))  # a pixel of value 0 inside an object counts as outside
        scaled = values * (OBJECT_MEAN * inside / xp.maximum(xp.sum(values), xp.ones_like(inside)))
        patch = xp.astype(xp.clip(xp.round(scaled), 0, 65535), backend.dtype("uint16"))
        objects.set_roi_masked(label=number, patch=patch, **_selected(target, c=0))
    return target


def _selected(level: Level, **indices: int) -> dict[str, Any]:
    """The indices along the axes that the level has."""
    return {axis: index for axis, index in indices.items() if level.has_axis(axis)}


def _bytes(level: Level) -> int:
    return math.prod(level.shape) * level.dtype.itemsize
