"""The plate that the demo works on. Knows: making one up, copying one. Does not know: what is done with it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omexp.backend import Array, Backend, from_host
from omexp.containers.container import OmeZarrContainer
from omexp.containers.create import create_ome_zarr_from_array
from omexp.containers.plates.plate import OmeZarrPlate, create_empty_plate, open_ome_zarr_plate
from omexp.errors import AlreadyExistsError, ArgumentError, OmexpWarning
from omexp.metadata.plate import ImageInWellPath
from omexp.synthetic import AREA_PER_NUCLEUS_PX, synthetic_field

__all__ = ["CHANNELS", "MadePlate", "copy_plate", "images_of_input", "plate_like"]

CHANNELS = ("DAPI", "GFP", "Cy5")


@dataclass(frozen=True, slots=True)
class MadePlate:
    """A plate that is made up: wells, fields of a well, planes of a field, pixels along its side. `seed` decides every pixel.

    Raises
    ------
    ArgumentError
        More than 16 rows, nothing of something, a negative seed, or fields under 32 pixels.

    Examples
    --------
    >>> [image.well_path for image in MadePlate(rows=1, columns=2, fields=1).images]
    ['A/01', 'A/02']
    """

    rows: int = 2
    columns: int = 3
    fields: int = 2
    planes: int = 4
    size: int = 512
    seed: int = 0
    ngff_version: str = "0.5"

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.fields, self.planes) < 1 or self.rows > 16 or self.size < 32 or self.seed < 0:
            raise ArgumentError(
                "such a plate cannot be made up",
                where="MadePlate",
                got=self,
                allowed="1 to 16 rows, at least 1 column, field and plane, size from 32, seed from 0",
            )

    @property
    def images(self) -> list[ImageInWellPath]:
        """Where each field lies, wells in reading order."""
        rows = "ABCDEFGHIJKLMNOP"[: self.rows]
        return [ImageInWellPath(r, c, str(f)) for r in rows for c in range(1, self.columns + 1) for f in range(self.fields)]

    def pixels(self, where: ImageInWellPath) -> Array:
        """One field, uint16 (c, z, y, x) on the host. Columns further right have fewer cells, down to half, as in a row of rising doses."""
        crowd = 1 - 0.5 * (int(where.column) - 1) / max(1, self.columns - 1)
        nuclei = max(1, round(crowd * self.size**2 / AREA_PER_NUCLEUS_PX))
        shape = (self.planes, self.size, self.size)
        return synthetic_field(shape, seed=1000 * self.seed + self.images.index(where), nuclei=nuclei, channels=CHANNELS)

    def create(self, target: Path, backend: Backend) -> OmeZarrPlate:
        """The plate without pixels, in place of what is there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        return create_empty_plate(target, "omexp demo", self.images, ngff_version=self.ngff_version, overwrite=True, device=backend)

    def write(self, plate: OmeZarrPlate, where: ImageInWellPath, pixels: Array, backend: Backend) -> OmeZarrContainer:
        """One field with its pyramid."""
        return create_ome_zarr_from_array(
            plate.get_image_store(where.row, where.column, where.path),
            from_host(pixels, backend),
            axes_names="czyx",
            xy_pixelsize=0.325,
            z_spacing=1.5,
            channel_labels=CHANNELS,
            chunks=256,  # objects are cut out one by one: small chunks keep that cheap
            name=path_of(where),
            ngff_version=self.ngff_version,
            device=backend,
        )


def path_of(where: ImageInWellPath) -> str:
    """Such as "A/01/0"."""
    return f"{where.well_path}/{where.path}"


def images_of_input(source: Path, folder: Path) -> list[str]:
    """The paths of the images of a plate that are on disk.

    Raises
    ------
    StoreNotFoundError
        There is no plate.
    ArgumentError
        It has no image on disk, or the output folder would lie in it or replace it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmexpWarning)  # they come when the copy is opened
        found = list(open_ome_zarr_plate(source, mode="r").get_images())
    if not found:
        raise ArgumentError("the plate has no image on disk", where=source)
    place = source.resolve()
    inside = place in (folder.resolve(), *folder.resolve().parents)
    if inside or place in ((folder / name).resolve() for name in ("demo-plate.zarr", "demo-objects.zarr")):
        raise ArgumentError(
            "the output would be written into the input", where=source, got=str(folder), hint="Choose another output folder."
        )
    return found


def copy_plate(source: Path, target: Path) -> int:
    """A writable copy of a plate's folder, in place of what is there. Returns the bytes of its files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if not any((target / name).exists() for name in ("zarr.json", ".zgroup")):
            raise AlreadyExistsError("what is there is no Zarr, so it is not replaced", where=target, hint="Pass another --output.")
        shutil.rmtree(target)
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for directory in (target, *(p for p in target.rglob("*") if p.is_dir())):
        directory.chmod(0o755)  # copytree keeps the mode of read-only folders
    return sum(p.stat().st_size for p in target.rglob("*") if p.is_file())


def plate_like(plate: OmeZarrPlate, target: Path, paths: Iterable[str]) -> OmeZarrPlate:
    """An empty plate with the given fields of a plate, such as "A/01/0", in place of what is there."""
    where = [ImageInWellPath(row, column, field) for row, column, field in (path.split("/") for path in paths)]
    return create_empty_plate(target, f"{plate.meta.name or 'plate'}, objects", where, ngff_version=plate.version, overwrite=True)
