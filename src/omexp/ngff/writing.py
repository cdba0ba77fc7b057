"""Pyramids to stores. Knows: which levels are made and which are given, what must not be overwritten. Does not know: documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omexp.containers.blueprint import Blueprint
from omexp.containers.building import How, write_levels
from omexp.containers.create import version_beside
from omexp.errors import ArgumentError
from omexp.geometry import Shape, level_shape
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.versions import DEFAULT_VERSION, writable_version
from omexp.ngff.arrays import is_dask, reader_of
from omexp.ngff.model import Multiscales, NgffImage, Step
from omexp.ngff.reading import with_options
from omexp.ngff.records import image_meta_of
from omexp.progress import shown
from omexp.pyramid import Built
from omexp.reduced import ReducedReader
from omexp.storage.arrays import place_shown
from omexp.storage.layout import Layout, plan_layout
from omexp.storage.locating import StoreLike
from omexp.storage.origins import reads_from
from omexp.storage.reading import HostReader, Reader

__all__ = ["to_ngff_zarr"]

_OVERWRITE: dict[Any, bool | str] = {True: "keep", "all": True, False: False}
_REFUSED = {
    "chunk_store": "Chunks and metadata share one store; pass it as store.",
    "metadata_only": "Create the arrays with create_empty_ome_zarr and fill them with set_array.",
    "start_level": "Write the whole pyramid, or rebuild the coarser levels of a stored image with consolidate.",
    "chunks": "Pass chunks to to_multiscales.",
    "shards": "Pass chunks_per_shard.",
    "filters": "Pass compressors.",
    "serializer": "Pass compressors.",
}


def to_ngff_zarr(
    store: StoreLike,
    multiscales: Multiscales,
    version: str | None = None,
    overwrite: bool | str = True,
    use_tensorstore: bool = False,
    chunk_store: None = None,
    progress: Callable[[int, int], None] | bool | None = None,
    chunks_per_shard: int | tuple[int, ...] | Mapping[str, int] | None = None,
    compressors: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    consolidate_metadata: bool = True,
    workers: int | None = None,
    max_memory: int | None = None,
    resume: bool = False,
    **others: Any,
) -> Built | None:
    """Write a pyramid. Level 0 is read once; the levels that `to_multiscales` made are made on the way, in bounded memory.

    Parameters
    ----------
    store
        A path, URL, dict, zarr store or group.
    multiscales
        The pyramid; it is not changed. Levels whose data was replaced are written as they are, the others from what is written. The
        `computed_callbacks` of its images are called at the end.
    version
        OME-Zarr version: "0.5" (Zarr format 3) or "0.4" (Zarr format 2). Default: that of the well that the image joins, else "0.5".
    overwrite
        True: an image that is there is replaced; its labels, tables and what else lies in its group stay. "all": everything that is
        there is replaced. False: refuse. What was there stays until the new image is complete.
    use_tensorstore
        Encode and store chunks by TensorStore (the package `tensorstore` must be installed).
    chunk_store
        Must be None.
    progress
        Called with the bytes of the given levels that are done, and all of them; True: a bar, that of `omexp.progress_bar`.
    chunks_per_shard
        One int for all dims, one per dim, or dim -> int (1 where not named); OME-Zarr 0.5. A shard reaches at most over the whole axis.
    compressors
        "auto" (Blosc lz4 with bitshuffle), None, a name ("zstd:3"), a codec of numcodecs or zarr, or a list. `compressor` is the same.
    storage_options
        Passed on to fsspec with a URL.
    consolidate_metadata
        Put a copy of the arrays' documents into the group's.
    workers, max_memory, resume
        Threads; bytes of pixels in flight; go on with what a broken run of the same call left.

    Returns
    -------
    Built
        What was read and written, where, and why there.

    Raises
    ------
    ArgumentError
        The images read from `store`; metadata that breaks the specification; levels that do not fit it; an option that there is not.
    AlreadyExistsError
        Something is there and `overwrite` is False, or it is no Zarr.
    DTypeError
        A dtype that cannot be stored.

    Examples
    --------
    >>> import numpy, omexp.ngff as nz
    >>> multiscales = nz.to_multiscales(numpy.zeros((64, 64), "uint8"), [2, 4])
    >>> built = to_ngff_zarr("a.ome.zarr", multiscales)
    >>> [image.data.shape for image in nz.from_ngff_zarr("a.ome.zarr").images]
    [(64, 64), (32, 32), (16, 16)]
    """
    compressors = _compressors(compressors, others, chunk_store)
    if not isinstance(multiscales, Multiscales):
        of_peer = type(multiscales).__module__.startswith("ngff_zarr")
        hint = (
            "It is ngff_zarr's: make one with omexp.to_multiscales(multiscales.images[0])." if of_peer else "Make one with to_multiscales."
        )
        raise ArgumentError("this is no pyramid", where="multiscales", got=type(multiscales).__name__, hint=hint)
    if not isinstance(overwrite, bool | str) or overwrite not in _OVERWRITE:
        raise ArgumentError("overwrite is not understood", where="overwrite", got=repr(overwrite), allowed="True, False, 'all'")
    target = with_options(store, storage_options)
    for image in multiscales.images:
        if (read := reads_from(image.data, target)) is not None:
            raise ArgumentError(
                "the images read from the store that is to be written",
                where=place_shown(read),
                hint="Write to another place, or load the pixels first (image.data = image.data.compute()).",
            )
    sources, factors = _sources(multiscales)
    tag = version_beside(target, {} if version is None else {"ngff_version": version}).get("ngff_version", DEFAULT_VERSION)
    blueprint = _blueprint(multiscales, sources, factors, tag, chunks_per_shard, compressors)
    with shown(progress, str(store)) as show:
        how = How(
            method=Methods.MEAN if multiscales.method is None else resolve_method(multiscales.method),
            workers=workers,
            max_memory=max_memory,
            progress=show,
            resume=resume,
            engine="tensorstore" if use_tensorstore else "auto",
            attributes=multiscales.root_attributes,
            consolidated=consolidate_metadata,
        )
        built = write_levels(target, blueprint, sources, overwrite=_OVERWRITE[overwrite], how=how)
    for callback in [callback for image in multiscales.images for callback in image.computed_callbacks]:
        callback()
    return built


def _compressors(compressors: Any, others: dict[str, Any], chunk_store: Any) -> Any:
    """The codec that is meant; other keywords are refused, saying what to use instead."""
    if "compressor" in others:
        if not isinstance(compressors, str) or compressors != "auto":
            raise ArgumentError("compressor and compressors are the same thing", where="to_ngff_zarr", got="both", hint="Pass one of them.")
        compressors = others.pop("compressor")
    if others.pop("scale_strategy", "exact") not in ("exact", "pad"):
        raise ArgumentError("scale_strategy is not understood", where="to_ngff_zarr", allowed="'exact'; levels always fit their metadata")
    others = {k: v for k, v in others.items() if v or k not in ("metadata_only", "start_level")}  # False and 0 are their defaults
    others |= {} if chunk_store is None else {"chunk_store": chunk_store}
    if others:
        hint = " ".join(_REFUSED[name] for name in others if name in _REFUSED)
        raise ArgumentError("there is no such option", where="to_ngff_zarr", got=", ".join(others), hint=hint or None)
    return compressors


def _sources(multiscales: Multiscales) -> tuple[list[Reader | None], list[Shape]]:
    """Where each level's pixels come from (None: made from the level before it by the window of that place)."""
    images, made = multiscales.images, multiscales.generated_data_keys or {}
    sources: list[Reader | None] = [reader_of(images[0].data)] if images else []
    factors: list[Shape] = []
    for k, image in enumerate(images[1:], 1):
        step = made.get(getattr(image.data, "name", ""))
        factors.append((1,) * len(image.data.shape))
        if step is None or not _fits(step, k, images):
            sources.append(reader_of(image.data))
        elif step.parent == k - 1:
            factors[-1] = step.factors
            sources.append(None)
        else:  # from the original, whose data may have been replaced since
            sources.append(ReducedReader(reader_of(images[0].data), tuple(image.data.shape), step.factors, multiscales.method or "mean"))
    return sources, factors


