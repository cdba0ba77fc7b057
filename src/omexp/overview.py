"""A picture of a whole plate. Knows: wells in their grid, channel colours, outlines, fonts. Does not know: how anything was made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from omexp.metadata.channels import Channel, dtype_limits

__all__ = ["draw_overview", "plate_overview"]

BACKGROUND, EMPTY, TEXT, QUIET, OUTLINE = (16, 19, 24), (26, 31, 38), (236, 240, 245), (138, 148, 162), (255, 214, 64)
MARGIN, GAP, FIELD_GAP = 36, 14, 2
MOST_TILE, LEAST_TILE, LEAST_OUTLINED = 288, 16, 120  # pixels a side; outlines would fill a smaller tile
GAMMA = 0.75  # pure blue is dark to the eye
UNITS = {"micrometer": "um", "nanometer": "nm", "millimeter": "mm"}  # Pillow's own font has no Greek letter


@dataclass(frozen=True, slots=True)
class Field:
    """One image of a well, ready to be shown: `pixels` (c, y, x) and `labels` (y, x) or None, on the host; `width_world` along x.
    `windows_fit` is False where pixels are brighter than those that the channels' windows were meant for."""

    pixels: np.ndarray
    channels: tuple[Channel, ...]
    labels: np.ndarray | None
    width_world: float
    unit: str | None
    windows_fit: bool = True


def plate_overview(plate: Any, *, label: str | None = "nuclei", width_px: int = 1800) -> Picture.Image:
    """All images of a plate in one picture: wells in their grid, channels in their colours, objects outlined.

    Stacks are shown by their brightest pixels along z, time series by their first time point. Each image is read at the coarsest level
    that has a pixel for each of the picture's. A channel has one display window over the whole plate: the median of its images'
    windows. Where an image says none (or the dtype's whole range), and for stacks (their brightest pixels lie above any plane's
    window), it is the 5th to the 99.8th percentile of what is shown.

    Parameters
    ----------
    plate
        An `omexp.OmeZarrPlate`.
    label
        The label whose objects are outlined, where an image has it; None for no outlines.
    width_px
        About how wide the picture is.

    Returns
    -------
    An RGB ``PIL.Image``.

    Raises
    ------
    OmexpError
        What reading an image of the plate raises.
    """
    wells = plate.meta.wells
    containers: dict[str, list[Any]] = {well: [] for well in wells}
    for path, container in plate.get_images().items():
        containers["/".join(path.split("/")[:2])].append(container)
    across = _fields_across(max((len(found) for found in containers.values()), default=1))
    tile_px = _tile_px(len(plate.columns) * across, width_px)
    fields = {well: [_field(one, label, tile_px) for one in found] for well, found in containers.items()}
    return draw_overview(plate.meta.name or "plate", plate.rows, plate.columns, fields, tile_px=tile_px)


