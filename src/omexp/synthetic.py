"""Made-up microscope fields that look like real ones. Knows: cells, optics, a camera. Does not know: files, metadata, devices.

A scene is drawn once from a seed: where nuclei lie, which touch, how bright each is. Pixels and true labels are two views of one scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from omexp.errors import ArgumentError

__all__ = ["synthetic_field", "synthetic_labels"]

AREA_PER_NUCLEUS_PX = 4400  # about 60 nuclei in 512 x 512, as in a dense 20x field
TOUCHING = 0.3  # of the nuclei lie against an earlier one
OFFSET, COUNTS_PER_PHOTON, READ_NOISE = 100.0, 4.0, 6.0  # of the camera, in counts
BACKGROUND = 25.0  # photons


def synthetic_field(
    shape: tuple[int, int, int], *, seed: int, nuclei: int | None = None, channels: Sequence[str] = ("DAPI", "GFP", "Cy5")
) -> np.ndarray:
    """One field of view of cultured cells, as a camera would give it.

    Nuclei are uneven ellipsoids of varied size and brightness, some touching; cytoplasm around them touches, too; the third channel
    has spots. Light out of focus, uneven illumination, photon (Poisson) noise, read noise and the camera's offset are in it.

    Parameters
    ----------
    shape
        Planes, rows and columns.
    seed
        Not negative; the same seed gives the same pixels.
    nuclei
        How many; None for one per 4400 pixels of a plane. Fewer where there is no room.
    channels
        One name per channel; channels 0, 3, ... show nuclei, 1, 4, ... cytoplasm, 2, 5, ... spots.

    Returns
    -------
    uint16 of shape (c, z, y, x).

    Raises
    ------
    ArgumentError
        A shape that is not three positive ints, a negative seed or count, or no channel.

    Examples
    --------
    >>> field = synthetic_field((2, 64, 96), seed=1)
    >>> field.shape, field.dtype.name
    ((3, 2, 64, 96), 'uint16')
    """
    if len(channels) == 0:
        raise ArgumentError("a field needs at least one channel", where="channels", hint="Pass names such as ('DAPI', 'GFP').")
    scene = _scene(shape, seed, nuclei)
    patterns: tuple[Callable[[_Scene, np.random.Generator], np.ndarray], ...] = (_nuclei, _cytoplasm, _spots)
    pixels = np.empty((len(channels), *scene.shape), np.uint16)
    for c in range(len(channels)):
        rng = np.random.default_rng([seed, 1 + c])
        pixels[c] = _camera(_optics(patterns[c % 3](scene, rng), scene, rng), rng)
    return pixels


def synthetic_labels(shape: tuple[int, int, int], *, seed: int, nuclei: int | None = None) -> np.ndarray:
    """The true nuclei of `synthetic_field` with the same arguments.

    Returns
    -------
    uint32 of shape (z, y, x): ids from 1, 0 is background. A voxel belongs to the nucleus that fills at least half of its depth.

    Examples
    --------
    >>> labels = synthetic_labels((1, 64, 96), seed=1, nuclei=2)
    >>> int(labels.max())
    2
    """
    scene = _scene(shape, seed, nuclei)
    return np.where(_filled(scene) >= 0.5, scene.owner, np.uint32(0))


# ----------------------------------------------------------------------------------------------------------- scene
@dataclass(frozen=True, slots=True)
class _Scene:
    """Where things are. Per pixel of the plane: `owner`, the id (from 1) of the nearest nucleus, 0 where there is none at all; `edge_px`,
    the distance to its outline, negative inside; `radius`, 0 at its centre and 1 on its outline. Per id, from 0 for nobody: columns of
    `depth` (plane of the centre), `brightness`, `reach_px` of the cytoplasm and its `expression`."""

    shape: tuple[int, int, int]
    owner: np.ndarray
    edge_px: np.ndarray
    radius: np.ndarray
    depth: np.ndarray
    brightness: np.ndarray
    reach_px: np.ndarray
    expression: np.ndarray


def _scene(shape: tuple[int, int, int], seed: int, nuclei: int | None) -> _Scene:
    if len(shape) != 3 or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ArgumentError("a field has planes, rows and columns", where="shape", got=shape, allowed="three positive ints")
    if seed < 0 or (nuclei is not None and nuclei < 0):
        raise ArgumentError("seed and nuclei must not be negative", got=(seed, nuclei))
    planes, rows, columns = shape
    rng = np.random.default_rng([seed, 0])
    wanted = max(1, round(rows * columns / AREA_PER_NUCLEUS_PX)) if nuclei is None else nuclei
    centres, radii = _places(rows, columns, wanted, rng)
    count = len(radii)

    owner = np.zeros((rows, columns), np.uint32)
    edge_px = np.full((rows, columns), np.inf, np.float32)
    radius = np.full((rows, columns), np.inf, np.float32)
    for i in range(count):
        _draw(i + 1, centres[i], radii[i], owner, edge_px, radius, rng)

    def per_id(values: np.ndarray) -> np.ndarray:
        return np.concatenate([[0], values]).astype(np.float32)

    middle = (planes - 1) / 2
    return _Scene(
        shape,
        owner,
        edge_px,
        radius,
        per_id(np.clip(rng.normal(middle, 0.12 * (planes - 1), count), 0, planes - 1)),
        per_id(rng.lognormal(math.log(420), 0.3, count)),
        per_id(rng.uniform(8, 20, count)),
        per_id(rng.lognormal(math.log(110), 0.5, count)),
    )


def _places(rows: int, columns: int, count: int, rng: np.random.Generator) -> tuple[list[tuple[float, float]], list[float]]:
    """Centres and mean radii in pixels. A nucleus keeps clear of the others, or lies against one of them; after 60 tries it is left out."""
    placed = np.empty((0, 3))  # y, x, radius
    for _ in range(count):
        radius = float(np.clip(rng.normal(13.5, 2.2), 8, 20))
        touches = len(placed) > 0 and rng.random() < TOUCHING
        for _ in range(60):
            y, x = rng.uniform(0, rows), rng.uniform(0, columns)
            if touches:
                other, angle = int(rng.integers(len(placed))), rng.uniform(0, 2 * math.pi)
                reach = 0.97 * (radius + placed[other, 2])
                y, x = placed[other, 0] + reach * math.sin(angle), placed[other, 1] + reach * math.cos(angle)
            clear = np.hypot(placed[:, 0] - y, placed[:, 1] - x) > 1.15 * (placed[:, 2] + radius)
            if touches:
                clear[other] = True
            if 0 <= y < rows and 0 <= x < columns and clear.all():
                placed = np.vstack([placed, (y, x, radius)])
                break
    return [(y, x) for y, x, _ in placed.tolist()], placed[:, 2].tolist()


def _draw(
    number: int,
    centre: tuple[float, float],
    size: float,
    owner: np.ndarray,
    edge_px: np.ndarray,
    radius: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Put one nucleus into the plane's maps wherever its outline is the nearest so far. It reaches 40 px beyond its outline."""
    stretch, angle = rng.uniform(1.0, 1.3), rng.uniform(0, math.pi)
    dents, phase = rng.uniform(0, 0.07), rng.uniform(0, 2 * math.pi)
    box = tuple(slice(max(0, int(c - 1.5 * size - 40)), int(c + 1.5 * size + 41)) for c in centre)
    y, x = np.ogrid[box[0].start : min(box[0].stop, owner.shape[0]), box[1].start : min(box[1].stop, owner.shape[1])]
    v, u = y - centre[0], x - centre[1]
    along = (u * math.cos(angle) + v * math.sin(angle)) / stretch**0.5
    across = (v * math.cos(angle) - u * math.sin(angle)) * stretch**0.5
    uneven = 1 + dents * np.cos(3 * np.arctan2(across, along) + phase)
    own_radius = (np.hypot(along, across) / (size * uneven)).astype(np.float32)
    own_edge_px = (own_radius - 1) * np.float32(size)
    nearer = own_edge_px < edge_px[box]
    owner[box][nearer] = number
    edge_px[box][nearer] = own_edge_px[nearer]
    radius[box][nearer] = own_radius[nearer]


