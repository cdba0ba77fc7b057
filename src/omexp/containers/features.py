"""Measuring objects. Knows: which label and image levels fit, what a feature table is. Does not know: how statistics are made."""

from __future__ import annotations

from omexp.backend import DeviceLike, resolve_backend
from omexp.containers.image import Image
from omexp.containers.label import Label
from omexp.containers.tables import FeatureTable
from omexp.errors import ArgumentError
from omexp.measuring import measure_objects
from omexp.storage.reading import FixedAxesReader, Reader, choose_reader

__all__ = ["measure"]


def measure(label: Label, image: Image | None = None, *, device: DeviceLike = "auto") -> FeatureTable:
    """Per-object features of a label, and of an image over it, block by block.

    Parameters
    ----------
    label
        One level of a label.
    image
        One level of an image on the same grid (all axes but c are equal), or None for shapes only.
    device
        Where the work runs: "auto" is the label's own device, so that nothing crosses the bus for it.

    Returns
    -------
    FeatureTable
        One row per object: `label`, `area` (pixels), `volume` (physical), `bbox_min_*`, `bbox_max_*`, `centroid_*` (pixels), and per
        channel `mean_*`, `std_*`, `min_*`, `max_*`, `sum_*`, named by channel label.

    Raises
    ------
    ArgumentError
        The label is an image, or the two are not on the same grid.
    DTypeError
        The label does not hold integers.

    Examples
    --------
    >>> import numpy, omexp
    >>> container = omexp.create_ome_zarr_from_array("m.zarr", numpy.full((32, 32), 7, "uint8"), xy_pixelsize=1, overwrite=True)
    >>> nuclei = container.derive_label("nuclei")
    >>> nuclei.set_array(numpy.pad(numpy.ones((4, 4), "uint32"), 14))
    >>> table = omexp.measure(nuclei, container.get_image())
    >>> float(table.dataframe.loc[1, "mean_channel_0"])
    7.0
    """
    if not isinstance(label, Label):
        raise ArgumentError("this is no label", where="measure", got=type(label).__name__, hint="Take it from container.get_label(name).")
    if not isinstance(image, Image | None):
        raise ArgumentError("this is no image", where="measure", got=type(image).__name__, hint="Take it from container.get_image().")
    backend = label.backend if device == "auto" else resolve_backend(device)
    readers = {} if image is None else _channel_readers(label, image, choose_reader(image.stored, backend))
    spacing = [label.pixel_size.get(axis) for axis in label.axes]
    columns = measure_objects(choose_reader(label.stored, backend), readers, label.block_shape(), axes=label.axes, spacing=spacing)
    return FeatureTable(columns, reference_label=label.meta.name)


def _channel_readers(label: Label, image: Image, reader: Reader) -> dict[str, Reader]:
    at = image.meta.multiscale.axes.index("c")
    rest = [i for i in range(len(image.axes)) if i != at]
    same_axes = tuple(image.axes[i] for i in rest) == label.axes
    if not same_axes or tuple(image.shape[i] for i in rest) != label.shape:
        raise ArgumentError(
            "label and image are not on the same grid",
            where=image.where,
            got=f"image {image.dimensions}; label {label.dimensions}",
            allowed="equal axes and sizes but for c",
            hint="Take levels of the same pixel size: get_label(name, pixel_size=image.pixel_size).",
        )
    if at is None:
        return {image.channel_labels[0]: reader}
    return {name: FixedAxesReader(reader, {at: i}) for i, name in enumerate(image.channel_labels)}
