"""Problems found in documents. Knows: a place, a message, a level. Does not know: any rule."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from omexp.errors import InvalidMetadataError

__all__ = ["Problem", "Problems", "shown"]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80

MOST_SHOWN = 20  # errors in one message

Level = Literal["error", "warning"]


def shown(value: Any) -> str:
    """A JSON value for a message, cut where it is long or deep: documents of any size must not blow up an error."""
    return _short.repr(value)


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that a document breaks: `loc` is its place, as in ``multiscales.0.axes``."""

    loc: str
    message: str
    level: Level = "error"

    def __str__(self) -> str:
        return f"{self.loc}: {self.message}"


@dataclass(slots=True)
class Problems:
    """Collects every problem of a document, to be raised once."""

    found: list[Problem] = field(default_factory=list)

    def error(self, loc: str, message: str) -> None:
        """A MUST of the specification is broken."""
        self.found.append(Problem(loc, message, "error"))

    def warn(self, loc: str, message: str) -> None:
        """A SHOULD is broken, or something was read leniently."""
        self.found.append(Problem(loc, message, "warning"))

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.found if p.level == "error")

    def expect_list(self, value: Any, loc: str) -> Sequence[Any] | None:
        """The value if it is a JSON list; else None, and an error is noted."""
        if isinstance(value, (list, tuple)):
            return value
        self.error(loc, f"expected a list, got {shown(value)}" if value is not None else "missing; expected a list")
        return None

    def expect_dict(self, value: Any, loc: str) -> dict[str, Any] | None:
        """The value if it is a JSON object; else None, and an error is noted."""
        if isinstance(value, dict):
            return value
        self.error(loc, f"expected an object, got {shown(value)}" if value is not None else "missing; expected an object")
        return None

    def text(self, value: Any, loc: str) -> str | None:
        """A string, or a number as one; None where there is nothing. Anything else is noted and left out."""
        if value is None or isinstance(value, str):
            return value or None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        self.warn(loc, f"expected a string, got {shown(value)}")
        return None

    def raise_errors(self, where: str, what: str = "the OME-Zarr metadata cannot be used") -> None:
        """Raise `InvalidMetadataError` with every error found (the message lists the first of many); do nothing if there is none."""
        errors = self.errors
        if not errors:
            return
        listed = "; ".join(map(str, errors[:MOST_SHOWN])) + (f"; and {len(errors) - MOST_SHOWN} more" if len(errors) > MOST_SHOWN else "")
        error = InvalidMetadataError(what, where=where, got=listed, hint="Correct the group's attributes.")
        error.problems = tuple(self.found)
        raise error