def _filled(scene: _Scene) -> np.ndarray:
    """How much of each voxel's depth its nucleus fills, 0 to 1; float32 (z, y, x)."""
    planes = scene.shape[0]
    round_off = 0.37 * (planes - 1) * np.sqrt(np.clip(1 - scene.radius**2, 0, None))
    half = np.where(scene.radius < 1, 0.5 + round_off, 0)  # one plane thick at the outline, about 0.8 of the stack in the middle
    depth = scene.depth[scene.owner]
    z = np.arange(planes, dtype=np.float32)[:, None, None]
    return np.clip(np.minimum(depth + half, z + 0.5) - np.maximum(depth - half, z - 0.5), 0, 1)


# ---------------------------------------------------------------------------------------------------- what shines
def _nuclei(scene: _Scene, rng: np.random.Generator) -> np.ndarray:
    """Photons from the nuclei, with the texture of chromatin."""
    texture = np.clip(1 + 0.22 * _grain(scene, rng, 1.6) + 0.12 * _grain(scene, rng, 5.0), 0.3, None)
    return _filled(scene) * (scene.brightness[scene.owner] * texture)


def _cytoplasm(scene: _Scene, rng: np.random.Generator) -> np.ndarray:
    """Photons from a protein in the cytoplasm: flat towards the cell's border, little of it in the nucleus, each cell its own amount."""
    reach = np.maximum(scene.reach_px[scene.owner], 1)
    height = np.clip(1 - scene.edge_px / reach, 0, 1) ** 0.6 * (scene.edge_px < reach)
    shine = (
        scene.expression[scene.owner]
        * height
        * np.where(scene.edge_px < 0, 0.35, 1)
        * np.clip(1 + 0.3 * _grain(scene, rng, 2.5), 0.2, None)
    )
    return _low_in_the_stack(scene)[:, None, None] * shine.astype(np.float32)


