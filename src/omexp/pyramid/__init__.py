"""Pyramids: plans as data, one pass that runs them, and the rebuilding of what was touched. Does not know: axes, metadata, files."""

from omexp.pyramid.plans import TILE_BYTES, Pass, plan_levels, plan_passes
from omexp.pyramid.rebuilding import affordable_workers, mostly_touched, rebuild
from omexp.pyramid.walk import Built, Marks, Progress, build, choose_backend, planned, require_same

__all__ = [
    "TILE_BYTES",
    "Built",
    "Marks",
    "Pass",
    "Progress",
    "affordable_workers",
    "build",
    "choose_backend",
    "mostly_touched",
    "plan_levels",
    "plan_passes",
    "planned",
    "rebuild",
    "require_same",
]
