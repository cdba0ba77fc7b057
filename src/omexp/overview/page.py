"""The page a plate is drawn on. Knows: title, legend, grid, fonts, scale bar, files. Does not know: stores, channels' pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omexp.overview.fields import Field, fields_across
from omexp.overview.mixing import EMPTY, OUTLINE, composite, outlined_tile, rgb, windows_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["BACKGROUND", "draw_overview", "fitting_tile", "save"]

BACKGROUND, TEXT, QUIET = (16, 19, 24), (236, 240, 245), (138, 148, 162)
MARGIN = 36
MOST_TILE, LEAST_TILE, LEAST_OUTLINED, LEAST_SCALED = 288, 6, 120, 40  # pixels a side; outlines would fill a smaller tile
LEAST_NAME = 9  # pixels: the smallest font of names that can be read
UNITS = {"micrometer": "um", "nanometer": "nm", "millimeter": "mm"}  # Pillow's own font has no Greek letter


def fitting_tile(rows: Sequence[str], columns: Sequence[str], across: int, width_px: int) -> int:
    """The side of a field's tile with which the page of a plate becomes `width_px` wide, as far as that leaves anything to see."""
    for tile in range(MOST_TILE, LEAST_TILE, -1):
        if 2 * MARGIN + 44 + len(columns) * (_well_side(tile, across) + _gap(tile, across)) <= width_px:
            return tile
    return LEAST_TILE


