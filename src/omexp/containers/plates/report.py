"""What a plate lists and does not have. Knows: the one warning that names it all. Does not know: how it was looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from omexp.errors import warn_caller

__all__ = ["PlateReport"]

MOST_NAMED = 24


@dataclass
class PlateReport:
    """Collects, then says it in one `OmexpWarning` that points at the caller's line."""

    where: str
    wells: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)
    strangers: dict[int, list[str]] = field(default_factory=dict)

    def tell(self) -> None:
        parts = [
            f"wells that are listed but not on disk: {_some(self.wells)}" if self.wells else "",
            f"fields that are listed but not on disk: {_some(self.fields)}" if self.fields else "",
            f"left out, for they cannot be used: {_some([f'{k} ({v})' for k, v in self.unusable.items()])}" if self.unusable else "",
            *(f"acquisition {i} is not among the plate's, but fields have it: {_some(f)}" for i, f in sorted(self.strangers.items())),
        ]
        if any(parts):
            warn_caller(f"{self.where}: {'; '.join(filter(None, parts))}")


def _some(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
