"""Validation and repair. Knows: what may be validated, how the parts work together. Does not know: any rule.

`omexp.metadata.rules` has every rule; `walking`, `arrays`, `labels` and `plates` say where a hierarchy breaks them; `mending` and
`repairing` put right what has one meaning only.
"""

from omexp.checking.mending import Repair
from omexp.checking.repairing import Repairs, repair
from omexp.checking.report import ChunkCount, Finding, Report
from omexp.checking.validating import require_valid, validate

__all__ = ["ChunkCount", "Finding", "Repair", "Repairs", "Report", "repair", "require_valid", "validate"]
