"""What validators say about every published OME-Zarr document. Knows: the cases, how each library is asked. Does not know: the rules.

    python -m benchmarks.verdicts [--json FILE]

A case counts where a library gives an answer at all: a version or kind of group that it does not know is "not read", not "wrong". A
document that a library fails on with an error that is no verdict (a crash) is wrong. Cases of the suites `strict_*` are of the SHOULD
level: they are asked of the libraries that have such a level (omexp, ngff-zarr); the others are asked for their valid half only. Cases of
the suites `label` hold the block `image-label` alone, and are given to each library's model of that block.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omexp.metadata.validation import check_document, is_valid

__all__ = ["CASES", "PEERS", "VERSIONS", "Case", "NotRead", "published", "table"]

CASES = Path(__file__).resolve().parents[2] / "shared" / "conformance"
KINDS = {"plate": "plate", "well": "well", "image-label": "label", "multiscales": "image"}
VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6")


class NotRead(Exception):
    """A version or kind that a library does not know."""


@dataclass(frozen=True, slots=True)
class Case:
    """A published document, what its publishers say of it, and whether that is at the SHOULD level."""

    name: str
    version: str
    kind: str
    document: dict[str, Any]
    valid: bool
    strict: bool


def published() -> list[Case]:
    """Every uncontested case of 0.1 to 0.6; none where the documents are not there."""
    contested = json.loads((CASES / "contested.json").read_text()) if CASES.is_dir() else {}
    found = []
    for path in sorted(CASES.glob("*/*/*/*.json")):
        version, suite, verdict, _ = path.relative_to(CASES).parts
        name = str(path.relative_to(CASES).with_suffix(""))
        if version in VERSIONS and name not in contested:
            document = json.loads(path.read_text())
            keys = document.get("ome", document)
            kind = next((kind for key, kind in KINDS.items() if key in keys), "")
            found.append(Case(name, version, kind or suite, document, verdict == "valid", "strict" in suite))
    return found


# -------------------------------------------------------------------------------------------------------------- libraries
def omexp(case: Case) -> bool:
    return is_valid(check_document(case.document), strict=case.strict and not case.valid)


def _inner(case: Case) -> Any:
    """What lies where the version keeps its keys."""
    return case.document.get("ome", {}) if case.version == "0.5" else case.document


def _models(case: Case, by_version: dict[str, dict[str, Any]]) -> bool:
    """The verdict of a library of pydantic models."""
    kind = "block" if case.kind == "label" and "multiscales" not in _inner(case) else case.kind
    model = by_version.get(case.version, {}).get(kind)
    if model is None or (case.strict and not case.valid):
        raise NotRead
    try:
        model.model_validate(_inner(case).get("image-label") if kind == "block" else _inner(case))
    except ValueError:  # pydantic's ValidationError
        return False
    return True


def yaozarrs(case: Case) -> bool:
    from yaozarrs import v04, v05

    names = {"image": "Image", "label": "LabelImage", "plate": "Plate", "well": "Well", "block": "ImageLabel"}
    found = {tag: {kind: getattr(module, name) for kind, name in names.items()} for tag, module in (("0.4", v04), ("0.5", v05))}
    return _models(case, found)


def ome_zarr_models(case: Case) -> bool:
    import ome_zarr_models.v04 as v04
    import ome_zarr_models.v05 as v05

    found = {
        tag: {
            "image": module.image.ImageAttrs,
            "label": module.image_label.ImageLabelAttrs,
            "plate": module.hcs.HCSAttrs,
            "well": module.well.WellAttrs,
            "block": module.image_label_types.Label,
        }
        for tag, module in (("0.4", v04), ("0.5", v05))
    }
    return _models(case, found)


def ngio(case: Case) -> bool:
    import zarr
    from ngio import ome_zarr_meta as meta

    read = {"image": "get_ngio_image_meta", "label": "get_ngio_label_meta", "plate": "get_ngio_plate_meta", "well": "get_ngio_well_meta"}
    alone = case.kind == "label" and "multiscales" not in _inner(case)
    if case.version not in ("0.4", "0.5") or case.kind not in read or alone or (case.strict and not case.valid):
        raise NotRead
    group = zarr.open_group({}, mode="w", zarr_format=2 if case.version == "0.4" else 3, attributes=case.document)
    try:
        getattr(meta, read[case.kind])(group)
    except Exception:  # a refusal of any class: ngio has no verdict of its own
        return False
    return True


def ngff_zarr(case: Case) -> bool:
    import ngff_zarr as library

    if case.kind not in ("image", "label", "plate", "well"):
        raise NotRead
    try:
        library.validate(case.document, version=case.version, model=case.kind, strict=case.strict)
    except FileNotFoundError:  # it has no schema for that
        raise NotRead from None
    except Exception:
        return False
    return True


PEERS: dict[str, Callable[[Case], bool]] = {
    "omexp": omexp,
    "ome-zarr-models": ome_zarr_models,
    "yaozarrs": yaozarrs,
    "ngio": ngio,
    "ngff-zarr": ngff_zarr,
}


def table(cases: list[Case], libraries: dict[str, Callable[[Case], bool]]) -> dict[str, dict[str, tuple[int, int, int]]]:
    """Library -> version -> (right, wrong, not read)."""
    found: dict[str, dict[str, tuple[int, int, int]]] = {}
    for name, verdict in libraries.items():
        rows = {version: [0, 0, 0] for version in VERSIONS}
        for case in cases:
            try:
                rows[case.version][0 if verdict(case) == case.valid else 1] += 1
            except NotRead:
                rows[case.version][2] += 1
        found[name] = {version: (row[0], row[1], row[2]) for version, row in rows.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cases = published()
    found = table(cases, PEERS)
    print(f"{'right / wrong / not read':28}" + "".join(f"{version:>16}" for version in VERSIONS))
    for name, rows in found.items():
        print(f"{name:28}" + "".join(f"{' / '.join(map(str, rows[version])):>16}" for version in VERSIONS))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
