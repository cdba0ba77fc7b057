"""An image as a small picture. Knows: the verb. Does not know: colours, files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omexp.overview import picture_of_image

__all__ = ["Pictured"]


class Pictured:
    """Whoever has levels, channels and labels as `OmeZarrContainer` has them can be drawn."""

    def thumbnail(
        self, channels: Sequence[int | str] | None = None, level: str | int | None = None, size: int = 1024, *, path: Any = None
    ) -> Any:
        """The image in its channels' colours and windows: first time point, brightest along z.

        Parameters
        ----------
        channels
            Labels or indices of those that are shown; None: the active ones.
        level
            A path or index of the levels; None: the coarsest that fits.
        size
            Pixels on the longer side, at most.
        path
            A PNG file to write it to, as well.

        Returns
        -------
        (height, width, 3) of uint8: a NumPy array, whatever the device.

        Raises
        ------
        NameNotFoundError
            No such channel or level.

        Examples
        --------
        >>> import numpy, omexp
        >>> pixels = numpy.ones((2, 300, 200), "uint8")
        >>> made = omexp.create_ome_zarr_from_array("drawn.zarr", pixels, axes_names="cyx", xy_pixelsize=1, overwrite=True)
        >>> made.thumbnail(size=90).shape
        (90, 60, 3)
        """
        return picture_of_image(self, channels=channels, level=level, width_px=size, path=path)
