"""Per-object statistics of stored arrays, block by block. Knows: readers, blocks, reductions. Does not know: files, metadata, tables.

Each block becomes one row per object in it, and blocks are combined into the whole, so that the cut of the blocks does not show. A
statistic is a record of `kernels.reductions`; what looks beyond single pixels (perimeter, hull, percentiles) has a kernel of its own that
takes the same blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omexp.backend import Array, backend_of, to_host
from omexp.boxes import BoxReader
from omexp.errors import ArgumentError, BackendMismatchError, DTypeError
from omexp.finding import check_blocks, read_box
from omexp.geometry import Region, blocks
from omexp.kernels.asked import Asked, asked_features
from omexp.kernels.hulls import hull_columns
from omexp.kernels.labels import LabelRuns, label_runs, merge_parts
from omexp.kernels.neighbours import HALO, PATTERNS, pattern_counts
from omexp.kernels.ranks import Ranks
from omexp.kernels.reductions import Extent, Intensity, Moments, Objects, Reduction, Sums
from omexp.kernels.seams import Seams, seam_blocks
from omexp.kernels.segments import Columns, fold_columns, group_equal
from omexp.storage.workers import run_in_order

__all__ = ["Progress", "measure_objects"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of a block or of several: `ids` and equally long columns."""

    ids: Array
    rows: Columns


_Tables = dict[str, _Table]  # "objects", "patterns", "ends", "seen": what a block gives


