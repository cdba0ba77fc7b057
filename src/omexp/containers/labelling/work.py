"""What a label operation works on: an array or a stored label, read block by block, and where the result goes.

Knows: axis names, pixel sizes, the group of labels. Does not know: which operation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from omexp.backend import Array
from omexp.boxes import BoxReader
from omexp.containers.building import How
from omexp.containers.consolidation import method_for
from omexp.containers.derived import plan_derived_label
from omexp.containers.label import Label
from omexp.containers.labels import LabelsCollection
from omexp.containers.multiscale import arrays_of, read_meta
from omexp.errors import ArgumentError
from omexp.finding import find_boxes
from omexp.geometry import Region, blocks, factors_between, grow_block
from omexp.kernels.label_maps import ids_like
from omexp.kernels.labels import LabelBoxes, check_label_dtype
from omexp.label_operations import MappedReader
from omexp.metadata.labels import require_name
from omexp.pyramid import Progress
from omexp.storage.codecs import codecs_like
from omexp.storage.groups import parent_of
from omexp.storage.reading import default_workers, worker_reader
from omexp.storage.sources import source_of
from omexp.storage.workers import run_in_order

__all__ = ["Axes", "LabelOutput", "LabelWork", "Spacing", "block_of", "reader_of"]

BLOCK_PX = 1 << 22  # of an array in memory that are worked on at a time
Spacing = Sequence[float] | Literal["world"] | None
Axes = Sequence[str] | Sequence[int] | None


class LabelOutput(TypedDict, total=False):
    """Where the result of a `Label` goes. `output` is the new label's name; the label's own, with ``overwrite=True``, replaces it when the
    new one is complete. Arrays take `workers` only."""

    output: str
    overwrite: bool
    workers: int | None
    progress: Progress | None


def reader_of(labels: Any) -> BoxReader:
    """A reader of a label or array. Raises `DTypeError`."""
    if isinstance(labels, Label):
        return worker_reader(labels.stored, labels.backend)
    reader = source_of(labels)
    check_label_dtype(reader.dtype)
    return reader


def block_of(labels: Any, reader: BoxReader) -> tuple[int, ...]:
    """Pixels that are read together: whole chunks of a label."""
    if isinstance(labels, Label):
        return labels.block_shape()
    return grow_block((1,) * len(reader.shape), reader.shape, BLOCK_PX)


@dataclass(frozen=True, slots=True)
class LabelWork:
    """A label or array, read block by block, and where the result goes."""

    labels: Any
    reader: BoxReader
    block: tuple[int, ...]
    output: LabelOutput
    workers: int

    @classmethod
    def of(cls, labels: Any, output: LabelOutput) -> LabelWork:
        stored = isinstance(labels, Label)
        allowed = LabelOutput.__annotations__ if stored else {"workers": None}
        for name in output:
            if name not in allowed:
                raise ArgumentError(
                    "there is no such option", got=name, allowed=", ".join(allowed), hint="Arrays come back, they are not stored."
                )
        if stored:
            _require_output(labels, output)
        reader = reader_of(labels)
        return cls(labels, reader, block_of(labels, reader), output, output.get("workers") or default_workers())

    def boxes(self) -> LabelBoxes:
        return find_boxes(self.reader, self.block, workers=self.workers)

    def ids(self, ids: Any) -> Array:
        """Distinct ids ascending, in the labels' dtype, on their device."""
        return ids_like(ids, self.reader.dtype, self.reader.backend)

    def zeros(self, ids: Array) -> Array:
        return self.reader.backend.full(ids.shape, 0, self.reader.dtype)

    def axes(self, axes: Axes) -> tuple[int, ...]:
        """The numbers of the axes that are meant."""
        ndim = len(self.reader.shape)
        if not isinstance(self.labels, Label):
            found = tuple(range(ndim)) if axes is None else tuple(axes)
            if not all(isinstance(axis, int) and 0 <= axis < ndim for axis in found):
                raise ArgumentError("an array has no such axis", where="axes", got=found, allowed=f"0 to {ndim - 1}")
            return found  # type: ignore[return-value]
        every = self.labels.meta.multiscale.axes
        places = {name: i for name in ("t", "z", "y", "x", *self.labels.axes) if (i := every.index(name)) is not None}
        names = [name for name in "zyx" if name in places] if axes is None else list(axes)
        strange = [name for name in names if name not in places]
        if strange:
            raise ArgumentError("the label has no such axis", where=self.labels.where, got=strange[0], allowed=", ".join(self.labels.axes))
        return tuple(places[name] for name in names)  # type: ignore[index]

    def apart(self, axes: Axes) -> tuple[int, ...]:
        """The axes that are not meant."""
        meant = self.axes(axes)
        return tuple(axis for axis in range(len(self.reader.shape)) if axis not in meant)

    def sizes(self, spacing: Spacing, axes: Axes) -> tuple[float | None, ...]:
        """Size of a pixel along the axes that are meant; None along the others."""
        ndim, meant = len(self.reader.shape), self.axes(axes)
        if isinstance(spacing, str):
            if spacing != "world" or not isinstance(self.labels, Label):
                raise ArgumentError("spacing is not understood", where="spacing", got=spacing, allowed="numbers; 'world' for a Label")
            spacing = [self.labels.pixel_size.get(axis) for axis in self.labels.axes]
        given = [1.0] * ndim if spacing is None else list(spacing)
        if len(given) != ndim or not all(0 < size < math.inf for size in given):
            raise ArgumentError("spacing must have one positive entry per axis", where="spacing", got=given, allowed=f"{ndim} numbers")
        return tuple(size if axis in meant else None for axis, size in enumerate(given))

    def kept(self, ids: Array) -> Any:
        """The label with these objects only."""
        return self.result(MappedReader(self.reader, ids, ids))

    def result(self, made: Any, *, same_ids: bool = True) -> Any:
        """The pixels of a reader, as an array or as a label beside this one."""
        if isinstance(self.labels, Label):
            return _written(self.labels, made, self.output, same_ids=same_ids)
        backend, whole = made.backend, Region.whole(made.shape)
        pixels = backend.empty(made.shape, made.dtype)

        def fill(box: Region) -> None:
            with backend.active():
                pixels[box.slices] = made.read(box)

        for _ in run_in_order(fill, blocks(whole, self.block), self.workers):
            pass
        return pixels