def draw_overview(name: str, rows: Sequence[str], columns: Sequence[str], fields: dict[str, list[Field]], *, tile_px: int) -> Picture:
    """The page: title, legend, the grid of wells ("row/column" -> fields), scale bar. Wells of the grid without fields are left dark."""
    from PIL import Image, ImageDraw, ImageFont

    every = [field for well in fields.values() for field in well]
    most = max(1, max((len(well) for well in fields.values()), default=1))
    across = fields_across(most)
    down = math.ceil(most / across)
    heights = [math.ceil(tile_px * f.pixels.shape[1] / f.pixels.shape[2]) for f in every if f.pixels.shape[2]]
    tile = (tile_px, max(1, min(max(heights, default=tile_px), 2 * tile_px)))  # a very tall image is squeezed
    well = (_well_side(tile[0], across), down * (tile[1] + _field_gap(tile[0])) - _field_gap(tile[0]))
    gap = _gap(tile[0], across)

    font = {what: ImageFont.load_default(size=size) for what, size in (("title", 34), ("text", 20))}
    fonts = (_name_font(rows, (60, well[1])), _name_font(columns, (well[0] + gap // 2, 26)))
    row_font = column_font = min(fonts, key=lambda f: f.size)
    left_top = (MARGIN + 14 + _widest(rows, row_font), MARGIN + 98 + column_font.size)
    outlined = tile_px >= LEAST_OUTLINED and any(f.labels is not None for f in every)
    grid = (len(columns) * (well[0] + gap) - gap, len(rows) * (well[1] + gap) - gap)
    summary, legend = _summary(len(rows), len(columns), fields), _legend(every, outlined)
    line = font["text"].getlength(summary) + 40 + sum(32 + font["text"].getlength(entry) for entry, _ in legend)
    wrapped = line > max(grid[0] + left_top[0] - MARGIN, 640)  # the legend gets a line of its own
    legend_width = sum(32 + font["text"].getlength(entry) for entry, _ in legend)
    needed = max(font["text"].getlength(summary), legend_width) if wrapped else line
    left_top = (left_top[0], left_top[1] + 30 * wrapped)
    width = max(left_top[0] + grid[0] + MARGIN, math.ceil(needed) + 2 * MARGIN)
    bar = _scale_bar(every, tile[0], well[0])
    height = left_top[1] + grid[1] + (MARGIN if bar is None else 64 + MARGIN // 2)

    page = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 8), _shortened(name, font["title"], width - 2 * MARGIN), TEXT, font["title"])
    pen.text((MARGIN, MARGIN + 44), summary, QUIET, font["text"])
    right = MARGIN + legend_width - 18 if wrapped else width - MARGIN
    _draw_legend(pen, legend, (right, MARGIN + 44 + 30 * wrapped), font["text"])
    step = _named_every(columns, column_font, well[0] + gap)
    for j, column in enumerate(columns):
        if j % step == 0:
            place = (left_top[0] + j * (well[0] + gap) + well[0] / 2, left_top[1] - 8)
            pen.text(place, str(column), TEXT, column_font, anchor="mb")
    step = max(1, math.ceil(row_font.size / (well[1] + gap)))
    windows = windows_of(every)
    for i, row in enumerate(rows):
        top = left_top[1] + i * (well[1] + gap)
        if i % step == 0:
            pen.text((left_top[0] - 10, top + well[1] / 2), str(row), TEXT, row_font, anchor="rm")
        for j, column in enumerate(columns):
            left = left_top[0] + j * (well[0] + gap)
            pen.rectangle((left, top, left + well[0] - 1, top + well[1] - 1), EMPTY)
            for k, field in enumerate(fields.get(f"{row}/{column}", [])):
                place = (left + k % across * (tile[0] + _field_gap(tile[0])), top + k // across * (tile[1] + _field_gap(tile[0])))
                if field.channels:  # else it could not be read
                    page.paste(_tile(field, tile, windows, outlined), place)
    if bar is not None:
        _draw_scale_bar(pen, bar, (left_top[0], height - MARGIN // 2 - 34), font["text"])
    return page


def save(picture: Any, path: Any, longest: int | None = None) -> np.ndarray:
    """A picture or its pixels as (height, width, 3) uint8, made smaller if it is larger than `longest`; written as PNG, if wanted."""
    from PIL import Image

    made = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    if longest is not None and max(made.size) > longest:
        shrunk = longest / max(made.size)
        made = made.resize([max(1, round(n * shrunk)) for n in made.size], Image.Resampling.LANCZOS)
    if path is not None:
        made.save(path, format="PNG", optimize=True)
    return np.array(made)


# -------------------------------------------------------------------------------------------------------- measures
def _field_gap(tile_px: int) -> int:
    return 2 if tile_px >= 48 else 1


def _well_side(tile_px: int, across: int) -> int:
    return across * (tile_px + _field_gap(tile_px)) - _field_gap(tile_px)


def _gap(tile_px: int, across: int) -> int:
    """Between wells: clearly more than between fields, and no more than is needed for that."""
    return max(3, min(14, round(_well_side(tile_px, across) * 0.09)))


def _name_font(names: Sequence[str], room: tuple[int, int]) -> Any:
    """The largest font up to 22 pixels in which the names fit into (width, height), or the smallest that can be read."""
    from PIL import ImageFont

    for size in range(22, LEAST_NAME, -1):
        font = ImageFont.load_default(size=size)
        if _widest(names, font) <= room[0] and size <= room[1] + 4:
            return font
    return ImageFont.load_default(size=LEAST_NAME)


def _named_every(names: Sequence[str], font: Any, pitch: int) -> int:
    """1 where all names have room beside each other, 2 where every second has, ..."""
    return max(1, math.ceil((_widest(names, font) + 4) / pitch)) if names else 1


def _widest(names: Sequence[str], font: Any) -> int:
    return math.ceil(max((font.getlength(str(n)) for n in names), default=0))


def _shortened(text: str, font: Any, room: int) -> str:
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"


def _summary(rows: int, columns: int, fields: dict[str, list[Field]]) -> str:
    images = sum(map(len, fields.values()))
    wells = sum(bool(well) for well in fields.values())
    return "  ·  ".join([f"{rows} x {columns} grid", f"{wells} well{'s' * (wells != 1)}", f"{images} image{'s' * (images != 1)}"])


def _legend(fields: Sequence[Field], outlined: bool) -> list[tuple[str, tuple[int, ...]]]:
    channels = max((f.channels for f in fields), key=len, default=())
    entries = [(c.label, tuple(int(v) for v in np.maximum(rgb(c), 60))) for c in channels]
    return [*entries, ("objects", OUTLINE)] if outlined else entries


# --------------------------------------------------------------------------------------------------------- drawing
def _tile(field: Field, size: tuple[int, int], windows: Sequence[tuple[float, float]], outlined: bool) -> Picture:
    """A field in its channels' colours, its objects outlined if wanted."""
    from PIL import Image

    tile = Image.fromarray(composite(field, windows)).resize(size, Image.Resampling.LANCZOS)
    if not outlined or field.labels is None:
        return tile
    return Image.fromarray(outlined_tile(np.array(tile), field.labels))


def _draw_legend(pen: Any, legend: Sequence[tuple[str, tuple[int, ...]]], right_top: tuple[float, int], font: Any) -> None:
    right, top = right_top
    for name, color in reversed(legend):
        right -= math.ceil(font.getlength(name))
        pen.text((right, top), name, TEXT, font)
        right -= 22
        pen.ellipse((right, top + 5, right + 14, top + 19), color)
        right -= 18


def _scale_bar(fields: Sequence[Field], tile_px: int, well_px: int) -> tuple[int, str] | None:
    """A round length, 2/5 of a well at most, in pixels and words; None without one size and unit, and where wells are too small."""
    extents = {(f.width_world, f.unit) for f in fields}
    if len(extents) != 1 or well_px < LEAST_SCALED:
        return None
    width_world, unit = extents.pop()
    if unit is None or not 0 < width_world < math.inf:
        return None
    room = 0.4 * width_world * well_px / tile_px
    power = 10 ** math.floor(math.log10(room))
    length = max(step for step in (1, 2, 5) if step * power <= room) * power
    return max(1, round(length / width_world * tile_px)), f"{length:g} {UNITS.get(unit, unit)}"


def _draw_scale_bar(pen: Any, bar: tuple[int, str], left_top: tuple[int, int], font: Any) -> None:
    (length_px, text), (left, top) = bar, left_top
    pen.rectangle((left, top + 10, left + length_px, top + 15), TEXT)
    pen.text((left + length_px + 14, top), text, QUIET, font)