def measure_objects(
    labels: BoxReader,
    images: Mapping[str, BoxReader],
    block_shape: Sequence[int],
    *,
    axes: Sequence[str],
    spacing: Sequence[float] | None = None,
    features: Sequence[str] | None = None,
    percentiles: Sequence[float] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """One row per object: its shape, and its intensity in each channel.

    Memory is one block of labels and one of one channel per worker, and the table; for percentiles also the pixels of objects that blocks
    cut, until they are whole; for hulls also the ends of the rows of all objects. Image blocks without objects are not read; percentiles
    read the labels twice.

    Counts, boxes, centroids, moments, patterns, percentiles, extremes, sums and means of integers, and deviations of integers of up to 16
    bits, are equal for every cut into blocks; other deviations, and means of floats, agree to about 1e-12.

    Parameters
    ----------
    labels
        Integer or bool labels over the spatial axes; 0 is background.
    images
        Channel name -> reader of the same shape on the same backend; may be empty.
    block_shape
        Pixels per axis that are read together; a multiple of the chunks reads each chunk once.
    axes
        The names of the axes, for example ``"zyx"``.
    spacing
        Physical size of a pixel per axis; 1 unless told.
    features
        Names of scikit-image (`kernels.shapes.FEATURES`, ``intensity_*``); None: the default columns.
    percentiles
        Of each channel, from 0 to 100.
    workers
        Threads.
    progress
        Called with (bytes done, bytes in all).

    Returns
    -------
    Host columns, objects by ascending id: ``label`` (dtype of the labels), and for each of `features` what `regionprops_table` names it;
    the name of a channel takes the place of its number, and is left out if it is "". By default ``area`` (pixels, int64), ``volume``
    (physical), per axis ``bbox_min_x``, ``bbox_max_x`` (pixels, int64, maximum exclusive) and ``centroid_x`` (pixels; pixel 0 has its
    centre at 0), per channel ``mean_c``, ``std_c`` (population), ``min_c``, ``max_c`` (dtype of the image), ``sum_c`` (int64, uint64,
    float64), and ``percentile_q_c``.

    Raises
    ------
    ArgumentError
        The readers differ in shape, or blocks, axes or spacing have not one fitting entry per axis; a feature that cannot be.
    DTypeError
        The labels are not integers, an image is complex, or sums of 64-bit integers would pass 64 bits.
    BackendMismatchError
        The readers give arrays of different backends.

    Examples
    --------
    >>> import numpy
    >>> from omexp.storage.sources import source_of
    >>> labels = source_of(numpy.array([[0, 7, 7, 0], [0, 0, 7, 0]]))
    >>> table = measure_objects(labels, {"itself": labels}, (1, 2), axes="yx", spacing=(0.5, 0.5))
    >>> table["label"].tolist(), table["area"].tolist(), table["volume"].tolist(), table["sum_itself"].tolist()
    ([7], [3], [0.75], [21])
    >>> measure_objects(labels, {"0": labels}, (1, 2), axes="yx", features=["euler_number", "intensity_mean"])
    {'label': array([7]), 'euler_number': array([1]), 'intensity_mean-0': array([7.])}
    """
    check_blocks(labels, block_shape)
    _check_images(labels, images)
    spacing = _checked_spacing(labels, axes, spacing)
    asked = asked_features(features, percentiles, ndim=len(labels.shape), spacing=spacing, has_image=bool(images))
    block = seam_blocks(block_shape, HALO) if asked.needs & PATTERNS.keys() else tuple(block_shape)
    names = tuple(axes) if features is None else tuple(map(str, range(len(axes))))
    walk = _Walk(labels, images, block, asked, Extent(names, spacing), workers, progress)
    with labels.backend.active():
        columns = walk.columns(spacing)
    return columns if features is None else asked.columns(columns, tuple(images), spacing)


@dataclass(frozen=True, eq=False)
class _Walk:
    """One pass over the blocks, with what is asked of each."""

    labels: BoxReader
    images: Mapping[str, BoxReader]
    block: tuple[int, ...]
    asked: Asked
    extent: Extent
    workers: int
    progress: Progress | None
    ranks: dict[str, Ranks] = field(default_factory=dict)

    def columns(self, spacing: Sequence[float]) -> Columns:
        """All columns on the host."""
        if self.asked.ranks:
            seen = self._run(self._presence)["seen"]
            ids, times = to_host(seen.ids), to_host(seen.rows["blocks"])
            self.ranks.update({name: Ranks(ids, times, self.asked.ranks) for name in self.images})
        tables = self._run(self._tables, self.progress)
        objects = tables["objects"]
        finished = {name: column for kind in self._kinds for name, column in kind.finalize(objects.rows).items()}
        if self.asked.names is not None:  # features count with the bare sums, too
            finished = {name: column for name, column in objects.rows.items() if name.startswith("total_")} | finished
        columns = {name: to_host(column) for name, column in ({"label": objects.ids} | finished).items()}
        if "patterns" in tables:  # every object has a border, so the rows are the same
            columns |= {name: to_host(column) for name, column in tables["patterns"].rows.items()}
        if "ends" in tables:
            ends = tables["ends"]
            host = {name: to_host(column) for name, column in ends.rows.items()}
            *places, first, last = host.values()
            feret = spacing if "feret" in self.asked.needs else None
            columns |= hull_columns(columns["label"], to_host(ends.ids), places, first, last, feret=feret)
        for channel, ranks in self.ranks.items():
            columns |= {f"percentile_{q:g}_{channel}": row for q, row in zip(ranks.percentiles, ranks.values, strict=True)}
        return columns

    @property
    def _kinds(self) -> list[Reduction]:
        shapes: list[Reduction] = [self.extent, Moments(self.extent.axes)] if "moments" in self.asked.needs else [self.extent]
        return [*shapes, *(Intensity(name, self.asked.intensities) for name in self.images if self.asked.intensities)]

    @property
    def _patterns(self) -> list[str]:
        return [name for name in PATTERNS if name in self.asked.needs]

    @property
    def _pattern_sums(self) -> Sums:
        return Sums(tuple(column for name in self._patterns for column in PATTERNS[name]))

    def _run(self, tables_of: Callable[[Region, Seams | None], _Tables], progress: Progress | None = None) -> _Tables:
        """The tables of all blocks, merged. An empty block comes first: it gives the dtypes where no block has an object."""
        seams = Seams(self.labels.shape, self.block, HALO, self.labels.backend, self._label_dtype) if self._patterns else None

        def tables(region: Region) -> tuple[int, _Tables]:
            with self.labels.backend.active():
                return region.size, tables_of(region, seams)

        def parts() -> Iterator[_Tables]:
            yield tables(Region.whole((0,) * len(self.labels.shape)))[1]
            pixel = self.labels.dtype.itemsize + sum(image.dtype.itemsize for image in self.images.values())
            done, total = 0, math.prod(self.labels.shape) * pixel
            for pixels, found in run_in_order(tables, blocks(self.labels.shape, self.block), self.workers):
                yield found
                done += pixels * pixel
                if progress is not None:
                    progress(done, total)

        return merge_parts(parts(), self._merge, lambda found: sum(table.ids.shape[0] for table in found.values()))

    @property
    def _label_dtype(self) -> Any:
        return "uint8" if self.labels.dtype.kind == "b" else self.labels.dtype

    def _presence(self, region: Region, seams: Seams | None) -> _Tables:
        """The objects of a block, each seen once."""
        found = Objects(label_runs(read_box(self.labels, region), origin=region.start))
        return {"seen": _Table(found.ids, {"blocks": backend_of(found.ids).xp.ones_like(found.segments.starts)})}

    def _tables(self, region: Region, seams: Seams | None) -> _Tables:
        runs = label_runs(read_box(self.labels, region), origin=region.start)
        tables = {} if seams is None else self._pattern_tables(runs, region, seams)
        if region.size and runs.ids.shape[0] == 0:
            return tables
        found = Objects(runs)
        rows: Columns = {}
        for kind in self._kinds:
            if not isinstance(kind, Intensity):
                rows |= kind.block(found, None)
        for name, image in self.images.items() if self.asked.intensities or self.ranks else ():
            pixels = read_box(image, region)
            rows |= Intensity(name, self.asked.intensities).block(found, pixels)
            if self.ranks and region.size:
                self.ranks[name].add(found, pixels)
        tables["objects"] = _Table(found.ids, rows)
        if "hull" in self.asked.needs or "feret" in self.asked.needs:
            tables["ends"] = _Table(runs.ids, _ends(runs))
        return tables

    def _pattern_tables(self, runs: LabelRuns, region: Region, seams: Seams) -> _Tables:
        """The patterns of all parts that this block completes."""
        xp = self.labels.backend.xp
        if region.size:
            parts = list(seams.add(region, xp.reshape(runs.flat, region.shape)))
        else:  # for the dtypes
            parts = [self.labels.backend.full((2 * HALO,) * len(region.shape), 0, self._label_dtype)]
        found = [_Table(*pattern_counts(part, self._patterns)) for part in parts]
        return {"patterns": _folded(found, [self._pattern_sums])} if found else {}

    def _merge(self, parts: Sequence[_Tables]) -> _Tables:
        kinds: dict[str, list[Reduction]] = {"objects": self._kinds, "patterns": [self._pattern_sums], "seen": [Sums(("blocks",))]}
        merged = {}
        for name in ("objects", "patterns", "ends", "seen"):
            tables = [part[name] for part in parts if name in part]
            if tables:
                merged[name] = _folded(tables, kinds[name]) if name in kinds else _joined(tables)
        return merged


def _ends(runs: LabelRuns) -> Columns:
    """The two ends of each run, and where it lies along the other axes."""
    *slow, fast = runs.start
    return {f"place_{k}": place for k, place in enumerate(slow)} | {"first": fast, "last": fast + runs.length - 1}


def _joined(tables: Sequence[_Table]) -> _Table:
    if len(tables) == 1:
        return tables[0]
    xp = backend_of(tables[0].ids).xp
    rows = {name: xp.concat([table.rows[name] for table in tables]) for name in tables[0].rows}
    return _Table(xp.concat([table.ids for table in tables]), rows)


def _folded(tables: Sequence[_Table], kinds: Sequence[Reduction]) -> _Table:
    """One row per id."""
    if len(tables) == 1:
        return tables[0]
    joined = _joined(tables)
    xp = backend_of(joined.ids).xp
    order, segments, distinct = group_equal(joined.ids)
    ordered = {name: xp.take(column, order) for name, column in joined.rows.items()}

    def combine(a: Columns, b: Columns) -> Columns:
        return {name: column for kind in kinds for name, column in kind.combine(a, b).items()}

    return _Table(distinct, fold_columns(ordered, segments, combine))


def _checked_spacing(labels: BoxReader, axes: Sequence[str], spacing: Sequence[float] | None) -> tuple[float, ...]:
    n = len(labels.shape)
    spacing = (1.0,) * n if spacing is None else tuple(spacing)
    if len(axes) != n or len(set(axes)) != n:
        raise ArgumentError("axes must name each axis of the labels once", where="axes", got=tuple(axes), allowed=f"{n} names")
    if len(spacing) != n or not all(size > 0 and math.isfinite(size) for size in spacing):
        raise ArgumentError("spacing must have one positive entry per axis", where="spacing", got=spacing, allowed=f"{n} numbers")
    return spacing


def _check_images(labels: BoxReader, images: Mapping[str, BoxReader]) -> None:
    for channel, image in images.items():
        where = f"channel {channel!r}"
        if tuple(image.shape) != tuple(labels.shape):
            raise ArgumentError(
                "image and labels must have the same shape",
                where=where,
                got=image.shape,
                allowed=labels.shape,
                hint="Bring the labels to the grid of the image.",
            )
        if image.dtype.kind not in "biuf":
            raise DTypeError("only real numbers can be measured", where=where, got=image.dtype.name, allowed="bool, integers, floats")
        if image.backend != labels.backend:
            raise BackendMismatchError(
                "image and labels must be read on one backend", where=where, got=image.backend.name, allowed=labels.backend.name
            )
