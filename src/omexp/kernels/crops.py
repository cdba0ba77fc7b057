"""Boxes cut out of an array, many in one step, and patches put back. Knows: boxes, ids, rows. Does not know: files, chunks, axes names.

Boxes, rows, corners and labels are host integers; pixels stay where they are. Each kernel fills or changes the array that it is given
for its result, so that a batch is made once and a device needs one launch for all boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omexp.backend import Array, backend_of, native
from omexp.geometry import Region, Shape
from omexp.kernels.masks import mask_of_label, masked

__all__ = ["blank_outside", "cut_boxes", "cut_masked", "cut_masks", "ids_box", "put_masked"]


def cut_boxes(pixels: Array, boxes: Sequence[Region], out: Array, rows: Sequence[int], corners: Sequence[Shape]) -> None:
    """Copy boxes of an array into rows of a batch: ``out[row, corner : corner + box.shape] = pixels[box]``.

    Parameters
    ----------
    pixels
        Any shape and dtype.
    boxes
        n boxes, all inside `pixels`.
    out
        (m, \\*shape), the dtype and device of `pixels`; changed in place. What no box fills stays.
    rows, corners
        Per box its row, and where it begins in the row.

    Raises
    ------
    BackendMismatchError
        The arrays live in different places.

    Examples
    --------
    >>> import numpy
    >>> batch = numpy.zeros((2, 1, 3), "uint8")
    >>> cut_boxes(numpy.array([[1, 2, 3, 4]], "uint8"), [Region((0, 0), (1, 2)), Region((0, 1), (1, 4))], batch, [0, 1], [(0, 1), (0, 0)])
    >>> batch.tolist()
    [[[0, 1, 2]], [[2, 3, 4]]]
    """
    if fast := native("cut_boxes", backend_of(pixels, out)):
        fast(pixels, boxes, out, rows, corners)
        return
    for box, row, corner in zip(boxes, rows, corners, strict=True):
        out[(row, *_place(corner, box.shape))] = pixels[box.slices]


def cut_masks(
    ids: Array, boxes: Sequence[Region], labels: Sequence[int], out: Array, rows: Sequence[int], corners: Sequence[Shape]
) -> None:
    """Say, in rows of a batch, which pixels of boxes have the box's label: ``out[row, corner : ...] = ids[box] == label``.

    As `cut_boxes`, with a bool batch and one label per box. A label that the dtype of `ids` cannot hold is nowhere.

    Examples
    --------
    >>> import numpy
    >>> batch = numpy.zeros((1, 3), "bool")
    >>> cut_masks(numpy.array([7, 7, 9, 7]), [Region((1,), (4,))], [7], batch, [0], [(0,)])
    >>> batch.tolist()
    [[True, False, True]]
    """
    if fast := native("cut_masks", backend_of(ids, out)):
        fast(ids, boxes, labels, out, rows, corners)
        return
    for box, label, row, corner in zip(boxes, labels, rows, corners, strict=True):
        out[(row, *_place(corner, box.shape))] = mask_of_label(ids[box.slices], label)


def cut_masked(
    pixels: Array, boxes: Sequence[Region], ids: Array, offset: Shape, labels: Sequence[int], fill_value: Any = 0
) -> list[Array]:
    """Boxes of an array, each of its own shape: pixels whose id is the box's label keep their value, all others are `fill_value`.

    Parameters
    ----------
    pixels
        Any shape and dtype.
    boxes
        n boxes, all inside `pixels`.
    ids
        On the same grid and device as `pixels`; of size 1 along axes where one id stands for all pixels.
    offset
        Where `ids` begins, as a pixel of `pixels`; may be negative. Without meaning along axes of size 1.
    labels
        n ids. One that the dtype of `ids` cannot hold is nowhere.
    fill_value
        A number that the dtype of `pixels` can hold.

    Returns
    -------
    n new arrays of the dtype and device of `pixels`.

    Raises
    ------
    BackendMismatchError, DTypeError
        The arrays live in different places; `fill_value` does not fit.

    Examples
    --------
    >>> import numpy
    >>> pixels, ids = numpy.array([[1, 2, 3]]), numpy.array([[5, 8, 8]])
    >>> [cut.tolist() for cut in cut_masked(pixels, [Region((0, 0), (1, 2))], ids, (0, 0), [8], 9)]
    [[[9, 2]]]
    """
    if fast := native("cut_masked", backend_of(pixels, ids)):
        return fast(pixels, boxes, ids, offset, labels, fill_value)
    return [
        masked(pixels[box.slices], mask_of_label(ids[ids_box(box, ids.shape, offset).slices], label), fill_value)
        for box, label in zip(boxes, labels, strict=True)
    ]


def blank_outside(pixels: Array, masks: Array, fill_value: Any = 0) -> None:
    """Set pixels to `fill_value` where the mask is False.

    Parameters
    ----------
    pixels
        Any shape and dtype; changed in place.
    masks
        bool, broadcasts to the shape of `pixels`.
    fill_value
        A number that the dtype of `pixels` can hold, else `DTypeError`.

    Examples
    --------
    >>> import numpy
    >>> pixels = numpy.array([1, 2])
    >>> blank_outside(pixels, numpy.array([True, False]), 9)
    >>> pixels.tolist()
    [1, 9]
    """
    if fast := native("blank_outside", backend_of(pixels, masks)):
        fast(pixels, masks, fill_value)
        return
    pixels[...] = masked(pixels, masks, fill_value)


def put_masked(target: Array, patches: Sequence[Array], masks: Sequence[Array], corners: Sequence[Shape]) -> None:
    """Put patches into an array where their masks are True, one after the other: of two on one pixel the later one stays.

    Parameters
    ----------
    target
        Any shape; changed in place.
    patches
        n arrays in the dtype and on the device of `target`, each inside it.
    masks
        n bool arrays, each of its patch's shape or with axes of size 1.
    corners
        Where each patch begins.

    Examples
    --------
    >>> import numpy
    >>> target = numpy.zeros(4, "uint8")
    >>> put_masked(target, [numpy.array([1, 2], "uint8")], [numpy.array([False, True])], [(1,)])
    >>> target.tolist()
    [0, 0, 2, 0]
    """
    backend = backend_of(target)
    if fast := native("put_masked", backend):
        fast(target, patches, masks, corners)
        return
    for patch, mask, corner in zip(patches, masks, corners, strict=True):
        place = _place(corner, patch.shape)
        target[place] = backend.xp.where(mask, patch, target[place])


def ids_box(box: Region, shape: Shape, offset: Shape) -> Region:
    """A box of pixels in an array of ids of some shape that begins at `offset`; all of it along axes of size 1."""
    return Region(
        tuple([0 if n == 1 else a - o for a, n, o in zip(box.start, shape, offset, strict=True)]),
        tuple([1 if n == 1 else b - o for b, n, o in zip(box.stop, shape, offset, strict=True)]),
    )


def _place(corner: Shape, shape: Shape) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))
