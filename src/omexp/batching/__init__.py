"""Many boxes of arrays at once: a plan as data, and the loops that carry it out. Does not know: axes names, labels, tables."""

from omexp.batching.patches import Part, PatchPlan, Unit, gathered, plan_patches
from omexp.batching.plans import DEFAULT_BYTES, CropPlan, Grid, Load, plan_crops
from omexp.batching.running import Group, cut

__all__ = [
    "DEFAULT_BYTES",
    "CropPlan",
    "Grid",
    "Group",
    "Load",
    "Part",
    "PatchPlan",
    "Unit",
    "cut",
    "gathered",
    "plan_crops",
    "plan_patches",
]
