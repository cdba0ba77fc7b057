"""Measuring objects. Knows: which label and image levels fit, what a feature table is. Does not know: how statistics are made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from omexp.backend import Backend, DeviceLike, resolve_backend
from omexp.containers.features.channels import ChannelsTogether
from omexp.containers.features.functions import ObjectFunction, function_columns
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.tables import FeatureTable
from omexp.errors import ArgumentError, SelectionError
from omexp.geometry import Region, Shape, ceil_div, grow_block
from omexp.kernels.asked import asked_features
from omexp.kernels.neighbours import HALO, PATTERNS
from omexp.kernels.seams import seam_blocks
from omexp.measuring import Progress, measure_objects
from omexp.pyramid.walk import require_limits
from omexp.storage.reading import FixedAxesReader, Reader, choose_reader, default_workers, worker_reader

__all__ = ["WORK_BYTES", "measure"]

_BLOCK_PIXELS = 1 << 20  # 12 features of 10,000 objects, 4 channels of 4096 x 4096: 0.60 CPU s; 0.70 at 2**22, 0.91 at 2**24
WORK_BYTES = 24  # per pixel of a block, beside the pixels of label and channel twice: runs, masks, widened pixels; tested


def measure(
    label: Label,
    image: Image | None = None,
    features: Sequence[str] | None = None,
    *,
    channels: str | int | Iterable[str | int] | None = None,
    percentiles: Sequence[float] = (),
    functions: Mapping[str, ObjectFunction] | None = None,
    spacing: str | Sequence[float] | None = None,
    workers: int | None = None,
    device: DeviceLike = "auto",
    progress: Progress | None = None,
    max_memory: int | None = None,
) -> FeatureTable:
    """Per-object features of a label, and of an image over it, block by block, in bounded memory.

    Parameters
    ----------
    label
        One level of a label.
    image
        One level of an image on the same grid (all axes but c are equal), or None for shapes only.
    features
        Names of scikit-image's `regionprops_table`, which also names the columns and defines the values; docs/features.md lists them. Axes
        of size 1, but for y and x, do not count: a label of one plane is measured in 2-D. None: the columns below.
    channels
        Labels or numbers of the channels to measure; None: all. Columns keep the channel's own label or number.
    percentiles
        From 0 to 100, exact, for each channel: ``intensity_percentile_25-0``; without `features` ``percentile_25_DAPI``.
    functions
        Name -> ``function(mask, pixels)`` of your own: a bool array over the object's bounding box (without axes of size 1) and its pixels
        with the channels last, None without an image, on the device of the work. It gives a number, or a mapping of names to numbers
        (columns ``name_key``), and is called from several threads.
    spacing
        Size of a pixel along each axis that counts, for `features`; "physical" for that of the label. None: 1, so that lengths and
        areas are in pixels.
    workers
        Threads; None for all CPUs. The table is the same.
    device
        Where the work runs: "auto" is the label's own device, so that nothing crosses the bus for it.
    progress
        Called with (bytes done, bytes in all).
    max_memory
        Bytes of the blocks in hand, projected before anything is read; fewer workers and smaller blocks keep it.

    Returns
    -------
    FeatureTable
        One row per object: `label`, and the features. Without `features`: `area` (pixels), `volume` (physical), `bbox_min_*`,
        `bbox_max_*`, `centroid_*` (pixels), and per channel `mean_*`, `std_*`, `min_*`, `max_*`, `sum_*`, named by channel label.

    Raises
    ------
    ArgumentError
        The label is an image, or the two are not on the same grid; a feature, channel, percentile or limit that cannot be.
    NameNotFoundError
        There is no such channel.
    DTypeError
        The label does not hold integers.

    Examples
    --------
    >>> import numpy, omexp
    >>> container = omexp.create_ome_zarr_from_array("m.zarr", numpy.full((32, 32), 7, "uint8"), xy_pixelsize=1, overwrite=True)
    >>> nuclei = container.derive_label("nuclei")
    >>> nuclei.set_array(numpy.pad(numpy.ones((4, 4), "uint32"), 14))
    >>> table = omexp.measure(nuclei, container.get_image())
    >>> float(table.dataframe.loc[1, "mean_channel_0"])
    7.0
    >>> table = omexp.measure(nuclei, container.get_image(), ["perimeter", "intensity_mean"], functions={"rows": lambda mask, _: len(mask)})
    >>> table.dataframe.loc[1].tolist()
    [12.0, 7.0, 4.0]
    """
    require_limits(workers, max_memory)
    numbers = _checked(label, image, channels)
    backend = label.backend if device == "auto" else resolve_backend(device)
    counted = _counted_axes(label)
    axes = label.axes if features is None else counted
    sizes = _spacing(label, axes, "physical" if features is None else spacing)
    names = features if features is None or isinstance(features, str) else list(features)
    hidden = ["bbox"] if functions and names is not None and "bbox" not in names else []
    asked = asked_features(names, percentiles, ndim=len(axes), spacing=sizes, has_image=image is not None)
    if label.dimensions.get("t", 1) != 1 and (features is not None or functions):
        raise ArgumentError(
            "features are those of one time point",
            where=label.where,
            got=f"label {label.dimensions}",
            hint="Leave out features and functions: the default columns take time as an axis like any other.",
        )
    readers = _Readers.of(label, image, numbers, backend, workers, max_memory, looks_around=bool(asked.needs & PATTERNS.keys()))
    flat = readers.over([label.axes.index(axis) for axis in counted])
    options: dict[str, Any] = {"spacing": sizes, "percentiles": asked.percentiles, "workers": readers.workers, "progress": progress}
    if names is None:
        images = {image.channel_labels[i]: readers.images[i] for i in numbers} if image is not None else {}
        columns = measure_objects(readers.label, images, readers.block, axes=axes, **options)
    else:
        images = {(str(i) if image is not None and image.has_axis("c") else ""): reader for i, reader in flat.images.items()}
        columns = measure_objects(flat.label, images, flat.block, axes=axes, features=[*names, *hidden], **options)
    if functions:
        columns = columns | _own(functions, flat, columns, counted if names is None else None)
    if hidden:
        columns = {name: column for name, column in columns.items() if not name.startswith("bbox-")}
    return FeatureTable(columns, reference_label=label.meta.name)


@dataclass(frozen=True, slots=True)
class _Readers:
    """A label and channels by number, over the same axes, and how they are gone through."""

    label: Reader
    images: dict[int, Reader]
    block: Shape
    workers: int

    @classmethod
    def of(
        cls,
        label: Label,
        image: Image | None,
        numbers: Sequence[int],
        backend: Backend,
        workers: int | None,
        max_memory: int | None,
        *,
        looks_around: bool,
    ) -> _Readers:
        threads = workers or default_workers()
        pixel_bytes = label.dtype.itemsize * 2 + WORK_BYTES
        chunks = label.chunks
        if image is not None:
            at = image.meta.multiscale.axes.index("c")
            together = 1 if at is None or len(numbers) == 1 else min(image.chunks[at], image.shape[at])
            pixel_bytes += image.dtype.itemsize * (1 + together)
            under = [n for i, n in enumerate(image.chunks) if i != at]
            chunks = tuple(n * max(1, ceil_div(m, n)) for n, m in zip(chunks, under, strict=True))  # whole chunks of both, or nearly
        chunks = seam_blocks(chunks, HALO) if looks_around else chunks
        block, threads = _blocks(label, chunks, pixel_bytes, threads, max_memory)
        choose = choose_reader if threads == 1 else worker_reader
        images: dict[int, Reader] = {}
        if image is not None:
            reader: Reader = choose(image.stored, backend)
            if at is not None and together > 1:
                reader = ChannelsTogether(reader, at, image.chunks[at])
            images = {i: reader if at is None else FixedAxesReader(reader, {at: i}) for i in numbers}
        return cls(choose(label.stored, backend), images, block, threads)

    def over(self, kept: Sequence[int]) -> _Readers:
        """The same without the axes of size 1 that are not kept."""
        dropped = {i: 0 for i in range(len(self.block)) if i not in kept}
        if not dropped:
            return self
        images: dict[int, Reader] = {i: FixedAxesReader(reader, dropped) for i, reader in self.images.items()}
        return _Readers(FixedAxesReader(self.label, dropped), images, tuple(self.block[i] for i in kept), self.workers)


def _checked(label: Label, image: Image | None, channels: Any) -> list[int]:
    """The numbers of the channels to measure, where label and image fit."""
    if not isinstance(label, Label):
        raise ArgumentError("this is no label", where="measure", got=type(label).__name__, hint="Take it from container.get_label(name).")
    if not isinstance(image, Image | None):
        raise ArgumentError("this is no image", where="measure", got=type(image).__name__, hint="Take it from container.get_image().")
    if image is None:
        if channels is not None:
            raise ArgumentError("channels need an image", where="channels", got=repr(channels), hint="Pass the image, too.")
        return []
    at = image.meta.multiscale.axes.index("c")
    rest = [i for i in range(len(image.axes)) if i != at]
    same_axes = tuple(image.axes[i] for i in rest) == label.axes
    if not same_axes or tuple(image.shape[i] for i in rest) != label.shape:
        raise ArgumentError(
            "label and image are not on the same grid",
            where=image.where,
            got=f"image {image.dimensions}; label {label.dimensions}",
            allowed="equal axes and sizes but for c",
            hint="Take levels of the same pixel size: get_label(name, pixel_size=image.pixel_size).",
        )
    if channels is None:
        return list(range(image.num_channels))
    chosen = channels if isinstance(channels, Iterable) and not isinstance(channels, str) else [channels]
    return list(dict.fromkeys(_number(image, channel) for channel in chosen))


def _number(image: Image, channel: Any) -> int:
    if isinstance(channel, str):
        return image.get_channel_idx(channel)
    if not isinstance(channel, Integral) or not 0 <= int(channel) < image.num_channels:
        raise SelectionError(
            "there is no such channel", where="channels", got=repr(channel), allowed=f"0 to {image.num_channels - 1}, or a label"
        )
    return int(channel)


def _counted_axes(label: Label) -> tuple[str, ...]:
    """All axes but those of size 1 that are not y and x."""
    plane = {label.meta.multiscale.axes.index(axis) for axis in "yx"}
    return tuple(axis for i, (axis, n) in enumerate(zip(label.axes, label.shape, strict=True)) if n != 1 or i in plane)


def _spacing(label: Label, axes: Sequence[str], spacing: str | Sequence[float] | None) -> tuple[float, ...]:
    if spacing is None:
        return (1.0,) * len(axes)
    if spacing == "physical":
        return tuple(label.pixel_size.get(axis) for axis in axes)
    numbers = tuple(spacing) if isinstance(spacing, Sequence) and not isinstance(spacing, str) else ()
    if len(numbers) != len(axes) or not all(isinstance(size, Real) and 0 < size < math.inf for size in numbers):
        raise ArgumentError(
            "spacing is not understood",
            where="spacing",
            got=repr(spacing),
            allowed=f"None, 'physical', or {len(axes)} positive numbers, for {', '.join(axes)}",
        )
    return tuple(float(size) for size in numbers)


def _blocks(label: Label, chunks: Shape, pixel_bytes: int, workers: int, max_memory: int | None) -> tuple[Shape, int]:
    """Blocks of whole chunks, and threads, that keep the budget: fewer threads before blocks of less than a chunk."""
    if max_memory is None:
        return grow_block(chunks, label.shape, _BLOCK_PIXELS), workers
    least = math.prod(min(n, size) for n, size in zip(chunks, label.shape, strict=True)) * pixel_bytes
    if least > max_memory:
        raise ArgumentError(
            "a block of one chunk takes more memory", where="max_memory", got=max_memory, allowed=f"at least {least} for {label.where}"
        )
    workers = min(workers, max_memory // max(least, 1))
    return grow_block(chunks, label.shape, min(_BLOCK_PIXELS, max_memory // (workers * pixel_bytes))), workers


def _own(
    functions: Mapping[str, ObjectFunction], readers: _Readers, columns: Mapping[str, Any], axes: Sequence[str] | None
) -> dict[str, list[Any]]:
    """The columns of the caller's functions; `axes`: those of the default columns."""
    n = len(readers.block)
    sides = [[f"bbox-{k + shift}" for k in range(n)] for shift in (0, n)]
    if axes is not None:
        sides = [[f"bbox_{side}_{axis}" for axis in axes] for side in ("min", "max")]
    starts, stops = (zip(*(columns[name].tolist() for name in side), strict=True) for side in sides)
    boxes = [Region(start, stop) for start, stop in zip(starts, stops, strict=True)]
    images = list(readers.images.values())
    own = function_columns(functions, readers.label, images, columns["label"].tolist(), boxes, readers.block, readers.workers)
    taken = sorted(own.keys() & columns.keys())
    if taken:
        raise ArgumentError("a function has the name of another column", where="functions", got=taken, hint="Name it otherwise.")
    return own
