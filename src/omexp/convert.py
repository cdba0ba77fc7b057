"""Anything to OME-Zarr. Knows: which importer reads a source, where its images go. Does not know: how they are read or written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from omexp.backend import DeviceLike, resolve_backend
from omexp.containers.blueprint import LayoutOptions, require_known
from omexp.containers.container import OmeZarrContainer, open_ome_zarr_container
from omexp.containers.create import create_ome_zarr_from_array
from omexp.containers.plates.plate import OmeZarrPlate, open_ome_zarr_plate
from omexp.errors import ArgumentError, NameNotFoundError, StoredDataError, StoreNotFoundError, warn_caller
from omexp.importers.arrays import from_memory, from_npy, from_npz, from_zarr_array
from omexp.importers.imported import Imported, OnDevice
from omexp.importers.ome_zarr import CopyOptions, SourceImage, copy_image, image_groups, open_image
from omexp.importers.pictures import from_picture
from omexp.importers.plates import SourcePlate, copy_plate, open_plate
from omexp.importers.tiff import opened_tiff
from omexp.importers.units import in_micrometers
from omexp.kernels.methods import Methods, resolve_method
from omexp.metadata.versions import DEFAULT_VERSION, kind_of, writable_version
from omexp.progress import shown
from omexp.pyramid import choose_backend
from omexp.storage.blobs import read_blob, write_blob
from omexp.storage.groups import Group, open_group
from omexp.storage.locating import StoreLike, location, place_name, require_apart
from omexp.storage.reading import Reader
from omexp.storage.standalone import find_array
from omexp.storage.swap import long_work, new_group
from omexp.world import PixelSize, is_positive

__all__ = ["convert"]

Progress = Callable[[int, int], None]
_OME_XML = "METADATA.ome.xml"
_FILES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".npz")  # what behind a URL is no Zarr
_MAGIC = {
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
    b"\x93NUM": "npy",
    b"\x89PNG": "picture",
    b"\xff\xd8\xff": "picture",  # JPEG
    b"BM": "picture",
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",  # an empty one
}


class ConvertOptions(LayoutOptions, total=False):
    """Those of `ImageOptions` that a source does not settle, or that shall win over it."""

    levels: int
    name: str
    channel_labels: Sequence[str]
    channel_wavelengths: Sequence[str]
    channel_colors: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Image:
    """One image to write: its name, its bytes, and the function that writes it to a place."""

    name: str
    nbytes: int
    write: Callable[[StoreLike, bool, Progress | None], None]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """The images of a source, and its OME-XML where it has one."""

    where: str
    images: list[_Image]
    ome_xml: bytes | None = None
    is_plate: bool = False


def convert(
    source: Any,
    target: StoreLike,
    *,
    series: int | str | None = None,
    axes_names: Sequence[str] | None = None,
    pixel_size: PixelSize | Mapping[str, float] | float | None = None,
    factors: Any = None,
    method: Methods | str | None = None,
    version: str = DEFAULT_VERSION,
    device: DeviceLike = "auto",
    workers: int | None = None,
    max_memory: int | None = None,
    progress: Progress | bool | None = None,
    resume: bool = False,
    use_tensorstore: bool = False,
    overwrite: bool = False,
    **options: Unpack[ConvertOptions],
) -> OmeZarrContainer | OmeZarrPlate | list[OmeZarrContainer]:
    """Write an image, a plate, or all images of a file, as OME-Zarr with pyramids, in one pass and in bounded memory.

    Parameters
    ----------
    source
        A TIFF or OME-TIFF (any series, read tile by tile), PNG, JPEG or BMP, .npy (mapped) or .npz, a Zarr array, an OME-Zarr image of
        any version that omexp reads (path, URL, zip file, store; labels and tables come along), a plate with all its fields, a
        bioformats2raw collection, or an array in memory (NumPy, CuPy, dask, zarr). A file is known by its first bytes, not by its name.
    target
        The new image (a name that ends in .ozx: one zip file). Several images become a bioformats2raw collection: ``target/0``,
        ``target/1``, ... in the order of the source.
    series
        One of several images, by number (from 0) or name; None: all.
    axes_names
        One letter of t, c, z, y, x (and s for samples such as red, green, blue) per axis of the source, in its order, for files that do
        not name them. Pixels are rearranged to t, c, z, y, x.
    pixel_size
        In place of the source's: a number for y and x, axis -> size, in micrometers (t: seconds), or a `PixelSize` in its own units.
    factors
        Per level: one int for y and x, one per axis, or axis -> int. None: 2 along y and x.
    method
        How levels are made. None: mean. The levels of an OME-Zarr source are copied as they are; with `factors`, `method` or `levels` they
        are made anew from the finest, by what is not told as the source says (labels: by their method, else nearest).
    version
        "0.4", "0.5" or "0.6".
    device
        Where levels are reduced: "auto" takes a GPU only where that is faster. The pixels are the same.
    workers, max_memory, use_tensorstore
        As in `create_ome_zarr_from_array`.
    resume
        Go on with what an earlier call that was killed left (local disks). For a plate, or one image that is no OME-Zarr.
    progress
        Called as ``progress(done_bytes, total_bytes)``; True: a bar, that of `omexp.progress_bar`.
    overwrite
        Replace what is there; it stays until the new image is complete.
    **options
        As in `create_ome_zarr_from_array`: `levels`, `name`, `channel_labels`, `channel_colors`, `channel_wavelengths`, and the layout:
        `chunks`, `shards`, `chunks_per_shard`, `compressors`, `fill_value`, `dimension_separator`. They win over what the source says.

    Returns
    -------
    OmeZarrContainer
        Or a list of them where the source has several images and none is picked; an `OmeZarrPlate` for a plate.

    Raises
    ------
    StoreNotFoundError, StoredDataError
        There is no such source, or it cannot be read.
    ArgumentError
        It is nothing that can be converted, or an option that cannot be written; nothing is on disk.
    DeviceUnavailableError
        A TIFF compression needs a package that is not installed; the message names it.
    AlreadyExistsError
        Something is at the target and `overwrite` is False.

    Warns
    -----
    OmexpWarning
        Names what the source holds and the result does not.

    Examples
    --------
    >>> import numpy, omexp
    >>> from omexp.convert import convert
    >>> numpy.save("cells.npy", numpy.ones((3, 64, 64), "uint8"))
    >>> convert("cells.npy", "cells.zarr", axes_names="cyx", pixel_size=0.65, overwrite=True).get_image().dimensions
    Dimensions(c: 3, y: 64, x: 64)
    """
    zarr_format = writable_version(version).zarr_format
    if device != "auto":
        resolve_backend(device)
    how = _How(
        None if axes_names is None else "".join(axes_names).lower(),
        _sizes(pixel_size),
        CopyOptions(
            version,
            _layout(factors, options),
            _sizes(pixel_size),
            None if method is None else resolve_method(method),
            device,
            workers,
            max_memory,
            use_tensorstore,
        ),
        resume,
    )
    with _opened(source, target, how) as found, shown(progress, str(target)) as progress:
        images = found.images if series is None else [_picked(found, series)]
        if len(images) == 1:
            _warn_left_out(found, images)
            images[0].write(target, overwrite, progress)
            opened = open_ome_zarr_plate if found.is_plate else open_ome_zarr_container
            return opened(target, device=None if device == "auto" else device)
        if not images:
            raise StoredDataError("the source holds no image", where=found.where)
        if resume:
            raise ArgumentError(
                "only one image can be gone on with", where="resume", got=f"{len(images)} images", hint="Pick one with series."
            )
        if found.ome_xml is None:
            _warn_left_out(found, images)
        with new_group(target, zarr_format=zarr_format, overwrite=overwrite) as group:
            _write_collection(group, images, version, found.ome_xml, progress)
    place = location(target)
    return [open_ome_zarr_container(place / str(i), device=None if device == "auto" else device) for i in range(len(images))]


@dataclass(frozen=True, slots=True)
class _How:
    axes: str | None
    pixel_size: Mapping[str, float]
    copy: CopyOptions
    resume: bool


def _layout(factors: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    require_known(options, ConvertOptions, "convert")
    found = dict(options)
    if factors is not None:
        found["scaling_factors"] = {"y": factors, "x": factors} if isinstance(factors, int) else factors
    return found


def _sizes(pixel_size: Any) -> dict[str, float]:
    """Axis -> size of what the caller says."""
    if pixel_size is None:
        return {}
    if isinstance(pixel_size, PixelSize):
        return in_micrometers(pixel_size)
    found = dict(pixel_size) if isinstance(pixel_size, Mapping) else {"y": pixel_size, "x": pixel_size}
    if not set(found) <= set("tzyx") or not all(is_positive(size) and not isinstance(size, bool) for size in found.values()):
        raise ArgumentError(
            "pixel_size is not understood",
            where="pixel_size",
            got=repr(pixel_size),
            allowed="a positive number for y and x, a PixelSize, or t, z, y, x -> positive number",
        )
    return {axis: float(size) for axis, size in found.items()}


def _picked(found: _Source, series: int | str) -> _Image:
    names = [image.name for image in found.images]
    if isinstance(series, int) and not isinstance(series, bool) and 0 <= series < len(names):
        return found.images[series]
    if series in names:
        return found.images[names.index(str(series))]
    allowed = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
    raise NameNotFoundError("there is no such series", where=found.where, got=repr(series), allowed=allowed)


def _warn_left_out(found: _Source, images: Sequence[_Image]) -> None:
    left_out = dict.fromkeys(name for image in images for name in image.left_out)
    if left_out:
        warn_caller(f"{found.where}: not carried over: {', '.join(left_out)}")


def _write_collection(group: Group, images: Sequence[_Image], version: str, ome_xml: bytes | None, progress: Progress | None) -> None:
    """All images below a group, then the group's documents (0.5: bioformats2raw.layout)."""
    total, before = sum(image.nbytes for image in images), 0
    for i, image in enumerate(images):
        image.write(group.place(str(i)), False, progress and _later(progress, before, total))
        before += image.nbytes
    about = group.require_group("OME")
    if ome_xml is not None:
        write_blob(about, _OME_XML, ome_xml)
    put = writable_version(version).with_sections
    about.put_attributes(put({}, {"series": [str(i) for i in range(len(images))]}))
    group.put_attributes(put({}, {"bioformats2raw.layout": 3}))


