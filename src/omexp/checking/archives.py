"""Rules of archives (.ozx, RFC-9). Knows: entries of a zip file, their order, the comment. Does not know: what they hold."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omexp.checking.report import Findings
from omexp.metadata.problems import shown

__all__ = ["check_archive"]

_ZIP64_END = b"PK\x06\x06"  # of the record that ends the directory of a ZIP64 file
_TAIL_BYTES = 1 << 17  # the end records and the longest comment there can be


def check_archive(path: Path, found: Findings) -> None:
    """Every rule of the file itself. What cannot be read as a zip file is left to whoever opens it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries, comment = [entry for entry in archive.infolist() if not entry.is_dir()], archive.comment
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            tail = file.read()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return
    names = [entry.filename for entry in entries]
    # "the root-level zarr.json MUST be at the root of the archive" (RFC-9); Zarr format 2 has none
    if "zarr.json" not in names:
        found.broken("archive-root", "", "archive", "there is no zarr.json at its root")
    # "The archive MUST NOT contain ... nested ZIP files" (RFC-9)
    for name in (name for name in names if name.endswith((".zip", ".ozx"))):
        found.broken("archive-nested", "", "archive", f"{shown(name)} is an archive in the archive")
    # "ZIP-level compression SHOULD NOT be used"; "ZIP64 ... SHOULD be used"; "zarr.json files SHOULD come first, breadth-first" (RFC-9)
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        found.broken("archive-compressed", "", "archive", f"{len(packed)} entries are compressed by zip, such as {shown(packed[0])}")
    if _ZIP64_END not in tail:
        found.broken("archive-zip64", "", "archive", "it is no ZIP64 file")
    documents = [name for name in names if name.rpartition("/")[2] == "zarr.json"]
    depths = [name.count("/") for name in names[: len(documents)]]
    if names[: len(documents)] != documents or depths != sorted(depths):
        found.broken("archive-order", "", "archive", "zarr.json files are not its first entries, the outermost first")
    _check_comment(comment, found)


def _check_comment(comment: bytes, found: Findings) -> None:
    # "The ZIP comment SHOULD be a JSON object with 'ome': {'version': ...}" (RFC-9)
    about: Any
    try:
        about = json.loads(comment)
    except (ValueError, RecursionError):
        about = None
    inner = about.get("ome") if isinstance(about, Mapping) else None
    tag = inner.get("version") if isinstance(inner, Mapping) else None
    if not isinstance(tag, str) or not tag.startswith(found.version):
        text = comment.decode(errors="replace")
        found.broken("archive-comment", "", "archive", f"expected the version {found.version}, got {shown(text)}")
