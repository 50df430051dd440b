"""The demo: the composition root that plays flight records through a bus and proves that nothing was lost."""

from adapters.demo.command import demo
from adapters.demo.traffic import TRAFFIC

__all__ = ["TRAFFIC", "demo"]
