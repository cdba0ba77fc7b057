"""Attributes of a Fractal table. Knows: its type, backend, index and region. Does not know: columns, stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["TableMeta", "parse_table"]

_KEYS = ("type", "table_version", "backend", "index_key", "index_type", "region", "instance_key")


@dataclass(frozen=True, slots=True)
class TableMeta:
    """What the attributes of a table group say.

    Parameters
    ----------
    type
        "roi_table", "feature_table", ... or a name that this package does not know.
    table_version
        The version of that type.
    backend
        How the columns are stored, as the table names it; None where it names none (that means anndata).
    index_key, index_type
        The column that names the rows, and whether it holds "int" or "str".
    region
        What the rows are regions of: ``{"path": "../labels/nuclei"}``.
    instance_key
        The column that holds the ids of that region.
    extra
        Every further attribute; they are written back.
    """

    type: str = "generic_table"
    table_version: str = "1"
    backend: str | None = None
    index_key: str | None = None
    index_type: str | None = None
    region: Any = None
    instance_key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference_label(self) -> str | None:
        """The name of the label that the rows belong to: the last part of the region's path.

        Examples
        --------
        >>> TableMeta(region={"path": "../labels/nuclei"}).reference_label
        'nuclei'
        """
        path = self.region.get("path") if isinstance(self.region, Mapping) else None
        return path.rstrip("/").rsplit("/", 1)[-1] if isinstance(path, str) else None

    def with_label(self, name: str | None) -> TableMeta:
        """The same with another reference label; unchanged for None."""
        return self if name is None else replace(self, region={"path": f"../labels/{name}"})

    def to_json(self) -> dict[str, Any]:
        """The attributes to write; what is None is left out."""
        known = {key: getattr(self, key) for key in _KEYS}
        return {k: v for k, v in known.items() if v is not None} | dict(self.extra)


def parse_table(document: Mapping[str, Any]) -> TableMeta:
    """The attributes of a table group, leniently: a known key whose value is no string counts as absent.

    Older tables call their version `fractal_table_version`. `encoding-type` and `encoding-version` belong to the anndata backend
    and are dropped: the backend writes its own.

    Examples
    --------
    >>> parse_table({"type": "roi_table", "fractal_table_version": "1", "note": 3}).extra
    {'note': 3}
    """
    version = document.get("table_version", document.get("fractal_table_version"))
    backend, index_key, instance_key = (_text(document.get(key)) for key in ("backend", "index_key", "instance_key"))
    index_type = document.get("index_type")
    dropped = (*_KEYS, "fractal_table_version", "encoding-type", "encoding-version")
    return TableMeta(
        type=_text(document.get("type")) or "generic_table",
        table_version="1" if version is None else str(version),
        backend=backend,
        index_key=index_key,
        index_type=index_type if index_type in ("int", "str") else None,
        region=document.get("region"),
        instance_key=instance_key,
        extra={k: v for k, v in document.items() if k not in dropped},
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
