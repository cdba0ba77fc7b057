"""What a picture needs of each image. Knows: which level is coarse enough, which planes and channels. Does not know: colours, pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from omexp.errors import NameNotFoundError, OmexpError, warn_caller
from omexp.metadata.channels import Channel

__all__ = ["Field", "fields_across", "read_fields"]

MOST_NAMED = 20
THREADS = 8  # images at a time: what waits for a disk or a network


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


def fields_across(count: int) -> int:
    """The columns of the square that so many fields are laid out in."""
    return max(1, math.ceil(math.sqrt(count)))


def read_fields(
    images: Mapping[str, Any],
    tile_px: int,
    *,
    channels: Sequence[int | str] | None,
    level: str | int | None,
    label: str | None,
    fit_longer: bool = False,
) -> dict[str, Field]:
    """The images, each at the coarsest level that is `tile_px` wide (`fit_longer`: or high, whichever is more), several at a time.

    Those that cannot be read, or lack a channel or level, have no channels; one `OmexpWarning` names them. Raises where none can be read.
    """

    def read(container: Any) -> Field | OmexpError:
        try:
            return _read(container, tile_px, channels, level, label, fit_longer)
        except OmexpError as error:
            return error

    if len(images) < 2:
        found = {path: read(container) for path, container in images.items()}
    else:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="omexp-pictures") as pool:
            found = dict(zip(images, pool.map(read, images.values()), strict=True))
    fields = {path: field for path, field in found.items() if isinstance(field, Field)}
    failed = {path: error for path, error in found.items() if isinstance(error, OmexpError)}
    if failed and not fields:
        raise next(iter(failed.values()))
    if failed:
        some = "; ".join(f"{path}: {error}" for path, error in list(failed.items())[:MOST_NAMED])
        warn_caller(f"{len(failed)} of {len(found)} images are not drawn: {some}{'; ...' if len(failed) > MOST_NAMED else ''}")
        like = next(iter(fields.values()))
        empty = replace(like, pixels=like.pixels[:0], channels=(), labels=None)
        fields |= dict.fromkeys(failed, empty)
    return fields


def _read(
    container: Any, tile_px: int, channels: Sequence[int | str] | None, level: str | int | None, label: str | None, fit_longer: bool
) -> Field:
    image = _level(container, tile_px, fit_longer) if level is None else container.get_image(path=_level_path(container, level))
    shown = _channels(image, channels)
    pixels = _from_above(image, "c", c=shown) if image.has_axis("c") else _from_above(image, "c")
    labels = None
    if label is not None and label in container.list_labels():
        labels = _from_above(container.get_label(label, pixel_size=image.pixel_size))
    size = image.pixel_size
    found = tuple(image.channels_meta.channels[i] for i in shown)
    return Field(pixels, found, labels, size.x * image.dimensions.get("x"), size.space_unit, image.is_2d)


def _level(container: Any, tile_px: int, fit_longer: bool) -> Any:
    """The coarsest level that is wide enough, else the finest. How wide a level is follows from its scale: two are opened at most."""
    coarsest = container.image_at(lambda meta: meta.by_resolution[-1])
    meta, sides = coarsest.meta, "xy" if fit_longer else "x"
    paths = meta.by_resolution
    if len(paths) == 1 or max(coarsest.dimensions.get(a) for a in sides) >= tile_px:
        return coarsest
    for path in reversed(paths[:-1]):
        sizes = [coarsest.dimensions.get(a) * coarsest.pixel_size.get(a) / meta.pixel_size(path).get(a) for a in sides]
        if max(sizes) >= tile_px:
            break
    return container.get_image(path=path)


def _level_path(container: Any, level: str | int) -> str:
    paths = container.level_paths
    if isinstance(level, str) and level not in paths and level.lstrip("-").isdecimal():
        level = int(level)  # as the command has it
    if isinstance(level, int):
        if not -len(paths) <= level < len(paths):
            raise NameNotFoundError("there is no such level", where=container.where, got=level, allowed=f"0 to {len(paths) - 1}")
        return str(paths[level])
    return level


def _channels(image: Any, channels: Sequence[int | str] | None) -> list[int]:
    """Indices of the channels that are shown: those named, else the active ones, else all."""
    listed = image.channels_meta.channels[: image.num_channels]
    if channels is None:
        return [i for i, channel in enumerate(listed) if channel.active] or list(range(len(listed)))
    found = [image.get_channel_idx(channel_label=c) if isinstance(c, str) and not c.isdecimal() else int(c) for c in channels]
    if wrong := [i for i in found if not 0 <= i < len(listed)]:
        raise NameNotFoundError("there is no such channel", where=image.where, got=wrong[0], allowed=f"0 to {len(listed) - 1}")
    return found


def _from_above(level: Any, *kept: str, **chosen: Any) -> np.ndarray:
    """A level's first time point, brightest along z; axes `kept`, then y and x."""
    first = {"t": 0} if level.has_axis("t") else {}
    pixels: np.ndarray = level.get_as_numpy(axes_order=("z", *kept, "y", "x"), **first, **chosen)  # (z, [c,] y, x)
    return pixels[0] if len(pixels) == 1 else pixels.max(axis=0)
