"""Names that stand in the attributes of tables. Knows: backends by name. Does not know: files, columns."""

from __future__ import annotations

from omexp.errors import ArgumentError

__all__ = ["DEFAULT_BACKEND", "KINDS", "UNITS", "backend_name"]

DEFAULT_BACKEND = "anndata_v1"
KINDS = "omexp_dtypes"  # the attribute with the kinds of the columns; ngio 1.1.3 keeps unknown attributes and ignores them
UNITS = "omexp_units"  # the attribute of tables of regions whose columns are in micrometers while the image is in another unit
_NAMES = {name: name for name in ("anndata_v1", "anndata", "parquet", "csv", "json")}
_ALIASES = {f"experimental_{name}_v1": name for name in ("json", "csv", "parquet")}


def backend_name(name: str | None) -> str:
    """The name to write for a backend; the default for None. Raises `ArgumentError`.

    Examples
    --------
    >>> backend_name("experimental_csv_v1"), backend_name(None)
    ('csv', 'anndata_v1')
    """
    found = (_NAMES | _ALIASES).get(name or DEFAULT_BACKEND)
    if found is None:
        raise ArgumentError("there is no such table backend", where="backend", got=repr(name), allowed=", ".join(_NAMES))
    return found