def _require_output(label: Label, output: LabelOutput) -> None:
    if label.path != label.meta.finest:
        raise ArgumentError(
            "a new label is made of the finest level", where=label.where, allowed=label.meta.finest, hint="Take it from get_label(name)."
        )
    if "output" not in output:
        raise ArgumentError(
            "say where the result goes", where=label.where, got="no output", hint="Pass output=, the name of the new label."
        )
    require_name(output["output"], "label name")


def _written(label: Label, source: Any, output: LabelOutput, *, same_ids: bool) -> Label:
    """A label beside another one, its levels made by that one's method."""
    name = output["output"]
    labels = parent_of(label.group, "r+")
    image = None if labels is None else parent_of(labels, "r+")
    if image is None:
        raise ArgumentError("the label lies in no image", where=label.where, hint="Derive a label from an image, and write to it.")
    codec = codecs_like(label.stored.compressors, label.group.zarr_format, source.dtype)
    options = {"dtype": source.dtype, "compressors": codec}
    blueprint = plan_derived_label(label.meta, arrays_of(label.group, label.meta), name, options)
    ratios = label.meta.ratios(label.meta.by_resolution)
    shapes = itertools.pairwise([layout.shape for layout in blueprint.layouts])
    factors = [factors_between(a, b, ratios=r, where=label.where) for (a, b), r in zip(shapes, ratios, strict=True)]
    blueprint = replace(blueprint, factors=tuple(factors))
    if same_ids and label.image_label is not None:  # colours and properties belong to ids
        blueprint = replace(blueprint, meta=replace(blueprint.meta, image_label=label.image_label))
    how = How(method=method_for(label, None), workers=output.get("workers"), progress=output.get("progress"))
    collection = LabelsCollection(image, read_meta(image)[0].version)
    group = collection.create(name, blueprint, overwrite=output.get("overwrite", False), source=source, how=how)
    image.update_consolidated()
    meta, _ = read_meta(group)
    return Label(group, meta, meta.finest, label.backend)
