"""Who computes what next. Pure: time is an argument, nothing here waits or talks."""

from skilld.scheduler.cost_model import CostModel
from skilld.scheduler.lane import EngineLimits
from skilld.scheduler.policy import Finished, Policy
from skilld.scheduler.request_queue import RequestQueue
from skilld.scheduler.scheduler import Scheduler

__all__ = ["CostModel", "EngineLimits", "Finished", "Policy", "RequestQueue", "Scheduler"]
