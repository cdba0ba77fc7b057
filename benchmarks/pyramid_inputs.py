"""What the pyramid benchmark writes. Knows: noise as a camera gives it, labels as a segmentation gives them, images larger than memory."""

from __future__ import annotations

import numpy as np

from omexp.backend import numpy_backend
from omexp.geometry import Region, Shape, blocks

__all__ = ["NoiseSource", "discs", "noise"]

PHOTONS = 200  # per pixel: little to compress
STRIP_PX = 1 << 20  # drawn at a time: the generator gives int64


def noise(shape: Shape, seed: int = 0) -> np.ndarray:
    """Poisson noise in uint16, drawn in strips, so that nothing but the image takes up memory."""
    pixels, generator = np.empty(shape, "uint16"), np.random.default_rng(seed)
    flat = pixels.reshape(-1)
    for start in range(0, flat.size, STRIP_PX):
        strip = flat[start : start + STRIP_PX]
        strip[:] = generator.poisson(PHOTONS, strip.size)
    return pixels


def discs(size: int, radius: int = 24, seed: int = 0) -> np.ndarray:
    """A size x size uint32 label: a disc in each cell of a grid, ids from 1 in random order, about half of the pixels background."""
    generator, cell = np.random.default_rng(seed), 2 * radius + 8
    disc = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
    labels, per_side = np.zeros((size, size), "uint32"), size // cell
    for number, place in enumerate(generator.permutation(per_side**2)):
        y, x = (cell * index + generator.integers(0, cell - len(disc) + 1) for index in divmod(place, per_side))
        labels[y : y + len(disc), x : x + len(disc)][disc] = number + 1
    return labels


class NoiseSource:
    """Noise of any size that takes up a tile's memory: `read` copies from a tile that repeats every `PERIOD` pixels along y and x."""

    name, reason, backend = "noise", "made when it is read", numpy_backend
    PERIOD = 2048  # larger than any chunk: no codec sees the repetition

    def __init__(self, shape: Shape) -> None:
        self.shape, self.dtype = shape, np.dtype("uint16")
        self.tile = noise((self.PERIOD, self.PERIOD))

    def read(self, region: Region) -> np.ndarray:
        """The pixels of a box."""
        pixels = np.empty(region.shape, self.dtype)
        for box in blocks(region, (*region.shape[:-2], self.PERIOD, self.PERIOD)):
            inside = tuple(slice(a % self.PERIOD, a % self.PERIOD + n) for a, n in zip(box.start[-2:], box.shape[-2:], strict=True))
            pixels[box.relative_to(region).slices] = self.tile[inside]
        return pixels
