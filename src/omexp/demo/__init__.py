"""The main job on a whole plate, from making it up (or copying one) to a picture of it. Knows: its parts. Does not know: how they work."""

from omexp.demo.job import DemoReport, run_demo
from omexp.demo.ledger import Step
from omexp.demo.plate import MadePlate

__all__ = ["DemoReport", "MadePlate", "Step", "run_demo"]