def _spots(scene: _Scene, rng: np.random.Generator) -> np.ndarray:
    """Photons from spots (vesicles) in the cytoplasm, over a faint haze of it."""
    inside = (scene.edge_px > -4) & (scene.edge_px < scene.reach_px[scene.owner] - 2)
    places = np.flatnonzero(inside & (rng.random(inside.shape, dtype=np.float32) < 0.006))
    points = np.zeros(inside.size, np.float32)
    points[places] = rng.lognormal(math.log(2600), 0.5, places.size)
    haze = np.where(inside, np.float32(25), np.float32(0))
    shine = ndimage.gaussian_filter(points.reshape(inside.shape), 1.0, truncate=3) + haze
    return _low_in_the_stack(scene)[:, None, None] * shine


def _grain(scene: _Scene, rng: np.random.Generator, size_px: float) -> np.ndarray:
    """Smooth noise over the plane with mean 0 and deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(scene.shape[1:], dtype=np.float32), size_px, truncate=3)
    return noise / max(float(noise.std()), 1e-6)


def _low_in_the_stack(scene: _Scene) -> np.ndarray:
    """The cytoplasm's share in each plane: most of it lies low, where cells hold on to the glass."""
    planes = scene.shape[0]
    z = np.arange(planes, dtype=np.float32)
    return np.exp(-(((z - 0.4 * (planes - 1)) / (0.35 * planes)) ** 2))


# --------------------------------------------------------------------------------------------- microscope, camera
def _optics(shine: np.ndarray, scene: _Scene, rng: np.random.Generator) -> np.ndarray:
    """Photons at the camera: planes blur more away from the focus, see haze of the other planes, and are darker at the field's corners."""
    planes, rows, columns = scene.shape
    haze = ndimage.gaussian_filter(shine.mean(axis=0), 7.0, truncate=3) * 0.35
    focus = (planes - 1) / 2
    seen = np.empty_like(shine, dtype=np.float32)
    for z in range(planes):
        seen[z] = ndimage.gaussian_filter(shine[z], 0.8 + 0.5 * abs(z - focus), truncate=3)
    v = (np.arange(rows, dtype=np.float32) / rows - rng.uniform(0.42, 0.58))[:, None]
    u = np.arange(columns, dtype=np.float32) / columns - rng.uniform(0.42, 0.58)
    return (seen + haze + BACKGROUND) * (1 - 0.55 * (v**2 + u**2)).astype(np.float32)


def _camera(photons: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts: Poisson noise of the photons, read noise, offset; clipped to the camera's 16 bits."""
    counts = rng.poisson(photons).astype(np.float32) * np.float32(COUNTS_PER_PHOTON)
    counts += OFFSET + READ_NOISE * rng.standard_normal(photons.shape, dtype=np.float32)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
