"""Tables of a plate and of all its images. Knows: the plate's own, which names the images have, joining them. Does not know: columns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from omexp.containers.container import OmeZarrContainer
from omexp.containers.plates.well import OmeZarrWell
from omexp.containers.table_access import TableAccess
from omexp.containers.tables import Table
from omexp.containers.tables.concatenation import concatenate, list_image_tables
from omexp.errors import ArgumentError

__all__ = ["PlateTables"]

T = TypeVar("T", bound=Table)
R = TypeVar("R")
MaxWorkers = int | str | None


class PlateTables(TableAccess):
    """The plate's own tables, as an image has them, and the tables of its images."""

    get_images: Callable[..., dict[str, OmeZarrContainer]]
    get_wells: Callable[..., dict[str, OmeZarrWell]]
    images_paths: Callable[..., list[str]]

    def list_image_tables(
        self,
        acquisition: int | None = None,
        filter_types: str | None = None,
        mode: str = "common",
        max_workers: MaxWorkers = None,
    ) -> list[str]:
        """Names of the tables that all images have ("common"), or that any has ("all").

        `filter_types` leaves only tables of a type; the other parameters are those of `get_images`.
        """
        if mode not in ("common", "all"):
            raise ArgumentError("mode is not understood", where="mode", got=repr(mode), allowed="'common', 'all'")
        images = self.get_images(acquisition, max_workers).values()
        return list_image_tables(images, filter_types, mode, _count(max_workers)) if images else []  # type: ignore[arg-type]

    def concatenate_image_tables(
        self,
        name: str,
        acquisition: int | None = None,
        strict: bool = True,
        index_key: str | None = None,
        mode: str = "eager",
        max_workers: MaxWorkers = None,
    ) -> Table:
        """One table of the tables of that name of all images, with the columns ``row``, ``column`` and ``path_in_well``.

        Parameters
        ----------
        name
            The table's name, the same in every image.
        acquisition, max_workers
            As in `get_images`.
        strict
            Raise where an image has no such table; False: go on without it.
        index_key
            A new index column of this name: ``{row}_{column}_{path_in_well}_{label}``.
        mode
            "eager", or "lazy": nothing is read before the table is looked at.

        Raises
        ------
        NameNotFoundError
            An image has no such table and `strict` is set, or none has it.
        """
        return self._joined(name, None, acquisition, strict, index_key, mode, max_workers)

    def concatenate_image_tables_as(
        self,
        name: str,
        table_cls: type[T],
        acquisition: int | None = None,
        index_key: str | None = None,
        strict: bool = True,
        mode: str = "eager",
        max_workers: MaxWorkers = None,
    ) -> T:
        """`concatenate_image_tables`, as tables of a class, whatever their type says."""
        return self._joined(name, table_cls, acquisition, strict, index_key, mode, max_workers)

    def _joined(
        self, name: str, cls: Any, acquisition: int | None, strict: bool, index_key: str | None, mode: str, max_workers: MaxWorkers
    ) -> Any:
        if mode not in ("eager", "lazy"):
            raise ArgumentError("mode is not understood", where="mode", got=repr(mode), allowed="'eager', 'lazy'")
        images: Mapping[str, OmeZarrContainer] = self.get_images(acquisition, max_workers)
        lazy, count = mode == "lazy", _count(max_workers)
        return concatenate(images, name, table_type=cls, lazy=lazy, index_key=index_key, strict=strict, max_workers=count)

    # ------------------------------------------------------------------------------------ for those who await things
    async def get_images_async(self, acquisition: int | None = None) -> dict[str, OmeZarrContainer]:
        """`get_images`, in a thread."""
        return await asyncio.to_thread(self.get_images, acquisition)

    async def get_wells_async(self) -> dict[str, OmeZarrWell]:
        """`get_wells`, in a thread."""
        return await asyncio.to_thread(self.get_wells)

    async def images_paths_async(self, acquisition: int | None = None) -> list[str]:
        """`images_paths`, in a thread."""
        return await asyncio.to_thread(self.images_paths, acquisition)

    async def list_image_tables_async(
        self, acquisition: int | None = None, filter_types: str | None = None, mode: str = "common"
    ) -> list[str]:
        """`list_image_tables`, in a thread."""
        return await asyncio.to_thread(self.list_image_tables, acquisition, filter_types, mode)

    async def concatenate_image_tables_async(
        self, name: str, acquisition: int | None = None, strict: bool = True, index_key: str | None = None, mode: str = "eager"
    ) -> Table:
        """`concatenate_image_tables`, in a thread."""
        return await asyncio.to_thread(self.concatenate_image_tables, name, acquisition, strict, index_key, mode)

    async def concatenate_image_tables_as_async(
        self,
        name: str,
        table_cls: type[T],
        acquisition: int | None = None,
        index_key: str | None = None,
        strict: bool = True,
        mode: str = "eager",
    ) -> T:
        """`concatenate_image_tables_as`, in a thread."""
        return await asyncio.to_thread(self.concatenate_image_tables_as, name, table_cls, acquisition, index_key, strict, mode)


def _count(max_workers: MaxWorkers) -> int | None:
    return max_workers if isinstance(max_workers, int) else None