def _later(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


# --------------------------------------------------------------------------------------------------------- sources
@contextmanager
def _opened(source: Any, target: StoreLike, how: _How) -> Iterator[_Source]:
    """The images of a source, which stays open while the block lasts."""
    path = _local(source)
    kind = _kind(path) if path is not None else "array" if hasattr(source, "shape") and hasattr(source, "dtype") else "store"
    if kind == "tiff":
        assert path is not None
        with opened_tiff(path, how.axes) as found:
            yield _imported(found.images, str(path), how, found.ome_xml)
    elif kind == "store" or (kind == "zip" and path is not None and path.suffix != ".npz"):
        yield _stored(source, target, how)
    elif kind == "array":
        stored = find_array(source) if type(source).__module__.startswith("zarr.") else None
        yield _imported(from_memory(source, how.axes) if stored is None else from_zarr_array(stored, how.axes, ""), "array", how)
    else:
        readers = {"npy": lambda p: from_npy(p, how.axes), "zip": lambda p: from_npz(p, how.axes), "picture": from_picture}
        yield _imported(readers[kind](path), str(path), how)


def _local(source: Any) -> Path | None:
    """The path that a source is; None for URLs and all else."""
    if (kind := type(source).__name__) in ("NgffImage", "Multiscales", "NgffMultiscales"):  # also those of ngff-zarr
        hint = "Write it with to_ngff_zarr (an NgffImage: after to_multiscales)."
        raise ArgumentError("this is no source to convert", where="source", got=kind, hint=hint)
    if not isinstance(source, (str, Path)):
        return None
    text = str(source).removeprefix("file://")
    if "://" not in text:
        return Path(text)
    if text.lower().endswith(_FILES):
        raise ArgumentError("only Zarr can be read from a URL", where="source", got=text, hint="Download the file, and convert that.")
    return None


def _kind(path: Path) -> str:
    if not path.is_file():
        if not path.exists():
            raise StoreNotFoundError("there is no such file or store", where=path)
        return "store"
    with path.open("rb") as file:
        begin = file.read(4)
    kind = next((kind for magic, kind in _MAGIC.items() if begin.startswith(magic)), None)
    if kind is None:
        raise ArgumentError(
            "this is no file that can be converted",
            where=path,
            got=f"first bytes {begin!r}",
            allowed="TIFF, PNG, JPEG, BMP, .npy, .npz, Zarr (a folder or a zip file)",
        )
    return kind


def _stored(store: Any, target: StoreLike, how: _How) -> _Source:
    """A Zarr array, or OME-Zarr images."""
    array = find_array(store)
    if array is not None:
        require_apart(target, array.zarr.store_path)
        return _imported(from_zarr_array(array, how.axes, place_name(array.zarr.store_path)), array.where, how)
    if how.axes is not None:
        raise ArgumentError("an OME-Zarr image names its axes itself", where="axes_names", got=how.axes, hint="Leave axes_names out.")
    group = open_group(store, "r", cache=True)  # each document is read once
    require_apart(target, group)
    if kind_of(group.attributes) == "plate":
        plate = open_plate(group)
        return _Source(group.where, [_Image(group.name, plate.nbytes, partial(_copy_whole_plate, plate, how))], is_plate=True)
    about = group.find("OME")
    opened = {name: open_image(member) for name, member in image_groups(group)}
    images = [_Image(name, image.nbytes, partial(_copy, image, how)) for name, image in opened.items()]
    return _Source(group.where, images, None if about is None else read_blob(about, _OME_XML))


def _copy(source: SourceImage, how: _How, place: StoreLike, overwrite: bool, progress: Progress | None) -> None:
    if how.resume:
        raise ArgumentError("copies of OME-Zarr images cannot be gone on with", where="resume", got="True", hint="Leave resume out.")
    with new_group(place, zarr_format=writable_version(how.copy.version).zarr_format, overwrite=overwrite) as group:
        copy_image(source, group, how.copy, progress)


def _copy_whole_plate(source: SourcePlate, how: _How, place: StoreLike, overwrite: bool, progress: Progress | None) -> None:
    work = {"plate": source.group.where, "how": repr(replace(how.copy, workers=None, max_memory=None))}
    zarr_format = writable_version(how.copy.version).zarr_format
    with long_work(place, zarr_format=zarr_format, overwrite=overwrite, work=work, resume=how.resume) as (group, journal):
        copy_plate(source, group, how.copy, progress, journal)


def _imported(images: Sequence[Imported], where: str, how: _How, ome_xml: bytes | None = None) -> _Source:
    found = []
    for number, image in enumerate(images):
        place = where if len(images) == 1 else f"{where}, series {number}"
        found.append(_Image(image.name or str(number), image.nbytes, partial(_write, image, place, how), image.left_out))
    return _Source(where, found, ome_xml)


def _write(image: Imported, where: str, how: _How, store: StoreLike, overwrite: bool, progress: Progress | None) -> None:
    method = how.copy.method or Methods.MEAN
    reader: Reader = image.reader
    backend, _ = choose_backend(how.copy.device, method, image.nbytes)
    if reader.backend.is_host and not backend.is_host:
        reader = OnDevice(reader, backend)
    told = image.with_pixel_size(how.pixel_size).options(where) | dict(how.copy.layout) | {"ngff_version": how.copy.version}
    if told["name"] is None:
        del told["name"]
    if math.prod(reader.shape) == 0:
        raise StoredDataError("the image has no pixels", where=where, got=f"shape {reader.shape}")
    create_ome_zarr_from_array(
        store,
        reader,
        method=method,
        workers=how.copy.workers,
        max_memory=how.copy.max_memory,
        progress=progress,
        resume=how.resume,
        use_tensorstore=how.copy.use_tensorstore,
        overwrite=overwrite,
        **told,
    )
