"""Pictures to convert: PNG, JPEG, BMP and whatever else Pillow opens. Knows: modes. Does not know: microscopy."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from omexp.errors import ArgumentError, StoredDataError
from omexp.importers.imported import ChannelNotes, Imported, InMemory, arranged

__all__ = ["RGBA", "from_picture"]

RGBA = (ChannelNotes("red", "FF0000"), ChannelNotes("green", "00FF00"), ChannelNotes("blue", "0000FF"), ChannelNotes("alpha", "FFFFFF"))
_SHADES = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L"}
_COLORS = {"RGB": 3, "RGBA": 4}


def from_picture(path: Path) -> list[Imported]:
    """A picture: shades as (y, x), colours as (c, y, x). Its resolution is that of a screen or printer, so no pixel size is taken from it.

    Palettes become colours. An alpha channel that is opaque everywhere is left out. Pictures of 16 bits per colour are refused: Pillow
    would cut them to 8.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            raw, picture = str(file.tile[0][3]) if file.tile else "", cast(Image.Image, file)
            if picture.mode in _COLORS and ";16" in raw:
                raise ArgumentError(
                    "pictures of 16 bits per colour cannot be read without loss",
                    where=path,
                    got=raw,
                    allowed="8 bits per colour, or 16-bit grey",
                    hint="Save it as TIFF.",
                )
            if picture.mode == "LA" or (picture.mode in ("P", "PA") and "transparency" in picture.info):
                picture = picture.convert("RGBA")
            elif picture.mode not in _SHADES and picture.mode not in _COLORS:
                picture = picture.convert("RGB")
            mode, frames = picture.mode, getattr(picture, "n_frames", 1)
            pixels = np.array(picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:  # Pillow raises SyntaxError for broken PNG
        raise StoredDataError(f"the picture cannot be read ({error})", where=path, hint="The file may be cut or damaged.") from None
    left_out = [f"{frames - 1} more frames"] if frames > 1 else []
    if mode == "RGBA" and bool((pixels[..., 3] == 255).all()):
        pixels = pixels[..., :3]
        left_out.append("the alpha channel, which is opaque everywhere")
    reader, axes = arranged(InMemory(pixels), "yxs" if mode in _COLORS else "yx", str(path))
    samples = pixels.shape[2] if mode in _COLORS else 0
    return [Imported(reader, axes, path.stem, channels=RGBA[:samples], left_out=tuple(left_out))]
