"""TIFF and OME-TIFF to convert. Knows: series, their axes, and what OME-XML, ImageJ or the tags say of them. Does not know: tiles."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omexp.errors import ArgumentError, StoredDataError, warn_caller
from omexp.importers.imported import ChannelNotes, Imported, arranged
from omexp.importers.ome_xml import OmeImage, images_of
from omexp.importers.pictures import RGBA
from omexp.importers.tiff_reader import series_reader
from omexp.importers.units import seconds, space_sizes
from omexp.storage.reading import Reader
from omexp.world import is_positive

__all__ = ["TiffImages", "opened_tiff"]

_PRINTING = {72, 75, 96, 100, 150, 200, 300, 600, 1200}  # dots per inch that programs write when they know nothing
_CUT = re.compile("invalid page offset|corrupted file|TiffTag 270 .*invalid value offset")  # tifffile's words; 270 holds OME-XML
_UNKNOWN = set("QIR")  # tifffile's letters for axes that the file does not name


@dataclass(frozen=True, slots=True)
class TiffImages:
    """What a TIFF holds."""

    images: list[Imported]
    ome_xml: bytes | None


@contextmanager
def opened_tiff(path: Path, axes: str | None) -> Iterator[TiffImages]:
    """The series of a TIFF, read lazily while the block lasts, and its OME-XML where it has one.

    `axes` are the letters of the series' axes (those of one pixel left out), for files that do not name them.

    Raises
    ------
    StoredDataError
        It is no TIFF, or damaged.
    """
    import tifffile

    with ExitStack() as stack, _Complaints() as complaints:
        try:
            file = stack.enter_context(tifffile.TiffFile(path))
            found = [s for s in file.series if s.keyframe is not None and s.dtype is not None]
            for series in found:
                list(series)  # reads all directories of pages
        except Exception as error:  # what a damaged directory of pages raises: struct.error, ValueError, IndexError, tifffile's own
            raise StoredDataError(f"the TIFF cannot be read ({error})", where=path, hint="The file may be cut or damaged.") from error
        _require_whole(file, found, complaints, path)
        notes = _ome_notes(file, found)
        stem = path.name.removesuffix(path.suffix).removesuffix(".ome")
        single = len(found) == 1
        images = [
            _imported(
                file, series, note, str(path) if single else f"{path}, series {i}", stem if single else series.name or f"{stem}_{i}", axes
            )
            for i, (series, note) in enumerate(zip(found, notes, strict=True))
        ]
        yield TiffImages(images, file.ome_metadata.encode() if file.ome_metadata else None)


class _Complaints(logging.Handler):
    """What tifffile logs in this thread inside the block: a chain of pages that breaks off is no error to it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.thread, self.texts = threading.get_ident(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.texts.append(record.getMessage())

    def __enter__(self) -> _Complaints:
        logging.getLogger("tifffile").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tifffile").removeHandler(self)


def _require_whole(file: Any, series: list[Any], complaints: _Complaints, path: Path) -> None:
    """Raise `StoredDataError` where pages are missing from the file."""
    cut = [text for text in complaints.texts if _CUT.search(text)]
    if cut:
        raise StoredDataError(f"the TIFF is not whole ({cut[0]})", where=path, hint="The file may be cut or damaged.")
    if not series:
        raise StoredDataError("the TIFF holds no image", where=path)
    told = (file.imagej_metadata or {}).get("images") if file.is_imagej else None
    planes = sum(len(s) if s.dataoffset is None else math.prod(s.shape) // math.prod(s.keyframe.shape) for s in series)
    if isinstance(told, int) and planes < told:
        raise StoredDataError("the TIFF is not whole", where=path, got=f"{planes} of {told} planes", hint="The file may be cut or damaged.")


def _ome_notes(file: Any, series: list[Any]) -> list[OmeImage | None]:
    """What the OME-XML says of each series: tifffile leaves out images without pixels, so they are matched by name where some are."""
    images = images_of(file.ome_metadata) if file.ome_metadata else []
    if len(images) == len(series) or not images:
        return [*images] if images else [None] * len(series)
    by_name = {image.name: image for image in images}
    return [by_name.get(one.name) for one in series]


def _imported(file: Any, series: Any, note: OmeImage | None, where: str, name: str, axes: str | None) -> Imported:
    if any(series[i] is None for i in range(len(series))):
        warn_caller(f"{where}: some planes are missing, with their files perhaps; they become zeros")
    letters = _letters(series, axes, where)
    reader, found = arranged(series_reader(series, where), letters, where)
    samples = series.shape[letters.index("s")] if "s" in letters else 1
    colors = note.channels if note else _imagej_channels(file)
    sizes, unit = (dict(note.pixel_size), note.space_unit) if note else _sizes(file, series)
    return Imported(
        reader,
        found,
        (note.name if note else None) or name,
        sizes,
        unit if set("xyz") & set(sizes) else "micrometer",
        _with_samples(colors, samples, _count(found, reader)),
        note.left_out if note else _left_out(file),
    )


def _count(axes: str, reader: Reader) -> int:
    return reader.shape[axes.index("c")] if "c" in axes else 1


def _letters(series: Any, axes: str | None, where: str) -> str:
    """One letter of t, c, z, y, x, s per axis of the series. One axis that the file does not name is taken for z, and said so."""
    named = axes if axes is not None else "".join("z" if a in _UNKNOWN else a.lower() for a in series.axes)
    if axes is None and len(set(named)) < len(named):
        raise ArgumentError(
            "the TIFF does not name its axes", where=where, got=f"shape {tuple(series.shape)}", hint="Pass axes_names, such as 'tcyx'."
        )
    if axes is None and _UNKNOWN & set(series.axes):
        warn_caller(f"{where}: the file does not name its first axis; it is taken for z (axes_names='tyx', say, for another)")
    if axes is None and not set(named) <= set("tczyxs"):
        other = "".join(sorted(set(named) - set("tczyxs"))).upper()
        raise ArgumentError(
            "the TIFF has axes that OME-Zarr 0.4 and 0.5 have not",
            where=where,
            got=f"{series.axes} (not known: {other}) of shape {tuple(series.shape)}",
            hint="Pass axes_names with one letter of t, c, z, y, x per axis.",
        )
    return named


def _with_samples(channels: tuple[ChannelNotes, ...], samples: int, count: int) -> tuple[ChannelNotes, ...]:
    """One entry per channel of the result: pixels with red, green, blue (and alpha) are that many channels."""
    if samples not in (3, 4) or samples == count:
        return RGBA[:samples] if samples in (3, 4) else channels
    named = channels or tuple(ChannelNotes(f"channel_{i}") for i in range(count // samples))
    return tuple(ChannelNotes(f"{c.label or i} {s.label}", s.color) for i, c in enumerate(named) for s in RGBA[:samples])


# -------------------------------------------------------------------------------------------- what the file says
def _left_out(file: Any) -> tuple[str, ...]:
    """Names of metadata that tifffile finds and OME-Zarr has no place for."""
    kinds = ("lsm", "stk", "scn", "svs", "ndpi", "micromanager", "fluoview", "nih", "scanimage", "metaseries", "andor", "gdal", "geotiff")
    found = [f"{kind} metadata" for kind in kinds if getattr(file, f"is_{kind}", False)]
    if file.is_imagej:
        kept = {"ImageJ", "images", "channels", "slices", "frames", "hyperstack", "mode", "spacing", "unit", "finterval", "loop", "LUTs"}
        kept |= {"min", "max", "Ranges", "tunit", "xunit", "yunit", "zunit", "axes", "fps"}
        found += [f"ImageJ {key}" for key in file.imagej_metadata or {} if key not in kept]
    return tuple(found)


def _sizes(file: Any, series: Any) -> tuple[dict[str, float], str | None]:
    """Pixel sizes and their unit: of ImageJ's metadata, else of the resolution tags."""
    tags = series.keyframe.tags
    per_unit = {axis: _ratio(tags, f"{axis.upper()}Resolution") for axis in "xy"}
    if file.is_imagej:
        return _imagej_sizes(file.imagej_metadata or {}, per_unit)
    resolution = tags.get("ResolutionUnit")
    unit = {2: "inch", 3: "cm"}.get(int(resolution.value) if resolution else 0)
    if unit is None or (unit == "inch" and all(r in _PRINTING for r in per_unit.values())):
        return {}, None
    sizes, _ = space_sizes({axis: (1 / r, unit) for axis, r in per_unit.items() if r} | {"z": (1.0, "µm")})  # several units: micrometers
    return {axis: size for axis, size in sizes.items() if axis != "z"}, "micrometer"


def _imagej_sizes(told: dict[str, Any], per_unit: dict[str, float | None]) -> tuple[dict[str, float], str | None]:
    unit = str(told.get("unit", "pixel"))
    sizes: dict[str, tuple[float, str]] = {axis: (1 / r, str(told.get(f"{axis}unit", unit))) for axis, r in per_unit.items() if r}
    if unit in ("pixel", "pixels") and all(size == 1 for size, _ in sizes.values()):
        sizes = {}
    if is_positive(told.get("spacing")):
        sizes["z"] = (float(told["spacing"]), str(told.get("zunit", unit)))
    found, name = space_sizes(sizes)
    interval = told.get("finterval")
    if is_positive(interval) and (step := seconds(float(interval), str(told.get("tunit", "s")))) is not None:  # type: ignore[arg-type]
        found["t"] = step
    return found, name


def _ratio(tags: Any, name: str) -> float | None:
    tag = tags.get(name)
    if tag is None:
        return None
    above, below = tag.value if isinstance(tag.value, tuple) else (tag.value, 1)
    return above / below if above and below else None


def _imagej_channels(file: Any) -> tuple[ChannelNotes, ...]:
    """The colours of look-up tables that rise evenly from black, as ImageJ's composites have."""
    tables = (file.imagej_metadata or {}).get("LUTs") if file.is_imagej else None
    if tables is None:
        return ()
    return tuple(ChannelNotes(color=_ramp_color(table)) for table in tables)


def _ramp_color(table: Any) -> str | None:
    """Six hex digits of a (3, 256) table's last colour, if the table leads there evenly from black."""
    last = [int(channel[-1]) for channel in table]
    even = all(abs(int(channel[i]) - last[k] * i / 255) <= 2 for k, channel in enumerate(table) for i in (0, 64, 128, 192))
    return "{:02X}{:02X}{:02X}".format(*last) if even and any(last) else None
