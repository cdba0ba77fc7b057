"""Making new images. Knows: the two public creators. Does not know: how blueprints are planned and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from omexp.backend import DeviceLike, resolve_backend
from omexp.containers.blueprint import ImageOptions, plan_image
from omexp.containers.building import How, write_image
from omexp.containers.container import OmeZarrContainer, open_ome_zarr_container
from omexp.errors import ArgumentError
from omexp.kernels.methods import resolve_method
from omexp.metadata.versions import kind_of, version_of
from omexp.pyramid import Progress
from omexp.storage.groups import parent_of
from omexp.storage.locating import StoreLike
from omexp.storage.sources import source_of

__all__ = ["create_empty_ome_zarr", "create_ome_zarr_from_array", "version_beside"]

PERCENTILES = (0.1, 99.9)


def _rising(percentiles: Any) -> bool:
    try:
        low, high = percentiles
        return bool(0 <= low < high <= 100)
    except (TypeError, ValueError):
        return False


def create_empty_ome_zarr(
    store: StoreLike, shape: Sequence[int], *, overwrite: bool = False, device: DeviceLike = None, **options: Unpack[ImageOptions]
) -> OmeZarrContainer:
    """Create an image without pixels: every pixel is 0, and no chunk is stored.

    Parameters
    ----------
    store
        A path, URL, fsspec mapper, dict, zarr store or group; must be free unless `overwrite`.
    shape
        2 to 5 sizes.
    overwrite
        Replace what is there; it stays until the new image is complete.
    device
        Where the container's arrays live; None is the default device.
    **options
        See `omexp.containers.blueprint.ImageOptions`: `xy_pixelsize` (or `pixelsize`, required), `z_spacing`, `time_spacing`, `levels`,
        `scaling_factors`, `axes_names`, `space_unit`, `time_unit`, `channel_labels`, `channel_wavelengths`, `channel_colors`,
        `name`, `dtype`, `chunks`, `shards`, `compressors`, `dimension_separator`, `ngff_version`.

    Raises
    ------
    ArgumentError, DTypeError
        An option that cannot be written; nothing is on disk.
    AlreadyExistsError
        Something is there and `overwrite` is False.

    Examples
    --------
    >>> import omexp
    >>> container = omexp.create_empty_ome_zarr("empty.zarr", shape=(16, 128, 128), xy_pixelsize=0.65, z_spacing=1.0, overwrite=True)
    >>> container.levels
    5
    """
    resolve_backend(device)
    write_image(store, plan_image(shape, version_beside(store, options)), overwrite=overwrite)
    return open_ome_zarr_container(store, device=device)


def create_ome_zarr_from_array(
    store: StoreLike,
    array: Any,
    *,
    method: str = "mean",
    percentiles: tuple[float, float] | None = PERCENTILES,
    workers: int | None = None,
    max_memory: int | None = None,
    progress: Progress | None = None,
    resume: bool = False,
    use_tensorstore: bool = False,
    overwrite: bool = False,
    device: DeviceLike = None,
    **options: Unpack[ImageOptions],
) -> OmeZarrContainer:
    """Write an array as an image with its pyramid, in one pass: each pixel is read once, each write unit is written once.

    Parameters
    ----------
    store, overwrite, device, **options
        As in `create_empty_ome_zarr`; the dtype is the array's.
    array
        NumPy, CuPy, another array-API array, a memory map, a dask or zarr array, or `omexp.Planes`. It is reduced where it lives.
    method
        How levels are made: a method of `omexp.downsample`, by any of its names (`omexp.Methods`).
    percentiles
        The display window of each channel, of the pixels of the coarsest level that are not 0 (of its middle, where it has more than
        4 million pixels); None: the dtype's whole range.
    workers
        Threads; None for all CPUs.
    max_memory
        Bytes of pixels in flight beyond the array itself, projected before anything is read; None: 256 MiB, or 64 MiB for each worker.
    progress
        Called with (bytes done, bytes in all) of the array each time some are done; see `omexp.progress_bar`.
    resume
        Go on with what an earlier call for the same image and array left when it was killed (local disks): finished tiles are not written
        again. A call with ``resume=True`` that breaks off itself leaves its work to be gone on with; other calls clean up.
    use_tensorstore
        Encode and store through TensorStore (local folders; the package must be installed).

    Raises
    ------
    ArgumentError, DTypeError, AlreadyExistsError
        As `create_empty_ome_zarr`; nothing is on disk.

    Examples
    --------
    >>> import numpy, omexp
    >>> x = numpy.random.default_rng(0).integers(0, 255, (16, 128, 128), dtype="uint8")
    >>> container = omexp.create_ome_zarr_from_array("random.zarr", x, xy_pixelsize=0.65, z_spacing=1.0, overwrite=True)
    >>> container.get_image(path="1").shape
    (16, 64, 64)
    """
    resolve_backend(device)
    source = source_of(array)
    if "dtype" in options:
        raise ArgumentError(
            "the dtype is the array's", where="create_ome_zarr_from_array", got=f"dtype={options['dtype']!r}", hint="Convert the array."
        )
    if percentiles is not None and not _rising(percentiles):
        raise ArgumentError(
            "percentiles must be two rising numbers from 0 to 100",
            where="create_ome_zarr_from_array",
            got=repr(percentiles),
            allowed="such as (0.1, 99.9), or None",
        )
    how = How(
        method=resolve_method(method),
        percentiles=percentiles,
        workers=workers,
        max_memory=max_memory,
        progress=progress,
        resume=resume,
        engine="tensorstore" if use_tensorstore else "auto",
    )
    blueprint = plan_image(source.shape, {**version_beside(store, options), "dtype": source.dtype})
    write_image(store, blueprint, overwrite=overwrite, source=source, how=how)
    return open_ome_zarr_container(store, device=device)


def version_beside(store: StoreLike, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the version of the well that the image joins: one hierarchy has one version (specification, MUST)."""
    above = parent_of(store)
    document = {} if above is None else above.attributes
    if above is None or kind_of(document) != "well":
        return dict(options)
    version = version_of(document, above.zarr_format, above.where).tag
    if options.get("ngff_version", version) != version:
        raise ArgumentError(
            "the image would have another version than its well", where=above.where, got=options["ngff_version"], allowed=version
        )
    return {**options, "ngff_version": version}
