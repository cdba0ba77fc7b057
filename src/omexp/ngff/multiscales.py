"""Pyramids in memory. Knows: levels made on demand, their metadata. Does not know: files."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape, ceil_div
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.axes import CANONICAL
from omexp.metadata.transforms import ScaleTranslation
from omexp.ngff.arrays import held, is_dask, reader_of
from omexp.ngff.images import to_ngff_image
from omexp.ngff.ladders import absolute_factors, default_chunks, halvings, level_shapes, require_chunks, steps_of
from omexp.ngff.model import LPS, RAS, AnatomicalOrientation, Dataset, Metadata, Multiscales, NgffImage, Step
from omexp.ngff.records import axes_of, transforms_of
from omexp.reduced import PermutedReader, ReducedReader
from omexp.storage.reading import Reader

__all__ = ["to_multiscales"]

RECHUNKED = 20_000  # chunks of a dask array of the caller's; dask takes 2 to 8 s to plan the rechunking of 100,000


def to_multiscales(
    data: Any,
    scale_factors: int | Sequence[int | Mapping[str, int]] = 128,
    method: Methods | str | None = None,
    chunks: int | Sequence[int] | Mapping[str, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: bool | None = None,
    orientation: str | Mapping[str, Any] | None = None,
    axis_order: str = "canonical",
) -> Multiscales:
    """An image as a pyramid. Nothing is computed: levels are made when they are read or written.

    Parameters
    ----------
    data
        An `NgffImage` (also ngff-zarr's), which is not changed, or anything that `to_ngff_image` takes.
    scale_factors
        A list with one entry per coarser level: an int for all spatial dims, or dim -> int (1 for dims that it leaves out), *relative to
        the original*: ``[2, 4, 8]``. A level is made from the one before it where that is a whole step, else from the original. Or one
        int: halve the larger spatial dims until they are near a chunk, while a level has twice so many pixels.
    method
        A member of `Methods` or its name; default ITKWASM_GAUSSIAN.
    chunks
        Of all levels: one int for the spatial dims, one per dim in the image's order, or dim -> int. Default: 128 along spatial dims with
        z, else 256; 1 along t; all of c, up to 16 MiB. The array's own tiles where they are larger.
    progress
        Accepted for ngff-zarr's scripts; there is no work to report before levels are read. Pass it to `to_ngff_zarr`.
    cache
        Accepted for ngff-zarr's scripts. Nothing is ever cached on disk.
    orientation
        "LPS", "RAS" or dim -> orientation such as "right-to-left".
    axis_order
        "canonical": axes are brought to the order t, c, z, y, x (lazily), which stores need. "preserve": left as they are.

    Returns
    -------
    Multiscales
        Level shapes are ``ceil(n / factor)``; `scale` and `translation` say where the pixels of each level are. An axis of one pixel is not
        reduced any further. Levels of libraries that dask cannot hold are computed at once, on their device.

    Raises
    ------
    ArgumentError, DTypeError
        As `to_ngff_image`; scale factors, chunks, a method or an orientation that there is not.

    Examples
    --------
    >>> import numpy
    >>> multiscales = to_multiscales(numpy.zeros((5, 7), "uint8"), [2, 4], method="mean")
    >>> [(image.data.shape, image.translation["x"]) for image in multiscales.images]
    [((5, 7), 0.0), ((3, 4), 0.5), ((2, 2), 1.5)]
    """
    chosen = Methods.ITKWASM_GAUSSIAN if method is None else resolve_method(method)
    image = _checked(data)
    image.axes_orientations = _orientations(orientation, image)
    if axis_order not in ("canonical", "preserve"):
        raise ArgumentError("axis_order is not understood", where="axis_order", got=repr(axis_order), allowed="'canonical', 'preserve'")
    given = list(image.dims)
    tiles = image.data.chunks if is_dask(image.data) else None
    reader = reader_of(image.data)
    sizes = require_chunks(chunks, given, default_chunks(given, reader.shape, tiles, reader.dtype.itemsize))
    order = sorted(range(len(given)), key=lambda i: CANONICAL.index(given[i]) if axis_order == "canonical" else i)
    if order != list(range(len(order))):
        reader = PermutedReader(reader, order)
    image.dims, shape = [given[i] for i in order], tuple(reader.shape)
    dims = list(image.dims)
    sizes = {dim: sizes[dim] for dim in dims}
    image.data = _finest(image.data, reader, order, _clipped(tuple(sizes.values()), shape))
    if isinstance(scale_factors, Integral) and not isinstance(scale_factors, bool):
        if scale_factors < 1:
            raise ArgumentError("scale_factors must be positive", where="scale_factors", got=scale_factors, allowed="at least 1")
        scale_factors = halvings(dims, shape, sizes, int(scale_factors))
    steps = steps_of(shape, absolute_factors(scale_factors, dims))
    images = _levels(image, reader, steps, chosen, tuple(sizes.values()))
    transforms = _transforms(image, steps)
    for level, transform in zip(images, transforms, strict=True):
        level.scale = {dim: s for dim, s in zip(dims, transform.scale, strict=True) if dim in image.scale}
        level.translation = {dim: t for dim, t in zip(dims, transform.translation, strict=True) if dim in image.translation}
    where = image.name.replace("/", "_")
    datasets = [Dataset(f"scale{k}/{where}", transforms_of(transform)) for k, transform in enumerate(transforms)]
    how = {"description": chosen.description, "method": "omexp.downsample"}
    metadata = Metadata(axes_of(image), datasets, name=image.name, type=chosen.value, metadata=how)
    made = {level.data.name: step for level, step in zip(images[1:], steps, strict=True) if is_dask(level.data)}
    return Multiscales(images, metadata, scale_factors, chosen, sizes, made)


def _checked(data: Any) -> NgffImage:
    """A copy of the image, or the image of an array, with everything about it checked."""
    if not all(hasattr(data, name) for name in ("data", "dims", "scale", "translation", "axes_units")):  # ngff-zarr's have them, too
        return to_ngff_image(data)
    more = [getattr(data, name, None) for name in ("axes_units", "channel_names", "channel_colors")]
    image = to_ngff_image(data.data, data.dims, data.scale, data.translation, data.name, *more)
    orientations, callbacks = (getattr(data, name, None) for name in ("axes_orientations", "computed_callbacks"))
    return replace(image, axes_orientations=orientations, computed_callbacks=list(callbacks or ()))


def _orientations(orientation: Any, image: NgffImage) -> dict[str, AnatomicalOrientation] | None:
    named = {"LPS": LPS, "RAS": RAS}.get(orientation) if isinstance(orientation, str) else orientation
    if orientation is not None and not isinstance(named, Mapping):
        raise ArgumentError(
            "orientation is not understood", where="orientation", got=repr(orientation), allowed="'LPS', 'RAS', dim -> text"
        )
    given = image.axes_orientations if named is None else {dim: value for dim, value in named.items() if dim in image.dims}
    return {dim: _orientation(value) for dim, value in given.items()} if given else None


def _orientation(value: Any) -> AnatomicalOrientation:
    """An orientation, or text or a member of an enum (ngff-zarr's) as one."""
    return AnatomicalOrientation(getattr(value, "value", value))


def _finest(data: Any, reader: Reader, order: Sequence[int], chunks: Shape) -> Any:
    """The finest level with its axes in order and the pyramid's chunks; a dask array of the caller's stays what it is."""
    in_order = list(order) == list(range(len(order)))
    if not is_dask(data):
        return data if in_order else reader.read(Region.whole(reader.shape))
    if getattr(data, "_omexp_source", None) is not None:
        return data if in_order and data.chunksize == chunks else held(reader, chunks, "array")
    arranged = data if in_order else data.transpose(order)
    if max(data.npartitions, math.prod(map(ceil_div, reader.shape, chunks))) <= RECHUNKED:
        arranged = arranged.rechunk(chunks)
    arranged = copy.copy(arranged)  # the caller's own object is not marked
    arranged._omexp_source = reader  # writers read the caller's array, not the tasks that cut it anew
    return arranged


def _levels(image: NgffImage, reader: Reader, steps: Sequence[Step], method: Methods, chunks: Shape) -> list[NgffImage]:
    """The images of all levels, their scales still those of the finest."""
    readers: list[Any] = [reader]
    shapes = level_shapes(tuple(reader.shape), steps)
    images = [image]
    for step, shape in zip(steps, shapes[1:], strict=True):
        coarser = ReducedReader(readers[step.parent], shape, step.factors, method)
        data = held(coarser, _clipped(chunks, shape), method.kernel)
        # where dask cannot hold the level it was computed: the next one is made from its pixels
        readers.append(coarser if is_dask(data) else reader_of(data))
        images.append(_like(image, data))
    return images


def _clipped(chunks: Shape, shape: Shape) -> Shape:
    return tuple(max(1, min(c, n)) for c, n in zip(chunks, shape, strict=True))


def _like(image: NgffImage, data: Any) -> NgffImage:
    """A level of an image: everything but the pixels is a copy."""
    copied = copy.deepcopy(replace(image, data=None, computed_callbacks=[]))
    return replace(copied, data=data)


def _transforms(image: NgffImage, steps: Sequence[Step]) -> list[ScaleTranslation]:
    """Where the pixels of each level are, by the steps that make it."""
    scale = tuple(image.scale.get(dim, 1.0) for dim in image.dims)
    transforms = [ScaleTranslation(scale, tuple(image.translation.get(dim, 0.0) for dim in image.dims))]
    for step in steps:
        transforms.append(transforms[step.parent].reduced(step.factors))
    return transforms