def draw_overview(name: str, rows: Sequence[str], columns: Sequence[str], fields: dict[str, list[Field]], *, tile_px: int) -> Picture.Image:
    """The page: title, legend, the grid of wells ("row/column" -> fields), scale bar. Wells of the grid without fields are left dark."""
    every = [field for well in fields.values() for field in well]
    most = max((len(well) for well in fields.values()), default=1)
    across = _fields_across(most)
    down = math.ceil(max(most, 1) / across)
    heights = [math.ceil(tile_px * f.pixels.shape[1] / f.pixels.shape[2]) for f in every if f.pixels.shape[2]]
    tile = (tile_px, max(1, min(max(heights, default=tile_px), 2 * tile_px)))  # a very tall image is squeezed
    well = (across * (tile[0] + FIELD_GAP) - FIELD_GAP, down * (tile[1] + FIELD_GAP) - FIELD_GAP)

    font = {name: ImageFont.load_default(size=size) for name, size in (("title", 34), ("text", 20), ("grid", 22))}
    corner = (MARGIN + 20 + _widest(rows, font["grid"]), MARGIN + 132)
    title = [name, _summary(len(rows), len(columns), fields)]
    outlined = tile_px >= LEAST_OUTLINED and any(f.labels is not None for f in every)
    legend = _legend(every, outlined)
    needed = max(
        font["title"].getlength(title[0]), font["text"].getlength(title[1]) + 40 + sum(32 + font["text"].getlength(n) for n, _ in legend)
    )
    grid_width = len(columns) * (well[0] + GAP) - GAP
    width = max(corner[0] + grid_width + MARGIN, math.ceil(needed) + 2 * MARGIN)
    height = corner[1] + len(rows) * (well[1] + GAP) - GAP + 64 + MARGIN // 2

    page = Picture.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 8), title[0], TEXT, font["title"])
    pen.text((MARGIN, MARGIN + 48), title[1], QUIET, font["text"])
    _draw_legend(pen, legend, (width - MARGIN, MARGIN + 48), font["text"])
    windows = _windows(every)
    for j, column in enumerate(columns):
        pen.text((corner[0] + j * (well[0] + GAP) + well[0] / 2, corner[1] - 10), str(column), TEXT, font["grid"], anchor="mb")
    for i, row in enumerate(rows):
        top = corner[1] + i * (well[1] + GAP)
        pen.text((corner[0] - 20, top + well[1] / 2), str(row), TEXT, font["grid"], anchor="rm")
        for j, column in enumerate(columns):
            left = corner[0] + j * (well[0] + GAP)
            pen.rectangle((left, top, left + well[0] - 1, top + well[1] - 1), EMPTY)
            for k, field in enumerate(fields.get(f"{row}/{column}", [])):
                place = (left + k % across * (tile[0] + FIELD_GAP), top + k // across * (tile[1] + FIELD_GAP))
                page.paste(_tile(field, tile, windows, outlined), place)
    _draw_scale_bar(pen, every, tile[0], (corner[0], height - MARGIN // 2 - 34), font["text"])
    return page


# ------------------------------------------------------------------------------------------------------- reading
def _fields_across(count: int) -> int:
    return max(1, math.ceil(math.sqrt(count)))


def _tile_px(tiles_across: int, width_px: int) -> int:
    return min(MOST_TILE, max(LEAST_TILE, (width_px - 3 * MARGIN) // max(1, tiles_across) - GAP))


def _field(container: Any, label: str | None, tile_px: int) -> Field:
    """The image at the coarsest level that is still as wide as its tile."""
    levels = sorted((container.get_image(path=path) for path in container.level_paths), key=lambda image: image.dimensions.get("x"))
    image = next((one for one in levels if one.dimensions.get("x") >= tile_px), levels[-1])
    pixels = _from_above(image, "c")
    labels = None
    if label is not None and label in container.list_labels():
        labels = _from_above(container.get_label(label, pixel_size=image.pixel_size))
    size = image.pixel_size
    return Field(pixels, tuple(image.channels_meta.channels), labels, size.x * image.dimensions.get("x"), size.space_unit, image.is_2d)


def _from_above(level: Any, *kept: str) -> np.ndarray:
    """A level's first time point, brightest along z; axes `kept`, then y and x."""
    first = {"t": 0} if level.has_axis("t") else {}
    pixels = level.get_as_numpy(axes_order=("z", *kept, "y", "x"), **first)  # (z, [c,] y, x)
    return pixels.max(axis=0)


def _windows(fields: Iterable[Field]) -> list[tuple[float, float]]:
    """One display window per channel, for all fields."""
    fields = list(fields)
    count = max((len(f.channels) for f in fields), default=0)
    return [_window(c, [f for f in fields if len(f.channels) > c]) for c in range(count)]


def _window(c: int, fields: Sequence[Field]) -> tuple[float, float]:
    limits = dtype_limits(fields[0].pixels.dtype.name)
    chosen = [(w.start, w.end) for f in fields if f.windows_fit and (w := f.channels[c].window) is not None]
    chosen = [(start, end) for start, end in chosen if (start, end) != limits and start < end]
    if len(chosen) == len(fields):
        low, high = np.median(np.array(chosen), axis=0)
    else:
        low, high = np.percentile(np.concatenate([f.pixels[c].ravel() for f in fields]), (5, 99.8))
    return float(low), max(float(high), float(low) + 1e-6)


# ------------------------------------------------------------------------------------------------------- drawing
def _tile(field: Field, size: tuple[int, int], windows: Sequence[tuple[float, float]], outlined: bool) -> Picture.Image:
    """A field in its channels' colours, its objects outlined if wanted."""
    mixed = np.zeros((*field.pixels.shape[1:], 3), np.float32)
    for pixels, channel, (low, high) in zip(field.pixels, field.channels, windows, strict=False):
        if channel.active:
            mixed += np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1)[..., None] ** GAMMA * _rgb(channel)
    mixed = np.clip(mixed, 0, 255).astype(np.uint8)
    tile = Picture.fromarray(mixed).resize(size, Picture.Resampling.LANCZOS)
    if not outlined or field.labels is None or 0 in field.labels.shape:
        return tile
    rows, columns = (np.arange(n) * old // n for n, old in zip(size[::-1], field.labels.shape, strict=True))
    ids = field.labels[rows][:, columns]
    edge = np.zeros(ids.shape, bool)  # an object's own pixels that have another id to the right or below
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    shown = np.array(tile)
    shown[edge] = OUTLINE
    return Picture.fromarray(shown)


def _rgb(channel: Channel) -> np.ndarray:
    return np.array([int(channel.color[i : i + 2], 16) for i in (0, 2, 4)], np.float32)


def _summary(rows: int, columns: int, fields: dict[str, list[Field]]) -> str:
    images = sum(map(len, fields.values()))
    wells = sum(bool(well) for well in fields.values())
    return "  ·  ".join([f"{rows} x {columns} grid", f"{wells} well{'s' * (wells != 1)}", f"{images} image{'s' * (images != 1)}"])


def _legend(fields: Sequence[Field], outlined: bool) -> list[tuple[str, tuple[int, ...]]]:
    channels = max((f.channels for f in fields), key=len, default=())
    entries = [(c.label, tuple(int(v) for v in np.maximum(_rgb(c), 60))) for c in channels if c.active]
    return [*entries, ("objects", OUTLINE)] if outlined else entries


def _draw_legend(pen: ImageDraw.ImageDraw, legend: Sequence[tuple[str, tuple[int, ...]]], right_top: tuple[int, int], font: Any) -> None:
    right, top = right_top
    for name, color in reversed(legend):
        right -= math.ceil(font.getlength(name))
        pen.text((right, top), name, TEXT, font)
        right -= 22
        pen.ellipse((right, top + 5, right + 14, top + 19), color)
        right -= 18


def _draw_scale_bar(pen: ImageDraw.ImageDraw, fields: Sequence[Field], tile_px: int, left_top: tuple[int, int], font: Any) -> None:
    """A round length, 2/5 of a tile at most; none where the images have no unit or not one size."""
    extents = {(f.width_world, f.unit) for f in fields}
    if len(extents) != 1 or next(iter(extents))[1] is None:
        return
    width_world, unit = extents.pop()
    power = 10 ** math.floor(math.log10(width_world * 0.4))
    length = max(step for step in (1, 2, 5) if step * power <= width_world * 0.4) * power
    left, top = left_top
    pen.rectangle((left, top + 10, left + max(1, round(length / width_world * tile_px)), top + 15), TEXT)
    pen.text((left + round(length / width_world * tile_px) + 14, top), f"{length:g} {UNITS.get(str(unit), str(unit))}", QUIET, font)


def _widest(names: Sequence[str], font: Any) -> int:
    return math.ceil(max((font.getlength(str(n)) for n in names), default=0))
