"""The table of verdicts: its counting, and our row of it."""

from __future__ import annotations

import pytest

from benchmarks.verdicts import CASES, PEERS, VERSIONS, Case, NotRead, published, table


def test_right_wrong_and_not_read_are_counted_apart() -> None:
    def says_valid_but_of_wells(case: Case) -> bool:
        if case.kind == "well":
            raise NotRead
        return True

    cases = [
        Case("a", "0.4", "image", {}, True, False),
        Case("b", "0.4", "image", {}, False, False),
        Case("c", "0.4", "well", {}, True, False),
        Case("d", "0.5", "plate", {}, True, False),
    ]
    found = table(cases, {"it": says_valid_but_of_wells})["it"]
    assert {version: found[version] for version in ("0.4", "0.5", "0.6")} == {"0.4": (1, 1, 1), "0.5": (1, 0, 0), "0.6": (0, 0, 0)}


def test_our_row_has_no_wrong_verdict_and_leaves_nothing_out() -> None:
    if not CASES.is_dir():
        pytest.skip(f"the published documents are not there: {CASES}")
    found = table(published(), {"omexp": PEERS["omexp"]})["omexp"]
    assert {version: row[1:] for version, row in found.items()} == dict.fromkeys(VERSIONS, (0, 0))
    assert sum(row[0] for row in found.values()) == 397
