"""Problems found in documents. Knows: a place, a rule, a level, what to do. Does not know: what any rule says.

One walk over a document serves both of its readers: a lenient one (`Problems()`), which hears of what it cannot or should not pass over,
and a validation (`Problems(checking=True)`), which hears of everything at the level that the specification gives it. `rules.py` has the
table.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omexp.errors import InvalidMetadataError
from omexp.metadata.rules import RULES, Level

__all__ = ["Problem", "Problems", "refusal", "shown"]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80

MOST_SHOWN = 20  # errors in one message


def shown(value: Any) -> str:
    """A JSON value for a message, cut where it is long or deep: documents of any size must not blow up an error."""
    return _short.repr(value)


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that a document breaks: `loc` is its place, as in ``multiscales.0.axes``, `rule` its id, `fix` what to do about it."""

    loc: str
    message: str
    level: Level = "error"
    rule: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.loc}: {self.message}"

    def to_json(self) -> dict[str, str]:
        """The problem as `omexp validate --json` prints it."""
        return {"location": self.loc, "level": self.level, "rule": self.rule, "message": self.message, "fix": self.fix}


@dataclass(slots=True)
class Problems:
    """Collects every problem of a document, to be raised once.

    `version` is that of the document: rules come and go. With `checking` every rule counts, at the level of the specification; without, an
    error is what reading cannot go on after. `unusable` is True once there is such a one, in both.
    """

    found: list[Problem] = field(default_factory=list)
    version: str = "0.5"
    checking: bool = False
    unusable: bool = False

    def broken(self, rule: str, loc: str, message: str) -> None:
        """A rule of the table is broken at that place; nothing happens where the version has no such rule."""
        broken = RULES[rule]
        level = broken.level(self.version)
        if level is None:
            return
        self.unusable |= broken.reading == "stop"
        if not self.checking:
            if broken.reading == "quiet":
                return
            level = "error" if broken.reading == "stop" else "warning"
        self.found.append(Problem(loc, message, level, rule, broken.fix))

    def error(self, loc: str, message: str) -> None:
        """Something that reading cannot go on after, and that is no rule of the table."""
        self.unusable = True
        self.found.append(Problem(loc, message, "error"))

    def warn(self, loc: str, message: str) -> None:
        """Something was read leniently that is no rule of the table."""
        self.found.append(Problem(loc, message, "warning"))

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.found if p.level == "error")

    def expect_list(self, value: Any, loc: str) -> Sequence[Any] | None:
        """The value if it is a JSON list; else None, and an error is noted."""
        if isinstance(value, (list, tuple)):
            return value
        self.broken("list", loc, f"expected a list, got {shown(value)}" if value is not None else "missing; expected a list")
        return None

    def expect_dict(self, value: Any, loc: str) -> dict[str, Any] | None:
        """The value if it is a JSON object; else None, and an error is noted."""
        if isinstance(value, dict):
            return value
        self.broken("object", loc, f"expected an object, got {shown(value)}" if value is not None else "missing; expected an object")
        return None

    def text(self, value: Any, loc: str) -> str | None:
        """A string, or a number as one; None where there is nothing. Anything else is noted and left out."""
        if value is None or isinstance(value, str):
            return value or None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.broken("string-number", loc, f"expected a string, got {shown(value)}")
            return str(value)
        self.broken("string", loc, f"expected a string, got {shown(value)}")
        return None

    def text_of(self, entry: Mapping[str, Any], key: str, loc: str) -> str | None:
        """`text` of a key; a null is the same as no key, and only a validation hears of it."""
        self.no_null(entry, loc, key)
        return self.text(entry.get(key), f"{loc}.{key}")

    def no_null(self, entry: Mapping[str, Any], loc: str, *keys: str) -> None:
        """Keys that may be left out and may not be null; a reader takes the one for the other."""
        for key in keys:
            if key in entry and entry[key] is None:
                self.broken("null", f"{loc}.{key}", "null; expected a value, or no such key")

    def expect_version(self, entry: Mapping[str, Any], rule: str, loc: str) -> None:
        """The version inside a block: `rule` is broken where it is missing; where it is there, it must be the document's."""
        self.no_null(entry, loc, "version")
        tag = entry.get("version")
        if tag is None:
            self.broken(rule, f"{loc}.version", "missing")
        elif not isinstance(tag, str) or not tag.startswith(self.version):
            self.broken("version-same", f"{loc}.version", f"expected {self.version!r}, got {shown(tag)}")

    def raise_errors(self, where: str, what: str = "the OME-Zarr metadata cannot be used") -> None:
        """Raise `InvalidMetadataError` with every error found (the message lists the first of many); do nothing if there is none."""
        errors = self.errors
        if not errors:
            return
        raise refusal(what, where, errors, self.found, "Correct the group's attributes.")


def refusal(
    what: str, where: str, broken: Sequence[object], problems: Sequence[Problem], hint: str, most: int = MOST_SHOWN
) -> InvalidMetadataError:
    """The error for a document that breaks rules: its message lists the first of `broken`, its attribute `problems` holds all."""
    more = f"; and {len(broken) - most} more" if len(broken) > most else ""
    error = InvalidMetadataError(what, where=where, got="; ".join(map(str, broken[:most])) + more, hint=hint)
    error.problems = tuple(problems)
    return error
