"""The door of validation. Knows: what is a document, a file of one, a store. Does not know: rules, hierarchies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omexp.checking.archives import check_archive
from omexp.checking.report import ChunkCount, Findings, Report
from omexp.checking.walking import Walk
from omexp.errors import OmexpError, StoredDataError, StoreNotFoundError
from omexp.metadata.problems import Problem, refusal
from omexp.metadata.rules import FAMILIES
from omexp.metadata.validation import check_document
from omexp.storage.archives import WRITTEN, ArchiveStore
from omexp.storage.chunk_checking import check_chunks
from omexp.storage.groups import Group, StoreLike, open_group
from omexp.storage.locating import ZIPPED
from omexp.storage.nodes import Documents, parsed_json
from omexp.storage.places import DOCUMENTS

__all__ = ["require_valid", "validate"]

_LOOKED_AT, _LARGEST = 1 << 12, 1 << 26  # bytes of a file


def validate(
    store_or_document: StoreLike | Mapping[str, Any],
    strict: bool = False,
    *,
    data: bool = False,
    version: str | None = None,
    workers: int | None = None,
) -> Report:
    """Every rule of its OME-Zarr version that a store or a document breaks.

    Parameters
    ----------
    store_or_document
        A path, URL, zip file, zarr store or group: an image, label, group of labels, well, plate or bioformats2raw collection, with all
        that it leads to. A dict of a group's attributes, of any version, or a whole `zarr.json`, as a dict or as a file: a document.
    strict
        A SHOULD that is not followed makes it invalid, too.
    data
        Decode every stored chunk: a damaged one is an error; missing ones, which read as the fill value, are counted in `report.chunks`.
    version
        The OME-Zarr version that it must have, such as "0.5"; None: any.
    workers
        Threads for `data`; None: as many as there are CPUs.

    Returns
    -------
    Report
        `valid`, `problems` (location, level, rule, message, fix), `to_json()`.

    Raises
    ------
    StoreNotFoundError
        There is nothing there, or it cannot be read.
    ArgumentError
        Something that is no store and no document.

    Examples
    --------
    >>> import omexp
    >>> report = validate({"ome": {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "0"}]}}})
    >>> report.valid, [(found.location, found.rule) for found in report.errors]
    (False, [('well.images.1.path', 'well-path-unique')])
    >>> _ = omexp.create_empty_ome_zarr("fine.zarr", (64, 64), xy_pixelsize=0.5, overwrite=True)
    >>> validate("fine.zarr").valid
    True
    """
    if isinstance(store_or_document, Mapping) and not _is_store(store_or_document):
        return _of_document(store_or_document, "document", strict, version)
    file = _file_of(store_or_document)
    if file is not None:
        return _of_file(file, strict, version)
    try:
        group = open_group(store_or_document, "r")
    except StoredDataError as error:  # something is there; its own document is damaged
        broken = Findings(version or "0.5")
        broken.broken("json", "", "", error.what)
        return Report(str(error.where), tuple(broken.findings), strict)
    documents, counts = Documents(group), list[ChunkCount]()
    threads = workers or os.cpu_count() or 1

    def check_data(path: str, found: Findings) -> None:
        _check_data(group, path, threads, found, counts)

    walk = Walk(documents, version=version, data=check_data if data else None)
    found = walk.run()
    if isinstance(group.zarr.store, ArchiveStore) and group.zarr.store.path.endswith(WRITTEN) and not group.zarr.path:
        about = Findings(walk.version or "0.5")
        check_archive(Path(group.zarr.store.path), about)
        found = about.findings + found
    return Report(group.where, tuple(found), strict, documents.reads, tuple(counts))


def require_valid(group: Group, version: str | None = None) -> None:
    """Raise `InvalidMetadataError` for every MUST that a group and its arrays break; what it leads to is not looked at."""
    found = [finding for finding in Walk(Documents(group), version=version, alone=True).run() if finding.level == "error"]
    if found:
        problems = [Problem(f.location, f.message, f.level, f.rule, f.fix) for f in found]
        hint = "omexp.validate lists it with what to do; omexp.repair mends what has one meaning only."
        raise refusal("the metadata breaks the specification", group.where, found, problems, hint)


def _is_store(mapping: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds a store's keys rather than attributes."""
    # the type first: to iterate a mapper is to list a bucket
    return type(mapping) is not dict or any(isinstance(key, str) and key.rpartition("/")[2] in DOCUMENTS for key in mapping)


def _file_of(place: Any) -> Path | None:
    """The local file that is meant, where it is no archive."""
    text = str(place).removeprefix("file://")
    if not isinstance(place, (str, Path)) or "://" in text or text.endswith(ZIPPED):
        return None
    try:
        return Path(text) if Path(text).is_file() else None
    except (OSError, ValueError):
        return None


def _of_file(path: Path, strict: bool, version: str | None) -> Report:
    """A JSON document in a file: attributes, or a whole `zarr.json`."""
    hint = "Pass a folder, a zip file or a JSON file."
    try:
        with path.open("rb") as file:
            begin = file.read(_LOOKED_AT)
            foreign = begin.lstrip()[:1] not in (b"{", b"[", b"/", b"") and path.suffix != ".json"
            raw = begin if foreign else begin + file.read(_LARGEST + 1)
    except OSError as error:
        raise StoreNotFoundError("the file cannot be read", where=str(path), got=str(error)) from None
    if len(raw) > _LARGEST:
        got = f"{path.stat().st_size} bytes"
        raise StoreNotFoundError("the file is too large for a JSON document", where=str(path), got=got, hint=hint)
    document, damage = parsed_json(raw)
    if damage is not None and raw.lstrip()[:1] not in (b"{", b"[", b"/") and path.suffix != ".json":
        raise StoreNotFoundError("this is no Zarr and no JSON document", where=str(path), hint=hint)
    if damage is not None:
        found = Findings(version if version in FAMILIES else "0.5")
        found.broken("json", "", "document", damage)
        return Report(str(path), tuple(found.findings), strict, 1)
    return _of_document(document, str(path), strict, version, 2 if path.name == ".zattrs" else None)


def _of_document(document: Any, where: str, strict: bool, version: str | None, zarr_format: int | None = None) -> Report:
    found = Findings("0.5")
    if isinstance(document, Mapping) and {"zarr_format", "node_type"} <= set(document):  # a whole zarr.json
        if document["node_type"] != "group":
            found.broken("member-kind", "", "node_type", "expected a group, whose attributes can be OME-Zarr metadata")
            return Report(where, tuple(found.findings), strict, 1)
        document, zarr_format = document.get("attributes", {}), 3 if document["zarr_format"] == 3 else 2
    found.take("", check_document(document, zarr_format=zarr_format, version=version))
    return Report(where, tuple(found.findings), strict, 1)


def _check_data(group: Group, path: str, workers: int, found: Findings, counts: list[ChunkCount]) -> None:
    """The chunks of an array that can be read."""
    try:
        chunks = check_chunks(group.array(path), workers)
    except OmexpError as error:
        found.broken("array-readable", path, "", str(error))
        return
    counts.append(ChunkCount(path, chunks.chunks, chunks.stored))
    for key, why in chunks.damaged.items():
        found.broken("chunk-damaged", path, key, why)
    for key in chunks.stray:
        found.broken("chunk-stray", path, key, "there is no such chunk of this array")
