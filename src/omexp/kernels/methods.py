"""The names of downsampling methods. Knows: omexp's names and ngff-zarr's, which kernel each means. Does not know: arrays."""

from __future__ import annotations

import contextlib
from enum import Enum, StrEnum
from typing import Any

from omexp.errors import ArgumentError

__all__ = ["Methods", "resolve_method"]


class Methods(StrEnum):
    """How the pixels of a level become one pixel of the next: see `omexp.downsample` for what each computes.

    The first nine are omexp's. The others are ngff-zarr's, so that its scripts run: each stands for the kernel that makes the pixels its
    metadata promises, aligned to the centres of the windows. A member equals its value, ``Methods.MEAN == "mean"``.

    Examples
    --------
    >>> Methods.ITKWASM_GAUSSIAN
    <Methods.ITKWASM_GAUSSIAN: 'itkwasm_gaussian'>
    >>> Methods.ITKWASM_GAUSSIAN.kernel, Methods.DASK_IMAGE_NEAREST.kernel
    ('gaussian', 'central')
    """

    MEAN = "mean"
    GAUSSIAN = "gaussian"
    MEDIAN = "median"
    MODE = "mode"
    MIN = "min"
    MAX = "max"
    NEAREST = "nearest"
    LABEL_IMAGE = "label_image"
    CENTRAL = "central"
    ITKWASM_GAUSSIAN = "itkwasm_gaussian"
    ITKWASM_BIN_SHRINK = "itkwasm_bin_shrink"
    ITKWASM_LABEL_IMAGE = "itkwasm_label_image"
    ITK_GAUSSIAN = "itk_gaussian"
    ITK_BIN_SHRINK = "itk_bin_shrink"
    DASK_IMAGE_GAUSSIAN = "dask_image_gaussian"
    DASK_IMAGE_MODE = "dask_image_mode"
    DASK_IMAGE_NEAREST = "dask_image_nearest"
    DASK_BIN_SHRINK = "dask_bin_shrink"

    @property
    def kernel(self) -> str:
        """The canonical name, one of omexp's nine: what is computed."""
        return _KERNEL_OF.get(self.value.partition("_")[2].removeprefix("image_"), self.value)

    @property
    def description(self) -> str:
        """One sentence for the provenance block of a multiscale."""
        return _DESCRIPTION_OF[self.kernel]


_KERNEL_OF = {"gaussian": "gaussian", "bin_shrink": "mean", "label_image": "label_image", "mode": "mode", "nearest": "central"}
_DESCRIPTION_OF = {
    "mean": "The mean of each window of pixels, exact for integers and rounded half to even.",
    "gaussian": "A discrete Gaussian of variance (f^2 - 1) / (8 ln 2) per axis with factor f, sampled at the centre of each window.",
    "median": "The lower middle value of each window of pixels.",
    "mode": "The most frequent value of each window of pixels, the smallest on a tie.",
    "min": "The smallest value of each window of pixels.",
    "max": "The largest value of each window of pixels.",
    "nearest": "The first pixel of each window.",
    "label_image": "The most frequent value of the central pixels of each window (one per axis with an odd factor, two with an even one), "
    "the smallest on a tie.",
    "central": "The central pixel of each window, the lower one of two.",
}


def resolve_method(method: Any) -> Methods:
    """The method that a ``method=`` argument means.

    Parameters
    ----------
    method
        A member of `Methods`; a member of another enum whose value is a name here (ngff-zarr's ``Methods``); or a name in any case,
        ``"mean"``, ``"ITKWASM_GAUSSIAN"``. ``"stride"`` is TensorStore's word for ``"nearest"``.

    Raises
    ------
    ArgumentError
        Anything else.

    Examples
    --------
    >>> resolve_method("ITKWASM_BIN_SHRINK").kernel
    'mean'
    """
    name = method.value if isinstance(method, Enum) else method
    if isinstance(name, str):
        with contextlib.suppress(ValueError):
            return Methods("nearest" if name.lower() == "stride" else name.lower())
    raise ArgumentError(
        "there is no such downsampling method", where="method", got=repr(method), allowed=", ".join([*(m.value for m in Methods), "stride"])
    )
