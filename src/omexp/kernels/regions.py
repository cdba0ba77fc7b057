"""Any region of the next level from the pixels it needs: one interface for all methods. Knows: windows, halos. Does not know: files.

Engines cut the coarser level as they like, read `source_box` of each piece and hand its pixels to `reduce_box`. Every cut gives the
same pixels as `omexp.downsample` of the whole array, bit for bit.
"""

from __future__ import annotations

from omexp.backend import Array
from omexp.errors import ArgumentError
from omexp.geometry import Region, Shape, windows_source
from omexp.kernels.gaussian import gaussian_box, gaussian_halo, taps_span
from omexp.kernels.windows import reduce_windows

__all__ = ["halo", "reduce_box", "source_box"]


def halo(method: str, factors: Shape) -> Shape:
    """Pixels that a method needs beyond its windows, on either side of each axis: none, but for ``"gaussian"``.

    Examples
    --------
    >>> halo("gaussian", (1, 2, 4)), halo("mean", (1, 2, 4))
    ((0, 2, 3), (0, 0, 0))
    """
    return tuple(gaussian_halo(f) for f in factors) if method == "gaussian" else (0,) * len(factors)


def source_box(target: Region, factors: Shape, shape: Shape, method: str) -> Region:
    """The pixels of the finer level that a region of the coarser one needs, halo included, clipped to the finer level's `shape`.

    `method` is a kernel's name (`Methods.kernel`). An empty target needs an empty box.
    """
    windows = windows_source(target, factors, shape)
    if method != "gaussian" or target.size == 0:
        return windows
    spans = [slice(a, b) if n == 1 else taps_span(a, b, f) for a, b, f, n in zip(target.start, target.stop, factors, shape, strict=True)]
    return Region.of_slices(spans).intersect(Region.whole(shape))


def reduce_box(pixels: Array, box: Region, target: Region, factors: Shape, shape: Shape, method: str) -> Array:
    """The pixels of a region of the coarser level.

    Parameters
    ----------
    pixels, box
        Pixels of the finer level, and which: `source_box`, or any box around it.
    target
        The wanted pixels of the coarser level, inside ``ceil(shape / factors)``; a stored level may be smaller than that.
    factors, shape
        The window and the whole shape of the finer level.
    method
        A kernel's name (`Methods.kernel`).

    Returns
    -------
    array
        Same library, device and dtype as `pixels`, shape ``target.shape``, never a view of `pixels`.

    Raises
    ------
    ArgumentError
        The pixels are not those of the box, or the box lacks some that the target needs.
    """
    needed = source_box(target, factors, shape, method)
    if tuple(pixels.shape) != box.shape or (needed.size and needed.intersect(box) != needed):
        raise ArgumentError(
            "the pixels are not those that the region needs",
            where=method,
            got=f"{tuple(pixels.shape)} pixels of {box}",
            allowed=f"at least {needed}",
            hint="Read source_box.",
        )
    if method == "gaussian" and any(f > 1 for f in factors):
        return gaussian_box(pixels, box, target, factors, shape)
    windows = windows_source(target, factors, shape).relative_to(box)
    return reduce_windows(pixels[(*windows.slices, ...)], factors, method)
