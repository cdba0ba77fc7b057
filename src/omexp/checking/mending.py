"""Documents put right. Knows: where a finding lies in a document, when the result is worse. Does not know: remedies, files, pixels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omexp.checking.remedies import ABSENT, FIXES, LEAVE, Case, value_at
from omexp.checking.report import Finding
from omexp.metadata.problems import shown
from omexp.metadata.validation import check_document

__all__ = ["Repair", "is_deep", "mended"]

_DEEPEST = 100  # levels of a document that is written again: Python copies and writes JSON by recursion


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was put right: where, which rule was broken there, the value before and after."""

    location: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"

    def to_json(self) -> dict[str, str]:
        return {"location": self.location, "rule": self.rule, "message": self.message}


def mended(case: Case, findings: Sequence[Finding]) -> tuple[dict[str, Any], list[Repair]]:
    """The document with every finding of a rule that has one remedy put right, and what was done.

    A remedy after which the rule is still broken at that place is not taken. The document as it was, and nothing done, where the result
    would break more rules, or where it is nested too deeply to be written.
    """
    if is_deep(case.document):
        return dict(case.document), []
    wanted = list(findings)
    while True:
        document, done = _treated(case, wanted)
        problems = check_document(document, zarr_format=case.zarr_format)
        useless = {(finding.rule, finding.place) for finding, _ in done} & {(problem.rule, problem.loc) for problem in problems}
        if not useless:
            break
        wanted = [finding for finding in wanted if (finding.rule, finding.place) not in useless]
    if sum(problem.level == "error" for problem in problems) > _errors(case.document, case):
        return dict(case.document), []
    return document, [repair for _, repair in done]


def _treated(case: Case, findings: Sequence[Finding]) -> tuple[dict[str, Any], list[tuple[Finding, Repair]]]:
    """A copy of the document with the remedies of these findings, and what they did."""
    document: dict[str, Any] = copy.deepcopy(dict(case.document))
    done = []
    for finding in findings:
        fix = FIXES.get(finding.rule)
        spot = _spot(document, finding, case) if fix is not None else None
        if fix is None or spot is None:
            continue
        holder, key = spot
        before = value_at(holder, key)
        after = fix(before, case, finding.place)
        if after is LEAVE or repr(after) == repr(before):  # 1.0 is not 1
            continue
        if after is ABSENT:
            del holder[key]
        elif holder is document and key is None:
            document = after
        else:
            holder[key] = after
            _drop_copy(document, holder, key)
        done.append((finding, Repair(finding.location, finding.rule, f"{_said(before)} -> {_said(after)}")))
    return document, done


def is_deep(document: Any) -> bool:
    """Whether a document is nested more deeply than any that anybody writes."""
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            inner for value in level for inner in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
        ]
        if not level:
            return False
    return True


def _drop_copy(document: dict[str, Any], holder: Any, key: Any) -> None:
    """A list of labels beside `ome`, where the one inside it now has all its names, is there no more."""
    beside, inner = document.get("labels"), document.get("ome")
    if key != "labels" or not isinstance(inner, dict) or holder is not inner or not isinstance(beside, list):
        return
    if set(map(str, beside)) <= set(inner["labels"]):
        del document["labels"]


def _errors(document: Mapping[str, Any], case: Case) -> int:
    return sum(problem.level == "error" for problem in check_document(document, zarr_format=case.zarr_format))


def _spot(document: dict[str, Any], finding: Finding, case: Case) -> tuple[Any, Any] | None:
    """Where in a document a finding is: the object or list, and the key or index in it (None: the whole); None where there is no such."""
    if finding.place == "document":
        return document, None
    if finding.rule == "version-missing":
        return document.setdefault("ome", {}) if isinstance(document.get("ome", {}), dict) else document, "version"
    if finding.rule.startswith("tables-"):
        inner = document.get("ome")
        return (inner if isinstance(inner, dict) and "tables" in inner else document), "tables"
    here: Any = document
    if case.zarr_format == 3:
        here = document if finding.place.startswith("ome.") else document.setdefault("ome", {})
    whole = finding.place in ("bioformats2raw.layout",)
    *path, last = [finding.place] if whole else [int(part) if part.isdigit() else part for part in finding.place.split(".")]
    for part in path:
        here = value_at(here, part)
    if isinstance(here, list):
        return (here, last) if isinstance(last, int) and last < len(here) else None
    return (here, last) if isinstance(here, dict) and isinstance(last, str) else None


def _said(value: Any) -> str:
    return "nothing" if value is ABSENT else shown(value)
