"""Pictures of plates and images. Knows: what is read for them and how it is laid out. Does not know: how anything was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omexp.overview.fields import Field, fields_across, read_fields
from omexp.overview.mixing import EMPTY, OUTLINE, composite, windows_of
from omexp.overview.page import BACKGROUND, draw_overview, fitting_tile, save

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["BACKGROUND", "EMPTY", "OUTLINE", "Field", "draw_overview", "picture_of_image", "picture_of_plate", "plate_overview"]


def plate_overview(
    plate: Any,
    *,
    label: str | None = "nuclei",
    width_px: int = 1800,
    images: Mapping[str, Any] | None = None,
    channels: Sequence[int | str] | None = None,
    level: str | int | None = None,
) -> Picture:
    """All images of a plate in one picture: wells in their grid, channels in their colours, objects outlined.

    Stacks are shown by their brightest pixels along z, time series by their first time point. Each image is read at the coarsest level
    that has a pixel for each of the picture's. A channel has one display window over the whole plate: the median of its images'
    windows. Where an image says none (or the dtype's whole range), and for stacks (their brightest pixels lie above any plane's
    window), it is the 5th to the 99.8th percentile of what is shown.

    Parameters
    ----------
    plate
        An `omexp.OmeZarrPlate`.
    label
        The label whose objects are outlined, where an image has it; None for no outlines.
    width_px
        About how wide the picture is.
    images
        Those that are shown, by path; None: all that are on disk.
    channels
        Labels or indices of those that are shown; None: the active ones.
    level
        A path or index of the images' levels; None: the coarsest that fits.

    Returns
    -------
    An RGB ``PIL.Image``.

    Raises
    ------
    OmexpError
        What reading an image raises, where none can be read; no such channel or level in any. Single ones are left empty, and named in
        one `OmexpWarning`.
    """
    meta = plate.meta
    images = plate.get_images() if images is None else images
    wells: dict[str, list[str]] = {}
    for path in images:
        wells.setdefault(path.rpartition("/")[0], []).append(path)
    across = fields_across(max(map(len, wells.values()), default=1))
    tile_px = fitting_tile(meta.rows, meta.columns, across, width_px)
    read = read_fields(images, tile_px, channels=channels, level=level, label=label)
    fields = {"/".join(well.split("/")[-2:]): [read[path] for path in paths] for well, paths in wells.items()}
    return draw_overview(meta.name or "plate", meta.rows, meta.columns, fields, tile_px=tile_px)


def picture_of_plate(plate: Any, *, path: Any = None, **options: Any) -> Any:
    """`plate_overview` as (height, width, 3) uint8, a NumPy array; also written to a PNG file at `path`, if given."""
    return save(plate_overview(plate, **options), path)


def picture_of_image(
    container: Any, *, channels: Sequence[int | str] | None = None, level: str | int | None = None, width_px: int = 1024, path: Any = None
) -> Any:
    """One image in its channels' colours and windows, `width_px` on its longer side at most: (height, width, 3) uint8.

    Parameters as in `plate_overview`; `path` is a PNG file to write, as well.
    """
    field = read_fields({"": container}, width_px, channels=channels, level=level, label=None, fit_longer=True)[""]
    return save(composite(field, windows_of([field])), path, longest=width_px)
