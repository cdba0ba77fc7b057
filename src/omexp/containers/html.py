"""Tables for notebooks. Knows: rows of text as HTML. Does not know: what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["html_table"]

_LEFT = "style='text-align:left'"


def html_table(caption: str, rows: Mapping[str, str | Sequence[str]]) -> str:
    """Name -> text as a table; a sequence gives one line each.

    Examples
    --------
    >>> html_table("a & b", {"x": "1"})
    "<table><caption>a &amp; b</caption><tr><th style='text-align:left'>x</th><td style='text-align:left'>1</td></tr></table>"
    """
    cells = "".join(f"<tr><th {_LEFT}>{_text(name)}</th><td {_LEFT}>{_lines(text)}</td></tr>" for name, text in rows.items())
    return f"<table><caption>{_text(caption)}</caption>{cells}</table>"


def _lines(text: str | Sequence[str]) -> str:
    return "<br>".join(map(_text, [text] if isinstance(text, str) else text))


def _text(text: str) -> str:
    return escape(text, quote=False)
