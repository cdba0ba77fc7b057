"""Options that several commands have. Knows: their text. Does not know: what they are for."""

from __future__ import annotations

from typing import Any

import click

from omexp.kernels.methods import Methods

__all__ = ["METHODS", "PerAxis"]

METHODS = [m.value for m in Methods if m.kernel == m.value]


class PerAxis(click.ParamType):
    """One number, one per axis ("1,512,512"), or by name ("y=512,x=512")."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number
        self.name = "N|N,N,...|axis=N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",")]
        try:
            if all("=" in part for part in parts):
                return {axis.strip(): self.number(size) for axis, size in (part.split("=") for part in parts)}
            sizes = tuple(self.number(part) for part in parts)
        except ValueError:
            self.fail(f"{value!r} is not a number, one number per axis, or axis=number, ...", param, ctx)
        return sizes[0] if len(sizes) == 1 else sizes
