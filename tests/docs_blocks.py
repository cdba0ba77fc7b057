"""Code blocks of Markdown pages. Knows: fences, languages, which block says that it is not run, how to run a page. Does not know: omexp."""

from __future__ import annotations

import doctest
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w+-]*)(?P<attributes>[^`\n]*)$")
NOT_RUN = re.compile(r"<!--\s*not run:(?P<reason>.*?)-->", re.DOTALL)
PYTHON = {"python", "py", "python3", "pycon"}
DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it starts, its language, its text, and why it is not run (None: it is)."""

    line: int  # of the first line of code, counted from 1
    language: str
    attributes: str
    code: str
    not_run: str | None = None

    @property
    def is_session(self) -> bool:
        """True for prompts with their output (``>>>``), whatever the block calls itself."""
        return self.language == "pycon" or self.code.lstrip().startswith(">>>")


def blocks_of(text: str) -> list[Block]:
    """Every fenced block of a page, in order, indented ones (in tabs and admonitions) included.

    A block is not run when the last thing before it, blank lines aside, is ``<!-- not run: reason -->``.
    """
    found: list[Block] = []
    lines = text.splitlines()
    number, prose_from = 0, 0
    while number < len(lines):
        opened = FENCE.match(lines[number])
        number += 1
        if not opened:
            continue
        last = next((n for n in range(number, len(lines)) if lines[n].strip() == opened["fence"]), len(lines))
        code = textwrap.dedent("\n".join(lines[number:last]))
        reason = _reason("\n".join(lines[prose_from : number - 1]))
        found.append(Block(number + 1, opened["language"].lower(), opened["attributes"].strip(), f"{code}\n", reason))
        number = prose_from = last + 1
    return found


def _reason(prose: str) -> str | None:
    """The reason in the comment that ends the prose, if one does."""
    found = re.search(rf"{NOT_RUN.pattern}\s*\Z", prose, re.DOTALL)
    return " ".join(found["reason"].split()) if found else None


def run_page(page: Path, namespace: dict[str, Any] | None = None, *, change: Callable[[str], str] = str) -> int:
    """Run the Python blocks of a page in order, in one namespace, and return how many ran.

    Parameters
    ----------
    page
        A Markdown file.
    namespace
        Names that the blocks find; what they define is left in it.
    change
        Applied to each block's code first, for example to put another package's name in.

    Raises
    ------
    Exception
        What a block raises, with the page's own line numbers in the traceback.
    AssertionError
        A ``>>>`` session printed something else.
    """
    names = {"__name__": "__main__"} if namespace is None else namespace
    ran = 0
    for block in runnable(blocks_of(page.read_text(encoding="utf-8"))):
        code = change(block.code)
        if block.is_session:
            run_session(code, names, name=str(page), line=block.line)
        else:
            exec(compile("\n" * (block.line - 1) + code, str(page), "exec"), names)
        ran += 1
    return ran


def runnable(blocks: Iterable[Block]) -> list[Block]:
    """The Python blocks that do not say why they are not run."""
    return [block for block in blocks if block.language in PYTHON and block.not_run is None]


def run_session(code: str, names: dict[str, Any], *, name: str, line: int) -> None:
    """Run ``>>>`` prompts, compare what they print, and keep what they define in `names`."""
    test = doctest.DocTestParser().get_doctest(code, names, name, name, line - 1)
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=DOCTEST_FLAGS)
    runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)  # get_doctest copies
    if runner.failures:
        raise AssertionError("".join(report))
