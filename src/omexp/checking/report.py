"""What a validation found. Knows: findings, how they are shown. Does not know: rules, stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from omexp.metadata.problems import Problem
from omexp.metadata.rules import RULES, Level

__all__ = ["ChunkCount", "Finding", "Findings", "Report"]

_SHOWN = 30  # findings in a repr


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that is broken.

    Parameters
    ----------
    location
        The group or array below the store, then the place in its document: ``A/1/0: multiscales.0.axes``; one of the two alone where the
        other one is the whole.
    level
        "error" for a MUST, "warning" for a SHOULD.
    rule
        Its id in `omexp.metadata.rules.RULES`.
    message, fix
        What is wrong there, and what to do about it.
    path, place
        The two parts of the location.
    """

    location: str
    level: Level
    rule: str
    message: str
    fix: str
    path: str = ""
    place: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"

    def to_json(self) -> dict[str, str]:
        """The finding as `omexp validate --json` prints it."""
        return {key: getattr(self, key) for key in ("location", "level", "rule", "message", "fix")}


@dataclass(frozen=True, slots=True)
class ChunkCount:
    """Chunks of one array: how many there are, and how many of them are stored. Those that are not read as the fill value."""

    location: str
    chunks: int
    stored: int

    @property
    def missing(self) -> int:
        return self.chunks - self.stored

    def to_json(self) -> dict[str, Any]:
        return {"location": self.location, "chunks": self.chunks, "stored": self.stored, "missing": self.missing}


@dataclass(frozen=True)
class Report:
    """What `validate` found.

    Parameters
    ----------
    where
        The store or document.
    problems
        Every finding, in the order of the hierarchy.
    strict
        Whether a warning makes it invalid, too.
    documents
        How many documents were asked for, those that are not there included.
    chunks
        Stored and missing chunks of each array, where they were looked at (``data=True``).

    Examples
    --------
    >>> report = Report("a.zarr", (Finding("0", "warning", "array-dtype", "uint8, not uint16", "Write one dtype."),))
    >>> report.valid, report.to_json()["valid"], len(report.problems)
    (True, True, 1)
    """

    where: str
    problems: tuple[Finding, ...] = ()
    strict: bool = False
    documents: int = 0
    chunks: tuple[ChunkCount, ...] = ()

    @property
    def valid(self) -> bool:
        """No MUST is broken; where it is `strict`, no SHOULD either."""
        return not (self.problems if self.strict else self.errors)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of MUSTs."""
        return tuple(found for found in self.problems if found.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of SHOULDs."""
        return tuple(found for found in self.problems if found.level == "warning")

    def to_json(self) -> dict[str, Any]:
        """``{"valid": ..., "problems": [{"location", "level", "rule", "message", "fix"}]}``, and ``chunks`` where they were looked at."""
        found: dict[str, Any] = {"valid": self.valid, "problems": [problem.to_json() for problem in self.problems]}
        return found | ({"chunks": [count.to_json() for count in self.chunks]} if self.chunks else {})

    def by_rule(self) -> dict[tuple[Level, str], list[Finding]]:
        """The findings of each rule, errors first, the rule with the most findings first."""
        counts = Counter((found.level, found.rule) for found in self.problems)
        order = sorted(counts, key=lambda key: (key[0], -counts[key]))
        return {key: [found for found in self.problems if (found.level, found.rule) == key] for key in order}

    @property
    def summary(self) -> str:
        """The verdict in a line."""
        verdict = "valid" if self.valid else "invalid"
        counts = [f"{len(found)} {name}{'s' * (len(found) != 1)}" for name, found in (("error", self.errors), ("warning", self.warnings))]
        return f"{verdict}{' (strict)' if self.strict else ''}: {', '.join(counts)}"

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.problems)

    def __len__(self) -> int:
        return len(self.problems)

    def __bool__(self) -> bool:  # a report is there, whatever its length
        return True

    def __repr__(self) -> str:
        lines = [f"{found.level}: {found}" for found in self.problems[:_SHOWN]]
        more = [f"... {len(self.problems) - _SHOWN} more"] if len(self.problems) > _SHOWN else []
        return "\n".join([f"Report({self.where}, {self.summary})", *(f"  {line}" for line in [*lines, *more])])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{''.join(f'<td style=text-align:left>{escape(cell)}</td>' for cell in found.to_json().values())}</tr>"
            for found in self.problems[:_SHOWN]
        )
        more = f"<p>... {len(self.problems) - _SHOWN} more</p>" if len(self.problems) > _SHOWN else ""
        head = "".join(f"<th style=text-align:left>{name}</th>" for name in ("location", "level", "rule", "message", "fix"))
        return f"<p>{escape(self.where)}: <b>{escape(self.summary)}</b></p><table><tr>{head}</tr>{rows}</table>{more}"


class Findings:
    """Collects what is wrong in a hierarchy of one OME-Zarr version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.findings: list[Finding] = []

    def broken(self, rule: str, path: str, loc: str, message: str) -> None:
        """A rule is broken at a path, there at `loc` of its document; nothing happens where the version has no such rule."""
        level = RULES[rule].level(self.version)
        if level is not None:
            self.findings.append(Finding(_location(path, loc), level, rule, message, RULES[rule].fix, path, loc))

    def take(self, path: str, problems: Iterable[Problem]) -> None:
        """What is wrong in the document at a path."""
        self.findings += [Finding(_location(path, p.loc), p.level, p.rule, p.message, p.fix, path, p.loc) for p in problems]


def _location(path: str, loc: str) -> str:
    return ": ".join(filter(None, (path, loc))) or "."
