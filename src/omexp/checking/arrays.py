"""Rules of arrays. Knows: what the levels of an image, and a label and its image, must have in common. Does not know: stores, pixels."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from omexp.checking.report import Findings
from omexp.geometry import Shape
from omexp.metadata.multiscale import Multiscale
from omexp.metadata.problems import shown
from omexp.storage.nodes import ArrayFacts

__all__ = ["Levels", "check_label", "check_levels"]

_TOLERANCE = 0.01  # of a level's size, besides one pixel: sizes are rounded at each level
_LABEL_DTYPE = re.compile(r"u?int(8|16|32|64)")


@dataclass(frozen=True, slots=True)
class Levels:
    """A multiscale, where it lies, and its arrays by level path (those that can be read)."""

    path: str
    multiscale: Multiscale
    arrays: Mapping[str, ArrayFacts]

    def sizes(self, level: str) -> dict[str, int]:
        """Axis -> pixels of a level."""
        return dict(zip(self.multiscale.axes.names, self.arrays[level].shape, strict=False))


def check_levels(levels: Levels, found: Findings, *, tagged: bool) -> None:
    """Every rule of the arrays of a multiscale. `tagged`: its document names its version (0.1 and 0.2 differ in their chunk keys only)."""
    names = levels.multiscale.axes.names
    present = [path for path in levels.multiscale.paths if path in levels.arrays]
    for path in present:
        _check_array(levels.arrays[path], names, f"{levels.path}/{path}".strip("/"), found, tagged)
    if not present:
        return
    first = levels.arrays[present[0]]
    for path in present[1:]:
        # "All levels MUST have the same dtype" (0.6)
        if levels.arrays[path].dtype != first.dtype:
            where = f"{levels.path}/{path}".strip("/")
            found.broken(
                "array-dtype", where, "dtype", f"expected {first.dtype}, as level {present[0]} has, got {levels.arrays[path].dtype}"
            )
    same = [path for path in present if len(levels.arrays[path].shape) == len(names)]
    for before, after in itertools.pairwise(same):
        a, b = levels.arrays[before].shape, levels.arrays[after].shape
        # "ordered from largest (i.e. highest resolution) to smallest" (all versions: datasets)
        if any(m > n for n, m in zip(a, b, strict=True)):
            found.broken("array-shapes", f"{levels.path}/{after}".strip("/"), "shape", f"{_by(b)} is larger than level {before}, {_by(a)}")
    if not levels.multiscale.scale_is_implied and same[:1] == [levels.multiscale.paths[0]]:
        for path in same[1:]:
            _check_scale(levels, path, found)


def _check_array(array: ArrayFacts, names: tuple[str, ...], where: str, found: Findings, tagged: bool) -> None:
    # "The length of 'axes' ... MUST be equal to the dimensionality of the Zarr arrays" (0.3 to 0.6)
    if len(array.shape) != len(names) and not (found.version in ("0.1", "0.2") and len(array.shape) <= len(names)):
        found.broken("array-axes", where, "shape", f"{len(array.shape)} dimensions ({_by(array.shape)}) for the axes {', '.join(names)}")
    # "'dimension_names' MUST match the names of the axes" (0.5)
    if array.zarr_format == 3 and array.names != names:
        given = "missing" if array.names is None else f"got {shown(list(array.names))}"
        found.broken("array-names", where, "dimension_names", f"expected {', '.join(names)}; {given}")
    # "chunks ... nested with '/'" (0.2 to 0.4: layout)
    if array.separator != "/" and tagged:
        found.broken("array-separator", where, "dimension_separator", f"expected '/', got {array.separator!r}")
    if isinstance(array.fill, str) and array.dtype[0] in "iub":
        found.broken("array-fill", where, "fill_value", f"expected a number or null, got {shown(array.fill)}")


def _check_scale(levels: Levels, path: str, found: Findings) -> None:
    """The scale of a level against that of the first one: sizes times scales stay the same, but for one pixel."""
    multiscale = levels.multiscale
    transforms = {d.path: d.transform.scale for d in multiscale.datasets}
    first = multiscale.paths[0]
    for i, axis in enumerate(multiscale.axes.names):
        whole, size = levels.arrays[first].shape[i], levels.arrays[path].shape[i]
        left = whole * transforms[first][i] / transforms[path][i]
        if abs(left - size) > max(1.0, _TOLERANCE * size):
            message = f"{size} pixels along {axis}, where the scale leaves {left:g} of the {whole} of level {first}"
            found.broken("array-scales", f"{levels.path}/{path}".strip("/"), "shape", message)


def check_label(label: Levels, image: Levels, found: Findings) -> None:
    """Every rule of the arrays of a label that its image is needed for, and of their dtype."""
    # "The label image MUST have the same number of levels as the image" (0.4 to 0.6)
    if len(label.multiscale.paths) != len(image.multiscale.paths):
        counts = f"{len(label.multiscale.paths)}, where the image has {len(image.multiscale.paths)}"
        found.broken("label-levels", label.path, "multiscales.0.datasets", f"the number of levels is {counts}")
    for path, array in label.arrays.items():
        # "The pixels of the label images MUST be integer data types" (0.5, 0.6)
        if not _LABEL_DTYPE.fullmatch(array.dtype):
            found.broken("label-dtype", f"{label.path}/{path}".strip("/"), "dtype", f"expected an integer, got {array.dtype}")
    finest, of_image = label.multiscale.paths[0], image.multiscale.paths[0]
    if finest not in label.arrays or of_image not in image.arrays:
        return
    sizes, whole = label.sizes(finest), image.sizes(of_image)
    strange = [axis for axis in sizes if axis not in whole]
    # "each dimension ... the same as that of the image, or 1" (layout)
    other = [f"{axis} {n}, not {whole[axis]}" for axis, n in sizes.items() if axis in whole and n not in (1, whole[axis])]
    if strange or other:
        message = "; ".join([*other, *([f"the image has no axis {', '.join(strange)}"] if strange else [])])
        found.broken("label-grid", f"{label.path}/{finest}".strip("/"), "shape", message)


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))
