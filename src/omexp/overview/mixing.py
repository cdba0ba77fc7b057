"""Channels to colours. Knows: display windows, composites, outlines of objects. Does not know: pages, where pixels come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from omexp.metadata.channels import Channel, dtype_limits
from omexp.overview.fields import Field

__all__ = ["EMPTY", "OUTLINE", "composite", "outlined_tile", "rgb", "windows_of"]

EMPTY, OUTLINE = (26, 31, 38), (255, 214, 64)
GAMMA = 0.75  # pure blue is dark to the eye
SAMPLES = 1 << 22  # of which percentiles are taken


def windows_of(fields: Iterable[Field]) -> list[tuple[float, float]]:
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
        step = max(1, sum(f.pixels[c].size for f in fields) // SAMPLES)
        values = np.concatenate([f.pixels[c].ravel()[::step] for f in fields])
        low, high = np.percentile(values, (5, 99.8)) if values.size else (0.0, 1.0)
    return float(low), max(float(high), float(low) + 1e-6)


def composite(field: Field, windows: Sequence[tuple[float, float]]) -> np.ndarray:
    """A field in its channels' colours: (y, x, 3) uint8."""
    mixed = np.zeros((*field.pixels.shape[1:], 3), np.float32)
    for pixels, channel, (low, high) in zip(field.pixels, field.channels, windows, strict=False):
        mixed += np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1)[..., None] ** GAMMA * rgb(channel)
    return np.clip(np.nan_to_num(mixed), 0, 255).astype(np.uint8)


def outlined_tile(tile: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A tile (y, x, 3) with the objects of a label of whatever size outlined, one pixel wide."""
    if 0 in labels.shape:
        return tile
    rows, columns = (np.arange(n) * old // n for n, old in zip(tile.shape[:2], labels.shape, strict=True))
    ids = labels[rows][:, columns]
    edge = np.zeros(ids.shape, bool)  # an object's own pixels that have another id to the right or below
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    return np.where(edge[..., None], np.array(OUTLINE, np.uint8), tile)


def rgb(channel: Channel) -> np.ndarray:
    """A channel's colour as three numbers up to 255."""
    return np.array([int(channel.color[i : i + 2], 16) for i in (0, 2, 4)], np.float32)