def _fits(step: Step, k: int, images: list[NgffImage]) -> bool:
    """Whether the level still stands where it was made, over one of the shape that it was made from."""
    return step.level == k and level_shape(images[step.parent].data.shape, step.factors) == tuple(images[k].data.shape)


def _blueprint(
    multiscales: Multiscales, sources: list[Reader | None], factors: list[Shape], version: str, chunks_per_shard: Any, compressors: Any
) -> Blueprint:
    images, metadata = multiscales.images, multiscales.metadata
    if not images or len(images) != len(metadata.datasets):
        raise ArgumentError(
            "the metadata must name one dataset per image",
            where="multiscales",
            got=f"{len(images)} images, {len(metadata.datasets)} datasets",
        )
    meta = image_meta_of(metadata, images[0], writable_version(version).tag)
    layouts: list[Layout] = []
    for image, source in zip(images, sources, strict=True):
        dtype = layouts[0].dtype if source is None else source.dtype
        if tuple(image.dims) != meta.axes or (layouts and dtype != layouts[0].dtype):
            raise ArgumentError(
                "the levels of an image have the same dims and dtype, those of its metadata",
                where="multiscales",
                got=f"{', '.join(image.dims)}, {dtype}",
                allowed=f"{', '.join(meta.axes)}{f', {layouts[0].dtype}' if layouts else ''}",
            )
        layouts.append(
            plan_layout(
                image.data.shape,
                dtype,
                meta.axes,
                zarr_format=writable_version(version).zarr_format,
                chunks=_chunks(multiscales, image.data),
                chunks_per_shard=chunks_per_shard,
                compressors=compressors,
            )
        )
    return Blueprint(meta, tuple(layouts), tuple(factors))


def _chunks(multiscales: Multiscales, data: Any) -> Any:
    """The pyramid's chunks; those of a dask array where the pyramid has none, or where the array was put in its place."""
    reader = getattr(data, "_omexp_source", None)
    if multiscales.chunks and (reader is not None or not is_dask(data)):
        return dict(multiscales.chunks)
    return data.chunksize if is_dask(data) and (reader is None or isinstance(reader, HostReader)) else "auto"
